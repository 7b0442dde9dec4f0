//! What is done with sets after they were made: pinned, noted, deleted, kept for a restore, verified.

use tp_domain::access::{DeleteBackups, PreviewRestore, StartBackupVerify};
use tp_domain::backup::BackupState;
use tp_domain::backup_verify::VerifyBackup;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::retention::KeepReason;
use tp_store::{BackupChanged, ClaimedRun, HowStarted};

use crate::backups::{TYPE, captured, end, entry};
use crate::util::{World, at, key, worlds};

impl World {
    /// A set with one policy, complete.
    async fn backed_up(&self) -> u64 {
        let run = self.backup_claimed().await;
        let set = run.backup_begin(None, false).await.unwrap();
        let entries = vec![entry(captured(&run, "a", 1).await)];
        run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        end(run, set, BackupState::Complete).await;
        set.number
    }

    async fn revision(&self, number: u64) -> Option<u64> {
        let seen = self.backups("contoso").await;
        seen.backup_get(number).await.unwrap().map(|set| set.revision)
    }

    async fn verifying(&self, backup: u64) -> ClaimedRun {
        let scope = self.scope::<StartBackupVerify>("contoso").await;
        scope.run_start(&VerifyBackup { backup }, HowStarted::default()).await.unwrap();
        self.claim_any(1).await.unwrap()
    }
}

#[tokio::test]
async fn sets_are_pinned_noted_and_deleted_by_those_who_may() {
    for world in worlds().await {
        let name = world.db.name();
        let run = world.backup_claimed().await;
        let set = run.backup_begin(None, false).await.unwrap();
        let scope = world.scope::<DeleteBackups>("contoso").await;
        let refused = scope.backup_delete(1, None, None).await.unwrap();
        assert_eq!(refused, BackupChanged::Kept(KeepReason::AtWork), "{name}");
        let entries = vec![entry(captured(&run, "a", 1).await)];
        run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        end(run, set, BackupState::Complete).await;
        assert_eq!(world.revision(1).await, Some(1));
        let marked = scope.backup_mark(1, Some(1), Some("keep".into()), true, None).await.unwrap();
        assert_eq!((marked, world.revision(1).await), (BackupChanged::Done, Some(2)), "{name}");
        let late = scope.backup_mark(1, Some(1), None, false, None).await.unwrap();
        assert_eq!(late, BackupChanged::Stale, "{name}");
        assert_eq!(scope.backup_delete(1, Some(1), None).await.unwrap(), BackupChanged::Stale);
        let pinned = scope.backup_delete(1, Some(2), None).await.unwrap();
        assert_eq!(pinned, BackupChanged::Kept(KeepReason::Pinned), "{name}");
        let none = scope.backup_mark(2, None, None, true, None).await.unwrap();
        assert_eq!(none, BackupChanged::NotThere);
        let unpinned = scope.backup_mark(1, None, None, false, None).await.unwrap();
        assert_eq!(unpinned, BackupChanged::Done);
        let foreign = world.scope::<DeleteBackups>("fabrikam").await;
        let none = foreign.backup_delete(1, None, None).await.unwrap();
        assert_eq!(none, BackupChanged::NotThere, "{name}");
        assert_eq!(scope.backup_delete(1, Some(3), None).await.unwrap(), BackupChanged::Done);
        assert_eq!(scope.backup_delete(1, None, None).await.unwrap(), BackupChanged::NotThere);
        let seen = world.backups("contoso").await;
        assert!(seen.backup_list(None, 10).await.unwrap().is_empty());
        let history = seen.versions_of(&key(TYPE), "a", None, 10).await.unwrap();
        assert_eq!(history.len(), 1, "versions outlive their sets");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action LIKE 'backup.%'";
        assert_eq!(world.store().test_count(audited).await, 3, "{name}");
        let denied = world.store().enter::<DeleteBackups>(&world.operator, &at("contoso")).await;
        assert!(denied.is_err(), "an operator makes backups and deletes none");
    }
}

#[tokio::test]
async fn a_set_that_a_restore_needs_stays_until_the_restore_has_ended() {
    for world in worlds().await {
        let name = world.db.name();
        let number = world.backed_up().await;
        let restores = world.scope::<PreviewRestore>("contoso").await;
        let restore = restores.restore_create(&RestoreDraft::of_backup(1), None).await.unwrap();
        assert!(restores.backup_hold(number, restore).await.unwrap());
        assert!(restores.backup_hold(number, restore).await.unwrap(), "{name}: once is enough");
        assert!(!restores.backup_hold(9, restore).await.unwrap(), "no such set");
        let scope = world.scope::<DeleteBackups>("contoso").await;
        let kept = scope.backup_delete(number, None, None).await.unwrap();
        assert_eq!(kept, BackupChanged::Kept(KeepReason::NeededByRestore), "{name}");
        let seen = world.backups("contoso").await;
        assert!(seen.backup_facts().await.unwrap()[0].needed, "{name}");
        world.store().test_execute("UPDATE restores SET state = 'discarded'").await.unwrap();
        assert!(!seen.backup_facts().await.unwrap()[0].needed, "{name}");
        let gone = scope.backup_delete(number, None, None).await.unwrap();
        assert_eq!(gone, BackupChanged::Done, "{name}");
        let left = "SELECT count(*) AS n FROM backup_holds";
        assert_eq!(world.store().test_count(left).await, 0, "{name}: a hold goes with its set");
        // Whoever comes second sees what the first has done: never both.
        let restore = restores.restore_create(&RestoreDraft::of_backup(1), None).await.unwrap();
        for round in 0..16 {
            let number = world.backed_up().await;
            let (held, deleted) = tokio::join!(
                restores.backup_hold(number, restore),
                scope.backup_delete(number, None, None),
            );
            let (held, gone) = (held.unwrap(), deleted.unwrap() == BackupChanged::Done);
            assert_ne!(held, gone, "{name} round {round}");
            assert_eq!(world.revision(number).await.is_some(), held, "{name} round {round}");
        }
    }
}

#[tokio::test]
async fn retention_removes_nothing_that_is_needed_by_then() {
    for world in worlds().await {
        let name = world.db.name();
        for number in 1..=4 {
            assert_eq!(world.backed_up().await, number);
        }
        let scope = world.scope::<DeleteBackups>("contoso").await;
        scope.backup_mark(2, None, None, true, None).await.unwrap();
        let run = world.verifying(1).await;
        let facts = run.backup_facts().await.unwrap();
        assert_eq!(facts, world.backups("contoso").await.backup_facts().await.unwrap());
        let numbers: Vec<u64> = facts.iter().map(|set| set.number).collect();
        assert_eq!(numbers, [4, 3, 2, 1], "{name}");
        assert!(facts[2].pinned && !facts[0].pinned && !facts[0].scheduled && !facts[0].at_work);
        let retired = [
            (4, BackupChanged::Kept(KeepReason::NewestComplete)),
            (2, BackupChanged::Kept(KeepReason::Pinned)),
            (1, BackupChanged::Done),
            (1, BackupChanged::NotThere),
        ];
        for (number, expected) in retired {
            assert_eq!(run.backup_retire(number).await.unwrap(), expected, "{name} {number}");
        }
        let audited = "SELECT count(*) AS n FROM audit_entries \
                       WHERE action = 'backup.deleted' AND run_id IS NOT NULL";
        assert_eq!(world.store().test_count(audited).await, 1, "{name}");
        let refs = "SELECT count(*) AS n FROM payload_refs";
        assert_eq!(
            world.store().test_count(refs).await,
            1 + 3,
            "{name}: a version, three manifests"
        );
    }
}

#[tokio::test]
async fn a_set_says_when_it_was_verified_and_what_was_found() {
    for world in worlds().await {
        let name = world.db.name();
        let number = world.backed_up().await;
        let run = world.verifying(number).await;
        assert_eq!(run.backup_held(9).await.unwrap(), None);
        let held = run.backup_held(number).await.unwrap().unwrap();
        assert_eq!((held.number, held.state, held.at_work), (1, BackupState::Complete, false));
        assert!(held.manifest.is_some(), "{name}");
        assert!(run.backup_verified(held.id, 2, 1).await.unwrap());
        let seen = world.backups("contoso").await;
        let set = seen.backup_get(number).await.unwrap().unwrap();
        let verified = set.verified.unwrap();
        assert_eq!((verified.run, verified.checked, verified.faulty), (run.id(), 2, 1), "{name}");
        assert!(!verified.is_sound());
        let scope = world.scope::<DeleteBackups>("contoso").await;
        scope.backup_delete(number, None, None).await.unwrap();
        assert!(!run.backup_verified(held.id, 2, 0).await.unwrap(), "{name}: it is gone");
    }
}
