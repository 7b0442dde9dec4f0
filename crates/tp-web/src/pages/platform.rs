//! The platform: is work moving? Queue, workers, stuck runs, gates and settings of the workspace.

use std::time::Duration;

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{Capability, ManageSettings, ViewOperations, ViewSettings};
use tp_domain::gate::{Gate, GateKind, GateReach};
use tp_domain::ids::{RunId, ScopeId, TenantId};
use tp_domain::operation::OperationKind;
use tp_domain::run::{Freshness, OperationRun};
use tp_domain::runs_prune::Retention;
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{
    MOST_RUNNING, NewGate, QueueState, RunFilter, RunTab, WorkerRow, WorkspaceScope,
    WorkspaceSettings,
};

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, time};
use crate::error::WebError;
use crate::extract::{CsrfForm, InWorkspace};
use crate::format;
use crate::paths::{self, Home};

/// A worker without a sign for this long is gone, or its machine is.
const WORKER_SILENT: Duration = Duration::from_secs(30);

struct Seen {
    queue: QueueState,
    workers: Vec<WorkerRow>,
    stuck: Vec<OperationRun>,
    tenants: Vec<Tenant>,
    gates: Vec<Gate>,
    settings: WorkspaceSettings,
}

async fn look(app: &App, scope: &WorkspaceScope<ViewSettings>) -> Result<Seen, WebError> {
    let upkeep = app.store.upkeep();
    let fleet = app.store.enter_fleet::<ViewOperations>(scope.actor())?;
    let active = RunFilter {
        tab: Some(RunTab::Active),
        limit: 200,
        oldest_first: true,
        ..RunFilter::default()
    };
    let now = app.store.now();
    let stuck = fleet.fleet_run_list(active).await?.runs.into_iter();
    Ok(Seen {
        queue: upkeep.queue().await?,
        workers: upkeep.workers().await?,
        stuck: stuck.filter(|run| run.freshness(now) == Freshness::LikelyStuck).collect(),
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
        div.head { div { h1 { "Platform" } p.sub { (format::shown(scope.name())) } } }
        (queue_part(&seen, shell.now))
        h2 { "Likely stuck" }
        (stuck_part(&seen, &shell, &here, may))
        h2 { "Gates" }
        (gates_part(&seen, &shell, &here, may))
        h2 { "Settings" }
        (settings_part(&seen, &shell, &here, may))
    };
    Ok(shell.render(&Page {
        title: "Platform",
        place: Place::Platform,
        tenant: None,
        synced_at: None,
        body,
    }))
}

fn queue_part(seen: &Seen, now: Timestamp) -> Markup {
    let tile = |label: &str, value: Markup| html! { div { dt { (label) } dd { (value) } } };
    html! {
        dl.counts {
            (tile("Ready or waiting", html! { (format::number(seen.queue.ready)) }))
            (tile("Being worked on", html! { (format::number(seen.queue.leased)) }))
            (tile("Oldest in line", html! { @match seen.queue.oldest { Some(at) if at < now => (format::duration(now.since(at))), _ => "–" } }))
            (tile("Workers", html! { (seen.workers.len()) }))
        }
        h2 { "Workers" }
        @if seen.workers.is_empty() {
            (empty("No worker", "Nothing is taken from the queue. Start one with tenantpilot worker, or leave out --no-worker.", None))
        } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Workers" }
                thead { tr { th scope="col" { "State" } th scope="col" { "Worker" } th scope="col" { "Started" } th scope="col" { "Last sign of life" } th.num scope="col" { "At once" } } }
                tbody { @for worker in &seen.workers { tr {
                    td data-l="State" { span { (chip::alive(now.since(worker.heartbeat_at) <= WORKER_SILENT)) } }
                    td data-l="Worker" { span.mono { (worker.id) } }
                    td data-l="Started" { span { (time(worker.started_at, now)) } }
                    td data-l="Last sign of life" { span { (time(worker.heartbeat_at, now)) } }
                    td.num data-l="At once" { (worker.concurrency) }
                } } }
            } }
        }
    }
}

fn stuck_part(seen: &Seen, shell: &Shell, here: &str, may: bool) -> Markup {
    if seen.stuck.is_empty() {
        return html! { p.muted { "Nothing: every active run moves on, or waits for something that is known." } };
    }
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Likely stuck" }
            thead { tr { th scope="col" { "State" } th scope="col" { "Operation" } th scope="col" { "Tenant" } th scope="col" { "Since" } th scope="col" { "Release" } } }
            tbody { @for run in &seen.stuck {
                @let tenant = seen.tenants.iter().find(|tenant| Some(tenant.id) == run.tenant);
                @let home = tenant.map_or(Home::Workspace(run.workspace), Home::Tenant);
                tr {
                    td data-l="State" { span { (chip::run(run, shell.now)) } }
                    td data-l="Operation" { a href=(home.operation(run.id)) { (run.label()) } }
                    td data-l="Tenant" { (tenant.map_or("–".into(), |tenant| format::shown(&tenant.name))) }
                    td data-l="Since" { span { (time(run.heartbeat_at.unwrap_or_else(|| run.state.created_at()), shell.now)) } }
                    td data-l="Release" {
                        @if may {
                            form method="post" action=(format!("{here}/release")) {
                                (shell.csrf())
                                input type="hidden" name="run" value=(run.id);
                                input type="hidden" name="tenant" value=(run.tenant.map(|id| id.to_string()).unwrap_or_default());
                                button.pill type="submit" { "Take from its worker" span.visually-hidden { ": " (run.label()) } }
                            }
                        } @else { span.muted { "Needs settings.manage" } }
                    }
                }
            } }
        } }
    }
}

fn gates_part(seen: &Seen, shell: &Shell, here: &str, may: bool) -> Markup {
    html! {
        p.muted { "A closed gate stops a kind of operation: new starts are refused, and what is queued ends as blocked." }
        @if seen.gates.is_empty() { p { "All gates are open." } } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Closed gates" }
                thead { tr { th scope="col" { "Stops" } th scope="col" { "Where" } th scope="col" { "Why" } th scope="col" { "Closed by" } th scope="col" { "Until" } th scope="col" { "Open" } } }
                tbody { @for gate in &seen.gates { tr {
                    td data-l="Stops" { (gate.kind.label()) }
                    td data-l="Where" { @if gate.reach == GateReach::Everywhere { "Everywhere" } @else { "This workspace" } }
                    td data-l="Why" { (format::shown(&gate.note)) }
                    td data-l="Closed by" { div { (format::shown(&gate.closed_by)) br; span.muted.small { (time(gate.closed_at, shell.now)) } } }
                    td data-l="Until" { span { @match gate.expires_at { Some(at) => (time(at, shell.now)), None => "Opened by hand" } } }
                    td data-l="Open" { @if gate.reach == GateReach::Everywhere { span.muted { "From the machine's own shell" } } @else if may {
                        form method="post" action=(format!("{here}/gates/open")) { (shell.csrf()) input type="hidden" name="kind" value=(gate.kind.as_str()); button.pill type="submit" { "Open" span.visually-hidden { ": " (gate.kind.label()) } } }
                    } @else { span.muted { "Needs settings.manage" } } }
                } } }
            } }
        }
        @if may {
            form.filters method="post" action=(format!("{here}/gates/close")) aria-label="Close a gate" {
                (shell.csrf())
                div.field { label for="kind" { "Stop" } select id="kind" name="kind" {
                    option value="*" { "All operations" }
                    @for kind in OperationKind::ALL { option value=(kind) { (kind.facts().label_en) } }
                } }
                div.field { label for="note" { "Why" } input type="text" id="note" name="note" maxlength="200" required; }
                div.field { label for="hours" { "For" } select id="hours" name="hours" {
                    option value="1" { "1 hour" } option value="8" { "8 hours" } option value="24" { "1 day" } option value="168" { "1 week" } option value="0" { "Until it is opened" }
                } }
                button.button type="submit" { "Close gate" }
            }
        }
    }
}

fn settings_part(seen: &Seen, shell: &Shell, here: &str, may: bool) -> Markup {
    let WorkspaceSettings { retention, max_running } = seen.settings;
    html! {
        @if may {
            form.filters method="post" action=(format!("{here}/settings")) aria-label="Settings" {
                (shell.csrf())
                div.field { label for="retention_days" { "Keep finished runs, in days" } input type="number" id="retention_days" name="retention_days" min=(Retention::FLOOR) max=(Retention::CEILING) value=(retention.as_days()); }
                div.field { label for="max_running" { "Runs of this workspace at once" } input type="number" id="max_running" name="max_running" min="1" max=(MOST_RUNNING) value=(max_running); }
                button.button type="submit" { "Save" }
            }
        } @else {
            dl.facts { dt { "Finished runs are kept" } dd { (retention.as_days()) " days" } dt { "Runs at once" } dd { (max_running) } }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct ReleaseForm {
    run: String,
    tenant: String,
}

pub(crate) async fn release(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    CsrfForm(form): CsrfForm<ReleaseForm>,
) -> Result<Redirect, WebError> {
    let run: RunId = form.run.parse().map_err(|_| WebError::NotFound)?;
    let place = if form.tenant.is_empty() {
        ScopeId::Workspace(scope.id())
    } else {
        let tenant: TenantId = form.tenant.parse().map_err(|_| WebError::NotFound)?;
        ScopeId::Tenant(tenant)
    };
    if !scope.run_release(place, run).await? {
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
    CsrfForm(form): CsrfForm<CloseForm>,
) -> Result<Redirect, WebError> {
    let kind = gate_kind(&form.kind)?;
    if form.note.trim().is_empty() {
        return Err(WebError::BadRequest("Say why the gate is closed.".to_owned()));
    }
    let hours: u64 = form.hours.parse().ok().filter(|hours| *hours <= 8_760).unwrap_or(1);
    let expires_at = (hours > 0).then(|| app.store.now().plus(Duration::from_hours(hours)));
    let note = form.note.trim().to_owned();
    scope.gate_close(NewGate { kind, note, expires_at }).await?;
    Ok(Redirect::to(&paths::platform(scope.id())))
}

#[derive(Deserialize)]
pub(crate) struct OpenForm {
    kind: String,
}

pub(crate) async fn gate_open(
    InWorkspace(scope): InWorkspace<ManageSettings>,
    CsrfForm(form): CsrfForm<OpenForm>,
) -> Result<Redirect, WebError> {
    scope.gate_open(gate_kind(&form.kind)?).await?;
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
