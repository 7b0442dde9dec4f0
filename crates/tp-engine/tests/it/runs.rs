//! How runs end.

use std::time::Duration;

use tp_domain::gate::GateKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, RunStatus, WaitingReason};
use tp_store::NewGate;

use crate::planned::{Plan, worlds};

#[tokio::test]
async fn the_outcome_follows_from_what_was_done() {
    use ReasonCode as R;
    let cases = [
        (Plan::Succeed(3), Outcome::Succeeded, None, 3),
        (Plan::Succeed(0), Outcome::Succeeded, None, 0),
        (
            Plan::Partly(2, R::PermissionMissing),
            Outcome::PartiallySucceeded,
            Some(R::PermissionMissing),
            2,
        ),
        (Plan::Partly(0, R::GraphRefused), Outcome::Failed, Some(R::GraphRefused), 0),
        (Plan::Fail(R::CredentialExpired), Outcome::Failed, Some(R::CredentialExpired), 0),
        (Plan::Panic, Outcome::Failed, Some(R::InternalError), 0),
    ];
    for (plan, outcome, reason, succeeded) in cases {
        for world in worlds().await {
            let id = world.start().await;
            assert_eq!(world.worker(1, [plan.clone()]).work_queue().await, 1);
            let run = world.run(id).await;
            let what = format!("{plan:?} on {}", world.db.name());
            assert_eq!(run.state.outcome(), outcome, "{what}");
            assert_eq!(run.reason, reason, "{what}");
            assert_eq!(run.counts.succeeded, succeeded, "{what}");
            assert_eq!(run.context.get("secret"), None, "only listed keys are kept");
        }
    }
}

#[tokio::test]
async fn a_passing_trouble_is_tried_again_and_then_succeeds() {
    for world in worlds().await {
        let id = world.start().await;
        let trouble = ReasonCode::GraphUnavailable;
        let worker = world.worker(1, [Plan::Fail(trouble), Plan::Fail(trouble), Plan::Succeed(1)]);
        assert_eq!(worker.work_queue().await, 1);
        let run = world.run(id).await;
        assert_eq!(run.state.status(), RunStatus::Running);
        assert_eq!(run.waiting.map(|waiting| waiting.reason), Some(WaitingReason::Retry));
        assert_eq!(worker.work_queue().await, 0, "not before its time");
        world.db.clock.advance(Duration::from_secs(5));
        assert_eq!(worker.work_queue().await, 1);
        world.db.clock.advance(Duration::from_secs(15));
        assert_eq!(worker.work_queue().await, 1);
        let run = world.run(id).await;
        assert_eq!((run.state.outcome(), run.attempt), (Outcome::Succeeded, 3));
        assert_eq!(run.reason, None, "the trouble of an earlier try is not the run's reason");
    }
}

#[tokio::test]
async fn tries_run_out() {
    for world in worlds().await {
        let id = world.start().await;
        let worker = world.worker(1, vec![Plan::Fail(ReasonCode::GraphUnavailable); 3]);
        for _ in 0..3 {
            worker.work_queue().await;
            world.db.clock.advance(Duration::from_mins(10));
        }
        let run = world.run(id).await;
        assert_eq!(run.state.outcome(), Outcome::Failed, "{}", world.db.name());
        assert_eq!(run.reason, Some(ReasonCode::GraphUnavailable));
    }
}

#[tokio::test]
async fn a_busy_scope_costs_no_try() {
    for world in worlds().await {
        let id = world.start().await;
        let worker =
            world.worker(1, [Plan::Busy, Plan::Busy, Plan::Busy, Plan::Busy, Plan::Succeed(1)]);
        for _ in 0..5 {
            assert_eq!(worker.work_queue().await, 1);
            world.db.clock.advance(Duration::from_secs(2));
        }
        let run = world.run(id).await;
        assert_eq!(
            (run.state.outcome(), run.attempt),
            (Outcome::Succeeded, 1),
            "{}",
            world.db.name()
        );
    }
}

#[tokio::test]
async fn what_may_not_begin_ends_as_blocked() {
    for world in worlds().await {
        let id = world.start().await;
        let close = NewGate { kind: GateKind::All, note: "Freeze".to_owned(), expires_at: None };
        let console = world.db.store.console();
        console.gate_close_everywhere(close).await.unwrap();
        // No plan is taken: the operation is never called.
        assert_eq!(world.worker(1, []).work_queue().await, 1);
        let run = world.run(id).await;
        assert_eq!(run.state.outcome(), Outcome::Blocked, "{}", world.db.name());
        assert_eq!(run.reason, Some(ReasonCode::GateClosed));
        let blocked = "SELECT count(*) AS n FROM audit_entries WHERE action = 'run.blocked'";
        assert_eq!(world.db.store.test_count(blocked).await, 1, "a refusal is audited");
        let told = "SELECT count(*) AS n FROM notifications WHERE outcome = 'blocked'";
        assert_eq!(world.db.store.test_count(told).await, 1);
        console.gate_open_everywhere(GateKind::All).await.unwrap();
        let id = world.start().await;
        world.worker(1, [Plan::AskFirst]).work_queue().await;
        assert_eq!(world.run(id).await.state.outcome(), Outcome::Succeeded);
    }
}

#[tokio::test]
async fn a_run_that_was_canceled_while_it_waited_is_not_worked_on() {
    for world in worlds().await {
        let id = world.start().await;
        let worker = world.worker(1, [Plan::Fail(ReasonCode::GraphUnavailable)]);
        worker.work_queue().await;
        assert_eq!(world.cancel(id).await, tp_store::Cancel::Ended);
        world.db.clock.advance(Duration::from_mins(10));
        assert_eq!(worker.work_queue().await, 0);
        assert_eq!(world.run(id).await.state.outcome(), Outcome::Canceled, "{}", world.db.name());
    }
}
