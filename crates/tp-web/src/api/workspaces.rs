//! The workspace itself: its runs, settings, gates, and whether work is moving.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tp_domain::access::{
    CancelOperations, ManageSettings, StartRunsPrune, ViewOperations, ViewSettings,
};
use tp_domain::gate::{Gate, GateReach};
use tp_domain::ids::RunId;
use tp_domain::operation::{Level, OperationKind};
use tp_domain::runs_prune::PruneRuns;
use tp_domain::time::Timestamp;
use tp_store::{NewGate, RunCursor, Started, WorkspaceSettings};

use super::run_json::{item_json, run_json};
use super::runs::{self, filter, item_filter};
use super::{fields, json_body, page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{Id, InWorkspace, RequestId};
use crate::pages::operation::again::start_again_in_workspace;
use crate::pages::platform::{gate_kind, read_settings};

pub(crate) async fn run_list(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let (filter, pairs) = filter(query.as_deref())?;
    let found = scope.run_list(filter).await?;
    let data = found.runs.iter().map(|run| run_json(&app, run, None, None, false)).collect();
    let path = format!("/api/v1/workspaces/{}/runs", scope.id());
    Ok(page(data, found.next.map(RunCursor::encode), &path, &pairs))
}

pub(crate) async fn run_show(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: axum::http::HeaderMap,
) -> Result<Response, WebError> {
    strict(query.as_deref(), &[])?;
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let mut object = run_json(&app, &run, None, None, false);
    object["children"] = scope.run_children(id).await?.iter().map(child_json).collect();
    Ok(runs::polled(&run, &headers, object))
}

fn child_json(child: &tp_store::Child) -> Value {
    json!({
        "tenant": child.tenant.map(|id| id.to_string()), "kind": child.kind, "wave": child.wave,
        "state": child.state.as_str(), "run": child.run.map(|id| id.to_string()),
        "reason_code": child.reason.map(tp_domain::reason::ReasonCode::as_str),
    })
}

pub(crate) async fn run_items(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let (filter, pairs) = item_filter(query.as_deref())?;
    scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let items = scope.run_items(id, filter).await?;
    let path = format!("/api/v1/workspaces/{}/runs/{id}/items", scope.id());
    let next = runs::next_items(&items, filter);
    Ok(page(items.iter().map(item_json).collect(), next, &path, &pairs))
}

/// Starts a kind of the workspace. Each kind enters through its own door (ruling 4).
pub(crate) async fn run_start(
    InWorkspace(seen): InWorkspace<ViewOperations>,
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let asked = runs::asked(request, seen.actor(), id, Level::Workspace).await?;
    match asked.kind {
        OperationKind::RunsPrune => {
            let scope = app.store.enter_workspace::<StartRunsPrune>(seen.actor(), seen.id());
            let scope = scope.await?;
            let request = PruneRuns::parse(&asked.inputs).map_err(WebError::Inputs)?;
            let started = app.starter.start_in_workspace(&scope, &request, asked.how).await?;
            Ok(answer(&app, &started))
        }
        OperationKind::InventorySync
        | OperationKind::BackupCreate
        | OperationKind::BackupVerify
        | OperationKind::BackupExport
        | OperationKind::BackupImport
        | OperationKind::BackupRetention
        | OperationKind::PolicyCapture
        | OperationKind::DirectoryGroupsSync
        | OperationKind::PayloadsPrune
        | OperationKind::ConnectionVerify
        | OperationKind::RestorePreview
        | OperationKind::RestoreExecute => {
            Err(runs::not_here("is a kind of a tenant: POST /api/v1/tenants/{tenant}/runs"))
        }
        OperationKind::ScheduleExecute => {
            Err(runs::not_here("is not started here: it belongs to its schedule"))
        }
    }
}

fn answer(app: &App, started: &Started) -> Response {
    let run = started.run();
    let href = format!("/api/v1/workspaces/{}/runs/{}", run.workspace, run.id);
    runs::started(started, run_json(app, run, None, None, !runs::is_new(started)), &href)
}

pub(crate) async fn run_cancel(
    InWorkspace(scope): InWorkspace<CancelOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    let answer = scope.run_cancel(id, Some(request_id)).await?.ok_or(WebError::NotFound)?;
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    runs::canceled(answer, run_json(&app, &run, None, None, false))
}

/// Does a run again. Each kind enters through its own door (ruling 4).
pub(crate) async fn run_retry(
    InWorkspace(seen): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let (only, how) = runs::retry_asked(request, seen.actor(), request_id, id).await?;
    let (actor, workspace) = (seen.actor(), seen.id());
    let started = start_again_in_workspace(&app, actor, workspace, id, only, how).await?;
    Ok(answer(&app, &started))
}

fn settings_json(settings: WorkspaceSettings) -> Value {
    json!({"retention_days": settings.retention.as_days(), "max_running": settings.max_running})
}

pub(crate) async fn settings_show(
    InWorkspace(scope): InWorkspace<ViewSettings>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    Ok(Json(settings_json(scope.settings().await?)))
}

pub(crate) async fn settings_set(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["retention_days", "max_running"])?;
    let old = scope.settings().await?;
    let number = |name: &str, old: u32| match map.get(name) {
        None => Some(old),
        Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let days = number("retention_days", old.retention.as_days());
    let settings = read_settings(days, number("max_running", old.max_running))?;
    scope.settings_set(settings).await?;
    Ok(Json(settings_json(settings)))
}

fn gate_json(gate: &Gate) -> Value {
    json!({
        "kind": gate.kind.as_str(), "label": gate.kind.label(),
        "reach": if gate.reach == GateReach::Everywhere { "everywhere" } else { "workspace" },
        "note": gate.note, "closed_by": gate.closed_by, "closed_at": gate.closed_at.rfc3339(),
        "expires_at": gate.expires_at.map(Timestamp::rfc3339),
    })
}

pub(crate) async fn gate_list(
    InWorkspace(scope): InWorkspace<ViewSettings>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let gates = scope.gate_list().await?;
    let path = format!("/api/v1/workspaces/{}/gates", scope.id());
    Ok(page(gates.iter().map(gate_json).collect(), None, &path, &pairs))
}

/// When a gate opens by itself. Must be said, so that nobody closes one for good by leaving it out.
fn expiry(value: Option<&Value>, now: Timestamp) -> Result<Option<Timestamp>, WebError> {
    if value == Some(&Value::Null) {
        return Ok(None);
    }
    let at = value.and_then(Value::as_str).and_then(Timestamp::parse).filter(|at| *at > now);
    at.map(Some).ok_or_else(|| {
        WebError::Unreadable(
            "expires_at must be a time to come, like 2026-01-17T14:01:02Z, or null for: until it is opened by hand."
                .to_owned(),
        )
    })
}

pub(crate) async fn gate_close(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["kind", "note", "expires_at"])?;
    let text = |name: &str| map.get(name).and_then(Value::as_str);
    let kind = gate_kind(text("kind").unwrap_or_default())?;
    let note = text("note").map(str::trim).filter(|note| !note.is_empty());
    let note = note.ok_or_else(|| {
        WebError::Unreadable("note must say why, in 1 to 200 characters.".to_owned())
    })?;
    let expires_at = expiry(map.get("expires_at"), app.store.now())?;
    let gate = NewGate { kind, note: note.to_owned(), expires_at };
    scope.gate_close(gate, Some(request_id)).await?;
    let gates = scope.gate_list().await?;
    let closed = gates.iter().find(|gate| gate.kind == kind && gate.reach != GateReach::Everywhere);
    let body = closed.map_or(Value::Null, gate_json);
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let location = format!("/api/v1/workspaces/{}/gates", scope.id());
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

pub(crate) async fn gate_open(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["kind"])?;
    let kind = gate_kind(map.get("kind").and_then(Value::as_str).unwrap_or_default())?;
    let opened = scope.gate_open(kind, Some(request_id)).await?;
    Ok(Json(json!({"kind": kind.as_str(), "opened": opened})))
}

pub(crate) async fn platform(
    InWorkspace(scope): InWorkspace<ViewSettings>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    let (upkeep, now) = (app.store.upkeep(), app.store.now());
    let queue = upkeep.queue().await?;
    let workers: Vec<Value> = upkeep
        .workers()
        .await?
        .iter()
        .map(|worker| {
            json!({
                "id": worker.id.to_string(), "started_at": worker.started_at.rfc3339(),
                "heartbeat_at": worker.heartbeat_at.rfc3339(), "concurrency": worker.concurrency,
            })
        })
        .collect();
    Ok(Json(json!({
        "workspace": scope.id().to_string(),
        "queue": {
            "ready": queue.ready, "leased": queue.leased,
            "oldest_since": queue.oldest.filter(|at| *at < now).map(Timestamp::rfc3339),
        },
        "workers": workers,
    })))
}
