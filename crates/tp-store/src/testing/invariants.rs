//! What must hold after every phase of a proof (TRUST §4, invariants): asked of the database by text of
//! its own, not of the code that is on trial.

use std::time::Duration;

use tp_domain::reason::ReasonCode;

use crate::Store;

/// Each counts what breaks a rule: zero is right. `{silent}` is the time of the last sign of life that a
/// run may have, `{codes}` the published reason codes.
const RULES: [(&str, &str); 13] = [
    (
        "I1 active runs per identity <= 1",
        "SELECT count(*) AS n FROM (SELECT 1 FROM operation_runs WHERE status <> 'completed' \
         GROUP BY scope_id, kind, identity_hash HAVING count(*) > 1) twice",
    ),
    (
        "I2 no run is silent for a lease and a minute",
        "SELECT count(*) AS n FROM operation_runs WHERE status <> 'completed' \
         AND waiting_reason IS NULL AND COALESCE(heartbeat_at, started_at, created_at) < {silent}",
    ),
    (
        "I2 every active run has a job",
        "SELECT count(*) AS n FROM operation_runs r WHERE status <> 'completed' \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.scope_id = r.scope_id AND j.run_id = r.id)",
    ),
    (
        "I2 no job without an active run",
        "SELECT count(*) AS n FROM jobs j WHERE NOT EXISTS (SELECT 1 FROM operation_runs r \
         WHERE r.scope_id = j.scope_id AND r.id = j.run_id AND r.status <> 'completed')",
    ),
    (
        "I3 counts of ended runs equal their items",
        "SELECT count(*) AS n FROM operation_runs r WHERE r.status = 'completed' \
         AND EXISTS (SELECT 1 FROM run_items i WHERE i.scope_id = r.scope_id AND i.run_id = r.id) \
         AND (r.succeeded <> (SELECT count(*) FROM run_items i WHERE i.scope_id = r.scope_id \
              AND i.run_id = r.id AND i.state = 'succeeded') \
           OR r.failed <> (SELECT count(*) FROM run_items i WHERE i.scope_id = r.scope_id \
              AND i.run_id = r.id AND i.state = 'failed') \
           OR r.skipped <> (SELECT count(*) FROM run_items i WHERE i.scope_id = r.scope_id \
              AND i.run_id = r.id AND i.state = 'skipped'))",
    ),
    (
        "I3 processed is the sum and at most the total",
        "SELECT count(*) AS n FROM operation_runs WHERE processed <> succeeded + failed + skipped \
         OR processed > total",
    ),
    (
        "I6 one queued and one terminal notification per ended run, to its initiator",
        "SELECT count(*) AS n FROM operation_runs r WHERE r.status = 'completed' \
         AND r.initiator_id IS NOT NULL \
         AND (1 <> (SELECT count(*) FROM notifications n WHERE n.scope_id = r.scope_id \
                    AND n.run_id = r.id AND n.user_id = r.initiator_id AND n.moment = 'queued') \
           OR 1 <> (SELECT count(*) FROM notifications n WHERE n.scope_id = r.scope_id \
                    AND n.run_id = r.id AND n.user_id = r.initiator_id AND n.moment = 'ended'))",
    ),
    (
        "I6 one queued notification and no other per active run",
        "SELECT count(*) AS n FROM operation_runs r WHERE r.status <> 'completed' \
         AND r.initiator_id IS NOT NULL \
         AND (1 <> (SELECT count(*) FROM notifications n WHERE n.scope_id = r.scope_id \
                    AND n.run_id = r.id) \
           OR 1 <> (SELECT count(*) FROM notifications n WHERE n.scope_id = r.scope_id \
                    AND n.run_id = r.id AND n.user_id = r.initiator_id AND n.moment = 'queued'))",
    ),
    (
        "I6 nobody else is told",
        "SELECT count(*) AS n FROM notifications n LEFT JOIN operation_runs r \
         ON r.scope_id = n.scope_id AND r.id = n.run_id \
         WHERE r.initiator_id IS NULL OR r.initiator_id <> n.user_id",
    ),
    (
        "I7 one audit entry per start",
        "SELECT count(*) AS n FROM operation_runs r WHERE 1 <> (SELECT count(*) FROM audit_entries a \
         WHERE a.scope_id = r.scope_id AND a.run_id = r.id AND a.action = 'run.started')",
    ),
    (
        "I9 no row of another scope",
        "SELECT count(*) AS n FROM operation_runs r WHERE r.scope_id <> COALESCE(r.tenant_id, r.workspace_id) \
         OR EXISTS (SELECT 1 FROM notifications n WHERE n.run_id = r.id AND n.scope_id <> r.scope_id) \
         OR EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = r.id AND j.scope_id <> r.scope_id)",
    ),
    (
        "I11 reason codes known",
        "SELECT count(*) AS n FROM operation_runs WHERE reason IS NOT NULL AND reason NOT IN {codes}",
    ),
    (
        "I12 times in order",
        "SELECT count(*) AS n FROM operation_runs WHERE completed_at < created_at \
         OR completed_at < started_at OR started_at < created_at",
    ),
];

/// How long a run may be silent beyond its lease.
const SILENCE: Duration = Duration::from_mins(1);

/// The rules that are broken, with how often. `lease` is the longest of this installation.
pub async fn broken(store: &Store, lease: Duration) -> Vec<String> {
    let codes: Vec<String> = ReasonCode::ALL.iter().map(|code| format!("'{code}'")).collect();
    let codes = format!("({})", codes.join(", "));
    let silent = store.now().minus(lease + SILENCE).micros().to_string();
    let mut found = Vec::new();
    for (rule, sql) in RULES {
        let sql = sql.replace("{codes}", &codes).replace("{silent}", &silent);
        let count = store.test_count_text(&sql).await;
        if count != 0 {
            found.push(format!("{rule}: broken {count} times"));
        }
    }
    found
}

/// Who was told of the runs of a database (TRUST A38).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Ended runs that somebody started.
    pub runs: u64,
    /// Those of them that their initiator was not told of once when queued and once at the end.
    pub wrong: u64,
    /// Notifications to anybody else.
    pub others: u64,
}

/// Counts who was told.
pub async fn told(store: &Store) -> Told {
    let rule = |start: &str| RULES.iter().find(|(rule, _)| rule.starts_with(start));
    let mut counts = [0; 3];
    let runs = "SELECT count(*) AS n FROM operation_runs \
                WHERE status = 'completed' AND initiator_id IS NOT NULL";
    let texts = [
        Some(runs),
        rule("I6 one queued and one terminal").map(|(_, sql)| *sql),
        rule("I6 nobody else").map(|(_, sql)| *sql),
    ];
    for (count, sql) in counts.iter_mut().zip(texts.into_iter().flatten()) {
        *count = u64::try_from(store.test_count_text(sql).await).unwrap_or(u64::MAX);
    }
    let [runs, wrong, others] = counts;
    Told { runs, wrong, others }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDatabase;
    use tp_domain::access::StartInventorySync;
    use tp_domain::inventory_sync::SyncInventory;
    use tp_domain::tenant::Slug;

    const LEASE: Duration = Duration::from_secs(30);

    /// A database with two ended runs and one that is queued, all of them right.
    async fn database() -> TestDatabase {
        let database = TestDatabase::sqlite().await;
        let store = &database.store;
        let (workspace, _) = store.test_workspace().await;
        let new = crate::NewTenant {
            name: "Contoso".to_owned(),
            slug: Slug::new("contoso").unwrap(),
            entra_tenant_id: uuid::Uuid::from_u128(1),
            domain: None,
            cloud: "global".to_owned(),
            credential: None,
        };
        store.console().tenant_create(workspace, new).await.unwrap();
        let actor = store.test_actor("owner@example.com").await;
        let tenant = crate::TenantRef::Slug(Slug::new("contoso").unwrap());
        let scope = store.enter::<StartInventorySync>(&actor, &tenant).await.unwrap();
        let request = SyncInventory::everything();
        for _ in 0..2 {
            scope.run_start(&request, crate::HowStarted::default()).await.unwrap();
            store.discover().await.unwrap();
            let request = crate::ClaimRequest {
                worker: tp_domain::ids::WorkerId::from_uuid(uuid::Uuid::from_u128(9)),
                kinds: tp_domain::operation::OperationKind::ALL.to_vec(),
                lease: LEASE,
                per_tenant: 9,
                most: 1,
            };
            let run = store.claim_many(request).await.unwrap().runs.pop().unwrap();
            let ended = crate::Ended {
                outcome: tp_domain::run::Outcome::Succeeded,
                reason: None,
                message: None,
                failures: Vec::new(),
                context: serde_json::json!({}),
                counts: tp_domain::counts::RunCounts::default(),
            };
            run.finish(ended).await.unwrap();
        }
        scope.run_start(&request, crate::HowStarted::default()).await.unwrap();
        database
    }

    const ITEM: &str = "INSERT INTO run_items (scope_id, run_id, item_key, workspace_id, position, state) \
                        SELECT scope_id, id, 'a', workspace_id, 0, 'succeeded' FROM operation_runs \
                        WHERE status = 'completed' LIMIT 1";

    /// How each rule is broken, past every door. SQLite lets a check be switched off.
    const FAULTS: [(&str, &str); 13] = [
        (
            "I1",
            "DROP INDEX operation_runs_active; \
             UPDATE operation_runs SET status = 'running', started_at = created_at, outcome = 'pending', \
             completed_at = NULL WHERE status = 'completed'",
        ),
        ("I2 no run is silent", "UPDATE operation_runs SET created_at = created_at - 90000001"),
        ("I2 every active run", "DELETE FROM jobs"),
        (
            "I2 no job without",
            "INSERT INTO jobs (scope_id, run_id, workspace_id, tenant_id, kind, state, priority, run_at) \
             SELECT scope_id, id, workspace_id, tenant_id, kind, 'ready', 30, 0 FROM operation_runs \
             WHERE status = 'completed' LIMIT 1",
        ),
        ("I3 counts", ITEM),
        ("I3 processed", "UPDATE operation_runs SET total = 1, processed = 2"),
        ("I6 one queued and one", "DELETE FROM notifications WHERE moment = 'ended'"),
        (
            "I6 one queued notification",
            "UPDATE notifications SET moment = 'ended' \
             WHERE run_id IN (SELECT id FROM operation_runs WHERE status = 'queued')",
        ),
        ("I6 nobody else", "UPDATE notifications SET user_id = randomblob(16)"),
        ("I7", "UPDATE audit_entries SET action = 'run.ended' WHERE action = 'run.started'"),
        ("I9", "UPDATE operation_runs SET tenant_id = NULL"),
        ("I11", "UPDATE operation_runs SET reason = 'because' WHERE status = 'completed'"),
        (
            "I12",
            "UPDATE operation_runs SET completed_at = created_at - 1 WHERE status = 'completed'",
        ),
    ];

    #[tokio::test]
    async fn each_rule_sees_what_breaks_it() {
        for (rule, fault) in FAULTS {
            let database = database().await;
            let store = &database.store;
            assert_eq!(broken(store, LEASE).await, [""; 0], "before the fault of {rule}");
            let triggers = store
                .test_texts("SELECT name AS t FROM sqlite_master WHERE type = 'trigger'")
                .await;
            for trigger in triggers {
                let text = format!("DROP TRIGGER {trigger}").leak();
                store.test_execute(text).await.unwrap();
            }
            store.test_execute("PRAGMA ignore_check_constraints = ON").await.unwrap();
            store.test_execute(fault).await.unwrap();
            let found = broken(store, LEASE).await;
            assert!(found.iter().any(|found| found.starts_with(rule)), "{rule}: {found:?}");
        }
    }

    #[tokio::test]
    async fn runs_that_nobody_was_told_of_are_counted() {
        let database = database().await;
        let store = &database.store;
        assert_eq!(told(store).await, Told { runs: 2, wrong: 0, others: 0 });
        store.test_execute("DELETE FROM notifications WHERE moment = 'queued'").await.unwrap();
        assert_eq!(told(store).await, Told { runs: 2, wrong: 2, others: 0 });
    }
}
