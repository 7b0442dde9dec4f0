//! The simulator: one listener for the login host, Graph and the control surface.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::call::{Call, Sent};
use crate::estate::{self, EstatePlan};
use crate::faults::{Fault, Faults};
use crate::listener;
use crate::login::Tokens;
use crate::routes::{Route, routes};
use crate::schema::Schema;
use crate::state::{Estate, ExpectedObject, SimTenant};
use crate::throttle::{Throttle, Throttling};

/// The request log keeps this many entries.
const LOG_LENGTH: usize = 100_000;
/// The log of writes keeps bodies too, so it is shorter.
const WRITES_LENGTH: usize = 10_000;

/// How the simulator is made.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// What the estate is made of.
    pub estate: EstatePlan,
    /// Generated tenants hold only these types, so many of each; without any all types.
    pub types: BTreeMap<String, u32>,
    /// Added to each request of Graph.
    pub latency: Duration,
    /// How long tokens hold.
    pub token_lifetime: Duration,
    /// Faults from the start.
    pub faults: Vec<Fault>,
    /// Whether it throttles.
    pub throttling: Throttling,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            estate: EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 1 },
            types: BTreeMap::new(),
            latency: Duration::ZERO,
            token_lifetime: Duration::from_secs(3599),
            faults: Vec::new(),
            throttling: Throttling::default(),
        }
    }
}

/// Why there is no simulator.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the corpus is not what it should be.
    #[error("{} is not a corpus file: expected JSON objects and an index.json of {{file, type}}", path.display())]
    BadFile {
        /// Which.
        path: PathBuf,
    },
    /// The index names a type that is not known.
    #[error("the corpus has the type {0}, which the simulator does not know")]
    UnknownType(String),
    /// The simulator's own data are damaged.
    #[error("the simulator's own data cannot be read")]
    OwnData(#[source] serde_json::Error),
}

/// A simulator. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sim {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    routes: Vec<Route>,
    schema: Schema,
    tokens: Tokens,
    latency_us: AtomicU64,
    token_lifetime: Duration,
    /// As the estate was at the start, for a reset.
    first: Estate,
    inner: Mutex<Inner>,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) estate: Estate,
    pub(crate) faults: Faults,
    pub(crate) throttle: Throttle,
    pub(crate) log: VecDeque<LogEntry>,
    pub(crate) writes: VecDeque<WriteEntry>,
    pub(crate) counters: Counters,
    started: Instant,
    numbers: u64,
}

/// What is to be logged.
pub(crate) struct Entry<'a> {
    pub(crate) host: &'static str,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// 0 where the connection broke.
    pub(crate) status: u16,
    /// SHA-256 of the body.
    pub(crate) body: Option<String>,
    /// The name of the batch that it came in.
    pub(crate) batch: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    pub(crate) host: &'static str,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) status: u16,
    pub(crate) body: Option<String>,
    pub(crate) batch: Option<String>,
}

/// A write that reached the service, whatever its answer was.
#[derive(Clone, Debug)]
pub(crate) struct WriteEntry {
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    pub(crate) tenant: Uuid,
    pub(crate) method: String,
    pub(crate) version: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests that count at Graph: a batch counts what it carries.
    pub(crate) graph: u64,
    /// Requests over HTTP.
    pub(crate) graph_http: u64,
    pub(crate) login: u64,
    /// By status, of HTTP answers.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// By status, of requests within batches.
    pub(crate) by_item_status: BTreeMap<u16, u64>,
    pub(crate) writes: u64,
}

/// A simulator on a free loopback port, until it is dropped.
#[derive(Debug)]
pub struct SpawnedSim {
    /// `http://127.0.0.1:PORT`: of both hosts.
    pub url: String,
    /// The simulator.
    pub sim: Sim,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for SpawnedSim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sim {
    /// Puts the estate together.
    pub fn new(options: SimOptions) -> Result<Self, SimError> {
        let routes = routes().map_err(SimError::OwnData)?;
        let schema = Schema::read().map_err(SimError::OwnData)?;
        let estate = estate::build(&options.estate, &options.types, &routes, &schema)?;
        Ok(Self::with(options, routes, schema, estate))
    }

    /// Takes up what [`Sim::save`] has written.
    pub fn load(options: SimOptions, path: &Path) -> Result<Self, SimError> {
        let routes = routes().map_err(SimError::OwnData)?;
        let schema = Schema::read().map_err(SimError::OwnData)?;
        let bytes =
            std::fs::read(path).map_err(|source| SimError::Io { path: path.into(), source })?;
        let estate =
            serde_json::from_slice(&bytes).map_err(|_| SimError::BadFile { path: path.into() })?;
        Ok(Self::with(options, routes, schema, estate))
    }

    fn with(options: SimOptions, routes: Vec<Route>, schema: Schema, estate: Estate) -> Self {
        let first = estate.clone();
        let inner = Inner {
            estate,
            faults: Faults::new(options.faults),
            throttle: Throttle::new(options.throttling),
            log: VecDeque::new(),
            writes: VecDeque::new(),
            counters: Counters::default(),
            started: Instant::now(),
            numbers: 0,
        };
        let sim = Self {
            shared: Arc::new(Shared {
                routes,
                schema,
                tokens: Tokens::default(),
                latency_us: AtomicU64::new(0),
                token_lifetime: options.token_lifetime,
                first,
                inner: Mutex::new(inner),
            }),
        };
        sim.set_latency(options.latency);
        sim
    }

    /// Writes the estate, so that a later start takes it up.
    pub fn save(&self, path: &Path) -> Result<(), SimError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let io = |source| SimError::Io { path: path.into(), source };
        let bytes = serde_json::to_vec(&self.lock().estate).map_err(SimError::OwnData)?;
        let part = path.with_extension("part");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .map_err(io)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&part, path).map_err(io)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.shared.routes
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.shared.schema
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    pub(crate) fn token_lifetime(&self) -> Duration {
        self.shared.token_lifetime
    }

    pub(crate) fn first(&self) -> &Estate {
        &self.shared.first
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.shared.latency_us.load(Ordering::Relaxed))
    }

    /// How long each request of Graph and the login host takes from now on.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency_us.store(micros, Ordering::Relaxed);
    }

    /// Whether and how it throttles from now on.
    pub fn set_throttling(&self, settings: Throttling) {
        let mut inner = self.lock();
        inner.throttle.settings = settings;
        inner.throttle.clear();
    }

    /// The tenants, with what a client needs to sign in.
    pub fn tenants(&self) -> Vec<SimTenant> {
        self.lock().estate.tenants.clone()
    }

    /// What a correct client finds in the first tenant, sorted.
    pub fn expected(&self) -> Vec<ExpectedObject> {
        self.lock().estate.expected.clone()
    }

    /// How many corpus files the estate was made from.
    pub fn corpus_files(&self) -> usize {
        self.lock().estate.files
    }

    /// Writes [`Sim::expected`] as `expected.json`.
    pub fn write_expected(&self, path: &Path) -> Result<(), SimError> {
        let io = |source| SimError::Io { path: path.into(), source };
        let text = serde_json::to_vec_pretty(&self.expected()).map_err(SimError::OwnData)?;
        std::fs::write(path, text).map_err(io)
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.lock().faults = Faults::new(faults);
    }

    /// How many requests Graph has had, batches by what they carried.
    pub fn graph_requests(&self) -> u64 {
        self.lock().counters.graph
    }

    /// Serves until `shutdown`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        listener::serve(self.clone(), listener, shutdown).await
    }

    /// Serves on a free loopback port until the handle is dropped.
    pub async fn spawn(self) -> std::io::Result<SpawnedSim> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let sim = self.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = sim.serve(listener, std::future::pending()).await {
                tracing::error!(error = %error, "the simulator stopped");
            }
        });
        Ok(SpawnedSim { url, sim: self, task })
    }
}

impl Inner {
    fn stamp(&mut self) -> (u64, u64) {
        self.numbers += 1;
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.numbers, at_ms)
    }

    pub(crate) fn note(&mut self, entry: Entry<'_>) {
        let (number, at_ms) = self.stamp();
        let counters = &mut self.counters;
        let by = match entry.batch {
            None => &mut counters.by_status,
            Some(_) => &mut counters.by_item_status,
        };
        *by.entry(entry.status).or_default() += 1;
        if self.log.len() >= LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back(LogEntry {
            number,
            at_ms,
            host: entry.host,
            tenant: entry.tenant,
            method: entry.method.to_owned(),
            path: entry.path.to_owned(),
            query: entry.query.to_owned(),
            status: entry.status,
            body: entry.body,
            batch: entry.batch.map(str::to_owned),
        });
    }

    pub(crate) fn note_write(&mut self, tenant: Uuid, call: &Call<'_>, status: u16) {
        let (number, at_ms) = self.stamp();
        self.counters.writes += 1;
        if self.writes.len() >= WRITES_LENGTH {
            self.writes.pop_front();
        }
        self.writes.push_back(WriteEntry {
            number,
            at_ms,
            tenant,
            method: call.method.to_owned(),
            version: call.version.to_owned(),
            path: call.path.clone(),
            status,
            body: match &call.body {
                Sent::Json(body) => body.clone(),
                _ => Value::Null,
            },
        });
    }
}
