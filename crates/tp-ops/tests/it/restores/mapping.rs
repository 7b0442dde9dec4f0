//! From one tenant into another: nothing is taken for the same because of its id or its name;
//! what somebody has chosen is written, and what nobody has chosen stands in the way.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tp_catalog::contract::RestoreMode;
use tp_domain::access::{PreviewRestore, StartBackup, StartRestorePreview, ViewBackups};
use tp_domain::backup_create::CreateBackup;
use tp_domain::ids::{RestoreId, TenantId};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::mapping::Mapping;
use tp_domain::restore::outcome::ItemOutcome;
use tp_domain::restore::plan::{FrozenPlan, NodeAction};
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::run::Outcome;
use tp_domain::tenant::Slug;
use tp_sim::estate::EstatePlan;
use tp_sim::{Sim, SimOptions};
use tp_store::testing::databases;
use tp_store::{HowStarted, NewTenant, TenantRef};
use uuid::Uuid;

use super::{Bench, group};
use crate::proofs::figure;
use crate::reading::control;
use crate::world::World;

const POLICY: &str = "deviceConfiguration";

/// Two simulated tenants of one workspace: what the bench writes to, and where it comes from.
struct Two {
    bench: Bench,
    source: TenantId,
    source_entra: Uuid,
}

async fn pairs() -> Vec<Two> {
    let mut pairs = Vec::new();
    for db in databases().await {
        let estate = EstatePlan { corpus: None, tenants: 2, scale: 1, seed: 7 };
        let sim = Sim::new(SimOptions { estate, ..SimOptions::default() }).unwrap();
        let world = World::new(db, sim.spawn().await.unwrap(), 1).await;
        let other = world.sim.sim.tenants().remove(1);
        let new = NewTenant {
            name: other.display_name,
            slug: Slug::new("fabrikam").unwrap(),
            entra_tenant_id: other.id,
            domain: Some(other.domain),
            cloud: "sim".to_owned(),
            credential: Some((other.client_id.to_string(), other.client_secret.into())),
        };
        let workspace = world.actor.workspace();
        let source = world.db.store.console().tenant_create(workspace, new).await.unwrap();
        pairs.push(Two { bench: Bench::new(world).await, source, source_entra: other.id });
    }
    pairs
}

impl Two {
    async fn sim(&self, path: &str, body: Value) {
        control(&self.bench.world.sim, reqwest::Method::POST, path, Some(body)).await;
    }

    /// Puts one object into the source.
    async fn has(&self, key: &str, object: Value) {
        let add =
            json!({"tenant": self.source_entra, "type": key, "action": "add", "object": object});
        self.sim("objects", add).await;
    }

    /// Takes all objects of these types from the target.
    async fn empty(&self, keys: &[String]) {
        for key in keys {
            for object in self.bench.all_held(key).await {
                if let Some(id) = object["id"].as_str() {
                    self.bench.behind(key, id, None).await;
                }
            }
        }
    }

    /// Backs up types of the source and gives the set's number.
    async fn backed_up(&self, keys: &[String]) -> u64 {
        let types = keys.iter().map(|key| PolicyType::new(key).unwrap()).collect();
        let store = &self.bench.world.db.store;
        later(&self.bench);
        let place = TenantRef::Id(self.source);
        let actor = store.test_actor("owner@example.com").await;
        let scope = store.enter::<StartBackup>(&actor, &place).await.unwrap();
        let request = CreateBackup::of_types(types, false);
        let run = scope.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        assert_eq!(self.bench.world.worker.work_queue().await, 1);
        let run = scope.run_get(run).await.unwrap().unwrap();
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{run:?}");
        let sets = store.enter::<ViewBackups>(&actor, &place).await.unwrap();
        sets.backup_list(None, 1).await.unwrap()[0].number
    }

    /// Each group of the source is one of the target.
    async fn groups(&self) -> Value {
        let path = format!("state?tenant={}&type=group", self.source_entra);
        let state = control(&self.bench.world.sim, reqwest::Method::GET, &path, None).await;
        let here = self.bench.all_held("group").await;
        let pairs = state["objects"].as_array().unwrap().iter().zip(here.iter().cycle());
        pairs
            .map(|(from, to)| (from["id"].as_str().unwrap().to_owned(), json!({"to": to["id"]})))
            .collect::<serde_json::Map<String, Value>>()
            .into()
    }

    fn draft(&self, set: u64, mapping: &Value) -> RestoreDraft {
        let mut draft = RestoreDraft::of_backup(set);
        draft.source_tenant = Some(self.source);
        draft.mapping = Mapping::parse(mapping).unwrap();
        draft
    }

    async fn previewed(&self, draft: &RestoreDraft) -> (RestoreId, FrozenPlan) {
        self.bench.previewed(draft).await
    }
}

fn later(bench: &Bench) {
    bench.world.db.clock.advance(Duration::from_mins(1));
}

fn only(plan: &FrozenPlan) -> NodeAction {
    assert_eq!(plan.plan().nodes.len(), 1, "{:?}", plan.plan());
    plan.plan().nodes[0].action
}

fn blocked(reason: ReasonCode) -> NodeAction {
    NodeAction::Blocked(reason)
}

/// A policy of the source with an assignment and a scope tag.
fn policy(tag: &str, group_id: &str) -> Value {
    json!({
        "id": "11111111-0000-4000-8000-000000000001", "displayName": "Kiosk",
        "@odata.type": "#microsoft.graph.windows10CustomConfiguration", "description": "wanted",
        "roleScopeTagIds": [tag], "omaSettings": [], "assignments": [group(group_id)],
    })
}

#[tokio::test]
async fn what_nobody_has_chosen_stands_in_the_way_and_what_is_chosen_is_written() {
    for two in pairs().await {
        let bench = &two.bench;
        let types = [POLICY.to_owned()];
        let (groups, tags) = (bench.all_held("group").await, bench.ids("roleScopeTag").await);
        let here = groups[0]["id"].as_str().unwrap();
        let there = "99999999-0000-4000-8000-000000000009";
        bench.fill(&["roleScopeTag"]).await;
        let tag = bench.ids("roleScopeTag").await.into_iter().find(|id| id != "0").unwrap();
        assert!(!tags.is_empty());
        let fill = json!({"tenant": two.source_entra, "types": {POLICY: 0}, "seed": 3});
        two.sim("estate", fill).await;
        two.has(POLICY, policy("77", there)).await;
        two.empty(&types).await;
        let set = two.backed_up(&types).await;
        let name = bench.name();
        let (_, plan) = two.previewed(&two.draft(set, &json!({}))).await;
        assert_eq!(only(&plan), blocked(ReasonCode::ReferenceMissing), "{name}: nothing is said");
        // Without its tag, everybody would see it.
        let no_tag = json!({"roleScopeTag": {"77": "drop"}, "group": {there: "drop"}});
        let (_, plan) = two.previewed(&two.draft(set, &no_tag)).await;
        assert_eq!(only(&plan), blocked(ReasonCode::ReferenceMissing), "{name}: no tag is left");
        let nobody = json!({
            "roleScopeTag": {"77": {"to": tag}}, "group": {there: {"to": Uuid::from_u128(5)}},
        });
        let (_, plan) = two.previewed(&two.draft(set, &nobody)).await;
        assert_eq!(only(&plan), blocked(ReasonCode::ReferenceMissing), "{name}: no such group");
        let skip = json!({"group": {there: "skip"}});
        let (_, plan) = two.previewed(&two.draft(set, &skip)).await;
        assert!(plan.plan().nodes.is_empty(), "{name}: left out");
        // What was said once is remembered for the pair of tenants.
        let said = json!({"roleScopeTag": {"77": {"to": tag}}, "group": {there: {"to": here}}});
        let owner = bench.world.db.store.test_actor("owner@example.com").await;
        let contoso = TenantRef::parse("contoso").unwrap();
        let store = &bench.world.db.store;
        let scope = store.enter::<PreviewRestore>(&owner, &contoso).await.unwrap();
        scope.mapping_remember(two.source, &Mapping::parse(&said).unwrap()).await.unwrap();
        let draft = two.draft(set, &json!({}));
        let (id, plan) = two.previewed(&draft).await;
        assert_eq!(only(&plan), NodeAction::Create, "{name}");
        assert_eq!(bench.carried_out(id, &plan).await, Outcome::Succeeded, "{name}");
        let made = bench.items(id).await.remove(0).result.unwrap();
        assert_eq!(made.outcome, ItemOutcome::Verified, "{name} {made:?}");
        let held = bench.held(POLICY, &made.graph_id.unwrap()).await;
        assert_eq!(held["roleScopeTagIds"], json!([tag]), "{name}");
        let live = bench.read(POLICY, held["id"].as_str().unwrap()).await.unwrap();
        let assigned = Value::from(&live.assignments.unwrap()[0]);
        assert_eq!(assigned["target"]["groupId"], here, "{name} {assigned}");
        // It is known by what the first restore has made of it: nothing is made twice.
        let (_, plan) = two.previewed(&draft).await;
        assert_eq!(only(&plan), NodeAction::Unchanged, "{name}");
    }
}

#[tokio::test]
async fn the_same_id_or_name_there_is_not_the_same_object() {
    for two in pairs().await {
        let (bench, types) = (&two.bench, [POLICY.to_owned()]);
        let name = bench.name();
        let fill = json!({"tenant": two.source_entra, "types": {POLICY: 0}, "seed": 3});
        two.sim("estate", fill).await;
        let mut own = policy("0", "x");
        own["assignments"] = json!([]);
        two.has(POLICY, own.clone()).await;
        let set = two.backed_up(&types).await;
        two.empty(&types).await;
        // The same id in the target, under another name: another object, which is left alone.
        own["displayName"] = "Another".into();
        bench.late(POLICY, own.clone()).await;
        let (_, plan) = two.previewed(&two.draft(set, &json!({}))).await;
        assert_eq!(only(&plan), NodeAction::Create, "{name}");
        // The same name: somebody must choose.
        own["displayName"] = "Kiosk".into();
        own["description"] = "of the target".into();
        own["id"] = "22222222-0000-4000-8000-000000000002".into();
        bench.late(POLICY, own.clone()).await;
        let (_, plan) = two.previewed(&two.draft(set, &json!({}))).await;
        assert_eq!(only(&plan), blocked(ReasonCode::NameTaken), "{name}");
        let source_id = "11111111-0000-4000-8000-000000000001";
        let anew = json!({POLICY: {source_id: "create"}});
        let (_, plan) = two.previewed(&two.draft(set, &anew)).await;
        assert_eq!(only(&plan), NodeAction::Create, "{name}");
        let that = json!({POLICY: {source_id: {"to": own["id"]}}});
        let (id, plan) = two.previewed(&two.draft(set, &that)).await;
        assert_eq!(only(&plan), NodeAction::Update, "{name}");
        assert_eq!(bench.carried_out(id, &plan).await, Outcome::Succeeded, "{name}");
        let held = bench.held(POLICY, own["id"].as_str().unwrap()).await;
        assert_eq!(held["description"], "wanted", "{name}");
    }
}

#[tokio::test]
async fn a_source_is_read_only_by_who_may_see_its_backups() {
    for two in pairs().await {
        let bench = &two.bench;
        let set = two.backed_up(&[POLICY.to_owned()]).await;
        let mut draft = two.draft(set, &json!({}));
        // A tenant of nobody here.
        draft.source_tenant = Some(TenantId::from_uuid(Uuid::from_u128(9)));
        let store = &bench.world.db.store;
        let owner = store.test_actor("owner@example.com").await;
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope = store.enter::<PreviewRestore>(&owner, &contoso).await.unwrap();
        let id = scope.restore_create(&draft, None).await.unwrap();
        let start = store.enter::<StartRestorePreview>(&owner, &contoso).await.unwrap();
        let request = MakeRestorePreview { restore: id };
        let run = start.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        assert_eq!(bench.world.worker.work_queue().await, 1);
        let run = bench.run(run).await;
        assert_eq!(run.state.outcome(), Outcome::Blocked, "{} {run:?}", bench.name());
        assert!(scope.restore_plan(id).await.unwrap().is_none(), "{}", bench.name());
    }
}

#[tokio::test]
async fn every_enabled_type_goes_into_an_empty_tenant() {
    for two in pairs().await {
        let bench = &two.bench;
        let name = bench.name();
        let catalog = &bench.world.tools.catalog;
        let keys: Vec<String> = catalog
            .iter()
            .filter(|(_, one)| one.restore.mode == RestoreMode::Enabled && one.create.is_some())
            .map(|(key, _)| key.as_str().to_owned())
            .collect();
        let set = two.backed_up(&keys).await;
        two.empty(&keys).await;
        let groups = two.groups().await;
        let (_, plan) = two.previewed(&two.draft(set, &json!({ "group": groups.clone() }))).await;
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut choices = serde_json::Map::from_iter([("group".to_owned(), groups)]);
        for node in &plan.plan().nodes {
            if let NodeAction::Blocked(reason) = node.action {
                *reasons.entry(reason.to_string()).or_default() += 1;
                let id = node.key.rsplit('/').next().unwrap_or_default();
                let of_type = choices.entry(node.policy_type.as_str()).or_insert(json!({}));
                of_type[id] = json!("skip");
            }
        }
        let again = Value::Object(choices);
        let (id, plan) = two.previewed(&two.draft(set, &again)).await;
        let created: Vec<&str> =
            plan.plan().writes().map(|node| node.policy_type.as_str()).collect();
        let types: std::collections::BTreeSet<&str> = created.iter().copied().collect();
        let since = bench.mark().await;
        let outcome = bench.carried_out(id, &plan).await;
        let items = bench.items(id).await;
        let wrong: Vec<String> = items
            .iter()
            .filter(|item| {
                item.result.as_ref().map(|one| one.outcome) != Some(ItemOutcome::Verified)
            })
            .map(|item| format!("{}: {:?}", item.key, item.result))
            .collect();
        assert!(wrong.is_empty() && outcome == Outcome::Succeeded, "{name} {wrong:#?}");
        let intents = bench.intents(id).await.into_iter();
        let planned: Vec<(String, String)> =
            intents.map(|intent| (intent.asked.method, intent.asked.path)).collect();
        let log = bench.written(since).await.into_iter();
        let written: Vec<(String, String)> = log.map(|(method, path, _)| (method, path)).collect();
        assert_eq!(planned, written, "{name}");
        let again = two.draft(set, &again);
        let (_, again) = two.previewed(&again).await;
        let changed: Vec<_> = again.plan().writes().map(|node| node.key.clone()).collect();
        assert!(changed.is_empty(), "{name}: {changed:?}");
        figure(
            &format!("X-7 into an empty second tenant, {name}"),
            "at least 20 types are made there, verified, and nothing is made twice",
            &format!(
                "{} types, {} objects, {} writes, left out: {reasons:?}",
                types.len(),
                created.len(),
                written.len()
            ),
            types.len() >= 20,
        );
    }
}
