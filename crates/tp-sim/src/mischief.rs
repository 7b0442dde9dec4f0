//! How faults are carried out: some take the place of what was asked for, some spoil its answer, and
//! some break the wire.

use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::{Answer, Body, intune_text};
use crate::call::Call;
use crate::faults::{FaultAction, FaultHost, Malformed, Moment};
use crate::login;

/// What happens to the bytes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wire {
    #[default]
    Whole,
    /// The connection breaks before anything is sent.
    Reset,
    /// It breaks in the middle of the body.
    Cut,
    /// The body never comes.
    Silence,
    /// A byte each so often.
    Drip(Duration),
}

/// The answer that takes the place of what was asked for.
pub(crate) fn instead(action: &FaultAction, host: FaultHost) -> Option<Answer> {
    match action {
        FaultAction::Status { done: false, .. } => status(action, host),
        FaultAction::Aadsts { number, error } => {
            let error = error.as_deref().unwrap_or(login::error_of(*number));
            let status = if error == "invalid_client" { 401 } else { 400 };
            Some(login::refuse(status, error, *number, "Planned."))
        }
        FaultAction::DisguisedForbidden => {
            let inner = json!({"ErrorCode": "Forbidden", "Message": intune_text(
                "Application is not authorized to perform this operation. Application must have one of the following scopes: DeviceManagementConfiguration.Read.All"
            )});
            Some(Answer::error(401, "UnknownError", &inner.to_string()))
        }
        FaultAction::Vanish => Some(Answer::not_found()),
        FaultAction::Reset { when: Moment::Before } => Some(Answer::nothing(0)),
        FaultAction::Redirect { to } => Some(Answer::nothing(302).with_header("Location", to)),
        _ => None,
    }
}

/// The planned error of a status.
fn status(action: &FaultAction, host: FaultHost) -> Option<Answer> {
    let FaultAction::Status { status, retry_after, code, message, .. } = action else {
        return None;
    };
    let message = message.as_deref().unwrap_or("planned");
    let error = match host {
        FaultHost::Graph => {
            let usual = match status {
                401 => "InvalidAuthenticationToken",
                403 => "Forbidden",
                404 => "ResourceNotFound",
                429 => "TooManyRequests",
                503 => "ServiceUnavailable",
                _ => "UnknownError",
            };
            Answer::error(*status, code.as_deref().unwrap_or(usual), message)
        }
        FaultHost::Login => {
            let (usual, number) = match status {
                401 => ("invalid_client", 7_000_215),
                400 => ("invalid_request", 900_144),
                _ => ("temporarily_unavailable", 90_033),
            };
            login::refuse(*status, code.as_deref().unwrap_or(usual), number, message)
        }
    };
    Some(match retry_after {
        Some(text) => error.with_header("Retry-After", text),
        None => error,
    })
}

/// Spoils a good answer.
pub(crate) fn spoil(
    action: &FaultAction,
    host: FaultHost,
    call: Option<&Call<'_>>,
    answer: Answer,
) -> Answer {
    match action {
        FaultAction::Status { done: true, .. } => status(action, host).unwrap_or(answer),
        FaultAction::Html => {
            let page = "<html><body>Sign in to the hotel</body></html>";
            Answer::raw(page.into(), "text/html; charset=utf-8")
        }
        FaultAction::Malformed { how } => Answer::json_text(malformed(*how, answer)),
        FaultAction::Huge { bytes } => {
            Answer::json_text(format!("{{\"value\": [\"{}\"]}}", "x".repeat(*bytes)).into())
        }
        FaultAction::Reset { when: Moment::After } => Answer::nothing(0),
        action => match call {
            Some(call) => pages(action, call, answer),
            None => answer,
        },
    }
}

/// Spoils the pages of a list.
fn pages(action: &FaultAction, call: &Call<'_>, mut answer: Answer) -> Answer {
    let query = &call.query;
    let here = |query: &str| format!("{}/{}{}?{query}", call.origin, call.version, call.path);
    let Some(body) = answer.value_mut() else { return answer };
    match action {
        FaultAction::NextLink { url } => body["@odata.nextLink"] = url.clone(),
        FaultAction::Loop => body["@odata.nextLink"] = here(&query.next(query.skip)).into(),
        FaultAction::Endless => {
            let turn = query.turn + 1;
            let token = format!("sim-{}-x{turn}", query.skip);
            body["@odata.nextLink"] = here(&query.with_token(&token)).into();
        }
        FaultAction::EmptyPage => {
            let token = format!("sim-{}-x{}", query.skip, query.turn + 1);
            body["@odata.nextLink"] = here(&query.with_token(&token)).into();
            body["value"] = json!([]);
        }
        FaultAction::Empty => *body = json!({"value": []}),
        FaultAction::Shrink { keep } => {
            if let Some(list) = body.get_mut("value").and_then(Value::as_array_mut) {
                list.truncate(*keep);
            }
            if let Some(map) = body.as_object_mut() {
                map.remove("@odata.nextLink");
            }
        }
        FaultAction::Duplicate { across: false } => {
            if let Some(list) = body.get_mut("value").and_then(Value::as_array_mut)
                && let Some(first) = list.first().cloned()
            {
                list.push(first);
            }
        }
        FaultAction::Duplicate { across: true } => {
            let length = body.get("value").and_then(Value::as_array).map_or(0, Vec::len);
            if length > 1 && body.get("@odata.nextLink").is_some() {
                let next = query.skip + length - 1;
                body["@odata.nextLink"] = here(&query.next(next)).into();
            }
        }
        _ => {}
    }
    answer
}

fn malformed(how: Malformed, answer: Answer) -> Vec<u8> {
    let good = match answer.body {
        Body::Json(value) => value,
        _ => json!({"value": []}),
    };
    let text = |good: &Value| good.to_string().into_bytes();
    let first = |what: &[u8]| {
        let mut bytes = b"{\"value\":[{\"id\":\"1\",\"displayName\":\"".to_vec();
        bytes.extend_from_slice(what);
        bytes.extend_from_slice(b"\"}]}");
        bytes
    };
    match how {
        Malformed::Nan => b"{\"value\": [NaN".to_vec(),
        Malformed::Cut => {
            let mut bytes = text(&good);
            bytes.truncate(bytes.len() / 2);
            bytes
        }
        Malformed::Bom => [b"\xef\xbb\xbf".as_slice(), &text(&good)].concat(),
        Malformed::InvalidUtf8 => first(b"a\xff\xfeb"),
        Malformed::LoneSurrogate => first(b"a\\ud800b"),
        Malformed::Nul => first(b"a\\u0000b"),
        Malformed::DuplicateKeys => {
            b"{\"value\":[{\"id\":\"1\",\"id\":\"2\",\"displayName\":\"a\",\"displayName\":\"b\"}]}"
                .to_vec()
        }
        Malformed::Deep => {
            let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
            format!("{{\"value\":[{{\"id\":\"1\",\"x\":{open}{close}}}]}}").into_bytes()
        }
        Malformed::WrongType => b"[]".to_vec(),
        Malformed::WrongItems => b"{\"value\":[\"a\",1,null,[]]}".to_vec(),
        Malformed::NoValue => {
            let mut good = good;
            if let Some(map) = good.as_object_mut() {
                map.remove("value");
            }
            text(&good)
        }
        Malformed::ValueIsObject => b"{\"value\":{\"id\":\"1\"}}".to_vec(),
        Malformed::ValueIsNull => b"{\"value\":null}".to_vec(),
        Malformed::Nothing => Vec::new(),
    }
}

/// What a fault does to the wire, and for how long it waits first.
pub(crate) fn wire(action: &FaultAction) -> (Wire, Duration) {
    let wire = match action {
        FaultAction::Reset { when: Moment::Before | Moment::After } => Wire::Reset,
        FaultAction::Reset { when: Moment::During } | FaultAction::Truncate => Wire::Cut,
        FaultAction::Drip { ms: None } => Wire::Silence,
        FaultAction::Drip { ms: Some(ms) } => Wire::Drip(Duration::from_millis(*ms)),
        FaultAction::Latency { ms } => return (Wire::Whole, Duration::from_millis(*ms)),
        _ => Wire::Whole,
    };
    (wire, Duration::ZERO)
}
