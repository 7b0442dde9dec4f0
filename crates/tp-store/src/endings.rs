//! How runs end or are put back: finish, snooze, and what belongs to an end: counts, notification,
//! attention. On PostgreSQL the ends of one process are written in groups (ruling 8).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::counts::RunCounts;
use tp_domain::ids::{Ids, NotificationId, RunId, TenantId, WorkspaceId};
use tp_domain::message::SafeMessage;
use tp_domain::notification::Moment;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, Outcome, WaitingReason};
use uuid::Uuid;

use crate::audit::audit;
use crate::breaks::break_point;
use crate::claims::{Claimed, ClaimedRun};
use crate::db::{Db, Reach, Tx};
use crate::error::StoreError;
use crate::items::failures_of;
use crate::run_rows::failures_to_json;
use crate::runs::{Told, notification_insert};
use crate::stmt::stmt;
use crate::tenants::bad_row;

// What items and steps hold is the truth; the run's row follows it.
const RUN_RECOUNT: &str = "\
UPDATE operation_runs
SET succeeded = c.succeeded, failed = c.failed, skipped = c.skipped,
    processed = c.succeeded + c.failed + c.skipped,
    total = CASE WHEN c.items > 0 AND NOT c.stepped THEN c.items
                 WHEN total < c.succeeded + c.failed + c.skipped THEN c.succeeded + c.failed + c.skipped
                 ELSE total END
FROM (SELECT
  (SELECT count(*) FROM run_items WHERE scope_id = $1 AND run_id = $2) AS items,
  (SELECT count(*) FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'succeeded')
    + (SELECT CAST(COALESCE(sum(counted), 0) AS BIGINT) FROM run_steps
       WHERE scope_id = $1 AND run_id = $2) AS succeeded,
  (SELECT count(*) FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'failed') AS failed,
  (SELECT count(*) FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'skipped') AS skipped,
  EXISTS (SELECT 1 FROM run_steps WHERE scope_id = $1 AND run_id = $2) AS stepped) c
WHERE scope_id = $1 AND id = $2 AND status = 'running' AND (c.items > 0 OR c.stepped)
RETURNING operation_runs.total, operation_runs.succeeded, operation_runs.failed, operation_runs.skipped";
const RUN_FINISH: &str = "\
UPDATE operation_runs
SET status = 'completed', outcome = $3, reason = $4, message = $5, failures = $6, context = $7,
    completed_at = CASE WHEN started_at > $8 THEN started_at ELSE $8 END,
    heartbeat_at = CASE WHEN started_at > $8 THEN started_at ELSE $8 END,
    phase = NULL, waiting_reason = NULL, waiting_until = NULL,
    total = COALESCE($9, total),
    succeeded = CASE WHEN $10 > succeeded THEN $10 ELSE succeeded END,
    failed = CASE WHEN $11 > failed THEN $11 ELSE failed END,
    skipped = CASE WHEN $12 > skipped THEN $12 ELSE skipped END,
    processed = CASE WHEN $10 > succeeded THEN $10 ELSE succeeded END
              + CASE WHEN $11 > failed THEN $11 ELSE failed END
              + CASE WHEN $12 > skipped THEN $12 ELSE skipped END,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'
RETURNING workspace_id, tenant_id, kind, initiator_id,
          COALESCE(origin_hash, identity_hash) AS identity_hash, created_at";
// A queued run can only end by not beginning.
const RUN_NOT_BEGUN: &str = "\
UPDATE operation_runs
SET status = 'completed', outcome = $3, reason = $4, message = $5,
    completed_at = CASE WHEN created_at > $6 THEN created_at ELSE $6 END,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'queued'
RETURNING workspace_id, tenant_id, kind, initiator_id,
          COALESCE(origin_hash, identity_hash) AS identity_hash, created_at";
pub(crate) const ATTENTION_INSERT: &str = "\
INSERT INTO run_attention (scope_id, run_id, workspace_id, tenant_id, kind, identity_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)";
// A success makes good what failed before with the same identity (PRODUCT R-17).
const ATTENTION_VOID: &str =
    "DELETE FROM run_attention WHERE scope_id = $1 AND kind = $2 AND identity_hash = $3";
pub(crate) const JOB_DELETE: &str = "DELETE FROM jobs WHERE scope_id = $1 AND run_id = $2";
const JOB_AGAIN: &str = "\
UPDATE jobs
SET state = 'ready', lease_owner = NULL, lease_until = NULL, run_at = $3, waits = TRUE, holds = NULL,
    attempt = attempt - $4
WHERE scope_id = $1 AND run_id = $2";
const JOB_BACK: &str = "\
UPDATE jobs
SET state = 'ready', lease_owner = NULL, lease_until = NULL, run_at = $3, waits = FALSE, holds = NULL,
    attempt = attempt - 1
WHERE scope_id = $1 AND run_id = $2
RETURNING workspace_id, priority";
const CANCEL_ASKED: &str = "\
SELECT id FROM operation_runs
WHERE scope_id = $1 AND id = $2 AND status = 'running' AND cancel_requested_at IS NOT NULL";
pub(crate) const RUN_BACK: &str = "\
UPDATE operation_runs SET attempt = attempt - 1, phase = NULL, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const RUN_AGAIN: &str = "\
UPDATE operation_runs
SET waiting_reason = $3, waiting_until = $4, attempt = attempt - $5, reason = $6, message = $7,
    phase = NULL, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
// A group of ends in one statement, each checked against its lease. The sorted list keeps two groups
// from waiting for each other; a run whose lease was lost is not in the answer.
const GROUP_PG: &str = "\
WITH d AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS d(
    scope_id UUID, run_id UUID, owner UUID, fence BIGINT, outcome TEXT, reason TEXT, message TEXT,
    failures TEXT, context TEXT, total BIGINT, succeeded BIGINT, failed BIGINT, skipped BIGINT,
    notification UUID)
), held AS MATERIALIZED (
  SELECT d.* FROM d JOIN jobs j ON j.scope_id = d.scope_id AND j.run_id = d.run_id
  WHERE j.lease_owner = d.owner AND j.fence = d.fence
  ORDER BY d.scope_id, d.run_id FOR UPDATE OF j
), ended AS (
  UPDATE operation_runs r
  SET status = 'completed', outcome = h.outcome, reason = h.reason, message = h.message,
      failures = h.failures, context = h.context, completed_at = GREATEST($2, r.started_at),
      heartbeat_at = GREATEST($2, r.started_at), phase = NULL,
      waiting_reason = NULL, waiting_until = NULL, total = COALESCE(h.total, r.total),
      succeeded = GREATEST(r.succeeded, h.succeeded), failed = GREATEST(r.failed, h.failed),
      skipped = GREATEST(r.skipped, h.skipped),
      processed = GREATEST(r.succeeded, h.succeeded) + GREATEST(r.failed, h.failed)
                + GREATEST(r.skipped, h.skipped),
      revision = r.revision + 1
  FROM held h WHERE r.scope_id = h.scope_id AND r.id = h.run_id AND r.status = 'running'
  RETURNING r.scope_id, r.id, r.workspace_id, r.tenant_id, r.kind, r.initiator_id,
            COALESCE(r.origin_hash, r.identity_hash) AS identity_hash,
            r.created_at, r.outcome, h.notification
), gone AS (
  DELETE FROM jobs j USING ended e WHERE j.scope_id = e.scope_id AND j.run_id = e.id
), attention AS (
  INSERT INTO run_attention (scope_id, run_id, workspace_id, tenant_id, kind, identity_hash, created_at)
  SELECT scope_id, id, workspace_id, tenant_id, kind, identity_hash, created_at FROM ended
  WHERE outcome IN ('partially_succeeded', 'failed', 'blocked')
), told AS (
  INSERT INTO notifications (scope_id, run_id, moment, id, workspace_id, tenant_id, user_id, kind,
                             outcome, created_at)
  SELECT scope_id, id, 'ended', notification, workspace_id, tenant_id, initiator_id, kind, outcome, $2
  FROM ended WHERE initiator_id IS NOT NULL
  ON CONFLICT (scope_id, run_id, moment) DO NOTHING
)
SELECT scope_id, id, kind, identity_hash, outcome FROM ended";
const VOID_MANY_PG: &str = "\
DELETE FROM run_attention a
USING jsonb_to_recordset(CAST($1 AS JSONB)) AS d(scope_id UUID, kind TEXT, identity_hash TEXT)
WHERE a.scope_id = d.scope_id AND a.kind = d.kind AND a.identity_hash = d.identity_hash";

/// The waits between tries to write an end: together shorter than what is left of a lease.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
    Duration::from_secs(4),
];

/// How many ends one transaction carries at most.
const MOST_PER_GROUP: usize = 500;

#[derive(sqlx::FromRow)]
struct FinishedRow {
    workspace_id: Uuid,
    tenant_id: Option<Uuid>,
    kind: String,
    initiator_id: Option<Uuid>,
    identity_hash: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct AskedRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct BackRow {
    workspace_id: Uuid,
    priority: i64,
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    scope_id: Uuid,
    id: Uuid,
    kind: String,
    identity_hash: String,
    outcome: String,
}

/// The counts of a run's row.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct CountsRow {
    pub(crate) total: Option<i64>,
    pub(crate) succeeded: i64,
    pub(crate) failed: i64,
    pub(crate) skipped: i64,
}

impl TryFrom<CountsRow> for RunCounts {
    type Error = StoreError;

    fn try_from(row: CountsRow) -> Result<Self, StoreError> {
        let count = |value: i64, column| {
            u64::try_from(value).map_err(|_| bad_row("operation_runs", column))
        };
        Ok(Self {
            total: row.total.map(|total| count(total, "total")).transpose()?,
            succeeded: count(row.succeeded, "succeeded")?,
            failed: count(row.failed, "failed")?,
            skipped: count(row.skipped, "skipped")?,
        })
    }
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
    /// What was counted. Where items or steps hold the counts, these are counted again instead.
    pub counts: RunCounts,
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

/// One end on its way to a group.
struct Request {
    claimed: Claimed,
    ended: Ended,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// The way to the task that writes ends in groups. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Endings(mpsc::Sender<Request>);

impl Endings {
    /// Starts the task. It ends when the last store is dropped.
    pub(crate) fn start(db: Db, ids: Arc<dyn Ids>) -> Self {
        let (sender, inbox) = mpsc::channel(1024);
        tokio::spawn(write_groups(db, ids, inbox));
        Self(sender)
    }

    async fn end(&self, claimed: Claimed, ended: Ended) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { claimed, ended, answer };
        self.0.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Whatever has come in while the last group was written is the next group: no waiting on purpose.
async fn write_groups(db: Db, ids: Arc<dyn Ids>, mut inbox: mpsc::Receiver<Request>) {
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        while batch.len() < MOST_PER_GROUP
            && let Ok(next) = inbox.try_recv()
        {
            batch.push(next);
        }
        if batch.len() > 1 {
            batch.sort_by_key(|request| (request.claimed.scope, request.claimed.run.uuid()));
            match end_group(&db, &ids, &batch).await {
                Ok(ended) => {
                    for request in batch {
                        let done = ended.contains(&request.claimed.run);
                        let result = if done { Ok(()) } else { Err(StoreError::LeaseLost) };
                        let _ = request.answer.send(result);
                    }
                    continue;
                }
                // One of them cannot be written: alone, each shows whether it is the one.
                Err(error) => {
                    tracing::warn!(error = %error, "a group of ends is written one by one");
                }
            }
        }
        for Request { claimed, ended, answer } in batch {
            let _ = answer.send(end_alone(&db, Arc::clone(&ids), claimed, ended, false).await);
        }
    }
}

async fn end_group(
    db: &Db,
    ids: &Arc<dyn Ids>,
    batch: &[Request],
) -> Result<Vec<RunId>, StoreError> {
    let list: Vec<Value> = batch
        .iter()
        .map(|Request { claimed, ended, .. }| {
            json!({
                "scope_id": claimed.scope,
                "run_id": claimed.run.uuid(),
                "owner": claimed.owner.uuid(),
                "fence": claimed.fence,
                "outcome": ended.outcome.as_str(),
                "reason": ended.reason.map(ReasonCode::as_str),
                "message": ended.message.as_ref().map(SafeMessage::as_str),
                "failures": failures_to_json(&ended.failures),
                "context": ended.context.to_string(),
                "total": ended.counts.total,
                "succeeded": ended.counts.succeeded,
                "failed": ended.counts.failed,
                "skipped": ended.counts.skipped,
                "notification": NotificationId::next(&**ids).uuid(),
            })
        })
        .collect();
    let list = Value::Array(list).to_string();
    let ended = db
        .write(Reach::All, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let rows: Vec<GroupRow> = tx.all(stmt!(GROUP_PG, list, now).planned_anew()).await?;
                let made_good: Vec<Value> = rows
                    .iter()
                    .filter(|row| row.outcome == Outcome::Succeeded.as_str() && voids(&row.kind))
                    .map(|row| {
                        json!({
                            "scope_id": row.scope_id,
                            "kind": row.kind,
                            "identity_hash": row.identity_hash,
                        })
                    })
                    .collect();
                if !made_good.is_empty() {
                    tx.execute(stmt!(VOID_MANY_PG, Value::Array(made_good).to_string())).await?;
                }
                break_point!(GroupEndWritten);
                Ok(rows.into_iter().map(|row| RunId::from_uuid(row.id)).collect())
            })
        })
        .await;
    break_point!(GroupEndCommitted, ended.is_ok());
    ended
}

async fn end_alone(
    db: &Db,
    ids: Arc<dyn Ids>,
    claimed: Claimed,
    ended: Ended,
    recorded: bool,
) -> Result<(), StoreError> {
    let done = db
        .write(claimed.reach(), move |tx| {
            Box::pin(async move {
                claimed.check(tx).await?;
                end_run(tx, &*ids, claimed.scope, claimed.run, &ended, recorded).await?;
                break_point!(EndWritten);
                Ok(())
            })
        })
        .await;
    break_point!(EndCommitted, done.is_ok());
    done
}

impl ClaimedRun {
    /// Ends the run: state, counts, failures, terminal notification, job gone, in one transaction.
    ///
    /// A passing trouble of the database is waited out for some seconds; the work is done, only its end
    /// is not written yet.
    pub async fn finish(self, ended: Ended) -> Result<(), StoreError> {
        let recorded = self.recorded.load(Ordering::Relaxed);
        let mut ended = ended;
        ended.counts.total = ended.counts.total.or(self.progress().counts().total);
        let mut pauses = PAUSES.into_iter();
        loop {
            let ended = ended.clone();
            let result = match &self.store.endings {
                // A refusal is audited: that is not part of a group.
                Some(endings) if !recorded && ended.outcome != Outcome::Blocked => {
                    endings.end(self.claimed, ended).await
                }
                _ => {
                    let ids = Arc::clone(&self.store.ids);
                    end_alone(&self.store.db, ids, self.claimed, ended, recorded).await
                }
            };
            match (result, pauses.next()) {
                (Err(error), Some(pause)) if error.is_passing() => tokio::time::sleep(pause).await,
                (result, _) => return result,
            }
        }
    }

    /// Puts the run back for a later try. It stays `running` and says until when it waits (ruling 10).
    pub async fn again(self, snooze: Snooze) -> Result<(), StoreError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match (self.put_back(snooze).await, pauses.next()) {
                (Err(error), Some(pause)) if error.is_passing() => tokio::time::sleep(pause).await,
                (result, _) => return result,
            }
        }
    }

    /// Gives the run back at once and with its try: the process shuts down (TRUST F31).
    pub async fn hand_back(self) -> Result<(), StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let back: Option<BackRow> = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run, now) = (claimed.scope, claimed.run.uuid(), tx.now());
                    if end_if_canceled(tx, &*ids, scope, claimed.run).await? {
                        return Ok(None);
                    }
                    recount(tx, scope, run).await?;
                    tx.execute(stmt!(RUN_BACK, scope, run)).await?;
                    tx.one(stmt!(JOB_BACK, scope, run, now)).await.map(Some)
                })
            })
            .await?;
        if let Some(BackRow { workspace_id: workspace, priority }) = back {
            let scope = claimed.scope;
            self.store.wake.ring(crate::queue::Hint { priority, scope, workspace });
        }
        Ok(())
    }

    async fn put_back(&self, snooze: Snooze) -> Result<(), StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let returned: i64 = i64::from(snooze.failed.is_none());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run, at) =
                        (claimed.scope, claimed.run.uuid(), tx.now().plus(snooze.wait));
                    if end_if_canceled(tx, &*ids, scope, claimed.run).await? {
                        return Ok(());
                    }
                    recount(tx, scope, run).await?;
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

/// Ends a run that somebody wanted canceled before its worker lets go of it: what waits for a next try
/// would else be heard only then (PRODUCT R-10). Its job is locked by the caller.
pub(crate) async fn end_if_canceled(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    run: RunId,
) -> Result<bool, StoreError> {
    if tx.optional::<AskedRow>(stmt!(CANCEL_ASKED, scope, run.uuid())).await?.is_none() {
        return Ok(false);
    }
    let ended = Ended {
        outcome: Outcome::Canceled,
        reason: None,
        message: None,
        failures: Vec::new(),
        context: json!({}),
        counts: RunCounts::default(),
    };
    end_run(tx, ids, scope, run, &ended, true).await?;
    Ok(true)
}

/// Brings the run's counts up to what its items and steps hold; none when it has neither.
pub(crate) async fn recount(
    tx: &mut Tx,
    scope: Uuid,
    run: Uuid,
) -> Result<Option<CountsRow>, StoreError> {
    tx.optional(stmt!(RUN_RECOUNT, scope, run)).await
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
    recorded: bool,
) -> Result<(), StoreError> {
    let now = tx.now();
    let rows = if recorded { recount(tx, scope, run.uuid()).await? } else { None };
    // Counted rows stand already; what the work said of them is not taken.
    let counts = if rows.is_some() { RunCounts::default() } else { ended.counts };
    let failures = if recorded && ended.failures.is_empty() {
        failures_of(tx, scope, run.uuid()).await?
    } else {
        ended.failures.clone()
    };
    let row: Option<FinishedRow> = tx
        .optional(stmt!(
            RUN_FINISH,
            scope,
            run.uuid(),
            ended.outcome.as_str(),
            ended.reason.map(ReasonCode::as_str),
            ended.message.as_ref().map(SafeMessage::as_str),
            failures_to_json(&failures),
            ended.context.to_string(),
            now,
            ended.counts.total,
            counts.succeeded,
            counts.failed,
            counts.skipped,
        ))
        .await?;
    let Some(row) = row else { return Err(StoreError::LeaseLost) };
    after_end(tx, ids, scope, run, ended.outcome, row).await
}

/// Completes a queued run that never began. `false` when it had begun or ended meanwhile.
pub(crate) async fn end_queued(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    run: RunId,
    outcome: Outcome,
    reason: Option<ReasonCode>,
) -> Result<bool, StoreError> {
    let now = tx.now();
    let row: Option<FinishedRow> = tx
        .optional(stmt!(
            RUN_NOT_BEGUN,
            scope,
            run.uuid(),
            outcome.as_str(),
            reason.map(ReasonCode::as_str),
            reason.map(|reason| reason.message(&[]).to_string()),
            now,
        ))
        .await?;
    let Some(row) = row else { return Ok(false) };
    after_end(tx, ids, scope, run, outcome, row).await?;
    Ok(true)
}

/// What belongs to every end: the job goes, attention is asked for or taken back, one is told.
async fn after_end(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    run: RunId,
    outcome: Outcome,
    row: FinishedRow,
) -> Result<(), StoreError> {
    tx.execute(stmt!(JOB_DELETE, scope, run.uuid())).await?;
    if outcome == Outcome::Blocked {
        let note = AuditNote {
            actor: Initiator::System,
            action: AuditAction::RunBlocked,
            target: ("run", run.to_string()),
            tenant: row.tenant_id.map(TenantId::from_uuid),
            run: Some(run),
            request_id: None,
            details: json!({"kind": row.kind}),
        };
        audit(tx, ids, WorkspaceId::from_uuid(row.workspace_id), &note).await?;
    }
    if outcome.needs_attention() {
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
    } else if outcome == Outcome::Succeeded && voids(&row.kind) {
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
        notification_insert(tx, ids, &told, Moment::Ended, outcome).await?;
    }
    Ok(())
}

/// Starts the task that groups ends, on PostgreSQL. SQLite's writer groups by itself.
pub(crate) fn endings_of(db: &Db, ids: &Arc<dyn Ids>) -> Option<Endings> {
    match db {
        Db::Pg { .. } => Some(Endings::start(db.clone(), Arc::clone(ids))),
        Db::Lite { .. } => None,
    }
}
