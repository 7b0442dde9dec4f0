//! Pages: one file each. They read the database and the payload store, never Graph.

pub(crate) mod account;
pub(crate) mod backup;
pub(crate) mod backup_archive;
pub(crate) mod backups;
pub(crate) mod compare;
pub(crate) mod connection;
pub(crate) mod consent;
pub(crate) mod coverage;
pub(crate) mod error;
pub(crate) mod invitation;
pub(crate) mod login;
pub(crate) mod login_code;
pub(crate) mod members;
pub(crate) mod notifications;
pub(crate) mod oidc;
pub(crate) mod operation;
pub(crate) mod operations;
pub(crate) mod overview;
pub(crate) mod own_sign_ins;
pub(crate) mod platform;
pub(crate) mod policies;
pub(crate) mod policy;
pub(crate) mod policy_types;
pub(crate) mod reason_codes;
pub(crate) mod restores;
pub(crate) mod schedules;
pub(crate) mod second_factor;
pub(crate) mod start_sync;
pub(crate) mod tenants;
pub(crate) mod tokens;
pub(crate) mod version;
pub(crate) mod versions;
pub(crate) mod workspace_operations;
pub(crate) mod workspaces;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use serde_json::Value;
use tp_store::IdempotencyKey;

use crate::error::WebError;
use crate::etag;

/// A part of a page for the poller: unchanged answers are 304 and nothing else.
pub(crate) fn partial(headers: &HeaderMap, body: Markup) -> Response {
    let text = body.into_string();
    let tag = etag::of(text.as_bytes());
    let mut response = if etag::is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        ([(header::CONTENT_TYPE, html)], Body::from(text)).into_response()
    };
    etag::write(response.headers_mut(), &tag);
    response
}

/// The one-time key that a form carried (see [`crate::components::layout::Shell::once`]): a form that is
/// sent twice starts one run.
pub(crate) fn one_time(key: &str, what: &Value) -> Result<IdempotencyKey, WebError> {
    let fits = (1..=100).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(WebError::BadRequest(
            "The form has no key of its own. Reload the page and try again.".to_owned(),
        ));
    }
    Ok(IdempotencyKey { key: key.to_owned(), body_hash: crate::api::runs::digest(what) })
}
