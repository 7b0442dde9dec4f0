//! Starting, finding and listing runs.

use std::time::Duration;

use tp_domain::access::ViewOperations;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, RunStatus};
use tp_store::{HowStarted, IdempotencyKey, RunFilter, RunTab, StartRefused, Started};

use crate::util::{at, key, succeeded, worlds};

#[tokio::test]
async fn a_second_equal_start_returns_the_active_run() {
    for world in worlds().await {
        let first = world.start("contoso", SyncInventory::everything()).await;
        let second = world.start("contoso", SyncInventory::everything()).await;
        assert!(matches!(first, Started::Created(_)), "{}", world.db.name());
        assert!(matches!(second, Started::Reused(_)));
        assert_eq!(first.run().id, second.run().id);
        assert_eq!(second.run().initiator_name, "operator");
        let other = world.start("fabrikam", SyncInventory::everything()).await;
        assert_ne!(other.run().id, first.run().id, "another tenant is another run");
        let some = SyncInventory::of_types(vec![key("roleScopeTag")], true);
        assert!(matches!(world.start("contoso", some).await, Started::Created(_)));
        let count = "SELECT count(*) AS n FROM operation_runs";
        assert_eq!(world.store().test_count(count).await, 3);
        assert_eq!(world.store().test_count("SELECT count(*) AS n FROM jobs").await, 3);
        let told = "SELECT count(*) AS n FROM notifications WHERE moment = 'queued'";
        assert_eq!(world.store().test_count(told).await, 3, "a reuse writes nothing");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'run.started'";
        assert_eq!(world.store().test_count(audited).await, 3);
    }
}

#[tokio::test]
async fn racing_equal_starts_make_one_run() {
    for world in worlds().await {
        let scope = std::sync::Arc::new(world.sync_scope("contoso").await);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let scope = scope.clone();
            tasks.spawn(async move {
                scope.run_start(&SyncInventory::everything(), HowStarted::default()).await.unwrap()
            });
        }
        let started = tasks.join_all().await;
        let created = started.iter().filter(|s| matches!(s, Started::Created(_))).count();
        assert_eq!(created, 1, "{}", world.db.name());
        assert!(started.iter().all(|s| s.run().id == started[0].run().id));
    }
}

/// Eight people of each tenant ask for each of eight things at once.
async fn asked_at_once(world: &crate::util::World) -> Vec<(&'static str, usize, Started)> {
    let mut tasks = tokio::task::JoinSet::new();
    for slug in ["contoso", "fabrikam"] {
        let scope = std::sync::Arc::new(world.sync_scope(slug).await);
        for number in 0..64 {
            let (scope, what) = (scope.clone(), number % 8);
            tasks.spawn(async move {
                let request = SyncInventory::of_types(vec![key(&format!("type{what}"))], true);
                (slug, what, scope.run_start(&request, HowStarted::default()).await.unwrap())
            });
        }
    }
    tasks.join_all().await
}

#[tokio::test]
async fn starts_that_come_at_once_are_each_answered_with_their_own_run() {
    for world in worlds().await {
        let started = asked_at_once(&world).await;
        let created = started.iter().filter(|(.., one)| matches!(one, Started::Created(_))).count();
        assert_eq!((started.len(), created), (128, 16), "{}", world.db.name());
        for (slug, what, one) in &started {
            let run = world.run(slug, one.run().id).await;
            let types = run.inputs["types"].to_string();
            assert_eq!(types, format!("[\"type{what}\"]"), "{}", world.db.name());
        }
        for (table, rows) in [
            ("operation_runs", 16),
            ("jobs", 16),
            ("notifications", 16),
            ("audit_entries WHERE action = 'run.started'", 16),
        ] {
            let count = format!("SELECT count(*) AS n FROM {table}");
            assert_eq!(world.store().test_count_text(&count).await, rows, "{table}");
        }
    }
}

#[tokio::test]
async fn starts_at_once_whose_jobs_fail_each_say_so() {
    for world in worlds().await {
        world.store().test_break_dispatch(true, &world.db.url).await;
        let started = asked_at_once(&world).await;
        world.store().test_break_dispatch(false, &world.db.url).await;
        for (.., one) in &started {
            assert_eq!(one.run().reason, Some(ReasonCode::DispatchFailed), "{}", world.db.name());
        }
        let active = "SELECT count(*) AS n FROM operation_runs WHERE outcome = 'pending'";
        assert_eq!(world.store().test_count(active).await, 0);
    }
}

#[tokio::test]
async fn a_start_after_the_end_is_a_new_run() {
    for world in worlds().await {
        let first = world.claimed("contoso").await;
        let id = first.id();
        first.finish(succeeded()).await.unwrap();
        let second = world.start("contoso", SyncInventory::everything()).await;
        assert!(matches!(second, Started::Created(_)));
        assert_ne!(second.run().id, id);
    }
}

#[tokio::test]
async fn an_idempotency_key_is_answered_once() {
    for world in worlds().await {
        let scope = world.sync_scope("contoso").await;
        let how = |body: &str| HowStarted {
            idempotency: Some(IdempotencyKey { key: "k1".into(), body_hash: body.into() }),
            request_id: None,
        };
        let request = SyncInventory::everything();
        let first = scope.run_start(&request, how("a")).await.unwrap();
        world.claim(1).await.unwrap().finish(succeeded()).await.unwrap();
        let again = scope.run_start(&request, how("a")).await.unwrap();
        assert!(matches!(&again, Started::Replayed { created: true, .. }), "{again:?}");
        assert_eq!(again.run().id, first.run().id, "the ended run, not a new one");
        let other = scope.run_start(&request, how("b")).await;
        assert!(matches!(other, Err(StartRefused::KeyReused)));
        world.db.clock.advance(Duration::from_hours(25));
        let later = scope.run_start(&request, how("b")).await.unwrap();
        assert!(matches!(later, Started::Created(_)), "a key is free again after a day");
    }
}

#[tokio::test]
async fn one_key_for_two_requests_at_once_makes_one_run() {
    for world in worlds().await {
        let scope = std::sync::Arc::new(world.sync_scope("contoso").await);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..16 {
            let scope = scope.clone();
            tasks.spawn(async move {
                let request = SyncInventory::of_types(vec![key(&format!("type{number}"))], true);
                let idempotency =
                    Some(IdempotencyKey { key: "k".into(), body_hash: number.to_string() });
                scope.run_start(&request, HowStarted { idempotency, request_id: None }).await
            });
        }
        let answers = tasks.join_all().await;
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(made, 1, "{}", world.db.name());
        let count = "SELECT count(*) AS n FROM operation_runs";
        assert_eq!(world.store().test_count(count).await, 1, "the others left nothing");
    }
}

#[tokio::test]
async fn a_failed_dispatch_leaves_a_failed_run_and_never_a_queued_one() {
    for world in worlds().await {
        world.store().test_break_dispatch(true, &world.db.url).await;
        // TRUST A37: a hundred of a hundred, each within a second.
        for _ in 0..100 {
            let began = std::time::Instant::now();
            let started = world.start("contoso", SyncInventory::everything()).await;
            assert!(began.elapsed() < Duration::from_secs(1), "{}", world.db.name());
            assert!(matches!(started, Started::Created(_)));
            let run = started.run();
            assert_eq!(run.state.status(), RunStatus::Completed, "{}", world.db.name());
            assert_eq!(run.state.outcome(), Outcome::Failed);
            assert_eq!(run.reason, Some(ReasonCode::DispatchFailed));
        }
        let count = world.store().test_count("SELECT count(*) AS n FROM notifications").await;
        assert_eq!(count, 200, "queued and ended, for each");
        assert_eq!(world.store().test_count("SELECT count(*) AS n FROM jobs").await, 0);
        world.store().test_break_dispatch(false, &world.db.url).await;
        let again = world.start("contoso", SyncInventory::everything()).await;
        assert!(again.run().is_active(), "the identity is free again");
    }
}

#[tokio::test]
async fn a_start_without_an_audit_entry_does_not_happen() {
    for world in worlds().await {
        let scope = world.sync_scope("contoso").await;
        let (broken, whole) = match world.store().dialect() {
            tp_store::Dialect::Sqlite => (
                "CREATE TRIGGER broken BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'x'); END",
                "DROP TRIGGER broken",
            ),
            // The application's role is no owner, so the audit table is blocked by its own key.
            tp_store::Dialect::Postgres => continue,
        };
        world.store().test_execute(broken).await.unwrap();
        assert!(
            scope.run_start(&SyncInventory::everything(), HowStarted::default()).await.is_err()
        );
        assert_eq!(world.store().test_count("SELECT count(*) AS n FROM operation_runs").await, 0);
        assert_eq!(world.store().test_count("SELECT count(*) AS n FROM notifications").await, 0);
        world.store().test_execute(whole).await.unwrap();
    }
}

#[tokio::test]
async fn lists_page_without_doubles_and_filter() {
    for world in worlds().await {
        for number in 0..7_u32 {
            let types = vec![key(&format!("type{number}"))];
            world.start("contoso", SyncInventory::of_types(types, true)).await;
            world.db.clock.advance(Duration::from_secs(1));
        }
        let mut claim = world.claim(1).await.unwrap();
        let failed = tp_store::Ended {
            outcome: Outcome::Failed,
            reason: Some(ReasonCode::GraphUnavailable),
            message: Some(ReasonCode::GraphUnavailable.message(&[])),
            ..succeeded()
        };
        claim.finish(failed).await.unwrap();
        claim = world.claim(1).await.unwrap();
        claim.finish(succeeded()).await.unwrap();
        let scope = world.runs("contoso").await;
        let (mut cursor, mut seen) = (None, Vec::new());
        loop {
            let page = scope
                .run_list(RunFilter { limit: 3, cursor, ..RunFilter::default() })
                .await
                .unwrap();
            seen.extend(page.runs.iter().map(|run| run.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 7, "{}", world.db.name());
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), 7);
        let scope = &scope;
        let all = |filter: RunFilter| async move {
            scope.run_list(RunFilter { limit: 50, ..filter }).await.unwrap().runs.len()
        };
        let none = RunFilter::default;
        assert_eq!(all(RunFilter { tab: Some(RunTab::Active), ..none() }).await, 5);
        assert_eq!(all(RunFilter { tab: Some(RunTab::Attention), ..none() }).await, 1);
        assert_eq!(all(RunFilter { outcomes: vec![Outcome::Succeeded], ..none() }).await, 1);
        assert_eq!(all(RunFilter { statuses: vec![RunStatus::Queued], ..none() }).await, 5);
        assert_eq!(all(RunFilter { kinds: vec!["other".into()], ..none() }).await, 0);
        assert_eq!(all(RunFilter { initiator: Some("PERA".into()), ..none() }).await, 7);
        assert_eq!(all(RunFilter { initiator: Some("%".into()), ..none() }).await, 0);
        let reasons = vec![ReasonCode::GraphUnavailable];
        assert_eq!(all(RunFilter { reasons, ..none() }).await, 1);
        let later = scope.run_get(seen[2]).await.unwrap().unwrap().state.created_at();
        assert_eq!(all(RunFilter { created_after: Some(later), ..none() }).await, 3);
        assert_eq!(all(RunFilter { created_before: Some(later), ..none() }).await, 4);
        let tabs = scope.run_tabs(None).await.unwrap();
        assert_eq!((tabs.all, tabs.active, tabs.attention), (7, 5, 1));
        assert_eq!((tabs.failed, tabs.partial, tabs.succeeded), (1, 0, 1));
        let fleet = world.store().enter_fleet::<ViewOperations>(&world.operator).unwrap();
        assert_eq!(fleet.fleet_run_tabs(None).await.unwrap().all, 7);
        assert_eq!(fleet.fleet_run_active().await.unwrap(), 5);
        let page = fleet.fleet_run_list(RunFilter { limit: 50, ..none() }).await.unwrap();
        assert_eq!(page.runs.len(), 7);
        let guest = world.store().enter_fleet::<ViewOperations>(&world.guest).unwrap();
        assert_eq!(guest.fleet_run_tabs(None).await.unwrap().all, 0, "another tenant's member");
        assert!(
            guest.fleet_run_list(RunFilter { limit: 50, ..none() }).await.unwrap().runs.is_empty()
        );
    }
}

#[tokio::test]
async fn a_later_success_voids_an_old_failure() {
    for world in worlds().await {
        let failed = tp_store::Ended { outcome: Outcome::Failed, ..succeeded() };
        world.claimed("contoso").await.finish(failed).await.unwrap();
        let scope = world.runs("contoso").await;
        assert_eq!(scope.run_tabs(None).await.unwrap().attention, 1);
        world.db.clock.advance(Duration::from_secs(1));
        world.claimed("contoso").await.finish(succeeded()).await.unwrap();
        let tabs = scope.run_tabs(None).await.unwrap();
        assert_eq!((tabs.attention, tabs.failed), (0, 1));
        let filter = RunFilter { limit: 1, ..RunFilter::default() };
        let newest = scope.run_list(filter).await.unwrap().runs.remove(0);
        let history = scope.run_history(&newest, 30).await.unwrap();
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].state.outcome(), Outcome::Failed);
    }
}

#[tokio::test]
async fn a_run_of_another_tenant_is_not_there() {
    for world in worlds().await {
        let run = world.start("contoso", SyncInventory::everything()).await.run().id;
        assert!(world.runs("contoso").await.run_get(run).await.unwrap().is_some());
        assert!(world.runs("fabrikam").await.run_get(run).await.unwrap().is_none());
        assert!(world.runs("fabrikam").await.run_steps(run).await.unwrap().is_empty());
        let contoso = at("contoso");
        let guest = world.store().enter::<ViewOperations>(&world.guest, &contoso);
        assert!(matches!(guest.await, Err(tp_store::Refused::NotFound)));
    }
}
