//! What is the workspace's own: settings, runs, the switch of the queued notification.

use tp_domain::access::{CancelOperations, ManageSettings, StartRunsPrune, ViewOperations};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::runs_prune::{PruneRuns, Retention};
use tp_store::{Cancel, HowStarted, ItemFilter, MOST_RUNNING, WorkspaceSettings};

use crate::util::worlds;

#[tokio::test]
async fn a_run_of_the_workspace_is_started_seen_and_canceled() {
    for world in worlds().await {
        let scope = world.whole::<StartRunsPrune>().await;
        let first = scope.run_start(&PruneRuns, HowStarted::default()).await.unwrap();
        let again = scope.run_start(&PruneRuns, HowStarted::default()).await.unwrap();
        let id = first.run().id;
        assert_eq!(again.run().id, id, "{}", world.db.name());
        let none = ItemFilter { limit: 1, ..ItemFilter::default() };
        assert!(scope.run_items(id, none).await.unwrap().is_empty());
        let seen = world.whole::<ViewOperations>().await;
        assert!(seen.run_get(id).await.unwrap().is_some());
        assert!(world.runs("contoso").await.run_get(id).await.unwrap().is_none());
        let canceled = world.whole::<CancelOperations>().await.run_cancel(id, None).await.unwrap();
        assert_eq!(canceled, Some(Cancel::Ended));
    }
}

#[tokio::test]
async fn settings_have_bounds() {
    for world in worlds().await {
        let whole = world.whole::<ManageSettings>().await;
        assert_eq!(whole.settings().await.unwrap().retention, Retention::USUAL);
        let retention = Retention::days(30).unwrap();
        for (asked, kept) in [(0, 1), (u32::MAX, MOST_RUNNING), (12, 12)] {
            whole.settings_set(WorkspaceSettings { retention, max_running: asked }).await.unwrap();
            let settings = whole.settings().await.unwrap();
            assert_eq!((settings.retention, settings.max_running), (retention, kept));
        }
    }
}

#[tokio::test]
async fn the_queued_notification_can_be_switched_off() {
    for world in worlds().await {
        let hall = world.store().hall();
        assert!(hall.notify_queued(&world.operator).await.unwrap());
        hall.notify_queued_set(&world.operator, false).await.unwrap();
        assert!(!hall.notify_queued(&world.operator).await.unwrap(), "{}", world.db.name());
        world.start("contoso", SyncInventory::everything()).await;
        let told = "SELECT count(*) AS n FROM notifications";
        assert_eq!(world.store().test_count(told).await, 0);
        world.claim(1).await.unwrap().finish(crate::util::succeeded()).await.unwrap();
        assert_eq!(world.store().test_count(told).await, 1, "the end is always told");
    }
}
