//! `cargo xtask bench`: release builds, real databases with fsync on, figures beside their targets.

mod steady;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::postgres::{self, Server};
use crate::shell;

/// What is measured.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Pages and starts with 100,000 runs in one tenant
    Pages,
    /// The run engine: starts, reuse, claim and end, wake-up, fairness, history, old snapshots
    Engine(EngineArgs),
    /// Reading a tenant in full: requests, memory, time
    Graph,
    /// Everything there is
    All,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct EngineArgs {
    /// Also measure other queues on the same server, in turn with ours: pg-boss, graphile-worker
    #[arg(long)]
    peers: bool,
    /// How often each measurement is taken; the middle one counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Runs the benchmarks; fails when a target is missed.
pub(crate) fn run(bench: Bench) -> Result<ExitCode> {
    match bench {
        Bench::Pages => pages(),
        Bench::Engine(args) => Ok(crate::exit(engine(args)?)),
        Bench::Graph => graph(),
        Bench::All => {
            let good = engine(EngineArgs { peers: true, rounds: 3 })?;
            let others = [graph()?, pages()?];
            let failed = others.into_iter().any(|code| code != ExitCode::SUCCESS);
            Ok(crate::exit(good && !failed))
        }
    }
}

fn graph() -> Result<ExitCode> {
    let mut command = shell::command("cargo");
    command.args(["bench", "--package", "tp-ops", "--bench", "graph"]);
    Ok(crate::exit(command.status()?.success()))
}

fn pages() -> Result<ExitCode> {
    let words = ["cargo", "bench", "--package", "tp-server", "--bench", "pages"];
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    postgres::around(None, true, &command)
}

/// One line of the table.
struct Line {
    figure: String,
    target: String,
    measured: String,
    holds: bool,
}

/// The middle of what was measured.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn ours(server: &Server, what: &str, on: &str, count: usize) -> Result<Value> {
    let mut command = shell::command("cargo");
    command.args(["run", "--quiet", "--release", "-p", "tp-prove", "--", "rates"]);
    command.args(["--what", what, "--on", on, "--count", &count.to_string()]);
    json_of(command.env(postgres::VARIABLE, server.url()))
}

fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        bail!("`{}`: {}", shell::show(command), output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with('{')).context("no figure")?;
    Ok(serde_json::from_str(line)?)
}

/// A queue of others, on a database of its own on the same server.
fn peer(server: &Server, peer: &str, what: &str, count: usize) -> Result<Value> {
    let folder = shell::root().join("tests/peers");
    if !folder.join("node_modules").is_dir() {
        let status =
            shell::command("npm").current_dir(&folder).args(["ci", "--silent"]).status()?;
        if !status.success() {
            bail!("the peers could not be installed: {status}");
        }
    }
    let name = format!("peer_{}_{}", what, std::process::id());
    let psql = |sql: &str| -> Result<()> {
        let mut command = shell::command("psql");
        shell::quietly(command.args(["-q", server.url(), "-c", sql])).map(drop)
    };
    psql(&format!("DROP DATABASE IF EXISTS {name}"))?;
    psql(&format!("CREATE DATABASE {name}"))?;
    let url = server.url().rsplit_once('/').map_or("", |(base, _)| base);
    let mut command = shell::command("node");
    command.current_dir(&folder).args(["run.mjs", "--url", &format!("{url}/{name}")]);
    command.args([
        "--peer",
        peer,
        "--what",
        what,
        "--count",
        &count.to_string(),
        "--callers",
        "16",
    ]);
    let answer = json_of(&mut command);
    psql(&format!("DROP DATABASE IF EXISTS {name}"))?;
    answer
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(0.0)
}

fn engine(args: EngineArgs) -> Result<bool> {
    let mut lines = Vec::new();
    let measured = rates(args, &mut lines).and_then(|server| steady::measure(&server, &mut lines));
    // What was measured is shown, also when something after it failed.
    let good = print(&lines);
    measured.map(|()| good)
}

/// Ours and theirs in turn, so that a slow moment of the machine meets both.
fn rates(args: EngineArgs, lines: &mut Vec<Line>) -> Result<Server> {
    let server = Server::given_or_new(None, true)?;
    let (mut starts, mut reuse, mut cycle) = (Vec::new(), Vec::new(), Vec::new());
    let (mut boss, mut graphile, mut graphile_cycle) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        starts.push(number(&ours(&server, "starts", "postgres", 10_000)?, "per_second"));
        reuse.push(number(&ours(&server, "reuse", "postgres", 10_000)?, "per_second"));
        cycle.push(number(&ours(&server, "lifecycle", "postgres", 30_000)?, "per_second"));
        if args.peers {
            boss.push(number(&peer(&server, "pg-boss", "starts", 5_000)?, "per_second"));
            graphile
                .push(number(&peer(&server, "graphile-worker", "starts", 3_000)?, "per_second"));
            let theirs = peer(&server, "graphile-worker", "lifecycle", 30_000)?;
            graphile_cycle.push(number(&theirs, "per_second"));
        }
    }
    let (starts, reuse, cycle) = (middle(starts), middle(reuse), middle(cycle));
    lines.push(plain("starts/s, 16 callers, postgres", starts));
    lines.push(Line {
        figure: "reuse answers/s, postgres".to_owned(),
        target: "at least as many as starts".to_owned(),
        measured: format!("{reuse:.0}/s"),
        holds: reuse >= starts,
    });
    lines.push(plain("claim + end/s, postgres", cycle));
    if args.peers {
        lines.push(ratio("starts against pg-boss' unique send", starts, middle(boss), 2.5));
        lines.push(ratio(
            "starts against graphile-worker's job_key",
            starts,
            middle(graphile),
            4.0,
        ));
        let theirs = middle(graphile_cycle);
        lines.push(ratio("claim + end against graphile-worker, tuned", cycle, theirs, 0.7));
    }
    lines.push(plain(
        "starts/s, 16 callers, sqlite (FULL)",
        number(&ours(&server, "starts", "sqlite", 10_000)?, "per_second"),
    ));
    lines.push(plain(
        "claim + end/s, sqlite (FULL)",
        number(&ours(&server, "lifecycle", "sqlite", 10_000)?, "per_second"),
    ));
    Ok(server)
}

fn plain(figure: &str, rate: f64) -> Line {
    let (target, measured) = ("–".to_owned(), format!("{rate:.0}/s"));
    Line { figure: figure.to_owned(), target, measured, holds: true }
}

fn ratio(figure: &str, ours: f64, theirs: f64, least: f64) -> Line {
    let ratio = ours / theirs.max(1.0);
    Line {
        figure: figure.to_owned(),
        target: format!(">= {least}"),
        measured: format!("{ratio:.2} ({ours:.0}/s and {theirs:.0}/s)"),
        holds: ratio >= least,
    }
}

fn print(lines: &[Line]) -> bool {
    println!("| figure | target | measured | holds |");
    println!("| --- | --- | --- | --- |");
    for line in lines {
        let holds = if line.holds { "yes" } else { "NO" };
        println!("| {} | {} | {} | {holds} |", line.figure, line.target, line.measured);
    }
    let list: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::json!({"figure": line.figure, "target": line.target, "measured": line.measured, "holds": line.holds}))
        .collect();
    println!("{}", Value::Array(list));
    lines.iter().all(|line| line.holds)
}
