//! Pages: one file each. They read the database and nothing else.

pub(crate) mod error;
pub(crate) mod login;
pub(crate) mod notifications;
pub(crate) mod operation;
pub(crate) mod operations;
pub(crate) mod overview;
pub(crate) mod platform;
pub(crate) mod policies;
pub(crate) mod policy;
pub(crate) mod policy_types;
pub(crate) mod reason_codes;
pub(crate) mod schedules;
pub(crate) mod start_sync;
pub(crate) mod tenants;
pub(crate) mod workspace_operations;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use sha2::{Digest as _, Sha256};
use tp_domain::hex::hex;

/// A part of a page for the poller: unchanged answers are 304 and nothing else.
pub(crate) fn partial(headers: &HeaderMap, body: Markup) -> Response {
    let text = body.into_string();
    let digest = hex(&Sha256::digest(text.as_bytes())[..16]);
    let etag = format!("\"{digest}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag))
    {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        ([(header::CONTENT_TYPE, html)], Body::from(text)).into_response()
    };
    if let Ok(value) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    let revalidate = HeaderValue::from_static("private, no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, revalidate);
    response
}
