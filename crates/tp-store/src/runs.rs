//! Starting a run: one unit of run, notification, audit entry and job (PRODUCT R-4, R-5; ruling 8).

use std::sync::Arc;

use serde_json::json;
use tp_domain::access::MayStart;
use tp_domain::actor::{Initiator, Trigger};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, NotificationId, RunId, ScopeId, TenantId, UserId, WorkspaceId};
use tp_domain::notification::Moment;
use tp_domain::operation::{IdentityHash, OperationKind, OperationRequest as _};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome};
use uuid::Uuid;

use crate::audit::audit;
use crate::claims::ATTENTION_INSERT;
use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::run_rows::{RunRow, run_columns};
use crate::scope::TenantScope;
use crate::stmt::stmt;

const RUN_INSERT: &str = "\
INSERT INTO operation_runs (scope_id, id, workspace_id, tenant_id, kind, status, outcome, identity_hash,
                            initiator_id, initiator_name, trigger_kind, inputs, max_attempts, retry_of,
                            created_at)
VALUES ($1, $2, $3, $4, $5, 'queued', 'pending', $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (scope_id, kind, identity_hash) WHERE status IN ('queued', 'running') DO NOTHING
RETURNING id";
// A statement of its own: inside the INSERT its snapshot could be older than the winner (ENGINE §4.2).
const RUN_ACTIVE: &str = "\
SELECT id FROM operation_runs
WHERE scope_id = $1 AND kind = $2 AND identity_hash = $3 AND status IN ('queued', 'running')";
pub(crate) const RUN_GET: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM operation_runs r WHERE r.scope_id = $1 AND r.id = $2"
);
const JOB_INSERT: &str = "\
INSERT INTO jobs (scope_id, run_id, workspace_id, tenant_id, kind, state, priority, run_at)
VALUES ($1, $2, $3, $4, $5, 'ready', $6, $7)";
const RUN_DISPATCH_FAILED: &str = "\
UPDATE operation_runs
SET status = 'completed', outcome = 'failed', reason = $3, message = $4, completed_at = $5,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'queued'";
const NOTIFICATION_INSERT: &str = "\
INSERT INTO notifications (scope_id, run_id, moment, id, workspace_id, tenant_id, user_id, kind,
                           outcome, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (scope_id, run_id, moment) DO NOTHING";
// A key is free again after a day (UX §3.2).
const IDEMPOTENCY_EXPIRED: &str = "\
DELETE FROM idempotency_keys WHERE scope_id = $1 AND caller = $2 AND key_text = $3 AND at < $4";
const IDEMPOTENCY_GET: &str = "\
SELECT body_hash, run_id, created FROM idempotency_keys
WHERE scope_id = $1 AND caller = $2 AND key_text = $3";
const IDEMPOTENCY_INSERT: &str = "\
INSERT INTO idempotency_keys (scope_id, caller, key_text, workspace_id, tenant_id, body_hash, run_id,
                              created, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (scope_id, caller, key_text) DO NOTHING";

/// How long an idempotency key is kept.
const KEY_LIFE: std::time::Duration = std::time::Duration::from_hours(24);

/// The run that a start led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// A new run. It may already have ended as `dispatch_failed`: look at its state.
    Created(OperationRun),
    /// An equal run was active: this one. Nothing was written.
    Reused(OperationRun),
    /// The same request was answered before, by its idempotency key.
    Replayed {
        /// The run of that answer.
        run: OperationRun,
        /// Whether that answer had created the run.
        created: bool,
    },
}

impl Started {
    /// The run.
    pub const fn run(&self) -> &OperationRun {
        match self {
            Self::Created(run) | Self::Reused(run) | Self::Replayed { run, .. } => run,
        }
    }
}

/// A caller's own name for one request, so that a repeat is answered and not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// What the caller sent, 1 to 255 characters.
    pub key: String,
    /// SHA-256 of what was asked for: the same key with another request is refused.
    pub body_hash: String,
}

/// Circumstances of a start that are not part of what is asked for.
#[derive(Clone, Debug, Default)]
pub struct HowStarted {
    /// The caller's idempotency key.
    pub idempotency: Option<IdempotencyKey>,
    /// The id of the HTTP request, for the audit log.
    pub request_id: Option<String>,
}

/// Why a start did not lead to a run.
#[derive(Debug, thiserror::Error)]
pub enum StartRefused {
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The tenant is disabled.
    #[error("the tenant is disabled")]
    TenantDisabled,
    /// The database did not answer; nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that a new run row needs.
#[derive(Clone, Debug)]
pub(crate) struct NewRun {
    pub(crate) scope: ScopeId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) kind: OperationKind,
    pub(crate) identity: IdentityHash,
    pub(crate) inputs: serde_json::Value,
    pub(crate) initiator: Initiator,
    pub(crate) trigger: Trigger,
    pub(crate) request_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    body_hash: String,
    run_id: Uuid,
    created: bool,
}

impl<C: MayStart> TenantScope<C> {
    /// Starts the one kind of work that this scope is for, or finds the equal run that is active.
    ///
    /// A scope entered to look cannot start:
    ///
    /// ```compile_fail,E0599
    /// use tp_domain::access::ViewOperations;
    /// use tp_domain::operation::SyncInventory;
    /// async fn start(scope: tp_store::TenantScope<ViewOperations>) {
    ///     let _ = scope.run_start(&SyncInventory::everything(), Default::default()).await;
    /// }
    /// ```
    ///
    /// The twin that compiles:
    ///
    /// ```
    /// use tp_domain::access::StartInventorySync;
    /// use tp_domain::operation::SyncInventory;
    /// async fn start(scope: tp_store::TenantScope<StartInventorySync>) {
    ///     let _ = scope.run_start(&SyncInventory::everything(), Default::default()).await;
    /// }
    /// ```
    pub async fn run_start(
        &self,
        request: &C::Request,
        how: HowStarted,
    ) -> Result<Started, StartRefused> {
        if self.tenant.status != tp_domain::tenant::TenantStatus::Active {
            return Err(StartRefused::TenantDisabled);
        }
        let kind = <C::Request as tp_domain::operation::OperationRequest>::KIND;
        let (scope, inputs) = (self.scope_id(), request.inputs());
        let initiator = self.actor.initiator();
        let new = NewRun {
            scope,
            workspace: self.tenant.workspace,
            tenant: Some(self.tenant.id),
            kind,
            identity: IdentityHash::of(kind, scope.uuid(), &inputs),
            inputs,
            trigger: initiator.trigger(),
            initiator,
            request_id: how.request_id,
        };
        let (ids, caller) = (Arc::clone(&self.store.ids), self.actor.user);
        let started = self
            .store
            .db
            .write(Reach::Scope(scope.uuid()), move |tx| {
                Box::pin(async move {
                    match how.idempotency {
                        None => Ok(Some(start(tx, &*ids, &new).await?)),
                        Some(key) => start_once(tx, &*ids, &new, caller, &key).await,
                    }
                })
            })
            .await
            .map_err(|error| match error {
                StoreError::KeyTaken => StartRefused::KeyReused,
                error => StartRefused::Store(error),
            })?
            .ok_or(StartRefused::KeyReused)?;
        if matches!(&started, Started::Created(run) if run.is_active()) {
            self.store.wake.ring();
        }
        Ok(started)
    }
}

/// Starts under an idempotency key; `None` when the key belongs to another request.
async fn start_once(
    tx: &mut Tx,
    ids: &dyn Ids,
    new: &NewRun,
    caller: UserId,
    key: &IdempotencyKey,
) -> Result<Option<Started>, StoreError> {
    let (scope, caller, now) = (new.scope.uuid(), caller.uuid(), tx.now());
    let expired = stmt!(IDEMPOTENCY_EXPIRED, scope, caller, &key.key, now.minus(KEY_LIFE));
    tx.execute(expired).await?;
    if let Some(answer) = replay(tx, scope, caller, key).await? {
        return Ok(answer);
    }
    let started = start(tx, ids, new).await?;
    let inserted = tx
        .execute(stmt!(
            IDEMPOTENCY_INSERT,
            scope,
            caller,
            &key.key,
            new.workspace.uuid(),
            new.tenant.map(TenantId::uuid),
            &key.body_hash,
            started.run().id.uuid(),
            matches!(started, Started::Created(_)),
            now,
        ))
        .await?;
    if inserted == 1 {
        return Ok(Some(started));
    }
    // The same key came in twice at once and the other was first.
    match replay(tx, scope, caller, key).await? {
        // Another request: what was begun here must not stay, so the unit fails as a whole.
        Some(None) => Err(StoreError::KeyTaken),
        Some(answer) => Ok(answer),
        None => Ok(Some(started)),
    }
}

async fn replay(
    tx: &mut Tx,
    scope: Uuid,
    caller: Uuid,
    key: &IdempotencyKey,
) -> Result<Option<Option<Started>>, StoreError> {
    let row: Option<KeyRow> = tx.optional(stmt!(IDEMPOTENCY_GET, scope, caller, &key.key)).await?;
    let Some(row) = row else { return Ok(None) };
    if row.body_hash != key.body_hash {
        return Ok(Some(None));
    }
    let run: Option<RunRow> = tx.optional(stmt!(RUN_GET, scope, row.run_id)).await?;
    match run {
        Some(run) => {
            Ok(Some(Some(Started::Replayed { run: run.try_into()?, created: row.created })))
        }
        // Pruned meanwhile: the key has nothing left to answer with.
        None => Ok(None),
    }
}

/// The unit: run, notification, audit entry, then behind a savepoint the job.
pub(crate) async fn start(tx: &mut Tx, ids: &dyn Ids, new: &NewRun) -> Result<Started, StoreError> {
    let scope = new.scope.uuid();
    // The active run may end between the refused insert and the look-up; then there is room again.
    for _ in 0..3 {
        let id = RunId::next(ids);
        let inserted: Option<IdRow> = tx.optional(insert_stmt(id, new, tx.now())).await?;
        if inserted.is_some() {
            dispatch(tx, ids, new, id).await?;
            return Ok(Started::Created(run_get(tx, scope, id.uuid()).await?));
        }
        let active = stmt!(RUN_ACTIVE, scope, new.kind.as_str(), new.identity.hex());
        if let Some(IdRow { id }) = tx.optional(active).await? {
            return Ok(Started::Reused(run_get(tx, scope, id).await?));
        }
    }
    Err(StoreError::Schema("an equal run kept starting and ending; try again".to_owned()))
}

fn insert_stmt(id: RunId, new: &NewRun, now: tp_domain::time::Timestamp) -> crate::stmt::Stmt {
    stmt!(
        RUN_INSERT,
        new.scope.uuid(),
        id.uuid(),
        new.workspace.uuid(),
        new.tenant.map(TenantId::uuid),
        new.kind.as_str(),
        new.identity.hex(),
        new.initiator.user().map(UserId::uuid),
        new.initiator.name(),
        new.trigger.as_str(),
        new.inputs.to_string(),
        new.kind.facts().max_attempts,
        None::<Uuid>,
        now,
    )
}

async fn dispatch(tx: &mut Tx, ids: &dyn Ids, new: &NewRun, id: RunId) -> Result<(), StoreError> {
    notify(tx, ids, new, id, Moment::Queued, Outcome::Pending).await?;
    let mut note = AuditNote {
        actor: new.initiator.clone(),
        action: AuditAction::RunStarted,
        target: ("run", id.to_string()),
        tenant: new.tenant,
        run: Some(id),
        request_id: new.request_id.clone(),
        details: json!({"kind": new.kind.as_str(), "inputs": new.inputs}),
    };
    audit(tx, ids, new.workspace, &note).await?;
    tx.raw("SAVEPOINT job").await?;
    let now = tx.now();
    let job = stmt!(
        JOB_INSERT,
        new.scope.uuid(),
        id.uuid(),
        new.workspace.uuid(),
        new.tenant.map(TenantId::uuid),
        new.kind.as_str(),
        priority(new.kind),
        now,
    );
    let Err(error) = tx.execute(job).await else {
        return tx.raw("RELEASE SAVEPOINT job").await;
    };
    tracing::error!(run.id = %id, error = %error, "the job of a run could not be inserted");
    tx.raw("ROLLBACK TO SAVEPOINT job").await?;
    tx.raw("RELEASE SAVEPOINT job").await?;
    let reason = ReasonCode::DispatchFailed;
    tx.execute(stmt!(
        RUN_DISPATCH_FAILED,
        new.scope.uuid(),
        id.uuid(),
        reason.as_str(),
        reason.message(&[]).as_str(),
        now,
    ))
    .await?;
    tx.execute(stmt!(
        ATTENTION_INSERT,
        new.scope.uuid(),
        id.uuid(),
        new.workspace.uuid(),
        new.tenant.map(TenantId::uuid),
        new.kind.as_str(),
        new.identity.hex(),
        now,
    ))
    .await?;
    notify(tx, ids, new, id, Moment::Ended, Outcome::Failed).await?;
    note.action = AuditAction::RunDispatchFailed;
    audit(tx, ids, new.workspace, &note).await
}

/// Smaller is sooner: interactive preview, restore, sync and backup, drift, housekeeping (R-12).
const fn priority(kind: OperationKind) -> i64 {
    match kind {
        OperationKind::InventorySync => 30,
    }
}

async fn notify(
    tx: &mut Tx,
    ids: &dyn Ids,
    new: &NewRun,
    run: RunId,
    moment: Moment,
    outcome: Outcome,
) -> Result<(), StoreError> {
    let Some(user) = new.initiator.user() else { return Ok(()) };
    let told = Told {
        scope: new.scope.uuid(),
        workspace: new.workspace.uuid(),
        tenant: new.tenant.map(TenantId::uuid),
        run: run.uuid(),
        user: user.uuid(),
        kind: new.kind.as_str(),
    };
    notification_insert(tx, ids, &told, moment, outcome).await
}

/// Whom a notification is for and what it is about.
pub(crate) struct Told<'a> {
    pub(crate) scope: Uuid,
    pub(crate) workspace: Uuid,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) run: Uuid,
    pub(crate) user: Uuid,
    pub(crate) kind: &'a str,
}

/// Writes a notification once: (run, moment) is the key.
pub(crate) async fn notification_insert(
    tx: &mut Tx,
    ids: &dyn Ids,
    told: &Told<'_>,
    moment: Moment,
    outcome: Outcome,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(stmt!(
        NOTIFICATION_INSERT,
        told.scope,
        told.run,
        moment.as_str(),
        NotificationId::next(ids).uuid(),
        told.workspace,
        told.tenant,
        told.user,
        told.kind,
        outcome.as_str(),
        now,
    ))
    .await?;
    Ok(())
}

pub(crate) async fn run_get(
    tx: &mut Tx,
    scope: Uuid,
    id: Uuid,
) -> Result<OperationRun, StoreError> {
    tx.one::<RunRow>(stmt!(RUN_GET, scope, id)).await?.try_into()
}
