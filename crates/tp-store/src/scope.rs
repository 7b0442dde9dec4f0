//! A person inside one tenant, for one purpose.

use std::marker::PhantomData;

use tp_domain::access::{Capability, Need, Role};
use tp_domain::ids::{ScopeId, TenantId};
use tp_domain::tenant::{Slug, Tenant};
use uuid::Uuid;

use crate::Store;
use crate::db::Reach;
use crate::doors::Actor;
use crate::error::Refused;

/// How a URL names a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRef {
    /// By its fixed short name.
    Slug(Slug),
    /// By its id.
    Id(TenantId),
}

impl TenantRef {
    /// Reads a path segment. A text of neither form names no tenant.
    pub fn parse(text: &str) -> Option<Self> {
        match Uuid::try_parse(text) {
            Ok(id) => Some(Self::Id(TenantId::from_uuid(id))),
            Err(_) => Slug::new(text).ok().map(Self::Slug),
        }
    }
}

/// What one person may do in one tenant for the purpose `C`. Made by [`Store::enter`] only.
///
/// It cannot be written by hand:
///
/// ```compile_fail,E0451
/// use tp_domain::access::ViewOperations;
/// fn by_hand(store: tp_store::Store) -> tp_store::TenantScope<ViewOperations> {
///     tp_store::TenantScope { store, tenant: todo!(), role: todo!(), actor: todo!(), purpose: todo!() }
/// }
/// ```
///
/// The twin that compiles takes it from the door:
///
/// ```
/// use tp_domain::access::ViewOperations;
/// async fn by_the_door(
///     store: tp_store::Store,
///     actor: tp_store::Actor,
///     tenant: tp_store::TenantRef,
/// ) -> Option<tp_store::TenantScope<ViewOperations>> {
///     store.enter::<ViewOperations>(&actor, &tenant).await.ok()
/// }
/// ```
#[derive(Debug)]
pub struct TenantScope<C> {
    pub(crate) store: Store,
    pub(crate) tenant: Tenant,
    pub(crate) role: Role,
    pub(crate) actor: Actor,
    pub(crate) purpose: PhantomData<fn() -> C>,
}

impl<C> TenantScope<C> {
    /// Enters the same tenant for another purpose; the right to it is read from the database anew.
    pub async fn also<D: Need>(&self) -> Result<TenantScope<D>, Refused> {
        self.also_in(self.tenant.id).await
    }

    /// Enters another tenant, where the same person may have other rights or none.
    pub async fn also_in<D: Need>(&self, tenant: TenantId) -> Result<TenantScope<D>, Refused> {
        self.store.enter(&self.actor, &TenantRef::Id(tenant)).await
    }

    /// The tenant.
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Who is inside.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The role of that person in this tenant, for showing.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether that person could also do something else here: for disabling buttons with a reason.
    pub fn may(&self, capability: Capability) -> bool {
        self.role.grants(capability) && self.actor.may_use(capability)
    }

    pub(crate) const fn scope_id(&self) -> ScopeId {
        ScopeId::Tenant(self.tenant.id)
    }

    pub(crate) const fn workspace_id(&self) -> tp_domain::ids::WorkspaceId {
        self.tenant.workspace
    }

    pub(crate) const fn reach(&self) -> Reach {
        Reach::Scope(self.scope_id().uuid())
    }
}
