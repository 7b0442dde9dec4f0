//! The processes that are killed and frozen.

mod operations;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;
use tp_domain::ids::{Ids as _, TenantId, WorkerId};
use tp_engine::jitter::SystemJitter;
use tp_engine::operation::Operation;
use tp_engine::registry::Registry;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_store::testing::{BreakPoint, break_at};
use tp_store::{Store, SystemIds, TimeSource};

use crate::clocks::{FileClock, OffsetClock};
use crate::world::{ACTIVE, BEAT, DUE, LEASE, Open, open_store, real_time};

pub(crate) use operations::Slots;
use operations::{Items, Together};

/// A worker process.
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    database: String,
    /// Where the effects of items are written, and those of slots beside it.
    #[arg(long)]
    evidence: PathBuf,
    #[arg(long)]
    items: u32,
    #[arg(long)]
    item_ms: u64,
    #[arg(long)]
    concurrency: u32,
    /// Stands still at that step of an operation.
    #[arg(long)]
    pause_at: Option<u32>,
    /// Stands still at that point of the store.
    #[arg(long)]
    break_at: Option<BreakPoint>,
    /// That many runs end together.
    #[arg(long)]
    together: Option<usize>,
    /// A slot is an umbrella run over all tenants.
    #[arg(long)]
    children: bool,
    /// The file that sets the clock forward or back.
    #[arg(long)]
    offset: Option<PathBuf>,
    /// Sweeps and fires schedules all the time.
    #[arg(long)]
    busy: bool,
    #[arg(long)]
    exit_when_idle: bool,
}

impl WorkerArgs {
    fn operation(&self) -> Arc<dyn Operation> {
        match self.together {
            Some(count) => Arc::new(Together(Barrier::new(count))),
            None => Arc::new(Items {
                count: self.items,
                pause: Duration::from_millis(self.item_ms),
                evidence: self.evidence.clone(),
                pause_at: self.pause_at,
                steps: AtomicU32::new(0),
            }),
        }
    }

    fn time(&self) -> TimeSource {
        match &self.offset {
            Some(file) => TimeSource::Clock(Arc::new(OffsetClock { file: file.clone() })),
            None => real_time(),
        }
    }
}

pub(crate) fn slots_file(evidence: &std::path::Path) -> PathBuf {
    evidence.with_extension("slots")
}

fn say_paused() {
    println!("paused");
}

fn options(args: &WorkerArgs) -> WorkerOptions {
    // Where the clock is on trial, a disk that holds a beat up for seconds must not look like it.
    let lease = if args.offset.is_some() { LEASE * 4 } else { LEASE };
    WorkerOptions {
        concurrency: args.concurrency,
        per_tenant: if args.together.is_some() { args.concurrency } else { 2 },
        lease,
        heartbeat: BEAT,
        poll: Duration::from_millis(200),
        ..WorkerOptions::default()
    }
}

pub(crate) async fn work(args: WorkerArgs) -> Result<()> {
    if let Some(point) = args.break_at {
        break_at(point, say_paused);
    }
    let store = open_store(&args.database, args.time(), 6).await?;
    let slots = Slots { evidence: slots_file(&args.evidence), children: args.children };
    let registry = Registry::default().with(args.operation()).with(Arc::new(slots));
    let id = WorkerId::from_uuid(SystemIds.next());
    let jitter = Arc::new(SystemJitter);
    let worker = Worker::new(id, store.clone(), registry, options(&args), jitter);
    let shutdown = CancellationToken::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let working = tokio::spawn(worker.run(shutdown.clone()));
    let busy = args.busy.then(|| tokio::spawn(keep_busy(store.clone(), shutdown.clone())));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        if args.exit_when_idle
            && store.test_count(DUE).await == 0
            && store.test_count(ACTIVE).await == 0
        {
            break;
        }
    }
    shutdown.cancel();
    working.await?;
    if let Some(busy) = busy {
        busy.await?;
    }
    store.close().await;
    Ok(())
}

/// Far more often than a worker does by itself, so that a lease that can be stolen is stolen.
async fn keep_busy(store: Store, shutdown: CancellationToken) {
    let upkeep = store.upkeep();
    while !shutdown.is_cancelled() {
        if let Err(error) = upkeep.sweep(LEASE).await {
            eprintln!("{error}");
        }
        if let Err(error) = upkeep.schedules_fire().await {
            eprintln!("{error}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
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

/// Looks at the schedules as often as it can and calls `looked` with each new time that it has looked at.
pub(crate) async fn fire_for_ever(
    store: Store,
    clock: FileClock,
    stop: CancellationToken,
    looked: impl Fn(i64),
) {
    let (upkeep, mut last) = (store.upkeep(), 0);
    while !stop.is_cancelled() {
        // Read before the look: what the look itself reads is not older.
        let told = clock.told();
        match upkeep.schedules_fire().await {
            Ok(_) if told != last => {
                looked(told);
                last = told;
            }
            Ok(_) => {}
            Err(error) => eprintln!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fires schedules as fast as it can, until it is killed.
pub(crate) async fn schedule(args: SchedulerArgs) -> Result<()> {
    let clock = FileClock { file: args.clock, skew_seconds: args.skew };
    let time = TimeSource::Clock(Arc::new(clock.clone()));
    let store = open_store(&args.database, time, 2).await?;
    fire_for_ever(store, clock, CancellationToken::new(), |told| println!("{told}")).await;
    Ok(())
}

/// A process that starts one run, and stands still at a point of it.
#[derive(Args, Debug)]
pub(crate) struct StarterArgs {
    #[arg(long)]
    database: String,
    #[arg(long)]
    tenant: uuid::Uuid,
    /// Under an idempotency key.
    #[arg(long)]
    key: Option<String>,
    #[arg(long)]
    break_at: Option<BreakPoint>,
}

pub(crate) async fn start(args: StarterArgs) -> Result<()> {
    let store = open_store(&args.database, real_time(), 2).await?;
    let actor = store.test_actor("owner@example.com").await;
    let tenants = vec![TenantId::from_uuid(args.tenant)];
    let open = Open { workspace: actor.workspace(), store, actor, tenants };
    if let Some(point) = args.break_at {
        break_at(point, say_paused);
    }
    println!("begun");
    open.start_with(0, 0, args.key.as_deref()).await?;
    println!("started");
    Ok(())
}
