//! What is fixed: policy types and reason codes.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::json;
use tp_catalog::capabilities::capabilities;
use tp_domain::reason::{ReasonCode, RetryClass};

use super::{page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::SignedIn;

pub(crate) async fn policy_types(
    SignedIn(_): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let data = app
        .catalog
        .iter()
        .map(|(key, contract)| {
            let can = capabilities(contract, None);
            json!({
                "key": key.as_str(), "label": contract.label, "category": contract.category,
                "platform": contract.platform, "backup": can.backup.as_str(),
                "restore": can.restore.as_str(), "risk": can.risk.as_str(),
                "permissions": {"read": contract.permissions.read, "write": contract.permissions.write},
                "app_only": !contract.permissions.delegated_only,
                "app_only_writable": can.app_only_writable, "foundation": contract.is_foundation(),
            })
        })
        .collect();
    Ok(page(data, None, "/api/v1/policy-types", &pairs))
}

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
                "description": facts.description, "capability": facts.capability.as_str(),
                "level": if facts.level == tp_domain::operation::Level::Tenant { "tenant" } else { "workspace" },
                "unit": facts.unit, "context_keys": facts.context_keys,
                "max_attempts": facts.retry.max_attempts, "expected_seconds": facts.expected_seconds,
                "schedulable": facts.schedulable, "retry_failed": facts.retry_failed,
            })
        })
        .collect();
    Ok(page(data, None, "/api/v1/kinds", &pairs))
}
