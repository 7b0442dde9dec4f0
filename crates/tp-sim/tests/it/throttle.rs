//! Throttling.

use serde_json::json;

use crate::world::{World, of};

async fn on(world: &World, speed: f64) {
    let settings = json!({"enabled": true, "speed": speed});
    assert_eq!(world.control("PUT", "/throttle", &settings).await.status, 200);
}

#[tokio::test]
async fn conditional_access_takes_one_a_second_and_says_not_when() {
    let world = World::new().await;
    let path = "/v1.0/identity/conditionalAccess/policies";
    assert_eq!(world.get(path).await.status, 200);
    assert_eq!(world.get(path).await.status, 200, "off unless it is wanted");
    on(&world, 0.001).await;
    assert_eq!(world.get(path).await.status, 200);
    let refused = world.get(path).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "TooManyRequests"));
    assert_eq!(refused.header("retry-after"), None);
    let reply = world.batch(json!([
        {"id": "1", "method": "GET", "url": "identity/conditionalAccess/namedLocations"},
        {"id": "2", "method": "GET", "url": "deviceManagement/deviceCategories"},
    ]));
    let reply = reply.await;
    assert_eq!(of(&reply, "1")["status"], 429);
    assert_eq!(of(&reply, "2")["status"], 200);
}

#[tokio::test]
async fn a_hundred_writes_fill_a_window() {
    let world = World::writer().await;
    // A window ten times as long, so that a slow machine does not get out of it.
    on(&world, 0.1).await;
    let path = "/beta/deviceManagement/deviceCategories";
    let id = world.first(path).await;
    let body = json!({"description": "x"});
    let mut first = None;
    for number in 0..101 {
        let answer = world.send("PATCH", &format!("{path}/{id}"), Some(&body)).await;
        if answer.status == 429 {
            first = Some((number, answer.header("retry-after").unwrap()));
            break;
        }
    }
    let (number, wait) = first.unwrap();
    assert_eq!(number, 100);
    assert!((1..=200).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    assert_eq!(world.get(path).await.status, 200, "reads have room");
}

#[tokio::test]
async fn the_directory_counts_units() {
    let world = World::new().await;
    assert_eq!(
        world.get("/v1.0/groups?$select=id").await.header("x-ms-resource-unit").unwrap(),
        "1"
    );
    let group = world.first("/v1.0/groups").await;
    let members = world.get(&format!("/v1.0/groups/{group}/members")).await;
    assert_eq!(members.header("x-ms-resource-unit").unwrap(), "3");
}
