//! Backup sets, versions and comparisons.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tp_catalog::content::VersionContent;
use tp_catalog::registry::Catalog;
use tp_domain::access::{
    Capability, DeleteBackups, DownloadBackups, StartBackupImport, ViewBackups, ViewPolicies,
};
use tp_domain::backup::{BackupItem, BackupItemState, BackupSet, BackupType};
use tp_domain::ids::{PolicyId, VersionId};
use tp_domain::json::Json as Exact;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use tp_domain::version::PolicyVersion;
use tp_store::{BackupItemFilter, BackupTally, TenantScope};

use super::{bad_value, check_session, fields, json_body, limit, page, strict};
use crate::app::App;
use crate::archives;
use crate::comparison::{self, Asked, NotCompared, Since};
use crate::contents::off_thread;
use crate::error::WebError;
use crate::extract::{Id, InTenant, RequestId};
use crate::pages::backup::{changed, read_note};
use crate::pages::version::{content, readable};

fn set_json(set: &BackupSet) -> Value {
    json!({
        "number": set.number, "id": set.id.to_string(), "state": set.state.as_str(),
        "run": set.run.to_string(), "selection": set.selection, "full_pass": set.is_full_pass,
        "note": set.note, "pinned": set.pinned,
        "created_at": set.created_at.rfc3339(),
        "completed_at": set.completed_at.map(Timestamp::rfc3339),
        "items": set.items, "failed_items": set.failed_items, "new_versions": set.new_versions,
        "revision": set.revision, "scheduled": set.scheduled, "imported_from": set.imported_from,
        "verified": set.verified.map(|seen| json!({
            "at": seen.at.rfc3339(), "run": seen.run.to_string(), "checked": seen.checked,
            "faulty": seen.faulty, "sound": seen.is_sound(),
        })),
    })
}

fn type_json(app: &App, row: &BackupType, tally: &[BackupTally]) -> Value {
    let count = |is_failed: bool| -> u64 {
        let of_type = tally.iter().filter(|one| one.policy_type == row.policy_type);
        let fits = |one: &&BackupTally| (one.state == BackupItemState::Failed) == is_failed;
        of_type.filter(fits).map(|one| one.count).sum()
    };
    json!({
        "type": row.policy_type.as_str(), "label": app.catalog.label(&row.policy_type),
        "state": row.completeness.state().as_str(),
        "reason_code": row.completeness.reason().map(ReasonCode::as_str),
        "permission": row.completeness.permission(), "listed": row.listed,
        "saved": count(false), "failed": count(true),
    })
}

fn item_json(item: &BackupItem) -> Value {
    json!({
        "type": item.policy_type.as_str(), "graph_id": item.graph_id, "name": item.name,
        "state": item.state.as_str(), "version": item.version.map(|id| id.to_string()),
        "reason_code": item.reason.map(ReasonCode::as_str),
        "graph_request_id": item.graph_request_id,
    })
}

pub(super) fn version_json(app: &App, version: &PolicyVersion) -> Value {
    json!({
        "id": version.id.to_string(), "number": version.number,
        "type": version.policy_type.as_str(), "type_label": app.catalog.label(&version.policy_type),
        "graph_id": version.graph_id, "name": version.name, "purpose": version.purpose.as_str(),
        "run": version.run.to_string(), "modified_text": version.modified_text,
        "assignments": version.assignments, "redactions": version.redactions,
        "captured_at": version.created_at.rfc3339(),
    })
}

/// A number to go on from, as `page.next` gives it.
fn before(pairs: &crate::query::Pairs) -> Result<Option<u64>, WebError> {
    let cursor = "a value of page.next from an earlier answer; leave it out for the first page";
    pairs
        .get("cursor")
        .map(|text| {
            let number = text.strip_prefix('b').and_then(|text| text.parse().ok());
            number.ok_or_else(|| bad_value("cursor", cursor))
        })
        .transpose()
}

pub(crate) async fn list(
    InTenant(scope): InTenant<ViewBackups>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &["limit", "cursor"])?;
    let limit = limit(&pairs)?;
    let mut sets = scope.backup_list(before(&pairs)?, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (sets.len() > wanted).then(|| format!("b{}", sets[wanted - 1].number));
    sets.truncate(wanted);
    let path = format!("/api/v1/tenants/{}/backups", scope.tenant().slug);
    Ok(page(sets.iter().map(set_json).collect(), next, &path, &pairs))
}

async fn shown(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    number: u64,
) -> Result<Value, WebError> {
    let set = scope.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let types = scope.backup_types(set.id).await?;
    let tally = scope.backup_tally(set.id).await?;
    let archive = scope.backup_archive(number).await?;
    let mut object = set_json(&set);
    object["archive"] = archive.map_or(Value::Null, |archive| {
        json!({
            "bytes": archive.bytes, "sha256": archive.sha256, "root": archive.root,
            "run": archive.run.map(|run| run.to_string()),
            "created_at": archive.created_at.rfc3339(), "expires_at": archive.expires_at.rfc3339(),
        })
    });
    object["types"] = types.iter().map(|row| type_json(app, row, &tally)).collect();
    Ok(object)
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewBackups>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    shown(&app, &scope, number).await.map(Json)
}

/// The archive that the latest export has made.
pub(crate) async fn download(
    InTenant(scope): InTenant<DownloadBackups>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    strict(query.as_deref(), &[])?;
    archives::send(&app, &scope, number, request_id).await
}

/// Takes an archive in, to be imported by a run.
pub(crate) async fn upload(
    InTenant(scope): InTenant<StartBackupImport>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    check_session(request.headers(), scope.actor())?;
    archives::length_is_allowed(request.headers(), 0)?;
    let body = request.into_body().into_data_stream();
    let received = archives::receive(&app, &scope, body, request_id).await?;
    let answer = json!({
        "id": received.id.to_string(), "bytes": received.bytes, "sha256": received.sha256,
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(crate) async fn items(
    InTenant(scope): InTenant<ViewBackups>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &["q", "type", "state", "limit", "cursor"])?;
    let set = scope.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let policy_type = pairs
        .get("type")
        .map(|key| {
            let known = PolicyType::new(key).ok();
            let known = known.filter(|key| app.catalog.contract(key).is_some());
            known.ok_or_else(|| bad_value("type", "a key from GET /api/v1/policy-types"))
        })
        .transpose()?;
    let states = || {
        let words: Vec<&str> = BackupItemState::ALL.iter().map(|state| state.as_str()).collect();
        words.join(", ")
    };
    let state = pairs.get("state").map(str::parse::<BackupItemState>).transpose();
    let state = state.map_err(|_| bad_value("state", &format!("one of {}", states())))?;
    let offset = match pairs.get("cursor") {
        None => 0,
        Some(text) => {
            let number = text.strip_prefix('o').and_then(|text| text.parse::<u32>().ok());
            let allowed = "a value of page.next from an earlier answer";
            number.ok_or_else(|| bad_value("cursor", allowed))?
        }
    };
    let (limit, query) = (limit(&pairs)?, pairs.get("q").map(str::to_owned));
    let filter = BackupItemFilter { query, policy_type, state, offset, limit };
    let found = scope.backup_items(set.id, &filter).await?;
    let next = found.has_more.then(|| format!("o{}", offset.saturating_add(limit)));
    let path = format!("/api/v1/tenants/{}/backups/{number}/items", scope.tenant().slug);
    Ok(page(found.items.iter().map(item_json).collect(), next, &path, &pairs))
}

/// The revision that a change is for; none for any.
fn revision(value: Option<&Value>) -> Result<Option<u64>, WebError> {
    match value {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| {
            WebError::Unreadable("revision must be the number from the set's answer.".to_owned())
        }),
    }
}

/// Sets the note and the pin; what is not named stays.
pub(crate) async fn mark(
    InTenant(scope): InTenant<DeleteBackups>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["note", "pinned", "revision"])?;
    let seen = scope.also::<ViewBackups>().await?;
    let set = seen.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let note = match map.get("note") {
        None => set.note,
        Some(Value::Null) => None,
        Some(Value::String(text)) => read_note(text)?,
        Some(_) => return Err(WebError::Unreadable("note must be a text or null.".to_owned())),
    };
    let pinned = match map.get("pinned") {
        None => set.pinned,
        Some(Value::Bool(pinned)) => *pinned,
        Some(_) => return Err(WebError::Unreadable("pinned must be true or false.".to_owned())),
    };
    let revision = revision(map.get("revision"))?;
    changed(scope.backup_mark(number, revision, note, pinned, Some(request_id)).await?)?;
    shown(&app, &seen, number).await.map(Json)
}

/// Deletes a set. The body must say its number again: a wrong address deletes nothing.
pub(crate) async fn delete(
    InTenant(scope): InTenant<DeleteBackups>,
    Id(number): Id<u64>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["confirm", "revision"])?;
    if map.get("confirm").and_then(Value::as_u64) != Some(number) {
        let detail = format!("confirm must be the set's number: {number}. Nothing was deleted.");
        return Err(WebError::Unreadable(detail));
    }
    let seen = scope.also::<ViewBackups>().await?;
    seen.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let revision = revision(map.get("revision"))?;
    changed(scope.backup_delete(number, revision, Some(request_id)).await?)?;
    Ok(Json(json!({ "deleted": number })))
}

/// The type and the Graph id of a policy that the inventory knows.
async fn policy(
    scope: &TenantScope<ViewBackups>,
    id: PolicyId,
) -> Result<(PolicyType, String), WebError> {
    let policies = scope.also::<ViewPolicies>().await?;
    let policy = policies.policy_get(id).await?.ok_or(WebError::NotFound)?;
    Ok((policy.policy_type, policy.observed.graph_id))
}

pub(crate) async fn versions(
    InTenant(scope): InTenant<ViewBackups>,
    Id(id): Id<PolicyId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &["limit", "cursor"])?;
    let (key, graph_id) = policy(&scope, id).await?;
    let limit = limit(&pairs)?;
    let mut found = scope.versions_of(&key, &graph_id, before(&pairs)?, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (found.len() > wanted).then(|| format!("b{}", found[wanted - 1].number));
    found.truncate(wanted);
    let path = format!("/api/v1/tenants/{}/policies/{id}/versions", scope.tenant().slug);
    Ok(page(found.iter().map(|one| version_json(&app, one)).collect(), next, &path, &pairs))
}

/// The version with that number of a policy.
async fn numbered(
    scope: &TenantScope<ViewBackups>,
    path: &HashMap<String, String>,
) -> Result<PolicyVersion, WebError> {
    let id = path.get("id").and_then(|text| text.parse().ok()).ok_or(WebError::NotFound)?;
    let number = path.get("number").and_then(|text| text.parse::<u64>().ok());
    let number = number.ok_or(WebError::NotFound)?;
    let (key, graph_id) = policy(scope, id).await?;
    let found = scope.versions_of(&key, &graph_id, number.checked_add(1), 1).await?;
    found.into_iter().find(|one| one.number == number).ok_or(WebError::NotFound)
}

/// The facts of a version and what it holds: JSON that keeps every number as it was written.
async fn whole(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    version: &PolicyVersion,
) -> Result<Response, WebError> {
    let held = content(app, scope, version).await?;
    let scripts = scope.may(Capability::ScriptsViewContent);
    let mut object = version_json(app, version);
    object["names"] = json!(version.names);
    let (catalog, version) = (Arc::clone(&app.catalog), version.clone());
    let text = off_thread(move || answer(&catalog, object, &version, &held, scripts)).await?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn answer(
    catalog: &Catalog,
    mut object: Value,
    version: &PolicyVersion,
    held: &VersionContent,
    scripts: bool,
) -> String {
    let contract = catalog.contract(&version.policy_type);
    let read = contract.and_then(|contract| readable(contract, version, held, scripts));
    object["redacted"] = held.found.taken.iter().map(|one| json!(one.pointer)).collect();
    object["withheld"] = if scripts {
        json!([])
    } else {
        held.found.restricted.iter().map(|at| json!(at)).collect()
    };
    object["readable"] = json!(read);
    let mut whole = Exact::from(object);
    if let Some(members) = whole.as_object_mut() {
        members.insert("payload", held.shown(scripts));
        members.insert("assignment_list", held.assignments.clone().unwrap_or_default());
    }
    whole.to_string()
}

pub(crate) async fn version_of_policy(
    InTenant(scope): InTenant<ViewBackups>,
    Path(path): Path<HashMap<String, String>>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    strict(query.as_deref(), &[])?;
    let version = numbered(&scope, &path).await?;
    whole(&app, &scope, &version).await
}

pub(crate) async fn version(
    InTenant(scope): InTenant<ViewBackups>,
    Id(id): Id<VersionId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    strict(query.as_deref(), &[])?;
    let version = scope.version_get(id).await?.ok_or(WebError::NotFound)?;
    whole(&app, &scope, &version).await
}

pub(crate) async fn compare(
    InTenant(scope): InTenant<ViewBackups>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    let pairs = strict(query.as_deref(), &["left", "right"])?;
    let side = |name: &str| {
        let asked = pairs.get(name).and_then(Asked::parse);
        asked.ok_or_else(|| bad_value(name, comparison::FORM))
    };
    let (left, right) = (side("left")?, side("right")?);
    let left = comparison::load(&app, &scope, &left).await?;
    let right = comparison::load(&app, &scope, &right).await?;
    let compared = comparison::run(&app, &left, &right).await?.map_err(|why| match why {
        NotCompared::Unreadable(fault) => WebError::Content(fault),
        NotCompared::Compare(error) => {
            WebError::BadRequest(format!("Nothing was compared: {error}."))
        }
        NotCompared::NoContract => {
            WebError::BadRequest("Nothing was compared: the type has no contract here.".to_owned())
        }
    })?;
    let mut answer = json!(compared.diff);
    answer["scripts_hidden"] = json!(compared.scripts_hidden);
    answer["across_tenants"] = json!(left.tenant.id != right.tenant.id);
    for (name, side) in [("left", &left), ("right", &right)] {
        let mut object = version_json(&app, &side.version);
        object["tenant"] = json!(side.tenant.slug.as_str());
        object["live"] = side.live.as_ref().map_or(Value::Null, |policy| {
            json!({
                "policy": policy.id.to_string(),
                "means": "the newest capture known here; nothing was read from Microsoft Graph",
                "since_capture": Since::of(policy, &side.version).as_str(),
                "last_seen_at": policy.last_seen_at.rfc3339(),
            })
        });
        answer[name] = object;
    }
    Ok(Json(answer))
}
