//! Restores: a draft, its preview, the confirm, and what came of it (INTERFACE §4).

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tp_domain::access::{ApproveRestore, ExecuteRestores, PreviewRestore, StartRestorePreview};
use tp_domain::ids::RestoreId;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::{RestoreDraft, RestoreSource};
use tp_domain::restore::outcome::RestoreItem;
use tp_domain::restore::plan::{FrozenPlan, PlanHash, PlanNode};
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::restore::record::{RestoreRecord, Who};
use tp_domain::time::Timestamp;
use tp_store::{Confirm, Confirmed, HowStarted, IdempotencyKey, RestoreRefused, TenantScope};

use super::{fields, json_body, page, runs, strict};
use crate::app::App;
use crate::contents;
use crate::error::WebError;
use crate::extract::{Id, InTenant, RequestId};

/// Why a restore did not go on, as an error that says what to do.
pub(crate) fn refused(refused: RestoreRefused) -> WebError {
    let conflict = |text: &str| WebError::Conflict(text.to_owned());
    match refused {
        RestoreRefused::NotFound => WebError::NotFound,
        RestoreRefused::WrongState(state) => WebError::Conflict(format!(
            "The restore is {}: this does not follow.",
            state.as_str().replace('_', " ")
        )),
        RestoreRefused::PlanChanged => {
            conflict("The plan is not the one that you saw. Look at it again.")
        }
        RestoreRefused::PlanExpired => {
            conflict("The plan is older than 30 minutes. Make a new preview.")
        }
        RestoreRefused::Blockers(count) => WebError::Conflict(format!(
            "{count} objects are blocked. Leave them out, or put right what stands in the way, and make a new preview."
        )),
        RestoreRefused::NothingToDo => {
            conflict("Everything is as it shall be: there is nothing to write.")
        }
        RestoreRefused::BadPlan(why) => {
            WebError::Conflict(format!("The plan cannot be carried out: {why}."))
        }
        RestoreRefused::WrongDomain => WebError::BadRequest(
            "What was typed is not the tenant's domain. Nothing was changed.".to_owned(),
        ),
        RestoreRefused::BadReason => {
            WebError::BadRequest("reason must have 1 to 900 characters.".to_owned())
        }
        RestoreRefused::SamePerson => conflict("Whoever confirmed it cannot be the second person."),
        RestoreRefused::TenantDisabled => {
            conflict("The tenant is disabled: nothing can be restored.")
        }
        RestoreRefused::GateClosed(gate) => WebError::Conflict(format!(
            "{} is stopped by {}: {}",
            gate.kind.label(),
            crate::format::shown(&gate.closed_by),
            crate::format::shown(&gate.note)
        )),
        RestoreRefused::KeyReused => WebError::KeyReused,
        RestoreRefused::Store(error) => error.into(),
    }
}

fn who(who: Option<&Who>) -> Value {
    who.map_or(
        Value::Null,
        |who| json!({"id": who.id.to_string(), "name": who.name, "at": who.at.rfc3339()}),
    )
}

fn record_json(record: &RestoreRecord) -> Value {
    json!({
        "id": record.id.to_string(), "state": record.state.as_str(),
        "draft": record.draft.as_ref().map(RestoreDraft::json),
        "second_approver": record.second_approver, "reason": record.reason,
        "created": who(Some(&record.created)), "confirmed": who(record.confirmed.as_ref()),
        "approved": who(record.approved.as_ref()),
        "plan_hash": record.plan.as_ref().map(|(hash, _)| hash.as_str()),
        "plan_expires_at": record.plan.as_ref().map(|(_, at)| at.rfc3339()),
        "preview_run": record.preview.as_ref().map(|(_, run)| run.to_string()),
        "run": record.run.map(|run| run.to_string()), "revision": record.revision,
    })
}

fn node_json(app: &App, node: &PlanNode, found: Option<&Value>) -> Value {
    let mut object = json!({
        "key": node.key, "type": node.policy_type.as_str(),
        "type_label": app.catalog.label(&node.policy_type), "name": node.name,
        "action": node.action.as_str(),
        "reason_code": node.action.blocker().map(ReasonCode::as_str),
        "graph_id": node.base.as_ref().map(|base| base.graph_id.as_str()),
    });
    let members = ["diff", "reach", "lacking", "mapped", "namesakes", "permissions", "version"];
    for member in members {
        object[member] = found.and_then(|found| found.get(member)).cloned().unwrap_or_default();
    }
    object
}

fn item_json(item: &RestoreItem) -> Value {
    let result = item.result.as_ref();
    json!({
        "key": item.key, "type": item.policy_type.as_str(), "name": item.name, "action": item.action,
        "outcome": result.map(|one| one.outcome.as_str()),
        "reason_code": result.and_then(|one| one.reason).map(ReasonCode::as_str),
        "half_done": result.is_some_and(|one| one.half_done),
        "graph_id": result.and_then(|one| one.graph_id.clone()),
        "differences": result.map(|one| one.differences.clone()).unwrap_or_default(),
        "safety_version": item.safety.as_ref().map(|at| at.id.clone()),
        "completed_at": item.completed_at.map(Timestamp::rfc3339),
    })
}

/// What the preview has found, by the node's key; empty where it cannot be read.
pub(crate) async fn found(
    app: &App,
    scope: &TenantScope<PreviewRestore>,
    record: &RestoreRecord,
) -> Result<serde_json::Map<String, Value>, WebError> {
    let Some((address, _)) = record.preview else { return Ok(serde_json::Map::new()) };
    let seen = scope.also().await?;
    let read = contents::preview(app, &seen, address).await?;
    let read = read.ok().map(|json| Value::from(&json)).unwrap_or_default();
    let nodes = read.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let named = nodes.into_iter().filter_map(|node| {
        let key = node.get("key")?.as_str()?.to_owned();
        Some((key, node))
    });
    Ok(named.collect())
}

async fn shown(
    app: &App,
    scope: &TenantScope<PreviewRestore>,
    id: RestoreId,
) -> Result<Value, WebError> {
    let record = scope.restore_get(id).await?.ok_or(WebError::NotFound)?;
    let plan = scope.restore_plan(id).await?;
    let found = found(app, scope, &record).await?;
    let nodes = |plan: &FrozenPlan| -> Vec<Value> {
        let nodes = plan.plan().nodes.iter();
        nodes.map(|node| node_json(app, node, found.get(&node.key))).collect()
    };
    let mut object = record_json(&record);
    object["plan"] = plan.as_ref().map_or(Value::Null, |plan| {
        json!({"actions": plan.plan().actions(), "stop_on_failure": plan.plan().stop_on_failure,
               "nodes": nodes(plan)})
    });
    object["items"] = scope.restore_items(id).await?.iter().map(item_json).collect();
    Ok(object)
}

/// Begins a restore of a source that is there, and says that the set is needed.
pub(crate) async fn begin(
    scope: &TenantScope<PreviewRestore>,
    draft: &RestoreDraft,
    request: String,
) -> Result<RestoreId, WebError> {
    // The door of the source's own tenant decides whether its backups may be seen.
    let own = scope.tenant().id;
    let source = draft.source_tenant.unwrap_or(own);
    let seen = scope.also_in::<tp_domain::access::ViewBackups>(source).await?;
    match &draft.source {
        RestoreSource::Backup(number) => {
            seen.backup_get(*number).await?.ok_or(WebError::NotFound)?;
        }
        RestoreSource::Versions(ids) => {
            for id in ids {
                seen.version_get(*id).await?.ok_or(WebError::NotFound)?;
            }
        }
    }
    let id = scope.restore_create(draft, Some(request)).await?;
    if let RestoreSource::Backup(number) = draft.source
        && source == own
        && !scope.backup_hold(number, id).await?
    {
        return Err(WebError::NotFound);
    }
    Ok(id)
}

/// Starts the run that makes the preview.
pub(crate) async fn preview(
    app: &App,
    scope: &TenantScope<PreviewRestore>,
    id: RestoreId,
    request: String,
) -> Result<tp_store::Started, WebError> {
    let start = scope.also::<StartRestorePreview>().await?;
    let how = HowStarted { idempotency: None, request_id: Some(request) };
    Ok(app.starter.start(&start, &MakeRestorePreview { restore: id }, how).await?)
}

pub(crate) async fn list(
    InTenant(scope): InTenant<PreviewRestore>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let data = scope.restore_list().await?.iter().map(record_json).collect();
    let path = format!("/api/v1/tenants/{}/restores", scope.tenant().slug);
    Ok(page(data, None, &path, &pairs))
}

/// Begins a restore and starts its preview.
pub(crate) async fn create(
    InTenant(scope): InTenant<PreviewRestore>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let draft = RestoreDraft::parse(&body).map_err(WebError::Inputs)?;
    let id = begin(&scope, &draft, request_id.clone()).await?;
    let started = preview(&app, &scope, id, request_id).await?;
    let mut object = shown(&app, &scope, id).await?;
    object["preview_run"] = json!(started.run().id.to_string());
    let mut response = (StatusCode::CREATED, Json(object)).into_response();
    let href = format!("/api/v1/tenants/{}/restores/{id}", scope.tenant().slug);
    if let Ok(value) = HeaderValue::from_str(&href) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

pub(crate) async fn show(
    InTenant(scope): InTenant<PreviewRestore>,
    Id(id): Id<RestoreId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    shown(&app, &scope, id).await.map(Json)
}

/// Makes the preview anew: what is there may have changed.
pub(crate) async fn preview_again(
    InTenant(scope): InTenant<PreviewRestore>,
    Id(id): Id<RestoreId>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    scope.restore_get(id).await?.ok_or(WebError::NotFound)?;
    let started = preview(&app, &scope, id, request_id).await?;
    Ok(Json(json!({ "run": started.run().id.to_string() })))
}

pub(crate) async fn discard(
    InTenant(scope): InTenant<PreviewRestore>,
    Id(id): Id<RestoreId>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    scope.restore_discard(id, Some(request_id)).await.map_err(refused)?;
    shown(&app, &scope, id).await.map(Json)
}

/// What a confirm has led to, in words for programs.
fn confirmed_json(confirmed: &Confirmed) -> Value {
    match confirmed {
        Confirmed::Run(started) => {
            json!({"run": started.run().id.to_string(), "awaits_approver": false})
        }
        Confirmed::AwaitsApprover => json!({"run": null, "awaits_approver": true}),
    }
}

pub(crate) async fn confirm(
    InTenant(scope): InTenant<ExecuteRestores>,
    Id(id): Id<RestoreId>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let key = runs::idempotency_key(request.headers())?;
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["plan_hash", "confirm", "reason"])?;
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let idempotency = key.map(|key| IdempotencyKey { key, body_hash: runs::digest(&body) });
    let confirm = Confirm {
        plan_hash: hash(text("plan_hash"))?,
        typed_domain: text("confirm").to_owned(),
        reason: text("reason").to_owned(),
    };
    let how = HowStarted { idempotency, request_id: Some(request_id) };
    let confirmed = scope.restore_confirm(id, confirm, how).await.map_err(refused)?;
    Ok(Json(confirmed_json(&confirmed)))
}

/// Reads the hash of a plan.
pub(crate) fn hash(text: &str) -> Result<PlanHash, WebError> {
    text.parse().map_err(|_| {
        WebError::BadRequest("plan_hash must be the hash of the plan that you saw.".to_owned())
    })
}

pub(crate) async fn approve(
    InTenant(scope): InTenant<ApproveRestore>,
    Id(id): Id<RestoreId>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["plan_hash"])?;
    let plan = hash(map.get("plan_hash").and_then(Value::as_str).unwrap_or_default())?;
    let started = scope.restore_approve(id, plan, Some(request_id)).await.map_err(refused)?;
    Ok(Json(json!({ "run": started.run().id.to_string() })))
}

/// Does again what failed.
pub(crate) async fn retry(
    InTenant(scope): InTenant<ExecuteRestores>,
    Id(id): Id<RestoreId>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    let how = HowStarted { idempotency: None, request_id: Some(request_id) };
    let started = scope.restore_retry(id, how).await.map_err(refused)?;
    Ok(Json(json!({ "run": started.run().id.to_string() })))
}
