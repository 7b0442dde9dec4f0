//! API tokens: made, listed, taken back (PRODUCT A-5).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tp_domain::access::{Capability, ManageTokens};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{TenantId, TokenId, UserId};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::audit::audit;
use crate::db::Reach;
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::hall::{ApiTokenSecret, Hall};
use crate::stmt::{Stmt, stmt};
use crate::tenants::bad_row;
use crate::workspace::WorkspaceScope;

/// The longest life of a token (PRODUCT A-5).
pub const LONGEST_LIFE: Duration = Duration::from_hours(24 * 365);

/// The most tokens of a person that work at once.
pub(crate) const MOST_TOKENS: i64 = 100;

const INSERT: &str = "\
INSERT INTO api_tokens (token_hash, id, user_id, workspace_id, name, capabilities, tenants, created_at,
                        expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const COUNT: &str = "\
SELECT count(*) AS n FROM api_tokens
WHERE user_id = $1 AND workspace_id = $2 AND revoked_at IS NULL AND expires_at > $3";
const LIST_OWN: &str = "\
SELECT t.id, t.user_id, u.name AS owner, t.name, t.capabilities, t.tenants, t.created_at, t.expires_at,
       t.last_used_at, t.revoked_at
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.workspace_id = $1 AND t.user_id = $2 ORDER BY t.created_at DESC, t.id DESC LIMIT 500";
const LIST_ALL: &str = "\
SELECT t.id, t.user_id, u.name AS owner, t.name, t.capabilities, t.tenants, t.created_at, t.expires_at,
       t.last_used_at, t.revoked_at
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.workspace_id = $1 ORDER BY t.created_at DESC, t.id DESC LIMIT 500";
const REVOKE_OWN: &str = "\
UPDATE api_tokens SET revoked_at = $4
WHERE workspace_id = $1 AND id = $2 AND user_id = $3 AND revoked_at IS NULL";
const REVOKE_ANY: &str = "UPDATE api_tokens SET revoked_at = $3 WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL";

/// A token as lists show it. Its text is shown once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The token.
    pub id: TokenId,
    /// Whose rights it has at most.
    pub owner: UserId,
    /// The owner's name.
    pub owner_name: String,
    /// What it is for, in the owner's words.
    pub name: String,
    /// What it may do; none for all that its owner may.
    pub capabilities: Option<Vec<Capability>>,
    /// Where; none for all of its owner's tenants and the workspace itself.
    pub tenants: Option<Vec<TenantId>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// It works until then.
    pub expires_at: Timestamp,
    /// Its latest use, to the minute.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it may do; none for all that its owner may.
    pub capabilities: Option<Vec<Capability>>,
    /// Where; none for everywhere.
    pub tenants: Option<Vec<TenantId>>,
    /// How long it works: at most [`LONGEST_LIFE`].
    pub life: Duration,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: Uuid,
    user_id: Uuid,
    owner: String,
    name: String,
    capabilities: String,
    tenants: String,
    created_at: i64,
    expires_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

/// Reads a stored list; `["all"]` is none. A word of a newer version grants nothing here.
pub(crate) fn read_list<T: std::str::FromStr>(
    text: &str,
    column: &'static str,
) -> Result<Option<Vec<T>>, StoreError> {
    let words: Vec<String> =
        serde_json::from_str(text).map_err(|_| bad_row("api_tokens", column))?;
    if words.iter().any(|word| word == "all") {
        return Ok(None);
    }
    Ok(Some(words.iter().filter_map(|word| word.parse().ok()).collect()))
}

fn write_list<T: ToString>(list: Option<&Vec<T>>) -> String {
    match list {
        None => json!(["all"]).to_string(),
        Some(list) => json!(list.iter().map(T::to_string).collect::<Vec<_>>()).to_string(),
    }
}

impl TryFrom<TokenRow> for ApiToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: TokenId::from_uuid(row.id),
            owner: UserId::from_uuid(row.user_id),
            owner_name: row.owner,
            name: row.name,
            capabilities: read_list(&row.capabilities, "capabilities")?,
            tenants: read_list(&row.tenants, "tenants")?,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            used_at: row.last_used_at.map(Timestamp::from_micros),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
        })
    }
}

fn note(
    actor: &Actor,
    action: AuditAction,
    id: TokenId,
    request_id: Option<String>,
    details: serde_json::Value,
) -> AuditNote {
    AuditNote { target: ("token", id.to_string()), ..actor.note(action, request_id, details) }
}

async fn rows(hall: &Hall, stmt: Stmt) -> Result<Vec<ApiToken>, StoreError> {
    let rows: Vec<TokenRow> = hall.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
    rows.into_iter().map(ApiToken::try_from).collect()
}

async fn revoke(
    hall: &Hall,
    actor: &Actor,
    id: TokenId,
    revoke: impl FnOnce(Timestamp) -> Stmt + Send + 'static,
    request_id: Option<String>,
) -> Result<bool, StoreError> {
    let (actor, ids) = (actor.clone(), Arc::clone(&hall.store.ids));
    hall.store
        .db
        .write(Reach::All, move |tx| {
            Box::pin(async move {
                if tx.execute(revoke(tx.now())).await? == 0 {
                    return Ok(false);
                }
                let note = note(&actor, AuditAction::TokenRevoked, id, request_id, json!({}));
                audit(tx, &*ids, actor.workspace, &note).await?;
                Ok(true)
            })
        })
        .await
}

impl Hall {
    /// Makes a token for this person, in the workspace where they are. A token makes none, and `None` is
    /// also the answer when the person has a hundred that work.
    pub async fn token_create(
        &self,
        actor: &Actor,
        new: NewToken,
        request_id: Option<String>,
    ) -> Result<Option<(TokenId, ApiTokenSecret)>, StoreError> {
        if matches!(actor.via, Via::Token { .. }) {
            return Ok(None);
        }
        let (secret, id) = (ApiTokenSecret::fresh()?, TokenId::next(&*self.store.ids));
        let (hash, actor, ids) = (secret.hash(), actor.clone(), Arc::clone(&self.store.ids));
        let made = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let (user, workspace) = (actor.user.uuid(), actor.workspace.uuid());
                    let now = tx.now();
                    let count: CountRow = tx.one(stmt!(COUNT, user, workspace, now)).await?;
                    if count.n >= MOST_TOKENS {
                        return Ok(false);
                    }
                    let capabilities = write_list(new.capabilities.as_ref());
                    let tenants = write_list(new.tenants.as_ref());
                    let expires_at = now.plus(new.life.min(LONGEST_LIFE));
                    tx.execute(stmt!(
                        INSERT,
                        hash,
                        id.uuid(),
                        user,
                        workspace,
                        &new.name,
                        &capabilities,
                        &tenants,
                        now,
                        expires_at,
                    ))
                    .await?;
                    let details = json!({
                        "name": new.name, "capabilities": capabilities, "tenants": tenants,
                        "expires_at": expires_at.rfc3339(),
                    });
                    let note = note(&actor, AuditAction::TokenCreated, id, request_id, details);
                    audit(tx, &*ids, actor.workspace, &note).await?;
                    Ok(true)
                })
            })
            .await?;
        Ok(made.then_some((id, secret)))
    }

    /// This person's tokens in this workspace, newest first, revoked and expired ones among them.
    pub async fn token_list(&self, actor: &Actor) -> Result<Vec<ApiToken>, StoreError> {
        rows(self, stmt!(LIST_OWN, actor.workspace.uuid(), actor.user.uuid())).await
    }

    /// Takes one of this person's tokens back; `false` when it is none that works.
    pub async fn token_revoke(
        &self,
        actor: &Actor,
        id: TokenId,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let (workspace, user) = (actor.workspace.uuid(), actor.user.uuid());
        let take = move |now| stmt!(REVOKE_OWN, workspace, id.uuid(), user, now);
        revoke(self, actor, id, take, request_id).await
    }
}

impl WorkspaceScope<ManageTokens> {
    /// Everybody's tokens in this workspace, newest first.
    pub async fn token_list(&self) -> Result<Vec<ApiToken>, StoreError> {
        rows(&self.store.hall(), stmt!(LIST_ALL, self.workspace.uuid())).await
    }

    /// Takes anybody's token back; `false` when it is none that works.
    pub async fn token_revoke(
        &self,
        id: TokenId,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let workspace = self.workspace.uuid();
        let take = move |now| stmt!(REVOKE_ANY, workspace, id.uuid(), now);
        revoke(&self.store.hall(), &self.actor, id, take, request_id).await
    }
}
