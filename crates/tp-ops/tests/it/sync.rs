//! What a sync finds, and what it says when Graph misbehaves.

use std::time::Duration;

use tp_domain::completeness::Completeness;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, RunStatus, WaitingReason};
use tp_sim::ExpectedObject;
use tp_sim::faults::Fault;
use tp_store::PolicyFilter;

use crate::world::{World, corpus, worlds};

/// Everything that the inventory and the directory cache hold, as the simulator's loader words it.
async fn found(world: &World) -> Vec<ExpectedObject> {
    let scope = world.policies().await;
    let mut found = Vec::new();
    loop {
        let offset = u32::try_from(found.len()).unwrap();
        let filter = PolicyFilter { limit: 200, offset, ..PolicyFilter::default() };
        let page = scope.policy_list(filter).await.unwrap();
        if page.policies.is_empty() {
            break;
        }
        found.extend(page.policies.into_iter().map(|policy| ExpectedObject {
            policy_type: policy.policy_type.to_string(),
            id: policy.observed.graph_id,
            name: policy.observed.name,
        }));
    }
    found.extend(scope.group_list().await.unwrap().into_iter().map(|group| ExpectedObject {
        policy_type: "group".to_owned(),
        id: group.graph_id,
        name: group.name,
    }));
    found.sort();
    found
}

/// PostgreSQL holds no U+0000; nothing else of a name is changed.
fn as_kept(expected: Vec<ExpectedObject>) -> Vec<ExpectedObject> {
    let mut kept: Vec<ExpectedObject> = expected
        .into_iter()
        .map(|object| ExpectedObject {
            name: object
                .name
                .map(|name| name.replace('\0', "\u{fffd}").chars().take(1024).collect()),
            ..object
        })
        .collect();
    kept.sort();
    kept
}

async fn finds_everything(world: &World) {
    let run = world.sync(SyncInventory::everything()).await;
    let what = world.db.name();
    assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}: {:?}", run.failures);
    let expected = as_kept(world.sim.sim.expected());
    assert_eq!(found(world).await, expected, "{what}");
    let count = u64::try_from(expected.len()).unwrap();
    assert_eq!((run.counts.total, run.counts.succeeded), (Some(count), count), "{what}");
    assert_eq!(run.context["rows_written"], count, "{what}");
    let again = world.sync(SyncInventory::everything()).await;
    assert_eq!(again.state.outcome(), Outcome::Succeeded);
    assert_eq!(again.context["rows_written"], 0, "{what}: a second sync writes nothing new");
    assert_eq!(again.counts.succeeded, count);
}

#[tokio::test]
async fn a_sync_finds_every_object_of_the_corpus() {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    for world in worlds(Some(corpus)).await {
        assert_eq!(world.sim.sim.corpus_files(), 1355);
        finds_everything(&world).await;
    }
}

#[tokio::test]
async fn a_sync_finds_every_object_of_a_generated_estate() {
    for world in worlds(None).await {
        finds_everything(&world).await;
    }
}

fn faults(json: serde_json::Value) -> Vec<Fault> {
    serde_json::from_value(json).unwrap()
}

fn only(key: &str) -> SyncInventory {
    SyncInventory::of_types(vec![PolicyType::new(key).unwrap()], true)
}

#[tokio::test]
async fn one_bad_type_does_not_stop_the_others() {
    let cases = [
        (serde_json::json!({"kind": "html"}), ReasonCode::MalformedResponse),
        (serde_json::json!({"kind": "malformed"}), ReasonCode::MalformedResponse),
        (serde_json::json!({"kind": "status", "status": 403}), ReasonCode::PermissionMissing),
        (serde_json::json!({"kind": "status", "status": 400}), ReasonCode::GraphRefused),
        (serde_json::json!({"kind": "status", "status": 503}), ReasonCode::GraphUnavailable),
        (serde_json::json!({"kind": "loop"}), ReasonCode::PagingLoop),
        (
            serde_json::json!({"kind": "next_link", "url": "http://evil.example/beta/x"}),
            ReasonCode::UntrustedNextLink,
        ),
        (serde_json::json!({"kind": "next_link", "url": "relative"}), ReasonCode::BadNextLink),
        (
            serde_json::json!({"kind": "redirect", "to": "http://evil.example/"}),
            ReasonCode::MalformedResponse,
        ),
        (serde_json::json!({"kind": "huge", "bytes": 9_000_000}), ReasonCode::PayloadTooLarge),
        (serde_json::json!({"kind": "truncate"}), ReasonCode::GraphUnavailable),
        (serde_json::json!({"kind": "drip"}), ReasonCode::GraphUnavailable),
    ];
    for world in worlds(None).await {
        let types: Vec<PolicyType> = ["assignmentFilter", "roleScopeTag", "namedLocation"]
            .map(|k| PolicyType::new(k).unwrap())
            .into();
        for (action, reason) in &cases {
            let rule = serde_json::json!([{"match": {"path_contains": "assignmentFilters"}, "action": action}]);
            world.sim.sim.set_faults(faults(rule));
            let run = world.sync(SyncInventory::of_types(types.clone(), true)).await;
            let what = format!("{reason} on {}", world.db.name());
            assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded, "{what}");
            assert_eq!(run.failures.len(), 1, "{what}: {:?}", run.failures);
            assert_eq!(run.failures[0].code, *reason, "{what}");
            let coverage = world.policies().await.coverage().await.unwrap();
            let of =
                |key: &str| coverage.iter().find(|row| row.policy_type.as_str() == key).unwrap();
            assert_eq!(of("roleScopeTag").completeness, Completeness::Complete, "{what}");
            assert_eq!(of("assignmentFilter").completeness.reason(), Some(*reason), "{what}");
            let missing: u64 = coverage.iter().map(|row| row.missing).sum();
            assert_eq!(missing, 0, "{what}: nothing is marked missing");
        }
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    for world in worlds(None).await {
        let rule = serde_json::json!([{"match": {"path_contains": "roleScopeTags"}, "action": {"kind": "status", "status": 403}}]);
        world.sim.sim.set_faults(faults(rule));
        let run = world.sync(only("roleScopeTag")).await;
        assert_eq!(run.state.outcome(), Outcome::Failed);
        let item = &run.failures[0].items[0];
        assert_eq!(item.permission.as_deref(), Some("DeviceManagementRBAC.Read.All"));
        assert!(item.graph_request_id.is_some());
        let text = format!("{run:?}");
        assert!(!text.contains("planned"), "no text of the answer is kept");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_work_ends_the_run_with_its_reason() {
    let cases = [
        (serde_json::json!({"secret_expired": true}), ReasonCode::CredentialExpired),
        (
            serde_json::json!({"secret_expired": false, "consented": false}),
            ReasonCode::ConsentMissing,
        ),
    ];
    for world in worlds(None).await {
        let tenant = world.sim.sim.tenants().remove(0).id;
        for (change, reason) in &cases {
            let client =
                reqwest_put(&format!("{}/__sim/tenants/{tenant}", world.sim.url), change).await;
            assert!(client, "the simulator took the change");
            let run = world.sync(SyncInventory::everything()).await;
            assert_eq!(run.state.outcome(), Outcome::Failed, "{}", world.db.name());
            assert_eq!(run.reason, Some(*reason));
        }
        world.sim.sim.set_faults(faults(
            serde_json::json!([{"match": {"host": "login"}, "action": {"kind": "wrong_tid"}}]),
        ));
        let repair = serde_json::json!({"consented": true});
        assert!(reqwest_put(&format!("{}/__sim/tenants/{tenant}", world.sim.url), &repair).await);
        let run = world.sync(SyncInventory::everything()).await;
        assert_eq!(run.reason, Some(ReasonCode::TenantMismatch));
    }
}

async fn reqwest_put(url: &str, body: &serde_json::Value) -> bool {
    let sent = reqwest::Client::builder().build().unwrap().put(url).body(body.to_string()).send();
    sent.await.unwrap().status().is_success()
}

#[tokio::test]
async fn a_tenant_that_cannot_be_reached_is_tried_again() {
    for world in worlds(None).await {
        world.sim.sim.set_faults(faults(
            serde_json::json!([{"action": {"kind": "status", "status": 503}, "times": 9}]),
        ));
        let run = world.sync(only("roleScopeTag")).await;
        assert_eq!(run.state.status(), RunStatus::Running, "{}", world.db.name());
        world.sim.sim.set_faults(Vec::new());
        world.db.clock.advance(Duration::from_secs(10));
        assert_eq!(world.worker.work_queue().await, 1);
        let requests = world.sim.sim.graph_requests();
        assert!(requests > 0);
    }
}

#[tokio::test]
async fn a_short_throttle_is_waited_out() {
    for world in worlds(None).await {
        let rule = serde_json::json!([{"match": {"host": "graph"}, "times": 2, "action": {"kind": "status", "status": 429, "retry_after": "0.2"}}]);
        world.sim.sim.set_faults(faults(rule));
        let run = world.sync(only("roleScopeTag")).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{}", world.db.name());
        assert_eq!(run.waiting, None);
    }
}

#[tokio::test]
async fn a_long_throttle_is_not_waited_out_in_a_workers_place() {
    for world in worlds(None).await {
        let rule = serde_json::json!([{"action": {"kind": "status", "status": 429, "retry_after": "600"}, "match": {"host": "graph"}}]);
        world.sim.sim.set_faults(faults(rule));
        let run = world.sync(only("roleScopeTag")).await;
        assert_eq!(run.state.status(), RunStatus::Running, "{}", world.db.name());
        let waiting = run.waiting.unwrap();
        assert_eq!(waiting.reason, WaitingReason::Throttled);
        assert!(waiting.until.since(world.db.store.now()) >= Duration::from_secs(590));
        assert_eq!((run.reason, run.attempt), (None, 0), "no try was used up");
        assert_eq!(world.sim.sim.graph_requests(), 1, "nobody asks within the told time");
    }
}

#[tokio::test]
async fn a_type_without_a_contract_makes_no_call() {
    for world in worlds(None).await {
        let run = world.sync(only("noSuchType")).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded);
        assert_eq!(world.sim.sim.graph_requests(), 0, "{}", world.db.name());
        let coverage = world.policies().await.coverage().await.unwrap();
        assert_eq!(coverage[0].completeness, Completeness::NotCovered(ReasonCode::UnsupportedType));
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_for_all() {
    for world in worlds(None).await {
        let rule = serde_json::json!([{"match": {"host": "graph"}, "after": 3, "times": 1, "action": {"kind": "status", "status": 401}}]);
        world.sim.sim.set_faults(faults(rule));
        let run = world.sync(SyncInventory::everything()).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{:?}", run.failures);
        let forever = serde_json::json!([{"match": {"host": "graph"}, "action": {"kind": "status", "status": 401}}]);
        world.sim.sim.set_faults(faults(forever));
        let run = world.sync(SyncInventory::everything()).await;
        assert_eq!(run.reason, Some(ReasonCode::AuthFailed));
    }
}
