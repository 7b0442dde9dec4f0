//! Cancel, retry, schedules, platform: through pages and the API, as those who may and those who may not.

use axum::http::StatusCode;
use serde_json::json;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, Outcome};
use tp_store::Ended;

use crate::world::{Person, World, hidden, worlds};

async fn started(world: &World, person: &Person) -> String {
    let body = json!({"kind": "inventory.sync"}).to_string();
    let reply = world.post_json(person, "/api/v1/tenants/contoso/runs", &body, &[]).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn form(person: &Person, more: &str) -> String {
    format!("csrf={}{more}", person.csrf)
}

#[tokio::test]
async fn a_run_is_canceled_from_its_page_and_by_the_api() {
    for world in worlds().await {
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        let id = started(&world, &operator).await;
        let path = format!("/t/contoso/operations/{id}");
        let page = world.get(Some(&reader), &path).await.text;
        assert!(page.contains("Canceling needs the capability operations.cancel"));
        let denied = world.post(&reader, &format!("{path}/cancel"), &form(&reader, "")).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
        let done = world.post(&operator, &format!("{path}/cancel"), &form(&operator, "")).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER);
        assert!(world.get(Some(&operator), &path).await.text.contains("Canceled"));
        let api = format!("/api/v1/tenants/contoso/runs/{id}");
        let late = world.post_json(&operator, &format!("{api}/cancel"), "{}", &[]).await;
        assert_eq!(late.status, StatusCode::CONFLICT, "{}", world.db.name());
        let second = started(&world, &operator).await;
        let claim = world.claim().await;
        let path = format!("/api/v1/tenants/contoso/runs/{second}/cancel");
        let asked = world.post_json(&operator, &path, "{}", &[]).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED);
        let run = asked.json();
        assert!(run["cancel_requested_at"].is_string() && run["links"]["cancel"].is_null());
        drop(claim);
    }
}

#[tokio::test]
async fn what_failed_is_tried_again_and_a_double_click_is_one_run() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        let id = started(&world, &operator).await;
        let claim = world.claim().await;
        let code = ReasonCode::GraphUnavailable;
        let failure = Failure { code, message: code.message(&[]), count: 1, items: Vec::new() };
        let ended = Ended {
            outcome: Outcome::Failed,
            reason: Some(code),
            message: None,
            failures: vec![failure],
            context: json!({}),
            counts: tp_domain::counts::RunCounts::default(),
        };
        claim.finish(ended).await.unwrap();
        let path = format!("/t/contoso/operations/{id}");
        let page = world.get(Some(&operator), &path).await.text;
        assert!(page.contains("Retry what failed") && page.contains("Run again"));
        let retry = format!("{path}/retry");
        let body = form(&operator, &format!("&only=all&key={}", hidden(&page, "key")));
        let first = world.post(&operator, &retry, &body).await;
        let twice = world.post(&operator, &retry, &body).await;
        assert_eq!((first.status, twice.status), (StatusCode::SEE_OTHER, StatusCode::SEE_OTHER));
        let target = |reply: &crate::world::Reply| {
            reply.header("location").split('?').next().unwrap().to_owned()
        };
        assert_eq!(target(&first), target(&twice), "{}", world.db.name());
        let page = world.get(Some(&operator), &target(&first)).await.text;
        assert!(page.contains("Tries again"));
        let nothing = format!("/api/v1/tenants/contoso/runs/{id}/retry");
        let refused = world.post_json(&operator, &nothing, r#"{"only":"failed"}"#, &[]).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "no step and no item has failed");
        let bad = world.post_json(&operator, &nothing, r#"{"only":"some"}"#, &[]).await;
        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", bad.text);
    }
}

#[tokio::test]
async fn a_schedule_is_made_changed_run_and_deleted() {
    for world in worlds().await {
        let (owner, reader) = (world.person("owner").await, world.person("reader").await);
        let list = "/t/contoso/schedules";
        assert!(world.get(Some(&reader), list).await.text.contains("Nothing starts by itself yet"));
        let new = world.get(Some(&reader), "/t/contoso/schedules/new").await;
        assert_eq!(new.status, StatusCode::FORBIDDEN);
        let bad = form(&owner, "&name=Nightly&kind=inventory.sync&every=day&at=25:00&zone=UTC");
        let refused = world.post(&owner, list, &bad).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("hour 0 to 23") && refused.text.contains("Nightly"));
        let good = form(
            &owner,
            "&name=Nightly&kind=inventory.sync&every=day&at=02:30&zone=Europe/Berlin&catch_up=once&enabled=on",
        );
        let made = world.post(&owner, list, &good).await;
        assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
        let path = made.header("location").to_owned();
        let page = world.get(Some(&owner), &path).await.text;
        assert!(page.contains("Every day at 02:30 (Europe/Berlin)") && page.contains("Next times"));
        let now = form(&owner, &format!("&key={}", hidden(&page, "key")));
        let run = world.post(&owner, &format!("{path}/run"), &now).await;
        assert!(run.header("location").contains("started="));
        assert!(world.get(Some(&owner), run.header("location")).await.text.contains("View run"));
        let stale = world.post(&owner, &path, &format!("{good}&revision=99")).await;
        assert!(stale.text.contains("Somebody else changed this schedule"));
        let gone = world.post(&owner, &format!("{path}/delete"), &form(&owner, "")).await;
        assert_eq!(gone.status, StatusCode::SEE_OTHER);
        assert_eq!(world.get(Some(&owner), &path).await.status, StatusCode::NOT_FOUND);
        let api = "/api/v1/tenants/contoso/schedules";
        let bad =
            r#"{"name":"x","kind":"inventory.sync","when":{"every":"cron","cron":"61 * * * *"}}"#;
        let refused = world.post_json(&owner, api, bad, &[]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("five fields"), "{}", refused.text);
        let good = r#"{"name":"x","kind":"inventory.sync","when":{"every":"hour","minute":5}}"#;
        let made = world.post_json(&owner, api, good, &[]).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        assert_eq!(made.json()["next_times"].as_array().unwrap().len(), 5, "{}", world.db.name());
    }
}

#[tokio::test]
async fn the_platform_shows_and_a_gate_stops() {
    for world in worlds().await {
        let (owner, operator) = (world.person("owner").await, world.person("operator").await);
        let me = world.get(Some(&owner), "/api/v1/me").await.json();
        let workspace = me["workspace"].as_str().unwrap().to_owned();
        let path = format!("/w/{workspace}/platform");
        let page = world.get(Some(&owner), &path).await.text;
        assert!(page.contains("No worker") && page.contains("All gates are open"));
        let close = form(&owner, "&kind=inventory.sync&note=Freeze%3Cb%3E&hours=1");
        let done = world.post(&owner, &format!("{path}/gates/close"), &close).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        assert!(world.get(Some(&owner), &path).await.text.contains("Freeze&lt;b&gt;"));
        let body = json!({"kind": "inventory.sync"}).to_string();
        let start = "/api/v1/tenants/contoso/runs";
        let refused = world.post_json(&operator, start, &body, &[]).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert!(refused.text.contains("Freeze"), "{}", refused.text);
        let open = form(&owner, "&kind=inventory.sync");
        world.post(&owner, &format!("{path}/gates/open"), &open).await;
        started(&world, &operator).await;
        let body = form(&operator, "&kind=*");
        let denied = world.post(&operator, &format!("{path}/gates/open"), &body).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
        let settings = form(&owner, "&retention_days=6&max_running=9");
        let refused = world.post(&owner, &format!("{path}/settings"), &settings).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text.contains("7 to 3650"), "{}", refused.text);
        let api = format!("/api/v1/workspaces/{workspace}");
        let seen = world.get(Some(&owner), &format!("{api}/settings")).await.json();
        assert_eq!(seen["retention_days"], 90, "{}", world.db.name());
        let body = json!({"kind": "runs.prune"}).to_string();
        let run = world.post_json(&owner, &format!("{api}/runs"), &body, &[]).await;
        assert_eq!(run.status, StatusCode::ACCEPTED, "{}", run.text);
        let id = run.json()["id"].as_str().unwrap().to_owned();
        let page = world.get(Some(&owner), &format!("/w/{workspace}/operations/{id}")).await;
        assert!(page.text.contains("Clean up finished runs"));
        assert!(world.get(Some(&owner), "/operations").await.text.contains("Clean up finished"));
        let foreign = format!("/w/{}/platform", uuid::Uuid::from_u128(7));
        assert_eq!(world.get(Some(&owner), &foreign).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_queued_notification_is_switched_off_by_its_reader() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        let off = form(&operator, "&queued=off");
        world.post(&operator, "/notifications/settings", &off).await;
        started(&world, &operator).await;
        let page = world.get(Some(&operator), "/notifications").await.text;
        assert!(
            page.contains("Nothing here") && page.contains("Tell me also"),
            "{}",
            world.db.name()
        );
    }
}
