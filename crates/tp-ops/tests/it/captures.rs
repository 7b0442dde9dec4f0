//! Capturing single policies: versions as a backup makes them, and no set.

use serde_json::json;
use tp_domain::access::StartPolicyCapture;
use tp_domain::backup_create::CreateBackup;
use tp_domain::ids::PolicyId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::policy_capture::CapturePolicies;
use tp_domain::reason::ReasonCode;
use tp_domain::run::Outcome;
use tp_domain::version::Purpose;
use tp_store::{HowStarted, PolicyFilter, RetryOnly};
use uuid::Uuid;

use crate::backup::key;
use crate::reading::control;
use crate::world::{World, worlds};

/// Ids and Graph ids of some policies of a type.
async fn some(world: &World, of: &str, most: usize) -> Vec<(PolicyId, String)> {
    let filter = PolicyFilter { limit: 200, ..PolicyFilter::default() };
    let page = world.policies().await.policy_list(filter).await.unwrap();
    let of_type = page.policies.into_iter().filter(|one| one.policy_type == key(of));
    of_type.take(most).map(|one| (one.id, one.observed.graph_id)).collect()
}

#[tokio::test]
async fn chosen_policies_become_versions_once() {
    for world in worlds(None).await {
        let name = world.db.name();
        let types = vec![key("deviceConfiguration"), key("deviceCompliancePolicy")];
        world.sync(SyncInventory::of_types(types, true)).await;
        let mut chosen = some(&world, "deviceConfiguration", 2).await;
        chosen.extend(some(&world, "deviceCompliancePolicy", 1).await);
        assert_eq!(chosen.len(), 3, "{name}");
        let ids: Vec<PolicyId> = chosen.iter().map(|(id, _)| *id).collect();
        let run = world.done::<StartPolicyCapture>(&CapturePolicies::of(ids.clone())).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{name} {:?}", run.failures);
        assert_eq!((run.counts.succeeded, run.counts.total), (3, Some(3)), "{name}");
        assert_eq!(run.context["new_versions"], 3, "{name}");
        let scope = world.backups().await;
        let history =
            scope.versions_of(&key("deviceConfiguration"), &chosen[0].1, None, 9).await.unwrap();
        assert_eq!(
            (history.len(), history[0].purpose, history[0].run),
            (1, Purpose::Capture, run.id)
        );
        assert!(scope.backup_list(None, 9).await.unwrap().is_empty(), "{name}: no set");
        let versions = "SELECT count(*) AS n FROM policy_versions";
        assert_eq!(world.db.store.test_count(versions).await, 3, "{name}: and of nothing else");
        // The same again is the same version, and a backup finds it as it is.
        let again = world.done::<StartPolicyCapture>(&CapturePolicies::of(ids)).await;
        assert_eq!((again.counts.succeeded, again.context["new_versions"].clone()), (3, json!(0)));
        world.backup(CreateBackup::of_policies(vec![chosen[0].0])).await;
        assert_eq!(world.db.store.test_count(versions).await, 3, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_captured_is_said_and_tried_again_alone() {
    for world in worlds(None).await {
        let name = world.db.name();
        let types = vec![key("deviceConfiguration"), key("deviceCompliancePolicy")];
        world.sync(SyncInventory::of_types(types, true)).await;
        let mut chosen = some(&world, "deviceConfiguration", 2).await;
        chosen.extend(some(&world, "deviceCompliancePolicy", 2).await);
        let mut ids: Vec<PolicyId> = chosen.iter().map(|(id, _)| *id).collect();
        ids.push(PolicyId::from_uuid(Uuid::from_u128(404)));
        let fault = json!([{
            "match": {"host": "graph", "path_contains": "deviceCompliancePolicies"},
            "action": {"kind": "status", "status": 403},
        }]);
        control(&world.sim, reqwest::Method::PUT, "faults", Some(fault)).await;
        let run = world.done::<StartPolicyCapture>(&CapturePolicies::of(ids)).await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded, "{name}");
        assert_eq!((run.counts.succeeded, run.counts.failed), (2, 3), "{name}");
        let faulty: Vec<ReasonCode> = world.faulty(run.id).await.into_values().collect();
        let count = |code| faulty.iter().filter(|reason| **reason == code).count();
        assert_eq!((count(ReasonCode::PermissionMissing), count(ReasonCode::ItemGone)), (2, 1));
        control(&world.sim, reqwest::Method::PUT, "faults", Some(json!([]))).await;
        let scope = world.enter::<StartPolicyCapture>().await;
        let how = HowStarted::default();
        let retry = scope.run_retry(run.id, RetryOnly::Failed, how).await.unwrap().run().id;
        assert_eq!(world.worker.work_queue().await, 1);
        let retried = world.run(retry).await;
        assert_eq!((retried.counts.succeeded, retried.counts.failed), (2, 1), "{name} {retried:?}");
        assert_eq!(retried.counts.total, Some(3), "{name}: only what had failed");
    }
}
