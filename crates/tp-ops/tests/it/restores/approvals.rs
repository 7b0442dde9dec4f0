//! Multi-admin approval: parked, asked for, sent again with its code, or given up (PRODUCT G-6).

use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::ids::RunId;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::intent::IntentState;
use tp_domain::restore::outcome::ItemOutcome as O;
use tp_domain::run::{Outcome, WaitingReason};

use super::{Bench, PLAIN, benches};
use crate::proofs::figure;
use crate::reading::control;

impl Bench {
    /// The codes of the requests that wait, in the order in which they came.
    async fn codes(&self) -> Vec<String> {
        let all = control(&self.world.sim, reqwest::Method::GET, "approvals", None).await;
        let waiting = all["approvals"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["status"] == "needsApproval");
        waiting.map(|one| one["code"].as_str().unwrap().to_owned()).collect()
    }

    async fn decide(&self, code: &str, decision: &str) {
        let body = json!({"decision": decision});
        let path = format!("approvals/{code}");
        control(&self.world.sim, reqwest::Method::POST, &path, Some(body)).await;
    }

    /// Lets a minute pass and the run ask again.
    async fn ask_again(&self, run: RunId) {
        assert_eq!(self.run(run).await.waiting.unwrap().reason, WaitingReason::ExternalApproval);
        self.world.db.clock.advance(Duration::from_secs(61));
        assert_eq!(self.worker.work_queue().await, 1);
    }
}

#[tokio::test]
async fn twenty_requests_end_as_they_were_decided() {
    let (mut seen, mut sent) = (Vec::new(), Vec::new());
    for bench in benches().await {
        bench.change(json!({"maa": true})).await;
        let nodes = bench.updates(20).await;
        let since = bench.mark().await;
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        assert_eq!(bench.worker.work_queue().await, 1);
        let waiting = bench.outcomes(id).await[&O::AwaitingExternalApproval];
        let codes = bench.codes().await;
        assert_eq!((waiting, codes.len()), (20, 20), "{}", bench.name());
        bench.ask_again(run).await;
        assert_eq!(bench.written(since).await.len(), 20, "asking is not sending");
        for (number, code) in codes.iter().enumerate() {
            let decision = match number {
                0..12 => "approve",
                12..16 => "reject",
                _ => "expire",
            };
            bench.decide(code, decision).await;
        }
        bench.ask_again(run).await;
        let results = bench.results(id).await;
        let count = |outcome, reason: Option<ReasonCode>| {
            results.iter().filter(|one| one.outcome == outcome && one.reason == reason).count()
        };
        seen.push([
            count(O::Verified, None),
            count(O::Failed, Some(ReasonCode::ApprovalRejected)),
            count(O::Failed, Some(ReasonCode::ApprovalExpired)),
        ]);
        let log = bench.written(since).await;
        sent.push([412, 200].map(|status| log.iter().filter(|one| one.2 == status).count()));
        assert_eq!(bench.run(run).await.state.outcome(), Outcome::PartiallySucceeded);
    }
    figure(
        "MAA a restore of 20 objects: 12 approved, 4 rejected, 4 expired, on each database",
        "exactly that, each approved write sent once with its code",
        &format!("verified, rejected, expired: {seen:?}; parked and taken writes: {sent:?}"),
        !seen.is_empty()
            && seen.iter().all(|one| *one == [12, 4, 4])
            && sent.iter().all(|one| *one == [20, 12]),
    );
}

#[tokio::test]
async fn a_new_object_waits_for_approval_too() {
    for bench in benches().await {
        bench.change(json!({"maa": true})).await;
        let (id, run) = bench.confirm(bench.plan(bench.creates(2))).await;
        assert_eq!(bench.worker.work_queue().await, 1);
        assert_eq!(bench.named("made 0").await, 0);
        for code in bench.codes().await {
            bench.decide(&code, "approve").await;
        }
        bench.ask_again(run).await;
        assert_eq!(bench.outcomes(id).await[&O::Verified], 2, "{}", bench.name());
        assert_eq!((bench.named("made 0").await, bench.named("made 1").await), (1, 1));
        let intents = bench.intents(id).await;
        assert!(intents.iter().all(|one| one.sent == 2 && one.state == IntentState::Done));
    }
}

#[tokio::test]
async fn nobody_decides_for_three_days() {
    for bench in benches().await {
        bench.change(json!({"maa": true})).await;
        let (id, run) = bench.confirm(bench.plan(bench.updates(1).await)).await;
        assert_eq!(bench.worker.work_queue().await, 1);
        bench.world.db.clock.advance(Duration::from_hours(71));
        assert_eq!(bench.worker.work_queue().await, 1);
        assert_eq!(bench.outcomes(id).await[&O::AwaitingExternalApproval], 1);
        bench.world.db.clock.advance(Duration::from_hours(2));
        assert_eq!(bench.worker.work_queue().await, 1);
        let result = bench.results(id).await.remove(0);
        assert_eq!(result.reason, Some(ReasonCode::ApprovalExpired), "{}", bench.name());
        assert_eq!(bench.run(run).await.state.outcome(), Outcome::Failed);
    }
}

#[tokio::test]
async fn a_lost_word_of_waiting_is_found_by_its_mark() {
    for bench in benches().await {
        bench.change(json!({"maa": true})).await;
        let nodes: Vec<_> = bench.updates(1).await.into_iter().chain(bench.creates(1)).collect();
        bench.faults(&json!([
            {"match": {"path_contains": "deviceCategories", "method": "PATCH"}, "times": 1,
             "action": {"kind": "reset", "when": "after"}},
            {"match": {"path_contains": "deviceCategories", "method": "POST"}, "times": 1,
             "action": {"kind": "status", "status": 504, "done": true}}]));
        let since = bench.mark().await;
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        assert_eq!(bench.worker.work_queue().await, 1);
        assert_eq!(bench.outcomes(id).await[&O::AwaitingExternalApproval], 2, "{}", bench.name());
        let codes = bench.codes().await;
        assert_eq!(codes.len(), 2, "asked for once each");
        for code in &codes {
            bench.decide(code, "approve").await;
        }
        bench.ask_again(run).await;
        assert_eq!(bench.outcomes(id).await[&O::Verified], 2);
        assert_eq!(bench.written(since).await.len(), 4);
    }
}

#[tokio::test]
async fn what_was_changed_while_it_waited_is_not_written() {
    for bench in benches().await {
        bench.change(json!({"maa": true})).await;
        let nodes = bench.updates(1).await;
        let target = nodes[0].base.as_ref().unwrap().graph_id.clone();
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        assert_eq!(bench.worker.work_queue().await, 1);
        bench.behind(PLAIN, &target, Some(json!({"description": "somebody's"}))).await;
        bench.decide(&bench.codes().await[0], "approve").await;
        bench.ask_again(run).await;
        let result = bench.results(id).await.remove(0);
        assert_eq!((result.outcome, result.reason), (O::Refused, Some(ReasonCode::TargetChanged)));
        let held: Value = bench.held(PLAIN, &target).await;
        assert_eq!(held["description"], "somebody's", "{}", bench.name());
    }
}
