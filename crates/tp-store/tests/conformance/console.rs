//! The acts of the machine's own shell.

use tp_domain::access::Role;

use crate::util::{new_tenant, user, worlds};

#[tokio::test]
async fn the_console_refuses_what_is_taken() {
    for world in worlds().await {
        let console = world.store().console();
        assert_eq!(
            console.workspaces().await.unwrap(),
            [(world.workspace, "Example MSP".to_owned())]
        );
        let double = tp_store::NewUser {
            email: "OWNER@example.com".to_owned(),
            name: "Twin".to_owned(),
            password_hash: "x".to_owned(),
            role: Role::Reader,
        };
        assert!(console.user_create(world.workspace, double).await.is_err(), "{}", world.db.name());
        assert!(console.tenant_create(world.workspace, new_tenant("contoso", 9)).await.is_err());
        assert!(console.tenant_create(world.workspace, new_tenant("other", 1)).await.is_err());
        let fresh = user(world.store(), world.workspace, "new@example.com", Role::Auditor).await;
        console.member_set(world.workspace, None, fresh, Role::Reader).await.unwrap();
        assert!(console.password_set("new@example.com", "y".to_owned()).await.unwrap());
        assert!(!console.password_set("nobody@example.com", "y".to_owned()).await.unwrap());
    }
}

#[tokio::test]
async fn a_run_of_the_product_itself_tells_nobody() {
    for world in worlds().await {
        let console = world.store().console();
        let request = tp_domain::inventory_sync::SyncInventory::everything();
        let started = console.run_start(world.workspace, world.contoso, &request).await.unwrap();
        assert!(matches!(&started, tp_store::Started::Created(run) if run.initiator.is_none()));
        let again = console.run_start(world.workspace, world.contoso, &request).await.unwrap();
        assert!(matches!(again, tp_store::Started::Reused(_)), "{}", world.db.name());
        assert_eq!(world.store().test_count("SELECT count(*) AS n FROM notifications").await, 0);
    }
}
