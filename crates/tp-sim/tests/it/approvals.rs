//! Multi-admin approval.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::{Read, World, read};

const WHY: &str = "x-msft-approval-justification";
const CODE: &str = "x-msft-approval-code";
const SET: &str = "/beta/deviceManagement/assignmentFilters";

async fn patch(world: &World, id: &str, headers: &[(&str, &str)]) -> Read {
    let body = json!({"description": "changed"});
    read(world.try_send("PATCH", &format!("{SET}/{id}"), Some(&body), headers).await.unwrap()).await
}

async fn decide(world: &World, code: &str, decision: &str) -> u16 {
    let body = json!({ "decision": decision });
    world.control("POST", &format!("/approvals/{code}"), &body).await.status
}

async fn protected() -> (World, String) {
    let world = World::writer().await;
    world.change(&json!({"maa": true})).await;
    let id = world.first(SET).await;
    (world, id)
}

async fn status(world: &World, code: &str) -> Value {
    let path = format!("/beta/deviceManagement/operationApprovalRequests/{code}");
    world.get(&path).await.json()["status"].clone()
}

#[tokio::test]
async fn a_protected_write_waits_for_its_approval() {
    let (world, id) = protected().await;
    let why = STANDARD.encode("because");
    let bare = patch(&world, &id, &[]).await;
    assert_eq!(bare.status, 400);
    assert!(bare.inner().contains(WHY));
    assert_eq!(patch(&world, &id, &[(WHY, "not base64!")]).await.status, 400);
    let long = STANDARD.encode("x".repeat(1025));
    assert_eq!(patch(&world, &id, &[(WHY, &long)]).await.status, 400);
    let parked = patch(&world, &id, &[(WHY, &why)]).await;
    assert_eq!(parked.status, 412);
    let code = parked.header(CODE).unwrap();
    assert_eq!(status(&world, &code).await, "needsApproval");
    assert_eq!(patch(&world, &id, &[(WHY, &why)]).await.status, 409, "a second request clashes");
    assert_eq!(patch(&world, &id, &[(CODE, &code)]).await.status, 412, "not approved yet");
    assert_eq!(decide(&world, &code, "approve").await, 200);
    let other = json!({"description": "something else"});
    let other =
        world.try_send("PATCH", &format!("{SET}/{id}"), Some(&other), &[(CODE, &code)]).await;
    assert_eq!(other.unwrap().status(), 400, "the request must be the same");
    assert_eq!(patch(&world, &id, &[(CODE, &code)]).await.status, 200);
    assert_eq!(patch(&world, &id, &[(CODE, &code)]).await.status, 400, "once");
    assert_eq!(status(&world, &code).await, "completed");
    let filter = world.get(&format!("{SET}/{id}")).await.json();
    assert_eq!(filter["description"], "changed");
}

#[tokio::test]
async fn a_request_can_be_rejected_or_expire() {
    let (world, id) = protected().await;
    for (decision, shown) in [("reject", "rejected"), ("expire", "expired")] {
        let parked = patch(&world, &id, &[(WHY, &STANDARD.encode("x"))]).await;
        let code = parked.header(CODE).unwrap();
        assert_eq!(decide(&world, &code, decision).await, 200);
        assert_eq!(decide(&world, &code, "approve").await, 400, "it is decided");
        assert_eq!(status(&world, &code).await, shown);
        assert_eq!(patch(&world, &id, &[(CODE, &code)]).await.status, 400);
    }
}

#[tokio::test]
async fn only_named_workloads_wait() {
    let world = World::writer().await;
    world.change(&json!({"protected": ["apps"]})).await;
    let id = world.first(SET).await;
    assert_eq!(patch(&world, &id, &[(WHY, "ignored")]).await.status, 200);
    let app =
        world.post("/beta/deviceAppManagement/mobileAppCategories", json!({"displayName": "x"}));
    assert_eq!(app.await.status, 400);
}

#[tokio::test]
async fn what_is_protected_is_listed() {
    let world = World::new().await;
    let list = async || {
        let page = world.get("/beta/deviceManagement/operationApprovalPolicies").await.json();
        let policies = page["value"].as_array().unwrap().clone();
        policies
            .iter()
            .map(|one| one["policyType"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list().await, [""; 0], "nothing is protected in a new estate");
    world.change(&json!({"protected": ["apps", "compliancePolicies"]})).await;
    assert_eq!(list().await, ["app", "unknownFutureValue"]);
    world.change(&json!({"maa": true})).await;
    assert_eq!(list().await.len(), 6);
    world.change(&json!({"maa": false})).await;
    assert_eq!(list().await, [""; 0]);
}
