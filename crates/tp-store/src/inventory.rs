//! Writing the inventory: only through a claim, and each write checked against its lease.
//!
//! An object that this run has counted already is not counted again, so that a run that is taken over
//! after a crash ends with exact counts (PRODUCT ).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tp_domain::completeness::Completeness;
use tp_domain::ids::{Ids, PolicyId, RunId};
use tp_domain::policy::{ObservedGroup, ObservedPolicy, PolicyType};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{RunStep, StepState};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::claims::{Claimed, ClaimedRun};
use crate::db::Tx;
use crate::error::StoreError;
use crate::run_rows::{StepRow, completeness_of, step_columns};
use crate::scope::TenantScope;
use crate::stmt::{StmtBuilder, stmt};
use crate::tenants::bad_row;

/// How many objects one transaction writes: starts of other runs wait for it on SQLite.
pub(crate) const BATCH: usize = 100;

const STEP_PLAN: &str = "\
INSERT INTO run_steps (scope_id, run_id, policy_type, workspace_id, tenant_id, position, state)
VALUES ($1, $2, $3, $4, $5, $6, 'queued')
ON CONFLICT (scope_id, run_id, policy_type) DO NOTHING";
const STEP_BEGIN: &str = "\
UPDATE run_steps SET state = 'running', started_at = COALESCE(started_at, $4)
WHERE scope_id = $1 AND run_id = $2 AND policy_type = $3";
const STEP_COUNT: &str = "\
UPDATE run_steps SET counted = counted + $4
WHERE scope_id = $1 AND run_id = $2 AND policy_type = $3";
const STEP_END: &str = "\
UPDATE run_steps
SET state = $4, completeness = $5, reason = $6, permission = $7, listed = $8,
    started_at = COALESCE(started_at, $9), completed_at = $9
WHERE scope_id = $1 AND run_id = $2 AND policy_type = $3";
pub(crate) const STEPS: &str = concat!(
    "SELECT ",
    step_columns!(),
    " FROM run_steps WHERE scope_id = $1 AND run_id = $2 ORDER BY position"
);
const POLICY_INSERT: &str = "\
INSERT INTO policies (scope_id, id, workspace_id, tenant_id, policy_type, graph_id, name, name_key,
                      platform, odata_type, created_at, modified_at, scope_tags, assigned, metadata,
                      fingerprint, first_seen_at, changed_at, last_seen_at, last_seen_run)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $17, $18)";
const POLICY_UPDATE: &str = "\
UPDATE policies
SET name = $3, name_key = $4, platform = $5, odata_type = $6, created_at = $7, modified_at = $8,
    scope_tags = $9, assigned = $10, metadata = $11, fingerprint = $12, changed_at = $13
WHERE scope_id = $1 AND id = $2";
const GROUP_UPSERT: &str = "\
INSERT INTO directory_groups (scope_id, graph_id, workspace_id, tenant_id, name, name_key, group_type,
                              first_seen_at, last_seen_at, last_seen_run)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
ON CONFLICT (scope_id, graph_id) DO UPDATE
SET name = excluded.name, name_key = excluded.name_key, group_type = excluded.group_type,
    last_seen_at = excluded.last_seen_at, last_seen_run = excluded.last_seen_run";
const GROUPS: &str = "\
SELECT graph_id, name, group_type FROM directory_groups WHERE scope_id = $1 ORDER BY name_key, graph_id";
const GROUPS_FORGET: &str =
    "DELETE FROM directory_groups WHERE scope_id = $1 AND last_seen_at < $2";
const TYPE_GET: &str = "\
SELECT complete_listed, shrunk_digest, synced_run FROM inventory_types WHERE scope_id = $1 AND policy_type = $2";
const TYPE_COMPLETE: &str = "\
INSERT INTO inventory_types (scope_id, policy_type, workspace_id, tenant_id, state, listed, synced_at,
                             synced_run, complete_at, complete_run, complete_listed)
VALUES ($1, $2, $3, $4, 'complete', $5, $6, $7, $6, $7, $5)
ON CONFLICT (scope_id, policy_type) DO UPDATE
SET state = 'complete', reason = NULL, permission = NULL, listed = excluded.listed,
    synced_at = excluded.synced_at, synced_run = excluded.synced_run,
    complete_at = excluded.complete_at, complete_run = excluded.complete_run,
    complete_listed = excluded.complete_listed, shrunk_digest = NULL";
const TYPE_INCOMPLETE: &str = "\
INSERT INTO inventory_types (scope_id, policy_type, workspace_id, tenant_id, state, reason, permission,
                             listed, synced_at, synced_run, shrunk_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (scope_id, policy_type) DO UPDATE
SET state = excluded.state, reason = excluded.reason, permission = excluded.permission,
    listed = excluded.listed, synced_at = excluded.synced_at, synced_run = excluded.synced_run,
    shrunk_digest = excluded.shrunk_digest";
// Missing is derived: the latest complete listing did not see it (PRODUCT §2).
const COVERAGE: &str = "\
SELECT i.policy_type, i.state, i.reason, i.permission, i.listed, i.synced_at, i.complete_at,
       (SELECT count(*) FROM policies p WHERE p.scope_id = i.scope_id AND p.policy_type = i.policy_type
          AND p.last_seen_run <> COALESCE(i.complete_run, p.last_seen_run)
          AND p.last_seen_at < COALESCE(i.complete_at, p.last_seen_at)) AS missing
FROM inventory_types i WHERE i.scope_id = $1 ORDER BY i.policy_type";

/// What a batch changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Objects seen for the first time in this run.
    pub counted: u64,
    /// Rows that are new or hold something new: not mere "last seen".
    pub rows_written: u64,
}

impl std::ops::AddAssign for Observed {
    fn add_assign(&mut self, other: Self) {
        self.counted += other.counted;
        self.rows_written += other.rows_written;
    }
}

/// How the listing of one type ended.
#[derive(Clone, Debug)]
pub struct TypeEnd {
    /// How much of it was seen.
    pub completeness: Completeness,
    /// How many objects were listed.
    pub listed: u64,
    /// A digest of the listed ids, for the shrink guard (ruling 22).
    pub digest: String,
}

/// What the inventory knows of one policy type of a tenant.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The type.
    pub policy_type: PolicyType,
    /// How the last sync of it ended.
    pub completeness: Completeness,
    /// How many objects that sync listed.
    pub listed: u64,
    /// When that was.
    pub synced_at: Timestamp,
    /// When it was last listed completely.
    pub complete_at: Option<Timestamp>,
    /// How many known objects the last complete listing did not see.
    pub missing: u64,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    id: Uuid,
    graph_id: String,
    fingerprint: String,
    last_seen_run: Uuid,
}

#[derive(sqlx::FromRow)]
struct KnownGroupRow {
    graph_id: String,
    name: Option<String>,
    group_type: String,
    last_seen_run: Uuid,
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    graph_id: String,
    name: Option<String>,
    group_type: String,
}

#[derive(sqlx::FromRow)]
struct TypeRow {
    complete_listed: Option<i64>,
    shrunk_digest: Option<String>,
    synced_run: Uuid,
}

#[derive(sqlx::FromRow)]
struct CoverageRow {
    policy_type: String,
    state: String,
    reason: Option<String>,
    permission: Option<String>,
    listed: i64,
    synced_at: i64,
    complete_at: Option<i64>,
    missing: i64,
}

/// PostgreSQL text cannot hold U+0000, and a hostile name may.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn name_key(name: Option<&str>) -> String {
    clean(name.unwrap_or_default()).to_lowercase()
}

impl ClaimedRun {
    /// Writes down the steps of the run, once; a run that is taken over keeps those it has.
    pub async fn steps_plan(&self, types: &[PolicyType]) -> Result<Vec<RunStep>, StoreError> {
        self.records();
        let (claimed, types) = (self.claimed, types.to_vec());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    for (position, key) in (0_i64..).zip(&types) {
                        tx.execute(stmt!(
                            STEP_PLAN,
                            claimed.scope,
                            claimed.run.uuid(),
                            key.as_str(),
                            claimed.workspace.uuid(),
                            claimed.tenant.map(tp_domain::ids::TenantId::uuid),
                            position,
                        ))
                        .await?;
                    }
                    let rows: Vec<StepRow> =
                        tx.all(stmt!(STEPS, claimed.scope, claimed.run.uuid())).await?;
                    rows.into_iter().map(RunStep::try_from).collect()
                })
            })
            .await
    }

    /// Says that a step has begun.
    pub async fn step_begin(&self, policy_type: &PolicyType) -> Result<(), StoreError> {
        let (claimed, key) = (self.claimed, policy_type.clone());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let now = tx.now();
                    let run = claimed.run.uuid();
                    tx.execute(stmt!(STEP_BEGIN, claimed.scope, run, key.as_str(), now)).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Says that a step has ended that tells the inventory nothing: of an import.
    pub async fn step_end(
        &self,
        policy_type: &PolicyType,
        completeness: &Completeness,
        listed: u64,
    ) -> Result<(), StoreError> {
        let claimed = self.claimed;
        let (key, completeness) = (policy_type.clone(), completeness.clone());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let run = (claimed.scope, claimed.run.uuid());
                    step_end(tx, run, &key, &completeness, listed).await
                })
            })
            .await
    }

    /// Writes what a listing told of policies: new rows, changed rows, "last seen", and the counts.
    pub async fn policies_observe(
        &self,
        policy_type: &PolicyType,
        observed: Vec<ObservedPolicy>,
    ) -> Result<Observed, StoreError> {
        let mut total = Observed::default();
        for batch in observed.chunks(BATCH) {
            let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
            let (key, batch) = (policy_type.clone(), batch.to_vec());
            let done = self
                .store
                .db
                .write(claimed.reach(), move |tx| {
                    Box::pin(async move {
                        claimed.check(tx).await?;
                        let done = observe_policies(tx, &*ids, &claimed, &key, &batch).await?;
                        count(tx, &claimed, key.as_str(), done.counted).await?;
                        Ok(done)
                    })
                })
                .await?;
            self.progress().add(done.counted, 0, 0);
            total += done;
        }
        Ok(total)
    }

    /// The same for work that counts its policies itself: rows and "last seen", and no counts.
    pub async fn policies_seen(
        &self,
        policy_type: &PolicyType,
        observed: Vec<ObservedPolicy>,
    ) -> Result<u64, StoreError> {
        let mut rows_written = 0;
        for batch in observed.chunks(BATCH) {
            let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
            let (key, batch) = (policy_type.clone(), batch.to_vec());
            let done = self
                .store
                .db
                .write(claimed.reach(), move |tx| {
                    Box::pin(async move {
                        claimed.check(tx).await?;
                        observe_policies(tx, &*ids, &claimed, &key, &batch).await
                    })
                })
                .await?;
            rows_written += done.rows_written;
        }
        Ok(rows_written)
    }

    /// Writes what a listing told of directory groups. They feed the cache, not the policies.
    pub async fn groups_observe(
        &self,
        policy_type: &PolicyType,
        observed: Vec<ObservedGroup>,
    ) -> Result<Observed, StoreError> {
        let mut total = Observed::default();
        for batch in observed.chunks(BATCH) {
            let (claimed, key, batch) = (self.claimed, policy_type.clone(), batch.to_vec());
            let done = self
                .store
                .db
                .write(claimed.reach(), move |tx| {
                    Box::pin(async move {
                        claimed.check(tx).await?;
                        observe_groups(tx, &claimed, &key, &batch).await
                    })
                })
                .await?;
            self.progress().add(done.counted, 0, 0);
            total += done;
        }
        Ok(total)
    }

    /// Forgets groups that no run has seen since that moment. Says how many.
    pub async fn groups_forget(&self, unseen_since: Timestamp) -> Result<u64, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    tx.execute(stmt!(GROUPS_FORGET, claimed.scope, unseen_since)).await
                })
            })
            .await
    }

    /// Ends the step of a type. Only a complete listing moves the mark that makes objects missing,
    /// and one that lost too much is held back until it is seen twice (ruling 22). Gives what counts.
    pub async fn type_end(
        &self,
        policy_type: &PolicyType,
        end: TypeEnd,
    ) -> Result<Completeness, StoreError> {
        let (claimed, key) = (self.claimed, policy_type.clone());
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    end_type(tx, &claimed, &key, end).await
                })
            })
            .await
    }
}

/// Counts with the rows: the run's own counts follow from its steps.
async fn count(tx: &mut Tx, claimed: &Claimed, key: &str, counted: u64) -> Result<(), StoreError> {
    if counted > 0 {
        let run = claimed.run.uuid();
        if tx.execute(stmt!(STEP_COUNT, claimed.scope, run, key, counted)).await? != 1 {
            // Without a step nobody would ever count these: the steps are planned first.
            return Err(bad_row("run_steps", "policy_type"));
        }
    }
    Ok(())
}

async fn observe_policies(
    tx: &mut Tx,
    ids: &dyn Ids,
    claimed: &Claimed,
    key: &PolicyType,
    batch: &[ObservedPolicy],
) -> Result<Observed, StoreError> {
    let mut sql = StmtBuilder::new(
        "SELECT id, graph_id, fingerprint, last_seen_run FROM policies WHERE scope_id = ",
    );
    sql.bind(claimed.scope).push(" AND policy_type = ").bind(key.as_str());
    sql.push(" AND graph_id IN ").bind_list(batch.iter().map(|policy| clean(&policy.graph_id)));
    let known: Vec<KnownRow> = tx.all(sql.build()).await?;
    let known: HashMap<String, KnownRow> =
        known.into_iter().map(|row| (row.graph_id.clone(), row)).collect();
    let mut done = Observed::default();
    let mut seen = HashSet::new();
    let mut again = Vec::new();
    for policy in batch {
        let graph_id = clean(&policy.graph_id);
        if !seen.insert(graph_id.clone()) {
            continue; // A repeat within the listing is one object (TRUST F20).
        }
        match known.get(&graph_id) {
            None => {
                policy_insert(tx, ids, claimed, key, policy).await?;
                done.rows_written += 1;
                done.counted += 1;
            }
            Some(row) => {
                if row.fingerprint != policy.fingerprint() {
                    policy_update(tx, claimed.scope, row.id, policy).await?;
                    done.rows_written += 1;
                }
                if row.last_seen_run != claimed.run.uuid() {
                    again.push(row.id);
                    done.counted += 1;
                }
            }
        }
    }
    if !again.is_empty() {
        let mut sql = StmtBuilder::new("UPDATE policies SET last_seen_at = ");
        sql.bind(tx.now()).push(", last_seen_run = ").bind(claimed.run.uuid());
        sql.push(" WHERE scope_id = ").bind(claimed.scope).push(" AND id IN ").bind_list(again);
        tx.execute(sql.build()).await?;
    }
    Ok(done)
}

async fn policy_insert(
    tx: &mut Tx,
    ids: &dyn Ids,
    claimed: &Claimed,
    key: &PolicyType,
    policy: &ObservedPolicy,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(stmt!(
        POLICY_INSERT,
        claimed.scope,
        PolicyId::next(ids).uuid(),
        claimed.workspace.uuid(),
        claimed.scope,
        key.as_str(),
        clean(&policy.graph_id),
        policy.name.as_deref().map(clean),
        name_key(policy.name.as_deref()),
        policy.platform.as_deref().map(clean),
        policy.odata_type.as_deref().map(clean),
        policy.created_at,
        policy.modified_at,
        serde_json::json!(policy.scope_tags).to_string(),
        policy.assigned,
        policy.metadata.to_string(),
        policy.fingerprint(),
        now,
        claimed.run.uuid(),
    ))
    .await?;
    Ok(())
}

async fn policy_update(
    tx: &mut Tx,
    scope: Uuid,
    id: Uuid,
    policy: &ObservedPolicy,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(stmt!(
        POLICY_UPDATE,
        scope,
        id,
        policy.name.as_deref().map(clean),
        name_key(policy.name.as_deref()),
        policy.platform.as_deref().map(clean),
        policy.odata_type.as_deref().map(clean),
        policy.created_at,
        policy.modified_at,
        serde_json::json!(policy.scope_tags).to_string(),
        policy.assigned,
        policy.metadata.to_string(),
        policy.fingerprint(),
        now,
    ))
    .await?;
    Ok(())
}

async fn observe_groups(
    tx: &mut Tx,
    claimed: &Claimed,
    key: &PolicyType,
    batch: &[ObservedGroup],
) -> Result<Observed, StoreError> {
    let mut sql = StmtBuilder::new(
        "SELECT graph_id, name, group_type, last_seen_run FROM directory_groups WHERE scope_id = ",
    );
    sql.bind(claimed.scope).push(" AND graph_id IN ");
    sql.bind_list(batch.iter().map(|group| clean(&group.graph_id)));
    let known: Vec<KnownGroupRow> = tx.all(sql.build()).await?;
    let known: HashMap<String, KnownGroupRow> =
        known.into_iter().map(|row| (row.graph_id.clone(), row)).collect();
    let (mut done, now) = (Observed::default(), tx.now());
    let mut seen = HashSet::new();
    for group in batch {
        let (graph_id, name) = (clean(&group.graph_id), group.name.as_deref().map(clean));
        if !seen.insert(graph_id.clone()) {
            continue;
        }
        let row = known.get(&graph_id);
        if row.is_none_or(|row| row.last_seen_run != claimed.run.uuid()) {
            done.counted += 1;
        }
        if row.is_none_or(|row| row.name != name || row.group_type != group.group_type) {
            done.rows_written += 1;
        }
        tx.execute(stmt!(
            GROUP_UPSERT,
            claimed.scope,
            graph_id,
            claimed.workspace.uuid(),
            claimed.scope,
            name,
            name_key(group.name.as_deref()),
            clean(&group.group_type),
            now,
            claimed.run.uuid(),
        ))
        .await?;
    }
    count(tx, claimed, key.as_str(), done.counted).await?;
    Ok(done)
}

/// More than a fifth and at least ten gone at once is not believed the first time (ruling 22).
const fn is_suspicious(before: u64, listed: u64) -> bool {
    let lost = before.saturating_sub(listed);
    lost >= 10 && lost * 5 > before
}

async fn end_type(
    tx: &mut Tx,
    claimed: &Claimed,
    key: &PolicyType,
    end: TypeEnd,
) -> Result<Completeness, StoreError> {
    let row: Option<TypeRow> = tx.optional(stmt!(TYPE_GET, claimed.scope, key.as_str())).await?;
    let mut completeness = end.completeness;
    let mut shrunk_digest = row.as_ref().and_then(|row| row.shrunk_digest.clone());
    if completeness == Completeness::Complete {
        // The same run, taken over, does not confirm itself: a second sync must see the same.
        let by_another = row.as_ref().is_some_and(|row| row.synced_run != claimed.run.uuid());
        let before = row.and_then(|row| row.complete_listed).unwrap_or(0);
        let before =
            u64::try_from(before).map_err(|_| bad_row("inventory_types", "complete_listed"))?;
        let confirmed = by_another && shrunk_digest.as_deref() == Some(end.digest.as_str());
        if is_suspicious(before, end.listed) && !confirmed {
            completeness = Completeness::Partial(ReasonCode::SuspiciousShrink);
            shrunk_digest = Some(end.digest);
        }
    }
    let now = tx.now();
    let (scope, run, workspace) = (claimed.scope, claimed.run.uuid(), claimed.workspace.uuid());
    let reason = completeness.reason().map(ReasonCode::as_str);
    if completeness == Completeness::Complete {
        let stmt =
            stmt!(TYPE_COMPLETE, scope, key.as_str(), workspace, scope, end.listed, now, run);
        tx.execute(stmt).await?;
    } else {
        tx.execute(stmt!(
            TYPE_INCOMPLETE,
            scope,
            key.as_str(),
            workspace,
            scope,
            completeness.state().as_str(),
            reason,
            completeness.permission(),
            end.listed,
            now,
            run,
            shrunk_digest,
        ))
        .await?;
    }
    step_end(tx, (scope, run), key, &completeness, end.listed).await?;
    Ok(completeness)
}

async fn step_end(
    tx: &mut Tx,
    (scope, run): (Uuid, Uuid),
    key: &PolicyType,
    completeness: &Completeness,
    listed: u64,
) -> Result<(), StoreError> {
    let state = match completeness {
        Completeness::Complete => StepState::Succeeded,
        Completeness::Partial(_) => StepState::Partial,
        Completeness::Failed(_) | Completeness::NotPermitted(_) => StepState::Failed,
        Completeness::NotCovered(_) => StepState::Skipped,
    };
    let now = tx.now();
    tx.execute(stmt!(
        STEP_END,
        scope,
        run,
        key.as_str(),
        state.as_str(),
        completeness.state().as_str(),
        completeness.reason().map(ReasonCode::as_str),
        completeness.permission(),
        listed,
        now,
    ))
    .await
    .map(drop)
}

impl<C> TenantScope<C> {
    /// What the inventory knows of each policy type that was ever asked for.
    pub async fn coverage(&self) -> Result<Vec<Coverage>, StoreError> {
        let stmt = stmt!(COVERAGE, self.scope_id().uuid());
        let rows: Vec<CoverageRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        let bad = |column| bad_row("inventory_types", column);
        rows.into_iter()
            .map(|row| {
                Ok(Coverage {
                    policy_type: PolicyType::new(&row.policy_type)
                        .map_err(|_| bad("policy_type"))?,
                    completeness: completeness_of(
                        &row.state,
                        row.reason.as_deref(),
                        row.permission.as_deref(),
                    )?,
                    listed: u64::try_from(row.listed).map_err(|_| bad("listed"))?,
                    synced_at: Timestamp::from_micros(row.synced_at),
                    complete_at: row.complete_at.map(Timestamp::from_micros),
                    missing: u64::try_from(row.missing).map_err(|_| bad("missing"))?,
                })
            })
            .collect()
    }

    /// The cached directory groups of this tenant, by name: no members, no owners.
    pub async fn group_list(&self) -> Result<Vec<ObservedGroup>, StoreError> {
        let stmt = stmt!(GROUPS, self.scope_id().uuid());
        let rows: Vec<GroupRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        Ok(rows.into_iter().map(ObservedGroup::from).collect())
    }

    /// The steps of one run of this tenant, in order; empty for a run of another tenant.
    pub async fn run_steps(&self, run: RunId) -> Result<Vec<RunStep>, StoreError> {
        let stmt = stmt!(STEPS, self.scope_id().uuid(), run.uuid());
        let rows: Vec<StepRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(RunStep::try_from).collect()
    }
}

impl From<GroupRow> for ObservedGroup {
    fn from(row: GroupRow) -> Self {
        Self { graph_id: row.graph_id, name: row.name, group_type: row.group_type }
    }
}

impl ClaimedRun {
    /// The cached directory groups of the run's tenant, by name.
    pub async fn groups_cached(&self) -> Result<Vec<ObservedGroup>, StoreError> {
        let stmt = stmt!(GROUPS, self.claimed.scope);
        let reach = self.claimed.reach();
        let rows: Vec<GroupRow> = self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
        Ok(rows.into_iter().map(ObservedGroup::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::is_suspicious;

    #[test]
    fn a_large_loss_is_suspicious() {
        for (before, listed, expected) in [
            (100, 79, true),
            (100, 80, false),
            (12, 3, false),
            (10, 0, true),
            (0, 0, false),
            (5, 9, false),
        ] {
            assert_eq!(is_suspicious(before, listed), expected, "{before} to {listed}");
        }
    }
}
