//! Answers in Graph's shapes.

use axum::body::Body as HttpBody;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;charset=utf-8";

/// What an answer carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// As with 204.
    Nothing,
    Json(Value),
    /// Bytes as they are, with their content type: images, text, and what faults make of JSON.
    Raw(Vec<u8>, &'static str),
}

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Body::Json(body) }
    }

    pub(crate) fn nothing(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Nothing }
    }

    pub(crate) fn raw(bytes: Vec<u8>, kind: &'static str) -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Raw(bytes, kind) }
    }

    /// `{"error": {code, message, innerError}}`.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let id = request_id();
        let body = json!({"error": {"code": code, "message": message, "innerError": {
            "date": "2026-01-17T09:00:00", "request-id": id, "client-request-id": id,
        }}});
        Self::json(status, body)
    }

    /// Intune's habit: its own error as JSON text inside `message`.
    pub(crate) fn intune_error(status: u16, code: &str, message: &str) -> Self {
        Self::error(status, code, &intune_text(message))
    }

    pub(crate) fn not_found() -> Self {
        Self::error(404, "ResourceNotFound", "Resource not found for the segment.")
    }

    /// A path that is in the metadata and not in the service.
    pub(crate) fn no_route() -> Self {
        Self::bad_request("No method match route template")
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::error(400, "BadRequest", message)
    }

    /// A body that Intune's model does not take.
    pub(crate) fn bad_model(message: &str) -> Self {
        Self::intune_error(400, "ModelValidationFailure", message)
    }

    pub(crate) fn not_allowed() -> Self {
        Self::error(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The JSON that it carries.
    pub(crate) fn value_mut(&mut self) -> Option<&mut Value> {
        match &mut self.body {
            Body::Json(value) => Some(value),
            _ => None,
        }
    }

    /// As an item of a batch: JSON as it is, other content as base64 text (PROTOCOL §3). Broken JSON
    /// of a fault is put in as it is, and breaks the whole.
    pub(crate) fn into_item(self, id: &str) -> Vec<u8> {
        let mut headers = json!({});
        let (kind, body) = match self.body {
            Body::Nothing => (None, None),
            Body::Json(value) => (Some("application/json"), Some(value.to_string().into_bytes())),
            Body::Raw(bytes, kind) if kind == JSON => (Some("application/json"), Some(bytes)),
            Body::Raw(bytes, kind) => {
                (Some(kind), Some(Value::String(STANDARD.encode(bytes)).to_string().into_bytes()))
            }
        };
        if let Some(kind) = kind {
            headers["Content-Type"] = kind.into();
        }
        for (name, value) in &self.headers {
            headers[name] = value.as_str().into();
        }
        let mut text = format!(
            "{{\"id\":{},\"status\":{},\"headers\":{headers}",
            Value::from(id),
            self.status
        )
        .into_bytes();
        if let Some(body) = body {
            text.extend_from_slice(b",\"body\":");
            text.extend_from_slice(&body);
        }
        text.push(b'}');
        text
    }

    /// As an HTTP response, with the ids that Graph sends along.
    pub(crate) fn into_response(self, client_request_id: Option<&str>) -> Response<HttpBody> {
        let (bytes, kind) = match self.body {
            Body::Nothing => (Vec::new(), None),
            Body::Json(value) => (value.to_string().into_bytes(), Some(JSON)),
            Body::Raw(bytes, kind) => (bytes, Some(kind)),
        };
        let mut response = Response::new(HttpBody::from(bytes));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
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

    /// JSON text that need not be JSON, for faults.
    pub(crate) fn json_text(bytes: Vec<u8>) -> Self {
        Self::raw(bytes, JSON)
    }
}

/// Intune's own error as text.
pub(crate) fn intune_text(message: &str) -> String {
    json!({
        "_version": 3,
        "Message": format!("{message} - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - Activity ID: {} - Url: https://fef.msub00.manage.example/service", request_id()),
        "CustomApiErrorPhrase": "", "RetryAfter": null, "ErrorSourceService": "", "HttpHeaders": "{}",
    })
    .to_string()
}

/// A fresh id, as Graph gives to every answer.
pub(crate) fn request_id() -> String {
    Uuid::from_u128(rand::random::<u128>()).to_string()
}
