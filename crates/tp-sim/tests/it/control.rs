//! The control surface.

use serde_json::json;

use crate::world::World;

const SET: &str = "/beta/deviceManagement/deviceCategories";

#[tokio::test]
async fn unknown_names_are_refused() {
    let world = World::new().await;
    let tenant = format!("/tenants/{}", world.tenant.id);
    for (method, path, body) in [
        ("PUT", tenant.as_str(), json!({"permisions": []})),
        ("PUT", "/faults", json!([{"action": {"kind": "status", "status": 500}, "tims": 1}])),
        ("PUT", "/faults", json!([{"action": {"kind": "no_such_thing"}}])),
        ("PUT", "/throttle", json!({"enabled": true, "sped": 2})),
        ("POST", "/objects", json!({"tenant": world.tenant.id, "path": "/x", "action": "ad"})),
        ("POST", "/estate", json!({"tenant": world.tenant.id, "types": {"noSuchType": 1}})),
        ("PUT", tenant.as_str(), json!({"certificates": ["nonsense"]})),
    ] {
        assert_eq!(world.control(method, path, &body).await.status, 400, "{body}");
    }
    assert_eq!(world.control("GET", "/no-such-thing", &json!(null)).await.status, 404);
}

#[tokio::test]
async fn a_reset_brings_the_estate_back() {
    let world = World::new().await;
    let before = world.get(SET).await.ids();
    let add = json!({"tenant": world.tenant.id, "type": "deviceCategory", "action": "add", "object": {"id": "x", "displayName": "X"}});
    assert_eq!(world.control("POST", "/objects", &add).await.status, 200);
    let drop_it = json!({"tenant": world.tenant.id, "type": "deviceCategory", "action": "delete", "id": before[0]});
    assert_eq!(world.control("POST", "/objects", &drop_it).await.status, 200);
    assert_eq!(world.get(SET).await.ids(), ["x"]);
    world.change(&json!({"consented": false, "maa": true})).await;
    assert_eq!(world.control("POST", "/reset", &json!({"keep_estate": true})).await.status, 200);
    assert_eq!(world.new_token().await, "", "no consent yet");
    assert_eq!(world.control("POST", "/reset", &json!({})).await.status, 200);
    assert_eq!(world.get(SET).await.status, 401, "the tokens are void");
    let world = World { token: world.new_token().await, ..world };
    assert_eq!(world.get(SET).await.ids(), before);
    let counters = world.control("GET", "/counters", &json!(null)).await.json();
    assert_eq!(counters["graph"], 2);
}

#[tokio::test]
async fn six_types_with_a_thousand_policies_each() {
    let world = World::new().await;
    let types = json!({"deviceConfiguration": 1000, "settingsCatalogPolicy": 1000, "deviceCompliancePolicy": 1000,
        "mobileApp": 1000, "deviceManagementScript": 1000, "conditionalAccessPolicy": 1000});
    let fill = json!({"tenant": world.tenant.id, "types": types});
    let done = world.control("POST", "/estate", &fill).await;
    assert_eq!(done.json()["objects"], 6000);
    for (path, count) in [
        ("/beta/deviceManagement/deviceConfigurations", 1004),
        ("/beta/deviceManagement/configurationPolicies", 1012),
        ("/beta/deviceManagement/deviceCompliancePolicies", 1000),
        ("/v1.0/identity/conditionalAccess/policies", 1000),
    ] {
        assert_eq!(world.get(&format!("{path}/$count")).await.text, count.to_string(), "{path}");
    }
}

#[tokio::test]
async fn the_same_seed_makes_the_same_estate() {
    let (one, two) = (World::new().await, World::new().await);
    let path = format!("/state?tenant={}", one.tenant.id);
    let state = |world: &World| world.sim.sim.expected();
    assert_eq!(state(&one), state(&two));
    let (one, two) = (
        one.control("GET", &path, &json!(null)).await,
        two.control("GET", &path, &json!(null)).await,
    );
    assert_eq!(one.text, two.text);
}

#[tokio::test]
async fn latency_is_added_to_each_request() {
    let world = World::new().await;
    assert_eq!(world.control("PUT", "/latency", &json!({"ms": 50})).await.status, 200);
    let before = std::time::Instant::now();
    assert_eq!(world.get(SET).await.status, 200);
    assert!(before.elapsed().as_millis() >= 50);
}

#[tokio::test]
async fn the_log_names_batches() {
    let world = World::new().await;
    world.batch(json!([{"id": "1", "method": "GET", "url": "groups?$top=1"}])).await;
    let log = world.control("GET", "/requests", &json!(null)).await.json();
    let log = log["requests"].as_array().unwrap();
    let (item, whole) = (&log[log.len() - 2], &log[log.len() - 1]);
    assert_eq!((&item["path"], &item["query"]), (&json!("/beta/groups"), &json!("$top=1")));
    assert!(item["batch"].is_string() && whole["batch"].is_null());
    let since = whole["number"].as_u64().unwrap();
    let later =
        world.control("GET", &format!("/requests?since={since}"), &json!(null)).await.json();
    assert_eq!(later["requests"], json!([]));
}
