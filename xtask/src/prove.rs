//! `cargo xtask prove`: figures that only real processes can show, as one table.
//!
//! The proofs are programs and tests that write one line of JSON per figure; this puts them together.

pub(crate) mod sim;

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::postgres::{self, Server};
use crate::shell;

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// What is proved
    what: What,
    /// The full sample sizes, in an optimised build; without it the sizes of every change
    #[arg(long)]
    long: bool,
    /// The seed of every chance in it, to repeat a failure
    #[arg(long)]
    seed: Option<u64>,
    #[arg(skip)]
    within_ci: bool,
}

/// What can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The run engine: TRUST A1 to A7, A33, A37 to A39
    Engine,
    /// The simulated Graph: real clients of other people accept it
    Sim,
    /// The client of Graph: TRUST A10 to A17, A29, and that everything is read as it is held
    Graph,
    /// Snapshots: what they cost, exports and imports, verification, kills
    Snapshots,
    /// Restores: round trips of every type that may be written, lost replies, approvals, kills
    Restore,
}

/// Tests that prove a figure by passing, and the figure.
const TESTS: [(&str, &str, &str); 4] = [
    ("tp-store", "a_failed_dispatch_leaves", "A37 100 injected dispatch failures, both databases"),
    ("tp-store", "racing_equal_starts_make_one_run", "I1 64 starts at once make one run"),
    ("tp-store", "the_limits_hold_whoever_claims", "I9 limits hold with eight claimers"),
    ("tp-store", "each_rule_sees_what_breaks_it", "the rules that are asked see what breaks them"),
];

/// Sequences of commands of the state machine in the long form; its own number in the short one.
const MODEL_CASES: &str = "10000";

/// Proves, prints the table; true when every figure holds.
pub(crate) fn run(args: &ProveArgs) -> Result<bool> {
    if args.what == What::Sim {
        return Ok(print(&sim::figures()?));
    }
    let server = Server::given_or_new(None, true)?;
    let lines = tempfile_path("figures");
    let _ = std::fs::remove_file(&lines);
    let mut seen = Vec::new();
    let proved = match args.what {
        What::Graph => by_ops(args, &server, &lines, &mut seen, &GRAPH),
        What::Snapshots => snapshots(args, &server, &lines, &mut seen),
        What::Restore => by_ops(args, &server, &lines, &mut seen, &RESTORE),
        What::Engine | What::Sim => prove(args, &server, &lines, &mut seen),
    };
    drop(server);
    let _ = std::fs::remove_file(&lines);
    // What was measured is shown, also when something after it failed.
    let holds = print(&seen);
    proved.map(|()| holds)
}

/// The short form as a step of `cargo xtask ci`, with a durable server of its own (ruling 33).
pub(crate) fn short() -> Result<bool> {
    run(&ProveArgs { what: What::Engine, long: false, seed: None, within_ci: true })
}

fn prove(args: &ProveArgs, server: &Server, lines: &Path, seen: &mut Vec<Value>) -> Result<()> {
    let mut said = engine(args, server, seen)?;
    // As a step of CI without it: the same proofs have run there among the tests, in their smallest size.
    if !args.within_ci {
        said.extend(over_http(args, server, lines, seen)?);
    }
    seen.push(told(&said));
    by_tests(server, seen, &TESTS)?;
    seen.push(model(args, server)?);
    Ok(())
}

/// Tests of tp-ops that say their figures, and what it means that all of them pass.
type OpsTests = (&'static [&'static str], &'static str);

/// Hostile replies, limits, full readings, restores.
const GRAPH: OpsTests = (
    &["hostile::", "pacing::", "reading::", "restores::"],
    "objects are read as they are held, and restored as planned",
);

/// Previews, mappings, round trips, and what a restore does when things go wrong.
const RESTORE: OpsTests =
    (&["restores::"], "what is previewed is written, and nothing else, whatever goes wrong");

/// Backups against the simulator: sizes, archives, verification, kills, damage.
const SNAPSHOTS: OpsTests = (
    &[
        "snapshots::",
        "archives::",
        "backup::",
        "captures::",
        "housekeeping::",
        "retention::",
        "verify::",
    ],
    "what was captured is kept, found and given back as it was",
);

/// Tests of other crates about snapshots that prove a figure by passing.
const OF_SNAPSHOTS: [(&str, &str, &str); 5] = [
    ("tp-archive", "", "archives: 40 crafted ones and more are refused whole, each with its word"),
    (
        "tp-catalog",
        "compare",
        "differences: 60 pairs and more give the expected entries, noise gives none",
    ),
    ("tp-catalog", "secrets", "A20 the classifier takes every planted secret, in all spellings"),
    ("tp-payload", "", "A28, A31 seals, damage, rotation of keys, kills; folder and bucket"),
    ("tp-store", "payload", "A31, A32 keys and payloads, both databases"),
];

fn snapshots(args: &ProveArgs, server: &Server, lines: &Path, seen: &mut Vec<Value>) -> Result<()> {
    by_ops(args, server, lines, seen, &SNAPSHOTS)?;
    by_tests(server, seen, &OF_SNAPSHOTS)
}

fn by_ops(
    args: &ProveArgs,
    server: &Server,
    lines: &Path,
    seen: &mut Vec<Value>,
    tests: &OpsTests,
) -> Result<()> {
    let mut command = shell::command("cargo");
    // Optimised: else the simulator is slower than the limits that are to be met.
    command.args([
        "nextest",
        "run",
        "--release",
        "--no-fail-fast",
        "--profile",
        "prove",
        "-p",
        "tp-ops",
    ]);
    command.args(tests.0);
    command.env("TENANTPILOT_PROVE", if args.long { "long" } else { "short" });
    command.env("TENANTPILOT_PROVE_FILE", lines).env(postgres::VARIABLE, server.url());
    let status = command.status().context("cargo nextest could not be started")?;
    take_figures(parse(&std::fs::read_to_string(lines).unwrap_or_default()), seen);
    seen.push(passed(tests.1, status.success()));
    Ok(())
}

/// Takes the figures out of what was said; gives the rest, which is who was told of the runs.
fn take_figures(lines: Vec<Value>, seen: &mut Vec<Value>) -> Vec<Value> {
    let (figures, rest) = lines.into_iter().partition(|line| line["figure"].is_string());
    seen.extend::<Vec<Value>>(figures);
    rest
}

/// TRUST A38, over all phases of both databases: every run that ended and was started by somebody.
fn told(said: &[Value]) -> Value {
    let sum = |name: &str| said.iter().filter_map(|line| line["told"][name].as_u64()).sum::<u64>();
    let (runs, wrong, others) = (sum("runs"), sum("wrong"), sum("others"));
    serde_json::json!({
        "figure": "A38 who is told, over all phases and both databases",
        "target": "per run 1 queued and 1 terminal notification, 0 to anyone else",
        "measured": format!(
            "{} phases, {runs} ended runs, {wrong} told otherwise, {others} notifications to others",
            said.len()
        ),
        "holds": runs > 0 && wrong == 0 && others == 0,
    })
}

fn tempfile_path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("tenantpilot-{name}-{}.jsonl", std::process::id()))
}

fn parse(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Kills, freezes, schedulers, races, clock jumps.
fn engine(args: &ProveArgs, server: &Server, seen: &mut Vec<Value>) -> Result<Vec<Value>> {
    let mut command = shell::command("cargo");
    command.args(["run", "--quiet", "-p", "tp-prove"]);
    if args.long {
        command.arg("--release");
    }
    command.args(["--", "engine"]);
    if args.long {
        command.arg("--long");
    }
    if let Some(seed) = args.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    command.env(postgres::VARIABLE, server.url()).stdout(Stdio::piped());
    let output = command.spawn()?.wait_with_output()?;
    let before = seen.len();
    let said = take_figures(parse(&String::from_utf8_lossy(&output.stdout)), seen);
    let figures = &seen[before..];
    if figures.is_empty() {
        bail!("the prover gave no figure: {}", output.status);
    }
    if !output.status.success() && figures.iter().all(|figure| figure["holds"] == true) {
        bail!("the prover stopped before its end: {}", output.status);
    }
    Ok(said)
}

/// Storms, kills and ends of the whole server.
fn over_http(
    args: &ProveArgs,
    server: &Server,
    lines: &Path,
    seen: &mut Vec<Value>,
) -> Result<Vec<Value>> {
    let mut command = shell::command("cargo");
    command.args(["nextest", "run", "--no-fail-fast", "--profile", "prove", "-p", "tp-server"]);
    if args.long {
        command.arg("--release");
    }
    command.args(["proofs::", "a_killed_worker"]);
    command.env("TENANTPILOT_PROVE", if args.long { "long" } else { "short" });
    command.env("TENANTPILOT_TEST_KILLS", if args.long { "30" } else { "5" });
    command.env("TENANTPILOT_PROVE_FILE", lines).env(postgres::VARIABLE, server.url());
    let status = command.status().context("cargo nextest could not be started")?;
    let said = take_figures(parse(&std::fs::read_to_string(lines).unwrap_or_default()), seen);
    seen.push(passed("the tests of the whole server", status.success()));
    Ok(said)
}

/// Figures that are a test.
fn by_tests(server: &Server, seen: &mut Vec<Value>, tests: &[(&str, &str, &str)]) -> Result<()> {
    for (package, test, figure) in tests {
        let mut command = shell::command("cargo");
        command.args(["nextest", "run", "-p", package]);
        command.args((!test.is_empty()).then_some(test));
        command.env(postgres::VARIABLE, server.url());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        seen.push(passed(figure, command.status()?.success()));
    }
    Ok(())
}

/// The state machine of the engine's rows: random commands against a model of them.
fn model(args: &ProveArgs, server: &Server) -> Result<Value> {
    let mut command = shell::command("cargo");
    command.args(["nextest", "run", "--profile", "prove", "-p", "tp-store", "--test", "model"]);
    if args.long {
        command.arg("--release").env("TENANTPILOT_MODEL_CASES", MODEL_CASES);
    }
    command.env(postgres::VARIABLE, server.url()).stdout(Stdio::null());
    let cases = if args.long { MODEL_CASES } else { "some" };
    let figure = format!("I1-I12 the store against a model, {cases} sequences of commands");
    Ok(passed(&figure, command.status()?.success()))
}

fn passed(figure: &str, holds: bool) -> Value {
    let measured = if holds { "passed" } else { "failed" };
    serde_json::json!({"figure": figure, "target": "passes", "measured": measured, "holds": holds})
}

fn print(figures: &[Value]) -> bool {
    println!("| figure | target | measured | holds |");
    println!("| --- | --- | --- | --- |");
    let text = |figure: &Value, name: &str| figure[name].as_str().unwrap_or_default().to_owned();
    for figure in figures {
        let holds = if figure["holds"] == true { "yes" } else { "NO" };
        println!(
            "| {} | {} | {} | {holds} |",
            text(figure, "figure"),
            text(figure, "target"),
            text(figure, "measured"),
        );
    }
    figures.iter().all(|figure| figure["holds"] == true)
}
