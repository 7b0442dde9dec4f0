//! Invitations: links that make somebody a member, once and for a week at most.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::access::{ManageMembers, Role, ViewMembers};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{InvitationId, TenantId, UserId, WorkspaceId};
use tp_domain::member::Invitation;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::audit::audit;
use crate::db::{Reach, Tx};
use crate::doors::Actor;
use crate::error::StoreError;
use crate::hall::Hall;
use crate::members::Hand;
use crate::secret_text::SecretText;
use crate::stmt::stmt;
use crate::tenants::bad_row;
use crate::workspace::WorkspaceScope;

/// How long an invitation works.
pub const INVITATION_LIFE: Duration = Duration::from_hours(168);

/// The most that a workspace has open at once.
pub(crate) const MOST_INVITATIONS: i64 = 500;

const INSERT: &str = "\
INSERT INTO invitations (scope_id, id, workspace_id, tenant_id, token_hash, email, role, created_at,
                         created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const LIST: &str = "\
SELECT id, email, role, tenant_id, created_by, created_at, expires_at FROM invitations
WHERE workspace_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id DESC";
const OLD_DELETE: &str = "DELETE FROM invitations WHERE expires_at <= $1";
const SAME_DELETE: &str = "DELETE FROM invitations WHERE scope_id = $1 AND email = $2";
const REVOKE: &str = "DELETE FROM invitations WHERE workspace_id = $1 AND id = $2";
const COUNT: &str = "SELECT count(*) AS n FROM invitations WHERE workspace_id = $1";
const FIND: &str = "\
SELECT i.id, i.workspace_id, i.tenant_id, i.email, i.role, i.created_by, i.created_at, i.expires_at,
       w.name AS workspace, u.id AS user_id
FROM invitations i
JOIN workspaces w ON w.id = i.workspace_id
LEFT JOIN users u ON u.email = i.email
WHERE i.token_hash = $1 AND i.expires_at > $2";
// Deleting says who was first: two clicks on one link make one member.
const TAKE: &str = "DELETE FROM invitations WHERE token_hash = $1";
const USER_INSERT: &str = "\
INSERT INTO users (id, email, name, password_hash, status, created_at)
VALUES ($1, $2, $3, $4, 'active', $5)";
const USER_GET: &str = "SELECT email, name FROM users WHERE id = $1";

/// The secret of an invitation's link. The database holds its SHA-256.
#[derive(Clone, Debug)]
pub struct InvitationSecret(SecretText);

impl InvitationSecret {
    fn fresh() -> Result<Self, StoreError> {
        SecretText::fresh().map(Self)
    }

    /// Takes what an address said; a text of another form is `None` without asking the database.
    pub fn parse(text: &str) -> Option<Self> {
        SecretText::parse(text).map(Self)
    }

    /// The text for the link, shown once.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn hash(&self) -> Vec<u8> {
        self.0.hash()
    }
}

/// What is asked of somebody.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// Whose; see [`tp_domain::member::email`].
    pub email: String,
    /// The role that it gives.
    pub role: Role,
    /// For one tenant only.
    pub tenant: Option<TenantId>,
}

/// What became of a wish to invite.
#[derive(Debug)]
pub enum Invited {
    /// The link's secret, shown once.
    Done(InvitationId, InvitationSecret),
    /// No such tenant in this workspace.
    NoTenant,
    /// So many are open already that something is wrong.
    TooMany,
}

/// An invitation as its holder sees it.
#[derive(Clone, Debug)]
pub struct OpenInvitation {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub workspace_name: String,
    /// What is offered.
    pub invitation: Invitation,
    /// Whether an account has this address already.
    pub has_account: bool,
}

/// What became of an invitation that somebody used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The account is a member now.
    Joined(UserId, WorkspaceId),
    /// The link was used, taken back, or is too old.
    Gone,
    /// The invitation is for another address than the account's.
    OtherAccount,
    /// An account has this address: it must sign in first.
    HasAccount,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct InvitationRow {
    id: Uuid,
    email: String,
    role: String,
    tenant_id: Option<Uuid>,
    created_by: String,
    created_at: i64,
    expires_at: i64,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    invitation: InvitationRow,
    workspace_id: Uuid,
    workspace: String,
    user_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    email: String,
    name: String,
}

impl TryFrom<InvitationRow> for Invitation {
    type Error = StoreError;

    fn try_from(row: InvitationRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: InvitationId::from_uuid(row.id),
            email: row.email,
            role: row.role.parse().map_err(|_| bad_row("invitations", "role"))?,
            tenant: row.tenant_id.map(TenantId::from_uuid),
            created_by: row.created_by,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        })
    }
}

async fn open_list<C>(scope: &WorkspaceScope<C>) -> Result<Vec<Invitation>, StoreError> {
    let stmt = stmt!(LIST, scope.workspace.uuid(), scope.store.now());
    let rows: Vec<InvitationRow> =
        scope.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
    rows.into_iter().map(Invitation::try_from).collect()
}

impl WorkspaceScope<ViewMembers> {
    /// Invitations that can still be used, newest first.
    pub async fn invitation_list(&self) -> Result<Vec<Invitation>, StoreError> {
        open_list(self).await
    }
}

impl WorkspaceScope<ManageMembers> {
    /// Makes an invitation. One to the same address and place before it stops working.
    pub async fn invite(
        &self,
        new: NewInvitation,
        request_id: Option<String>,
    ) -> Result<Invited, StoreError> {
        let (hand, secret) = (self.hand(request_id), InvitationSecret::fresh()?);
        let (hash, id) = (secret.hash(), InvitationId::next(&*self.store.ids));
        let full = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let (now, workspace) = (tx.now(), hand.workspace.uuid());
                    // One after another: to one address there is one invitation, and no more than the most.
                    hand.hold(tx).await?;
                    tx.execute(stmt!(OLD_DELETE, now)).await?;
                    if let Some(tenant) = new.tenant
                        && !hand.has_tenant(tx, tenant).await?
                    {
                        return Ok(Some(Invited::NoTenant));
                    }
                    if tx.one::<CountRow>(stmt!(COUNT, workspace)).await?.n >= MOST_INVITATIONS {
                        return Ok(Some(Invited::TooMany));
                    }
                    let scope = new.tenant.map_or(workspace, TenantId::uuid);
                    tx.execute(stmt!(SAME_DELETE, scope, &new.email)).await?;
                    tx.execute(stmt!(
                        INSERT,
                        scope,
                        id.uuid(),
                        workspace,
                        new.tenant.map(TenantId::uuid),
                        hash,
                        &new.email,
                        new.role.as_str(),
                        now,
                        hand.actor.name(),
                        now.plus(INVITATION_LIFE),
                    ))
                    .await?;
                    let details = json!({"email": new.email, "role": new.role.as_str()});
                    let note = about(&hand, AuditAction::MemberInvited, id, new.tenant, details);
                    audit(tx, &*hand.ids, hand.workspace, &note).await?;
                    Ok(None)
                })
            })
            .await?;
        Ok(full.unwrap_or(Invited::Done(id, secret)))
    }

    /// Takes an invitation back; `false` when it was used, is over, or never was.
    pub async fn invitation_revoke(
        &self,
        id: InvitationId,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let hand = self.hand(request_id);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let stmt = stmt!(REVOKE, hand.workspace.uuid(), id.uuid());
                    if tx.execute(stmt).await? == 0 {
                        return Ok(false);
                    }
                    let note = about(&hand, AuditAction::InvitationRevoked, id, None, json!({}));
                    audit(tx, &*hand.ids, hand.workspace, &note).await?;
                    Ok(true)
                })
            })
            .await
    }
}

fn about(
    hand: &Hand,
    action: AuditAction,
    id: InvitationId,
    tenant: Option<TenantId>,
    details: Value,
) -> AuditNote {
    AuditNote {
        actor: hand.actor.clone(),
        action,
        target: ("invitation", id.to_string()),
        tenant,
        run: None,
        request_id: hand.request_id.clone(),
        details,
    }
}

/// Who uses an invitation.
enum Joining {
    /// Somebody without an account: its name and the hash of its password; none where another provider
    /// tells who they are.
    New { name: String, password_hash: Option<String> },
    /// The account that is signed in.
    Known(UserId),
}

impl Hall {
    /// What the link offers, if it still works.
    pub async fn invitation_open(
        &self,
        secret: &InvitationSecret,
    ) -> Result<Option<OpenInvitation>, StoreError> {
        let stmt = stmt!(FIND, secret.hash(), self.store.now());
        let row: Option<FoundRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(|row| {
            Ok(OpenInvitation {
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                workspace_name: row.workspace,
                invitation: row.invitation.try_into()?,
                has_account: row.user_id.is_some(),
            })
        })
        .transpose()
    }

    /// Makes an account with the invitation's address, and a member of it.
    pub async fn invitation_accept(
        &self,
        secret: &InvitationSecret,
        name: String,
        password_hash: Option<String>,
        request_id: Option<String>,
    ) -> Result<Accepted, StoreError> {
        self.accept(secret, Joining::New { name, password_hash }, request_id).await
    }

    /// Makes the account that is signed in a member. Its address must be the invitation's.
    pub async fn invitation_accept_as(
        &self,
        secret: &InvitationSecret,
        actor: &Actor,
        request_id: Option<String>,
    ) -> Result<Accepted, StoreError> {
        self.accept(secret, Joining::Known(actor.user), request_id).await
    }

    async fn accept(
        &self,
        secret: &InvitationSecret,
        joining: Joining,
        request_id: Option<String>,
    ) -> Result<Accepted, StoreError> {
        let (hash, ids) = (secret.hash(), Arc::clone(&self.store.ids));
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let found: Option<FoundRow> =
                        tx.optional(stmt!(FIND, hash.clone(), now)).await?;
                    let Some(found) = found else { return Ok(Accepted::Gone) };
                    let workspace = WorkspaceId::from_uuid(found.workspace_id);
                    let has_account = found.user_id.is_some();
                    let offered: Invitation = found.invitation.try_into()?;
                    let (user, name, new) = match joining {
                        Joining::New { .. } if has_account => return Ok(Accepted::HasAccount),
                        Joining::New { name, password_hash } => {
                            (UserId::next(&*ids), name, Some(password_hash))
                        }
                        Joining::Known(user) => match known(tx, user).await? {
                            Some(row) if row.email == offered.email => (user, row.name, None),
                            _ => return Ok(Accepted::OtherAccount),
                        },
                    };
                    let actor = Initiator::User { id: user, name: name.clone() };
                    let hand = Hand { ids, actor, workspace, request_id };
                    hand.hold(tx).await?;
                    if let Some(tenant) = offered.tenant
                        && !hand.has_tenant(tx, tenant).await?
                    {
                        return Ok(Accepted::Gone);
                    }
                    if tx.execute(stmt!(TAKE, hash)).await? == 0 {
                        return Ok(Accepted::Gone);
                    }
                    if let Some(password) = new {
                        let (id, email) = (user.uuid(), &offered.email);
                        tx.execute(stmt!(USER_INSERT, id, email, &name, password, now)).await?;
                        let details = json!({"role": offered.role.as_str()});
                        let made = hand.note(AuditAction::UserCreated, user, None, details);
                        audit(tx, &*hand.ids, workspace, &made).await?;
                    }
                    let details = json!({"invitation": offered.id.to_string()});
                    let action = AuditAction::InvitationAccepted;
                    let note = hand.note(action, user, offered.tenant, details);
                    audit(tx, &*hand.ids, workspace, &note).await?;
                    // The last owner who takes a lesser role with an old link stays what they are: the link
                    // cannot leave the workspace without an owner.
                    hand.give(tx, user, offered.tenant, Some(offered.role)).await?;
                    Ok(Accepted::Joined(user, workspace))
                })
            })
            .await
    }
}

async fn known(tx: &mut Tx, user: UserId) -> Result<Option<KnownRow>, StoreError> {
    tx.optional(stmt!(USER_GET, user.uuid())).await
}
