//! Signs of life, progress and cancels: what a process tells the database of the runs it works on, and
//! what it hears.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tp_domain::ids::WorkerId;
use tp_store::{Claimed, HeldLease, Progress, Upkeep};

/// One run that this process works on.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) claimed: Claimed,
    pub(crate) progress: Progress,
    /// The work must stop: the lease was lost or the process shuts down.
    pub(crate) stop: CancellationToken,
    /// Somebody wants it canceled.
    pub(crate) cancel: CancellationToken,
    /// By the monotonic clock: past this, somebody else may hold the run.
    pub(crate) until: Instant,
}

/// The runs that this process works on, and how to stop each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<HashMap<HeldLease, Holding>>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<HeldLease, Holding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, holding: Holding) {
        self.lock().insert(holding.claimed.lease(), holding);
    }

    pub(crate) fn remove(&self, lease: HeldLease) {
        self.lock().remove(&lease);
    }

    fn all(&self) -> Vec<Holding> {
        self.lock().values().cloned().collect()
    }

    fn prolong(&self, lease: &HeldLease, until: Instant) {
        if let Some(holding) = self.lock().get_mut(lease) {
            holding.until = until;
        }
    }

    fn stop(&self, lease: &HeldLease) {
        if let Some(holding) = self.lock().get(lease)
            && !holding.stop.is_cancelled()
        {
            tracing::warn!(run.id = %lease.0, "the lease of a run was lost; its work stops");
            holding.stop.cancel();
        }
    }

    fn cancel(&self, lease: &HeldLease) {
        if let Some(holding) = self.lock().get(lease)
            && !holding.cancel.is_cancelled()
        {
            tracing::info!(run.id = %lease.0, "a run is to be canceled");
            holding.cancel.cancel();
        }
    }

    /// Stops what was not prolonged in time. Needs no answer of the database, so that a connection that
    /// hangs stops nothing later than its lease (TRUST F2, F8).
    fn stop_overdue(&self, now: Instant) {
        let overdue: Vec<HeldLease> =
            self.lock().iter().filter(|(_, run)| run.until <= now).map(|(key, _)| *key).collect();
        overdue.iter().for_each(|lease| self.stop(lease));
    }
}

/// How often and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) every: Duration,
    pub(crate) lease: Duration,
    pub(crate) concurrency: u32,
}

/// When work must stop that was prolonged at that moment: a tenth before the lease ends.
pub(crate) fn trusted_until(from: Instant, lease: Duration) -> Instant {
    from + lease.mul_f64(0.9)
}

/// Beats until `end`.
pub(crate) async fn beat(
    upkeep: Upkeep,
    worker: WorkerId,
    rhythm: Rhythm,
    held: Held,
    end: CancellationToken,
) {
    loop {
        // What was taken before the beat must be in its answer; what is taken during it need not be.
        let known = held.all();
        let asked = Instant::now();
        let list = known.iter().map(|holding| holding.claimed).collect();
        let beat = upkeep.beat(worker, rhythm.concurrency, rhythm.lease, list);
        match tokio::time::timeout(rhythm.every, beat).await {
            Ok(Ok(alive)) => {
                let until = trusted_until(asked, rhythm.lease);
                for holding in &known {
                    let lease = holding.claimed.lease();
                    if alive.contains(&lease) {
                        held.prolong(&lease, until);
                    } else {
                        held.stop(&lease);
                    }
                }
            }
            Ok(Err(error)) => tracing::error!(error = %error, "a heartbeat could not be written"),
            Err(_) => tracing::error!("a heartbeat was not answered in time"),
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(rhythm.every) => {}
        }
    }
}

/// Stops work whose lease was not prolonged in time, by the monotonic clock alone.
pub(crate) async fn watch(held: Held, end: CancellationToken) {
    loop {
        held.stop_overdue(Instant::now());
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}

/// How often progress is written and cancels are heard: twice a second at most (PRODUCT R-10, E-14).
const PULSE: Duration = Duration::from_millis(500);

/// Writes progress and hears cancels until `end`.
pub(crate) async fn pulse(upkeep: Upkeep, worker: WorkerId, held: Held, end: CancellationToken) {
    loop {
        let known = held.all();
        if !known.is_empty() {
            let told = known.into_iter().map(|run| (run.claimed, run.progress)).collect();
            match upkeep.pulse(worker, told).await {
                Ok(canceled) => canceled.iter().for_each(|lease| held.cancel(lease)),
                Err(error) => {
                    tracing::error!(error = %error, "progress could not be written; it is tried again");
                }
            }
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(PULSE) => {}
        }
    }
}
