//! What people do with a run that is there: cancel it, try it again, take it from a stuck worker.
//! Each is audited with the change (PRODUCT ).

use std::sync::Arc;

use serde_json::{Value, json};
use tp_domain::access::{CancelOperations, ManageSettings, MayStart};
use tp_domain::actor::{Initiator, Trigger};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, RunId, ScopeId, TenantId, WorkspaceId};
use tp_domain::operation::{IdentityHash, OfTenant, OperationRequest, canonical};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome, RunStatus};
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::db::{Reach, Tx};
use crate::endings::{Ended, end_if_canceled, end_queued, end_run};
use crate::error::StoreError;
use crate::items::{COPY_FAILED, PRESET_SET};
use crate::run_rows::RunRow;
use crate::runs::{HowStarted, NewRun, RUN_GET, StartRefused, Started, run_start_with};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::workspace::WorkspaceScope;

const CANCEL_ASKED: &str = "\
UPDATE operation_runs SET cancel_requested_at = $3, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status IN ('queued', 'running') AND cancel_requested_at IS NULL";
// FOR UPDATE on PostgreSQL: a claim cannot come between what is seen here and what is done.
const JOB_PG: &str = "\
SELECT state, umbrella, priority FROM jobs WHERE scope_id = $1 AND run_id = $2 FOR UPDATE";
const JOB_LITE: &str =
    "SELECT state, umbrella, priority FROM jobs WHERE scope_id = $1 AND run_id = $2";
const CHILDREN_CANCEL: &str = "\
SELECT c.child_scope AS scope_id, c.child_id AS id FROM run_children c
WHERE c.scope_id = $1 AND c.run_id = $2 AND c.state = 'started' AND c.child_id IS NOT NULL
ORDER BY c.child_scope, c.child_id";
const CHILDREN_SKIP: &str = "\
UPDATE run_children SET state = 'skipped', reason = $3
WHERE scope_id = $1 AND run_id = $2 AND state = 'planned'";
// What was begun and taken away by a person is no failed try.
const RELEASE: &str = "\
UPDATE jobs
SET state = 'ready', lease_owner = NULL, lease_until = NULL, holds = NULL, run_at = $3, waits = FALSE,
    attempt = attempt - CASE WHEN state = 'leased' THEN 1 ELSE 0 END
WHERE scope_id = $1 AND run_id = $2 AND (state = 'leased' OR waits)";
const RELEASED: &str = "\
UPDATE operation_runs
SET attempt = attempt - $3, waiting_reason = NULL, waiting_until = NULL, phase = NULL,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const ORIGIN: &str = "\
SELECT COALESCE(origin_hash, identity_hash) AS origin FROM operation_runs
WHERE scope_id = $1 AND id = $2";
const OF_WORKSPACE: &str =
    "SELECT CAST(1 AS BIGINT) AS n FROM tenants WHERE id = $1 AND workspace_id = $2";
const FAILED_TYPES: &str = "\
SELECT policy_type FROM run_steps
WHERE scope_id = $1 AND run_id = $2 AND state IN ('failed', 'partial') ORDER BY position";
const FAILED_ITEMS: &str = "\
SELECT count(*) AS n FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'failed'";

/// What a cancel led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It had not begun, or waited for its next try: it has ended as canceled.
    Ended,
    /// It is being worked on: it stops at the next item, within five seconds.
    Asked,
    /// Somebody had asked before.
    AskedBefore,
    /// It had ended by itself.
    TooLate,
}

/// What of an old run is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOnly {
    /// What failed.
    Failed,
    /// All of it.
    All,
}

#[derive(sqlx::FromRow)]
struct JobRow {
    state: String,
    umbrella: bool,
    priority: i64,
}

#[derive(sqlx::FromRow)]
struct ChildRow {
    scope_id: Uuid,
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct OriginRow {
    origin: String,
}

#[derive(sqlx::FromRow)]
struct TypeRow {
    policy_type: String,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

async fn job(tx: &mut Tx, scope: Uuid, run: Uuid) -> Result<Option<JobRow>, StoreError> {
    let text = match tx.dialect() {
        crate::Dialect::Sqlite => JOB_LITE,
        crate::Dialect::Postgres => JOB_PG,
    };
    tx.optional(stmt!(text, scope, run)).await
}

/// Cancels one run: at once when nobody works on it, else by asking. Children of an umbrella run are
/// canceled with it.
pub(crate) async fn cancel_one(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    run: Uuid,
) -> Result<Cancel, StoreError> {
    let mut answer = cancel_row(tx, ids, scope, run).await?;
    if let Cancel::Asked = answer {
        let children: Vec<ChildRow> = tx.all(stmt!(CHILDREN_CANCEL, scope, run)).await?;
        for child in children {
            cancel_row(tx, ids, child.scope_id, child.id).await?;
        }
        let reason = ReasonCode::CanceledByParent.as_str();
        tx.execute(stmt!(CHILDREN_SKIP, scope, run, reason)).await?;
    }
    if answer == Cancel::Asked && job(tx, scope, run).await?.is_none() {
        answer = Cancel::Ended;
    }
    Ok(answer)
}

async fn cancel_row(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    run: Uuid,
) -> Result<Cancel, StoreError> {
    // The job first, as every other writer does: the order of locks is jobs, then runs.
    let job = job(tx, scope, run).await?;
    let now = tx.now();
    if tx.execute(stmt!(CANCEL_ASKED, scope, run, now)).await? == 0 {
        let row: Option<RunRow> = tx.optional(stmt!(RUN_GET, scope, run)).await?;
        let run = row.map(OperationRun::try_from).transpose()?;
        return Ok(match run {
            Some(run) if run.is_active() => Cancel::AskedBefore,
            _ => Cancel::TooLate,
        });
    }
    let nobody = job.as_ref().is_none_or(|job| job.state == "ready" && !job.umbrella);
    if !nobody {
        return Ok(Cancel::Asked);
    }
    let id = RunId::from_uuid(run);
    if end_queued(tx, ids, scope, id, Outcome::Canceled, None).await? {
        return Ok(Cancel::Ended);
    }
    let ended = Ended {
        outcome: Outcome::Canceled,
        reason: None,
        message: None,
        failures: Vec::new(),
        context: json!({}),
        counts: tp_domain::counts::RunCounts::default(),
    };
    end_run(tx, ids, scope, id, &ended, true).await?;
    Ok(Cancel::Ended)
}

fn note(
    actor: Initiator,
    action: AuditAction,
    tenant: Option<TenantId>,
    run: RunId,
    request_id: Option<String>,
    details: Value,
) -> AuditNote {
    let target = ("run", run.to_string());
    AuditNote { actor, action, target, tenant, run: Some(run), request_id, details }
}

async fn cancel(
    store: &Store,
    scope: ScopeId,
    workspace: WorkspaceId,
    actor: Initiator,
    run: RunId,
    request_id: Option<String>,
) -> Result<Option<Cancel>, StoreError> {
    let ids = Arc::clone(&store.ids);
    // An umbrella reaches into other scopes: its children's. Found by its own rows only.
    store
        .db
        .write(Reach::All, move |tx| {
            Box::pin(async move {
                let row: Option<RunRow> =
                    tx.optional(stmt!(RUN_GET, scope.uuid(), run.uuid())).await?;
                if row.is_none() {
                    return Ok(None);
                }
                let answer = cancel_one(tx, &*ids, scope.uuid(), run.uuid()).await?;
                if matches!(answer, Cancel::Ended | Cancel::Asked) {
                    let tenant = match scope {
                        ScopeId::Tenant(tenant) => Some(tenant),
                        ScopeId::Workspace(_) => None,
                    };
                    let action = AuditAction::RunCancelRequested;
                    let entry = note(actor, action, tenant, run, request_id, json!({}));
                    audit(tx, &*ids, workspace, &entry).await?;
                }
                Ok(Some(answer))
            })
        })
        .await
}

impl TenantScope<CancelOperations> {
    /// Cancels a run of this tenant; none when there is no such run here.
    pub async fn run_cancel(
        &self,
        run: RunId,
        request_id: Option<String>,
    ) -> Result<Option<Cancel>, StoreError> {
        let (scope, actor) = (self.scope_id(), self.actor.initiator());
        cancel(&self.store, scope, self.tenant.workspace, actor, run, request_id).await
    }
}

impl WorkspaceScope<CancelOperations> {
    /// Cancels a run of the workspace itself, with its children; none when there is no such run.
    pub async fn run_cancel(
        &self,
        run: RunId,
        request_id: Option<String>,
    ) -> Result<Option<Cancel>, StoreError> {
        let (scope, actor) = (self.scope_id(), self.actor.initiator());
        cancel(&self.store, scope, self.workspace, actor, run, request_id).await
    }
}

impl<C: MayStart> TenantScope<C>
where
    C::Request: OperationRequest<Level = OfTenant>,
{
    /// Starts a new run for what failed of an old one, or for all of it. Two clicks give one run.
    pub async fn run_retry(
        &self,
        of: RunId,
        only: RetryOnly,
        how: HowStarted,
    ) -> Result<Started, StartRefused> {
        let kind = <C::Request as OperationRequest>::KIND;
        if self.tenant.status != tp_domain::tenant::TenantStatus::Active {
            return Err(StartRefused::TenantDisabled);
        }
        let scope = self.scope_id();
        let (old_scope, old_id) = (scope.uuid(), of.uuid());
        let found = self
            .store
            .db
            .read(self.reach(), move |tx| {
                Box::pin(async move {
                    let row: Option<RunRow> =
                        tx.optional(stmt!(RUN_GET, old_scope, old_id)).await?;
                    let types: Vec<TypeRow> =
                        tx.all(stmt!(FAILED_TYPES, old_scope, old_id)).await?;
                    let items: CountRow = tx.one(stmt!(FAILED_ITEMS, old_scope, old_id)).await?;
                    let origin: Option<OriginRow> =
                        tx.optional(stmt!(ORIGIN, old_scope, old_id)).await?;
                    Ok((row, types, items.n, origin.map(|row| row.origin)))
                })
            })
            .await?;
        let (row, types, failed_items, origin) = found;
        let old = row.map(OperationRun::try_from).transpose()?;
        let Some(old) = old.filter(|old| old.kind == kind.as_str()) else {
            return Err(StartRefused::NothingToRetry("there is no such run of this kind"));
        };
        if old.state.status() != RunStatus::Completed {
            return Err(StartRefused::NothingToRetry("the run has not ended yet"));
        }
        let mut inputs = old.inputs.clone();
        if only == RetryOnly::Failed {
            if types.is_empty() && failed_items == 0 {
                return Err(StartRefused::NothingToRetry("nothing of the run has failed"));
            }
            // Chosen policies are items: those that failed are copied, and the choice stays as it is.
            if let (Value::Object(map), false) = (&mut inputs, types.is_empty())
                && !map.contains_key("policies")
            {
                let keys = types.into_iter().map(|row| row.policy_type).collect::<Vec<_>>();
                map.insert("types".to_owned(), json!(keys));
            }
        }
        let initiator = self.actor.initiator();
        let mut new =
            NewRun::new(scope, self.tenant.workspace, kind, canonical(&inputs), initiator);
        // Unique per old run, so that a double click is one retry (PRODUCT R-3).
        let identity = json!({"inputs": new.inputs, "retry_of": of.to_string()});
        new.identity = IdentityHash::of(kind, scope.uuid(), &identity);
        new.trigger = Trigger::Retry;
        new.retry_of = Some(of);
        // Its success makes good what failed first.
        new.origin = origin;
        let copies = only == RetryOnly::Failed && failed_items > 0;
        run_start_with(&self.store, new, self.actor.user, how, copies).await
    }
}

/// Gives the new run the failed items of the old one, in the transaction of the start.
pub(crate) async fn copy_failed(
    tx: &mut Tx,
    scope: Uuid,
    old: Uuid,
    new: Uuid,
) -> Result<(), StoreError> {
    tx.execute(stmt!(COPY_FAILED, scope, old, new)).await?;
    tx.execute(stmt!(PRESET_SET, scope, new)).await.map(drop)
}

impl WorkspaceScope<ManageSettings> {
    /// Takes a stuck run of this workspace or of one of its tenants from its worker, or ends its wait:
    /// it is ready at once, with its try. What the worker writes later changes nothing. `false` when
    /// there is no such run here, or nothing holds it.
    pub async fn run_release(
        &self,
        scope: ScopeId,
        run: RunId,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let (ids, actor, workspace) =
            (Arc::clone(&self.store.ids), self.actor.initiator(), self.workspace);
        let hint = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let tenant = match scope {
                        ScopeId::Workspace(own) if own == workspace => None,
                        ScopeId::Workspace(_) => return Ok(None),
                        ScopeId::Tenant(tenant) => {
                            let own = stmt!(OF_WORKSPACE, tenant.uuid(), workspace.uuid());
                            if tx.optional::<CountRow>(own).await?.is_none() {
                                return Ok(None);
                            }
                            Some(tenant)
                        }
                    };
                    let (scope, id) = (scope.uuid(), run.uuid());
                    let Some(job) = job(tx, scope, id).await? else { return Ok(None) };
                    let now = tx.now();
                    if job.umbrella || tx.execute(stmt!(RELEASE, scope, id, now)).await? == 0 {
                        return Ok(None);
                    }
                    let tries = i64::from(job.state == "leased");
                    tx.execute(stmt!(RELEASED, scope, id, tries)).await?;
                    // Somebody wanted it canceled: it is let go for good.
                    end_if_canceled(tx, &*ids, scope, run).await?;
                    let action = AuditAction::RunReleased;
                    let entry = note(actor, action, tenant, run, request_id, json!({}));
                    audit(tx, &*ids, workspace, &entry).await?;
                    let workspace = workspace.uuid();
                    Ok(Some(crate::queue::Hint { priority: job.priority, scope, workspace }))
                })
            })
            .await?;
        if let Some(hint) = hint {
            self.store.wake.ring(hint);
        }
        Ok(hint.is_some())
    }
}
