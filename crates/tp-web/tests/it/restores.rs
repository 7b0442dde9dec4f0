//! Restores in pages and API: who may begin, look and confirm, and what is refused.

use axum::http::StatusCode;

use crate::world::worlds;

#[tokio::test]
async fn a_restore_begins_at_something_that_is_there() {
    for world in worlds().await {
        let (owner, reader) = (world.person("owner").await, world.person("reader").await);
        let page = world.get(Some(&owner), "/t/contoso/restores").await;
        assert!(page.text.contains("No restore yet"), "{}", world.db.name());
        let foreign = world.get(Some(&reader), "/t/contoso/restores").await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN, "a reader previews nothing");
        let path = "/api/v1/tenants/contoso/restores";
        for (body, status) in [
            (r#"{"source":{"backup":7}}"#, StatusCode::NOT_FOUND),
            (
                r#"{"source":{"version":"00000000-0000-0000-0000-000000000001"}}"#,
                StatusCode::NOT_FOUND,
            ),
            (r#"{"source":{}}"#, StatusCode::UNPROCESSABLE_ENTITY),
            (r#"{"source":{"backup":1},"more":1}"#, StatusCode::UNPROCESSABLE_ENTITY),
        ] {
            let refused = world.post_json(&owner, path, body, &[]).await;
            assert_eq!(refused.status, status, "{body} {}", refused.text);
        }
        let refused = world.post(&owner, "/t/contoso/restores", &owner.form("&backup=7")).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        assert_eq!(world.runs().await, 0, "nothing was started");
    }
}

#[tokio::test]
async fn nothing_is_confirmed_that_was_not_previewed() {
    for world in worlds().await {
        let (owner, operator) = (world.person("owner").await, world.person("operator").await);
        let nobody = uuid::Uuid::nil();
        let hash = "0".repeat(64);
        let form = format!("&key=k&plan_hash={hash}&domain=contoso&reason=why");
        let path = format!("/t/contoso/restores/{nobody}/confirm");
        let refused = world.post(&operator, &path, &operator.form(&form)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", world.db.name());
        assert!(refused.text.contains("restore.execute"));
        let refused = world.post(&owner, &path, &owner.form(&form)).await;
        assert!(refused.status.is_client_error(), "{}", refused.text);
        let body = format!(r#"{{"plan_hash":"{hash}","confirm":"x","reason":"y"}}"#);
        let path = format!("/api/v1/tenants/contoso/restores/{nobody}/confirm");
        let refused = world.post_json(&owner, &path, &body, &[]).await;
        assert!(refused.status.is_client_error(), "{}", refused.text);
        let forged = r#"{"kind":"restore.execute","inputs":{}}"#;
        let refused = world.post_json(&owner, "/api/v1/tenants/contoso/runs", forged, &[]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
        assert_eq!(world.runs().await, 0);
    }
}
