//! Who an account is at identity providers, and coming in that way.

use std::sync::Arc;

use serde_json::{Value, json};
use tp_domain::access::Role;
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, SessionId, UserId, WorkspaceId};
use tp_domain::sign_in::{IdentityKey, ProvenIdentity};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::audit::audit;
use crate::db::{Reach, Tx};
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::hall::{Hall, NewSession, SESSION_LIFE, SESSIONS_EXPIRED, SessionSecret};
use crate::sign_in_rules::OF_AUTHORITY;
use crate::stmt::stmt;
use crate::tenants::bad_row;
use crate::workspace_choice::of_user;

const FIND: &str = "\
SELECT u.id, u.name, u.status FROM user_identities i JOIN users u ON u.id = i.user_id
WHERE i.authority = $1 AND i.subject = $2";
const USED: &str = "\
UPDATE user_identities SET last_used_at = $3, label = COALESCE($4, label)
WHERE authority = $1 AND subject = $2";
const INSERT: &str = "\
INSERT INTO user_identities (authority, subject, user_id, label, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (authority, subject) DO NOTHING";
const ADMIT: &str = "\
INSERT INTO user_identities (authority, subject, user_id, label, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6)";
const OF_USER: &str = "\
SELECT authority, subject, label, created_at, last_used_at FROM user_identities
WHERE user_id = $1 ORDER BY created_at, authority, subject";
const DELETE: &str =
    "DELETE FROM user_identities WHERE user_id = $1 AND authority = $2 AND subject = $3";
const WAYS_LEFT: &str = "\
SELECT (SELECT count(*) FROM user_identities WHERE user_id = $1 AND NOT (authority = $2 AND subject = $3))
     + (SELECT count(*) FROM users WHERE id = $1 AND password_hash IS NOT NULL) AS n";
// An update that changes nothing holds the row: two unlinkings at once do not take both last ways.
const USER_HOLD: &str = "UPDATE users SET name = name WHERE id = $1";
const USER_INSERT: &str = "\
INSERT INTO users (id, email, name, password_hash, status, created_at)
VALUES ($1, $2, $3, NULL, 'active', $4)";
const MEMBER_INSERT: &str = "\
INSERT INTO memberships (scope_id, user_id, workspace_id, tenant_id, role, created_at)
VALUES ($1, $2, $1, NULL, $3, $4)";
const SESSION_INSERT: &str = "\
INSERT INTO sessions (token_hash, id, user_id, workspace_id, created_at, last_used_at, authenticated_at,
                      expires_at, method)
VALUES ($1, $2, $3, $4, $5, $5, $5, $6, 'oidc')";
const SESSION_END: &str = "DELETE FROM sessions WHERE token_hash = $1";
const SESSION_METHOD: &str = "SELECT method FROM sessions WHERE id = $1";

/// By which way a session was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInMethod {
    /// With a local password.
    Password,
    /// At an identity provider.
    Oidc,
}

/// What became of somebody whom a provider has proved.
#[derive(Debug)]
pub enum IdentityEntry {
    /// Signed in; how many workspaces there are to choose from.
    In(NewSession, usize),
    /// A good account that is a member of nothing.
    NoWorkspace,
    /// Nobody here, or an account that may not sign in. People are told the same of both.
    Refused,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityLinked {
    /// It is there.
    Done,
    /// The identity belongs to an account already.
    Taken,
}

/// What became of taking a link away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityGone {
    /// It is gone.
    Done,
    /// There is no such link of this account.
    NotFound,
    /// It is the account's only way in.
    LastWay,
}

/// A way in of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnIdentity {
    /// `entra:TENANT`, or the issuer.
    pub authority: String,
    /// The object id, or the subject.
    pub subject: String,
    /// What one signs in with there, as the provider last said.
    pub label: Option<String>,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    id: Uuid,
    name: String,
    status: String,
}

#[derive(sqlx::FromRow)]
struct RuleRow {
    workspace_id: Uuid,
    role: String,
}

#[derive(sqlx::FromRow)]
struct OwnRow {
    authority: String,
    subject: String,
    label: Option<String>,
    created_at: i64,
    last_used_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct MethodRow {
    method: String,
}

fn note(
    actor: &Initiator,
    action: AuditAction,
    user: UserId,
    request_id: Option<&String>,
    details: Value,
) -> AuditNote {
    AuditNote {
        actor: actor.clone(),
        action,
        target: ("user", user.to_string()),
        tenant: None,
        run: None,
        request_id: request_id.cloned(),
        details,
    }
}

/// Links an identity to an account, audited in each workspace of the account.
pub(crate) async fn link(
    tx: &mut Tx,
    ids: &dyn Ids,
    user: UserId,
    identity: (&IdentityKey, Option<String>),
    actor: &Initiator,
    request_id: Option<String>,
) -> Result<IdentityLinked, StoreError> {
    let ((key, label), now) = (identity, tx.now());
    let (authority, subject) = (key.authority(), key.subject());
    let insert = stmt!(INSERT, authority, subject, user.uuid(), label, now, actor.name());
    if tx.execute(insert).await? == 0 {
        return Ok(IdentityLinked::Taken);
    }
    let details = json!({"authority": authority, "subject": subject});
    let linked = note(actor, AuditAction::IdentityLinked, user, request_id.as_ref(), details);
    for row in of_user(tx, user).await? {
        audit(tx, ids, WorkspaceId::from_uuid(row.id), &linked).await?;
    }
    Ok(IdentityLinked::Done)
}

/// Makes an account for somebody whom the rules of a workspace let in; none when no rule does.
async fn admit(
    tx: &mut Tx,
    ids: &dyn Ids,
    proven: &ProvenIdentity,
    request_id: Option<&String>,
) -> Result<Option<FoundRow>, StoreError> {
    let rules: Vec<RuleRow> = tx.all(stmt!(OF_AUTHORITY, proven.key.authority())).await?;
    if rules.is_empty() {
        return Ok(None);
    }
    let (user, now) = (UserId::next(ids), tx.now());
    let fallback = || "Somebody new".to_owned();
    let name = proven.name.clone().or_else(|| proven.label.clone()).unwrap_or_else(fallback);
    // What the provider calls an e-mail address may be anybody's: it names no account here, and takes no
    // address from the person whose it is.
    let email = format!("{user}@sign-in.invalid");
    tx.execute(stmt!(USER_INSERT, user.uuid(), email, &name, now)).await?;
    let (authority, subject) = (proven.key.authority(), proven.key.subject());
    let (label, by) = (proven.label.clone(), Initiator::System);
    // Of two that come at once one conflicts, and finds the other's account when it tries again.
    let own = stmt!(ADMIT, authority, subject, user.uuid(), label, now, by.name());
    tx.execute(own).await?;
    for rule in rules {
        let role: Role = rule.role.parse().map_err(|_| bad_row("sign_in_rules", "role"))?;
        let place = (rule.workspace_id, user.uuid());
        tx.execute(stmt!(MEMBER_INSERT, place.0, place.1, role.as_str(), now)).await?;
        let details = json!({"role": role.as_str(), "authority": authority, "subject": subject});
        let made = note(&by, AuditAction::UserCreated, user, request_id, details);
        audit(tx, ids, WorkspaceId::from_uuid(rule.workspace_id), &made).await?;
    }
    Ok(Some(FoundRow { id: user.uuid(), name, status: "active".to_owned() }))
}

impl Hall {
    /// Lets in somebody whom a provider has proved. A session that the browser had before is ended: the
    /// new one is another (TRUST §6, 2).
    pub async fn identity_enter(
        &self,
        proven: &ProvenIdentity,
        before: Option<&SessionSecret>,
        request_id: Option<String>,
    ) -> Result<IdentityEntry, StoreError> {
        let secret = SessionSecret::fresh()?;
        let (hash, before) = (secret.hash(), before.map(SessionSecret::hash));
        let enter = || {
            let (ids, proven) = (Arc::clone(&self.store.ids), proven.clone());
            let (sessions, request_id) = ((hash.clone(), before.clone()), request_id.clone());
            self.store.db.write(Reach::All, move |tx| {
                Box::pin(
                    async move { enter(tx, &*ids, &proven, sessions, request_id.as_ref()).await },
                )
            })
        };
        let entry = match enter().await {
            Err(StoreError::Conflict(_)) => enter().await?,
            entry => entry?,
        };
        Ok(match entry {
            Entry::In(expires_at, count) => {
                IdentityEntry::In(NewSession { secret, expires_at }, count)
            }
            Entry::NoWorkspace => IdentityEntry::NoWorkspace,
            Entry::Refused => IdentityEntry::Refused,
        })
    }

    /// Links what was proved to the account of this session.
    pub async fn identity_link_own(
        &self,
        actor: &Actor,
        proven: &ProvenIdentity,
        request_id: Option<String>,
    ) -> Result<IdentityLinked, StoreError> {
        let (ids, user, by) = (Arc::clone(&self.store.ids), actor.user, actor.initiator());
        let (key, label) = (proven.key.clone(), proven.label.clone());
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move { link(tx, &*ids, user, (&key, label), &by, request_id).await })
            })
            .await
    }

    /// The identities that this person can sign in with.
    pub async fn own_identities(&self, actor: &Actor) -> Result<Vec<OwnIdentity>, StoreError> {
        let stmt = stmt!(OF_USER, actor.user.uuid());
        let rows: Vec<OwnRow> = self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
        let own = |row: OwnRow| OwnIdentity {
            authority: row.authority,
            subject: row.subject,
            label: row.label,
            created_at: Timestamp::from_micros(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
        };
        Ok(rows.into_iter().map(own).collect())
    }

    /// Takes one of one's own identities away, but never the last way in.
    pub async fn identity_unlink_own(
        &self,
        actor: &Actor,
        authority: &str,
        subject: &str,
        request_id: Option<String>,
    ) -> Result<IdentityGone, StoreError> {
        let (ids, user, by) = (Arc::clone(&self.store.ids), actor.user, actor.initiator());
        let (authority, subject) = (authority.to_owned(), subject.to_owned());
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    tx.execute(stmt!(USER_HOLD, user.uuid())).await?;
                    let left = stmt!(WAYS_LEFT, user.uuid(), &authority, &subject);
                    if tx.one::<CountRow>(left).await?.n == 0 {
                        return Ok(IdentityGone::LastWay);
                    }
                    let delete = stmt!(DELETE, user.uuid(), &authority, &subject);
                    if tx.execute(delete).await? == 0 {
                        return Ok(IdentityGone::NotFound);
                    }
                    let details = json!({"authority": authority, "subject": subject});
                    let action = AuditAction::IdentityUnlinked;
                    let gone = note(&by, action, user, request_id.as_ref(), details);
                    for row in of_user(tx, user).await? {
                        audit(tx, &*ids, WorkspaceId::from_uuid(row.id), &gone).await?;
                    }
                    Ok(IdentityGone::Done)
                })
            })
            .await
    }

    /// By which way the session of this person was opened; none for API tokens.
    pub async fn session_method(&self, actor: &Actor) -> Result<Option<SignInMethod>, StoreError> {
        let Via::Session { id, .. } = &actor.via else { return Ok(None) };
        let stmt = stmt!(SESSION_METHOD, id.uuid());
        let row: Option<MethodRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        Ok(row.map(|row| match row.method.as_str() {
            "oidc" => SignInMethod::Oidc,
            _ => SignInMethod::Password,
        }))
    }
}

enum Entry {
    In(Timestamp, usize),
    NoWorkspace,
    Refused,
}

async fn enter(
    tx: &mut Tx,
    ids: &dyn Ids,
    proven: &ProvenIdentity,
    sessions: (Vec<u8>, Option<Vec<u8>>),
    request_id: Option<&String>,
) -> Result<Entry, StoreError> {
    let (authority, subject) = (proven.key.authority(), proven.key.subject());
    let account = match tx.optional::<FoundRow>(stmt!(FIND, authority, subject)).await? {
        Some(account) => account,
        None => match admit(tx, ids, proven, request_id).await? {
            Some(account) => account,
            None => return Ok(Entry::Refused),
        },
    };
    let (user, now) = (UserId::from_uuid(account.id), tx.now());
    let by = Initiator::User { id: user, name: account.name };
    let own = of_user(tx, user).await?;
    if account.status != "active" {
        let details = json!({"method": "oidc", "reason": "account_disabled"});
        let refused = note(&by, AuditAction::UserSignInRefused, user, request_id, details);
        for row in &own {
            audit(tx, ids, WorkspaceId::from_uuid(row.id), &refused).await?;
        }
        return Ok(Entry::Refused);
    }
    let Some(first) = own.first() else { return Ok(Entry::NoWorkspace) };
    let workspace = WorkspaceId::from_uuid(first.id);
    let expires_at = now.plus(SESSION_LIFE);
    let (hash, before) = sessions;
    if let Some(before) = before {
        tx.execute(stmt!(SESSION_END, before)).await?;
    }
    tx.execute(stmt!(SESSIONS_EXPIRED, user.uuid(), now)).await?;
    let session = SessionId::next(ids);
    let places = (user.uuid(), workspace.uuid());
    tx.execute(stmt!(SESSION_INSERT, hash, session.uuid(), places.0, places.1, now, expires_at))
        .await?;
    tx.execute(stmt!(USED, authority, subject, now, proven.label.clone())).await?;
    let details = json!({"method": "oidc", "authority": authority});
    let done = note(&by, AuditAction::UserSignedIn, user, request_id, details);
    audit(tx, ids, workspace, &done).await?;
    Ok(Entry::In(expires_at, own.len()))
}
