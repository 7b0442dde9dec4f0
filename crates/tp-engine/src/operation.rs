//! What the engine asks of an operation, and what it gives it.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, WaitingReason};
use tp_store::{ChildPlan, ClaimedRun, StoreError};

/// One kind of work. Its state is in the database: a run may be taken over at any moment, by another
/// process, and then begins from what was stored.
pub trait Operation: Send + Sync {
    /// The kind that it carries out.
    fn kind(&self) -> OperationKind;

    /// Does the work of one run.
    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>>;
}

/// What an operation works with.
#[derive(Clone, Debug)]
pub struct OpContext<'a> {
    /// The run. Every write through it is checked against its lease.
    pub run: &'a ClaimedRun,
    /// Says that the work must stop: the lease was lost or the process shuts down.
    pub stop: CancellationToken,
    /// Says that somebody wants the run canceled: stop at the next item, with [`Stop::Canceled`].
    pub cancel: CancellationToken,
}

impl<'a> OpContext<'a> {
    /// Carries out work that can be left at any moment: what it has stored by then stays.
    pub fn until_stopped(
        self,
        work: impl Future<Output = Result<Report, Stop>> + Send + 'a,
    ) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            tokio::select! {
                () = self.stop.cancelled() => Err(Stop::Interrupted),
                () = self.cancel.cancelled() => Err(Stop::Canceled),
                result = work => result,
            }
        })
    }
}

/// What an operation has done. How much is in the run's own counts ([`ClaimedRun::counts`]).
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Failures by code.
    pub failures: Vec<Failure>,
    /// Whitelisted facts; keys that the registry does not list for the kind are left out.
    pub context: Value,
}

/// Why an operation did not come to a report.
#[derive(Debug)]
pub enum Stop {
    /// The work as a whole failed. The engine decides whether it is tried again.
    Failed {
        /// Why.
        reason: ReasonCode,
        /// Failures by code, for the record when there is no further try.
        failures: Vec<Failure>,
    },
    /// It cannot go on now; no try is used up.
    Wait {
        /// What is said meanwhile.
        waiting: WaitingReason,
        /// For how long.
        wait: Duration,
    },
    /// It goes on as an umbrella over these runs.
    Children(Vec<ChildPlan>),
    /// [`OpContext::stop`] was heard.
    Interrupted,
    /// It may not go on: found before a batch of writes ([`ClaimedRun::still_allowed`]), or by the claim.
    Blocked(ReasonCode),
    /// [`OpContext::cancel`] was heard. What was done stays done.
    Canceled,
    /// The database did not do as asked; a lost lease is one of these.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
