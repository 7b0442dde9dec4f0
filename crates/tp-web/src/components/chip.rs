//! Chips: one word, one icon, one colour per state (UX §2.6).

use maud::{Markup, html};
use tp_catalog::capabilities::{BackupLevel, Works};
use tp_catalog::compare::EntryKind;
use tp_catalog::contract::RestoreMode;
use tp_catalog::permission_check::{Purpose, Standing};
use tp_domain::backup::{BackupItemState, BackupState};
use tp_domain::completeness::{Completeness, CompletenessState};
use tp_domain::item::ItemState;
use tp_domain::run::{Freshness, OperationRun, Outcome, RunState, StepState};
use tp_domain::schedule::SlotState;
use tp_domain::time::Timestamp;
use tp_store::ChildState;

use super::icon;

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
    let fresh = run.freshness(now);
    match run.state {
        RunState::Completed { outcome: how, .. } => outcome(how),
        _ if run.cancel_requested_at.is_some() => chip("canceled", icon::crossed(), "Canceling"),
        _ if fresh == Freshness::LikelyStuck => chip("partial", icon::ring_alert(), "Likely stuck"),
        RunState::Queued { .. } => chip("queued", icon::clock(), "Queued"),
        RunState::Running { .. } if fresh == Freshness::Waiting => {
            chip("queued", icon::clock(), "Waiting")
        }
        RunState::Running { .. } => chip("running", icon::ring(), "Running"),
    }
}

pub(crate) fn item(state: ItemState) -> Markup {
    match state {
        ItemState::Pending => chip("queued", icon::clock(), "Pending"),
        ItemState::Running => chip("running", icon::ring(), "Running"),
        ItemState::Succeeded => chip("succeeded", icon::tick(), "Succeeded"),
        ItemState::Failed => chip("failed", icon::cross(), "Failed"),
        ItemState::Skipped => chip("canceled", icon::bars(), "Skipped"),
    }
}

pub(crate) fn child(state: ChildState) -> Markup {
    match state {
        ChildState::Planned => chip("queued", icon::clock(), "Planned"),
        ChildState::Started => chip("running", icon::ring(), "Started"),
        ChildState::Succeeded => chip("succeeded", icon::tick(), "Succeeded"),
        ChildState::Failed => chip("failed", icon::cross(), "Failed"),
        ChildState::Skipped => chip("canceled", icon::bars(), "Skipped"),
    }
}

pub(crate) fn slot(state: SlotState) -> Markup {
    match state {
        SlotState::Fired => chip("succeeded", icon::tick(), "Started"),
        SlotState::Skipped => chip("canceled", icon::bars(), "Skipped: already running"),
        SlotState::Missed => chip("partial", icon::triangle(), "Missed"),
        SlotState::Refused => chip("failed", icon::stop(), "Refused"),
    }
}

/// Whether a worker gives signs of life.
pub(crate) fn alive(alive: bool) -> Markup {
    if alive {
        chip("succeeded", icon::tick(), "Alive")
    } else {
        chip("partial", icon::ring_alert(), "Silent")
    }
}

/// Whether something is switched on.
pub(crate) fn switch(on: bool) -> Markup {
    if on {
        chip("succeeded", icon::tick(), "On")
    } else {
        chip("canceled", icon::bars(), "Paused")
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

/// What a backup of a type holds.
pub(crate) fn backup(level: BackupLevel) -> Markup {
    match level {
        BackupLevel::Full => chip("succeeded", icon::tick(), "Full"),
        BackupLevel::Metadata => chip("partial", icon::triangle(), "Names and dates"),
        BackupLevel::None => chip("canceled", icon::bars(), "None"),
    }
}

/// Whether a type can be restored.
pub(crate) fn restore(mode: RestoreMode) -> Markup {
    match mode {
        RestoreMode::Enabled => chip("succeeded", icon::tick(), "Enabled"),
        RestoreMode::PreviewOnly => chip("partial", icon::triangle(), "Preview only"),
        RestoreMode::Unsupported => chip("canceled", icon::bars(), "Unsupported"),
    }
}

/// Whether something works in a tenant.
pub(crate) fn works(works: &Works) -> Markup {
    match works {
        Works::Yes => chip("succeeded", icon::tick(), "Works"),
        Works::Missing(_) => chip("failed", icon::stop(), "Permission missing"),
        Works::Never(_) => chip("canceled", icon::bars(), "Not possible"),
        Works::NotChecked => chip("queued", icon::clock(), "Not checked yet"),
    }
}

/// How a needed permission stands.
pub(crate) fn standing(standing: &Standing, purpose: Purpose) -> Markup {
    match (standing, purpose) {
        (Standing::Granted, _) => chip("succeeded", icon::tick(), "Granted"),
        (Standing::Covered { .. }, _) => chip("succeeded", icon::tick(), "Covered"),
        (Standing::Missing, Purpose::Backup) => chip("failed", icon::cross(), "Missing"),
        // A connection that only reads is a choice.
        (Standing::Missing, Purpose::Restore) => chip("canceled", icon::bars(), "Not granted"),
        (Standing::NotChecked, _) => chip("queued", icon::clock(), "Not checked yet"),
    }
}

/// A permission that is more than needed.
pub(crate) fn excess() -> Markup {
    chip("partial", icon::triangle(), "More than needed")
}

/// Something that is as it should be.
pub(crate) fn good(word: &str) -> Markup {
    chip("succeeded", icon::tick(), word)
}

/// Something that people should know.
pub(crate) fn warn(word: &str) -> Markup {
    chip("partial", icon::triangle(), word)
}

/// Something that does not work.
pub(crate) fn bad(word: &str) -> Markup {
    chip("failed", icon::cross(), word)
}

/// Something that is off, or not there.
pub(crate) fn plain(word: &str) -> Markup {
    chip("canceled", icon::bars(), word)
}

/// Something that is not known.
pub(crate) fn unknown(word: &str) -> Markup {
    chip("queued", icon::clock(), word)
}

/// How a backup set stands. One that is not ended is at work, or its run ended in the middle of it.
pub(crate) fn backup_set(state: BackupState, at_work: bool) -> Markup {
    match state {
        BackupState::Creating if !at_work => chip("partial", icon::ring_alert(), "Unfinished"),
        BackupState::Creating => chip("running", icon::ring(), "Being made"),
        BackupState::Complete => chip("succeeded", icon::tick(), "Complete"),
        BackupState::Partial => chip("partial", icon::triangle(), "Partial"),
        BackupState::Failed => chip("failed", icon::cross(), "Failed"),
    }
}

pub(crate) fn pinned() -> Markup {
    chip("queued", icon::pin(), "Pinned")
}

/// What became of a policy in a set, in a word.
pub(crate) const fn backup_item_word(state: BackupItemState) -> &'static str {
    match state {
        BackupItemState::Captured => "Read in full",
        BackupItemState::Unchanged => "Unchanged",
        BackupItemState::Failed => "Not read",
    }
}

pub(crate) fn backup_item(state: BackupItemState) -> Markup {
    let word = backup_item_word(state);
    match state {
        BackupItemState::Captured => chip("succeeded", icon::tick(), word),
        BackupItemState::Unchanged => chip("succeeded", icon::bars(), word),
        BackupItemState::Failed => chip("failed", icon::cross(), word),
    }
}

/// What happened to a value from left to right.
pub(crate) fn difference(kind: EntryKind) -> Markup {
    match kind {
        EntryKind::Added => chip("succeeded", icon::plus(), "Added"),
        EntryKind::Removed => chip("failed", icon::bars(), "Removed"),
        EntryKind::Changed => chip("partial", icon::triangle(), "Changed"),
    }
}

pub(crate) fn missing(missing: bool) -> Markup {
    if missing {
        chip("partial", icon::triangle(), "Missing in tenant")
    } else {
        chip("succeeded", icon::tick(), "Present")
    }
}
