//! Schedules and slots: once each, on both databases, with any number of schedulers.

use std::time::Duration;

use serde_json::json;
use tp_domain::access::{Capability, ManageSchedules, Role, ViewSettings};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{OperationKind, OperationRequest as _};
use tp_domain::run::Outcome;
use tp_domain::schedule::{Cadence, CatchUp, SlotState, Targets, Timetable};
use tp_store::testing::databases;
use tp_store::{
    Actor, Bootstrap, Fired, HowStarted, NewSchedule, NewUser, Refused, ScheduleChanged,
    StartRefused,
};

use crate::util::{at, succeeded, tenant, worlds};

const HOUR: Duration = Duration::from_hours(1);

fn hourly(name: &str) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        kind: OperationKind::InventorySync,
        inputs: SyncInventory::everything().inputs(),
        targets: Targets::Own,
        timetable: Timetable::new(Cadence::Hourly { minute: 30 }, "UTC").unwrap(),
        catch_up: CatchUp::Once,
        spread_seconds: 0,
        enabled: true,
    }
}

#[tokio::test]
async fn a_slot_fires_once_whoever_looks() {
    for world in worlds().await {
        let scope = world.scope::<ManageSchedules>("contoso").await;
        let made = scope.schedule_create(hourly("Hourly")).await.unwrap();
        let upkeep = world.store().upkeep();
        assert_eq!(upkeep.schedules_fire().await.unwrap(), Fired::default(), "not yet");
        world.db.clock.advance(Duration::from_mins(30));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let upkeep = upkeep.clone();
            tasks.spawn(async move { upkeep.schedules_fire().await.unwrap().fired });
        }
        let fired: u64 = tasks.join_all().await.into_iter().sum();
        assert_eq!(fired, 1, "{}", world.db.name());
        let run = world.claim(1).await.unwrap();
        let id = run.id();
        run.finish(succeeded()).await.unwrap();
        let run = world.run("contoso", id).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded);
        assert_eq!((run.initiator, run.initiator_name.as_str()), (None, "Hourly"));
        assert_eq!(run.trigger, tp_domain::actor::Trigger::Schedule);
        let told = "SELECT count(*) AS n FROM notifications";
        assert_eq!(world.store().test_count(told).await, 0, "a schedule tells nobody");
        let seen = world.scope::<ViewSettings>("contoso").await;
        let slots = seen.schedule_slots(made.id, 10).await.unwrap();
        assert_eq!(slots.len(), 1);
        assert_eq!((slots[0].state, slots[0].run), (SlotState::Fired, Some(id)));
        let next = seen.schedule_get(made.id).await.unwrap().unwrap().next_at;
        assert_eq!(next, made.next_at.map(|at| at.plus(HOUR)));
        let foreign = world.scope::<ViewSettings>("fabrikam").await;
        assert!(foreign.schedule_get(made.id).await.unwrap().is_none(), "another tenant's");
        assert!(foreign.schedule_list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_slot_in_the_way_of_an_equal_run_is_skipped() {
    for world in worlds().await {
        let scope = world.scope::<ManageSchedules>("contoso").await;
        let made = scope.schedule_create(hourly("Hourly")).await.unwrap();
        let busy = world.start("contoso", SyncInventory::everything()).await.run().id;
        world.db.clock.advance(Duration::from_mins(30));
        let fired = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(fired, Fired { skipped: 1, ..Fired::default() }, "{}", world.db.name());
        let seen = world.scope::<ViewSettings>("contoso").await;
        let slots = seen.schedule_slots(made.id, 10).await.unwrap();
        assert_eq!((slots[0].state, slots[0].run), (SlotState::Skipped, Some(busy)));
    }
}

#[tokio::test]
async fn what_was_missed_is_caught_up_as_chosen() {
    for world in worlds().await {
        let scope = world.scope::<ManageSchedules>("contoso").await;
        let all = NewSchedule { catch_up: CatchUp::Skip, ..hourly("Skips") };
        let made = scope.schedule_create(all).await.unwrap();
        world.db.clock.advance(HOUR * 5);
        let fired = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(fired, Fired { missed: 5, ..Fired::default() }, "{}", world.db.name());
        let again = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(again, Fired::default());
        let once = hourly("Once");
        let changed = scope.schedule_update(made.id, made.revision, once).await.unwrap();
        let ScheduleChanged::Done(changed) = changed else { panic!("{changed:?}") };
        assert_eq!(changed.catch_up, CatchUp::Once);
        let stale = scope.schedule_update(made.id, made.revision, hourly("Late")).await.unwrap();
        assert_eq!(stale, ScheduleChanged::Stale);
        world.db.clock.advance(HOUR * 3);
        let fired = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(fired, Fired { fired: 1, missed: 2, ..Fired::default() });
        assert!(scope.schedule_delete(made.id).await.unwrap());
        assert!(!scope.schedule_delete(made.id).await.unwrap());
        let gone = scope.schedule_update(made.id, 1, hourly("Gone")).await.unwrap();
        assert_eq!(gone, ScheduleChanged::NotThere);
        let left = "SELECT count(*) AS n FROM schedule_slots";
        assert_eq!(world.store().test_count(left).await, 0);
    }
}

#[tokio::test]
async fn a_disabled_tenant_refuses_its_slot_and_a_paused_schedule_has_none() {
    for world in worlds().await {
        let scope = world.scope::<ManageSchedules>("contoso").await;
        let made = scope.schedule_create(hourly("Hourly")).await.unwrap();
        let off = "UPDATE tenants SET status = 'disabled' WHERE slug = 'contoso'";
        world.store().test_execute(off).await.unwrap();
        world.db.clock.advance(Duration::from_mins(30));
        let fired = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(fired, Fired { refused: 1, ..Fired::default() }, "{}", world.db.name());
        let on = "UPDATE tenants SET status = 'active' WHERE slug = 'contoso'";
        world.store().test_execute(on).await.unwrap();
        let closed = tp_store::NewGate {
            kind: tp_domain::gate::GateKind::All,
            note: String::new(),
            expires_at: None,
        };
        world.store().console().gate_close_everywhere(closed).await.unwrap();
        world.db.clock.advance(HOUR);
        let fired = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(fired, Fired { refused: 1, ..Fired::default() }, "a closed gate");
        let paused = NewSchedule { enabled: false, ..hourly("Hourly") };
        let changed = scope.schedule_update(made.id, made.revision, paused).await.unwrap();
        let ScheduleChanged::Done(changed) = changed else { panic!("{changed:?}") };
        assert_eq!(changed.next_at, None);
        world.db.clock.advance(HOUR * 2);
        assert_eq!(world.store().upkeep().schedules_fire().await.unwrap(), Fired::default());
    }
}

#[tokio::test]
async fn every_workspace_has_its_clean_up_once() {
    for world in worlds().await {
        let upkeep = world.store().upkeep();
        assert_eq!(upkeep.schedules_ensure().await.unwrap(), 2, "{}", world.db.name());
        assert_eq!(upkeep.schedules_ensure().await.unwrap(), 0);
        let list = world.whole::<ViewSettings>().await.schedule_list().await.unwrap();
        let all: Vec<_> = list.iter().map(|one| (one.kind, one.inputs.clone())).collect();
        let (runs, contents) = (OperationKind::RunsPrune, OperationKind::PayloadsPrune);
        assert_eq!(all, [(runs, json!({})), (contents, json!({}))]);
        assert_eq!(list[1].targets, Targets::AllTenants);
        let whole = world.whole::<ManageSchedules>().await;
        assert!(!whole.schedule_delete(list[0].id).await.unwrap(), "it can be paused, not deleted");
        world.db.clock.advance(Duration::from_hours(24));
        let fired = upkeep.schedules_fire().await.unwrap();
        assert_eq!(fired, Fired { fired: 2, ..Fired::default() });
        let claimed = [world.claim_any(1).await.unwrap(), world.claim_any(1).await.unwrap()];
        let kinds = claimed.map(|run| run.kind());
        assert!(kinds.contains(&runs), "{kinds:?}");
        assert!(kinds.contains(&OperationKind::ScheduleExecute), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_stops_no_other() {
    for world in worlds().await {
        let scope = world.scope::<ManageSchedules>("contoso").await;
        scope.schedule_create(hourly("Odd")).await.unwrap();
        let odd = "UPDATE schedules SET kind = 'kind.of.tomorrow'";
        world.store().test_execute(odd).await.unwrap();
        scope.schedule_create(hourly("Hourly")).await.unwrap();
        world.db.clock.advance(Duration::from_mins(30));
        let fired = world.store().upkeep().schedules_fire().await.unwrap();
        assert_eq!(fired.fired, 1, "{}", world.db.name());
    }
}

#[tokio::test]
async fn who_schedules_work_may_also_start_it() {
    for db in databases().await {
        let owner = NewUser {
            email: "owner@example.com".to_owned(),
            name: "Olive".to_owned(),
            password_hash: "x".to_owned(),
            role: Role::Owner,
        };
        let console = db.store.console();
        let made = console
            .bootstrap(Bootstrap {
                workspace: "Example MSP".to_owned(),
                owner,
                token_capabilities: vec!["schedules.manage".to_owned()],
            })
            .await
            .unwrap();
        tenant(&db.store, made.workspace, "contoso", 1).await;
        let person = db.store.test_actor("owner@example.com").await;
        let token = db.store.hall().actor_of_token(&made.token.unwrap()).await.unwrap().unwrap();
        let enter = async |actor: &Actor| {
            db.store.enter::<ManageSchedules>(actor, &at("contoso")).await.unwrap()
        };
        let made = enter(&person).await.schedule_create(hourly("Hourly")).await.unwrap();
        let scope = enter(&token).await;
        let needed = Capability::InventorySync;
        let refused = scope.schedule_create(hourly("Other")).await;
        assert!(matches!(refused, Err(Refused::Forbidden(one)) if one == needed), "{refused:?}");
        let refused = scope.schedule_update(made.id, made.revision, hourly("Other")).await;
        assert!(matches!(refused, Err(Refused::Forbidden(one)) if one == needed), "{refused:?}");
        let refused = scope.schedule_run_now(made.id, HowStarted::default()).await;
        assert!(matches!(refused, Err(StartRefused::Forbidden(one)) if one == needed));
    }
}

#[tokio::test]
async fn a_slot_that_is_due_again_fires_no_second_time() {
    for world in worlds().await {
        let scope = world.scope::<ManageSchedules>("contoso").await;
        scope.schedule_create(hourly("Hourly")).await.unwrap();
        world.db.clock.advance(Duration::from_mins(30));
        let upkeep = world.store().upkeep();
        assert_eq!(upkeep.schedules_fire().await.unwrap().fired, 1, "{}", world.db.name());
        world.claim(1).await.unwrap().finish(succeeded()).await.unwrap();
        // A timetable that is changed to and fro, a clock that is set back: the slot comes once more.
        let again = "UPDATE schedules SET next_at = (SELECT max(slot_at) FROM schedule_slots)";
        world.store().test_execute(again).await.unwrap();
        assert_eq!(upkeep.schedules_fire().await.unwrap(), Fired::default());
        assert!(world.claim(1).await.is_none());
    }
}
