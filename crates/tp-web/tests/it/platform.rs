//! The platform page: what is stuck is found and can be taken, gates say how long, readers see why not.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tp_domain::ids::WorkspaceId;

use crate::world::{Person, World, worlds};

async fn page_of(world: &World, person: &Person) -> String {
    format!("/w/{}/platform", world.workspace(person).await)
}

async fn start(world: &World, person: &Person) -> String {
    let body = json!({"kind": "inventory.sync"}).to_string();
    let reply = world.post_json(person, "/api/v1/tenants/contoso/runs", &body, &[]).await;
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_run_that_nobody_holds_is_not_offered_for_release() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let id = start(&world, &owner).await;
        world.db.clock.advance(Duration::from_mins(11));
        let path = page_of(&world, &owner).await;
        let page = world.get(Some(&owner), &path).await.text;
        assert!(page.contains("Likely stuck") && page.contains(&id), "{page}");
        assert!(!page.contains("Take from its worker"), "{}", world.db.name());
        assert!(page.contains("No worker holds it"));
        let claim = world.claim().await;
        world.db.clock.advance(Duration::from_mins(11));
        let page = world.get(Some(&owner), &path).await.text;
        assert!(page.contains("Take from its worker"), "{}", world.db.name());
        let form = owner.form(&format!("&run={id}&tenant={}", world.contoso));
        let taken = world.post(&owner, &format!("{path}/release"), &form).await;
        assert_eq!(taken.status, StatusCode::SEE_OTHER, "{}", taken.text);
        let told =
            "SELECT COALESCE(request_id, '') AS t FROM audit_entries WHERE action = 'run.released'";
        let told = world.db.store.test_texts(told).await;
        assert_eq!(told, [taken.header("x-request-id")], "{}", world.db.name());
        drop(claim);
    }
}

#[tokio::test]
async fn a_stuck_run_behind_many_that_wait_is_found() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let workspace: WorkspaceId = world.workspace(&owner).await.parse().unwrap();
        let store = &world.db.store;
        store.test_fill_runs(world.contoso, workspace, 230, &world.db.url).await;
        // Running, and waiting for something that is known: not stuck.
        let wait = "UPDATE operation_runs SET status = 'running', outcome = 'pending', reason = NULL, \
                    completed_at = NULL, heartbeat_at = created_at, waiting_reason = 'throttled', \
                    waiting_until = 9000000000000000, identity_hash = CAST(created_at AS TEXT)";
        store.test_execute(wait).await.unwrap();
        start(&world, &owner).await;
        let claim = world.claim().await;
        world.db.clock.advance(Duration::from_mins(2));
        let path = page_of(&world, &owner).await;
        let page = world.get(Some(&owner), &path).await.text;
        assert_eq!(page.matches("Take from its worker").count(), 1, "{}", world.db.name());
        assert!(page.contains(&claim.id().to_string()));
    }
}

#[tokio::test]
async fn a_gate_says_how_long_and_who_asked() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let path = page_of(&world, &owner).await;
        let close = |more: &str| owner.form(&format!("&kind=inventory.sync&note=Freeze{more}"));
        let close_path = format!("{path}/gates/close");
        for bad in ["&hours=", "&hours=soon", "&hours=9999"] {
            let refused = world.post(&owner, &close_path, &close(bad)).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
            assert!(refused.text.contains("how long"), "{}", refused.text);
        }
        let done = world.post(&owner, &close_path, &close("&hours=0")).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        let page = world.get(Some(&owner), &path).await.text;
        assert!(page.contains("data-l=\"Until\"><span>Until it is opened by hand"), "{page}");
        let open = world.post(&owner, &format!("{path}/gates/open"), &close("")).await;
        let told = "SELECT COALESCE(request_id, '') AS t FROM audit_entries \
                    WHERE action LIKE 'gate.%' ORDER BY at, id";
        let told = world.db.store.test_texts(told).await;
        assert_eq!(told, [done.header("x-request-id"), open.header("x-request-id")]);
        let api = path.replace("/w/", "/api/v1/workspaces/").replace("platform", "gates");
        let now = world.db.store.now();
        for (until, status) in [
            (json!({}), StatusCode::UNPROCESSABLE_ENTITY),
            (json!({"expires_at": "soon"}), StatusCode::UNPROCESSABLE_ENTITY),
            (json!({"expires_at": now.rfc3339()}), StatusCode::UNPROCESSABLE_ENTITY),
            (json!({"expires_at": null}), StatusCode::CREATED),
            (
                json!({"expires_at": now.plus(Duration::from_mins(1)).rfc3339()}),
                StatusCode::CREATED,
            ),
        ] {
            let mut body = json!({"kind": "*", "note": "Freeze"});
            body.as_object_mut().unwrap().extend(until.as_object().unwrap().clone());
            let reply = world.post_json(&owner, &api, &body.to_string(), &[]).await;
            assert_eq!(reply.status, status, "{until}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_reader_sees_gates_and_settings_and_why_they_are_off() {
    for world in worlds().await {
        let (owner, reader) = (world.person("owner").await, world.person("reader").await);
        let path = page_of(&world, &owner).await;
        let close = owner.form("&kind=inventory.sync&note=Freeze&hours=1");
        world.post(&owner, &format!("{path}/gates/close"), &close).await;
        let page = world.get(Some(&reader), &path).await.text;
        assert!(page.contains("needs the capability settings.manage"), "{page}");
        for control in ["Close gate", "Save", "Open<span"] {
            let off = format!("aria-disabled=\"true\" aria-describedby=\"why-manage\">{control}");
            assert!(page.contains(&off), "{control} on {}", world.db.name());
        }
    }
}
