//! What people do with a restore: begin it, freeze its plan, confirm, agree, give up, try again.
//!
//! A confirm makes the run in one unit with the record, so that a plan has one run however often it is
//! confirmed (PRODUCT R-3, ruling 12). Nothing else makes a run of this kind.

use std::sync::Arc;

use serde_json::{Value, json};
use tp_domain::access::{ApproveRestore, ExecuteRestores, PreviewRestore};
use tp_domain::actor::{Initiator, Trigger};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::gate::Gate;
use tp_domain::ids::{Ids, RestoreId, RunId, UserId};
use tp_domain::operation::{IdentityHash, OperationKind, OperationRequest};
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::execute::ExecuteRestore;
use tp_domain::restore::plan::{FrozenPlan, PlanHash, RestorePlan};
use tp_domain::restore::record::{LONGEST_REASON, RestoreRecord, RestoreState};
use tp_domain::run::RunStatus;
use tp_domain::tenant::{Tenant, TenantStatus};
use tp_domain::time::Timestamp;

use crate::actions::copy_failed;
use crate::audit::audit;
use crate::breaks::break_point;
use crate::db::Tx;
use crate::error::StoreError;
use crate::restore_rows::{locked, plan_of};
use crate::run_rows::RunRow;
use crate::runs::{HowStarted, NewRun, RUN_GET, Started, start, start_once};
use crate::scope::TenantScope;
use crate::stmt::stmt;

const INSERT: &str = "\
INSERT INTO restores (scope_id, id, workspace_id, tenant_id, state, second_approver, created_by,
                      created_name, created_at, draft)
VALUES ($1, $2, $3, $4, 'draft', $5, $6, $7, $8, $9)";
const PLAN_INSERT: &str = "\
INSERT INTO restore_plans (scope_id, restore_id, plan_hash, workspace_id, tenant_id, bytes, frozen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (scope_id, restore_id, plan_hash) DO NOTHING";
// A new plan has not been agreed to by anybody.
const FROZEN: &str = "\
UPDATE restores
SET state = 'previewed', plan_hash = $3, plan_expires_at = $4, reason = NULL,
    confirmed_by = NULL, confirmed_name = NULL, confirmed_at = NULL, revision = revision + 1
WHERE scope_id = $1 AND id = $2";
const PREVIEW_UNSET: &str = "\
UPDATE restores SET preview_address = NULL, preview_run_id = NULL WHERE scope_id = $1 AND id = $2";
const STATE_SET: &str =
    "UPDATE restores SET state = $3, revision = revision + 1 WHERE scope_id = $1 AND id = $2";
const CONFIRMED: &str = "\
UPDATE restores
SET reason = $3, confirmed_by = $4, confirmed_name = $5, confirmed_at = $6, revision = revision + 1
WHERE scope_id = $1 AND id = $2";
const APPROVED: &str = "\
UPDATE restores SET approved_by = $3, approved_name = $4, approved_at = $5, revision = revision + 1
WHERE scope_id = $1 AND id = $2";
const RUN_SET: &str = "\
UPDATE restores SET state = 'confirmed', run_id = $3, revision = revision + 1
WHERE scope_id = $1 AND id = $2";
const FAILED_ITEMS: &str = "\
SELECT count(*) AS n FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'failed'";

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

/// What a person says when they confirm a plan.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// The plan that they saw.
    pub plan_hash: PlanHash,
    /// The tenant's domain, as they typed it.
    pub typed_domain: String,
    /// Why, 1 to 900 characters. Microsoft's approvers read it.
    pub reason: String,
}

/// What a confirm led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmed {
    /// A run. The same for each confirm of the same plan.
    Run(Box<Started>),
    /// A second person must agree first.
    AwaitsApprover,
}

/// Why a restore was not confirmed, agreed to, given up or tried again. Nothing was changed, except that a
/// plan that is too old is noted as such.
#[derive(Debug, thiserror::Error)]
pub enum RestoreRefused {
    /// There is no such restore here.
    #[error("not found")]
    NotFound,
    /// It is in a state from which this does not follow.
    #[error("the restore is {0}")]
    WrongState(RestoreState),
    /// The plan is another one by now.
    #[error("the plan is not the one that was seen")]
    PlanChanged,
    /// The plan is older than thirty minutes.
    #[error("the plan has expired")]
    PlanExpired,
    /// Something stands in the way of so many objects.
    #[error("{0} objects are blocked")]
    Blockers(usize),
    /// The plan writes nothing.
    #[error("the plan writes nothing")]
    NothingToDo,
    /// The plan is for another tenant, or cannot be carried out.
    #[error("the plan cannot be carried out: {0}")]
    BadPlan(String),
    /// What was typed is not the tenant's domain.
    #[error("the typed domain is not the tenant's")]
    WrongDomain,
    /// There is no reason, or it is too long.
    #[error("a reason has 1 to 900 characters")]
    BadReason,
    /// Whoever confirmed it cannot be the second person.
    #[error("the second person must be another one")]
    SamePerson,
    /// The tenant is disabled.
    #[error("the tenant is disabled")]
    TenantDisabled,
    /// A gate stops restores.
    #[error("restores are stopped at present")]
    GateClosed(Box<Gate>),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database did not answer; nothing was written.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for RestoreRefused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::KeyTaken => Self::KeyReused,
            error => Self::Store(error),
        }
    }
}

type Answer<T> = Result<T, RestoreRefused>;

/// Who acts in which tenant: what each unit here needs.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) tenant: Tenant,
    pub(crate) user: UserId,
    pub(crate) initiator: Initiator,
    pub(crate) id: RestoreId,
    pub(crate) request_id: Option<String>,
}

impl Act {
    fn note(&self, action: AuditAction, run: Option<RunId>, details: Value) -> AuditNote {
        AuditNote {
            actor: self.initiator.clone(),
            action,
            target: ("restore", self.id.to_string()),
            tenant: Some(self.tenant.id),
            run,
            request_id: self.request_id.clone(),
            details,
        }
    }

    async fn audit(
        &self,
        tx: &mut Tx,
        ids: &dyn Ids,
        action: AuditAction,
        run: Option<RunId>,
        details: Value,
    ) -> Result<(), StoreError> {
        audit(tx, ids, self.tenant.workspace, &self.note(action, run, details)).await
    }

    async fn set(&self, tx: &mut Tx, state: RestoreState) -> Result<(), StoreError> {
        let (scope, id) = (self.tenant.id.uuid(), self.id.uuid());
        tx.execute(stmt!(STATE_SET, scope, id, state.as_str())).await.map(drop)
    }
}

impl<C> TenantScope<C> {
    fn act(&self, id: RestoreId, request_id: Option<String>) -> Act {
        let (user, initiator) = (self.actor.user, self.actor.initiator());
        Act { tenant: self.tenant.clone(), user, initiator, id, request_id }
    }

    /// A gate that stops restores, or a tenant that is disabled.
    async fn may_restore(&self) -> Answer<()> {
        if self.tenant.status != TenantStatus::Active {
            return Err(RestoreRefused::TenantDisabled);
        }
        let kind = OperationKind::RestoreExecute;
        match self.store.gate_over(self.tenant.workspace, kind).await? {
            Some(gate) => Err(RestoreRefused::GateClosed(Box::new(gate))),
            None => Ok(()),
        }
    }

    fn ring(&self, run: &Started) {
        if let Started::Created(run) = run
            && run.is_active()
        {
            let (scope, workspace) = (self.scope_id().uuid(), self.tenant.workspace.uuid());
            let priority = OperationKind::RestoreExecute.facts().lane.priority();
            self.store.wake.ring(crate::queue::Hint { priority, scope, workspace });
        }
    }
}

impl TenantScope<PreviewRestore> {
    /// Begins a restore: a draft without a plan.
    pub async fn restore_create(
        &self,
        draft: &RestoreDraft,
        request_id: Option<String>,
    ) -> Result<RestoreId, StoreError> {
        let id = RestoreId::next(&*self.store.ids);
        let (act, ids) = (self.act(id, request_id), Arc::clone(&self.store.ids));
        let (name, second_approver) = (self.actor.name.clone(), draft.second_approver);
        let draft = draft.json();
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    tx.execute(stmt!(
                        INSERT,
                        act.tenant.id.uuid(),
                        id.uuid(),
                        act.tenant.workspace.uuid(),
                        act.tenant.id.uuid(),
                        second_approver,
                        act.user.uuid(),
                        name,
                        now,
                        draft.to_string(),
                    ))
                    .await?;
                    let details = json!({ "draft": draft });
                    act.audit(tx, &*ids, AuditAction::RestoreCreated, None, details).await
                })
            })
            .await?;
        Ok(id)
    }

    /// Freezes a plan for a restore that is not confirmed yet. A plan that was there is not the restore's any
    /// more, whoever has looked at it.
    pub async fn restore_freeze(
        &self,
        id: RestoreId,
        plan: RestorePlan,
        request_id: Option<String>,
    ) -> Result<FrozenPlan, RestoreRefused> {
        if plan.entra_tenant_id != self.tenant.entra_tenant_id {
            return Err(RestoreRefused::BadPlan("it is for another tenant".to_owned()));
        }
        let (act, ids) = (self.act(id, request_id), Arc::clone(&self.store.ids));
        let frozen: Answer<FrozenPlan> = self
            .store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move { freeze(tx, &*ids, &act, plan).await })
            })
            .await?;
        frozen
    }

    /// Gives a restore up that is not confirmed.
    pub async fn restore_discard(
        &self,
        id: RestoreId,
        request_id: Option<String>,
    ) -> Result<(), RestoreRefused> {
        let (act, ids) = (self.act(id, request_id), Arc::clone(&self.store.ids));
        let done: Answer<()> = self
            .store
            .db
            .write(self.reach(), move |tx| Box::pin(async move { discard(tx, &*ids, &act).await }))
            .await?;
        done
    }
}

pub(crate) async fn freeze(
    tx: &mut Tx,
    ids: &dyn Ids,
    act: &Act,
    plan: RestorePlan,
) -> Result<Answer<FrozenPlan>, StoreError> {
    let (scope, id, now) = (act.tenant.id.uuid(), act.id.uuid(), tx.now());
    let Some(record) = locked(tx, scope, id).await? else {
        return Ok(Err(RestoreRefused::NotFound));
    };
    if !record.state.may_become(RestoreState::Previewed) {
        return Ok(Err(RestoreRefused::WrongState(record.state)));
    }
    let frozen = match plan.freeze(now) {
        Ok(frozen) => frozen,
        Err(bad) => return Ok(Err(RestoreRefused::BadPlan(bad.0))),
    };
    let (hash, expires_at) = (frozen.hash().as_str(), frozen.expires_at());
    let workspace = act.tenant.workspace.uuid();
    let bytes = frozen.bytes().to_vec();
    tx.execute(stmt!(PLAN_INSERT, scope, id, hash, workspace, scope, bytes, now)).await?;
    tx.execute(stmt!(FROZEN, scope, id, hash, expires_at)).await?;
    // What an earlier preview showed is not of this plan.
    tx.execute(stmt!(PREVIEW_UNSET, scope, id)).await?;
    let details = json!({"plan_hash": hash, "nodes": frozen.plan().actions()});
    act.audit(tx, ids, AuditAction::RestorePlanFrozen, None, details).await?;
    Ok(Ok(frozen))
}

async fn discard(tx: &mut Tx, ids: &dyn Ids, act: &Act) -> Result<Answer<()>, StoreError> {
    let Some(record) = locked(tx, act.tenant.id.uuid(), act.id.uuid()).await? else {
        return Ok(Err(RestoreRefused::NotFound));
    };
    if !record.state.may_become(RestoreState::Discarded) {
        return Ok(Err(RestoreRefused::WrongState(record.state)));
    }
    act.set(tx, RestoreState::Discarded).await?;
    act.audit(tx, ids, AuditAction::RestoreDiscarded, None, json!({})).await?;
    Ok(Ok(()))
}

impl TenantScope<ExecuteRestores> {
    /// Confirms the plan that a person saw: its hash, its age, their typing and their reason are checked
    /// (ruling 23). The run and the record are one unit, and a second confirm of the same plan gives the
    /// run of the first.
    pub async fn restore_confirm(
        &self,
        id: RestoreId,
        confirm: Confirm,
        how: HowStarted,
    ) -> Result<Confirmed, RestoreRefused> {
        let reason = confirm.reason.trim().to_owned();
        if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
            return Err(RestoreRefused::BadReason);
        }
        let entra = self.tenant.entra_tenant_id.to_string();
        let domain = self.tenant.domain.as_deref().unwrap_or(&entra);
        if !confirm.typed_domain.trim().eq_ignore_ascii_case(domain) {
            return Err(RestoreRefused::WrongDomain);
        }
        self.may_restore().await?;
        let act = self.act(id, how.request_id.clone());
        let (ids, name) = (Arc::clone(&self.store.ids), self.actor.name.clone());
        let confirmed: Answer<Confirmed> = self
            .store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let asked = Asked { hash: &confirm.plan_hash, reason: &reason, name: &name };
                    let answer = confirm_plan(tx, &*ids, &act, asked, &how).await?;
                    break_point!(StartWritten);
                    Ok(answer)
                })
            })
            .await?;
        break_point!(StartCommitted);
        let confirmed = confirmed?;
        if let Confirmed::Run(started) = &confirmed {
            self.ring(started);
        }
        Ok(confirmed)
    }

    /// Starts a new run for what failed of a restore whose run has ended, by the same plan and within its
    /// thirty minutes. What changed meanwhile is refused by the run.
    pub async fn restore_retry(
        &self,
        id: RestoreId,
        how: HowStarted,
    ) -> Result<Started, RestoreRefused> {
        self.may_restore().await?;
        let act = self.act(id, how.request_id.clone());
        let ids = Arc::clone(&self.store.ids);
        let started: Answer<Started> = self
            .store
            .db
            .write(self.reach(), move |tx| Box::pin(async move { retry(tx, &*ids, &act).await }))
            .await?;
        let started = started?;
        self.ring(&started);
        Ok(started)
    }
}

/// What a confirm says.
struct Asked<'a> {
    hash: &'a PlanHash,
    reason: &'a str,
    name: &'a str,
}

async fn confirm_plan(
    tx: &mut Tx,
    ids: &dyn Ids,
    act: &Act,
    asked: Asked<'_>,
    how: &HowStarted,
) -> Result<Answer<Confirmed>, StoreError> {
    let (scope, id, now) = (act.tenant.id.uuid(), act.id.uuid(), tx.now());
    let Some(record) = locked(tx, scope, id).await? else {
        return Ok(Err(RestoreRefused::NotFound));
    };
    let same = record.plan.as_ref().is_some_and(|(hash, _)| hash == asked.hash);
    match record.state {
        RestoreState::Previewed => {}
        RestoreState::Confirmed | RestoreState::Executing | RestoreState::Done if same => {
            return Ok(started_before(tx, scope, &record).await?.map(Confirmed::Run));
        }
        RestoreState::AwaitingSecondApprover if same => return Ok(Ok(Confirmed::AwaitsApprover)),
        state => return Ok(Err(RestoreRefused::WrongState(state))),
    }
    let plan = match good_plan(tx, act, &record, asked.hash, now).await? {
        Ok(plan) => plan,
        Err(refused) => return Ok(Err(refused)),
    };
    tx.execute(stmt!(CONFIRMED, scope, id, asked.reason, act.user.uuid(), asked.name, now)).await?;
    let details = json!({
        "plan_hash": asked.hash.as_str(), "reason": asked.reason, "nodes": plan.plan().actions(),
    });
    if record.second_approver {
        act.set(tx, RestoreState::AwaitingSecondApprover).await?;
        act.audit(tx, ids, AuditAction::RestoreConfirmed, None, details).await?;
        return Ok(Ok(Confirmed::AwaitsApprover));
    }
    let new = new_run(act, asked.hash, act.initiator.clone());
    let started = match &how.idempotency {
        None => start(tx, ids, &new).await?,
        Some(key) => match start_once(tx, ids, &new, act.user, key).await? {
            Some(started) => started,
            // What was begun here must not stay, so the unit fails as a whole.
            None => return Err(StoreError::KeyTaken),
        },
    };
    begun(tx, act, &started).await?;
    let run = Some(started.run().id);
    act.audit(tx, ids, AuditAction::RestoreConfirmed, run, details).await?;
    Ok(Ok(Confirmed::Run(Box::new(started))))
}

/// The plan of the record, if it is that one, in time, and can be carried out.
async fn good_plan(
    tx: &mut Tx,
    act: &Act,
    record: &RestoreRecord,
    hash: &PlanHash,
    now: Timestamp,
) -> Result<Answer<FrozenPlan>, StoreError> {
    let Some((own, expires_at)) = &record.plan else {
        return Ok(Err(RestoreRefused::WrongState(record.state)));
    };
    if own != hash {
        return Ok(Err(RestoreRefused::PlanChanged));
    }
    if now > *expires_at {
        act.set(tx, RestoreState::Expired).await?;
        return Ok(Err(RestoreRefused::PlanExpired));
    }
    let plan = plan_of(tx, act.tenant.id.uuid(), act.id.uuid(), own, *expires_at).await?;
    let blocked = plan.plan().nodes.iter().filter(|node| node.action.blocker().is_some()).count();
    if blocked > 0 {
        return Ok(Err(RestoreRefused::Blockers(blocked)));
    }
    if plan.plan().writes().next().is_none() {
        return Ok(Err(RestoreRefused::NothingToDo));
    }
    Ok(Ok(plan))
}

/// A run of the plan. Its identity is the plan, never the person (PRODUCT R-3).
fn new_run(act: &Act, hash: &PlanHash, initiator: Initiator) -> NewRun {
    let request = ExecuteRestore { restore: act.id, plan_hash: hash.clone() };
    let scope = tp_domain::ids::ScopeId::Tenant(act.tenant.id);
    let workspace = act.tenant.workspace;
    let mut new = NewRun::new(scope, workspace, ExecuteRestore::KIND, request.inputs(), initiator);
    new.request_id.clone_from(&act.request_id);
    new
}

/// Notes the run in the record. A run that could not be queued has ended: the plan can be confirmed again.
async fn begun(tx: &mut Tx, act: &Act, started: &Started) -> Result<(), StoreError> {
    let (scope, id) = (act.tenant.id.uuid(), act.id.uuid());
    if started.run().is_active() {
        tx.execute(stmt!(RUN_SET, scope, id, started.run().id.uuid())).await?;
    }
    Ok(())
}

async fn started_before(
    tx: &mut Tx,
    scope: uuid::Uuid,
    record: &RestoreRecord,
) -> Result<Answer<Box<Started>>, StoreError> {
    let Some(run) = record.run else { return Ok(Err(RestoreRefused::WrongState(record.state))) };
    let row: Option<RunRow> = tx.optional(stmt!(RUN_GET, scope, run.uuid())).await?;
    match row {
        Some(row) => Ok(Ok(Box::new(Started::Reused(row.try_into()?)))),
        // Its run was pruned: it is over for long.
        None => Ok(Err(RestoreRefused::WrongState(record.state))),
    }
}

async fn retry(tx: &mut Tx, ids: &dyn Ids, act: &Act) -> Result<Answer<Started>, StoreError> {
    let (scope, id, now) = (act.tenant.id.uuid(), act.id.uuid(), tx.now());
    let Some(record) = locked(tx, scope, id).await? else {
        return Ok(Err(RestoreRefused::NotFound));
    };
    let old = match started_before(tx, scope, &record).await? {
        Ok(started) => started.run().clone(),
        Err(refused) => return Ok(Err(refused)),
    };
    if old.state.status() != RunStatus::Completed {
        // A second click finds the run of the first.
        return Ok(match old.retry_of {
            Some(_) => Ok(Started::Reused(old)),
            None => Err(RestoreRefused::WrongState(record.state)),
        });
    }
    let Some((hash, expires_at)) = record.plan else {
        return Ok(Err(RestoreRefused::WrongState(record.state)));
    };
    if now > expires_at {
        return Ok(Err(RestoreRefused::PlanExpired));
    }
    let failed: CountRow = tx.one(stmt!(FAILED_ITEMS, scope, old.id.uuid())).await?;
    if failed.n == 0 {
        return Ok(Err(RestoreRefused::NothingToDo));
    }
    let mut new = new_run(act, &hash, act.initiator.clone());
    let identity = json!({"inputs": new.inputs, "retry_of": old.id.to_string()});
    new.identity = IdentityHash::of(new.kind, scope, &identity);
    new.trigger = Trigger::Retry;
    new.retry_of = Some(old.id);
    let started = start(tx, ids, &new).await?;
    if let Started::Created(run) = &started {
        copy_failed(tx, scope, old.id.uuid(), run.id.uuid()).await?;
    }
    begun(tx, act, &started).await?;
    let details = json!({"retry_of": old.id.to_string(), "items": failed.n});
    let run = Some(started.run().id);
    act.audit(tx, ids, AuditAction::RestoreRetried, run, details).await?;
    Ok(Ok(started))
}

impl TenantScope<ApproveRestore> {
    /// The second person agrees to what the first has confirmed: the run is made. It is in the right of the
    /// first, who is told of it.
    pub async fn restore_approve(
        &self,
        id: RestoreId,
        plan_hash: PlanHash,
        request_id: Option<String>,
    ) -> Result<Started, RestoreRefused> {
        self.may_restore().await?;
        let act = self.act(id, request_id);
        let (ids, name) = (Arc::clone(&self.store.ids), self.actor.name.clone());
        let started: Answer<Started> = self
            .store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move { approve(tx, &*ids, &act, &plan_hash, &name).await })
            })
            .await?;
        let started = started?;
        self.ring(&started);
        Ok(started)
    }

    /// The second person says no.
    pub async fn restore_refuse(
        &self,
        id: RestoreId,
        request_id: Option<String>,
    ) -> Result<(), RestoreRefused> {
        let (act, ids) = (self.act(id, request_id), Arc::clone(&self.store.ids));
        let done: Answer<()> = self
            .store
            .db
            .write(self.reach(), move |tx| Box::pin(async move { discard(tx, &*ids, &act).await }))
            .await?;
        done
    }
}

async fn approve(
    tx: &mut Tx,
    ids: &dyn Ids,
    act: &Act,
    hash: &PlanHash,
    name: &str,
) -> Result<Answer<Started>, StoreError> {
    let (scope, id, now) = (act.tenant.id.uuid(), act.id.uuid(), tx.now());
    let Some(record) = locked(tx, scope, id).await? else {
        return Ok(Err(RestoreRefused::NotFound));
    };
    let same = record.plan.as_ref().is_some_and(|(own, _)| own == hash);
    if record.approved.is_some() && same {
        return Ok(started_before(tx, scope, &record).await?.map(|started| *started));
    }
    let first = match (record.state, &record.confirmed) {
        (RestoreState::AwaitingSecondApprover, Some(first)) => first,
        (state, _) => return Ok(Err(RestoreRefused::WrongState(state))),
    };
    if first.id == act.user.uuid() {
        return Ok(Err(RestoreRefused::SamePerson));
    }
    if let Err(refused) = good_plan(tx, act, &record, hash, now).await? {
        return Ok(Err(refused));
    }
    let initiator = Initiator::User { id: UserId::from_uuid(first.id), name: first.name.clone() };
    let started = start(tx, ids, &new_run(act, hash, initiator)).await?;
    if started.run().is_active() {
        tx.execute(stmt!(APPROVED, scope, id, act.user.uuid(), name, now)).await?;
    }
    begun(tx, act, &started).await?;
    let details = json!({"plan_hash": hash.as_str()});
    act.audit(tx, ids, AuditAction::RestoreApproved, Some(started.run().id), details).await?;
    Ok(Ok(started))
}
