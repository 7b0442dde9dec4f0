//! `cargo xtask bench`: release builds, real databases with fsync on, figures beside their targets.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::postgres;

/// What is measured.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Pages and starts with 100,000 runs in one tenant
    Pages,
    /// Everything there is
    All,
}

/// Runs the benchmarks; fails when a target is missed.
pub(crate) fn run(bench: Bench) -> Result<ExitCode> {
    match bench {
        Bench::Pages | Bench::All => {
            let words = ["cargo", "bench", "--package", "tp-server", "--bench", "pages"];
            let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            postgres::around(None, true, &command)
        }
    }
}
