//! The one function through which a request leaves, and all that bounds it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, RETRY_AFTER};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::budget::{BudgetUse, GraphBudget};
use tp_domain::ids::Ids;
use tp_domain::operation::Lane;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Clock;
use url::Url;
use uuid::Uuid;

use crate::budget::Purse;
use crate::cloud::Cloud;
use crate::error::{GraphError, Verdict, verdict};
use crate::session::{GraphSession, WaitObserver};
use crate::sign_in::{Access, Tokens};
use crate::throttle::{next_wait, parse_retry_after};

/// The bounds of a client.
#[derive(Clone, Copy, Debug)]
pub struct GraphOptions {
    /// Requests at once per run.
    pub max_in_flight: usize,
    /// For the connection.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// For a whole request with its answer.
    pub total_timeout: Duration,
    /// Bytes of one answer, unpacked.
    pub max_page_bytes: usize,
    /// Bytes of one listing, over all its pages.
    pub max_listing_bytes: usize,
    /// How long the waits of one request may be together.
    pub patience: Duration,
    /// A longer single wait is not slept through: the run gives its place away meanwhile.
    pub longest_sleep: Duration,
    /// How often one request is tried.
    pub attempts: u32,
    /// Scales the documented limits of Graph: below 1 leaves room for other tools of the tenant.
    pub budget_scale: f64,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 16,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(2),
            max_page_bytes: 64 << 20,
            max_listing_bytes: 512 << 20,
            patience: Duration::from_mins(5),
            longest_sleep: Duration::from_secs(30),
            attempts: 8,
            budget_scale: 1.0,
        }
    }
}

/// A wait for the budget that is said in the run.
const NOTICEABLE: Duration = Duration::from_secs(1);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A certificate is not one.
    #[error("a certificate of a cloud is not in PEM form")]
    Certificate(#[source] reqwest::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up on this machine")]
    Tls(#[source] reqwest::Error),
}

/// Chance, from 0 up to 1, as a parameter (rule I-9).
pub type Chance = Arc<dyn Fn() -> f64 + Send + Sync>;

/// The client for all tenants of a process. Cheap to clone.
#[derive(Clone)]
pub struct Graph {
    pub(crate) client: reqwest::Client,
    /// Keeps no connections: a machine behind one that said 503 must not be asked again over it, and a write
    /// must not be lost with a connection that the other side was about to close.
    pub(crate) fresh: reqwest::Client,
    pub(crate) options: GraphOptions,
    pub(crate) tokens: Tokens,
    pauses: Pauses,
    purse: Purse,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) chance: Chance,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Until when nobody of this process asks a group of a tenant (TRUST F12).
#[derive(Clone, Debug, Default)]
struct Pauses(Arc<Mutex<HashMap<(Uuid, ThrottleGroup), Instant>>>);

impl Pauses {
    fn left(&self, key: (Uuid, ThrottleGroup), now: Instant) -> Option<Duration> {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses
            .get(&key)
            .and_then(|until| until.checked_duration_since(now))
            .filter(|d| !d.is_zero())
    }

    fn pause(&self, key: (Uuid, ThrottleGroup), until: Instant) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = pauses.entry(key).or_insert(until);
        *entry = (*entry).max(until);
    }
}

/// What an answer was.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) retry_after: Option<Duration>,
    /// The code of a request for approval (PROTOCOL §7).
    pub(crate) approval_code: Option<String>,
}

/// A request to Graph: what it is taken from and what it waits for.
pub(crate) struct Call<'a> {
    pub(crate) access: &'a Access,
    pub(crate) group: ThrottleGroup,
    pub(crate) url: &'a Url,
    /// None for a GET; a POST that only reads carries one: a batch of GETs, ids to be named.
    pub(crate) body: Option<&'a Value>,
    /// How many requests Graph counts it as.
    pub(crate) counts: u32,
    pub(crate) max_bytes: usize,
    pub(crate) observer: &'a dyn WaitObserver,
    pub(crate) lane: Lane,
    pub(crate) uses: BudgetUse,
}

impl Graph {
    /// A client. `extra_roots` are certificates in PEM form that are trusted besides the machine's own.
    pub fn new(
        options: GraphOptions,
        extra_roots: &[Vec<u8>],
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        chance: Chance,
        budget: Arc<dyn GraphBudget>,
    ) -> Result<Self, SetupError> {
        let mut roots = Vec::with_capacity(extra_roots.len());
        for root in extra_roots {
            roots.push(reqwest::Certificate::from_pem(root).map_err(SetupError::Certificate)?);
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(options.connect_timeout)
                .read_timeout(options.idle_timeout)
                .timeout(options.total_timeout)
                // A redirect would carry the token elsewhere; Graph's listings send none.
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .user_agent(concat!("TenantPilot/", env!("CARGO_PKG_VERSION")));
            roots.iter().cloned().fold(builder, reqwest::ClientBuilder::add_root_certificate)
        };
        let fresh = builder().pool_max_idle_per_host(0);
        Ok(Self {
            client: builder().build().map_err(SetupError::Tls)?,
            fresh: fresh.build().map_err(SetupError::Tls)?,
            options,
            tokens: Tokens::default(),
            pauses: Pauses::default(),
            purse: Purse::new(budget, Arc::clone(&clock), options.budget_scale),
            clock,
            ids,
            chance,
        })
    }

    /// A session with one tenant, for one run.
    pub fn session(
        &self,
        access: Access,
        observer: Arc<dyn WaitObserver>,
        lane: Lane,
    ) -> GraphSession {
        GraphSession::new(self.clone(), access, observer, lane)
    }

    /// The only place where a request leaves. The address must be of the cloud that the credential
    /// belongs to: checked here again, whoever made it.
    pub(crate) async fn send(
        &self,
        cloud: &Cloud,
        request: reqwest::RequestBuilder,
        max_bytes: usize,
    ) -> Result<Answer, GraphError> {
        let failed = |error: reqwest::Error| {
            if error.is_connect() {
                GraphError::unsent()
            } else {
                GraphError::new(ReasonCode::GraphUnavailable)
            }
        };
        // The client that the request was made with: it may be the one that keeps no connections.
        let (client, request) = request
            .header("client-request-id", self.ids.next().to_string())
            .header(ACCEPT, "application/json")
            .build_split();
        let request = request.map_err(|_| GraphError::new(ReasonCode::InternalError))?;
        if !(is_below(cloud.graph(), request.url()) || is_below(cloud.login(), request.url())) {
            return Err(GraphError::new(ReasonCode::UntrustedNextLink));
        }
        let mut response = client.execute(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let (request_id, retry_after) =
            (request_id(response.headers()), self.told(response.headers()));
        let approval_code = approval_code(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > max_bytes {
                return Err(GraphError::answered(ReasonCode::PayloadTooLarge, status, request_id));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, request_id, body, retry_after, approval_code })
    }

    fn told(&self, headers: &HeaderMap) -> Option<Duration> {
        parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, self.clock.now())
    }

    /// Reads from Graph with a token, and tries again where that can help.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, GraphError> {
        let (mut waited, mut renewed) = (Duration::ZERO, false);
        let (mut attempt, mut client) = (0, &self.client);
        loop {
            waited = self.wait_for_group(&call, waited).await?;
            attempt += 1;
            let token = self.token(call.access, None, call.observer).await?;
            self.take_from_budget(&call).await?;
            let url = call.url.clone();
            let request = match call.body {
                None => client.request(Method::GET, url),
                Some(body) => client.request(Method::POST, url).json(body),
            };
            let request = request.bearer_auth(token.bearer.expose_secret());
            let result = self.send(&call.access.cloud, request, call.max_bytes).await;
            let (reason, told) = match &result {
                Ok(answer) => match verdict(answer.status, &answer.body) {
                    Verdict::Good => return result,
                    Verdict::NewToken if !renewed => {
                        renewed = true;
                        self.token(call.access, Some(&token), call.observer).await?;
                        continue;
                    }
                    Verdict::NewToken => return Err(refused(ReasonCode::AuthFailed, answer)),
                    Verdict::Final(reason) => return Err(refused(reason, answer)),
                    Verdict::Again(reason) => (reason, answer.retry_after),
                },
                Err(error) if error.reason() == ReasonCode::GraphUnavailable => {
                    (ReasonCode::GraphUnavailable, None)
                }
                Err(_) => return result,
            };
            if result.as_ref().is_ok_and(|answer| answer.status == 503) {
                client = &self.fresh;
            }
            if attempt >= self.options.attempts {
                return Err(result.map_or_else(|error| error, |answer| refused(reason, &answer)));
            }
            let wait = next_wait(attempt, told, (self.chance)());
            if reason == ReasonCode::GraphThrottled {
                self.hold(call.access, call.group, wait).await;
            } else {
                waited = self.wait(wait, waited, reason, call.observer).await?;
            }
        }
    }

    /// Graph said to wait: all requests of this group of this tenant do, in every process.
    pub(crate) async fn hold(&self, access: &Access, group: ThrottleGroup, wait: Duration) {
        self.pauses.pause((access.entra_tenant_id, group), Instant::now() + wait);
        self.purse.hold(access, group, BudgetUse::Read, wait).await;
    }

    /// How long to wait after a refusal of one request of a batch.
    pub(crate) fn wait_after(&self, attempt: u32, told: Option<&str>) -> Duration {
        let told = told.and_then(|text| parse_retry_after(text, self.clock.now()));
        next_wait(attempt, told, (self.chance)())
    }

    /// Waits until the group may be asked; says how long all waits were, and gives up when that is too much.
    pub(crate) async fn wait_for_group(
        &self,
        call: &Call<'_>,
        mut waited: Duration,
    ) -> Result<Duration, GraphError> {
        let key = (call.access.entra_tenant_id, call.group);
        while let Some(pause) = self.pauses.left(key, Instant::now()) {
            waited = self.wait(pause, waited, ReasonCode::GraphThrottled, call.observer).await?;
        }
        Ok(waited)
    }

    /// Waits for a share of Graph's limits. It always comes: this is pacing, not refusal, so it does not
    /// count as a wait of the request. A wait that people would notice is said.
    pub(crate) async fn take_from_budget(&self, call: &Call<'_>) -> Result<(), GraphError> {
        for _ in 0..call.counts {
            while let Some(wait) =
                self.purse.take(call.access, call.group, call.uses, call.lane).await
            {
                if wait > self.options.longest_sleep {
                    return Err(GraphError::postponed_by(ReasonCode::GraphThrottled, wait));
                }
                if wait >= NOTICEABLE {
                    let until = self.clock.now().plus(wait);
                    call.observer.waits(until, ReasonCode::GraphThrottled);
                }
                // Spread, so that all who wait for one bucket do not ask at once.
                tokio::time::sleep(wait.mul_f64(1.0 + (self.chance)() * 0.1)).await;
            }
        }
        Ok(())
    }

    /// Waits, says so, and gives up when all waits of a request together are too long.
    pub(crate) async fn wait(
        &self,
        wait: Duration,
        waited: Duration,
        reason: ReasonCode,
        observer: &dyn WaitObserver,
    ) -> Result<Duration, GraphError> {
        if wait > self.options.longest_sleep && reason == ReasonCode::GraphThrottled {
            return Err(GraphError::postponed_by(reason, wait));
        }
        let total = waited + wait;
        if total > self.options.patience {
            return Err(GraphError::new(reason));
        }
        observer.waits(self.clock.now().plus(wait), reason);
        tokio::time::sleep(wait).await;
        Ok(total)
    }
}

pub(crate) fn refused(reason: ReasonCode, answer: &Answer) -> GraphError {
    GraphError::answered(reason, answer.status, answer.request_id.clone())
}

/// Whether `url` is at that base: the same scheme, host and port, below its path, without a user.
fn is_below(base: &Url, url: &Url) -> bool {
    url.scheme() == base.scheme()
        && url.host() == base.host()
        && url.port_or_known_default() == base.port_or_known_default()
        && url.path().starts_with(base.path())
        && url.username().is_empty()
        && url.password().is_none()
}

/// The code of a request for approval, if it has the form of an id.
fn approval_code(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-msft-approval-code")?.to_str().ok()?;
    crate::session::is_plain_id(text).then(|| text.to_owned())
}

/// Graph's id of the request, if it has the form of one: nothing else of a header is kept.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("request-id")?.to_str().ok()?;
    Uuid::try_parse(text).ok().map(|id| id.to_string())
}
