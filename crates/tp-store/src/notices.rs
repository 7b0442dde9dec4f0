//! Warnings of credentials that end soon: one per credential, threshold and person (PRODUCT G-7).
//!
//! They are written by the upkeep of every process that fires schedules, not by a check of the
//! connection: a credential ends whether anybody checks it or not. The key of the table makes each
//! happen once, with any number of such processes.

use std::sync::Arc;

use tp_domain::access::{Capability, Role};
use tp_domain::connection::ExpiryWarning;
use tp_domain::ids::NotificationId;
use tp_domain::notification::{About, Notification};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::db::Reach;
use crate::error::StoreError;
use crate::stmt::{Stmt, stmt};
use crate::tenants::bad_row;
use crate::upkeep::Upkeep;

const ENDING: &str = "\
SELECT c.scope_id, c.id, c.workspace_id, c.kind, c.expires_at
FROM tenant_credentials c JOIN tenants t ON t.id = c.scope_id AND t.status = 'active'
WHERE c.state = 'active' AND c.expires_at > $1 AND c.expires_at <= $2
ORDER BY c.expires_at, c.id LIMIT 10000";
// The role of the tenant wins over that of the workspace, as at the doors.
const MEMBERS: &str = "\
SELECT u.id AS user_id, COALESCE(own.role, whole.role) AS role
FROM users u
LEFT JOIN memberships own ON own.user_id = u.id AND own.scope_id = $1
LEFT JOIN memberships whole ON whole.user_id = u.id AND whole.scope_id = $2
WHERE u.status = 'active' AND COALESCE(own.role, whole.role) IS NOT NULL";
const INSERT: &str = "\
INSERT INTO credential_notices (scope_id, credential_id, warning, user_id, id, workspace_id, tenant_id,
                                kind, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (scope_id, credential_id, warning, user_id) DO NOTHING";

// The tenant's name is shown only while its reader is still a member there.
const LIST: &str = "\
SELECT n.id, n.scope_id, t.slug, t.name, n.warning, n.kind, n.expires_at, n.created_at, n.read_at
FROM credential_notices n JOIN tenants t ON t.id = n.scope_id
WHERE n.user_id = $1 AND n.workspace_id = $2 AND ($3 OR n.read_at IS NULL)
  AND EXISTS (SELECT 1 FROM memberships m
              WHERE m.user_id = $1 AND m.scope_id IN (n.workspace_id, n.tenant_id))
ORDER BY n.created_at DESC, n.id DESC LIMIT $4";

#[derive(sqlx::FromRow)]
struct EndingRow {
    scope_id: Uuid,
    id: Uuid,
    workspace_id: Uuid,
    kind: String,
    expires_at: i64,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    user_id: Uuid,
    role: String,
}

#[derive(sqlx::FromRow)]
pub(crate) struct NoticeRow {
    id: Uuid,
    scope_id: Uuid,
    slug: String,
    name: String,
    warning: String,
    kind: String,
    expires_at: i64,
    created_at: i64,
    read_at: Option<i64>,
}

impl TryFrom<NoticeRow> for Notification {
    type Error = StoreError;

    fn try_from(row: NoticeRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("credential_notices", column);
        Ok(Self {
            id: NotificationId::from_uuid(row.id),
            about: About::Expiry {
                credential: row.kind.parse().map_err(|_| bad("kind"))?,
                warning: row.warning.parse().map_err(|_| bad("warning"))?,
                expires_at: Timestamp::from_micros(row.expires_at),
            },
            tenant: Some(tp_domain::ids::TenantId::from_uuid(row.scope_id)),
            tenant_slug: Some(row.slug),
            tenant_name: Some(row.name),
            created_at: Timestamp::from_micros(row.created_at),
            read_at: row.read_at.map(Timestamp::from_micros),
        })
    }
}

/// The newest notices of a person.
pub(crate) fn list(user: Uuid, workspace: Uuid, unread_only: bool, limit: u32) -> Stmt {
    stmt!(LIST, user, workspace, !unread_only, limit)
}

impl Upkeep {
    /// Warns everybody who can replace a credential that ends within a day, a week or thirty days. Says
    /// how many warnings were written.
    pub async fn credential_warnings(&self) -> Result<u64, StoreError> {
        let ids = Arc::clone(&self.store.ids);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let horizon = now.plus(ExpiryWarning::Month.before());
                    let ending: Vec<EndingRow> = tx.all(stmt!(ENDING, now, horizon)).await?;
                    let mut written = 0;
                    for row in ending {
                        let end = Timestamp::from_micros(row.expires_at);
                        let Some(warning) = ExpiryWarning::due(end, now) else { continue };
                        let members: Vec<MemberRow> =
                            tx.all(stmt!(MEMBERS, row.scope_id, row.workspace_id)).await?;
                        for member in members {
                            let role: Role =
                                member.role.parse().map_err(|_| bad_row("memberships", "role"))?;
                            if !role.grants(Capability::TenantCredentialsRotate) {
                                continue;
                            }
                            written += tx
                                .execute(stmt!(
                                    INSERT,
                                    row.scope_id,
                                    row.id,
                                    warning.as_str(),
                                    member.user_id,
                                    NotificationId::next(&*ids).uuid(),
                                    row.workspace_id,
                                    row.scope_id,
                                    &row.kind,
                                    end,
                                    now,
                                ))
                                .await?;
                        }
                    }
                    Ok(written)
                })
            })
            .await
    }
}
