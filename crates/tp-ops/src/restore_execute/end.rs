//! How the work on an object ends.

use tp_catalog::steps::Step;
use tp_domain::reason::{ReasonCode, RetryClass};
use tp_domain::restore::intent::NewIntent;
use tp_domain::restore::outcome::{ItemOutcome, ItemResult};
use tp_domain::run::WaitingReason;
use tp_engine::operation::Stop;
use tp_graph::error::GraphError;

use super::item::Item;

/// How an item's work ended for now.
pub(super) enum End {
    Result(ItemResult),
    /// It waits for a second administrator.
    Parked,
    /// Its run may not write any more; the result is what is known of this item.
    Blocked(ItemResult, ReasonCode),
}

/// Why an item's work goes no further.
pub(super) enum Halt {
    /// The item ends.
    End(End),
    /// The run stops.
    Stop(Stop),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<tp_store::StoreError> for Halt {
    fn from(error: tp_store::StoreError) -> Self {
        Self::Stop(error.into())
    }
}

pub(super) type Worked<T> = Result<T, Halt>;

/// It is left alone.
pub(super) fn refused(reason: ReasonCode) -> Halt {
    Halt::End(End::Result(ItemResult::of(ItemOutcome::Refused, Some(reason))))
}

impl Item<'_> {
    pub(super) fn ended(
        &self,
        outcome: ItemOutcome,
        reason: ReasonCode,
        step: Option<String>,
        graph_request_id: Option<String>,
    ) -> Halt {
        let written = !self.done.is_empty();
        let half_done = written && outcome != ItemOutcome::WrittenButDiffers;
        let said =
            if half_done && outcome == ItemOutcome::Failed { ReasonCode::HalfDone } else { reason };
        Halt::End(End::Result(ItemResult {
            cause: (said != reason).then_some(reason),
            graph_id: self.id.clone(),
            half_done,
            step,
            graph_request_id,
            ..ItemResult::of(outcome, Some(said))
        }))
    }

    pub(super) fn failed(
        &self,
        step: Option<&Step>,
        reason: ReasonCode,
        request: Option<String>,
    ) -> Halt {
        self.ended(ItemOutcome::Failed, reason, step.map(|step| step.name.clone()), request)
    }

    pub(super) fn step_failed(
        &self,
        asked: &NewIntent,
        reason: ReasonCode,
        request: Option<String>,
    ) -> Halt {
        self.ended(ItemOutcome::Failed, reason, Some(asked.step.clone()), request)
    }

    pub(super) fn unknown(&self, step: &str) -> Halt {
        let reason = ReasonCode::UnknownOutcome;
        self.ended(ItemOutcome::UnknownOutcome, reason, Some(step.to_owned()), None)
    }

    /// The right to write is gone: this item ends as far as it came, and nothing more is written.
    pub(super) fn blocked(&self, reason: ReasonCode) -> Halt {
        let outcome = if self.done.is_empty() { ItemOutcome::Skipped } else { ItemOutcome::Failed };
        match self.ended(outcome, reason, None, None) {
            Halt::End(End::Result(result)) => Halt::End(End::Blocked(result, reason)),
            halt => halt,
        }
    }

    /// Nothing left this machine: the run waits or is tried again, and goes on here.
    pub(super) fn not_sent(&self, asked: &NewIntent, error: &GraphError) -> Halt {
        if error.postponed().is_some() || error.reason().retry() == RetryClass::Transient {
            return self.unreadable(error);
        }
        self.step_failed(asked, error.reason(), error.request_id().map(str::to_owned))
    }

    /// A reading failed.
    pub(super) fn unreadable(&self, error: &GraphError) -> Halt {
        let reason = error.reason();
        if let Some(wait) = error.postponed() {
            return Halt::Stop(Stop::Wait { waiting: WaitingReason::Throttled, wait });
        }
        let connection = matches!(
            reason,
            ReasonCode::GraphUnavailable
                | ReasonCode::GraphThrottled
                | ReasonCode::AuthFailed
                | ReasonCode::AppNotFound
                | ReasonCode::ConsentMissing
                | ReasonCode::CredentialExpired
                | ReasonCode::CredentialInvalid
                | ReasonCode::TenantMismatch
        );
        if connection {
            return Halt::Stop(Stop::Failed { reason, failures: Vec::new() });
        }
        self.ended(ItemOutcome::Failed, reason, None, error.request_id().map(str::to_owned))
    }
}
