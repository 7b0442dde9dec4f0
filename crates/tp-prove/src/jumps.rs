//! TRUST A39: the clock is set forward and back by up to two hours while real workers hold runs, beat,
//! sweep and fire schedules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt as _;
use tp_store::{NewSession, TimeSource};

use crate::clocks::OffsetClock;
use crate::figure::{Figure, Size};
use crate::invariants;
use crate::kills::{Ends, check};
use crate::slots::runs_by_slot;
use crate::world::{Open, Place, WorkerProcess, World};

const TWO_HOURS: i64 = 7_200_000_000;
const FIVE_MINUTES: i64 = 300_000_000;
const TENANTS: usize = 4;
/// How many items are carried out between two jumps, at most: two seconds of sweeps see some jumps.
const ITEMS_BETWEEN: usize = 20;

/// At each fourth jump as far as it goes, else by chance; to the microsecond, so that no two are equal.
fn jump(number: usize, chance: &mut impl rand::Rng) -> i64 {
    match number % 8 {
        0 => TWO_HOURS,
        4 => -TWO_HOURS,
        _ => chance.random_range(-TWO_HOURS..=TWO_HOURS),
    }
}

/// Sets the clock again and again while the workers go on; each jump waits until work has been done
/// since the last one.
async fn jump_about(world: &World, clock: &OffsetClock, size: Size, wanted: usize) -> Result<i64> {
    let (mut chance, mut offset) = (size.chance(39), 0);
    for number in 0..wanted {
        let enough = world.evidence()?.len() + chance.random_range(2..=ITEMS_BETWEEN);
        let began = Instant::now();
        while world.evidence()?.len() < enough {
            ensure!(
                began.elapsed() < Duration::from_mins(1),
                "no work is done after {number} jumps"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        offset += jump(number, &mut chance);
        clock.set(offset)?;
    }
    Ok(offset)
}

/// Makes a session at each jump, which ends a moment later, and counts those that are alive beyond that
/// by the clock that is never set.
async fn sessions(open: &Open, clock: &OffsetClock, size: Size, wanted: usize) -> Result<usize> {
    const LIFE: Duration = Duration::from_millis(300);
    let account = open.store.hall().account_by_email("owner@example.com").await?;
    let account = account.ok_or_else(|| anyhow::anyhow!("the owner is gone"))?;
    let (mut chance, mut offset, mut made) = (size.chance(40), 0, Vec::new());
    let mut alive = BTreeSet::new();
    for number in 0..wanted {
        let session = open.store.hall().session_create(&account, open.workspace, None).await?;
        // Twelve hours cannot be waited for: the same end, sooner.
        let sooner = "UPDATE sessions SET expires_at = created_at + 300000 \
                      WHERE expires_at > created_at + 300000";
        open.store.test_execute(sooner).await?;
        made.push((session, Instant::now() + LIFE));
        offset += jump(number, &mut chance);
        clock.set(offset)?;
        beyond(open, &made, &mut alive).await?;
    }
    let last = made.last().map_or_else(Instant::now, |(_, end)| *end);
    tokio::time::sleep_until((last + Duration::from_millis(1)).into()).await;
    beyond(open, &made, &mut alive).await?;
    Ok(alive.len())
}

async fn beyond(
    open: &Open,
    made: &[(NewSession, Instant)],
    alive: &mut BTreeSet<usize>,
) -> Result<()> {
    for (number, (session, end)) in made.iter().enumerate() {
        if !alive.contains(&number)
            && Instant::now() > *end
            && open.store.hall().actor_of_session(&session.secret).await?.is_some()
        {
            alive.insert(number);
        }
    }
    Ok(())
}

/// Slots that are missing between the first and the last that fired.
fn gaps(slots: impl Iterator<Item = i64>) -> usize {
    let slots: Vec<i64> = slots.collect();
    slots.windows(2).filter(|pair| pair[1] - pair[0] != FIVE_MINUTES).count()
}

/// Workers that hold runs and beat, while the clock jumps.
pub(crate) async fn jumps(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let wanted = size.pick(100, 40);
    let world = World::new(place, TENANTS).await?;
    let clock = OffsetClock { file: world.file("offset") };
    clock.set(0)?;
    let time = TimeSource::Clock(Arc::new(clock.clone()));
    let open = world.open_at(time.clone()).await?;
    open.schedule("*/5 * * * *").await?;
    let options = WorkerProcess {
        items: 60,
        item_ms: 60,
        concurrency: 4,
        offset: true,
        busy: true,
        exit_when_idle: true,
        ..WorkerProcess::default()
    };
    // More than is needed for all jumps.
    let runs = (wanted * ITEMS_BETWEEN).div_ceil(60) + TENANTS * 2;
    for number in 0..runs {
        open.start(number % TENANTS, number).await?;
    }
    open.close().await;
    // On PostgreSQL two processes, each of which could steal from the other.
    let mut workers = Vec::new();
    for _ in 0..if place.is_postgres() { 2 } else { 1 } {
        workers.push(world.worker(&options)?);
    }
    jump_about(&world, &clock, size, wanted).await?;
    for mut worker in workers {
        let ended = tokio::time::timeout(Duration::from_mins(3), worker.wait()).await??;
        ensure!(ended.success(), "a worker has failed");
    }
    let open = world.open_at(time).await?;
    let slots = runs_by_slot(&world.slots()?)?;
    let twice = slots.values().filter(|runs| runs.len() > 1).count();
    let gaps = gaps(slots.keys().copied());
    // A run that was taken from its worker has another try; its item in flight is reported as unknown.
    let stolen = "SELECT count(*) AS n FROM operation_runs WHERE attempt <> 1 OR failed > 0";
    let stolen = open.store.test_count(stolen).await;
    let negative = "SELECT count(*) AS n FROM operation_runs WHERE completed_at < started_at \
                    OR started_at < created_at";
    let negative = open.store.test_count(negative).await;
    let seen = check(&world, &open, &mut Ends::default()).await?;
    let alive = sessions(&open, &clock, size, wanted).await?;
    open.close().await;
    let holds = seen.clean()
        && twice + gaps + alive == 0
        && stolen + negative == 0
        && slots.len() > 1
        && seen.runs >= runs;
    Ok(vec![Figure::new(
        format!("A39 clock jumps of up to 2 h, {}", place.name()),
        format!(
            "{wanted} jumps, 0 double firings, 0 stolen leases, 0 negative durations, 0 sessions beyond their end"
        ),
        format!(
            "{wanted} jumps during {runs} runs, {} slots: {twice} fired twice, {gaps} left out; {stolen} runs \
             stolen, {} double effects, {} false successes, {negative} negative durations, {alive} of {wanted} \
             sessions beyond their end{}",
            slots.len(),
            seen.doubles,
            seen.lies,
            invariants::words(&seen.broken),
        ),
        holds,
    )])
}
