//! The API: every refusal names what is allowed, and writes nothing.

use axum::http::StatusCode;

use crate::world::worlds;

const RUNS: &str = "/api/v1/tenants/contoso/runs";

#[tokio::test]
async fn bad_input_names_what_is_allowed() {
    let large = format!("{{\"kind\": \"{}\"}}", "x".repeat(1 << 20));
    let cases = [
        ("{", 422, "not JSON"),
        ("[]", 422, "JSON object"),
        ("{\"kind\":\"no.such\"}", 422, "inventory.sync"),
        ("{\"kind\":\"inventory.sync\",\"more\":1}", 422, "kind, inputs"),
        (
            "{\"kind\":\"inventory.sync\",\"inputs\":{\"types\":[\"noSuchType\"]}}",
            422,
            "/inputs/types/0",
        ),
        (
            "{\"kind\":\"inventory.sync\",\"inputs\":{\"typs\":[]}}",
            422,
            "types, include_foundations",
        ),
        (large.as_str(), 413, "1,048,576"),
    ];
    for world in worlds().await {
        let operator = world.person("operator").await;
        for (body, status, words) in cases {
            let reply = world.post_json(&operator, RUNS, body, &[]).await;
            let start = body.chars().take(60).collect::<String>();
            assert_eq!(reply.status.as_u16(), status, "{start}: {}", reply.text);
            assert!(reply.text.contains(words), "{start}: {}", reply.text);
            assert_eq!(reply.header("content-type"), "application/problem+json", "{start}");
            assert!(reply.json()["request_id"].is_string());
        }
        for (query, words) in [
            ("bogus=1", "Allowed: status"),
            ("limit=0", "1 to 200"),
            ("cursor=x", "page.next"),
            ("status=foo", "queued, running, completed"),
            ("sort=x", "created_at"),
        ] {
            let reply = world.get(Some(&operator), &format!("{RUNS}?{query}")).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
            assert!(reply.text.contains(words), "{query}: {}", reply.text);
        }
        let unknown = world.get(Some(&operator), "/api/v1/nothing").await;
        assert_eq!(
            (unknown.status, unknown.header("content-type")),
            (StatusCode::NOT_FOUND, "application/problem+json")
        );
        assert_eq!(world.runs().await, 0, "{}", world.db.name());
    }
}

#[tokio::test]
async fn a_start_is_202_then_200_and_a_key_is_answered_once() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        let body = "{\"kind\":\"inventory.sync\"}";
        let first = world.post_json(&operator, RUNS, body, &[("idempotency-key", "k")]).await;
        assert_eq!(first.status, StatusCode::ACCEPTED);
        let id = first.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(first.header("location"), format!("{RUNS}/{id}"));
        let second = world.post_json(&operator, RUNS, body, &[]).await;
        assert_eq!((second.status, second.json()["deduplicated"] == true), (StatusCode::OK, true));
        let replay = world.post_json(&operator, RUNS, body, &[("idempotency-key", "k")]).await;
        assert_eq!(
            (replay.status, replay.header("idempotent-replayed")),
            (StatusCode::ACCEPTED, "true")
        );
        let other = "{\"kind\":\"inventory.sync\",\"inputs\":{\"include_foundations\":false}}";
        let reused = world.post_json(&operator, RUNS, other, &[("idempotency-key", "k")]).await;
        assert_eq!(reused.json()["code"], "idempotency_key_reused", "{}", world.db.name());
        let run = world.get(Some(&operator), &format!("{RUNS}/{id}")).await;
        assert_eq!(
            (run.header("retry-after"), run.json()["tenant"].as_str()),
            ("2", Some("contoso"))
        );
        assert_eq!(world.runs().await, 1);
        let no_token = axum::http::Request::post(RUNS)
            .header("content-type", "application/json")
            .header("authorization", "Bearer tpat_nonsense")
            .body(axum::body::Body::from(body))
            .unwrap();
        assert_eq!(world.send(no_token).await.status, StatusCode::UNAUTHORIZED);
        let _ = world.contoso;
    }
}

#[tokio::test]
async fn lists_of_the_api_have_one_shape() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        for path in [
            "/tenants",
            "/runs",
            "/policy-types",
            "/reason-codes",
            "/notifications",
            "/tenants/contoso/runs",
            "/tenants/contoso/policies",
            "/tenants/contoso/coverage",
            "/tenants/contoso/groups",
            "/tenants/contoso/policy-types",
        ] {
            let reply = world.get(Some(&operator), &format!("/api/v1{path}")).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
            let json = reply.json();
            assert!(json["data"].is_array() && json["page"]["has_more"] == false, "{path}");
        }
        let document = world.get(None, "/api/v1/openapi.json").await.json();
        assert_eq!(document, tp_web::openapi());
        let types = world.get(Some(&operator), "/api/v1/policy-types").await.json();
        assert_eq!(types["data"].as_array().unwrap().len(), 84, "{}", world.db.name());
    }
}

#[tokio::test]
async fn policy_types_say_what_can_be_done_and_what_is_not_known_of_a_tenant() {
    for world in worlds().await {
        let reader = world.person("reader").await;
        let one = world.get(Some(&reader), "/api/v1/policy-types/deviceConfiguration").await.json();
        assert_eq!((&one["backup"], &one["restore"]), (&"full".into(), &"enabled".into()));
        assert_eq!(one["app_write"]["state"], "yes");
        assert!(!one["limits"].as_array().unwrap().is_empty());
        for (path, status) in [
            ("/policy-types/nothing", StatusCode::NOT_FOUND),
            ("/policy-types/%2e%2e", StatusCode::NOT_FOUND),
            ("/policy-types?backup=some", StatusCode::BAD_REQUEST),
            ("/policy-types?unknown=1", StatusCode::BAD_REQUEST),
            ("/tenants/no-such/policy-types", StatusCode::NOT_FOUND),
            ("/tenants/no-such/permissions", StatusCode::NOT_FOUND),
        ] {
            let reply = world.get(Some(&reader), &format!("/api/v1{path}")).await;
            assert_eq!(reply.status, status, "{path}: {}", reply.text);
        }
        let path = "/api/v1/policy-types?restore=enabled&q=script";
        let scripts = world.get(Some(&reader), path).await.json();
        let scripts = scripts["data"].as_array().unwrap();
        assert!(!scripts.is_empty() && scripts.iter().all(|one| one["restore"] == "enabled"));
        let here = world.get(Some(&reader), "/api/v1/tenants/contoso/policy-types").await.json();
        let state = |pointer: &str| here.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(state("/data/0/in_tenant/reading/state"), "not_checked");
        let permissions =
            world.get(Some(&reader), "/api/v1/tenants/contoso/permissions").await.json();
        assert_eq!(permissions["checked"], false);
        assert!(permissions["more_than_needed"].is_null(), "{}", world.db.name());
        assert!(permissions["needed"]["read"].as_array().unwrap().len() > 5);
    }
}
