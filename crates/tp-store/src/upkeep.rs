//! What the engine does beside the runs: leases, lost workers, queue depth.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tp_domain::counts::RunCounts;
use tp_domain::ids::{RunId, WorkerId};
use tp_domain::reason::ReasonCode;
use tp_domain::run::Outcome;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::breaks::break_point;
use crate::claims::Claimed;
use crate::db::{Dialect, Reach, Tx};
use crate::endings::{Ended, RUN_BACK, end_if_canceled, end_run, recount};
use crate::error::StoreError;
use crate::stmt::stmt;
use crate::tenants::bad_row;

// Of the runs that the process says it works on, and no others: a run that it has lost track of must
// come to the end of its lease. An expired lease is never revived: its run may be somebody else's.
const LEASE_EXTEND: &str = "\
UPDATE jobs SET lease_until = $5
WHERE scope_id = $1 AND run_id = $2 AND lease_owner = $3 AND fence = $4 AND state = 'leased'
  AND lease_until > $6
RETURNING run_id, fence";
const LEASES_EXTEND_PG: &str = "\
UPDATE jobs j SET lease_until = $3
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS d(scope_id UUID, run_id UUID, fence BIGINT)
WHERE j.scope_id = d.scope_id AND j.run_id = d.run_id AND j.lease_owner = $2 AND j.fence = d.fence
  AND j.lease_until > $4
RETURNING j.run_id, j.fence";
// The same locks in the same order as every other statement over many jobs takes them.
const LEASES_LOCK_PG: &str = "\
SELECT run_id, fence FROM jobs WHERE lease_owner = $1 AND state = 'leased'
ORDER BY scope_id, run_id FOR UPDATE";
const RUN_BEAT: &str = "UPDATE operation_runs SET heartbeat_at = $3 WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const RUNS_BEAT_PG: &str = "\
UPDATE operation_runs r SET heartbeat_at = $2
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS d(scope_id UUID, run_id UUID)
WHERE r.scope_id = d.scope_id AND r.id = d.run_id AND r.status = 'running'";
const WORKER_BEAT: &str = "\
INSERT INTO workers (id, started_at, heartbeat_at, concurrency) VALUES ($1, $2, $2, $3)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at";
const WORKER_GONE: &str = "DELETE FROM workers WHERE id = $1";
const WORKERS_FORGET: &str = "DELETE FROM workers WHERE heartbeat_at < $1";
const WORKERS: &str =
    "SELECT id, started_at, heartbeat_at, concurrency FROM workers ORDER BY started_at, id";
const LEASES_RELEASE: &str = "\
UPDATE jobs
SET state = 'ready', lease_owner = NULL, lease_until = NULL, holds = NULL, run_at = $2,
    waits = FALSE, attempt = attempt - 1
WHERE lease_owner = $1 AND state = 'leased'
RETURNING scope_id, run_id, workspace_id, priority";
const LEASES_EXPIRE: &str = "UPDATE jobs SET lease_until = 0 WHERE state = 'leased'";
const LEASES_EXPIRED_PG: &str = "\
SELECT j.scope_id, j.run_id, j.workspace_id, j.priority, j.attempt, r.max_attempts, r.cancel_requested_at
FROM jobs j JOIN operation_runs r ON r.scope_id = j.scope_id AND r.id = j.run_id
WHERE j.state = 'leased' AND j.lease_until <= $1
ORDER BY j.scope_id, j.run_id LIMIT 100 FOR UPDATE OF j SKIP LOCKED";
const LEASES_EXPIRED_LITE: &str = "\
SELECT j.scope_id, j.run_id, j.workspace_id, j.priority, j.attempt, r.max_attempts, r.cancel_requested_at
FROM jobs j JOIN operation_runs r ON r.scope_id = j.scope_id AND r.id = j.run_id
WHERE j.state = 'leased' AND j.lease_until <= $1
ORDER BY j.scope_id, j.run_id LIMIT 100";
const JOB_RELEASE: &str = "\
UPDATE jobs
SET state = 'ready', lease_owner = NULL, lease_until = NULL, holds = NULL, run_at = $3, waits = FALSE
WHERE scope_id = $1 AND run_id = $2";
// A clock that was set back leaves moments in a future that no lease and no wait reaches (TRUST F27).
const LEASES_CLAMP_LITE: &str =
    "UPDATE jobs SET lease_until = $1 WHERE state = 'leased' AND lease_until > $2";
const WAITS_CLAMP_LITE: &str =
    "UPDATE jobs SET run_at = $1 WHERE state = 'ready' AND waits AND run_at > $2";
// What somebody has locked is being moved already; a later sweep looks again.
const LEASES_CLAMP_PG: &str = "\
WITH far AS MATERIALIZED (
  SELECT scope_id, run_id FROM jobs WHERE state = 'leased' AND lease_until > $2
  ORDER BY scope_id, run_id FOR UPDATE SKIP LOCKED
)
UPDATE jobs j SET lease_until = $1 FROM far f WHERE j.scope_id = f.scope_id AND j.run_id = f.run_id";
const WAITS_CLAMP_PG: &str = "\
WITH far AS MATERIALIZED (
  SELECT scope_id, run_id FROM jobs WHERE state = 'ready' AND waits AND run_at > $2
  ORDER BY scope_id, run_id FOR UPDATE SKIP LOCKED
)
UPDATE jobs j SET run_at = $1 FROM far f WHERE j.scope_id = f.scope_id AND j.run_id = f.run_id";
const QUEUE: &str = "\
SELECT (SELECT count(*) FROM jobs WHERE state = 'ready' AND NOT umbrella) AS ready,
       (SELECT count(*) FROM jobs WHERE state = 'leased') AS leased,
       (SELECT min(run_at) FROM jobs WHERE state = 'ready' AND NOT umbrella) AS oldest,
       (SELECT max(heartbeat_at) FROM workers) AS beat";

// After a jump of the clock every lease seems to have ended. Whoever lives says so within the next lease.
const LEASES_GRACE_LITE: &str =
    "UPDATE jobs SET lease_until = $1 WHERE state = 'leased' AND lease_until <= $2";
// In the order in which all lock many jobs: several processes see the same jump at once.
const LEASES_GRACE_PG: &str = "\
WITH held AS MATERIALIZED (
  SELECT scope_id, run_id FROM jobs WHERE state = 'leased' AND lease_until <= $2
  ORDER BY scope_id, run_id FOR UPDATE
)
UPDATE jobs j SET lease_until = $1 FROM held h WHERE j.scope_id = h.scope_id AND j.run_id = h.run_id";

/// The clock has jumped when it has gained this much on the time that has passed. Beats and sweeps come
/// every few seconds, so a slow machine does not look like a jump: what it lost, it lost on both.
const JUMP: Duration = Duration::from_secs(5);

/// What the store's clock and the process's own time were when they were last compared. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(Arc<Mutex<Option<(Timestamp, Duration)>>>);

impl Pace {
    /// Whether the clock was set forward since the last look.
    fn jumped(&self, now: Timestamp, steady: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace((now, steady));
        before.is_some_and(|(then, passed)| {
            now.since(then) > steady.saturating_sub(passed).saturating_add(JUMP)
        })
    }
}

/// Gives every worker the time to say that it lives, when the clock was set forward: no lease is taken
/// because of hours that nobody has lived through (TRUST F27, A39).
async fn forgive_jump(tx: &mut Tx, store: &Store, lease: Duration) -> Result<(), StoreError> {
    let now = tx.now();
    if store.pace.jumped(now, store.time.steady()) {
        let text = match tx.dialect() {
            Dialect::Sqlite => LEASES_GRACE_LITE,
            Dialect::Postgres => LEASES_GRACE_PG,
        };
        let forgiven = tx.execute(stmt!(text, now.plus(lease), now)).await?;
        tracing::warn!(leases = forgiven, "the clock was set forward; leases are left as they are");
    }
    Ok(())
}

/// No wait of ours is longer: the longest told wait and the longest spread of a schedule.
const LONGEST_WAIT: Duration = Duration::from_hours(2);
/// A lease ends at most this much later than the longest one: beats are not in step.
const LEASE_SLACK: Duration = Duration::from_mins(1);

/// The door of the engine's upkeep.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pub(crate) store: Store,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs whose worker is gone and that may be taken again.
    pub released: u64,
    /// Runs that ended because their worker was lost too often, or while canceling.
    pub ended: u64,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Runs that wait for a worker or for their time.
    pub ready: u64,
    /// Runs that are being worked on.
    pub leased: u64,
    /// Since when the oldest of the waiting could have begun.
    pub oldest: Option<Timestamp>,
    /// The latest sign of life of any worker.
    pub worker_beat: Option<Timestamp>,
}

/// One process that takes work.
#[derive(Clone, Copy, Debug)]
pub struct WorkerRow {
    /// Its id.
    pub id: WorkerId,
    /// When it started.
    pub started_at: Timestamp,
    /// Its last sign of life.
    pub heartbeat_at: Timestamp,
    /// How many runs it works on at once.
    pub concurrency: u64,
}

#[derive(sqlx::FromRow)]
struct LeaseRow {
    run_id: Uuid,
    fence: i64,
}

#[derive(sqlx::FromRow)]
struct ExpiredRow {
    scope_id: Uuid,
    run_id: Uuid,
    workspace_id: Uuid,
    priority: i64,
    attempt: i64,
    max_attempts: i64,
    cancel_requested_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct ReleasedRow {
    scope_id: Uuid,
    run_id: Uuid,
    workspace_id: Uuid,
    priority: i64,
}

#[derive(sqlx::FromRow)]
struct QueueRow {
    ready: i64,
    leased: i64,
    oldest: Option<i64>,
    beat: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct WorkerDbRow {
    id: Uuid,
    started_at: i64,
    heartbeat_at: i64,
    concurrency: i64,
}

/// A lease that still holds: the run and its fencing number.
pub type HeldLease = (RunId, i64);

impl Upkeep {
    /// Extends the leases of the runs that this worker works on, as far as they have not ended, and says
    /// which hold. A run that is not named any more was lost: its task must stop.
    pub async fn beat(
        &self,
        worker: WorkerId,
        concurrency: u32,
        lease: Duration,
        held: Vec<Claimed>,
    ) -> Result<Vec<HeldLease>, StoreError> {
        let store = self.store.clone();
        let alive: Vec<HeldLease> = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    forgive_jump(tx, &store, lease).await?;
                    tx.execute(stmt!(WORKER_BEAT, worker.uuid(), now, concurrency)).await?;
                    let rows = match (held.is_empty(), tx.dialect()) {
                        (true, _) => Vec::new(),
                        (false, Dialect::Postgres) => beat_pg(tx, worker, lease, &held).await?,
                        (false, Dialect::Sqlite) => beat_lite(tx, worker, lease, &held).await?,
                    };
                    break_point!(BeatWritten, !rows.is_empty());
                    Ok(rows
                        .into_iter()
                        .map(|row| (RunId::from_uuid(row.run_id), row.fence))
                        .collect())
                })
            })
            .await?;
        break_point!(BeatCommitted, !alive.is_empty());
        Ok(alive)
    }

    /// Gives back every lease of a worker that shuts down, at once and with the try (F31).
    pub async fn release(&self, worker: WorkerId) -> Result<u64, StoreError> {
        let ids = Arc::clone(&self.store.ids);
        let released: Vec<ReleasedRow> = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    if tx.dialect() == Dialect::Postgres {
                        tx.all::<LeaseRow>(stmt!(LEASES_LOCK_PG, worker.uuid())).await?;
                    }
                    let mut released: Vec<ReleasedRow> =
                        tx.all(stmt!(LEASES_RELEASE, worker.uuid(), now)).await?;
                    released.sort_by_key(|row| (row.scope_id, row.run_id));
                    for row in &released {
                        tx.execute(stmt!(RUN_BACK, row.scope_id, row.run_id)).await?;
                        let run = RunId::from_uuid(row.run_id);
                        end_if_canceled(tx, &*ids, row.scope_id, run).await?;
                    }
                    tx.execute(stmt!(WORKER_GONE, worker.uuid())).await?;
                    Ok(released)
                })
            })
            .await?;
        for row in &released {
            self.ring(row.priority, row.scope_id, row.workspace_id);
        }
        Ok(u64::try_from(released.len()).unwrap_or(u64::MAX))
    }

    fn ring(&self, priority: i64, scope: Uuid, workspace: Uuid) {
        self.store.wake.ring(crate::queue::Hint { priority, scope, workspace });
    }

    /// Takes runs from workers whose lease has ended: again, or to their end when there were too many
    /// tries (`worker_lost`). Any process may sweep; each run is swept once. `lease` is the longest
    /// that any worker of this installation takes.
    pub async fn sweep(&self, lease: Duration) -> Result<Swept, StoreError> {
        let (ids, store) = (Arc::clone(&self.store.ids), self.store.clone());
        let (swept, released) = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let (text, leases, far) = match tx.dialect() {
                        Dialect::Sqlite => {
                            (LEASES_EXPIRED_LITE, LEASES_CLAMP_LITE, WAITS_CLAMP_LITE)
                        }
                        Dialect::Postgres => (LEASES_EXPIRED_PG, LEASES_CLAMP_PG, WAITS_CLAMP_PG),
                    };
                    let now = tx.now();
                    forgive_jump(tx, &store, lease).await?;
                    let (longest, waits) = (now.plus(lease), now.plus(LONGEST_WAIT));
                    tx.execute(stmt!(leases, longest, longest.plus(LEASE_SLACK))).await?;
                    tx.execute(stmt!(far, now, waits)).await?;
                    let expired: Vec<ExpiredRow> = tx.all(stmt!(text, now)).await?;
                    let (mut swept, mut released) = (Swept::default(), Vec::new());
                    for row in expired {
                        if sweep_one(tx, &*ids, &row).await? {
                            swept.ended += 1;
                        } else {
                            swept.released += 1;
                            released.push((row.priority, row.scope_id, row.workspace_id));
                        }
                    }
                    // A worker that was silent for an hour is gone for good.
                    tx.execute(stmt!(WORKERS_FORGET, now.minus(Duration::from_hours(1)))).await?;
                    break_point!(SweepWritten, swept != Swept::default());
                    Ok((swept, released))
                })
            })
            .await?;
        break_point!(SweepCommitted, swept != Swept::default());
        for (priority, scope, workspace) in released {
            self.ring(priority, scope, workspace);
        }
        Ok(swept)
    }

    /// Ends every lease. A process that opens a SQLite file is the only one on it (docs/decisions/0002-one-binary-two-databases.md), so
    /// whoever held them is gone; the sweeper then takes each run back as usual.
    pub(crate) async fn expire_all(&self) -> Result<(), StoreError> {
        let stmt = stmt!(LEASES_EXPIRE);
        self.store.db.write(Reach::All, move |tx| Box::pin(tx.execute(stmt))).await.map(drop)
    }

    /// How full the queue is.
    pub async fn queue(&self) -> Result<QueueState, StoreError> {
        let row: QueueRow =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.one(stmt!(QUEUE)))).await?;
        let count = |value: i64| u64::try_from(value).map_err(|_| bad_row("jobs", "count"));
        Ok(QueueState {
            ready: count(row.ready)?,
            leased: count(row.leased)?,
            oldest: row.oldest.map(Timestamp::from_micros),
            worker_beat: row.beat.map(Timestamp::from_micros),
        })
    }

    /// The processes that take work.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        let rows: Vec<WorkerDbRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt!(WORKERS)))).await?;
        Ok(rows
            .into_iter()
            .map(|row| WorkerRow {
                id: WorkerId::from_uuid(row.id),
                started_at: Timestamp::from_micros(row.started_at),
                heartbeat_at: Timestamp::from_micros(row.heartbeat_at),
                concurrency: u64::try_from(row.concurrency).unwrap_or(0),
            })
            .collect())
    }
}

async fn beat_pg(
    tx: &mut Tx,
    worker: WorkerId,
    lease: Duration,
    held: &[Claimed],
) -> Result<Vec<LeaseRow>, StoreError> {
    let list: Vec<serde_json::Value> = held
        .iter()
        .map(|claimed| {
            json!({"scope_id": claimed.scope, "run_id": claimed.run.uuid(), "fence": claimed.fence})
        })
        .collect();
    let (list, now) = (json!(list).to_string(), tx.now());
    tx.all::<LeaseRow>(stmt!(LEASES_LOCK_PG, worker.uuid())).await?;
    let extend = stmt!(LEASES_EXTEND_PG, &list, worker.uuid(), now.plus(lease), now);
    let rows: Vec<LeaseRow> = tx.all(extend.planned_anew()).await?;
    tx.execute(stmt!(RUNS_BEAT_PG, list, now)).await?;
    Ok(rows)
}

async fn beat_lite(
    tx: &mut Tx,
    worker: WorkerId,
    lease: Duration,
    held: &[Claimed],
) -> Result<Vec<LeaseRow>, StoreError> {
    let now = tx.now();
    let mut rows = Vec::with_capacity(held.len());
    for claimed in held {
        let (scope, run, until) = (claimed.scope, claimed.run.uuid(), now.plus(lease));
        let extend = stmt!(LEASE_EXTEND, scope, run, worker.uuid(), claimed.fence, until, now);
        if let Some(row) = tx.optional::<LeaseRow>(extend).await? {
            tx.execute(stmt!(RUN_BEAT, scope, run, now)).await?;
            rows.push(row);
        }
    }
    Ok(rows)
}

/// `true` when the run was ended, `false` when it may be taken again.
async fn sweep_one(
    tx: &mut Tx,
    ids: &dyn tp_domain::ids::Ids,
    row: &ExpiredRow,
) -> Result<bool, StoreError> {
    let canceled = row.cancel_requested_at.is_some();
    if !canceled && row.attempt < row.max_attempts {
        let now = tx.now();
        // No backoff: it was the worker that failed, not the work (ruling 14).
        tx.execute(stmt!(JOB_RELEASE, row.scope_id, row.run_id, now)).await?;
        return Ok(false);
    }
    let counts = recount(tx, row.scope_id, row.run_id).await?;
    let something = counts.is_some_and(|counts| counts.succeeded > 0);
    let reason = (!canceled).then_some(ReasonCode::WorkerLost);
    let outcome = match (canceled, something) {
        (true, _) => Outcome::Canceled,
        (false, true) => Outcome::PartiallySucceeded,
        (false, false) => Outcome::Failed,
    };
    let ended = Ended {
        outcome,
        reason,
        message: reason.map(|reason| reason.message(&[])),
        failures: Vec::new(),
        context: json!({}),
        counts: RunCounts::default(),
    };
    end_run(tx, ids, row.scope_id, RunId::from_uuid(row.run_id), &ended, true).await?;
    Ok(true)
}
