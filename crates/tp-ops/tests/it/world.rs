//! A simulated cloud, a store that knows its first tenant, and a worker.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tp_catalog::registry::Catalog;
use tp_domain::access::{
    MayStart, Need, RotateCredentials, StartBackup, StartConnectionVerify, StartInventorySync,
    ViewBackups, ViewOperations, ViewPolicies, ViewTenant,
};
use tp_domain::backup_create::CreateBackup;
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::ids::{RunId, WorkerId};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::RunItem;
use tp_domain::operation::{OfTenant, OperationRequest};
use tp_domain::run::OperationRun;
use tp_domain::tenant::Slug;
use tp_engine::jitter::{Jitter, SystemJitter};
use tp_engine::registry::Registry;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_graph::budget::Unshared;
use tp_graph::cloud::{Cloud, Clouds};
use tp_graph::{Graph, GraphOptions};
use tp_ops::Tools;
use tp_payload::{Location, PayloadStore};
use tp_sim::estate::EstatePlan;
use tp_sim::{Sim, SimOptions, SpawnedSim};
use tp_store::testing::{TestDatabase, databases};
use tp_store::{
    Actor, ConnectionView, HowStarted, ItemFilter, NewTenant, SystemIds, TenantRef, TenantScope,
};
use uuid::Uuid;

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) sim: SpawnedSim,
    pub(crate) worker: Worker,
    pub(crate) tools: Tools,
    /// The folder of the payload store: it goes with the world.
    folder: tempfile::TempDir,
    pub(crate) actor: Actor,
}

/// The corpus, where it is there.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    let folder = std::env::var("TENANTPILOT_CORPUS").map_or_else(|_| beside.into(), PathBuf::from);
    folder.join("index.json").exists().then_some(folder)
}

pub(crate) async fn worlds(corpus: Option<PathBuf>) -> Vec<World> {
    worlds_with(corpus, 1).await
}

/// Tenants of that many times the usual size.
pub(crate) async fn worlds_of(scale: u32) -> Vec<World> {
    worlds_with(None, scale).await
}

async fn worlds_with(corpus: Option<PathBuf>, scale: u32) -> Vec<World> {
    let mut worlds = Vec::new();
    for db in databases().await {
        let estate = EstatePlan { corpus: corpus.clone(), tenants: 1, scale, seed: 7 };
        let sim = Sim::new(SimOptions { estate, ..SimOptions::default() }).unwrap();
        worlds.push(World::new(db, sim.spawn().await.unwrap(), scale).await);
    }
    worlds
}

fn worker(id: WorkerId, db: &TestDatabase, tools: &Tools) -> Worker {
    Worker::new(
        id,
        db.store.clone(),
        tp_ops::registry(tools),
        WorkerOptions::default(),
        Arc::new(SystemJitter),
    )
}

impl World {
    pub(crate) async fn new(db: TestDatabase, sim: SpawnedSim, scale: u32) -> Self {
        let (workspace, _) = db.store.test_workspace().await;
        let tenant = sim.sim.tenants().remove(0);
        let new = NewTenant {
            name: tenant.display_name,
            slug: Slug::new("contoso").unwrap(),
            entra_tenant_id: tenant.id,
            domain: Some(tenant.domain),
            cloud: "sim".to_owned(),
            credential: Some((tenant.client_id.to_string(), tenant.client_secret.into())),
        };
        db.store.console().tenant_create(workspace, new).await.unwrap();
        let actor = db.store.test_actor("owner@example.com").await;
        let cloud = Cloud::new("sim", &sim.url, &sim.url).unwrap();
        let options = GraphOptions {
            // A large tenant's simulator is at work for longer before it answers.
            idle_timeout: if scale == 1 {
                Duration::from_millis(500)
            } else {
                Duration::from_secs(30)
            },
            patience: Duration::from_secs(3),
            attempts: 3,
            max_page_bytes: 8 << 20,
            ..GraphOptions::default()
        };
        let clock = Arc::new(db.clock.clone());
        // The clock stands still, so that a shared bucket would never fill.
        let (ids, budget) = (Arc::new(SystemIds), Arc::new(Unshared));
        let chance: tp_graph::Chance = Arc::new(|| SystemJitter.unit());
        let graph = Graph::new(options, &[], clock, ids, chance, budget).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let place = Location::Folder(folder.path().to_path_buf());
        let payloads = PayloadStore::open(&place, []).unwrap();
        let tools = Tools {
            catalog: Arc::new(Catalog::builtin().unwrap()),
            graph,
            clouds: Arc::new(Clouds::with([cloud]).unwrap()),
            payloads,
        };
        let id = WorkerId::from_uuid(Uuid::from_u128(1));
        let worker = worker(id, &db, &tools);
        Self { db, sim, worker, tools, folder, actor }
    }

    pub(crate) async fn policies(&self) -> TenantScope<ViewPolicies> {
        let contoso = TenantRef::parse("contoso").unwrap();
        self.db.store.enter(&self.actor, &contoso).await.unwrap()
    }

    /// The folder of the payload store.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A worker of another process.
    pub(crate) fn another(&self, id: WorkerId) -> Worker {
        worker(id, &self.db, &self.tools)
    }

    /// A worker whose payloads lie elsewhere.
    pub(crate) fn with_payloads(&self, payloads: PayloadStore) -> Worker {
        let tools = Tools { payloads, ..self.tools.clone() };
        worker(WorkerId::from_uuid(Uuid::from_u128(300)), &self.db, &tools)
    }

    pub(crate) async fn backups(&self) -> TenantScope<ViewBackups> {
        let contoso = TenantRef::parse("contoso").unwrap();
        self.db.store.enter(&self.actor, &contoso).await.unwrap()
    }

    /// What is known of the connection.
    pub(crate) async fn connection(&self) -> ConnectionView {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope: TenantScope<ViewTenant> =
            self.db.store.enter(&self.actor, &contoso).await.unwrap();
        scope.connection().await.unwrap()
    }

    pub(crate) async fn rotate(&self) -> TenantScope<RotateCredentials> {
        let contoso = TenantRef::parse("contoso").unwrap();
        // It asks for a fresh sign-in, and time passes in tests.
        let owner = self.db.store.test_actor("owner@example.com").await;
        self.db.store.enter(&owner, &contoso).await.unwrap()
    }

    /// A worker of other operations than the usual.
    pub(crate) fn with_registry(&self, id: u128, registry: Registry) -> Worker {
        let id = WorkerId::from_uuid(Uuid::from_u128(id));
        let options = WorkerOptions::default();
        Worker::new(id, self.db.store.clone(), registry, options, Arc::new(SystemJitter))
    }

    pub(crate) async fn enter<C: Need>(&self) -> TenantScope<C> {
        let contoso = TenantRef::parse("contoso").unwrap();
        self.db.store.enter(&self.actor, &contoso).await.unwrap()
    }

    /// Starts a run of any kind.
    pub(crate) async fn start<C>(&self, request: &C::Request) -> RunId
    where
        C: MayStart,
        C::Request: OperationRequest<Level = OfTenant>,
    {
        let started = self.enter::<C>().await.run_start(request, HowStarted::default()).await;
        started.unwrap().run().id
    }

    pub(crate) async fn run(&self, id: RunId) -> OperationRun {
        self.enter::<ViewOperations>().await.run_get(id).await.unwrap().unwrap()
    }

    /// Starts a run of any kind, works on the queue, and gives the run.
    pub(crate) async fn done<C>(&self, request: &C::Request) -> OperationRun
    where
        C: MayStart,
        C::Request: OperationRequest<Level = OfTenant>,
    {
        let run = self.start::<C>(request).await;
        assert_eq!(self.worker.work_queue().await, 1);
        self.run(run).await
    }

    /// All items of a run.
    pub(crate) async fn run_items(&self, id: RunId) -> Vec<RunItem> {
        let scope = self.enter::<ViewOperations>().await;
        let mut items: Vec<RunItem> = Vec::new();
        loop {
            let after = items.last().map(|item| item.position);
            let filter = ItemFilter { state: None, after, limit: 1_000 };
            let page = scope.run_items(id, filter).await.unwrap();
            if page.is_empty() {
                return items;
            }
            items.extend(page);
        }
    }

    /// Starts a backup, works on the queue, and gives the run.
    pub(crate) async fn backup(&self, request: CreateBackup) -> OperationRun {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope = self.db.store.enter::<StartBackup>(&self.actor, &contoso).await.unwrap();
        self.db.clock.advance(Duration::from_mins(1));
        let run = scope.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        assert_eq!(self.worker.work_queue().await, 1);
        scope.run_get(run).await.unwrap().unwrap()
    }

    /// Starts a check of the connection, works on the queue, and gives the run with its items.
    pub(crate) async fn verify(&self) -> (OperationRun, Vec<RunItem>) {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope: TenantScope<StartConnectionVerify> =
            self.db.store.enter(&self.actor, &contoso).await.unwrap();
        let started = scope.run_start(&VerifyConnection, HowStarted::default()).await.unwrap();
        assert_eq!(self.worker.work_queue().await, 1);
        let run = started.run().id;
        let filter = ItemFilter { limit: 1_000, ..ItemFilter::default() };
        let items = scope.run_items(run, filter).await.unwrap();
        (scope.run_get(run).await.unwrap().unwrap(), items)
    }

    /// Changes the simulated tenant as its administrator could.
    pub(crate) async fn change(&self, change: &serde_json::Value) {
        let tenant = self.sim.sim.tenants().remove(0).id;
        let url = format!("{}/__sim/tenants/{tenant}", self.sim.url);
        let client = reqwest::Client::builder().build().unwrap();
        let answer = client.put(url).body(change.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{change}");
    }

    /// How often the login host was asked.
    pub(crate) async fn sign_ins(&self) -> u64 {
        let counters = reqwest::get(format!("{}/__sim/counters", self.sim.url)).await.unwrap();
        let counters: serde_json::Value =
            serde_json::from_str(&counters.text().await.unwrap()).unwrap();
        counters["login"].as_u64().unwrap()
    }

    /// Starts a sync, works on the queue, and gives the run.
    pub(crate) async fn sync(&self, request: SyncInventory) -> OperationRun {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope = self.db.store.enter::<StartInventorySync>(&self.actor, &contoso).await.unwrap();
        self.db.clock.advance(Duration::from_mins(1));
        let run = scope.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        assert_eq!(self.worker.work_queue().await, 1);
        scope.run_get(run).await.unwrap().unwrap()
    }
}
