//! TRUST A3: workers killed at every step of a run; what kills and freezes are judged by.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tp_store::Dialect;

use crate::figure::{Figure, Size};
use crate::invariants;
use crate::world::{Open, Place, RECOVERY, WorkerProcess, World, kill, until_said};

/// Runs that are worked on and killed at once on PostgreSQL; worlds at once on SQLite.
pub(crate) const AT_ONCE: usize = 10;
pub(crate) const WORLDS: usize = 4;

/// What a phase has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) kills: usize,
    pub(crate) runs: usize,
    pub(crate) slowest: Duration,
    /// Items whose effect happened twice.
    pub(crate) doubles: usize,
    /// Items that are said to have succeeded without their effect.
    pub(crate) lies: usize,
    /// Ended runs that changed afterwards.
    pub(crate) changed: usize,
    pub(crate) broken: Vec<String>,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.runs += other.runs;
        self.slowest = self.slowest.max(other.slowest);
        self.doubles += other.doubles;
        self.lies += other.lies;
        self.changed += other.changed;
        self.broken.extend(other.broken);
    }

    pub(crate) fn clean(&self) -> bool {
        self.doubles == 0
            && self.lies == 0
            && self.changed == 0
            && self.broken.is_empty()
            && self.slowest <= RECOVERY
    }

    pub(crate) fn words(&self, what: &str) -> String {
        let mut text = format!(
            "{} {what}, {} runs ended, slowest recovery {:.1} s, {} double effects, {} false successes, {} \
             changed after their end",
            self.kills,
            self.runs,
            self.slowest.as_secs_f64(),
            self.doubles,
            self.lies,
            self.changed,
        );
        text.push_str(&invariants::words(&self.broken));
        text
    }
}

/// What ended runs looked like when they were first seen ended.
#[derive(Debug, Default)]
pub(crate) struct Ends(HashMap<String, String>);

impl Ends {
    /// Looks at all ended runs; says how many have changed since they were seen.
    pub(crate) async fn look(&mut self, open: &Open) -> usize {
        let id = match open.store.dialect() {
            Dialect::Sqlite => "lower(hex(id))",
            Dialect::Postgres => "replace(CAST(id AS TEXT), '-', '')",
        };
        let sql = format!(
            "SELECT {id} || ' ' || outcome || '/' || succeeded || '/' || failed || '/' || skipped || '/' || \
             completed_at || '/' || revision || '/' || COALESCE(reason, '') AS t \
             FROM operation_runs WHERE status = 'completed'"
        );
        let mut changed = 0;
        for row in open.store.test_texts(&sql).await {
            let Some((id, rest)) = row.split_once(' ') else { continue };
            match self.0.get(id) {
                None => {
                    self.0.insert(id.to_owned(), rest.to_owned());
                }
                Some(known) if known != rest => changed += 1,
                Some(_) => {}
            }
        }
        changed
    }
}

/// Compares what the database says with what happened outside of it.
pub(crate) async fn check(world: &World, open: &Open, ends: &mut Ends) -> Result<Seen> {
    let mut effects: HashMap<String, usize> = HashMap::new();
    for line in world.evidence()? {
        *effects.entry(line.replace('-', "")).or_default() += 1;
    }
    let run = match open.store.dialect() {
        Dialect::Sqlite => "lower(hex(run_id))",
        Dialect::Postgres => "replace(CAST(run_id AS TEXT), '-', '')",
    };
    let succeeded =
        format!("SELECT {run} || ' ' || item_key AS t FROM run_items WHERE state = 'succeeded'");
    let succeeded = open.store.test_texts(&succeeded).await;
    let runs = "SELECT count(*) AS n FROM operation_runs WHERE status = 'completed'";
    Ok(Seen {
        kills: 0,
        runs: usize::try_from(open.store.test_count(runs).await)?,
        slowest: Duration::ZERO,
        doubles: effects.values().filter(|count| **count > 1).count(),
        lies: succeeded.iter().filter(|item| !effects.contains_key(*item)).count(),
        changed: ends.look(open).await,
        broken: invariants::broken(&open.store).await,
    })
}

/// Lets another worker go on until nothing is left; says how long it took from the kill.
pub(crate) async fn finish(
    world: &World,
    options: &WorkerProcess,
    killed: Instant,
) -> Result<Duration> {
    let heir = WorkerProcess {
        pause_at: None,
        break_at: None,
        exit_when_idle: true,
        concurrency: 10,
        ..*options
    };
    let mut child = world.worker(&heir)?;
    let status = tokio::time::timeout(Duration::from_mins(1), child.wait()).await??;
    ensure!(status.success(), "the worker that went on has failed");
    Ok(killed.elapsed())
}

/// On SQLite: one run after the other, each in a process that is killed and started again.
async fn steps_on_sqlite(steps: Vec<u32>, items: u32) -> Result<Seen> {
    let world = World::new(&Place::Sqlite, 1).await?;
    let mut seen = Seen::default();
    let mut ends = Ends::default();
    for (number, step) in steps.into_iter().enumerate() {
        let open = world.open().await?;
        seen.changed += ends.look(&open).await;
        open.start(0, number).await?;
        open.close().await;
        let pause_at = Some(step);
        let options = WorkerProcess { items, concurrency: 1, pause_at, ..WorkerProcess::default() };
        let mut victim = world.worker(&options)?;
        until_said(&mut victim, "paused").await?;
        kill(victim).await?;
        let killed = Instant::now();
        seen.kills += 1;
        seen.slowest = seen.slowest.max(finish(&world, &options, killed).await?);
    }
    let open = world.open().await?;
    seen.add(check(&world, &open, &mut ends).await?);
    open.close().await;
    Ok(seen)
}

/// On PostgreSQL: many runs at once, each killed at a step of its own, taken over by one heir.
async fn steps_on_postgres(place: &Place, steps: Vec<u32>, items: u32) -> Result<Seen> {
    let world = World::new(place, AT_ONCE).await?;
    let open = world.open().await?;
    let mut seen = Seen::default();
    let mut ends = Ends::default();
    for (round, steps) in steps.chunks(AT_ONCE).enumerate() {
        for tenant in 0..steps.len() {
            open.start(tenant, round).await?;
        }
        let options = WorkerProcess { items, concurrency: 1, ..WorkerProcess::default() };
        let mut victims = Vec::new();
        for step in steps {
            let mut victim = world.worker(&WorkerProcess { pause_at: Some(*step), ..options })?;
            until_said(&mut victim, "paused").await?;
            victims.push(victim);
        }
        let killed = Instant::now();
        for victim in victims {
            kill(victim).await?;
            seen.kills += 1;
        }
        seen.slowest = seen.slowest.max(finish(&world, &options, killed).await?);
        seen.changed += ends.look(&open).await;
    }
    seen.add(check(&world, &open, &mut ends).await?);
    open.close().await;
    Ok(seen)
}

/// A kill at every step of a run of 60 items: before its plan, before and after each effect, before
/// each item's end and before its own.
pub(crate) async fn at_every_step(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let items: u32 = 60;
    let stride = size.pick(1, 9);
    let steps: Vec<u32> = (0..3 * items + 2).step_by(stride).collect();
    let wanted = steps.len();
    let seen = match place {
        Place::Postgres(_) => steps_on_postgres(place, steps, items).await?,
        Place::Sqlite => {
            let mut worlds = tokio::task::JoinSet::new();
            for lane in steps.chunks(steps.len().div_ceil(WORLDS)) {
                worlds.spawn(steps_on_sqlite(lane.to_vec(), items));
            }
            let mut seen = Seen::default();
            for lane in worlds.join_all().await {
                seen.add(lane?);
            }
            seen
        }
    };
    let holds = seen.clean() && seen.kills == wanted && seen.runs == wanted;
    Ok(vec![Figure::new(
        format!("A3 kill at every step of {items} items, {}", place.name()),
        format!("{wanted} steps, 0 stuck, 0 double effects, counts exact, recovery <= 13 s"),
        seen.words("kills"),
        holds,
    )])
}
