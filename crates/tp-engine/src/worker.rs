//! The worker: claims runs, hands them to their operations, writes how they ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tp_domain::ids::WorkerId;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, Outcome, WaitingReason};
use tp_store::{ClaimRequest, ClaimedRun, Claims, Ended, Snooze, Store, StoreError};

use crate::heartbeat::{self, Held, Holding, Rhythm};
use crate::jitter::Jitter;
use crate::operation::{OpContext, Report, Stop};
use crate::registry::Registry;
use crate::retry::{Decision, decide};
use crate::sweep;

/// How many runs one claim takes at most: while it is answered, the ends of others are written.
const MOST_PER_CLAIM: usize = 200;

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
    /// Whether this process fires schedules.
    pub schedules: bool,
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
            schedules: true,
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

    const fn rhythm(&self) -> Rhythm {
        let WorkerOptions { heartbeat, lease, concurrency, .. } = self.options;
        Rhythm { every: heartbeat, lease, concurrency }
    }

    /// Works until `shutdown`, then stops claiming, lets running work stop, and gives back what it
    /// holds at once (TRUST F31).
    pub async fn run(self, shutdown: CancellationToken) {
        let held = Held::default();
        let end = CancellationToken::new();
        let upkeep = self.upkeep(&held, &end);
        let mut tasks = JoinSet::new();
        self.claim_loop(&held, &mut tasks, &shutdown).await;
        let all_stopped = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.grace, all_stopped).await.is_err() {
            tracing::warn!("work did not stop in time and is cut off; its runs are given back");
            tasks.abort_all();
            while tasks.join_next().await.is_some() {}
        }
        end.cancel();
        upkeep.join_all().await;
        if let Err(error) = self.store.upkeep().release(self.id).await {
            tracing::error!(error = %error, "runs could not be given back; their leases will end");
        }
    }

    /// Fires schedules and rolls up umbrella runs until `shutdown`, without working on runs: for
    /// processes that only schedule.
    pub async fn run_schedules(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep::roll_up(self.store.upkeep(), shutdown.clone()));
        tasks.spawn(sweep::schedule(self.store.upkeep(), shutdown));
        tasks.join_all().await;
    }

    fn upkeep(&self, held: &Held, end: &CancellationToken) -> JoinSet<()> {
        let (upkeep, rhythm) = (self.store.upkeep(), self.rhythm());
        let mut tasks = JoinSet::new();
        tasks.spawn(heartbeat::beat(upkeep.clone(), self.id, rhythm, held.clone(), end.clone()));
        tasks.spawn(heartbeat::watch(held.clone(), end.clone()));
        tasks.spawn(heartbeat::pulse(upkeep.clone(), self.id, held.clone(), end.clone()));
        tasks.spawn(sweep::sweep(upkeep.clone(), self.options.lease, end.clone()));
        tasks.spawn(sweep::roll_up(upkeep.clone(), end.clone()));
        if self.options.schedules {
            tasks.spawn(sweep::schedule(upkeep, end.clone()));
        }
        tasks
    }

    async fn claim_loop(&self, held: &Held, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let slots =
            Arc::new(Semaphore::new(usize::try_from(self.options.concurrency).unwrap_or(1)));
        let mut discovered: Option<Instant> = None;
        loop {
            let slot = tokio::select! {
                () = shutdown.cancelled() => return,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return };
            while tasks.try_join_next().is_some() {}
            // Also while there is enough to do: work that no ring told of must not wait for a pause.
            if discovered.is_none_or(|at| at.elapsed() >= self.options.poll) {
                discovered = Some(Instant::now());
                if let Err(error) = self.store.discover().await {
                    tracing::error!(error = %error, "the queue could not be looked through");
                }
            }
            let mut free: Vec<OwnedSemaphorePermit> = vec![slot];
            while free.len() < MOST_PER_CLAIM
                && let Ok(more) = Arc::clone(&slots).try_acquire_owned()
            {
                free.push(more);
            }
            let asked = Instant::now();
            let Claims { runs, contended } =
                self.claim(u32::try_from(free.len()).unwrap_or(u32::MAX)).await;
            let found = !runs.is_empty();
            for run in runs {
                let slot = free.pop();
                let (worker, held) = (self.clone(), held.clone());
                let shutdown = shutdown.clone();
                tasks.spawn(async move {
                    worker.work(run, &held, &shutdown, asked).await;
                    // A tenant's limit may have kept the next run back until now.
                    drop(slot);
                    worker.store.wake().nudge();
                });
            }
            drop(free);
            if found {
                continue;
            }
            let pause = if contended {
                Duration::from_millis(5).mul_f64(1.0 + self.jitter.unit())
            } else {
                self.options.poll
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.store.wake().heard(), if !contended => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The first lease. Two thirds: the next beat comes within a third and makes it whole, and a worker
    /// that dies right after its claim is missed sooner.
    fn first_lease(&self) -> Duration {
        self.options.lease * 2 / 3
    }

    async fn claim(&self, most: u32) -> Claims {
        let request = ClaimRequest {
            worker: self.id,
            kinds: self.registry.kinds(),
            lease: self.first_lease(),
            per_tenant: self.options.per_tenant,
            most,
        };
        match self.store.claim_many(request).await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::error!(error = %error, "no run could be claimed; it is tried again");
                Claims::default()
            }
        }
    }

    /// Claims and works on what is due now, one after the other, and says how many runs that was.
    /// Tests drive the engine by this, without tasks and without waiting.
    pub async fn work_queue(&self) -> usize {
        let mut done = 0;
        loop {
            if let Err(error) = self.store.discover().await {
                tracing::error!(error = %error, "the queue could not be looked through");
            }
            let mut claims = self.claim(1).await;
            let Some(run) = claims.runs.pop() else { return done };
            self.work(run, &Held::default(), &CancellationToken::new(), Instant::now()).await;
            done += 1;
        }
    }

    async fn work(
        &self,
        run: ClaimedRun,
        held: &Held,
        shutdown: &CancellationToken,
        asked: Instant,
    ) {
        let claimed = run.claimed();
        let stop = shutdown.child_token();
        let kind = run.kind();
        let cancel = CancellationToken::new();
        held.add(Holding {
            claimed,
            progress: run.progress().clone(),
            stop: stop.clone(),
            cancel: cancel.clone(),
            until: heartbeat::trusted_until(asked, self.first_lease()),
        });
        tracing::info!(run.id = %claimed.run(), operation.kind = %kind, attempt = run.attempt(), "run begins");
        let result = match run.refused() {
            _ if run.canceled() => Err(Stop::Canceled),
            Some(reason) => Err(Stop::Blocked(reason)),
            None => self.operate(&run, stop, cancel, shutdown).await,
        };
        if let Err(error) = self.settle(run, result, shutdown.is_cancelled()).await {
            match error {
                StoreError::LeaseLost => {
                    tracing::warn!(run.id = %claimed.run(), "the lease was lost; nothing was written");
                }
                // Nobody prolongs it any more: it ends, and the sweeper gives the run to another worker.
                error => tracing::error!(
                    run.id = %claimed.run(),
                    error = %error,
                    "the end of a run could not be written",
                ),
            }
        }
        held.remove(claimed.lease());
    }

    async fn operate(
        &self,
        run: &ClaimedRun,
        stop: CancellationToken,
        cancel: CancellationToken,
        shutdown: &CancellationToken,
    ) -> Result<Report, Stop> {
        let failed = |reason| Stop::Failed { reason, failures: Vec::new() };
        let Some(operation) = self.registry.get(run.kind()) else {
            return Err(failed(ReasonCode::InternalError));
        };
        let context = OpContext { run, stop: stop.clone(), cancel };
        let work = AssertUnwindSafe(operation.run(context)).catch_unwind();
        let cut = async {
            stop.cancelled().await;
            // A lost lease ends the work at once: a moment later somebody else may do the same. A
            // process that shuts down still holds it and lets the work come to a good place.
            if shutdown.is_cancelled() {
                tokio::time::sleep(self.options.grace / 2).await;
            }
        };
        tokio::select! {
            () = cut => Err(Stop::Interrupted),
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
        shuts_down: bool,
    ) -> Result<(), StoreError> {
        match result {
            Ok(report) => {
                let ended = ended_by(&run, report);
                tracing::info!(run.id = %run.id(), outcome = %ended.outcome, "run ends");
                run.finish(ended).await
            }
            Err(Stop::Wait { waiting, wait }) => {
                run.again(Snooze { waiting, wait, failed: None }).await
            }
            Err(Stop::Children(children)) => run.children_begin(children).await,
            // At once and with its try, not at the end of the lease.
            Err(Stop::Interrupted) if shuts_down => run.hand_back().await,
            // The lease was lost or not prolonged: the sweeper gives it on, and the try counts.
            Err(Stop::Interrupted) => Ok(()),
            // It counts as a try: a statement that never comes back must not go on for ever.
            Err(Stop::Store(error)) if error.is_passing() => {
                tracing::error!(run.id = %run.id(), error = %error, facts = error.facts(), "the database failed a run");
                self.failed(run, ReasonCode::StorageUnavailable, Vec::new()).await
            }
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Failed { reason, failures }) => self.failed(run, reason, failures).await,
            Err(Stop::Canceled) => {
                tracing::info!(run.id = %run.id(), "run ends canceled");
                let ended = ended_as(&run, Outcome::Canceled, None, Vec::new());
                run.finish(ended).await
            }
            Err(Stop::Blocked(reason)) => {
                tracing::warn!(run.id = %run.id(), reason = %reason, "run is blocked");
                let begun = run.counts().processed() > 0;
                let outcome = if begun { run.counts().outcome(true) } else { Outcome::Blocked };
                let ended = ended_as(&run, outcome, Some(reason), Vec::new());
                run.finish(ended).await
            }
        }
    }

    async fn failed(
        &self,
        run: ClaimedRun,
        reason: ReasonCode,
        failures: Vec<Failure>,
    ) -> Result<(), StoreError> {
        tracing::warn!(run.id = %run.id(), reason = %reason, attempt = run.attempt(), "a try failed");
        let mut policy = run.kind().facts().retry;
        policy.max_attempts = run.max_attempts();
        match decide(reason, run.attempt(), policy, self.jitter.unit()) {
            Decision::Retry(wait) => {
                let waiting = WaitingReason::Retry;
                run.again(Snooze { waiting, wait, failed: Some(reason) }).await
            }
            Decision::Fail => {
                let ended = ended_as(&run, run.counts().outcome(true), Some(reason), failures);
                run.finish(ended).await
            }
        }
    }
}

fn ended_as(
    run: &ClaimedRun,
    outcome: Outcome,
    reason: Option<ReasonCode>,
    failures: Vec<Failure>,
) -> Ended {
    Ended {
        outcome,
        reason,
        message: reason.map(|reason| reason.message(&[])),
        failures,
        context: Value::Object(Map::new()),
        counts: run.counts(),
    }
}

/// The end that a report proves: the outcome from the counts, the reason from its largest failure.
fn ended_by(run: &ClaimedRun, report: Report) -> Ended {
    let outcome = run.counts().outcome(!report.failures.is_empty());
    let reason = report.failures.iter().max_by_key(|failure| failure.count).map(|f| f.code);
    let allowed = run.kind().facts().context_keys;
    let context = match report.context {
        Value::Object(map) => {
            map.into_iter().filter(|(key, _)| allowed.contains(&key.as_str())).collect()
        }
        _ => Map::new(),
    };
    let reason = reason.filter(|_| outcome != Outcome::Succeeded);
    Ended { context: Value::Object(context), ..ended_as(run, outcome, reason, report.failures) }
}
