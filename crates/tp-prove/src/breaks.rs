//! A process killed at each break point of the store: what is left must be what docs/engine.md says, the
//! heir must end every run, and the invariants must hold (ENGINE I3).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{IdentityHash, OperationKind, OperationRequest as _};
use tp_domain::policy::PolicyType;
use tp_store::testing::BreakPoint;

use crate::figure::Figure;
use crate::kills::{Ends, Seen, check, finish};
use crate::world::{Open, Place, WorkerProcess, World, kill, until_said};

/// How many cases go on at once.
const AT_ONCE: usize = 6;
const TENANTS: usize = 3;
/// How many runs end together.
const TOGETHER: usize = 8;

/// What the process that is killed was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// A start, repeated by its caller.
    Start,
    /// A start under a key, repeated by its caller.
    KeyedStart,
    /// A start whose statement goes on in the database without its caller.
    LostStart,
    /// A run of sixty items.
    Work,
    /// Runs that end at the same moment.
    Together,
    /// Takes back the run of a worker that was killed before.
    Sweep,
    /// The same after the last try.
    LastSweep,
    /// An umbrella run over all tenants.
    Umbrella,
    /// A schedule that is due.
    Slot,
}

/// One kill: where, doing what, and a count that must be so afterwards.
struct Case {
    point: Option<BreakPoint>,
    scene: Scene,
    left: &'static str,
    expected: std::ops::RangeInclusive<i64>,
}

const RUNS: &str = "SELECT count(*) AS n FROM operation_runs";
const RUNNING: &str = "SELECT count(*) AS n FROM operation_runs WHERE status = 'running'";
const WHOLE: &str = "\
SELECT count(*) AS n FROM operation_runs r JOIN jobs j ON j.scope_id = r.scope_id AND j.run_id = r.id
JOIN notifications n ON n.scope_id = r.scope_id AND n.run_id = r.id AND n.moment = 'queued'
JOIN audit_entries a ON a.scope_id = r.scope_id AND a.run_id = r.id AND a.action = 'run.started'
WHERE r.status = 'queued'";
const LEASED: &str = "\
SELECT count(*) AS n FROM operation_runs r JOIN jobs j ON j.scope_id = r.scope_id AND j.run_id = r.id
WHERE r.status = 'running' AND j.state = 'leased'";
const READY: &str = "\
SELECT count(*) AS n FROM operation_runs r JOIN jobs j ON j.scope_id = r.scope_id AND j.run_id = r.id
WHERE r.status = 'running' AND j.state = 'ready'";
const ENDED: &str = "\
SELECT count(*) AS n FROM operation_runs r
JOIN notifications n ON n.scope_id = r.scope_id AND n.run_id = r.id AND n.moment = 'ended'
WHERE r.status = 'completed'
AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.scope_id = r.scope_id AND j.run_id = r.id)";
const LOST: &str = "\
SELECT count(*) AS n FROM operation_runs WHERE status = 'completed' AND reason = 'worker_lost'";
const CHILDREN: &str = "SELECT count(*) AS n FROM operation_runs WHERE parent_id IS NOT NULL";
const PARENTS_ENDED: &str = "\
SELECT count(*) AS n FROM operation_runs WHERE kind = 'schedule.execute' AND status = 'completed'";
const SLOTS: &str = "\
SELECT count(*) AS n FROM schedule_slots s
JOIN operation_runs r ON r.scope_id = s.scope_id AND r.id = s.run_id WHERE s.state = 'fired'";

/// All kills. Each break point is in it: a test says so.
fn cases(place: &Place) -> Vec<Case> {
    use BreakPoint as B;
    let many = i64::try_from(TOGETHER).unwrap_or(0);
    let children = i64::try_from(TENANTS).unwrap_or(0);
    let mut cases = Vec::new();
    let mut add = |point, scene, left, expected| {
        cases.push(Case { point: Some(point), scene, left, expected });
    };
    add(B::StartWritten, Scene::KeyedStart, RUNS, 0..=0);
    add(B::StartCommitted, Scene::KeyedStart, WHOLE, 1..=1);
    add(B::StartCommitted, Scene::Start, WHOLE, 1..=1);
    add(B::ClaimWritten, Scene::Work, WHOLE, 1..=1);
    add(B::ClaimCommitted, Scene::Work, LEASED, 1..=1);
    add(B::BeatWritten, Scene::Work, LEASED, 1..=1);
    add(B::BeatCommitted, Scene::Work, LEASED, 1..=1);
    add(B::EndWritten, Scene::Work, RUNNING, 1..=1);
    add(B::EndCommitted, Scene::Work, ENDED, 1..=1);
    // One of them may have ended alone before the others came together.
    add(B::GroupEndWritten, Scene::Together, RUNNING, many - 1..=many);
    add(B::GroupEndCommitted, Scene::Together, ENDED, 2..=many);
    add(B::SweepWritten, Scene::Sweep, LEASED, 1..=1);
    add(B::SweepCommitted, Scene::Sweep, READY, 1..=1);
    add(B::SweepWritten, Scene::LastSweep, LEASED, 1..=1);
    add(B::SweepCommitted, Scene::LastSweep, LOST, 1..=1);
    add(B::RollUpStartWritten, Scene::Umbrella, CHILDREN, 0..=0);
    add(B::RollUpStartCommitted, Scene::Umbrella, CHILDREN, children..=children);
    add(B::RollUpEndWritten, Scene::Umbrella, PARENTS_ENDED, 0..=0);
    add(B::RollUpEndCommitted, Scene::Umbrella, PARENTS_ENDED, 1..=1);
    add(B::SlotWritten, Scene::Slot, RUNS, 0..=0);
    add(B::SlotCommitted, Scene::Slot, SLOTS, 1..=1);
    if place.is_postgres() {
        cases.push(Case { point: None, scene: Scene::LostStart, left: WHOLE, expected: 1..=1 });
    } else {
        // On PostgreSQL such a start is one statement: there is nothing before its commit.
        let (point, scene) = (Some(B::StartWritten), Scene::Start);
        cases.push(Case { point, scene, left: RUNS, expected: 0..=0 });
    }
    cases
}

impl Case {
    fn name(&self) -> String {
        let point = self.point.map_or("start-statement", BreakPoint::as_str);
        format!("{point} ({:?})", self.scene)
    }

    fn key(&self) -> Option<&'static str> {
        (self.scene == Scene::KeyedStart).then_some("again")
    }

    const fn starts(&self) -> bool {
        matches!(self.scene, Scene::Start | Scene::KeyedStart | Scene::LostStart)
    }

    /// How many runs there are in the end: none twice.
    const fn runs(&self) -> usize {
        match self.scene {
            Scene::Together => TOGETHER,
            Scene::Umbrella => 1 + TENANTS,
            _ => 1,
        }
    }

    fn worker(&self) -> WorkerProcess {
        WorkerProcess {
            items: 60,
            item_ms: if self.scene == Scene::Work { 25 } else { 0 },
            concurrency: if self.scene == Scene::Together { 10 } else { 1 },
            together: (self.scene == Scene::Together).then_some(TOGETHER),
            children: self.scene == Scene::Umbrella,
            break_at: self.point,
            ..WorkerProcess::default()
        }
    }

    /// What there is before the process that is killed begins.
    async fn before(&self, open: &Open) -> Result<()> {
        match self.scene {
            Scene::Start | Scene::KeyedStart | Scene::LostStart => {}
            Scene::Work | Scene::Sweep | Scene::LastSweep => {
                open.start(0, 0).await?;
            }
            Scene::Together => {
                for number in 0..TOGETHER {
                    open.start(number % TENANTS, number).await?;
                }
            }
            Scene::Umbrella | Scene::Slot => {
                // Once a year, and due a moment ago.
                open.schedule("0 0 1 1 *").await?;
                let due = "UPDATE schedules SET next_at = created_at - 1000000 WHERE enabled";
                open.store.test_execute(due).await?;
            }
        }
        Ok(())
    }
}

/// Kills a worker in the middle of the run, so that there is something to sweep.
async fn lose_worker(world: &World, case: &Case) -> Result<()> {
    let options = WorkerProcess { break_at: None, pause_at: Some(6), ..case.worker() };
    let mut victim = world.worker(&options)?;
    until_said(&mut victim, "paused").await?;
    kill(victim).await?;
    if case.scene == Scene::LastSweep {
        let open = world.open().await?;
        open.store.test_execute("UPDATE operation_runs SET max_attempts = 1").await?;
        open.close().await;
    }
    Ok(())
}

/// A start that waits in the database for another transaction while its caller is killed; then it is
/// let go on (TRUST F4: the commit happens, the reply is lost).
async fn lose_start(world: &World) -> Result<()> {
    let open = world.open().await?;
    let inputs = SyncInventory::of_types(vec![PolicyType::new("type0")?], true).inputs();
    let (kind, tenant) = (OperationKind::InventorySync, open.tenants[0]);
    let identity = IdentityHash::of(kind, tenant.uuid(), &inputs);
    let equal = format!(
        "INSERT INTO operation_runs (scope_id, id, workspace_id, tenant_id, kind, status, outcome, \
         identity_hash, initiator_name, trigger_kind, inputs, max_attempts, created_at) \
         VALUES ('{tenant}', gen_random_uuid(), '{}', '{tenant}', '{kind}', 'queued', 'pending', '{}', \
         'nobody', 'manual', '{{}}', 3, 0)",
        open.workspace,
        identity.hex(),
    );
    let held = open.store.test_hold(&equal).await;
    let mut starter = world.starter(tenant, None, None)?;
    until_said(&mut starter, "begun").await?;
    let blocked = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND pid IN \
                   (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    until(&open, blocked, &(1..=1)).await.context("the start does not wait")?;
    kill(starter).await?;
    drop(held);
    open.close().await;
    Ok(())
}

/// Waits until a count is as it must be: a database rolls back a moment after its client is gone.
async fn until(
    open: &Open,
    sql: &'static str,
    expected: &std::ops::RangeInclusive<i64>,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let count = open.store.test_count(sql).await;
        if expected.contains(&count) {
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(5), "{count} where {expected:?} is right");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn killed_there(world: &World, case: &Case) -> Result<()> {
    match case.scene {
        Scene::LostStart => return lose_start(world).await,
        Scene::Sweep | Scene::LastSweep => lose_worker(world, case).await?,
        _ => {}
    }
    let mut victim = if case.starts() {
        let open = world.open().await?;
        let tenant = open.tenants[0];
        open.close().await;
        world.starter(tenant, case.key(), case.point)?
    } else {
        world.worker(&case.worker())?
    };
    until_said(&mut victim, "paused").await.context("the point was not reached")?;
    kill(victim).await
}

async fn one(place: Place, case: Case) -> Result<Seen> {
    let world = World::new(&place, TENANTS).await?;
    let open = world.open().await?;
    case.before(&open).await?;
    open.close().await;
    killed_there(&world, &case).await?;
    let killed = Instant::now();
    let open = world.open().await?;
    let mut ends = Ends::default();
    until(&open, case.left, &case.expected).await.context("what was left")?;
    ends.look(&open).await;
    if case.starts() {
        open.start_with(0, 0, case.key()).await?;
    }
    open.close().await;
    // A group must not wait for those of it that have ended already.
    let heir = WorkerProcess { together: case.worker().together.map(|_| 1), ..case.worker() };
    let slowest = finish(&world, &heir, killed).await?;
    let open = world.open().await?;
    let mut seen = check(&world, &open, &mut ends).await?;
    open.close().await;
    ensure!(seen.runs == case.runs(), "{} runs ended where {} are right", seen.runs, case.runs());
    (seen.kills, seen.slowest) = (1, slowest);
    Ok(seen)
}

/// One kill at each break point.
pub(crate) async fn kills(place: &Place) -> Result<Vec<Figure>> {
    let mut waiting = cases(place).into_iter();
    let wanted = waiting.len();
    let (mut going, mut seen, mut wrong) = (JoinSet::new(), Seen::default(), Vec::new());
    loop {
        while going.len() < AT_ONCE
            && let Some(case) = waiting.next()
        {
            let (place, name) = (place.clone(), case.name());
            going.spawn(async move { (name, one(place, case).await) });
        }
        let Some(done) = going.join_next().await else { break };
        match done? {
            (_, Ok(case)) if case.clean() => seen.add(case),
            (name, Ok(case)) => {
                wrong.push(format!("{name}: {}", case.words("kill")));
                seen.add(case);
            }
            (name, Err(error)) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    let holds = wrong.is_empty() && seen.clean() && seen.kills == wanted;
    let mut measured = seen.words("kills");
    for case in wrong {
        measured.push_str("; ");
        measured.push_str(&case);
    }
    Ok(vec![Figure::new(
        format!("I3 a kill at each break point, {}", place.name()),
        format!("{wanted} kills, each leaves what docs/engine.md says and is recovered in <= 13 s"),
        measured,
        holds,
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_point_has_its_kill() {
        for place in [Place::Sqlite, Place::Postgres(String::new())] {
            let cases = cases(&place);
            for point in BreakPoint::ALL.iter().filter(|point| !point.is_of_restores()) {
                assert!(cases.iter().any(|case| case.point == Some(*point)), "{point:?}");
            }
        }
    }
}
