//! Whose turn it is: lanes, scopes, limits (PRODUCT R-12).

use std::collections::HashSet;

use tp_domain::access::{ManageSettings, StartRunsPrune};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::OperationKind;
use tp_domain::runs_prune::{PruneRuns, Retention};
use tp_store::{ClaimRequest, HowStarted, WorkspaceSettings};

use crate::util::{World, key, request, succeeded, tenant, worlds};

async fn flood(world: &World, slug: &str, count: u32) {
    for number in 0..count {
        let types = vec![key(&format!("type{number}"))];
        world.start(slug, SyncInventory::of_types(types, true)).await;
    }
}

#[tokio::test]
async fn a_small_tenant_does_not_wait_behind_a_large_one() {
    for world in worlds().await {
        flood(&world, "contoso", 30).await;
        flood(&world, "fabrikam", 2).await;
        let mut order = Vec::new();
        for _ in 0..4 {
            let claim = world.claim(1).await.unwrap();
            order.push(claim.claimed().tenant().unwrap());
            claim.finish(succeeded()).await.unwrap();
        }
        let small = order.iter().filter(|tenant| **tenant == world.fabrikam).count();
        assert_eq!(small, 2, "{} {order:?}", world.db.name());
    }
}

#[tokio::test]
async fn a_claim_of_many_is_shared_between_scopes() {
    for world in worlds().await {
        for number in 0..6 {
            tenant(world.store(), world.workspace, &format!("small{number}"), 100 + number).await;
        }
        flood(&world, "contoso", 40).await;
        for number in 0..6 {
            flood(&world, &format!("small{number}"), 1).await;
        }
        let claims = world.claim_many(1, 14, 40).await;
        let tenants: HashSet<_> = claims.iter().map(|run| run.claimed().tenant()).collect();
        assert_eq!((claims.len(), tenants.len()), (14, 7), "{}", world.db.name());
    }
}

#[tokio::test]
async fn the_urgent_lane_goes_first() {
    for world in worlds().await {
        let prune = world.whole::<StartRunsPrune>().await;
        prune.run_start(&PruneRuns, HowStarted::default()).await.unwrap();
        world.db.clock.advance(std::time::Duration::from_secs(5));
        flood(&world, "contoso", 1).await;
        let first = world.claim_any(1).await.unwrap();
        assert_eq!(first.kind(), OperationKind::InventorySync, "{}", world.db.name());
        assert_eq!(world.claim_any(1).await.unwrap().kind(), OperationKind::RunsPrune);
    }
}

#[tokio::test]
async fn the_limits_hold_whoever_claims() {
    for world in worlds().await {
        flood(&world, "contoso", 12).await;
        flood(&world, "fabrikam", 12).await;
        world.store().discover().await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=8 {
            let store = world.store().clone();
            tasks.spawn(async move {
                let mut taken = 0;
                for _ in 0..20 {
                    taken += store.claim_many(request(number, 3, 2)).await.unwrap().runs.len();
                }
                taken
            });
        }
        let taken: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(taken, 4, "two of each tenant, on {}", world.db.name());
        let whole = world.whole::<ManageSettings>().await;
        let retention = Retention::USUAL;
        whole.settings_set(WorkspaceSettings { retention, max_running: 5 }).await.unwrap();
        assert_eq!(world.claim_many(9, 20, 10).await.len(), 1, "five of the workspace");
    }
}

#[tokio::test]
async fn a_scope_at_its_limit_hides_nobody() {
    for world in worlds().await {
        flood(&world, "contoso", 200).await;
        assert_eq!(world.claim_many(1, 2, 2).await.len(), 2);
        assert!(world.claim_many(1, 5, 2).await.is_empty());
        flood(&world, "fabrikam", 1).await;
        let claim = world.claim_many(1, 5, 2).await;
        assert_eq!(claim.len(), 1, "{}", world.db.name());
        assert_eq!(claim[0].claimed().tenant(), Some(world.fabrikam));
    }
}

#[tokio::test]
async fn work_that_is_due_does_not_hang_on_a_clock_that_is_set_back() {
    for world in worlds().await {
        world.db.clock.advance(std::time::Duration::from_hours(2));
        flood(&world, "contoso", 1).await;
        assert!(world.claim_many(1, 1, 1).await.len() == 1, "{}", world.db.name());
        flood(&world, "fabrikam", 1).await;
        world.db.clock.set_back(std::time::Duration::from_hours(2));
        let claim = world.claim_many(1, 5, 5).await;
        assert_eq!(claim.len(), 1, "queued two hours ahead, and due all the same");
        // The lease of the first ends two hours ahead; nobody prolongs it. The sweep brings it near.
        let lease = crate::util::LEASE;
        world.store().upkeep().sweep(lease).await.unwrap();
        world.db.clock.advance(lease * 2);
        let swept = world.store().upkeep().sweep(lease).await.unwrap();
        assert_eq!(swept.released, 2);
    }
}

#[tokio::test]
async fn a_kind_that_is_not_known_here_hides_nobody() {
    for world in worlds().await {
        flood(&world, "contoso", 2).await;
        let unknown = "UPDATE jobs SET kind = 'gone.kind' WHERE run_id = (SELECT run_id FROM jobs ORDER BY run_at, run_id LIMIT 1)";
        world.store().test_execute(unknown).await.unwrap();
        world.store().discover().await.unwrap();
        let all = ClaimRequest { kinds: OperationKind::ALL.to_vec(), ..request(1, 5, 5) };
        assert_eq!(world.store().claim_many(all).await.unwrap().runs.len(), 1);
        assert_eq!(world.store().upkeep().queue().await.unwrap().ready, 1, "{}", world.db.name());
    }
}

#[tokio::test]
async fn what_was_claimed_long_ago_still_counts_against_the_limit() {
    for world in worlds().await {
        flood(&world, "contoso", 6).await;
        let first = world.claim_many(1, 1, 2).await;
        assert_eq!(first.len(), 1);
        // Each look moves the mark from which leases are counted; this one lies behind it.
        for _ in 0..3 {
            world.db.clock.advance(std::time::Duration::from_secs(5));
            world.store().discover().await.unwrap();
        }
        let second = world.claim_many(2, 5, 2).await;
        assert_eq!(second.len(), 1, "{}: one of two is taken", world.db.name());
        assert!(world.claim_many(3, 5, 2).await.is_empty(), "{}", world.db.name());
        for run in first {
            run.finish(succeeded()).await.unwrap();
        }
        assert_eq!(
            world.claim_many(3, 5, 2).await.len(),
            1,
            "{}: its place is free",
            world.db.name()
        );
    }
}
