//! Proofs and rates of the run engine: real processes, killed and frozen, on both databases.
//!
//! Run through `cargo xtask prove engine` and `cargo xtask bench engine`. Each figure is printed as one
//! line of JSON: what was promised, what was measured, whether it holds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool of the command line")]

mod breaks;
mod child;
mod clocks;
mod figure;
mod freezes;
mod invariants;
mod jumps;
mod kills;
mod races;
mod random;
mod rates;
mod slots;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Proofs and rates of the run engine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prove the engine's figures
    Engine {
        /// Take the full sample sizes
        #[arg(long)]
        long: bool,
        /// The seed of every chance in it; printed with the figures
        #[arg(long)]
        seed: Option<u64>,
        /// Only figures whose name holds this text
        #[arg(long)]
        only: Option<String>,
    },
    /// Measure the engine's rates
    Rates(rates::RatesArgs),
    /// A worker process of a proof
    #[command(hide = true)]
    Worker(child::WorkerArgs),
    /// A scheduler process of a proof
    #[command(hide = true)]
    Scheduler(child::SchedulerArgs),
    /// A process of a proof that starts a run
    #[command(hide = true)]
    Starter(child::StarterArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Engine { long, seed, only } => engine(long, seed, only.as_deref()).await,
        Command::Rates(args) => rates::run(args).await,
        Command::Worker(args) => child::work(args).await.map(|()| true),
        Command::Scheduler(args) => child::schedule(args).await.map(|()| true),
        Command::Starter(args) => child::start(args).await.map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn engine(long: bool, seed: Option<u64>, only: Option<&str>) -> anyhow::Result<bool> {
    let seed = seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let size = figure::Size { long, seed };
    let mut all_hold = true;
    for place in world::places() {
        let name = place.name();
        for (proof, run) in PROOFS {
            if only.is_some_and(|only| !proof.contains(only) && !name.contains(only)) {
                continue;
            }
            eprintln!("proving {proof} on {name}");
            let figures = match *run {
                Proof::StepKills => kills::at_every_step(&place, size).await?,
                Proof::RandomKills => random::kills(&place, size).await?,
                Proof::BreakPoints => breaks::kills(&place).await?,
                Proof::Freezes => freezes::freezes(&place, size).await?,
                Proof::Slots => slots::slots(&place, size).await?,
                Proof::Races => races::start_and_finish(&place, size).await?,
                Proof::Jumps => jumps::jumps(&place, size).await?,
            };
            for figure in figures {
                all_hold &= figure.holds;
                println!("{}", serde_json::to_string(&figure)?);
            }
        }
    }
    Ok(all_hold)
}

/// What is proved.
#[derive(Clone, Copy, Debug)]
enum Proof {
    StepKills,
    RandomKills,
    BreakPoints,
    Freezes,
    Slots,
    Races,
    Jumps,
}

const PROOFS: &[(&str, Proof)] = &[
    ("A2 start against finish", Proof::Races),
    ("A3 a kill at every step", Proof::StepKills),
    ("A3 random kills", Proof::RandomKills),
    ("I3 break points", Proof::BreakPoints),
    ("A5 freezes", Proof::Freezes),
    ("A7 slots", Proof::Slots),
    ("A39 clock jumps", Proof::Jumps),
];
