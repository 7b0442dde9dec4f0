//! Verifying backups: every change of what is stored is found, and nothing else is said to be changed (A28).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tp_domain::access::{DeleteBackups, StartBackupVerify};
use tp_domain::backup::BackupState;
use tp_domain::backup_create::CreateBackup;
use tp_domain::backup_verify::VerifyBackup;
use tp_domain::ids::{RunId, WorkerId};
use tp_domain::item::ItemState;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome};
use tp_payload::{Location, PayloadStore};
use uuid::Uuid;

use crate::backup::key;
use crate::world::{World, worlds};

/// A small generator of numbers that look random and are the same in each run of the test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }

    fn shuffled<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
        let mut all = all.to_vec();
        for at in (1..all.len()).rev() {
            all.swap(at, self.roll(at + 1));
        }
        all
    }
}

impl Dice {
    /// Some files. One part of the list of contents at a time: what is wrong with it is one finding.
    fn chosen(
        &mut self,
        all: &[PathBuf],
        keys: &BTreeMap<String, String>,
        most: usize,
    ) -> Vec<PathBuf> {
        let mut has_part = false;
        let mut files = self.shuffled(all);
        files.retain(|file| {
            let is_part = key_of(keys, file) == MANIFEST;
            !(is_part && std::mem::replace(&mut has_part, true))
        });
        files.truncate(most);
        files
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The key of each item of a verification, by the address in the name of its file.
pub(crate) async fn keys(world: &World, backup: u64) -> BTreeMap<String, String> {
    let set = world.set(backup).await;
    let scope = world.backups().await;
    let mut keys = BTreeMap::new();
    for item in world.items(&set).await {
        let Some(version) = item.version else { continue };
        let address = scope.version_get(version).await.unwrap().unwrap().address;
        let key = format!("{}\n{}", item.policy_type, item.graph_id);
        assert!(keys.insert(address.to_string(), key).is_none(), "one content, one policy");
    }
    keys
}

/// The item that stands for the list of contents.
pub(crate) const MANIFEST: &str = "manifest";

/// The item that a file stands for: what is no policy's is a part of the list of contents.
pub(crate) fn key_of(keys: &BTreeMap<String, String>, file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    let address = name.split_once('-').unwrap().0;
    keys.get(address).cloned().unwrap_or_else(|| MANIFEST.to_owned())
}

impl World {
    pub(crate) async fn verify_backup(&self, backup: u64) -> OperationRun {
        self.done::<StartBackupVerify>(&VerifyBackup { backup }).await
    }

    /// The items that were found faulty, with the reason.
    pub(crate) async fn faulty(&self, run: RunId) -> BTreeMap<String, ReasonCode> {
        let items = self.run_items(run).await;
        assert!(items.iter().all(|item| item.state.is_over()));
        items
            .into_iter()
            .filter(|item| item.state != ItemState::Succeeded)
            .map(|item| (item.subject.key, item.reason.unwrap()))
            .collect()
    }
}

#[tokio::test]
async fn every_changed_byte_and_every_swap_is_found_and_nothing_else() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::everything()).await;
        let keys = keys(&world, 1).await;
        let all = files(world.folder());
        let types: BTreeSet<&str> =
            keys.values().filter_map(|key| key.split('\n').next()).collect();
        let parts = types.len() + 1;
        assert_eq!(
            all.len(),
            keys.len() + parts,
            "{name}: contents, a list of each type, the manifest"
        );
        let sound = world.verify_backup(1).await;
        assert_eq!(sound.state.outcome(), Outcome::Succeeded, "{name} {:?}", sound.failures);
        assert_eq!(sound.counts.succeeded, keys.len() as u64 + 1, "{name}: its parts are one list");
        let verified = world.set(1).await.verified.unwrap();
        assert_eq!((verified.run, verified.checked), (sound.id, sound.counts.succeeded));
        assert!(verified.is_sound());

        let mut dice = Dice(28);
        let at_once = (all.len() / 2).min(100);
        let (mut flips, mut found) = (0, 0);
        while flips < 1_000 {
            let chosen = dice.chosen(&all, &keys, at_once.min(1_000 - flips));
            let before: Vec<Vec<u8>> =
                chosen.iter().map(|file| std::fs::read(file).unwrap()).collect();
            for (file, bytes) in chosen.iter().zip(&before) {
                let mut changed = bytes.clone();
                let at = dice.roll(changed.len());
                changed[at] ^= u8::try_from(1 + dice.roll(255)).unwrap();
                std::fs::write(file, changed).unwrap();
            }
            let run = world.verify_backup(1).await;
            let expected: BTreeMap<String, ReasonCode> = chosen
                .iter()
                .map(|file| (key_of(&keys, file), ReasonCode::PayloadDamaged))
                .collect();
            assert_eq!(world.faulty(run.id).await, expected, "{name}");
            assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded);
            assert_eq!(run.counts.failed, chosen.len() as u64);
            found += expected.len();
            flips += chosen.len();
            let verified = world.set(1).await.verified.unwrap();
            assert_eq!((verified.run, verified.faulty), (run.id, run.counts.failed));
            chosen
                .iter()
                .zip(before)
                .for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
        }
        assert_eq!((flips, found), (1_000, 1_000), "{name}");

        let mut swaps = 0;
        while swaps < 50 {
            let pairs: Vec<(PathBuf, PathBuf)> = dice
                .shuffled(&all)
                .chunks_exact(2)
                .take((all.len() / 4).min(50 - swaps))
                .map(|two| (two[0].clone(), two[1].clone()))
                .collect();
            let swap = |(one, two): &(PathBuf, PathBuf)| {
                let (left, right) = (std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
                std::fs::write(one, right).unwrap();
                std::fs::write(two, left).unwrap();
            };
            pairs.iter().for_each(swap);
            let run = world.verify_backup(1).await;
            let moved = pairs.iter().flat_map(|(one, two)| [one, two]);
            let expected: BTreeSet<String> = moved.map(|file| key_of(&keys, file)).collect();
            let found: BTreeSet<String> = world.faulty(run.id).await.into_keys().collect();
            assert_eq!(found, expected, "{name}");
            swaps += pairs.len();
            pairs.iter().for_each(swap);
        }
        let last = world.verify_backup(1).await;
        assert_eq!(last.state.outcome(), Outcome::Succeeded, "{name} {:?}", last.failures);
    }
}

#[tokio::test]
async fn what_is_missing_cut_or_longer_is_said_as_such() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::of_types(vec![key("deviceConfiguration")], true)).await;
        let keys = keys(&world, 1).await;
        let (lists, others): (Vec<PathBuf>, Vec<PathBuf>) =
            files(world.folder()).into_iter().partition(|file| key_of(&keys, file) == MANIFEST);
        std::fs::remove_file(&others[0]).unwrap();
        std::fs::write(&others[1], b"").unwrap();
        let mut longer = std::fs::read(&others[2]).unwrap();
        longer.push(0);
        std::fs::write(&others[2], longer).unwrap();
        let run = world.verify_backup(1).await;
        let mut expected = BTreeMap::from([
            (key_of(&keys, &others[0]), ReasonCode::PayloadMissing),
            (key_of(&keys, &others[1]), ReasonCode::PayloadDamaged),
            (key_of(&keys, &others[2]), ReasonCode::PayloadDamaged),
        ]);
        assert_eq!(world.faulty(run.id).await, expected, "{name}");
        // Without its list of contents, what the database says is verified all the same.
        std::fs::remove_file(&lists[0]).unwrap();
        let run = world.verify_backup(1).await;
        expected.insert("manifest".to_owned(), ReasonCode::PayloadMissing);
        assert_eq!(world.faulty(run.id).await, expected, "{name}");
        assert_eq!(run.failures.len(), 2);
        // Nothing is left: the run has failed.
        files(world.folder()).iter().for_each(|file| std::fs::remove_file(file).unwrap());
        let run = world.verify_backup(1).await;
        assert_eq!(run.state.outcome(), Outcome::Failed, "{name}");
        assert_eq!(run.counts.failed, keys.len() as u64 + 1);
        let gone = world.verify_backup(7).await;
        assert_eq!(gone.reason, Some(ReasonCode::ItemGone), "{name}: no such backup");
    }
}

#[tokio::test]
async fn a_changed_database_is_found_by_the_list_of_contents() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::of_types(vec![key("deviceConfiguration")], true)).await;
        let store = &world.db.store;
        let ids = store.test_texts("SELECT graph_id AS t FROM backup_items ORDER BY 1").await;
        let item = |id: &str| format!("deviceConfiguration\n{id}");
        // One policy holds another one's version, and one is not in the set any more.
        store
            .test_execute(
                "UPDATE backup_items SET version_id = (SELECT version_id FROM backup_items \
                 ORDER BY graph_id DESC LIMIT 1) \
                 WHERE graph_id = (SELECT min(graph_id) FROM backup_items)",
            )
            .await
            .unwrap();
        store
            .test_execute(
                "DELETE FROM backup_items WHERE graph_id = (SELECT graph_id FROM backup_items \
                 ORDER BY graph_id LIMIT 1 OFFSET 1)",
            )
            .await
            .unwrap();
        let run = world.verify_backup(1).await;
        let wrong = ReasonCode::BackupInconsistent;
        let expected = BTreeMap::from([
            ("manifest".to_owned(), wrong),
            (item(&ids[0]), wrong),
            (item(&ids[1]), wrong),
        ]);
        assert_eq!(world.faulty(run.id).await, expected, "{name}");
    }
}

/// Longer than a lease.
const OVER: std::time::Duration = std::time::Duration::from_mins(2);

#[tokio::test]
async fn a_verification_that_is_killed_goes_on_and_counts_once() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::everything()).await;
        let keys = keys(&world, 1).await;
        let all = files(world.folder());
        for file in all.iter().step_by(10) {
            std::fs::write(file, b"x").unwrap();
        }
        let run = world.start::<StartBackupVerify>(&VerifyBackup { backup: 1 }).await;
        let over = "SELECT count(*) AS n FROM run_items WHERE completed_at IS NOT NULL AND run_id = \
                    (SELECT id FROM operation_runs WHERE kind = 'backup.verify')";
        let mut kills = 0;
        while world.run(run).await.is_active() {
            let before = world.db.store.test_count(over).await;
            let id = WorkerId::from_uuid(Uuid::from_u128(100 + kills));
            let worker = world.another(id);
            let working = tokio::spawn(async move { worker.work_queue().await });
            while world.db.store.test_count(over).await == before && !working.is_finished() {
                tokio::task::yield_now().await;
            }
            working.abort();
            world.db.clock.advance(OVER);
            // Given back with its try: what is looked at here is what it goes on from.
            world.db.store.upkeep().release(id).await.unwrap();
            kills += 1;
            assert!(kills < 100, "{name}: it does not end");
        }
        assert!(kills > 1, "{name}: killed {kills} times");
        let ended = world.run(run).await;
        let damaged: BTreeSet<String> =
            all.iter().step_by(10).map(|file| key_of(&keys, file)).collect();
        let (contents, faulty) = (keys.len() as u64 + 1, damaged.len() as u64);
        assert_eq!((ended.counts.processed(), ended.counts.failed), (contents, faulty));
        assert_eq!(world.faulty(run).await.len() as u64, faulty, "{name}");
        let verified = world.set(1).await.verified.unwrap();
        assert_eq!((verified.checked, verified.faulty), (contents, faulty));
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_says_nothing_of_a_backup() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::of_types(vec![key("deviceConfiguration")], true)).await;
        assert_eq!(world.set(1).await.state, BackupState::Complete);
        // A folder that has become a file: whatever is asked for below it, the answer is an error.
        let place = world.folder().join("gone");
        let payloads = PayloadStore::open(&Location::Folder(place.clone()), []).unwrap();
        std::fs::remove_dir_all(&place).unwrap();
        std::fs::write(&place, "x").unwrap();
        let worker = world.with_payloads(payloads);
        let run = world.start::<StartBackupVerify>(&VerifyBackup { backup: 1 }).await;
        while world.run(run).await.is_active() {
            worker.work_queue().await;
            world.db.clock.advance(std::time::Duration::from_mins(15));
        }
        let ended = world.run(run).await;
        let reason = Some(ReasonCode::StorageUnavailable);
        assert_eq!((ended.state.outcome(), ended.reason), (Outcome::Failed, reason), "{name}");
        assert_eq!(world.set(1).await.verified, None, "{name}");
        let scope = world.enter::<DeleteBackups>().await;
        scope.backup_delete(1, None, None).await.unwrap();
    }
}
