//! A history as an installation has it after a while: ended runs with what belongs to each.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tp_domain::ids::{TenantId, UserId, WorkspaceId};
use uuid::Uuid;

use crate::{DatabaseUrl, Dialect, Store};

// Spread over the tenants in turn, back in time from now.
const RUNS: &str = "\
INSERT INTO operation_runs (scope_id, id, workspace_id, tenant_id, kind, status, outcome, identity_hash,
  initiator_id, initiator_name, trigger_kind, inputs, total, processed, succeeded, max_attempts, attempt,
  created_at, started_at, completed_at)
SELECT {tenant}, {id}, {workspace}, {tenant}, 'inventory.sync', 'completed', 'succeeded',
  'fill' || (n % 50), {user}, 'Olive Owner', 'manual', '{}', 40, 40, 40, 3, 1,
  {now} - n * 1000000, {now} - n * 1000000 + 1000, {now} - n * 1000000 + 500000
FROM (WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
      SELECT n FROM numbers) filled";
const NOTIFICATIONS: &str = "\
INSERT INTO notifications (scope_id, run_id, moment, id, workspace_id, tenant_id, user_id, kind, outcome,
  created_at, read_at)
SELECT scope_id, id, '{moment}', {id}, workspace_id, tenant_id, initiator_id, kind, '{outcome}',
  {column}, completed_at
FROM operation_runs WHERE scope_id = {tenant} AND identity_hash LIKE 'fill%'";
const AUDIT: &str = "\
INSERT INTO audit_entries (scope_id, id, workspace_id, tenant_id, at, actor_kind, actor_id, actor_name,
  action, target_kind, target_id, run_id, details)
SELECT scope_id, {id}, workspace_id, tenant_id, created_at, 'user', initiator_id, initiator_name,
  'run.started', 'run', 'filled', id, '{}'
FROM operation_runs WHERE scope_id = {tenant} AND identity_hash LIKE 'fill%'";

#[expect(clippy::unwrap_used, reason = "test set-up")]
impl Store {
    /// Fills the tenants with ended runs of that person, each with its notifications and its audit entry.
    pub async fn test_fill_history(
        &self,
        tenants: &[TenantId],
        workspace: WorkspaceId,
        user: UserId,
        count: usize,
        admin: &DatabaseUrl,
    ) {
        let now = self.now().micros().to_string();
        let (uuid, id): (fn(Uuid) -> String, &str) = match self.dialect() {
            Dialect::Sqlite => (|id| format!("x'{}'", id.simple()), "randomblob(16)"),
            Dialect::Postgres => (|id| format!("'{id}'::uuid"), "gen_random_uuid()"),
        };
        let told = |moment: &str, outcome: &str, column: &str| {
            NOTIFICATIONS
                .replace("{moment}", moment)
                .replace("{outcome}", outcome)
                .replace("{column}", column)
        };
        let parts = [
            RUNS.to_owned(),
            told("queued", "pending", "created_at"),
            told("ended", "succeeded", "completed_at"),
            AUDIT.to_owned(),
        ];
        let each = (count / tenants.len()).to_string();
        let mut texts = Vec::new();
        for tenant in tenants {
            for part in &parts {
                let text = part
                    .replace("{tenant}", &uuid(tenant.uuid()))
                    .replace("{workspace}", &uuid(workspace.uuid()))
                    .replace("{user}", &uuid(user.uuid()))
                    .replace("{id}", id)
                    .replace("{now}", &now)
                    .replace("{count}", &each);
                texts.push(text);
            }
        }
        match admin {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = crate::db::lite_options(path).connect().await.unwrap();
                let text = format!("BEGIN; {}; COMMIT; ANALYZE", texts.join("; "));
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
            DatabaseUrl::Postgres(url) => {
                let mut conn = crate::db::pg_options(url).unwrap().connect().await.unwrap();
                sqlx::raw_sql("SET app.reach = '*'").execute(&mut conn).await.unwrap();
                for text in texts {
                    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
                }
                // Now, so that it does not fall into what is measured.
                sqlx::raw_sql("VACUUM ANALYZE").execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }
}
