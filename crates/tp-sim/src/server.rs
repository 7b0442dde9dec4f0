//! The simulator as a server: one listener for the login host, Graph and the control surface.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::answer::Answer;
use crate::batch;
use crate::estate::{self, EstatePlan};
use crate::faults::{Fault, FaultAction, FaultHost, Faults};
use crate::graph::{self, Ask};
use crate::login::{self, Tokens};
use crate::query::Query;
use crate::routes::{Route, routes};
use crate::state::{Estate, ExpectedObject, SimTenant};

/// The request log keeps this many entries.
const LOG_LENGTH: usize = 100_000;

/// How the simulator is made.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// What the estate is made of.
    pub estate: EstatePlan,
    /// Added to each request of Graph.
    pub latency: Duration,
    /// How long tokens hold.
    pub token_lifetime: Duration,
    /// Faults from the start.
    pub faults: Vec<Fault>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            estate: EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 1 },
            latency: Duration::ZERO,
            token_lifetime: Duration::from_secs(3599),
            faults: Vec::new(),
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
    tokens: Tokens,
    started: Instant,
    latency: Duration,
    token_lifetime: Duration,
    inner: Mutex<Inner>,
}

/// What changes.
#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) estate: Estate,
    pub(crate) faults: Faults,
    pub(crate) log: VecDeque<LogEntry>,
    pub(crate) counters: Counters,
    numbers: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    pub(crate) host: &'static str,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests that count at Graph: a batch counts what it carries.
    pub(crate) graph: u64,
    /// Requests over HTTP.
    pub(crate) graph_http: u64,
    pub(crate) login: u64,
    pub(crate) by_status: BTreeMap<u16, u64>,
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
        let estate = estate::build(&options.estate, &routes)?;
        Ok(Self::with(options, routes, estate))
    }

    /// Takes up what [`Sim::save`] has written.
    pub fn load(options: SimOptions, path: &Path) -> Result<Self, SimError> {
        let routes = routes().map_err(SimError::OwnData)?;
        let bytes =
            std::fs::read(path).map_err(|source| SimError::Io { path: path.into(), source })?;
        let estate =
            serde_json::from_slice(&bytes).map_err(|_| SimError::BadFile { path: path.into() })?;
        Ok(Self::with(options, routes, estate))
    }

    fn with(options: SimOptions, routes: Vec<Route>, estate: Estate) -> Self {
        let inner = Inner { estate, faults: Faults::new(options.faults), ..Inner::default() };
        Self {
            shared: Arc::new(Shared {
                routes,
                tokens: Tokens::default(),
                started: Instant::now(),
                latency: options.latency,
                token_lifetime: options.token_lifetime,
                inner: Mutex::new(inner),
            }),
        }
    }

    /// Writes the estate, whole or not at all, readable by its owner only.
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

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
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

    /// The router, for a server of the caller's own.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }

    /// Serves until `shutdown`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown).await
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

    fn note(
        &self,
        host: &'static str,
        tenant: Option<Uuid>,
        method: &Method,
        path: &str,
        status: u16,
        counted: u64,
    ) {
        let at_ms = u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut inner = self.lock();
        inner.numbers += 1;
        let number = inner.numbers;
        match host {
            "graph" => {
                inner.counters.graph += counted;
                inner.counters.graph_http += 1;
            }
            _ => inner.counters.login += 1,
        }
        *inner.counters.by_status.entry(status).or_default() += 1;
        if inner.log.len() >= LOG_LENGTH {
            inner.log.pop_front();
        }
        let (method, path) = (method.to_string(), path.to_owned());
        inner.log.push_back(LogEntry { number, at_ms, host, tenant, method, path, status });
    }

    /// What Graph answers to one request, whether alone or within a batch.
    fn graph_answer(&self, tenant: Uuid, ask: &Ask<'_>) -> Answer {
        let inner = self.lock();
        match inner.estate.tenant(tenant) {
            Some(tenant) => graph::answer(tenant, &self.shared.routes, ask),
            None => login::no_token(),
        }
    }
}

async fn handle(
    State(sim): State<Sim>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path();
    let client_id = headers.get("client-request-id").and_then(|value| value.to_str().ok());
    if let Some(control) = path.strip_prefix("/__sim") {
        let query = uri.query().unwrap_or_default();
        return sim.control(method.as_str(), control, query, &body).into_response(client_id);
    }
    let tidy = graph::tidy(path);
    if let Some((tenant, "oauth2/v2.0/token")) = tidy.trim_start_matches('/').split_once('/') {
        return sim.login(tenant, &method, &tidy, &body).await;
    }
    sim.graph(&method, &uri, &tidy, &headers, &body).await
}

impl Sim {
    async fn login(
        &self,
        tenant: &str,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Response<Body> {
        let fault = self.lock().faults.act(FaultHost::Login, method.as_str(), path);
        let wrong_tid = matches!(fault, Some(FaultAction::WrongTid));
        let answer = {
            let inner = self.lock();
            let life = self.shared.token_lifetime;
            login::token(&inner.estate, &self.shared.tokens, tenant, body, life, wrong_tid)
        };
        self.note("login", Uuid::try_parse(tenant).ok(), method, path, answer.status, 1);
        act(fault, answer, None, "").await
    }

    async fn graph(
        &self,
        method: &Method,
        uri: &Uri,
        tidy: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Body> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let client_id = header("client-request-id");
        if !self.shared.latency.is_zero() {
            tokio::time::sleep(self.shared.latency).await;
        }
        let fault = self.lock().faults.act(FaultHost::Graph, method.as_str(), tidy);
        let host =
            header("x-original-host").or(header(header::HOST.as_str())).unwrap_or("localhost");
        let origin = format!("http://{host}");
        let tenant =
            login::bearer(header("authorization")).and_then(|token| self.tokens().tenant(token));
        let (version, path) = tidy[1..].split_once('/').unwrap_or((&tidy[1..], ""));
        let mut counted = 1;
        let answer = match tenant {
            None => login::no_token(),
            Some(_) if !["v1.0", "beta"].contains(&version) => {
                Answer::bad_request("Invalid version. Use v1.0 or beta.")
            }
            Some(tenant) if path == "$batch" && method == Method::POST => {
                match batch::parse(body) {
                    Err(refusal) => refusal,
                    Ok(items) => {
                        counted = u64::try_from(items.len()).unwrap_or(1);
                        let answers = items.into_iter().map(|item| {
                            let (path, query) = item.url.split_once('?').unwrap_or((&item.url, ""));
                            let ask = Ask {
                                method: &item.method,
                                version,
                                path: graph::tidy(path),
                                query: Query::parse(query),
                                origin: &origin,
                            };
                            (item.id.clone(), self.graph_answer(tenant, &ask))
                        });
                        batch::reply(answers.collect())
                    }
                }
            }
            Some(tenant) => {
                let ask = Ask {
                    method: method.as_str(),
                    version,
                    path: graph::tidy(path),
                    query: Query::parse(uri.query().unwrap_or_default()),
                    origin: &origin,
                };
                self.graph_answer(tenant, &ask)
            }
        };
        let answer = match &fault {
            Some(FaultAction::Status { status, retry_after }) => {
                let error = Answer::error(*status, "UnknownError", "planned");
                match retry_after {
                    Some(text) => error.with_header("Retry-After", text),
                    None => error,
                }
            }
            _ => answer,
        };
        self.note("graph", tenant, method, tidy, answer.status, counted);
        let here = format!("{origin}{}", uri.path_and_query().map_or("", |path| path.as_str()));
        act(fault, answer, client_id, &here).await
    }
}

/// Carries a fault out on an answer that would have been good.
async fn act(
    fault: Option<FaultAction>,
    mut answer: Answer,
    client_id: Option<&str>,
    here: &str,
) -> Response<Body> {
    let plain = |status: StatusCode, text: &str| {
        let mut response = Response::new(Body::from(text.to_owned()));
        *response.status_mut() = status;
        response
    };
    match fault {
        None | Some(FaultAction::Status { .. } | FaultAction::WrongTid) => {}
        Some(FaultAction::Latency { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(FaultAction::Html) => {
            return plain(StatusCode::OK, "<html><body>Sign in to the hotel</body></html>");
        }
        Some(FaultAction::Malformed) => return plain(StatusCode::OK, "{\"value\": [NaN"),
        Some(FaultAction::NextLink { url }) => answer.body["@odata.nextLink"] = url.into(),
        Some(FaultAction::Loop) => answer.body["@odata.nextLink"] = here.into(),
        Some(FaultAction::Empty) => answer.body = serde_json::json!({"value": []}),
        Some(FaultAction::Redirect { to }) => {
            let mut response = plain(StatusCode::FOUND, "");
            if let Ok(value) = to.parse() {
                response.headers_mut().insert(header::LOCATION, value);
            }
            return response;
        }
        Some(FaultAction::Huge { bytes }) => {
            return plain(StatusCode::OK, &format!("{{\"value\": [\"{}\"]}}", "x".repeat(bytes)));
        }
        Some(FaultAction::Truncate) => {
            return Response::new(Body::new(Cut(b"{\"value\": [{\"id\"")));
        }
        Some(FaultAction::Drip) => return Response::new(Body::new(Drip)),
    }
    answer.into_response(client_id)
}

/// A body that breaks off with an error, which cuts the connection.
struct Cut(&'static [u8]);

impl axum::body::HttpBody for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let rest = std::mem::take(&mut self.0);
        std::task::Poll::Ready(Some(if rest.is_empty() {
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        } else {
            Ok(http_body::Frame::data(Bytes::from_static(rest)))
        }))
    }
}

/// A body that never comes.
struct Drip;

impl axum::body::HttpBody for Drip {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}
