//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::WebError;

pub(crate) fn render(error: &WebError, path: &str, request_id: &str) -> Response {
    let said = error.said();
    let errors: Vec<Value> = match error {
        WebError::Inputs(inputs) => inputs
            .iter()
            .map(|input| json!({"pointer": format!("/inputs{}", input.pointer), "detail": input.detail}))
            .collect(),
        _ => Vec::new(),
    };
    // What is not there and what is somebody else's are told alike; the address is the caller's own.
    let body = json!({
        "type": "about:blank", "title": said.title, "status": said.status.as_u16(),
        "detail": said.detail, "instance": path, "code": said.code, "request_id": request_id,
        "errors": errors,
    });
    let mut response = (said.status, Json(body)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if said.status.as_u16() == 401 {
        let value = HeaderValue::from_static("Bearer realm=\"tenantpilot\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
