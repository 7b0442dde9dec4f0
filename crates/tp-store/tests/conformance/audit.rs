//! Audit rows are written once; the application's role cannot change them.

use tp_domain::inventory_sync::SyncInventory;

use crate::util::worlds;

#[tokio::test]
async fn audit_rows_refuse_change() {
    for world in worlds().await {
        world.start("contoso", SyncInventory::everything()).await;
        let store = world.store();
        let count = "SELECT count(*) AS n FROM audit_entries";
        let before = store.test_count(count).await;
        assert!(before > 0);
        assert!(store.test_execute("UPDATE audit_entries SET actor_name = 'x'").await.is_err());
        assert!(
            store.test_execute("DELETE FROM audit_entries").await.is_err(),
            "{}",
            world.db.name()
        );
        assert_eq!(store.test_count(count).await, before);
    }
}
