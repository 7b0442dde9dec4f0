//! `cargo xtask ci`: everything that is checked, in order, cheapest first.
//!
//! One profile only (dev): each further one would compile every dependency again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::counts::Counts;
use crate::postgres::{self, Server};
use crate::{shell, tidy, tools};

/// The golden file of the API.
const OPENAPI: &str = "docs/openapi.json";

/// The binary that the browser test starts.
const BINARY: &str = "target/debug/tenantpilot";

/// Real policies for tests, where they stand beside the repository.
const CORPUS: &str = "../shared/graph/corpus";
const CORPUS_VARIABLE: &str = "TENANTPILOT_TEST_CORPUS";

/// A run of all steps.
struct Ci {
    counts: Counts,
    timed: Vec<(&'static str, Duration)>,
}

/// Runs all steps; stops at the first that fails.
pub(crate) fn run(given_server: Option<String>) -> Result<()> {
    let mut ci = Ci { counts: Counts::default(), timed: Vec::new() };
    let outcome = ci.steps(given_server);
    for (name, took) in &ci.timed {
        println!("{:>7.1} s  {name}", took.as_secs_f64());
    }
    let total: Duration = ci.timed.iter().map(|(_, took)| *took).sum();
    println!("{:>7.1} s  in all", total.as_secs_f64());
    if let Some(line) = ci.counts.line() {
        println!("{line}");
    }
    outcome
}

impl Ci {
    fn steps(&mut self, given_server: Option<String>) -> Result<()> {
        self.cargo("format", &["fmt", "--all", "--check"])?;
        self.step("tidy", "cargo xtask tidy", |_| {
            if tidy::run()? { Ok(()) } else { bail!("the repository is not tidy") }
        })?;
        let has_server = given_server.is_some();
        self.step("tools", "cargo xtask ci", |_| tools::set_up(has_server))?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        self.cargo("clippy", &clippy)?;
        let server = Server::given_or_new(given_server, false)?;
        self.step("tests on SQLite and PostgreSQL", "cargo xtask test", |ci| {
            ci.counted(&mut test_command(&server, &[]))
        })?;
        drop(server);
        self.step("proofs of the engine", "cargo xtask prove engine", |_| {
            if crate::prove::short()? { Ok(()) } else { bail!("a figure of the engine is missed") }
        })?;
        self.step("documentation tests", "cargo test --workspace --doc", |ci| {
            ci.counted(shell::command("cargo").args(["test", "--workspace", "--doc"]))
        })?;
        let doc = "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps";
        self.step("documentation", doc, |ci| {
            let mut command = shell::command("cargo");
            command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps"]);
            ci.counted(&mut command)
        })?;
        if shell::find("cargo-deny").is_some() {
            // The list of advisories is fetched from elsewhere: not part of what must pass offline.
            self.cargo("licences and bans", &["deny", "check", "bans", "licenses", "sources"])?;
        }
        self.product()
    }

    /// The steps that run the product.
    fn product(&mut self) -> Result<()> {
        if shell::root().join(OPENAPI).exists() {
            let repeat =
                "target/debug/tenantpilot openapi > docs/openapi.json && git diff --exit-code";
            self.step("API description is fresh", repeat, |_| openapi_is_fresh())?;
        }
        let repeat =
            "cargo build --workspace && node tests/browser/run.mjs target/debug/tenantpilot";
        self.step("browser", repeat, |ci| {
            let chromium = tools::chromium().context("no Chromium")?;
            let mut command = shell::command("node");
            with_corpus(command.arg("tests/browser/run.mjs").arg(BINARY).env("CHROMIUM", chromium));
            ci.counted(&mut command)
        })?;
        let repeat =
            "cargo build --workspace && node tests/browser/oidc.mjs target/debug/tenantpilot";
        self.step("sign-in at a provider", repeat, |ci| {
            let chromium = tools::chromium().context("no Chromium")?;
            let mut command = shell::command("node");
            command.arg("tests/browser/oidc.mjs").arg(BINARY).env("CHROMIUM", chromium);
            ci.counted(&mut command)
        })
    }

    fn cargo(&mut self, name: &'static str, arguments: &[&str]) -> Result<()> {
        let mut command = shell::command("cargo");
        command.args(arguments);
        let repeat = shell::show(&command);
        self.step(name, &repeat, |ci| ci.counted(&mut command))
    }

    fn step(
        &mut self,
        name: &'static str,
        repeat: &str,
        work: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work(self);
        self.timed.push((name, start.elapsed()));
        outcome.with_context(|| format!("\"{name}\" failed; repeat it with: {repeat}"))
    }

    /// Runs a command, shows what it says and sums the tests that it counted.
    fn counted(&mut self, command: &mut Command) -> Result<()> {
        let shown = shell::show(command);
        let (status, counts) = crate::counts::run(command)?;
        self.counts.add(counts);
        if !status.success() {
            bail!("`{shown}`: {status}");
        }
        Ok(())
    }
}

/// `cargo xtask test`: the tests on both databases, with further words for the runner.
pub(crate) fn test(given_server: Option<String>, words: &[String]) -> Result<()> {
    let server = Server::given_or_new(given_server, false)?;
    let status = test_command(&server, words).status()?;
    if status.success() { Ok(()) } else { bail!("the tests failed: {status}") }
}

/// The test runner: cargo-nextest where it is, else cargo's own.
fn test_command(server: &Server, words: &[String]) -> Command {
    let mut command = shell::command("cargo");
    if shell::find("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        command.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    }
    if words.is_empty() {
        command.arg("--workspace");
    }
    command.args(words).env(postgres::VARIABLE, server.url());
    with_corpus(&mut command);
    command
}

fn with_corpus(command: &mut Command) {
    if let Some(corpus) = corpus() {
        command.env(CORPUS_VARIABLE, corpus);
    }
}

/// The folder of real policies: the one that is named, or the one beside the repository.
pub(crate) fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os(CORPUS_VARIABLE).map(PathBuf::from);
    let corpus = named.unwrap_or_else(|| shell::root().join(CORPUS));
    corpus.join("index.json").is_file().then_some(corpus)
}

fn openapi_is_fresh() -> Result<()> {
    let made = shell::quietly(shell::command(shell::root().join(BINARY)).arg("openapi"))?;
    let kept = fs::read_to_string(shell::root().join(OPENAPI))?;
    if made.trim_end() == kept.trim_end() {
        return Ok(());
    }
    bail!("{OPENAPI} is not what the code says")
}
