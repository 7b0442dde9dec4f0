//! Tenant rows, and the connection that a claimed run signs in with.

use tp_domain::ids::{TenantId, WorkspaceId};
use tp_domain::tenant::{Slug, Tenant};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::credentials::Credential;
use crate::error::StoreError;

/// What a worker needs to reach a tenant. What is secret of it is in memory only.
#[derive(Debug)]
pub struct Connection {
    /// The tenant's id in Microsoft Entra.
    pub entra_tenant_id: Uuid,
    /// The cloud's name.
    pub cloud: String,
    /// The app registration.
    pub client_id: String,
    /// Its secret or certificate.
    pub credential: Credential,
}

pub(crate) const fn bad_row(table: &'static str, column: &'static str) -> StoreError {
    StoreError::BadRow { table, column }
}

#[derive(sqlx::FromRow)]
pub(crate) struct TenantRow {
    id: Uuid,
    workspace_id: Uuid,
    slug: String,
    name: String,
    entra_tenant_id: Uuid,
    domain: Option<String>,
    cloud: String,
    client_id: Option<String>,
    status: String,
    created_at: i64,
}

impl TryFrom<TenantRow> for Tenant {
    type Error = StoreError;

    fn try_from(row: TenantRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: TenantId::from_uuid(row.id),
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            slug: Slug::new(&row.slug).map_err(|_| bad_row("tenants", "slug"))?,
            name: row.name,
            entra_tenant_id: row.entra_tenant_id,
            domain: row.domain,
            cloud: row.cloud,
            client_id: row.client_id,
            status: row.status.parse().map_err(|_| bad_row("tenants", "status"))?,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}
