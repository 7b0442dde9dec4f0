//! TRUST A3: workers killed at random moments of a run.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::RngExt as _;

use crate::figure::{Figure, Size};
use crate::kills::{AT_ONCE, Ends, Seen, WORLDS, check, finish};
use crate::world::{Place, RUNNING, WorkerProcess, World, kill, until_said};

const ITEMS: u32 = 60;

/// On SQLite: a run at a time, killed between its claim and its end, or a little after.
async fn on_sqlite(kills: usize, size: Size, lane: u64) -> Result<Seen> {
    let mut chance = size.chance(lane);
    let world = World::new(&Place::Sqlite, 1).await?;
    let (mut seen, mut ends) = (Seen::default(), Ends::default());
    let options =
        WorkerProcess { items: ITEMS, item_ms: 4, concurrency: 1, ..WorkerProcess::default() };
    let mut number = 0;
    while seen.kills < kills {
        let open = world.open().await?;
        seen.changed += ends.look(&open).await;
        open.start(0, number).await?;
        open.close().await;
        number += 1;
        let mut victim = world.worker(&options)?;
        until_said(&mut victim, "begun").await?;
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..500_000))).await;
        kill(victim).await?;
        let killed = Instant::now();
        // Only a kill that left a running run hit one.
        let open = world.open().await?;
        seen.kills += usize::try_from(open.store.test_count(RUNNING).await)?;
        open.close().await;
        seen.slowest = seen.slowest.max(finish(&world, &options, killed).await?);
    }
    let open = world.open().await?;
    seen.add(check(&world, &open, &mut ends).await?);
    open.close().await;
    Ok(seen)
}

/// On PostgreSQL: many at once, each at a moment of its own, taken over by one heir.
async fn on_postgres(place: &Place, kills: usize, size: Size) -> Result<Seen> {
    let mut chance = size.chance(77);
    let world = World::new(place, AT_ONCE).await?;
    let open = world.open().await?;
    let (mut seen, mut ends) = (Seen::default(), Ends::default());
    // Longer than the longest wait for the kill: no worker comes to a second run.
    let options =
        WorkerProcess { items: ITEMS, item_ms: 30, concurrency: 1, ..WorkerProcess::default() };
    let mut round = 0;
    while seen.kills < kills {
        let mut victims = Vec::new();
        for tenant in 0..AT_ONCE {
            open.start(tenant, round).await?;
            victims.push(world.worker(&options)?);
        }
        round += 1;
        let waits: Vec<u64> = (0..AT_ONCE).map(|_| chance.random_range(0..1_700)).collect();
        let killed = victims.into_iter().zip(waits).map(|(mut victim, wait)| async move {
            until_said(&mut victim, "begun").await?;
            tokio::time::sleep(Duration::from_millis(wait)).await;
            kill(victim).await?;
            anyhow::Ok(Instant::now())
        });
        let killed = futures_util::future::try_join_all(killed).await?;
        // Each worker takes one run at a time and all are dead: these are the runs that were hit.
        seen.kills += usize::try_from(open.store.test_count(RUNNING).await)?;
        let first = killed.into_iter().min().unwrap_or_else(Instant::now);
        seen.slowest = seen.slowest.max(finish(&world, &options, first).await?);
        seen.changed += ends.look(&open).await;
    }
    seen.add(check(&world, &open, &mut ends).await?);
    open.close().await;
    Ok(seen)
}

/// Kills at random moments of fresh runs.
pub(crate) async fn kills(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let wanted = size.pick(300, 16);
    let seen = match place {
        Place::Postgres(_) => on_postgres(place, wanted, size).await?,
        Place::Sqlite => {
            let mut worlds = tokio::task::JoinSet::new();
            for lane in 0..WORLDS {
                let lane = u64::try_from(lane)?;
                worlds.spawn(on_sqlite(wanted.div_ceil(WORLDS), size, lane));
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
        format!("A3 random SIGKILLs, {}", place.name()),
        format!(
            ">= {wanted} kills of running runs, 0 stuck, 0 double effects, counts exact, recovery <= 13 s"
        ),
        seen.words("kills of running runs"),
        holds,
    )])
}
