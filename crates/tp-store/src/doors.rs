//! The doors: the only makers of the handles that reach tenant data (rule I-3).
//!
//! | door | who | gives |
//! | --- | --- | --- |
//! | [`Store::enter`] | a request of a person or a token | [`TenantScope`] |
//! | [`Store::enter_workspace`] | the same, for the workspace itself | [`crate::WorkspaceScope`] |
//! | [`Store::enter_fleet`] | pages over all of a person's tenants | [`FleetScope`] |
//! | [`Store::claim_many`] | the engine's workers | [`crate::ClaimedRun`] |
//! | [`crate::ClaimedRun::confirmed_plan`] | the worker of a confirmed restore | [`crate::ConfirmedPlan`] |
//! | [`Store::upkeep`] | the engine's sweeper | [`Upkeep`] |
//! | [`Store::console`] | the machine's own shell | [`Console`] |
//!
//! Not visible is "not found", never "forbidden": a 403 would tell that the tenant exists.

use std::marker::PhantomData;

use tp_domain::access::{Capability, Need, Role};
use tp_domain::actor::Initiator;
use tp_domain::ids::{SessionId, TenantId, TokenId, UserId, WorkspaceId};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;

use crate::console::Console;
use crate::db::Reach;
use crate::error::{Refused, StoreError};
use crate::fleet::FleetScope;
use crate::hall::Hall;
use crate::scope::{TenantRef, TenantScope};
use crate::stmt::stmt;
use crate::tenants::{TenantRow, bad_row};
use crate::upkeep::Upkeep;
use crate::{ClaimRequest, Claims, Store};

/// Somebody who has shown who they are. Made by the hall only, never from an id.
#[derive(Clone, Debug)]
pub struct Actor {
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) workspace: WorkspaceId,
    pub(crate) via: Via,
}

/// By which way somebody came in.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    Session {
        id: SessionId,
        csrf: String,
        authenticated_at: Timestamp,
    },
    Token {
        id: TokenId,
        name: String,
        capabilities: Option<Vec<Capability>>,
        tenants: Option<Vec<TenantId>>,
    },
}

impl Actor {
    /// The account.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The account's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The workspace of the session or of the token.
    pub const fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The session that somebody came in by; none for API tokens.
    pub const fn session(&self) -> Option<SessionId> {
        match &self.via {
            Via::Session { id, .. } => Some(*id),
            Via::Token { .. } => None,
        }
    }

    /// The secret that forms of this session must carry; none for API tokens, which need none.
    pub fn csrf(&self) -> Option<&str> {
        match &self.via {
            Via::Session { csrf, .. } => Some(csrf),
            Via::Token { .. } => None,
        }
    }

    /// Who runs and audit entries name.
    pub fn initiator(&self) -> Initiator {
        match &self.via {
            Via::Session { .. } => Initiator::User { id: self.user, name: self.name.clone() },
            Via::Token { id, name, .. } => Initiator::Token {
                id: *id,
                owner: self.user,
                name: format!("{} ({name})", self.name),
            },
        }
    }

    /// Whether the way in allows the capability at all: a token may be narrower than its owner.
    pub(crate) fn may_use(&self, capability: Capability) -> bool {
        match &self.via {
            Via::Session { .. } | Via::Token { capabilities: None, .. } => true,
            Via::Token { capabilities: Some(allowed), .. } => allowed.contains(&capability),
        }
    }

    /// Whether the way in leads to that tenant at all: a token may be of some tenants only.
    pub(crate) fn may_reach(&self, tenant: TenantId) -> bool {
        match &self.via {
            Via::Session { .. } | Via::Token { tenants: None, .. } => true,
            Via::Token { tenants: Some(tenants), .. } => tenants.contains(&tenant),
        }
    }

    /// Whether the way in leads to the workspace itself: a token of some tenants does not.
    pub(crate) const fn may_reach_workspace(&self) -> bool {
        !matches!(&self.via, Via::Token { tenants: Some(_), .. })
    }

    /// What the way in and the role allow of `C`, to somebody who may be here.
    pub(crate) fn admits<C: Need>(&self, role: Role, now: Timestamp) -> Result<(), Refused> {
        if !(role.grants(C::CAPABILITY) && self.may_use(C::CAPABILITY)) {
            Err(Refused::Forbidden(C::CAPABILITY))
        } else if C::FRESH && !self.is_fresh(now) {
            Err(Refused::ConfirmNeeded)
        } else {
            Ok(())
        }
    }
}

const ENTER_BY_SLUG: &str = "\
SELECT t.id, t.workspace_id, t.slug, t.name, t.entra_tenant_id, t.domain, t.cloud, t.client_id,
       t.status, t.created_at, COALESCE(own.role, whole.role) AS role
FROM tenants t
LEFT JOIN memberships own ON own.scope_id = t.id AND own.user_id = $2
LEFT JOIN memberships whole ON whole.scope_id = t.workspace_id AND whole.user_id = $2
WHERE t.workspace_id = $1 AND t.slug = $3 AND COALESCE(own.role, whole.role) IS NOT NULL";

const ENTER_BY_ID: &str = "\
SELECT t.id, t.workspace_id, t.slug, t.name, t.entra_tenant_id, t.domain, t.cloud, t.client_id,
       t.status, t.created_at, COALESCE(own.role, whole.role) AS role
FROM tenants t
LEFT JOIN memberships own ON own.scope_id = t.id AND own.user_id = $2
LEFT JOIN memberships whole ON whole.scope_id = t.workspace_id AND whole.user_id = $2
WHERE t.workspace_id = $1 AND t.id = $3 AND COALESCE(own.role, whole.role) IS NOT NULL";

#[derive(sqlx::FromRow)]
struct EnteredRow {
    #[sqlx(flatten)]
    tenant: TenantRow,
    role: String,
}

impl Store {
    /// Lets `actor` into one tenant for the purpose `C`.
    ///
    /// Not a member, or no such tenant: [`Refused::NotFound`]. A member without the capability:
    /// [`Refused::Forbidden`]. A purpose that weighs much and a sign-in that is not fresh:
    /// [`Refused::ConfirmNeeded`]. The right is read from the database each time, so a change of role
    /// acts on the next request.
    pub async fn enter<C: Need>(
        &self,
        actor: &Actor,
        tenant: &TenantRef,
    ) -> Result<TenantScope<C>, Refused> {
        let (workspace, user) = (actor.workspace.uuid(), actor.user.uuid());
        let stmt = match tenant {
            TenantRef::Slug(slug) => stmt!(ENTER_BY_SLUG, workspace, user, slug.as_str()),
            TenantRef::Id(id) => stmt!(ENTER_BY_ID, workspace, user, id.uuid()),
        };
        let row: Option<EnteredRow> =
            self.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row else { return Err(Refused::NotFound) };
        let role: Role = row.role.parse().map_err(|_| bad_row("memberships", "role"))?;
        let tenant: Tenant = row.tenant.try_into()?;
        if !actor.may_reach(tenant.id) {
            return Err(Refused::NotFound);
        }
        actor.admits::<C>(role, self.now())?;
        Ok(TenantScope {
            store: self.clone(),
            tenant,
            role,
            actor: actor.clone(),
            purpose: PhantomData,
        })
    }

    /// Lets `actor` see, for the purpose `C`, lists and aggregates over the tenants where they may. It
    /// looks nothing up by id. A token without the capability: [`Refused::Forbidden`].
    pub fn enter_fleet<C: Need>(&self, actor: &Actor) -> Result<FleetScope, Refused> {
        if !actor.may_use(C::CAPABILITY) {
            return Err(Refused::Forbidden(C::CAPABILITY));
        }
        let capability = C::CAPABILITY;
        Ok(FleetScope { store: self.clone(), actor: actor.clone(), capability })
    }

    /// Accounts, sessions and one's own notifications. Holds no tenant data.
    pub fn hall(&self) -> Hall {
        Hall { store: self.clone() }
    }

    /// Takes runs whose turn it is, for a worker that knows their kinds: the most urgent lane first, and
    /// in it scope after scope, within the limits of tenant and workspace.
    ///
    /// It looks where work was heard of. [`Store::discover`] finds what no ring told of.
    pub async fn claim_many(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        crate::claims::claim_many(self, request).await
    }

    /// Looks for scopes with work in the whole database, so that the next claim sees them.
    pub async fn discover(&self) -> Result<(), StoreError> {
        crate::discovery::discover(self).await
    }

    /// The engine's upkeep: leases, lost workers, queue depth.
    pub fn upkeep(&self) -> Upkeep {
        Upkeep { store: self.clone() }
    }

    /// The acts of the machine's own shell. Each is audited as actor "console".
    pub fn console(&self) -> Console {
        Console { store: self.clone() }
    }
}
