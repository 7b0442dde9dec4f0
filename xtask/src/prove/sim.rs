//! `cargo xtask prove sim`: real clients of other people against the simulated Graph.
//!
//! Their packages come from the Python registry into a folder of the build directory, once for each
//! content of `tests/clients/requirements.txt`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::MetadataCommand;
use serde_json::{Value, json};

use super::{parse, tempfile_path};
use crate::{ci, shell};

const CLIENTS: &str = "tests/clients";

/// A simulator that ends with this value.
struct Server {
    process: Child,
    url: String,
    /// Held open, so that it can go on to write.
    _words: BufReader<ChildStderr>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// All figures, from a generated estate and, where there is a corpus, from that too.
pub(super) fn figures() -> Result<Vec<Value>> {
    let target = target()?;
    let python = packages(&target)?;
    let mut build = shell::command("cargo");
    let status = build.args(["build", "--quiet", "-p", "tp-server"]).status()?;
    if !status.success() {
        bail!("the server could not be built");
    }
    let binary = target.join("debug/tenantpilot");
    let mut figures = clients(&python, &binary, None)?;
    match ci::corpus() {
        Some(corpus) => figures.extend(clients(&python, &binary, Some(&corpus))?),
        None => figures.push(json!({
            "figure": "the same with the corpus", "target": "–",
            "measured": "skipped: no corpus", "holds": true,
        })),
    }
    Ok(figures)
}

fn target() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(shell::root()).no_deps().exec()?;
    Ok(metadata.target_directory.into())
}

/// The command that runs IntuneCD against a simulated Graph.
pub(crate) fn intunecd() -> Result<String> {
    let python = packages(&target()?)?;
    let launcher = shell::root().join(CLIENTS).join("intunecd.py");
    Ok(format!("{} {}", python.display(), launcher.display()))
}

/// The Python of an environment that has the clients' packages.
fn packages(target: &Path) -> Result<PathBuf> {
    let folder = target.join("clients");
    let python = folder.join("bin/python");
    let wanted = shell::root().join(CLIENTS).join("requirements.txt");
    let installed = folder.join("requirements.txt");
    let text = fs::read(&wanted)?;
    if python.exists() && fs::read(&installed).is_ok_and(|own| own == text) {
        return Ok(python);
    }
    eprintln!("installing the clients' packages into {}", folder.display());
    let mut venv = Command::new("python3");
    shell::quietly(venv.args(["-m", "venv", "--clear"]).arg(&folder))
        .context("install Python 3.11 or newer with its venv module")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted);
    shell::quietly(&mut pip)?;
    fs::write(installed, text)?;
    Ok(python)
}

fn serve(binary: &Path, corpus: Option<&Path>) -> Result<Server> {
    let mut command = Command::new(binary);
    command.args(["sim", "serve", "--listen", "127.0.0.1:0"]);
    if let Some(corpus) = corpus {
        command.arg("--corpus").arg(corpus);
    }
    // What it says to people goes to stderr.
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut words = process.stderr.take().map(BufReader::new).context("its words are piped")?;
    let mut line = String::new();
    while words.read_line(&mut line)? > 0 {
        if let Some((_, url)) = line.split_once("login host: ") {
            let url = url.trim().to_owned();
            return Ok(Server { process, url, _words: words });
        }
        line.clear();
    }
    bail!("the simulator ended before it said its address");
}

/// Whether what `IntuneCD` has saved can be imported: read with our reader and held against the tenant.
fn read_back(folder: &Path, form: &str) -> Result<Vec<Value>> {
    let mut command = shell::command("cargo");
    command.args(["run", "--quiet", "-p", "tp-archive", "--example", "intunecd_check", "--"]);
    command.arg(folder.join(form).with_extension("zip"));
    command.args([folder.join("state.json"), folder.join("expected.json")]);
    let output = command.stdout(Stdio::piped()).output()?;
    let mut own = parse(&String::from_utf8_lossy(&output.stdout));
    if own.is_empty() || !output.status.success() {
        bail!("the reader failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    if own.iter().any(|figure| figure["holds"] != true) {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    for figure in &mut own {
        let name = figure["figure"].as_str().unwrap_or_default();
        figure["figure"] = format!("{form}: {name}").into();
    }
    Ok(own)
}

fn clients(python: &Path, binary: &Path, corpus: Option<&Path>) -> Result<Vec<Value>> {
    let estate = if corpus.is_some() { "corpus" } else { "generated" };
    let server = serve(binary, corpus)?;
    let folder = tempfile_path(estate).with_extension("");
    let out = folder.join("backup");
    fs::create_dir_all(&out)?;
    let mut figures = Vec::new();
    for script in ["sdk_check.py", "backup_check.py"] {
        let mut command = Command::new(python);
        command.arg(shell::root().join(CLIENTS).join(script)).args(["--base", &server.url]);
        if script == "backup_check.py" {
            command.arg("--out").arg(&out);
        }
        let output = command.stdout(Stdio::piped()).output()?;
        let own = parse(&String::from_utf8_lossy(&output.stdout));
        if own.is_empty() || !output.status.success() {
            bail!("{script} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        if own.iter().any(|figure| figure["holds"] != true) {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        figures.extend(own);
    }
    for form in ["json", "yaml"] {
        figures.extend(read_back(&folder, form)?);
    }
    for figure in &mut figures {
        let name = figure["figure"].as_str().unwrap_or_default();
        figure["figure"] = format!("{estate}: {name}").into();
    }
    drop(server);
    fs::remove_dir_all(folder)?;
    Ok(figures)
}
