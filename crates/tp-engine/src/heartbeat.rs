//! Signs of life: one statement for all leases of the process, and the stop of what was lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tp_domain::ids::WorkerId;
use tp_store::{HeldLease, Upkeep};

/// The runs that this process works on, and how to stop each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<HashMap<HeldLease, CancellationToken>>>);

impl Held {
    pub(crate) fn add(&self, lease: HeldLease, stop: CancellationToken) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lease, stop);
    }

    pub(crate) fn remove(&self, lease: HeldLease) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease);
    }

    fn known(&self) -> Vec<HeldLease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    fn stop(&self, lease: &HeldLease) {
        if let Some(stop) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(lease) {
            tracing::warn!(run.id = %lease.0, "the lease of a run was lost; its work stops");
            stop.cancel();
        }
    }
}

/// Beats until `end`. When no beat succeeds for most of a lease, by the monotonic clock, all work of
/// this process stops: somebody else may hold the runs by then.
pub(crate) async fn beat(
    upkeep: Upkeep,
    worker: WorkerId,
    concurrency: u32,
    every: Duration,
    lease: Duration,
    held: Held,
    end: CancellationToken,
) {
    let mut last_good = Instant::now();
    loop {
        // What was taken before the beat must be in its answer; what is taken during it need not be.
        let known = held.known();
        match upkeep.beat(worker, concurrency, lease).await {
            Ok(alive) => {
                last_good = Instant::now();
                for lost in known.iter().filter(|lease| !alive.contains(lease)) {
                    held.stop(lost);
                }
            }
            Err(error) => {
                tracing::error!(error = %error, "a heartbeat could not be written");
                if last_good.elapsed() + every > lease {
                    known.iter().for_each(|lease| held.stop(lease));
                }
            }
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}
