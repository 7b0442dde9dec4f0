//! `tenantpilot doctor`: looks whether everything is in order, and says what to do where it is not.

use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::ids::CopyId;
use tp_store::{DatabaseUrl, Store, SystemIds};

use crate::cli::Output;
use crate::config::Config;
use crate::output;
use crate::{exit, wire};

/// Three heartbeats and a little: a worker that was silent for longer is not there.
const SILENT: Duration = Duration::from_secs(35);

struct Check {
    name: &'static str,
    good: bool,
    found: String,
    advice: &'static str,
}

fn check(name: &'static str, good: bool, found: impl Into<String>, advice: &'static str) -> Check {
    Check { name, good, found: found.into(), advice }
}

async fn checks(config: &Config) -> Vec<Check> {
    let mut list = Vec::new();
    let kind = match &config.database {
        DatabaseUrl::Sqlite(path) => format!("SQLite {}", path.display()),
        DatabaseUrl::Postgres(_) => "PostgreSQL".to_owned(),
    };
    match Store::migrate_check(&config.database).await {
        Ok(state) => {
            list.push(check("database", true, kind, ""));
            let found = format!("{} of {} applied", state.known - state.pending, state.known);
            list.push(check("migrations", state.pending == 0, found, "run: tenantpilot migrate"));
            if state.pending > 0 {
                return list;
            }
        }
        Err(error) => {
            list.push(check(
                "database",
                false,
                format!("{kind}: {error}"),
                "check database.url and the server",
            ));
            return list;
        }
    }
    let keys = config.keys_file.exists();
    let found = if keys { "present" } else { "missing" };
    list.push(check(
        "key file",
        keys,
        found,
        "made at the first start; put it back if it was lost",
    ));
    list.push(payloads(config).await);
    match wire::store(config).await {
        Ok(store) => live_checks(&store, &mut list).await,
        Err(error)
            if error
                .downcast_ref::<tp_store::StoreError>()
                .is_some_and(|e| matches!(e, tp_store::StoreError::InUse)) =>
        {
            list.push(check("server", true, "running: it holds the SQLite database", ""));
        }
        Err(error) => list.push(check("store", false, format!("{error:#}"), "see the message")),
    }
    list
}

/// Writes, reads and deletes a trial object.
async fn payloads(config: &Config) -> Check {
    const ADVICE: &str = "check payloads.url, and for a bucket the AWS_ variables";
    let tried = match wire::payloads(config) {
        Ok(store) => store.probe(CopyId::next(&SystemIds)).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    let at = &config.payloads;
    match tried {
        Ok(probe) if probe.keeps_existing => check("payload store", true, at.to_string(), ""),
        Ok(_) => {
            let found = format!("{at}; it writes over existing objects, which does no harm here");
            check("payload store", true, found, "")
        }
        Err(error) => check("payload store", false, format!("{at}: {error:#}"), ADVICE),
    }
}

async fn live_checks(store: &Store, list: &mut Vec<Check>) {
    match (store.upkeep().queue().await, store.upkeep().workers().await) {
        (Ok(queue), Ok(workers)) => {
            let now = store.now();
            let alive =
                workers.iter().filter(|worker| now.since(worker.heartbeat_at) <= SILENT).count();
            let advice = "start one: tenantpilot serve, or tenantpilot worker";
            list.push(check("workers", alive > 0, format!("{alive} alive"), advice));
            let waited = queue.oldest.map_or(Duration::ZERO, |at| now.since(at));
            let found = format!(
                "{} waiting, {} running, oldest waits {} s",
                queue.ready,
                queue.leased,
                waited.as_secs()
            );
            list.push(check(
                "queue",
                waited < Duration::from_mins(2),
                found,
                "more workers, or look at what they do",
            ));
            // A worker's beat from the future means that two clocks disagree.
            let ahead = workers
                .iter()
                .map(|worker| worker.heartbeat_at.since(now))
                .max()
                .unwrap_or_default();
            list.push(check(
                "clock",
                ahead < Duration::from_secs(5),
                format!("{} s apart", ahead.as_secs()),
                "set the clocks of the machines",
            ));
        }
        (Err(error), _) | (_, Err(error)) => {
            list.push(check("queue", false, error.to_string(), "check the database"));
        }
    }
    store.close().await;
}

/// Runs all checks; exit 1 when one is not good.
pub(crate) async fn run(config: &Config, form: Output) -> u8 {
    let list = checks(config).await;
    let entries: Vec<Value> = list
        .iter()
        .map(|check| {
            json!({
                "check": check.name, "good": check.good, "found": check.found,
                "advice": if check.good { Value::Null } else { check.advice.into() },
            })
        })
        .collect();
    let columns: &[output::Column] = &[
        ("check", |entry| output::text(entry, "/check")),
        ("good", |entry| if entry["good"] == true { "ok".to_owned() } else { "NOT OK".to_owned() }),
        ("found", |entry| output::text(entry, "/found")),
        ("advice", |entry| output::text(entry, "/advice")),
    ];
    output::list(&entries, columns, "/check", form);
    if list.iter().all(|check| check.good) { exit::DONE } else { exit::ERROR }
}
