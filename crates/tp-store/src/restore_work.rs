//! The door to writing: a confirmed plan, and what its run writes down (TRUST P4, T13, T14).
//!
//! A [`ConfirmedPlan`] comes from the claim of a `restore.execute` run and from nowhere else, and only when the
//! restore is confirmed with the same hash, in time, for this run. Each write is written down and committed
//! before it is sent: [`ConfirmedPlan::intent_open`] gives the [`OpenIntent`] without which nothing is sent.

use std::sync::Arc;

use serde_json::json;
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, IntentId, RestoreId, TenantId};
use tp_domain::item::ItemState;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::execute::ExecuteRestore;
use tp_domain::restore::intent::{IntentState, NewIntent, Settled, WriteIntent};
use tp_domain::restore::outcome::{ItemResult, RestoreItem};
use tp_domain::restore::plan::{BodyHash, FrozenPlan, PayloadRef, PlanHash, RestorePlan};
use tp_domain::restore::record::RestoreState;
use tp_domain::restore::warrant::{RecordedIntent, WriteWarrant};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::breaks::break_point;
use crate::claims::{Claimed, ClaimedRun};
use crate::db::Tx;
use crate::error::StoreError;
use crate::items::END;
use crate::progress::Progress;
use crate::restore_rows::{intents_of_item, items_of, locked, plan_of};
use crate::stmt::stmt;

const ENTRA: &str = "SELECT entra_tenant_id FROM tenants WHERE id = $1";
const EXECUTING: &str = "\
UPDATE restores SET state = 'executing', revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND state = 'confirmed'";
const EXPIRED: &str = "\
UPDATE restores SET state = 'expired', revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND state = 'confirmed'";
const ITEM_INSERT: &str = "\
INSERT INTO restore_items (scope_id, restore_id, item_key, workspace_id, tenant_id, run_id, position,
                           policy_type, name, action, graph_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (scope_id, restore_id, item_key) DO NOTHING";
// What a new run does again has no result yet. What was left and kept stays.
const ITEMS_AGAIN: &str = "\
UPDATE restore_items
SET run_id = $3, outcome = NULL, reason = NULL, cause = NULL, half_done = FALSE, step = NULL, differences = '[]',
    graph_request_id = NULL, completed_at = NULL
WHERE scope_id = $1 AND restore_id = $2 AND run_id <> $3
  AND item_key IN (SELECT item_key FROM run_items WHERE scope_id = $1 AND run_id = $3)";
const RESULT: &str = "\
UPDATE restore_items
SET outcome = $4, reason = $5, graph_id = COALESCE($6, graph_id), half_done = $7, step = $8, differences = $9,
    graph_request_id = $10, left_fingerprint = COALESCE($11, left_fingerprint), completed_at = $12, cause = $13
WHERE scope_id = $1 AND restore_id = $2 AND item_key = $3";
const SAFETY: &str = "\
UPDATE restore_items SET safety_id = $4, safety_sha256 = $5
WHERE scope_id = $1 AND restore_id = $2 AND item_key = $3 AND safety_id IS NULL";
const INTENT_INSERT: &str = "\
INSERT INTO write_intents (scope_id, id, restore_id, item_key, workspace_id, tenant_id, run_id, fence, step,
                           step_key, method, path, body_hash, adds, before_fingerprint, object_id, listed,
                           state, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'open', $18)";
const INTENT_SETTLE: &str = "\
UPDATE write_intents
SET state = $3, object_id = COALESCE($4, object_id), reply_lost = reply_lost OR $5,
    approval_code = COALESCE($6, approval_code),
    approval_asked_at = CASE WHEN $6 IS NULL THEN approval_asked_at
                             ELSE COALESCE(approval_asked_at, $8) END,
    graph_request_id = COALESCE($7, graph_request_id), settled_at = $8
WHERE scope_id = $1 AND id = $2 AND state IN ('open', 'parked')";
// An approved write is sent again with its code.
const INTENT_AGAIN: &str = "\
UPDATE write_intents SET state = 'open', settled_at = NULL, sent = sent + 1, fence = $3
WHERE scope_id = $1 AND id = $2 AND state = 'parked'";

#[derive(sqlx::FromRow)]
struct EntraRow {
    entra_tenant_id: Uuid,
}

/// A plan that a person confirmed, in the hands of the run that carries it out.
///
/// It cannot be written by hand, not even around a true plan:
///
/// ```compile_fail,E0451
/// use tp_domain::restore::plan::FrozenPlan;
/// fn by_hand(store: tp_store::Store, plan: FrozenPlan) -> tp_store::ConfirmedPlan {
///     tp_store::ConfirmedPlan {
///         store,
///         plan,
///         claimed: todo!(),
///         restore: todo!(),
///         reason: todo!(),
///         progress: todo!(),
///     }
/// }
/// ```
///
/// The twin that compiles takes it from a claim:
///
/// ```
/// async fn from_a_claim(run: &tp_store::ClaimedRun) -> Option<tp_store::ConfirmedPlan> {
///     run.confirmed_plan().await.ok()?.ok()
/// }
/// ```
#[derive(Debug)]
pub struct ConfirmedPlan {
    store: Store,
    claimed: Claimed,
    restore: RestoreId,
    plan: FrozenPlan,
    reason: String,
    progress: Progress,
}

/// A write that is written down and may be sent. Made by [`ConfirmedPlan::intent_open`] and
/// [`ConfirmedPlan::intent_again`] only.
///
/// ```compile_fail,E0451
/// fn by_hand() -> tp_store::OpenIntent {
///     tp_store::OpenIntent { id: todo!(), method: todo!(), path: todo!(), body_hash: todo!() }
/// }
/// ```
#[derive(Debug)]
pub struct OpenIntent {
    id: IntentId,
    method: String,
    path: String,
    body_hash: Option<BodyHash>,
}

impl OpenIntent {
    /// Its id.
    pub const fn intent(&self) -> IntentId {
        self.id
    }
}

impl RecordedIntent for OpenIntent {
    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn body_hash(&self) -> Option<&BodyHash> {
        self.body_hash.as_ref()
    }
}

impl WriteWarrant for ConfirmedPlan {
    fn entra_tenant_id(&self) -> Uuid {
        self.plan.plan().entra_tenant_id
    }

    fn reason(&self) -> &str {
        &self.reason
    }
}

impl ClaimedRun {
    /// The plan that this run carries out, if it is confirmed. Writes down that the run has begun, and the
    /// plan's items.
    ///
    /// An error of the inner result is why it may not begin: the plan is too old, or what is stored does not
    /// fit together.
    pub async fn confirmed_plan(&self) -> Result<Result<ConfirmedPlan, ReasonCode>, StoreError> {
        let asked = (self.kind(), ExecuteRestore::parse(self.inputs()));
        let (OperationKind::RestoreExecute, Ok(request)) = asked else {
            return Ok(Err(ReasonCode::InternalError));
        };
        self.records();
        let (claimed, restore) = (self.claimed, request.restore);
        let begun = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move { begin(tx, claimed, request).await })
            })
            .await?;
        Ok(begun.map(|(plan, reason)| ConfirmedPlan {
            store: self.store.clone(),
            claimed,
            restore,
            plan,
            reason,
            progress: self.progress().clone(),
        }))
    }
}

async fn begin(
    tx: &mut Tx,
    claimed: Claimed,
    request: ExecuteRestore,
) -> Result<Result<(FrozenPlan, String), ReasonCode>, StoreError> {
    claimed.check(tx).await?;
    let (scope, restore, now) = (claimed.scope, request.restore.uuid(), tx.now());
    let Some(record) = locked(tx, scope, restore).await? else {
        return Ok(Err(ReasonCode::InternalError));
    };
    let (hash, expires_at, reason) = match (record.plan, record.reason) {
        (Some((hash, expires_at)), Some(reason)) if hash == request.plan_hash => {
            (hash, expires_at, reason)
        }
        _ => return Ok(Err(ReasonCode::PlanExpired)),
    };
    if record.run != Some(claimed.run) {
        return Ok(Err(ReasonCode::PlanExpired));
    }
    match record.state {
        RestoreState::Executing => {}
        // Until it begins, its age counts; then it goes on to its end.
        RestoreState::Confirmed if now <= expires_at => {
            tx.execute(stmt!(EXECUTING, scope, restore)).await?;
        }
        RestoreState::Confirmed => {
            tx.execute(stmt!(EXPIRED, scope, restore)).await?;
            return Ok(Err(ReasonCode::PlanExpired));
        }
        _ => return Ok(Err(ReasonCode::PlanExpired)),
    }
    let plan = plan_of(tx, scope, restore, &hash, expires_at).await?;
    let tenant = claimed.tenant.map(TenantId::uuid);
    let entra: Option<EntraRow> = tx.optional(stmt!(ENTRA, tenant)).await?;
    if entra.is_none_or(|row| row.entra_tenant_id != plan.plan().entra_tenant_id) {
        return Ok(Err(ReasonCode::TenantMismatch));
    }
    for (position, node) in (0_i64..).zip(plan.plan().writes()) {
        tx.execute(stmt!(
            ITEM_INSERT,
            scope,
            restore,
            &node.key,
            claimed.workspace.uuid(),
            tenant,
            claimed.run.uuid(),
            position,
            node.policy_type.as_str(),
            node.name.as_deref(),
            node.action.as_str(),
            node.base.as_ref().map(|base| base.graph_id.as_str()),
        ))
        .await?;
    }
    tx.execute(stmt!(ITEMS_AGAIN, scope, restore, claimed.run.uuid())).await?;
    Ok(Ok((plan, reason)))
}

impl ConfirmedPlan {
    /// What is to be done.
    pub const fn plan(&self) -> &RestorePlan {
        self.plan.plan()
    }

    /// The hash that was confirmed.
    pub const fn hash(&self) -> &PlanHash {
        self.plan.hash()
    }

    /// The restore that it belongs to.
    pub const fn restore(&self) -> RestoreId {
        self.restore
    }

    /// Where the claim stands.
    pub const fn claimed(&self) -> Claimed {
        self.claimed
    }

    /// How each item stands, in the order of work.
    pub async fn items(&self) -> Result<Vec<RestoreItem>, StoreError> {
        let (scope, restore) = (self.claimed.scope, self.restore.uuid());
        let reach = self.claimed.reach();
        let read = self
            .store
            .db
            .read(reach, |tx| Box::pin(async move { items_of(tx, scope, restore).await }));
        read.await
    }

    /// Each write of an item so far, in the order in which they were written down.
    pub async fn intents(&self, item: &str) -> Result<Vec<WriteIntent>, StoreError> {
        let (scope, restore) = (self.claimed.scope, self.restore.uuid());
        let (reach, item) = (self.claimed.reach(), item.to_owned());
        let read = self.store.db.read(reach, |tx| {
            Box::pin(async move { intents_of_item(tx, scope, restore, &item).await })
        });
        read.await
    }

    /// Writes a write down. When this returns, it is committed: now it may be sent. An object that has a
    /// write in flight gets no second one.
    pub async fn intent_open(&self, item: &str, new: NewIntent) -> Result<OpenIntent, StoreError> {
        let id = IntentId::next(&*self.store.ids);
        let open = OpenIntent {
            id,
            method: new.method.clone(),
            path: new.path.clone(),
            body_hash: new.body_hash.clone(),
        };
        let (claimed, restore, item) = (self.claimed, self.restore.uuid(), item.to_owned());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let now = tx.now();
                    tx.execute(stmt!(
                        INTENT_INSERT,
                        claimed.scope,
                        id.uuid(),
                        restore,
                        item,
                        claimed.workspace.uuid(),
                        claimed.tenant.map(TenantId::uuid),
                        claimed.run.uuid(),
                        claimed.fence,
                        new.step,
                        new.step_key,
                        new.method,
                        new.path,
                        new.body_hash.as_ref().map(BodyHash::as_str),
                        new.adds,
                        new.before.map(|before| before.as_str().to_owned()),
                        new.object_id,
                        json!(new.listed).to_string(),
                        now,
                    ))
                    .await?;
                    Ok(())
                })
            })
            .await?;
        break_point!(IntentCommitted);
        Ok(open)
    }

    /// Writes down that an approved write is sent again, with its code.
    pub async fn intent_again(&self, intent: &WriteIntent) -> Result<OpenIntent, StoreError> {
        let (claimed, id) = (self.claimed, intent.id);
        let changed = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    tx.execute(stmt!(INTENT_AGAIN, claimed.scope, id.uuid(), claimed.fence)).await
                })
            })
            .await?;
        if changed != 1 {
            return Err(StoreError::Schema("a write that does not wait cannot be sent".to_owned()));
        }
        break_point!(IntentCommitted);
        let asked = &intent.asked;
        Ok(OpenIntent {
            id,
            method: asked.method.clone(),
            path: asked.path.clone(),
            body_hash: asked.body_hash.clone(),
        })
    }

    /// Writes down what came of a write.
    pub async fn intent_settle(
        &self,
        intent: IntentId,
        state: IntentState,
        settled: Settled,
    ) -> Result<(), StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let now: Timestamp = tx.now();
                    let changed = tx
                        .execute(stmt!(
                            INTENT_SETTLE,
                            claimed.scope,
                            intent.uuid(),
                            state.as_str(),
                            settled.object_id,
                            settled.reply_lost,
                            settled.approval_code,
                            settled.graph_request_id,
                            now,
                        ))
                        .await?;
                    Ok(changed)
                })
            })
            .await?;
        break_point!(SettledCommitted);
        Ok(())
    }

    /// Writes down where an object is kept as it was. The first time counts: what comes later may be ours.
    pub async fn item_kept(&self, item: &str, at: &PayloadRef) -> Result<(), StoreError> {
        let (claimed, restore) = (self.claimed, self.restore.uuid());
        let stmt = stmt!(SAFETY, claimed.scope, restore, item, &at.id, &at.sha256);
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

    /// Writes down what came of an item: its result, the run's item and the audit entry are one unit. One
    /// that waits for approval stays open.
    pub async fn item_result(&self, item: &str, result: ItemResult) -> Result<(), StoreError> {
        let (claimed, restore, item) = (self.claimed, self.restore, item.to_owned());
        let (ids, state) = (Arc::clone(&self.store.ids), result.outcome.state());
        let ended = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let ended = end_item(tx, &*ids, claimed, restore, &item, result).await?;
                    Ok(ended)
                })
            })
            .await?;
        break_point!(ResultCommitted);
        if ended {
            match state {
                ItemState::Succeeded => self.progress.add(1, 0, 0),
                ItemState::Failed => self.progress.add(0, 1, 0),
                ItemState::Skipped => self.progress.add(0, 0, 1),
                ItemState::Pending | ItemState::Running => {}
            }
        }
        Ok(())
    }
}

async fn end_item(
    tx: &mut Tx,
    ids: &dyn Ids,
    claimed: Claimed,
    restore: RestoreId,
    item: &str,
    result: ItemResult,
) -> Result<bool, StoreError> {
    let now = tx.now();
    let is_over = result.outcome.is_over();
    let reason = result.reason.map(ReasonCode::as_str);
    tx.execute(stmt!(
        RESULT,
        claimed.scope,
        restore.uuid(),
        item,
        result.outcome.as_str(),
        reason,
        result.graph_id.clone(),
        result.half_done,
        result.step.clone(),
        json!(result.differences).to_string(),
        result.graph_request_id.clone(),
        result.left.as_ref().map(|left| left.as_str().to_owned()),
        is_over.then_some(now),
        result.cause.map(ReasonCode::as_str),
    ))
    .await?;
    if !is_over {
        return Ok(false);
    }
    let (scope, run) = (claimed.scope, claimed.run.uuid());
    let state = result.outcome.state().as_str();
    let id = result.graph_request_id.clone();
    let ended = tx.execute(stmt!(END, scope, run, item, state, reason, id, now)).await?;
    if ended == 1 {
        let note = AuditNote {
            actor: Initiator::System,
            action: AuditAction::RestoreItemEnded,
            target: ("restore", restore.to_string()),
            tenant: claimed.tenant,
            run: Some(claimed.run),
            request_id: None,
            details: json!({
                "item": item, "outcome": result.outcome.as_str(), "reason": reason,
                "graph_id": result.graph_id, "half_done": result.half_done,
            }),
        };
        audit(tx, ids, claimed.workspace, &note).await?;
    }
    Ok(ended == 1)
}
