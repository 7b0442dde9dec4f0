//! The workspaces that a person is a member of, and going from one to another.

use serde_json::json;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{SessionId, UserId, WorkspaceId};
use uuid::Uuid;

use crate::audit::audit;
use crate::db::{Reach, Tx};
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::hall::{Hall, SESSION_DELETE, SessionSecret};
use crate::stmt::stmt;

const OF_USER: &str = "\
SELECT w.id, w.name FROM workspaces w
WHERE EXISTS (SELECT 1 FROM memberships m WHERE m.workspace_id = w.id AND m.user_id = $1)
ORDER BY w.created_at, w.id";
const MOVE: &str = "\
INSERT INTO sessions (token_hash, id, user_id, workspace_id, created_at, last_used_at, authenticated_at,
                      expires_at, method, agent, break_glass)
SELECT $1, $2, user_id, $4, created_at, $5, authenticated_at, expires_at, method, agent, break_glass FROM sessions WHERE id = $3";

/// A workspace of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWorkspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
}

#[derive(sqlx::FromRow)]
pub(crate) struct OwnRow {
    pub(crate) id: Uuid,
    name: String,
}

/// The workspaces of an account, oldest first.
pub(crate) async fn of_user(tx: &mut Tx, user: UserId) -> Result<Vec<OwnRow>, StoreError> {
    tx.all(stmt!(OF_USER, user.uuid())).await
}

impl Hall {
    /// The workspaces that this person is a member of, wholly or in single tenants, oldest first. For an
    /// API token its own alone.
    pub async fn own_workspaces(&self, actor: &Actor) -> Result<Vec<OwnWorkspace>, StoreError> {
        let user = actor.user;
        let rows = self
            .store
            .db
            .read(Reach::All, move |tx| Box::pin(async move { of_user(tx, user).await }))
            .await?;
        let is_reached = |row: &OwnRow| match actor.via {
            Via::Session { .. } => true,
            Via::Token { .. } => row.id == actor.workspace.uuid(),
        };
        let own = rows.into_iter().filter(is_reached);
        Ok(own
            .map(|row| OwnWorkspace { id: WorkspaceId::from_uuid(row.id), name: row.name })
            .collect())
    }

    /// Goes on in another workspace of one's own: a new session takes the place of this one, with the same
    /// end. None for a workspace that is not one's own, and for API tokens.
    pub async fn session_move(
        &self,
        actor: &Actor,
        workspace: WorkspaceId,
        request_id: Option<String>,
    ) -> Result<Option<SessionSecret>, StoreError> {
        let Via::Session { id: old, .. } = &actor.via else { return Ok(None) };
        let (old, user, ids) = (*old, actor.user, self.store.ids.clone());
        let secret = SessionSecret::fresh()?;
        let (hash, id) = (secret.hash(), SessionId::next(&*ids));
        let note = AuditNote {
            actor: actor.initiator(),
            action: AuditAction::UserWorkspaceChosen,
            target: ("workspace", workspace.to_string()),
            tenant: None,
            run: None,
            request_id,
            details: json!({}),
        };
        let moved = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let own = of_user(tx, user).await?;
                    if !own.iter().any(|row| row.id == workspace.uuid()) {
                        return Ok(false);
                    }
                    let (to, now) = (workspace.uuid(), tx.now());
                    let insert = stmt!(MOVE, hash, id.uuid(), old.uuid(), to, now);
                    if tx.execute(insert).await? == 0 {
                        return Ok(false);
                    }
                    tx.execute(stmt!(SESSION_DELETE, old.uuid())).await?;
                    audit(tx, &*ids, workspace, &note).await?;
                    Ok(true)
                })
            })
            .await?;
        Ok(moved.then_some(secret))
    }
}
