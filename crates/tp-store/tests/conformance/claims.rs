//! Leases, fencing numbers, and how runs end.

use std::time::Duration;

use tp_domain::inventory_sync::SyncInventory;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, RunStatus, Waiting, WaitingReason};
use tp_store::{ClaimRequest, Snooze, StoreError, Swept};

use crate::util::{LEASE, key, request, succeeded, worker, worlds};

#[tokio::test]
async fn a_run_is_claimed_by_one_worker() {
    for world in worlds().await {
        world.start("contoso", SyncInventory::everything()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=8 {
            let store = world.store().clone();
            tasks.spawn(async move {
                !store.claim_many(request(number, 5, 10)).await.unwrap().runs.is_empty()
            });
        }
        let claimed = tasks.join_all().await.into_iter().filter(|got| *got).count();
        assert_eq!(claimed, 1, "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_tenant_gets_no_more_workers_than_its_limit() {
    for world in worlds().await {
        for number in 0..3 {
            let types = vec![key(&format!("type{number}"))];
            world.start("contoso", SyncInventory::of_types(types, true)).await;
        }
        world.start("fabrikam", SyncInventory::everything()).await;
        let claimed = world.claim_many(1, 10, 2).await;
        let mut tenants: Vec<_> =
            claimed.iter().map(|run| run.claimed().tenant().unwrap()).collect();
        tenants.sort();
        assert_eq!(tenants, [world.contoso, world.contoso, world.fabrikam]);
    }
}

#[tokio::test]
async fn an_unknown_kind_is_left_in_the_queue() {
    for world in worlds().await {
        world.start("contoso", SyncInventory::everything()).await;
        let knows_nothing = ClaimRequest { kinds: Vec::new(), ..request(1, 5, 2) };
        assert!(world.store().claim_many(knows_nothing).await.unwrap().runs.is_empty());
        assert_eq!(world.store().upkeep().queue().await.unwrap().ready, 1);
    }
}

#[tokio::test]
async fn a_finished_run_tells_its_initiator_once() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        assert_eq!(claim.attempt(), 1);
        claim.progress().total(0);
        claim.finish(succeeded()).await.unwrap();
        let run = world.runs("contoso").await.run_get(id).await.unwrap().unwrap();
        assert_eq!(run.state.outcome(), Outcome::Succeeded);
        assert!(run.state.started_at().is_some());
        let ended = "SELECT count(*) AS n FROM notifications WHERE moment = 'ended'";
        assert_eq!(world.store().test_count(ended).await, 1);
        assert_eq!(world.store().test_count("SELECT count(*) AS n FROM jobs").await, 0);
    }
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_changes_nothing() {
    for world in worlds().await {
        let sleeper = world.claimed("contoso").await;
        let id = sleeper.id();
        world.db.clock.advance(LEASE + Duration::from_secs(1));
        let swept = world.store().upkeep().sweep(LEASE).await.unwrap();
        assert_eq!(swept, Swept { released: 1, ended: 0 }, "{}", world.db.name());
        let heir = world.claim(2).await.unwrap();
        assert_eq!((heir.id(), heir.attempt()), (id, 2));
        let lost = |result: Result<(), StoreError>| matches!(result, Err(StoreError::LeaseLost));
        sleeper.progress().phase("late");
        let late = vec![(sleeper.claimed(), sleeper.progress().clone())];
        assert_eq!(world.store().upkeep().pulse(worker(1), late).await.unwrap(), []);
        assert!(matches!(sleeper.items_plan(Vec::new()).await, Err(StoreError::LeaseLost)));
        assert!(lost(sleeper.step_begin(&key("roleScopeTag")).await));
        assert!(matches!(sleeper.hold_types(None).await, Err(StoreError::LeaseLost)));
        let held = world
            .store()
            .upkeep()
            .beat(worker(1), 8, LEASE, vec![sleeper.claimed()])
            .await
            .unwrap();
        assert!(held.is_empty(), "an ended lease is not revived");
        assert!(lost(sleeper.finish(succeeded()).await));
        let run = world.runs("contoso").await.run_get(id).await.unwrap().unwrap();
        assert_eq!(run.state.status(), RunStatus::Running);
        assert_eq!(run.phase, None);
        heir.finish(succeeded()).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_whose_workers_die_ends_as_worker_lost() {
    for world in worlds().await {
        let id = world.claimed("contoso").await.id();
        for attempt in 2..=3 {
            world.db.clock.advance(LEASE + Duration::from_secs(1));
            world.store().upkeep().sweep(LEASE).await.unwrap();
            assert_eq!(
                world.claim(attempt).await.unwrap().attempt(),
                u32::try_from(attempt).unwrap()
            );
        }
        world.db.clock.advance(LEASE + Duration::from_secs(1));
        let swept = world.store().upkeep().sweep(LEASE).await.unwrap();
        assert_eq!(swept, Swept { released: 0, ended: 1 });
        let run = world.runs("contoso").await.run_get(id).await.unwrap().unwrap();
        assert_eq!(run.state.outcome(), Outcome::Failed);
        assert_eq!(run.reason, Some(ReasonCode::WorkerLost));
        let ended = "SELECT count(*) AS n FROM notifications WHERE moment = 'ended'";
        assert_eq!(world.store().test_count(ended).await, 1);
    }
}

#[tokio::test]
async fn a_retry_keeps_the_run_running_and_says_until_when() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let wait = Duration::from_secs(10);
        let failed = Some(ReasonCode::GraphUnavailable);
        claim.again(Snooze { waiting: WaitingReason::Retry, wait, failed }).await.unwrap();
        let run = world.runs("contoso").await.run_get(id).await.unwrap().unwrap();
        assert_eq!(run.state.status(), RunStatus::Running);
        assert_eq!(run.waiting.map(|waiting| waiting.reason), Some(WaitingReason::Retry));
        assert_eq!(run.attempt, 1);
        assert!(world.claim(1).await.is_none(), "not before its time");
        world.db.clock.advance(wait);
        let claim = world.claim(1).await.unwrap();
        assert_eq!(claim.attempt(), 2);
        let snooze = Snooze { waiting: WaitingReason::ScopeBusy, wait, failed: None };
        claim.again(snooze).await.unwrap();
        world.db.clock.advance(wait);
        let claim = world.claim(1).await.unwrap();
        assert_eq!(claim.attempt(), 2, "a snooze gives the try back");
        let run = world.runs("contoso").await.run_get(id).await.unwrap().unwrap();
        assert_eq!(run.waiting, None, "a claimed run does not wait");
    }
}

#[tokio::test]
async fn two_runs_never_write_the_same_types_at_once() {
    for world in worlds().await {
        let types = |name: &str| SyncInventory::of_types(vec![key(name)], true);
        world.start("contoso", SyncInventory::everything()).await;
        world.start("contoso", types("roleScopeTag")).await;
        world.start("fabrikam", types("roleScopeTag")).await;
        let all = world.claim(1).await.unwrap();
        let other = world.claim(1).await.unwrap();
        let one = world.claim(1).await.unwrap();
        assert!(all.hold_types(None).await.unwrap());
        assert!(!one.hold_types(Some(&[key("roleScopeTag")])).await.unwrap());
        assert!(other.hold_types(Some(&[key("roleScopeTag")])).await.unwrap(), "another tenant");
        all.finish(succeeded()).await.unwrap();
        assert!(one.hold_types(Some(&[key("roleScopeTag")])).await.unwrap());
    }
}

#[tokio::test]
async fn a_wait_is_said_and_taken_back() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let until = claim.now().plus(Duration::from_secs(12));
        let waiting = Waiting { reason: WaitingReason::Throttled, until };
        claim.progress().waiting(Some(waiting));
        let told = || vec![(claim.claimed(), claim.progress().clone())];
        world.store().upkeep().pulse(worker(1), told()).await.unwrap();
        let get =
            || async { world.runs("contoso").await.run_get(claim.id()).await.unwrap().unwrap() };
        assert_eq!(get().await.waiting, Some(waiting));
        claim.progress().waiting(None);
        world.store().upkeep().pulse(worker(1), told()).await.unwrap();
        assert_eq!(get().await.waiting, None);
    }
}

#[tokio::test]
async fn a_run_that_has_ended_never_changes() {
    for world in worlds().await {
        for way in 0..4 {
            let claim = world.claimed("contoso").await;
            let (id, claimed) = (claim.id(), claim.claimed());
            // As if its job had been left behind: nothing but the run's own status speaks against a write.
            let ended = "UPDATE operation_runs SET status = 'completed', outcome = 'failed', \
                         completed_at = started_at WHERE status = 'running'";
            world.store().test_execute(ended).await.unwrap();
            let before = world.run("contoso", id).await;
            let upkeep = world.store().upkeep();
            match way {
                0 => {
                    let refused = claim.finish(succeeded()).await;
                    assert!(matches!(refused, Err(StoreError::LeaseLost)), "{refused:?}");
                }
                1 => {
                    let wait = Duration::from_secs(9);
                    let waiting = WaitingReason::Retry;
                    claim.again(Snooze { waiting, wait, failed: None }).await.unwrap();
                }
                2 => claim.hand_back().await.unwrap(),
                _ => {
                    claim.progress().add(3, 0, 0);
                    upkeep
                        .pulse(worker(1), vec![(claimed, claim.progress().clone())])
                        .await
                        .unwrap();
                }
            }
            assert_eq!(world.run("contoso", id).await, before, "{} {way}", world.db.name());
            world.store().test_execute("DELETE FROM jobs").await.unwrap();
        }
    }
}
