//! Lists of policies: search, filters, order, pages.

use tp_domain::ids::PolicyId;
use tp_store::{PolicyFilter, PolicySort};

use crate::util::{key, policy, succeeded, worlds};

#[tokio::test]
async fn policies_are_searched_sorted_and_paged() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let mut seen = vec![policy("1", "Zeta 50%"), policy("2", "alpha"), policy("3", "Über")];
        seen[2].platform = Some("iOS".to_owned());
        let types = [key("deviceConfiguration"), key("roleScopeTag")];
        claim.steps_plan(&types).await.unwrap();
        claim.policies_observe(&key("deviceConfiguration"), seen).await.unwrap();
        claim.policies_observe(&key("roleScopeTag"), vec![policy("1", "beta")]).await.unwrap();
        claim.finish(succeeded()).await.unwrap();
        let scope = world.policies("contoso").await;
        let scope = &scope;
        let names = |filter: PolicyFilter| async move {
            let page = scope.policy_list(PolicyFilter { limit: 50, ..filter }).await.unwrap();
            let names = page.policies.into_iter().filter_map(|policy| policy.observed.name);
            names.collect::<Vec<String>>()
        };
        let none = PolicyFilter::default;
        assert_eq!(
            names(none()).await,
            ["alpha", "beta", "Zeta 50%", "Über"],
            "{}",
            world.db.name()
        );
        let down = PolicyFilter { sort: PolicySort::NameDown, ..none() };
        assert_eq!(names(down).await.first().map(String::as_str), Some("Über"));
        let search = |query: &str| PolicyFilter { query: Some(query.to_owned()), ..none() };
        assert_eq!(names(search("ALPH")).await, ["alpha"]);
        assert_eq!(names(search("50%")).await, ["Zeta 50%"]);
        assert_eq!(names(search("%")).await, ["Zeta 50%"]);
        assert_eq!(names(search("über")).await, ["Über"]);
        let types = PolicyFilter { types: vec![key("roleScopeTag")], ..none() };
        assert_eq!(names(types).await, ["beta"]);
        let platform = PolicyFilter { platform: Some("iOS".to_owned()), ..none() };
        assert_eq!(names(platform).await, ["Über"]);
        assert_eq!(scope.policy_platforms().await.unwrap(), ["iOS", "windows10"]);
        for sort in [PolicySort::Modified, PolicySort::ModifiedDown, PolicySort::Type] {
            assert_eq!(names(PolicyFilter { sort, ..none() }).await.len(), 4);
        }
        let page = scope.policy_list(PolicyFilter { limit: 2, offset: 2, ..none() }).await.unwrap();
        assert_eq!((page.total, page.policies.len()), (4, 2));
        let id = page.policies[0].id;
        assert!(scope.policy_get(id).await.unwrap().is_some());
        let elsewhere = world.policies("fabrikam").await;
        assert!(elsewhere.policy_get(id).await.unwrap().is_none(), "not of this tenant");
        let unknown = PolicyId::from_uuid(uuid::Uuid::nil());
        assert!(scope.policy_get(unknown).await.unwrap().is_none());
    }
}
