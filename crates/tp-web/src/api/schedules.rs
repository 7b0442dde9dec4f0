//! Schedules of a tenant and of the workspace.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tp_domain::access::{ManageSchedules, ViewSettings};
use tp_domain::backup_create::CreateBackup;
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::ids::ScheduleId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{InputError, Level, OperationKind, OperationRequest as _};
use tp_domain::schedule::{Cadence, CatchUp, Schedule, Slot, Targets, Timetable};
use tp_domain::time::Timestamp;
use tp_store::{LONGEST_SCHEDULE_NAME, LONGEST_SPREAD, NewSchedule, ScheduleChanged};

use super::run_json::run_json;
use super::{fields, json_body, page, runs, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{Id, InTenant, InWorkspace, RequestId};
use crate::pages::schedules::NEXT_TIMES;

const FIELDS: &[&str] = &[
    "name",
    "kind",
    "inputs",
    "targets",
    "when",
    "zone",
    "catch_up",
    "spread_seconds",
    "enabled",
    "revision",
];

fn schedule_json(schedule: &Schedule, now: Timestamp) -> Value {
    let next: Vec<String> = if schedule.enabled {
        schedule.timetable.next_times(now, NEXT_TIMES).into_iter().map(Timestamp::rfc3339).collect()
    } else {
        Vec::new()
    };
    json!({
        "id": schedule.id.to_string(), "name": schedule.name, "kind": schedule.kind.as_str(),
        "inputs": schedule.inputs, "targets": schedule.targets.to_json(),
        "when": schedule.timetable.cadence().to_json(), "zone": schedule.timetable.zone(),
        "words": schedule.timetable.words(), "catch_up": schedule.catch_up.as_str(),
        "spread_seconds": schedule.spread_seconds, "enabled": schedule.enabled,
        "next_at": schedule.next_at.map(Timestamp::rfc3339), "next_times": next,
        "created_by": schedule.created_by, "created_at": schedule.created_at.rfc3339(),
        "revision": schedule.revision,
    })
}

fn slot_json(slot: &Slot) -> Value {
    json!({
        "at": slot.at.rfc3339(), "state": slot.state.as_str(),
        "run": slot.run.map(|run| run.to_string()), "fired_at": slot.fired_at.rfc3339(),
    })
}

fn wrong(pointer: &str, detail: &'static str) -> WebError {
    WebError::Inputs(vec![InputError::at(pointer.to_owned(), detail)])
}

/// The effective inputs of a kind, checked as a start checks them.
fn inputs_of(app: &App, kind: OperationKind, inputs: &Value) -> Result<Value, WebError> {
    match kind {
        OperationKind::InventorySync => {
            let request = SyncInventory::parse(inputs).map_err(WebError::Inputs)?;
            runs::known_types(app, request.types()).map_err(WebError::Inputs)?;
            Ok(request.inputs())
        }
        OperationKind::BackupCreate => {
            let request = CreateBackup::parse(inputs).map_err(WebError::Inputs)?;
            runs::known_types(app, request.types()).map_err(WebError::Inputs)?;
            Ok(request.inputs())
        }
        OperationKind::ConnectionVerify => {
            let request = VerifyConnection::parse(inputs);
            Ok(request.map_err(WebError::Inputs)?.inputs())
        }
        OperationKind::BackupRetention => {
            let request = tp_domain::backup_retention::RetainBackups::parse(inputs);
            Ok(request.map_err(WebError::Inputs)?.inputs())
        }
        OperationKind::DirectoryGroupsSync => {
            let request = tp_domain::groups_sync::SyncGroups::parse(inputs);
            Ok(request.map_err(WebError::Inputs)?.inputs())
        }
        OperationKind::PayloadsPrune => {
            let request = tp_domain::payloads_prune::PrunePayloads::parse(inputs);
            Ok(request.map_err(WebError::Inputs)?.inputs())
        }
        OperationKind::RunsPrune => {
            let request = tp_domain::runs_prune::PruneRuns::parse(inputs);
            Ok(request.map_err(WebError::Inputs)?.inputs())
        }
        OperationKind::BackupVerify
        | OperationKind::BackupExport
        | OperationKind::BackupImport
        | OperationKind::PolicyCapture
        | OperationKind::RestorePreview
        | OperationKind::RestoreExecute
        | OperationKind::ScheduleExecute => Err(wrong("/kind", "cannot be started by a schedule")),
    }
}

fn timetable(map: &Map<String, Value>, old: Option<&Schedule>) -> Result<Timetable, WebError> {
    let cadence = match (map.get("when"), old) {
        (Some(when), _) => Cadence::from_json(when).map_err(|error| {
            let pointer = format!("/when{}", error.pointer);
            WebError::Inputs(vec![InputError::at(pointer, error.detail)])
        })?,
        (None, Some(old)) => old.timetable.cadence().clone(),
        (None, None) => {
            return Err(wrong(
                "/when",
                "is needed, such as {\"every\":\"day\",\"hour\":2,\"minute\":30}",
            ));
        }
    };
    let zone = match (map.get("zone").and_then(Value::as_str), old) {
        (Some(zone), _) => zone.to_owned(),
        (None, Some(old)) => old.timetable.zone().to_owned(),
        (None, None) => "UTC".to_owned(),
    };
    Timetable::new(cadence, &zone)
        .map_err(|error| WebError::Unreadable(format!("when or zone: {error}.")))
}

/// Reads a schedule; what is left out stays as it was, or is as usual.
fn read(
    app: &App,
    body: &Value,
    old: Option<&Schedule>,
    whole: bool,
) -> Result<NewSchedule, WebError> {
    let map = fields(body, FIELDS)?;
    let name = match (map.get("name").and_then(Value::as_str), old) {
        (Some(name), _) => name.trim().to_owned(),
        (None, Some(old)) => old.name.clone(),
        (None, None) => String::new(),
    };
    if name.is_empty()
        || name.chars().count() > LONGEST_SCHEDULE_NAME
        || name.chars().any(char::is_control)
    {
        return Err(wrong("/name", "must be a text of 1 to 100 characters"));
    }
    let kind = match (map.get("kind").and_then(Value::as_str), old) {
        (Some(text), Some(old)) if text != old.kind.as_str() => {
            return Err(wrong("/kind", "cannot be changed; make another schedule"));
        }
        (_, Some(old)) => old.kind,
        (text, None) => text
            .and_then(|text| text.parse::<OperationKind>().ok())
            .filter(|kind| kind.facts().schedulable)
            .filter(|kind| whole || kind.facts().level == Level::Tenant)
            .ok_or_else(|| {
                wrong(
                    "/kind",
                    "must be a kind that a schedule may start here; GET /api/v1/kinds lists them",
                )
            })?,
    };
    let inputs = match (map.get("inputs"), old) {
        (Some(inputs), _) => inputs_of(app, kind, inputs)?,
        (None, Some(old)) => old.inputs.clone(),
        (None, None) => inputs_of(app, kind, &json!({}))?,
    };
    let spreads = whole && kind.facts().level == Level::Tenant;
    let targets = match (map.get("targets"), old) {
        (Some(targets), _) => Targets::from_json(targets)
            .filter(|targets| (*targets == Targets::Own) != spreads)
            .ok_or_else(|| wrong("/targets", "must be \"all\" or a list of tenant ids for a kind of tenants in a workspace, and null otherwise"))?,
        (None, Some(old)) => old.targets.clone(),
        (None, None) if spreads => Targets::AllTenants,
        (None, None) => Targets::Own,
    };
    let catch_up = match map.get("catch_up").map(|value| value.as_str().map(str::parse::<CatchUp>))
    {
        Some(Some(Ok(catch_up))) => catch_up,
        Some(_) => return Err(wrong("/catch_up", "must be skip, once or all")),
        None => old.map_or(CatchUp::Once, |old| old.catch_up),
    };
    let spread_seconds = match map.get("spread_seconds") {
        None => old.map_or(if kind.facts().level == Level::Tenant { 300 } else { 0 }, |old| {
            old.spread_seconds
        }),
        Some(value) => value
            .as_u64()
            .and_then(|seconds| u32::try_from(seconds).ok())
            .filter(|seconds| *seconds <= LONGEST_SPREAD)
            .ok_or_else(|| wrong("/spread_seconds", "must be 0 to 3600"))?,
    };
    let enabled = match map.get("enabled") {
        None => old.is_none_or(|old| old.enabled),
        Some(Value::Bool(on)) => *on,
        Some(_) => return Err(wrong("/enabled", "must be true or false")),
    };
    let timetable = timetable(map, old)?;
    Ok(NewSchedule { name, kind, inputs, targets, timetable, catch_up, spread_seconds, enabled })
}

/// The handlers of one kind of place.
macro_rules! handlers {
    ($extract:ident, $whole:literal, $base:expr, $list:ident, $show:ident, $create:ident, $update:ident, $delete:ident, $slots:ident, $run:ident) => {
        pub(crate) async fn $list(
            $extract(scope): $extract<ViewSettings>,
            State(app): State<App>,
            RawQuery(query): RawQuery,
        ) -> Result<Response, WebError> {
            let pairs = strict(query.as_deref(), &[])?;
            let now = app.store.now();
            let list = scope.schedule_list().await?;
            let data = list.iter().map(|schedule| schedule_json(schedule, now)).collect();
            Ok(page(data, None, &$base(&scope), &pairs))
        }

        pub(crate) async fn $show(
            $extract(scope): $extract<ViewSettings>,
            Id(id): Id<ScheduleId>,
            State(app): State<App>,
            RawQuery(query): RawQuery,
        ) -> Result<Json<Value>, WebError> {
            strict(query.as_deref(), &[])?;
            let schedule = scope.schedule_get(id).await?.ok_or(WebError::NotFound)?;
            Ok(Json(schedule_json(&schedule, app.store.now())))
        }

        pub(crate) async fn $create(
            $extract(scope): $extract<ManageSchedules>,
            State(app): State<App>,
            request: Request,
        ) -> Result<Response, WebError> {
            let body = json_body(request, scope.actor()).await?;
            let made = scope.schedule_create(read(&app, &body, None, $whole)?).await?;
            let object = Json(schedule_json(&made, app.store.now()));
            let mut response = (StatusCode::CREATED, object).into_response();
            let location = format!("{}/{}", $base(&scope), made.id);
            if let Ok(value) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, value);
            }
            Ok(response)
        }

        pub(crate) async fn $update(
            $extract(scope): $extract<ManageSchedules>,
            $extract(seen): $extract<ViewSettings>,
            Id(id): Id<ScheduleId>,
            State(app): State<App>,
            request: Request,
        ) -> Result<Json<Value>, WebError> {
            let old = seen.schedule_get(id).await?.ok_or(WebError::NotFound)?;
            let body = json_body(request, scope.actor()).await?;
            let revision = body.get("revision").and_then(Value::as_i64).unwrap_or(old.revision);
            let new = read(&app, &body, Some(&old), $whole)?;
            match scope.schedule_update(id, revision, new).await? {
                ScheduleChanged::Done(schedule) => {
                    Ok(Json(schedule_json(&schedule, app.store.now())))
                }
                ScheduleChanged::NotThere => Err(WebError::NotFound),
                ScheduleChanged::Stale => Err(WebError::Conflict(
                    "Somebody else changed this schedule meanwhile: read it again.".to_owned(),
                )),
            }
        }

        pub(crate) async fn $delete(
            $extract(scope): $extract<ManageSchedules>,
            Id(id): Id<ScheduleId>,
            request: Request,
        ) -> Result<StatusCode, WebError> {
            runs::check_change(&request, scope.actor())?;
            if scope.schedule_delete(id).await? {
                Ok(StatusCode::NO_CONTENT)
            } else {
                Err(WebError::NotFound)
            }
        }

        pub(crate) async fn $slots(
            $extract(scope): $extract<ViewSettings>,
            Id(id): Id<ScheduleId>,
            RawQuery(query): RawQuery,
        ) -> Result<Response, WebError> {
            let pairs = strict(query.as_deref(), &["limit"])?;
            scope.schedule_get(id).await?.ok_or(WebError::NotFound)?;
            let slots = scope.schedule_slots(id, super::limit(&pairs)?).await?;
            let path = format!("{}/{id}/slots", $base(&scope));
            Ok(page(slots.iter().map(slot_json).collect(), None, &path, &pairs))
        }

        pub(crate) async fn $run(
            $extract(scope): $extract<ManageSchedules>,
            Id(id): Id<ScheduleId>,
            State(app): State<App>,
            RequestId(request_id): RequestId,
            request: Request,
        ) -> Result<Response, WebError> {
            let how = runs::how(&request, request_id, &json!({"schedule": id.to_string()}))?;
            runs::no_fields(request, scope.actor()).await?;
            let started = scope.schedule_run_now(id, how).await?.ok_or(WebError::NotFound)?;
            let run = started.run();
            let href = match run.tenant {
                Some(tenant) => format!("/api/v1/tenants/{tenant}/runs/{}", run.id),
                None => format!("/api/v1/workspaces/{}/runs/{}", run.workspace, run.id),
            };
            let object = run_json(&app, run, None, None, !runs::is_new(&started));
            Ok(runs::started(&started, object, &href))
        }
    };
}

fn of_tenant<C>(scope: &tp_store::TenantScope<C>) -> String {
    format!("/api/v1/tenants/{}/schedules", scope.tenant().slug)
}

fn of_workspace<C>(scope: &tp_store::WorkspaceScope<C>) -> String {
    format!("/api/v1/workspaces/{}/schedules", scope.id())
}

handlers!(InTenant, false, of_tenant, list, show, create, update, delete, slots, run_now);
handlers!(
    InWorkspace,
    true,
    of_workspace,
    list_workspace,
    show_workspace,
    create_workspace,
    update_workspace,
    delete_workspace,
    slots_workspace,
    run_now_workspace
);
