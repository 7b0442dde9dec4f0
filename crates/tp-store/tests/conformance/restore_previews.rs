//! The preview of a restore: what it is made from, and what is frozen of it.

use tp_domain::access::{ExecuteRestores, PreviewRestore, StartBackup, StartRestorePreview};
use tp_domain::backup::BackupState;
use tp_domain::backup_create::CreateBackup;
use tp_domain::ids::{RestoreId, VersionId};
use tp_domain::payload::PayloadAddress;
use tp_domain::restore::draft::{RestoreDraft, RestoreSource};
use tp_domain::restore::outcome::{ItemOutcome, ItemResult};
use tp_domain::restore::plan::{NodeAction, PayloadRef, PlanNode, RestorePlan};
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::restore::record::RestoreState;
use tp_domain::version::Purpose;
use tp_store::{ClaimedRun, Confirm, HowStarted, NewPreview, RestoreRefused};
use uuid::Uuid;

use crate::backups::{TYPE, captured, end, entry};
use crate::util::{World, key, succeeded, worlds};

/// A plan that makes one object anew.
fn plan(entra: u128, graph_id: &str) -> RestorePlan {
    let node = PlanNode {
        key: format!("{TYPE}/{graph_id}"),
        policy_type: key(TYPE),
        name: Some("A".to_owned()),
        action: NodeAction::Create,
        base: None,
        parent: None,
        wanted: Some(PayloadRef { id: "p".to_owned(), sha256: "0".repeat(64) }),
        binds: Vec::new(),
    };
    RestorePlan {
        entra_tenant_id: Uuid::from_u128(entra),
        nodes: vec![node],
        enabled_types: std::collections::BTreeSet::new(),
        stop_on_failure: false,
    }
}

/// A restore and the run that makes its preview.
async fn begun(world: &World, draft: &RestoreDraft) -> (RestoreId, ClaimedRun) {
    let scope = world.scope::<PreviewRestore>("contoso").await;
    let id = scope.restore_create(draft, None).await.unwrap();
    let start = world.scope::<StartRestorePreview>("contoso").await;
    let request = MakeRestorePreview { restore: id };
    start.run_start(&request, HowStarted::default()).await.unwrap();
    (id, world.claim_any(1).await.unwrap())
}

/// A set of two policies of the first tenant.
async fn set(world: &World) -> u64 {
    let scope = world.scope::<StartBackup>("contoso").await;
    scope.run_start(&CreateBackup::everything(), HowStarted::default()).await.unwrap();
    let run = world.claim_any(1).await.unwrap();
    run.steps_plan(&[key(TYPE)]).await.unwrap();
    let set = run.backup_begin(None, false).await.unwrap();
    let entries = vec![entry(captured(&run, "a", 1).await), entry(captured(&run, "b", 2).await)];
    run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
    end(run, set, BackupState::Complete).await;
    set.number
}

#[tokio::test]
async fn a_draft_names_the_versions_of_its_own_tenant() {
    for world in worlds().await {
        let number = set(&world).await;
        let draft = RestoreDraft::of_backup(number);
        let (id, run) = begun(&world, &draft).await;
        let record = run.restore(id).await.unwrap().unwrap();
        assert_eq!(record.draft, Some(draft.clone()), "{}", world.db.name());
        let door = run.restore_source(None).await.unwrap().unwrap();
        let found = door.versions(&draft).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|one| one.graph_id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let one =
            RestoreDraft { source: RestoreSource::Versions(vec![found[1].id]), ..draft.clone() };
        assert_eq!(door.versions(&one).await.unwrap(), [found[1].clone()]);
        let none = VersionId::from_uuid(Uuid::from_u128(4));
        let none = RestoreDraft { source: RestoreSource::Versions(vec![none]), ..draft };
        assert_eq!(door.versions(&none).await.unwrap(), []);
        // Another tenant has no set of that number, and not this restore.
        let foreign = world.scope::<PreviewRestore>("fabrikam").await;
        assert!(foreign.restore_get(id).await.unwrap().is_none());
        run.finish(succeeded()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_found_is_frozen_unless_the_restore_has_gone_on() {
    for world in worlds().await {
        let (id, run) = begun(&world, &RestoreDraft::of_backup(1)).await;
        let found = PayloadAddress::new([7; 32]);
        let seen = world.scope::<PreviewRestore>("contoso").await;
        let own = seen.restore_preview_run(id).await.unwrap();
        assert_eq!(own.map(|one| one.id), Some(run.id()), "{}", world.db.name());
        let other = RestoreId::from_uuid(Uuid::from_u128(8));
        assert!(seen.restore_preview_run(other).await.unwrap().is_none());
        let foreign = NewPreview { plan: plan(2, "a"), found };
        let refused = run.restore_previewed(id, foreign).await.unwrap();
        assert!(matches!(refused, Err(RestoreRefused::BadPlan(_))), "{refused:?}");
        let preview = NewPreview { plan: plan(1, "a"), found };
        let frozen = run.restore_previewed(id, preview.clone()).await.unwrap().unwrap();
        let scope = world.scope::<PreviewRestore>("contoso").await;
        let record = scope.restore_get(id).await.unwrap().unwrap();
        assert_eq!(record.preview, Some((found, run.id())), "{}", world.db.name());
        assert_eq!(record.plan.unwrap().0, *frozen.hash());
        // A plan from elsewhere shows nothing of this one.
        scope.restore_freeze(id, plan(1, "b"), None).await.unwrap();
        assert_eq!(scope.restore_get(id).await.unwrap().unwrap().preview, None);
        scope.restore_discard(id, None).await.unwrap();
        let late = run.restore_previewed(id, preview).await.unwrap();
        let Err(RestoreRefused::WrongState(RestoreState::Discarded)) = late else {
            unreachable!("{late:?}")
        };
        let nobody = RestoreId::from_uuid(Uuid::from_u128(8));
        assert!(run.restore(nobody).await.unwrap().is_none());
        run.finish(succeeded()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_made_anew_is_known_by_its_new_id() {
    for world in worlds().await {
        let scope = world.scope::<PreviewRestore>("contoso").await;
        let id = scope.restore_create(&RestoreDraft::of_backup(1), None).await.unwrap();
        let frozen = scope.restore_freeze(id, plan(1, "OLD"), None).await.unwrap();
        let confirm = Confirm {
            plan_hash: frozen.hash().clone(),
            typed_domain: "contoso.example".to_owned(),
            reason: "Deleted by mistake".to_owned(),
        };
        let execute = world.scope::<ExecuteRestores>("contoso").await;
        execute.restore_confirm(id, confirm, HowStarted::default()).await.unwrap();
        let run = world.claim_any(1).await.unwrap();
        let going = run.confirmed_plan().await.unwrap().unwrap();
        assert!(run.restored_as().await.unwrap().is_empty(), "{}", world.db.name());
        let subjects = going.plan().writes().map(|node| tp_domain::item::ItemSubject {
            key: node.key.clone(),
            policy_type: Some(node.policy_type.clone()),
            graph_id: None,
            name: None,
        });
        run.items_plan(subjects.collect()).await.unwrap();
        let result = ItemResult {
            graph_id: Some("new".to_owned()),
            ..ItemResult::of(ItemOutcome::Verified, None)
        };
        going.item_result(&format!("{TYPE}/OLD"), result).await.unwrap();
        let known = run.restored_as().await.unwrap();
        assert_eq!(known.get(&(key(TYPE), "old".to_owned())).map(String::as_str), Some("new"));
        // A version that is kept before a write is a version as any other, of that purpose.
        let before = captured(&run, "a", 1).await;
        let first = run.version_keep(&key(TYPE), Purpose::Safety, before.clone()).await.unwrap();
        let again = captured(&run, "a", 1).await;
        let same = run.version_keep(&key(TYPE), Purpose::Safety, again).await.unwrap();
        assert_eq!((first.is_some(), first), (true, same), "{}", world.db.name());
        let mut gone = captured(&run, "b", 2).await;
        gone.copy = tp_domain::ids::CopyId::from_uuid(Uuid::from_u128(9));
        assert_eq!(run.version_keep(&key(TYPE), Purpose::Safety, gone).await.unwrap(), None);
        assert_eq!(run.tenant().await.unwrap().unwrap().id, world.contoso);
        run.finish(succeeded()).await.unwrap();
    }
}
