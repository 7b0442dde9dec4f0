//! Making a backup set: only through the claim of its run, each write checked against the lease.
//!
//! A set is `creating` until its last transaction, which needs its manifest: a run that dies leaves no set
//! that says it is complete (PRODUCT S-2). A policy that the set has already is not counted again, so a run
//! that is taken over ends with exact counts.

use std::sync::Arc;

use tp_domain::backup::{
    BackupItem, BackupItemState, BackupState, BackupType, FULL_PASS_EVERY, ImportedFrom,
};
use tp_domain::completeness::Completeness;
use tp_domain::hex::hex;
use tp_domain::ids::{BackupId, Ids, PolicyId, VersionId};
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::version::Purpose;
use uuid::Uuid;

use crate::ClaimedRun;
use crate::backup_reads::{ItemRow, TYPES, TypeRow};
use crate::claims::Claimed;
use crate::db::Tx;
use crate::error::StoreError;
use crate::payloads::{PayloadStored, refer};
use crate::stmt::{StmtBuilder, stmt};
use crate::tenants::bad_row;
use crate::versions::{self, Captured};

const OF_RUN: &str =
    "SELECT id, number, is_full_pass FROM backup_sets WHERE scope_id = $1 AND run_id = $2";
const CONTENTS: &str = "\
SELECT i.policy_type, i.graph_id, i.name, i.state, i.version_id, i.reason, i.graph_request_id, v.address
FROM backup_items i
LEFT JOIN policy_versions v ON v.scope_id = i.scope_id AND v.id = i.version_id
WHERE i.scope_id = $1 AND i.set_id = $2 ORDER BY i.policy_type, i.graph_id";
const NUMBER_NEXT: &str = "\
INSERT INTO backup_numbers (scope_id, workspace_id, last) VALUES ($1, $2, 1)
ON CONFLICT (scope_id) DO UPDATE SET last = backup_numbers.last + 1
RETURNING last";
// Sets since the last one that read everything in full and holds everything.
const SINCE_FULL: &str = "\
SELECT count(*) AS n FROM backup_sets
WHERE scope_id = $1 AND imported_from IS NULL AND number > COALESCE(
  (SELECT max(f.number) FROM backup_sets f
   WHERE f.scope_id = $1 AND f.is_full_pass AND f.state IN ('complete', 'partial')), 0)";
const FULL_EVER: &str = "\
SELECT count(*) AS n FROM backup_sets
WHERE scope_id = $1 AND is_full_pass AND state IN ('complete', 'partial')";
const SET_INSERT: &str = "\
INSERT INTO backup_sets (scope_id, id, workspace_id, tenant_id, number, run_id, state, selection,
                         is_full_pass, note, created_at, imported_from, trigger_kind)
VALUES ($1, $2, $3, $1, $4, $5, 'creating', $6, $7, $8, $9, $10,
        (SELECT r.trigger_kind FROM operation_runs r WHERE r.scope_id = $1 AND r.id = $5))";
const ITEM_GET: &str = "\
SELECT state FROM backup_items
WHERE scope_id = $1 AND set_id = $2 AND policy_type = $3 AND graph_id = $4";
const ITEM_PUT: &str = "\
INSERT INTO backup_items (scope_id, set_id, policy_type, graph_id, name, name_key, state, version_id, reason,
                          graph_request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (scope_id, set_id, policy_type, graph_id) DO UPDATE
SET name = excluded.name, name_key = excluded.name_key, state = excluded.state,
    version_id = excluded.version_id, reason = excluded.reason,
    graph_request_id = excluded.graph_request_id";
const STEP_COUNT: &str = "\
UPDATE run_steps SET counted = counted + $4
WHERE scope_id = $1 AND run_id = $2 AND policy_type = $3";
const FAILED_PUT: &str = "\
INSERT INTO run_items (scope_id, run_id, item_key, workspace_id, tenant_id, position, policy_type, graph_id,
                       name, state, reason, graph_request_id, attempts, started_at, completed_at)
VALUES ($1, $2, $3, $4, $1, 0, $5, $6, $7, 'failed', $8, $9, 1, $10, $10)
ON CONFLICT (scope_id, run_id, item_key) DO UPDATE
SET reason = excluded.reason, graph_request_id = excluded.graph_request_id,
    completed_at = excluded.completed_at";
const FAILED_GONE: &str =
    "DELETE FROM run_items WHERE scope_id = $1 AND run_id = $2 AND item_key = $3";
const NEW_VERSIONS: &str = "\
UPDATE backup_sets SET new_versions = new_versions + $3 WHERE scope_id = $1 AND id = $2";
const TYPE_PUT: &str = "\
INSERT INTO backup_types (scope_id, set_id, policy_type, state, reason, permission, listed)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (scope_id, set_id, policy_type) DO UPDATE
SET state = excluded.state, reason = excluded.reason, permission = excluded.permission,
    listed = excluded.listed";
const FINISH: &str = "\
UPDATE backup_sets
SET state = $3, completed_at = $4, manifest = $5,
    items = (SELECT count(*) FROM backup_items i
             WHERE i.scope_id = $1 AND i.set_id = $2 AND i.state <> 'failed'),
    failed_items = (SELECT count(*) FROM backup_items i
                    WHERE i.scope_id = $1 AND i.set_id = $2 AND i.state = 'failed')
WHERE scope_id = $1 AND id = $2 AND state = 'creating'";

/// A set that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenBackup {
    /// Its id.
    pub id: BackupId,
    /// Its number.
    pub number: u64,
    /// Whether every object is to be read in full.
    pub is_full_pass: bool,
}

/// What became of one policy, to be written down.
#[derive(Clone, Debug)]
pub enum BackupEntry {
    /// It was read in full, and its content is stored.
    Captured(Box<Captured>),
    /// It is as this version has it.
    Unchanged {
        /// Its Graph id.
        graph_id: String,
        /// Its name.
        name: Option<String>,
        /// The version.
        version: VersionId,
    },
    /// It could not be read in full.
    Failed {
        /// Its Graph id.
        graph_id: String,
        /// Its name.
        name: Option<String>,
        /// Why.
        reason: ReasonCode,
        /// Graph's id of the request that failed.
        graph_request_id: Option<String>,
    },
}

impl BackupEntry {
    fn parts(&self) -> (&str, Option<&String>) {
        match self {
            Self::Captured(captured) => (&captured.graph_id, captured.name.as_ref()),
            Self::Unchanged { graph_id, name, .. } | Self::Failed { graph_id, name, .. } => {
                (graph_id, name.as_ref())
            }
        }
    }

    pub(crate) fn graph_id(&self) -> &str {
        self.parts().0
    }
}

/// What was written down of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupWritten {
    /// Policies that this set has now and had not before.
    pub counted: u64,
    /// Policies that are missing now and were not counted before.
    pub failed: u64,
    /// Versions that are new.
    pub new_versions: u64,
    /// Places in the batch whose payload is not there any more: reserve and store it again.
    pub again: Vec<usize>,
}

/// How a set ends.
#[derive(Clone, Debug)]
pub struct BackupEnd {
    /// How it stands.
    pub state: BackupState,
    /// Its manifest.
    pub manifest: Option<PayloadStored>,
    /// What the manifest refers to: the list of each type.
    pub lists: Vec<PayloadStored>,
}

#[derive(sqlx::FromRow)]
struct SetRow {
    id: Uuid,
    number: i64,
    is_full_pass: bool,
}

#[derive(sqlx::FromRow)]
struct LastRow {
    last: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct StateRow {
    state: String,
}

#[derive(sqlx::FromRow)]
struct PlaceRow {
    id: Uuid,
    policy_type: String,
    graph_id: String,
}

#[derive(sqlx::FromRow)]
struct ContentRow {
    #[sqlx(flatten)]
    item: ItemRow,
    address: Option<Vec<u8>>,
}

impl TryFrom<SetRow> for OpenBackup {
    type Error = StoreError;

    fn try_from(row: SetRow) -> Result<Self, StoreError> {
        let number = u64::try_from(row.number).map_err(|_| bad_row("backup_sets", "number"))?;
        Ok(Self { id: BackupId::from_uuid(row.id), number, is_full_pass: row.is_full_pass })
    }
}

/// How a set begins.
enum Beginning {
    Captured { note: Option<String>, in_full: bool },
    Imported(ImportedFrom),
}

/// Every [`FULL_PASS_EVERY`]th set of what was captured is a full pass, and the first.
async fn full_pass_is_due(tx: &mut Tx, scope: Uuid) -> Result<bool, StoreError> {
    let ever: CountRow = tx.one(stmt!(FULL_EVER, scope)).await?;
    let since: CountRow = tx.one(stmt!(SINCE_FULL, scope)).await?;
    Ok(ever.n == 0 || u64::try_from(since.n).unwrap_or(0) + 1 >= FULL_PASS_EVERY)
}

fn imported_text(from: &ImportedFrom) -> Result<String, StoreError> {
    serde_json::to_string(from).map_err(|_| bad_row("backup_sets", "imported_from"))
}

/// The key of the run's item for a policy: types have no line break.
pub(crate) fn item_key(key: &PolicyType, graph_id: &str) -> String {
    format!("{key}\n{graph_id}")
}

impl ClaimedRun {
    /// The set of this run: begun now, or by the worker before. `in_full` asks for a full pass; without,
    /// every [`FULL_PASS_EVERY`]th set is one, and the first.
    pub async fn backup_begin(
        &self,
        note: Option<&str>,
        in_full: bool,
    ) -> Result<OpenBackup, StoreError> {
        let note = note.map(str::to_owned);
        self.begin(Beginning::Captured { note, in_full }).await
    }

    /// The set of this run, which imports it: begun now, or by the worker before.
    pub async fn backup_begin_import(&self, from: &ImportedFrom) -> Result<OpenBackup, StoreError> {
        self.begin(Beginning::Imported(from.clone())).await
    }

    async fn begin(&self, beginning: Beginning) -> Result<OpenBackup, StoreError> {
        self.records();
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let selection = self.inputs().to_string();
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run) = (claimed.scope, claimed.run.uuid());
                    if let Some(row) = tx.optional::<SetRow>(stmt!(OF_RUN, scope, run)).await? {
                        return row.try_into();
                    }
                    let (note, imported, is_full_pass) = match beginning {
                        Beginning::Captured { note, in_full } => {
                            (note, None, in_full || full_pass_is_due(tx, scope).await?)
                        }
                        Beginning::Imported(from) => (None, Some(imported_text(&from)?), false),
                    };
                    let workspace = claimed.workspace.uuid();
                    let LastRow { last } = tx.one(stmt!(NUMBER_NEXT, scope, workspace)).await?;
                    let (id, now) = (BackupId::next(&*ids).uuid(), tx.now());
                    tx.execute(stmt!(
                        SET_INSERT,
                        scope,
                        id,
                        workspace,
                        last,
                        run,
                        selection,
                        is_full_pass,
                        note,
                        now,
                        imported,
                    ))
                    .await?;
                    SetRow { id, number: last, is_full_pass }.try_into()
                })
            })
            .await
    }

    /// The set of this run, where one was begun.
    pub async fn backup_begun(&self) -> Result<Option<OpenBackup>, StoreError> {
        let stmt = stmt!(OF_RUN, self.claimed.scope, self.claimed.run.uuid());
        let reach = self.claimed.reach();
        let row: Option<SetRow> =
            self.store.db.read(reach, |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(TryInto::try_into).transpose()
    }

    /// What the set holds and lacks, each policy with the address of its content in hex.
    pub async fn backup_contents(
        &self,
        set: BackupId,
    ) -> Result<(Vec<BackupType>, Vec<(BackupItem, Option<String>)>), StoreError> {
        let (scope, set) = (self.claimed.scope, set.uuid());
        let (types, items) = self
            .store
            .db
            .read(self.claimed.reach(), move |tx| {
                Box::pin(async move {
                    let types: Vec<TypeRow> = tx.all(stmt!(TYPES, scope, set)).await?;
                    let items: Vec<ContentRow> = tx.all(stmt!(CONTENTS, scope, set)).await?;
                    Ok((types, items))
                })
            })
            .await?;
        let types = types.into_iter().map(TryInto::try_into).collect::<Result<_, StoreError>>()?;
        let items = items
            .into_iter()
            .map(|row| Ok((row.item.try_into()?, row.address.map(|address| hex(&address)))))
            .collect::<Result<_, StoreError>>()?;
        Ok((types, items))
    }

    /// Which of these policies the inventory has, as (type, Graph id).
    pub async fn backup_policies(
        &self,
        policies: &[PolicyId],
    ) -> Result<Vec<(PolicyId, PolicyType, String)>, StoreError> {
        let mut sql =
            StmtBuilder::new("SELECT id, policy_type, graph_id FROM policies WHERE scope_id = ");
        sql.bind(self.claimed.scope).push(" AND id IN ");
        sql.bind_list(policies.iter().map(|id| id.uuid()));
        let stmt = sql.build();
        let reach = self.claimed.reach();
        let rows: Vec<PlaceRow> = self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter()
            .map(|row| {
                let key = PolicyType::new(&row.policy_type)
                    .map_err(|_| bad_row("policies", "policy_type"))?;
                Ok((PolicyId::from_uuid(row.id), key, row.graph_id))
            })
            .collect()
    }

    /// Writes down what became of some policies of one type: versions, items of the set, and the counts.
    pub async fn backup_write(
        &self,
        set: BackupId,
        policy_type: &PolicyType,
        entries: Vec<BackupEntry>,
    ) -> Result<BackupWritten, StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let imports = self.kind() == OperationKind::BackupImport;
        let purpose = if imports { Purpose::Import } else { Purpose::Backup };
        let key = policy_type.clone();
        let written = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let mut done = BackupWritten::default();
                    for (place, entry) in entries.iter().enumerate() {
                        if !put(tx, &*ids, &claimed, (set, purpose), &key, entry, &mut done).await?
                        {
                            done.again.push(place);
                        }
                    }
                    let (scope, run) = (claimed.scope, claimed.run.uuid());
                    tx.execute(stmt!(STEP_COUNT, scope, run, key.as_str(), done.counted)).await?;
                    tx.execute(stmt!(NEW_VERSIONS, scope, set.uuid(), done.new_versions)).await?;
                    Ok(done)
                })
            })
            .await?;
        self.progress().add(written.counted, written.failed, 0);
        Ok(written)
    }

    /// Writes down how the set stands for one type.
    pub async fn backup_type(
        &self,
        set: BackupId,
        policy_type: &PolicyType,
        completeness: &Completeness,
        listed: u64,
    ) -> Result<(), StoreError> {
        let claimed = self.claimed;
        let stmt = stmt!(
            TYPE_PUT,
            claimed.scope,
            set.uuid(),
            policy_type.as_str(),
            completeness.state().as_str(),
            completeness.reason().map(ReasonCode::as_str),
            completeness.permission(),
            listed,
        );
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

    /// Ends the set. `false` when a part of its manifest is not there any more: reserve and store all of it
    /// again.
    pub async fn backup_finish(&self, set: BackupId, end: BackupEnd) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, now) = (claimed.scope, tx.now());
                    // In the order of addresses, so that two sets lock rows alike.
                    let mut parts: Vec<&PayloadStored> =
                        end.manifest.iter().chain(&end.lists).collect();
                    parts.sort_by_key(|part| part.address);
                    for PayloadStored { address, copy, written } in parts {
                        if !refer(tx, scope, *address, *copy, *written, set.uuid()).await? {
                            return Ok(false);
                        }
                    }
                    let manifest = end.manifest.map(|part| part.address.as_bytes().to_vec());
                    let finish =
                        stmt!(FINISH, scope, set.uuid(), end.state.as_str(), now, manifest);
                    tx.execute(finish).await?;
                    Ok(true)
                })
            })
            .await
    }
}

/// One policy of a set. `false` when its payload is not there any more.
async fn put(
    tx: &mut Tx,
    ids: &dyn Ids,
    claimed: &Claimed,
    set: (BackupId, Purpose),
    key: &PolicyType,
    entry: &BackupEntry,
    done: &mut BackupWritten,
) -> Result<bool, StoreError> {
    let (scope, (graph_id, name), (set, purpose)) = (claimed.scope, entry.parts(), set);
    let held = stmt!(ITEM_GET, scope, set.uuid(), key.as_str(), graph_id);
    let before: Option<StateRow> = tx.optional(held).await?;
    let had = before.as_ref().is_some_and(|row| row.state != BackupItemState::Failed.as_str());
    let (state, version, reason, request) = match entry {
        // What a try before this one has captured stays: an item is written once in a set.
        _ if had => return Ok(true),
        BackupEntry::Captured(captured) => {
            let written = versions::write(tx, ids, claimed, key, purpose, captured).await?;
            let Some(written) = written else { return Ok(false) };
            done.new_versions += u64::from(written.is_new);
            (BackupItemState::Captured, Some(written.version), None, None)
        }
        BackupEntry::Unchanged { version, .. } => {
            (BackupItemState::Unchanged, Some(*version), None, None)
        }
        BackupEntry::Failed { reason, graph_request_id, .. } => {
            (BackupItemState::Failed, None, Some(*reason), graph_request_id.clone())
        }
    };
    let run_item = item_key(key, graph_id);
    if let Some(reason) = reason {
        let (run, workspace, now) = (claimed.run.uuid(), claimed.workspace.uuid(), tx.now());
        let failed = stmt!(
            FAILED_PUT,
            scope,
            run,
            run_item,
            workspace,
            key.as_str(),
            graph_id,
            name.cloned(),
            reason.as_str(),
            request.clone(),
            now,
        );
        tx.execute(failed).await?;
        done.failed += u64::from(before.is_none());
    } else {
        if before.is_some() {
            tx.execute(stmt!(FAILED_GONE, scope, claimed.run.uuid(), run_item)).await?;
        }
        done.counted += 1;
    }
    let name_key = name.map(|name| name.to_lowercase()).unwrap_or_default();
    tx.execute(stmt!(
        ITEM_PUT,
        scope,
        set.uuid(),
        key.as_str(),
        graph_id,
        name.cloned(),
        name_key,
        state.as_str(),
        version.map(VersionId::uuid),
        reason.map(ReasonCode::as_str),
        request,
    ))
    .await?;
    Ok(true)
}
