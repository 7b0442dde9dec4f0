//! restore.execute against the simulator, over real HTTP, on both databases.

mod approvals;
mod kills;
mod lost;
mod mapping;
mod previews;
mod rounds;
mod steps;
mod types;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tp_catalog::contract::Contract;
use tp_catalog::readback::fingerprint;
use tp_domain::access::{ExecuteRestores, PreviewRestore, Role};
use tp_domain::ids::{RestoreId, RunId, WorkerId};
use tp_domain::json::Json;
use tp_domain::operation::Lane;
use tp_domain::policy::PolicyType;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::intent::WriteIntent;
use tp_domain::restore::outcome::{ItemOutcome, ItemResult, RestoreItem};
use tp_domain::restore::plan::{
    Base, BodyHash, FrozenPlan, NodeAction, PayloadRef, PlanHash, PlanNode, RestorePlan,
};
use tp_domain::run::OperationRun;
use tp_engine::jitter::SystemJitter;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_graph::full::FullObject;
use tp_graph::session::{Access, GraphSession};
use tp_ops::restore_execute::{
    Patience, PayloadUnavailable, RestoreExecuteOperation, RestorePayloads, SafetyCapture,
    payload_bytes,
};
use tp_sim::faults::Fault;
use tp_store::{ClaimedRun, Confirm, Confirmed, HowStarted, NewUser, TenantRef, TenantScope};
use uuid::Uuid;

use crate::reading::{Silent, control};
use crate::world::{World, worlds};

/// What a test does in the middle of a restore.
type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A payload store in memory: the port is what is tested here, not a store.
#[derive(Default)]
pub(crate) struct Kept {
    payloads: Mutex<HashMap<String, Vec<u8>>>,
    /// Called when so many objects have been kept as they were: right before a write.
    hook: Mutex<Option<(usize, Hook)>>,
    captures: AtomicUsize,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Kept {
    fn put(&self, bytes: Vec<u8>) -> PayloadRef {
        let sha256 = BodyHash::of_bytes(&bytes).as_str().to_owned();
        let at = PayloadRef { id: format!("kept-{sha256}"), sha256 };
        let mut payloads = self.payloads.lock().unwrap_or_else(PoisonError::into_inner);
        payloads.insert(at.id.clone(), bytes);
        at
    }

    pub(crate) fn get(&self, at: &PayloadRef) -> Option<Vec<u8>> {
        self.payloads.lock().unwrap_or_else(PoisonError::into_inner).get(&at.id).cloned()
    }

    /// Before the write of the object with that number, counted from one.
    pub(crate) fn before(&self, number: usize, hook: Hook) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, hook));
    }
}

impl RestorePayloads for Kept {
    fn fetch<'a>(
        &'a self,
        _: &'a ClaimedRun,
        at: &'a PayloadRef,
    ) -> BoxFuture<'a, Result<Vec<u8>, PayloadUnavailable>> {
        Box::pin(async move { self.get(at).ok_or(PayloadUnavailable::Damaged) })
    }

    fn keep<'a>(
        &'a self,
        _: &'a ClaimedRun,
        capture: SafetyCapture,
    ) -> BoxFuture<'a, Result<PayloadRef, PayloadUnavailable>> {
        Box::pin(async move {
            let FullObject { object, assignments, .. } = &capture.object;
            let at = self.put(payload_bytes(object, assignments.as_deref()));
            let number = self.captures.fetch_add(1, Ordering::SeqCst) + 1;
            let hook = {
                let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
                hook.as_ref().filter(|(at, _)| *at == number).map(|(_, hook)| Arc::clone(hook))
            };
            if let Some(hook) = hook {
                hook().await;
            }
            Ok(at)
        })
    }
}

/// A tenant that may be written to, and a worker that restores.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) kept: Arc<Kept>,
    pub(crate) worker: Worker,
    pub(crate) session: GraphSession,
    tenant: Uuid,
    domain: String,
}

pub(crate) async fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    for world in worlds(None).await {
        benches.push(Bench::new(world).await);
    }
    benches
}

/// Waits between looks that a test can afford.
pub(crate) const QUICK: Patience = Patience { first: Duration::from_millis(5), looks: 4 };

impl Bench {
    pub(crate) async fn new(world: World) -> Self {
        let tenant = world.sim.sim.tenants().remove(0);
        let kept = Arc::new(Kept::default());
        let access = Access {
            cloud: world.tools.clouds.get("sim").unwrap().clone(),
            entra_tenant_id: tenant.id,
            client_id: tenant.client_id.to_string(),
            credential: tp_graph::credential::Credential::Secret(
                tenant.client_secret.clone().into(),
            ),
        };
        let session = world.tools.graph.session(access, Arc::new(Silent), Lane::Interactive);
        let worker = worker(&world, &kept, 1);
        let bench = Self { world, kept, worker, session, tenant: tenant.id, domain: tenant.domain };
        bench.change(json!({"permission_set": "write"})).await;
        bench
    }

    /// Another process, after the first has died.
    pub(crate) fn another(&mut self, number: u128) {
        self.worker = worker(&self.world, &self.kept, number);
    }

    pub(crate) async fn change(&self, change: Value) {
        let path = format!("tenants/{}", self.tenant);
        control(&self.world.sim, reqwest::Method::PUT, &path, Some(change)).await;
    }

    pub(crate) fn faults(&self, rules: &Value) {
        let faults: Vec<Fault> = serde_json::from_value(rules.clone()).unwrap();
        self.world.sim.sim.set_faults(faults);
    }

    pub(crate) fn contract(&self, key: &str) -> &Contract {
        self.world.tools.catalog.contract(&PolicyType::new(key).unwrap()).unwrap()
    }

    pub(crate) async fn read(&self, key: &str, id: &str) -> Option<FullObject> {
        self.session.read_one(self.contract(key), Some(id), None).await.unwrap()
    }

    /// The ids that the simulator holds of a type.
    pub(crate) async fn ids(&self, key: &str) -> Vec<String> {
        let contract = self.contract(key);
        self.session.ids_named(contract, None, None).await.unwrap()
    }

    /// Changes an object behind everybody's back.
    pub(crate) async fn behind(&self, key: &str, id: &str, patch: Option<Value>) {
        let change = match patch {
            Some(patch) => {
                json!({"tenant": self.tenant, "type": key, "action": "change", "id": id, "patch": patch})
            }
            None => json!({"tenant": self.tenant, "type": key, "action": "delete", "id": id}),
        };
        control(&self.world.sim, reqwest::Method::POST, "objects", Some(change)).await;
    }

    /// Three generated objects of each of these types, in the place of what there is.
    pub(crate) async fn fill(&self, keys: &[&str]) {
        self.fill_with(keys, 3).await;
    }

    pub(crate) async fn fill_with(&self, keys: &[&str], count: u32) {
        let types: HashMap<&str, u32> = keys.iter().map(|key| (*key, count)).collect();
        let fill = json!({"tenant": self.tenant, "types": types, "seed": 3});
        control(&self.world.sim, reqwest::Method::POST, "estate", Some(fill)).await;
    }

    /// The objects of a type as the simulator holds them, secrets in clear.
    pub(crate) async fn all_held(&self, key: &str) -> Vec<Value> {
        let path = format!("state?tenant={}&type={key}", self.tenant);
        let state = control(&self.world.sim, reqwest::Method::GET, &path, None).await;
        state["objects"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) async fn held(&self, key: &str, id: &str) -> Value {
        let objects = self.all_held(key).await;
        objects.into_iter().find(|object| object["id"] == *id).unwrap_or(Value::Null)
    }

    /// Somebody else makes an object.
    pub(crate) async fn late(&self, key: &str, object: Value) {
        let add = json!({"tenant": self.tenant, "type": key, "action": "add", "object": object});
        control(&self.world.sim, reqwest::Method::POST, "objects", Some(add)).await;
    }

    /// A second owner, so that the first may be demoted.
    pub(crate) async fn second_owner(&self) {
        let new = NewUser {
            email: "second@example.com".to_owned(),
            name: "Second".to_owned(),
            password_hash: "x".to_owned(),
            role: Role::Owner,
        };
        let workspace = self.world.actor.workspace();
        self.world.db.store.console().user_create(workspace, new).await.unwrap();
    }

    /// What has been written since a number: method and path, as they reached the service.
    pub(crate) async fn written(&self, since: u64) -> Vec<(String, String, u64)> {
        let path = format!("writes?since={since}&tenant={}", self.tenant);
        let log = control(&self.world.sim, reqwest::Method::GET, &path, None).await;
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        log["writes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(one, "method"), text(one, "path"), one["status"].as_u64().unwrap()))
            .collect()
    }

    /// The number of the last entry of the simulator's logs.
    pub(crate) async fn mark(&self) -> u64 {
        let log = control(&self.world.sim, reqwest::Method::GET, "requests?since=0", None).await;
        let last = |list: &Value| {
            list.as_array().and_then(|list| list.last()?["number"].as_u64()).unwrap_or(0)
        };
        last(&log["requests"])
    }

    pub(crate) fn wanted(&self, object: &Value, assignments: Option<&[Value]>) -> PayloadRef {
        let object = Json::from(object.clone());
        let assignments: Option<Vec<Json>> =
            assignments.map(|list| list.iter().cloned().map(Json::from).collect());
        self.kept.put(payload_bytes(&object, assignments.as_deref()))
    }

    /// A node that changes the object as it is now to that.
    pub(crate) fn update(&self, key: &str, live: &FullObject, wanted: PayloadRef) -> PlanNode {
        let contract = self.contract(key);
        let schema = self.world.tools.catalog.schema();
        let print = fingerprint(contract, schema, &live.object, live.assignments.as_deref());
        let graph_id = live.id.clone().unwrap_or_else(|| key.to_owned());
        PlanNode {
            key: format!("{key}/{graph_id}"),
            policy_type: PolicyType::new(key).unwrap(),
            name: None,
            action: NodeAction::Update,
            base: Some(Base { graph_id, fingerprint: print }),
            parent: None,
            wanted: Some(wanted),
            binds: Vec::new(),
        }
    }

    pub(crate) fn plan(&self, nodes: Vec<PlanNode>) -> RestorePlan {
        RestorePlan {
            entra_tenant_id: self.tenant,
            nodes,
            enabled_types: BTreeSet::new(),
            stop_on_failure: false,
        }
    }

    pub(crate) async fn scope(&self) -> TenantScope<ExecuteRestores> {
        let contoso = TenantRef::parse("contoso").unwrap();
        // Restores ask for a fresh sign-in, and time passes in tests.
        let owner = self.world.db.store.test_actor("owner@example.com").await;
        self.world.db.store.enter(&owner, &contoso).await.unwrap()
    }

    pub(crate) async fn preview(&self, plan: RestorePlan) -> (RestoreId, FrozenPlan) {
        let contoso = TenantRef::parse("contoso").unwrap();
        let store = &self.world.db.store;
        let preview = store.enter::<PreviewRestore>(&self.world.actor, &contoso).await.unwrap();
        let id = preview.restore_create(&RestoreDraft::of_backup(1), None).await.unwrap();
        (id, preview.restore_freeze(id, plan, None).await.unwrap())
    }

    pub(crate) fn say(&self, hash: &PlanHash) -> Confirm {
        Confirm {
            plan_hash: hash.clone(),
            typed_domain: self.domain.clone(),
            reason: "A test of restores".to_owned(),
        }
    }

    /// Freezes and confirms a plan: its run is queued.
    pub(crate) async fn confirm(&self, plan: RestorePlan) -> (RestoreId, RunId) {
        self.world.db.clock.advance(Duration::from_secs(1));
        let (id, frozen) = self.preview(plan).await;
        let confirm = self.say(frozen.hash());
        let scope = self.scope().await;
        match scope.restore_confirm(id, confirm, HowStarted::default()).await.unwrap() {
            Confirmed::Run(started) => (id, started.run().id),
            Confirmed::AwaitsApprover => unreachable!(),
        }
    }

    /// Carries a plan out.
    pub(crate) async fn restore(&self, plan: RestorePlan) -> (RestoreId, OperationRun) {
        let (id, run) = self.confirm(plan).await;
        assert_eq!(self.worker.work_queue().await, 1);
        (id, self.run(run).await)
    }

    pub(crate) async fn run(&self, run: RunId) -> OperationRun {
        self.scope().await.run_get(run).await.unwrap().unwrap()
    }

    pub(crate) async fn items(&self, id: RestoreId) -> Vec<RestoreItem> {
        self.scope().await.restore_items(id).await.unwrap()
    }

    pub(crate) async fn results(&self, id: RestoreId) -> Vec<ItemResult> {
        let items = self.items(id).await;
        items.into_iter().map(|item| item.result.unwrap()).collect()
    }

    pub(crate) async fn outcomes(&self, id: RestoreId) -> HashMap<ItemOutcome, usize> {
        let mut outcomes = HashMap::new();
        for item in self.items(id).await {
            if let Some(result) = item.result {
                *outcomes.entry(result.outcome).or_insert(0) += 1;
            }
        }
        outcomes
    }

    /// Writes as they were written down.
    pub(crate) async fn intents(&self, id: RestoreId) -> Vec<WriteIntent> {
        self.scope().await.restore_writes(id).await.unwrap()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.world.db.name()
    }
}

fn worker(world: &World, kept: &Arc<Kept>, number: u128) -> Worker {
    let payloads: Arc<dyn RestorePayloads> = Arc::<Kept>::clone(kept);
    let operation =
        RestoreExecuteOperation::new(world.tools.clone(), payloads).with_patience(QUICK);
    Worker::new(
        WorkerId::from_uuid(Uuid::from_u128(number)),
        world.db.store.clone(),
        tp_ops::registry(&world.tools).with(Arc::new(operation)),
        WorkerOptions::default(),
        Arc::new(SystemJitter),
    )
}

/// A plain policy that can be made and changed at will.
pub(crate) const PLAIN: &str = "deviceCategory";

impl Bench {
    /// So many plain policies, each with a node that gives it a new description.
    pub(crate) async fn updates(&self, count: u32) -> Vec<PlanNode> {
        self.fill_with(&[PLAIN], count).await;
        let mut nodes = Vec::new();
        for id in self.ids(PLAIN).await {
            let live = self.read(PLAIN, &id).await.unwrap();
            let mut wanted = Value::from(&live.object);
            wanted["description"] = format!("as it was {id}").into();
            nodes.push(self.update(PLAIN, &live, self.wanted(&wanted, None)));
        }
        assert_eq!(nodes.len(), count as usize);
        nodes
    }

    /// So many nodes that make a plain policy each.
    pub(crate) fn creates(&self, count: usize) -> Vec<PlanNode> {
        let node = |number| {
            let name = format!("made {number}");
            let wanted = self.wanted(&json!({"displayName": name, "description": "new"}), None);
            create(PLAIN, &name, wanted)
        };
        (0..count).map(node).collect()
    }

    /// How many plain policies of that name there are.
    pub(crate) async fn named(&self, name: &str) -> usize {
        self.session.ids_named(self.contract(PLAIN), None, Some(name)).await.unwrap().len()
    }
}

/// An assignment to a group.
pub(crate) fn group(id: &str) -> Value {
    json!({"target": {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": id}})
}

/// A node that makes an object.
pub(crate) fn create(key: &str, name: &str, wanted: PayloadRef) -> PlanNode {
    PlanNode {
        key: format!("{key}/{name}"),
        policy_type: PolicyType::new(key).unwrap(),
        name: Some(name.to_owned()),
        action: NodeAction::Create,
        base: None,
        parent: None,
        wanted: Some(wanted),
        binds: Vec::new(),
    }
}
