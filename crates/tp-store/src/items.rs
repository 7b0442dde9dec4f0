//! Items: one row per thing of an itemised run. What is committed here is what a run goes on from after
//! a crash (PRODUCT R-8).

use tp_domain::ids::{RunId, TenantId};
use tp_domain::item::{ItemEnd, ItemState, ItemSubject, RunItem};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{FailedItem, Failure};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::claims::{Claimed, ClaimedRun};
use crate::db::Tx;
use crate::error::StoreError;
use crate::scope::TenantScope;
use crate::stmt::{Stmt, StmtBuilder, stmt};
use crate::tenants::bad_row;
use crate::workspace::WorkspaceScope;

const PLAN: &str = "\
INSERT INTO run_items (scope_id, run_id, item_key, workspace_id, tenant_id, position, policy_type,
                       graph_id, name, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending')
ON CONFLICT (scope_id, run_id, item_key) DO NOTHING";
const LIST: &str = "\
SELECT item_key, position, policy_type, graph_id, name, state, reason, graph_request_id, attempts,
       started_at, completed_at
FROM run_items WHERE scope_id = $1 AND run_id = $2";
// An item that has ended is never begun again.
const BEGIN: &str = "\
UPDATE run_items
SET state = 'running', attempts = attempts + 1, started_at = COALESCE(started_at, $4)
WHERE scope_id = $1 AND run_id = $2 AND item_key = $3 AND state IN ('pending', 'running')";
pub(crate) const END: &str = "\
UPDATE run_items
SET state = $4, reason = $5, graph_request_id = $6, completed_at = $7,
    started_at = COALESCE(started_at, $7)
WHERE scope_id = $1 AND run_id = $2 AND item_key = $3 AND state IN ('pending', 'running')";
const PRESET: &str =
    "SELECT id FROM operation_runs WHERE scope_id = $1 AND id = $2 AND items_preset";
pub(crate) const PRESET_SET: &str =
    "UPDATE operation_runs SET items_preset = TRUE WHERE scope_id = $1 AND id = $2";
// What did not succeed of an old run is the work of the new one.
pub(crate) const COPY_FAILED: &str = "\
INSERT INTO run_items (scope_id, run_id, item_key, workspace_id, tenant_id, position, policy_type,
                       graph_id, name, state)
SELECT scope_id, $3, item_key, workspace_id, tenant_id, position, policy_type, graph_id, name, 'pending'
FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'failed'";

const FAILED_BY_CODE: &str = "\
SELECT reason, count(*) AS n FROM run_items
WHERE scope_id = $1 AND run_id = $2 AND state = 'failed' AND reason IS NOT NULL
GROUP BY reason ORDER BY n DESC, reason";
const FAILED_OF_CODE: &str = "\
SELECT item_key, position, policy_type, graph_id, name, state, reason, graph_request_id, attempts,
       started_at, completed_at
FROM run_items WHERE scope_id = $1 AND run_id = $2 AND state = 'failed' AND reason = $3
ORDER BY position LIMIT 100";

/// The longest key and the longest name that are kept.
const LONGEST: usize = 300;

#[derive(sqlx::FromRow)]
struct PresetRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    reason: String,
    n: i64,
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    item_key: String,
    position: i64,
    policy_type: Option<String>,
    graph_id: Option<String>,
    name: Option<String>,
    state: String,
    reason: Option<String>,
    graph_request_id: Option<String>,
    attempts: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
}

impl TryFrom<ItemRow> for RunItem {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("run_items", column);
        let policy_type = row.policy_type.as_deref().map(PolicyType::new).transpose();
        let reason = row.reason.as_deref().map(str::parse::<ReasonCode>).transpose();
        Ok(Self {
            subject: ItemSubject {
                key: row.item_key,
                policy_type: policy_type.map_err(|_| bad("policy_type"))?,
                graph_id: row.graph_id,
                name: row.name,
            },
            position: u64::try_from(row.position).map_err(|_| bad("position"))?,
            state: row.state.parse().map_err(|_| bad("state"))?,
            reason: reason.map_err(|_| bad("reason"))?,
            graph_request_id: row.graph_request_id,
            attempts: u32::try_from(row.attempts).map_err(|_| bad("attempts"))?,
            started_at: row.started_at.map(Timestamp::from_micros),
            completed_at: row.completed_at.map(Timestamp::from_micros),
        })
    }
}

/// PostgreSQL text cannot hold U+0000, and a hostile name may.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}").chars().take(LONGEST).collect()
}

/// Which items are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemFilter {
    /// Only those in this state.
    pub state: Option<ItemState>,
    /// Only those behind this position.
    pub after: Option<u64>,
    /// How many, 1 to 1,000.
    pub limit: u32,
}

fn list_stmt(scope: Uuid, run: Uuid, filter: ItemFilter) -> Stmt {
    let mut sql = StmtBuilder::new(LIST).with_values([scope, run]);
    if let Some(state) = filter.state {
        sql.push(" AND state = ").bind(state.as_str());
    }
    if let Some(after) = filter.after {
        sql.push(" AND position > ").bind(after);
    }
    sql.push(" ORDER BY position, item_key LIMIT ").bind(filter.limit.clamp(1, 1_000));
    sql.build()
}

async fn all(tx: &mut Tx, scope: Uuid, run: Uuid) -> Result<Vec<RunItem>, StoreError> {
    let mut sql = StmtBuilder::new(LIST).with_values([scope, run]);
    sql.push(" ORDER BY position, item_key");
    let rows: Vec<ItemRow> = tx.all(sql.build()).await?;
    rows.into_iter().map(RunItem::try_from).collect()
}

impl ClaimedRun {
    /// Writes down what is to be done, once, and gives back how each stands: a run that is taken over
    /// gets what earlier tries have done, and "retry failed items only" gets those items and no others.
    /// Sets the total.
    pub async fn items_plan(&self, subjects: Vec<ItemSubject>) -> Result<Vec<RunItem>, StoreError> {
        self.records();
        let claimed = self.claimed;
        let items = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run) = (claimed.scope, claimed.run.uuid());
                    if tx.optional::<PresetRow>(stmt!(PRESET, scope, run)).await?.is_some() {
                        return all(tx, scope, run).await;
                    }
                    for (position, subject) in (0_i64..).zip(&subjects) {
                        tx.execute(stmt!(
                            PLAN,
                            scope,
                            run,
                            clean(&subject.key),
                            claimed.workspace.uuid(),
                            claimed.tenant.map(TenantId::uuid),
                            position,
                            subject.policy_type.as_ref().map(PolicyType::as_str),
                            subject.graph_id.as_deref().map(clean),
                            subject.name.as_deref().map(clean),
                        ))
                        .await?;
                    }
                    all(tx, scope, run).await
                })
            })
            .await?;
        self.progress().total(u64::try_from(items.len()).unwrap_or(u64::MAX));
        Ok(items)
    }

    /// Says that an item is being worked on. `false` when it has ended already.
    pub async fn item_begin(&self, key: &str) -> Result<bool, StoreError> {
        self.records();
        let (claimed, key) = (self.claimed, clean(key));
        let begun = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let now = tx.now();
                    tx.execute(stmt!(BEGIN, claimed.scope, claimed.run.uuid(), key, now)).await
                })
            })
            .await?;
        Ok(begun == 1)
    }

    /// What failed so far, by code: exact counts and the first items of each (PRODUCT R-7).
    pub async fn items_failures(&self) -> Result<Vec<Failure>, StoreError> {
        let (scope, run) = (self.claimed.scope, self.claimed.run.uuid());
        self.store
            .db
            .read(self.claimed.reach(), move |tx| {
                Box::pin(async move { failures_of(tx, scope, run).await })
            })
            .await
    }

    /// Ends some items in one transaction. One that had ended already is not counted twice. Says how many
    /// have ended.
    pub async fn items_end(&self, ends: Vec<(String, ItemEnd)>) -> Result<u64, StoreError> {
        self.records();
        let claimed = self.claimed;
        let [succeeded, failed, skipped] = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let mut counts = [0; 3];
                    for (key, end) in &ends {
                        let place = match end {
                            ItemEnd::Succeeded => 0,
                            ItemEnd::Failed { .. } => 1,
                            ItemEnd::Skipped(_) => 2,
                        };
                        counts[place] += end_item(tx, &claimed, clean(key), end).await?;
                    }
                    Ok(counts)
                })
            })
            .await?;
        self.progress().add(succeeded, failed, skipped);
        Ok(succeeded + failed + skipped)
    }

    /// Ends an item. `false` when it had ended already: then nothing is counted twice.
    pub async fn item_end(&self, key: &str, end: ItemEnd) -> Result<bool, StoreError> {
        self.records();
        let (claimed, key, kept) = (self.claimed, clean(key), end.clone());
        let ended = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    end_item(tx, &claimed, key, &end).await
                })
            })
            .await?;
        if ended == 1 {
            match kept {
                ItemEnd::Succeeded => self.progress().add(1, 0, 0),
                ItemEnd::Failed { .. } => self.progress().add(0, 1, 0),
                ItemEnd::Skipped(_) => self.progress().add(0, 0, 1),
            }
        }
        Ok(ended == 1)
    }
}

pub(crate) async fn end_item(
    tx: &mut Tx,
    claimed: &Claimed,
    key: String,
    end: &ItemEnd,
) -> Result<u64, StoreError> {
    let now = tx.now();
    let request_id = match end {
        ItemEnd::Failed { graph_request_id, .. } => graph_request_id.clone(),
        ItemEnd::Succeeded | ItemEnd::Skipped(_) => None,
    };
    tx.execute(stmt!(
        END,
        claimed.scope,
        claimed.run.uuid(),
        key,
        end.state().as_str(),
        end.reason().map(ReasonCode::as_str),
        request_id,
        now,
    ))
    .await
}

/// The failed items of a run by code, the most frequent code first.
pub(crate) async fn failures_of(
    tx: &mut Tx,
    scope: Uuid,
    run: Uuid,
) -> Result<Vec<Failure>, StoreError> {
    let codes: Vec<CodeRow> = tx.all(stmt!(FAILED_BY_CODE, scope, run)).await?;
    let mut failures = Vec::with_capacity(codes.len());
    for CodeRow { reason, n } in codes {
        let rows: Vec<ItemRow> = tx.all(stmt!(FAILED_OF_CODE, scope, run, &reason)).await?;
        let code: ReasonCode = reason.parse().map_err(|_| bad_row("run_items", "reason"))?;
        failures.push(Failure {
            code,
            message: code.message(&[]),
            count: u64::try_from(n).unwrap_or(0),
            items: rows.into_iter().map(failed_item).collect::<Result<_, _>>()?,
        });
    }
    Ok(failures)
}

fn failed_item(row: ItemRow) -> Result<FailedItem, StoreError> {
    let item = RunItem::try_from(row)?;
    Ok(FailedItem {
        policy_type: item.subject.policy_type,
        graph_id: item.subject.graph_id,
        name: item.subject.name,
        graph_request_id: item.graph_request_id,
        permission: None,
    })
}

async fn page(
    store: &crate::Store,
    scope: Uuid,
    run: RunId,
    filter: ItemFilter,
) -> Result<Vec<RunItem>, StoreError> {
    let stmt = list_stmt(scope, run.uuid(), filter);
    let reach = crate::db::Reach::Scope(scope);
    let rows: Vec<ItemRow> = store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
    rows.into_iter().map(RunItem::try_from).collect()
}

impl<C> TenantScope<C> {
    /// The items of a run in their order; none for a run that is not itemised or not of this tenant.
    pub async fn run_items(
        &self,
        run: RunId,
        filter: ItemFilter,
    ) -> Result<Vec<RunItem>, StoreError> {
        page(&self.store, self.scope_id().uuid(), run, filter).await
    }
}

impl<C> WorkspaceScope<C> {
    /// The items of a run of the workspace itself.
    pub async fn run_items(
        &self,
        run: RunId,
        filter: ItemFilter,
    ) -> Result<Vec<RunItem>, StoreError> {
        page(&self.store, self.workspace.uuid(), run, filter).await
    }
}
