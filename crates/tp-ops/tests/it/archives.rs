//! Exports and imports: what was backed up here is the same there, byte for byte, or nothing is (PRODUCT S-2).

use std::collections::BTreeMap;
use std::io::Cursor;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tp_archive::{Limits, Verified, Zip, verify};
use tp_domain::access::{DownloadBackups, StartBackupExport, StartBackupImport};
use tp_domain::artefact::{ArtefactPiece, PIECE};
use tp_domain::backup::{BackupItemState, BackupState};
use tp_domain::backup_create::CreateBackup;
use tp_domain::backup_export::ExportBackup;
use tp_domain::backup_import::ImportBackup;
use tp_domain::hex::hex;
use tp_domain::ids::{ArtefactId, WorkerId};
use tp_domain::payload::PayloadKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome};
use tp_payload::{Location, PayloadStore, Sealer, Vault};
use tp_store::{ArtefactEnd, NewPiece, PayloadWritten};
use uuid::Uuid;

use crate::verify::{MANIFEST, files, key_of, keys};
use crate::world::{World, corpus, worlds};

impl World {
    async fn vault(&self) -> Vault {
        let scope = self.backups().await;
        let keys = scope.payload_keys().await.unwrap().unwrap();
        let sealer = Sealer::new(scope.tenant().id, &keys).unwrap();
        Vault::new(sealer, self.tools.payloads.clone())
    }

    pub(crate) async fn export(&self, backup: u64) -> OperationRun {
        self.done::<StartBackupExport>(&ExportBackup { backup }).await
    }

    /// The bytes of the archive of a set, as somebody downloads them.
    pub(crate) async fn download(&self, backup: u64) -> Option<Vec<u8>> {
        let scope = self.enter::<DownloadBackups>().await;
        let (archive, pieces) = scope.backup_download(backup, None).await.unwrap()?;
        let (vault, seen) = (self.vault().await, self.backups().await);
        let mut bytes = Vec::new();
        for piece in pieces {
            let place = seen.payload_place(piece.address).await.unwrap().unwrap();
            let read = vault.get_bytes(PayloadKind::Piece, place.address, place.copy).await;
            bytes.extend(read.unwrap());
        }
        assert_eq!(bytes.len() as u64, archive.bytes);
        assert_eq!(hex(&Sha256::digest(&bytes)), archive.sha256);
        Some(bytes)
    }

    pub(crate) async fn upload(&self, bytes: &[u8]) -> ArtefactId {
        let scope = self.enter::<StartBackupImport>().await;
        let vault = self.vault().await;
        let id = scope.upload_begin().await.unwrap().unwrap();
        for (position, chunk) in (0..).zip(bytes.chunks(PIECE)) {
            let kind = PayloadKind::Piece;
            let address = vault.sealer().address_of(kind, chunk);
            let place = scope.upload_reserve(address).await.unwrap();
            let sealed = vault.put_bytes(kind, chunk, place.copy).await.unwrap();
            let written = (!place.stored).then_some(PayloadWritten {
                key: sealed.key,
                text_bytes: sealed.length,
                object_bytes: sealed.bytes.len() as u64,
            });
            let piece = ArtefactPiece { address, bytes: chunk.len() as u64 };
            let new = NewPiece { position, piece, copy: place.copy, written };
            assert!(scope.upload_piece(id, new).await.unwrap());
        }
        let sha256 = hex(&Sha256::digest(bytes));
        let end = ArtefactEnd { bytes: bytes.len() as u64, sha256, root: None };
        assert!(scope.upload_finish(id, end, None).await.unwrap());
        id
    }

    pub(crate) async fn import(&self, bytes: &[u8]) -> OperationRun {
        let upload = self.upload(bytes).await;
        self.done::<StartBackupImport>(&ImportBackup { upload }).await
    }

    /// The canonical text of each policy of a set.
    async fn texts(&self, number: u64) -> BTreeMap<(String, String), String> {
        let set = self.set(number).await;
        let (vault, scope) = (self.vault().await, self.backups().await);
        let mut texts = BTreeMap::new();
        for item in self.items(&set).await {
            let Some(version) = item.version else { continue };
            let address = scope.version_get(version).await.unwrap().unwrap().address;
            let place = scope.payload_place(address).await.unwrap().unwrap();
            let content = vault.get(PayloadKind::Version, address, place.copy).await.unwrap();
            let key = (item.policy_type.to_string(), item.graph_id);
            texts.insert(key, content.as_str().to_owned());
        }
        texts
    }

    /// What the database holds of backups.
    async fn backup_rows(&self) -> [i64; 3] {
        let count = |table: &'static str| self.db.store.test_count(table);
        [
            count("SELECT count(*) AS n FROM backup_sets").await,
            count("SELECT count(*) AS n FROM policy_versions").await,
            count("SELECT count(*) AS n FROM payload_refs r JOIN payloads p ON p.scope_id = r.scope_id \
                   AND p.address = r.address WHERE p.kind <> 'piece'")
            .await,
        ]
    }
}

fn checked(bytes: &[u8]) -> Verified {
    verify(Zip::open(Cursor::new(bytes), Limits::BACKUP).unwrap()).unwrap()
}

/// All that can be read of the corpus, out of one installation and into another that is empty.
#[tokio::test]
async fn a_backup_is_the_same_in_another_installation() {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (here, there) = (worlds(Some(corpus.clone())).await, worlds(Some(corpus)).await);
    for (here, there) in here.iter().zip(&there) {
        let name = here.db.name();
        here.backup(CreateBackup::everything()).await;
        let run = here.export(1).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{name} {:?}", run.failures);
        let bytes = here.download(1).await.unwrap();
        let archive = checked(&bytes);
        assert_eq!(run.context["root"], Value::from(archive.root.clone()), "{name}");
        assert_eq!(run.context["bytes"], bytes.len() as u64);
        let texts = here.texts(1).await;
        assert_eq!(archive.manifest.items.len(), texts.len(), "{name}");
        assert!(texts.len() > 1_000, "{name}: {}", texts.len());

        // The same set has the same bytes, and nothing is stored twice.
        let stored = files(here.folder()).len();
        here.export(1).await;
        assert_eq!(here.download(1).await.unwrap(), bytes, "{name}");
        assert_eq!(files(here.folder()).len(), stored, "{name}");

        let run = there.import(&bytes).await;
        assert_eq!(there.texts(1).await, texts, "{name}: each payload is the same");
        let (from, to) = (here.set(1).await, there.set(1).await);
        assert_eq!((to.state, to.items), (from.state, from.items), "{name} {:?}", run.failures);
        assert_eq!(to.failed_items, from.failed_items);
        let source = to.imported_from.clone().unwrap();
        assert_eq!((source.tool.as_str(), source.backup), ("tenantpilot", Some(1)));
        assert_eq!(source.root, Some(archive.root));
        let (one, two) = (here.backups().await, there.backups().await);
        let types =
            (one.backup_types(from.id).await.unwrap(), two.backup_types(to.id).await.unwrap());
        assert_eq!(types.0, types.1, "{name}: as complete as it was");
        assert_eq!(run.counts.succeeded, to.items, "{name}");
        // It can be verified like any other, and exported again.
        let sound = there.verify_backup(1).await;
        assert_eq!(sound.state.outcome(), Outcome::Succeeded, "{name} {:?}", sound.failures);
        // Once more: nothing new.
        let run = there.import(&bytes).await;
        assert_eq!(run.context["new_versions"], 0, "{name}");
    }
}

#[tokio::test]
async fn an_archive_with_anything_wrong_is_refused_whole() {
    for (world, other) in worlds(None).await.iter().zip(&worlds(None).await) {
        let name = world.db.name();
        world.backup(CreateBackup::everything()).await;
        world.export(1).await;
        let bytes = world.download(1).await.unwrap();
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let before = other.backup_rows().await;
        for (archive, reason) in [
            (&bytes[..bytes.len() - 1], ReasonCode::ArchiveUnreadable),
            (&flipped[..], ReasonCode::ArchiveAltered),
            (b"PK".as_slice(), ReasonCode::ArchiveUnreadable),
        ] {
            let run = other.import(archive).await;
            assert_eq!(run.state.outcome(), Outcome::Failed, "{name} {reason}");
            assert_eq!(run.reason, Some(reason), "{name}");
            let message = run.failures[0].message.as_str();
            assert!(message.ends_with(')'), "{name}: the word of the fault: {message}");
            assert_eq!(other.backup_rows().await, before, "{name}: nothing was written");
        }
        let run = other.import(&of_another_tenant(&bytes)).await;
        assert_eq!(run.reason, Some(ReasonCode::ArchiveOfAnotherTenant), "{name}");
        assert_eq!(other.backup_rows().await, before, "{name}: nothing was written");
        assert_eq!(other.import(&bytes).await.state.outcome(), Outcome::Succeeded, "{name}");
    }
}

/// The same archive, as if it had been exported from another tenant.
fn of_another_tenant(bytes: &[u8]) -> Vec<u8> {
    use tp_archive::{ItemFacts, OwnArchive, SetFacts, Source, Writer};
    let zip = Zip::open(Cursor::new(bytes), Limits::BACKUP).unwrap();
    let mut archive = OwnArchive::open(zip).unwrap();
    let manifest = archive.manifest().clone();
    let mut writer = Writer::new(Vec::new());
    for item in &manifest.items {
        let content = archive.read(item).unwrap();
        let facts = ItemFacts {
            policy_type: item.policy_type.clone(),
            graph_id: item.graph_id.clone(),
            name: item.name.clone(),
            names: item.names.clone(),
            captured_at: item.captured_at.clone(),
        };
        writer.add(facts, content.text.as_bytes()).unwrap();
    }
    let entra_tenant_id = Uuid::from_u128(99).to_string();
    let source = Source { entra_tenant_id, ..manifest.source };
    let facts = SetFacts { source, types: manifest.types, missing: manifest.missing };
    writer.finish(facts).unwrap().0
}

/// A content that is damaged is in no archive, and there is no archive without it.
#[tokio::test]
async fn a_damaged_set_is_not_exported() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::everything()).await;
        let keys = keys(&world, 1).await;
        let of_policy = |file: &std::path::PathBuf| key_of(&keys, file) != MANIFEST;
        let file = files(world.folder()).into_iter().find(of_policy).unwrap();
        let mut changed = std::fs::read(&file).unwrap();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        std::fs::write(&file, changed).unwrap();
        let run = world.export(1).await;
        assert_eq!(run.reason, Some(ReasonCode::PayloadDamaged), "{name}");
        let lost = &run.failures[0].items[0];
        assert!(lost.policy_type.is_some() && lost.graph_id.is_some(), "{name}: it says which");
        assert_eq!(world.download(1).await, None, "{name}");
        let none = world.export(7).await;
        assert_eq!(none.reason, Some(ReasonCode::ItemGone), "{name}");
    }
}

/// The worker loses its store in the middle; another one goes on, and the set is whole and counted once.
#[tokio::test]
async fn an_import_is_taken_over_in_the_middle() {
    for (world, other) in worlds(None).await.iter().zip(&worlds(None).await) {
        let name = world.db.name();
        world.backup(CreateBackup::everything()).await;
        world.export(1).await;
        let bytes = world.download(1).await.unwrap();
        let upload = other.upload(&bytes).await;
        let run = other.start::<StartBackupImport>(&ImportBackup { upload }).await;
        // A store without the pieces: the worker finds nothing to import.
        let elsewhere = tempfile::tempdir().unwrap();
        let place = Location::Folder(elsewhere.path().to_path_buf());
        let payloads = PayloadStore::open(&place, []).unwrap();
        assert_eq!(other.with_payloads(payloads).work_queue().await, 1);
        let first = other.run(run).await;
        assert_eq!(first.reason, Some(ReasonCode::PayloadMissing), "{name}");
        assert_eq!(other.backup_rows().await[0], 0, "{name}");
        let run = other.start::<StartBackupImport>(&ImportBackup { upload }).await;
        let id = WorkerId::from_uuid(Uuid::from_u128(5));
        assert_eq!(other.another(id).work_queue().await, 1);
        let done = other.run(run).await;
        assert_eq!(done.state.outcome(), Outcome::Succeeded, "{name} {:?}", done.failures);
        let set = other.set(1).await;
        assert_eq!((set.state, set.items), (BackupState::Complete, done.counts.succeeded));
        let items = other.items(&set).await;
        assert!(items.iter().all(|item| item.state == BackupItemState::Captured), "{name}");
    }
}

/// A zip file of stored entries.
fn zip_of(files: &[(&str, String)]) -> Vec<u8> {
    let (mut zip, mut list) = (Vec::new(), Vec::new());
    for (path, text) in files {
        let offset = u32::try_from(zip.len()).unwrap();
        let length = u32::try_from(text.len()).unwrap();
        let mut head: Vec<u8> = Vec::new();
        for word in [20_u16, 0, 0, 0, 33] {
            head.extend(word.to_le_bytes());
        }
        for word in [crc32fast::hash(text.as_bytes()), length, length] {
            head.extend(word.to_le_bytes());
        }
        head.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
        head.extend([0, 0]);
        zip.extend(0x0403_4b50_u32.to_le_bytes());
        zip.extend(&head);
        zip.extend(path.as_bytes());
        zip.extend(text.as_bytes());
        list.extend(0x0201_4b50_u32.to_le_bytes());
        list.extend(20_u16.to_le_bytes());
        list.extend(&head);
        list.extend([0; 10]);
        list.extend(offset.to_le_bytes());
        list.extend(path.as_bytes());
    }
    let (count, offset) = (u16::try_from(files.len()).unwrap(), u32::try_from(zip.len()).unwrap());
    zip.extend(&list);
    zip.extend(0x0605_4b50_u32.to_le_bytes());
    zip.extend([0; 4]);
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(u32::try_from(list.len()).unwrap().to_le_bytes());
    zip.extend(offset.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

#[tokio::test]
async fn a_folder_of_another_tool_becomes_a_set_that_says_what_it_lacks() {
    const ID: &str = "8a7f0e0e-5f0c-4b7e-9d0a-0d6b0a1c2d3e";
    let custom = serde_json::json!({
        "@odata.type": "#microsoft.graph.windows10CustomConfiguration", "id": ID,
        "displayName": "Wi-Fi", "omaSettings": [{
            "@odata.type": "#microsoft.graph.omaSettingString", "omaUri": "./x",
            "value": "the clear key", "isEncrypted": false,
        }],
    });
    let nameless = serde_json::json!({
        "@odata.type": "#microsoft.graph.windows10GeneralConfiguration", "displayName": "Camera",
        "cameraBlocked": true,
    });
    let folder = zip_of(&[
        ("b/Device Configurations/Camera_windows10GeneralConfiguration.json", nameless.to_string()),
        (&format!("b/Device Configurations/Wi-Fi__{ID}.json"), custom.to_string()),
        ("b/Device Configurations/Odd.json", "{".to_owned()),
    ]);
    for world in worlds(None).await {
        let name = world.db.name();
        let run = world.import(&folder).await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded, "{name} {:?}", run.failures);
        assert_eq!((run.counts.succeeded, run.counts.failed), (2, 0), "{name}");
        assert_eq!(run.context["source"], "intunecd", "{name}");
        assert_eq!(run.context["not_understood"], 1, "{name}");
        let failure = &run.failures[0];
        assert_eq!(failure.code, ReasonCode::FileNotUnderstood, "{name}");
        let file = failure.items[0].name.as_deref();
        assert_eq!(file, Some("b/Device Configurations/Odd.json"), "{name}");
        let set = world.set(1).await;
        assert_eq!((set.state, set.items), (BackupState::Partial, 2), "{name}");
        let types = world.backups().await.backup_types(set.id).await.unwrap();
        let reason = types[0].completeness.reason();
        assert_eq!(reason, Some(ReasonCode::CompletenessUnknown), "{name}");
        let texts = world.texts(1).await;
        assert!(texts.keys().any(|(_, id)| id == ID), "{name}: its own id");
        let all: String = texts.into_values().collect();
        assert!(!all.contains("the clear key") && all.contains("cameraBlocked"), "{name}");
        for file in files(world.folder()) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(13).any(|part| part == b"the clear key"), "{name}");
        }
        // Once more: the same policies, the same ids.
        assert_eq!(world.import(&folder).await.context["new_versions"], 0, "{name}");
        let odd = world.import(&zip_of(&[("a/b.json", "{}".to_owned())])).await;
        assert_eq!(odd.state.outcome(), Outcome::Failed, "{name}: no folder that is known");
    }
}
