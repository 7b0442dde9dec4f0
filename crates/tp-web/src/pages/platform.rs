//! The platform: is work moving? Queue, workers, stuck runs, gates and settings of the workspace.

mod view;

use std::time::Duration;

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{Capability, ManageSettings, ViewOperations, ViewSettings};
use tp_domain::gate::{Gate, GateKind};
use tp_domain::ids::{RunId, ScopeId, TenantId};
use tp_domain::operation::OperationKind;
use tp_domain::run::{Freshness, OperationRun, RunStatus};
use tp_domain::runs_prune::Retention;
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{
    FleetScope, MOST_RUNNING, NewGate, QueueState, RunFilter, WorkerRow, WorkspaceScope,
    WorkspaceSettings,
};

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::why;
use crate::error::WebError;
use crate::extract::{CsrfForm, InWorkspace, RequestId};
use crate::{format, paths};

/// So many stuck runs are shown: more are one fault, not many.
const STUCK_SHOWN: usize = 100;

/// The longest time that a gate can be closed for in the form, in hours: a year.
const LONGEST_GATE: u64 = 8_760;

struct Seen {
    queue: QueueState,
    workers: Vec<WorkerRow>,
    stuck: Vec<OperationRun>,
    tenants: Vec<Tenant>,
    gates: Vec<Gate>,
    settings: WorkspaceSettings,
}

/// Reads page after page of active runs, oldest first, and keeps those that are likely stuck.
async fn stuck_of(
    fleet: &FleetScope,
    status: RunStatus,
    before: Timestamp,
    now: Timestamp,
) -> Result<Vec<OperationRun>, WebError> {
    let mut filter = RunFilter {
        statuses: vec![status],
        created_before: Some(before),
        oldest_first: true,
        limit: 200,
        ..RunFilter::default()
    };
    let mut stuck = Vec::new();
    loop {
        let page = fleet.fleet_run_list(filter.clone()).await?;
        let is_stuck = |run: &OperationRun| run.freshness(now) == Freshness::LikelyStuck;
        stuck.extend(page.runs.into_iter().filter(is_stuck));
        if page.next.is_none() || stuck.len() > STUCK_SHOWN {
            return Ok(stuck);
        }
        filter.cursor = page.next;
    }
}

/// Running ones first: those can be taken from a worker. Queued ones wait, whatever is done here.
async fn stuck(fleet: &FleetScope, now: Timestamp) -> Result<Vec<OperationRun>, WebError> {
    let mut stuck = stuck_of(fleet, RunStatus::Running, now, now).await?;
    // A queued run is stuck when it has waited longer than its kind takes, and no kind takes less.
    let shortest = OperationKind::ALL.iter().map(|kind| kind.facts().expected_seconds).min();
    let waited = now.minus(Duration::from_secs(shortest.unwrap_or(0)));
    stuck.extend(stuck_of(fleet, RunStatus::Queued, waited, now).await?);
    Ok(stuck)
}

async fn look(app: &App, scope: &WorkspaceScope<ViewSettings>) -> Result<Seen, WebError> {
    let upkeep = app.store.upkeep();
    let fleet = app.store.enter_fleet::<ViewOperations>(scope.actor())?;
    Ok(Seen {
        queue: upkeep.queue().await?,
        workers: upkeep.workers().await?,
        stuck: stuck(&fleet, app.store.now()).await?,
        tenants: fleet.tenant_list().await?.into_iter().map(|(tenant, _)| tenant).collect(),
        gates: scope.gate_list().await?,
        settings: scope.settings().await?,
    })
}

pub(crate) async fn show(
    InWorkspace(scope): InWorkspace<ViewSettings>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let seen = look(&app, &scope).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let may = scope.may(Capability::SettingsManage);
    let here = paths::platform(scope.id());
    let body = html! {
        div.head {
            div { h1 { "Platform" } p.sub { (format::shown(scope.name())) } }
            @if !may { (why(view::WHY, "Changing anything here needs the capability settings.manage. Ask an owner or a manager.")) }
        }
        (view::queue_part(&seen, shell.now))
        h2 { "Likely stuck" }
        (view::stuck_part(&seen, &shell, &here, may))
        h2 { "Gates" }
        (view::gates_part(&seen, &shell, &here, may))
        h2 { "Settings" }
        (view::settings_part(&seen, &shell, &here, may))
    };
    Ok(shell.render(&Page {
        title: "Platform",
        place: Place::Platform,
        tenant: None,
        synced_at: None,
        body,
    }))
}

#[derive(Deserialize)]
pub(crate) struct ReleaseForm {
    run: String,
    tenant: String,
}

pub(crate) async fn release(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<ReleaseForm>,
) -> Result<Redirect, WebError> {
    let run: RunId = form.run.parse().map_err(|_| WebError::NotFound)?;
    let place = if form.tenant.is_empty() {
        ScopeId::Workspace(scope.id())
    } else {
        let tenant: TenantId = form.tenant.parse().map_err(|_| WebError::NotFound)?;
        ScopeId::Tenant(tenant)
    };
    if !scope.run_release(place, run, Some(request)).await? {
        return Err(WebError::Conflict("Nothing holds this run any more.".to_owned()));
    }
    Ok(Redirect::to(&paths::platform(scope.id())))
}

#[derive(Deserialize)]
pub(crate) struct CloseForm {
    kind: String,
    note: String,
    hours: String,
}

pub(crate) async fn gate_close(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    State(app): State<App>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<CloseForm>,
) -> Result<Redirect, WebError> {
    let kind = gate_kind(&form.kind)?;
    if form.note.trim().is_empty() {
        return Err(WebError::BadRequest("Say why the gate is closed.".to_owned()));
    }
    let hours = form.hours.parse().ok().filter(|hours| *hours <= LONGEST_GATE);
    let hours: u64 = hours.ok_or_else(|| {
        WebError::BadRequest(format!(
            "Say for how long the gate is closed: 1 to {LONGEST_GATE} hours, or 0 for until it is opened by hand."
        ))
    })?;
    let expires_at = (hours > 0).then(|| app.store.now().plus(Duration::from_hours(hours)));
    let note = form.note.trim().to_owned();
    scope.gate_close(NewGate { kind, note, expires_at }, Some(request)).await?;
    Ok(Redirect::to(&paths::platform(scope.id())))
}

#[derive(Deserialize)]
pub(crate) struct OpenForm {
    kind: String,
}

pub(crate) async fn gate_open(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<OpenForm>,
) -> Result<Redirect, WebError> {
    scope.gate_open(gate_kind(&form.kind)?, Some(request)).await?;
    Ok(Redirect::to(&paths::platform(scope.id())))
}

pub(crate) fn gate_kind(text: &str) -> Result<GateKind, WebError> {
    GateKind::parse(text).ok_or_else(|| {
        let kinds: Vec<&str> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
        WebError::BadRequest(format!("kind must be * or one of {}.", kinds.join(", ")))
    })
}

#[derive(Deserialize)]
pub(crate) struct SettingsForm {
    retention_days: String,
    max_running: String,
}

/// Reads the settings of a workspace, or says what is allowed.
pub(crate) fn read_settings(
    days: Option<u32>,
    most: Option<u32>,
) -> Result<WorkspaceSettings, WebError> {
    let retention = days.and_then(Retention::days).ok_or_else(|| {
        let (floor, ceiling) = (Retention::FLOOR, Retention::CEILING);
        WebError::BadRequest(format!("retention_days must be {floor} to {ceiling}."))
    })?;
    let max_running = most
        .filter(|most| (1..=MOST_RUNNING).contains(most))
        .ok_or_else(|| WebError::BadRequest(format!("max_running must be 1 to {MOST_RUNNING}.")))?;
    Ok(WorkspaceSettings { retention, max_running })
}

pub(crate) async fn settings(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    CsrfForm(form): CsrfForm<SettingsForm>,
) -> Result<Redirect, WebError> {
    let settings = read_settings(form.retention_days.parse().ok(), form.max_running.parse().ok())?;
    scope.settings_set(settings).await?;
    Ok(Redirect::to(&paths::platform(scope.id())))
}
