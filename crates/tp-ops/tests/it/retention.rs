//! Retention as a run: it removes what its preview says, and what is left is whole.

use serde_json::json;
use tp_domain::access::{DeleteBackups, StartBackupRetention, ViewBackups};
use tp_domain::backup_create::CreateBackup;
use tp_domain::backup_retention::RetainBackups;
use tp_domain::retention::plan;
use tp_domain::run::Outcome;
use tp_store::BackupChanged;

use crate::backup::key;
use crate::world::{World, worlds};

async fn numbers(world: &World) -> Vec<u64> {
    let sets = world.backups().await.backup_list(None, 100).await.unwrap();
    sets.into_iter().map(|set| set.number).collect()
}

#[tokio::test]
async fn it_removes_what_the_preview_says_and_nothing_a_second_time() {
    for world in worlds(None).await {
        let name = world.db.name();
        for _ in 0..7 {
            world.backup(CreateBackup::of_types(vec![key("deviceConfiguration")], true)).await;
        }
        let scope = world.enter::<DeleteBackups>().await;
        let pinned = scope.backup_mark(2, None, Some("audit".into()), true, None).await.unwrap();
        assert_eq!(pinned, BackupChanged::Done);
        let request = RetainBackups::parse(&json!({"keep_last": 3, "keep_monthly": 1})).unwrap();
        let facts = world.enter::<ViewBackups>().await.backup_facts().await.unwrap();
        let preview = plan(&facts, request.rules()).unwrap();
        let gone: Vec<u64> =
            preview.iter().filter(|one| one.is_removed()).map(|one| one.number).collect();
        assert_eq!(gone, [4, 3, 1], "{name}");
        let run = world.done::<StartBackupRetention>(&request).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{name} {:?}", run.failures);
        assert_eq!((run.counts.succeeded, run.counts.total), (3, Some(3)));
        assert_eq!(run.context["kept"], 4, "{name}");
        assert_eq!(numbers(&world).await, [7, 6, 5, 2], "{name}");
        let again = world.done::<StartBackupRetention>(&request).await;
        assert_eq!((again.counts.processed(), again.context["removed"].clone()), (0, json!(0)));
        for backup in numbers(&world).await {
            let verified = world.verify_backup(backup).await;
            assert_eq!(verified.state.outcome(), Outcome::Succeeded, "{name} {backup}");
        }
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'backup.deleted'";
        assert_eq!(world.db.store.test_count(audited).await, 3, "{name}");
    }
}
