//! Restores: nothing is executed that was not confirmed, and a plan has one run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tp_domain::access::{ApproveRestore, ExecuteRestores, PreviewRestore, Role};
use tp_domain::ids::RestoreId;
use tp_domain::item::{ItemState, ItemSubject};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::intent::{IntentState, NewIntent, Settled};
use tp_domain::restore::outcome::{ItemOutcome, ItemResult};
use tp_domain::restore::plan::{
    Base, BodyHash, Fingerprint, FrozenPlan, NodeAction, PayloadRef, PlanHash, PlanNode,
    RestorePlan,
};
use tp_domain::restore::record::RestoreState;
use tp_domain::restore::warrant::{RecordedIntent as _, WriteWarrant as _};
use tp_store::{
    Confirm, Confirmed, ConfirmedPlan, HowStarted, ItemFilter, RestoreRefused, Started, StoreError,
};
use uuid::Uuid;

use crate::util::{LEASE, World, at, succeeded, user, worlds};

fn node(key: &str, action: NodeAction) -> PlanNode {
    let base = Base { graph_id: format!("g-{key}"), fingerprint: Fingerprint::of_bytes(b"base") };
    PlanNode {
        key: key.to_owned(),
        policy_type: PolicyType::new("deviceConfiguration").unwrap(),
        name: Some(key.to_owned()),
        action,
        base: (action != NodeAction::Create).then_some(base),
        parent: None,
        wanted: Some(PayloadRef { id: format!("p-{key}"), sha256: "0".repeat(64) }),
        binds: Vec::new(),
    }
}

/// A plan for Contoso.
fn plan(nodes: Vec<PlanNode>) -> RestorePlan {
    RestorePlan {
        entra_tenant_id: Uuid::from_u128(1),
        nodes,
        enabled_types: BTreeSet::new(),
        stop_on_failure: false,
    }
}

fn two() -> RestorePlan {
    plan(vec![node("a", NodeAction::Update), node("b", NodeAction::Create)])
}

fn confirm(hash: &PlanHash) -> Confirm {
    Confirm {
        plan_hash: hash.clone(),
        typed_domain: "Contoso.example ".to_owned(),
        reason: "Rolled out by mistake".to_owned(),
    }
}

async fn previewed(world: &World, second: bool, plan: RestorePlan) -> (RestoreId, FrozenPlan) {
    let scope = world.scope::<PreviewRestore>("contoso").await;
    let draft = RestoreDraft { second_approver: second, ..RestoreDraft::of_backup(1) };
    let id = scope.restore_create(&draft, None).await.unwrap();
    let frozen = scope.restore_freeze(id, plan, None).await.unwrap();
    (id, frozen)
}

async fn confirmed(world: &World) -> (RestoreId, FrozenPlan) {
    let (id, frozen) = previewed(world, false, two()).await;
    let scope = world.scope::<ExecuteRestores>("contoso").await;
    scope.restore_confirm(id, confirm(frozen.hash()), HowStarted::default()).await.unwrap();
    (id, frozen)
}

async fn state(world: &World, id: RestoreId) -> RestoreState {
    let scope = world.scope::<PreviewRestore>("contoso").await;
    scope.restore_get(id).await.unwrap().unwrap().state
}

fn subjects(plan: &ConfirmedPlan) -> Vec<ItemSubject> {
    let subject = |node: &PlanNode| ItemSubject {
        key: node.key.clone(),
        policy_type: Some(node.policy_type.clone()),
        graph_id: None,
        name: node.name.clone(),
    };
    plan.plan().writes().map(subject).collect()
}

fn intent(step: &str) -> NewIntent {
    NewIntent {
        step: step.to_owned(),
        step_key: step.to_owned(),
        method: "PATCH".to_owned(),
        path: "/deviceManagement/deviceConfigurations/g-a".to_owned(),
        body_hash: Some(BodyHash::of_bytes(b"{}")),
        adds: false,
        before: Some(Fingerprint::of_bytes(b"base")),
        object_id: Some("g-a".to_owned()),
        listed: vec!["1".to_owned()],
    }
}

#[tokio::test]
async fn a_hundred_confirms_of_a_plan_make_one_run() {
    for world in worlds().await {
        let (id, frozen) = previewed(&world, false, two()).await;
        let scope = Arc::new(world.scope::<ExecuteRestores>("contoso").await);
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (scope, asked) = (Arc::clone(&scope), confirm(frozen.hash()));
                tokio::spawn(async move {
                    scope.restore_confirm(id, asked, HowStarted::default()).await.unwrap()
                })
            })
            .collect();
        let (mut runs, mut created) = (BTreeSet::new(), 0);
        for task in tasks {
            let Confirmed::Run(started) = task.await.unwrap() else { unreachable!() };
            created += usize::from(matches!(*started, Started::Created(_)));
            runs.insert(started.run().id);
        }
        assert_eq!((runs.len(), created), (1, 1), "{}", world.db.name());
        let count = "SELECT count(*) AS n FROM operation_runs WHERE kind = 'restore.execute'";
        assert_eq!(world.store().test_count(count).await, 1);
        let told = "SELECT count(*) AS n FROM audit_entries WHERE action = 'restore.confirmed'";
        assert_eq!(world.store().test_count(told).await, 1);
        let record = scope.restore_get(id).await.unwrap().unwrap();
        assert_eq!(record.state, RestoreState::Confirmed);
        assert_eq!(record.run, runs.pop_first());
        assert_eq!(record.reason.as_deref(), Some("Rolled out by mistake"));
    }
}

#[tokio::test]
async fn a_confirm_is_of_the_plan_that_was_seen() {
    for world in worlds().await {
        let (id, old) = previewed(&world, false, two()).await;
        let preview = world.scope::<PreviewRestore>("contoso").await;
        let other = plan(vec![node("c", NodeAction::Update)]);
        let new = preview.restore_freeze(id, other.clone(), None).await.unwrap();
        let scope = world.scope::<ExecuteRestores>("contoso").await;
        let say = |asked| scope.restore_confirm(id, asked, HowStarted::default());
        let changed = say(confirm(old.hash())).await.unwrap_err();
        assert!(matches!(changed, RestoreRefused::PlanChanged), "{changed:?}");
        let wrong = Confirm { typed_domain: "fabrikam.example".to_owned(), ..confirm(new.hash()) };
        assert!(matches!(say(wrong).await, Err(RestoreRefused::WrongDomain)));
        let mute = Confirm { reason: " ".to_owned(), ..confirm(new.hash()) };
        assert!(matches!(say(mute).await, Err(RestoreRefused::BadReason)));
        world.db.clock.advance(Duration::from_secs(30 * 60 + 1));
        assert!(matches!(say(confirm(new.hash())).await, Err(RestoreRefused::PlanExpired)));
        assert_eq!(state(&world, id).await, RestoreState::Expired);
        let again = preview.restore_freeze(id, other, None).await.unwrap();
        assert_eq!(again.hash(), new.hash());
        assert!(say(confirm(again.hash())).await.is_ok(), "a new preview is a new half hour");
        let late = preview.restore_freeze(id, two(), None).await.unwrap_err();
        assert!(matches!(late, RestoreRefused::WrongState(RestoreState::Confirmed)));
        assert!(preview.restore_discard(id, None).await.is_err(), "its run is on its way");
        assert_eq!(preview.restore_list().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_not_confirmed() {
    for world in worlds().await {
        let scope = world.scope::<ExecuteRestores>("contoso").await;
        let blocked = NodeAction::Blocked(ReasonCode::PermissionMissing);
        let nodes = vec![node("a", NodeAction::Update), node("b", blocked)];
        let (id, frozen) = previewed(&world, false, plan(nodes)).await;
        let say =
            |id, hash: &PlanHash| scope.restore_confirm(id, confirm(hash), HowStarted::default());
        assert!(matches!(say(id, frozen.hash()).await, Err(RestoreRefused::Blockers(1))));
        let nodes = vec![node("a", NodeAction::Unchanged), node("b", NodeAction::PreviewOnly)];
        let (id, frozen) = previewed(&world, false, plan(nodes)).await;
        assert!(matches!(say(id, frozen.hash()).await, Err(RestoreRefused::NothingToDo)));
        let foreign = RestorePlan { entra_tenant_id: Uuid::from_u128(2), ..two() };
        let preview = world.scope::<PreviewRestore>("contoso").await;
        assert!(preview.restore_freeze(id, foreign, None).await.is_err(), "another tenant's plan");
        preview.restore_discard(id, None).await.unwrap();
        assert_eq!(state(&world, id).await, RestoreState::Discarded);
        let stranger = world.scope::<ExecuteRestores>("fabrikam").await;
        let (id, frozen) = previewed(&world, false, two()).await;
        let elsewhere =
            Confirm { typed_domain: "fabrikam.example".to_owned(), ..confirm(frozen.hash()) };
        let refused = stranger.restore_confirm(id, elsewhere, HowStarted::default()).await;
        assert!(matches!(refused, Err(RestoreRefused::NotFound)), "of another tenant");
        assert!(stranger.restore_get(id).await.unwrap().is_none());
        assert!(
            world.store().enter::<ExecuteRestores>(&world.operator, &at("contoso")).await.is_err()
        );
        let count = "SELECT count(*) AS n FROM operation_runs WHERE kind = 'restore.execute'";
        assert_eq!(world.store().test_count(count).await, 0, "{}", world.db.name());
    }
}

#[tokio::test]
async fn the_second_person_is_another_one() {
    for world in worlds().await {
        user(world.store(), world.workspace, "second@example.com", Role::Manager).await;
        let second = world.store().test_actor("second@example.com").await;
        let (id, frozen) = previewed(&world, true, two()).await;
        let first = world.scope::<ExecuteRestores>("contoso").await;
        let asked = || first.restore_confirm(id, confirm(frozen.hash()), HowStarted::default());
        assert_eq!(asked().await.unwrap(), Confirmed::AwaitsApprover);
        assert_eq!(asked().await.unwrap(), Confirmed::AwaitsApprover);
        assert_eq!(state(&world, id).await, RestoreState::AwaitingSecondApprover);
        assert!(world.claim_any(1).await.is_none(), "nothing runs yet");
        let own = world.scope::<ApproveRestore>("contoso").await;
        let alone = own.restore_approve(id, frozen.hash().clone(), None).await;
        assert!(matches!(alone, Err(RestoreRefused::SamePerson)));
        let other = world.store().enter::<ApproveRestore>(&second, &at("contoso")).await.unwrap();
        let wrong = other.restore_approve(id, PlanHash::of_bytes(b"x"), None).await;
        assert!(matches!(wrong, Err(RestoreRefused::PlanChanged)));
        let started = other.restore_approve(id, frozen.hash().clone(), None).await.unwrap();
        assert_eq!(started.run().initiator, Some(world.owner.user()), "in the right of the first");
        let again = other.restore_approve(id, frozen.hash().clone(), None).await.unwrap();
        assert_eq!(again.run().id, started.run().id);
        let (id, frozen) = previewed(&world, true, plan(vec![node("z", NodeAction::Update)])).await;
        first.restore_confirm(id, confirm(frozen.hash()), HowStarted::default()).await.unwrap();
        other.restore_refuse(id, None).await.unwrap();
        assert_eq!(state(&world, id).await, RestoreState::Discarded);
        let late = other.restore_approve(id, frozen.hash().clone(), None).await;
        assert!(matches!(late, Err(RestoreRefused::WrongState(RestoreState::Discarded))));
    }
}

#[tokio::test]
async fn a_plan_is_had_from_the_claim_of_its_run_only() {
    for world in worlds().await {
        let other = world.claimed("contoso").await;
        assert!(other.confirmed_plan().await.unwrap().is_err(), "a sync has no plan");
        let (id, frozen) = confirmed(&world).await;
        let claim = world.claim_any(2).await.unwrap();
        let plan = claim.confirmed_plan().await.unwrap().unwrap();
        assert_eq!((plan.hash(), plan.restore()), (frozen.hash(), id));
        assert_eq!(plan.entra_tenant_id(), Uuid::from_u128(1));
        assert_eq!(plan.reason(), "Rolled out by mistake");
        assert_eq!(state(&world, id).await, RestoreState::Executing);
        assert_eq!(plan.items().await.unwrap().len(), 2);
        // What has begun goes on, also when its half hour is over.
        world.db.clock.advance(Duration::from_hours(2));
        world.store().upkeep().sweep(LEASE).await.unwrap();
        let heir = world.claim_any(3).await.unwrap();
        assert!(heir.confirmed_plan().await.unwrap().is_ok(), "{}", world.db.name());
        assert!(matches!(claim.confirmed_plan().await, Err(StoreError::LeaseLost)));
        heir.finish(succeeded()).await.unwrap();
        assert_eq!(state(&world, id).await, RestoreState::Done, "by the end of its run");
    }
}

#[tokio::test]
async fn a_plan_that_was_not_begun_in_time_is_not_begun() {
    for world in worlds().await {
        let (id, _) = confirmed(&world).await;
        world.db.clock.advance(Duration::from_secs(30 * 60 + 1));
        let claim = world.claim_any(1).await.unwrap();
        let refused = claim.confirmed_plan().await.unwrap().unwrap_err();
        assert_eq!(refused, ReasonCode::PlanExpired);
        assert_eq!(state(&world, id).await, RestoreState::Expired, "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_plan_is_written_once_and_is_the_one_of_its_run() {
    for world in worlds().await {
        confirmed(&world).await;
        for column in ["frozen_at = 1", "bytes = NULL"] {
            let update = format!("UPDATE restore_plans SET {column}").leak();
            assert!(world.store().test_execute(update).await.is_err(), "{column}");
        }
        let other = "UPDATE restores SET plan_hash = \
             '0000000000000000000000000000000000000000000000000000000000000000'";
        world.store().test_execute(other).await.unwrap();
        let claim = world.claim_any(1).await.unwrap();
        let refused = claim.confirmed_plan().await.unwrap().unwrap_err();
        assert_eq!(refused, ReasonCode::PlanExpired, "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_write_is_written_down_before_it_is_sent() {
    for world in worlds().await {
        let (id, _) = confirmed(&world).await;
        let claim = world.claim_any(1).await.unwrap();
        let plan = claim.confirmed_plan().await.unwrap().unwrap();
        let open = plan.intent_open("a", intent("object")).await.unwrap();
        assert_eq!((open.method(), open.path()), ("PATCH", intent("object").path.as_str()));
        assert_eq!(open.body_hash(), Some(&BodyHash::of_bytes(b"{}")));
        let second = plan.intent_open("a", intent("assignments")).await;
        assert!(matches!(second, Err(StoreError::Conflict(_))), "one write in flight: {second:?}");
        let parked = Settled { approval_code: Some("code-1".to_owned()), ..Settled::default() };
        plan.intent_settle(open.intent(), IntentState::Parked, parked).await.unwrap();
        let known = plan.intents("a").await.unwrap();
        assert_eq!(known[0].state, IntentState::Parked);
        assert_eq!(known[0].asked, intent("object"), "{}", world.db.name());
        assert!(known[0].approval_asked_at.is_some());
        let again = plan.intent_again(&known[0]).await.unwrap();
        assert!(plan.intent_again(&known[0]).await.is_err(), "it does not wait any more");
        let done =
            Settled { object_id: Some("g-a".to_owned()), reply_lost: true, ..Settled::default() };
        plan.intent_settle(again.intent(), IntentState::Done, done).await.unwrap();
        plan.intent_settle(again.intent(), IntentState::Unknown, Settled::default()).await.unwrap();
        let scope = world.scope::<PreviewRestore>("contoso").await;
        let writes = scope.restore_writes(id).await.unwrap();
        assert_eq!((writes.len(), writes[0].state, writes[0].sent), (1, IntentState::Done, 2));
        assert!(writes[0].reply_lost && writes[0].approval_code.is_some());
        // A worker that lost its lease writes nothing down, so it sends nothing.
        world.db.clock.advance(LEASE + Duration::from_secs(1));
        world.store().upkeep().sweep(LEASE).await.unwrap();
        let heir = world.claim_any(2).await.unwrap();
        let lost = plan.intent_open("b", intent("object")).await;
        assert!(matches!(lost, Err(StoreError::LeaseLost)));
        assert!(heir.confirmed_plan().await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn results_are_counted_and_what_failed_is_done_again() {
    for world in worlds().await {
        let (id, _) = confirmed(&world).await;
        let claim = world.claim_any(1).await.unwrap();
        let plan = claim.confirmed_plan().await.unwrap().unwrap();
        claim.items_plan(subjects(&plan)).await.unwrap();
        let safe = PayloadRef { id: "safe".to_owned(), sha256: "1".repeat(64) };
        plan.item_kept("a", &safe).await.unwrap();
        plan.item_kept("a", &PayloadRef { id: "later".to_owned(), ..safe.clone() }).await.unwrap();
        let waiting = ItemOutcome::AwaitingExternalApproval;
        let reason = Some(ReasonCode::AwaitingExternalApproval);
        plan.item_result("a", ItemResult::of(waiting, reason)).await.unwrap();
        assert_eq!(claim.counts().processed(), 0, "it has not ended");
        let verified = ItemResult {
            graph_id: Some("g-a".to_owned()),
            ..ItemResult::of(ItemOutcome::Verified, None)
        };
        plan.item_result("a", verified).await.unwrap();
        let half = ItemResult {
            half_done: true,
            step: Some("assignments".to_owned()),
            graph_id: Some("new".to_owned()),
            differences: vec!["/assignments".to_owned()],
            left: Some(Fingerprint::of_bytes(b"left")),
            ..ItemResult::of(ItemOutcome::Failed, Some(ReasonCode::HalfDone))
        };
        plan.item_result("b", half.clone()).await.unwrap();
        assert_eq!((claim.counts().succeeded, claim.counts().failed), (1, 1));
        let ended = tp_store::Ended { outcome: claim.counts().outcome(true), ..succeeded() };
        claim.finish(ended).await.unwrap();
        let scope = world.scope::<ExecuteRestores>("contoso").await;
        let items = scope.restore_items(id).await.unwrap();
        assert_eq!(items[0].safety.as_ref(), Some(&safe), "as it was before the first write");
        assert_eq!(items[1].result.as_ref(), Some(&half));
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'restore.item_ended'";
        assert_eq!(world.store().test_count(audited).await, 2);
        assert_eq!(scope.restore_plan(id).await.unwrap().unwrap().hash(), plan.hash());
        let first = scope.restore_retry(id, HowStarted::default()).await.unwrap();
        let second = scope.restore_retry(id, HowStarted::default()).await.unwrap();
        assert_eq!(first.run().id, second.run().id, "two clicks are one run");
        let claim = world.claim_any(2).await.unwrap();
        let plan = claim.confirmed_plan().await.unwrap().unwrap();
        let todo = claim.items_plan(subjects(&plan)).await.unwrap();
        assert_eq!(todo.len(), 1, "what failed, and nothing else");
        let items = plan.items().await.unwrap();
        assert!(items[0].result.is_some() && items[1].result.is_none(), "{}", world.db.name());
        let filter = ItemFilter { limit: 10, ..ItemFilter::default() };
        let of_run = scope.run_items(claim.id(), filter).await.unwrap();
        assert_eq!(of_run[0].state, ItemState::Pending);
        claim.finish(succeeded()).await.unwrap();
        let none = scope.restore_retry(id, HowStarted::default()).await;
        assert!(matches!(none, Err(RestoreRefused::NothingToDo)));
    }
}
