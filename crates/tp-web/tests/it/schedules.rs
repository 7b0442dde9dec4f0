//! Schedules in forms: nothing changes that is not shown, one click is one run, times are seen first.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::world::{Person, World, hidden, worlds};

/// The fields of the form that say when.
const NIGHTLY: &str = "&every=day&at=02:30&zone=Europe/Berlin&catch_up=once&enabled=on";

async fn api_of(world: &World, person: &Person) -> String {
    format!("/api/v1/workspaces/{}/schedules", world.workspace(person).await)
}

/// Makes a schedule by the API and gives the address of its page and of its object.
async fn made(world: &World, person: &Person, body: &Value) -> (String, String) {
    let api = api_of(world, person).await;
    let reply = world.post_json(person, &api, &body.to_string(), &[]).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
    let object = format!("{api}/{}", reply.json()["id"].as_str().unwrap());
    let page = object.replace("/api/v1/workspaces/", "/w/");
    (page, object)
}

fn narrow(world: &World, more: &[String]) -> Value {
    let mut targets = vec![world.contoso.to_string()];
    targets.extend_from_slice(more);
    json!({
        "name": "Narrow", "kind": "inventory.sync", "targets": targets, "spread_seconds": 60,
        "inputs": {"types": ["roleScopeTag"], "include_foundations": false},
        "when": {"every": "hour", "minute": 5},
    })
}

#[tokio::test]
async fn a_form_changes_nothing_that_it_did_not_send() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let (page, object) = made(&world, &owner, &narrow(&world, &[])).await;
        let before = world.get(Some(&owner), &object).await.json();
        let form = owner.form(&format!("&name=Renamed&kind=inventory.sync&revision=1{NIGHTLY}"));
        let saved = world.post(&owner, &page, &form).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
        let after = world.get(Some(&owner), &object).await.json();
        assert_eq!(
            (after["name"].as_str(), after["zone"].as_str()),
            (Some("Renamed"), Some("Europe/Berlin"))
        );
        for kept in ["kind", "targets", "inputs", "spread_seconds"] {
            assert_eq!(after[kept], before[kept], "{kept} on {}", world.db.name());
        }
        let told = "SELECT details AS t FROM audit_entries WHERE action = 'schedule.changed'";
        let told: Value = serde_json::from_str(&world.db.store.test_texts(told).await[0]).unwrap();
        assert_eq!((&told["targets"], &told["inputs"]), (&before["targets"], &before["inputs"]));
    }
}

#[tokio::test]
async fn targets_and_types_are_shown_and_chosen() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let gone = uuid::Uuid::from_u128(77).to_string();
        let (page, object) =
            made(&world, &owner, &narrow(&world, std::slice::from_ref(&gone))).await;
        let shown = world.get(Some(&owner), &page).await.text;
        let contoso = format!("name=\"in-{}\" value=\"on\" checked", world.contoso);
        assert!(shown.contains(&contoso), "{shown}");
        assert!(shown.contains("name=\"type-roleScopeTag\" value=\"on\" checked"));
        assert!(shown.contains("and 1 that you do not see"), "{}", world.db.name());
        let chosen =
            "&name=N&revision=1&targets=chosen&types=chosen&foundations=on&spread_seconds=7";
        let none =
            world.post(&owner, &page, &owner.form(&format!("{chosen}{NIGHTLY}&type-x=on"))).await;
        assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(none.text.contains("Choose at least one policy type"), "{}", none.text);
        let secret = world.db.store.test_texts(match world.db.name() {
            "sqlite" => "SELECT lower(hex(id)) AS t FROM tenants WHERE slug = 'secret'",
            _ => "SELECT CAST(id AS TEXT) AS t FROM tenants WHERE slug = 'secret'",
        });
        let secret: uuid::Uuid = secret.await[0].parse().unwrap();
        let more = format!("&in-{secret}=on&type-deviceConfiguration=on&type-roleScopeTag=on");
        let saved =
            world.post(&owner, &page, &owner.form(&format!("{chosen}{NIGHTLY}{more}"))).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
        let after = world.get(Some(&owner), &object).await.json();
        assert_eq!(after["targets"], json!([secret.to_string(), gone]), "what is not shown stays");
        assert_eq!(after["inputs"]["types"], json!(["deviceConfiguration", "roleScopeTag"]));
        assert_eq!(
            (&after["inputs"]["include_foundations"], &after["spread_seconds"]),
            (&json!(true), &json!(7))
        );
        let all = "&name=N&revision=2&targets=all&types=all&spread_seconds=7";
        let saved = world.post(&owner, &page, &owner.form(&format!("{all}{NIGHTLY}"))).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
        let after = world.get(Some(&owner), &object).await.json();
        assert_eq!((&after["targets"], &after["inputs"]["types"]), (&json!("all"), &Value::Null));
        let list = page.rsplit_once('/').unwrap().0;
        let new = format!(
            "&kind=inventory.sync&name=M&targets=chosen&types=all&in-{}=on{NIGHTLY}",
            world.contoso
        );
        let new = world.post(&owner, list, &owner.form(&new)).await;
        let id = new.header("location").rsplit('/').next().unwrap();
        let new = world.get(Some(&owner), &format!("{}/{id}", api_of(&world, &owner).await)).await;
        assert_eq!(new.json()["targets"], json!([world.contoso.to_string()]), "{}", new.text);
    }
}

#[tokio::test]
async fn a_double_click_on_run_now_is_one_run() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let (page, _) = made(&world, &owner, &narrow(&world, &[])).await;
        let key = hidden(&world.get(Some(&owner), &page).await.text, "key");
        let form = owner.form(&format!("&key={key}"));
        let first = world.post(&owner, &format!("{page}/run"), &form).await;
        world.db.clock.advance(std::time::Duration::from_millis(150));
        let twice = world.post(&owner, &format!("{page}/run"), &form).await;
        assert_eq!(world.runs().await, 1, "one click, one run on {}", world.db.name());
        assert!(first.header("location").contains("?started="), "{}", first.text);
        assert_eq!(first.header("location"), twice.header("location"));
        let again = hidden(&world.get(Some(&owner), &page).await.text, "key");
        assert_ne!(again, key, "the next page has the next key");
        let without = world.post(&owner, &format!("{page}/run"), &owner.form("")).await;
        assert_eq!(without.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn the_next_five_times_are_seen_before_saving() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let list = "/t/contoso/schedules";
        let form = format!("&name=Nightly&kind=inventory.sync{NIGHTLY}&then=preview");
        let preview = world.post(&owner, list, &owner.form(&form)).await;
        assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
        assert_eq!(preview.text.matches("02:30 +01:00").count(), 5, "{}", preview.text);
        assert!(preview.text.contains("Nothing is saved yet") && preview.text.contains("Nightly"));
        let bad = form.replace("02:30", "99:00");
        let bad = world.post(&owner, list, &owner.form(&bad)).await;
        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
        let schedules = "SELECT count(*) AS n FROM schedules WHERE created_by IS NOT NULL";
        assert_eq!(world.db.store.test_count(schedules).await, 0, "{}", world.db.name());
        let saved = world.post(&owner, list, &owner.form(&form.replace("preview", "save"))).await;
        let page = saved.header("location").to_owned();
        let shown = world.get(Some(&owner), &page).await.text;
        assert_eq!(shown.matches("02:30 +01:00").count(), 5, "five on the page");
        let id = page.rsplit('/').next().unwrap();
        let object = format!("/api/v1/tenants/contoso/schedules/{id}");
        let times = world.get(Some(&owner), &object).await.json()["next_times"].clone();
        assert_eq!(times.as_array().unwrap().len(), 5, "five in the API");
        let other = form.replace("02:30", "04:45").replace("Nightly", "Later");
        let preview = world.post(&owner, &page, &owner.form(&format!("{other}&revision=1"))).await;
        assert_eq!(preview.text.matches("04:45 +01:00").count(), 5, "{}", preview.text);
        assert_eq!(world.get(Some(&owner), &object).await.json()["name"], "Nightly");
    }
}

#[tokio::test]
async fn a_reader_sees_every_control_and_why_it_is_off() {
    for world in worlds().await {
        let (owner, reader) = (world.person("owner").await, world.person("reader").await);
        let (page, _) = made(&world, &owner, &narrow(&world, &[])).await;
        let shown = world.get(Some(&reader), &page).await.text;
        assert!(shown.contains("needs the capability schedules.manage"));
        for control in ["Run now", "Delete", "Save", "Preview times"] {
            let off = format!(
                "aria-disabled=\"true\" aria-describedby=\"why-manage\">{control}</button>"
            );
            assert!(shown.contains(&off), "{control} on {}", world.db.name());
        }
        assert!(shown.contains("<fieldset disabled") && shown.contains("value=\"Narrow\""));
    }
}

#[tokio::test]
async fn a_schedule_that_somebody_else_changed_is_not_overwritten_unseen() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let (page, object) = made(&world, &owner, &narrow(&world, &[])).await;
        let form = |name: &str| owner.form(&format!("&name={name}&revision=1{NIGHTLY}"));
        world.post(&owner, &page, &form("First")).await;
        let stale = world.post(&owner, &page, &form("Second")).await;
        assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(stale.text.contains("Somebody else changed this schedule"), "{}", world.db.name());
        assert!(stale.text.contains("value=\"Second\""), "what was typed is still there");
        assert_eq!(hidden(&stale.text, "revision"), "2", "saving again is possible, and meant");
        assert_eq!(world.get(Some(&owner), &object).await.json()["name"], "First");
    }
}
