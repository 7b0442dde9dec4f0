//! Answers in Graph's shapes.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    /// `{"error": {code, message, innerError}}`.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let id = request_id();
        let body = json!({"error": {"code": code, "message": message, "innerError": {
            "date": "2026-01-17T09:00:00", "request-id": id, "client-request-id": id,
        }}});
        Self { status, headers: Vec::new(), body }
    }

    /// Intune's habit: its own error as JSON text inside `message`.
    pub(crate) fn intune_error(status: u16, code: &str, message: &str) -> Self {
        let wrapped = json!({
            "_version": 3,
            "Message": format!("{message} - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - Activity ID: {} - Url: https://fef.msub00.manage.example/service", request_id()),
            "CustomApiErrorPhrase": "", "RetryAfter": null, "ErrorSourceService": "", "HttpHeaders": "{}",
        });
        Self::error(status, code, &wrapped.to_string())
    }

    pub(crate) fn not_found() -> Self {
        Self::error(404, "ResourceNotFound", "Resource not found for the segment.")
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::error(400, "BadRequest", message)
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As an HTTP response, with the ids that Graph sends along.
    pub(crate) fn into_response(self, client_request_id: Option<&str>) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.to_string()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let kind = "application/json;odata.metadata=minimal;odata.streaming=true;charset=utf-8";
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut put = |name: &str, value: &str| {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        };
        put("request-id", &request_id());
        if let Some(id) = client_request_id {
            put("client-request-id", id);
        }
        for (name, value) in &self.headers {
            put(name, value);
        }
        response
    }
}

/// A fresh id, as Graph gives to every answer.
pub(crate) fn request_id() -> String {
    Uuid::from_u128(rand::random::<u128>()).to_string()
}
