//! Faults over the wire.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{World, read};

const SET: &str = "/beta/deviceManagement/configurationPolicies";

async fn with(action: Value) -> World {
    let world = World::new().await;
    let rule = json!([{"match": {"path_contains": "configurationPolicies"}, "action": action}]);
    world.faults(rule).await;
    world
}

/// All ids that a client that follows next links sees, up to so many pages.
async fn all(world: &World, most: usize) -> (Vec<String>, usize) {
    let (mut seen, mut pages) = (Vec::new(), 0);
    let mut path = SET.to_owned();
    while pages < most {
        let page = world.get(&path).await;
        seen.extend(page.ids());
        pages += 1;
        let Some(next) = page.json()["@odata.nextLink"].as_str().map(str::to_owned) else { break };
        path = next.strip_prefix(&world.sim.url).unwrap().to_owned();
    }
    (seen, pages)
}

#[tokio::test]
async fn errors_carry_what_was_ordered() {
    let action = json!({"kind": "status", "status": 429, "retry_after": "2.128", "code": "activityLimitReached"});
    let answer = with(action).await.get(SET).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "activityLimitReached"));
    assert_eq!(answer.header("retry-after").unwrap(), "2.128");
    let answer = with(json!({"kind": "disguised_forbidden"})).await.get(SET).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "UnknownError"));
    assert!(answer.text.contains("ErrorCode"));
    let answer = with(json!({"kind": "vanish"})).await.get(&format!("{SET}/x")).await;
    assert_eq!(answer.code(), "ResourceNotFound");
    let answer =
        with(json!({"kind": "redirect", "to": "http://elsewhere.example/"})).await.get(SET).await;
    assert_eq!(
        (answer.status, answer.header("location").unwrap().as_str()),
        (302, "http://elsewhere.example/")
    );
}

#[tokio::test]
async fn rules_act_for_their_turn_only() {
    let world = World::new().await;
    let fault = |more: Value| {
        let mut fault = json!({"match": {"method": "GET", "tenant": world.tenant.domain, "query_contains": "top=5"}, "action": {"kind": "status", "status": 503}});
        fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([fault])
    };
    world.faults(fault(json!({"after": 1, "times": 2}))).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.get(&format!("{SET}?$top=5")).await.status);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
    assert_eq!(world.get(SET).await.status, 200);
    let seen = world.control("GET", "/faults", &json!(null)).await.json();
    assert_eq!(seen["faults"][0]["matched"], 4);
}

#[tokio::test]
async fn malformed_answers_of_all_kinds() {
    for (how, text) in [
        ("nan", "NaN"),
        ("bom", "\u{feff}"),
        ("lone_surrogate", "\\ud800"),
        ("nul", "\\u0000"),
        ("duplicate_keys", "\"id\":\"1\",\"id\":\"2\""),
        ("wrong_type", "[]"),
        ("wrong_items", "[\"a\",1,null,[]]"),
        ("value_is_object", "{\"value\":{"),
        ("value_is_null", "{\"value\":null}"),
        ("nothing", ""),
    ] {
        let answer = with(json!({"kind": "malformed", "how": how})).await.get(SET).await;
        assert_eq!(answer.status, 200, "{how}");
        assert!(answer.text.contains(text), "{how}: {}", answer.text);
    }
    let deep = with(json!({"kind": "malformed", "how": "deep"})).await.get(SET).await;
    assert!(deep.text.len() > 400_000);
    let cut = with(json!({"kind": "malformed", "how": "cut"})).await.get(SET).await;
    assert!(serde_json::from_str::<Value>(&cut.text).is_err());
    let no_value = with(json!({"kind": "malformed", "how": "no_value"})).await.get(SET).await;
    assert!(no_value.json().get("value").is_none());
    let bytes = with(json!({"kind": "malformed", "how": "invalid_utf8"})).await;
    let bytes = bytes.try_send("GET", SET, None, &[]).await.unwrap().bytes().await.unwrap();
    assert!(std::str::from_utf8(&bytes).is_err());
}

#[tokio::test]
async fn pages_go_wrong_in_many_ways() {
    let (seen, pages) = all(&World::new().await, 9).await;
    assert_eq!((seen.len(), pages), (52, 3));
    let (seen, pages) = all(&with(json!({"kind": "loop"})).await, 9).await;
    assert_eq!((pages, seen.into_iter().collect::<BTreeSet<_>>().len()), (9, 25));
    let endless = with(json!({"kind": "endless"})).await;
    let first = endless.get(SET).await.json()["@odata.nextLink"].clone();
    let path = first.as_str().unwrap().strip_prefix(&endless.sim.url).unwrap().to_owned();
    assert_ne!(endless.get(&path).await.json()["@odata.nextLink"], first);
    assert_eq!(all(&endless, 9).await.1, 9);
    let world = World::new().await;
    world.faults(json!([{"match": {"path_contains": "configurationPolicies"}, "times": 2, "action": {"kind": "empty_page"}}])).await;
    let (seen, pages) = all(&world, 9).await;
    assert_eq!((seen.len(), pages), (52, 5), "two empty pages, nothing lost");
    let (seen, _) = all(&with(json!({"kind": "duplicate", "across": true})).await, 9).await;
    assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>().len()), (54, 52));
    let (seen, _) = all(&with(json!({"kind": "duplicate"})).await, 9).await;
    assert_eq!(seen.len(), 55);
    let (seen, pages) = all(&with(json!({"kind": "shrink", "keep": 3})).await, 9).await;
    assert_eq!((seen.len(), pages), (3, 1));
    assert_eq!(all(&with(json!({"kind": "empty"})).await, 9).await.0.len(), 0);
    for link in [json!("relative"), json!(5), json!({"a": 1}), json!("http://elsewhere.example/x")]
    {
        let answer = with(json!({"kind": "next_link", "url": link})).await.get(SET).await;
        assert_eq!(answer.json()["@odata.nextLink"], link);
    }
}

#[tokio::test]
async fn connections_break_before_during_and_after_the_effect() {
    let set = "/beta/deviceManagement/deviceCategories";
    for (action, is_done) in [
        (json!({"kind": "reset"}), false),
        (json!({"kind": "reset", "when": "before"}), false),
        (json!({"kind": "reset", "when": "during"}), true),
        (json!({"kind": "reset", "when": "after"}), true),
        (json!({"kind": "status", "status": 500}), false),
        (json!({"kind": "status", "status": 504, "done": true}), true),
        (json!({"kind": "truncate"}), true),
    ] {
        let world = World::writer().await;
        let before = world.get(set).await.ids().len();
        let rule = json!([{"match": {"method": "POST"}, "times": 1, "action": action}]);
        world.faults(rule).await;
        let body = json!({"displayName": "New"});
        let failed = match world.try_send("POST", set, Some(&body), &[]).await {
            Err(_) => true,
            Ok(answer) => answer.status().as_u16() >= 500 || answer.bytes().await.is_err(),
        };
        assert!(failed, "{action}");
        let after = world.get(set).await.ids().len();
        assert_eq!(after - before, usize::from(is_done), "{action}");
    }
}

#[tokio::test]
async fn answers_can_come_slowly() {
    let dripping = with(json!({"kind": "drip", "ms": 1})).await;
    let answer = dripping.get(&format!("{SET}?$top=1&$select=id")).await;
    assert_eq!(answer.ids().len(), 1, "byte by byte, and whole in the end");
    let late = with(json!({"kind": "delay", "ms": 60})).await;
    let before = std::time::Instant::now();
    assert_eq!(late.get(SET).await.status, 200);
    assert!(before.elapsed().as_millis() >= 60);
    let huge = with(json!({"kind": "huge", "bytes": 5_000_000})).await;
    assert!(huge.get(SET).await.text.len() > 5_000_000);
}

#[tokio::test]
async fn tokens_are_revoked_in_the_middle() {
    let world = World::new().await;
    world.faults(json!([{"match": {"host": "graph"}, "after": 1, "times": 1, "action": {"kind": "revoke"}}])).await;
    assert_eq!(world.get(SET).await.status, 200);
    assert_eq!(world.get(SET).await.status, 401);
    assert_eq!(world.get(SET).await.status, 401, "until there is a new one");
    let token = format!("Bearer {}", world.new_token().await);
    let answer = world.try_send("GET", SET, None, &[("authorization", &token)]).await.unwrap();
    assert_eq!(read(answer).await.status, 200);
}

#[tokio::test]
async fn the_log_has_the_status_that_was_sent() {
    for (action, status) in [
        (json!({"kind": "redirect", "to": "/x"}), 302),
        (json!({"kind": "html"}), 200),
        (json!({"kind": "status", "status": 418}), 418),
        (json!({"kind": "reset"}), 0),
    ] {
        let world = with(action).await;
        drop(world.try_send("GET", SET, None, &[]).await);
        let log = world.control("GET", "/requests", &json!(null)).await.json();
        let last = log["requests"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["path"], &last["status"]), (&json!(SET), &json!(status)));
    }
}
