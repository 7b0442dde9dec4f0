//! The runs that workers hold: claim, heartbeat, progress, finish. Each write is checked against the
//! lease and its fencing number; a worker that lost its lease changes nothing (ENGINE I4).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tp_domain::counts::RunCounts;
use tp_domain::ids::{Ids, RunId, TenantId, WorkerId, WorkspaceId};
use tp_domain::message::SafeMessage;
use tp_domain::notification::Moment;
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, Outcome, Waiting, WaitingReason};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::db::{Dialect, Reach, Tx};
use crate::error::StoreError;
use crate::keys::KeyError;
use crate::run_rows::failures_to_json;
use crate::runs::{Told, notification_insert};
use crate::stmt::{Stmt, StmtBuilder, stmt};
use crate::tenants::{Connection, bad_row, secret_place};

const RUN_CLAIMED: &str = "\
UPDATE operation_runs
SET status = 'running', started_at = COALESCE(started_at, $3), heartbeat_at = $3, attempt = $4,
    waiting_reason = NULL, waiting_until = NULL, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status IN ('queued', 'running')
RETURNING kind, inputs, initiator_id, succeeded, failed, skipped, total, max_attempts";
// FOR UPDATE on PostgreSQL: the sweeper cannot take the lease away between this and the commit.
const FENCE_PG: &str = "\
SELECT run_id AS id FROM jobs
WHERE scope_id = $1 AND run_id = $2 AND state = 'leased' AND lease_owner = $3 AND fence = $4 FOR UPDATE";
const FENCE_LITE: &str = "\
SELECT run_id AS id FROM jobs
WHERE scope_id = $1 AND run_id = $2 AND state = 'leased' AND lease_owner = $3 AND fence = $4";
const RUN_PROGRESS: &str = "\
UPDATE operation_runs SET phase = $3, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
pub(crate) const RUN_COUNTS: &str = "\
UPDATE operation_runs
SET succeeded = succeeded + $3, failed = failed + $4, skipped = skipped + $5,
    processed = processed + $3 + $4 + $5, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const RUN_TOTAL: &str = "\
UPDATE operation_runs
SET total = CASE WHEN $3 > processed THEN $3 ELSE processed END, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const RUN_WAITING: &str = "\
UPDATE operation_runs SET waiting_reason = $3, waiting_until = $4, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
pub(crate) const RUN_FINISH: &str = "\
UPDATE operation_runs
SET status = 'completed', outcome = $3, reason = $4, message = $5, failures = $6, context = $7,
    completed_at = $8, heartbeat_at = $8, phase = NULL, waiting_reason = NULL, waiting_until = NULL,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'
RETURNING workspace_id, tenant_id, kind, initiator_id, identity_hash, created_at";
pub(crate) const ATTENTION_INSERT: &str = "\
INSERT INTO run_attention (scope_id, run_id, workspace_id, tenant_id, kind, identity_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)";
// A success makes good what failed before with the same identity (PRODUCT R-17).
const ATTENTION_VOID: &str =
    "DELETE FROM run_attention WHERE scope_id = $1 AND kind = $2 AND identity_hash = $3";
pub(crate) const JOB_DELETE: &str = "DELETE FROM jobs WHERE scope_id = $1 AND run_id = $2";
const JOB_AGAIN: &str = "\
UPDATE jobs
SET state = 'ready', lease_owner = NULL, lease_until = NULL, run_at = $3, holds = NULL,
    attempt = attempt - $4
WHERE scope_id = $1 AND run_id = $2";
const RUN_AGAIN: &str = "\
UPDATE operation_runs
SET waiting_reason = $3, waiting_until = $4, attempt = attempt - $5, reason = $6, message = $7,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const TENANT_CONNECTION_PG: &str = "\
SELECT entra_tenant_id, cloud, client_id, client_secret_sealed, status FROM tenants WHERE id = $1";
const TENANT_LOCK_PG: &str = "SELECT id FROM tenants WHERE id = $1 FOR UPDATE";
const HOLDS_OTHERS: &str = "\
SELECT holds FROM jobs WHERE scope_id = $1 AND run_id <> $2 AND state = 'leased' AND holds IS NOT NULL";
const HOLDS_SET: &str = "UPDATE jobs SET holds = $3 WHERE scope_id = $1 AND run_id = $2";

#[derive(sqlx::FromRow)]
struct JobRow {
    scope_id: Uuid,
    run_id: Uuid,
    workspace_id: Uuid,
    tenant_id: Option<Uuid>,
    attempt: i64,
    fence: i64,
}

#[derive(sqlx::FromRow)]
struct ClaimedRow {
    kind: String,
    inputs: String,
    succeeded: i64,
    failed: i64,
    skipped: i64,
    total: Option<i64>,
    max_attempts: i64,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

#[derive(sqlx::FromRow)]
pub(crate) struct FinishedRow {
    pub(crate) workspace_id: Uuid,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) kind: String,
    pub(crate) initiator_id: Option<Uuid>,
    identity_hash: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct ConnectionRow {
    entra_tenant_id: Uuid,
    cloud: String,
    client_id: Option<String>,
    client_secret_sealed: Option<String>,
    status: String,
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
    owner: WorkerId,
    fence: i64,
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
///     let _ = claim.phase("too late").await;
/// }
/// ```
///
/// The twin that compiles:
///
/// ```
/// async fn once(claim: tp_store::ClaimedRun, ended: tp_store::Ended) {
///     let _ = claim.phase("in time").await;
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
    counts: RunCounts,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The outcome.
    pub outcome: Outcome,
    /// The one reason, where there is one.
    pub reason: Option<ReasonCode>,
    /// The sentence for people.
    pub message: Option<SafeMessage>,
    /// Failures by code.
    pub failures: Vec<Failure>,
    /// Whitelisted facts.
    pub context: Value,
}

/// Why and until when a run is put back.
#[derive(Clone, Copy, Debug)]
pub struct Snooze {
    /// What is said meanwhile.
    pub waiting: WaitingReason,
    /// For how long.
    pub wait: Duration,
    /// The reason of the failed try; a snooze without one gives the try back (ruling 9).
    pub failed: Option<ReasonCode>,
}

fn claim_stmt(
    dialect: Dialect,
    worker: WorkerId,
    kinds: &[OperationKind],
    now: Timestamp,
    lease: Duration,
    per_tenant: u32,
) -> Stmt {
    let mut sql = StmtBuilder::new("UPDATE jobs SET state = 'leased', lease_owner = ");
    sql.bind(worker.uuid());
    sql.push(", lease_until = ").bind(now.plus(lease));
    sql.push(
        ", fence = fence + 1, attempt = attempt + 1 \
         WHERE (scope_id, run_id) IN (SELECT j.scope_id, j.run_id FROM jobs j \
         WHERE j.state = 'ready' AND j.run_at <= ",
    );
    sql.bind(now);
    sql.push(" AND j.kind IN ");
    sql.bind_list(kinds.iter().map(|kind| kind.as_str()));
    sql.push(
        " AND (SELECT count(*) FROM jobs l WHERE l.scope_id = j.scope_id AND l.state = 'leased') < ",
    );
    sql.bind(i64::from(per_tenant));
    sql.push(" ORDER BY j.priority, j.run_at, j.run_id LIMIT 1");
    if dialect == Dialect::Postgres {
        sql.push(" FOR UPDATE SKIP LOCKED");
    }
    sql.push(") RETURNING scope_id, run_id, workspace_id, tenant_id, attempt, fence");
    sql.build()
}

pub(crate) async fn claim_next(
    store: &Store,
    worker: WorkerId,
    kinds: &[OperationKind],
    lease: Duration,
    per_tenant: u32,
) -> Result<Option<ClaimedRun>, StoreError> {
    if kinds.is_empty() {
        return Ok(None);
    }
    let kinds = kinds.to_vec();
    let taken = store
        .db
        .write(Reach::All, move |tx| {
            Box::pin(async move {
                let stmt = claim_stmt(tx.dialect(), worker, &kinds, tx.now(), lease, per_tenant);
                let Some(job) = tx.optional::<JobRow>(stmt).await? else { return Ok(None) };
                let now = tx.now();
                let claimed = stmt!(RUN_CLAIMED, job.scope_id, job.run_id, now, job.attempt);
                let Some(run) = tx.optional::<ClaimedRow>(claimed).await? else {
                    // A job whose run has ended is left over: nothing will ever take it.
                    tx.execute(stmt!(JOB_DELETE, job.scope_id, job.run_id)).await?;
                    return Ok(None);
                };
                Ok(Some((job, run)))
            })
        })
        .await?;
    taken.map(|(job, run)| ClaimedRun::new(store.clone(), worker, &job, &run)).transpose()
}

impl ClaimedRun {
    fn new(
        store: Store,
        worker: WorkerId,
        job: &JobRow,
        run: &ClaimedRow,
    ) -> Result<Self, StoreError> {
        let bad = |column| bad_row("operation_runs", column);
        let count = |value: i64, column| u64::try_from(value).map_err(|_| bad(column));
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
            counts: RunCounts {
                total: run.total.map(|total| count(total, "total")).transpose()?,
                succeeded: count(run.succeeded, "succeeded")?,
                failed: count(run.failed, "failed")?,
                skipped: count(run.skipped, "skipped")?,
            },
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

    /// The counts that earlier tries have stored.
    pub const fn counts(&self) -> RunCounts {
        self.counts
    }

    /// The store's clock, for waits.
    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    async fn update(&self, stmt: Stmt) -> Result<(), StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    tx.execute(stmt).await.map(drop)
                })
            })
            .await
    }

    /// Says in a few words what is being done now.
    pub async fn phase(&self, phase: &str) -> Result<(), StoreError> {
        let Claimed { scope, run, .. } = self.claimed;
        self.update(stmt!(RUN_PROGRESS, scope, run.uuid(), phase)).await
    }

    /// Says how many things there are. Never less than what was processed.
    pub async fn total(&self, total: u64) -> Result<(), StoreError> {
        let Claimed { scope, run, .. } = self.claimed;
        self.update(stmt!(RUN_TOTAL, scope, run.uuid(), total)).await
    }

    /// Says why the run is not moving, or that it moves again.
    pub async fn waiting(&self, waiting: Option<Waiting>) -> Result<(), StoreError> {
        let Claimed { scope, run, .. } = self.claimed;
        let reason = waiting.map(|waiting| waiting.reason.as_str());
        let until = waiting.map(|waiting| waiting.until);
        self.update(stmt!(RUN_WAITING, scope, run.uuid(), reason, until)).await
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

    /// How to reach the tenant of this run, with its secret opened.
    pub async fn connection(&self) -> Result<Result<Connection, ReasonCode>, StoreError> {
        let Some(tenant) = self.claimed.tenant else {
            return Ok(Err(ReasonCode::InternalError));
        };
        let stmt = stmt!(TENANT_CONNECTION_PG, tenant.uuid());
        let row: Option<ConnectionRow> =
            self.store.db.read(self.claimed.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row.filter(|row| row.status == "active") else {
            return Ok(Err(ReasonCode::AppNotFound));
        };
        let (Some(client_id), Some(sealed)) = (row.client_id, row.client_secret_sealed) else {
            return Ok(Err(ReasonCode::CredentialMissing));
        };
        let opened: Result<SecretString, KeyError> =
            self.store.keys.open_sealed(secret_place(tenant), &sealed);
        Ok(match opened {
            Ok(client_secret) => Ok(Connection {
                entra_tenant_id: row.entra_tenant_id,
                cloud: row.cloud,
                client_id,
                client_secret,
            }),
            Err(error) => {
                tracing::error!(run.id = %self.id(), error = %error, "a credential is unreadable");
                Err(ReasonCode::CredentialUnreadable)
            }
        })
    }

    /// Ends the run: state, counts, failures, terminal notification, job gone, in one transaction.
    pub async fn finish(self, ended: Ended) -> Result<(), StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    end_run(tx, &*ids, claimed.scope, claimed.run, &ended).await
                })
            })
            .await
    }

    /// Puts the run back for a later try. It stays `running` and says until when it waits (ruling 10).
    pub async fn again(self, snooze: Snooze) -> Result<(), StoreError> {
        let claimed = self.claimed;
        let returned: i64 = i64::from(snooze.failed.is_none());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run, at) =
                        (claimed.scope, claimed.run.uuid(), tx.now().plus(snooze.wait));
                    tx.execute(stmt!(JOB_AGAIN, scope, run, at, returned)).await?;
                    tx.execute(stmt!(
                        RUN_AGAIN,
                        scope,
                        run,
                        snooze.waiting.as_str(),
                        at,
                        returned,
                        snooze.failed.map(ReasonCode::as_str),
                        snooze.failed.map(|reason| reason.message(&[]).to_string()),
                    ))
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}

fn overlap(held: &BTreeSet<String>, wanted: &BTreeSet<String>) -> bool {
    held.contains("*") || wanted.contains("*") || !held.is_disjoint(wanted)
}

/// Whether a success of this kind makes good what failed before.
fn voids(kind: &str) -> bool {
    kind.parse::<OperationKind>().is_ok_and(|kind| kind.facts().superseded_by_success)
}

/// Completes a running run and tells its initiator. The caller has checked that it may.
pub(crate) async fn end_run(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    run: RunId,
    ended: &Ended,
) -> Result<(), StoreError> {
    let now = tx.now();
    let row: Option<FinishedRow> = tx
        .optional(stmt!(
            RUN_FINISH,
            scope,
            run.uuid(),
            ended.outcome.as_str(),
            ended.reason.map(ReasonCode::as_str),
            ended.message.as_ref().map(SafeMessage::as_str),
            failures_to_json(&ended.failures),
            ended.context.to_string(),
            now,
        ))
        .await?;
    let Some(row) = row else { return Err(StoreError::LeaseLost) };
    tx.execute(stmt!(JOB_DELETE, scope, run.uuid())).await?;
    if ended.outcome.needs_attention() {
        tx.execute(stmt!(
            ATTENTION_INSERT,
            scope,
            run.uuid(),
            row.workspace_id,
            row.tenant_id,
            &row.kind,
            &row.identity_hash,
            row.created_at,
        ))
        .await?;
    } else if ended.outcome == Outcome::Succeeded && voids(&row.kind) {
        tx.execute(stmt!(ATTENTION_VOID, scope, &row.kind, &row.identity_hash)).await?;
    }
    if let Some(user) = row.initiator_id {
        let told = Told {
            scope,
            workspace: row.workspace_id,
            tenant: row.tenant_id,
            run: run.uuid(),
            user,
            kind: &row.kind,
        };
        notification_insert(tx, ids, &told, Moment::Ended, ended.outcome).await?;
    }
    Ok(())
}
