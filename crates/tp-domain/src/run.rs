//! The run: one record for every long, remote or queued action (PRODUCT R-1).

use serde_json::Value;

use crate::actor::Trigger;
use crate::completeness::Completeness;
use crate::counts::RunCounts;
use crate::ids::{RunId, TenantId, UserId, WorkspaceId};
use crate::message::SafeMessage;
use crate::policy::PolicyType;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Where a run stands. It moves forward only: queued, running, completed.
    pub enum RunStatus {
        /// Waits for a worker.
        Queued => "queued",
        /// A worker has it, or it waits for its next try (ruling 10).
        Running => "running",
        /// Ended; it never changes again.
        Completed => "completed",
    }
}

words! {
    /// How a run ended.
    pub enum Outcome {
        /// Not ended yet. Never shown as an outcome.
        Pending => "pending",
        /// Everything was done.
        Succeeded => "succeeded",
        /// Something was done and something failed.
        PartiallySucceeded => "partially_succeeded",
        /// Nothing was done.
        Failed => "failed",
        /// It was not allowed to begin.
        Blocked => "blocked",
        /// A person stopped it.
        Canceled => "canceled",
    }
}

impl Outcome {
    /// Whether somebody should look at it (ruling 15).
    pub const fn needs_attention(self) -> bool {
        matches!(self, Self::PartiallySucceeded | Self::Failed | Self::Blocked)
    }
}

/// The state of a run with what belongs to that state, so that no impossible mix can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Waits for a worker.
    Queued {
        /// When it was asked for.
        created_at: Timestamp,
    },
    /// Being worked on, or waiting for its next try.
    Running {
        /// When it was asked for.
        created_at: Timestamp,
        /// When a worker first took it.
        started_at: Timestamp,
        /// The worker's last sign of life.
        heartbeat_at: Timestamp,
    },
    /// Ended.
    Completed {
        /// When it was asked for.
        created_at: Timestamp,
        /// When a worker first took it; none when it never began.
        started_at: Option<Timestamp>,
        /// When it ended.
        completed_at: Timestamp,
        /// How it ended; never `Pending`.
        outcome: Outcome,
    },
}

/// A move that the life of a run does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {from} run cannot {wanted}")]
pub struct InvalidTransition {
    from: RunStatus,
    wanted: &'static str,
}

impl RunState {
    /// A new run.
    pub const fn queued(created_at: Timestamp) -> Self {
        Self::Queued { created_at }
    }

    /// The word for this state.
    pub const fn status(self) -> RunStatus {
        match self {
            Self::Queued { .. } => RunStatus::Queued,
            Self::Running { .. } => RunStatus::Running,
            Self::Completed { .. } => RunStatus::Completed,
        }
    }

    /// The outcome; `Pending` until it has ended.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Completed { outcome, .. } => outcome,
            Self::Queued { .. } | Self::Running { .. } => Outcome::Pending,
        }
    }

    /// When it was asked for.
    pub const fn created_at(self) -> Timestamp {
        match self {
            Self::Queued { created_at }
            | Self::Running { created_at, .. }
            | Self::Completed { created_at, .. } => created_at,
        }
    }

    /// When a worker first took it.
    pub const fn started_at(self) -> Option<Timestamp> {
        match self {
            Self::Queued { .. } => None,
            Self::Running { started_at, .. } => Some(started_at),
            Self::Completed { started_at, .. } => started_at,
        }
    }

    /// When it ended.
    pub const fn completed_at(self) -> Option<Timestamp> {
        match self {
            Self::Completed { completed_at, .. } => Some(completed_at),
            Self::Queued { .. } | Self::Running { .. } => None,
        }
    }

    /// A worker takes it. A run that is taken over stays running and keeps its start (ruling 10).
    pub const fn claim(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Queued { created_at } => {
                Ok(Self::Running { created_at, started_at: now, heartbeat_at: now })
            }
            Self::Running { created_at, started_at, .. } => {
                Ok(Self::Running { created_at, started_at, heartbeat_at: now })
            }
            Self::Completed { .. } => {
                Err(InvalidTransition { from: RunStatus::Completed, wanted: "be claimed" })
            }
        }
    }

    /// It ends. A queued run can end only by not beginning: a queued run cannot succeed.
    pub const fn finish(self, now: Timestamp, outcome: Outcome) -> Result<Self, InvalidTransition> {
        match (self, outcome) {
            (_, Outcome::Pending) => {
                Err(InvalidTransition { from: self.status(), wanted: "end as pending" })
            }
            (
                Self::Queued { created_at },
                Outcome::Failed | Outcome::Blocked | Outcome::Canceled,
            ) => Ok(Self::Completed { created_at, started_at: None, completed_at: now, outcome }),
            (Self::Queued { .. }, _) => {
                Err(InvalidTransition { from: RunStatus::Queued, wanted: "succeed" })
            }
            (Self::Running { created_at, started_at, .. }, _) => Ok(Self::Completed {
                created_at,
                started_at: Some(started_at),
                completed_at: now,
                outcome,
            }),
            (Self::Completed { .. }, _) => {
                Err(InvalidTransition { from: RunStatus::Completed, wanted: "end again" })
            }
        }
    }
}

words! {
    /// Why a running run is not moving (PRODUCT ).
    pub enum WaitingReason {
        /// Microsoft Graph asked us to wait.
        Throttled => "throttled",
        /// The last try failed; the next one has a time.
        Retry => "retry",
        /// Another run is writing the same types.
        ScopeBusy => "scope_busy",
        /// Microsoft waits for a second administrator.
        ExternalApproval => "external_approval",
        /// The runs that belong to it have not ended.
        Children => "children",
    }
}

/// A wait, in words and with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Why.
    pub reason: WaitingReason,
    /// Until when.
    pub until: Timestamp,
}

/// Failures of one code within one run: bounded items, exact count (PRODUCT R-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: ReasonCode,
    /// The sentence.
    pub message: SafeMessage,
    /// How many things failed with this code.
    pub count: u64,
    /// The first of them.
    pub items: Vec<FailedItem>,
}

/// One thing that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedItem {
    /// The policy type, where there is one.
    pub policy_type: Option<PolicyType>,
    /// The Graph id, where there is one.
    pub graph_id: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// Graph's id of the request that failed.
    pub graph_request_id: Option<String>,
    /// The permission that is missing, where that is the reason.
    pub permission: Option<String>,
}

words! {
    /// How one step of a run stands.
    pub enum StepState {
        /// Not begun.
        Queued => "queued",
        /// Being worked on.
        Running => "running",
        /// Done.
        Succeeded => "succeeded",
        /// Some of it was done.
        Partial => "partial",
        /// Failed.
        Failed => "failed",
        /// Left out, with a reason.
        Skipped => "skipped",
    }
}

/// One step of a run: for a sync, one policy type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStep {
    /// The policy type.
    pub policy_type: PolicyType,
    /// How it stands.
    pub state: StepState,
    /// How much of it was seen; none while it is not over.
    pub completeness: Option<Completeness>,
    /// How many objects its listing had.
    pub listed: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
}

/// One run as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationRun {
    /// Its id.
    pub id: RunId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its tenant; none for workspace-level runs.
    pub tenant: Option<TenantId>,
    /// Its kind's code, as stored: it may be a code that this version does not know.
    pub kind: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it ended as it did, where there is one reason.
    pub reason: Option<ReasonCode>,
    /// The sentence for people.
    pub message: Option<SafeMessage>,
    /// What set it off.
    pub trigger: Trigger,
    /// Who is told; none for system runs.
    pub initiator: Option<UserId>,
    /// The initiator's name at that time.
    pub initiator_name: String,
    /// What was asked for.
    pub inputs: Value,
    /// How far it is.
    pub counts: RunCounts,
    /// What it is doing now, in a word or two.
    pub phase: Option<String>,
    /// Why it is not moving.
    pub waiting: Option<Waiting>,
    /// Failures by code.
    pub failures: Vec<Failure>,
    /// Whitelisted facts of the kind.
    pub context: Value,
    /// Which try this is; 0 before the first.
    pub attempt: u32,
    /// How many tries it gets.
    pub max_attempts: u32,
    /// The umbrella run, where there is one.
    pub parent: Option<RunId>,
    /// The run that this one tries again.
    pub retry_of: Option<RunId>,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<Timestamp>,
    /// The worker's last sign of life.
    pub heartbeat_at: Option<Timestamp>,
    /// Grows with every write, for `ETags`.
    pub revision: i64,
}

words! {
    /// How fresh an active run is. Derived when it is read, never stored (PRODUCT R-9).
    pub enum Freshness {
        /// Moves on.
        Active => "active",
        /// Stands still for a known reason and until a known time, or for a worker to take it.
        Waiting => "waiting",
        /// No sign of life for three heartbeats, or active for far longer than its kind takes.
        LikelyStuck => "likely_stuck",
        /// Has ended.
        Ended => "ended",
    }
}

/// A running run whose worker was silent for that long is likely stuck: three heartbeats.
pub const SILENT_AFTER: std::time::Duration = std::time::Duration::from_secs(30);

/// A wait is believed for that long after its end: the run must be taken up again by then.
const WAIT_SLACK: std::time::Duration = std::time::Duration::from_mins(1);

impl OperationRun {
    /// How fresh it is at that moment.
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        let kind = self.kind.parse::<crate::operation::OperationKind>();
        let expected = kind.map_or(u64::MAX, |kind| kind.facts().expected_seconds);
        let overdue = |since: Timestamp| now.since(since).as_secs() > expected;
        match self.state {
            RunState::Completed { .. } => Freshness::Ended,
            RunState::Queued { created_at } if overdue(created_at) => Freshness::LikelyStuck,
            RunState::Queued { .. } => Freshness::Waiting,
            RunState::Running { started_at, heartbeat_at, .. } => match self.waiting {
                Some(Waiting { reason: WaitingReason::Children, .. }) => Freshness::Waiting,
                Some(waiting) if waiting.until.plus(WAIT_SLACK) > now => Freshness::Waiting,
                // A wait that is over is not yet unsaid, or the run was not taken up again: its worker's
                // sign of life tells which.
                _ if now.since(heartbeat_at) > SILENT_AFTER || overdue(started_at) => {
                    Freshness::LikelyStuck
                }
                _ => Freshness::Active,
            },
        }
    }

    /// Whether it is queued or running.
    pub const fn is_active(&self) -> bool {
        !matches!(self.state, RunState::Completed { .. })
    }

    /// Its label for people.
    pub fn label(&self) -> &'static str {
        crate::operation::OperationKind::label_of(&self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(i64) -> Timestamp = Timestamp::from_micros;

    #[test]
    fn a_run_moves_forward_only() {
        let queued = RunState::queued(T(1));
        let running = queued.claim(T(2)).unwrap();
        let again = running.claim(T(3)).unwrap();
        assert_eq!(again.started_at(), Some(T(2)), "a take-over keeps the start");
        let ended = again.finish(T(4), Outcome::Succeeded).unwrap();
        assert_eq!(ended.completed_at(), Some(T(4)));
        assert!(ended.claim(T(5)).is_err());
        for outcome in Outcome::ALL {
            assert!(ended.finish(T(5), *outcome).is_err(), "{outcome}");
        }
    }

    #[test]
    fn a_wait_that_is_over_is_no_standstill_while_its_worker_lives() {
        let at = |seconds: i64| T(seconds * 1_000_000);
        let run = |heartbeat: i64, until: Option<i64>| OperationRun {
            id: RunId::from_uuid(uuid::Uuid::nil()),
            workspace: WorkspaceId::from_uuid(uuid::Uuid::nil()),
            tenant: None,
            kind: "inventory.sync".to_owned(),
            state: RunState::Running {
                created_at: at(0),
                started_at: at(0),
                heartbeat_at: at(heartbeat),
            },
            reason: None,
            message: None,
            trigger: Trigger::Manual,
            initiator: None,
            initiator_name: String::new(),
            inputs: Value::Null,
            counts: RunCounts::default(),
            phase: None,
            waiting: until
                .map(|until| Waiting { reason: WaitingReason::Throttled, until: at(until) }),
            failures: Vec::new(),
            context: Value::Null,
            attempt: 1,
            max_attempts: 3,
            parent: None,
            retry_of: None,
            cancel_requested_at: None,
            heartbeat_at: Some(at(heartbeat)),
            revision: 1,
        };
        let cases = [
            (100, None, Freshness::Active),
            (100, Some(20), Freshness::Active),
            (60, Some(20), Freshness::LikelyStuck),
            (60, Some(90), Freshness::Waiting),
            (60, None, Freshness::LikelyStuck),
        ];
        for (heartbeat, until, expected) in cases {
            assert_eq!(run(heartbeat, until).freshness(at(101)), expected, "{heartbeat} {until:?}");
        }
    }

    #[test]
    fn a_queued_run_cannot_succeed() {
        let queued = RunState::queued(T(1));
        for outcome in [Outcome::Succeeded, Outcome::PartiallySucceeded, Outcome::Pending] {
            assert!(queued.finish(T(2), outcome).is_err(), "{outcome}");
        }
        assert!(queued.finish(T(2), Outcome::Failed).is_ok());
        assert!(queued.claim(T(2)).unwrap().finish(T(3), Outcome::Pending).is_err());
    }
}
