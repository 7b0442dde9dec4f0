//! The initiator is told, and nobody else.

use tp_domain::inventory_sync::SyncInventory;

use crate::util::{succeeded, worlds};

#[tokio::test]
async fn the_initiator_is_told_twice_and_nobody_else() {
    for world in worlds().await {
        world.start("contoso", SyncInventory::everything()).await;
        world.claim(1).await.unwrap().finish(succeeded()).await.unwrap();
        let hall = world.store().hall();
        assert_eq!(
            hall.notification_count(&world.operator).await.unwrap(),
            2,
            "{}",
            world.db.name()
        );
        for other in [&world.owner, &world.reader, &world.guest] {
            assert_eq!(hall.notification_count(other).await.unwrap(), 0);
        }
        let list = hall.notification_list(&world.operator, false, 50).await.unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.iter().any(|note| note.sentence() == "Inventory sync succeeded"));
        assert_eq!(list[0].tenant_slug.as_deref(), Some("contoso"));
        assert!(!hall.notification_read(&world.reader, list[0].id).await.unwrap(), "not theirs");
        assert!(hall.notification_read(&world.operator, list[0].id).await.unwrap());
        assert!(!hall.notification_read(&world.operator, list[0].id).await.unwrap());
        assert_eq!(hall.notification_list(&world.operator, true, 50).await.unwrap().len(), 1);
        assert_eq!(hall.notification_read_all(&world.operator).await.unwrap(), 1);
        assert_eq!(hall.notification_count(&world.operator).await.unwrap(), 0);
    }
}
