//! Rates: starts, reuse answers, claim and finish, wake-up, fairness, and what history costs.

mod history;
mod snapshot;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::{Barrier, mpsc};
use tokio_util::sync::CancellationToken;
use tp_domain::counts::RunCounts;
use tp_domain::ids::{Ids as _, RunId, WorkerId};
use tp_domain::operation::OperationKind;
use tp_domain::run::Outcome;
use tp_engine::jitter::SystemJitter;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_engine::registry::Registry;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_store::{Ended, SystemIds};

use crate::world::{Open, Place, World, places};

#[derive(Args, Debug)]
pub(crate) struct RatesArgs {
    /// Only this measurement: phases, starts, reuse, lifecycle, wake, fair, fifo, history, steady, snapshot
    #[arg(long)]
    what: Option<String>,
    /// Only this database: sqlite or postgres
    #[arg(long)]
    on: Option<String>,
    /// How many runs a measurement takes
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// How many callers at once
    #[arg(long, default_value_t = 16)]
    callers: usize,
    /// How many runs `phases` claims at once
    #[arg(long, default_value_t = 100)]
    batch: u32,
}

pub(crate) fn succeeded() -> Ended {
    Ended {
        outcome: Outcome::Succeeded,
        reason: None,
        message: None,
        failures: Vec::new(),
        context: json!({}),
        counts: RunCounts::default(),
    }
}

const WHAT: [&str; 10] = [
    "phases",
    "starts",
    "reuse",
    "lifecycle",
    "wake",
    "fair",
    "fifo",
    "history",
    "steady",
    "snapshot",
];

pub(crate) async fn run(args: RatesArgs) -> Result<bool> {
    if let Some(what) = args.what.as_deref().filter(|what| !WHAT.contains(what)) {
        anyhow::bail!("there is no measurement \"{what}\"; there are {}", WHAT.join(", "));
    }
    for place in places() {
        if args.on.as_deref().is_some_and(|on| on != place.name()) {
            continue;
        }
        for what in WHAT {
            if args.what.as_deref().is_some_and(|only| only != what) {
                continue;
            }
            let line = match what {
                "phases" => phases(&place, args.count, args.batch).await?,
                "starts" => starts(&place, &args, false).await?,
                "reuse" => starts(&place, &args, true).await?,
                "lifecycle" => lifecycle(&place, args.count).await?,
                "wake" => wake::wake(&place).await?,
                "fair" => fair(&place, false).await?,
                "fifo" => fair(&place, true).await?,
                "history" => history::history(&place).await?,
                "steady" => snapshot::steady(&place, snapshot::Snapshot::None).await?,
                _ => snapshot::steady(&place, snapshot::Snapshot::Held).await?,
            };
            println!("{line}");
        }
    }
    Ok(true)
}

fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

fn percentile(times: &mut [Duration], of_hundred: usize) -> f64 {
    times.sort_unstable();
    let index = (times.len() * of_hundred / 100).min(times.len().saturating_sub(1));
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

/// Starts by many callers at once, each of a run of its own, or all of the same.
async fn starts(place: &Place, args: &RatesArgs, same: bool) -> Result<serde_json::Value> {
    let tenants = 50;
    let world = World::new(place, tenants).await?;
    let open = Arc::new(world.open().await?);
    if same {
        open.start(0, 0).await?;
    }
    for number in 0..200 {
        open.start(number % tenants, if same { 0 } else { 1_000_000 + number }).await?;
    }
    let barrier = Arc::new(Barrier::new(args.callers + 1));
    let each = args.count / args.callers;
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..args.callers {
        let (open, barrier) = (Arc::clone(&open), Arc::clone(&barrier));
        tasks.spawn(async move {
            let mut scopes = Vec::new();
            for tenant in 0..tenants {
                scopes.push(open.scope(tenant).await?);
            }
            barrier.wait().await;
            let mut times = Vec::with_capacity(each);
            for number in 0..each {
                let asked = Instant::now();
                let (tenant, number) =
                    if same { (0, 0) } else { (number % tenants, caller * each + number + 1) };
                let types = vec![tp_domain::policy::PolicyType::new(&format!("type{number}"))?];
                let request = tp_domain::inventory_sync::SyncInventory::of_types(types, true);
                scopes[tenant].run_start(&request, tp_store::HowStarted::default()).await?;
                times.push(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    barrier.wait().await;
    let began = Instant::now();
    let mut times = Vec::new();
    for done in tasks.join_all().await {
        times.extend(done?);
    }
    let took = began.elapsed();
    let line = json!({
        "what": if same { "reuse" } else { "starts" }, "on": place.name(), "count": times.len(),
        "callers": args.callers, "per_second": rate(times.len(), took).round(),
        "p50_ms": percentile(&mut times, 50), "p99_ms": percentile(&mut times, 99),
    });
    drop(open);
    Ok(line)
}

/// Does nothing.
#[derive(Debug, Default)]
struct Nothing {
    done: AtomicUsize,
}

impl Operation for Nothing {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, _context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            self.done.fetch_add(1, Ordering::SeqCst);
            Ok(Report::default())
        })
    }
}

/// Does nothing, and says when it was begun.
#[derive(Debug)]
struct Telling(mpsc::UnboundedSender<(RunId, Instant)>);

impl Operation for Telling {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            let _ = self.0.send((context.run.id(), Instant::now()));
            Ok(Report::default())
        })
    }
}

fn worker(open: &Open, operation: Arc<dyn Operation>, concurrency: u32, per_tenant: u32) -> Worker {
    let registry = Registry::default().with(operation);
    let options =
        WorkerOptions { concurrency, per_tenant, schedules: false, ..WorkerOptions::default() };
    let id = WorkerId::from_uuid(SystemIds.next());
    Worker::new(id, open.store.clone(), registry, options, Arc::new(SystemJitter))
}

async fn fill(open: &Arc<Open>, tenants: usize, count: usize, from: usize) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let open = Arc::clone(open);
        tasks.spawn(async move {
            let mut scopes = Vec::new();
            for tenant in 0..tenants {
                scopes.push(open.scope(tenant).await?);
            }
            for number in (caller..count).step_by(16) {
                let key = format!("type{}", from + number);
                let types = vec![tp_domain::policy::PolicyType::new(&key)?];
                let request = tp_domain::inventory_sync::SyncInventory::of_types(types, true);
                let scope = &scopes[number % tenants];
                scope.run_start(&request, tp_store::HowStarted::default()).await?;
            }
            anyhow::Ok(())
        });
    }
    for done in tasks.join_all().await {
        done?;
    }
    Ok(())
}

async fn drain(open: &Open, per_tenant: u32) -> Result<Duration> {
    let operation = Arc::new(Nothing::default());
    let shutdown = CancellationToken::new();
    let began = Instant::now();
    let working = tokio::spawn(worker(open, operation, 1_000, per_tenant).run(shutdown.clone()));
    loop {
        let queue = open.store.upkeep().queue().await?;
        if queue.ready + queue.leased == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    shutdown.cancel();
    working.await?;
    Ok(took)
}

/// Claim, an operation that does nothing, end with notification: a queue that is full at the start.
async fn lifecycle(place: &Place, count: usize) -> Result<serde_json::Value> {
    let tenants = 50;
    let world = World::new(place, tenants).await?;
    let open = Arc::new(world.open().await?);
    open.no_limit().await?;
    fill(&open, tenants, count, 0).await?;
    let took = drain(&open, 100_000).await?;
    Ok(json!({
        "what": "lifecycle", "on": place.name(), "count": count,
        "per_second": rate(count, took).round(),
    }))
}

/// A flood of one tenant ahead of 500 small ones: when the small ones are done. With `fifo` all of it is
/// in one scope's line, first in, first out: what a queue without turns would do.
async fn fair(place: &Place, fifo: bool) -> Result<serde_json::Value> {
    let (small, flood) = (500, 20_000);
    let world = World::new(place, small + 1).await?;
    let open = Arc::new(world.open().await?);
    open.no_limit().await?;
    let flooding = Arc::clone(&open);
    fill(&flooding, 1, flood, 0).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for tenant in 1..=small {
        let open = Arc::clone(&open);
        tasks.spawn(async move {
            for number in 0..4 {
                // In one line behind the flood, or in its own tenant.
                let (tenant, number) =
                    if fifo { (0, 1_000_000 + tenant * 4 + number) } else { (tenant, number) };
                open.start(tenant, number).await?;
            }
            anyhow::Ok(())
        });
        if tasks.len() >= 16 {
            while let Some(done) = tasks.join_next().await {
                done??;
            }
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let operation = Arc::new(Nothing::default());
    let shutdown = CancellationToken::new();
    let began = Instant::now();
    let working = tokio::spawn(worker(&open, operation.clone(), 64, 100_000).run(shutdown.clone()));
    let ended_small = if fifo {
        "SELECT count(*) AS n FROM operation_runs WHERE status = 'completed' \
         AND inputs LIKE '%\"type1______\"%'"
    } else {
        "SELECT count(*) AS n FROM operation_runs r JOIN tenants t ON t.id = r.tenant_id \
         WHERE t.slug <> 'tenant0' AND r.status = 'completed'"
    };
    let mut small_done = None;
    let total = small * 4 + flood;
    while operation.done.load(Ordering::SeqCst) < total {
        if small_done.is_none() {
            let done = open.store.test_count(ended_small).await;
            if done == i64::try_from(small * 4)? {
                small_done = Some(began.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    shutdown.cancel();
    working.await?;
    let small_done = small_done.unwrap_or(took);
    Ok(json!({
        "what": if fifo { "fifo" } else { "fair" }, "on": place.name(), "count": total,
        "small_done_s": small_done.as_secs_f64(), "all_done_s": took.as_secs_f64(),
        "per_second": rate(total, took).round(),
    }))
}

/// Where the time of a lifecycle goes: claims of so many, and their ends in groups.
async fn phases(place: &Place, count: usize, batch: u32) -> Result<serde_json::Value> {
    let tenants = 50;
    let world = World::new(place, tenants).await?;
    let open = Arc::new(world.open().await?);
    open.no_limit().await?;
    fill(&open, tenants, count, 0).await?;
    open.store.discover().await?;
    let id = WorkerId::from_uuid(SystemIds.next());
    let (mut claims, mut ends, mut done) = (Vec::new(), Vec::new(), 0);
    while done < count {
        let asked = Instant::now();
        let request = tp_store::ClaimRequest {
            worker: id,
            kinds: vec![OperationKind::InventorySync],
            lease: Duration::from_secs(30),
            per_tenant: 100_000,
            most: batch,
        };
        let runs = open.store.claim_many(request).await?.runs;
        claims.push(asked.elapsed());
        let asked = Instant::now();
        done += runs.len();
        anyhow::ensure!(!runs.is_empty(), "nothing was claimed");
        let each = runs.into_iter().map(|run| run.finish(succeeded()));
        futures_util::future::try_join_all(each).await?;
        ends.push(asked.elapsed());
    }
    Ok(json!({
        "what": "phases", "on": place.name(), "count": count, "batch": batch,
        "claim_p50_ms": percentile(&mut claims, 50), "claim_p99_ms": percentile(&mut claims, 99),
        "end_p50_ms": percentile(&mut ends, 50), "end_p99_ms": percentile(&mut ends, 99),
    }))
}
