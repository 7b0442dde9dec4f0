//! Looking for scopes with work, for what no ring told of: work of other processes whose message was
//! lost, waits that have ended, leases that were taken back.

use tp_domain::operation::Lane;
use uuid::Uuid;

use crate::Store;
use crate::breaks::timed;
use crate::db::Reach;
use crate::error::StoreError;
use crate::queue::Hint;
use crate::stmt::stmt;

// From scope to scope by the index, however many jobs each has.
const SCOPES: &str = "\
WITH RECURSIVE found(scope_id) AS (
  SELECT (SELECT scope_id FROM jobs
          WHERE state = 'ready' AND NOT umbrella AND priority = $1 ORDER BY scope_id LIMIT 1)
  UNION ALL
  SELECT (SELECT j.scope_id FROM jobs j
          WHERE j.state = 'ready' AND NOT j.umbrella AND j.priority = $1 AND j.scope_id > f.scope_id
          ORDER BY j.scope_id LIMIT 1)
  FROM found f WHERE f.scope_id IS NOT NULL
)
SELECT f.scope_id,
       (SELECT j.workspace_id FROM jobs j
        WHERE j.state = 'ready' AND NOT j.umbrella AND j.priority = $1 AND j.scope_id = f.scope_id
        LIMIT 1) AS workspace_id
FROM found f WHERE f.scope_id IS NOT NULL";

#[derive(sqlx::FromRow)]
struct ScopeRow {
    scope_id: Uuid,
    workspace_id: Option<Uuid>,
}

/// Finds the scopes with work in any lane and gives each a hint.
pub(crate) async fn discover(store: &Store) -> Result<(), StoreError> {
    timed!(Discovery);
    let found = store
        .db
        .read(Reach::All, |tx| {
            Box::pin(async move {
                let mut hints = Vec::new();
                for lane in Lane::ALL {
                    let priority = lane.priority();
                    let rows: Vec<ScopeRow> = tx.all(stmt!(SCOPES, priority)).await?;
                    hints.extend(rows.into_iter().filter_map(|row| {
                        let workspace = row.workspace_id?;
                        Some(Hint { priority, scope: row.scope_id, workspace })
                    }));
                }
                Ok(hints)
            })
        })
        .await?;
    found.into_iter().for_each(|hint| store.queue.add(hint));
    Ok(())
}
