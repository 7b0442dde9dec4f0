//! Local accounts beside a provider: for first use and for when the provider does not work (PRODUCT A-4).
//! Their sessions end soon, and everybody in the workspace sees them.

use std::time::Duration;

use tp_domain::time::Timestamp;

use crate::db::Reach;
use crate::doors::Actor;
use crate::error::StoreError;
use crate::hall::{Hall, SESSION_IDLE};
use crate::stmt::stmt;

const BREAK_GLASS: &str = "\
SELECT u.name, s.created_at, s.expires_at FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.workspace_id = $1 AND s.break_glass = 1 AND s.expires_at > $2 AND s.last_used_at > $3
  AND u.status = 'active'
ORDER BY s.created_at, s.id LIMIT 5";

/// A session of a local account that stands in for the provider ends this long after sign-in.
pub const BREAK_GLASS_LIFE: Duration = Duration::from_hours(1);

/// A local account that stands in for the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// Whose it is.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when at the latest.
    pub until: Timestamp,
}

#[derive(sqlx::FromRow)]
struct BreakGlassRow {
    name: String,
    created_at: i64,
    expires_at: i64,
}

impl Hall {
    /// Sessions of local accounts in this person's workspace that stand in for the provider, the oldest
    /// first, at most five: everybody there is shown them.
    pub async fn break_glass_list(&self, actor: &Actor) -> Result<Vec<BreakGlass>, StoreError> {
        let now = self.store.now();
        let stmt = stmt!(BREAK_GLASS, actor.workspace.uuid(), now, now.minus(SESSION_IDLE));
        let rows: Vec<BreakGlassRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
        let seen = |row: BreakGlassRow| BreakGlass {
            name: row.name,
            since: Timestamp::from_micros(row.created_at),
            until: Timestamp::from_micros(row.expires_at),
        };
        Ok(rows.into_iter().map(seen).collect())
    }
}
