//! What is known of how tenants are reached: the credential's facts and what the latest check found.

use serde_json::{Value, json};
use tp_domain::access::{RotateCredentials, ViewTenant};
use tp_domain::connection::{ConnectionReport, CredentialFacts, CredentialState};
use tp_domain::ids::RunId;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::claims::ClaimedRun;
use crate::credentials;
use crate::db::Tx;
use crate::error::StoreError;
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::bad_row;

const CLIENT: &str = "SELECT client_id FROM tenants WHERE id = $1";
const REPORT: &str = "\
SELECT run_id, checked_at, report, granted, granted_at FROM connection_reports WHERE scope_id = $1";
// Grants stay as the latest readable token had them: a check that could not sign in tells nothing of them.
const REPORT_SET: &str = "\
INSERT INTO connection_reports (scope_id, run_id, workspace_id, tenant_id, checked_at, report, granted,
                                granted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (scope_id) DO UPDATE
SET run_id = excluded.run_id, checked_at = excluded.checked_at, report = excluded.report,
    granted = COALESCE(excluded.granted, connection_reports.granted),
    granted_at = COALESCE(excluded.granted_at, connection_reports.granted_at)";

/// What is known of a tenant's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionView {
    /// The app registration.
    pub client_id: Option<String>,
    /// What runs sign in with.
    pub active: Option<CredentialFacts>,
    /// The key pair that was made here and waits to be used.
    pub pending: Option<CredentialFacts>,
    /// What the latest check found.
    pub report: Option<ConnectionReport>,
    /// The app's permissions by the latest token that could be read; none where nobody has looked.
    pub granted: Option<Vec<String>>,
    /// When that was.
    pub granted_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct ClientRow {
    client_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ReportRow {
    run_id: Uuid,
    checked_at: i64,
    report: String,
    granted: Option<String>,
    granted_at: Option<i64>,
}

pub(crate) async fn view(tx: &mut Tx, tenant: Uuid) -> Result<ConnectionView, StoreError> {
    let client: Option<ClientRow> = tx.optional(stmt!(CLIENT, tenant)).await?;
    let client_id = client.and_then(|row| row.client_id);
    let mut view = ConnectionView { client_id, ..ConnectionView::default() };
    for facts in credentials::list(tx, tenant).await? {
        match facts.state {
            CredentialState::Active => view.active = Some(facts),
            CredentialState::Pending => view.pending = Some(facts),
        }
    }
    let row: Option<ReportRow> = tx.optional(stmt!(REPORT, tenant)).await?;
    if let Some(row) = row {
        let bad = |column| bad_row("connection_reports", column);
        let report: Value = serde_json::from_str(&row.report).map_err(|_| bad("report"))?;
        let (run, at) = (RunId::from_uuid(row.run_id), Timestamp::from_micros(row.checked_at));
        view.report = Some(ConnectionReport::read(run, at, &report).ok_or_else(|| bad("report"))?);
        let granted = row.granted.as_deref().map(serde_json::from_str).transpose();
        view.granted = granted.map_err(|_| bad("granted"))?;
        view.granted_at = row.granted_at.map(Timestamp::from_micros);
    }
    Ok(view)
}

async fn of_scope<C>(scope: &TenantScope<C>) -> Result<ConnectionView, StoreError> {
    let tenant = scope.scope_id().uuid();
    let read = scope
        .store
        .db
        .read(scope.reach(), move |tx| Box::pin(async move { view(tx, tenant).await }));
    read.await
}

impl TenantScope<ViewTenant> {
    /// What is known of how this tenant is reached.
    pub async fn connection(&self) -> Result<ConnectionView, StoreError> {
        of_scope(self).await
    }
}

impl TenantScope<RotateCredentials> {
    /// What is known of how this tenant is reached, after a change.
    pub async fn connection(&self) -> Result<ConnectionView, StoreError> {
        of_scope(self).await
    }
}

impl ClaimedRun {
    /// Keeps what this run found, in place of what the check before found.
    pub async fn connection_report(&self, report: &ConnectionReport) -> Result<(), StoreError> {
        self.records();
        let claimed = self.claimed;
        let tenant = claimed.tenant.ok_or(StoreError::LeaseLost)?.uuid();
        let text = report.json().to_string();
        let granted = report.granted.as_ref().map(|granted| json!(granted).to_string());
        let at = report.checked_at;
        let granted_at = granted.as_ref().map(|_| at);
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    tx.execute(stmt!(
                        REPORT_SET,
                        claimed.scope,
                        claimed.run.uuid(),
                        claimed.workspace.uuid(),
                        tenant,
                        at,
                        text.clone(),
                        granted.clone(),
                        granted_at,
                    ))
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}
