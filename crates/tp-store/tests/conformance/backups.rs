//! Backup sets and versions: what a set says it holds, it holds (PRODUCT S-1, S-2).

use tp_domain::access::StartBackup;
use tp_domain::backup::{BackupItemState, BackupState, FULL_PASS_EVERY};
use tp_domain::backup_create::CreateBackup;
use tp_domain::completeness::Completeness;
use tp_domain::ids::RunId;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::reason::ReasonCode;
use tp_domain::run::Outcome;
use tp_domain::version::ReferenceNames;
use tp_store::{
    BackupEnd, BackupEntry, BackupItemFilter, Captured, ClaimedRun, HowStarted, OpenBackup,
    PayloadStored, PayloadWant, PayloadWritten,
};

use crate::util::{World, key, policy, succeeded, worlds};

pub(crate) const TYPE: &str = "deviceConfiguration";

impl World {
    pub(crate) async fn backup_claimed(&self) -> ClaimedRun {
        let scope = self.scope::<StartBackup>("contoso").await;
        scope.run_start(&CreateBackup::everything(), HowStarted::default()).await.unwrap();
        let run = self.claim_any(1).await.unwrap();
        run.steps_plan(&[key(TYPE)]).await.unwrap();
        run
    }
}

/// Reserves and "writes" a content, and says what was captured.
pub(crate) async fn captured(run: &ClaimedRun, graph_id: &str, content: u8) -> Captured {
    let address = PayloadAddress::new([content; 32]);
    let want = PayloadWant { kind: PayloadKind::Version, address };
    let place = run.payloads_reserve(vec![want]).await.unwrap()[0];
    let key = run.payload_keys().await.unwrap().unwrap().active;
    let written = PayloadWritten { key, text_bytes: 100, object_bytes: 60 };
    Captured {
        graph_id: graph_id.to_owned(),
        name: Some(format!("Policy {graph_id}")),
        platform: None,
        odata_type: None,
        modified_text: Some("2026-01-17T14:01:02.1234567Z".to_owned()),
        assignments: 2,
        redactions: 1,
        names: ReferenceNames::default(),
        address,
        copy: place.copy,
        written: (!place.stored).then_some(written),
    }
}

pub(crate) fn entry(captured: Captured) -> BackupEntry {
    BackupEntry::Captured(Box::new(captured))
}

pub(crate) fn failed(graph_id: &str) -> BackupEntry {
    BackupEntry::Failed {
        graph_id: graph_id.to_owned(),
        name: None,
        reason: ReasonCode::GraphUnavailable,
        graph_request_id: Some("r1".to_owned()),
    }
}

/// Ends a set with a manifest, and its run.
pub(crate) async fn end(run: ClaimedRun, set: OpenBackup, state: BackupState) -> RunId {
    let address = PayloadAddress::new([200 + u8::try_from(set.number).unwrap(); 32]);
    let want = PayloadWant { kind: PayloadKind::Manifest, address };
    let place = run.payloads_reserve(vec![want]).await.unwrap()[0];
    let key = run.payload_keys().await.unwrap().unwrap().active;
    let written = PayloadWritten { key, text_bytes: 10, object_bytes: 10 };
    let manifest = Some(PayloadStored { address, copy: place.copy, written: Some(written) });
    let lists = Vec::new();
    run.backup_type(set.id, &crate::util::key(TYPE), &Completeness::Complete, 2).await.unwrap();
    assert!(run.backup_finish(set.id, BackupEnd { state, manifest, lists }).await.unwrap());
    let id = run.id();
    run.finish(succeeded()).await.unwrap();
    id
}

#[tokio::test]
async fn a_set_holds_what_was_written_and_counts_it_once() {
    for world in worlds().await {
        let run = world.backup_claimed().await;
        let set = run.backup_begin(Some("before the change"), false).await.unwrap();
        assert_eq!((set.number, set.is_full_pass), (1, true), "{}", world.db.name());
        assert_eq!(run.backup_begin(None, false).await.unwrap(), set, "a run has one set");
        let entries = vec![entry(captured(&run, "a", 1).await), failed("b")];
        let done = run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        assert_eq!((done.counted, done.failed, done.new_versions), (1, 1, 1));
        // The worker after a crash reads the type again: the one stays, the other is made good.
        let entries =
            vec![entry(captured(&run, "a", 9).await), entry(captured(&run, "b", 2).await)];
        let again = run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        assert_eq!((again.counted, again.failed, again.new_versions), (1, 0, 1));
        let id = end(run, set, BackupState::Complete).await;

        let scope = world.backups("contoso").await;
        let found = scope.backup_get(1).await.unwrap().unwrap();
        assert_eq!((found.items, found.failed_items, found.new_versions), (2, 0, 2));
        assert_eq!(found.note.as_deref(), Some("before the change"));
        assert_eq!((found.state, found.run), (BackupState::Complete, id));
        let run = world.run("contoso", id).await;
        assert_eq!((run.state.outcome(), run.counts.succeeded), (Outcome::Succeeded, 2));
        let types = scope.backup_types(found.id).await.unwrap();
        assert_eq!((types.len(), types[0].listed), (1, 2));
        let tally = scope.backup_tally(found.id).await.unwrap();
        assert_eq!(tally.len(), 1, "{tally:?}");
        assert_eq!((tally[0].state, tally[0].count), (BackupItemState::Captured, 2));
        let filter = BackupItemFilter { limit: 1, ..BackupItemFilter::default() };
        let page = scope.backup_items(found.id, &filter).await.unwrap();
        assert_eq!((page.items.len(), page.has_more), (1, true));
        assert_eq!(page.items[0].state, BackupItemState::Captured);
        let version = scope.version_get(page.items[0].version.unwrap()).await.unwrap().unwrap();
        assert_eq!((version.number, version.assignments, version.redactions), (1, 2, 1));
        let filter = BackupItemFilter { query: Some("CY b".into()), limit: 9, ..filter };
        assert_eq!(scope.backup_items(found.id, &filter).await.unwrap().items.len(), 1);
        let like = BackupItemFilter { query: Some("%".into()), ..filter.clone() };
        assert_eq!(scope.backup_items(found.id, &like).await.unwrap().items.len(), 0);

        let foreign = world.backups("fabrikam").await;
        assert!(foreign.backup_list(None, 10).await.unwrap().is_empty(), "{}", world.db.name());
        assert!(foreign.version_get(version.id).await.unwrap().is_none());
        assert!(foreign.backup_tally(found.id).await.unwrap().is_empty());
        assert_eq!(scope.policy_known(&key(TYPE), "a").await.unwrap(), None);
        assert!(foreign.backup_items(found.id, &filter).await.unwrap().items.is_empty());
    }
}

#[tokio::test]
async fn equal_contents_are_one_version_and_versions_never_change() {
    for world in worlds().await {
        for (number, content, expected) in [(1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 1, 3)] {
            let run = world.backup_claimed().await;
            let set = run.backup_begin(None, false).await.unwrap();
            assert_eq!(set.number, number);
            let entries = vec![entry(captured(&run, "a", content).await)];
            run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
            let latest = run.versions_latest(&key(TYPE)).await.unwrap();
            assert_eq!(latest[0].number, expected, "{} set {number}", world.db.name());
            end(run, set, BackupState::Complete).await;
        }
        let scope = world.backups("contoso").await;
        let history = scope.versions_of(&key(TYPE), "a", None, 10).await.unwrap();
        let numbers: Vec<u64> = history.iter().map(|one| one.number).collect();
        assert_eq!(numbers, [3, 2, 1]);
        assert_eq!(history[0].address, history[2].address, "stored once");
        let older = scope.versions_of(&key(TYPE), "a", Some(2), 10).await.unwrap();
        assert_eq!(older.len(), 1);
        let change = "UPDATE policy_versions SET name = 'x'";
        assert!(world.store().test_execute(change).await.is_err(), "{}", world.db.name());
        let delete = "DELETE FROM policy_versions";
        assert!(world.store().test_execute(delete).await.is_err(), "sets hold them");
    }
}

#[tokio::test]
async fn a_set_without_its_manifest_or_with_failures_is_never_complete() {
    for world in worlds().await {
        let run = world.backup_claimed().await;
        let set = run.backup_begin(None, false).await.unwrap();
        let bare = BackupEnd { state: BackupState::Complete, manifest: None, lists: Vec::new() };
        assert!(run.backup_finish(set.id, bare).await.is_err(), "{}", world.db.name());
        run.backup_write(set.id, &key(TYPE), vec![failed("a")]).await.unwrap();
        let scope = world.backups("contoso").await;
        assert_eq!(scope.backup_get(1).await.unwrap().unwrap().state, BackupState::Creating);
        let (_, contents) = run.backup_contents(set.id).await.unwrap();
        assert_eq!((contents.len(), contents[0].1.as_ref()), (1, None));
        assert_eq!(run.backup_begun().await.unwrap(), Some(set));
        let end = BackupEnd { state: BackupState::Failed, manifest: None, lists: Vec::new() };
        assert!(run.backup_finish(set.id, end).await.unwrap());
        let found = scope.backup_get(1).await.unwrap().unwrap();
        assert_eq!((found.state, found.items, found.failed_items), (BackupState::Failed, 0, 1));
    }
}

#[tokio::test]
async fn every_seventh_set_is_a_full_pass() {
    for world in worlds().await {
        let mut full = Vec::new();
        for number in 1..=FULL_PASS_EVERY + 2 {
            let run = world.backup_claimed().await;
            let set = run.backup_begin(None, false).await.unwrap();
            if set.is_full_pass {
                full.push(number);
            }
            end(run, set, BackupState::Complete).await;
        }
        assert_eq!(full, [1, 1 + FULL_PASS_EVERY], "{}", world.db.name());
    }
}

#[tokio::test]
async fn the_states_of_a_time_are_those_of_its_sets() {
    for world in worlds().await {
        let mut begun = Vec::new();
        for state in [BackupState::Complete, BackupState::Partial] {
            let run = world.backup_claimed().await;
            let set = run.backup_begin(None, false).await.unwrap();
            begun.push(world.store().now());
            end(run, set, state).await;
            world.db.clock.advance(std::time::Duration::from_hours(1));
        }
        let scope = world.backups("contoso").await;
        let all = scope.backup_states_since(begun[0]).await.unwrap();
        let both = [(begun[0], BackupState::Complete), (begun[1], BackupState::Partial)];
        assert_eq!(all, both, "{}", world.db.name());
        let late = scope.backup_states_since(begun[1]).await.unwrap();
        assert_eq!(late, both[1..], "{}", world.db.name());
        let foreign = world.backups("fabrikam").await;
        assert!(foreign.backup_states_since(begun[0]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn chosen_policies_are_found_in_the_inventory_and_seen_without_counts() {
    for world in worlds().await {
        let run = world.backup_claimed().await;
        let seen = vec![policy("a", "A"), policy("b", "B")];
        assert_eq!(run.policies_seen(&key(TYPE), seen).await.unwrap(), 2);
        let ids = world.store().test_texts("SELECT graph_id AS t FROM policies").await;
        assert_eq!(ids.len(), 2, "{}", world.db.name());
        let scope = world.policies("contoso").await;
        let page = scope.policy_list(tp_store::PolicyFilter { limit: 9, ..Default::default() });
        let policies: Vec<_> = page.await.unwrap().policies.into_iter().map(|one| one.id).collect();
        let found = run.backup_policies(&policies).await.unwrap();
        assert_eq!(found.len(), 2);
        let wanted = vec![
            (TYPE.to_owned(), "a".to_owned()),
            (TYPE.to_owned(), "gone".to_owned()),
            ("roleScopeTag".to_owned(), "b".to_owned()),
        ];
        let names = run.names_in_inventory(wanted).await.unwrap();
        assert_eq!(names, [((TYPE.to_owned(), "a".to_owned()), "A".to_owned())]);
        let counted = "SELECT CAST(sum(counted) AS BIGINT) AS n FROM run_steps";
        assert_eq!(world.store().test_count(counted).await, 0);
    }
}

#[tokio::test]
async fn a_version_and_its_policy_find_each_other() {
    for world in worlds().await {
        let run = world.backup_claimed().await;
        run.policies_seen(&key(TYPE), vec![policy("a", "A"), policy("b", "B")]).await.unwrap();
        let set = run.backup_begin(None, false).await.unwrap();
        for content in [1, 2] {
            let entries = vec![entry(captured(&run, "a", content).await)];
            run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        }
        end(run, set, BackupState::Complete).await;
        let scope = world.backups("contoso").await;
        let known = scope.policy_known(&key(TYPE), "a").await.unwrap().unwrap();
        let other = scope.policy_known(&key(TYPE), "b").await.unwrap().unwrap();
        assert_eq!(scope.policy_known(&key("roleScopeTag"), "a").await.unwrap(), None);
        let newest = scope.version_newest(known).await.unwrap().unwrap();
        let history = scope.versions_of(&key(TYPE), "a", None, 9).await.unwrap();
        assert_eq!(history.first(), Some(&newest), "{}", world.db.name());
        assert_eq!(scope.version_newest(other).await.unwrap(), None, "it was never captured");
        assert_eq!(scope.policy_of_version(&newest).await.unwrap(), Some(known));
        let foreign = world.backups("fabrikam").await;
        assert_eq!(foreign.policy_known(&key(TYPE), "a").await.unwrap(), None);
        assert_eq!(foreign.policy_of_version(&newest).await.unwrap(), None);
        assert_eq!(foreign.version_newest(known).await.unwrap(), None);
    }
}
