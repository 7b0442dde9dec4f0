//! Writing the inventory: exact counts, nothing written twice, missing only when complete.

use std::time::Duration;

use tp_domain::completeness::Completeness;
use tp_domain::policy::ObservedGroup;
use tp_domain::reason::ReasonCode;
use tp_domain::run::StepState;
use tp_store::{Observed, PolicyFilter, PolicyStateFilter, TypeEnd};

use crate::util::{LEASE, World, key, policy, succeeded, worlds};

fn complete(listed: u64, digest: &str) -> TypeEnd {
    TypeEnd { completeness: Completeness::Complete, listed, digest: digest.to_owned() }
}

/// One sync of one type that lists these ids.
async fn sync(world: &World, ids: &[&str], end: TypeEnd) -> (Observed, Completeness) {
    world.db.clock.advance(Duration::from_mins(1));
    let claim = world.claimed("contoso").await;
    let tags = key("roleScopeTag");
    claim.steps_plan(std::slice::from_ref(&tags)).await.unwrap();
    claim.step_begin(&tags).await.unwrap();
    let policies = ids.iter().map(|id| policy(id, &format!("Policy {id}"))).collect();
    let observed = claim.policies_observe(&tags, policies).await.unwrap();
    let completeness = claim.type_end(&tags, end).await.unwrap();
    claim.finish(succeeded()).await.unwrap();
    (observed, completeness)
}

async fn missing(world: &World) -> Vec<String> {
    let filter =
        PolicyFilter { state: PolicyStateFilter::Missing, limit: 200, ..PolicyFilter::default() };
    let page = world.policies("contoso").await.policy_list(filter).await.unwrap();
    page.policies.into_iter().map(|policy| policy.observed.graph_id).collect()
}

#[tokio::test]
async fn a_second_sync_without_changes_writes_nothing_new() {
    for world in worlds().await {
        let (first, _) = sync(&world, &["a", "b", "c"], complete(3, "abc")).await;
        assert_eq!(first, Observed { counted: 3, rows_written: 3 }, "{}", world.db.name());
        let changed = "SELECT max(changed_at) AS n FROM policies";
        let before = world.store().test_count(changed).await;
        let (second, _) = sync(&world, &["a", "b", "c"], complete(3, "abc")).await;
        assert_eq!(second, Observed { counted: 3, rows_written: 0 });
        assert_eq!(world.store().test_count(changed).await, before);
    }
}

#[tokio::test]
async fn only_a_complete_listing_makes_an_object_missing() {
    for world in worlds().await {
        sync(&world, &["a", "b", "c"], complete(3, "abc")).await;
        let cut = TypeEnd {
            completeness: Completeness::Partial(ReasonCode::GraphThrottled),
            ..complete(1, "a")
        };
        sync(&world, &["a"], cut).await;
        assert!(missing(&world).await.is_empty(), "{}", world.db.name());
        sync(&world, &["a", "b"], complete(2, "ab")).await;
        assert_eq!(missing(&world).await, ["c"]);
        let coverage = world.policies("contoso").await.coverage().await.unwrap();
        assert_eq!(coverage.len(), 1);
        assert_eq!((coverage[0].listed, coverage[0].missing), (2, 1));
        sync(&world, &["a", "b", "c"], complete(3, "abc")).await;
        assert!(missing(&world).await.is_empty(), "it came back");
    }
}

#[tokio::test]
async fn a_sudden_loss_must_be_seen_twice() {
    for world in worlds().await {
        let many: Vec<String> = (0..40).map(|number| format!("id{number:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        sync(&world, &many, complete(40, "all")).await;
        let (_, first) = sync(&world, &[], complete(0, "none")).await;
        assert_eq!(first, Completeness::Partial(ReasonCode::SuspiciousShrink));
        assert!(missing(&world).await.is_empty(), "{}", world.db.name());
        let (_, second) = sync(&world, &[], complete(0, "none")).await;
        assert_eq!(second, Completeness::Complete);
        assert_eq!(missing(&world).await.len(), 40);
    }
}

#[tokio::test]
async fn a_run_that_is_taken_over_counts_each_object_once() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let tags = key("roleScopeTag");
        claim.steps_plan(std::slice::from_ref(&tags)).await.unwrap();
        let observed = vec![policy("a", "A"), policy("b", "B"), policy("a", "A")];
        claim.policies_observe(&tags, observed.clone()).await.unwrap();
        world.db.clock.advance(LEASE + Duration::from_secs(1));
        world.store().upkeep().sweep(LEASE).await.unwrap();
        let heir = world.claim(2).await.unwrap();
        assert_eq!(heir.counts().succeeded, 2, "{}", world.db.name());
        let steps = heir.steps_plan(std::slice::from_ref(&tags)).await.unwrap();
        assert_eq!(steps.len(), 1);
        heir.policies_observe(&tags, observed).await.unwrap();
        heir.type_end(&tags, complete(2, "ab")).await.unwrap();
        heir.progress().total(2);
        let id = heir.id();
        heir.finish(succeeded()).await.unwrap();
        let scope = world.runs("contoso").await;
        let run = scope.run_get(id).await.unwrap().unwrap();
        assert_eq!((run.counts.total, run.counts.succeeded), (Some(2), 2));
        let steps = scope.run_steps(id).await.unwrap();
        assert_eq!((steps[0].state, steps[0].listed), (StepState::Succeeded, 2));
    }
}

#[tokio::test]
async fn groups_feed_the_directory_cache() {
    for world in worlds().await {
        let group = |name: &str| ObservedGroup {
            graph_id: "g1".to_owned(),
            name: Some(name.to_owned()),
            group_type: "security".to_owned(),
        };
        let claim = world.claimed("contoso").await;
        claim.steps_plan(&[key("group")]).await.unwrap();
        let first = claim
            .groups_observe(&key("group"), vec![group("Pilot"), group("Pilot")])
            .await
            .unwrap();
        assert_eq!(first, Observed { counted: 1, rows_written: 1 });
        let asked = |name: &str| [("group".to_owned(), name.to_owned())];
        let known = claim.ids_of_names(asked("Pilot").into()).await.unwrap();
        assert_eq!(known[&asked("Pilot")[0]], "g1", "{}", world.db.name());
        assert!(
            claim.ids_of_names(asked("pilot").into()).await.unwrap().is_empty(),
            "another name"
        );
        let twin = ObservedGroup { graph_id: "g2".to_owned(), ..group("PILOT") };
        claim.groups_observe(&key("group"), vec![group("Pilot"), twin]).await.unwrap();
        let twins = claim.ids_of_names(asked("Pilot").into()).await.unwrap();
        assert!(twins.is_empty(), "{}: a name of two stands for neither", world.db.name());
        claim.groups_observe(&key("group"), vec![group("Pilot")]).await.unwrap();
        let foreign =
            world.store().test_execute("DELETE FROM directory_groups WHERE graph_id = 'g2'");
        foreign.await.unwrap();
        let same = claim.groups_observe(&key("group"), vec![group("Pilot")]).await.unwrap();
        assert_eq!(same, Observed::default());
        let renamed = claim.groups_observe(&key("group"), vec![group("Pilots")]).await.unwrap();
        assert_eq!(renamed, Observed { counted: 0, rows_written: 1 });
        let groups = world.policies("contoso").await.group_list().await.unwrap();
        assert_eq!(groups.len(), 1, "{}", world.db.name());
        assert_eq!(groups[0].name.as_deref(), Some("Pilots"));
        assert!(world.policies("fabrikam").await.group_list().await.unwrap().is_empty());
        let now = world.store().now();
        assert_eq!(claim.groups_forget(now).await.unwrap(), 0, "seen just now");
        let later = now.plus(Duration::from_secs(1));
        assert_eq!(claim.groups_forget(later).await.unwrap(), 1, "{}", world.db.name());
        assert!(world.policies("contoso").await.group_list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn hostile_texts_are_kept_as_text() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let tags = key("roleScopeTag");
        let name = "nul \0 quote ' -- \u{202e} <script>";
        claim.steps_plan(std::slice::from_ref(&tags)).await.unwrap();
        claim.policies_observe(&tags, vec![policy("x'; --", name)]).await.unwrap();
        let page = world
            .policies("contoso")
            .await
            .policy_list(PolicyFilter { limit: 10, ..PolicyFilter::default() })
            .await
            .unwrap();
        assert_eq!(page.total, 1, "{}", world.db.name());
        let seen = page.policies[0].observed.name.as_deref();
        assert_eq!(seen, Some("nul \u{fffd} quote ' -- \u{202e} <script>"));
    }
}
