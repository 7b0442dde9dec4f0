//! Developer commands: `cargo xtask <command>`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program speaks to a terminal")]

mod bench;
mod ci;
mod counts;
mod postgres;
mod prove;
mod shell;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Developer commands of TenantPilot.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything that is checked, cheapest first; installs what the tests need where it may
    Ci(ServerArgs),
    /// Runs the tests on SQLite and PostgreSQL
    Test(TestArgs),
    /// Checks the rules of the house that the compiler cannot hold
    Tidy,
    /// Runs a command with a throw-away PostgreSQL around it
    Postgres(PostgresArgs),
    /// Proves figures with real processes: prints figure, target, measured; fails when one is missed
    Prove(prove::ProveArgs),
    /// Measures and compares with the targets: a table, then JSON
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// Which PostgreSQL the tests use.
#[derive(Clone, Debug, Args)]
struct ServerArgs {
    /// A server for the tests: a URL whose role may create databases and roles. Without it an own
    /// server is started in a temporary folder and removed afterwards.
    #[arg(long, value_name = "URL", env = postgres::VARIABLE, hide_env_values = true)]
    postgres: Option<String>,
}

#[derive(Debug, Args)]
struct TestArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Further words for the test runner, such as `-p tp-store dedupe`; without them all tests run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Debug, Args)]
struct PostgresArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Keeps fsync on: for tests that kill the server, and for benchmarks
    #[arg(long)]
    durable: bool,
    /// The command; it finds the server's URL in `TENANTPILOT_TEST_POSTGRES`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Ci(server) => ci::run(server.postgres).map(|()| ExitCode::SUCCESS),
        Command::Test(args) => {
            ci::test(args.server.postgres, &args.words).map(|()| ExitCode::SUCCESS)
        }
        Command::Tidy => Ok(exit(tidy::run()?)),
        Command::Prove(args) => Ok(exit(prove::run(&args)?)),
        Command::Bench(bench) => bench::run(bench),
        Command::Postgres(args) => {
            postgres::around(args.server.postgres, args.durable, &args.command)
        }
    }
}

fn exit(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
