//! The binary as a process: started on free ports in a temporary folder, ended with the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_client::Client;
use tp_store::testing::{fresh_postgres, postgres_server, say_skipped};
use tp_store::{DatabaseUrl, Keys, Store, StoreOptions, SystemClock, SystemIds, TimeSource};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tenantpilot");

/// The databases that a story is told on: none means the SQLite file of the data folder.
pub(crate) async fn database_urls() -> Vec<Option<String>> {
    let mut urls = vec![None];
    match postgres_server() {
        Some(server) => urls.push(Some(fresh_postgres(&server).await)),
        None => say_skipped(),
    }
    urls
}

/// The corpus, where it is there.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    let named =
        std::env::var("TENANTPILOT_TEST_CORPUS").or_else(|_| std::env::var("TENANTPILOT_CORPUS"));
    let folder = named.map_or_else(|_| beside.into(), PathBuf::from);
    folder.join("index.json").exists().then_some(folder)
}

/// A child that ends with its handle.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Asks it to end, as a rolling restart does.
    pub(crate) fn terminate(&self) {
        let pid = self.0.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has ended; `false` when it has not by then, or with a failure.
    pub(crate) fn wait(&mut self, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(args: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(BINARY);
    // Nothing of the machine's own settings; the log tells what happened when a test fails.
    command.args(args).env_clear().envs(environment.iter().cloned());
    command.current_dir(std::env::temp_dir());
    command
}

/// Runs a command to its end, with `input` on standard input.
pub(crate) fn run(args: &[&str], environment: &[(String, String)], input: &str) -> Output {
    let mut child = command(args, environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// An installation: a simulator, a database, a workspace with a token.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    pub(crate) token: String,
    pub(crate) sim: String,
    sim_process: Process,
    port: u16,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a simulator and gives its address.
fn start_sim(folder: &Path, latency_ms: u64, corpus: Option<&Path>) -> (Process, String) {
    let latency = latency_ms.to_string();
    let mut args = vec!["sim", "serve", "--tenants", "2", "--latency-ms", &latency];
    let expected = folder.join("expected.json").display().to_string();
    args.extend(["--expected", &expected]);
    let corpus = corpus.map(|path| path.display().to_string());
    if let Some(corpus) = &corpus {
        args.extend(["--corpus", corpus]);
    }
    let mut child = command(&args, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    let process = Process(child);
    let mut lines = BufReader::new(stderr).lines();
    let line = lines.next().unwrap().unwrap();
    let url = line.rsplit(' ').next().unwrap().to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    (process, url)
}

impl Installation {
    pub(crate) fn new(database: Option<&str>, latency_ms: u64, corpus: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sim_process, sim) = start_sim(folder.path(), latency_ms, corpus);
        let port = free_port();
        let data_dir = folder.path().join("data").display().to_string();
        let mut environment = vec![
            ("TENANTPILOT_DATA_DIR".to_owned(), data_dir),
            ("TENANTPILOT_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("TENANTPILOT_CLOUDS__SIM__GRAPH_URL".to_owned(), sim.clone()),
            ("TENANTPILOT_CLOUDS__SIM__LOGIN_URL".to_owned(), sim.clone()),
            ("TENANTPILOT_GRAPH__BUDGET_SCALE".to_owned(), "100".to_owned()),
            ("TENANTPILOT_LOG__LEVEL".to_owned(), "warn".to_owned()),
        ];
        if let Some(url) = database {
            environment.push(("TENANTPILOT_DATABASE_URL".to_owned(), url.to_owned()));
            let migrated = run(&["migrate"], &environment, "");
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        }
        let args = [
            "admin",
            "bootstrap",
            "--workspace",
            "Test",
            "--email",
            "owner@example.com",
            "--password-stdin",
            "--token-capabilities",
            "all",
        ];
        let made = run(&args, &environment, "correct horse battery\n");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let token = made["token"].as_str().unwrap().to_owned();
        Self { folder, environment, token, sim, sim_process, port }
    }

    /// Gives a setting to the processes that are started from here on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub(crate) fn client(&self) -> Client {
        self.client_of(&self.token)
    }

    /// A client of somebody else.
    pub(crate) fn client_of(&self, token: &str) -> Client {
        Client::new(&self.url(), Some(token.to_owned().into())).unwrap()
    }

    /// Opens the database past the server. On SQLite no server may run: one process has the file.
    pub(crate) async fn store(&self) -> Store {
        let named = self.environment.iter().find(|(name, _)| name == "TENANTPILOT_DATABASE_URL");
        let url = match named {
            Some((_, url)) => DatabaseUrl::parse(url).unwrap(),
            None => DatabaseUrl::Sqlite(self.folder().join("data/tenantpilot.db")),
        };
        let options = StoreOptions {
            url,
            time: TimeSource::Database(Arc::new(SystemClock)),
            ids: Arc::new(SystemIds),
            // Nothing is sealed or opened here.
            keys: Arc::new(Keys::fresh().unwrap()),
            connections: 4,
        };
        Store::open(options).await.unwrap()
    }

    pub(crate) fn stop_sim(&mut self) {
        self.sim_process.kill();
    }

    /// Starts `serve` (or another command) and waits until it is ready.
    pub(crate) async fn serve(&self, args: &[&str]) -> Process {
        let process = self.spawn(args);
        let began = Instant::now();
        while self.client().get("/readyz").await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "ready within 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Process {
        Process(command(args, &self.environment).spawn().unwrap())
    }

    /// Adds the simulator's first tenant as `contoso`.
    pub(crate) async fn add_tenant(&self) {
        self.add_tenant_as(0, "contoso").await;
    }

    /// Adds one of the simulator's tenants.
    pub(crate) async fn add_tenant_as(&self, number: usize, slug: &str) {
        let sim = Client::new(&self.sim, None).unwrap();
        let tenants = sim.get("/__sim/tenants").await.unwrap();
        let tenant = &tenants["tenants"][number];
        let body = json!({
            "name": slug, "slug": slug, "cloud": "sim", "entra_tenant_id": tenant["id"],
            "client_id": tenant["client_id"], "client_secret": tenant["client_secret"],
        });
        self.client().post("/api/v1/tenants", &body, None).await.unwrap();
    }

    pub(crate) async fn start_sync(&self, inputs: Value) -> Value {
        let body = json!({"kind": "inventory.sync", "inputs": inputs});
        self.client().post("/api/v1/tenants/contoso/runs", &body, None).await.unwrap()
    }

    /// Waits until the run is as wanted.
    pub(crate) async fn until(
        &self,
        id: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let began = Instant::now();
        loop {
            if let Ok(run) = self.client().get(&format!("/api/v1/tenants/contoso/runs/{id}")).await
                && wanted(&run)
            {
                return run;
            }
            assert!(began.elapsed() < limit, "within {limit:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn is_completed(run: &Value) -> bool {
    run["status"] == "completed"
}
