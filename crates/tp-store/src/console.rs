//! The acts of the machine's own shell: first workspace, accounts, tenants. Audited as "console".

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tp_domain::access::{Capability, ManageTenant, Role};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::connection::CredentialState;
use tp_domain::ids::{CredentialId, Ids, ScopeId, TenantId, TokenId, UserId, WorkspaceId};
use tp_domain::operation::OperationRequest;
use tp_domain::tenant::Slug;
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::credentials::{NewCredential, SealedCredential, audited};
use crate::db::{Reach, Tx};
use crate::doors::Actor;
use crate::error::StoreError;
use crate::hall::ApiTokenSecret;
use crate::keys::KeyError;
use crate::runs::{NewRun, Started, start_alone};
use crate::stmt::stmt;

const WORKSPACE_COUNT: &str = "SELECT count(*) AS n FROM workspaces";
const WORKSPACE_LIST: &str = "SELECT id, name FROM workspaces ORDER BY created_at, id";
const WORKSPACE_INSERT: &str = "INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3)";
const USER_INSERT: &str = "\
INSERT INTO users (id, email, name, password_hash, status, created_at)
VALUES ($1, $2, $3, $4, 'active', $5)";
const PASSWORD_SET: &str = "UPDATE users SET password_hash = $2, failed_sign_ins = 0, locked_until = NULL WHERE email = $1";
const MEMBER_SET: &str = "\
INSERT INTO memberships (scope_id, user_id, workspace_id, tenant_id, role, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (scope_id, user_id) DO UPDATE SET role = excluded.role";
const TOKEN_INSERT: &str = "\
INSERT INTO api_tokens (token_hash, id, user_id, workspace_id, name, capabilities, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const TENANT_INSERT: &str = "\
INSERT INTO tenants (id, workspace_id, slug, name, entra_tenant_id, domain, cloud, client_id,
                     status, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9)";

/// How long a bootstrap token lives: the longest that a token may (PRODUCT A-5).
const TOKEN_LIFE: Duration = Duration::from_hours(8760);

/// The door of the machine's own shell.
#[derive(Clone, Debug)]
pub struct Console {
    pub(crate) store: Store,
}

/// The first workspace, its owner and, if wanted, a token.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The workspace's name.
    pub workspace: String,
    /// The owner.
    pub owner: NewUser,
    /// What the owner's first API token may do: none for no token, `["all"]` for everything.
    pub token_capabilities: Vec<String>,
}

/// An account to be made. Its password is hashed already.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// E-mail address; kept in lower case.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// argon2id, PHC form.
    pub password_hash: String,
    /// Role in the workspace.
    pub role: Role,
}

/// A tenant to be added.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// Name for people.
    pub name: String,
    /// Name in URLs.
    pub slug: Slug,
    /// Its id in Microsoft Entra.
    pub entra_tenant_id: Uuid,
    /// A verified domain, if known.
    pub domain: Option<String>,
    /// The cloud's name.
    pub cloud: String,
    /// The app registration and its secret or certificate; none to connect later.
    pub credential: Option<(String, NewCredential)>,
}

/// What bootstrap made.
#[derive(Debug)]
pub struct Bootstrapped {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its owner.
    pub user: UserId,
    /// The token, shown once.
    pub token: Option<ApiTokenSecret>,
}

/// Why the shell's act was not carried out. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// There is a workspace already.
    #[error("this installation has a workspace; bootstrap works once")]
    AlreadyBootstrapped,
    /// The workspace, slug, tenant id or e-mail address is taken.
    #[error("{0}")]
    Taken(&'static str),
    /// The keys cannot seal the secret.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct WorkspaceRow {
    id: Uuid,
    name: String,
}

fn note(
    actor: &Initiator,
    action: AuditAction,
    target: (&'static str, String),
    tenant: Option<TenantId>,
    details: serde_json::Value,
) -> AuditNote {
    AuditNote { actor: actor.clone(), action, target, tenant, run: None, request_id: None, details }
}

impl Console {
    /// Makes the first workspace with its owner. Works once (TRUST T22).
    pub async fn bootstrap(&self, new: Bootstrap) -> Result<Bootstrapped, ConsoleError> {
        let token =
            if new.token_capabilities.is_empty() { None } else { Some(ApiTokenSecret::fresh()?) };
        let (ids, hash) = (Arc::clone(&self.store.ids), token.as_ref().map(ApiTokenSecret::hash));
        let made = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    if tx.one::<CountRow>(stmt!(WORKSPACE_COUNT)).await?.n > 0 {
                        return Ok(None);
                    }
                    let workspace = WorkspaceId::next(&*ids);
                    let now = tx.now();
                    tx.execute(stmt!(WORKSPACE_INSERT, workspace.uuid(), &new.workspace, now))
                        .await?;
                    let details = json!({"name": new.workspace});
                    let target = ("workspace", workspace.to_string());
                    let action = AuditAction::WorkspaceCreated;
                    let made = note(&Initiator::Console, action, target, None, details);
                    audit(tx, &*ids, workspace, &made).await?;
                    let user = user_insert(tx, &*ids, workspace, &new.owner).await?;
                    if let Some(hash) = hash {
                        token_insert(tx, &*ids, workspace, user, hash, &new.token_capabilities)
                            .await?;
                    }
                    Ok(Some((workspace, user)))
                })
            })
            .await?;
        let (workspace, user) = made.ok_or(ConsoleError::AlreadyBootstrapped)?;
        Ok(Bootstrapped { workspace, user, token })
    }

    /// The workspaces of this installation, oldest first.
    pub async fn workspaces(&self) -> Result<Vec<(WorkspaceId, String)>, StoreError> {
        let rows: Vec<WorkspaceRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt!(WORKSPACE_LIST)))).await?;
        Ok(rows.into_iter().map(|row| (WorkspaceId::from_uuid(row.id), row.name)).collect())
    }

    /// Makes an account and its membership of the workspace.
    pub async fn user_create(
        &self,
        workspace: WorkspaceId,
        user: NewUser,
    ) -> Result<UserId, ConsoleError> {
        let ids = Arc::clone(&self.store.ids);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move { user_insert(tx, &*ids, workspace, &user).await })
            })
            .await
            .map_err(|error| match error {
                StoreError::Conflict(_) => {
                    ConsoleError::Taken("an account has this e-mail address")
                }
                other => other.into(),
            })
    }

    /// Replaces the password of an account and unlocks it; `false` when there is no such account.
    pub async fn password_set(&self, email: &str, hash: String) -> Result<bool, StoreError> {
        let stmt = stmt!(PASSWORD_SET, email.trim().to_lowercase(), hash);
        Ok(self.store.db.write(Reach::All, move |tx| Box::pin(tx.execute(stmt))).await? == 1)
    }

    /// Gives an account a role in one tenant that differs from its role in the workspace.
    pub async fn member_set(
        &self,
        workspace: WorkspaceId,
        tenant: Option<TenantId>,
        user: UserId,
        role: Role,
    ) -> Result<(), StoreError> {
        let ids = Arc::clone(&self.store.ids);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    member_insert(tx, workspace, tenant, user, role).await?;
                    let details = json!({"role": role.as_str()});
                    let target = ("user", user.to_string());
                    let done =
                        note(&Initiator::Console, AuditAction::MemberSet, target, tenant, details);
                    audit(tx, &*ids, workspace, &done).await
                })
            })
            .await
    }

    /// Starts a run of a tenant as the product itself: nobody is notified.
    pub async fn run_start<R: OperationRequest>(
        &self,
        workspace: WorkspaceId,
        tenant: TenantId,
        request: &R,
    ) -> Result<Started, StoreError> {
        let scope = ScopeId::Tenant(tenant);
        let new = NewRun::new(scope, workspace, R::KIND, request.inputs(), Initiator::System);
        let started = start_alone(&self.store, &new).await?;
        self.store.wake.ring(new.hint());
        Ok(started)
    }

    /// Adds a tenant from the shell.
    pub async fn tenant_create(
        &self,
        workspace: WorkspaceId,
        tenant: NewTenant,
    ) -> Result<TenantId, ConsoleError> {
        tenant_insert(&self.store, workspace, Initiator::Console, tenant).await
    }
}

impl Store {
    /// Adds a tenant for a person with `tenant.manage` in the workspace. `None` without that right.
    pub async fn tenant_add(
        &self,
        actor: &Actor,
        tenant: NewTenant,
    ) -> Result<Result<TenantId, ConsoleError>, crate::Refused> {
        let role = self.workspace_role(actor).await?.ok_or(crate::Refused::NotFound)?;
        let needed = <ManageTenant as tp_domain::access::Need>::CAPABILITY;
        if !(role.grants(needed) && actor.may_use(needed)) {
            return Err(crate::Refused::Forbidden(needed));
        }
        Ok(tenant_insert(self, actor.workspace, actor.initiator(), tenant).await)
    }

    /// Whether this person may do that in the workspace as a whole.
    pub async fn workspace_may(
        &self,
        actor: &Actor,
        capability: Capability,
    ) -> Result<bool, StoreError> {
        let role = self.workspace_role(actor).await?;
        Ok(role.is_some_and(|role| role.grants(capability)) && actor.may_use(capability))
    }

    async fn workspace_role(&self, actor: &Actor) -> Result<Option<Role>, StoreError> {
        const ROLE: &str = "SELECT role FROM memberships WHERE scope_id = $1 AND user_id = $2";
        #[derive(sqlx::FromRow)]
        struct RoleRow {
            role: String,
        }
        if !actor.may_reach_workspace() {
            return Ok(None);
        }
        let stmt = stmt!(ROLE, actor.workspace.uuid(), actor.user.uuid());
        let row: Option<RoleRow> =
            self.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(|row| row.role.parse().map_err(|_| crate::tenants::bad_row("memberships", "role")))
            .transpose()
    }
}

async fn member_insert(
    tx: &mut Tx,
    workspace: WorkspaceId,
    tenant: Option<TenantId>,
    user: UserId,
    role: Role,
) -> Result<(), StoreError> {
    let scope = tenant.map_or(ScopeId::Workspace(workspace), ScopeId::Tenant);
    let now = tx.now();
    tx.execute(stmt!(
        MEMBER_SET,
        scope.uuid(),
        user.uuid(),
        workspace.uuid(),
        tenant.map(TenantId::uuid),
        role.as_str(),
        now,
    ))
    .await?;
    Ok(())
}

async fn user_insert(
    tx: &mut Tx,
    ids: &dyn Ids,
    workspace: WorkspaceId,
    new: &NewUser,
) -> Result<UserId, StoreError> {
    let user = UserId::next(ids);
    let (email, now) = (new.email.trim().to_lowercase(), tx.now());
    tx.execute(stmt!(USER_INSERT, user.uuid(), email, &new.name, &new.password_hash, now)).await?;
    member_insert(tx, workspace, None, user, new.role).await?;
    let details = json!({"role": new.role.as_str()});
    let target = ("user", user.to_string());
    let made = note(&Initiator::Console, AuditAction::UserCreated, target, None, details);
    audit(tx, ids, workspace, &made).await?;
    Ok(user)
}

async fn token_insert(
    tx: &mut Tx,
    ids: &dyn Ids,
    workspace: WorkspaceId,
    user: UserId,
    hash: Vec<u8>,
    capabilities: &[String],
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(stmt!(
        TOKEN_INSERT,
        hash,
        TokenId::next(ids).uuid(),
        user.uuid(),
        workspace.uuid(),
        "bootstrap",
        json!(capabilities).to_string(),
        now,
        now.plus(TOKEN_LIFE),
    ))
    .await?;
    let details = json!({"capabilities": capabilities});
    let target = ("user", user.to_string());
    let made = note(&Initiator::Console, AuditAction::TokenCreated, target, None, details);
    audit(tx, ids, workspace, &made).await
}

async fn tenant_insert(
    store: &Store,
    workspace: WorkspaceId,
    actor: Initiator,
    new: NewTenant,
) -> Result<TenantId, ConsoleError> {
    let id = TenantId::next(&*store.ids);
    let (client_id, sealed) = match &new.credential {
        None => (None, None),
        Some((client_id, new)) => {
            let credential = CredentialId::next(&*store.ids);
            let sealed = SealedCredential::new(&store.keys, id, credential, new)?;
            (Some(client_id.clone()), Some(sealed))
        }
    };
    let ids = Arc::clone(&store.ids);
    store
        .db
        .write(Reach::All, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                tx.execute(stmt!(
                    TENANT_INSERT,
                    id.uuid(),
                    workspace.uuid(),
                    new.slug.as_str(),
                    &new.name,
                    new.entra_tenant_id,
                    new.domain.clone(),
                    &new.cloud,
                    client_id.clone(),
                    now,
                ))
                .await?;
                let target = || ("tenant", id.to_string());
                let details = json!({"slug": new.slug.as_str(), "cloud": new.cloud});
                let made = note(&actor, AuditAction::TenantCreated, target(), Some(id), details);
                audit(tx, &*ids, workspace, &made).await?;
                if let Some(sealed) = &sealed {
                    let place = (workspace, id);
                    let state = CredentialState::Active;
                    let facts = sealed.insert(tx, place, state, actor.name()).await?;
                    let action = AuditAction::TenantCredentialSet;
                    let details = json!({
                        "client_id": {"before": null, "after": client_id},
                        "before": null, "after": audited(Some(&facts)),
                    });
                    let set = note(&actor, action, target(), Some(id), details);
                    audit(tx, &*ids, workspace, &set).await?;
                }
                Ok(id)
            })
        })
        .await
        .map_err(|error| match error {
            StoreError::Conflict(_) => ConsoleError::Taken(
                "a tenant of this workspace has this slug or this Microsoft Entra tenant id",
            ),
            other => other.into(),
        })
}
