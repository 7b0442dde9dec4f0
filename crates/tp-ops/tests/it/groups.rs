//! The groups of the directory, refreshed by a run of their own.

use serde_json::json;
use tp_domain::access::StartGroupsSync;
use tp_domain::groups_sync::{PURGED_AFTER, SyncGroups};
use tp_domain::reason::ReasonCode;
use tp_domain::run::Outcome;

use crate::reading::control;
use crate::world::worlds;

#[tokio::test]
async fn groups_are_read_and_forgotten_when_nobody_sees_them_for_long() {
    for world in worlds(None).await {
        let name = world.db.name();
        let run = world.done::<StartGroupsSync>(&SyncGroups).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{name} {:?}", run.failures);
        let known = world.policies().await.group_list().await.unwrap().len() as u64;
        assert!(known > 0, "{name}");
        assert_eq!((run.counts.succeeded, run.counts.total), (known, Some(known)), "{name}");
        assert_eq!(run.context["rows_written"], known);
        let again = world.done::<StartGroupsSync>(&SyncGroups).await;
        assert_eq!(
            (again.counts.succeeded, again.context["rows_written"].clone()),
            (known, json!(0))
        );
        // A group that is not in the directory any more, as long ago as it takes.
        world
            .db
            .store
            .test_execute(
                "INSERT INTO directory_groups (scope_id, graph_id, workspace_id, tenant_id, name, \
                 name_key, group_type, first_seen_at, last_seen_at, last_seen_run) \
                 SELECT scope_id, 'old', workspace_id, tenant_id, 'Old', 'old', group_type, \
                 first_seen_at, last_seen_at, last_seen_run FROM directory_groups LIMIT 1",
            )
            .await
            .unwrap();
        world.db.clock.advance(PURGED_AFTER);
        let fault = json!([{
            "match": {"host": "graph", "path_contains": "groups"},
            "action": {"kind": "status", "status": 403},
        }]);
        control(&world.sim, reqwest::Method::PUT, "faults", Some(fault)).await;
        world.db.clock.advance(std::time::Duration::from_secs(1));
        let refused = world.done::<StartGroupsSync>(&SyncGroups).await;
        assert_eq!(refused.state.outcome(), Outcome::Failed, "{name}");
        assert_eq!(refused.failures[0].code, ReasonCode::PermissionMissing);
        let kept = world.policies().await.group_list().await.unwrap().len() as u64;
        assert_eq!(kept, known + 1, "{name}: who sees nothing forgets nothing");
        control(&world.sim, reqwest::Method::PUT, "faults", Some(json!([]))).await;
        let last = world.done::<StartGroupsSync>(&SyncGroups).await;
        assert_eq!(last.context["forgotten"], 1, "{name} {:?}", last.failures);
        assert_eq!(world.policies().await.group_list().await.unwrap().len() as u64, known);
    }
}
