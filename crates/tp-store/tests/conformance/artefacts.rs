//! Files in pieces: archives of sets and uploads (PRODUCT S-2); and sets that were imported.

use tp_domain::access::{
    DeleteBackups, DownloadBackups, StartBackupExport, StartBackupImport, StartPayloadsPrune,
};
use tp_domain::artefact::{
    Artefact, ArtefactKind, ArtefactPiece, EXPORT_LIFE, MOST_UPLOADS, UPLOAD_LIFE,
};
use tp_domain::backup::{BackupState, ImportedFrom};
use tp_domain::backup_export::ExportBackup;
use tp_domain::backup_import::ImportBackup;
use tp_domain::completeness::Completeness;
use tp_domain::ids::{ArtefactId, CopyId};
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::payloads_prune::PrunePayloads;
use tp_domain::retention::KeepReason;
use tp_domain::version::Purpose;
use tp_store::{
    ArtefactEnd, BackupChanged, ClaimedRun, HowStarted, NewPiece, PayloadWant, PayloadWritten,
    TenantScope,
};

use crate::backups::{TYPE, captured, end, entry};
use crate::util::{World, at, key, worlds};

fn ended(bytes: u64) -> ArtefactEnd {
    ArtefactEnd { bytes, sha256: "ab".repeat(32), root: Some("cd".repeat(32)) }
}

fn address(number: u8) -> PayloadAddress {
    PayloadAddress::new([number; 32])
}

fn piece(position: u64, number: u8) -> ArtefactPiece {
    ArtefactPiece { address: address(number), bytes: 100 + position }
}

impl World {
    /// Uploads a file of such pieces.
    async fn uploaded(&self, contents: &[u8]) -> ArtefactId {
        let scope = self.scope::<StartBackupImport>("contoso").await;
        let id = scope.upload_begin().await.unwrap().unwrap();
        let keys = self.backups("contoso").await.payload_keys().await.unwrap().unwrap();
        for (position, number) in (0..).zip(contents) {
            let reserved = scope.upload_reserve(address(*number)).await.unwrap();
            let written = PayloadWritten { key: keys.active, text_bytes: 100, object_bytes: 90 };
            let (piece, copy) = (piece(position, *number), reserved.copy);
            let written = (!reserved.stored).then_some(written);
            let new = NewPiece { position, piece, copy, written };
            assert!(scope.upload_piece(id, new).await.unwrap(), "{}", self.db.name());
        }
        assert!(scope.upload_finish(id, ended(203), None).await.unwrap());
        id
    }

    async fn importing(&self, upload: ArtefactId) -> ClaimedRun {
        let scope = self.scope::<StartBackupImport>("contoso").await;
        scope.run_start(&ImportBackup { upload }, HowStarted::default()).await.unwrap();
        let run = self.claim_any(1).await.unwrap();
        run.steps_plan(&[key(TYPE)]).await.unwrap();
        run
    }

    async fn exporting(&self, backup: u64) -> ClaimedRun {
        let scope = self.scope::<StartBackupExport>("contoso").await;
        scope.run_start(&ExportBackup { backup }, HowStarted::default()).await.unwrap();
        self.claim_any(1).await.unwrap()
    }

    /// Packs set 1 into one piece.
    async fn exported(&self, run: &ClaimedRun, number: u8) -> ArtefactId {
        let id = run.artefact_begin(1).await.unwrap();
        let want = PayloadWant { kind: PayloadKind::Piece, address: address(number) };
        let reserved = run.payloads_reserve(vec![want]).await.unwrap()[0];
        let key = run.payload_keys().await.unwrap().unwrap().active;
        let written = PayloadWritten { key, text_bytes: 100, object_bytes: 90 };
        let written = (!reserved.stored).then_some(written);
        let new = NewPiece { position: 0, piece: piece(0, number), copy: reserved.copy, written };
        assert!(run.artefact_piece(id, new).await.unwrap(), "{}", self.db.name());
        id
    }

    async fn set_made(&self) {
        let run = self.backup_claimed().await;
        let set = run.backup_begin(None, false).await.unwrap();
        let entries = vec![entry(captured(&run, "a", 1).await)];
        run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        end(run, set, BackupState::Complete).await;
    }

    async fn archive(&self) -> Option<Artefact> {
        self.backups("contoso").await.backup_archive(1).await.unwrap()
    }

    /// How often pieces are held, by all files together.
    async fn held(&self) -> i64 {
        let count = "SELECT count(*) AS n FROM payload_refs r JOIN payloads p \
                     ON p.scope_id = r.scope_id AND p.address = r.address WHERE p.kind = 'piece'";
        self.store().test_count(count).await
    }
}

#[tokio::test]
async fn an_upload_is_read_by_its_import_and_goes_in_time() {
    for world in worlds().await {
        let name = world.db.name();
        // The same content twice in one file is stored once.
        let id = world.uploaded(&[1, 2, 1]).await;
        assert_eq!(world.held().await, 2, "{name}");
        let run = world.importing(id).await;
        let (upload, pieces) = run.upload(id).await.unwrap().unwrap();
        assert_eq!((upload.kind, upload.bytes, upload.run), (ArtefactKind::Upload, 203, None));
        assert_eq!(pieces, [piece(0, 1), piece(1, 2), piece(2, 1)], "{name}");
        let scope = world.scope::<StartBackupImport>("contoso").await;
        let late =
            NewPiece { position: 3, piece: piece(3, 1), copy: copy(&scope).await, written: None };
        assert!(!scope.upload_piece(id, late).await.unwrap(), "{name}: it is not open any more");
        assert!(!scope.upload_finish(id, ended(1), None).await.unwrap());
        let open = scope.upload_begin().await.unwrap().unwrap();
        assert_eq!(run.upload(open).await.unwrap(), None, "{name}: not ended");
        scope.upload_drop(open).await.unwrap();
        let foreign = world.scope::<StartBackupImport>("fabrikam").await;
        assert!(!foreign.upload_finish(id, ended(1), None).await.unwrap());
        foreign.upload_drop(id).await.unwrap();
        assert_eq!(world.held().await, 2, "{name}: another tenant's");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'backup.uploaded'";
        assert_eq!(world.store().test_count(audited).await, 1, "{name}");

        run.upload_remove(id).await.unwrap();
        assert_eq!((run.upload(id).await.unwrap(), world.held().await), (None, 0), "{name}");
        run.finish(crate::util::succeeded()).await.unwrap();
        let old = world.uploaded(&[3]).await;
        world.db.clock.advance(UPLOAD_LIFE);
        let scope = world.scope::<StartPayloadsPrune>("contoso").await;
        scope.run_start(&PrunePayloads, HowStarted::default()).await.unwrap();
        let run = world.claim_any(1).await.unwrap();
        assert_eq!(run.upload(old).await.unwrap(), None, "{name}: its time is over");
        assert_eq!(run.artefacts_expire().await.unwrap(), 1);
        assert_eq!((world.held().await, run.artefacts_expire().await.unwrap()), (0, 0));
    }
}

async fn copy(scope: &TenantScope<StartBackupImport>) -> CopyId {
    scope.upload_reserve(address(1)).await.unwrap().copy
}

#[tokio::test]
async fn uploads_wait_in_bounded_number() {
    for world in worlds().await {
        let scope = world.scope::<StartBackupImport>("contoso").await;
        for _ in 0..MOST_UPLOADS {
            assert!(scope.upload_begin().await.unwrap().is_some());
        }
        assert_eq!(scope.upload_begin().await.unwrap(), None, "{}", world.db.name());
        let other = world.scope::<StartBackupImport>("fabrikam").await;
        assert!(other.upload_begin().await.unwrap().is_some());
        world.db.clock.advance(UPLOAD_LIFE);
        assert!(scope.upload_begin().await.unwrap().is_some());
        let denied = world.store().enter::<StartBackupImport>(&world.reader, &at("contoso")).await;
        assert!(denied.is_err());
    }
}

#[tokio::test]
async fn an_archive_is_taken_away_by_those_who_may_until_its_time_or_its_set_is_over() {
    for world in worlds().await {
        let name = world.db.name();
        world.set_made().await;
        let run = world.exporting(1).await;
        let left = world.exported(&run, 10).await;
        assert_eq!(world.archive().await, None, "{name}: not ended");
        let first = world.exported(&run, 11).await;
        assert_eq!(world.held().await, 1, "{name}: what a worker has left is removed");
        assert!(!run.artefact_finish(left, 1, ended(100)).await.unwrap());
        assert!(run.artefact_finish(first, 1, ended(100)).await.unwrap());
        let archive = world.archive().await.unwrap();
        assert_eq!((archive.id, archive.run, archive.bytes), (first, Some(run.id()), 100));
        assert_eq!(archive.root, ended(100).root);
        run.finish(crate::util::succeeded()).await.unwrap();
        world.db.clock.advance(std::time::Duration::from_mins(1));
        let run = world.exporting(1).await;
        let second = world.exported(&run, 12).await;
        assert!(run.artefact_finish(second, 1, ended(100)).await.unwrap());
        assert_eq!(world.archive().await.unwrap().id, second, "{name}: the newer one");
        assert_eq!(world.held().await, 1, "{name}");

        let scope = world.scope::<DownloadBackups>("contoso").await;
        let (taken, pieces) = scope.backup_download(1, Some("r".into())).await.unwrap().unwrap();
        assert_eq!((taken.id, pieces), (second, vec![piece(0, 12)]), "{name}");
        assert_eq!(scope.backup_download(2, None).await.unwrap(), None);
        let foreign = world.scope::<DownloadBackups>("fabrikam").await;
        assert_eq!(foreign.backup_download(1, None).await.unwrap(), None, "{name}");
        let denied = world.store().enter::<DownloadBackups>(&world.reader, &at("contoso")).await;
        assert!(denied.is_err(), "scripts are in it in clear");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'backup.downloaded'";
        assert_eq!(world.store().test_count(audited).await, 1, "{name}");
        run.finish(crate::util::succeeded()).await.unwrap();

        let delete = world.scope::<DeleteBackups>("contoso").await;
        assert_eq!(delete.backup_delete(1, None, None).await.unwrap(), BackupChanged::Done);
        assert_eq!((world.archive().await, world.held().await), (None, 0), "{name}");
        world.set_made().await;
        world.db.clock.advance(EXPORT_LIFE);
        assert_eq!(scope.backup_download(2, None).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_imported_is_a_version_and_never_the_latest_one() {
    for world in worlds().await {
        let name = world.db.name();
        world.set_made().await;
        let from = ImportedFrom {
            tool: "tenantpilot".to_owned(),
            backup: Some(7),
            created_at: Some("2026-01-01T00:00:00.000Z".to_owned()),
            root: Some("ab".repeat(32)),
        };
        let id = world.uploaded(&[9]).await;
        let run = world.importing(id).await;
        let set = run.backup_begin_import(&from).await.unwrap();
        assert_eq!(run.backup_begin_import(&from).await.unwrap(), set, "{name}: taken over");
        assert!(!set.is_full_pass);
        let (same, other) = (captured(&run, "a", 1).await, captured(&run, "b", 2).await);
        let entries = vec![entry(same), entry(other)];
        let written = run.backup_write(set.id, &key(TYPE), entries).await.unwrap();
        assert_eq!((written.counted, written.new_versions), (2, 1), "{name}: one is there");
        let latest = run.versions_latest(&key(TYPE)).await.unwrap();
        let ids: Vec<&str> = latest.iter().map(|one| one.graph_id.as_str()).collect();
        assert_eq!(ids, ["a"], "{name}: nothing is skipped because an archive says so");
        run.step_end(&key(TYPE), &Completeness::Complete, 2).await.unwrap();
        let (same, versions) = run.backup_with_versions(set.number).await.unwrap().unwrap();
        assert_eq!((same.id, same.imported_from.as_ref()), (set.id, Some(&from)), "{name}");
        let ids: Vec<&str> = versions.iter().map(|one| one.graph_id.as_str()).collect();
        assert_eq!(ids, ["a", "b"], "{name}");
        assert!(run.backup_with_versions(99).await.unwrap().is_none(), "{name}");
        let import = end(run, set, BackupState::Complete).await;
        let steps = world.runs("contoso").await.run_steps(import).await.unwrap();
        assert_eq!(steps[0].completeness, Some(Completeness::Complete), "{name}");
        let told = "SELECT count(*) AS n FROM inventory_types";
        assert_eq!(
            world.store().test_count(told).await,
            0,
            "{name}: it tells the inventory nothing"
        );

        let seen = world.backups("contoso").await;
        let held = seen.backup_get(set.number).await.unwrap().unwrap();
        assert_eq!(held.imported_from, Some(from), "{name}");
        assert_eq!(seen.backup_get(1).await.unwrap().unwrap().imported_from, None);
        let states = seen.backup_states_since(held.created_at).await.unwrap();
        assert!(
            states.iter().all(|one| *one != (held.created_at, held.state)) || states.len() == 1
        );
        let facts = seen.backup_facts().await.unwrap();
        assert!(facts.iter().any(|one| one.imported && one.number == set.number), "{name}");

        // The next capture of the same content is a version of its own.
        let run = world.backup_claimed().await;
        let next = run.backup_begin(None, false).await.unwrap();
        let entries = vec![entry(captured(&run, "b", 2).await)];
        let written = run.backup_write(next.id, &key(TYPE), entries).await.unwrap();
        assert_eq!(written.new_versions, 1, "{name}");
        end(run, next, BackupState::Complete).await;
        let history = seen.versions_of(&key(TYPE), "b", None, 9).await.unwrap();
        let purposes: Vec<(u64, Purpose)> =
            history.iter().map(|one| (one.number, one.purpose)).collect();
        assert_eq!(purposes, [(2, Purpose::Backup), (1, Purpose::Import)], "{name}");

        // Rules do not count it, and do not remove it.
        let rules = tp_domain::retention::KeepRules::usual();
        let plan = tp_domain::retention::plan(&seen.backup_facts().await.unwrap(), &rules).unwrap();
        let verdict = plan.iter().find(|one| one.number == set.number).unwrap();
        assert_eq!(verdict.keep, [KeepReason::Imported], "{name}");
    }
}
