//! What went wrong at Graph, as a reason code. No text of an answer is kept (rule I-7).

use std::time::Duration;

use serde_json::Value;
use tp_domain::reason::ReasonCode;

/// A request or a listing that did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct GraphError {
    reason: ReasonCode,
    status: Option<u16>,
    request_id: Option<String>,
    postponed: Option<Duration>,
    /// No byte of the request left: nothing can have come of it.
    unsent: bool,
}

impl GraphError {
    pub(crate) const fn new(reason: ReasonCode) -> Self {
        Self { reason, status: None, request_id: None, postponed: None, unsent: false }
    }

    /// No connection was made.
    pub(crate) const fn unsent() -> Self {
        Self {
            reason: ReasonCode::GraphUnavailable,
            status: None,
            request_id: None,
            postponed: None,
            unsent: true,
        }
    }

    pub(crate) const fn is_unsent(&self) -> bool {
        self.unsent
    }

    pub(crate) fn answered(reason: ReasonCode, status: u16, request_id: Option<String>) -> Self {
        Self { status: Some(status), request_id, ..Self::new(reason) }
    }

    /// Graph may be asked again after this wait, which is too long for holding a worker's place.
    pub(crate) fn postponed_by(reason: ReasonCode, wait: Duration) -> Self {
        Self { postponed: Some(wait), ..Self::new(reason) }
    }

    /// After which wait the run should go on, where it is only too early.
    pub const fn postponed(&self) -> Option<Duration> {
        self.postponed
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

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is what was asked for.
    Good,
    /// The token is not taken any more: once again with a new one.
    NewToken,
    /// A later try may succeed.
    Again(ReasonCode),
    /// Trying again changes nothing.
    Final(ReasonCode),
}

/// How deep errors inside errors are followed: Intune nests them three times at most.
const DEEPEST: usize = 5;

/// By the status, and by the codes in the body where one status says two things. Texts are not stable and
/// not trusted (PROTOCOL §5).
pub(crate) fn verdict(status: u16, body: &[u8]) -> Verdict {
    let code = || deepest_code(body);
    match status {
        200..=299 => Verdict::Good,
        // Intune answers 401 where it means 403: a new token never helps then.
        401 if code().is_some_and(|code| code.eq_ignore_ascii_case("Forbidden")) => {
            Verdict::Final(ReasonCode::PermissionMissing)
        }
        401 => Verdict::NewToken,
        403 => Verdict::Final(ReasonCode::PermissionMissing),
        404 | 410 => Verdict::Final(ReasonCode::ItemGone),
        423 => Verdict::Again(ReasonCode::GraphUnavailable),
        429 => Verdict::Again(ReasonCode::GraphThrottled),
        500 | 502 | 503 | 504 => Verdict::Again(ReasonCode::GraphUnavailable),
        300..=399 => Verdict::Final(ReasonCode::MalformedResponse),
        _ => Verdict::Final(ReasonCode::GraphRefused),
    }
}

/// The code that stands deepest in an error body: Intune wraps its own error, as JSON text, into the message
/// of Graph's (powershell-intune-samples 89, msgraph-sdk-powershell 1257).
fn deepest_code(body: &[u8]) -> Option<String> {
    let mut at: Value = serde_json::from_slice(body).ok()?;
    let mut code = None;
    for _ in 0..DEEPEST {
        let error = at.get("error").unwrap_or(&at);
        let own = error.get("code").or_else(|| error.get("ErrorCode")).and_then(Value::as_str);
        if let Some(own) = own.filter(|own| is_code(own)) {
            code = Some(own.to_owned());
        }
        let inner = error.get("innerError").or_else(|| error.get("innererror"));
        let text = error.get("message").or_else(|| error.get("Message")).and_then(Value::as_str);
        let wrapped = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        match wrapped
            .filter(Value::is_object)
            .or_else(|| inner.filter(|inner| inner.get("code").is_some()).cloned())
        {
            Some(next) => at = next,
            None => break,
        }
    }
    code
}

fn is_code(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_verdicts() {
        use ReasonCode as R;
        let wrapped = r#"{"error":{"code":"UnknownError","message":"{\"ErrorCode\":\"Forbidden\",\"Message\":\"{\\\"_version\\\":3}\"}"}}"#;
        let intune = r#"{"error":{"code":"BadRequest","message":"{\"_version\":3,\"Message\":\"An error has occurred - Operation ID\"}"}}"#;
        let inner =
            r#"{"error":{"code":"UnknownError","message":"","innererror":{"code":"Forbidden"}}}"#;
        let cases: [(u16, &str, Verdict); 17] = [
            (200, "", Verdict::Good),
            (204, "", Verdict::Good),
            (302, "", Verdict::Final(R::MalformedResponse)),
            (400, intune, Verdict::Final(R::GraphRefused)),
            (401, "", Verdict::NewToken),
            (401, "<html>", Verdict::NewToken),
            (401, r#"{"error":{"code":"InvalidAuthenticationToken"}}"#, Verdict::NewToken),
            (401, wrapped, Verdict::Final(R::PermissionMissing)),
            (401, inner, Verdict::Final(R::PermissionMissing)),
            (403, "", Verdict::Final(R::PermissionMissing)),
            (404, "", Verdict::Final(R::ItemGone)),
            (409, "", Verdict::Final(R::GraphRefused)),
            (423, "", Verdict::Again(R::GraphUnavailable)),
            (429, "", Verdict::Again(R::GraphThrottled)),
            (500, intune, Verdict::Again(R::GraphUnavailable)),
            (503, "", Verdict::Again(R::GraphUnavailable)),
            (504, "", Verdict::Again(R::GraphUnavailable)),
        ];
        for (status, body, expected) in cases {
            assert_eq!(verdict(status, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_body_that_nests_for_ever_is_left() {
        let mut body = "{}".to_owned();
        for _ in 0..8 {
            body = serde_json::json!({"code": "Forbidden", "message": body}).to_string();
        }
        assert_eq!(deepest_code(body.as_bytes()).as_deref(), Some("Forbidden"));
        assert_eq!(deepest_code(b"[1,2]"), None);
        assert_eq!(
            deepest_code(br#"{"error":{"code":"a b\u0000"}}"#),
            None,
            "no text becomes a code"
        );
    }
}
