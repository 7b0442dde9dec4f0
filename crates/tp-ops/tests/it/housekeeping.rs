//! Housekeeping of stored contents: garbage goes, keys that are not used any more go, and nothing that is
//! needed ever does, whatever captures do at the same time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tp_domain::access::{DeleteBackups, StartBackup, StartPayloadsPrune};
use tp_domain::backup::BackupState;
use tp_domain::backup_create::CreateBackup;
use tp_domain::payloads_prune::PrunePayloads;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome};
use tp_engine::registry::Registry;
use tp_engine::worker::Worker;
use tp_ops::backup_create::CreateBackupOperation;
use tp_ops::prune_payloads::PrunePayloadsOperation;
use tp_store::BackupChanged;

use crate::backup::key;
use crate::verify::files;
use crate::world::{World, worlds};

/// The clocks of the world and of its files go apart; the world's is ahead of every file.
const AHEAD: Duration = Duration::from_hours(24 * 3_650);

/// A worker that keeps house and gives nothing any grace.
fn housekeeper(world: &World) -> Worker {
    let operation = PrunePayloadsOperation::with_grace(world.tools.clone(), Duration::ZERO);
    world.with_registry(50, Registry::default().with(Arc::new(operation)))
}

/// Sets the world's clock an hour before that of its files: all of them are old without any grace, and what
/// is being written is not (that has a day).
fn an_hour_ahead(world: &World) {
    let made = std::fs::metadata(world.folder()).unwrap().modified().unwrap();
    let made = made.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(world.db.store.now().micros()).unwrap();
    let behind = made.saturating_sub(Duration::from_micros(now));
    world.db.clock.set_forward(behind + Duration::from_hours(1));
}

async fn kept_house(world: &World, worker: &Worker) -> OperationRun {
    world.db.clock.advance(Duration::from_millis(1));
    let run = world.start::<StartPayloadsPrune>(&PrunePayloads).await;
    // A claim that meets another one takes nothing and comes back.
    loop {
        let seen = world.run(run).await;
        if !seen.is_active() {
            return seen;
        }
        if worker.work_queue().await == 0 && seen.waiting.is_some() {
            // PostgreSQL gave way to the other side (a deadlock): the engine tries it again later.
            world.db.clock.advance(Duration::from_mins(10));
        }
    }
}

async fn rotate(world: &World) {
    let tenant = world.policies().await.tenant().clone();
    let console = world.db.store.console();
    console.tenant_key_rotate(tenant.workspace, tenant.id).await.unwrap().unwrap();
}

#[tokio::test]
async fn garbage_and_retired_keys_go_and_the_backups_stay_sound() {
    for world in worlds(None).await {
        let name = world.db.name();
        let request = || CreateBackup::of_types(vec![key("deviceConfiguration")], true);
        world.backup(request()).await;
        world.backup(request()).await;
        let contents = u64::try_from(files(world.folder()).len()).unwrap();
        // Within the grace nothing goes.
        let scope = world.enter::<DeleteBackups>().await;
        assert_eq!(scope.backup_delete(1, None, None).await.unwrap(), BackupChanged::Done);
        let run = world.done::<StartPayloadsPrune>(&PrunePayloads).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{name} {:?}", run.failures);
        assert_eq!(run.counts.processed(), 0, "{name} {}", run.context);

        world.db.clock.set_forward(AHEAD);
        rotate(&world).await;
        // What a writer leaves behind that dies before its file has a name, and one that dies after it.
        let one = files(world.folder()).remove(0);
        let text = one.to_str().unwrap();
        std::fs::copy(&one, format!("{text}#1")).unwrap();
        let (stem, _) = text.split_at(text.len() - 4);
        std::fs::copy(&one, format!("{stem}0000")).unwrap();
        std::fs::write(world.folder().join("v1").join("README"), "not ours").unwrap();
        let worker = housekeeper(&world);
        let run = kept_house(&world, &worker).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{name} {:?}", run.failures);
        // The list of the deleted set is sealed anew before anybody sees that it is garbage. Its old copy
        // and those of all others are orphans, and so is the planted one.
        let said = json!({
            "resealed": contents,
            "keys_destroyed": 1,
            "files": 0, "deleted": 1,
            "orphans": contents + 1,
            "unfinished": 1,
        });
        assert_eq!(run.context, said, "{name}");
        assert_eq!(run.counts.succeeded, contents * 2 + 3, "{name}");
        let left = u64::try_from(files(world.folder()).len()).unwrap();
        assert_eq!(left, contents - 1 + 1, "{name}: what is needed, and what is not ours");
        let verified = world.verify_backup(2).await;
        assert_eq!(verified.state.outcome(), Outcome::Succeeded, "{name} {:?}", verified.failures);
        let again = kept_house(&world, &worker).await;
        assert_eq!(again.counts.processed(), 0, "{name} {}", again.context);
    }
}

#[tokio::test]
async fn a_damaged_content_is_said_and_keeps_its_key() {
    for world in worlds(None).await {
        let name = world.db.name();
        world.backup(CreateBackup::of_types(vec![key("deviceConfiguration")], true)).await;
        let all = files(world.folder());
        std::fs::write(&all[0], "x").unwrap();
        std::fs::remove_file(&all[1]).unwrap();
        rotate(&world).await;
        let run = kept_house(&world, &housekeeper(&world)).await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded, "{name}");
        let mut codes: Vec<ReasonCode> = run.failures.iter().map(|failure| failure.code).collect();
        codes.sort_by_key(|code| code.as_str());
        assert_eq!(codes, [ReasonCode::PayloadDamaged, ReasonCode::PayloadMissing], "{name}");
        assert_eq!(run.context["keys_destroyed"], 0, "{name}: somebody may put them back");
        assert_eq!(run.context["resealed"], all.len() - 2, "{name}");
    }
}

/// Captures, deletions and new keys on one side, housekeeping without any grace on the other, as fast as
/// they can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_and_housekeeping_at_once_lose_nothing() {
    for world in worlds(None).await {
        let name = world.db.name();
        an_hour_ahead(&world);
        let capturer = world.with_registry(
            51,
            Registry::default().with(Arc::new(CreateBackupOperation::new(world.tools.clone()))),
        );
        let worker = housekeeper(&world);
        let kind = "deviceConfiguration";
        let ids: Vec<String> = world.state(kind).await.into_keys().take(8).collect();
        let (mut deleted, mut orphans, mut resealed, mut rounds, mut whole) = (0, 0, 0, 0, 0);
        for round in 0..10_u64 {
            for id in &ids {
                let change = json!({
                    "description": format!("round {round}"),
                    "lastModifiedDateTime": format!("2026-03-01T00:00:{round:02}Z"),
                });
                world.change_object(kind, id, &change).await;
            }
            if round % 3 == 2 {
                rotate(&world).await;
            }
            let request = CreateBackup::of_types(vec![key(kind)], true);
            let run = world.start::<StartBackup>(&request).await;
            let capturing = async {
                while world.run(run).await.is_active() {
                    if capturer.work_queue().await == 0 {
                        // It waits for its next try.
                        world.db.clock.advance(Duration::from_mins(10));
                    }
                }
            };
            let keeping = async {
                loop {
                    let kept = kept_house(&world, &worker).await;
                    assert_eq!(kept.state.outcome(), Outcome::Succeeded, "{:?}", kept.failures);
                    let of = |key: &str| kept.context[key].as_u64().unwrap();
                    deleted += of("deleted");
                    orphans += of("orphans");
                    resealed += of("resealed");
                    rounds += 1;
                    if !world.run(run).await.is_active() {
                        break;
                    }
                }
            };
            tokio::join!(capturing, keeping);
            let ended = world.run(run).await;
            // Without any grace a capture may find each time that what it stored has gone again: then it gives
            // up, and says so. What it never does is to lose something silently.
            let is_whole = ended.state.outcome() == Outcome::Succeeded;
            let gave_up = ended.reason == Some(ReasonCode::StorageUnavailable);
            assert!(is_whole || gave_up, "{name} {ended:?}");
            let set = world.set(round + 1).await;
            assert_eq!(set.state == BackupState::Complete, is_whole, "{name}");
            whole += u32::from(is_whole);
            if round > 2 {
                let scope = world.enter::<DeleteBackups>().await;
                let gone = scope.backup_delete(round - 1, None, None).await.unwrap();
                assert_eq!(gone, BackupChanged::Done);
            }
        }
        println!(
            "{name}: {rounds} times kept house, {deleted} deleted, {orphans} orphans, {resealed} resealed"
        );
        assert!(deleted > 5 && orphans > 5 && resealed > 5, "{name}: there was nothing to race");
        assert!(whole > 5, "{name}: {whole} of 10 backups came to their end");
        for set in world.backups().await.backup_list(None, 100).await.unwrap() {
            let verified = world.verify_backup(set.number).await;
            let outcome = verified.state.outcome();
            assert_eq!(
                outcome,
                Outcome::Succeeded,
                "{name} {} {:?}",
                set.number,
                verified.failures
            );
        }
        // Every version ever made, too.
        let lost = "SELECT count(*) AS n FROM policy_versions v WHERE NOT EXISTS (\
                    SELECT 1 FROM payloads p WHERE p.scope_id = v.scope_id AND p.address = v.address \
                    AND p.state = 'stored')";
        assert_eq!(world.db.store.test_count(lost).await, 0, "{name}");
    }
}
