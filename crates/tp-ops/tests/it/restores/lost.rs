//! TRUST A16: replies to writes that are lost. Nothing is made twice, and everything is known or said to be
//! unknown. `cargo xtask prove graph` collects the figure.

use std::collections::HashMap;

use serde_json::{Value, json};
use tp_domain::restore::intent::IntentState;
use tp_domain::restore::outcome::ItemOutcome as O;
use tp_domain::restore::plan::PlanNode;

use super::{Bench, PLAIN, benches, create, group};
use crate::proofs::figure;

/// Restores of fifty objects: the full number in an optimised build.
const RESTORES: usize = if cfg!(debug_assertions) { 2 } else { 20 };

/// How a reply is lost: before the service has done anything, after it, as 504, or in a hole.
fn faults(number: usize) -> Value {
    let kinds = [
        json!({"kind": "reset", "when": "after"}),
        json!({"kind": "status", "status": 504, "done": true}),
        json!({"kind": "drip"}),
        json!({"kind": "reset", "when": "before"}),
        json!({"kind": "status", "status": 504}),
        json!({"kind": "truncate"}),
    ];
    // Ten of the fifty writes, others in each restore. A rule that acts hides its request from those after it.
    let rules = (0..10).map(|at| {
        let after = (at * 4 + number * 3) % 37;
        json!({"match": {"path_contains": "deviceCategories", "method": if at % 2 == 0 { "POST" } else { "PATCH" }},
            "after": after / 2, "times": 1, "action": kinds[(at + number) % kinds.len()]})
    });
    Value::Array(rules.collect())
}

/// 25 changes and 25 new objects, in turn.
async fn fifty(bench: &Bench, number: usize) -> Vec<PlanNode> {
    let updates = bench.updates(25).await;
    let creates = (0..25).map(|at| {
        let name = format!("restore {number} object {at}");
        let wanted = bench.wanted(&json!({"displayName": name, "description": "new"}), None);
        create(PLAIN, &name, wanted)
    });
    updates.into_iter().zip(creates).flat_map(|(one, other)| [one, other]).collect()
}

#[tokio::test]
async fn a16_lost_replies_make_no_duplicates() {
    let (mut lost, mut twice, mut unsettled, mut outcomes) = (0, 0, 0, HashMap::new());
    let (mut restores, mut wrong) = (0, Vec::new());
    for bench in benches().await {
        for number in 0..RESTORES {
            let nodes = fifty(&bench, number).await;
            bench.faults(&faults(number));
            let (id, run) = bench.restore(bench.plan(nodes)).await;
            bench.faults(&json!([]));
            restores += 1;
            let intents = bench.intents(id).await;
            lost += intents.iter().filter(|intent| intent.reply_lost).count();
            unsettled += intents.iter().filter(|intent| intent.state.is_open()).count();
            // In the simulator, by the names: what it holds, not what was sent.
            let state = bench.all_held(PLAIN).await;
            let mut names: HashMap<&str, usize> = HashMap::new();
            for object in &state {
                *names.entry(object["displayName"].as_str().unwrap()).or_default() += 1;
            }
            twice += names.values().filter(|count| **count > 1).count();
            for item in bench.items(id).await {
                let result = item.result.unwrap();
                *outcomes.entry(result.outcome.as_str()).or_insert(0) += 1;
                let there = names.get(item.name.as_deref().unwrap_or_default()).copied();
                let good = match (result.outcome, item.action.as_str()) {
                    (O::Verified, "create") => there == Some(1),
                    (O::Verified, _) => {
                        let target = result.graph_id.clone().unwrap();
                        let object = state.iter().find(|one| one["id"] == *target).unwrap();
                        object["description"] == format!("as it was {target}")
                    }
                    (O::UnknownOutcome, "create") => there.is_none_or(|count| count == 1),
                    _ => false,
                };
                if !good {
                    wrong.push(format!(
                        "{} {number}: {} {:?} {there:?}",
                        bench.name(),
                        item.key,
                        result
                    ));
                }
            }
            if run.is_active() {
                wrong.push(format!("{} {number} has not ended", bench.name()));
            }
        }
    }
    figure(
        "A16 restores of 50 objects with 10 replies lost by reset, 504 and hole, both databases",
        "0 duplicates, every lost write settled or unknown_outcome",
        &format!(
            "{restores} restores, {lost} replies lost, {twice} duplicates, {unsettled} unsettled, outcomes {outcomes:?}, {} wrong {wrong:?}",
            wrong.len()
        ),
        twice == 0 && unsettled == 0 && wrong.is_empty() && lost >= restores * 9,
    );
}

#[tokio::test]
async fn a_lost_assignment_is_found_or_done_again() {
    for bench in benches().await {
        let key = "deviceManagementScript";
        bench.fill_with(&[key], 3).await;
        let mut nodes = Vec::new();
        for id in bench.ids(key).await {
            let live = bench.read(key, &id).await.unwrap();
            let to = [group("aaaaaaaa-0000-4000-8000-000000000009")];
            nodes.push(bench.update(
                key,
                &live,
                bench.wanted(&Value::from(&live.object), Some(&to)),
            ));
        }
        bench.faults(&json!([
            {"match": {"path_ends": "/assign"}, "times": 1, "action": {"kind": "reset", "when": "after"}},
            {"match": {"path_ends": "/assign"}, "times": 1, "action": {"kind": "reset", "when": "before"}}]));
        let (id, _) = bench.restore(bench.plan(nodes)).await;
        assert_eq!(bench.outcomes(id).await.get(&O::Verified), Some(&3), "{}", bench.name());
        let states: Vec<IntentState> =
            bench.intents(id).await.iter().map(|intent| intent.state).collect();
        let (done, lost) = (IntentState::Done, IntentState::Lost);
        // The first had happened; the second had not, and twice is as good as once.
        assert_eq!(states, [done, lost, done, done]);
    }
}

#[tokio::test]
async fn twins_are_not_taken_for_ours() {
    for bench in benches().await {
        // Ours is made, the answer never comes, and somebody else makes one of the same name meanwhile.
        let node = bench.creates(1).remove(0);
        bench.faults(&json!([{"match": {"method": "POST", "path_contains": "deviceCategories"},
            "times": 1, "action": {"kind": "drip"}}]));
        let since = bench.mark().await;
        let (id, _) = bench.confirm(bench.plan(vec![node])).await;
        let worker = bench.worker.clone();
        let working = tokio::spawn(async move { worker.work_queue().await });
        while bench.written(since).await.is_empty() {
            tokio::task::yield_now().await;
        }
        let twin = json!({"id": "11111111-0000-4000-8000-000000000001", "displayName": "made 0", "description": "new"});
        bench.late(PLAIN, twin).await;
        assert_eq!(working.await.unwrap(), 1);
        let result = bench.results(id).await.remove(0);
        assert_eq!(result.outcome, O::UnknownOutcome, "{}", bench.name());
        assert_eq!(bench.intents(id).await.len(), 1, "it was not sent again");
        // A retry looks again and does not send either.
        bench.world.db.clock.advance(std::time::Duration::from_secs(1));
        let scope = bench.scope().await;
        scope.restore_retry(id, tp_store::HowStarted::default()).await.unwrap();
        assert_eq!(bench.worker.work_queue().await, 1);
        assert_eq!(bench.results(id).await[0].outcome, O::UnknownOutcome);
        assert_eq!(bench.intents(id).await.len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_found_yet_is_not_made_again() {
    for bench in benches().await {
        // Made, its answer lost, and for longer than anybody looks not to be found (PROTOCOL 9.6).
        bench.change(json!({"new_objects_hidden_ms": 1_500})).await;
        bench.faults(&json!([{"match": {"method": "POST", "path_contains": "deviceCategories"},
            "times": 1, "action": {"kind": "reset", "when": "after"}}]));
        let since = bench.mark().await;
        let (id, _) = bench.restore(bench.plan(bench.creates(1))).await;
        assert_eq!(bench.results(id).await[0].outcome, O::UnknownOutcome, "{}", bench.name());
        assert_eq!(bench.written(since).await.len(), 1, "it was not sent again");
        let held = bench.all_held(PLAIN).await;
        assert_eq!(held.iter().filter(|one| one["displayName"] == "made 0").count(), 1);
    }
}
