//! One run: what ran, who started it, how far it is, what failed, what to do now.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use tp_domain::access::ViewOperations;
use tp_domain::ids::RunId;
use tp_domain::run::{OperationRun, Outcome, RunState, RunStep};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::TenantScope;

use super::partial;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::run::{progress_words, took, unit, waiting_words};
use crate::components::{chip, time};
use crate::error::WebError;
use crate::extract::{Id, InTenant};
use crate::{format, paths};

/// The history shows this many runs of the same operation.
const HISTORY: u32 = 10;

struct Detail {
    run: OperationRun,
    steps: Vec<RunStep>,
    history: Vec<OperationRun>,
}

async fn detail(scope: &TenantScope<ViewOperations>, id: RunId) -> Result<Detail, WebError> {
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let steps = scope.run_steps(id).await?;
    let history = scope.run_history(&run, HISTORY).await?;
    Ok(Detail { run, steps, history })
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let detail = detail(&scope, id).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, run) = (scope.tenant(), &detail.run);
    let live = format!("{}/live", paths::operation(tenant, id));
    let part = part(&app, &detail, tenant, shell.now);
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(paths::operations(tenant)) { "Operations" } }
            li aria-current="page" { (run.label()) }
        } }
        div data-live=(live) data-every="2000" data-title="1" { (part) }
    };
    let title = match run.state.outcome() {
        Outcome::Pending => run.label().to_owned(),
        outcome => format!("{} {}", sign(outcome), run.label()),
    };
    Ok(shell.render(&Page {
        title: &title,
        place: Place::Operations,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

pub(crate) async fn live(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let detail = detail(&scope, id).await?;
    Ok(partial(&headers, part(&app, &detail, scope.tenant(), app.store.now())))
}

/// In front of the title, so that a background tab tells the end.
const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "✓",
        Outcome::PartiallySucceeded => "!",
        _ => "✗",
    }
}

fn part(app: &App, detail: &Detail, tenant: &Tenant, now: Timestamp) -> Markup {
    let Detail { run, steps, history } = detail;
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
                    h2 { "Steps" }
                    (steps_table(app, steps, run, now))
                }
                section {
                    h2 { "Details" }
                    (facts(run, tenant, now))
                    h2 { "Inputs" }
                    (inputs(app, run))
                    h2 { "History of this operation" }
                    (history_list(history, tenant, now))
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

fn facts(run: &OperationRun, tenant: &Tenant, now: Timestamp) -> Markup {
    let moment =
        |at: Option<Timestamp>| html! { @match at { Some(at) => (time(at, now)), None => "–" } };
    html! {
        dl.facts {
            dt { "Tenant" } dd { (format::shown(&tenant.name)) }
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
            dt { "As JSON" } dd { a href=(format!("/api/v1/tenants/{}/runs/{}", tenant.slug, run.id)) { "Open" } }
        }
    }
}

fn inputs(app: &App, run: &OperationRun) -> Markup {
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
