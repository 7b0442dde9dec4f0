//! The worker as a task: it is woken, it stops, it gives back.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tp_domain::run::{Outcome, RunStatus};

use crate::planned::{Plan, worlds};

#[tokio::test]
async fn a_started_run_is_worked_on_and_ends() {
    for world in worlds().await {
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(world.worker(1, [Plan::Succeed(5)]).run(shutdown.clone()));
        let id = world.start().await;
        let run = world.until(id, |run| !run.is_active()).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{}", world.db.name());
        assert_eq!(run.counts.succeeded, 5);
        shutdown.cancel();
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_gives_running_work_back_with_its_try() {
    for world in worlds().await {
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(world.worker(1, [Plan::UntilStopped]).run(shutdown.clone()));
        let id = world.start().await;
        world.until(id, |run| run.state.status() == RunStatus::Running).await;
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(world.worker(2, [Plan::Succeed(1)]).work_queue().await, 1);
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
async fn work_whose_lease_was_lost_is_stopped_and_done_again() {
    for world in worlds().await {
        let shutdown = CancellationToken::new();
        let plans = [Plan::UntilStopped, Plan::Succeed(2)];
        let worker = tokio::spawn(world.worker(1, plans).run(shutdown.clone()));
        let id = world.start().await;
        world.until(id, |run| run.state.status() == RunStatus::Running).await;
        // Past the lease: the sweeper takes the run back, and the next beat stops the old work.
        world.db.clock.advance(Duration::from_secs(31));
        let run = world.until(id, |run| !run.is_active()).await;
        assert_eq!(
            (run.state.outcome(), run.attempt),
            (Outcome::Succeeded, 2),
            "{}",
            world.db.name()
        );
        assert_eq!(run.counts.succeeded, 2);
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(world.run(id).await, run, "the old work changed nothing");
    }
}

#[tokio::test]
async fn a_running_run_is_canceled_within_five_seconds_and_keeps_what_it_did() {
    for world in worlds().await {
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(world.worker(1, [Plan::UntilCanceled(3)]).run(shutdown.clone()));
        let id = world.start().await;
        world.until(id, |run| run.counts.succeeded == 3).await;
        let asked = std::time::Instant::now();
        assert_eq!(world.cancel(id).await, tp_store::Cancel::Asked);
        let run = world.until(id, |run| !run.is_active()).await;
        assert!(asked.elapsed() < Duration::from_secs(5), "{}", world.db.name());
        assert_eq!((run.state.outcome(), run.counts.succeeded), (Outcome::Canceled, 3));
        shutdown.cancel();
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn progress_is_written_at_most_twice_a_second() {
    for world in worlds().await {
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(world.worker(1, [Plan::Items(400)]).run(shutdown.clone()));
        let began = std::time::Instant::now();
        let id = world.start().await;
        let run = world.until(id, |run| !run.is_active()).await;
        let took = began.elapsed().as_secs_f64();
        assert_eq!((run.counts.total, run.counts.succeeded), (Some(400), 400));
        // Claim and end, and then two a second; a beat does not count as a change.
        let most = 4.0 + took * 2.0;
        let writes = f64::from(i32::try_from(run.revision).unwrap());
        assert!(writes <= most, "{writes} writes in {took} s on {}", world.db.name());
        shutdown.cancel();
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn a_run_that_nobody_rang_for_is_found() {
    for world in worlds().await {
        let id = world.start().await;
        let request = tp_store::ClaimRequest {
            worker: tp_domain::ids::WorkerId::from_uuid(uuid::Uuid::from_u128(9)),
            kinds: vec![tp_domain::operation::OperationKind::InventorySync],
            lease: Duration::from_secs(30),
            per_tenant: 2,
            most: 1,
        };
        let claim = world.db.store.claim_many(request).await.unwrap().runs.pop();
        let shutdown = CancellationToken::new();
        let worker = world.worker(1, [Plan::Succeed(1)]).run(shutdown.clone());
        let worker = tokio::spawn(worker);
        // Ready again, past every door and without a ring.
        let ready = "UPDATE jobs SET state = 'ready', lease_owner = NULL, lease_until = NULL";
        world.db.store.test_execute(ready).await.unwrap();
        let asked = std::time::Instant::now();
        world.until(id, |run| !run.is_active()).await;
        assert!(asked.elapsed() < Duration::from_millis(1_200), "{}", world.db.name());
        drop(claim);
        shutdown.cancel();
        worker.await.unwrap();
    }
}
