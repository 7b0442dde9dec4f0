//! The processes that are killed and frozen.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tp_domain::ids::{Ids as _, WorkerId};
use tp_domain::item::{ItemEnd, ItemState, ItemSubject};
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::time::{Clock, Timestamp};
use tp_engine::jitter::SystemJitter;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_engine::registry::Registry;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_store::{SystemIds, TimeSource};

use crate::world::{BEAT, LEASE, open_store, real_time};

/// A worker process.
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    database: String,
    #[arg(long)]
    evidence: PathBuf,
    #[arg(long)]
    items: u32,
    #[arg(long)]
    item_ms: u64,
    #[arg(long)]
    concurrency: u32,
    #[arg(long)]
    pause_at: Option<u32>,
    #[arg(long)]
    exit_when_idle: bool,
}

/// Does items whose effect cannot be taken back: each is written to a file outside the database. An
/// item that was in flight when its worker died is not repeated but reported (TRUST P4).
#[derive(Debug)]
struct ItemsOperation {
    items: u32,
    pause: Duration,
    evidence: PathBuf,
    pause_at: Option<u32>,
    steps: AtomicU32,
}

impl ItemsOperation {
    /// One step of the work; the one that was asked for never ends.
    async fn step(&self) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        if self.pause_at == Some(step) {
            println!("paused");
            std::future::pending::<()>().await;
        }
    }

    fn effect(&self, context: &OpContext<'_>, key: &str) -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(&self.evidence)?;
        // One write call: two processes never mix their lines.
        file.write_all(format!("{} {key}\n", context.run.id()).as_bytes())
    }

    async fn work(&self, context: &OpContext<'_>) -> Result<Report, Stop> {
        let subject = |number: u32| ItemSubject {
            key: format!("{number:04}"),
            policy_type: None,
            graph_id: None,
            name: None,
        };
        self.step().await;
        let items = context.run.items_plan((0..self.items).map(subject).collect()).await?;
        for item in items.iter().filter(|item| !item.state.is_over()) {
            if context.stop.is_cancelled() {
                return Err(Stop::Interrupted);
            }
            if context.cancel.is_cancelled() {
                return Err(Stop::Canceled);
            }
            let key = &item.subject.key;
            if item.state == ItemState::Running {
                let reason = ReasonCode::UnknownOutcome;
                let end = ItemEnd::Failed { reason, graph_request_id: None };
                context.run.item_end(key, end).await?;
                continue;
            }
            self.step().await;
            if !context.run.item_begin(key).await? {
                continue;
            }
            self.step().await;
            let failed =
                |_| Stop::Failed { reason: ReasonCode::InternalError, failures: Vec::new() };
            self.effect(context, key).map_err(failed)?;
            self.step().await;
            tokio::time::sleep(self.pause).await;
            context.run.item_end(key, ItemEnd::Succeeded).await?;
        }
        self.step().await;
        Ok(Report { failures: context.run.items_failures().await?, ..Report::default() })
    }
}

impl Operation for ItemsOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move { self.work(&context).await })
    }
}

fn options(concurrency: u32) -> WorkerOptions {
    WorkerOptions {
        concurrency,
        per_tenant: 2,
        lease: LEASE,
        heartbeat: BEAT,
        poll: Duration::from_millis(200),
        ..WorkerOptions::default()
    }
}

pub(crate) async fn work(args: WorkerArgs) -> Result<()> {
    let store = open_store(&args.database, real_time(), 6).await?;
    let operation = ItemsOperation {
        items: args.items,
        pause: Duration::from_millis(args.item_ms),
        evidence: args.evidence,
        pause_at: args.pause_at,
        steps: AtomicU32::new(0),
    };
    let registry = Registry::default().with(Arc::new(operation));
    let id = WorkerId::from_uuid(SystemIds.next());
    let jitter = Arc::new(SystemJitter);
    let worker = Worker::new(id, store.clone(), registry, options(args.concurrency), jitter);
    let shutdown = CancellationToken::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let working = tokio::spawn(worker.run(shutdown.clone()));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        if args.exit_when_idle {
            let queue = store.upkeep().queue().await?;
            if queue.ready + queue.leased == 0 {
                break;
            }
        }
    }
    shutdown.cancel();
    working.await?;
    store.close().await;
    Ok(())
}

/// A clock that a file sets, in microseconds, with a skew of its own.
#[derive(Clone, Debug)]
pub(crate) struct FileClock {
    pub(crate) file: PathBuf,
    pub(crate) skew_seconds: i64,
}

impl FileClock {
    /// Sets the time for all who look. The new file takes the old one's place at once.
    pub(crate) fn set(&self, at: Timestamp) -> Result<()> {
        let next = self.file.with_extension("next");
        std::fs::write(&next, at.micros().to_string())?;
        Ok(std::fs::rename(next, &self.file)?)
    }
}

impl Clock for FileClock {
    fn now(&self) -> Timestamp {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let micros: i64 = text.trim().parse().unwrap_or(0);
        Timestamp::from_micros(micros + self.skew_seconds * 1_000_000)
    }

    fn steady(&self) -> Duration {
        tp_store::SystemClock.steady()
    }
}

/// A scheduler process.
#[derive(Args, Debug)]
pub(crate) struct SchedulerArgs {
    #[arg(long)]
    database: String,
    #[arg(long)]
    clock: PathBuf,
    #[arg(long, allow_hyphen_values = true)]
    skew: i64,
}

/// Fires schedules as fast as it can, until it is killed.
pub(crate) async fn schedule(args: SchedulerArgs) -> Result<()> {
    let clock = FileClock { file: args.clock, skew_seconds: args.skew };
    let time = TimeSource::Clock(Arc::new(clock));
    let store = open_store(&args.database, time, 2).await?;
    let upkeep = store.upkeep();
    loop {
        if let Err(error) = upkeep.schedules_fire().await {
            eprintln!("{error}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
