//! What a preview reads its source by: the versions of one tenant, which need not be the one that is written
//! to; and what somebody has said that things of one tenant are in another.

use std::collections::BTreeMap;

use tp_domain::access::{Capability, PreviewRestore, Role};
use tp_domain::backup::BackupSet;
use tp_domain::ids::TenantId;
use tp_domain::payload::{PayloadAddress, PayloadKeys};
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::{RestoreDraft, RestoreSource};
use tp_domain::restore::mapping::{Choice, Mapping};
use tp_domain::version::PolicyVersion;
use uuid::Uuid;

use crate::backup_reads::set_of;
use crate::claims::Claimed;
use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::payloads::{PayloadPlace, place};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::versions::{GET, OF_SET, VersionRow};
use crate::{ClaimedRun, Store};

// The tenant must be of the run's workspace, and whoever started the run must have a role there.
const MAY_READ: &str = "\
SELECT COALESCE(r.initiator_id, r.authority_id) AS person_id, u.status AS user_status,
       COALESCE(own.role, whole.role) AS role
FROM operation_runs r
JOIN tenants t ON t.id = $3 AND t.workspace_id = r.workspace_id
LEFT JOIN users u ON u.id = COALESCE(r.initiator_id, r.authority_id)
LEFT JOIN memberships own ON own.scope_id = t.id AND own.user_id = u.id
LEFT JOIN memberships whole ON whole.scope_id = r.workspace_id AND whole.user_id = u.id
WHERE r.scope_id = $1 AND r.id = $2";
const MAPPING_SET: &str = "\
INSERT INTO restore_mappings (scope_id, source_tenant_id, kind, source_id, workspace_id, tenant_id,
                              target_id, set_by, set_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (scope_id, source_tenant_id, kind, source_id) DO UPDATE
SET target_id = excluded.target_id, set_by = excluded.set_by, set_at = excluded.set_at";
const MAPPINGS: &str = "\
SELECT kind, source_id, target_id FROM restore_mappings
WHERE scope_id = $1 AND source_tenant_id = $2 ORDER BY kind, source_id";

#[derive(sqlx::FromRow)]
struct PersonRow {
    person_id: Option<Uuid>,
    user_status: Option<String>,
    role: Option<String>,
}

#[derive(sqlx::FromRow)]
struct MappingRow {
    kind: String,
    source_id: String,
    target_id: String,
}

/// Versions of one tenant, for one run that makes a preview. Made by [`ClaimedRun::restore_source`] only.
#[derive(Debug)]
pub struct SourceDoor {
    store: Store,
    claimed: Claimed,
    tenant: TenantId,
}

impl ClaimedRun {
    /// The versions of that tenant (none: the run's own), if whoever started this run may see them.
    pub async fn restore_source(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<Result<SourceDoor, ReasonCode>, StoreError> {
        let claimed = self.claimed;
        let Some(own) = claimed.tenant else { return Ok(Err(ReasonCode::InternalError)) };
        let tenant = tenant.unwrap_or(own);
        let stmt = stmt!(MAY_READ, claimed.scope, claimed.run.uuid(), tenant.uuid());
        let row: Option<PersonRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        let may = row.is_some_and(|row| {
            let role: Option<Role> = row.role.and_then(|role| role.parse().ok());
            let active = row.user_status.as_deref() == Some("active");
            row.person_id.is_none()
                || (active && role.is_some_and(|role| role.grants(Capability::BackupsView)))
        });
        if !may {
            return Ok(Err(ReasonCode::AuthorityLost));
        }
        Ok(Ok(SourceDoor { store: self.store.clone(), claimed, tenant }))
    }

    /// What was remembered of that source for the run's tenant.
    pub async fn mapping_known(&self, source: TenantId) -> Result<Mapping, StoreError> {
        let scope = self.claimed.scope;
        let read = self.store.db.read(self.claimed.reach(), move |tx| {
            Box::pin(async move { mappings(tx, scope, source.uuid()).await })
        });
        read.await
    }
}

impl SourceDoor {
    /// The tenant.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Whether it is another tenant than the one that is written to.
    pub fn is_foreign(&self) -> bool {
        self.claimed.tenant != Some(self.tenant)
    }

    const fn reach(&self) -> Reach {
        Reach::Scope(self.tenant.uuid())
    }

    /// The versions that a draft is made of. Those that a set lacks are not among them.
    pub async fn versions(&self, draft: &RestoreDraft) -> Result<Vec<PolicyVersion>, StoreError> {
        let (scope, source) = (self.tenant.uuid(), draft.source.clone());
        let rows: Vec<VersionRow> = self
            .store
            .db
            .read(self.reach(), move |tx| {
                Box::pin(async move {
                    match &source {
                        RestoreSource::Backup(number) => {
                            tx.all(stmt!(OF_SET, scope, *number)).await
                        }
                        RestoreSource::Versions(ids) => {
                            let mut rows = Vec::with_capacity(ids.len());
                            for id in ids {
                                rows.extend(tx.optional(stmt!(GET, scope, id.uuid())).await?);
                            }
                            Ok(rows)
                        }
                    }
                })
            })
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The set that a draft is made of; none for single versions.
    pub async fn set(&self, draft: &RestoreDraft) -> Result<Option<BackupSet>, StoreError> {
        let RestoreSource::Backup(number) = draft.source else { return Ok(None) };
        let scope = self.tenant.uuid();
        self.store
            .db
            .read(self.reach(), move |tx| Box::pin(async move { set_of(tx, scope, number).await }))
            .await
    }

    /// Where a content of that tenant is; none when it is not stored.
    pub async fn place(&self, address: PayloadAddress) -> Result<Option<PayloadPlace>, StoreError> {
        place(&self.store, self.tenant.uuid(), address).await
    }

    /// The keys for that tenant's contents.
    pub async fn keys(&self) -> Result<Result<PayloadKeys, ReasonCode>, StoreError> {
        self.store.payload_keys_of(self.claimed.workspace, self.tenant).await
    }
}

async fn mappings(tx: &mut Tx, scope: Uuid, source: Uuid) -> Result<Mapping, StoreError> {
    let rows: Vec<MappingRow> = tx.all(stmt!(MAPPINGS, scope, source)).await?;
    let mut known: BTreeMap<String, BTreeMap<String, Choice>> = BTreeMap::new();
    for row in rows {
        known.entry(row.kind).or_default().insert(row.source_id, Choice::To(row.target_id));
    }
    Ok(Mapping(known))
}

impl TenantScope<PreviewRestore> {
    /// Remembers which object of this tenant something of another one is, for restores to come. Other
    /// choices are of one restore and are not remembered.
    pub async fn mapping_remember(
        &self,
        source: TenantId,
        mapping: &Mapping,
    ) -> Result<(), StoreError> {
        let (scope, workspace) = (self.tenant.id.uuid(), self.tenant.workspace.uuid());
        let (user, mapping) = (self.actor.user.uuid(), mapping.clone());
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let (source, now) = (source.uuid(), tx.now());
                    for (kind, choices) in &mapping.0 {
                        for (from, choice) in choices {
                            let Choice::To(to) = choice else { continue };
                            let (kind, from, to) = (kind.as_str(), from.as_str(), to.as_str());
                            tx.execute(stmt!(
                                MAPPING_SET,
                                scope,
                                source,
                                kind,
                                from,
                                workspace,
                                scope,
                                to,
                                user,
                                now
                            ))
                            .await?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// What was remembered of that source for this tenant.
    pub async fn mapping_known(&self, source: TenantId) -> Result<Mapping, StoreError> {
        let (scope, source) = (self.tenant.id.uuid(), source.uuid());
        let read = self.store.db.read(self.reach(), move |tx| {
            Box::pin(async move { mappings(tx, scope, source).await })
        });
        read.await
    }
}
