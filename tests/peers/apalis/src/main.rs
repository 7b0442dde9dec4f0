//! Measures apalis on SQLite or PostgreSQL, a peer of our own queue; `tests/peers/README.md` says how.

mod job;
mod lite;
mod postgres;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, ValueEnum};
use serde_json::json;

/// One measurement, one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    place: Place,
    /// What is measured
    #[arg(long)]
    what: What,
    /// How many jobs
    #[arg(long)]
    count: usize,
    /// How many enqueue at once
    #[arg(long, default_value_t = 16)]
    callers: usize,
    #[command(flatten)]
    settings: Settings,
}

/// Where the jobs are kept.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Place {
    /// A SQLite file that is not there yet
    #[arg(long)]
    file: Option<PathBuf>,
    /// An empty PostgreSQL database
    #[arg(long)]
    url: Option<String>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Enqueues of distinct keys, by callers at once
    Starts,
    /// Jobs put in beforehand, until all are done in the database
    Lifecycle,
}

/// What was tried; without these flags the fastest.
#[derive(Args, Clone, Debug)]
struct Settings {
    /// Jobs per fetch
    #[arg(long)]
    batch: Option<usize>,
    /// Workers at once
    #[arg(long)]
    workers: Option<usize>,
    /// Connections to the database
    #[arg(long)]
    connections: Option<u32>,
    /// Also write that a job is running, as apalis does when it is not told otherwise
    #[arg(long)]
    lock: bool,
    /// Leave out ANALYZE: on SQLite as apalis leaves it
    #[arg(long)]
    no_statistics: bool,
}

/// The settings of one measurement.
#[derive(Clone, Copy, Debug)]
struct Tuned {
    batch: usize,
    workers: usize,
    connections: u32,
    lock: bool,
    statistics: bool,
}

impl Settings {
    fn or(&self, fastest: Tuned) -> Tuned {
        Tuned {
            batch: self.batch.unwrap_or(fastest.batch),
            workers: self.workers.unwrap_or(fastest.workers),
            connections: self.connections.unwrap_or(fastest.connections),
            lock: self.lock || fastest.lock,
            statistics: fastest.statistics && !self.no_statistics,
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let (took, settings) = match (&options.place.file, &options.place.url) {
        (Some(file), _) => lite::measure(file, &options).await?,
        (None, url) => postgres::measure(url.as_deref().unwrap_or_default(), &options).await?,
    };
    print(&options, took, &settings)
}

fn print(options: &Options, took: Duration, settings: &serde_json::Value) -> Result<()> {
    use std::io::Write as _;
    let seconds = took.as_secs_f64();
    let per_second = f64::from(u32::try_from(options.count)?) / seconds;
    let line = json!({
        "peer": "apalis",
        "on": if options.place.file.is_some() { "sqlite" } else { "postgres" },
        "what": if options.what == What::Starts { "starts" } else { "lifecycle" },
        "count": options.count,
        "callers": options.callers,
        "seconds": (seconds * 1_000.0).round() / 1_000.0,
        "per_second": per_second.round(),
        "settings": settings,
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
