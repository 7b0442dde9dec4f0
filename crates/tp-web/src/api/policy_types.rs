//! Policy types: what can be done with them, and what works in a tenant (PRODUCT G-2).

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};
use tp_catalog::capabilities::{Capabilities, Works, capabilities};
use tp_catalog::contract::Contract;
use tp_catalog::permissions::{Needed, missing};
use tp_domain::access::ViewTenant;
use tp_domain::policy::PolicyType;

use super::{bad_value, page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{InTenant, SignedIn};
use crate::grants::granted;
use crate::query::Pairs;

const FILTERS: [&str; 4] = ["q", "category", "backup", "restore"];

pub(crate) async fn list(
    SignedIn(_): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &FILTERS)?;
    let data = wanted(&app, &pairs)?.map(|(contract, can)| entry(contract, &can)).collect();
    Ok(page(data, None, "/api/v1/policy-types", &pairs))
}

pub(crate) async fn show(
    SignedIn(_): SignedIn,
    Path(key): Path<String>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    let contract = find(&app, &key).ok_or(WebError::NotFound)?;
    let mut entry = entry(contract, &capabilities(contract, None));
    let quirks = contract.quirks.iter();
    let secrets = contract.secrets.iter().map(|secret| secret.at.as_str());
    entry["api_version"] = json!(contract.api_version.segment());
    entry["address"] = json!(contract.list.path);
    entry["throttle"] = json!(contract.throttle.as_str());
    entry["requests_per_policy"] = json!(contract.reading().requests_per_object());
    entry["assignments"] = json!(contract.assignments.is_some());
    entry["assignment_filters"] = json!(contract.assignments.as_ref().is_some_and(|a| a.filters));
    entry["secrets"] = secrets.collect();
    entry["quirks"] =
        quirks.map(|quirk| json!({"fact": quirk.fact, "source": quirk.source})).collect();
    Ok(Json(entry))
}

pub(crate) async fn list_tenant(
    InTenant(scope): InTenant<ViewTenant>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &FILTERS)?;
    let granted = granted(&scope).await?;
    let data = wanted(&app, &pairs)?
        .map(|(contract, _)| {
            let can = capabilities(contract, granted.as_deref());
            let mut entry = entry(contract, &can);
            entry["in_tenant"] =
                json!({"reading": works(&can.reading), "writing": works(&can.writing)});
            entry
        })
        .collect();
    let path = format!("/api/v1/tenants/{}/policy-types", scope.tenant().slug);
    Ok(page(data, None, &path, &pairs))
}

/// What the app of a tenant needs, what it lacks and what is more than needed (ruling 40).
pub(crate) async fn permissions(
    InTenant(scope): InTenant<ViewTenant>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    let needed = Needed::of_all(&app.catalog);
    let (read, write): (Vec<String>, Vec<String>) =
        (needed.read.iter().cloned().collect(), needed.write.iter().cloned().collect());
    let granted = granted(&scope).await?;
    let lacks = |needed: &[String]| granted.as_deref().map(|granted| missing(needed, granted));
    let excess: Option<Vec<Value>> = granted.as_deref().map(|granted| {
        let all = needed.excess(granted).into_iter();
        all.map(|excess| json!({"permission": excess.permission, "advice": excess.sentence()}))
            .collect()
    });
    Ok(Json(json!({
        "checked": granted.is_some(), "granted": granted,
        "needed": {"read": read, "write": write},
        "missing": {"read": lacks(&read), "write": lacks(&write)}, "more_than_needed": excess,
    })))
}

/// The contract of a key that somebody sent.
pub(crate) fn find<'a>(app: &'a App, key: &str) -> Option<&'a Contract> {
    PolicyType::new(key).ok().and_then(|key| app.catalog.contract(&key))
}

fn wanted<'a>(
    app: &'a App,
    pairs: &Pairs,
) -> Result<impl Iterator<Item = (&'a Contract, Capabilities)>, WebError> {
    let words = [
        ("backup", &["full", "metadata", "none"][..]),
        ("restore", &["enabled", "preview_only", "unsupported"][..]),
    ];
    for (name, allowed) in words {
        if pairs.get(name).is_some_and(|word| !allowed.contains(&word)) {
            return Err(bad_value(name, &allowed.join(", ")));
        }
    }
    let pairs = pairs.clone();
    let all = app.catalog.iter().map(|(_, contract)| (contract, capabilities(contract, None)));
    Ok(all.filter(move |(contract, can)| is_wanted(contract, can, &pairs)))
}

/// Whether a type passes the filters; unknown words pass none.
pub(crate) fn is_wanted(contract: &Contract, can: &Capabilities, pairs: &Pairs) -> bool {
    let is = |name: &str, word: &str| pairs.get(name).is_none_or(|wanted| wanted == word);
    let named = pairs.get("q").is_none_or(|part| {
        let part = part.to_lowercase();
        contract.label.to_lowercase().contains(&part) || contract.key.to_lowercase().contains(&part)
    });
    named
        && is("category", &contract.category)
        && is("backup", can.backup.as_str())
        && is("restore", can.restore.as_str())
}

fn works(works: &Works) -> Value {
    json!({"state": works.as_str(), "missing": works.missing(), "text": works.words()})
}

fn entry(contract: &Contract, can: &Capabilities) -> Value {
    let permissions = &contract.permissions;
    json!({
        "key": contract.key, "label": contract.label, "category": contract.category,
        "platform": contract.platform, "backup": can.backup.as_str(),
        "restore": can.restore.as_str(), "risk": can.risk.as_str(),
        "reason": contract.restore.reason,
        "permissions": {"read": permissions.read, "write": permissions.write, "reveal": can.to_reveal},
        "app_only": !permissions.delegated_only,
        "app_only_writable": can.app_only_writable,
        "app_write": {"state": can.app_write.as_str(), "why": can.app_write.why()},
        "dependencies": can.dependencies, "limits": can.limits,
        "foundation": contract.is_foundation(),
        "href": format!("/api/v1/policy-types/{}", contract.key),
    })
}
