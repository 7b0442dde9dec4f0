//! What must hold after every phase (TRUST §4, invariants): asked of the database, not of the code.

use anyhow::Result;
use tp_store::Store;

/// Each counts what breaks a rule: zero is right. `{silent}` is the time of the last allowed heartbeat.
const RULES: [(&str, &str); 9] = [
    (
        "I1 active runs per identity <= 1",
        "SELECT count(*) AS n FROM (SELECT 1 FROM operation_runs WHERE status <> 'completed' \
         GROUP BY scope_id, kind, identity_hash HAVING count(*) > 1) twice",
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
              AND i.run_id = r.id AND i.state = 'skipped') \
           OR r.processed > r.total)",
    ),
    (
        "I6 one queued and one terminal notification per ended run, to its initiator",
        "SELECT count(*) AS n FROM operation_runs r WHERE r.status = 'completed' \
         AND r.initiator_id IS NOT NULL AND 2 <> (SELECT count(*) FROM notifications n \
             WHERE n.scope_id = r.scope_id AND n.run_id = r.id AND n.user_id = r.initiator_id)",
    ),
    (
        "I6 nobody else is told",
        "SELECT count(*) AS n FROM notifications n JOIN operation_runs r \
         ON r.scope_id = n.scope_id AND r.id = n.run_id \
         WHERE r.initiator_id IS NULL OR r.initiator_id <> n.user_id",
    ),
    (
        "I7 one audit entry per start",
        "SELECT count(*) AS n FROM operation_runs r WHERE 1 <> (SELECT count(*) FROM audit_entries a \
         WHERE a.scope_id = r.scope_id AND a.run_id = r.id AND a.action = 'run.started')",
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

/// The rules that are broken, with how often. `ordered` is false where the clock was moved on purpose.
pub(crate) async fn broken(store: &Store, ordered: bool) -> Result<Vec<String>> {
    let codes: Vec<String> =
        tp_domain::reason::ReasonCode::ALL.iter().map(|code| format!("'{code}'")).collect();
    let codes = format!("({})", codes.join(", "));
    let mut found = Vec::new();
    for (rule, sql) in RULES {
        if !ordered && rule.starts_with("I12") {
            continue;
        }
        let count = store.test_count_text(&sql.replace("{codes}", &codes)).await;
        if count != 0 {
            found.push(format!("{rule}: broken {count} times"));
        }
    }
    Ok(found)
}
