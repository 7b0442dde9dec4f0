//! TRUST A10, A11, A12: Graph's limits are kept and used. Real time, a real budget in a database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tp_catalog::contract::Contract;
use tp_catalog::registry::Catalog;
use tp_domain::budget::GraphBudget;
use tp_domain::operation::Lane;
use tp_domain::policy::PolicyType;
use tp_engine::jitter::{Jitter as _, SystemJitter};
use tp_graph::budget::Unshared;
use tp_graph::cloud::Cloud;
use tp_graph::credential::Credential;
use tp_graph::session::{Access, GraphSession};
use tp_graph::throttle::next_wait;
use tp_graph::{Graph, GraphOptions};
use tp_sim::estate::EstatePlan;
use tp_sim::throttle::Throttling;
use tp_sim::{Sim, SimOptions, SimTenant, SpawnedSim};
use tp_store::{DatabaseUrl, Keys, Store, StoreOptions, SystemClock, SystemIds, TimeSource};

use crate::proofs::figure;
use crate::reading::{Silent, control};

/// The simulator's windows are that much shorter than Microsoft's, and our budget that much wider. Without
/// optimisation the simulator itself is slower than ten times Microsoft's limits.
const SPEED: u32 = if cfg!(debug_assertions) { 1 } else { 10 };
/// Policies of the large tenant.
const LARGE: u32 = if cfg!(debug_assertions) { 600 } else { 10_000 };
/// Conditional access policies: a hundred on a page.
const CONDITIONAL: u32 = if cfg!(debug_assertions) { 1_000 } else { 3_000 };

async fn simulator(tenants: usize) -> SpawnedSim {
    let estate = EstatePlan { corpus: None, tenants, scale: 1, seed: 7 };
    let sim = Sim::new(SimOptions { estate, ..SimOptions::default() }).unwrap();
    sim.spawn().await.unwrap()
}

fn graph(budget: Arc<dyn GraphBudget>, scale: f64) -> Graph {
    let options = GraphOptions { budget_scale: scale, ..GraphOptions::default() };
    let chance: tp_graph::Chance = Arc::new(|| SystemJitter.unit());
    Graph::new(options, &[], Arc::new(SystemClock), Arc::new(SystemIds), chance, budget).unwrap()
}

fn session(graph: &Graph, sim: &SpawnedSim, tenant: &SimTenant) -> GraphSession {
    let access = Access {
        cloud: Cloud::new("sim", &sim.url, &sim.url).unwrap(),
        entra_tenant_id: tenant.id,
        client_id: tenant.client_id.to_string(),
        credential: Credential::Secret(tenant.client_secret.clone().into()),
    };
    graph.session(access, Arc::new(Silent), Lane::Sync)
}

fn contract<'a>(catalog: &'a Catalog, key: &str) -> &'a Contract {
    catalog.contract(&PolicyType::new(key).unwrap()).unwrap()
}

/// A database with a budget in it.
async fn budget(folder: &tempfile::TempDir) -> Store {
    let url = DatabaseUrl::Sqlite(folder.path().join("budget.db"));
    Store::migrate(&url).await.unwrap();
    let time = TimeSource::Database(Arc::new(SystemClock));
    let keys = Arc::new(Keys::fresh().unwrap());
    Store::open(StoreOptions { url, time, ids: Arc::new(SystemIds), keys, connections: 4 })
        .await
        .unwrap()
}

#[tokio::test]
async fn a10_nobody_comes_back_early() {
    const TENANTS: usize = 32;
    let sim = simulator(TENANTS).await;
    let catalog = Catalog::builtin().unwrap();
    let plain = |contract: &&Contract| {
        contract.list.parent.is_none() && !contract.permissions.delegated_only
    };
    // One collection each: shared ones are read once.
    let mut paths: BTreeMap<&str, &Contract> = BTreeMap::new();
    for (_, contract) in catalog.iter().filter(|(_, contract)| plain(contract)) {
        paths.entry(&contract.list.path).or_insert(contract);
    }
    let contracts: Vec<&Contract> = paths.into_values().take(18).collect();
    let told = |number: usize| ["0.2", "0.35", "0.512"][number % 3];
    let rules: Vec<Value> = sim
        .sim
        .tenants()
        .iter()
        .flat_map(|tenant| {
            contracts.iter().enumerate().map(|(number, contract)| {
                json!({"match": {"tenant": tenant.id, "path_ends": contract.list.path}, "times": 1,
                    "action": {"kind": "status", "status": 429, "retry_after": told(number)}})
            })
        })
        .collect();
    sim.sim.set_faults(serde_json::from_value(Value::Array(rules)).unwrap());
    let graph = graph(Arc::new(Unshared), 100.0);
    let sessions: Vec<GraphSession> =
        sim.sim.tenants().iter().map(|tenant| session(&graph, &sim, tenant)).collect();
    stream::iter(&sessions)
        .for_each_concurrent(None, |session| {
            let (catalog, contracts) = (&catalog, &contracts);
            async move {
                for contract in contracts {
                    session.list(catalog, contract).await.unwrap();
                }
            }
        })
        .await;
    let log = control(&sim, reqwest::Method::GET, "requests?since=0", None).await;
    let mut by_tenant: BTreeMap<String, Vec<(f64, u64, String)>> = BTreeMap::new();
    for entry in log["requests"].as_array().unwrap().iter().filter(|one| one["host"] == "graph") {
        let (at, status) = (entry["at_ms"].as_f64().unwrap(), entry["status"].as_u64().unwrap());
        let path = entry["path"].as_str().unwrap().to_owned();
        by_tenant.entry(entry["tenant"].to_string()).or_default().push((at, status, path));
    }
    let (mut pairs, mut early, mut over) = (0, 0, Vec::new());
    for entries in by_tenant.values() {
        for pair in entries.windows(2).filter(|pair| pair[0].1 == 429) {
            let number =
                contracts.iter().position(|one| pair[0].2.ends_with(&one.list.path)).unwrap();
            let wait = told(number).parse::<f64>().unwrap() * 1000.0;
            pairs += 1;
            early += usize::from(pair[1].0 - pair[0].0 < wait - 50.0);
            over.push((pair[1].0 - pair[0].0 - wait) / wait);
        }
    }
    let least = over.iter().copied().fold(f64::INFINITY, f64::min);
    let most = over.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let waits: Vec<f64> =
        (0..2_000).map(|_| next_wait(4, None, SystemJitter.unit()).as_secs_f64()).collect();
    #[expect(clippy::cast_precision_loss, reason = "two thousand")]
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    #[expect(clippy::cast_precision_loss, reason = "two thousand")]
    let spread = waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>() / waits.len() as f64;
    let cv = spread.sqrt() / mean;
    figure(
        "A10 told waits are kept",
        ">= 500 throttled pairs, 0 early or inside the told window, spread >= 5 %, backoff CV >= 0.15",
        &format!(
            "{pairs} pairs, {early} early, later by {:.0} to {:.0} %, CV {cv:.2}",
            least * 100.0,
            most * 100.0
        ),
        pairs >= 500 && early == 0 && most - least >= 0.05 && cv >= 0.15,
    );
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap()
}

/// What reading one type took, with the simulator's throttling on.
struct Taken {
    objects: usize,
    counted: u64,
    refused: u64,
    time: Duration,
}

async fn throttled(key: &str, count: u32) -> Taken {
    let sim = simulator(1).await;
    let tenant = sim.sim.tenants().remove(0);
    let fill = json!({"tenant": tenant.id, "types": {key: count}, "seed": 7});
    control(&sim, reqwest::Method::POST, "estate", Some(fill)).await;
    sim.sim.set_throttling(Throttling { enabled: true, speed: f64::from(SPEED) });
    let folder = tempfile::tempdir().unwrap();
    let store = budget(&folder).await;
    let graph = graph(Arc::new(store.clone()), f64::from(SPEED));
    let session = session(&graph, &sim, &tenant);
    let catalog = Catalog::builtin().unwrap();
    let contracts = [contract(&catalog, key)];
    let known = |_: &Contract, _: &tp_domain::json::Json| false;
    let began = Instant::now();
    let reads: Vec<_> =
        session.read_in_full(&catalog, &contracts, &known).try_concat().await.unwrap();
    let time = began.elapsed();
    let counters = control(&sim, reqwest::Method::GET, "counters", None).await;
    let of = |name: &str| counters[name]["429"].as_u64().unwrap_or(0);
    store.close().await;
    Taken {
        objects: reads.len(),
        counted: counters["graph"].as_u64().unwrap(),
        refused: of("by_status") + of("by_item_status"),
        time,
    }
}

#[tokio::test]
#[expect(clippy::cast_precision_loss, reason = "ten thousand requests")]
async fn a11_a_large_tenant_is_read_at_the_pace_that_is_allowed() {
    let taken = throttled("deviceConfiguration", LARGE).await;
    let share = taken.refused as f64 / taken.counted as f64;
    // 1,000 requests in 20 s of one app in one tenant.
    let allowed = 50.0 * f64::from(SPEED);
    let used = taken.counted as f64 / taken.time.as_secs_f64() / allowed;
    figure(
        &format!("A11 {LARGE} policies at Intune's limits, {SPEED} times faster"),
        "all read, <= 2 % answered 429, >= 75 % of the allowed rate used",
        &format!(
            "{} objects, {} requests in {:.1} s, {:.2} % answered 429, {:.0} % of the rate",
            taken.objects,
            taken.counted,
            taken.time.as_secs_f64(),
            share * 100.0,
            used * 100.0
        ),
        taken.objects == count(LARGE) && share <= 0.02 && used >= 0.75,
    );
}

#[tokio::test]
#[expect(clippy::cast_precision_loss, reason = "some requests")]
async fn a12_conditional_access_is_read_at_one_request_a_second() {
    let taken = throttled("conditionalAccessPolicy", CONDITIONAL).await;
    let share = taken.refused as f64 / taken.counted as f64;
    figure(
        &format!(
            "A12 {CONDITIONAL} conditional access policies at {SPEED} request(s) a second, no Retry-After"
        ),
        "all read, <= 10 % answered 429",
        &format!(
            "{} objects, {} requests in {:.1} s, {:.1} % answered 429",
            taken.objects,
            taken.counted,
            taken.time.as_secs_f64(),
            share * 100.0
        ),
        taken.objects == count(CONDITIONAL) && taken.counted >= 5 && share <= 0.1,
    );
}
