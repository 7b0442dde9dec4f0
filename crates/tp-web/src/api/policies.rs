//! The inventory: policies, coverage, the directory cache.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};
use tp_catalog::capabilities::capabilities;
use tp_domain::access::{Capability, ViewInventory, ViewPolicies, ViewTenant};
use tp_domain::ids::PolicyId;
use tp_domain::policy::{Policy, PolicyType};
use tp_domain::time::Timestamp;
use tp_store::{PolicyFilter, PolicySort, PolicyStateFilter};

use super::{bad_value, limit, page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{Id, InTenant};
use crate::grants::granted;

fn policy_json(app: &App, policy: &Policy) -> Value {
    let seen = &policy.observed;
    json!({
        "id": policy.id.to_string(),
        "type": policy.policy_type.as_str(),
        "type_label": app.catalog.label(&policy.policy_type),
        "graph_id": seen.graph_id, "name": seen.name, "platform": seen.platform,
        "odata_type": seen.odata_type, "assigned": seen.assigned, "scope_tags": seen.scope_tags,
        "metadata": seen.metadata,
        "created_at": seen.created_at.map(Timestamp::rfc3339),
        "modified_at": seen.modified_at.map(Timestamp::rfc3339),
        "first_seen_at": policy.first_seen_at.rfc3339(),
        "last_seen_at": policy.last_seen_at.rfc3339(),
        "last_seen_run": policy.last_seen_run.to_string(),
        "missing": policy.missing,
    })
}

pub(crate) async fn list(
    InTenant(scope): InTenant<ViewPolicies>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let allowed = ["type", "q", "platform", "missing", "sort", "limit", "cursor"];
    let pairs = strict(query.as_deref(), &allowed)?;
    let mut filter = PolicyFilter { limit: limit(&pairs)?, ..PolicyFilter::default() };
    for key in pairs.all("type") {
        let known = PolicyType::new(key).ok().filter(|key| app.catalog.contract(key).is_some());
        let known =
            known.ok_or_else(|| bad_value("type", "a key from GET /api/v1/policy-types"))?;
        filter.types.push(known);
    }
    filter.query = pairs.get("q").map(str::to_owned);
    filter.platform = pairs.get("platform").map(str::to_owned);
    filter.state = match pairs.get("missing") {
        None => PolicyStateFilter::Any,
        Some("true") => PolicyStateFilter::Missing,
        Some("false") => PolicyStateFilter::Present,
        Some(_) => return Err(bad_value("missing", "true or false")),
    };
    filter.sort = match pairs.get("sort") {
        None | Some("name") => PolicySort::Name,
        Some("-name") => PolicySort::NameDown,
        Some("modified_at") => PolicySort::Modified,
        Some("-modified_at") => PolicySort::ModifiedDown,
        Some("type") => PolicySort::Type,
        Some(_) => return Err(bad_value("sort", "name, -name, modified_at, -modified_at or type")),
    };
    filter.offset = match pairs.get("cursor") {
        None => 0,
        Some(text) => {
            text.strip_prefix("o").and_then(|text| text.parse().ok()).ok_or_else(|| {
                bad_value(
                    "cursor",
                    "a value of page.next from an earlier answer; leave it out for the first page",
                )
            })?
        }
    };
    let end = u64::from(filter.offset) + u64::from(filter.limit);
    let found = scope.policy_list(filter).await?;
    let next = (end < found.total).then(|| format!("o{end}"));
    let data = found.policies.iter().map(|policy| policy_json(&app, policy)).collect();
    let path = format!("/api/v1/tenants/{}/policies", scope.tenant().slug);
    Ok(page(data, next, &path, &pairs))
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewPolicies>,
    Id(id): Id<PolicyId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    let policy = scope.policy_get(id).await?.ok_or(WebError::NotFound)?;
    Ok(Json(policy_json(&app, &policy)))
}

pub(crate) async fn coverage(
    InTenant(scope): InTenant<ViewInventory>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let granted = if scope.may(Capability::TenantView) {
        granted(&scope.also::<ViewTenant>().await?).await?
    } else {
        None
    };
    let data = scope
        .coverage()
        .await?
        .iter()
        .map(|row| {
            let contract = app.catalog.contract(&row.policy_type);
            let can = contract.map(|contract| capabilities(contract, granted.as_deref()));
            let can = can.as_ref();
            json!({
                "type": row.policy_type.as_str(), "label": app.catalog.label(&row.policy_type),
                "state": row.completeness.state().as_str(),
                "reason_code": row.completeness.reason().map(tp_domain::reason::ReasonCode::as_str),
                "permission": row.completeness.permission(),
                "listed": row.listed, "missing": row.missing,
                "synced_at": row.synced_at.rfc3339(),
                "complete_at": row.complete_at.map(Timestamp::rfc3339),
                "backup": can.map(|can| can.backup.as_str()),
                "restore": can.map(|can| can.restore.as_str()),
                "reading": can.map(|can| can.reading.as_str()),
                "writing": can.map(|can| can.writing.as_str()),
                "missing_to_read": can.map(|can| &can.missing_to_read),
                "missing_to_write": can.map(|can| &can.missing_to_write),
            })
        })
        .collect();
    let path = format!("/api/v1/tenants/{}/coverage", scope.tenant().slug);
    Ok(page(data, None, &path, &pairs))
}

pub(crate) async fn groups(
    InTenant(scope): InTenant<ViewInventory>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &["q"])?;
    let part = pairs.get("q").map(str::to_lowercase);
    let fits = |name: Option<&str>| {
        part.as_deref()
            .is_none_or(|part| name.is_some_and(|name| name.to_lowercase().contains(part)))
    };
    let data = scope
        .group_list()
        .await?
        .iter()
        .filter(|group| fits(group.name.as_deref()))
        .map(|group| json!({"graph_id": group.graph_id, "name": group.name, "group_type": group.group_type}))
        .collect();
    let path = format!("/api/v1/tenants/{}/groups", scope.tenant().slug);
    Ok(page(data, None, &path, &pairs))
}
