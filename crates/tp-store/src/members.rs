//! Members of a workspace: who they are, what they may do, and how that changes (PRODUCT ).
//!
//! Every change is one unit: it holds the workspace's row from the first look to the end, so that two owners
//! who demote each other at the same moment cannot leave the workspace without one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tp_domain::access::{ManageMembers, Role, ViewMembers};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, TenantId, UserId, WorkspaceId};
use tp_domain::member::{Member, RoleOverride};
use tp_domain::tenant::Slug;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::audit::audit;
use crate::console::Console;
use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::second_factor;
use crate::stmt::stmt;
use crate::tenants::bad_row;
use crate::workspace::WorkspaceScope;
use crate::workspace_choice::of_user;

const LIST: &str = "\
SELECT u.id, u.name, u.email, u.status, m.role, m.tenant_id, m.created_at, m.added_by, t.slug,
       t.name AS tenant_name,
       (SELECT max(s.last_used_at) FROM sessions s
        WHERE s.user_id = u.id AND s.workspace_id = $1) AS seen_at
FROM memberships m
JOIN users u ON u.id = m.user_id
LEFT JOIN tenants t ON t.id = m.tenant_id
WHERE m.workspace_id = $1 ORDER BY u.id, t.name";
// An update that changes nothing holds the row on both databases.
const HOLD: &str = "UPDATE workspaces SET name = name WHERE id = $1";
const ROLE: &str = "SELECT role FROM memberships WHERE scope_id = $1 AND user_id = $2";
const IS_MEMBER: &str =
    "SELECT count(*) AS n FROM memberships WHERE workspace_id = $1 AND user_id = $2";
const IS_TENANT: &str = "SELECT count(*) AS n FROM tenants WHERE workspace_id = $1 AND id = $2";
// Owners who can sign in: a disabled account guards nothing.
const OWNERS: &str = "\
SELECT count(*) AS n FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.scope_id = $1 AND m.role = 'owner' AND u.status = 'active' AND m.user_id <> $2";
const SET: &str = "\
INSERT INTO memberships (scope_id, user_id, workspace_id, tenant_id, role, created_at, added_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (scope_id, user_id) DO UPDATE SET role = excluded.role";
const UNSET: &str = "DELETE FROM memberships WHERE scope_id = $1 AND user_id = $2";
const REMOVE: &str = "DELETE FROM memberships WHERE workspace_id = $1 AND user_id = $2";
const SESSIONS_END: &str = "DELETE FROM sessions WHERE workspace_id = $1 AND user_id = $2";
const TOKENS_END: &str = "\
UPDATE api_tokens SET revoked_at = $3
WHERE workspace_id = $1 AND user_id = $2 AND revoked_at IS NULL";
const FACTORS: &str = "\
SELECT f.user_id AS id FROM user_factors f WHERE f.confirmed_at IS NOT NULL
AND EXISTS (SELECT 1 FROM memberships m WHERE m.workspace_id = $1 AND m.user_id = f.user_id)";
const ELSEWHERE: &str =
    "SELECT count(*) AS n FROM memberships WHERE workspace_id <> $1 AND user_id = $2";
const USER_BY_EMAIL: &str = "SELECT id, status FROM users WHERE email = $1";
const STATUS_SET: &str = "UPDATE users SET status = $2 WHERE id = $1 AND status <> $2";
const ALL_SESSIONS_END: &str = "DELETE FROM sessions WHERE user_id = $1";

/// What became of a change of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It was carried out.
    Done,
    /// It was so already.
    Unchanged,
    /// There is no such member, or no such tenant in this workspace.
    NotThere,
    /// It would leave the workspace without an owner who can sign in.
    LastOwner,
}

/// What became of the wish to take a member's second factor away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorReset {
    /// It is off, and the member's sessions are ended.
    Done,
    /// There is no such member, or they have none.
    NotThere,
    /// It is one's own: that is done in one's own account.
    Own,
    /// The account is a member of another workspace as well: that one's owners have not been asked.
    Elsewhere,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    id: Uuid,
    name: String,
    email: String,
    status: String,
    role: String,
    tenant_id: Option<Uuid>,
    created_at: i64,
    added_by: String,
    slug: Option<String>,
    tenant_name: Option<String>,
    seen_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct RoleRow {
    role: String,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    id: Uuid,
    status: String,
}

fn role(text: &str) -> Result<Role, StoreError> {
    text.parse().map_err(|_| bad_row("memberships", "role"))
}

fn gather(rows: Vec<MemberRow>) -> Result<Vec<Member>, StoreError> {
    let mut members: BTreeMap<Uuid, Member> = BTreeMap::new();
    for row in rows {
        let member = members.entry(row.id).or_insert_with(|| Member {
            user: UserId::from_uuid(row.id),
            name: row.name.clone(),
            email: row.email.clone(),
            is_active: row.status == "active",
            role: None,
            overrides: Vec::new(),
            added_at: Timestamp::from_micros(row.created_at),
            added_by: row.added_by.clone(),
            seen_at: row.seen_at.map(Timestamp::from_micros),
        });
        match row.tenant_id {
            None => {
                member.role = Some(role(&row.role)?);
                member.added_at = Timestamp::from_micros(row.created_at);
                member.added_by = row.added_by;
            }
            Some(tenant) => member.overrides.push(RoleOverride {
                tenant: TenantId::from_uuid(tenant),
                slug: row
                    .slug
                    .and_then(|slug| Slug::new(&slug).ok())
                    .ok_or_else(|| bad_row("tenants", "slug"))?,
                name: row.tenant_name.unwrap_or_default(),
                role: role(&row.role)?,
            }),
        }
    }
    // Here and not in the database: both would order letters differently.
    let mut members: Vec<Member> = members.into_values().collect();
    members.sort_by_cached_key(|one| (one.name.to_lowercase(), one.user));
    Ok(members)
}

/// What every change of members carries.
pub(crate) struct Hand {
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) actor: Initiator,
    pub(crate) workspace: WorkspaceId,
    pub(crate) request_id: Option<String>,
}

impl Hand {
    pub(crate) fn note(
        &self,
        action: AuditAction,
        user: UserId,
        tenant: Option<TenantId>,
        details: Value,
    ) -> AuditNote {
        AuditNote {
            actor: self.actor.clone(),
            action,
            target: ("user", user.to_string()),
            tenant,
            run: None,
            request_id: self.request_id.clone(),
            details,
        }
    }

    /// Whether the workspace has another owner who can sign in.
    async fn other_owner(&self, tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
        let stmt = stmt!(OWNERS, self.workspace.uuid(), user.uuid());
        Ok(tx.one::<CountRow>(stmt).await?.n > 0)
    }

    pub(crate) async fn has_tenant(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
    ) -> Result<bool, StoreError> {
        let stmt = stmt!(IS_TENANT, self.workspace.uuid(), tenant.uuid());
        Ok(tx.one::<CountRow>(stmt).await?.n > 0)
    }

    /// Gives a role; the caller has seen that the account may have it. `None` takes it away.
    pub(crate) async fn give(
        &self,
        tx: &mut Tx,
        user: UserId,
        tenant: Option<TenantId>,
        wanted: Option<Role>,
    ) -> Result<MemberChange, StoreError> {
        if let Some(tenant) = tenant
            && !self.has_tenant(tx, tenant).await?
        {
            return Ok(MemberChange::NotThere);
        }
        let scope = tenant.map_or(self.workspace.uuid(), TenantId::uuid);
        let before: Option<RoleRow> = tx.optional(stmt!(ROLE, scope, user.uuid())).await?;
        let before = before.map(|row| role(&row.role)).transpose()?;
        if before == wanted {
            return Ok(MemberChange::Unchanged);
        }
        let loses_owner = tenant.is_none() && before == Some(Role::Owner);
        if loses_owner && !self.other_owner(tx, user).await? {
            return Ok(MemberChange::LastOwner);
        }
        let now = tx.now();
        let action = if let Some(role) = wanted {
            tx.execute(stmt!(
                SET,
                scope,
                user.uuid(),
                self.workspace.uuid(),
                tenant.map(TenantId::uuid),
                role.as_str(),
                now,
                self.actor.name(),
            ))
            .await?;
            AuditAction::MemberSet
        } else {
            tx.execute(stmt!(UNSET, scope, user.uuid())).await?;
            AuditAction::MemberRemoved
        };
        let details = json!({"role": {"before": before.map(Role::as_str), "after": wanted.map(Role::as_str)}});
        let note = self.note(action, user, tenant, details);
        audit(tx, &*self.ids, self.workspace, &note).await?;
        Ok(MemberChange::Done)
    }

    /// Removes somebody whole: roles, sessions and tokens in this workspace.
    async fn remove(&self, tx: &mut Tx, user: UserId) -> Result<MemberChange, StoreError> {
        let (workspace, id) = (self.workspace.uuid(), user.uuid());
        if tx.one::<CountRow>(stmt!(IS_MEMBER, workspace, id)).await?.n == 0 {
            return Ok(MemberChange::NotThere);
        }
        let before: Option<RoleRow> = tx.optional(stmt!(ROLE, workspace, id)).await?;
        let before = before.map(|row| role(&row.role)).transpose()?;
        if before == Some(Role::Owner) && !self.other_owner(tx, user).await? {
            return Ok(MemberChange::LastOwner);
        }
        let now = tx.now();
        tx.execute(stmt!(REMOVE, workspace, id)).await?;
        let sessions = tx.execute(stmt!(SESSIONS_END, workspace, id)).await?;
        let tokens = tx.execute(stmt!(TOKENS_END, workspace, id, now)).await?;
        let details = json!({
            "role": {"before": before.map(Role::as_str), "after": null},
            "sessions_ended": sessions, "tokens_revoked": tokens,
        });
        let note = self.note(AuditAction::MemberRemoved, user, None, details);
        audit(tx, &*self.ids, self.workspace, &note).await?;
        Ok(MemberChange::Done)
    }

    pub(crate) async fn hold(&self, tx: &mut Tx) -> Result<(), StoreError> {
        tx.execute(stmt!(HOLD, self.workspace.uuid())).await?;
        Ok(())
    }
}

async fn list<C>(scope: &WorkspaceScope<C>) -> Result<Vec<Member>, StoreError> {
    let stmt = stmt!(LIST, scope.workspace.uuid());
    gather(scope.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?)
}

impl WorkspaceScope<ViewMembers> {
    /// Everybody with a role in the workspace or in one of its tenants, by name.
    pub async fn member_list(&self) -> Result<Vec<Member>, StoreError> {
        list(self).await
    }
}

impl<C> WorkspaceScope<C> {
    /// The members whose account asks for a second factor.
    pub async fn member_factors(&self) -> Result<BTreeSet<UserId>, StoreError> {
        let stmt = stmt!(FACTORS, self.workspace.uuid());
        let rows: Vec<IdRow> = self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
        Ok(rows.into_iter().map(|row| UserId::from_uuid(row.id)).collect())
    }

    pub(crate) fn hand(&self, request_id: Option<String>) -> Hand {
        Hand {
            ids: Arc::clone(&self.store.ids),
            actor: self.actor.initiator(),
            workspace: self.workspace,
            request_id,
        }
    }
}

impl WorkspaceScope<ManageMembers> {
    /// Everybody with a role, after a change.
    pub async fn member_list(&self) -> Result<Vec<Member>, StoreError> {
        list(self).await
    }

    /// Gives a member another role: in the workspace, or one that differs in a single tenant. `None` takes
    /// the differing role of a tenant away; without one in the workspace the person then does not see it.
    pub async fn member_role_set(
        &self,
        user: UserId,
        tenant: Option<TenantId>,
        role: Option<Role>,
        request_id: Option<String>,
    ) -> Result<MemberChange, StoreError> {
        let hand = self.hand(request_id);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    hand.hold(tx).await?;
                    let member = stmt!(IS_MEMBER, hand.workspace.uuid(), user.uuid());
                    if tx.one::<CountRow>(member).await?.n == 0 {
                        return Ok(MemberChange::NotThere);
                    }
                    hand.give(tx, user, tenant, role).await
                })
            })
            .await
    }

    /// Takes the second factor of a member away who has lost it, and ends all their sessions. The password
    /// stays: whoever asks for this must be known to be that person.
    pub async fn member_factor_reset(
        &self,
        user: UserId,
        request_id: Option<String>,
    ) -> Result<FactorReset, StoreError> {
        if user == self.actor.user() {
            return Ok(FactorReset::Own);
        }
        let hand = self.hand(request_id);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    hand.hold(tx).await?;
                    let place = (hand.workspace.uuid(), user.uuid());
                    if tx.one::<CountRow>(stmt!(IS_MEMBER, place.0, place.1)).await?.n == 0 {
                        return Ok(FactorReset::NotThere);
                    }
                    if tx.one::<CountRow>(stmt!(ELSEWHERE, place.0, place.1)).await?.n > 0 {
                        return Ok(FactorReset::Elsewhere);
                    }
                    let (ids, by) = (Arc::clone(&hand.ids), hand.actor.clone());
                    let request_id = hand.request_id.clone();
                    let done = second_factor::remove(tx, &*ids, user, by, request_id).await?;
                    Ok(if done { FactorReset::Done } else { FactorReset::NotThere })
                })
            })
            .await
    }

    /// Removes a member: all roles here, all sessions and tokens of this workspace. The account stays.
    pub async fn member_remove(
        &self,
        user: UserId,
        request_id: Option<String>,
    ) -> Result<MemberChange, StoreError> {
        let hand = self.hand(request_id);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    hand.hold(tx).await?;
                    hand.remove(tx, user).await
                })
            })
            .await
    }
}

impl Console {
    /// Takes the second factor of an account away, and ends its sessions. `None` when there is no such
    /// account, `false` when it has none.
    pub async fn second_factor_remove(&self, email: &str) -> Result<Option<bool>, StoreError> {
        let (email, ids) = (email.trim().to_lowercase(), Arc::clone(&self.store.ids));
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let found: Option<UserRow> = tx.optional(stmt!(USER_BY_EMAIL, email)).await?;
                    let Some(found) = found else { return Ok(None) };
                    let user = UserId::from_uuid(found.id);
                    let by = Initiator::Console;
                    second_factor::remove(tx, &*ids, user, by, None).await.map(Some)
                })
            })
            .await
    }

    /// Switches an account off or on. Off ends all its sessions; it cannot sign in, and its tokens do not
    /// work. `None` when there is no such account.
    pub async fn user_enable(
        &self,
        email: &str,
        enabled: bool,
    ) -> Result<Option<MemberChange>, StoreError> {
        let (email, ids) = (email.trim().to_lowercase(), Arc::clone(&self.store.ids));
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let found: Option<UserRow> =
                        tx.optional(stmt!(USER_BY_EMAIL, email.clone())).await?;
                    let Some(found) = found else { return Ok(None) };
                    let user = UserId::from_uuid(found.id);
                    let wanted = if enabled { "active" } else { "disabled" };
                    if found.status == wanted {
                        return Ok(Some(MemberChange::Unchanged));
                    }
                    let hands: Vec<Hand> = of_user(tx, user)
                        .await?
                        .into_iter()
                        .map(|row| Hand {
                            ids: Arc::clone(&ids),
                            actor: Initiator::Console,
                            workspace: WorkspaceId::from_uuid(row.id),
                            request_id: None,
                        })
                        .collect();
                    for hand in &hands {
                        hand.hold(tx).await?;
                        let stmt = stmt!(ROLE, hand.workspace.uuid(), user.uuid());
                        let own: Option<RoleRow> = tx.optional(stmt).await?;
                        let is_owner = own.is_some_and(|row| row.role == Role::Owner.as_str());
                        if !enabled && is_owner && !hand.other_owner(tx, user).await? {
                            return Ok(Some(MemberChange::LastOwner));
                        }
                    }
                    tx.execute(stmt!(STATUS_SET, user.uuid(), wanted)).await?;
                    if !enabled {
                        tx.execute(stmt!(ALL_SESSIONS_END, user.uuid())).await?;
                    }
                    let action =
                        if enabled { AuditAction::UserEnabled } else { AuditAction::UserDisabled };
                    for hand in &hands {
                        let note = hand.note(action, user, None, json!({}));
                        audit(tx, &*hand.ids, hand.workspace, &note).await?;
                    }
                    Ok(Some(MemberChange::Done))
                })
            })
            .await
    }
}
