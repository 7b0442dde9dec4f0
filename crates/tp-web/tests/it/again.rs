//! Runs of the workspace itself: their failures, their history, and doing them again.

use axum::http::StatusCode;
use serde_json::json;
use tp_domain::counts::RunCounts;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, Outcome};
use tp_store::Ended;

use crate::world::{Person, World, hidden, worlds};

fn ended(outcome: Outcome, failures: Vec<Failure>) -> Ended {
    let reason = failures.first().map(|failure| failure.code);
    Ended {
        outcome,
        reason,
        message: reason.map(|reason| reason.message(&[])),
        failures,
        context: json!({}),
        counts: RunCounts::default(),
    }
}

fn failure(code: ReasonCode, count: u64) -> Failure {
    Failure { code, message: code.message(&[]), count, items: Vec::new() }
}

/// A schedule over all tenants that was started by hand: the page of the schedule and of the run.
async fn umbrella(world: &World, owner: &Person) -> (String, String) {
    let workspace = world.workspace(owner).await;
    let body = json!({"name": "Nightly", "kind": "inventory.sync", "when": {"every": "hour", "minute": 5}});
    let api = format!("/api/v1/workspaces/{workspace}/schedules");
    let made = world.post_json(owner, &api, &body.to_string(), &[]).await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    let run = world.post_json(owner, &format!("{api}/{id}/run"), "{}", &[]).await.json();
    let run = run["id"].as_str().unwrap();
    (format!("/w/{workspace}/schedules/{id}"), format!("/w/{workspace}/operations/{run}"))
}

#[tokio::test]
async fn failures_without_items_are_counted() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let (_, run) = umbrella(&world, &owner).await;
        let claim = world.claim_of(OperationKind::ScheduleExecute).await;
        let failures =
            vec![failure(ReasonCode::ConsentMissing, 3), failure(ReasonCode::WorkerLost, 1)];
        claim.finish(ended(Outcome::Failed, failures)).await.unwrap();
        let page = world.get(Some(&owner), &run).await.text;
        let (_, table) = page.split_once("Failures</caption>").unwrap();
        let (table, _) = table.split_once("</table>").unwrap();
        for (code, count, what) in
            [("consent_missing", "× 3", "3 runs"), ("worker_lost", "× 1", "1 run")]
        {
            assert!(
                table.contains(code) && table.contains(count),
                "{code} on {}: {table}",
                world.db.name()
            );
            assert!(table.contains(what), "{what}: {table}");
        }
    }
}

#[tokio::test]
async fn an_umbrella_has_a_history_and_is_run_again() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let (schedule, run) = umbrella(&world, &owner).await;
        let first = world.get(Some(&owner), &run).await.text;
        assert!(first.contains("History of this operation"), "{}", world.db.name());
        let facts = ["View schedule</a>", "All tenants", "17 Jan 2026, 09:00", "Included"];
        assert!(facts.iter().all(|fact| first.contains(fact)), "inputs in words: {first}");
        let claim = world.claim_of(OperationKind::ScheduleExecute).await;
        claim
            .finish(ended(Outcome::Failed, vec![failure(ReasonCode::ConsentMissing, 2)]))
            .await
            .unwrap();
        let page = world.get(Some(&owner), &run).await.text;
        assert!(page.contains("Run again"), "{page}");
        let off = "aria-disabled=\"true\" aria-describedby=\"why-failed\">Retry what failed";
        assert!(page.contains(off) && page.contains("tried again one by one"), "{page}");
        let form = owner.form(&format!("&only=all&key={}", hidden(&page, "key")));
        let again = world.post(&owner, &format!("{run}/retry"), &form).await;
        let twice = world.post(&owner, &format!("{run}/retry"), &form).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.text);
        assert_eq!(again.header("location"), twice.header("location"), "a double click");
        assert_eq!(world.runs().await, 2, "{}", world.db.name());
        let new = world.get(Some(&owner), again.header("location")).await.text;
        assert!(new.contains(run.rsplit('/').next().unwrap()), "the old one is in the history");
        let failed = owner.form(&format!("&only=failed&key={}", hidden(&page, "key")));
        let refused = world.post(&owner, &format!("{run}/retry"), &failed).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        let reader = world.person("reader").await;
        let seen = world.get(Some(&reader), &run).await.text;
        assert!(seen.contains("needs the capability schedules.manage"), "{seen}");
        let denied =
            world.post(&reader, &format!("{run}/retry"), &reader.form("&only=all&key=k")).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
        world.post(&owner, &format!("{schedule}/delete"), &owner.form("")).await;
        let gone = world.get(Some(&owner), &run).await.text;
        assert!(gone.contains("Its schedule was deleted"), "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_run_of_the_workspace_is_started_again() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let api = format!("/api/v1/workspaces/{}/runs", world.workspace(&owner).await);
        let body = json!({"kind": "runs.prune"}).to_string();
        let old = world.post_json(&owner, &api, &body, &[]).await.json();
        let id = old["id"].as_str().unwrap();
        let early = world.post_json(&owner, &format!("{api}/{id}/retry"), "{}", &[]).await;
        assert_eq!(early.status, StatusCode::CONFLICT, "it has not ended: {}", early.text);
        let claim = world.claim_of(OperationKind::RunsPrune).await;
        claim.finish(ended(Outcome::Succeeded, Vec::new())).await.unwrap();
        let seen = world.get(Some(&owner), &format!("{api}/{id}")).await.json();
        assert_eq!(seen["links"]["retry"], format!("{api}/{id}/retry"), "{}", world.db.name());
        let again = world.post_json(&owner, &format!("{api}/{id}/retry"), "{}", &[]).await;
        assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
        assert_ne!(again.json()["id"], old["id"]);
        let page = api.replace("/api/v1/workspaces/", "/w/").replace("/runs", "/operations");
        let page = world.get(Some(&owner), &format!("{page}/{id}")).await.text;
        assert!(page.contains("Run again") && page.contains("Succeeded"));
        let other = again.json()["id"].as_str().unwrap().to_owned();
        assert!(page.contains(&other), "the newer one is in the history");
        let none = world
            .post_json(&owner, &format!("{api}/{id}/retry"), r#"{"only":"failed"}"#, &[])
            .await;
        assert_eq!(none.status, StatusCode::CONFLICT);
    }
}
