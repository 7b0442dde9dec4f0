//! What went wrong at Graph, as a reason code. No text of an answer is kept (rule I-7).

use tp_domain::reason::ReasonCode;

/// A request or a listing that did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct GraphError {
    reason: ReasonCode,
    status: Option<u16>,
    request_id: Option<String>,
}

impl GraphError {
    pub(crate) const fn new(reason: ReasonCode) -> Self {
        Self { reason, status: None, request_id: None }
    }

    pub(crate) fn answered(reason: ReasonCode, status: u16, request_id: Option<String>) -> Self {
        Self { reason, status: Some(status), request_id }
    }

    /// Why.
    pub const fn reason(&self) -> ReasonCode {
        self.reason
    }

    /// Graph's id of the request, for a case at Microsoft.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The HTTP status, where there was an answer.
    pub const fn status(&self) -> Option<u16> {
        self.status
    }
}
