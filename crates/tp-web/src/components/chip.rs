//! Chips: one word, one icon, one colour per state (UX §2.6).

use std::time::Duration;

use maud::{Markup, html};
use tp_domain::completeness::{Completeness, CompletenessState};
use tp_domain::run::{OperationRun, Outcome, RunState, StepState};
use tp_domain::time::Timestamp;

use super::icon;

/// A running run whose worker was silent for three heartbeats is stalled: derived, not stored.
const STALLED_AFTER: Duration = Duration::from_secs(30);

fn chip(class: &str, icon: Markup, word: &str) -> Markup {
    html! { span class={ "chip " (class) } { (icon) (word) } }
}

pub(crate) fn outcome(outcome: Outcome) -> Markup {
    match outcome {
        Outcome::Pending => chip("running", icon::ring(), "Running"),
        Outcome::Succeeded => chip("succeeded", icon::tick(), "Succeeded"),
        Outcome::PartiallySucceeded => chip("partial", icon::triangle(), "Partially succeeded"),
        Outcome::Failed => chip("failed", icon::cross(), "Failed"),
        Outcome::Blocked => chip("failed", icon::stop(), "Blocked"),
        Outcome::Canceled => chip("canceled", icon::crossed(), "Canceled"),
    }
}

/// The one derived word of a run.
pub(crate) fn run(run: &OperationRun, now: Timestamp) -> Markup {
    match run.state {
        RunState::Queued { .. } => chip("queued", icon::clock(), "Queued"),
        RunState::Running { .. } if run.cancel_requested_at.is_some() => {
            chip("canceled", icon::crossed(), "Canceling")
        }
        RunState::Running { .. } if run.waiting.is_some_and(|w| w.until > now) => {
            chip("queued", icon::clock(), "Waiting")
        }
        RunState::Running { heartbeat_at, .. } if now.since(heartbeat_at) > STALLED_AFTER => {
            chip("partial", icon::ring_alert(), "Stalled")
        }
        RunState::Running { .. } => chip("running", icon::ring(), "Running"),
        RunState::Completed { outcome: how, .. } => outcome(how),
    }
}

pub(crate) fn step(state: StepState) -> Markup {
    match state {
        StepState::Queued => chip("queued", icon::clock(), "Queued"),
        StepState::Running => chip("running", icon::ring(), "Running"),
        StepState::Succeeded => chip("succeeded", icon::tick(), "Complete"),
        StepState::Partial => chip("partial", icon::triangle(), "Partial"),
        StepState::Failed => chip("failed", icon::cross(), "Failed"),
        StepState::Skipped => chip("canceled", icon::bars(), "Skipped"),
    }
}

pub(crate) fn completeness(completeness: &Completeness) -> Markup {
    match completeness.state() {
        CompletenessState::Complete => chip("succeeded", icon::tick(), "Complete"),
        CompletenessState::Partial => chip("partial", icon::triangle(), "Partial"),
        CompletenessState::Failed => chip("failed", icon::cross(), "Failed"),
        CompletenessState::NotPermitted => chip("failed", icon::stop(), "Not permitted"),
        CompletenessState::NotCovered => chip("canceled", icon::bars(), "Not covered"),
    }
}

pub(crate) fn missing(missing: bool) -> Markup {
    if missing {
        chip("partial", icon::triangle(), "Missing in tenant")
    } else {
        chip("succeeded", icon::tick(), "Present")
    }
}
