//! What the platform page shows.

use std::time::Duration;

use maud::{Markup, html};
use tp_domain::gate::{Gate, GateReach};
use tp_domain::operation::OperationKind;
use tp_domain::run::{OperationRun, RunState};
use tp_domain::runs_prune::Retention;
use tp_domain::time::Timestamp;
use tp_store::{MOST_RUNNING, WorkspaceSettings};

use super::{STUCK_SHOWN, Seen};
use crate::components::layout::Shell;
use crate::components::{chip, empty, off, time};
use crate::format;
use crate::paths::Home;

/// The id of the text that says why controls are off.
pub(super) const WHY: &str = "why-manage";

/// A worker without a sign for this long is gone, or its machine is.
const WORKER_SILENT: Duration = Duration::from_secs(30);

/// For how long a gate is closed, in hours; the first is chosen unless somebody chooses another.
const FOR_HOURS: [(u32, &str); 5] = [
    (1, "1 hour"),
    (8, "8 hours"),
    (24, "1 day"),
    (168, "1 week"),
    (0, "Until it is opened by hand"),
];

pub(super) fn queue_part(seen: &Seen, now: Timestamp) -> Markup {
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

pub(super) fn stuck_part(seen: &Seen, shell: &Shell, here: &str, may: bool) -> Markup {
    if seen.stuck.is_empty() {
        return html! { p.muted { "Nothing: every active run moves on, or waits for something that is known." } };
    }
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Likely stuck" }
            thead { tr { th scope="col" { "State" } th scope="col" { "Operation" } th scope="col" { "Tenant" } th scope="col" { "Since" } th scope="col" { "Release" } } }
            tbody { @for run in seen.stuck.iter().take(STUCK_SHOWN) {
                @let tenant = seen.tenants.iter().find(|tenant| Some(tenant.id) == run.tenant);
                @let home = tenant.map_or(Home::Workspace(run.workspace), Home::Tenant);
                tr {
                    td data-l="State" { span { (chip::run(run, shell.now)) } }
                    td data-l="Operation" { a href=(home.operation(run.id)) { (run.label()) } }
                    td data-l="Tenant" { (tenant.map_or("–".into(), |tenant| format::shown(&tenant.name))) }
                    td data-l="Since" { span { (time(run.heartbeat_at.unwrap_or_else(|| run.state.created_at()), shell.now)) } }
                    td data-l="Release" { (release(run, shell, here, may)) }
                }
            } }
        } }
        @if seen.stuck.len() > STUCK_SHOWN { p.muted { "The first " (STUCK_SHOWN) " are shown." } }
    }
}

/// Taking a run from its worker; only a run that a worker has begun can be taken.
fn release(run: &OperationRun, shell: &Shell, here: &str, may: bool) -> Markup {
    let label = html! { "Take from its worker" span.visually-hidden { ": " (run.label()) } };
    if matches!(run.state, RunState::Queued { .. }) {
        return html! { span.muted { "No worker holds it: it waits for one." } };
    }
    if !may {
        return off("pill", WHY, &label);
    }
    html! {
        form method="post" action=(format!("{here}/release")) {
            (shell.csrf())
            input type="hidden" name="run" value=(run.id);
            input type="hidden" name="tenant" value=(run.tenant.map(|id| id.to_string()).unwrap_or_default());
            button.pill type="submit" { (label) }
        }
    }
}

pub(super) fn gates_part(seen: &Seen, shell: &Shell, here: &str, may: bool) -> Markup {
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
                    td data-l="Until" { span { @match gate.expires_at { Some(at) => (time(at, shell.now)), None => "Until it is opened by hand" } } }
                    td data-l="Open" { (opener(gate, shell, here, may)) }
                } } }
            } }
        }
        form.filters method="post" action=(format!("{here}/gates/close")) aria-label="Close a gate" {
            (shell.csrf())
            fieldset disabled[!may] {
                div.field { label for="kind" { "Stop" } select id="kind" name="kind" {
                    option value="*" { "All operations" }
                    @for kind in OperationKind::ALL { option value=(kind) { (kind.facts().label_en) } }
                } }
                div.field { label for="note" { "Why" } input type="text" id="note" name="note" maxlength="200" required; }
                div.field { label for="hours" { "For how long" } select id="hours" name="hours" {
                    @for (hours, words) in FOR_HOURS { option value=(hours) { (words) } }
                } }
            }
            @if may { button.button type="submit" { "Close gate" } } @else { (off("button", WHY, &html! { "Close gate" })) }
        }
    }
}

/// Opening a gate; one over the whole installation is not opened from here.
fn opener(gate: &Gate, shell: &Shell, here: &str, may: bool) -> Markup {
    let label = html! { "Open" span.visually-hidden { ": " (gate.kind.label()) } };
    if gate.reach == GateReach::Everywhere {
        return html! { span.muted { "From the machine's own shell" } };
    }
    if !may {
        return off("pill", WHY, &label);
    }
    html! {
        form method="post" action=(format!("{here}/gates/open")) {
            (shell.csrf())
            input type="hidden" name="kind" value=(gate.kind.as_str());
            button.pill type="submit" { (label) }
        }
    }
}

pub(super) fn settings_part(seen: &Seen, shell: &Shell, here: &str, may: bool) -> Markup {
    let WorkspaceSettings { retention, max_running } = seen.settings;
    html! {
        form.filters method="post" action=(format!("{here}/settings")) aria-label="Settings" {
            (shell.csrf())
            fieldset disabled[!may] {
                div.field { label for="retention_days" { "Keep finished runs, in days" } input type="number" id="retention_days" name="retention_days" min=(Retention::FLOOR) max=(Retention::CEILING) value=(retention.as_days()); }
                div.field { label for="max_running" { "Runs of this workspace at once" } input type="number" id="max_running" name="max_running" min="1" max=(MOST_RUNNING) value=(max_running); }
            }
            @if may { button.button type="submit" { "Save" } } @else { (off("button", WHY, &html! { "Save" })) }
        }
    }
}
