//! `$batch`.

use serde_json::{Value, json};

use crate::world::{World, of};

fn get(id: &str, url: &str) -> Value {
    json!({"id": id, "method": "GET", "url": url})
}

#[tokio::test]
async fn each_request_is_judged_by_itself() {
    let world = World::new().await;
    let reply = world
        .batch(json!([
            get("a", "/deviceManagement/configurationPolicies"),
            get("b", "deviceManagement/deviceCategories/none"),
            {"id": 3, "method": "get", "url": "deviceManagement/roleScopeTags?$select=displayName"},
        ]))
        .await;
    assert_eq!(of(&reply, "a")["status"], 200);
    let next = of(&reply, "a")["body"]["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with(&world.sim.url), "{next}");
    assert_eq!(of(&reply, "b")["status"], 404);
    assert_eq!(of(&reply, "3")["status"], 200, "ids come back as text");
    let counters = world.control("GET", "/counters", &json!(null)).await.json();
    assert_eq!((&counters["graph"], &counters["graph_http"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn a_malformed_batch_is_refused_as_a_whole() {
    let world = World::new().await;
    let many: Vec<Value> = (0..21).map(|id| get(&id.to_string(), "groups")).collect();
    for requests in [
        json!(many),
        json!([]),
        json!([get("A", "groups"), get("a", "groups")]),
        json!([{"id": "1", "method": "GET"}]),
        json!([{"id": "1", "method": "GET", "url": "groups", "dependsOn": ["2"]}]),
        json!([
            {"id": "1", "method": "GET", "url": "groups", "dependsOn": ["2"]},
            {"id": "2", "method": "GET", "url": "groups", "dependsOn": ["1"]},
        ]),
    ] {
        let answer = world.post("/beta/$batch", json!({ "requests": requests })).await;
        assert_eq!(answer.status, 400, "{requests}");
    }
}

#[tokio::test]
async fn what_depends_on_a_failure_is_not_tried() {
    let world = World::new().await;
    let reply = world
        .batch(json!([
            {"id": "3", "method": "GET", "url": "groups", "dependsOn": ["2"]},
            {"id": "2", "method": "GET", "url": "groups", "dependsOn": ["1"]},
            get("1", "groups/none"),
            get("4", "groups"),
        ]))
        .await;
    let statuses = ["1", "2", "3", "4"].map(|id| of(&reply, id)["status"].as_u64().unwrap());
    assert_eq!(statuses, [404, 424, 424, 200]);
}

#[tokio::test]
async fn a_body_needs_its_kind() {
    let world = World::writer().await;
    let body = json!({"displayName": "New"});
    let url = "deviceManagement/deviceCategories";
    let reply = world
        .batch(json!([
            {"id": "1", "method": "POST", "url": url, "body": body},
            {"id": "2", "method": "POST", "url": url, "body": body, "headers": {"Content-Type": "application/json"}},
        ]))
        .await;
    assert_eq!(
        (&of(&reply, "1")["status"], &of(&reply, "2")["status"]),
        (&json!(400), &json!(201))
    );
}

#[tokio::test]
async fn faults_meet_single_requests_of_a_batch() {
    let world = World::new().await;
    world
        .faults(json!([{"match": {"path_contains": "roleScopeTags"}, "action": {"kind": "status", "status": 429, "retry_after": "7"}}]))
        .await;
    let two = json!([get("1", "deviceManagement/roleScopeTags"), get("2", "groups")]);
    let reply = world.batch(two.clone()).await;
    assert_eq!(of(&reply, "1")["status"], 429);
    assert_eq!(of(&reply, "1")["headers"]["Retry-After"], "7");
    assert_eq!(of(&reply, "2")["status"], 200);
    world
        .faults(json!([{"match": {"in_batch": true, "path_ends": "/groups"}, "action": {"kind": "reset", "when": "during"}}]))
        .await;
    let body = json!({ "requests": two });
    let broken = world.try_send("POST", "/beta/$batch", Some(&body), &[]).await.unwrap();
    assert!(broken.bytes().await.is_err(), "one broken answer breaks the connection of all");
    assert_eq!(world.get("/beta/groups").await.status, 200, "not the same alone");
}
