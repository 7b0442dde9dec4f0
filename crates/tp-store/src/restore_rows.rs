//! Restores as they are read.

use tp_domain::ids::{IntentId, RestoreId, RunId};
use tp_domain::payload::PayloadAddress;
use tp_domain::policy::PolicyType;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::intent::{NewIntent, WriteIntent};
use tp_domain::restore::outcome::{ItemResult, RestoreItem};
use tp_domain::restore::plan::{FrozenPlan, PayloadRef, PlanHash};
use tp_domain::restore::record::{RestoreRecord, Who};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::db::{Dialect, Tx};
use crate::error::StoreError;
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::bad_row;

/// The columns of a restore. A run that has ended, however it did, ends its restore.
macro_rules! restore_columns {
    () => {
        "r.id, CASE WHEN r.state IN ('confirmed', 'executing') AND NOT EXISTS ( \
           SELECT 1 FROM operation_runs o WHERE o.scope_id = r.scope_id AND o.id = r.run_id \
           AND o.outcome = 'pending') THEN 'done' ELSE r.state END AS state, \
         r.second_approver, r.reason, r.created_by, r.created_name, r.created_at, r.plan_hash, \
         r.plan_expires_at, r.confirmed_by, r.confirmed_name, r.confirmed_at, r.approved_by, \
         r.approved_name, r.approved_at, r.run_id, r.revision, r.draft, r.preview_address, \
         r.preview_run_id"
    };
}

const GET: &str =
    concat!("SELECT ", restore_columns!(), " FROM restores r WHERE r.scope_id = $1 AND r.id = $2");
const GET_LOCKED: &str = concat!(
    "SELECT ",
    restore_columns!(),
    " FROM restores r WHERE r.scope_id = $1 AND r.id = $2 FOR UPDATE OF r"
);
const LIST: &str = concat!(
    "SELECT ",
    restore_columns!(),
    " FROM restores r WHERE r.scope_id = $1 ORDER BY r.created_at DESC, r.id DESC LIMIT 100"
);
const PLAN_GET: &str = "\
SELECT bytes FROM restore_plans WHERE scope_id = $1 AND restore_id = $2 AND plan_hash = $3";
const ITEMS: &str = "\
SELECT item_key, position, policy_type, name, action, graph_id, outcome, reason, cause, half_done, step,
       differences, graph_request_id, left_fingerprint, safety_id, safety_sha256, completed_at
FROM restore_items WHERE scope_id = $1 AND restore_id = $2 ORDER BY position";
const INTENTS: &str = "\
SELECT id, item_key, run_id, step, step_key, method, path, body_hash, adds, before_fingerprint, object_id, listed, state,
       reply_lost, sent, approval_code, approval_asked_at, at
FROM write_intents WHERE scope_id = $1 AND restore_id = $2 ORDER BY at, id";
const INTENTS_OF: &str = "\
SELECT id, item_key, run_id, step, step_key, method, path, body_hash, adds, before_fingerprint, object_id, listed,
       state, reply_lost, sent, approval_code, approval_asked_at, at
FROM write_intents WHERE scope_id = $1 AND restore_id = $2 AND item_key = $3 ORDER BY at, id";

#[derive(sqlx::FromRow)]
struct RestoreRow {
    id: Uuid,
    state: String,
    second_approver: bool,
    reason: Option<String>,
    created_by: Uuid,
    created_name: String,
    created_at: i64,
    plan_hash: Option<String>,
    plan_expires_at: Option<i64>,
    confirmed_by: Option<Uuid>,
    confirmed_name: Option<String>,
    confirmed_at: Option<i64>,
    approved_by: Option<Uuid>,
    approved_name: Option<String>,
    approved_at: Option<i64>,
    run_id: Option<Uuid>,
    revision: i64,
    draft: String,
    preview_address: Option<Vec<u8>>,
    preview_run_id: Option<Uuid>,
}

fn who(id: Option<Uuid>, name: Option<String>, at: Option<i64>) -> Option<Who> {
    Some(Who { id: id?, name: name?, at: Timestamp::from_micros(at?) })
}

impl TryFrom<RestoreRow> for RestoreRecord {
    type Error = StoreError;

    fn try_from(row: RestoreRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("restores", column);
        let plan = match (row.plan_hash, row.plan_expires_at) {
            (Some(hash), Some(at)) => {
                Some((hash.parse().map_err(|_| bad("plan_hash"))?, Timestamp::from_micros(at)))
            }
            _ => None,
        };
        let created_at = Timestamp::from_micros(row.created_at);
        let draft = serde_json::from_str(&row.draft).map_err(|_| bad("draft"))?;
        let preview = match (row.preview_address, row.preview_run_id) {
            (Some(address), Some(run)) => {
                let address = PayloadAddress::from_slice(&address);
                Some((address.ok_or_else(|| bad("preview_address"))?, RunId::from_uuid(run)))
            }
            _ => None,
        };
        Ok(Self {
            // A restore of a version before drafts were kept has none.
            draft: RestoreDraft::parse(&draft).ok(),
            preview,
            id: RestoreId::from_uuid(row.id),
            state: row.state.parse().map_err(|_| bad("state"))?,
            second_approver: row.second_approver,
            reason: row.reason,
            created: Who { id: row.created_by, name: row.created_name, at: created_at },
            plan,
            confirmed: who(row.confirmed_by, row.confirmed_name, row.confirmed_at),
            approved: who(row.approved_by, row.approved_name, row.approved_at),
            run: row.run_id.map(RunId::from_uuid),
            revision: u64::try_from(row.revision).map_err(|_| bad("revision"))?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct BytesRow {
    bytes: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    item_key: String,
    position: i64,
    policy_type: String,
    name: Option<String>,
    action: String,
    graph_id: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    cause: Option<String>,
    half_done: bool,
    step: Option<String>,
    differences: String,
    graph_request_id: Option<String>,
    left_fingerprint: Option<String>,
    safety_id: Option<String>,
    safety_sha256: Option<String>,
    completed_at: Option<i64>,
}

impl TryFrom<ItemRow> for RestoreItem {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("restore_items", column);
        let reason = row.reason.as_deref().map(str::parse).transpose();
        let cause = row.cause.as_deref().map(str::parse).transpose();
        let left = row.left_fingerprint.as_deref().map(str::parse).transpose();
        let left = left.map_err(|_| bad("left_fingerprint"))?;
        let result = match row.outcome {
            None => None,
            Some(outcome) => Some(ItemResult {
                outcome: outcome.parse().map_err(|_| bad("outcome"))?,
                reason: reason.map_err(|_| bad("reason"))?,
                cause: cause.map_err(|_| bad("cause"))?,
                graph_id: row.graph_id,
                half_done: row.half_done,
                step: row.step,
                differences: serde_json::from_str(&row.differences)
                    .map_err(|_| bad("differences"))?,
                graph_request_id: row.graph_request_id,
                left: left.clone(),
            }),
        };
        Ok(Self {
            key: row.item_key,
            position: u64::try_from(row.position).map_err(|_| bad("position"))?,
            policy_type: PolicyType::new(&row.policy_type).map_err(|_| bad("policy_type"))?,
            name: row.name,
            action: row.action,
            result,
            left,
            safety: match (row.safety_id, row.safety_sha256) {
                (Some(id), Some(sha256)) => Some(PayloadRef { id, sha256 }),
                _ => None,
            },
            completed_at: row.completed_at.map(Timestamp::from_micros),
        })
    }
}

#[derive(sqlx::FromRow)]
struct IntentRow {
    id: Uuid,
    item_key: String,
    run_id: Uuid,
    step: String,
    step_key: String,
    method: String,
    path: String,
    body_hash: Option<String>,
    adds: bool,
    before_fingerprint: Option<String>,
    object_id: Option<String>,
    listed: String,
    state: String,
    reply_lost: bool,
    sent: i64,
    approval_code: Option<String>,
    approval_asked_at: Option<i64>,
    at: i64,
}

impl TryFrom<IntentRow> for WriteIntent {
    type Error = StoreError;

    fn try_from(row: IntentRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("write_intents", column);
        let body_hash = row.body_hash.as_deref().map(str::parse).transpose();
        let before = row.before_fingerprint.as_deref().map(str::parse).transpose();
        Ok(Self {
            id: IntentId::from_uuid(row.id),
            item: row.item_key,
            run: RunId::from_uuid(row.run_id),
            asked: NewIntent {
                step: row.step,
                step_key: row.step_key,
                method: row.method,
                path: row.path,
                body_hash: body_hash.map_err(|_| bad("body_hash"))?,
                adds: row.adds,
                before: before.map_err(|_| bad("before_fingerprint"))?,
                object_id: row.object_id,
                listed: serde_json::from_str(&row.listed).map_err(|_| bad("listed"))?,
            },
            state: row.state.parse().map_err(|_| bad("state"))?,
            reply_lost: row.reply_lost,
            sent: u32::try_from(row.sent).map_err(|_| bad("sent"))?,
            approval_code: row.approval_code,
            approval_asked_at: row.approval_asked_at.map(Timestamp::from_micros),
            at: Timestamp::from_micros(row.at),
        })
    }
}

/// The record as it is now.
pub(crate) async fn found(
    tx: &mut Tx,
    scope: Uuid,
    id: Uuid,
) -> Result<Option<RestoreRecord>, StoreError> {
    let row: Option<RestoreRow> = tx.optional(stmt!(GET, scope, id)).await?;
    row.map(RestoreRecord::try_from).transpose()
}

/// The record, held until the end of the transaction.
pub(crate) async fn locked(
    tx: &mut Tx,
    scope: Uuid,
    id: Uuid,
) -> Result<Option<RestoreRecord>, StoreError> {
    let text = match tx.dialect() {
        Dialect::Sqlite => GET,
        Dialect::Postgres => GET_LOCKED,
    };
    let row: Option<RestoreRow> = tx.optional(stmt!(text, scope, id)).await?;
    row.map(RestoreRecord::try_from).transpose()
}

/// A stored plan. Bytes that do not hash to what they should are a bad row, never a plan.
pub(crate) async fn plan_of(
    tx: &mut Tx,
    scope: Uuid,
    restore: Uuid,
    hash: &PlanHash,
    expires_at: Timestamp,
) -> Result<FrozenPlan, StoreError> {
    let row: BytesRow = tx.one(stmt!(PLAN_GET, scope, restore, hash.as_str())).await?;
    FrozenPlan::read(row.bytes, hash, expires_at).map_err(|_| bad_row("restore_plans", "bytes"))
}

pub(crate) async fn items_of(
    tx: &mut Tx,
    scope: Uuid,
    restore: Uuid,
) -> Result<Vec<RestoreItem>, StoreError> {
    let rows: Vec<ItemRow> = tx.all(stmt!(ITEMS, scope, restore)).await?;
    rows.into_iter().map(RestoreItem::try_from).collect()
}

pub(crate) async fn intents_of(
    tx: &mut Tx,
    scope: Uuid,
    restore: Uuid,
) -> Result<Vec<WriteIntent>, StoreError> {
    let rows: Vec<IntentRow> = tx.all(stmt!(INTENTS, scope, restore)).await?;
    rows.into_iter().map(WriteIntent::try_from).collect()
}

/// The writes of one item.
pub(crate) async fn intents_of_item(
    tx: &mut Tx,
    scope: Uuid,
    restore: Uuid,
    item: &str,
) -> Result<Vec<WriteIntent>, StoreError> {
    let rows: Vec<IntentRow> = tx.all(stmt!(INTENTS_OF, scope, restore, item)).await?;
    rows.into_iter().map(WriteIntent::try_from).collect()
}

impl<C> TenantScope<C> {
    /// A restore of this tenant.
    pub async fn restore_get(&self, id: RestoreId) -> Result<Option<RestoreRecord>, StoreError> {
        let (scope, id) = (self.scope_id().uuid(), id.uuid());
        self.store
            .db
            .read(self.reach(), move |tx| Box::pin(async move { found(tx, scope, id).await }))
            .await
    }

    /// The newest hundred restores of this tenant.
    pub async fn restore_list(&self) -> Result<Vec<RestoreRecord>, StoreError> {
        let stmt = stmt!(LIST, self.scope_id().uuid());
        let rows: Vec<RestoreRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(RestoreRecord::try_from).collect()
    }

    /// The frozen plan of a restore; none while there is none.
    pub async fn restore_plan(&self, id: RestoreId) -> Result<Option<FrozenPlan>, StoreError> {
        let Some((hash, expires_at)) = self.restore_get(id).await?.and_then(|one| one.plan) else {
            return Ok(None);
        };
        let scope = self.scope_id().uuid();
        self.store
            .db
            .read(self.reach(), |tx| {
                Box::pin(async move { plan_of(tx, scope, id.uuid(), &hash, expires_at).await })
            })
            .await
            .map(Some)
    }

    /// What came of each object of a restore, in the order of work; none before its run has begun.
    pub async fn restore_items(&self, id: RestoreId) -> Result<Vec<RestoreItem>, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .read(self.reach(), |tx| Box::pin(async move { items_of(tx, scope, id.uuid()).await }))
            .await
    }

    /// Each write of a restore, in the order in which they were written down.
    pub async fn restore_writes(&self, id: RestoreId) -> Result<Vec<WriteIntent>, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .read(self.reach(), |tx| {
                Box::pin(async move { intents_of(tx, scope, id.uuid()).await })
            })
            .await
    }
}
