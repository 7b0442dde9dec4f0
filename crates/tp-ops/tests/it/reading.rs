//! Objects in full, against the simulator: what is read equals what it holds (PRODUCT G-4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use tp_catalog::contract::Contract;
use tp_catalog::parts::PartOf;
use tp_catalog::registry::Catalog;
use tp_domain::json::Json;
use tp_domain::operation::Lane;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use tp_engine::jitter::{Jitter as _, SystemJitter};
use tp_graph::budget::Unshared;
use tp_graph::cloud::Cloud;
use tp_graph::credential::Credential;
use tp_graph::full::{FullObject, Read};
use tp_graph::session::{Access, GraphSession, WaitObserver};
use tp_graph::{Graph, GraphOptions};
use tp_sim::estate::EstatePlan;
use tp_sim::{Sim, SimOptions, SpawnedSim};
use tp_store::{SystemClock, SystemIds};

use crate::world::corpus;

#[derive(Debug)]
pub(crate) struct Silent;

impl WaitObserver for Silent {
    fn waits(&self, _: Timestamp, _: ReasonCode) {}
}

struct Reader {
    sim: SpawnedSim,
    tenant: String,
    catalog: Catalog,
    session: GraphSession,
}

impl Reader {
    async fn new(estate: EstatePlan) -> Self {
        let sim = Sim::new(SimOptions { estate, ..SimOptions::default() }).unwrap();
        let sim = sim.spawn().await.unwrap();
        let tenant = sim.sim.tenants().remove(0);
        let options = GraphOptions {
            patience: Duration::from_secs(20),
            budget_scale: 100.0,
            ..GraphOptions::default()
        };
        let chance: tp_graph::Chance = Arc::new(|| SystemJitter.unit());
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let graph = Graph::new(options, &[], clock, ids, chance, Arc::new(Unshared)).unwrap();
        let access = Access {
            cloud: Cloud::new("sim", &sim.url, &sim.url).unwrap(),
            entra_tenant_id: tenant.id,
            client_id: tenant.client_id.to_string(),
            credential: Credential::Secret(tenant.client_secret.clone().into()),
        };
        let session = graph.session(access, Arc::new(Silent), Lane::Sync);
        let tenant = tenant.id.to_string();
        Self { sim, tenant, catalog: Catalog::builtin().unwrap(), session }
    }

    /// What the simulator holds of a type; it does not tell apart types that share a collection.
    async fn held(&self, contract: &Contract) -> Vec<Value> {
        let path = format!("state?tenant={}&type={}", self.tenant, contract.key);
        let state = control(&self.sim, reqwest::Method::GET, &path, None).await;
        let mut objects = state["objects"].as_array().cloned().unwrap_or_default();
        objects.retain(|object| {
            contract
                .list
                .client_filter
                .iter()
                .all(|filter| filter.passes(&Json::from(object.clone())))
        });
        objects
    }

    async fn read(&self, contracts: &[&Contract]) -> Vec<(usize, Read)> {
        let known = |_: &Contract, _: &Json| false;
        let stream = self.session.read_in_full(&self.catalog, contracts, &known);
        stream.try_concat().await.unwrap()
    }
}

/// Asks the simulator's control surface.
pub(crate) async fn control(
    sim: &SpawnedSim,
    method: reqwest::Method,
    path: &str,
    body: Option<Value>,
) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, format!("{}/__sim/{path}", sim.url));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

/// What the reply's metadata say of an object, and no property of it.
fn is_hint(name: &str) -> bool {
    name.starts_with('#')
        || name.split_once("@odata.").is_some_and(|(of, what)| !of.is_empty() || what != "type")
}

/// As Graph would send it: without hints, at every level.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !is_hint(name))
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        Value::Array(list) => Value::Array(list.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// Sets in one order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let ordered: BTreeMap<&String, Value> =
                members.iter().map(|(name, value)| (name, sorted(value))).collect();
            ordered.into_iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(sorted).collect();
            list.sort_by_key(Value::to_string);
            Value::Array(list)
        }
        other => other.clone(),
    }
}

/// What Graph gives back masked or not at all, by the simulator's README; secrets are not compared.
pub(crate) const MASKED: [&str; 10] = [
    "preSharedKey",
    "adminAccountPassword",
    "adDomainPassword",
    "sharedSecret",
    "passwordHash",
    "productKey",
    "omaSettings",
    "token",
    "content",
    "groupPolicyUploadedLanguageFiles",
];

/// What a part's query asks for of what is held: definitions by their selected members; nothing is none.
fn as_asked_for(name: &str, held: &Value, read: Option<&Value>) -> Value {
    let mut held = held.clone();
    if held.is_null() && read.is_some_and(Value::is_array) {
        return Value::Array(Vec::new());
    }
    if name != "definitionValues" {
        return held;
    }
    let selected =
        ["id", "classType", "displayName", "policyType", "groupPolicyCategoryId", "categoryPath"];
    for value in held.as_array_mut().into_iter().flatten() {
        if let Some(definition) = value.get_mut("definition").and_then(Value::as_object_mut) {
            definition.retain(|name, _| selected.contains(&name.as_str()) || name == "@odata.type");
        }
        if value["presentationValues"].is_null() {
            value["presentationValues"] = Value::Array(Vec::new());
        }
    }
    held
}

/// Navigation that exports hold and that no tool restores; the schema says so, no contract reads it.
const NAVIGATION: [&str; 1] = ["defaultUserRoleOverrides"];

/// The differences between what was read and what is held, by member.
fn differences(contract: &Contract, full: &FullObject, held: &Value) -> BTreeSet<String> {
    let (read, held) = (plain(&Value::from(&full.object)), plain(held));
    let (read, held) = (read.as_object().unwrap(), held.as_object().unwrap());
    let not_read: BTreeSet<&str> = contract
        .subresources
        .iter()
        .filter(|part| part.part != PartOf::Payload)
        .map(|part| part.put_at.as_str())
        .collect();
    let mut found = BTreeSet::new();
    let selected = |name: &str| {
        let select = contract.list.query.get("$select");
        select.is_none_or(|names| names.split(',').any(|own| own.trim() == name))
    };
    for (name, value) in held {
        if !selected(name) || NAVIGATION.contains(&name.as_str()) {
            continue;
        }
        if MASKED.contains(&name.as_str()) || not_read.contains(name.as_str()) {
            continue;
        }
        if name == "assignments" && contract.assignments.is_some() {
            let assignments =
                Value::from(&Json::Array(full.assignments.clone().unwrap_or_default()));
            if sorted(&plain(&assignments)) != sorted(value) {
                found.insert(name.clone());
            }
            continue;
        }
        let value = as_asked_for(name, value, read.get(name));
        match read.get(name) {
            Some(own) if sorted(own) == sorted(&value) => {}
            Some(_) => drop(found.insert(name.clone())),
            None => drop(found.insert(format!("{name} is missing"))),
        }
    }
    found
}

#[tokio::test]
async fn every_object_is_read_as_the_simulator_holds_it() {
    let estate = EstatePlan { corpus: corpus(), tenants: 1, scale: 1, seed: 7 };
    let reader = Reader::new(estate).await;
    let (mut objects, mut wrong) = (0, BTreeMap::<String, usize>::new());
    for (key, contract) in reader.catalog.iter() {
        if contract.permissions.delegated_only {
            continue;
        }
        let held = reader.held(contract).await;
        let reads = reader.read(&[contract]).await;
        let mut by_id: BTreeMap<Option<String>, FullObject> = BTreeMap::new();
        for (_, read) in reads {
            let Read::Full(full) = read else { panic!("{key}: {read:?}") };
            for fault in &full.faults {
                let what = format!("{key}: {} {:?}", fault.part, fault.error);
                *wrong.entry(what).or_default() += 1;
            }
            by_id.insert(full.id.clone(), *full);
        }
        if by_id.len() != held.len() {
            wrong.insert(format!("{key}: {} read, {} held", by_id.len(), held.len()), 1);
        }
        for own in &held {
            objects += 1;
            let id = own.get("id").and_then(Value::as_str).map(str::to_owned);
            let Some(full) = by_id.get(&id) else {
                *wrong.entry(format!("{key}: not read")).or_default() += 1;
                continue;
            };
            for name in differences(contract, full, own) {
                *wrong.entry(format!("{key}: {name}")).or_default() += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{objects} objects compared: {wrong:#?}");
    assert!(objects > 60, "{objects}");
}

#[tokio::test]
async fn what_vanishes_or_fails_concerns_its_own_object_only() {
    let reader = Reader::new(EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 7 }).await;
    let key = PolicyType::new("settingsCatalogPolicy").unwrap();
    let contract = reader.catalog.contract(&key).unwrap();
    let held = reader.held(contract).await;
    let id = |number: usize| held[number]["id"].as_str().unwrap().to_owned();
    let (gone, broken) = (id(3), id(30));
    let rules = json!([
        {"match": {"path_contains": gone}, "action": {"kind": "vanish"}},
        {"match": {"path_contains": format!("{broken}')/settings")}, "action": {"kind": "status", "status": 400}},
        {"match": {"path_contains": format!("{broken}/settings")}, "action": {"kind": "status", "status": 400}},
    ]);
    reader.sim.sim.set_faults(serde_json::from_value(rules).unwrap());
    let reads = reader.read(&[contract]).await;
    assert_eq!(reads.len(), held.len());
    for (_, read) in reads {
        match read {
            Read::Gone(id) => assert_eq!(id, gone),
            Read::Full(full) if full.id.as_deref() == Some(broken.as_str()) => {
                let parts: Vec<_> = full.faults.iter().map(|fault| fault.part.as_str()).collect();
                assert_eq!(parts, ["settings"]);
                assert_eq!(full.faults[0].error.reason(), ReasonCode::GraphRefused);
                assert!(full.assignments.is_some(), "the rest of it was read");
            }
            Read::Full(full) => assert!(full.faults.is_empty(), "{:?}", full.faults),
            Read::Unchanged(object) => unreachable!("{object}"),
        }
    }
}

#[tokio::test]
async fn what_is_throttled_in_a_batch_is_asked_for_again_and_nothing_else_is() {
    let reader = Reader::new(EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 7 }).await;
    let key = PolicyType::new("deviceConfiguration").unwrap();
    let contract = reader.catalog.contract(&key).unwrap();
    let rules = json!([{"match": {"path_contains": "/assignments", "in_batch": true}, "after": 2, "times": 5,
        "action": {"kind": "status", "status": 429, "retry_after": "0.3"}}]);
    reader.sim.sim.set_faults(serde_json::from_value(rules).unwrap());
    let before = reader.sim.sim.graph_requests();
    let reads = reader.read(&[contract]).await;
    let asked = usize::try_from(reader.sim.sim.graph_requests() - before).unwrap();
    let whole = |read: &Read| matches!(read, Read::Full(full) if full.faults.is_empty());
    assert!(reads.iter().all(|(_, read)| whole(read)));
    assert_eq!(asked, 1 + reads.len() + 5, "a page, the assignments of each, five of them twice");
}

#[tokio::test]
async fn what_the_caller_knows_costs_nothing_beyond_the_listing() {
    let reader = Reader::new(EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 7 }).await;
    let key = PolicyType::new("deviceConfiguration").unwrap();
    let contract = reader.catalog.contract(&key).unwrap();
    let before = reader.sim.sim.graph_requests();
    let known = |_: &Contract, object: &Json| object["id"].is_string();
    let own = [contract];
    let reads: Vec<(usize, Read)> =
        reader.session.read_in_full(&reader.catalog, &own, &known).try_concat().await.unwrap();
    assert!(reads.len() > 10 && reads.iter().all(|(_, read)| matches!(read, Read::Unchanged(_))));
    assert_eq!(reader.sim.sim.graph_requests() - before, 1);
}

#[tokio::test]
async fn names_of_groups_come_by_the_thousand() {
    let reader = Reader::new(EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 7 }).await;
    let key = PolicyType::new("group").unwrap();
    let groups = reader.held(reader.catalog.contract(&key).unwrap()).await;
    let mut ids: BTreeSet<String> =
        groups.iter().map(|group| group["id"].as_str().unwrap().to_owned()).collect();
    ids.insert("00000000-0000-0000-0000-00000000dead".to_owned());
    ids.insert("no id".to_owned());
    let before = reader.sim.sim.graph_requests();
    let names = reader.session.names_of(&ids).await.unwrap();
    assert_eq!(reader.sim.sim.graph_requests() - before, 1);
    assert_eq!(names.len(), groups.len(), "what Graph does not know is not in the answer");
    for group in &groups {
        let name = &names[group["id"].as_str().unwrap()];
        assert_eq!(
            (name.kind.as_str(), name.name.as_deref()),
            ("group", group["displayName"].as_str())
        );
    }
}
