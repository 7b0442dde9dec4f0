//! The worker: claims runs, hands them to their operations, writes how they ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tp_domain::ids::WorkerId;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, Outcome, WaitingReason};
use tp_store::{ClaimedRun, Ended, Snooze, Store, StoreError};

use crate::heartbeat::{self, Held};
use crate::jitter::Jitter;
use crate::operation::{OpContext, Report, Stop};
use crate::registry::Registry;
use crate::retry::{Decision, decide};
use crate::sweep;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Runs at once in this process.
    pub concurrency: u32,
    /// Runs at once of one tenant, over all processes.
    pub per_tenant: u32,
    /// How long a worker may be silent before its runs are taken from it.
    pub lease: Duration,
    /// How often it gives a sign of life; a third of the lease, so that two may be lost.
    pub heartbeat: Duration,
    /// How long it waits at most before it looks for work again.
    pub poll: Duration,
    /// How long running work may take to stop when the process shuts down.
    pub grace: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            per_tenant: 2,
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            poll: Duration::from_millis(500),
            grace: Duration::from_secs(20),
        }
    }
}

/// One process's worker.
#[derive(Clone, Debug)]
pub struct Worker {
    id: WorkerId,
    store: Store,
    registry: Registry,
    options: WorkerOptions,
    jitter: Arc<dyn Jitter>,
}

impl Worker {
    /// A worker with an id of its own, made at process start.
    pub fn new(
        id: WorkerId,
        store: Store,
        registry: Registry,
        options: WorkerOptions,
        jitter: Arc<dyn Jitter>,
    ) -> Self {
        Self { id, store, registry, options, jitter }
    }

    /// Works until `shutdown`, then stops claiming, lets running work stop, and gives back what it
    /// holds at once (TRUST F31).
    pub async fn run(self, shutdown: CancellationToken) {
        let held = Held::default();
        let end = CancellationToken::new();
        let mut upkeep = JoinSet::new();
        upkeep.spawn(heartbeat::beat(
            self.store.upkeep(),
            self.id,
            self.options.concurrency,
            self.options.heartbeat,
            self.options.lease,
            held.clone(),
            end.clone(),
        ));
        upkeep.spawn(sweep::sweep(self.store.upkeep(), end.clone()));
        let mut tasks = JoinSet::new();
        self.claim_loop(&held, &mut tasks, &shutdown).await;
        let all_stopped = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.grace, all_stopped).await.is_err() {
            tracing::warn!("work did not stop in time and is cut off; its runs are given back");
            tasks.abort_all();
        }
        end.cancel();
        while upkeep.join_next().await.is_some() {}
        if let Err(error) = self.store.upkeep().release(self.id).await {
            tracing::error!(error = %error, "runs could not be given back; their leases will end");
        }
    }

    async fn claim_loop(&self, held: &Held, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let slots =
            Arc::new(Semaphore::new(usize::try_from(self.options.concurrency).unwrap_or(1)));
        loop {
            let slot = tokio::select! {
                () = shutdown.cancelled() => return,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return };
            while tasks.try_join_next().is_some() {}
            if let Some(run) = self.claim().await {
                let (worker, held) = (self.clone(), held.clone());
                let stop = shutdown.child_token();
                tasks.spawn(async move {
                    worker.work(run, &held, stop).await;
                    // A tenant's limit may have kept the next run back until now.
                    worker.store.wake().ring();
                    drop(slot);
                });
                continue;
            }
            drop(slot);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.store.wake().heard() => {}
                () = tokio::time::sleep(self.options.poll) => {}
            }
        }
    }

    async fn claim(&self) -> Option<ClaimedRun> {
        let kinds = self.registry.kinds();
        let WorkerOptions { lease, per_tenant, .. } = self.options;
        // Two thirds: the next beat comes within a third and makes it whole, and a worker that dies
        // right after its claim is missed sooner.
        let first = lease * 2 / 3;
        match self.store.claim_next(self.id, &kinds, first, per_tenant).await {
            Ok(run) => run,
            Err(error) => {
                tracing::error!(error = %error, "no run could be claimed; it is tried again");
                None
            }
        }
    }

    /// Claims and works on what is due now, one after the other, and says how many runs that was.
    /// Tests drive the engine by this, without tasks and without waiting.
    pub async fn work_queue(&self) -> usize {
        let mut done = 0;
        while let Some(run) = self.claim().await {
            self.work(run, &Held::default(), CancellationToken::new()).await;
            done += 1;
        }
        done
    }

    async fn work(&self, run: ClaimedRun, held: &Held, stop: CancellationToken) {
        let claimed = run.claimed();
        let kind = run.kind();
        held.add(claimed.lease(), stop.clone());
        tracing::info!(run.id = %claimed.run(), operation.kind = %kind, attempt = run.attempt(), "run begins");
        let result = self.operate(&run, stop).await;
        if let Err(error) = self.settle(run, result).await {
            match error {
                StoreError::LeaseLost => {
                    tracing::warn!(run.id = %claimed.run(), "the lease was lost; nothing was written");
                }
                // The lease ends by itself, and the sweeper gives the run to another worker.
                error => tracing::error!(
                    run.id = %claimed.run(),
                    error = %error,
                    "the end of a run could not be written",
                ),
            }
        }
        held.remove(claimed.lease());
    }

    async fn operate(&self, run: &ClaimedRun, stop: CancellationToken) -> Result<Report, Stop> {
        let failed = |reason| Stop::Failed { reason, failures: Vec::new() };
        let Some(operation) = self.registry.get(run.kind()) else {
            return Err(failed(ReasonCode::InternalError));
        };
        let context = OpContext { run, stop: stop.clone() };
        let work = AssertUnwindSafe(operation.run(context)).catch_unwind();
        tokio::select! {
            // An operation that does not hear the stop by itself is dropped at its next await.
            () = async { stop.cancelled().await; tokio::time::sleep(self.options.grace / 2).await } => {
                Err(Stop::Interrupted)
            }
            result = work => result.unwrap_or_else(|_| {
                tracing::error!(run.id = %run.id(), "an operation panicked");
                Err(failed(ReasonCode::InternalError))
            }),
        }
    }

    async fn settle(
        &self,
        run: ClaimedRun,
        result: Result<Report, Stop>,
    ) -> Result<(), StoreError> {
        match result {
            Ok(report) => {
                let ended = ended_by(run.kind(), report);
                tracing::info!(run.id = %run.id(), outcome = %ended.outcome, "run ends");
                run.finish(ended).await
            }
            Err(Stop::Wait { waiting, wait }) => {
                run.again(Snooze { waiting, wait, failed: None }).await
            }
            // The lease is given back by the shutdown, or is somebody else's already.
            Err(Stop::Interrupted) => Ok(()),
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Failed { reason, failures }) => self.failed(run, reason, failures).await,
        }
    }

    async fn failed(
        &self,
        run: ClaimedRun,
        reason: ReasonCode,
        failures: Vec<Failure>,
    ) -> Result<(), StoreError> {
        tracing::warn!(run.id = %run.id(), reason = %reason, attempt = run.attempt(), "a try failed");
        match decide(reason, run.attempt(), run.max_attempts(), self.jitter.unit()) {
            Decision::Retry(wait) => {
                let waiting = WaitingReason::Retry;
                run.again(Snooze { waiting, wait, failed: Some(reason) }).await
            }
            Decision::Fail => {
                let ended = Ended {
                    outcome: run.counts().outcome(true),
                    reason: Some(reason),
                    message: Some(reason.message(&[])),
                    failures,
                    context: Value::Object(Map::new()),
                };
                run.finish(ended).await
            }
        }
    }
}

/// The end that a report proves: the outcome from its counts, the reason from its largest failure.
fn ended_by(kind: OperationKind, report: Report) -> Ended {
    let outcome = report.counts.outcome(!report.failures.is_empty());
    let reason = report.failures.iter().max_by_key(|failure| failure.count).map(|f| f.code);
    let allowed = kind.facts().context_keys;
    let context = match report.context {
        Value::Object(map) => {
            map.into_iter().filter(|(key, _)| allowed.contains(&key.as_str())).collect()
        }
        _ => Map::new(),
    };
    Ended {
        outcome,
        reason: reason.filter(|_| outcome != Outcome::Succeeded),
        message: reason.map(|reason| reason.message(&[])),
        failures: report.failures,
        context: Value::Object(context),
    }
}
