//! Progress: collected in memory by the work, written by the engine at most twice a second.
//!
//! What is written here is a summary for people. The truth is in the rows of items and steps, and is
//! counted again when a run is claimed after a crash and when it ends (PRODUCT R-6, ENGINE §4.2).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tp_domain::counts::RunCounts;
use tp_domain::ids::{RunId, WorkerId};
use tp_domain::run::Waiting;
use uuid::Uuid;

use crate::HeldLease;
use crate::claims::Claimed;
use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::stmt::stmt;
use crate::upkeep::Upkeep;

// Counts never fall, whatever order writes come in; CASE because the two databases spell max apart.
const RUN_PROGRESS: &str = "\
UPDATE operation_runs
SET phase = $3, waiting_reason = $4, waiting_until = $5, total = $6,
    succeeded = CASE WHEN $7 > succeeded THEN $7 ELSE succeeded END,
    failed = CASE WHEN $8 > failed THEN $8 ELSE failed END,
    skipped = CASE WHEN $9 > skipped THEN $9 ELSE skipped END,
    processed = CASE WHEN $7 > succeeded THEN $7 ELSE succeeded END
              + CASE WHEN $8 > failed THEN $8 ELSE failed END
              + CASE WHEN $9 > skipped THEN $9 ELSE skipped END,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const CANCELED: &str = "\
SELECT j.run_id, j.fence FROM jobs j
JOIN operation_runs r ON r.scope_id = j.scope_id AND r.id = j.run_id
WHERE j.lease_owner = $1 AND j.state = 'leased' AND r.cancel_requested_at IS NOT NULL";

/// What a run says of itself while it is worked on. Cheap to clone; setting costs no write.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Clone, Debug)]
struct State {
    phase: Option<String>,
    waiting: Option<Waiting>,
    counts: RunCounts,
    changed: bool,
}

impl Progress {
    pub(crate) fn new(counts: RunCounts) -> Self {
        Self(Arc::new(Mutex::new(State { phase: None, waiting: None, counts, changed: false })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in a few words what is being done now.
    pub fn phase(&self, phase: impl Into<String>) {
        let mut state = self.lock();
        state.phase = Some(phase.into());
        state.changed = true;
    }

    /// Says why the run is not moving, or that it moves again.
    pub fn waiting(&self, waiting: Option<Waiting>) {
        let mut state = self.lock();
        if state.waiting != waiting {
            state.waiting = waiting;
            state.changed = true;
        }
    }

    /// Says how many things there are. Never less than what was processed.
    pub fn total(&self, total: u64) {
        let mut state = self.lock();
        state.counts.total = Some(total.max(state.counts.processed()));
        state.changed = true;
    }

    /// Adds to the counts what was done and stored.
    pub fn add(&self, succeeded: u64, failed: u64, skipped: u64) {
        let mut state = self.lock();
        state.counts.succeeded += succeeded;
        state.counts.failed += failed;
        state.counts.skipped += skipped;
        if let Some(total) = state.counts.total {
            state.counts.total = Some(total.max(state.counts.processed()));
        }
        state.changed = true;
    }

    /// The counts so far.
    pub fn counts(&self) -> RunCounts {
        self.lock().counts
    }

    fn take(&self) -> Option<State> {
        let mut state = self.lock();
        std::mem::take(&mut state.changed).then(|| state.clone())
    }

    /// A write that failed is tried again with the next.
    fn untaken(&self) {
        self.lock().changed = true;
    }
}

#[derive(sqlx::FromRow)]
struct LeaseRow {
    run_id: Uuid,
    fence: i64,
}

impl Upkeep {
    /// Writes the progress that has changed of the runs that this worker holds, in one transaction,
    /// and says which of its runs somebody wants canceled. A run whose lease was lost is left out.
    pub async fn pulse(
        &self,
        worker: WorkerId,
        held: Vec<(Claimed, Progress)>,
    ) -> Result<Vec<HeldLease>, StoreError> {
        let mut changed: Vec<(Claimed, Progress, State)> = held
            .into_iter()
            .filter_map(|(claimed, progress)| {
                progress.take().map(|state| (claimed, progress, state))
            })
            .collect();
        // Always in one order, so that two transactions never wait for each other.
        changed.sort_by_key(|(claimed, ..)| (claimed.scope, claimed.run.uuid()));
        let sources: Vec<Progress> = changed.iter().map(|(_, from, _)| from.clone()).collect();
        let answer = if changed.is_empty() {
            let read = self.store.db.read(Reach::All, move |tx| Box::pin(canceled(tx, worker)));
            read.await
        } else {
            self.store
                .db
                .write(Reach::All, move |tx| {
                    Box::pin(async move {
                        for (claimed, _, state) in changed {
                            write(tx, &claimed, &state).await?;
                        }
                        canceled(tx, worker).await
                    })
                })
                .await
        };
        if answer.is_err() {
            sources.iter().for_each(Progress::untaken);
        }
        answer
    }
}

async fn canceled(tx: &mut Tx, worker: WorkerId) -> Result<Vec<HeldLease>, StoreError> {
    let rows: Vec<LeaseRow> = tx.all(stmt!(CANCELED, worker.uuid())).await?;
    Ok(rows.into_iter().map(|row| (RunId::from_uuid(row.run_id), row.fence)).collect())
}

async fn write(tx: &mut Tx, claimed: &Claimed, state: &State) -> Result<(), StoreError> {
    match claimed.check(tx).await {
        Ok(()) => {}
        Err(StoreError::LeaseLost) => return Ok(()),
        Err(error) => return Err(error),
    }
    let State { phase, waiting, counts, .. } = state;
    tx.execute(stmt!(
        RUN_PROGRESS,
        claimed.scope,
        claimed.run.uuid(),
        phase.clone(),
        waiting.map(|waiting| waiting.reason.as_str()),
        waiting.map(|waiting| waiting.until),
        counts.total,
        counts.succeeded,
        counts.failed,
        counts.skipped,
    ))
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_taken_once() {
        let progress = Progress::new(RunCounts { succeeded: 2, ..RunCounts::default() });
        assert!(progress.take().is_none());
        progress.add(1, 1, 0);
        progress.total(3);
        let state = progress.take().unwrap();
        assert_eq!((state.counts.succeeded, state.counts.total), (3, Some(4)));
        assert!(progress.take().is_none());
        progress.untaken();
        assert!(progress.take().is_some());
    }
}
