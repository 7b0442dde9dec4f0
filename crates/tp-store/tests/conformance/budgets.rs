//! The Graph budget that all workers share.

use std::time::Duration;

use tp_domain::budget::{Borrowed, BudgetKey, BudgetRate, BudgetUse};
use tp_domain::operation::Lane;
use uuid::Uuid;

use crate::util::worlds;

const RATE: BudgetRate = BudgetRate { requests: 1_000, window: Duration::from_secs(20) };

fn key(uses: BudgetUse) -> BudgetKey {
    BudgetKey {
        app: "app".to_owned(),
        entra_tenant_id: Uuid::from_u128(7),
        service: "intune-default",
        uses,
    }
}

#[tokio::test]
async fn many_workers_never_take_more_than_the_bucket_holds() {
    for world in worlds().await {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = world.store().clone();
            tasks.spawn(async move {
                let mut granted = 0;
                for _ in 0..10 {
                    let asked =
                        store.budget_borrow(key(BudgetUse::Read), RATE, 3, Lane::Interactive);
                    if let Borrowed::Granted(count) = asked.await.unwrap() {
                        granted += count;
                    }
                }
                granted
            });
        }
        let granted: u32 = tasks.join_all().await.into_iter().sum();
        assert_eq!(
            granted,
            99,
            "the clock stands still: whole lots of three out of a tenth of the window, on {}",
            world.db.name()
        );
        let writes = world.store().budget_borrow(key(BudgetUse::Write), RATE, 1, Lane::Sync).await;
        assert_eq!(writes, Ok(Borrowed::Granted(1)), "writes have a bucket of their own");
        world.db.clock.advance(Duration::from_secs(1));
        let borrow =
            |lot| world.store().budget_borrow(key(BudgetUse::Read), RATE, lot, Lane::Interactive);
        assert!(matches!(borrow(90).await, Ok(Borrowed::Wait(_))), "a whole lot or none");
        assert_eq!(borrow(50).await, Ok(Borrowed::Granted(50)));
    }
}

#[tokio::test]
async fn a_told_wait_holds_for_all_and_is_never_shortened() {
    for world in worlds().await {
        let store = world.store();
        let until = store.now().plus(Duration::from_secs(45));
        store.budget_hold(key(BudgetUse::Read), until).await.unwrap();
        let sooner = store.now().plus(Duration::from_secs(5));
        store.budget_hold(key(BudgetUse::Read), sooner).await.unwrap();
        let asked = || store.budget_borrow(key(BudgetUse::Read), RATE, 1, Lane::Interactive);
        assert_eq!(asked().await, Ok(Borrowed::Wait(until)), "{}", world.db.name());
        world.db.clock.advance(Duration::from_secs(45));
        assert!(matches!(asked().await, Ok(Borrowed::Granted(1))));
    }
}
