//! Whether a run may still begin or go on: its initiator, its tenant, the gates (PRODUCT A-6).

use std::collections::HashMap;

use serde_json::json;
use tp_domain::access::Role;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use uuid::Uuid;

use crate::db::{Dialect, Tx};
use crate::error::StoreError;
use crate::stmt::{StmtBuilder, stmt};

/// The rows that speak for or against a run, of one run or of many.
macro_rules! facts {
    ($from:literal) => {
        concat!(
            "SELECT r.id, COALESCE(r.initiator_id, r.authority_id) AS person_id, u.status AS user_status, \
             COALESCE(own.role, whole.role) AS role, t.status AS tenant_status, \
             EXISTS (SELECT 1 FROM gates g WHERE g.scope_id IN (r.workspace_id, $1) \
                     AND g.kind IN ('*', r.kind) \
                     AND (g.expires_at IS NULL OR g.expires_at > $2)) AS gated FROM ",
            $from,
            " LEFT JOIN users u ON u.id = COALESCE(r.initiator_id, r.authority_id) \
             LEFT JOIN memberships own ON own.scope_id = r.scope_id AND own.user_id = u.id \
             LEFT JOIN memberships whole ON whole.scope_id = r.workspace_id \
                                        AND whole.user_id = u.id \
             LEFT JOIN tenants t ON t.id = r.tenant_id"
        )
    };
}

const FACTS_PG: &str = facts!(
    "jsonb_to_recordset(CAST($3 AS JSONB)) AS c(scope_id UUID, run_id UUID) \
     JOIN operation_runs r ON r.scope_id = c.scope_id AND r.id = c.run_id"
);
const FACTS: &str = facts!("operation_runs r");

/// What speaks for or against a run at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority {
    /// Runs of the product itself and of schedules have no initiator to ask.
    person: bool,
    role: Option<Role>,
    tenant_active: bool,
    gated: bool,
}

impl Authority {
    /// Of a run that is not there.
    pub(crate) const GONE: Self =
        Self { person: true, role: None, tenant_active: false, gated: false };

    /// Why the kind may not begin; none when it may.
    pub(crate) fn refuses(self, kind: OperationKind) -> Option<ReasonCode> {
        let capable = self.role.is_some_and(|role| role.grants(kind.facts().capability));
        if self.gated {
            Some(ReasonCode::GateClosed)
        } else if !self.tenant_active {
            Some(ReasonCode::TenantDisabled)
        } else if self.person && !capable {
            Some(ReasonCode::AuthorityLost)
        } else {
            None
        }
    }
}

#[derive(sqlx::FromRow)]
struct FactRow {
    id: Uuid,
    person_id: Option<Uuid>,
    user_status: Option<String>,
    role: Option<String>,
    tenant_status: Option<String>,
    gated: bool,
}

impl From<FactRow> for Authority {
    fn from(row: FactRow) -> Self {
        let active = row.user_status.as_deref() == Some("active");
        Self {
            person: row.person_id.is_some(),
            role: row.role.filter(|_| active).and_then(|role| role.parse().ok()),
            // A run of the workspace itself has no tenant.
            tenant_active: row.tenant_status.is_none_or(|status| status == "active"),
            gated: row.gated,
        }
    }
}

/// The authority of these runs, by run id.
pub(crate) async fn of_runs(
    tx: &mut Tx,
    runs: &[(Uuid, Uuid)],
) -> Result<HashMap<Uuid, Authority>, StoreError> {
    let now = tx.now();
    let everywhere = crate::gates::EVERYWHERE;
    let mut rows: Vec<FactRow> = Vec::with_capacity(runs.len());
    if tx.dialect() == Dialect::Postgres {
        let list: Vec<_> =
            runs.iter().map(|(scope, run)| json!({"scope_id": scope, "run_id": run})).collect();
        let facts = stmt!(FACTS_PG, everywhere, now, json!(list).to_string());
        rows = tx.all(facts.planned_anew()).await?;
    } else {
        for (scope, run) in runs {
            let mut sql = StmtBuilder::new(FACTS)
                .with_values([crate::stmt::Value::from(everywhere), now.into()]);
            sql.push(" WHERE r.scope_id = ").bind(*scope).push(" AND r.id = ").bind(*run);
            rows.extend(tx.optional::<FactRow>(sql.build()).await?);
        }
    }
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}
