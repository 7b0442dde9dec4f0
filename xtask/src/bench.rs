//! `cargo xtask bench`: release builds, real databases with fsync on, figures beside their targets.

mod peers;
mod steady;
mod table;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::postgres::{self, Server};
use crate::shell;
use peers::{Apalis, npm};
use table::{Line, beside, middle, plain, print, ratio};

/// apalis' own settings, in a file without statistics.
const AS_IT_COMES: &[&str] = &["--batch", "10", "--lock", "--no-statistics"];

/// What is measured.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Pages and starts with 100,000 runs in one tenant
    Pages,
    /// The run engine: starts, reuse, claim and end, wake-up, fairness, history, old snapshots
    Engine(EngineArgs),
    /// Reading a tenant in full: requests, memory, time
    Graph(GraphArgs),
    /// Sealed payloads: bytes with and without dictionaries, time to put and get
    Payloads,
    /// Everything there is
    All,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct EngineArgs {
    /// Also measure other queues on the same server, in turn with ours: pg-boss, graphile-worker, apalis
    #[arg(long)]
    peers: bool,
    /// How often each measurement is taken; the middle one counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct GraphArgs {
    /// Also let IntuneCD read the same tenant, in turn with ours
    #[arg(long)]
    peers: bool,
}

/// Runs the benchmarks; fails when a target is missed.
pub(crate) fn run(bench: Bench) -> Result<ExitCode> {
    match bench {
        Bench::Pages => pages(),
        Bench::Engine(args) => Ok(crate::exit(engine(args)?)),
        Bench::Graph(args) => graph(args),
        Bench::Payloads => payloads(),
        Bench::All => {
            let good = engine(EngineArgs { peers: true, rounds: 3 })?;
            let others = [graph(GraphArgs { peers: true })?, pages()?, payloads()?];
            let failed = others.into_iter().any(|code| code != ExitCode::SUCCESS);
            Ok(crate::exit(good && !failed))
        }
    }
}

fn graph(args: GraphArgs) -> Result<ExitCode> {
    let mut command = shell::command("cargo");
    command.args(["bench", "--package", "tp-ops", "--bench", "graph"]);
    if args.peers {
        command.env("TENANTPILOT_INTUNECD", crate::prove::sim::intunecd()?);
    }
    Ok(crate::exit(command.status()?.success()))
}

fn payloads() -> Result<ExitCode> {
    let mut command = shell::command("cargo");
    command.args(["bench", "--package", "tp-payload", "--bench", "payloads"]);
    Ok(crate::exit(command.status()?.success()))
}

fn pages() -> Result<ExitCode> {
    let words = ["cargo", "bench", "--package", "tp-server", "--bench", "pages"];
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    postgres::around(None, true, &command)
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
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .with_context(|| format!("`{}` printed no figure", shell::show(command)))?;
    // Each as it comes: the table has only the middle ones, and only at the end.
    eprintln!("{line}");
    Ok(serde_json::from_str(line)?)
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(0.0)
}

/// Rates per second of one thing, one per round.
#[derive(Default)]
struct Rates(BTreeMap<&'static str, Vec<f64>>);

impl Rates {
    fn add(&mut self, name: &'static str, rate: f64) {
        self.0.entry(name).or_default().push(rate);
    }

    fn middle(&self, name: &str) -> f64 {
        middle(self.0.get(name).cloned().unwrap_or_default())
    }
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
    let apalis = if args.peers { Some(Apalis::build()?) } else { None };
    let mut rates = Rates::default();
    for _ in 0..args.rounds {
        let mut own = |name, what, on, count| -> Result<()> {
            rates.add(name, number(&ours(&server, what, on, count)?, "per_second"));
            Ok(())
        };
        own("starts", "starts", "postgres", 10_000)?;
        own("reuse", "reuse", "postgres", 10_000)?;
        own("cycle", "lifecycle", "postgres", 30_000)?;
        own("lite starts", "starts", "sqlite", 10_000)?;
        own("lite cycle", "lifecycle", "sqlite", 10_000)?;
        if let Some(apalis) = &apalis {
            of_peers(&server, apalis, &mut rates)?;
        }
    }
    let (starts, reuse) = (rates.middle("starts"), rates.middle("reuse"));
    lines.push(plain("starts/s, 16 callers, postgres", starts));
    lines.push(Line {
        figure: "reuse answers/s, postgres".to_owned(),
        target: "at least as many as starts".to_owned(),
        measured: format!("{reuse:.0}/s"),
        holds: reuse >= starts,
    });
    lines.push(plain("claim + end/s, postgres", rates.middle("cycle")));
    lines.push(plain("starts/s, 16 callers, sqlite (FULL)", rates.middle("lite starts")));
    lines.push(plain("claim + end/s, sqlite (FULL)", rates.middle("lite cycle")));
    if let Some(apalis) = &apalis {
        lines.extend(against_peers(&rates));
        // Once and few: its time grows with the square of the count.
        let theirs = apalis.on_sqlite("lifecycle", 4_000, AS_IT_COMES)?;
        let figure = "claim + end against apalis-sqlite as it comes, FULL, its 4,000 jobs";
        lines.push(beside(figure, rates.middle("lite cycle"), theirs));
    }
    Ok(server)
}

fn of_peers(server: &Server, apalis: &Apalis, rates: &mut Rates) -> Result<()> {
    rates.add("pg-boss", npm(server, "pg-boss", "starts", 5_000)?);
    rates.add("graphile", npm(server, "graphile-worker", "starts", 3_000)?);
    rates.add("graphile cycle", npm(server, "graphile-worker", "lifecycle", 30_000)?);
    rates.add("apalis", apalis.on_postgres(server, "starts", 5_000)?);
    rates.add("apalis cycle", apalis.on_postgres(server, "lifecycle", 30_000)?);
    rates.add("lite apalis", apalis.on_sqlite("starts", 5_000, &[])?);
    rates.add("lite apalis cycle", apalis.on_sqlite("lifecycle", 10_000, &[])?);
    Ok(())
}

fn against_peers(rates: &Rates) -> [Line; 7] {
    let against = |figure, ours, theirs, least| {
        ratio(figure, rates.middle(ours), rates.middle(theirs), least)
    };
    let beside = |figure, ours, theirs| beside(figure, rates.middle(ours), rates.middle(theirs));
    [
        against("starts against pg-boss' unique send", "starts", "pg-boss", 2.5),
        against("starts against graphile-worker's job_key", "starts", "graphile", 4.0),
        against("claim + end against graphile-worker, tuned", "cycle", "graphile cycle", 0.7),
        beside("starts against apalis-postgres' key", "starts", "apalis"),
        beside("claim + end against apalis-postgres, tuned", "cycle", "apalis cycle"),
        beside("starts against apalis-sqlite's key, FULL", "lite starts", "lite apalis"),
        against(
            "claim + end against apalis-sqlite, tuned, FULL",
            "lite cycle",
            "lite apalis cycle",
            2.0,
        ),
    ]
}
