//! What pages say, for every state of a run and for hostile texts.

use axum::http::StatusCode;
use tp_domain::policy::{ObservedPolicy, PolicyType};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, Waiting, WaitingReason};
use tp_store::Ended;

use crate::world::{Person, World, worlds};

fn ended(outcome: Outcome) -> Ended {
    let reason = (outcome != Outcome::Succeeded).then_some(ReasonCode::GraphThrottled);
    Ended {
        outcome,
        reason,
        message: reason.map(|reason| reason.message(&[])),
        failures: Vec::new(),
        context: serde_json::json!({}),
        counts: tp_domain::counts::RunCounts::default(),
    }
}

/// A page is whole: one heading, a title, nothing inline.
fn is_whole(text: &str, path: &str) {
    assert_eq!(text.matches("<h1").count(), 1, "{path}");
    assert!(text.contains("– TenantPilot</title>"), "{path}");
    for inline in ["style=", "onclick=", "<script>", "javascript:"] {
        assert!(!text.contains(inline), "{path}: {inline}");
    }
}

async fn start(world: &World, person: &Person) -> String {
    let form = format!("csrf={}&back=/t/contoso/policies", person.csrf);
    let reply = world.post(person, "/t/contoso/inventory/sync", &form).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    reply.header("location").to_owned()
}

#[tokio::test]
async fn a_start_has_its_banner_and_a_second_one_says_so() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        let first = start(&world, &operator).await;
        assert!(first.starts_with("/t/contoso/policies?started="), "{first}");
        let page = world.get(Some(&operator), &first).await.text;
        assert!(page.contains("Inventory sync queued.") && page.contains("View run"));
        let second = start(&world, &operator).await;
        assert!(second.contains("?active="), "{second}");
        let page = world.get(Some(&operator), &second).await.text;
        assert!(
            page.contains("already active") && page.contains("View run"),
            "{}",
            world.db.name()
        );
        assert_eq!(world.runs().await, 1);
        let bell = world.get(Some(&operator), "/notifications").await.text;
        assert!(bell.contains("Inventory sync queued"));
    }
}

#[tokio::test]
async fn a_failed_dispatch_is_said_on_the_page() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        world.db.store.test_break_dispatch(true, &world.db.url).await;
        let back = start(&world, &operator).await;
        let page = world.get(Some(&operator), &back).await.text;
        assert!(
            page.contains("banner bad") && page.contains("could not be queued"),
            "{}",
            world.db.name()
        );
        let (_, id) = back.split_once("started=").unwrap();
        let page = world.get(Some(&operator), &format!("/t/contoso/operations/{id}")).await.text;
        assert!(page.contains("dispatch_failed") && page.contains("What to do"));
        is_whole(&page, "operation");
    }
}

#[tokio::test]
async fn a_run_has_a_page_in_every_state() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Pending) {
            let back = start(&world, &operator).await;
            let (_, id) = back.split_once("started=").unwrap();
            let path = format!("/t/contoso/operations/{id}");
            let page = || async { world.get(Some(&operator), &path).await.text };
            assert!(page().await.contains("Queued"), "{outcome}");
            let claim = world.claim().await;
            claim.progress().phase("Reading policy types: 1 of 84");
            world.pulse(&claim).await;
            let running = page().await;
            assert!(running.contains("Running") && running.contains("1 of 84"));
            let until = claim.now().plus(std::time::Duration::from_secs(12));
            let waiting = Waiting { reason: WaitingReason::Throttled, until };
            claim.progress().waiting(Some(waiting));
            world.pulse(&claim).await;
            assert!(page().await.contains("Microsoft Graph asked us to wait"));
            claim.progress().total(3);
            world.pulse(&claim).await;
            is_whole(&page().await, &path);
            claim.finish(ended(*outcome)).await.unwrap();
            let text = page().await;
            is_whole(&text, &path);
            let word = match outcome {
                Outcome::PartiallySucceeded => "Partially succeeded",
                Outcome::Failed => "Failed",
                Outcome::Blocked => "Blocked",
                Outcome::Canceled => "Canceled",
                Outcome::Succeeded | Outcome::Pending => "Succeeded",
            };
            assert!(text.contains(word), "{outcome} on {}", world.db.name());
        }
        for path in [
            "/t/contoso/overview",
            "/t/contoso/operations",
            "/operations",
            "/tenants",
            "/notifications",
            "/docs/reason-codes",
            "/docs/reason-codes/graph_throttled",
        ] {
            let reply = world.get(Some(&operator), path).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}");
            is_whole(&reply.text, path);
        }
    }
}

#[tokio::test]
async fn hostile_names_stay_text() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        start(&world, &operator).await;
        let claim = world.claim().await;
        let seen = ObservedPolicy {
            graph_id: "<img src=x>".to_owned(),
            name: Some("<script>alert(1)</script>\u{202e}gpj".to_owned()),
            platform: Some("\"><b>".to_owned()),
            odata_type: Some("</title>".to_owned()),
            created_at: None,
            modified_at: None,
            scope_tags: vec!["<i>".to_owned()],
            assigned: None,
            metadata: serde_json::json!({"state": "<u>"}),
        };
        let key = PolicyType::new("roleScopeTag").unwrap();
        claim.steps_plan(std::slice::from_ref(&key)).await.unwrap();
        claim.policies_observe(&key, vec![seen]).await.unwrap();
        let list = world.get(Some(&operator), "/t/contoso/policies").await.text;
        assert!(
            list.contains("&lt;script&gt;") && list.contains("[U+202E]"),
            "{}",
            world.db.name()
        );
        is_whole(&list, "policies");
        let (_, rest) = list.split_once("/t/contoso/policies/").unwrap();
        let id = rest.split('"').next().unwrap();
        let page = world.get(Some(&operator), &format!("/t/contoso/policies/{id}")).await.text;
        is_whole(&page, "policy");
        for raw in ["<img src=x>", "<i>", "<u>", "\"><b>", "</title></title>"] {
            assert!(!page.contains(raw), "{raw}");
        }
    }
}

#[tokio::test]
async fn bad_values_are_said_and_a_bad_cursor_is_refused() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        let page = world.get(Some(&operator), "/t/contoso/operations?status=foo&x=%3Cb%3E").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("ignored: status=foo"), "{}", world.db.name());
        let refused = world.get(Some(&operator), "/t/contoso/operations?cursor=nonsense").await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text.contains("cursor"));
        let live = world.get(Some(&operator), "/t/contoso/operations/live").await;
        assert_eq!(live.status, StatusCode::OK);
        assert!(live.header("etag").starts_with('"'));
    }
}

#[tokio::test]
async fn policy_types_have_a_page_each_and_a_list_with_filters() {
    for world in worlds().await {
        let reader = world.person("reader").await;
        let all = world.get(Some(&reader), "/policy-types").await.text;
        is_whole(&all, "/policy-types");
        assert!(all.contains("84 of 84 types") && all.contains("Settings catalog"));
        let path = "/policy-types?backup=metadata&category=nonsense&q=push";
        let few = world.get(Some(&reader), path).await.text;
        assert!(few.contains("1 of 84 types") && few.contains("ignored: category=nonsense"));
        let none = world.get(Some(&reader), "/policy-types?q=%3Cscript%3E").await.text;
        is_whole(&none, "an empty list");
        assert!(none.contains("No policy type matches"));
        let here = world.get(Some(&reader), "/t/contoso/policy-types").await.text;
        is_whole(&here, "/t/contoso/policy-types");
        assert!(here.contains("Not checked yet") && here.contains("Permissions of the app"));
        let foreign = world.get(Some(&reader), "/t/no-such/policy-types").await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{}", world.db.name());
        let catalog = tp_catalog::registry::Catalog::builtin().unwrap();
        for (key, contract) in catalog.iter() {
            let path = format!("/policy-types/{key}");
            let page = world.get(Some(&reader), &path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            is_whole(&page.text, &path);
            assert!(page.text.contains(&contract.permissions.read[0]), "{path}");
        }
        let unknown = world.get(Some(&reader), "/policy-types/nothing").await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    }
}
