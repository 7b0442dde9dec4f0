//! TRUST A5: workers frozen for three leases, then woken: they change nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::RngExt as _;
use tokio::process::Child;

use crate::figure::{Figure, Size};
use crate::kills::{Ends, Seen, check};
use crate::world::{LEASE, Open, Place, RUNNING, WorkerProcess, World, kill, signal};

const AT_ONCE: usize = 10;

fn victim() -> WorkerProcess {
    WorkerProcess { items: 60, item_ms: 30, concurrency: 1, ..WorkerProcess::default() }
}

/// Freezes all at moments of their own, and wakes each after three leases. Says when the first was
/// frozen.
async fn freeze(victims: &[Child], size: Size, round: u64) -> Result<Instant> {
    let mut chance = size.chance(1_000 + round);
    let waits: Vec<u64> = victims.iter().map(|_| chance.random_range(200..1_900)).collect();
    let frozen = victims.iter().zip(waits).map(|(victim, wait)| async move {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        signal(victim, "STOP").await?;
        let stopped = Instant::now();
        tokio::time::sleep(LEASE * 3).await;
        signal(victim, "CONT").await?;
        anyhow::Ok(stopped)
    });
    let stopped = futures_util::future::try_join_all(frozen).await?;
    Ok(stopped.into_iter().min().unwrap_or_else(Instant::now))
}

/// On PostgreSQL another worker takes the runs over while their workers are frozen.
async fn on_postgres(place: &Place, wanted: usize, size: Size) -> Result<Seen> {
    let world = World::new(place, AT_ONCE).await?;
    let open = world.open().await?;
    let (mut seen, mut ends) = (Seen::default(), Ends::default());
    let mut round = 0;
    while seen.kills < wanted {
        let victims = start_all(&world, &open, round).await?;
        // Only when the victims have the runs.
        while usize::try_from(open.store.test_count(RUNNING).await)? < victims.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let heir = world.worker(&WorkerProcess { concurrency: 10, ..victim() })?;
        // The heir has ended the runs while their workers were still frozen, or soon after.
        let idle = async {
            open.idle(Duration::from_mins(1)).await?;
            anyhow::Ok(Instant::now())
        };
        let (frozen, idle) = tokio::join!(freeze(&victims, size, u64::try_from(round)?), idle);
        seen.slowest = seen.slowest.max(idle?.saturating_duration_since(frozen?));
        seen.changed += ends.look(&open).await;
        // Awake again, with whatever they still had in hand.
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.changed += ends.look(&open).await;
        seen.kills += victims.len();
        round += 1;
        for child in victims.into_iter().chain([heir]) {
            kill(child).await?;
        }
    }
    seen.add(check(&world, &open, &mut ends).await?);
    open.close().await;
    Ok(seen)
}

async fn start_all(world: &World, open: &Open, round: usize) -> Result<Vec<Child>> {
    let mut victims = Vec::new();
    for tenant in 0..world.tenants() {
        open.start(tenant, round).await?;
        victims.push(world.worker(&victim())?);
    }
    Ok(victims)
}

/// On SQLite there is one process: awake again, it must not trust the lease that it had.
async fn on_sqlite(rounds: usize, size: Size, lane: u64) -> Result<Seen> {
    let world = World::new(&Place::Sqlite, 1).await?;
    let (mut seen, mut ends) = (Seen::default(), Ends::default());
    for round in 0..rounds {
        let open = world.open().await?;
        seen.changed += ends.look(&open).await;
        open.start(0, round).await?;
        open.close().await;
        let options = WorkerProcess { exit_when_idle: true, ..victim() };
        let mut victims = vec![world.worker(&options)?];
        freeze(&victims, size, lane * 100 + u64::try_from(round)?).await?;
        let woken = Instant::now();
        let ended = tokio::time::timeout(Duration::from_mins(1), victims[0].wait()).await??;
        anyhow::ensure!(ended.success(), "a woken worker has failed");
        seen.slowest = seen.slowest.max(woken.elapsed());
        seen.kills += 1;
    }
    let open = world.open().await?;
    seen.add(check(&world, &open, &mut ends).await?);
    open.close().await;
    Ok(seen)
}

pub(crate) async fn freezes(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let wanted = size.pick(50, 10);
    let seen = match place {
        Place::Postgres(_) => on_postgres(place, wanted, size).await?,
        Place::Sqlite => {
            let mut worlds = tokio::task::JoinSet::new();
            for lane in 0..AT_ONCE {
                worlds.spawn(on_sqlite(wanted / AT_ONCE, size, u64::try_from(lane)?));
            }
            let mut seen = Seen::default();
            for lane in worlds.join_all().await {
                seen.add(lane?);
            }
            seen
        }
    };
    let holds = seen.clean() && seen.kills >= wanted;
    Ok(vec![Figure::new(
        format!("A5 freezes of three leases, {}", place.name()),
        format!(">= {wanted} freezes, 0 double effects, 0 overwritten ends, recovery <= 13 s"),
        seen.words("freezes"),
        holds,
    )])
}
