//! The part of a run's page that is asked for again and again while the run is active.

use maud::{Markup, html};
use tp_domain::operation::OperationKind;
use tp_domain::run::{OperationRun, Outcome, RunState};
use tp_domain::schedule::{ExecuteSchedule, Targets};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;

use super::tables::{children_table, failures, history_list, items_table, steps_table};
use super::{Detail, sign};
use crate::app::App;
use crate::components::run::{progress_words, took, unit, waiting_words};
use crate::components::{chip, time};
use crate::paths::Home;
use crate::{format, paths};

pub(super) fn part(
    app: &App,
    detail: &Detail,
    home: Home<'_>,
    tenants: &[Tenant],
    now: Timestamp,
) -> Markup {
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
                    h2 { "History of this operation" }
                    (history_list(history, home, now))
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
            @if let (Home::Tenant(tenant), Ok(OperationKind::ConnectionVerify)) = (home, run.kind.parse()) {
                dt { "What it found" } dd { a href=(paths::connection(tenant)) { "View connection" } }
            }
            @if let Some(parent) = run.parent { dt { "Belongs to" } dd { a href=(Home::Workspace(run.workspace).operation(parent)) { "Scheduled operations" } } }
            @if let Some(old) = run.retry_of { dt { "Tries again" } dd { a href=(home.operation(old)) { "View run" } } }
            dt { "As JSON" } dd { a href=(home.api_run(run.id)) { "Open" } }
        }
    }
}

fn inputs(app: &App, run: &OperationRun) -> Markup {
    match run.kind.parse() {
        Ok(OperationKind::InventorySync) => sync_inputs(app, &run.inputs),
        Ok(OperationKind::BackupCreate) => match run.inputs.get("policies") {
            None => sync_inputs(app, &run.inputs),
            Some(_) => other_inputs(run),
        },
        Ok(OperationKind::ScheduleExecute) => match ExecuteSchedule::parse(&run.inputs) {
            Ok(asked) => schedule_inputs(app, run, &asked),
            Err(_) => other_inputs(run),
        },
        Ok(
            OperationKind::RunsPrune
            | OperationKind::BackupVerify
            | OperationKind::BackupExport
            | OperationKind::BackupImport
            | OperationKind::BackupRetention
            | OperationKind::PolicyCapture
            | OperationKind::DirectoryGroupsSync
            | OperationKind::PayloadsPrune
            | OperationKind::ConnectionVerify
            | OperationKind::RestorePreview
            | OperationKind::RestoreExecute,
        )
        | Err(_) => other_inputs(run),
    }
}

/// What a schedule asked for: which one, for when, and what is started where.
fn schedule_inputs(app: &App, run: &OperationRun, asked: &ExecuteSchedule) -> Markup {
    let schedule = Home::Workspace(run.workspace).schedule(asked.schedule);
    html! {
        dl.facts {
            dt { "Schedule" } dd { a href=(schedule) { "View schedule" } }
            dt { "For" } dd { (format::absolute(asked.slot)) }
            dt { "Starts" } dd { (asked.kind.facts().label_en) }
            dt { "In" } dd { @match &asked.targets {
                Targets::Own => "The workspace",
                Targets::AllTenants => "All tenants",
                Targets::Tenants(list) if list.len() == 1 => "1 tenant",
                Targets::Tenants(list) => { (list.len()) " tenants" },
            } }
            dt { "At most at once" } dd { (asked.wave_size) }
        }
        @if asked.kind == OperationKind::InventorySync { (sync_inputs(app, &asked.inputs)) }
    }
}

fn sync_inputs(app: &App, inputs: &serde_json::Value) -> Markup {
    let types = inputs.get("types").and_then(|types| types.as_array());
    let foundations = inputs.get("include_foundations").and_then(serde_json::Value::as_bool);
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
