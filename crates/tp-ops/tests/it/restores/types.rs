//! Each type whose restore is enabled: changed back, made anew, assigned; and nothing else is written.

use serde_json::{Value, json};
use tp_catalog::contract::RestoreMode;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::intent::IntentState;
use tp_domain::restore::outcome::ItemOutcome;
use tp_domain::run::Outcome;
use tp_graph::full::FullObject;

use super::{Bench, benches, create, group};

/// Groups that assignments may name; the simulator knows no more of them than their form.
const GROUPS: [&str; 2] =
    ["aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"];

fn keys(bench: &Bench) -> Vec<String> {
    let enabled = bench.world.tools.catalog.iter().filter(|(_, contract)| {
        contract.restore.mode == RestoreMode::Enabled && contract.create.is_some()
    });
    enabled.map(|(key, _)| key.as_str().to_owned()).collect()
}

/// The first object of a type that is no default one, in full.
async fn sample(bench: &Bench, key: &str) -> Option<FullObject> {
    for id in bench.ids(key).await {
        let full = bench.read(key, &id).await?;
        let defaults = bench.contract(key).defaults.as_ref();
        // A masked secret cannot be made anew: that is a test of its own.
        let has_secret = full.object["omaSettings"].as_array().is_some_and(|list| !list.is_empty());
        if !has_secret && !defaults.is_some_and(|defaults| defaults.is_default(&full.object)) {
            return Some(full);
        }
    }
    None
}

/// Whether what has been written down is what has reached the service, in the same order.
async fn nothing_else(bench: &Bench, id: tp_domain::ids::RestoreId, since: u64) -> String {
    let planned: Vec<(String, String)> = bench
        .intents(id)
        .await
        .into_iter()
        .map(|intent| (intent.asked.method, intent.asked.path))
        .collect();
    let log = bench.written(since).await;
    let seen: Vec<(String, String)> =
        log.iter().map(|(method, path, _)| (method.clone(), path.clone())).collect();
    if planned == seen { String::new() } else { format!("planned {planned:?}, written {seen:?}") }
}

/// Restores one thing, and says what is wrong with the result.
async fn restored(
    bench: &Bench,
    key: &str,
    what: &str,
    node: tp_domain::restore::plan::PlanNode,
) -> Option<String> {
    let since = bench.mark().await;
    let (id, run) = bench.restore(bench.plan(vec![node])).await;
    let result = bench.results(id).await.remove(0);
    let other = nothing_else(bench, id, since).await;
    let good = result.outcome == ItemOutcome::Verified
        && run.state.outcome() == Outcome::Succeeded
        && other.is_empty();
    if good {
        return None;
    }
    let log = bench.written(since).await;
    Some(format!("{key} {what}: {result:?} {other} {log:?}"))
}

#[tokio::test]
async fn every_enabled_type_comes_back_as_it_was() {
    for bench in benches().await {
        bench.fill(&["enrollmentNotification", "intuneBrandingProfile"]).await;
        let (mut wrong, mut done) = (Vec::new(), 0);
        for key in keys(&bench) {
            let Some(was) = sample(&bench, &key).await else {
                wrong.push(format!("{key}: there is none to test with"));
                continue;
            };
            let id = was.id.clone().unwrap();
            let contract = bench.contract(&key);
            let fixed = |name: &str| {
                contract.immutable_after_create.iter().any(|at| at.as_str() == format!("/{name}"))
            };
            let name = contract.name_property.clone().unwrap();
            // Something that can be changed: the description, or the name.
            let member = if was.object.get("description").is_some() || fixed(&name) {
                "description".to_owned()
            } else {
                name.clone()
            };
            let assigned: Option<Vec<Value>> = contract
                .assignments
                .as_ref()
                .and_then(|own| own.write.as_ref())
                .map(|_| GROUPS.iter().map(|id| group(id)).collect());
            // 1. Assignments that are not there, and a changed member.
            bench.behind(&key, &id, Some(json!({member: "changed behind the back"}))).await;
            let live = bench.read(&key, &id).await.unwrap();
            let wanted = bench.wanted(&Value::from(&was.object), assigned.as_deref());
            let node = bench.update(&key, &live, wanted.clone());
            wrong.extend(restored(&bench, &key, "changed", node).await);
            // 2. An assignment is taken away behind the back.
            if assigned.is_some() {
                bench.behind(&key, &id, Some(json!({"assignments": []}))).await;
                let live = bench.read(&key, &id).await.unwrap();
                let node = bench.update(&key, &live, wanted.clone());
                wrong.extend(restored(&bench, &key, "assigned", node).await);
            }
            // 3. It is deleted behind the back.
            bench.behind(&key, &id, None).await;
            assert!(bench.read(&key, &id).await.is_none(), "{key}");
            let node = create(&key, "again", wanted);
            wrong.extend(restored(&bench, &key, "deleted", node).await);
            done += 1;
        }
        println!("{done} types on {}", bench.name());
        assert!(wrong.is_empty(), "{}: {} wrong\n{}", bench.name(), wrong.len(), wrong.join("\n"));
        assert!(done >= 28, "{done}");
    }
}

#[tokio::test]
async fn a_secret_that_is_not_stored_is_neither_sent_nor_lost() {
    for bench in benches().await {
        let key = "deviceConfiguration";
        let mut masked = None;
        for id in bench.ids(key).await {
            let full = bench.read(key, &id).await.unwrap();
            let list = full.object["omaSettings"].as_array();
            if list.is_some_and(|list| {
                list.iter().any(|one| one["isEncrypted"].as_bool() == Some(true))
            }) {
                masked = Some(full);
                break;
            }
        }
        let was = masked.unwrap();
        let id = was.id.clone().unwrap();
        bench.behind(key, &id, Some(json!({"displayName": "changed"}))).await;
        let live = bench.read(key, &id).await.unwrap();
        let wanted = bench.wanted(&Value::from(&was.object), None);
        let (restore, _) =
            bench.restore(bench.plan(vec![bench.update(key, &live, wanted.clone())])).await;
        assert_eq!(
            bench.results(restore).await[0].outcome,
            ItemOutcome::Verified,
            "the rest is written"
        );
        let held = bench.held(key, &id).await;
        assert!(held["omaSettings"][0]["value"].as_str().unwrap().contains("secret"), "{held}");
        bench.behind(key, &id, None).await;
        let (restore, _) = bench.restore(bench.plan(vec![create(key, "again", wanted)])).await;
        let result = bench.results(restore).await.remove(0);
        assert_eq!(result.reason, Some(ReasonCode::SecretMissing), "{}", bench.name());
        assert!(bench.intents(restore).await.is_empty(), "nothing was written");
    }
}

#[tokio::test]
async fn all_eight_keys_of_assignments_are_taken() {
    let keys = [
        ("deviceConfiguration", "assignments"),
        ("deviceManagementScript", "deviceManagementScriptAssignments"),
        ("deviceHealthScript", "deviceHealthScriptAssignments"),
        ("mobileApp", "mobileAppAssignments"),
        ("enrollmentLimit", "enrollmentConfigurationAssignments"),
        ("hardwareConfiguration", "hardwareConfigurationAssignments"),
        ("wdacSupplementalPolicy", "wdacPolicyAssignments"),
        ("iosLobAppProvisioning", "iOSLobAppProvisioningConfigAssignments"),
    ];
    for bench in benches().await {
        bench.fill(&["enrollmentLimit", "mobileApp"]).await;
        let mut nodes = Vec::new();
        for (key, _) in keys {
            let live = sample(&bench, key).await.unwrap_or_else(|| panic!("{key}"));
            let mut one = group(GROUPS[0]);
            if key == "mobileApp" {
                one["intent"] = "required".into();
            }
            let wanted = bench.wanted(&Value::from(&live.object), Some(&[one]));
            nodes.push(bench.update(key, &live, wanted));
        }
        let mut plan = bench.plan(nodes);
        // High-risk types that an operator has enabled for this plan.
        plan.enabled_types = plan.nodes.iter().map(|node| node.policy_type.clone()).collect();
        let (id, _) = bench.restore(plan).await;
        let results = bench.results(id).await;
        let bad: Vec<_> = keys
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.outcome != ItemOutcome::Verified)
            .collect();
        assert!(bad.is_empty(), "{}: {bad:#?}", bench.name());
        let intents = bench.intents(id).await;
        assert_eq!(intents.len(), keys.len(), "one action each: the full set");
        assert!(intents.iter().all(|intent| intent.state == IntentState::Done));
    }
}
