//! One run: what ran, who started it, how far it is, what failed, what to do now.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{CancelOperations, Capability, StartInventorySync, ViewOperations};
use tp_domain::ids::RunId;
use tp_domain::item::RunItem;
use tp_domain::operation::OperationKind;
use tp_domain::run::{OperationRun, Outcome, RunState, RunStep};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{
    Child, HowStarted, ItemFilter, RetryOnly, Started, TenantRef, TenantScope, WorkspaceScope,
};

use super::login::Nothing;
use super::{partial, start_sync};
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::run::{progress_words, took, unit, waiting_words};
use crate::components::{chip, time};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, InWorkspace, RequestId, SignedIn};
use crate::paths::Home;
use crate::query::Pairs;
use crate::{format, paths};

/// The history shows this many runs of the same operation.
const HISTORY: u32 = 10;

/// How many items of an itemised run the page shows.
const ITEMS: u32 = 200;

/// A run with what belongs to it, and what this person may do with it.
struct Detail {
    run: OperationRun,
    steps: Vec<RunStep>,
    items: Vec<RunItem>,
    children: Vec<Child>,
    history: Vec<OperationRun>,
    may_cancel: bool,
    may_start: bool,
}

fn may_start(run: &OperationRun, may: impl Fn(Capability) -> bool) -> bool {
    run.kind.parse::<OperationKind>().is_ok_and(|kind| may(kind.facts().capability))
}

async fn of_tenant(scope: &TenantScope<ViewOperations>, id: RunId) -> Result<Detail, WebError> {
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let filter = ItemFilter { limit: ITEMS, ..ItemFilter::default() };
    Ok(Detail {
        steps: scope.run_steps(id).await?,
        items: scope.run_items(id, filter).await?,
        children: scope.run_children(id).await?,
        history: scope.run_history(&run, HISTORY).await?,
        may_cancel: scope.may(Capability::OperationsCancel),
        may_start: may_start(&run, |capability| scope.may(capability)),
        run,
    })
}

async fn of_workspace(
    scope: &WorkspaceScope<ViewOperations>,
    id: RunId,
) -> Result<Detail, WebError> {
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let filter = ItemFilter { limit: ITEMS, ..ItemFilter::default() };
    Ok(Detail {
        steps: Vec::new(),
        items: scope.run_items(id, filter).await?,
        children: scope.run_children(id).await?,
        history: Vec::new(),
        may_cancel: scope.may(Capability::OperationsCancel),
        may_start: false,
        run,
    })
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let detail = of_tenant(&scope, id).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let pairs = Pairs::parse(query.as_deref());
    let banner = start_sync::banner(&scope, &pairs, &shell).await?;
    Ok(page(&app, &shell, &detail, Home::Tenant(scope.tenant()), banner, &[]))
}

pub(crate) async fn show_workspace(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let detail = of_workspace(&scope, id).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let tenants = tenants(&app, scope.actor()).await?;
    Ok(page(&app, &shell, &detail, Home::Workspace(scope.id()), html! {}, &tenants))
}

/// The person's tenants, for naming children.
async fn tenants(app: &App, actor: &tp_store::Actor) -> Result<Vec<Tenant>, WebError> {
    let list = app.store.enter_fleet::<ViewOperations>(actor)?.tenant_list().await?;
    Ok(list.into_iter().map(|(tenant, _)| tenant).collect())
}

fn page(
    app: &App,
    shell: &Shell,
    detail: &Detail,
    home: Home<'_>,
    banner: Markup,
    tenants: &[Tenant],
) -> Markup {
    let run = &detail.run;
    let live = format!("{}/live", home.operation(run.id));
    let body = html! {
        (banner)
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(home.operations()) { "Operations" } }
            li aria-current="page" { (run.label()) }
        } }
        (actions(shell, detail, home))
        div data-live=(live) data-every="2000" data-title="1" { (part(app, detail, home, tenants, shell.now)) }
    };
    let title = match run.state.outcome() {
        Outcome::Pending => run.label().to_owned(),
        outcome => format!("{} {}", sign(outcome), run.label()),
    };
    let tenant = match home {
        Home::Tenant(tenant) => Some(tenant),
        Home::Workspace(_) => None,
    };
    shell.render(&Page { title: &title, place: Place::Operations, tenant, synced_at: None, body })
}

pub(crate) async fn live(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let detail = of_tenant(&scope, id).await?;
    let home = Home::Tenant(scope.tenant());
    Ok(partial(&headers, part(&app, &detail, home, &[], app.store.now())))
}

pub(crate) async fn live_workspace(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let detail = of_workspace(&scope, id).await?;
    let home = Home::Workspace(scope.id());
    let tenants = tenants(&app, scope.actor()).await?;
    Ok(partial(&headers, part(&app, &detail, home, &tenants, app.store.now())))
}

pub(crate) async fn cancel(
    InTenant(scope): InTenant<CancelOperations>,
    Id(id): Id<RunId>,
    RequestId(request): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    scope.run_cancel(id, Some(request)).await?.ok_or(WebError::NotFound)?;
    Ok(Redirect::to(&Home::Tenant(scope.tenant()).operation(id)))
}

pub(crate) async fn cancel_workspace(
    InWorkspace(scope): InWorkspace<CancelOperations>,
    Id(id): Id<RunId>,
    RequestId(request): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    scope.run_cancel(id, Some(request)).await?.ok_or(WebError::NotFound)?;
    Ok(Redirect::to(&Home::Workspace(scope.id()).operation(id)))
}

#[derive(Deserialize)]
pub(crate) struct RetryForm {
    only: String,
}

/// Each kind enters through its own door (ruling 4).
pub(crate) async fn retry(
    SignedIn(actor): SignedIn,
    Path((tenant, id)): Path<(String, String)>,
    State(app): State<App>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<RetryForm>,
) -> Result<Redirect, WebError> {
    let tenant = TenantRef::parse(&tenant).ok_or(WebError::NotFound)?;
    let id: RunId = id.parse().map_err(|_| WebError::NotFound)?;
    let only = if form.only == "failed" { RetryOnly::Failed } else { RetryOnly::All };
    let how = HowStarted { idempotency: None, request_id: Some(request) };
    let (started, tenant) = start_again(&app, &actor, &tenant, id, only, how).await?;
    let name = if matches!(started, Started::Created(_)) { "started" } else { "active" };
    let path = paths::operation(&tenant, started.run().id);
    Ok(Redirect::to(&format!("{path}?{name}={}", started.run().id)))
}

/// Starts a run again through the door of its kind.
pub(crate) async fn start_again(
    app: &App,
    actor: &tp_store::Actor,
    tenant: &TenantRef,
    id: RunId,
    only: RetryOnly,
    how: HowStarted,
) -> Result<(Started, Tenant), WebError> {
    let seen = app.store.enter::<ViewOperations>(actor, tenant).await?;
    let old = seen.run_get(id).await?.ok_or(WebError::NotFound)?;
    match old.kind.parse::<OperationKind>() {
        Ok(OperationKind::InventorySync) => {
            let scope = app.store.enter::<StartInventorySync>(actor, tenant).await?;
            let started = app.starter.retry(&scope, id, only, how).await?;
            Ok((started, scope.tenant().clone()))
        }
        Ok(OperationKind::ScheduleExecute | OperationKind::RunsPrune) | Err(_) => {
            Err(WebError::Conflict("Runs of this kind cannot be tried again by hand.".to_owned()))
        }
    }
}

/// What can be done with the run, or why it cannot.
fn actions(shell: &Shell, detail: &Detail, home: Home<'_>) -> Markup {
    let run = &detail.run;
    let here = home.operation(run.id);
    let known = run.kind.parse::<OperationKind>().ok();
    let failed = run.counts.failed > 0 || !run.failures.is_empty();
    let retryable = matches!(home, Home::Tenant(_)) && known.is_some() && !run.is_active();
    html! {
        div.actions.run-actions {
            @if run.is_active() {
                @if run.cancel_requested_at.is_some() {
                    p.muted { "Canceling: it stops at the next item." }
                } @else if detail.may_cancel {
                    form method="post" action=(format!("{here}/cancel")) { (shell.csrf()) button.button type="submit" { "Cancel run" } }
                } @else {
                    span.why id="why-cancel" { "Canceling needs the capability operations.cancel." }
                    button.button type="button" aria-disabled="true" aria-describedby="why-cancel" { "Cancel run" }
                }
            } @else if retryable && detail.may_start {
                @if failed && known.is_some_and(|kind| kind.facts().retry_failed) {
                    form method="post" action=(format!("{here}/retry")) { (shell.csrf()) input type="hidden" name="only" value="failed"; button.button.primary type="submit" { "Retry what failed" } }
                }
                form method="post" action=(format!("{here}/retry")) { (shell.csrf()) input type="hidden" name="only" value="all"; button.button type="submit" { "Run again" } }
            } @else if retryable && let Some(kind) = known {
                span.why id="why-retry" { "Running it again needs the capability " (kind.facts().capability) "." }
                button.button type="button" aria-disabled="true" aria-describedby="why-retry" { "Run again" }
            }
        }
    }
}

/// In front of the title, so that a background tab tells the end.
const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "✓",
        Outcome::PartiallySucceeded => "!",
        _ => "✗",
    }
}

fn part(app: &App, detail: &Detail, home: Home<'_>, tenants: &[Tenant], now: Timestamp) -> Markup {
    let Detail { run, steps, items, children, history, .. } = detail;
    let ended = (!run.is_active()).then(|| sign(run.state.outcome()));
    html! {
        div {
            span hidden data-say=(format!("{}: {}", run.label(), said(run, now))) data-ended=[ended] {}
            div.head {
                div {
                    h1 { (run.label()) }
                    p.sub { span.mono { (run.id) } " " button.pill type="button" data-copy=(run.id) hidden { "Copy" } }
                }
                div.actions { (chip::run(run, now)) }
            }
            (end_banner(run))
            h2 { "Progress" }
            (progress(run, now))
            (counts(run))
            div.split {
                section {
                    (failures(app, run))
                    @if !children.is_empty() { h2 { "Runs that belong to it" } (children_table(children, tenants)) }
                    @if !items.is_empty() { h2 { "Items" } (items_table(app, items)) }
                    @if children.is_empty() && (items.is_empty() || !steps.is_empty()) { h2 { "Steps" } (steps_table(app, steps, run, now)) }
                }
                section {
                    h2 { "Details" }
                    (facts(run, home, now))
                    h2 { "Inputs" }
                    (inputs(app, run))
                    @if let Home::Tenant(tenant) = home {
                        h2 { "History of this operation" }
                        (history_list(history, tenant, now))
                    }
                }
            }
        }
    }
}

fn said(run: &OperationRun, now: Timestamp) -> String {
    match run.state.outcome() {
        Outcome::Pending => progress_words(run, now),
        outcome => outcome.as_str().replace('_', " "),
    }
}

fn end_banner(run: &OperationRun) -> Markup {
    let class = match run.state.outcome() {
        Outcome::Pending => return html! {},
        Outcome::Succeeded => "banner good",
        Outcome::PartiallySucceeded => "banner warn",
        Outcome::Canceled => "banner",
        Outcome::Failed | Outcome::Blocked => "banner bad",
    };
    let counts = run.counts;
    html! {
        div class=(class) {
            p {
                @match run.state.outcome() {
                    Outcome::Succeeded => { "Succeeded: " (format::number(counts.succeeded)) " " (unit(run)) "." },
                    Outcome::PartiallySucceeded => { "Partially succeeded: " (format::number(counts.succeeded)) " " (unit(run)) ". " },
                    Outcome::Canceled => "Canceled. What was done stays done.",
                    Outcome::Blocked => "Blocked: it was not allowed to begin. ",
                    Outcome::Failed | Outcome::Pending => "Failed. ",
                }
                @if let Some(reason) = run.reason {
                    (reason.text().sentence) " "
                    a.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) } ". "
                    strong { "What to do: " } (reason.text().advice)
                }
            }
        }
    }
}

fn progress(run: &OperationRun, now: Timestamp) -> Markup {
    let waiting = waiting_words(run, now);
    html! {
        @match (run.state, run.counts.total) {
            (RunState::Running { .. }, Some(total)) => progress max=(total.max(1)) value=(run.counts.processed()) aria-label={ "Progress of " (run.label()) } {},
            (RunState::Running { .. }, None) => progress aria-label={ "Progress of " (run.label()) ", total not known yet" } {},
            _ => {},
        }
        p.muted {
            @if let Some(waiting) = waiting { (waiting) } @else { (progress_words(run, now)) @if run.counts.total.is_some() { " " (unit(run)) } }
            @if let Some(phase) = &run.phase { " · " (phase) }
        }
    }
}

fn counts(run: &OperationRun) -> Markup {
    let counts = run.counts;
    let tile = |label: &str, value: String| html! { div { dt { (label) } dd { (value) } } };
    html! {
        dl.counts {
            (tile("Total", counts.total.map_or_else(|| "–".to_owned(), format::number)))
            (tile("Processed", format::number(counts.processed())))
            (tile("Succeeded", format::number(counts.succeeded)))
            (tile("Skipped", format::number(counts.skipped)))
            (tile("Failed", format::number(counts.failed)))
        }
    }
}

fn failures(app: &App, run: &OperationRun) -> Markup {
    if run.failures.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Failures" }
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Failures" }
                thead { tr { th scope="col" { "What" } th scope="col" { "Reason" } th scope="col" { "What to do" } th scope="col" { "Graph request id" } } }
                tbody {
                    @for failure in &run.failures {
                        @for item in &failure.items {
                            tr {
                                td data-l="What" {
                                    @match &item.policy_type { Some(key) => (app.catalog.label(key)), None => "The run" }
                                    @if let Some(name) = &item.name { ": " (format::shown(name)) }
                                }
                                td data-l="Reason" { div { a.mono href=(paths::reason_code(failure.code.as_str())) { (failure.code.as_str()) } br; (failure.message.as_str()) } }
                                td data-l="What to do" { div {
                                    (failure.code.text().advice)
                                    @if let Some(permission) = &item.permission { br; "Permission: " code { (permission) } }
                                } }
                                td data-l="Graph request id" { span.mono { (item.graph_request_id.as_deref().unwrap_or("–")) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn steps_table(app: &App, steps: &[RunStep], run: &OperationRun, now: Timestamp) -> Markup {
    if steps.is_empty() {
        let words = if run.is_active() {
            "Steps appear when a worker begins."
        } else {
            "It ended before its first step."
        };
        return html! { p.muted { (words) } };
    }
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Steps by policy type" }
                thead { tr { th scope="col" { "State" } th scope="col" { "Policy type" } th.num scope="col" { "Listed" } th.num scope="col" { "Time" } } }
                tbody {
                    @for step in steps {
                        tr {
                            td data-l="State" { span { (chip::step(step.state)) } }
                            td data-l="Policy type" { div {
                                (app.catalog.label(&step.policy_type))
                                @if let Some(reason) = step.completeness.as_ref().and_then(tp_domain::completeness::Completeness::reason) {
                                    " " a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) }
                                }
                            } }
                            td.num data-l="Listed" { @if step.completeness.is_some() { (format::number(step.listed)) } @else { "–" } }
                            td.num data-l="Time" { @match step.started_at {
                                Some(at) => (format::duration(step.completed_at.unwrap_or(now).since(at))),
                                None => "–",
                            } }
                        }
                    }
                }
            }
        }
    }
}

fn facts(run: &OperationRun, home: Home<'_>, now: Timestamp) -> Markup {
    let moment =
        |at: Option<Timestamp>| html! { @match at { Some(at) => (time(at, now)), None => "–" } };
    html! {
        dl.facts {
            @if let Home::Tenant(tenant) = home { dt { "Tenant" } dd { (format::shown(&tenant.name)) } }
            dt { "Started by" } dd { (format::shown(&run.initiator_name)) }
            dt { "Trigger" } dd { (run.trigger) }
            dt { "Queued" } dd { (moment(Some(run.state.created_at()))) }
            dt { "Started" } dd { (moment(run.state.started_at())) }
            dt { "Ended" } dd { (moment(run.state.completed_at())) }
            dt { "Duration" } dd { (took(run, now).map_or_else(|| "–".to_owned(), format::duration)) }
            dt { "Attempt" } dd { (run.attempt) " of " (run.max_attempts) }
            @if let Some(map) = run.context.as_object() {
                @for (key, value) in map {
                    dt { (key.replace('_', " ")) } dd { (value) }
                }
            }
            @if let Some(parent) = run.parent { dt { "Belongs to" } dd { a href=(Home::Workspace(run.workspace).operation(parent)) { "Scheduled operations" } } }
            @if let Some(old) = run.retry_of { dt { "Tries again" } dd { a href=(home.operation(old)) { "View run" } } }
            dt { "As JSON" } dd { a href=(home.api_run(run.id)) { "Open" } }
        }
    }
}

fn items_table(app: &App, items: &[RunItem]) -> Markup {
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Items" }
                thead { tr { th scope="col" { "State" } th scope="col" { "Item" } th scope="col" { "Reason" } th.num scope="col" { "Tries" } } }
                tbody {
                    @for item in items {
                        @let name = item.subject.name.as_deref().unwrap_or(&item.subject.key);
                        tr {
                            td data-l="State" { span { (chip::item(item.state)) } }
                            td data-l="Item" { div { (format::shown(name)) @if let Some(key) = &item.subject.policy_type { br; span.muted.small { (app.catalog.label(key)) } } } }
                            td data-l="Reason" { @match item.reason { Some(code) => a.mono href=(paths::reason_code(code.as_str())) { (code.as_str()) }, None => "–" } }
                            td.num data-l="Tries" { (item.attempts) }
                        }
                    }
                }
            }
        }
        @if items.len() >= usize::try_from(ITEMS).unwrap_or(usize::MAX) { p.muted { "The first " (ITEMS) " are shown. The API lists all." } }
    }
}

fn children_table(children: &[Child], tenants: &[Tenant]) -> Markup {
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Runs that belong to it" }
                thead { tr { th scope="col" { "State" } th scope="col" { "Tenant" } th.num scope="col" { "Wave" } th scope="col" { "Run" } } }
                tbody {
                    @for child in children {
                        @let tenant = tenants.iter().find(|tenant| Some(tenant.id) == child.tenant);
                        tr {
                            td data-l="State" { div { (chip::child(child.state)) @if let Some(code) = child.reason { " " a.small.mono href=(paths::reason_code(code.as_str())) { (code.as_str()) } } } }
                            td data-l="Tenant" { @match tenant { Some(tenant) => (format::shown(&tenant.name)), None => "A tenant that you do not see" } }
                            td.num data-l="Wave" { (child.wave + 1) }
                            td data-l="Run" { @match (tenant, child.run) { (Some(tenant), Some(run)) => a href=(paths::operation(tenant, run)) { "View run" span.visually-hidden { " of " (format::shown(&tenant.name)) } }, _ => "–" } }
                        }
                    }
                }
            }
        }
    }
}

fn inputs(app: &App, run: &OperationRun) -> Markup {
    if run.kind != OperationKind::InventorySync.as_str() {
        return other_inputs(run);
    }
    let types = run.inputs.get("types").and_then(|types| types.as_array());
    let foundations = run.inputs.get("include_foundations").and_then(serde_json::Value::as_bool);
    html! {
        dl.facts {
            dt { "Policy types" } dd { @match types {
                None => "All",
                Some(types) => @for (index, key) in types.iter().filter_map(|key| key.as_str()).enumerate() {
                    @if index > 0 { ", " }
                    (tp_domain::policy::PolicyType::new(key).map_or_else(|_| key.to_owned(), |key| app.catalog.label(&key).to_owned()))
                },
            } }
            dt { "Foundations" } dd { @if foundations == Some(false) { "Left out" } @else { "Included" } }
        }
    }
}

/// Inputs of kinds without words of their own: names and values.
fn other_inputs(run: &OperationRun) -> Markup {
    let map = run.inputs.as_object().filter(|map| !map.is_empty());
    html! {
        @match map {
            None => p.muted { "None." },
            Some(map) => dl.facts {
                @for (key, value) in map {
                    dt { (key.replace('_', " ")) }
                    dd { @match value.as_str() { Some(text) => (format::shown(text)), None => (value.to_string()) } }
                }
            },
        }
    }
}

fn history_list(history: &[OperationRun], tenant: &Tenant, now: Timestamp) -> Markup {
    if history.is_empty() {
        return html! { p.muted { "This is the first run with these inputs." } };
    }
    html! {
        ul.chips {
            @for run in history {
                li { a href=(paths::operation(tenant, run.id)) title=(format::absolute(run.state.created_at())) {
                    (chip::run(run, now)) span.visually-hidden { ", " (format::relative(run.state.created_at(), now)) }
                } }
            }
        }
    }
}
