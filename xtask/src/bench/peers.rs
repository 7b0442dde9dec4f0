//! The queues of others: how each is built and asked for one figure (tests/peers/README.md).

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{json_of, number};
use crate::postgres::Server;
use crate::shell;

const FOLDER: &str = "tests/peers";

/// Where cargo puts the peer that is a crate: beside our own builds, in a folder of its own.
const TARGET: &str = "target/peers";

/// A database of its own on the same server, for one measurement.
fn with_database(server: &Server, measure: impl FnOnce(&str) -> Result<f64>) -> Result<f64> {
    let name = format!("peer_{}", std::process::id());
    let psql = |sql: &str| -> Result<()> {
        let mut command = shell::command("psql");
        shell::quietly(command.args(["-q", server.url(), "-c", sql])).map(drop)
    };
    psql(&format!("DROP DATABASE IF EXISTS {name}"))?;
    psql(&format!("CREATE DATABASE {name}"))?;
    let base = server.url().rsplit_once('/').map_or("", |(base, _)| base);
    let answer = measure(&format!("{base}/{name}"));
    psql(&format!("DROP DATABASE IF EXISTS {name}"))?;
    answer
}

/// The rate of a queue from npm on PostgreSQL.
pub(super) fn npm(server: &Server, peer: &str, what: &str, count: usize) -> Result<f64> {
    let folder = shell::root().join(FOLDER);
    if !folder.join("node_modules").is_dir() {
        let status =
            shell::command("npm").current_dir(&folder).args(["ci", "--silent"]).status()?;
        if !status.success() {
            bail!("the peers could not be installed: {status}");
        }
    }
    with_database(server, |url| {
        let mut command = shell::command("node");
        command.current_dir(&folder).args(["run.mjs", "--peer", peer, "--url", url]);
        command.args(["--what", what, "--count", &count.to_string(), "--callers", "16"]);
        Ok(number(&json_of(&mut command)?, "per_second"))
    })
}

/// apalis, from the registry of crates.
#[derive(Debug)]
pub(super) struct Apalis {
    program: PathBuf,
}

impl Apalis {
    /// Builds it; nothing of it is part of our workspace.
    pub(super) fn build() -> Result<Self> {
        let target = shell::root().join(TARGET);
        let mut cargo = shell::command("cargo");
        cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
        cargo.arg(shell::root().join(FOLDER).join("apalis/Cargo.toml"));
        cargo.arg("--target-dir").arg(&target).env("CARGO_BUILD_BUILD_DIR", &target);
        // Its queries are checked by its authors; no database is asked while it is built.
        let status = cargo.env("SQLX_OFFLINE", "true").status()?;
        if !status.success() {
            bail!("the peer apalis could not be built: {status}");
        }
        Ok(Self { program: target.join("release/apalis-peer") })
    }

    /// Its rate in a file on the disk that our own files are on; `words` are further settings.
    pub(super) fn on_sqlite(&self, what: &str, count: usize, words: &[&str]) -> Result<f64> {
        let folder = std::env::temp_dir().join(format!("tenantpilot-peer-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("apalis.db");
        let answer = self.rate(what, count, &["--file", &file.to_string_lossy()], words);
        fs::remove_dir_all(&folder)?;
        answer
    }

    /// Its rate on that server.
    pub(super) fn on_postgres(&self, server: &Server, what: &str, count: usize) -> Result<f64> {
        with_database(server, |url| self.rate(what, count, &["--url", url], &[]))
    }

    fn rate(&self, what: &str, count: usize, place: &[&str], words: &[&str]) -> Result<f64> {
        let mut command = shell::command(&self.program);
        command.args(place).args(["--what", what, "--count", &count.to_string()]);
        Ok(number(&json_of(command.args(words))?, "per_second"))
    }
}
