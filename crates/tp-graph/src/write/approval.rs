//! Requests for multi-admin approval: how one stands, and which one belongs to a write (PROTOCOL §7).

use tp_catalog::contract::ApiVersion;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;
use uuid::Uuid;

use super::mark;
use crate::error::GraphError;
use crate::paging::{MAX_PAGES, next_link};
use crate::session::{GraphSession, is_plain_id};

/// Where requests for approval are. Not a policy type, so no contract has it.
const REQUESTS: &str = "/deviceManagement/operationApprovalRequests";

/// How a request for approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody has decided.
    Waiting,
    /// It may be sent again with its code.
    Approved,
    /// Somebody said no, or took it back.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// It was approved and carried out.
    Completed,
}

impl Approval {
    fn read(request: &Json) -> Option<Self> {
        Some(match request.get("status")?.as_str()? {
            "needsApproval" => Self::Waiting,
            "approved" => Self::Approved,
            "rejected" | "cancelled" | "canceled" => Self::Rejected,
            "expired" => Self::Expired,
            "completed" => Self::Completed,
            _ => return None,
        })
    }
}

impl GraphSession {
    /// How the request for approval with this code stands. One that is gone has expired.
    pub async fn approval(&self, code: &str) -> Result<Approval, GraphError> {
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        if !is_plain_id(code) {
            return Err(malformed());
        }
        let url = self.address(ApiVersion::Beta, &format!("{REQUESTS}/{code}"), &[])?;
        match self.fetch(ThrottleGroup::IntuneDefault, &url).await {
            Ok(request) => Approval::read(&request).ok_or_else(malformed),
            Err(error) if error.reason() == ReasonCode::ItemGone => Ok(Approval::Expired),
            Err(error) => Err(error),
        }
    }

    /// The code of the request for approval that a write has led to; none where it led to none. For a write
    /// whose answer was lost: its mark stands in the justification.
    pub async fn approval_of(&self, intent: Uuid) -> Result<Option<String>, GraphError> {
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        let first = self.address(ApiVersion::Beta, REQUESTS, &[])?;
        let (mut next, mark) = (Some(first.clone()), mark(intent));
        for _ in 0..MAX_PAGES {
            let Some(url) = next.take() else { return Ok(None) };
            let page = self.fetch(ThrottleGroup::IntuneDefault, &url).await?;
            let requests = page.get("value").and_then(Json::as_array).ok_or_else(malformed)?;
            let own = requests.iter().find(|request| {
                let text = request.get("requestJustification").and_then(Json::as_str);
                text.is_some_and(|text| text.ends_with(&mark))
            });
            if let Some(own) = own {
                let id = own.get("id").and_then(Json::as_str).filter(|id| is_plain_id(id));
                return Ok(id.map(str::to_owned));
            }
            if let Some(link) = page.get("@odata.nextLink") {
                next = Some(next_link(&first, link).map_err(GraphError::new)?);
            }
        }
        Err(GraphError::new(ReasonCode::PageLimit))
    }
}
