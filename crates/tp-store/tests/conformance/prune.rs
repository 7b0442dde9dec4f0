//! Deleting finished runs after the workspace's retention.

use std::time::Duration;

use tp_domain::access::{ManageSettings, StartRunsPrune};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::runs_prune::{PruneRuns, Retention};
use tp_store::{HowStarted, WorkspaceSettings};

use crate::util::{key, succeeded, worlds};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn old_runs_go_with_all_that_hangs_on_them() {
    for world in worlds().await {
        let store = world.store();
        let old = world.claimed("contoso").await;
        old.steps_plan(&[key("roleScopeTag")]).await.unwrap();
        let old_id = old.id();
        old.finish(tp_store::Ended { outcome: tp_domain::run::Outcome::Failed, ..succeeded() })
            .await
            .unwrap();
        let whole = world.whole::<ManageSettings>().await;
        let settings = WorkspaceSettings { retention: Retention::days(7).unwrap(), max_running: 9 };
        whole.settings_set(settings).await.unwrap();
        assert_eq!(whole.settings().await.unwrap(), settings, "{}", world.db.name());
        world.db.clock.advance(DAY * 8);
        let young = world.claimed("fabrikam").await;
        let young_id = young.id();
        young.finish(succeeded()).await.unwrap();
        world.start("contoso", SyncInventory::everything()).await;
        let scope = world.whole::<StartRunsPrune>().await;
        let started = scope.run_start(&PruneRuns, HowStarted::default()).await.unwrap();
        assert_eq!(started.run().tenant, None);
        let id = started.run().id;
        assert!(scope.run_get(id).await.unwrap().is_some());
        let filter = tp_store::RunFilter { limit: 10, ..tp_store::RunFilter::default() };
        assert_eq!(scope.run_list(filter).await.unwrap().runs.len(), 1);
        let claim = loop {
            let claim = world.claim_any(1).await.unwrap();
            if claim.id() == id {
                break claim;
            }
        };
        let (before, days) = claim.prune_before().await.unwrap();
        assert_eq!((before, days), (store.now().minus(DAY * 7), 7));
        assert_eq!(claim.prune_some(before).await.unwrap(), 1);
        assert_eq!(claim.prune_some(before).await.unwrap(), 0);
        claim.finish(succeeded()).await.unwrap();
        assert!(world.runs("contoso").await.run_get(old_id).await.unwrap().is_none());
        assert!(world.runs("fabrikam").await.run_get(young_id).await.unwrap().is_some());
        for table in
            ["SELECT count(*) AS n FROM run_steps", "SELECT count(*) AS n FROM run_attention"]
        {
            assert_eq!(store.test_count(table).await, 0, "{table}");
        }
        let kept = "SELECT count(*) AS n FROM audit_entries WHERE action = 'run.started'";
        assert_eq!(store.test_count(kept).await, 4, "the audit log is kept");
    }
}
