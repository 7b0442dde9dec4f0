//! A worker dies at each step of a restore: nothing is written twice, and another goes on to an exact report.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tp_domain::restore::outcome::ItemOutcome as O;
use tp_domain::restore::plan::PlanNode;
use tp_store::testing::{BreakPoint, break_at, break_nowhere};

use super::{Bench, benches, group};

static REACHED: LazyLock<Notify> = LazyLock::new(Notify::new);

/// The lease of the workers here, and a moment more.
const OVER: Duration = Duration::from_secs(31);

/// Changes with assignments, and new objects.
async fn mixed(bench: &Bench) -> Vec<PlanNode> {
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
    nodes.extend(bench.creates(2));
    nodes
}

/// Lets the dead worker's lease run out, and another worker go on until the run has ended.
async fn take_over(bench: &mut Bench, number: u128) {
    bench.another(number);
    bench.world.db.clock.advance(OVER);
    bench.world.db.store.upkeep().sweep(Duration::from_secs(30)).await.unwrap();
    // A run that was lost is tried again after a wait.
    bench.world.db.clock.advance(Duration::from_mins(15));
    assert_eq!(bench.worker.work_queue().await, 1);
}

/// What is wrong after a restore that was killed: writes that came twice, objects that are there twice.
async fn wrong(bench: &Bench, since: u64) -> Vec<String> {
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    for (method, path, status) in bench.written(since).await {
        // New objects of one type share a path.
        if (200..300).contains(&status) && !path.ends_with("deviceCategories") {
            *seen.entry((method, path)).or_default() += 1;
        }
    }
    let mut wrong: Vec<String> = seen
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((method, path), count)| format!("{method} {path} {count} times"))
        .collect();
    for name in ["made 0", "made 1"] {
        let count = bench.named(name).await;
        if count > 1 {
            wrong.push(format!("{name} {count} times"));
        }
    }
    wrong
}

#[tokio::test]
async fn a_worker_dies_at_each_break_point() {
    let points: Vec<BreakPoint> =
        BreakPoint::ALL.iter().copied().filter(|point| point.is_of_restores()).collect();
    assert_eq!(points.len(), 3);
    for mut bench in benches().await {
        let mut number = 2;
        for point in &points {
            // The first, the second and later passes of the point.
            for passes in [1_u32, 2, 4, 6] {
                bench.fill_with(&[super::PLAIN], 1).await;
                let nodes = mixed(&bench).await;
                let since = bench.mark().await;
                let (id, run) = bench.confirm(bench.plan(nodes)).await;
                let mut kills = 0;
                for _ in 0..passes {
                    break_at(*point, || REACHED.notify_one());
                    let worker = bench.worker.clone();
                    let mut working = tokio::spawn(async move { worker.work_queue().await });
                    let died = tokio::select! {
                        () = REACHED.notified() => true,
                        _ = &mut working => false,
                    };
                    break_nowhere();
                    working.abort();
                    if !died || !bench.run(run).await.is_active() {
                        break;
                    }
                    kills += 1;
                    number += 1;
                    bench.another(number);
                    bench.world.db.clock.advance(OVER);
                    let lease = Duration::from_secs(30);
                    bench.world.db.store.upkeep().sweep(lease).await.unwrap();
                    bench.world.db.clock.advance(Duration::from_mins(15));
                    if kills == 2 {
                        // A third loss would end the run: three tries.
                        break;
                    }
                }
                if bench.run(run).await.is_active() {
                    number += 1;
                    bench.another(number);
                    assert_eq!(bench.worker.work_queue().await, 1, "{point:?}");
                }
                let wrong = wrong(&bench, since).await;
                assert!(wrong.is_empty(), "{} {point:?} {passes}: {wrong:?}", bench.name());
                let ended = bench.run(run).await;
                assert!(!ended.is_active(), "{point:?} {passes}");
                for item in bench.items(id).await {
                    let result = item.result.unwrap();
                    // A new object may have been written down and not sent: nobody knows, and it is said.
                    let known = result.outcome == O::Verified
                        || (item.action == "create" && result.outcome == O::UnknownOutcome);
                    assert!(known, "{} {point:?} {passes}: {} {result:?}", bench.name(), item.key);
                }
                assert_eq!(ended.counts.processed(), 4, "an exact report");
                assert!(kills > 0, "{point:?} {passes}");
            }
        }
    }
}

#[tokio::test]
async fn a_worker_dies_between_a_write_and_its_answer() {
    for mut bench in benches().await {
        for (number, method) in (20..).zip(["PATCH", "POST"]) {
            bench.fill_with(&[super::PLAIN], 1).await;
            let nodes = match method {
                "PATCH" => bench.updates(1).await,
                _ => bench.creates(1),
            };
            bench
                .faults(&json!([{"match": {"method": method, "path_contains": "deviceCategories"},
                "times": 1, "action": {"kind": "latency", "ms": 60_000}}]));
            let since = bench.mark().await;
            let (id, run) = bench.confirm(bench.plan(nodes)).await;
            let worker = bench.worker.clone();
            let working = tokio::spawn(async move { worker.work_queue().await });
            while bench.written(since).await.is_empty() {
                tokio::task::yield_now().await;
            }
            working.abort();
            bench.faults(&json!([]));
            take_over(&mut bench, number).await;
            assert_eq!(
                bench.outcomes(id).await.get(&O::Verified),
                Some(&1),
                "{method} {}",
                bench.name()
            );
            assert_eq!(bench.written(since).await.len(), 1, "{method}: once");
            assert!(bench.intents(id).await[0].reply_lost);
            assert!(!bench.run(run).await.is_active());
        }
    }
}

#[tokio::test]
async fn forty_objects_survive_a_kill_at_every_few_of_them() {
    for mut bench in benches().await {
        let nodes: Vec<PlanNode> =
            bench.updates(20).await.into_iter().chain(bench.creates(20)).collect();
        let since = bench.mark().await;
        let (id, run) = bench.confirm(bench.plan(nodes)).await;
        // Each process gives its run back properly when it is stopped, so no try is used up.
        let mut number = 40;
        while bench.run(run).await.is_active() {
            number += 1;
            bench.another(number);
            let before = bench.written(since).await.len();
            let worker = bench.worker.clone();
            let working = tokio::spawn(async move { worker.work_queue().await });
            while bench.written(since).await.len() < before + 7 && !working.is_finished() {
                tokio::task::yield_now().await;
            }
            working.abort();
            bench.world.db.clock.advance(OVER);
            bench
                .world
                .db
                .store
                .upkeep()
                .release(tp_domain::ids::WorkerId::from_uuid(uuid::Uuid::from_u128(number)))
                .await
                .unwrap();
        }
        let outcomes = bench.outcomes(id).await;
        let unknown = outcomes.get(&O::UnknownOutcome).copied().unwrap_or(0);
        let verified = outcomes.get(&O::Verified).copied().unwrap_or(0);
        assert_eq!(verified + unknown, 40, "{}: {outcomes:?}", bench.name());
        assert!(verified >= 34, "{outcomes:?}");
        for at in 0..20 {
            assert!(bench.named(&format!("made {at}")).await <= 1, "made {at}");
        }
    }
}
