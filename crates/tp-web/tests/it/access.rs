//! Who gets in, what nobody sees, and what does not come from our own page.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use crate::world::{PASSWORD, worlds};

#[test]
fn the_route_table_changes_only_on_purpose() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/routes.txt");
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(path, tp_web::table()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), tp_web::table());
}

#[tokio::test]
async fn a_sign_in_tells_nobody_what_was_wrong() {
    for world in worlds().await {
        let unknown = world.sign_in("nobody@example.com", PASSWORD).await;
        let wrong = world.sign_in("operator@example.com", "wrong horse battery").await;
        assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
        let same = |text: &str| text.replace("nobody", "operator");
        assert_eq!(same(&unknown.text), same(&wrong.text), "{}", world.db.name());
        let paused = world.sign_in("operator@example.com", PASSWORD).await;
        assert_eq!(paused.status, StatusCode::UNAUTHORIZED, "a second must pass first");
        world.db.clock.advance(std::time::Duration::from_secs(2));
        let right = world.sign_in("operator@example.com", PASSWORD).await;
        assert_eq!(
            (right.status, right.header("location")),
            (StatusCode::SEE_OTHER, "/operations")
        );
        let cookie = right.header("set-cookie");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    }
}

#[tokio::test]
async fn every_page_needs_a_session_and_has_its_headers() {
    for world in worlds().await {
        for line in tp_web::table().lines().filter(|line| line.starts_with("GET")) {
            let path = line.split_whitespace().nth(1).unwrap();
            let path = path
                .replace("{tenant}", "contoso")
                .replace("{number}", "1")
                .replace("{id}", &uuid::Uuid::nil().to_string());
            let reply = world.get(None, &path).await;
            let csp = reply.header("content-security-policy");
            assert!(csp.starts_with("default-src 'none'") && !csp.contains("unsafe"), "{path}");
            assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
            assert!(!reply.header("x-request-id").is_empty(), "{path}");
            if line.ends_with("nothing") {
                continue;
            }
            if path.starts_with("/api/") {
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
                assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
            } else {
                assert_eq!(reply.status, StatusCode::SEE_OTHER, "{path}");
                assert!(reply.header("location").starts_with("/login"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there() {
    for world in worlds().await {
        let hide = "DELETE FROM memberships WHERE tenant_id IS NULL AND user_id = (SELECT id FROM users WHERE email = 'operator@example.com')";
        let operator = world.person("operator").await;
        world.db.store.test_execute(hide).await.unwrap();
        assert_eq!(world.get(Some(&operator), "/t/contoso/overview").await.status, StatusCode::OK);
        let bodies = |section: &'static str| {
            let (world, operator) = (&world, &operator);
            async move {
                let foreign = world.get(Some(operator), &format!("/t/secret{section}")).await;
                let missing = world.get(Some(operator), &format!("/t/no-such{section}")).await;
                assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{section}");
                (foreign.text, missing.text)
            }
        };
        for section in ["/overview", "/policies", "/operations"] {
            let (foreign, missing) = bodies(section).await;
            assert_eq!(foreign, missing, "{section}: not a byte of difference");
        }
        let page = world.get(Some(&operator), "/tenants").await.text;
        assert!(!page.contains("secret"), "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_change_without_our_token_is_refused() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        let path = "/t/contoso/inventory/sync";
        for form in ["", "csrf=", "csrf=wrong", "csrf=%00"] {
            let reply = world.post(&operator, path, form).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{form}");
            assert!(reply.text.contains("Nothing was changed"), "{form}");
        }
        let good = format!("csrf={}", operator.csrf);
        let foreign = Request::post(path)
            .header(header::COOKIE, "tp=x")
            .header("sec-fetch-site", "cross-site")
            .body(Body::from(good.clone()))
            .unwrap();
        assert_ne!(world.send(foreign).await.status, StatusCode::OK);
        assert_eq!(world.runs().await, 0, "{}", world.db.name());
        let get = world.get(Some(&operator), path).await;
        assert_eq!(get.status, StatusCode::METHOD_NOT_ALLOWED, "GET changes nothing");
        let reply = world.post(&operator, path, &good).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER);
        assert_eq!(world.runs().await, 1);
    }
}

#[tokio::test]
async fn a_reader_sees_why_not_and_cannot() {
    for world in worlds().await {
        let reader = world.person("reader").await;
        let page = world.get(Some(&reader), "/t/contoso/overview").await.text;
        assert!(page.contains("aria-disabled=\"true\"") && page.contains("inventory.sync"));
        let form = format!("csrf={}", reader.csrf);
        let reply = world.post(&reader, "/t/contoso/inventory/sync", &form).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert!(reply.text.contains("inventory.sync"), "{}", world.db.name());
        assert_eq!(world.runs().await, 0);
    }
}
