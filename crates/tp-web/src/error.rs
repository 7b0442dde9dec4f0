//! One table from what went wrong to what is said: a page for people, problem+json for the API.

use crate::contents::Unreadable;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tp_domain::access::Capability;
use tp_domain::operation::InputError;
use tp_domain::sign_in::SignInFault;
use tp_store::{Refused, StartRefused, StoreError};

/// What went wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum WebError {
    /// Nobody is signed in.
    SignInNeeded,
    /// There is no such thing for this person.
    NotFound,
    /// A member without the capability.
    Forbidden(Capability),
    /// The form or the request did not come from our own page.
    Csrf,
    /// A value of the address or of the body is not allowed; says what is.
    BadRequest(String),
    /// The body cannot be read as what it should be.
    Unreadable(String),
    /// Inputs that are not allowed, each with its place.
    Inputs(Vec<InputError>),
    /// The idempotency key belongs to another request.
    KeyReused,
    /// The thing is there already, or is not in the state that this needs.
    Conflict(String),
    /// The method is not for this address.
    MethodNotAllowed,
    /// The body is larger than the limit.
    TooLarge,
    /// Too many tries.
    TooMany,
    /// The identity provider cannot be asked.
    ProviderFault(SignInFault),
    /// The database does not answer.
    Unavailable,
    /// It took too long; whether it was carried out is not known.
    Overdue,
    /// The database has no room.
    StorageFull,
    /// What a version holds cannot be read.
    Content(Unreadable),
    /// The act weighs much, and the sign-in is not fresh.
    ConfirmNeeded,
    /// A fault of ours; the log has the rest.
    Internal,
}

/// What is said about an error.
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    /// For people: what to do next.
    pub(crate) advice: &'static str,
}

impl WebError {
    /// The table.
    #[expect(clippy::too_many_lines, reason = "one table, one row per error")]
    pub(crate) fn said(&self) -> Said {
        use StatusCode as S;
        let said = |status, code, title, detail: &str, advice| Said {
            status,
            code,
            title,
            detail: detail.to_owned(),
            advice,
        };
        match self {
            Self::SignInNeeded => said(
                S::UNAUTHORIZED,
                "sign_in_needed",
                "Sign-in needed",
                "Send a session cookie or a bearer token that starts with tpat_.",
                "Sign in.",
            ),
            Self::NotFound => said(
                S::NOT_FOUND,
                "not_found",
                "Not found",
                "There is nothing here that you can see.",
                "Check the address, or go to your tenants.",
            ),
            Self::Forbidden(capability) => said(
                S::FORBIDDEN,
                "forbidden",
                "Not permitted",
                &format!("This needs the capability {capability}."),
                "Ask an owner or a manager of the workspace.",
            ),
            Self::Csrf => said(
                S::FORBIDDEN,
                "csrf",
                "The form is out of date",
                "The request did not carry the token of your session. Nothing was changed.",
                "Go back, reload the page and try again.",
            ),
            Self::BadRequest(detail) => said(
                S::BAD_REQUEST,
                "bad_request",
                "Bad request",
                detail,
                "Correct the address, or start from the list again.",
            ),
            Self::Unreadable(detail) => said(
                S::UNPROCESSABLE_ENTITY,
                "unreadable_body",
                "The body cannot be read",
                detail,
                "Correct the request.",
            ),
            Self::Inputs(_) => said(
                S::UNPROCESSABLE_ENTITY,
                "invalid_inputs",
                "Some inputs are not allowed",
                "Nothing was written. See errors for each input.",
                "Correct the inputs.",
            ),
            Self::KeyReused => said(
                S::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "The idempotency key is taken",
                "This Idempotency-Key was used for another request within the last 24 hours.",
                "Use a new key.",
            ),
            Self::Conflict(detail) => {
                said(S::CONFLICT, "conflict", "Conflict", detail, "Choose another value.")
            }
            Self::MethodNotAllowed => said(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This address does not take that method.",
                "See /api/v1/openapi.json.",
            ),
            Self::TooLarge => said(
                S::PAYLOAD_TOO_LARGE,
                "too_large",
                "Too large",
                "The body may have at most 1,048,576 bytes. Nothing was written.",
                "Send less.",
            ),
            Self::TooMany => said(
                S::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many tries",
                "Wait a few seconds before the next try.",
                "Wait, then try again.",
            ),
            Self::ProviderFault(fault) => said(
                S::SERVICE_UNAVAILABLE,
                "provider_unavailable",
                "The identity provider cannot be asked",
                &format!("Nobody can sign in there for now ({fault}). Local accounts work."),
                "Try again in a few minutes, or tell whoever runs TenantPilot.",
            ),
            Self::Unavailable => said(
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "The database does not answer",
                "Nothing was changed. Operations that were queued continue.",
                "Try again in a few seconds.",
            ),
            Self::Overdue => said(
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "This took too long",
                "It may or may not have been carried out.",
                "Look at Operations before you try again.",
            ),
            Self::StorageFull => said(
                S::SERVICE_UNAVAILABLE,
                "storage_full",
                "The database has no room",
                "Nothing was changed.",
                "Free space on the database's disk.",
            ),
            Self::Content(fault) => said(
                S::SERVICE_UNAVAILABLE,
                fault.reason().as_str(),
                "The content cannot be read",
                fault.sentence(),
                fault.advice(),
            ),
            Self::ConfirmNeeded => said(
                S::UNAUTHORIZED,
                "reauth_required",
                "Show again who you are",
                "This weighs much, and you signed in more than ten minutes ago. Nothing was changed.",
                "Confirm with your password, then send it again.",
            ),
            Self::Internal => said(
                S::INTERNAL_SERVER_ERROR,
                "internal_error",
                "Something went wrong here",
                "TenantPilot failed at this. Operations that were queued continue.",
                "Try again. If it stays, report the request id.",
            ),
        }
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) | StoreError::Closed => Self::Unavailable,
            StoreError::Full(_) => Self::StorageFull,
            _ => {
                // The driver's own text may hold values of rows: only our words are logged (rule I-7).
                tracing::error!(error = %error, facts = error.facts(), "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<Refused> for WebError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound,
            Refused::Forbidden(capability) => Self::Forbidden(capability),
            Refused::ConfirmNeeded => Self::ConfirmNeeded,
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<StartRefused> for WebError {
    fn from(refused: StartRefused) -> Self {
        match refused {
            StartRefused::KeyReused => Self::KeyReused,
            StartRefused::Forbidden(capability) => Refused::Forbidden(capability).into(),
            StartRefused::TenantDisabled => {
                Self::Conflict("The tenant is disabled: nothing can be started.".to_owned())
            }
            StartRefused::GateClosed(gate) => {
                let until = gate
                    .expires_at
                    .map_or_else(|| "it is opened by hand".to_owned(), crate::format::absolute);
                Self::Conflict(format!(
                    "{} is stopped by {} until {until}: {}",
                    gate.kind.label(),
                    crate::format::shown(&gate.closed_by),
                    crate::format::shown(&gate.note),
                ))
            }
            StartRefused::NothingToRetry(why) => {
                Self::Conflict(format!("There is nothing to try again: {why}."))
            }
            StartRefused::Store(error) => error.into(),
        }
    }
}

/// Travels in the response until [`crate::middleware`] renders it as the address asks for.
#[derive(Clone, Debug)]
pub(crate) struct Failure(pub(crate) Arc<WebError>);

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let mut response = self.said().status.into_response();
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}
