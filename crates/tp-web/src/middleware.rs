//! What holds for every answer: request id, security headers, errors in the right form, limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use tp_domain::artefact::MOST_UPLOAD_BYTES;

use crate::app::App;
use crate::error::{Failure, WebError};
use crate::extract::RequestId;
use crate::{api, pages};

/// No body is larger.
pub(crate) const BODY_LIMIT: usize = 1 << 20;

/// No answer takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Nothing inline, nothing from elsewhere, no frame around us.
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                   connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", CSP),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ("x-frame-options", "DENY"),
];

/// How long an archive may take to come in. A body that stands still is cut much earlier.
const UPLOAD_DEADLINE: Duration = Duration::from_hours(1);

/// What a request may take: bytes of its body, and time until the answer.
fn bounds(method: &Method, path: &str) -> (u64, Duration) {
    let takes_archives = path.starts_with("/api/v1/tenants/") && path.ends_with("/uploads")
        || path.starts_with("/t/") && path.ends_with("/backups/import");
    if *method == Method::POST && takes_archives {
        (MOST_UPLOAD_BYTES + BODY_LIMIT as u64, UPLOAD_DEADLINE)
    } else {
        (BODY_LIMIT as u64, DEADLINE)
    }
}

/// Wraps every request.
pub(crate) async fn wrap(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId(app.ids.next().to_string());
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let from = referrer(&app, request.headers());
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let (most, deadline) = bounds(&method, &path);
    let too_large = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length > most);
    let response = if too_large {
        WebError::TooLarge.into_response()
    } else {
        // A task of its own: a client that goes away does not cut a change in half.
        let task = tokio::spawn(next.run(request));
        match tokio::time::timeout(deadline, task).await {
            Ok(Ok(response)) => response,
            Ok(Err(fault)) => {
                tracing::error!(request.id = %id.0, panicked = fault.is_panic(), "a handler stopped");
                WebError::Internal.into_response()
            }
            // What was begun may still be carried out.
            Err(_) => WebError::Overdue.into_response(),
        }
    };
    let mut response =
        render_failure(&app, response, &method, &path, &target, from.as_deref(), &id);
    finish(&app, &mut response, &path, &id);
    response
}

/// Gives an error the form that the address asks for.
fn render_failure(
    app: &App,
    response: Response,
    method: &Method,
    path: &str,
    target: &str,
    from: Option<&str>,
    id: &RequestId,
) -> Response {
    let failure = match response.extensions().get::<Failure>() {
        Some(Failure(error)) => Arc::clone(error),
        None => match response.status() {
            StatusCode::NOT_FOUND => Arc::new(WebError::NotFound),
            StatusCode::METHOD_NOT_ALLOWED => Arc::new(WebError::MethodNotAllowed),
            StatusCode::PAYLOAD_TOO_LARGE => Arc::new(WebError::TooLarge),
            _ => return response,
        },
    };
    let said = failure.said();
    tracing::debug!(request.id = %id.0, code = said.code, "request refused");
    let mut rendered = if path.starts_with("/api/") {
        api::problem::render(&failure, path, &id.0)
    } else if matches!(*failure, WebError::SignInNeeded) {
        pages::login::redirect(method, target)
    } else if matches!(*failure, WebError::ConfirmNeeded) {
        let back = if method == Method::GET { Some(target) } else { from };
        Redirect::to(&pages::account::confirm_address(back)).into_response()
    } else {
        pages::error::render(app, &said, &id.0).into_response()
    };
    if said.status == StatusCode::SERVICE_UNAVAILABLE
        || said.status == StatusCode::TOO_MANY_REQUESTS
    {
        rendered.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    rendered
}

/// The page of ours that a form was sent from.
fn referrer(app: &App, headers: &HeaderMap) -> Option<String> {
    let from = headers.get(header::REFERER)?.to_str().ok()?;
    let from = url::Url::parse(from).ok()?;
    let ours = from.origin() == app.settings.public_url.origin();
    ours.then(|| from[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

fn finish(app: &App, response: &mut Response<Body>, path: &str, id: &RequestId) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if app.is_https() {
        let value = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if !path.starts_with("/assets/") {
        let value = HeaderValue::from_static("private, no-store");
        headers.entry(header::CACHE_CONTROL).or_insert(value);
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert("x-request-id", value);
    }
}
