//! A thousand starts a second and a real worker, while a snapshot is held open on PostgreSQL: vacuum can
//! remove nothing, and everything dead stands in the way of a look that does not know where to begin.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tp_domain::ids::RunId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::policy::PolicyType;
use tp_store::HowStarted;
use tp_store::testing::{Look, looks_begin, looks_taken};

use super::{Telling, percentile, rate, worker};
use crate::world::{Open, Place};

/// Whether a snapshot is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Snapshot {
    Held,
    None,
}

const TENANTS: usize = 50;
const HISTORY: usize = 10_000;
const STARTERS: usize = 8;
/// Of each starter: a thousand a second in all.
const EVERY: Duration = Duration::from_millis(8);
/// What is judged: the last eight seconds, when most is dead.
const BEFORE: Duration = Duration::from_secs(32);
const JUDGED: Duration = Duration::from_secs(8);

type Starts = Vec<(RunId, Instant)>;

/// Starts at its rate until told to stop. A start that comes late is made up for.
async fn start_for_ever(open: Arc<Open>, caller: usize, stop: CancellationToken) -> Result<Starts> {
    let mut scopes = Vec::new();
    for tenant in 0..TENANTS {
        scopes.push(open.scope(tenant).await?);
    }
    let (mut ticks, mut starts) = (tokio::time::interval(EVERY), Vec::new());
    let mut number = caller;
    while !stop.is_cancelled() {
        ticks.tick().await;
        let types = vec![PolicyType::new(&format!("type{number}"))?];
        let request = SyncInventory::of_types(types, true);
        let scope = &scopes[number % TENANTS];
        let run = scope.run_start(&request, HowStarted::default()).await?.run().id;
        starts.push((run, Instant::now()));
        number += STARTERS;
    }
    Ok(starts)
}

/// How long looks took in the time that is judged.
fn times(
    looks: &[(Look, Instant, Duration)],
    what: Look,
    from: Instant,
    to: Instant,
) -> Vec<Duration> {
    let judged =
        |look: &&(Look, Instant, Duration)| look.0 == what && look.1 >= from && look.1 < to;
    looks.iter().filter(judged).map(|look| look.2).collect()
}

pub(super) async fn steady(place: &Place, snapshot: Snapshot) -> Result<serde_json::Value> {
    let what = if snapshot == Snapshot::Held { "snapshot" } else { "steady" };
    if !place.is_postgres() {
        return Ok(json!({"what": what, "on": place.name(), "skipped": "PostgreSQL only"}));
    }
    // Beside a history, as an installation has it: plans are made from what has been analysed, and those
    // of an empty table stay until the first time that is done.
    let (world, filled) = super::history::filled(place, TENANTS, HISTORY).await?;
    drop(filled);
    let (open, working) = (Arc::new(world.open().await?), world.open().await?);
    let held = match snapshot {
        Snapshot::Held => Some(open.store.test_hold_snapshot().await),
        Snapshot::None => None,
    };
    looks_begin();
    let (stop, shutdown) = (CancellationToken::new(), CancellationToken::new());
    let (sender, mut told) = mpsc::unbounded_channel();
    let working = worker(&working, Arc::new(Telling(sender)), 64, 100_000);
    let working = tokio::spawn(working.run(shutdown.clone()));
    let began = Instant::now();
    let mut starters = tokio::task::JoinSet::new();
    for caller in 0..STARTERS {
        starters.spawn(start_for_ever(Arc::clone(&open), caller, stop.clone()));
    }
    let mut begun = HashMap::new();
    let from = began + BEFORE;
    let to = from + JUDGED;
    while let Ok(Some((run, at))) = tokio::time::timeout_at(to.into(), told.recv()).await {
        begun.insert(run, at);
    }
    stop.cancel();
    let mut starts = Vec::new();
    for done in starters.join_all().await {
        starts.extend(done?);
    }
    let looks = looks_taken();
    drop(held);
    shutdown.cancel();
    working.await?;
    let judged = |at: &Instant| *at >= from && *at < to;
    let begun_judged = begun.values().filter(|at| judged(at)).count();
    let started_judged = starts.iter().filter(|(_, at)| judged(at)).count();
    // A run that had not begun at the end has waited at least until then.
    let mut waits: Vec<Duration> = starts
        .iter()
        .filter(|(_, at)| judged(at))
        .map(|(run, at)| begun.get(run).copied().unwrap_or(to).saturating_duration_since(*at))
        .collect();
    let mut claims = times(&looks, Look::Claim, from, to);
    let mut discoveries = times(&looks, Look::Discovery, from, to);
    Ok(json!({
        "what": what, "on": place.name(), "started": starts.len(), "begun": begun.len(),
        "starts_per_second_last_8_s": rate(started_judged, JUDGED).round(),
        "begins_per_second_last_8_s": rate(begun_judged, JUDGED).round(),
        "claims": claims.len(), "discoveries": discoveries.len(),
        "claim_p50_ms": percentile(&mut claims, 50), "claim_p99_ms": percentile(&mut claims, 99),
        "discovery_p50_ms": percentile(&mut discoveries, 50),
        "discovery_p99_ms": percentile(&mut discoveries, 99),
        "start_to_begin_p50_ms": percentile(&mut waits, 50),
        "start_to_begin_p99_ms": percentile(&mut waits, 99),
    }))
}
