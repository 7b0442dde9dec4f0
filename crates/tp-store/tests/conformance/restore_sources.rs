//! What a preview reads its source by, and mappings that are used again (PRODUCT ).

use serde_json::json;
use tp_domain::access::{PreviewRestore, StartRestorePreview};
use tp_domain::backup::BackupState;
use tp_domain::ids::TenantId;
use tp_domain::payload::PayloadAddress;
use tp_domain::policy::ObservedGroup;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::{RestoreDraft, RestoreSource};
use tp_domain::restore::mapping::{Choice, Mapping};
use tp_domain::restore::preview::MakeRestorePreview;
use tp_store::{Actor, ClaimedRun, HowStarted};
use uuid::Uuid;

use crate::backups::{TYPE, captured, end, entry};
use crate::util::{World, at, key, worlds};

/// A preview in a tenant, started by that person and claimed.
async fn preview(world: &World, who: &Actor, slug: &str, draft: &RestoreDraft) -> ClaimedRun {
    let scope = world.store().enter::<PreviewRestore>(who, &at(slug)).await.unwrap();
    let restore = scope.restore_create(draft, None).await.unwrap();
    let start = world.store().enter::<StartRestorePreview>(who, &at(slug)).await.unwrap();
    let request = MakeRestorePreview { restore };
    start.run_start(&request, HowStarted::default()).await.unwrap();
    world.claim_any(1).await.unwrap()
}

#[tokio::test]
async fn a_source_opens_for_who_may_see_its_backups() {
    for world in worlds().await {
        let name = world.db.name();
        let run = world.backup_claimed().await;
        let set = run.backup_begin(None, false).await.unwrap();
        let entries =
            vec![entry(captured(&run, "a", 1).await), entry(captured(&run, "b", 2).await)];
        run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        end(run, set, BackupState::Complete).await;
        let mut draft = RestoreDraft::of_backup(set.number);
        draft.source_tenant = Some(world.contoso);
        // An owner of the workspace restores from one tenant into the other.
        let run = preview(&world, &world.owner, "fabrikam", &draft).await;
        let door = run.restore_source(draft.source_tenant).await.unwrap().unwrap();
        assert!(door.is_foreign() && door.tenant() == world.contoso, "{name}");
        let versions = door.versions(&draft).await.unwrap();
        let ids: Vec<&str> = versions.iter().map(|one| one.graph_id.as_str()).collect();
        assert_eq!(ids, ["a", "b"], "{name}");
        let single =
            RestoreDraft { source: RestoreSource::Versions(vec![versions[1].id]), ..draft.clone() };
        let found = door.versions(&single).await.unwrap();
        assert_eq!(found, versions[1..], "{name}");
        assert!(door.set(&single).await.unwrap().is_none(), "{name}: single versions are no set");
        let held = door.set(&draft).await.unwrap().unwrap();
        assert_eq!((held.number, held.state), (set.number, BackupState::Complete), "{name}");
        let place = door.place(versions[0].address).await.unwrap().unwrap();
        assert_eq!(place.address, versions[0].address, "{name}");
        let none = PayloadAddress::new([99; 32]);
        assert!(door.place(none).await.unwrap().is_none(), "{name}");
        assert!(door.keys().await.unwrap().is_ok(), "{name}");
        // The run's own tenant holds no such set.
        let own = run.restore_source(None).await.unwrap().unwrap();
        assert!(!own.is_foreign() && own.tenant() == world.fabrikam, "{name}");
        assert!(own.versions(&draft).await.unwrap().is_empty(), "{name}");
        assert!(own.place(versions[0].address).await.unwrap().is_none(), "{name}");
        let nobody = Some(TenantId::from_uuid(Uuid::from_u128(9)));
        let refused = run.restore_source(nobody).await.unwrap().unwrap_err();
        assert_eq!(refused, ReasonCode::AuthorityLost, "{name}");
        run.finish(crate::util::succeeded()).await.unwrap();
        // Who is a member of the target alone reads nothing of the source.
        let run = preview(&world, &world.guest, "fabrikam", &draft).await;
        let refused = run.restore_source(draft.source_tenant).await.unwrap().unwrap_err();
        assert_eq!(refused, ReasonCode::AuthorityLost, "{name}");
        assert!(run.restore_source(None).await.unwrap().is_ok(), "{name}");
    }
}

#[tokio::test]
async fn what_was_said_of_a_pair_of_tenants_is_known_again() {
    for world in worlds().await {
        let name = world.db.name();
        let scope = world.scope::<PreviewRestore>("fabrikam").await;
        let said = |value| Mapping::parse(&value).unwrap();
        let first = said(json!({
            "group": {"a": {"to": "1"}, "b": "drop"}, "roleScopeTag": {"7": {"to": "3"}},
        }));
        scope.mapping_remember(world.contoso, &first).await.unwrap();
        let known = scope.mapping_known(world.contoso).await.unwrap();
        let to = |id: &str| Some(Choice::To(id.to_owned()));
        assert_eq!(known.get("group", "a").cloned(), to("1"), "{name}");
        assert_eq!(known.get("roleScopeTag", "7").cloned(), to("3"), "{name}");
        assert_eq!(known.get("group", "b"), None, "{name}: of one restore only");
        let second = said(json!({"group": {"a": {"to": "2"}}}));
        scope.mapping_remember(world.contoso, &second).await.unwrap();
        let draft = RestoreDraft::of_backup(1);
        let run = preview(&world, &world.owner, "fabrikam", &draft).await;
        let known = run.mapping_known(world.contoso).await.unwrap();
        assert_eq!(known.get("group", "a").cloned(), to("2"), "{name}: the latest counts");
        assert_eq!(known.get("roleScopeTag", "7").cloned(), to("3"), "{name}");
        // Neither the other way round, nor for another tenant.
        assert_eq!(run.mapping_known(world.fabrikam).await.unwrap(), Mapping::NONE, "{name}");
        let other = world.scope::<PreviewRestore>("contoso").await;
        assert_eq!(other.mapping_known(world.contoso).await.unwrap(), Mapping::NONE, "{name}");
    }
}

#[tokio::test]
async fn a_run_sees_the_groups_of_its_own_tenant() {
    for world in worlds().await {
        let name = world.db.name();
        let run = world.claimed("fabrikam").await;
        run.steps_plan(&[key("group")]).await.unwrap();
        let group = ObservedGroup {
            graph_id: "g1".to_owned(),
            name: Some("Pilot".to_owned()),
            group_type: "security".to_owned(),
        };
        run.groups_observe(&key("group"), vec![group.clone()]).await.unwrap();
        assert_eq!(run.groups_cached().await.unwrap(), [group], "{name}");
        run.finish(crate::util::succeeded()).await.unwrap();
        let other = world.claimed("contoso").await;
        assert!(other.groups_cached().await.unwrap().is_empty(), "{name}");
    }
}
