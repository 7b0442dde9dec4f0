//! TRUST A7, A39: schedulers with clocks of their own, and clocks that jump.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use tokio::process::{Child, Command};
use tp_domain::access::ManageSchedules;
use tp_domain::ids::{Ids as _, WorkerId};
use tp_domain::operation::OperationKind;
use tp_domain::runs_prune::PruneRuns;
use tp_domain::schedule::{Cadence, CatchUp, Targets, Timetable};
use tp_domain::time::Timestamp;
use tp_store::{ClaimRequest, NewSchedule, SystemIds, TimeSource};

use crate::child::FileClock;
use crate::figure::{Figure, Size};
use crate::invariants;
use crate::world::{Open, Place, World, kill};

const FIVE_MINUTES: i64 = 300_000_000;

fn clock(world_file: std::path::PathBuf) -> FileClock {
    FileClock { file: world_file, skew_seconds: 0 }
}

/// 2026-03-28T00:00:00Z: the two days hold a night in which Berlin springs forward.
fn beginning() -> Timestamp {
    Timestamp::from_micros(1_774_656_000_000_000)
}

async fn schedule(open: &Open) -> Result<()> {
    let scope = open.store.enter_workspace::<ManageSchedules>(&open.actor, open.workspace).await?;
    let new = NewSchedule {
        name: "Every five minutes".to_owned(),
        kind: OperationKind::RunsPrune,
        inputs: tp_domain::operation::OperationRequest::inputs(&PruneRuns),
        targets: Targets::Own,
        timetable: Timetable::new(Cadence::Cron("*/5 * * * *".to_owned()), "Europe/Berlin")?,
        catch_up: CatchUp::All,
        spread_seconds: 0,
        enabled: true,
    };
    scope.schedule_create(new).await?;
    Ok(())
}

fn scheduler(world: &World, file: &std::path::Path, skew: i64) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("scheduler").arg("--database").arg(world.url()).arg("--clock").arg(file);
    command.arg(format!("--skew={skew}")).kill_on_drop(true);
    Ok(command.spawn()?)
}

async fn slots_seen(open: &Open) -> i64 {
    open.store.test_count("SELECT count(*) AS n FROM schedule_slots").await
}

/// Ends what was started, so that the next slot has nothing in its way.
async fn drain(open: &Open, worker: WorkerId) -> Result<()> {
    loop {
        open.store.discover().await?;
        let request = ClaimRequest {
            worker,
            kinds: OperationKind::ALL.to_vec(),
            lease: Duration::from_secs(30),
            per_tenant: 100,
            most: 100,
        };
        let claims = open.store.claim_many(request).await?;
        if claims.runs.is_empty() && !claims.contended {
            return Ok(());
        }
        for run in claims.runs {
            run.finish(crate::rates::succeeded()).await?;
        }
    }
}

/// Two simulated days of a schedule every five minutes, with that many schedulers.
async fn two_days(place: &Place, size: Size, schedulers: usize) -> Result<Figure> {
    let folder = tempfile::tempdir()?;
    let clock = clock(folder.path().join("clock"));
    clock.set(beginning())?;
    let time = TimeSource::Clock(Arc::new(clock.clone()));
    let world = World::at(place, 1, time.clone()).await?;
    let open = world.open_at(time).await?;
    schedule(&open).await?;
    let mut children = Vec::new();
    let mut chance = size.chance(u64::try_from(schedulers)?);
    // On SQLite one process at a time may have the file: there the schedulers are tasks.
    let stop = tokio_util::sync::CancellationToken::new();
    for _ in 0..schedulers {
        if place.is_postgres() {
            children.push(scheduler(&world, &clock.file, chance.random_range(-90..90))?);
        } else {
            let (upkeep, stop) = (open.store.upkeep(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let _ = upkeep.schedules_fire().await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
    }
    let worker = WorkerId::from_uuid(SystemIds.next());
    let wanted: i64 = 576;
    let jumps: Vec<i64> = (0..20).map(|_| chance.random_range(1..wanted)).collect();
    for number in 1..=wanted {
        let planned = Timestamp::from_micros(beginning().micros() + number * FIVE_MINUTES);
        if jumps.contains(&number) {
            // Two hours back and forth again: what lies behind must not fire a second time.
            clock.set(planned.minus(Duration::from_hours(2)))?;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        clock.set(planned.plus(Duration::from_secs(91)))?;
        let began = std::time::Instant::now();
        while slots_seen(&open).await < number {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "slot {number} never fired");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        drain(&open, worker).await?;
    }
    // Time for a second firing, if there were one.
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.cancel();
    for child in children {
        kill(child).await?;
    }
    let fired = "SELECT count(*) AS n FROM schedule_slots WHERE state = 'fired'";
    let fired = open.store.test_count(fired).await;
    let runs = "SELECT count(*) AS n FROM operation_runs WHERE trigger_kind = 'schedule'";
    let runs = open.store.test_count(runs).await;
    let broken = invariants::broken(&open.store).await;
    open.close().await;
    Ok(Figure::new(
        format!("A7 {schedulers} schedulers, two days of five minutes, {}", place.name()),
        format!("{wanted} firings, also with the clock moved 2 h 20 times"),
        format!("{fired} firings, {runs} runs; {} rules broken", broken.len()),
        fired == wanted && runs == wanted && broken.is_empty(),
    ))
}

pub(crate) async fn slots(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let counts: &[usize] = size.pick(&[2, 3, 4], &[4]);
    for schedulers in counts {
        figures.push(two_days(place, size, *schedulers).await?);
    }
    Ok(figures)
}

/// A clock that jumps by up to two hours while a worker holds runs and beats.
pub(crate) async fn jumps(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let wanted = size.pick(100, 40);
    let folder = tempfile::tempdir()?;
    let clock = clock(folder.path().join("clock"));
    clock.set(beginning())?;
    let time = TimeSource::Clock(Arc::new(clock.clone()));
    let world = World::at(place, 1, time.clone()).await?;
    let open = world.open_at(time).await?;
    schedule(&open).await?;
    let mut chance = size.chance(39);
    let (worker, upkeep) = (WorkerId::from_uuid(SystemIds.next()), open.store.upkeep());
    let lease = Duration::from_secs(30);
    let (mut stolen, mut late) = (0, 0);
    let mut now = beginning();
    for number in 0..wanted {
        open.start(0, number).await?;
        open.store.discover().await?;
        let kinds = vec![OperationKind::InventorySync];
        let request = ClaimRequest { worker, kinds, lease, per_tenant: 9, most: 1 };
        let Some(run) = open.store.claim_many(request).await?.runs.pop() else {
            late += 1;
            continue;
        };
        let held = run.claimed();
        let minutes = chance.random_range(-120_i64..=120);
        // A worker that lives beats after the jump before anybody sweeps for three leases; the jump
        // itself takes nothing from it.
        now = Timestamp::from_micros(now.micros() + minutes * 60_000_000);
        clock.set(now)?;
        let alive = upkeep.beat(worker, 1, lease, vec![held]).await?;
        let jumped_past = minutes > 0 && alive.is_empty();
        upkeep.sweep(lease).await?;
        upkeep.schedules_fire().await?;
        match run.finish(crate::rates::succeeded()).await {
            Ok(()) => {}
            // A jump forward past the lease looks like a dead worker: it is taken over, never twice.
            Err(tp_store::StoreError::LeaseLost) if jumped_past => drain(&open, worker).await?,
            Err(_) => stolen += 1,
        }
        drain(&open, worker).await?;
    }
    let doubles = "SELECT count(*) AS n FROM (SELECT 1 FROM schedule_slots \
                   GROUP BY schedule_id, slot_at HAVING count(*) > 1) twice";
    let doubles = open.store.test_count(doubles).await;
    let active = "SELECT count(*) AS n FROM operation_runs WHERE status <> 'completed'";
    let active = open.store.test_count(active).await;
    let broken = invariants::broken(&open.store).await;
    open.close().await;
    Ok(vec![Figure::new(
        format!("A39 clock jumps of up to 2 h, {}", place.name()),
        format!("{wanted} jumps, 0 double firings, 0 stolen leases, nothing left behind"),
        format!(
            "{wanted} jumps, {doubles} double firings, {stolen} stolen, {late} not claimed at once, {active} left \
             active; {} rules broken",
            broken.len()
        ),
        doubles == 0 && stolen == 0 && late == 0 && active == 0 && broken.is_empty(),
    )])
}
