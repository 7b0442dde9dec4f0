//! Backups against the simulator: everything is in the set, nothing twice, and a set never says more than
//! it holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tp_catalog::secrets::MARKER;
use tp_domain::access::{CancelOperations, StartBackup};
use tp_domain::backup::{BackupItem, BackupItemState, BackupSet, BackupState};
use tp_domain::backup_create::CreateBackup;
use tp_domain::completeness::CompletenessState;
use tp_domain::ids::WorkerId;
use tp_domain::json::Json;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::Outcome;
use tp_payload::{Location, PayloadStore, Sealer, Vault};
use tp_store::{BackupItemFilter, HowStarted, TenantRef, TenantScope};
use uuid::Uuid;

use crate::reading::{MASKED, control};
use crate::world::{World, corpus, worlds};

pub(crate) fn key(text: &str) -> PolicyType {
    PolicyType::new(text).unwrap()
}

impl World {
    pub(crate) async fn set(&self, number: u64) -> BackupSet {
        self.backups().await.backup_get(number).await.unwrap().unwrap()
    }

    pub(crate) async fn items(&self, set: &BackupSet) -> Vec<BackupItem> {
        let scope = self.backups().await;
        let mut items = Vec::new();
        loop {
            let offset = u32::try_from(items.len()).unwrap();
            let filter = BackupItemFilter { offset, limit: 200, ..BackupItemFilter::default() };
            let page = scope.backup_items(set.id, &filter).await.unwrap();
            items.extend(page.items);
            if !page.has_more {
                return items;
            }
        }
    }

    /// What a version holds.
    async fn content(&self, item: &BackupItem) -> Json {
        let version = self.backups().await.version_get(item.version.unwrap()).await.unwrap();
        let address = version.unwrap().address;
        let scope = self.backups().await;
        let place = scope.payload_place(address).await.unwrap().unwrap();
        let keys = scope.payload_keys().await.unwrap().unwrap();
        let sealer = Sealer::new(scope.tenant().id, &keys).unwrap();
        let vault = Vault::new(sealer, self.tools.payloads.clone());
        vault.get(PayloadKind::Version, address, place.copy).await.unwrap().json().unwrap()
    }

    pub(crate) async fn state(&self, key: &str) -> BTreeMap<String, Value> {
        let tenant = self.sim.sim.tenants()[0].id;
        let path = format!("state?tenant={tenant}&type={key}");
        let state = control(&self.sim, reqwest::Method::GET, &path, None).await;
        let objects = state["objects"].as_array().cloned().unwrap_or_default();
        objects
            .into_iter()
            .filter_map(|object| Some((object["id"].as_str()?.to_owned(), object)))
            .collect()
    }

    pub(crate) async fn change_object(&self, key: &str, id: &str, change: &Value) {
        let tenant = self.sim.sim.tenants()[0].id;
        let body = json!({
            "tenant": tenant, "type": key, "action": "change", "id": id, "patch": change,
        });
        control(&self.sim, reqwest::Method::POST, "objects", Some(body)).await;
    }
}

/// Members of `kept` that the simulator's object has, and has otherwise. Secrets are not compared.
fn differences(at: &str, kept: &Json, held: &Value, found: &mut Vec<String>) {
    let Json::Object(members) = kept else { return };
    for (name, value) in members.iter() {
        let name = name.lossy();
        let Some(other) = held.get(&name) else { continue };
        let is_marker = |value: &Json| value.get(MARKER).is_some();
        match value {
            value if is_marker(value) => {}
            // Graph gives it masked or not at all; the reading tests look at what comes.
            _ if MASKED.contains(&name.as_str()) => {}
            Json::Array(elements) if elements.is_empty() && other.is_null() => {}
            Json::Object(_) => differences(&format!("{at}/{name}"), value, other, found),
            Json::Array(elements) if elements.iter().any(Json::is_object) => {
                let others = other.as_array().cloned().unwrap_or_default();
                if elements.len() != others.len() {
                    found.push(format!("{at}/{name}: {} of {}", elements.len(), others.len()));
                }
            }
            value if Value::from(value) != *other => found.push(format!("{at}/{name}")),
            _ => {}
        }
    }
}

#[tokio::test]
async fn everything_is_in_the_set_and_the_second_set_stores_nothing() {
    let corpus = corpus();
    if corpus.is_none() {
        println!("skipped: no corpus; the generated estate is used");
    }
    for world in worlds(corpus).await {
        let run = world.backup(CreateBackup::everything()).await;
        let set = world.set(1).await;
        let types = world.backups().await.backup_types(set.id).await.unwrap();
        let read: Vec<_> = types
            .iter()
            .filter(|one| one.completeness.state() == CompletenessState::Complete)
            .collect();
        for one in &types {
            let state = one.completeness.state();
            let expected =
                matches!(state, CompletenessState::Complete | CompletenessState::NotCovered);
            assert!(expected, "{}: {:?}", one.policy_type, one.completeness);
        }
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{:?}", run.failures);
        assert_eq!((set.state, set.failed_items), (BackupState::Complete, 0));
        assert!(read.len() > 60, "{} types", read.len());
        let items = world.items(&set).await;
        assert_eq!(items.len() as u64, set.items);
        assert_eq!(set.new_versions, set.items);
        let mut found = Vec::new();
        let mut compared = 0;
        for one in &read {
            let held = world.state(one.policy_type.as_str()).await;
            let own = items.iter().filter(|item| item.policy_type == one.policy_type);
            for item in own {
                let Some(object) = held.get(&item.graph_id) else { continue };
                let content = world.content(item).await;
                let kept = content.get("object").unwrap();
                let place = format!("{}/{}", item.policy_type, item.graph_id);
                differences(&place, kept, object, &mut found);
                compared += 1;
            }
        }
        assert!(compared * 10 > items.len() * 9, "{compared} of {} compared", items.len());
        assert!(
            found.is_empty(),
            "{} differences: {:?}",
            found.len(),
            &found[..found.len().min(20)]
        );

        let again = world.backup(CreateBackup::everything()).await;
        assert_eq!(again.state.outcome(), Outcome::Succeeded, "{:?}", again.failures);
        let second = world.set(2).await;
        assert_eq!((second.new_versions, second.items), (0, set.items));
        assert!(!second.is_full_pass);
        assert_eq!(again.counts.succeeded, run.counts.succeeded);
    }
}

#[tokio::test]
async fn a_change_is_one_new_version_and_a_broken_type_is_said() {
    for world in worlds(None).await {
        let types = vec![key("deviceConfiguration"), key("deviceCompliancePolicy")];
        let request = || CreateBackup::of_types(types.clone(), true);
        world.backup(request()).await;
        let (id, _) = world.state("deviceConfiguration").await.pop_first().unwrap();
        world
            .change_object(
                "deviceConfiguration",
                &id,
                &json!({"description": "changed", "lastModifiedDateTime": "2026-02-01T00:00:00Z"}),
            )
            .await;
        let run = world.backup(request()).await;
        let set = world.set(2).await;
        assert_eq!((set.state, set.new_versions), (BackupState::Complete, 1), "{:?}", run.failures);
        let scope = world.backups().await;
        let history = scope.versions_of(&key("deviceConfiguration"), &id, None, 10).await.unwrap();
        let numbers: Vec<u64> = history.iter().map(|version| version.number).collect();
        assert_eq!(numbers, [2, 1]);

        let fault = json!([{
            "match": {"host": "graph", "path_contains": "deviceCompliancePolicies"},
            "action": {"kind": "status", "status": 403},
        }]);
        control(&world.sim, reqwest::Method::PUT, "faults", Some(fault)).await;
        let run = world.backup(request()).await;
        let set = world.set(3).await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded);
        assert_eq!(set.state, BackupState::Partial, "{}", world.db.name());
        let types = scope.backup_types(set.id).await.unwrap();
        let broken = types.iter().find(|one| one.policy_type == key("deviceCompliancePolicy"));
        let reason = broken.unwrap().completeness.reason();
        assert_eq!(reason, Some(ReasonCode::PermissionMissing));
        let kept = world.items(&set).await;
        assert!(kept.iter().all(|item| item.policy_type == key("deviceConfiguration")));
        assert!(kept.iter().all(|item| item.state == BackupItemState::Unchanged));
    }
}

/// Longer than a lease.
const OVER: std::time::Duration = std::time::Duration::from_mins(2);

#[tokio::test]
async fn a_backup_that_is_killed_again_and_again_ends_whole_and_counts_once() {
    for world in worlds(None).await {
        let name = world.db.name();
        let scope: TenantScope<StartBackup> = world
            .db
            .store
            .enter(&world.actor, &TenantRef::parse("contoso").unwrap())
            .await
            .unwrap();
        let request = CreateBackup::everything();
        let run = scope.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        let count = "SELECT count(*) AS n FROM backup_items";
        let mut kills = 0;
        while scope.run_get(run).await.unwrap().unwrap().is_active() {
            let before = world.db.store.test_count(count).await;
            let id = WorkerId::from_uuid(Uuid::from_u128(100 + kills));
            let worker = world.another(id);
            let working = tokio::spawn(async move { worker.work_queue().await });
            while world.db.store.test_count(count).await < before + 15 && !working.is_finished() {
                tokio::task::yield_now().await;
            }
            // Until the last transaction, nothing says that the set is whole.
            let set = world.set(1).await;
            assert!(working.is_finished() || set.state == BackupState::Creating || set.items > 0);
            working.abort();
            world.db.clock.advance(OVER);
            // Given back with its try: what is looked at here is what it goes on from.
            world.db.store.upkeep().release(id).await.unwrap();
            kills += 1;
            assert!(kills < 100, "{name}: it does not end");
        }
        assert!(kills > 3, "{name}: killed {kills} times");
        let ended = scope.run_get(run).await.unwrap().unwrap();
        let set = world.set(1).await;
        assert_eq!((set.state, ended.state.outcome()), (BackupState::Complete, Outcome::Succeeded));
        let items = world.items(&set).await;
        assert_eq!(items.len() as u64, set.items, "{name}");
        // Groups are counted and not captured.
        let groups = world.db.store.test_count("SELECT count(*) AS n FROM directory_groups").await;
        assert_eq!(ended.counts.succeeded, set.items + u64::try_from(groups).unwrap(), "{name}");
        for item in &items {
            world.content(item).await;
        }
        let twice = "SELECT count(*) AS n FROM (SELECT address FROM policy_versions \
                     GROUP BY policy_type, graph_id, address HAVING count(*) > 1) AS twice";
        assert_eq!(world.db.store.test_count(twice).await, 0, "{name}");
    }
}

#[tokio::test]
async fn a_canceled_backup_leaves_a_set_that_says_so() {
    for world in worlds(None).await {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope: TenantScope<StartBackup> =
            world.db.store.enter(&world.actor, &contoso).await.unwrap();
        let request = CreateBackup::everything();
        let run = scope.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        let shutdown = CancellationToken::new();
        let worker = world.another(WorkerId::from_uuid(Uuid::from_u128(200)));
        let working = tokio::spawn(worker.run(shutdown.clone()));
        let count = "SELECT count(*) AS n FROM backup_items";
        while world.db.store.test_count(count).await < 5 {
            tokio::task::yield_now().await;
        }
        let cancel: TenantScope<CancelOperations> =
            world.db.store.enter(&world.actor, &contoso).await.unwrap();
        cancel.run_cancel(run, None).await.unwrap();
        while scope.run_get(run).await.unwrap().unwrap().is_active() {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        working.await.unwrap();
        let ended = scope.run_get(run).await.unwrap().unwrap();
        let set = world.set(1).await;
        // Whoever was quicker: the cancel or the last policy.
        match ended.state.outcome() {
            Outcome::Canceled => assert_eq!(set.state, BackupState::Partial, "{}", world.db.name()),
            outcome => {
                assert_eq!((outcome, set.state), (Outcome::Succeeded, BackupState::Complete));
            }
        }
        assert!(set.items >= 5);
    }
}

#[tokio::test]
async fn a_payload_store_that_takes_nothing_fails_the_run_and_no_set_lies() {
    for world in worlds(None).await {
        // A folder that has become a file: nothing can be written below it.
        let place = world.folder().join("gone");
        let payloads = PayloadStore::open(&Location::Folder(place.clone()), []).unwrap();
        if place.exists() {
            std::fs::remove_dir_all(&place).unwrap();
        }
        std::fs::write(&place, "x").unwrap();
        let worker = world.with_payloads(payloads);
        let scope: TenantScope<StartBackup> = world
            .db
            .store
            .enter(&world.actor, &TenantRef::parse("contoso").unwrap())
            .await
            .unwrap();
        let types = vec![key("deviceConfiguration")];
        let request = CreateBackup::of_types(types, true);
        let run = scope.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        while scope.run_get(run).await.unwrap().unwrap().is_active() {
            worker.work_queue().await;
            world.db.clock.advance(std::time::Duration::from_mins(15));
        }
        let ended = scope.run_get(run).await.unwrap().unwrap();
        assert_eq!(ended.state.outcome(), Outcome::Failed, "{:?}", ended.failures);
        let set = world.set(1).await;
        assert_ne!(set.state, BackupState::Complete);
        assert_eq!(set.items, 0, "{}", world.db.name());
    }
}
