//! The order of work and what stops it: changes since the preview, failures, lost rights, cancels.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tp_domain::access::{CancelOperations, Role};
use tp_domain::reason::ReasonCode;
use tp_domain::restore::intent::IntentState;
use tp_domain::restore::outcome::ItemOutcome as O;
use tp_domain::restore::plan::Bind;
use tp_domain::run::Outcome;
use tp_store::{Cancel, Confirm, Confirmed, HowStarted, TenantRef};

use super::{Bench, PLAIN, benches, create, group};
use crate::proofs::figure;

/// Two policies of a type with assignments, each to be changed and assigned.
async fn assigned(bench: &Bench) -> Vec<tp_domain::restore::plan::PlanNode> {
    let key = "deviceManagementScript";
    bench.fill_with(&[key], 2).await;
    let mut nodes = Vec::new();
    for id in bench.ids(key).await {
        let live = bench.read(key, &id).await.unwrap();
        let mut wanted = serde_json::Value::from(&live.object);
        wanted["description"] = "as it was".into();
        let to = [group("aaaaaaaa-0000-4000-8000-000000000009")];
        nodes.push(bench.update(key, &live, bench.wanted(&wanted, Some(&to))));
    }
    nodes
}

#[tokio::test]
async fn a29_what_changed_since_the_preview_is_left_alone() {
    let (mut refused, mut writes, mut runs) = (0, 0, Vec::new());
    for bench in benches().await {
        let nodes = bench.updates(100).await;
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        for policy in bench.ids(PLAIN).await {
            bench.behind(PLAIN, &policy, Some(json!({"description": "somebody's"}))).await;
        }
        let since = bench.mark().await;
        assert_eq!(bench.worker.work_queue().await, 1);
        writes += bench.written(since).await.len();
        let results = bench.results(id).await;
        let changed = |result: &&tp_domain::restore::outcome::ItemResult| {
            result.outcome == O::Refused && result.reason == Some(ReasonCode::TargetChanged)
        };
        refused += results.iter().filter(changed).count();
        runs.push(bench.run(run).await.state.outcome());
    }
    figure(
        "A29 100 changes between preview and execution, on each database",
        "100 refused (target_changed), 0 writes",
        &format!("{refused} refused in {} restores, {writes} writes", runs.len()),
        refused == 100 * runs.len()
            && writes == 0
            && runs.iter().all(|one| *one == Outcome::Failed),
    );
}

#[tokio::test]
async fn a29_each_plan_is_carried_out_once() {
    let (mut runs, mut writes, mut plans) = (0, 0, 0);
    for bench in benches().await {
        let nodes = bench.updates(100).await;
        let since = bench.mark().await;
        let scope = Arc::new(bench.scope().await);
        let mut tasks = Vec::new();
        for node in nodes {
            let (id, frozen) = bench.preview(bench.plan(vec![node])).await;
            plans += 1;
            for _ in 0..2 {
                let (scope, confirm) = (Arc::clone(&scope), bench.say(frozen.hash()));
                tasks.push(tokio::spawn(async move {
                    let said: Result<Confirmed, _> =
                        scope.restore_confirm(id, confirm, HowStarted::default()).await;
                    said.unwrap()
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        bench.world.db.clock.advance(Duration::from_secs(1));
        runs += bench.worker.work_queue().await;
        writes += bench.written(since).await.len();
    }
    figure(
        "A29 100 plans confirmed twice at once, on each database",
        "100 executions, each object written once",
        &format!("{plans} plans, {runs} executions, {writes} writes"),
        runs == plans && writes == plans,
    );
}

#[tokio::test]
async fn what_is_half_done_is_said_so_and_can_be_finished() {
    for bench in benches().await {
        let nodes = assigned(&bench).await;
        bench.faults(&json!([{"match": {"path_ends": "/assign"}, "times": 1,
            "action": {"kind": "status", "status": 403}}]));
        let since = bench.mark().await;
        let (id, run) = bench.restore(bench.plan(nodes)).await;
        let results = bench.results(id).await;
        assert_eq!(
            (results[0].outcome, results[0].reason),
            (O::Failed, Some(ReasonCode::HalfDone))
        );
        assert_eq!(results[0].cause, Some(ReasonCode::PermissionMissing));
        assert_eq!(results[0].step.as_deref(), Some("assignments"));
        assert!(results[0].half_done && results[0].graph_request_id.is_some());
        assert_eq!(results[1].outcome, O::Verified, "the others go on");
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded);
        assert_eq!(
            (run.context["half_done"].as_u64(), run.failures[0].code),
            (Some(1), ReasonCode::HalfDone)
        );
        let scope = bench.scope().await;
        bench.world.db.clock.advance(Duration::from_secs(1));
        let again = scope.restore_retry(id, HowStarted::default()).await.unwrap().run().id;
        assert_eq!(bench.worker.work_queue().await, 1);
        let run = bench.run(again).await;
        assert_eq!((run.state.outcome(), run.counts.total), (Outcome::Succeeded, Some(1)));
        assert_eq!(bench.results(id).await[0].outcome, O::Verified, "{}", bench.name());
        let paths: Vec<String> =
            bench.written(since).await.into_iter().map(|(_, path, _)| path).collect();
        let assigns = paths.iter().filter(|path| path.ends_with("/assign")).count();
        // The refused one did not reach the service; what was done is not done again.
        assert_eq!((assigns, paths.len()), (2, 4), "{paths:?}");
    }
}

#[tokio::test]
async fn a_plan_may_stop_at_its_first_failure() {
    for bench in benches().await {
        let mut plan = bench.plan(bench.updates(4).await);
        plan.stop_on_failure = true;
        bench.faults(&json!([{"match": {"method": "PATCH"}, "after": 1, "times": 1,
            "action": {"kind": "status", "status": 400}}]));
        let (id, run) = bench.restore(plan).await;
        let results = bench.results(id).await;
        let outcomes: Vec<O> = results.iter().map(|result| result.outcome).collect();
        assert_eq!(outcomes, [O::Verified, O::Failed, O::Skipped, O::Skipped], "{}", bench.name());
        assert_eq!(results[3].reason, Some(ReasonCode::StoppedAfterFailure));
        let counts = (run.counts.succeeded, run.counts.failed, run.counts.skipped);
        assert_eq!(counts, (1, 1, 2));
    }
}

#[tokio::test]
async fn what_refers_to_a_new_object_gets_its_id() {
    for bench in benches().await {
        let first = bench.creates(1).remove(0);
        let wanted = json!({"displayName": "second", "description": "the id comes here"});
        let mut second = create(PLAIN, "second", bench.wanted(&wanted, None));
        second.binds =
            vec![Bind { pointer: "/object/description".to_owned(), node: first.key.clone() }];
        let (id, _) = bench.restore(bench.plan(vec![first.clone(), second.clone()])).await;
        let results = bench.results(id).await;
        assert!(results.iter().all(|result| result.outcome == O::Verified), "{results:?}");
        let made = results[0].graph_id.clone().unwrap();
        let held = bench.held(PLAIN, results[1].graph_id.as_deref().unwrap()).await;
        assert_eq!(held["description"], made.as_str());
        bench.faults(&json!([{"match": {"method": "POST"}, "times": 1,
            "action": {"kind": "status", "status": 400}}]));
        let (id, _) = bench.restore(bench.plan(vec![first, second])).await;
        let results = bench.results(id).await;
        assert_eq!(results[1].reason, Some(ReasonCode::DependencyFailed), "{}", bench.name());
        assert_eq!(results[1].outcome, O::Skipped);
    }
}

#[tokio::test]
async fn a_lost_right_stops_the_next_write() {
    for bench in benches().await {
        let nodes = bench.updates(5).await;
        let store = bench.world.db.store.clone();
        let (workspace, user) = (bench.world.actor.workspace(), bench.world.actor.user());
        // An owner must remain.
        bench.second_owner().await;
        bench.kept.before(
            3,
            Arc::new(move || {
                let store = store.clone();
                Box::pin(async move {
                    store.console().member_set(workspace, None, user, Role::Reader).await.unwrap();
                })
            }),
        );
        let since = bench.mark().await;
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        assert_eq!(bench.worker.work_queue().await, 1);
        assert_eq!(bench.written(since).await.len(), 2, "{}: none after it", bench.name());
        let workspace = bench.world.actor.workspace();
        let console = bench.world.db.store.console();
        console.member_set(workspace, None, user, Role::Owner).await.unwrap();
        let results = bench.results(id).await;
        let reasons: Vec<_> = results.iter().map(|result| result.reason).collect();
        let lost = Some(ReasonCode::AuthorityLost);
        assert_eq!(reasons, [None, None, lost, lost, lost]);
        let run = bench.run(run).await;
        assert_eq!((run.reason, run.counts.succeeded, run.counts.skipped), (lost, 2, 3));
    }
}

#[tokio::test]
async fn a_cancel_is_heard_between_two_objects() {
    for bench in benches().await {
        let nodes = bench.updates(30).await;
        bench.faults(
            &json!([{"match": {"method": "PATCH"}, "action": {"kind": "latency", "ms": 150}}]),
        );
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        let (store, actor) = (bench.world.db.store.clone(), bench.world.actor.clone());
        bench.kept.before(
            2,
            Arc::new(move || {
                let (store, actor) = (store.clone(), actor.clone());
                Box::pin(async move {
                    let contoso = TenantRef::parse("contoso").unwrap();
                    let scope = store.enter::<CancelOperations>(&actor, &contoso).await.unwrap();
                    assert_eq!(scope.run_cancel(run, None).await.unwrap(), Some(Cancel::Asked));
                })
            }),
        );
        let shutdown = CancellationToken::new();
        let working = tokio::spawn(bench.worker.clone().run(shutdown.clone()));
        while bench.run(run).await.is_active() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shutdown.cancel();
        working.await.unwrap();
        let ended = bench.run(run).await;
        assert_eq!(ended.state.outcome(), Outcome::Canceled, "{}", bench.name());
        assert!((1..30).contains(&ended.counts.succeeded), "{:?}", ended.counts);
        let intents = bench.intents(id).await;
        assert!(intents.iter().all(|intent| intent.state == IntentState::Done), "none in the air");
        assert_eq!(intents.len() as u64, ended.counts.succeeded, "what is finished is reported");
    }
}

#[tokio::test]
async fn what_may_not_be_written_is_not_written() {
    for bench in benches().await {
        let mut nodes = Vec::new();
        for key in ["conditionalAccessPolicy", "termsOfUseAgreement", "noSuchType"] {
            nodes.push(create(key, "x", bench.wanted(&json!({"displayName": "x"}), None)));
        }
        let since = bench.mark().await;
        let (id, run) = bench.restore(bench.plan(nodes.clone())).await;
        let reasons: Vec<_> = bench.results(id).await.iter().map(|result| result.reason).collect();
        let only = Some(ReasonCode::PreviewOnly);
        assert_eq!(reasons, [only, only, Some(ReasonCode::UnsupportedType)], "{}", bench.name());
        assert_eq!(run.state.outcome(), Outcome::Failed);
        // Not even where an operator has enabled the type: an app on its own may not.
        let mut plan = bench.plan(vec![nodes[1].clone()]);
        plan.enabled_types = [nodes[1].policy_type.clone()].into();
        let (id, _) = bench.restore(plan).await;
        assert_eq!(bench.results(id).await[0].reason, Some(ReasonCode::AppOnlyNotSupported));
        assert!(bench.written(since).await.is_empty());
        // A payload that is not what was planned is not written either.
        let mut node = bench.creates(1).remove(0);
        if let Some(wanted) = &mut node.wanted {
            wanted.sha256 = "0".repeat(64);
        }
        let (id, _) = bench.restore(bench.plan(vec![node])).await;
        assert_eq!(bench.results(id).await[0].reason, Some(ReasonCode::PayloadUnreadable));
        assert!(bench.written(since).await.is_empty());
    }
}

#[tokio::test]
async fn what_was_there_before_is_kept_before_it_is_written_over() {
    for bench in benches().await {
        let nodes = bench.updates(2).await;
        let was = bench.read(PLAIN, &nodes[0].base.as_ref().unwrap().graph_id).await.unwrap();
        let (id, _) = bench.restore(bench.plan(nodes)).await;
        let items = bench.items(id).await;
        let kept = bench.kept.get(items[0].safety.as_ref().unwrap()).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept["object"], serde_json::Value::from(&was.object), "{}", bench.name());
        let _: Confirm =
            bench.say(bench.scope().await.restore_plan(id).await.unwrap().unwrap().hash());
    }
}
