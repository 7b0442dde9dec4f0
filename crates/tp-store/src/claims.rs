//! The runs that workers hold: claim and what a claim may do. Each write is checked against the lease
//! and its fencing number; a worker that lost its lease changes nothing (ENGINE I4).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::counts::RunCounts;
use tp_domain::ids::{RunId, TenantId, WorkerId, WorkspaceId};
use tp_domain::operation::{Lane, OperationKind};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::authority::Authority;
use crate::breaks::{break_point, timed};
use crate::db::{Dialect, Reach, Tx};
use crate::discovery::Leased;
use crate::endings::{JOB_DELETE, recount};
use crate::error::StoreError;
use crate::progress::Progress;
use crate::queue::{Candidate, Hint, Queue};
use crate::stmt::{Stmt, StmtBuilder, stmt};
use crate::tenants::bad_row;

// Claims of one workspace go one after the other, so that its limits hold; a claim that finds the row
// taken looks elsewhere and comes back. On SQLite there is one writer.
const WORKSPACES_PG: &str = "\
SELECT id, max_running FROM workspaces WHERE id = ANY(ARRAY(
  SELECT CAST(w.id AS UUID) FROM jsonb_array_elements_text(CAST($1 AS JSONB)) AS w(id)))
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";
const WORKSPACES_LITE: &str = "SELECT id, max_running FROM workspaces";
// A statement after the lock, so that its snapshot holds what the last holder committed. The running
// are counted and not kept in a counter: nothing can drift (ENGINE I9).
const LEASED: &str = "\
SELECT workspace_id, scope_id, count(*) AS n FROM jobs WHERE state = 'leased'
GROUP BY workspace_id, scope_id";
// Where a snapshot is held open, every lease that ended stays in the index, and a count from its beginning
// steps over all of them. So those of before the mark are looked up by their keys.
const LEASED_SINCE: &str = "\
SELECT workspace_id, scope_id, count(*) AS n FROM (
  SELECT workspace_id, scope_id FROM jobs WHERE state = 'leased' AND leased_at >= $1
  UNION ALL
  SELECT j.workspace_id, j.scope_id
  FROM jsonb_to_recordset(CAST($2 AS JSONB)) AS k(scope_id UUID, run_id UUID)
  JOIN jobs j ON j.scope_id = k.scope_id AND j.run_id = k.run_id
  WHERE j.lease_owner IS NOT NULL AND j.leased_at < $1
) AS held
GROUP BY workspace_id, scope_id";
const RUN_CLAIMED: &str = "\
UPDATE operation_runs
SET status = 'running', heartbeat_at = $3, attempt = $4,
    started_at = COALESCE(started_at, CASE WHEN created_at > $3 THEN created_at ELSE $3 END),
    waiting_reason = NULL, waiting_until = NULL, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status <> 'completed'
RETURNING scope_id, id, kind, inputs, succeeded, failed, skipped, total, max_attempts, cancel_requested_at,
          started_at";
const RUNS_CLAIMED_PG: &str = "\
UPDATE operation_runs r
SET status = 'running', started_at = COALESCE(r.started_at, GREATEST(r.created_at, $2)), heartbeat_at = $2,
    attempt = c.attempt,
    waiting_reason = NULL, waiting_until = NULL, revision = r.revision + 1
FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS c(scope_id UUID, run_id UUID, attempt BIGINT)
WHERE r.scope_id = c.scope_id AND r.id = c.run_id AND r.status <> 'completed'
RETURNING r.scope_id, r.id, r.kind, r.inputs, r.succeeded, r.failed, r.skipped, r.total, r.max_attempts,
          r.cancel_requested_at, r.started_at";
// FOR UPDATE on PostgreSQL: the sweeper cannot take the lease away between this and the commit. The state is
// not asked for (only a leased job has an owner, a CHECK says so): with it PostgreSQL takes the index of
// the owner's leases, and with an old snapshot steps over all that it ever had.
const FENCE_PG: &str = "\
SELECT run_id AS id FROM jobs
WHERE scope_id = $1 AND run_id = $2 AND lease_owner = $3 AND fence = $4 FOR UPDATE";
const FENCE_LITE: &str = "\
SELECT run_id AS id FROM jobs
WHERE scope_id = $1 AND run_id = $2 AND state = 'leased' AND lease_owner = $3 AND fence = $4";
const TENANT_LOCK_PG: &str = "SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE";
const HOLDS_OTHERS: &str = "\
SELECT holds FROM jobs WHERE scope_id = $1 AND run_id <> $2 AND state = 'leased' AND holds IS NOT NULL";
const HOLDS_SET: &str = "UPDATE jobs SET holds = $3 WHERE scope_id = $1 AND run_id = $2";

/// How many runs of one scope a claim takes before it looks at the next, when many scopes have work.
const SCOPES_PER_LOOK: usize = 128;

#[derive(Clone, sqlx::FromRow)]
struct JobRow {
    scope_id: Uuid,
    run_id: Uuid,
    workspace_id: Uuid,
    tenant_id: Option<Uuid>,
    attempt: i64,
    fence: i64,
    run_at: i64,
}

#[derive(sqlx::FromRow)]
struct ClaimedRow {
    scope_id: Uuid,
    id: Uuid,
    kind: String,
    inputs: String,
    succeeded: i64,
    failed: i64,
    skipped: i64,
    total: Option<i64>,
    max_attempts: i64,
    cancel_requested_at: Option<i64>,
    started_at: i64,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct WorkspaceRow {
    id: Uuid,
    max_running: i64,
}

#[derive(sqlx::FromRow)]
struct LeasedRow {
    workspace_id: Uuid,
    scope_id: Uuid,
    n: i64,
}

#[derive(sqlx::FromRow)]
struct HoldsRow {
    holds: String,
}

/// Where a claim stands, for all statements that are checked against it. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    pub(crate) scope: Uuid,
    pub(crate) run: RunId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) owner: WorkerId,
    pub(crate) fence: i64,
}

impl Claimed {
    /// The run.
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// The run and the fencing number: what a heartbeat says is still held.
    pub const fn lease(&self) -> crate::HeldLease {
        (self.run, self.fence)
    }

    /// The tenant, for logs.
    pub const fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// The workspace.
    pub const fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    pub(crate) const fn reach(&self) -> Reach {
        Reach::Scope(self.scope)
    }

    /// Fails with [`StoreError::LeaseLost`] unless this claim still holds.
    pub(crate) async fn check(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let text = match tx.dialect() {
            Dialect::Sqlite => FENCE_LITE,
            Dialect::Postgres => FENCE_PG,
        };
        let held: Option<IdRow> = tx
            .optional(stmt!(text, self.scope, self.run.uuid(), self.owner.uuid(), self.fence))
            .await?;
        held.map(drop).ok_or(StoreError::LeaseLost)
    }
}

/// A run that this worker holds. It ends by [`ClaimedRun::finish`] or [`ClaimedRun::again`], which
/// take it: a finished claim cannot be written.
///
/// ```compile_fail,E0382
/// async fn twice(claim: tp_store::ClaimedRun, ended: tp_store::Ended) {
///     let _ = claim.finish(ended).await;
///     let _ = claim.hold_types(None).await;
/// }
/// ```
///
/// The twin that compiles:
///
/// ```
/// async fn once(claim: tp_store::ClaimedRun, ended: tp_store::Ended) {
///     let _ = claim.hold_types(None).await;
///     let _ = claim.finish(ended).await;
/// }
/// ```
#[derive(Debug)]
pub struct ClaimedRun {
    pub(crate) store: Store,
    pub(crate) claimed: Claimed,
    kind: OperationKind,
    inputs: Value,
    attempt: u32,
    max_attempts: u32,
    authority: Authority,
    canceled: bool,
    started_at: Timestamp,
    progress: Progress,
    /// Whether items or steps hold the counts, so that they are counted again at the end.
    pub(crate) recorded: AtomicBool,
}

/// What a worker asks for when it claims.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who.
    pub worker: WorkerId,
    /// Which kinds it can carry out. Others stay in the queue (ruling 11).
    pub kinds: Vec<OperationKind>,
    /// How long the leases hold unless they are extended.
    pub lease: Duration,
    /// How many runs of one tenant are worked on at once, over all workers.
    pub per_tenant: u32,
    /// How many runs it can take now.
    pub most: u32,
}

/// What a claim gave.
#[derive(Debug, Default)]
pub struct Claims {
    /// The runs.
    pub runs: Vec<ClaimedRun>,
    /// Another claim had a workspace at that moment: look again soon.
    pub contended: bool,
}

/// What was taken from one scope in one look.
struct Looked {
    candidate: Candidate,
    cleared: Timestamp,
    all: bool,
}

struct Taken {
    jobs: Vec<JobRow>,
    runs: Vec<ClaimedRow>,
    authorities: HashMap<Uuid, Authority>,
    looked: Vec<Looked>,
    contended: bool,
}

/// How much more may be taken, of which workspace and which scope.
struct Room {
    most: usize,
    per_tenant: i64,
    workspaces: BTreeMap<Uuid, i64>,
    scopes: HashMap<Uuid, i64>,
}

impl Room {
    fn of(&self, hint: &Hint) -> i64 {
        let workspace = self.workspaces.get(&hint.workspace).copied().unwrap_or(0);
        let used = self.scopes.get(&hint.scope).copied().unwrap_or(0);
        workspace.min(self.per_tenant - used).max(0)
    }

    fn use_up(&mut self, hint: &Hint, count: usize) {
        let taken = i64::try_from(count).unwrap_or(i64::MAX);
        self.most -= count.min(self.most);
        *self.scopes.entry(hint.scope).or_default() += taken;
        if let Some(free) = self.workspaces.get_mut(&hint.workspace) {
            *free -= taken;
        }
    }
}

fn take_stmt_pg(
    request: &ClaimRequest,
    lane: Lane,
    wanted: &[(Candidate, i64)],
    now: Timestamp,
) -> Stmt {
    let wanted: Vec<Value> = wanted
        .iter()
        .map(|(candidate, take)| {
            json!({"scope_id": candidate.hint.scope, "mark": candidate.mark.micros(), "take": take})
        })
        .collect();
    // MATERIALIZED: without it PostgreSQL may run the limited part again for each row.
    let mut sql = StmtBuilder::new(
        "WITH picked AS MATERIALIZED (\
         SELECT p.scope_id, p.run_id FROM jsonb_to_recordset(CAST(",
    );
    sql.bind(json!(wanted).to_string());
    sql.push(
        " AS JSONB)) AS w(scope_id UUID, mark BIGINT, take BIGINT) CROSS JOIN LATERAL (\
         SELECT j.scope_id, j.run_id FROM jobs j \
         WHERE j.state = 'ready' AND NOT j.umbrella AND j.scope_id = w.scope_id AND j.priority = ",
    );
    sql.bind(lane.priority()).push(" AND j.run_at >= w.mark AND (j.run_at <= ").bind(now);
    sql.push(" OR NOT j.waits) AND j.kind IN ");
    sql.bind_list(request.kinds.iter().map(|kind| kind.as_str()));
    sql.push(
        " ORDER BY j.run_at, j.run_id LIMIT w.take FOR UPDATE SKIP LOCKED) p) \
         UPDATE jobs SET state = 'leased', fence = fence + 1, attempt = attempt + 1, lease_owner = ",
    );
    sql.bind(request.worker.uuid());
    sql.push(", lease_until = ").bind(now.plus(request.lease));
    sql.push(", leased_at = ").bind(now);
    sql.push(
        " FROM picked WHERE jobs.scope_id = picked.scope_id AND jobs.run_id = picked.run_id \
         RETURNING jobs.scope_id, jobs.run_id, jobs.workspace_id, jobs.tenant_id, jobs.attempt, \
         jobs.fence, jobs.run_at",
    );
    sql.build()
}

fn take_stmt_lite(
    request: &ClaimRequest,
    lane: Lane,
    candidate: &Candidate,
    take: i64,
    now: Timestamp,
) -> Stmt {
    let mut sql = StmtBuilder::new("UPDATE jobs SET state = 'leased', lease_owner = ");
    sql.bind(request.worker.uuid());
    sql.push(", lease_until = ").bind(now.plus(request.lease));
    sql.push(", leased_at = ").bind(now);
    // By rowid: with (scope_id, run_id) IN (…) SQLite uses half of the key (ENGINE §4.2 item 18).
    sql.push(
        ", fence = fence + 1, attempt = attempt + 1 WHERE rowid IN (SELECT rowid FROM jobs \
         WHERE state = 'ready' AND NOT umbrella AND scope_id = ",
    );
    sql.bind(candidate.hint.scope).push(" AND priority = ").bind(lane.priority());
    sql.push(" AND run_at >= ").bind(candidate.mark).push(" AND (run_at <= ").bind(now);
    sql.push(" OR NOT waits) AND kind IN ");
    sql.bind_list(request.kinds.iter().map(|kind| kind.as_str()));
    sql.push(" ORDER BY run_at, run_id LIMIT ").bind(take);
    sql.push(") RETURNING scope_id, run_id, workspace_id, tenant_id, attempt, fence, run_at");
    sql.build()
}

async fn take(
    tx: &mut Tx,
    request: &ClaimRequest,
    lane: Lane,
    wanted: &[(Candidate, i64)],
) -> Result<Vec<JobRow>, StoreError> {
    let now = tx.now();
    match tx.dialect() {
        Dialect::Postgres => tx.all(take_stmt_pg(request, lane, wanted, now).planned_anew()).await,
        Dialect::Sqlite => {
            let mut taken = Vec::new();
            for (candidate, count) in wanted {
                let stmt = take_stmt_lite(request, lane, candidate, *count, now);
                taken.extend(tx.all::<JobRow>(stmt).await?);
            }
            Ok(taken)
        }
    }
}

/// Locks the workspaces of the candidates and counts what is running there.
async fn room(
    tx: &mut Tx,
    request: &ClaimRequest,
    lanes: &[(Lane, Vec<Candidate>)],
    leased: Option<Leased>,
) -> Result<(Room, bool), StoreError> {
    let wanted: BTreeSet<Uuid> =
        lanes.iter().flat_map(|(_, list)| list.iter().map(|one| one.hint.workspace)).collect();
    let free: Vec<WorkspaceRow> = match tx.dialect() {
        Dialect::Postgres => tx.all(stmt!(WORKSPACES_PG, json!(wanted).to_string())).await?,
        Dialect::Sqlite => tx.all(stmt!(WORKSPACES_LITE)).await?,
    };
    let mut room = Room {
        most: usize::try_from(request.most).unwrap_or(usize::MAX),
        per_tenant: i64::from(request.per_tenant),
        workspaces: free.iter().map(|row| (row.id, row.max_running)).collect(),
        scopes: HashMap::new(),
    };
    let contended = wanted.iter().any(|id| !room.workspaces.contains_key(id));
    let counted = match leased {
        Some(Leased { since, before }) if tx.dialect() == Dialect::Postgres => {
            let before: Vec<Value> = before
                .iter()
                .map(|(scope, run)| json!({"scope_id": scope, "run_id": run}))
                .collect();
            stmt!(LEASED_SINCE, since, Value::Array(before).to_string()).planned_anew()
        }
        _ => stmt!(LEASED),
    };
    for row in tx.all::<LeasedRow>(counted).await? {
        room.scopes.insert(row.scope_id, row.n);
        if let Some(left) = room.workspaces.get_mut(&row.workspace_id) {
            *left -= row.n;
        }
    }
    Ok((room, contended))
}

/// Goes through the lanes, the most urgent first, and in each through the scopes in turn.
async fn take_in_turn(
    tx: &mut Tx,
    request: &ClaimRequest,
    lanes: Vec<(Lane, Vec<Candidate>)>,
    room: &mut Room,
) -> Result<(Vec<JobRow>, Vec<Looked>), StoreError> {
    let (mut jobs, mut looked) = (Vec::new(), Vec::new());
    for (lane, candidates) in lanes {
        let mut candidates: VecDeque<Candidate> = candidates.into();
        while room.most > 0 && !candidates.is_empty() {
            let mut chosen: Vec<Candidate> = Vec::new();
            let bound = room.most.min(SCOPES_PER_LOOK);
            while chosen.len() < bound
                && let Some(candidate) = candidates.pop_front()
            {
                // A scope at its limit keeps its hint: it is ready as soon as something ends.
                if room.of(&candidate.hint) > 0 {
                    chosen.push(candidate);
                }
            }
            if chosen.is_empty() {
                break;
            }
            let each = i64::try_from((room.most / chosen.len()).max(1)).unwrap_or(1);
            let mut wanted = Vec::with_capacity(chosen.len());
            let mut promised: BTreeMap<Uuid, i64> = BTreeMap::new();
            for candidate in chosen {
                // What scopes of the same workspace were promised in this look is not promised twice.
                let of_workspace = promised.entry(candidate.hint.workspace).or_default();
                let left = room.workspaces.get(&candidate.hint.workspace).copied().unwrap_or(0);
                let count = each.min(room.of(&candidate.hint)).min(left - *of_workspace);
                if count > 0 {
                    *of_workspace += count;
                    wanted.push((candidate, count));
                }
            }
            let taken = take(tx, request, lane, &wanted).await?;
            for (candidate, count) in wanted {
                let own: Vec<&JobRow> =
                    taken.iter().filter(|job| job.scope_id == candidate.hint.scope).collect();
                let all = i64::try_from(own.len()).unwrap_or(i64::MAX) < count;
                let last = own.iter().map(|job| job.run_at).max();
                let cleared = match last {
                    _ if all => tx.now(),
                    Some(last) => Timestamp::from_micros(last),
                    None => tx.now(),
                };
                room.use_up(&candidate.hint, own.len());
                if !all {
                    // It has more: its next turn comes after everybody else's.
                    candidates.push_back(candidate);
                }
                looked.push(Looked { candidate, cleared, all });
            }
            jobs.extend(taken);
        }
    }
    Ok((jobs, looked))
}

async fn mark_running(tx: &mut Tx, jobs: &[JobRow]) -> Result<Vec<ClaimedRow>, StoreError> {
    let now = tx.now();
    if tx.dialect() == Dialect::Postgres {
        let list: Vec<Value> = jobs
            .iter()
            .map(|job| json!({"scope_id": job.scope_id, "run_id": job.run_id, "attempt": job.attempt}))
            .collect();
        let claimed = stmt!(RUNS_CLAIMED_PG, json!(list).to_string(), now);
        return tx.all(claimed.planned_anew()).await;
    }
    let mut runs = Vec::with_capacity(jobs.len());
    for job in jobs {
        let claimed = stmt!(RUN_CLAIMED, job.scope_id, job.run_id, now, job.attempt);
        runs.extend(tx.optional::<ClaimedRow>(claimed).await?);
    }
    Ok(runs)
}

async fn claim(
    tx: &mut Tx,
    queue: &Queue,
    request: &ClaimRequest,
    leased: Option<Leased>,
) -> Result<Taken, StoreError> {
    let now = tx.now();
    let lanes: Vec<(Lane, Vec<Candidate>)> = Lane::ALL
        .into_iter()
        .map(|lane| (lane, queue.in_turn(lane, now)))
        .filter(|(_, candidates)| !candidates.is_empty())
        .collect();
    let (mut room, contended) = room(tx, request, &lanes, leased).await?;
    let (jobs, looked) = take_in_turn(tx, request, lanes, &mut room).await?;
    let mut taken =
        Taken { jobs, runs: Vec::new(), authorities: HashMap::new(), looked, contended };
    if taken.jobs.is_empty() {
        return Ok(taken);
    }
    taken.runs = mark_running(tx, &taken.jobs).await?;
    // A job whose run has ended is left over: nothing will ever take it.
    let alive: BTreeSet<(Uuid, Uuid)> =
        taken.runs.iter().map(|run| (run.scope_id, run.id)).collect();
    for job in &taken.jobs {
        if !alive.contains(&(job.scope_id, job.run_id)) {
            tx.execute(stmt!(JOB_DELETE, job.scope_id, job.run_id)).await?;
        }
    }
    for job in taken.jobs.iter().filter(|job| job.fence > 1) {
        // Taken over: what the worker before had stored counts, not what it had said.
        if let Some(counts) = recount(tx, job.scope_id, job.run_id).await?
            && let Some(run) = taken.runs.iter_mut().find(|run| run.id == job.run_id)
        {
            (run.succeeded, run.failed, run.skipped, run.total) =
                (counts.succeeded, counts.failed, counts.skipped, counts.total);
        }
    }
    let runs: Vec<(Uuid, Uuid)> = taken.runs.iter().map(|run| (run.scope_id, run.id)).collect();
    taken.authorities = crate::authority::of_runs(tx, &runs).await?;
    break_point!(ClaimWritten);
    Ok(taken)
}

pub(crate) async fn claim_many(store: &Store, request: ClaimRequest) -> Result<Claims, StoreError> {
    if request.kinds.is_empty() || request.most == 0 || store.queue.is_empty() {
        return Ok(Claims::default());
    }
    timed!(Claim);
    let (queue, worker, leased) = (store.queue.clone(), request.worker, store.discovered.leased());
    let taken = store
        .db
        .write(Reach::All, move |tx| {
            Box::pin(async move { claim(tx, &queue, &request, leased).await })
        })
        .await?;
    break_point!(ClaimCommitted, !taken.jobs.is_empty());
    for looked in &taken.looked {
        store.queue.looked(&looked.candidate, looked.cleared, looked.all);
    }
    let mut jobs: HashMap<Uuid, JobRow> =
        taken.jobs.into_iter().map(|job| (job.run_id, job)).collect();
    let mut authorities = taken.authorities;
    let mut claims = Claims { runs: Vec::new(), contended: taken.contended };
    for run in taken.runs {
        if let Some(job) = jobs.remove(&run.id) {
            let authority = authorities.remove(&run.id).unwrap_or(Authority::GONE);
            claims.runs.push(ClaimedRun::new(store.clone(), worker, &job, &run, authority)?);
        }
    }
    Ok(claims)
}

impl ClaimedRun {
    fn new(
        store: Store,
        worker: WorkerId,
        job: &JobRow,
        run: &ClaimedRow,
        authority: Authority,
    ) -> Result<Self, StoreError> {
        let bad = |column| bad_row("operation_runs", column);
        let count = |value: i64, column| u64::try_from(value).map_err(|_| bad(column));
        let counts = RunCounts {
            total: run.total.map(|total| count(total, "total")).transpose()?,
            succeeded: count(run.succeeded, "succeeded")?,
            failed: count(run.failed, "failed")?,
            skipped: count(run.skipped, "skipped")?,
        };
        Ok(Self {
            store,
            claimed: Claimed {
                scope: job.scope_id,
                run: RunId::from_uuid(job.run_id),
                workspace: WorkspaceId::from_uuid(job.workspace_id),
                tenant: job.tenant_id.map(TenantId::from_uuid),
                owner: worker,
                fence: job.fence,
            },
            kind: run.kind.parse().map_err(|_| bad("kind"))?,
            inputs: serde_json::from_str(&run.inputs).map_err(|_| bad("inputs"))?,
            attempt: u32::try_from(job.attempt).map_err(|_| bad("attempt"))?,
            max_attempts: u32::try_from(run.max_attempts).map_err(|_| bad("max_attempts"))?,
            authority,
            canceled: run.cancel_requested_at.is_some(),
            started_at: Timestamp::from_micros(run.started_at),
            progress: Progress::new(counts),
            // A run that was taken over may have recorded something before.
            recorded: AtomicBool::new(job.fence > 1),
        })
    }

    /// The run's id.
    pub const fn id(&self) -> RunId {
        self.claimed.run
    }

    /// Where this claim stands.
    pub const fn claimed(&self) -> Claimed {
        self.claimed
    }

    /// What is to be done.
    pub const fn kind(&self) -> OperationKind {
        self.kind
    }

    /// What was asked for.
    pub const fn inputs(&self) -> &Value {
        &self.inputs
    }

    /// Which try this is, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many tries there are.
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Why it may not begin, as the claim saw it (PRODUCT A-6); none when it may.
    pub fn refused(&self) -> Option<ReasonCode> {
        self.authority.refuses(self.kind)
    }

    /// Whether somebody had asked to cancel it before it was claimed.
    pub const fn canceled(&self) -> bool {
        self.canceled
    }

    /// When a worker first took it.
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// What it says of itself. Written by the engine, at most twice a second.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The counts so far: of earlier tries, and what this one added.
    pub fn counts(&self) -> RunCounts {
        self.progress.counts()
    }

    /// The store's clock, for waits.
    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    pub(crate) fn records(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }

    /// Asks again whether the work may go on: before each batch of writes (ruling 16).
    pub async fn still_allowed(&self) -> Result<Option<ReasonCode>, StoreError> {
        let (scope, run) = (self.claimed.scope, self.claimed.run.uuid());
        let found = self
            .store
            .db
            .read(Reach::All, move |tx| {
                Box::pin(async move { crate::authority::of_runs(tx, &[(scope, run)]).await })
            })
            .await?;
        let authority = found.get(&run).copied().unwrap_or(Authority::GONE);
        Ok(authority.refuses(self.kind))
    }

    /// Takes the given policy types (`None`: all) of the tenant for writing inventory. `false` when
    /// another run that is being worked on holds one of them (ruling 17).
    pub async fn hold_types(&self, types: Option<&[PolicyType]>) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        let wanted: BTreeSet<String> = match types {
            None => BTreeSet::from(["*".to_owned()]),
            Some(types) => types.iter().map(|key| key.as_str().to_owned()).collect(),
        };
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    if tx.dialect() == Dialect::Postgres {
                        // Two runs that ask at once ask one after the other.
                        let tenant = claimed.tenant.map(TenantId::uuid);
                        tx.optional::<IdRow>(stmt!(TENANT_LOCK_PG, tenant)).await?;
                    }
                    claimed.check(tx).await?;
                    let others: Vec<HoldsRow> =
                        tx.all(stmt!(HOLDS_OTHERS, claimed.scope, claimed.run.uuid())).await?;
                    for other in others {
                        let held: BTreeSet<String> = serde_json::from_str(&other.holds)
                            .map_err(|_| bad_row("jobs", "holds"))?;
                        if overlap(&held, &wanted) {
                            return Ok(false);
                        }
                    }
                    let text = serde_json::json!(wanted).to_string();
                    tx.execute(stmt!(HOLDS_SET, claimed.scope, claimed.run.uuid(), text)).await?;
                    Ok(true)
                })
            })
            .await
    }
}

fn overlap(held: &BTreeSet<String>, wanted: &BTreeSet<String>) -> bool {
    held.contains("*") || wanted.contains("*") || !held.is_disjoint(wanted)
}
