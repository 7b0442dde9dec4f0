//! Versions of policies: written once, by a capture; nothing changes them (PRODUCT S-1).

use tp_domain::access::ViewBackups;
use tp_domain::ids::{CopyId, Ids, PolicyId, RunId, VersionId};
use tp_domain::payload::PayloadAddress;
use tp_domain::policy::PolicyType;
use tp_domain::time::Timestamp;
use tp_domain::version::{PolicyVersion, Purpose, ReferenceNames};
use uuid::Uuid;

use crate::ClaimedRun;
use crate::claims::Claimed;
use crate::db::Tx;
use crate::error::StoreError;
use crate::payloads::{PayloadWritten, refer};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::bad_row;

macro_rules! version_columns {
    () => {
        "v.id, v.policy_type, v.graph_id, v.number, v.address, v.purpose, v.run_id, v.name, \
         v.modified_text, v.assignments, v.redactions, v.names, v.created_at"
    };
}

const INSERT: &str = "\
INSERT INTO policy_versions (scope_id, id, workspace_id, tenant_id, policy_type, graph_id, number, address,
                             purpose, run_id, name, platform, odata_type, modified_text, assignments,
                             redactions, names, created_at)
VALUES ($1, $2, $3, $1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
// What was imported tells nothing of how the policy is: it is not the latest of anything.
const LATEST: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM policy_versions v WHERE v.scope_id = $1 AND v.policy_type = $2 AND v.graph_id = $3 \
     AND v.purpose <> 'import' ORDER BY v.number DESC LIMIT 1"
);
const LATEST_OF_TYPE: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM policy_versions v WHERE v.scope_id = $1 AND v.policy_type = $2 AND v.number = \
     (SELECT max(o.number) FROM policy_versions o WHERE o.scope_id = v.scope_id \
      AND o.policy_type = v.policy_type AND o.graph_id = v.graph_id AND o.purpose <> 'import')"
);
const SAME: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM policy_versions v WHERE v.scope_id = $1 AND v.policy_type = $2 AND v.graph_id = $3 \
     AND v.address = $4 ORDER BY v.number DESC LIMIT 1"
);
const LAST_NUMBER: &str = "\
SELECT COALESCE(max(number), 0) AS n FROM policy_versions
WHERE scope_id = $1 AND policy_type = $2 AND graph_id = $3";
pub(crate) const GET: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM policy_versions v WHERE v.scope_id = $1 AND v.id = $2"
);
pub(crate) const OF_SET: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM backup_sets b \
     JOIN backup_items i ON i.scope_id = b.scope_id AND i.set_id = b.id \
     JOIN policy_versions v ON v.scope_id = i.scope_id AND v.id = i.version_id \
     WHERE b.scope_id = $1 AND b.number = $2 ORDER BY v.policy_type, v.graph_id"
);
const HISTORY: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM policy_versions v WHERE v.scope_id = $1 AND v.policy_type = $2 AND v.graph_id = $3 \
     AND v.number < $4 ORDER BY v.number DESC LIMIT $5"
);

const NEWEST: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM policies p JOIN policy_versions v ON v.scope_id = p.scope_id AND v.policy_type = p.policy_type \
     AND v.graph_id = p.graph_id AND v.purpose <> 'import' \
     WHERE p.scope_id = $1 AND p.id = $2 ORDER BY v.number DESC LIMIT 1"
);
const POLICY: &str =
    "SELECT id FROM policies WHERE scope_id = $1 AND policy_type = $2 AND graph_id = $3";

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct PolicyRow {
    id: Uuid,
}

/// The longest text of Graph's that is kept beside a version, in characters.
const LONGEST: usize = 1_024;

/// What a capture has read of one policy, sealed and stored, to be written down as a version.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The policy's Graph id.
    pub graph_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its platform, as the inventory words it.
    pub platform: Option<String>,
    /// Its concrete type.
    pub odata_type: Option<String>,
    /// What Graph says of its last change, as Graph wrote it.
    pub modified_text: Option<String>,
    /// How many assignments it has.
    pub assignments: u64,
    /// How many secrets were taken out.
    pub redactions: u64,
    /// Names of what it refers to.
    pub names: ReferenceNames,
    /// Where its content is.
    pub address: PayloadAddress,
    /// The copy that was reserved for it.
    pub copy: CopyId,
    /// What was written; none when the content was stored before.
    pub written: Option<PayloadWritten>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct VersionRow {
    id: Uuid,
    policy_type: String,
    graph_id: String,
    number: i64,
    address: Vec<u8>,
    purpose: String,
    run_id: Uuid,
    name: Option<String>,
    modified_text: Option<String>,
    assignments: i64,
    redactions: i64,
    names: String,
    created_at: i64,
}

impl TryFrom<VersionRow> for PolicyVersion {
    type Error = StoreError;

    fn try_from(row: VersionRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("policy_versions", column);
        let count = |value: i64, column| u64::try_from(value).map_err(|_| bad(column));
        Ok(Self {
            id: VersionId::from_uuid(row.id),
            policy_type: PolicyType::new(&row.policy_type).map_err(|_| bad("policy_type"))?,
            graph_id: row.graph_id,
            number: count(row.number, "number")?,
            address: PayloadAddress::from_slice(&row.address).ok_or_else(|| bad("address"))?,
            purpose: row.purpose.parse().map_err(|_| bad("purpose"))?,
            run: RunId::from_uuid(row.run_id),
            name: row.name,
            modified_text: row.modified_text,
            assignments: count(row.assignments, "assignments")?,
            redactions: count(row.redactions, "redactions")?,
            names: serde_json::from_str(&row.names).map_err(|_| bad("names"))?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

/// The version that a capture led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) version: VersionId,
    pub(crate) is_new: bool,
}

fn cut(text: Option<&String>) -> Option<String> {
    text.map(|text| text.chars().take(LONGEST).collect())
}

/// Writes down what was captured, in the caller's transaction: as a new version, or as the latest one when
/// that has the same content; what is imported as any version with the same content. None when the payload is
/// not there any more: the caller reserves it again.
pub(crate) async fn write(
    tx: &mut Tx,
    ids: &dyn Ids,
    claimed: &Claimed,
    key: &PolicyType,
    purpose: Purpose,
    captured: &Captured,
) -> Result<Option<Written>, StoreError> {
    let (scope, graph_id) = (claimed.scope, captured.graph_id.as_str());
    let address = captured.address.as_bytes();
    let same: Option<VersionRow> = match purpose {
        Purpose::Import => {
            tx.optional(stmt!(SAME, scope, key.as_str(), graph_id, address.to_vec())).await?
        }
        _ => tx
            .optional::<VersionRow>(stmt!(LATEST, scope, key.as_str(), graph_id))
            .await?
            .filter(|row| row.address == address),
    };
    if let Some(row) = same {
        return Ok(Some(Written { version: VersionId::from_uuid(row.id), is_new: false }));
    }
    let last: CountRow = tx.one(stmt!(LAST_NUMBER, scope, key.as_str(), graph_id)).await?;
    let number = last.n + 1;
    let version = VersionId::next(ids);
    let (address, copy) = (captured.address, captured.copy);
    if !refer(tx, scope, address, copy, captured.written, version.uuid()).await? {
        return Ok(None);
    }
    let names =
        serde_json::to_string(&captured.names).map_err(|_| bad_row("policy_versions", "names"))?;
    let now = tx.now();
    tx.execute(stmt!(
        INSERT,
        scope,
        version.uuid(),
        claimed.workspace.uuid(),
        key.as_str(),
        graph_id,
        number,
        address.as_bytes().to_vec(),
        purpose.as_str(),
        claimed.run.uuid(),
        cut(captured.name.as_ref()),
        cut(captured.platform.as_ref()),
        cut(captured.odata_type.as_ref()),
        cut(captured.modified_text.as_ref()),
        captured.assignments,
        captured.redactions,
        names,
        now,
    ))
    .await?;
    Ok(Some(Written { version, is_new: true }))
}

impl ClaimedRun {
    /// The latest version of each policy of a type, for skipping what has not changed.
    pub async fn versions_latest(
        &self,
        policy_type: &PolicyType,
    ) -> Result<Vec<PolicyVersion>, StoreError> {
        let stmt = stmt!(LATEST_OF_TYPE, self.claimed.scope, policy_type.as_str());
        let reach = self.claimed.reach();
        let rows: Vec<VersionRow> = self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

impl TenantScope<ViewBackups> {
    /// One version of this tenant.
    pub async fn version_get(&self, id: VersionId) -> Result<Option<PolicyVersion>, StoreError> {
        let stmt = stmt!(GET, self.scope_id().uuid(), id.uuid());
        let row: Option<VersionRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Where the inventory knows that policy; none when it has never seen it.
    pub async fn policy_of_version(
        &self,
        version: &PolicyVersion,
    ) -> Result<Option<PolicyId>, StoreError> {
        self.policy_known(&version.policy_type, &version.graph_id).await
    }

    /// The policy of the inventory with that type and Graph id.
    pub async fn policy_known(
        &self,
        policy_type: &PolicyType,
        graph_id: &str,
    ) -> Result<Option<PolicyId>, StoreError> {
        let stmt = stmt!(POLICY, self.scope_id().uuid(), policy_type.as_str(), graph_id);
        let row: Option<PolicyRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        Ok(row.map(|row| PolicyId::from_uuid(row.id)))
    }

    /// The newest version of a policy that the inventory knows.
    pub async fn version_newest(
        &self,
        policy: PolicyId,
    ) -> Result<Option<PolicyVersion>, StoreError> {
        let stmt = stmt!(NEWEST, self.scope_id().uuid(), policy.uuid());
        let row: Option<VersionRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Versions of one policy, the newest first, before the given number (none: from the newest).
    pub async fn versions_of(
        &self,
        policy_type: &PolicyType,
        graph_id: &str,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<PolicyVersion>, StoreError> {
        let before = before.unwrap_or(i64::MAX as u64);
        let scope = self.scope_id().uuid();
        let stmt = stmt!(HISTORY, scope, policy_type.as_str(), graph_id, before, most);
        let rows: Vec<VersionRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
