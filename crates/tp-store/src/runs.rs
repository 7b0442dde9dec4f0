//! Starting a run: one unit of run, notification, audit entry and job (PRODUCT R-4, R-5; ruling 8).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tp_domain::access::{Capability, MayStart};
use tp_domain::actor::{Initiator, Trigger};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::counts::RunCounts;
use tp_domain::gate::Gate;
use tp_domain::ids::{Ids, NotificationId, RunId, ScopeId, TenantId, UserId, WorkspaceId};
use tp_domain::notification::Moment;
use tp_domain::operation::{IdentityHash, OfTenant, OfWorkspace, OperationKind, OperationRequest};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome, RunState};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::actions::copy_failed;
use crate::audit::audit;
use crate::breaks::break_point;
use crate::db::{Reach, Tx};
use crate::endings::ATTENTION_INSERT;
use crate::error::StoreError;
use crate::queue::Hint;
use crate::run_rows::{RunRow, run_columns};
use crate::scope::TenantScope;
use crate::starts::Answer;
use crate::stmt::{Stmt, Value, stmt};
use crate::workspace::WorkspaceScope;

const RUN_INSERT: &str = "\
INSERT INTO operation_runs (scope_id, id, workspace_id, tenant_id, kind, status, outcome, identity_hash,
                            initiator_id, initiator_name, trigger_kind, inputs, max_attempts, retry_of,
                            parent_id, created_at, origin_hash, authority_id)
VALUES ($1, $2, $3, $4, $5, 'queued', 'pending', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (scope_id, kind, identity_hash) WHERE outcome = 'pending' DO NOTHING
RETURNING id";
// A statement of its own: inside the INSERT its snapshot could be older than the winner (ENGINE §4.2).
const RUN_ACTIVE: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM operation_runs r WHERE r.scope_id = $1 AND r.kind = $2 AND r.identity_hash = $3 \
     AND r.outcome = 'pending'"
);
pub(crate) const RUN_GET: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM operation_runs r WHERE r.scope_id = $1 AND r.id = $2"
);
const JOB_INSERT: &str = "\
INSERT INTO jobs (scope_id, run_id, workspace_id, tenant_id, kind, state, priority, run_at, waits)
VALUES ($1, $2, $3, $4, $5, 'ready', $6, $7, $8)";
const NOTIFY_QUEUED: &str = "SELECT id FROM users WHERE id = $1 AND notify_queued";
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
const KEY_LIFE: Duration = Duration::from_hours(24);

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
    /// The person may do this much, but not start work of this kind.
    #[error("the capability {0} is missing")]
    Forbidden(Capability),
    /// A gate stops this kind.
    #[error("this kind of operation is stopped at present")]
    GateClosed(Box<Gate>),
    /// There is nothing to try again: no such run, it has not ended, or nothing of it failed.
    #[error("{0}")]
    NothingToRetry(&'static str),
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
    pub(crate) retry_of: Option<RunId>,
    pub(crate) parent: Option<RunId>,
    /// How long after now it begins at the earliest.
    pub(crate) delay: Duration,
    /// The identity of the line that it belongs to, where that is not its own.
    pub(crate) origin: Option<String>,
    /// In whose right it runs, where nobody is told of it.
    pub(crate) authority: Option<UserId>,
}

impl NewRun {
    /// A run of these inputs, asked for by that initiator.
    pub(crate) fn new(
        scope: ScopeId,
        workspace: WorkspaceId,
        kind: OperationKind,
        inputs: serde_json::Value,
        initiator: Initiator,
    ) -> Self {
        let tenant = match scope {
            ScopeId::Tenant(tenant) => Some(tenant),
            ScopeId::Workspace(_) => None,
        };
        Self {
            scope,
            workspace,
            tenant,
            kind,
            identity: IdentityHash::of(kind, scope.uuid(), &inputs),
            inputs,
            trigger: initiator.trigger(),
            initiator,
            request_id: None,
            retry_of: None,
            parent: None,
            delay: Duration::ZERO,
            origin: None,
            authority: None,
        }
    }

    /// What rings the workers.
    pub(crate) fn hint(&self) -> Hint {
        Hint {
            priority: self.kind.facts().lane.priority(),
            scope: self.scope.uuid(),
            workspace: self.workspace.uuid(),
        }
    }

    /// The row as it was just written.
    pub(crate) fn queued(&self, id: RunId, now: Timestamp) -> OperationRun {
        OperationRun {
            id,
            workspace: self.workspace,
            tenant: self.tenant,
            kind: self.kind.as_str().to_owned(),
            state: RunState::queued(now),
            reason: None,
            message: None,
            trigger: self.trigger,
            initiator: self.initiator.user(),
            initiator_name: self.initiator.name().to_owned(),
            inputs: self.inputs.clone(),
            counts: RunCounts::default(),
            phase: None,
            waiting: None,
            failures: Vec::new(),
            context: json!({}),
            attempt: 0,
            max_attempts: self.kind.facts().retry.max_attempts,
            parent: self.parent,
            retry_of: self.retry_of,
            cancel_requested_at: None,
            heartbeat_at: None,
            revision: 1,
        }
    }
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    body_hash: String,
    run_id: Uuid,
    created: bool,
}

impl<C: MayStart> TenantScope<C>
where
    C::Request: OperationRequest<Level = OfTenant>,
{
    /// Starts the one kind of work that this scope is for, or finds the equal run that is active.
    ///
    /// A scope entered to look cannot start:
    ///
    /// ```compile_fail,E0599
    /// use tp_domain::access::ViewOperations;
    /// use tp_domain::inventory_sync::SyncInventory;
    /// async fn start(scope: tp_store::TenantScope<ViewOperations>) {
    ///     let _ = scope.run_start(&SyncInventory::everything(), Default::default()).await;
    /// }
    /// ```
    ///
    /// The twin that compiles:
    ///
    /// ```
    /// use tp_domain::access::StartInventorySync;
    /// use tp_domain::inventory_sync::SyncInventory;
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
        let kind = <C::Request as OperationRequest>::KIND;
        let (scope, initiator) = (self.scope_id(), self.actor.initiator());
        let new = NewRun::new(scope, self.tenant.workspace, kind, request.inputs(), initiator);
        run_start(&self.store, new, self.actor.user, how).await
    }
}

impl<C: MayStart> WorkspaceScope<C>
where
    C::Request: OperationRequest<Level = OfWorkspace>,
{
    /// Starts the one kind of work that this scope is for, or finds the equal run that is active.
    pub async fn run_start(
        &self,
        request: &C::Request,
        how: HowStarted,
    ) -> Result<Started, StartRefused> {
        let kind = <C::Request as OperationRequest>::KIND;
        let scope = ScopeId::Workspace(self.workspace);
        let initiator = self.actor.initiator();
        let new = NewRun::new(scope, self.workspace, kind, request.inputs(), initiator);
        run_start(&self.store, new, self.actor.user, how).await
    }
}

/// Starts what a person asked for: the gate, the idempotency key, the unit, the ring.
pub(crate) async fn run_start(
    store: &Store,
    new: NewRun,
    caller: UserId,
    how: HowStarted,
) -> Result<Started, StartRefused> {
    run_start_with(store, new, caller, how, false).await
}

/// The same; with `copies` the new run gets the failed items of the run that it tries again.
pub(crate) async fn run_start_with(
    store: &Store,
    mut new: NewRun,
    caller: UserId,
    how: HowStarted,
    copies: bool,
) -> Result<Started, StartRefused> {
    if let Some(gate) = store.gate_over(new.workspace, new.kind).await? {
        return Err(StartRefused::GateClosed(Box::new(gate)));
    }
    new.request_id = how.request_id;
    let started = match how.idempotency {
        None if !copies => start_alone(store, &new).await?,
        key => {
            let (ids, unit) = (Arc::clone(&store.ids), new.clone());
            store
                .db
                .write(Reach::Scope(new.scope.uuid()), move |tx| {
                    Box::pin(async move {
                        let started = match &key {
                            Some(key) => start_once(tx, &*ids, &unit, caller, key).await?,
                            None => Some(start(tx, &*ids, &unit).await?),
                        };
                        if let (true, Some(Started::Created(run)), Some(old)) =
                            (copies, &started, unit.retry_of)
                        {
                            let scope = unit.scope.uuid();
                            copy_failed(tx, scope, old.uuid(), run.id.uuid()).await?;
                        }
                        break_point!(StartWritten);
                        Ok(started)
                    })
                })
                .await
                .map_err(|error| match error {
                    StoreError::KeyTaken => StartRefused::KeyReused,
                    error => StartRefused::Store(error),
                })?
                .ok_or(StartRefused::KeyReused)?
        }
    };
    break_point!(StartCommitted);
    if matches!(&started, Started::Created(run) if run.is_active()) {
        store.wake.ring(new.hint());
    }
    Ok(started)
}

/// The unit as a commit of its own. When the quick way fails, the careful way finds out why.
pub(crate) async fn start_alone(store: &Store, new: &NewRun) -> Result<Started, StoreError> {
    if let Some(starts) = &store.starts {
        return match starts.start(new).await? {
            Answer::Started(started) => Ok(*started),
            Answer::Alone => start_as(store, new, Way::Careful).await,
        };
    }
    match start_as(store, new, Way::Quick).await {
        Err(StoreError::Driver(_) | StoreError::Conflict(_) | StoreError::Full(_)) => {
            start_as(store, new, Way::Careful).await
        }
        answer => answer,
    }
}

async fn start_as(store: &Store, new: &NewRun, way: Way) -> Result<Started, StoreError> {
    let (ids, unit) = (Arc::clone(&store.ids), new.clone());
    store
        .db
        .write(Reach::Scope(new.scope.uuid()), move |tx| {
            Box::pin(async move {
                let started = start_by(tx, &*ids, &unit, way).await?;
                break_point!(StartWritten);
                Ok(started)
            })
        })
        .await
}

/// Starts under an idempotency key; `None` when the key belongs to another request.
pub(crate) async fn start_once(
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

/// How the unit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All of it at once; any failure fails the transaction.
    Quick,
    /// Run, notification, audit entry, then behind a savepoint the job (ruling 8).
    Careful,
}

/// The unit inside a transaction that holds more.
pub(crate) async fn start(tx: &mut Tx, ids: &dyn Ids, new: &NewRun) -> Result<Started, StoreError> {
    start_by(tx, ids, new, Way::Careful).await
}

async fn start_by(
    tx: &mut Tx,
    ids: &dyn Ids,
    new: &NewRun,
    way: Way,
) -> Result<Started, StoreError> {
    let scope = new.scope.uuid();
    // The active run may end between the refused insert and the look-up; then there is room again.
    for _ in 0..3 {
        let id = RunId::next(ids);
        let now = tx.now();
        let inserted: Option<IdRow> = tx.optional(insert_stmt(id, new, now)).await?;
        if inserted.is_some() {
            match way {
                Way::Quick => {
                    begin_unit(tx, ids, new, id).await?;
                    tx.execute(job_stmt(new, id, now)).await?;
                    return Ok(Started::Created(new.queued(id, now)));
                }
                Way::Careful => {
                    dispatch(tx, ids, new, id).await?;
                    return Ok(Started::Created(run_get(tx, scope, id.uuid()).await?));
                }
            }
        }
        let active = stmt!(RUN_ACTIVE, scope, new.kind.as_str(), new.identity.hex());
        if let Some(run) = tx.optional::<RunRow>(active).await? {
            return Ok(Started::Reused(run.try_into()?));
        }
    }
    Err(StoreError::Schema("an equal run kept starting and ending; try again".to_owned()))
}

fn run_values(id: RunId, new: &NewRun) -> Vec<Value> {
    vec![
        new.scope.uuid().into(),
        id.uuid().into(),
        new.workspace.uuid().into(),
        new.tenant.map(TenantId::uuid).into(),
        new.kind.as_str().into(),
        new.identity.hex().into(),
        new.initiator.user().map(UserId::uuid).into(),
        new.initiator.name().into(),
        new.trigger.as_str().into(),
        new.inputs.to_string().into(),
        new.kind.facts().retry.max_attempts.into(),
        new.retry_of.map(RunId::uuid).into(),
        new.parent.map(RunId::uuid).into(),
    ]
}

fn insert_stmt(id: RunId, new: &NewRun, now: Timestamp) -> Stmt {
    let mut values = run_values(id, new);
    values.push(now.into());
    values.extend([new.origin.clone().into(), new.authority.map(UserId::uuid).into()]);
    Stmt::fixed(RUN_INSERT, values)
}

fn job_stmt(new: &NewRun, id: RunId, now: Timestamp) -> Stmt {
    stmt!(
        JOB_INSERT,
        new.scope.uuid(),
        id.uuid(),
        new.workspace.uuid(),
        new.tenant.map(TenantId::uuid),
        new.kind.as_str(),
        new.kind.facts().lane.priority(),
        now.plus(new.delay),
        !new.delay.is_zero(),
    )
}

pub(crate) fn details(new: &NewRun) -> serde_json::Value {
    json!({"kind": new.kind.as_str(), "inputs": new.inputs})
}

fn started_note(new: &NewRun, id: RunId) -> AuditNote {
    AuditNote {
        actor: new.initiator.clone(),
        action: AuditAction::RunStarted,
        target: ("run", id.to_string()),
        tenant: new.tenant,
        run: Some(id),
        request_id: new.request_id.clone(),
        details: details(new),
    }
}

async fn begin_unit(tx: &mut Tx, ids: &dyn Ids, new: &NewRun, id: RunId) -> Result<(), StoreError> {
    if let Some(user) = new.initiator.user()
        && tx.optional::<IdRow>(stmt!(NOTIFY_QUEUED, user.uuid())).await?.is_some()
    {
        notify(tx, ids, new, id, Moment::Queued, Outcome::Pending).await?;
    }
    audit(tx, ids, new.workspace, &started_note(new, id)).await
}

async fn dispatch(tx: &mut Tx, ids: &dyn Ids, new: &NewRun, id: RunId) -> Result<(), StoreError> {
    begin_unit(tx, ids, new, id).await?;
    tx.raw("SAVEPOINT job").await?;
    let now = tx.now();
    let Err(error) = tx.execute(job_stmt(new, id, now)).await else {
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
        new.origin.clone().unwrap_or_else(|| new.identity.hex().clone()),
        now,
    ))
    .await?;
    notify(tx, ids, new, id, Moment::Ended, Outcome::Failed).await?;
    let note = AuditNote { action: AuditAction::RunDispatchFailed, ..started_note(new, id) };
    audit(tx, ids, new.workspace, &note).await
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
