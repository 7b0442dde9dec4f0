//! A database with a workspace and tenants, and processes that work on it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tp_domain::access::{CancelOperations, ManageSchedules, StartInventorySync, ViewOperations};
use tp_domain::ids::{RunId, TenantId, WorkspaceId};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{OperationKind, OperationRequest as _};
use tp_domain::policy::PolicyType;
use tp_domain::run::OperationRun;
use tp_domain::schedule::{Cadence, CatchUp, Schedule, Targets, Timetable};
use tp_domain::tenant::Slug;
use tp_store::testing::{BreakPoint, fresh_postgres, postgres_server};
use tp_store::{
    Actor, DatabaseUrl, HowStarted, IdempotencyKey, Keys, NewSchedule, NewTenant, Started, Store,
    StoreOptions, SystemClock, SystemIds, TenantRef, TenantScope, TimeSource,
};
use uuid::Uuid;

use crate::child::slots_file;

/// Leases of the proofs (ruling 34).
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// Beats of the proofs.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// A run of a dead worker has come to its end by then (TRUST P8 with the leases of the proofs).
pub(crate) const RECOVERY: Duration = Duration::from_secs(13);

/// How many runs have not ended.
pub(crate) const ACTIVE: &str =
    "SELECT count(*) AS n FROM operation_runs WHERE status <> 'completed'";
/// How many schedules were made due by hand and have not fired.
pub(crate) const DUE: &str =
    "SELECT count(*) AS n FROM schedules WHERE enabled AND next_at < created_at";
/// How many runs a worker has begun and not ended.
pub(crate) const RUNNING: &str =
    "SELECT count(*) AS n FROM operation_runs WHERE status = 'running'";

/// Where worlds are made.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Sqlite,
    Postgres(String),
}

/// SQLite always, PostgreSQL where a server is given.
pub(crate) fn places() -> Vec<Place> {
    let mut places = vec![Place::Sqlite];
    match postgres_server() {
        Some(server) => places.push(Place::Postgres(server)),
        None => tp_store::testing::say_skipped(),
    }
    places
}

impl Place {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// One database. On SQLite one process at a time may have it open (ruling 32).
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) place: Place,
    folder: tempfile::TempDir,
    url: String,
    tenants: usize,
}

/// A world that this process has open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) store: Store,
    pub(crate) actor: Actor,
    pub(crate) workspace: WorkspaceId,
    pub(crate) tenants: Vec<TenantId>,
}

fn database(url: &str) -> DatabaseUrl {
    match url.strip_prefix("sqlite:") {
        Some(path) => DatabaseUrl::Sqlite(PathBuf::from(path)),
        None => DatabaseUrl::Postgres(SecretString::from(url.to_owned())),
    }
}

/// Opens a store on that database, with that time.
pub(crate) async fn open_store(url: &str, time: TimeSource, connections: u32) -> Result<Store> {
    let options = StoreOptions {
        url: database(url),
        time,
        ids: Arc::new(SystemIds),
        keys: Arc::new(Keys::fresh()?),
        connections,
    };
    Ok(Store::open(options).await?)
}

pub(crate) fn real_time() -> TimeSource {
    TimeSource::Database(Arc::new(SystemClock))
}

fn slug(number: usize) -> String {
    format!("tenant{number}")
}

impl World {
    /// A new database with that many tenants.
    pub(crate) async fn new(place: &Place, tenants: usize) -> Result<Self> {
        Self::at(place, tenants, real_time()).await
    }

    /// The same, made at that time.
    pub(crate) async fn at(place: &Place, tenants: usize, time: TimeSource) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = match place {
            Place::Sqlite => format!("sqlite:{}", folder.path().join("tenantpilot.db").display()),
            Place::Postgres(server) => fresh_postgres(server).await,
        };
        Store::migrate(&database(&url)).await?;
        let store = open_store(&url, time, 4).await?;
        let (workspace, _) = store.test_workspace().await;
        for number in 0..tenants {
            let tenant = NewTenant {
                name: format!("Tenant {number}"),
                slug: Slug::new(&slug(number))?,
                entra_tenant_id: Uuid::from_u128(u128::try_from(number)? + 1),
                domain: None,
                cloud: "global".to_owned(),
                credential: None,
            };
            store.console().tenant_create(workspace, tenant).await?;
        }
        // The nightly clean-up has no worker here: it would wait for ever if a proof ran at that hour.
        store.upkeep().schedules_ensure().await?;
        store.test_execute("UPDATE schedules SET enabled = FALSE").await?;
        close(store).await;
        Ok(Self { place: place.clone(), folder, url, tenants })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opens it in this process.
    pub(crate) async fn open(&self) -> Result<Open> {
        self.open_at(real_time()).await
    }

    pub(crate) async fn open_at(&self, time: TimeSource) -> Result<Open> {
        let connections = if self.place.is_postgres() { 24 } else { 4 };
        // A process that was killed a moment ago may still hold the file's lock.
        let began = Instant::now();
        let store = loop {
            match open_store(&self.url, time.clone(), connections).await {
                Ok(store) => break store,
                Err(error) if began.elapsed() > Duration::from_secs(10) => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let actor = store.test_actor("owner@example.com").await;
        let workspace = actor.workspace();
        let fleet = store.enter_fleet::<ViewOperations>(&actor)?.tenant_list().await?;
        let mut named: Vec<_> =
            fleet.into_iter().map(|(tenant, _)| (tenant.slug.to_string(), tenant.id)).collect();
        named.sort_by_key(|(slug, _)| slug.trim_start_matches("tenant").parse::<usize>().ok());
        let tenants = named.into_iter().map(|(_, id)| id).collect();
        Ok(Open { store, actor, workspace, tenants })
    }

    /// A worker process on this database.
    pub(crate) fn worker(&self, options: &WorkerProcess) -> Result<Child> {
        let evidence = self.file("evidence");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").arg("--database").arg(&self.url).arg("--evidence").arg(evidence);
        command.args(["--items", &options.items.to_string()]);
        command.args(["--item-ms", &options.item_ms.to_string()]);
        command.args(["--concurrency", &options.concurrency.to_string()]);
        if let Some(step) = options.pause_at {
            command.args(["--pause-at", &step.to_string()]);
        }
        if let Some(point) = options.break_at {
            command.args(["--break-at", point.as_str()]);
        }
        if let Some(count) = options.together {
            command.args(["--together", &count.to_string()]);
        }
        for (wanted, flag) in [
            (options.children, "--children"),
            (options.busy, "--busy"),
            (options.exit_when_idle, "--exit-when-idle"),
        ] {
            if wanted {
                command.arg(flag);
            }
        }
        if options.offset {
            command.arg("--offset").arg(self.file("offset"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().context("a worker process could not be started")
    }

    /// A process that starts one run of a tenant and stands still at that point.
    pub(crate) fn starter(
        &self,
        tenant: TenantId,
        key: Option<&str>,
        break_at: Option<BreakPoint>,
    ) -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("starter").arg("--database").arg(&self.url);
        command.arg("--tenant").arg(tenant.to_string());
        if let Some(key) = key {
            command.args(["--key", key]);
        }
        if let Some(point) = break_at {
            command.args(["--break-at", point.as_str()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().context("a starter process could not be started")
    }

    /// How often each item of each run was carried out, by the evidence outside the database.
    pub(crate) fn evidence(&self) -> Result<Vec<String>> {
        lines_of(&self.file("evidence"))
    }

    /// The slots that were carried out, each with its run, by the evidence outside the database.
    pub(crate) fn slots(&self) -> Result<Vec<String>> {
        lines_of(&slots_file(&self.file("evidence")))
    }

    pub(crate) const fn tenants(&self) -> usize {
        self.tenants
    }
}

fn lines_of(file: &std::path::Path) -> Result<Vec<String>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(text.lines().map(str::to_owned).collect())
}

/// How a worker process works.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the process's command line")]
pub(crate) struct WorkerProcess {
    pub(crate) items: u32,
    pub(crate) item_ms: u64,
    pub(crate) concurrency: u32,
    /// Says "paused" and stands still there.
    pub(crate) pause_at: Option<u32>,
    /// The same, at a point of the store.
    pub(crate) break_at: Option<BreakPoint>,
    /// That many runs end together.
    pub(crate) together: Option<usize>,
    /// Slots become umbrella runs.
    pub(crate) children: bool,
    /// Its clock is set by the world's file "offset".
    pub(crate) offset: bool,
    /// Sweeps and fires schedules all the time.
    pub(crate) busy: bool,
    pub(crate) exit_when_idle: bool,
}

/// Waits until a process says a word; gives what it still will say.
pub(crate) async fn until_said(child: &mut Child, word: &str) -> Result<()> {
    let output = child.stdout.take().context("the process has no output")?;
    let mut lines = BufReader::new(output).lines();
    let said = async {
        while let Some(line) = lines.next_line().await? {
            if line == word {
                return Ok(true);
            }
        }
        anyhow::Ok(false)
    };
    let said = tokio::time::timeout(Duration::from_secs(30), said).await;
    anyhow::ensure!(said.context(word.to_owned())??, "the process ended before it said {word}");
    // Nobody reads on: the pipe holds what few lines may follow.
    child.stdout = Some(lines.into_inner().into_inner());
    Ok(())
}

/// Closes a store and waits until its file can be opened again.
pub(crate) async fn close(store: Store) {
    store.close().await;
}

impl Open {
    pub(crate) async fn scope(&self, tenant: usize) -> Result<TenantScope<StartInventorySync>> {
        let reference = TenantRef::Id(self.tenants[tenant]);
        Ok(self.store.enter(&self.actor, &reference).await?)
    }

    /// Starts a run of that tenant; `number` tells it from others of the same tenant.
    pub(crate) async fn start(&self, tenant: usize, number: usize) -> Result<Started> {
        self.start_with(tenant, number, None).await
    }

    /// The same, under an idempotency key.
    pub(crate) async fn start_with(
        &self,
        tenant: usize,
        number: usize,
        key: Option<&str>,
    ) -> Result<Started> {
        let types = vec![PolicyType::new(&format!("type{number}"))?];
        let request = SyncInventory::of_types(types, true);
        let key = key.map(|key| IdempotencyKey { key: key.to_owned(), body_hash: key.to_owned() });
        let how = HowStarted { idempotency: key, request_id: None };
        Ok(self.scope(tenant).await?.run_start(&request, how).await?)
    }

    /// Lets a workspace run as much at once as workers can.
    pub(crate) async fn no_limit(&self) -> Result<()> {
        let sql = "UPDATE workspaces SET max_running = 100000";
        Ok(self.store.test_execute(sql).await?)
    }

    /// A schedule of the workspace over all its tenants: each of its slots is a run of its own.
    pub(crate) async fn schedule(&self, cron: &str) -> Result<Schedule> {
        let scope =
            self.store.enter_workspace::<ManageSchedules>(&self.actor, self.workspace).await?;
        let new = NewSchedule {
            name: "Now and then".to_owned(),
            kind: OperationKind::InventorySync,
            inputs: SyncInventory::everything().inputs(),
            targets: Targets::AllTenants,
            timetable: Timetable::new(Cadence::Cron(cron.to_owned()), "Europe/Berlin")?,
            catch_up: CatchUp::All,
            spread_seconds: 0,
            enabled: true,
        };
        Ok(scope.schedule_create(new).await?)
    }

    pub(crate) async fn run(&self, tenant: usize, id: RunId) -> Result<OperationRun> {
        let reference = TenantRef::Id(self.tenants[tenant]);
        let scope = self.store.enter::<ViewOperations>(&self.actor, &reference).await?;
        scope.run_get(id).await?.context("a run is gone")
    }

    pub(crate) async fn cancel(&self, tenant: usize, id: RunId) -> Result<()> {
        let reference = TenantRef::Id(self.tenants[tenant]);
        let scope = self.store.enter::<CancelOperations>(&self.actor, &reference).await?;
        scope.run_cancel(id, None).await?;
        Ok(())
    }

    /// Waits until nothing is queued or running.
    pub(crate) async fn idle(&self, within: Duration) -> Result<Duration> {
        let began = Instant::now();
        loop {
            if self.store.test_count(ACTIVE).await == 0 {
                return Ok(began.elapsed());
            }
            if began.elapsed() > within {
                bail!("runs are still active after {within:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn close(self) {
        close(self.store).await;
    }
}

/// Sends a signal that the standard library has no name for.
pub(crate) async fn signal(child: &Child, name: &str) -> Result<()> {
    let pid = child.id().context("the process has ended")?;
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await?;
    anyhow::ensure!(status.success(), "signal {name} could not be sent");
    Ok(())
}

/// Kills a process as a power cut would, and waits until it is gone.
pub(crate) async fn kill(mut child: Child) -> Result<()> {
    child.kill().await.context("a process could not be killed")
}
