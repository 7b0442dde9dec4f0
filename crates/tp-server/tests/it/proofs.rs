//! TRUST A1, A3, A6, A33 over HTTP: storms of starts, a sync killed at each request, a server killed and
//! ended under load. `cargo xtask prove engine` sets the sizes and collects the figures.

mod server_ends;
mod server_kills;
mod storm;
mod sync_kills;

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tp_store::testing::{Told, broken, told};

use crate::process::Installation;

/// The size of a proof: of every change, unless `TENANTPILOT_PROVE` says `short` or `long`.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn pick<T>(long: T, short: T, smallest: T) -> T {
    match std::env::var("TENANTPILOT_PROVE").as_deref() {
        Ok("long") => long,
        Ok("short") => short,
        _ => smallest,
    }
}

/// Appends a figure to the file that the prover reads; says whether it holds.
#[must_use]
#[expect(clippy::print_stdout, reason = "a figure must be seen")]
pub(crate) fn figure(figure: &str, target: &str, measured: &str, holds: bool) -> bool {
    let line = json!({"figure": figure, "target": target, "measured": measured, "holds": holds});
    println!("{line}");
    tell(&line);
    holds
}

const fn name(url: Option<&String>) -> &'static str {
    if url.is_some() { "postgres" } else { "sqlite" }
}

fn percentile(times: &mut [Duration], of_hundred: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * of_hundred / 100).min(times.len() - 1)]
}

/// Writes a line to the file that the prover reads.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn tell(line: &Value) {
    if let Ok(path) = std::env::var("TENANTPILOT_PROVE_FILE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// What the database says after a proof: how many runs have not ended, and the rules that are broken.
struct After {
    active: i64,
    broken: Vec<String>,
}

impl After {
    /// Asks the database. The server has ended.
    async fn look(installation: &Installation, lease: Duration) -> Self {
        let store = installation.store().await;
        let Told { runs, wrong, others } = told(&store).await;
        tell(&json!({"told": {"runs": runs, "wrong": wrong, "others": others}}));
        let active = "SELECT count(*) AS n FROM operation_runs WHERE status <> 'completed'";
        let after =
            Self { active: store.test_count(active).await, broken: broken(&store, lease).await };
        store.close().await;
        after
    }

    /// As the end of a sentence.
    fn words(&self) -> String {
        let mut text = format!("{} rules broken", self.broken.len());
        for rule in &self.broken {
            text.push_str("; ");
            text.push_str(rule);
        }
        text
    }
}

/// The lease of proofs that set it (ruling 34), and the one of all others.
const SHORT_LEASE: Duration = Duration::from_secs(3);
const LEASE: Duration = Duration::from_secs(30);

/// Leases and beats of the proofs (ruling 34).
fn short_leases(installation: &mut Installation) {
    installation.set("TENANTPILOT_WORKER__LEASE_SECONDS", "3");
    installation.set("TENANTPILOT_WORKER__HEARTBEAT_SECONDS", "1");
}
