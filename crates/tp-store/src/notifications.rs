//! One's own notifications, of runs and of credentials that end: list, count, mark as read.

use tp_domain::ids::{NotificationId, RunId, TenantId};
use tp_domain::notification::{About, Notification};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::db::Reach;
use crate::doors::Actor;
use crate::error::StoreError;
use crate::hall::Hall;
use crate::notices::{self, NoticeRow};
use crate::stmt::{StmtBuilder, stmt};
use crate::tenants::bad_row;

// The tenant's name is shown only while its reader is still a member there.
const LIST: &str = "\
SELECT n.id, n.run_id, n.tenant_id, t.slug AS tenant_slug, t.name AS tenant_name, n.kind, n.moment,
       n.outcome, n.created_at, n.read_at
FROM notifications n
LEFT JOIN tenants t ON t.id = n.tenant_id
WHERE n.user_id = $1 AND n.workspace_id = $2
  AND EXISTS (SELECT 1 FROM memberships m
              WHERE m.user_id = $1 AND m.scope_id IN (n.workspace_id, n.tenant_id))";
const UNREAD: &str = "\
SELECT count(*) AS n FROM notifications n
WHERE n.user_id = $1 AND n.workspace_id = $2 AND n.read_at IS NULL
  AND EXISTS (SELECT 1 FROM memberships m
              WHERE m.user_id = $1 AND m.scope_id IN (n.workspace_id, n.tenant_id))";
const UNREAD_NOTICES: &str = "\
SELECT count(*) AS n FROM credential_notices n
WHERE n.user_id = $1 AND n.workspace_id = $2 AND n.read_at IS NULL
  AND EXISTS (SELECT 1 FROM memberships m
              WHERE m.user_id = $1 AND m.scope_id IN (n.workspace_id, n.tenant_id))";
const MARK_READ: &str =
    "UPDATE notifications SET read_at = $3 WHERE user_id = $1 AND id = $2 AND read_at IS NULL";
const MARK_NOTICE: &str =
    "UPDATE credential_notices SET read_at = $3 WHERE user_id = $1 AND id = $2 AND read_at IS NULL";
const MARK_ALL_NOTICES: &str = "\
UPDATE credential_notices SET read_at = $3 WHERE user_id = $1 AND workspace_id = $2 AND read_at IS NULL";
const MARK_ALL: &str = "\
UPDATE notifications SET read_at = $3 WHERE user_id = $1 AND workspace_id = $2 AND read_at IS NULL";

const NOTIFY_QUEUED: &str = "SELECT notify_queued FROM users WHERE id = $1";
const NOTIFY_QUEUED_SET: &str = "UPDATE users SET notify_queued = $2 WHERE id = $1";

#[derive(sqlx::FromRow)]
struct SwitchRow {
    notify_queued: bool,
}

#[derive(sqlx::FromRow)]
struct NotificationRow {
    id: Uuid,
    run_id: Uuid,
    tenant_id: Option<Uuid>,
    tenant_slug: Option<String>,
    tenant_name: Option<String>,
    kind: String,
    moment: String,
    outcome: String,
    created_at: i64,
    read_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

impl TryFrom<NotificationRow> for Notification {
    type Error = StoreError;

    fn try_from(row: NotificationRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("notifications", column);
        Ok(Self {
            id: NotificationId::from_uuid(row.id),
            about: About::Run {
                run: RunId::from_uuid(row.run_id),
                kind: row.kind,
                moment: row.moment.parse().map_err(|_| bad("moment"))?,
                outcome: row.outcome.parse().map_err(|_| bad("outcome"))?,
            },
            tenant: row.tenant_id.map(TenantId::from_uuid),
            tenant_slug: row.tenant_slug,
            tenant_name: row.tenant_name,
            created_at: Timestamp::from_micros(row.created_at),
            read_at: row.read_at.map(Timestamp::from_micros),
        })
    }
}

impl Hall {
    /// The newest notifications of this person, at most `limit` (1 to 200).
    pub async fn notification_list(
        &self,
        actor: &Actor,
        unread_only: bool,
        limit: u32,
    ) -> Result<Vec<Notification>, StoreError> {
        let mut sql = StmtBuilder::new("SELECT * FROM (");
        // LIST numbers its own values, which are bound first and in its order.
        sql.push(LIST);
        let mut list = sql.with_values([actor.user.uuid(), actor.workspace.uuid()]);
        if unread_only {
            list.push(" AND n.read_at IS NULL");
        }
        list.push(") own ORDER BY created_at DESC, id DESC LIMIT ").bind(limit.clamp(1, 200));
        let stmt = list.build();
        let (user, workspace) = (actor.user.uuid(), actor.workspace.uuid());
        let most = limit.clamp(1, 200);
        let notices = notices::list(user, workspace, unread_only, most);
        let (rows, ending) = self
            .store
            .db
            .read(Reach::All, |tx| {
                Box::pin(async move {
                    let rows: Vec<NotificationRow> = tx.all(stmt).await?;
                    let ending: Vec<NoticeRow> = tx.all(notices).await?;
                    Ok((rows, ending))
                })
            })
            .await?;
        let runs = rows.into_iter().map(Notification::try_from);
        let all = runs.chain(ending.into_iter().map(Notification::try_from));
        let mut all = all.collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|one| std::cmp::Reverse((one.created_at, one.id)));
        all.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(all)
    }

    /// How many are unread.
    pub async fn notification_count(&self, actor: &Actor) -> Result<u64, StoreError> {
        let (user, workspace) = (actor.user.uuid(), actor.workspace.uuid());
        let count = self
            .store
            .db
            .read(Reach::All, |tx| {
                Box::pin(async move {
                    let runs: CountRow = tx.one(stmt!(UNREAD, user, workspace)).await?;
                    let notices: CountRow = tx.one(stmt!(UNREAD_NOTICES, user, workspace)).await?;
                    Ok(runs.n + notices.n)
                })
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Marks one as read. `false` when it is not one of theirs, or was read before.
    pub async fn notification_read(
        &self,
        actor: &Actor,
        id: NotificationId,
    ) -> Result<bool, StoreError> {
        let user = actor.user.uuid();
        let changed = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let runs = tx.execute(stmt!(MARK_READ, user, id.uuid(), now)).await?;
                    let notices = tx.execute(stmt!(MARK_NOTICE, user, id.uuid(), now)).await?;
                    Ok(runs + notices)
                })
            })
            .await?;
        Ok(changed == 1)
    }

    /// Marks all as read; says how many there were.
    pub async fn notification_read_all(&self, actor: &Actor) -> Result<u64, StoreError> {
        let (user, workspace) = (actor.user.uuid(), actor.workspace.uuid());
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let runs = tx.execute(stmt!(MARK_ALL, user, workspace, now)).await?;
                    let all = stmt!(MARK_ALL_NOTICES, user, workspace, now);
                    Ok(runs + tx.execute(all).await?)
                })
            })
            .await
    }

    /// Whether this person is told when their runs are queued. The end is always told.
    pub async fn notify_queued(&self, actor: &Actor) -> Result<bool, StoreError> {
        let stmt = stmt!(NOTIFY_QUEUED, actor.user.uuid());
        let row: SwitchRow = self.store.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await?;
        Ok(row.notify_queued)
    }

    /// Switches it.
    pub async fn notify_queued_set(&self, actor: &Actor, on: bool) -> Result<(), StoreError> {
        let stmt = stmt!(NOTIFY_QUEUED_SET, actor.user.uuid(), on);
        self.store.db.write(Reach::All, move |tx| Box::pin(tx.execute(stmt))).await.map(drop)
    }
}
