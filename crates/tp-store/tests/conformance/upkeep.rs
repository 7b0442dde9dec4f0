//! Heartbeats, releases, queue depth.

use std::time::Duration;

use tp_domain::inventory_sync::SyncInventory;

use crate::util::{LEASE, worker, worlds};

#[tokio::test]
async fn a_beat_extends_what_is_held() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let upkeep = world.store().upkeep();
        for _ in 0..5 {
            world.db.clock.advance(Duration::from_secs(20));
            let held = upkeep.beat(worker(1), 8, LEASE, vec![claim.claimed()]).await.unwrap();
            assert_eq!(held, [claim.claimed().lease()], "{}", world.db.name());
            assert_eq!(upkeep.sweep(LEASE).await.unwrap(), tp_store::Swept::default());
        }
        let run = world.runs("contoso").await.run_get(claim.id()).await.unwrap().unwrap();
        assert_eq!(run.heartbeat_at, Some(world.store().now()));
        let workers = upkeep.workers().await.unwrap();
        assert_eq!(workers.len(), 1);
        assert_eq!(workers[0].concurrency, 8);
    }
}

#[tokio::test]
async fn a_worker_that_shuts_down_gives_its_runs_back_at_once() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let held = vec![claim.claimed()];
        world.store().upkeep().beat(worker(1), 8, LEASE, held).await.unwrap();
        assert_eq!(world.store().upkeep().release(worker(1)).await.unwrap(), 1);
        let heir = world.claim(2).await.unwrap();
        assert_eq!((heir.id(), heir.attempt()), (id, 1), "no try was used up");
        assert!(world.store().upkeep().workers().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_queue_tells_its_depth() {
    for world in worlds().await {
        let empty = world.store().upkeep().queue().await.unwrap();
        assert_eq!((empty.ready, empty.leased, empty.oldest), (0, 0, None));
        let asked = world.store().now();
        world.start("contoso", SyncInventory::everything()).await;
        world.start("fabrikam", SyncInventory::everything()).await;
        world.claim(1).await.unwrap();
        let queue = world.store().upkeep().queue().await.unwrap();
        assert_eq!((queue.ready, queue.leased, queue.oldest), (1, 1, Some(asked)));
    }
}

#[tokio::test]
async fn a_start_wakes_a_worker_that_waits() {
    for world in worlds().await {
        let wake = world.store().wake().clone();
        // A ring is kept for who comes later: connecting to PostgreSQL counts as one.
        tokio::time::timeout(Duration::from_millis(300), wake.heard()).await.ok();
        let waiting = tokio::spawn(async move { wake.heard().await });
        world.start("contoso", SyncInventory::everything()).await;
        let woken = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(woken.is_ok(), "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_run_that_is_handed_back_keeps_its_try_and_what_it_did() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let tags = crate::util::key("roleScopeTag");
        claim.steps_plan(std::slice::from_ref(&tags)).await.unwrap();
        let seen = vec![crate::util::policy("a", "A")];
        claim.policies_observe(&tags, seen).await.unwrap();
        claim.hand_back().await.unwrap();
        let heir = world.claim(2).await.unwrap();
        assert_eq!((heir.id(), heir.attempt()), (id, 1), "{}", world.db.name());
        assert_eq!(heir.counts().succeeded, 1);
        assert_eq!(heir.claimed().lease().1, 2, "the fencing number never falls");
    }
}

#[tokio::test]
async fn only_what_is_worked_on_is_prolonged() {
    for world in worlds().await {
        let lost = world.claimed("contoso").await;
        // The process lost track of it: a beat without it lets its lease run out.
        world.db.clock.advance(Duration::from_secs(20));
        let held = world.store().upkeep().beat(worker(1), 8, LEASE, Vec::new()).await.unwrap();
        assert!(held.is_empty());
        world.db.clock.advance(Duration::from_secs(11));
        let swept = world.store().upkeep().sweep(LEASE).await.unwrap();
        assert_eq!(swept.released, 1, "{}", world.db.name());
        drop(lost);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_forward_takes_no_lease_from_the_living() {
    for world in worlds().await {
        let upkeep = world.store().upkeep();
        world.start("contoso", SyncInventory::everything()).await;
        world.start("fabrikam", SyncInventory::everything()).await;
        let (alive, dead) = (world.claim(1).await.unwrap(), world.claim(2).await.unwrap());
        let beat = async || upkeep.beat(worker(1), 8, LEASE, vec![alive.claimed()]).await.unwrap();
        for round in 0..4 {
            beat().await;
            world.db.clock.set_forward(Duration::from_hours(2));
            // Either may be first to see it.
            if round % 2 == 0 {
                assert_eq!(upkeep.sweep(LEASE).await.unwrap(), tp_store::Swept::default());
            }
            assert_eq!(beat().await, [alive.claimed().lease()], "{} {round}", world.db.name());
            assert_eq!(upkeep.sweep(LEASE).await.unwrap(), tp_store::Swept::default());
        }
        world.db.clock.advance(Duration::from_secs(20));
        beat().await;
        world.db.clock.advance(Duration::from_secs(11));
        let swept = upkeep.sweep(LEASE).await.unwrap();
        assert_eq!(swept.released, 1, "a worker that does not live loses its run a lease later");
        assert_eq!(world.claim(3).await.unwrap().id(), dead.id());
        alive.finish(crate::util::succeeded()).await.unwrap();
    }
}

#[tokio::test]
async fn no_run_ends_before_it_began() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        world.db.clock.set_back(Duration::from_hours(2));
        claim.finish(crate::util::succeeded()).await.unwrap();
        let state = world.run("contoso", id).await.state;
        assert!(state.completed_at() >= state.started_at(), "{}", world.db.name());
        // And none begins before it was asked for.
        let id = world.start("fabrikam", SyncInventory::everything()).await.run().id;
        world.db.clock.set_back(Duration::from_hours(2));
        world.claim(1).await.unwrap();
        let state = world.run("fabrikam", id).await.state;
        assert!(state.started_at() >= Some(state.created_at()), "{}", world.db.name());
    }
}
