//! Looking at backup sets.

use tp_domain::access::ViewBackups;
use tp_domain::backup::{
    BackupItem, BackupItemState, BackupSet, BackupState, BackupType, Verified,
};
use tp_domain::ids::{BackupId, RunId, VersionId};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use tp_domain::version::PolicyVersion;
use uuid::Uuid;

use crate::ClaimedRun;
use crate::db::Tx;
use crate::error::StoreError;
use crate::run_rows::completeness_of;
use crate::scope::TenantScope;
use crate::stmt::{StmtBuilder, stmt};
use crate::tenants::bad_row;
use crate::versions::{OF_SET, VersionRow};

macro_rules! set_columns {
    () => {
        "id, number, run_id, state, selection, is_full_pass, note, pinned, created_at, completed_at, items, \
         failed_items, new_versions, revision, trigger_kind, imported_from, verified_at, verified_run_id, \
         verified_checked, verified_faulty"
    };
}

const LIST: &str = concat!(
    "SELECT ",
    set_columns!(),
    " FROM backup_sets WHERE scope_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
);
const GET: &str =
    concat!("SELECT ", set_columns!(), " FROM backup_sets WHERE scope_id = $1 AND number = $2");
const STATES_SINCE: &str = "\
SELECT created_at, state FROM backup_sets
WHERE scope_id = $1 AND created_at >= $2 AND imported_from IS NULL ORDER BY created_at";
pub(crate) const TYPES: &str = "\
SELECT policy_type, state, reason, permission, listed FROM backup_types
WHERE scope_id = $1 AND set_id = $2 ORDER BY policy_type";

const TALLY: &str = "\
SELECT policy_type, state, count(*) AS n FROM backup_items
WHERE scope_id = $1 AND set_id = $2 GROUP BY policy_type, state ORDER BY policy_type, state";

/// How many policies of one type are in one state in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupTally {
    /// The type.
    pub policy_type: PolicyType,
    /// The state.
    pub state: BackupItemState,
    /// How many.
    pub count: u64,
}

#[derive(sqlx::FromRow)]
struct TallyRow {
    policy_type: String,
    state: String,
    n: i64,
}

/// Which policies of a set are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupItemFilter {
    /// Part of the name, in any case.
    pub query: Option<String>,
    /// Only this type.
    pub policy_type: Option<PolicyType>,
    /// Only those of this state.
    pub state: Option<BackupItemState>,
    /// How many rows are passed over.
    pub offset: u32,
    /// How many rows are wanted, 1 to 200.
    pub limit: u32,
}

/// One page of the policies of a set.
#[derive(Clone, Debug, Default)]
pub struct BackupItemPage {
    /// The policies, by name.
    pub items: Vec<BackupItem>,
    /// Whether there are more.
    pub has_more: bool,
}

#[derive(sqlx::FromRow)]
struct StateRow {
    created_at: i64,
    state: String,
}

#[derive(sqlx::FromRow)]
struct SetRow {
    id: Uuid,
    number: i64,
    run_id: Uuid,
    state: String,
    selection: String,
    is_full_pass: bool,
    note: Option<String>,
    pinned: bool,
    created_at: i64,
    completed_at: Option<i64>,
    items: i64,
    failed_items: i64,
    new_versions: i64,
    revision: i64,
    trigger_kind: Option<String>,
    imported_from: Option<String>,
    verified_at: Option<i64>,
    verified_run_id: Option<Uuid>,
    verified_checked: i64,
    verified_faulty: i64,
}

impl TryFrom<SetRow> for BackupSet {
    type Error = StoreError;

    fn try_from(row: SetRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("backup_sets", column);
        let count = |value: i64, column| u64::try_from(value).map_err(|_| bad(column));
        let verified = match (row.verified_at, row.verified_run_id) {
            (Some(at), Some(run)) => Some(Verified {
                at: Timestamp::from_micros(at),
                run: RunId::from_uuid(run),
                checked: count(row.verified_checked, "verified_checked")?,
                faulty: count(row.verified_faulty, "verified_faulty")?,
            }),
            _ => None,
        };
        Ok(Self {
            id: BackupId::from_uuid(row.id),
            number: count(row.number, "number")?,
            run: RunId::from_uuid(row.run_id),
            state: row.state.parse::<BackupState>().map_err(|_| bad("state"))?,
            selection: serde_json::from_str(&row.selection).map_err(|_| bad("selection"))?,
            is_full_pass: row.is_full_pass,
            note: row.note,
            pinned: row.pinned,
            created_at: Timestamp::from_micros(row.created_at),
            completed_at: row.completed_at.map(Timestamp::from_micros),
            items: count(row.items, "items")?,
            failed_items: count(row.failed_items, "failed_items")?,
            new_versions: count(row.new_versions, "new_versions")?,
            revision: count(row.revision, "revision")?,
            scheduled: row.trigger_kind.as_deref() == Some("schedule"),
            imported_from: row
                .imported_from
                .map(|text| serde_json::from_str(&text).map_err(|_| bad("imported_from")))
                .transpose()?,
            verified,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct TypeRow {
    policy_type: String,
    state: String,
    reason: Option<String>,
    permission: Option<String>,
    listed: i64,
}

impl TryFrom<TypeRow> for BackupType {
    type Error = StoreError;

    fn try_from(row: TypeRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("backup_types", column);
        let (reason, permission) = (row.reason.as_deref(), row.permission.as_deref());
        Ok(Self {
            policy_type: PolicyType::new(&row.policy_type).map_err(|_| bad("policy_type"))?,
            completeness: completeness_of(&row.state, reason, permission)?,
            listed: u64::try_from(row.listed).map_err(|_| bad("listed"))?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct ItemRow {
    policy_type: String,
    graph_id: String,
    name: Option<String>,
    state: String,
    version_id: Option<Uuid>,
    reason: Option<String>,
    graph_request_id: Option<String>,
}

impl TryFrom<ItemRow> for BackupItem {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("backup_items", column);
        let reason = row.reason.map(|word| word.parse::<ReasonCode>().map_err(|_| bad("reason")));
        Ok(Self {
            policy_type: PolicyType::new(&row.policy_type).map_err(|_| bad("policy_type"))?,
            graph_id: row.graph_id,
            name: row.name,
            state: row.state.parse().map_err(|_| bad("state"))?,
            version: row.version_id.map(VersionId::from_uuid),
            reason: reason.transpose()?,
            graph_request_id: row.graph_request_id,
        })
    }
}

impl TenantScope<ViewBackups> {
    /// Sets of this tenant, the newest first, before the given number (none: from the newest).
    pub async fn backup_list(
        &self,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<BackupSet>, StoreError> {
        let before = before.unwrap_or(i64::MAX as u64);
        let stmt = stmt!(LIST, self.scope_id().uuid(), before, most);
        let rows: Vec<SetRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// When each set that was captured since a moment was begun, and how it stands, the oldest first.
    pub async fn backup_states_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(Timestamp, BackupState)>, StoreError> {
        let stmt = stmt!(STATES_SINCE, self.scope_id().uuid(), since);
        let rows: Vec<StateRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter()
            .map(|row| {
                let state = row.state.parse().map_err(|_| bad_row("backup_sets", "state"))?;
                Ok((Timestamp::from_micros(row.created_at), state))
            })
            .collect()
    }

    /// One set by its number.
    pub async fn backup_get(&self, number: u64) -> Result<Option<BackupSet>, StoreError> {
        let scope = self.scope_id().uuid();
        let row = self
            .store
            .db
            .read(self.reach(), |tx| Box::pin(async move { get(tx, scope, number).await }))
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// How a set stands for each type.
    pub async fn backup_types(&self, set: BackupId) -> Result<Vec<BackupType>, StoreError> {
        let stmt = stmt!(TYPES, self.scope_id().uuid(), set.uuid());
        let rows: Vec<TypeRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// How many policies of each type are in each state in a set.
    pub async fn backup_tally(&self, set: BackupId) -> Result<Vec<BackupTally>, StoreError> {
        let stmt = stmt!(TALLY, self.scope_id().uuid(), set.uuid());
        let rows: Vec<TallyRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        let bad = |column| bad_row("backup_items", column);
        rows.into_iter()
            .map(|row| {
                Ok(BackupTally {
                    policy_type: PolicyType::new(&row.policy_type)
                        .map_err(|_| bad("policy_type"))?,
                    state: row.state.parse().map_err(|_| bad("state"))?,
                    count: u64::try_from(row.n).map_err(|_| bad("count"))?,
                })
            })
            .collect()
    }

    /// A page of the policies of a set.
    pub async fn backup_items(
        &self,
        set: BackupId,
        filter: &BackupItemFilter,
    ) -> Result<BackupItemPage, StoreError> {
        let mut sql = StmtBuilder::new(
            "SELECT policy_type, graph_id, name, state, version_id, reason, graph_request_id \
             FROM backup_items WHERE scope_id = ",
        );
        sql.bind(self.scope_id().uuid()).push(" AND set_id = ").bind(set.uuid());
        if let Some(key) = &filter.policy_type {
            sql.push(" AND policy_type = ").bind(key.as_str());
        }
        if let Some(state) = filter.state {
            sql.push(" AND state = ").bind(state.as_str());
        }
        if let Some(query) = filter.query.as_deref().filter(|text| !text.is_empty()) {
            let literal = query.to_lowercase().replace('\\', "\\\\");
            let literal = literal.replace('%', "\\%").replace('_', "\\_");
            sql.push(" AND name_key LIKE ").bind(format!("%{literal}%")).push(" ESCAPE '\\'");
        }
        let limit = filter.limit.clamp(1, 200);
        sql.push(" ORDER BY name_key, policy_type, graph_id LIMIT ").bind(limit + 1);
        sql.push(" OFFSET ").bind(filter.offset);
        let stmt = sql.build();
        let mut rows: Vec<ItemRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        let items = rows.into_iter().map(TryInto::try_into).collect::<Result<_, StoreError>>()?;
        Ok(BackupItemPage { items, has_more })
    }
}

impl ClaimedRun {
    /// A set of this run's tenant by its number, with the versions that it holds.
    pub async fn backup_with_versions(
        &self,
        number: u64,
    ) -> Result<Option<(BackupSet, Vec<PolicyVersion>)>, StoreError> {
        let scope = self.claimed.scope;
        let found = self
            .store
            .db
            .read(self.claimed.reach(), move |tx| {
                Box::pin(async move {
                    let Some(set) = get(tx, scope, number).await? else { return Ok(None) };
                    let rows: Vec<VersionRow> = tx.all(stmt!(OF_SET, scope, number)).await?;
                    Ok(Some((set, rows)))
                })
            })
            .await?;
        let Some((set, rows)) = found else { return Ok(None) };
        let versions =
            rows.into_iter().map(TryInto::try_into).collect::<Result<_, StoreError>>()?;
        Ok(Some((set.try_into()?, versions)))
    }
}

async fn get(tx: &mut Tx, scope: Uuid, number: u64) -> Result<Option<SetRow>, StoreError> {
    tx.optional(stmt!(GET, scope, number)).await
}

/// One set of a scope by its number.
pub(crate) async fn set_of(
    tx: &mut Tx,
    scope: Uuid,
    number: u64,
) -> Result<Option<BackupSet>, StoreError> {
    get(tx, scope, number).await?.map(TryInto::try_into).transpose()
}
