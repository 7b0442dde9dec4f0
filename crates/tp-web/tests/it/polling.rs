//! What is polled or fixed: `ETag`s, notifications, the registry.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::world::worlds;

#[tokio::test]
async fn an_etag_changes_with_what_is_answered() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let body = json!({"kind": "inventory.sync"}).to_string();
        let run = world.post_json(&owner, "/api/v1/tenants/contoso/runs", &body, &[]).await.json();
        let path = format!("/api/v1/tenants/contoso/runs/{}", run["id"].as_str().unwrap());
        let first = world.get(Some(&owner), &path).await;
        let etag = first.header("etag").to_owned();
        let same = world.get_if_none_match(&owner, &path, &etag).await;
        assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
        let listed = world.get_if_none_match(&owner, &path, &format!("\"x\", W/{etag}")).await;
        assert_eq!(listed.status, StatusCode::NOT_MODIFIED, "a list, and a weak one");
        // The row stays as it is; what is said of it does not.
        world.db.clock.advance(Duration::from_mins(11));
        let later = world.get_if_none_match(&owner, &path, &etag).await;
        assert_eq!(later.status, StatusCode::OK, "{}", world.db.name());
        assert_eq!(later.json()["freshness"], "likely_stuck");
        assert_ne!(later.header("etag"), etag);
    }
}

#[tokio::test]
async fn notifications_are_marked_read_by_the_api() {
    for world in worlds().await {
        let (owner, operator) = (world.person("owner").await, world.person("operator").await);
        for types in ["roleScopeTag", "deviceConfiguration", "settingsCatalogPolicy"] {
            let body = json!({"kind": "inventory.sync", "inputs": {"types": [types]}}).to_string();
            let start = world.post_json(&owner, "/api/v1/tenants/contoso/runs", &body, &[]).await;
            assert_eq!(start.status, StatusCode::ACCEPTED, "{}", start.text);
        }
        let list = world.get(Some(&owner), "/api/v1/notifications").await.json();
        let id = list["data"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/notifications/{id}/read");
        let foreign = world.post_json(&operator, &path, "{}", &[]).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{}", foreign.text);
        for _ in 0..2 {
            let read = world.post_json(&owner, &path, "{}", &[]).await;
            assert_eq!(read.status, StatusCode::NO_CONTENT, "{}", read.text);
        }
        let unread = || async {
            world.get(Some(&owner), "/api/v1/me").await.json()["unread_notifications"].clone()
        };
        assert_eq!(unread().await, 2, "{}", world.db.name());
        let all = world.post_json(&owner, "/api/v1/notifications/read", "{}", &[]).await;
        assert_eq!((all.status, all.json()), (StatusCode::OK, json!({"read": 2})));
        assert_eq!(unread().await, 0);
        let more = world.post_json(&owner, "/api/v1/notifications/read", r#"{"x":1}"#, &[]).await;
        assert_eq!(more.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn every_kind_is_described_in_both_languages() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let kinds = world.get(Some(&owner), "/api/v1/kinds").await.json();
        for kind in kinds["data"].as_array().unwrap() {
            let (en, de) = (&kind["descriptions"]["en"], &kind["descriptions"]["de"]);
            assert_eq!(en, &kind["description"]);
            assert!(de.as_str().is_some_and(|text| text.ends_with('.')) && de != en, "{kind}");
        }
    }
}
