//! Making the preview of a restore: what is wanted, where it is, and the plan that comes of it.

use std::collections::HashMap;
use std::sync::Arc;

use tp_domain::access::PreviewRestore;
use tp_domain::actor::Initiator;
use tp_domain::ids::{RestoreId, RunId, UserId};
use tp_domain::operation::OperationRequest as _;
use tp_domain::payload::PayloadAddress;
use tp_domain::policy::PolicyType;
use tp_domain::restore::plan::{FrozenPlan, RestorePlan};
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::restore::record::RestoreRecord;
use tp_domain::run::OperationRun;
use tp_domain::tenant::Tenant;
use uuid::Uuid;

use crate::ClaimedRun;
use crate::error::StoreError;
use crate::restore_rows::found;
use crate::restores::{Act, RestoreRefused, freeze};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::{TenantRow, bad_row};

const RESTORED_AS: &str = "\
SELECT policy_type, item_key, graph_id FROM restore_items
WHERE scope_id = $1 AND action = 'create' AND graph_id IS NOT NULL AND completed_at IS NOT NULL
ORDER BY completed_at";
const PREVIEW_RUN: &str = "\
SELECT id FROM operation_runs
WHERE scope_id = $1 AND kind = 'restore.preview' AND inputs = $2 ORDER BY created_at DESC, id DESC LIMIT 1";
const TENANT: &str = "\
SELECT id, workspace_id, slug, name, entra_tenant_id, domain, cloud, client_id, status, created_at
FROM tenants WHERE id = $1";
const PREVIEWED: &str = "\
UPDATE restores SET preview_address = $3, preview_run_id = $4 WHERE scope_id = $1 AND id = $2";

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct RestoredRow {
    policy_type: String,
    item_key: String,
    graph_id: String,
}

/// What a preview has found, to be frozen.
#[derive(Clone, Debug)]
pub struct NewPreview {
    /// The plan.
    pub plan: RestorePlan,
    /// Where what was found is kept. The restore holds it already.
    pub found: PayloadAddress,
}

impl TenantScope<PreviewRestore> {
    /// The latest run that made, or makes, the preview of a restore.
    pub async fn restore_preview_run(
        &self,
        id: RestoreId,
    ) -> Result<Option<OperationRun>, StoreError> {
        let inputs = MakeRestorePreview { restore: id }.inputs().to_string();
        let stmt = stmt!(PREVIEW_RUN, self.scope_id().uuid(), inputs);
        let row: Option<IdRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        match row {
            Some(row) => self.run_get(RunId::from_uuid(row.id)).await,
            None => Ok(None),
        }
    }
}

impl ClaimedRun {
    /// The restore, if it is one of this run's tenant.
    pub async fn restore(&self, id: RestoreId) -> Result<Option<RestoreRecord>, StoreError> {
        let (scope, id) = (self.claimed.scope, id.uuid());
        let reach = self.claimed.reach();
        self.store
            .db
            .read(reach, move |tx| Box::pin(async move { found(tx, scope, id).await }))
            .await
    }

    /// Objects that restores of this tenant made anew: by type and the Graph id that the object had, the id
    /// that it got. The latest counts.
    pub async fn restored_as(&self) -> Result<HashMap<(PolicyType, String), String>, StoreError> {
        let stmt = stmt!(RESTORED_AS, self.claimed.scope);
        let reach = self.claimed.reach();
        let rows: Vec<RestoredRow> = self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
        let mut all = HashMap::new();
        for row in rows {
            let key = PolicyType::new(&row.policy_type)
                .map_err(|_| bad_row("restore_items", "policy_type"))?;
            let old = row.item_key.strip_prefix(&format!("{}/", row.policy_type));
            if let Some(old) = old {
                all.insert((key, old.to_lowercase()), row.graph_id);
            }
        }
        Ok(all)
    }

    /// The tenant of this run.
    pub async fn tenant(&self) -> Result<Option<Tenant>, StoreError> {
        let Some(tenant) = self.claimed.tenant else { return Ok(None) };
        let stmt = stmt!(TENANT, tenant.uuid());
        let reach = self.claimed.reach();
        let row: Option<TenantRow> =
            self.store.db.read(reach, |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Freezes what this run has found. A restore that was confirmed or given up meanwhile stays as it is.
    pub async fn restore_previewed(
        &self,
        id: RestoreId,
        preview: NewPreview,
    ) -> Result<Result<FrozenPlan, RestoreRefused>, StoreError> {
        let Some(tenant) = self.tenant().await? else {
            return Ok(Err(RestoreRefused::NotFound));
        };
        if preview.plan.entra_tenant_id != tenant.entra_tenant_id {
            return Ok(Err(RestoreRefused::BadPlan("it is for another tenant".to_owned())));
        }
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let act = Act {
                        tenant,
                        user: UserId::from_uuid(Uuid::nil()),
                        initiator: Initiator::System,
                        id,
                        request_id: None,
                    };
                    let frozen = match freeze(tx, &*ids, &act, preview.plan).await? {
                        Ok(frozen) => frozen,
                        Err(refused) => return Ok(Err(refused)),
                    };
                    let (bytes, run) = (preview.found.as_bytes().to_vec(), claimed.run.uuid());
                    tx.execute(stmt!(PREVIEWED, claimed.scope, id.uuid(), bytes, run)).await?;
                    Ok(Ok(frozen))
                })
            })
            .await
    }
}
