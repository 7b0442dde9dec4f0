//! Runs in lists and in detail, and the banner after a start.

use std::time::Duration;

use maud::{Markup, html};
use tp_domain::operation::OperationKind;
use tp_domain::run::{OperationRun, Outcome, RunState, WaitingReason};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;

use super::{chip, time};
use crate::paths::Home;
use crate::{format, paths};

/// What the counts of a run count.
pub(crate) fn unit(run: &OperationRun) -> &'static str {
    run.kind.parse::<OperationKind>().map_or("items", |kind| kind.facts().unit)
}

/// How long it took, or has taken.
pub(crate) fn took(run: &OperationRun, now: Timestamp) -> Option<Duration> {
    let started = run.state.started_at()?;
    Some(run.state.completed_at().unwrap_or(now).since(started))
}

/// Why a run is not moving, in words.
pub(crate) fn waiting_words(run: &OperationRun, now: Timestamp) -> Option<String> {
    let waiting = run.waiting.filter(|waiting| waiting.until > now)?;
    if waiting.reason == WaitingReason::Children {
        let counts = run.counts;
        let total = counts.total.map_or_else(|| "–".to_owned(), format::number);
        return Some(format!("{} of {total} runs have ended", format::number(counts.processed())));
    }
    let left = format::duration(waiting.until.since(now).max(Duration::from_secs(1)));
    Some(match waiting.reason {
        WaitingReason::Throttled => format!("Microsoft Graph asked us to wait: {left} left"),
        WaitingReason::Retry => format!("The last try failed. The next one begins in {left}"),
        WaitingReason::ScopeBusy => {
            "Waiting for another run that writes the same policy types".to_owned()
        }
        WaitingReason::ExternalApproval => {
            "Waiting for a second administrator in Microsoft Intune".to_owned()
        }
        WaitingReason::Children => "Waiting for the runs that belong to it".to_owned(),
    })
}

/// The progress of a run, honest: a bar only with a known total, words always.
pub(crate) fn progress_words(run: &OperationRun, now: Timestamp) -> String {
    let counts = run.counts;
    if let Some(words) = waiting_words(run, now) {
        return words;
    }
    match (run.state, counts.total) {
        (RunState::Queued { created_at }, _) if now.since(created_at) > Duration::from_secs(30) => {
            "Waiting for a worker".to_owned()
        }
        (RunState::Queued { .. }, _) => "Queued".to_owned(),
        (RunState::Running { .. }, None) => {
            format!("{} {} so far", format::number(counts.processed()), unit(run))
        }
        (_, Some(total)) => {
            let failed = match counts.failed {
                0 => String::new(),
                failed => format!(", {} failed", format::number(failed)),
            };
            format!("{} of {}{failed}", format::number(counts.processed()), format::number(total))
        }
        (RunState::Completed { .. }, None) => "–".to_owned(),
    }
}

fn progress_cell(run: &OperationRun, now: Timestamp) -> Markup {
    let running = matches!(run.state, RunState::Running { .. });
    html! {
        @if let (true, Some(total)) = (running, run.counts.total) {
            progress max=(total.max(1)) value=(run.counts.processed()) aria-label={ "Progress of " (run.label()) } {}
        }
        span.small { (progress_words(run, now)) }
        @if let RunState::Completed { .. } = run.state && let Some(reason) = run.reason {
            " " a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) }
        }
    }
}

/// A table of runs. With tenants, each row names its own.
pub(crate) fn table(
    runs: &[OperationRun],
    tenant_of: &dyn Fn(&OperationRun) -> Option<Tenant>,
    with_tenant: bool,
    now: Timestamp,
) -> Markup {
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Operations" }
                thead {
                    tr {
                        th scope="col" { "Status" }
                        th scope="col" { "Operation" }
                        @if with_tenant { th scope="col" { "Tenant" } }
                        th scope="col" { "Progress" }
                        th scope="col" { "Started by" }
                        th scope="col" { "Queued" }
                        th.num scope="col" { "Duration" }
                    }
                }
                tbody {
                    @for run in runs {
                        @let tenant = tenant_of(run);
                        tr {
                            td data-l="Status" { (chip::run(run, now)) }
                            td data-l="Operation" {
                                @if let Some(tenant) = &tenant {
                                    a href=(paths::operation(tenant, run.id)) { (run.label()) }
                                } @else if run.tenant.is_none() {
                                    a href=(Home::Workspace(run.workspace).operation(run.id)) { (run.label()) }
                                } @else { (run.label()) }
                                br; span.mono { (run.id) }
                            }
                            @if with_tenant {
                                td data-l="Tenant" { @if let Some(tenant) = &tenant { (format::shown(&tenant.name)) } }
                            }
                            td data-l="Progress" { div { (progress_cell(run, now)) } }
                            td data-l="Started by" { (format::shown(&run.initiator_name)) }
                            td data-l="Queued" { span { (time(run.state.created_at(), now)) } }
                            td.num data-l="Duration" { (took(run, now).map_or_else(|| "–".to_owned(), format::duration)) }
                        }
                    }
                }
            }
        }
    }
}

/// The banner after a start. It stays: it is read from the database each time (UX F01).
pub(crate) fn started_banner(
    run: &OperationRun,
    tenant: &Tenant,
    new: bool,
    now: Timestamp,
) -> Markup {
    let view = html! { a href=(paths::operation(tenant, run.id)) { "View run" } };
    let label = run.label();
    let (class, words) = match (run.state, run.state.outcome()) {
        (RunState::Queued { .. }, _) if new => ("banner", html! { (label) " queued." }),
        (RunState::Queued { created_at } | RunState::Running { created_at, .. }, _) if !new => (
            "banner",
            html! { (label) " is already active since " (time(created_at, now)) ", started by " (format::shown(&run.initiator_name)) "." },
        ),
        (RunState::Queued { .. } | RunState::Running { .. }, _) => {
            ("banner", html! { (label) " is running." })
        }
        (_, Outcome::Succeeded) => ("banner good", html! { (label) " succeeded." }),
        (_, Outcome::PartiallySucceeded) => {
            ("banner warn", html! { (label) " partially succeeded." })
        }
        (_, Outcome::Canceled) => ("banner", html! { (label) " was canceled." }),
        (_, _) => {
            let sentence = run.message.as_ref().map(|message| message.as_str().to_owned());
            (
                "banner bad",
                html! { (label) " failed. " @if let Some(sentence) = sentence { (sentence) } },
            )
        }
    };
    html! { div class=(class) role="status" { p { (words) } (view) } }
}
