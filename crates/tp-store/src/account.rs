//! A person's own account: sessions, password, and showing again who they are (TRUST §6, 2 to 7).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{SessionId, UserId};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::audit::audit;
use crate::db::Reach;
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::hall::{Hall, NewSession, SESSION_AHEAD, SESSION_IDLE, SESSION_LIFE, SessionSecret};
use crate::stmt::stmt;

/// For how long a sign-in counts as fresh, for acts that weigh much.
pub const FRESH: Duration = Duration::from_mins(10);

const LIST: &str = "\
SELECT s.id, s.agent, s.created_at, s.last_used_at, w.name AS workspace
FROM sessions s JOIN workspaces w ON w.id = s.workspace_id
WHERE s.user_id = $1 AND s.expires_at > $2 AND s.last_used_at > $3 AND s.last_used_at <= $4
ORDER BY s.last_used_at DESC, s.id";
const END_ONE: &str = "DELETE FROM sessions WHERE user_id = $1 AND id = $2";
pub(crate) const END_OTHERS: &str = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
const ACCOUNT: &str = "SELECT email, name, password_hash FROM users WHERE id = $1";
const PASSWORD_SET: &str = "UPDATE users SET password_hash = $2 WHERE id = $1";
const NAME_SET: &str = "UPDATE users SET name = $2 WHERE id = $1 AND name <> $2";
// A new secret for the same session: the old one is dead from here on (fixation). A local account that
// stands in for the provider does not stay longer by showing itself again.
pub(crate) const ROTATE: &str = "\
UPDATE sessions SET token_hash = $3, authenticated_at = $4, last_used_at = $4,
  expires_at = CASE WHEN break_glass = 1 THEN expires_at ELSE $5 END
WHERE user_id = $1 AND id = $2";
/// One signed-in browser of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSeen {
    /// The session.
    pub id: SessionId,
    /// The workspace that it is in.
    pub workspace: String,
    /// What the browser said that it is.
    pub agent: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Its latest use, to the minute.
    pub used_at: Timestamp,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// A person's own account.
#[derive(Clone, Debug)]
pub struct OwnAccount {
    /// E-mail address.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// The argon2id hash; none where another provider tells who they are.
    pub password_hash: Option<String>,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: Uuid,
    agent: String,
    created_at: i64,
    last_used_at: i64,
    workspace: String,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    email: String,
    name: String,
    password_hash: Option<String>,
}

impl Actor {
    /// Whether this person has shown lately who they are. A token always has: it is not left open on a desk.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        match &self.via {
            Via::Token { .. } => true,
            Via::Session { authenticated_at, .. } => {
                now.since(*authenticated_at) < FRESH && authenticated_at.since(now) < SESSION_AHEAD
            }
        }
    }

    pub(crate) fn note(
        &self,
        action: AuditAction,
        request_id: Option<String>,
        details: Value,
    ) -> AuditNote {
        AuditNote {
            actor: self.initiator(),
            action,
            target: ("user", self.user.to_string()),
            tenant: None,
            run: None,
            request_id,
            details,
        }
    }
}

impl Hall {
    /// The account of this person.
    pub async fn own_account(&self, actor: &Actor) -> Result<OwnAccount, StoreError> {
        let stmt = stmt!(ACCOUNT, actor.user.uuid());
        let row: AccountRow = self.store.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await?;
        Ok(OwnAccount { email: row.email, name: row.name, password_hash: row.password_hash })
    }

    /// This person's sessions that are alive, the latest used first.
    pub async fn session_list(&self, actor: &Actor) -> Result<Vec<SessionSeen>, StoreError> {
        let now = self.store.now();
        let (idle, ahead) = (now.minus(SESSION_IDLE), now.plus(SESSION_AHEAD));
        let stmt = stmt!(LIST, actor.user.uuid(), now, idle, ahead);
        let rows: Vec<SessionRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
        let seen = |row: SessionRow| SessionSeen {
            id: SessionId::from_uuid(row.id),
            is_this: actor.session().is_some_and(|id| id.uuid() == row.id),
            workspace: row.workspace,
            agent: row.agent,
            created_at: Timestamp::from_micros(row.created_at),
            used_at: Timestamp::from_micros(row.last_used_at),
        };
        Ok(rows.into_iter().map(seen).collect())
    }

    /// Ends one session of this person; `false` when there is none.
    pub async fn session_end(
        &self,
        actor: &Actor,
        id: SessionId,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let end = stmt!(END_ONE, actor.user.uuid(), id.uuid());
        Ok(self.sessions_end(actor, end, request_id).await? > 0)
    }

    /// Ends all sessions of this person but the one that asks. Says how many.
    pub async fn session_end_others(
        &self,
        actor: &Actor,
        request_id: Option<String>,
    ) -> Result<u64, StoreError> {
        let own = actor.session().map_or(Uuid::nil(), SessionId::uuid);
        self.sessions_end(actor, stmt!(END_OTHERS, actor.user.uuid(), own), request_id).await
    }

    async fn sessions_end(
        &self,
        actor: &Actor,
        end: crate::stmt::Stmt,
        request_id: Option<String>,
    ) -> Result<u64, StoreError> {
        let (actor, ids) = (actor.clone(), Arc::clone(&self.store.ids));
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let ended = tx.execute(end).await?;
                    if ended > 0 {
                        let details = json!({"ended": ended});
                        let note = actor.note(AuditAction::SessionsEnded, request_id, details);
                        audit(tx, &*ids, actor.workspace, &note).await?;
                    }
                    Ok(ended)
                })
            })
            .await
    }

    /// Notes that this person has shown again who they are. Gives the session a new secret; the old one is
    /// dead. `None` for a token, and when the session has ended meanwhile.
    pub async fn session_confirm(
        &self,
        actor: &Actor,
        request_id: Option<String>,
    ) -> Result<Option<NewSession>, StoreError> {
        self.rotate(actor, AuditAction::UserConfirmed, None, request_id).await
    }

    /// Sets this person's password, ends their other sessions, and gives this one a new secret. `None` for
    /// a token, and when the session has ended meanwhile.
    pub async fn password_change(
        &self,
        actor: &Actor,
        hash: String,
        request_id: Option<String>,
    ) -> Result<Option<NewSession>, StoreError> {
        self.rotate(actor, AuditAction::UserPasswordChanged, Some(hash), request_id).await
    }

    async fn rotate(
        &self,
        actor: &Actor,
        action: AuditAction,
        password: Option<String>,
        request_id: Option<String>,
    ) -> Result<Option<NewSession>, StoreError> {
        let Some(session) = actor.session() else { return Ok(None) };
        let secret = SessionSecret::fresh()?;
        let (hash, actor, ids) = (secret.hash(), actor.clone(), Arc::clone(&self.store.ids));
        let expires_at = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let (user, now) = (actor.user.uuid(), tx.now());
                    let expires_at = now.plus(SESSION_LIFE);
                    let rotate = stmt!(ROTATE, user, session.uuid(), hash, now, expires_at);
                    if tx.execute(rotate).await? == 0 {
                        return Ok(None);
                    }
                    let mut details = json!({});
                    if let Some(password) = password {
                        tx.execute(stmt!(PASSWORD_SET, user, password)).await?;
                        let ended = tx.execute(stmt!(END_OTHERS, user, session.uuid())).await?;
                        details = json!({"sessions_ended": ended});
                    }
                    let note = actor.note(action, request_id, details);
                    audit(tx, &*ids, actor.workspace, &note).await?;
                    Ok(Some(expires_at))
                })
            })
            .await?;
        Ok(expires_at.map(|expires_at| NewSession { secret, expires_at }))
    }

    /// Changes the name that others see.
    pub async fn name_set(&self, user: UserId, name: String) -> Result<(), StoreError> {
        let stmt = stmt!(NAME_SET, user.uuid(), name);
        self.store.db.write(Reach::All, move |tx| Box::pin(tx.execute(stmt))).await?;
        Ok(())
    }
}
