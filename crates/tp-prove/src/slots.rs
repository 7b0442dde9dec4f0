//! TRUST A7: schedulers with clocks of their own, and a clock that is set forward and back.
//!
//! What fired is told by the runs that were carried out, each of which writes its slot to a file: the
//! key of the table of slots, which is what is on trial, takes no part in the count.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tp_domain::ids::{Ids as _, WorkerId};
use tp_domain::time::Timestamp;
use tp_engine::jitter::SystemJitter;
use tp_engine::registry::Registry;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_store::{SystemIds, TimeSource};

use crate::child::{Slots, fire_for_ever, slots_file};
use crate::clocks::FileClock;
use crate::figure::{Figure, Size};
use crate::invariants;
use crate::world::{Open, Place, World, kill};

const FIVE_MINUTES: i64 = 300_000_000;
const TWO_HOURS: Duration = Duration::from_hours(2);
/// Two days of five minutes.
const SLOTS: i64 = 576;
/// As many as two hours hold: a jump forward may not lead beyond the last slot.
const SLOTS_AHEAD: i64 = 25;
/// How often the clock is set forward or back.
const JUMPS: usize = 20;
/// What a clock of a scheduler is wrong by at most, in seconds.
const SKEW: i64 = 90;

/// 2026-03-28T00:00:00Z: the two days hold a night in which Berlin springs forward.
fn beginning() -> Timestamp {
    Timestamp::from_micros(1_774_656_000_000_000)
}

fn slot(number: i64) -> Timestamp {
    Timestamp::from_micros(beginning().micros() + number * FIVE_MINUTES)
}

/// A scheduler, and the latest time that it has looked at.
struct Scheduler {
    looked: watch::Receiver<i64>,
    child: Option<Child>,
}

/// A process with a clock of its own.
fn process(world: &World, clock: &FileClock, skew: i64) -> Result<Scheduler> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("scheduler").arg("--database").arg(world.url());
    command.arg("--clock").arg(&clock.file).arg(format!("--skew={skew}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().context("the process has no output")?;
    let (sender, looked) = watch::channel(0);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_replace(line.parse().unwrap_or(0));
        }
    });
    Ok(Scheduler { looked, child: Some(child) })
}

/// A task: on SQLite one process has the file, and so one clock.
fn task(open: &Open, clock: &FileClock, stop: &CancellationToken) -> Scheduler {
    let (sender, looked) = watch::channel(0);
    let (store, clock, stop) = (open.store.clone(), clock.clone(), stop.clone());
    tokio::spawn(fire_for_ever(store, clock, stop, move |told| {
        sender.send_replace(told);
    }));
    Scheduler { looked, child: None }
}

/// Sets the clock and waits until every scheduler has looked at the schedules by it.
async fn set(clock: &FileClock, at: Timestamp, schedulers: &mut [Scheduler]) -> Result<()> {
    clock.set(at)?;
    for scheduler in schedulers {
        let seen = scheduler.looked.wait_for(|told| *told == at.micros());
        tokio::time::timeout(Duration::from_secs(30), seen).await.context("nobody looked")??;
    }
    Ok(())
}

/// Works on what was fired, all the time, so that no run is in the way of a second one of its slot.
fn drain(world: &World, open: &Open, shutdown: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let evidence = slots_file(&world.file("evidence"));
    let registry = Registry::default().with(Arc::new(Slots { evidence, children: false }));
    let options = WorkerOptions {
        concurrency: 64,
        per_tenant: 64,
        poll: Duration::from_millis(50),
        schedules: false,
        ..WorkerOptions::default()
    };
    let id = WorkerId::from_uuid(SystemIds.next());
    let jitter = Arc::new(SystemJitter);
    let worker = Worker::new(id, open.store.clone(), registry, options, jitter);
    tokio::spawn(worker.run(shutdown.clone()))
}

/// The runs of each slot, by the lines that they wrote.
pub(crate) fn runs_by_slot(lines: &[String]) -> Result<BTreeMap<i64, BTreeSet<String>>> {
    let mut slots: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for line in lines {
        let (slot, run) = line.split_once(' ').context("a line without a run")?;
        slots.entry(slot.parse()?).or_default().insert(run.to_owned());
    }
    Ok(slots)
}

/// Two simulated days of a schedule every five minutes, with that many schedulers.
async fn two_days(place: &Place, size: Size, count: usize) -> Result<Figure> {
    let folder = tempfile::tempdir()?;
    let clock = FileClock { file: folder.path().join("clock"), skew_seconds: 0 };
    clock.set(beginning())?;
    let time = TimeSource::Clock(Arc::new(clock.clone()));
    let world = World::at(place, 1, time.clone()).await?;
    let open = world.open_at(time).await?;
    open.no_limit().await?;
    open.schedule("*/5 * * * *").await?;
    let mut chance = size.chance(u64::try_from(count)?);
    let (stop, shutdown) = (CancellationToken::new(), CancellationToken::new());
    let mut schedulers = Vec::new();
    for _ in 0..count {
        schedulers.push(if place.is_postgres() {
            process(&world, &clock, chance.random_range(-SKEW..=SKEW))?
        } else {
            task(&open, &clock, &stop)
        });
    }
    let working = drain(&world, &open, &shutdown);
    let mut jumps = BTreeSet::new();
    while jumps.len() < JUMPS {
        jumps.insert(chance.random_range(1..=SLOTS - SLOTS_AHEAD));
    }
    for number in 1..=SLOTS {
        if let Some(place) = jumps.iter().position(|jump| *jump == number) {
            // Forward what lies ahead fires early; back again none of it, and nothing of before, fires.
            let there = match place % 2 {
                0 => slot(number).plus(TWO_HOURS),
                _ => slot(number).minus(TWO_HOURS),
            };
            set(&clock, there, &mut schedulers).await?;
        }
        set(&clock, slot(number).plus(Duration::from_secs(91)), &mut schedulers).await?;
    }
    open.idle(Duration::from_mins(1)).await?;
    stop.cancel();
    shutdown.cancel();
    working.await?;
    for child in schedulers.into_iter().filter_map(|scheduler| scheduler.child) {
        kill(child).await?;
    }
    let slots = runs_by_slot(&world.slots()?)?;
    let right: BTreeSet<i64> = (1..=SLOTS).map(|number| slot(number).micros()).collect();
    let right = slots.keys().copied().collect::<BTreeSet<_>>() == right;
    let firings: usize = slots.values().map(BTreeSet::len).sum();
    let twice = slots.values().filter(|runs| runs.len() > 1).count();
    let rows = "SELECT count(*) AS n FROM schedule_slots WHERE state = 'fired'";
    let rows = open.store.test_count(rows).await;
    let broken = invariants::broken(&open.store).await;
    open.close().await;
    let exact = i64::try_from(firings)? == SLOTS && rows == SLOTS && right && twice == 0;
    Ok(Figure::new(
        format!("A7 {count} schedulers, two days of five minutes, {}", place.name()),
        format!("{SLOTS} firings, also with the clock moved 2 h {JUMPS} times"),
        format!(
            "{firings} runs carried out, {} slots, {twice} of them twice, the right ones: {right}, {rows} rows say \
             fired{}",
            slots.len(),
            invariants::words(&broken),
        ),
        exact && broken.is_empty(),
    ))
}

pub(crate) async fn slots(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let counts: &[usize] = size.pick(&[2, 3, 4], &[4]);
    for count in counts {
        figures.push(two_days(place, size, *count).await?);
    }
    Ok(figures)
}
