//! The doors: who gets in where, and what nobody sees.

use tp_domain::access::{
    Capability, ManageTenant, Role, StartInventorySync, ViewPolicies, ViewTenant,
};
use tp_domain::inventory_sync::SyncInventory;
use tp_store::Refused;

use crate::util::{at, new_tenant, worlds};

#[tokio::test]
async fn a_door_opens_for_members_with_the_capability() {
    for world in worlds().await {
        let store = world.store();
        let by_slug = store.enter::<ViewTenant>(&world.reader, &at("contoso")).await.unwrap();
        assert_eq!(by_slug.role(), Role::Reader);
        assert!(!by_slug.may(Capability::InventorySync));
        let by_id = at(&world.contoso.to_string());
        let by_id = store.enter::<ViewTenant>(&world.reader, &by_id).await.unwrap();
        assert_eq!(by_id.tenant().slug.as_str(), "contoso");
        let denied = store.enter::<StartInventorySync>(&world.reader, &at("contoso")).await;
        assert!(matches!(denied, Err(Refused::Forbidden(Capability::InventorySync))));
        let denied = store.enter::<ManageTenant>(&world.operator, &at("contoso")).await;
        assert!(matches!(denied, Err(Refused::Forbidden(Capability::TenantManage))));
    }
}

#[tokio::test]
async fn what_is_not_yours_is_not_there() {
    for world in worlds().await {
        let store = world.store();
        for name in ["contoso".to_owned(), world.contoso.to_string(), "no-such".to_owned()] {
            let result = store.enter::<ViewPolicies>(&world.guest, &at(&name)).await;
            assert!(matches!(result, Err(Refused::NotFound)), "{name} on {}", world.db.name());
        }
        let own = store.enter::<StartInventorySync>(&world.guest, &at("fabrikam")).await.unwrap();
        assert_eq!(own.role(), Role::Manager, "the tenant's own role");
        let other = own.also_in::<ViewPolicies>(world.contoso).await;
        assert!(matches!(other, Err(Refused::NotFound)), "{}", world.db.name());
        let same = own.also_in::<ViewPolicies>(world.fabrikam).await.unwrap();
        assert_eq!(same.tenant().id, world.fabrikam, "{}", world.db.name());
        let fleet =
            store.enter_fleet::<ViewTenant>(&world.guest).unwrap().tenant_list().await.unwrap();
        assert_eq!(fleet.len(), 1);
        assert_eq!(fleet[0].0.id, world.fabrikam);
        assert_eq!(
            store
                .enter_fleet::<ViewTenant>(&world.owner)
                .unwrap()
                .tenant_list()
                .await
                .unwrap()
                .len(),
            2
        );
    }
}

#[tokio::test]
async fn summaries_count_what_is_there() {
    for world in worlds().await {
        world.start("contoso", SyncInventory::everything()).await;
        let fleet = world
            .store()
            .enter_fleet::<ViewTenant>(&world.owner)
            .unwrap()
            .tenant_summaries()
            .await
            .unwrap();
        let contoso = fleet.iter().find(|line| line.tenant.id == world.contoso).unwrap();
        assert_eq!((contoso.active_runs, contoso.failed_runs, contoso.policies), (1, 0, 0));
        assert_eq!(contoso.synced_at, None);
    }
}

#[tokio::test]
async fn a_tenant_is_added_by_those_who_may() {
    for world in worlds().await {
        let store = world.store();
        let denied = store.tenant_add(&world.operator, new_tenant("third", 3)).await;
        assert!(matches!(denied, Err(Refused::Forbidden(Capability::TenantManage))));
        assert!(matches!(
            store.tenant_add(&world.guest, new_tenant("third", 3)).await,
            Err(Refused::NotFound)
        ));
        assert!(store.workspace_may(&world.owner, Capability::TenantManage).await.unwrap());
        assert!(!store.workspace_may(&world.reader, Capability::TenantManage).await.unwrap());
        store.tenant_add(&world.owner, new_tenant("third", 3)).await.unwrap().unwrap();
        let again = store.tenant_add(&world.owner, new_tenant("third", 4)).await.unwrap();
        assert!(again.unwrap_err().to_string().contains("slug"), "{}", world.db.name());
        let secret =
            "SELECT count(*) AS n FROM tenant_credentials WHERE credential_sealed LIKE '%s3cret%'";
        assert_eq!(store.test_count(secret).await, 0);
    }
}

#[tokio::test]
async fn a_disabled_tenant_starts_nothing() {
    for world in worlds().await {
        let disable = "UPDATE tenants SET status = 'disabled' WHERE slug = 'contoso'";
        world.store().test_execute(disable).await.unwrap();
        let scope = world.sync_scope("contoso").await;
        let refused =
            scope.run_start(&SyncInventory::everything(), tp_store::HowStarted::default()).await;
        assert!(matches!(refused, Err(tp_store::StartRefused::TenantDisabled)));
    }
}
