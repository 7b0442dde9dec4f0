//! Cancel, retry, release: what people do with a run that is there.

use std::time::Duration;

use tp_domain::access::{CancelOperations, ManageSettings, StartInventorySync};
use tp_domain::completeness::Completeness;
use tp_domain::ids::ScopeId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::{ItemEnd, ItemState, ItemSubject};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, RunStatus, WaitingReason};
use tp_store::{
    Cancel, Ended, HowStarted, ItemFilter, RetryOnly, Snooze, StartRefused, Started, StoreError,
    TypeEnd,
};

use crate::util::{key, succeeded, worker, worlds};

const AUDITED: &str =
    "SELECT count(*) AS n FROM audit_entries WHERE action = 'run.cancel_requested'";

#[tokio::test]
async fn a_queued_run_is_canceled_at_once_and_never_runs() {
    for world in worlds().await {
        let id = world.start("contoso", SyncInventory::everything()).await.run().id;
        let scope = world.scope::<CancelOperations>("contoso").await;
        assert_eq!(scope.run_cancel(id, None).await.unwrap(), Some(Cancel::Ended));
        let run = world.run("contoso", id).await;
        assert_eq!(run.state.outcome(), Outcome::Canceled, "{}", world.db.name());
        assert_eq!(run.state.started_at(), None);
        assert!(world.claim(1).await.is_none());
        assert_eq!(scope.run_cancel(id, None).await.unwrap(), Some(Cancel::TooLate));
        assert_eq!(world.store().test_count(AUDITED).await, 1, "what changed nothing is no entry");
        let told = "SELECT count(*) AS n FROM notifications WHERE moment = 'ended'";
        assert_eq!(world.store().test_count(told).await, 1);
        let elsewhere = world.scope::<CancelOperations>("fabrikam").await;
        assert_eq!(elsewhere.run_cancel(id, None).await.unwrap(), None, "another tenant's run");
    }
}

#[tokio::test]
async fn a_running_run_is_asked_and_a_lost_one_is_not_tried_again() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let scope = world.scope::<CancelOperations>("contoso").await;
        let upkeep = world.store().upkeep();
        assert!(upkeep.pulse(worker(1), Vec::new()).await.unwrap().is_empty());
        assert_eq!(scope.run_cancel(id, None).await.unwrap(), Some(Cancel::Asked));
        assert_eq!(scope.run_cancel(id, None).await.unwrap(), Some(Cancel::AskedBefore));
        let heard = upkeep.pulse(worker(1), Vec::new()).await.unwrap();
        assert_eq!(heard, [claim.claimed().lease()], "{}", world.db.name());
        // The worker dies before it stops: cancelled beats another try.
        world.db.clock.advance(Duration::from_secs(31));
        upkeep.sweep(crate::util::LEASE).await.unwrap();
        let run = world.run("contoso", id).await;
        assert_eq!((run.state.outcome(), run.reason), (Outcome::Canceled, None));
        assert!(matches!(claim.finish(succeeded()).await, Err(StoreError::LeaseLost)));
    }
}

#[tokio::test]
async fn a_run_that_waits_for_its_next_try_is_canceled_at_once() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let failed = Some(ReasonCode::GraphUnavailable);
        let wait = Duration::from_mins(5);
        claim.again(Snooze { waiting: WaitingReason::Retry, wait, failed }).await.unwrap();
        let scope = world.scope::<CancelOperations>("contoso").await;
        assert_eq!(scope.run_cancel(id, None).await.unwrap(), Some(Cancel::Ended));
        let run = world.run("contoso", id).await;
        assert_eq!(run.state.outcome(), Outcome::Canceled, "{}", world.db.name());
        assert!(run.state.started_at().is_some());
    }
}

#[tokio::test]
async fn cancel_and_claim_at_once_end_in_one_of_two_ways() {
    for world in worlds().await {
        for number in 0..20_u128 {
            let id = world.start("contoso", SyncInventory::everything()).await.run().id;
            let scope = world.scope::<CancelOperations>("contoso").await;
            let (canceled, claim) =
                tokio::join!(scope.run_cancel(id, None), world.claim(number + 1));
            match (canceled.unwrap().unwrap(), claim) {
                (Cancel::Ended, None) => {}
                (Cancel::Asked, Some(claim)) => {
                    let ended = Ended { outcome: Outcome::Canceled, ..succeeded() };
                    claim.finish(ended).await.unwrap();
                }
                (answer, claim) => panic!("{answer:?} and claimed: {}", claim.is_some()),
            }
            let run = world.run("contoso", id).await;
            assert_eq!(run.state.outcome(), Outcome::Canceled, "{}", world.db.name());
        }
    }
}

#[tokio::test]
async fn only_what_failed_is_tried_again() {
    for world in worlds().await {
        let types = vec![key("roleScopeTag"), key("deviceConfiguration")];
        world.start("contoso", SyncInventory::of_types(types.clone(), true)).await;
        let claim = world.claim(1).await.unwrap();
        let id = claim.id();
        let scope = world.scope::<StartInventorySync>("contoso").await;
        let retry = |only| scope.run_retry(id, only, HowStarted::default());
        let early = retry(RetryOnly::All).await;
        assert!(matches!(early, Err(StartRefused::NothingToRetry(_))), "it has not ended");
        claim.steps_plan(&types).await.unwrap();
        let end = |completeness| TypeEnd { completeness, listed: 0, digest: String::new() };
        claim.type_end(&types[0], end(Completeness::Complete)).await.unwrap();
        let failed = Completeness::Failed(ReasonCode::GraphUnavailable);
        claim.type_end(&types[1], end(failed)).await.unwrap();
        claim.finish(Ended { outcome: Outcome::Failed, ..succeeded() }).await.unwrap();
        let first = retry(RetryOnly::Failed).await.unwrap();
        let second = retry(RetryOnly::Failed).await.unwrap();
        assert!(matches!(second, Started::Reused(_)), "a double click is one retry");
        let run = first.run();
        assert_eq!(run.retry_of, Some(id), "{}", world.db.name());
        assert_eq!(run.trigger, tp_domain::actor::Trigger::Retry);
        assert_eq!(run.inputs["types"], serde_json::json!(["deviceConfiguration"]));
        let other = world.scope::<StartInventorySync>("fabrikam").await;
        let foreign = other.run_retry(id, RetryOnly::All, HowStarted::default()).await;
        assert!(matches!(foreign, Err(StartRefused::NothingToRetry(_))), "another tenant's run");
    }
}

#[tokio::test]
async fn a_retry_takes_over_the_failed_items() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let subject = |number: u32| ItemSubject {
            key: number.to_string(),
            policy_type: None,
            graph_id: None,
            name: Some(format!("Item {number}")),
        };
        claim.items_plan((0..4).map(subject).collect()).await.unwrap();
        for number in 0..4 {
            let end = if number == 2 {
                ItemEnd::Failed { reason: ReasonCode::GraphRefused, graph_request_id: None }
            } else {
                ItemEnd::Succeeded
            };
            claim.item_end(&number.to_string(), end).await.unwrap();
        }
        claim.finish(Ended { outcome: Outcome::PartiallySucceeded, ..succeeded() }).await.unwrap();
        let scope = world.scope::<StartInventorySync>("contoso").await;
        let again = scope.run_retry(id, RetryOnly::Failed, HowStarted::default()).await.unwrap();
        let all = ItemFilter { limit: 100, ..ItemFilter::default() };
        let items = scope.run_items(again.run().id, all).await.unwrap();
        let keys: Vec<_> =
            items.iter().map(|item| (item.subject.key.as_str(), item.state)).collect();
        assert_eq!(keys, [("2", ItemState::Pending)], "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_stuck_run_is_released_by_hand() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let whole = world.whole::<ManageSettings>().await;
        let place = ScopeId::Tenant(world.contoso);
        let elsewhere = ScopeId::Tenant(world.fabrikam);
        assert!(!whole.run_release(elsewhere, id, None).await.unwrap(), "not a run of that tenant");
        assert!(whole.run_release(place, id, None).await.unwrap());
        let heir = world.claim(2).await.unwrap();
        assert_eq!((heir.id(), heir.attempt()), (id, 1), "{}", world.db.name());
        assert!(matches!(claim.item_begin("x").await, Err(StoreError::LeaseLost)));
        heir.finish(succeeded()).await.unwrap();
        assert!(!whole.run_release(place, id, None).await.unwrap(), "it has ended");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'run.released'";
        assert_eq!(world.store().test_count(audited).await, 1);
        assert_eq!(world.run("contoso", id).await.state.status(), RunStatus::Completed);
    }
}

#[tokio::test]
async fn a_success_of_a_retry_makes_good_what_failed() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let first = claim.id();
        claim.finish(Ended { outcome: Outcome::Failed, ..succeeded() }).await.unwrap();
        let scope = world.scope::<StartInventorySync>("contoso").await;
        let attention = "SELECT count(*) AS n FROM run_attention";
        let again = async |of, outcome| {
            let how = HowStarted::default();
            let id = scope.run_retry(of, RetryOnly::All, how).await.unwrap().run().id;
            let claim = world.claim(1).await.unwrap();
            assert_eq!(claim.id(), id);
            claim.finish(Ended { outcome, ..succeeded() }).await.unwrap();
            id
        };
        let second = again(first, Outcome::Failed).await;
        assert_eq!(world.store().test_count(attention).await, 2, "{}", world.db.name());
        let third = again(second, Outcome::Succeeded).await;
        assert_eq!(world.store().test_count(attention).await, 0, "a retry of a retry");
        let runs = world.runs("contoso").await;
        let third = runs.run_get(third).await.unwrap().unwrap();
        let same = runs.run_history(&third, 10).await.unwrap();
        let ids: Vec<_> = same.iter().map(|run| run.id).collect();
        assert_eq!(ids, [second, first], "one history");
    }
}

#[tokio::test]
async fn a_retry_of_failed_items_plans_no_others() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let subjects: Vec<ItemSubject> = (0..4)
            .map(|number| ItemSubject {
                key: number.to_string(),
                policy_type: None,
                graph_id: None,
                name: None,
            })
            .collect();
        claim.items_plan(subjects.clone()).await.unwrap();
        let reason = ReasonCode::GraphRefused;
        for number in 0..4 {
            let failed = ItemEnd::Failed { reason, graph_request_id: None };
            let end = if number == 2 { failed } else { ItemEnd::Succeeded };
            claim.item_end(&number.to_string(), end).await.unwrap();
        }
        claim.finish(Ended { outcome: Outcome::PartiallySucceeded, ..succeeded() }).await.unwrap();
        let failures = world.run("contoso", id).await.failures;
        assert_eq!((failures[0].code, failures[0].count), (reason, 1), "counted from the items");
        let scope = world.scope::<StartInventorySync>("contoso").await;
        scope.run_retry(id, RetryOnly::Failed, HowStarted::default()).await.unwrap();
        let claim = world.claim(1).await.unwrap();
        let items = claim.items_plan(subjects).await.unwrap();
        let keys: Vec<_> = items.iter().map(|item| item.subject.key.as_str()).collect();
        assert_eq!(keys, ["2"], "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_cancel_that_was_asked_for_beats_the_next_try() {
    for world in worlds().await {
        for way in 0..4 {
            let claim = world.claimed("contoso").await;
            let id = claim.id();
            let scope = world.scope::<CancelOperations>("contoso").await;
            assert_eq!(scope.run_cancel(id, None).await.unwrap(), Some(Cancel::Asked));
            let wait = Duration::from_mins(5);
            let failed = Some(ReasonCode::GraphUnavailable);
            let snooze = Snooze { waiting: WaitingReason::Retry, wait, failed };
            match way {
                0 => claim.again(snooze).await.unwrap(),
                1 => claim.hand_back().await.unwrap(),
                2 => {
                    world.store().upkeep().release(worker(1)).await.unwrap();
                }
                _ => {
                    let whole = world.whole::<ManageSettings>().await;
                    let place = ScopeId::Tenant(world.contoso);
                    assert!(whole.run_release(place, id, None).await.unwrap());
                }
            }
            let run = world.run("contoso", id).await;
            assert_eq!(run.state.outcome(), Outcome::Canceled, "{} {way}", world.db.name());
            assert!(world.claim(2).await.is_none());
        }
    }
}
