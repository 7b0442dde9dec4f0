//! What a policy refers to: groups, filters, scope tags, other policies (PRODUCT I-3).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use tp_catalog::content::VersionContent;
use tp_catalog::references::references;
use tp_domain::access::ViewBackups;
use tp_domain::ids::PolicyId;
use tp_domain::policy::PolicyType;

use super::backups::version_json;
use super::{bad_value, strict};
use crate::app::App;
use crate::contents::off_thread;
use crate::error::WebError;
use crate::extract::InTenant;
use crate::pages::version::content;

/// What a policy refers to, by its newest capture.
pub(crate) async fn list(
    InTenant(scope): InTenant<ViewBackups>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    let pairs = strict(query.as_deref(), &["policy"])?;
    let id: Option<PolicyId> = pairs.get("policy").and_then(|text| text.parse().ok());
    let id = id.ok_or_else(|| bad_value("policy", "the id of a policy"))?;
    let policy = scope.policy_get(id).await?.ok_or(WebError::NotFound)?;
    let Some(version) = scope.version_newest(id).await? else {
        let body = json!({"policy": id.to_string(), "version": null, "data": []});
        return Ok(Json(body));
    };
    let content = content(&app, &scope, &version).await?;
    let (catalog, of_type) = (Arc::clone(&app.catalog), policy.policy_type.clone());
    let found = off_thread(move || {
        let contract = catalog.contract(&of_type)?;
        let VersionContent { mut object, assignments, .. } = content;
        if let (Some(members), Some(assignments)) = (object.as_object_mut(), assignments) {
            members.insert("assignments", assignments);
        }
        Some(references(contract, &object))
    })
    .await?
    .unwrap_or_default();
    let mut places: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for one in found {
        places.entry((one.kind, one.id)).or_default().push(one.pointer);
    }
    let groups = scope.group_list().await?;
    let mut data = Vec::with_capacity(places.len());
    for ((kind, reference), pointers) in places {
        let here = match PolicyType::new(&kind) {
            Ok(key) => scope.policy_known(&key, &reference).await?,
            Err(_) => None,
        };
        let group = groups
            .iter()
            .find(|group| kind == "group" && group.graph_id.eq_ignore_ascii_case(&reference));
        let kept = version.names.0.get(&kind);
        let kept = kept.and_then(|names| names.get(&reference.to_lowercase())).cloned();
        let name = kept.or_else(|| group.and_then(|group| group.name.clone()));
        data.push(json!({
            "kind": kind, "id": reference, "name": name, "pointers": pointers,
            "policy": here.map(|id| id.to_string()),
            "resolved": name.is_some() || here.is_some() || group.is_some(),
        }));
    }
    let version = version_json(&app, &version);
    Ok(Json(json!({"policy": id.to_string(), "version": version, "data": data})))
}
