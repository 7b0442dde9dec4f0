//! Captures of single policies: versions without a set, each policy an item of the run.

use tp_domain::access::StartPolicyCapture;
use tp_domain::ids::PolicyId;
use tp_domain::item::{ItemState, ItemSubject};
use tp_domain::policy_capture::CapturePolicies;
use tp_domain::version::Purpose;
use tp_store::{BackupEntry, HowStarted, ItemFilter, capture_key};
use uuid::Uuid;

use crate::backups::{TYPE, captured, entry, failed};
use crate::util::{key, succeeded, worlds};

#[tokio::test]
async fn a_capture_writes_versions_and_counts_each_policy_once() {
    for world in worlds().await {
        let name = world.db.name();
        let scope = world.scope::<StartPolicyCapture>("contoso").await;
        let asked = CapturePolicies::of(vec![PolicyId::from_uuid(Uuid::from_u128(1))]);
        let started = scope.run_start(&asked, HowStarted::default()).await.unwrap();
        let run = world.claim_any(1).await.unwrap();
        assert_eq!(run.id(), started.run().id);
        let long = "x".repeat(600);
        let subject = |graph_id: &str| ItemSubject {
            key: capture_key(&key(TYPE), graph_id),
            policy_type: Some(key(TYPE)),
            graph_id: Some(graph_id.to_owned()),
            name: None,
        };
        let subjects = vec![subject("a"), subject("b"), subject("c"), subject(&long)];
        run.items_plan(subjects).await.unwrap();
        let first = vec![entry(captured(&run, "a", 1).await), failed("b")];
        let done = run.capture_write(&key(TYPE), first).await.unwrap();
        assert_eq!((done.counted, done.failed, done.new_versions), (1, 1, 1), "{name}");
        // Again after a crash: neither is counted twice, and nothing is made of what was not asked for.
        let again = vec![
            entry(captured(&run, "a", 2).await),
            entry(captured(&run, "b", 3).await),
            entry(captured(&run, "z", 4).await),
        ];
        let done = run.capture_write(&key(TYPE), again).await.unwrap();
        assert_eq!((done.counted, done.failed, done.new_versions), (0, 0, 0), "{name}");
        // A payload that went in between is stored again by the caller.
        let mut gone = captured(&run, "c", 5).await;
        gone.copy = tp_domain::ids::CopyId::from_uuid(Uuid::from_u128(9));
        let done = run.capture_write(&key(TYPE), vec![entry(gone)]).await.unwrap();
        assert_eq!((done.again, done.counted), (vec![0], 0), "{name}");
        let rest = vec![entry(captured(&run, "c", 5).await), entry(captured(&run, &long, 6).await)];
        assert_eq!(run.capture_write(&key(TYPE), rest).await.unwrap().counted, 2, "{name}");
        let unknown = BackupEntry::Unchanged {
            graph_id: "none".to_owned(),
            name: None,
            version: tp_domain::ids::VersionId::from_uuid(Uuid::from_u128(1)),
        };
        assert_eq!(run.capture_write(&key(TYPE), vec![unknown]).await.unwrap().counted, 0);
        let id = run.id();
        run.finish(succeeded()).await.unwrap();
        let counts = world.run("contoso", id).await.counts;
        assert_eq!((counts.succeeded, counts.failed, counts.total), (3, 1, Some(4)), "{name}");
        let seen = world.backups("contoso").await;
        let history = seen.versions_of(&key(TYPE), "a", None, 9).await.unwrap();
        assert_eq!((history.len(), history[0].purpose), (1, Purpose::Capture));
        assert!(seen.versions_of(&key(TYPE), "z", None, 9).await.unwrap().is_empty());
        assert!(seen.backup_list(None, 9).await.unwrap().is_empty(), "no set");
        let filter = ItemFilter { state: Some(ItemState::Failed), limit: 9, after: None };
        assert_eq!(seen.run_items(id, filter).await.unwrap().len(), 1);
    }
}
