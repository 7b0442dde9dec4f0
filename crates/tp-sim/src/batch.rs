//! `POST /{version}/$batch`: up to twenty requests, judged one by one (PROTOCOL §3).

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::answer::Answer;
use crate::call::Sent;

/// One request of a batch.
#[derive(Debug)]
pub(crate) struct BatchItem {
    pub(crate) id: String,
    pub(crate) method: String,
    /// Relative to the version, with its query.
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Sent,
    depends_on: Vec<String>,
}

fn bad(text: &str) -> Answer {
    Answer::bad_request(text)
}

/// Reads a batch; the refusal of a malformed one is for the whole.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<BatchItem>, Answer> {
    let body: Value =
        serde_json::from_slice(body).map_err(|_| bad("Unable to read JSON request payload."))?;
    let requests = body
        .get("requests")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("Invalid batch payload format."))?;
    if requests.is_empty() || requests.len() > 20 {
        return Err(bad("Number of batch request steps must be from 1 to 20."));
    }
    let items: Vec<BatchItem> = requests.iter().map(item).collect::<Result<_, _>>()?;
    let mut ids = HashSet::new();
    for item in &items {
        if !ids.insert(item.id.to_lowercase()) {
            return Err(bad("Request ids must be unique."));
        }
    }
    let known = |id: &String| ids.contains(&id.to_lowercase());
    if items.iter().any(|item| !item.depends_on.iter().all(known)) {
        return Err(bad("A request depends on an id that is not in the batch."));
    }
    in_order(items)
}

fn item(request: &Value) -> Result<BatchItem, Answer> {
    let id = match request.get("id") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        // IntuneCD sends numbers; they come back as text.
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err(bad("Each request needs an id.")),
    };
    let text = |name: &str| request.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(method), Some(url)) = (text("method"), text("url")) else {
        return Err(bad("Each request needs a method and a url."));
    };
    let headers = request.get("headers").and_then(Value::as_object);
    let headers = headers
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
    let depends_on = match request.get("dependsOn") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids
            .iter()
            .map(|id| id.as_str().map(str::to_owned).ok_or_else(|| bad("dependsOn holds ids.")))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(bad("dependsOn is a list of ids.")),
    };
    let body = match request.get("body") {
        None | Some(Value::Null) => Sent::Nothing,
        Some(body) => Sent::Json(body.clone()),
    };
    Ok(BatchItem {
        id,
        method: method.to_uppercase(),
        url,
        headers: headers.collect(),
        body,
        depends_on,
    })
}

/// Requests behind those that they depend on; circles are malformed.
fn in_order(items: Vec<BatchItem>) -> Result<Vec<BatchItem>, Answer> {
    let (mut ready, mut waiting): (Vec<BatchItem>, _) = (Vec::new(), items);
    while !waiting.is_empty() {
        let before = waiting.len();
        for item in std::mem::take(&mut waiting) {
            let is_done = |id: &String| ready.iter().any(|done| done.id.eq_ignore_ascii_case(id));
            if item.depends_on.iter().all(is_done) {
                ready.push(item);
            } else {
                waiting.push(item);
            }
        }
        if waiting.len() == before {
            return Err(bad("The requests depend on each other in a circle."));
        }
    }
    Ok(ready)
}

impl BatchItem {
    /// What it gets without being tried: a body without its kind, a failed dependency.
    pub(crate) fn refusal(&self, statuses: &HashMap<String, u16>) -> Option<Answer> {
        let failed = |id: &String| {
            statuses.get(&id.to_lowercase()).is_some_and(|status| !(200..300).contains(status))
        };
        if self.depends_on.iter().any(failed) {
            return Some(Answer::error(
                424,
                "FailedDependency",
                "A request that this one depends on has failed.",
            ));
        }
        let has_kind = self.headers.iter().any(|(name, _)| name == "content-type");
        (matches!(self.body, Sent::Json(_)) && !has_kind).then(|| {
            bad("Write request id : the Content-Type header of a request with a body is missing.")
        })
    }
}

/// Puts the answers together; their order tells nothing, as at Graph.
pub(crate) fn reply(mut answers: Vec<(String, Answer)>) -> Answer {
    answers.reverse();
    let mut text = b"{\"responses\":[".to_vec();
    for (number, (id, answer)) in answers.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        text.extend_from_slice(&answer.into_item(&id));
    }
    text.extend_from_slice(b"]}");
    Answer::json_text(text)
}
