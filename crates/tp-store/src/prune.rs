//! Deleting finished runs after the workspace's retention (PRODUCT R-16).

use tp_domain::time::Timestamp;

use crate::claims::ClaimedRun;
use crate::db::Reach;
use crate::error::StoreError;
use crate::stmt::stmt;
use crate::workspace::settings_of;

// By the index of the newest: what ended before was created before. A parent goes after its children: a page
// never links to nothing.
const OLD: &str = "\
SELECT r.scope_id, r.id FROM operation_runs r
WHERE r.scope_id IN (SELECT t.id FROM tenants t WHERE t.workspace_id = $1 UNION ALL SELECT $1)
  AND r.created_at < $2 AND r.completed_at < $2 AND r.status = 'completed'
  AND NOT EXISTS (SELECT 1 FROM operation_runs c WHERE c.parent_id = r.id)
LIMIT 200";

/// What hangs on a run, in the order in which it must go.
const PARTS: [&str; 7] = [
    "DELETE FROM run_items WHERE scope_id = $1 AND run_id = $2",
    "DELETE FROM run_steps WHERE scope_id = $1 AND run_id = $2",
    "DELETE FROM run_children WHERE scope_id = $1 AND run_id = $2",
    "DELETE FROM run_attention WHERE scope_id = $1 AND run_id = $2",
    "DELETE FROM notifications WHERE scope_id = $1 AND run_id = $2",
    "DELETE FROM idempotency_keys WHERE scope_id = $1 AND run_id = $2",
    "DELETE FROM operation_runs WHERE scope_id = $1 AND id = $2 AND status = 'completed'",
];
// With the deletion: what a worker that dies has deleted stays counted.
const COUNTED: &str = "\
UPDATE operation_runs SET succeeded = succeeded + $3, processed = processed + $3, total = NULL
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const SLOTS: &str = "DELETE FROM schedule_slots WHERE workspace_id = $1 AND slot_at < $2";

#[derive(sqlx::FromRow)]
struct OldRow {
    scope_id: uuid::Uuid,
    id: uuid::Uuid,
}

impl ClaimedRun {
    /// Up to when runs of this run's workspace are old, and how many days are kept.
    pub async fn prune_before(&self) -> Result<(Timestamp, u32), StoreError> {
        let settings = settings_of(&self.store, self.claimed.workspace).await?;
        let (days, kept) = (settings.retention.as_days(), settings.retention.duration());
        // The store's clock: one machine that is a year ahead must not delete the history (ruling 13).
        let now = self
            .store
            .db
            .read(Reach::All, |tx| {
                let now = tx.now();
                Box::pin(async move { Ok(now) })
            })
            .await?;
        Ok((now.minus(kept), days))
    }

    /// Deletes the next finished runs of the workspace that ended before that moment, with all that
    /// hangs on them, and counts them in this run, in one transaction. Says how many; zero when none
    /// is left.
    pub async fn prune_some(&self, before: Timestamp) -> Result<u64, StoreError> {
        let claimed = self.claimed;
        let deleted = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let workspace = claimed.workspace.uuid();
                    let old: Vec<OldRow> = tx.all(stmt!(OLD, workspace, before)).await?;
                    for OldRow { scope_id, id } in &old {
                        for part in PARTS {
                            tx.execute(stmt!(part, *scope_id, *id)).await?;
                        }
                    }
                    tx.execute(stmt!(SLOTS, workspace, before)).await?;
                    let count = u64::try_from(old.len()).unwrap_or(u64::MAX);
                    tx.execute(stmt!(COUNTED, claimed.scope, claimed.run.uuid(), count)).await?;
                    Ok(count)
                })
            })
            .await?;
        self.progress().add(deleted, 0, 0);
        Ok(deleted)
    }
}
