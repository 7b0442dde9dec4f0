//! The job, who enqueues it and who does it: the same on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use apalis::prelude::{Data, TaskBuilder, TaskSink, WorkerError};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Enqueues before the clock starts.
pub(crate) const WARM_UP: usize = 200;

/// Jobs of one insert when the queue is filled beforehand.
const BULK: usize = 1_000;

/// About 200 bytes as JSON, the same as the other peers carry.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Payload {
    order: String,
    tenant: String,
    action: String,
    note: String,
}

impl Payload {
    fn numbered(number: usize) -> Self {
        Self {
            order: format!("{number:012}"),
            tenant: "tenant-0001".to_owned(),
            action: "provision".to_owned(),
            note: "x".repeat(120),
        }
    }
}

/// Enqueues distinct keys by callers at once; each waits for its answer before its next.
pub(crate) async fn enqueue_all<S, K>(
    storage: &S,
    prefix: &'static str,
    count: usize,
    callers: usize,
) -> Result<Duration>
where
    S: TaskSink<Payload, K> + Clone + Send + 'static,
    S::Error: std::fmt::Debug,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (mut storage, next) = (storage.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let task = TaskBuilder::new(Payload::numbered(number))
                    .idempotency_key(format!("{prefix}-{number}"))
                    .build();
                storage.push_task(task).await.map_err(|error| anyhow!("{error:?}"))?;
            }
        });
    }
    for done in tasks.join_all().await {
        done?;
    }
    Ok(began.elapsed())
}

/// Puts jobs without keys into the queue.
pub(crate) async fn fill<S, K>(storage: &mut S, count: usize) -> Result<()>
where
    S: TaskSink<Payload, K>,
    S::Error: std::fmt::Debug,
{
    for first in (0..count).step_by(BULK) {
        let orders = (first..count.min(first + BULK)).map(Payload::numbered).collect();
        storage.push_bulk(orders).await.map_err(|error| anyhow!("{error:?}"))?;
    }
    Ok(())
}

/// Counts the jobs that ran, and tells all workers when it was the last.
#[derive(Debug)]
pub(crate) struct Progress {
    ran: AtomicUsize,
    count: usize,
    all_ran: Notify,
}

impl Progress {
    pub(crate) fn of(count: usize) -> Arc<Self> {
        Arc::new(Self { ran: AtomicUsize::new(0), count, all_ran: Notify::new() })
    }

    /// Waits until every job ran; given to each worker as its signal to stop.
    pub(crate) async fn until_all_ran(self: Arc<Self>) -> Result<(), WorkerError> {
        let told = self.all_ran.notified();
        if self.ran.load(Ordering::SeqCst) < self.count {
            told.await;
        }
        Ok(())
    }
}

/// The job itself does nothing.
pub(crate) async fn nothing(_: Payload, progress: Data<Arc<Progress>>) {
    if progress.ran.fetch_add(1, Ordering::SeqCst) + 1 == progress.count {
        progress.all_ran.notify_waiters();
    }
}

/// Runs all workers until each has ended: a worker ends after its last answers are committed.
pub(crate) async fn run_all<F>(workers: impl IntoIterator<Item = F>) -> Result<Duration>
where
    F: Future<Output = Result<(), WorkerError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for worker in workers {
        tasks.spawn(worker);
    }
    for ended in tasks.join_all().await {
        ended?;
    }
    Ok(began.elapsed())
}

/// What is in the database must be what was asked for.
pub(crate) fn expect(found: i64, wanted: usize, noun: &str) -> Result<()> {
    ensure!(
        usize::try_from(found) == Ok(wanted),
        "{found} {noun} in the database, expected {wanted}"
    );
    Ok(())
}
