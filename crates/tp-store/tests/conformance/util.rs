//! One line of set-up per test: a workspace, two tenants, people, and shorthands for the story.

use std::time::Duration;

use tp_domain::access::{
    Need, Role, StartInventorySync, ViewBackups, ViewOperations, ViewPolicies,
};
use tp_domain::ids::{RunId, TenantId, UserId, WorkerId, WorkspaceId};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::OperationKind;
use tp_domain::policy::{ObservedPolicy, PolicyType};
use tp_domain::run::OperationRun;
use tp_domain::tenant::Slug;
use tp_store::testing::{TestDatabase, databases};
use tp_store::{
    Actor, ClaimRequest, ClaimedRun, HowStarted, NewTenant, NewUser, Started, Store, TenantRef,
    TenantScope, WorkspaceScope,
};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const KINDS: &[OperationKind] = &[OperationKind::InventorySync];

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) workspace: WorkspaceId,
    pub(crate) owner: Actor,
    pub(crate) operator: Actor,
    pub(crate) reader: Actor,
    /// Signed in, but a member of the second tenant only.
    pub(crate) guest: Actor,
    pub(crate) contoso: TenantId,
    pub(crate) fabrikam: TenantId,
}

/// The same world on each database.
pub(crate) async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for db in databases().await {
        let store = &db.store;
        let (workspace, _) = store.test_workspace().await;
        user(store, workspace, "operator@example.com", Role::Operator).await;
        user(store, workspace, "reader@example.com", Role::Reader).await;
        let contoso = tenant(store, workspace, "contoso", 1).await;
        let fabrikam = tenant(store, workspace, "fabrikam", 2).await;
        let guest = user(store, workspace, "guest@example.com", Role::Reader).await;
        store.console().member_set(workspace, Some(fabrikam), guest, Role::Manager).await.unwrap();
        let (owner, operator) = (
            store.test_actor("owner@example.com").await,
            store.test_actor("operator@example.com").await,
        );
        let (reader, guest) = (
            store.test_actor("reader@example.com").await,
            store.test_actor("guest@example.com").await,
        );
        // Only now: signing in needs a workspace.
        store
            .test_execute("DELETE FROM memberships WHERE tenant_id IS NULL AND user_id = (SELECT id FROM users WHERE email = 'guest@example.com')")
            .await
            .unwrap();
        worlds.push(World { db, workspace, owner, operator, reader, guest, contoso, fabrikam });
    }
    worlds
}

pub(crate) async fn user(store: &Store, workspace: WorkspaceId, email: &str, role: Role) -> UserId {
    let new = NewUser {
        email: email.to_owned(),
        name: email.split('@').next().unwrap_or(email).to_owned(),
        password_hash: "x".to_owned(),
        role,
    };
    store.console().user_create(workspace, new).await.unwrap()
}

pub(crate) fn new_tenant(slug: &str, number: u128) -> NewTenant {
    NewTenant {
        name: format!("{slug} GmbH"),
        slug: Slug::new(slug).unwrap(),
        entra_tenant_id: Uuid::from_u128(number),
        domain: Some(format!("{slug}.example")),
        cloud: "global".to_owned(),
        credential: Some(("11111111-2222-3333-4444-555555555555".to_owned(), "s3cret".into())),
    }
}

pub(crate) async fn tenant(
    store: &Store,
    workspace: WorkspaceId,
    slug: &str,
    number: u128,
) -> TenantId {
    store.console().tenant_create(workspace, new_tenant(slug, number)).await.unwrap()
}

pub(crate) fn at(slug: &str) -> TenantRef {
    TenantRef::parse(slug).unwrap()
}

pub(crate) fn key(text: &str) -> PolicyType {
    PolicyType::new(text).unwrap()
}

pub(crate) fn policy(graph_id: &str, name: &str) -> ObservedPolicy {
    ObservedPolicy {
        graph_id: graph_id.to_owned(),
        name: Some(name.to_owned()),
        platform: Some("windows10".to_owned()),
        odata_type: None,
        created_at: None,
        modified_at: None,
        scope_tags: vec!["0".to_owned()],
        assigned: Some(true),
        metadata: serde_json::json!({"version": 1}),
    }
}

pub(crate) fn worker(number: u128) -> WorkerId {
    WorkerId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn request(by: u128, most: u32, per_tenant: u32) -> ClaimRequest {
    ClaimRequest { worker: worker(by), kinds: KINDS.to_vec(), lease: LEASE, per_tenant, most }
}

impl World {
    pub(crate) fn store(&self) -> &Store {
        &self.db.store
    }

    pub(crate) async fn sync_scope(&self, slug: &str) -> TenantScope<StartInventorySync> {
        self.store().enter(&self.operator, &at(slug)).await.unwrap()
    }

    pub(crate) async fn runs(&self, slug: &str) -> TenantScope<ViewOperations> {
        self.store().enter(&self.operator, &at(slug)).await.unwrap()
    }

    pub(crate) async fn policies(&self, slug: &str) -> TenantScope<ViewPolicies> {
        self.store().enter(&self.operator, &at(slug)).await.unwrap()
    }

    pub(crate) async fn start(&self, slug: &str, request: SyncInventory) -> Started {
        self.sync_scope(slug).await.run_start(&request, HowStarted::default()).await.unwrap()
    }

    pub(crate) async fn claim(&self, by: u128) -> Option<ClaimedRun> {
        self.claim_many(by, 1, 10).await.pop()
    }

    /// Claims up to `most` runs of all scopes that have work.
    pub(crate) async fn claim_many(&self, by: u128, most: u32, per_tenant: u32) -> Vec<ClaimedRun> {
        let store = self.store();
        store.discover().await.unwrap();
        store.claim_many(request(by, most, per_tenant)).await.unwrap().runs
    }

    pub(crate) async fn scope<C: Need>(&self, slug: &str) -> TenantScope<C> {
        self.store().enter(&self.owner, &at(slug)).await.unwrap()
    }

    pub(crate) async fn backups(&self, slug: &str) -> TenantScope<ViewBackups> {
        self.scope(slug).await
    }

    pub(crate) async fn whole<C: Need>(&self) -> WorkspaceScope<C> {
        self.store().enter_workspace(&self.owner, self.workspace).await.unwrap()
    }

    pub(crate) async fn run(&self, slug: &str, id: RunId) -> OperationRun {
        self.runs(slug).await.run_get(id).await.unwrap().unwrap()
    }

    /// Claims every kind, one run.
    pub(crate) async fn claim_any(&self, by: u128) -> Option<ClaimedRun> {
        self.store().discover().await.unwrap();
        let request = ClaimRequest { kinds: OperationKind::ALL.to_vec(), ..request(by, 1, 10) };
        self.store().claim_many(request).await.unwrap().runs.pop()
    }

    /// Starts a sync of everything and claims it.
    pub(crate) async fn claimed(&self, slug: &str) -> ClaimedRun {
        self.start(slug, SyncInventory::everything()).await;
        self.claim(1).await.unwrap()
    }
}

pub(crate) fn succeeded() -> tp_store::Ended {
    tp_store::Ended {
        outcome: tp_domain::run::Outcome::Succeeded,
        reason: None,
        message: None,
        failures: Vec::new(),
        context: serde_json::json!({}),
        counts: tp_domain::counts::RunCounts::default(),
    }
}
