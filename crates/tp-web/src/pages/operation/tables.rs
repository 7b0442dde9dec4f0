//! The tables of a run's page: failures, steps, items, children, history.

use maud::{Markup, html};
use tp_domain::item::RunItem;
use tp_domain::run::{FailedItem, Failure, OperationRun, RunStep};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::Child;

use super::ITEMS;
use crate::app::App;
use crate::components::chip;
use crate::components::run::unit;
use crate::paths::Home;
use crate::{format, paths};

pub(super) fn failures(app: &App, run: &OperationRun) -> Markup {
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
                        @for item in &failure.items { (failed_item(app, failure, item)) }
                        @if let Some(words) = not_listed(run, failure) {
                            tr {
                                td data-l="What" { (words) }
                                td data-l="Reason" { (reason(failure)) }
                                td data-l="What to do" { div { (failure.code.text().advice) } }
                                td data-l="Graph request id" { "–" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `code × count`, and its sentence.
fn reason(failure: &Failure) -> Markup {
    html! {
        div {
            a.mono href=(paths::reason_code(failure.code.as_str())) { (failure.code.as_str()) }
            " × " (format::number(failure.count)) br; (failure.message.as_str())
        }
    }
}

/// What failed and is not named as an item; none when every one of them is.
fn not_listed(run: &OperationRun, failure: &Failure) -> Option<String> {
    let named = u64::try_from(failure.items.len()).unwrap_or(u64::MAX);
    let left = failure.count.saturating_sub(named);
    let unit = unit(run);
    match (named, left) {
        // The run itself failed: there is no item to name.
        (0, 0 | 1) if unit != "runs" => Some("The run".to_owned()),
        (_, 0) => None,
        (0, 1) => Some(format!("1 {}", unit.trim_end_matches('s'))),
        (0, left) => Some(format!("{} {unit}", format::number(left))),
        (_, left) => Some(format!("and {} more", format::number(left))),
    }
}

fn failed_item(app: &App, failure: &Failure, item: &FailedItem) -> Markup {
    html! {
        tr {
            td data-l="What" {
                @match &item.policy_type { Some(key) => (app.catalog.label(key)), None => "The run" }
                @if let Some(name) = &item.name { ": " (format::shown(name)) }
            }
            td data-l="Reason" { (reason(failure)) }
            td data-l="What to do" { div {
                (failure.code.text().advice)
                @if let Some(permission) = &item.permission { br; "Permission: " code { (permission) } }
            } }
            td data-l="Graph request id" { span.mono { (item.graph_request_id.as_deref().unwrap_or("–")) } }
        }
    }
}

pub(super) fn steps_table(
    app: &App,
    steps: &[RunStep],
    run: &OperationRun,
    now: Timestamp,
) -> Markup {
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

pub(super) fn items_table(app: &App, items: &[RunItem]) -> Markup {
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

pub(super) fn children_table(children: &[Child], tenants: &[Tenant]) -> Markup {
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

/// The runs that did the same, newest first.
pub(super) fn history_list(history: &[OperationRun], home: Home<'_>, now: Timestamp) -> Markup {
    if history.is_empty() {
        return html! { p.muted { "Nothing else has run that did the same." } };
    }
    html! {
        ul.chips {
            @for run in history {
                li { a href=(home.operation(run.id)) title=(format::absolute(run.state.created_at())) {
                    (chip::run(run, now)) span.visually-hidden { ", " (format::relative(run.state.created_at(), now)) }
                } }
            }
        }
    }
}
