//! `POST /{version}/$batch`: up to twenty requests, judged one by one (PROTOCOL §3).

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::answer::Answer;

/// One request of a batch.
pub(crate) struct BatchItem {
    pub(crate) id: String,
    pub(crate) method: String,
    /// Relative to the version, with its query.
    pub(crate) url: String,
}

/// Reads a batch; the refusal of a malformed one is for the whole.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<BatchItem>, Answer> {
    let bad = |text: &str| Answer::bad_request(text);
    let body: Value =
        serde_json::from_slice(body).map_err(|_| bad("Unable to read JSON request payload."))?;
    let requests = body
        .get("requests")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("Invalid batch payload format."))?;
    if requests.is_empty() || requests.len() > 20 {
        return Err(bad("Number of batch request steps must be from 1 to 20."));
    }
    let mut ids = HashSet::new();
    requests
        .iter()
        .map(|request| {
            let id = match request.get("id") {
                Some(Value::String(id)) if !id.is_empty() => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => return Err(bad("Each request needs an id.")),
            };
            if !ids.insert(id.to_lowercase()) {
                return Err(bad("Request ids must be unique."));
            }
            let text = |name: &str| request.get(name).and_then(Value::as_str).map(str::to_owned);
            match (text("method"), text("url")) {
                (Some(method), Some(url)) => {
                    Ok(BatchItem { id, method: method.to_uppercase(), url })
                }
                _ => Err(bad("Each request needs a method and a url.")),
            }
        })
        .collect()
}

/// Puts the answers together; their order tells nothing, as at Graph.
pub(crate) fn reply(mut answers: Vec<(String, Answer)>) -> Answer {
    answers.reverse();
    let responses: Vec<Value> = answers
        .into_iter()
        .map(|(id, answer)| {
            let mut headers = json!({"Content-Type": "application/json"});
            for (name, value) in &answer.headers {
                headers[name] = value.as_str().into();
            }
            json!({"id": id, "status": answer.status, "headers": headers, "body": answer.body})
        })
        .collect();
    Answer::ok(json!({ "responses": responses }))
}
