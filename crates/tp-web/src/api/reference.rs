//! What is fixed: reason codes and kinds.

use axum::extract::RawQuery;
use axum::response::Response;
use serde_json::json;
use tp_domain::reason::{ReasonCode, RetryClass};

use super::{page, strict};
use crate::error::WebError;
use crate::extract::SignedIn;

pub(crate) async fn reason_codes(
    SignedIn(_): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let data = ReasonCode::ALL
        .iter()
        .map(|code| {
            let text = code.text();
            json!({
                "code": code.as_str(), "message": text.sentence, "advice": text.advice,
                "retryable": text.retry == RetryClass::Transient,
                "href": format!("/docs/reason-codes/{code}"),
            })
        })
        .collect();
    Ok(page(data, None, "/api/v1/reason-codes", &pairs))
}

/// The registry of kinds (PRODUCT R-17).
pub(crate) async fn kinds(
    SignedIn(_): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let data = tp_domain::operation::OperationKind::ALL
        .iter()
        .map(|kind| {
            let facts = kind.facts();
            json!({
                "kind": kind.as_str(), "label": facts.label_en,
                "labels": {"en": facts.label_en, "de": facts.label_de},
                "description": facts.description,
                "descriptions": {"en": facts.description, "de": facts.description_de},
                "capability": facts.capability.as_str(),
                "level": if facts.level == tp_domain::operation::Level::Tenant { "tenant" } else { "workspace" },
                "unit": facts.unit, "context_keys": facts.context_keys,
                "max_attempts": facts.retry.max_attempts, "expected_seconds": facts.expected_seconds,
                "schedulable": facts.schedulable, "retry_failed": facts.retry_failed,
            })
        })
        .collect();
    Ok(page(data, None, "/api/v1/kinds", &pairs))
}
