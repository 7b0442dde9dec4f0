//! The JSON API `/api/v1`: the same words as pages and the command line.

pub(crate) mod backups;
pub(crate) mod connections;
pub(crate) mod dependencies;
pub(crate) mod me;
pub(crate) mod members;
pub(crate) mod openapi;
mod openapi_backups;
pub(crate) mod policies;
pub(crate) mod policy_types;
pub(crate) mod problem;
pub(crate) mod reference;
pub(crate) mod restores;
pub(crate) mod run_json;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod system;
pub(crate) mod tenants;
pub(crate) mod workspaces;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::csrf;
use crate::error::WebError;
use crate::extract::read_body;
use crate::query::Pairs;

/// Reads a query strictly: an unknown parameter is an error that names the known ones.
pub(crate) fn strict(query: Option<&str>, allowed: &[&str]) -> Result<Pairs, WebError> {
    let pairs = Pairs::parse(query);
    match pairs.0.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
        None => Ok(pairs),
        Some(_) if allowed.is_empty() => {
            Err(WebError::BadRequest("This address takes no query parameters.".to_owned()))
        }
        Some((name, _)) => Err(WebError::BadRequest(format!(
            "Unknown query parameter {}. Allowed: {}.",
            crate::format::shown(&name.chars().take(100).collect::<String>()),
            allowed.join(", ")
        ))),
    }
}

/// A value of a query parameter that is none of the allowed ones.
pub(crate) fn bad_value(name: &str, allowed: &str) -> WebError {
    WebError::BadRequest(format!("{name} must be {allowed}."))
}

/// `limit`, 1 to 200; 50 without a word.
pub(crate) fn limit(pairs: &Pairs) -> Result<u32, WebError> {
    match pairs.get("limit") {
        None => Ok(50),
        Some(text) => match text.parse() {
            Ok(limit @ 1..=200) => Ok(limit),
            _ => Err(bad_value("limit", "a number from 1 to 200")),
        },
    }
}

/// A page of a list, with a Link header to the next.
pub(crate) fn page(data: Vec<Value>, next: Option<String>, path: &str, pairs: &Pairs) -> Response {
    let has_more = next.is_some();
    let link = next.as_deref().map(|next| pairs.with("cursor", next).link(path));
    let body = json!({"data": data, "page": {"next": next, "has_more": has_more}});
    let mut response = Json(body).into_response();
    let link = link.and_then(|link| HeaderValue::from_str(&format!("<{link}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// Reads a JSON body of a change. A session must show its token in `X-CSRF-Token`; a bearer token needs
/// none. Anything but JSON is refused, so that no form of another site can carry it.
pub(crate) async fn json_body(
    request: Request,
    actor: &tp_store::Actor,
) -> Result<Value, WebError> {
    check_origin(request.headers(), actor)?;
    let bytes = read_body(request).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        WebError::Unreadable(format!("The body is not JSON: line {line}, column {column}."))
    })
}

/// A session must show its token: the browser sends the cookie by itself.
pub(crate) fn check_session(headers: &HeaderMap, actor: &tp_store::Actor) -> Result<(), WebError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(expected) = actor.csrf() {
        let given = text("x-csrf-token").unwrap_or_default();
        if !csrf::same_origin(headers) || !csrf::same(given, expected) {
            return Err(WebError::Csrf);
        }
    }
    Ok(())
}

fn check_origin(headers: &HeaderMap, actor: &tp_store::Actor) -> Result<(), WebError> {
    check_session(headers, actor)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) == Some("application/json") {
        Ok(())
    } else {
        Err(WebError::Unreadable("Send JSON with Content-Type: application/json.".to_owned()))
    }
}

/// The fields of a JSON object; an unknown one is an error that names the known ones.
pub(crate) fn fields<'v>(
    value: &'v Value,
    allowed: &'static [&'static str],
) -> Result<&'v serde_json::Map<String, Value>, WebError> {
    let Value::Object(map) = value else {
        return Err(WebError::Unreadable("The body must be a JSON object.".to_owned()));
    };
    match map.keys().find(|key| !allowed.contains(&key.as_str())) {
        None => Ok(map),
        Some(_) => Err(WebError::Unreadable(format!(
            "The body has an unknown field. Allowed: {}.",
            allowed.join(", ")
        ))),
    }
}

/// The address that people use, for links in answers.
pub(crate) fn absolute(app: &App, path: &str) -> String {
    format!("{}{path}", app.settings.public_url.as_str().trim_end_matches('/'))
}
