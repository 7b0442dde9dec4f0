//! The hall: accounts, sessions, API tokens and one's own notifications. No tenant data.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{SessionId, TokenId, UserId, WorkspaceId};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::break_glass::BREAK_GLASS_LIFE;
use crate::db::Reach;
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::second_factor::SecondCode;
use crate::secret_text::SecretText;
use crate::stmt::stmt;
use crate::system::random;
use crate::tokens::read_list;

/// A session ends after this long without a request (TRUST §6, 4).
pub(crate) const SESSION_IDLE: Duration = Duration::from_mins(30);
/// A session that was used later than now was so before the clock was set back: how long ago cannot be told,
/// so it ends (TRUST A39). Clocks of several machines differ by less than this.
pub(crate) const SESSION_AHEAD: Duration = Duration::from_mins(2);
/// A session ends this long after sign-in, whatever happens.
pub(crate) const SESSION_LIFE: Duration = Duration::from_hours(12);
/// No more is kept of what a browser says of itself.
const LONGEST_AGENT: usize = 200;
/// "Last used" is written at most this often: a page view is not worth a commit.
const USED_EVERY: Duration = Duration::from_mins(1);

/// The door to accounts and sessions.
#[derive(Clone, Debug)]
pub struct Hall {
    pub(crate) store: Store,
}

/// An account as the sign-in needs it.
#[derive(Debug)]
pub struct Account {
    /// The account.
    pub id: UserId,
    /// Its name for people.
    pub name: String,
    /// The workspace that it signs in to: the first that it is a member of; none when it has none.
    pub workspace: Option<WorkspaceId>,
    /// The argon2id hash; none for accounts without a local password.
    pub password_hash: Option<String>,
    /// Whether the account may sign in at all.
    pub active: bool,
    /// Wrong passwords since the last right one.
    pub failed_sign_ins: u64,
    /// No password is tried before this moment.
    pub locked_until: Option<Timestamp>,
}

/// The secret of a session: what the cookie holds. The database holds its SHA-256.
#[derive(Clone, Debug)]
pub struct SessionSecret(SecretText);

impl SessionSecret {
    /// Takes what a cookie said.
    pub fn from_cookie(text: &str) -> Self {
        Self(SecretText::of_any_form(text))
    }

    /// The value for the cookie.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// A new one.
    pub(crate) fn fresh() -> Result<Self, StoreError> {
        SecretText::fresh().map(Self)
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        self.0.hash()
    }

    /// What forms must carry: derived from the secret, of no use for finding it.
    fn csrf(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"tenantpilot csrf\0");
        hash.update(self.expose().as_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// How somebody came to a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entrance<'a> {
    /// What the browser said that it is: for people to know their sessions by.
    pub agent: &'a str,
    /// The code that was asked for beside the password.
    pub second: Option<SecondCode>,
    /// Whether a local account is used although there is a provider to sign in at (PRODUCT A-4).
    pub break_glass: bool,
}

/// A session that was just made.
#[derive(Debug)]
pub struct NewSession {
    /// What the cookie must hold.
    pub secret: SessionSecret,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// An API token's text: `tpat_`, 32 base62 characters and a checksum of six.
#[derive(Clone, Debug)]
pub struct ApiTokenSecret(SecretString);

impl ApiTokenSecret {
    const ALPHABET: &'static [u8; 62] =
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// A new token.
    pub(crate) fn fresh() -> Result<Self, StoreError> {
        let mut body = String::with_capacity(32);
        while body.len() < 32 {
            let bytes: [u8; 64] = random().map_err(|_| StoreError::Closed)?;
            // 248 = 4 × 62: larger bytes would favour the first letters.
            let fair = bytes.iter().filter(|byte| **byte < 248);
            body.extend(fair.map(|byte| char::from(Self::ALPHABET[usize::from(byte % 62)])));
        }
        body.truncate(32);
        let sum = Self::checksum(&body);
        Ok(Self(SecretString::from(format!("tpat_{body}{sum}"))))
    }

    /// Reads a token; a text of another form is `None` without asking the database.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix("tpat_")?;
        let (body, sum) = body.split_at_checked(32)?;
        (body.bytes().all(|byte| byte.is_ascii_alphanumeric()) && Self::checksum(body) == sum)
            .then(|| Self(SecretString::from(text)))
    }

    /// The text, shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.expose().as_bytes()).to_vec()
    }

    /// Six base62 characters of the SHA-256: enough for secret scanners to tell a token from noise.
    fn checksum(body: &str) -> String {
        let digest = Sha256::digest(body.as_bytes());
        digest.iter().take(6).map(|b| char::from(Self::ALPHABET[usize::from(b % 62)])).collect()
    }
}

const ACCOUNT_BY_EMAIL: &str = "\
SELECT u.id, u.name, u.password_hash, u.status, u.failed_sign_ins, u.locked_until,
       (SELECT m.workspace_id FROM memberships m WHERE m.user_id = u.id
        ORDER BY m.created_at, m.workspace_id LIMIT 1) AS workspace_id
FROM users u WHERE u.email = $1";
pub(crate) const SIGN_IN_RESET: &str =
    "UPDATE users SET failed_sign_ins = 0, locked_until = NULL WHERE id = $1";
const SIGN_IN_FAILED: &str = "\
UPDATE users SET failed_sign_ins = failed_sign_ins + 1, locked_until = $2 WHERE id = $1";
const SESSION_INSERT: &str = "\
INSERT INTO sessions (token_hash, id, user_id, workspace_id, created_at, last_used_at, authenticated_at,
                      expires_at, agent, break_glass)
VALUES ($1, $2, $3, $4, $5, $5, $5, $6, $7, $8)";
const SESSION_GET: &str = "\
SELECT s.id, s.user_id, s.workspace_id, s.last_used_at, s.authenticated_at, u.name
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.last_used_at > $3 AND s.last_used_at <= $4
  AND u.status = 'active'";
const SESSION_USED: &str =
    "UPDATE sessions SET last_used_at = $2 WHERE token_hash = $1 AND last_used_at < $2";
pub(crate) const SESSION_DELETE: &str = "DELETE FROM sessions WHERE id = $1";
pub(crate) const SESSIONS_EXPIRED: &str =
    "DELETE FROM sessions WHERE user_id = $1 AND expires_at <= $2";
const TOKEN_GET: &str = "\
SELECT t.id, t.user_id, t.workspace_id, t.name AS token_name, t.capabilities, t.tenants, t.last_used_at,
       u.name
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.token_hash = $1 AND t.expires_at > $2 AND t.revoked_at IS NULL AND u.status = 'active'";
const TOKEN_USED: &str = "\
UPDATE api_tokens SET last_used_at = $2 WHERE token_hash = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: Uuid,
    name: String,
    password_hash: Option<String>,
    status: String,
    failed_sign_ins: i64,
    locked_until: Option<i64>,
    workspace_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: Uuid,
    user_id: Uuid,
    workspace_id: Uuid,
    last_used_at: i64,
    authenticated_at: i64,
    name: String,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: Uuid,
    user_id: Uuid,
    workspace_id: Uuid,
    token_name: String,
    capabilities: String,
    tenants: String,
    last_used_at: Option<i64>,
    name: String,
}

impl Hall {
    /// The account with that e-mail address, for a sign-in.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let stmt = stmt!(ACCOUNT_BY_EMAIL, email.trim().to_lowercase());
        let row: Option<AccountRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        Ok(row.map(|row| Account {
            id: UserId::from_uuid(row.id),
            name: row.name,
            workspace: row.workspace_id.map(WorkspaceId::from_uuid),
            password_hash: row.password_hash,
            active: row.status == "active",
            failed_sign_ins: u64::try_from(row.failed_sign_ins).unwrap_or(0),
            locked_until: row.locked_until.map(Timestamp::from_micros),
        }))
    }

    /// Makes a session after the password was found right. The workspace is the account's.
    pub async fn session_create(
        &self,
        account: &Account,
        workspace: WorkspaceId,
        request_id: Option<String>,
    ) -> Result<NewSession, StoreError> {
        self.session_create_for(account, workspace, &Entrance::default(), request_id).await
    }

    /// The same, with how it came to it.
    pub async fn session_create_for(
        &self,
        account: &Account,
        workspace: WorkspaceId,
        entrance: &Entrance<'_>,
        request_id: Option<String>,
    ) -> Result<NewSession, StoreError> {
        let (break_glass, second) = (entrance.break_glass, entrance.second);
        let life = if break_glass { BREAK_GLASS_LIFE } else { SESSION_LIFE };
        let agent: String =
            entrance.agent.chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect();
        let secret = SessionSecret::fresh()?;
        let (hash, id, user) = (secret.hash(), SessionId::next(&*self.store.ids), account.id);
        let note = AuditNote {
            actor: Initiator::User { id: user, name: account.name.clone() },
            action: AuditAction::UserSignedIn,
            target: ("user", user.to_string()),
            tenant: None,
            run: None,
            request_id,
            details: json!({
                "method": "password", "break_glass": break_glass,
                "second_factor": second.map(|code| match code {
                    SecondCode::App => "app",
                    SecondCode::Recovery => "recovery_code",
                }),
            }),
        };
        let ids = self.store.ids.clone();
        let expires_at = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let expires_at = now.plus(life);
                    tx.execute(stmt!(SIGN_IN_RESET, user.uuid())).await?;
                    tx.execute(stmt!(SESSIONS_EXPIRED, user.uuid(), now)).await?;
                    tx.execute(stmt!(
                        SESSION_INSERT,
                        hash,
                        id.uuid(),
                        user.uuid(),
                        workspace.uuid(),
                        now,
                        expires_at,
                        agent,
                        i64::from(break_glass)
                    ))
                    .await?;
                    audit(tx, &*ids, workspace, &note).await?;
                    Ok(expires_at)
                })
            })
            .await?;
        Ok(NewSession { secret, expires_at })
    }

    /// Counts a wrong password and sets when the next one may be tried. Audited when the account
    /// belongs to a workspace.
    pub async fn sign_in_refused(
        &self,
        account: &Account,
        locked_for: Duration,
        request_id: Option<String>,
    ) -> Result<(), StoreError> {
        let user = account.id;
        let workspace = account.workspace;
        let note = AuditNote {
            actor: Initiator::User { id: user, name: account.name.clone() },
            action: AuditAction::UserSignInRefused,
            target: ("user", user.to_string()),
            tenant: None,
            run: None,
            request_id,
            details: json!({}),
        };
        let ids = self.store.ids.clone();
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let until = tx.now().plus(locked_for);
                    tx.execute(stmt!(SIGN_IN_FAILED, user.uuid(), until)).await?;
                    if let Some(workspace) = workspace {
                        audit(tx, &*ids, workspace, &note).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Who a session cookie stands for. The only maker of an [`Actor`] besides API tokens.
    pub async fn actor_of_session(
        &self,
        secret: &SessionSecret,
    ) -> Result<Option<Actor>, StoreError> {
        let now = self.store.now();
        let ahead = now.plus(SESSION_AHEAD);
        let stmt = stmt!(SESSION_GET, secret.hash(), now, now.minus(SESSION_IDLE), ahead);
        let row: Option<SessionRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row else { return Ok(None) };
        if now.since(Timestamp::from_micros(row.last_used_at)) >= USED_EVERY {
            let stmt = stmt!(SESSION_USED, secret.hash(), now);
            // Reading must not need a write: with a full disk the pages are needed most.
            let used = self.store.db.write(Reach::All, move |tx| Box::pin(tx.execute(stmt)));
            if let Err(error) = used.await {
                tracing::warn!(error = %error, "the last use of a session could not be written");
            }
        }
        Ok(Some(Actor {
            user: UserId::from_uuid(row.user_id),
            name: row.name,
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            via: Via::Session {
                id: SessionId::from_uuid(row.id),
                csrf: secret.csrf(),
                authenticated_at: Timestamp::from_micros(row.authenticated_at),
            },
        }))
    }

    /// Who an API token stands for. Its first use is audited.
    pub async fn actor_of_token(
        &self,
        secret: &ApiTokenSecret,
    ) -> Result<Option<Actor>, StoreError> {
        let now = self.store.now();
        let stmt = stmt!(TOKEN_GET, secret.hash(), now);
        let row: Option<TokenRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row else { return Ok(None) };
        let capabilities = read_list(&row.capabilities, "capabilities")?;
        let tenants = read_list(&row.tenants, "tenants")?;
        let actor = Actor {
            user: UserId::from_uuid(row.user_id),
            name: row.name,
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            via: Via::Token {
                id: TokenId::from_uuid(row.id),
                name: row.token_name,
                capabilities,
                tenants,
            },
        };
        let used = row.last_used_at.map(Timestamp::from_micros);
        if used.is_none_or(|used| now.since(used) >= USED_EVERY) {
            self.token_used(secret, &actor, used.is_none()).await?;
        }
        Ok(Some(actor))
    }

    async fn token_used(
        &self,
        secret: &ApiTokenSecret,
        actor: &Actor,
        first: bool,
    ) -> Result<(), StoreError> {
        let (hash, workspace, ids) = (secret.hash(), actor.workspace, self.store.ids.clone());
        let note = AuditNote {
            actor: actor.initiator(),
            action: AuditAction::TokenFirstUsed,
            target: ("user", actor.user.to_string()),
            tenant: None,
            run: None,
            request_id: None,
            details: json!({}),
        };
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let changed = tx.execute(stmt!(TOKEN_USED, hash, now)).await?;
                    if first && changed == 1 {
                        audit(tx, &*ids, workspace, &note).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Ends the session of this actor; a token has none.
    pub async fn sign_out(
        &self,
        actor: &Actor,
        request_id: Option<String>,
    ) -> Result<(), StoreError> {
        let Via::Session { id, .. } = &actor.via else { return Ok(()) };
        let (id, workspace, ids) = (*id, actor.workspace, self.store.ids.clone());
        let note = AuditNote {
            actor: actor.initiator(),
            action: AuditAction::UserSignedOut,
            target: ("user", actor.user.to_string()),
            tenant: None,
            run: None,
            request_id,
            details: json!({}),
        };
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    tx.execute(stmt!(SESSION_DELETE, id.uuid())).await?;
                    audit(tx, &*ids, workspace, &note).await
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_form_of_its_own() {
        let token = ApiTokenSecret::fresh().unwrap();
        assert_eq!(token.expose().len(), 5 + 32 + 6);
        assert!(ApiTokenSecret::parse(token.expose()).is_some());
        let mut broken = token.expose().to_owned();
        broken.replace_range(10..11, if &broken[10..11] == "a" { "b" } else { "a" });
        assert!(ApiTokenSecret::parse(&broken).is_none(), "the checksum tells");
        for bad in ["", "tpat_", "tpat_short", "other", "tpat_ääääääääääääääääääääääää"]
        {
            assert!(ApiTokenSecret::parse(bad).is_none(), "{bad:?}");
        }
    }
}
