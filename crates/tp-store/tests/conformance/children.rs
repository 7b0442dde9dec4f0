//! Umbrella runs: waves, counts, cancel.

use tp_domain::access::{CancelOperations, ManageSchedules, ViewOperations, ViewSettings};
use tp_domain::ids::RunId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{OperationKind, OperationRequest as _};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Freshness, OperationRun, Outcome, WaitingReason};
use tp_domain::schedule::{Cadence, CatchUp, Targets, Timetable};
use tp_store::{Cancel, ChildPlan, ChildState, Ended, HowStarted, NewSchedule, RolledUp};

use crate::util::{World, request, succeeded, worlds};

/// An umbrella run that is claimed.
async fn umbrella(world: &World) -> tp_store::ClaimedRun {
    let scope = world.whole::<ManageSchedules>().await;
    let new = NewSchedule {
        name: "Nightly".to_owned(),
        kind: OperationKind::InventorySync,
        inputs: SyncInventory::everything().inputs(),
        targets: Targets::AllTenants,
        timetable: Timetable::new(Cadence::Daily { hour: 2, minute: 0 }, "UTC").unwrap(),
        catch_up: CatchUp::Once,
        spread_seconds: 0,
        enabled: true,
    };
    let made = scope.schedule_create(new).await.unwrap();
    let how = HowStarted::default();
    let started = scope.schedule_run_now(made.id, how).await.unwrap().unwrap();
    let id = started.run().id;
    let claim = world.claim_any(9).await.unwrap();
    assert_eq!(claim.id(), id);
    claim
}

fn plan(world: &World, waves: [u32; 2]) -> Vec<ChildPlan> {
    let inputs = SyncInventory::everything().inputs();
    [world.contoso, world.fabrikam]
        .into_iter()
        .zip(waves)
        .map(|(tenant, wave)| ChildPlan {
            tenant,
            kind: OperationKind::InventorySync,
            inputs: inputs.clone(),
            wave,
        })
        .collect()
}

async fn parent(world: &World, id: RunId) -> OperationRun {
    world.whole::<ViewOperations>().await.run_get(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn waves_follow_each_other_and_the_parent_ends_last() {
    for world in worlds().await {
        let upkeep = world.store().upkeep();
        let claim = umbrella(&world).await;
        assert_eq!(claim.active_tenants().await.unwrap().len(), 2);
        let id = claim.id();
        claim.children_begin(plan(&world, [0, 1])).await.unwrap();
        assert_eq!(upkeep.roll_up().await.unwrap(), RolledUp { started: 1, ended: 0 });
        let run = parent(&world, id).await;
        assert_eq!(run.waiting.unwrap().reason, WaitingReason::Children, "{}", world.db.name());
        assert_eq!(run.freshness(world.store().now()), Freshness::Waiting);
        assert_eq!(run.counts.total, Some(2));
        assert_eq!(upkeep.roll_up().await.unwrap(), RolledUp::default(), "the wave is not over");
        let revision = parent(&world, id).await.revision;
        assert_eq!(revision, run.revision, "nothing changed, nothing was written");
        let child = world.claim(1).await.unwrap();
        assert_eq!(child.claimed().tenant(), Some(world.contoso));
        child.finish(succeeded()).await.unwrap();
        assert_eq!(upkeep.roll_up().await.unwrap(), RolledUp { started: 1, ended: 0 });
        assert_eq!(parent(&world, id).await.counts.succeeded, 1);
        let child = world.claim(1).await.unwrap();
        let reason = Some(ReasonCode::GraphUnavailable);
        let failed = Ended { outcome: Outcome::Failed, reason, ..succeeded() };
        child.finish(failed).await.unwrap();
        assert_eq!(upkeep.roll_up().await.unwrap(), RolledUp { started: 0, ended: 1 });
        let run = parent(&world, id).await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded);
        assert_eq!((run.counts.succeeded, run.counts.failed), (1, 1));
        assert_eq!(run.reason, Some(ReasonCode::GraphUnavailable));
        let scope = world.whole::<ViewOperations>().await;
        let children = scope.run_children(id).await.unwrap();
        let states: Vec<ChildState> = children.iter().map(|child| child.state).collect();
        assert_eq!(states, [ChildState::Succeeded, ChildState::Failed]);
        let first = children[0].run.unwrap();
        assert_eq!(world.run("contoso", first).await.parent, Some(id));
        assert!(world.runs("contoso").await.run_children(id).await.unwrap().is_empty());
        let told = "SELECT count(*) AS n FROM notifications WHERE moment = 'ended'";
        assert_eq!(world.store().test_count(told).await, 1, "of the parent, not of each child");
    }
}

#[tokio::test]
async fn a_tenant_that_is_busy_already_is_skipped_and_says_so() {
    for world in worlds().await {
        let busy = world.start("contoso", SyncInventory::everything()).await.run().id;
        let off = "UPDATE tenants SET status = 'disabled' WHERE slug = 'fabrikam'";
        let claim = umbrella_beside(&world, busy).await;
        let id = claim.id();
        claim.children_begin(plan(&world, [0, 0])).await.unwrap();
        world.store().test_execute(off).await.unwrap();
        let done = world.store().upkeep().roll_up().await.unwrap();
        assert_eq!(done, RolledUp { started: 0, ended: 1 }, "{}", world.db.name());
        let children = world.whole::<ViewOperations>().await.run_children(id).await.unwrap();
        assert_eq!(children[0].reason, Some(ReasonCode::AlreadyActive));
        assert_eq!(children[0].run, Some(busy));
        assert_eq!(children[1].reason, Some(ReasonCode::TenantDisabled));
        let run = parent(&world, id).await;
        assert_eq!((run.state.outcome(), run.counts.skipped), (Outcome::Succeeded, 2));
    }
}

/// The same while a tenant's run is queued: that one is claimed first and left alone.
async fn umbrella_beside(world: &World, busy: RunId) -> tp_store::ClaimedRun {
    let taken = world.store().discover().await;
    taken.unwrap();
    let other = world.store().claim_many(request(8, 1, 10)).await.unwrap().runs.pop().unwrap();
    assert_eq!(other.id(), busy);
    umbrella(world).await
}

#[tokio::test]
async fn canceling_the_parent_cancels_its_children() {
    for world in worlds().await {
        let claim = umbrella(&world).await;
        let id = claim.id();
        claim.children_begin(plan(&world, [0, 1])).await.unwrap();
        let upkeep = world.store().upkeep();
        upkeep.roll_up().await.unwrap();
        let whole = world.whole::<CancelOperations>().await;
        assert_eq!(whole.run_cancel(id, None).await.unwrap(), Some(Cancel::Asked));
        assert!(world.claim(1).await.is_none(), "the queued child has ended");
        assert_eq!(upkeep.roll_up().await.unwrap(), RolledUp { started: 0, ended: 1 });
        let run = parent(&world, id).await;
        assert_eq!((run.state.outcome(), run.counts.skipped), (Outcome::Canceled, 2));
        let settings = world.whole::<ViewSettings>().await;
        assert_eq!(settings.schedule_list().await.unwrap().len(), 1, "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_child_asks_for_the_right_of_whoever_started_the_umbrella() {
    for world in worlds().await {
        let upkeep = world.store().upkeep();
        let claim = umbrella(&world).await;
        claim.children_begin(plan(&world, [0, 1])).await.unwrap();
        upkeep.roll_up().await.unwrap();
        let first = world.claim(1).await.unwrap();
        assert_eq!(first.refused(), None, "{}", world.db.name());
        first.finish(succeeded()).await.unwrap();
        // The person goes between the waves.
        let gone = "DELETE FROM memberships WHERE user_id = (SELECT id FROM users WHERE email = 'owner@example.com')";
        world.store().test_execute(gone).await.unwrap();
        upkeep.roll_up().await.unwrap();
        let second = world.claim(1).await.unwrap();
        assert_eq!(second.refused(), Some(ReasonCode::AuthorityLost));
    }
}

#[tokio::test]
async fn an_umbrella_that_cannot_be_read_stops_no_other() {
    for world in worlds().await {
        let odd = umbrella(&world).await;
        let odd_id = odd.id();
        odd.children_begin(plan(&world, [0, 0])).await.unwrap();
        world
            .store()
            .test_execute("UPDATE operation_runs SET trigger_kind = 'of.tomorrow'")
            .await
            .unwrap();
        let claim = umbrella(&world).await;
        assert_ne!(claim.id(), odd_id);
        claim.children_begin(plan(&world, [0, 0])).await.unwrap();
        assert_eq!(
            world.store().upkeep().roll_up().await.unwrap().started,
            2,
            "{}",
            world.db.name()
        );
    }
}
