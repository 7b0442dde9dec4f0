//! A person over all of their own tenants: aggregates and lists, nothing by id.

use tp_domain::access::{Capability, Role};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::connections::{self, ConnectionView};
use crate::db::{Reach, Tx};
use crate::doors::Actor;
use crate::error::StoreError;
use crate::run_reads::{self, RunFilter, RunPage, TabCounts};
use crate::stmt::stmt;
use crate::tenants::{TenantRow, bad_row};

// Every list of this door begins here: the tenants that the person is a member of, and no others.
const TENANTS: &str = "\
SELECT t.id, t.workspace_id, t.slug, t.name, t.entra_tenant_id, t.domain, t.cloud, t.client_id,
       t.status, t.created_at, COALESCE(own.role, whole.role) AS role
FROM tenants t
LEFT JOIN memberships own ON own.scope_id = t.id AND own.user_id = $2
LEFT JOIN memberships whole ON whole.scope_id = t.workspace_id AND whole.user_id = $2
WHERE t.workspace_id = $1 AND COALESCE(own.role, whole.role) IS NOT NULL
ORDER BY t.name, t.id";
const WHOLE: &str = "SELECT role FROM memberships WHERE scope_id = $1 AND user_id = $2";
// Asked for on every page: the jobs table holds what is active and nothing else.
const ACTIVE: &str = "\
SELECT count(*) AS n FROM jobs j
WHERE j.workspace_id = $1
  AND EXISTS (SELECT 1 FROM memberships m
              WHERE m.user_id = $2 AND m.scope_id IN (j.workspace_id, j.tenant_id))";
const SUMMARY: &str = "\
SELECT (SELECT count(*) FROM policies p WHERE p.scope_id = $1) AS policies,
       (SELECT max(complete_at) FROM inventory_types i WHERE i.scope_id = $1) AS synced_at,
       (SELECT count(*) FROM operation_runs r WHERE r.scope_id = $1
          AND r.status IN ('queued', 'running')) AS active,
       (SELECT count(*) FROM operation_runs r WHERE r.scope_id = $1
          AND r.outcome IN ('failed', 'partially_succeeded', 'blocked') AND r.created_at >= $2) AS failed";

/// The door over a person's own tenants. Made by [`Store::enter_fleet`] only.
#[derive(Clone, Debug)]
pub struct FleetScope {
    pub(crate) store: Store,
    pub(crate) actor: Actor,
    /// What the person must be able to do in each tenant that is shown.
    pub(crate) capability: Capability,
}

/// One tenant of the fleet in a line.
#[derive(Clone, Debug)]
pub struct TenantSummary {
    /// The tenant.
    pub tenant: Tenant,
    /// The person's role there.
    pub role: Role,
    /// How it is reached.
    pub connection: ConnectionView,
    /// How many policies the inventory holds.
    pub policies: u64,
    /// When a policy type was last listed completely.
    pub synced_at: Option<Timestamp>,
    /// How many runs are queued or running.
    pub active_runs: u64,
    /// How many runs of the last seven days ended in failure, also in part.
    pub failed_runs: u64,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    #[sqlx(flatten)]
    tenant: TenantRow,
    role: String,
}

#[derive(sqlx::FromRow)]
struct WholeRow {
    role: String,
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    policies: i64,
    synced_at: Option<i64>,
    active: i64,
    failed: i64,
}

/// How far back "failed lately" looks.
const FAILED_WINDOW: std::time::Duration = std::time::Duration::from_hours(168);

impl FleetScope {
    async fn own(&self, tx: &mut Tx) -> Result<Vec<(Tenant, Role)>, StoreError> {
        let stmt = stmt!(TENANTS, self.actor.workspace.uuid(), self.actor.user.uuid());
        let rows: Vec<MemberRow> = tx.all(stmt).await?;
        rows.into_iter()
            .map(|row| {
                let role: Role = row.role.parse().map_err(|_| bad_row("memberships", "role"))?;
                Ok((row.tenant.try_into()?, role))
            })
            .filter(|found: &Result<(Tenant, Role), StoreError>| {
                found.as_ref().map_or(true, |(tenant, role)| {
                    role.grants(self.capability) && self.actor.may_reach(tenant.id)
                })
            })
            .collect()
    }

    /// The person's tenants, by name.
    pub async fn tenant_list(&self) -> Result<Vec<(Tenant, Role)>, StoreError> {
        let fleet = self.clone();
        self.store.db.read(Reach::All, move |tx| Box::pin(async move { fleet.own(tx).await })).await
    }

    /// The person's tenants with what is going on there.
    pub async fn tenant_summaries(&self) -> Result<Vec<TenantSummary>, StoreError> {
        let fleet = self.clone();
        self.store
            .db
            .read(Reach::All, move |tx| {
                Box::pin(async move {
                    let since = tx.now().minus(FAILED_WINDOW);
                    let mut summaries = Vec::new();
                    for (tenant, role) in fleet.own(tx).await? {
                        let row: SummaryRow =
                            tx.one(stmt!(SUMMARY, tenant.id.uuid(), since)).await?;
                        let connection = connections::view(tx, tenant.id.uuid()).await?;
                        let count = |value: i64| u64::try_from(value).unwrap_or(0);
                        summaries.push(TenantSummary {
                            tenant,
                            role,
                            connection,
                            policies: count(row.policies),
                            synced_at: row.synced_at.map(Timestamp::from_micros),
                            active_runs: count(row.active),
                            failed_runs: count(row.failed),
                        });
                    }
                    Ok(summaries)
                })
            })
            .await
    }

    async fn own_ids(&self, tx: &mut Tx) -> Result<Vec<Uuid>, StoreError> {
        let mut scopes: Vec<Uuid> =
            self.own(tx).await?.into_iter().map(|(tenant, _)| tenant.id.uuid()).collect();
        // A member of the workspace as a whole sees its own runs beside those of its tenants.
        let (workspace, user) = (self.actor.workspace.uuid(), self.actor.user.uuid());
        let whole: Option<WholeRow> = tx.optional(stmt!(WHOLE, workspace, user)).await?;
        let role = whole.and_then(|row| row.role.parse::<Role>().ok());
        let may = role.is_some_and(|role| role.grants(self.capability));
        if may && self.actor.may_reach_workspace() {
            scopes.push(workspace);
        }
        Ok(scopes)
    }

    /// One page of the runs of all of the person's tenants (ruling 5).
    pub async fn fleet_run_list(&self, filter: RunFilter) -> Result<RunPage, StoreError> {
        let fleet = self.clone();
        self.store
            .db
            .read(Reach::All, move |tx| {
                Box::pin(async move {
                    let scopes = fleet.own_ids(tx).await?;
                    run_reads::list(tx, &scopes, &filter).await
                })
            })
            .await
    }

    /// How many runs of the workspace and of all of the person's tenants are queued or running.
    pub async fn fleet_run_active(&self) -> Result<u64, StoreError> {
        #[derive(sqlx::FromRow)]
        struct CountRow {
            n: i64,
        }
        let stmt = stmt!(ACTIVE, self.actor.workspace.uuid(), self.actor.user.uuid());
        let row: CountRow = self.store.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await?;
        Ok(u64::try_from(row.n).unwrap_or(0))
    }

    /// How many runs of all of the person's tenants stand behind each tab, since that moment.
    pub async fn fleet_run_tabs(&self, since: Option<Timestamp>) -> Result<TabCounts, StoreError> {
        let fleet = self.clone();
        self.store
            .db
            .read(Reach::All, move |tx| {
                Box::pin(async move {
                    let scopes = fleet.own_ids(tx).await?;
                    run_reads::tabs(tx, &scopes, since).await
                })
            })
            .await
    }
}
