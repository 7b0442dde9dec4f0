//! The one function through which a request leaves.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::address::{AddressClass, class_of, literal};

/// Where addresses of names come from: a parameter, so that a test can lie about them.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The addresses of a name.
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>>;
}

/// The resolver of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
    }
}

/// What bounds outgoing requests.
#[derive(Clone, Debug)]
pub struct EgressOptions {
    /// The ports that may be connected to, beside those of declared origins.
    pub ports: Vec<u16>,
    /// When not empty: no other hosts (beside declared origins).
    pub allow_hosts: Vec<String>,
    /// Hosts whose addresses may be in a private network. Never loopback or link-local ones.
    pub allow_private: Vec<String>,
    /// Origins that the operator wrote into the configuration: they may have another port, and one on a
    /// loopback address may be there, also with plain http. Never a value that a person entered.
    pub declared: Vec<Url>,
    /// Certificates in PEM form that are trusted beside the usual ones.
    pub extra_roots: Vec<Vec<u8>>,
    /// For the connection.
    pub connect_timeout: Duration,
    /// For a whole request with its answer.
    pub total_timeout: Duration,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            ports: vec![443, 8443],
            allow_hosts: Vec::new(),
            allow_private: Vec::new(),
            declared: Vec::new(),
            extra_roots: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a request was not sent, or has no answer. Tells nothing of the other side: whoever named the
/// address may be asking what is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Not https, or with a user, or without a host.
    #[error("the address must be https://HOST, without user")]
    BadAddress,
    /// The port is not on the list.
    #[error("the port of the address is not allowed")]
    PortNotAllowed,
    /// The host is not on the operator's list.
    #[error("the host of the address is not allowed")]
    HostNotAllowed,
    /// The address is of this machine, of a private network, or of nobody.
    #[error("the address does not lead to a public host")]
    AddressNotAllowed,
    /// No answer, or not in time.
    #[error("there is no answer from that address")]
    Unreachable,
    /// The answer is larger than what was asked for.
    #[error("the answer is too large")]
    TooLarge,
    /// The client cannot be set up: a certificate is not one, or TLS does not start.
    #[error("the certificates or TLS cannot be set up")]
    Setup,
}

/// A request. Nothing is added to it but `User-Agent`, `Accept-Encoding` and what the body needs.
#[derive(Debug)]
pub struct EgressRequest {
    url: Url,
    body: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
    basic: Option<(String, secrecy::SecretString)>,
    max_bytes: usize,
}

impl EgressRequest {
    /// A GET whose answer has at most so many bytes.
    pub const fn get(url: Url, max_bytes: usize) -> Self {
        Self { url, body: None, headers: Vec::new(), basic: None, max_bytes }
    }

    /// A POST of these bytes.
    pub fn post(url: Url, content_type: &'static str, body: Vec<u8>, max_bytes: usize) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { url, body: Some(body), headers, basic: None, max_bytes }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a user and a password (RFC 7617).
    #[must_use]
    pub fn basic(mut self, user: String, password: secrecy::SecretString) -> Self {
        self.basic = Some((user, password));
        self
    }
}

/// An answer.
#[derive(Debug)]
pub struct EgressReply {
    /// Its status. A redirect is an answer like others: it is not followed.
    pub status: u16,
    /// Its body, unpacked.
    pub body: Vec<u8>,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    client: reqwest::Client,
    rules: Arc<Rules>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("rules", &self.rules).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Rules {
    ports: Vec<u16>,
    allow_hosts: Vec<String>,
    allow_private: Vec<String>,
    declared: Vec<Url>,
}

fn has_origin(declared: &Url, url: &Url) -> bool {
    declared.scheme() == url.scheme()
        && declared.host() == url.host()
        && declared.port_or_known_default() == url.port_or_known_default()
}

/// A host on a loopback address, as it is written.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(host) => literal(&host).is_some_and(|ip| class_of(ip) == AddressClass::Loopback),
        None => false,
    }
}

impl Rules {
    /// Whether this address of this host may be connected to. The origin was checked before.
    fn may_connect(&self, host: &str, address: std::net::IpAddr) -> bool {
        match class_of(address) {
            AddressClass::Public => true,
            AddressClass::Private => self.allow_private.iter().any(|own| own == host),
            AddressClass::Loopback => {
                let is_own = |own: &Url| is_loopback(own) && own.host_str() == Some(host);
                self.declared.iter().any(is_own)
            }
            AddressClass::Never => false,
        }
    }

    fn check(&self, url: &Url) -> Result<(), EgressError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::BadAddress);
        }
        let host = url.host().ok_or(EgressError::BadAddress)?;
        let text = url.host_str().ok_or(EgressError::BadAddress)?;
        let is_declared = self.declared.iter().any(|own| has_origin(own, url));
        match url.scheme() {
            "https" => {}
            "http" if is_declared && is_loopback(url) => {}
            _ => return Err(EgressError::BadAddress),
        }
        if is_loopback(url) && !is_declared {
            return Err(EgressError::AddressNotAllowed);
        }
        if let Some(address) = literal(&host)
            && !self.may_connect(text, address)
        {
            return Err(EgressError::AddressNotAllowed);
        }
        if is_declared {
            return Ok(());
        }
        let port = url.port_or_known_default().ok_or(EgressError::BadAddress)?;
        if !self.ports.contains(&port) {
            return Err(EgressError::PortNotAllowed);
        }
        if !(self.allow_hosts.is_empty() || self.allow_hosts.iter().any(|own| own == text)) {
            return Err(EgressError::HostNotAllowed);
        }
        Ok(())
    }
}

/// The names' addresses are looked up once for each connection, checked, and handed to that connection:
/// a name that means something else a moment later changes nothing.
#[derive(Debug)]
struct Guard {
    rules: Arc<Rules>,
    lookup: Arc<dyn Lookup>,
}

/// Marks a refusal of ours among the client's errors.
#[derive(Debug, thiserror::Error)]
#[error("an address of the name is not allowed")]
struct Refusal;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, host) = (Arc::clone(&self.rules), name.as_str().to_owned());
        let found = self.lookup.lookup(host.clone());
        Box::pin(async move {
            let found = found.await?;
            // One that is not allowed spoils all: a name that leads inside is not asked outside either.
            if found.is_empty() || !found.iter().all(|at| rules.may_connect(&host, at.ip())) {
                return Err(Refusal.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn is_refusal(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<Refusal>() {
            return true;
        }
        source = error.source();
    }
    false
}

impl Egress {
    /// A door with these bounds.
    pub fn new(options: EgressOptions, lookup: Arc<dyn Lookup>) -> Result<Self, EgressError> {
        let lower = |hosts: Vec<String>| hosts.into_iter().map(|h| h.to_lowercase()).collect();
        let rules = Arc::new(Rules {
            ports: options.ports,
            allow_hosts: lower(options.allow_hosts),
            allow_private: lower(options.allow_private),
            declared: options.declared,
        });
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .timeout(options.total_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            // Each request is checked and connected anew.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Guard { rules: Arc::clone(&rules), lookup }))
            .user_agent(concat!("TenantPilot/", env!("CARGO_PKG_VERSION")));
        for root in &options.extra_roots {
            let root = reqwest::Certificate::from_pem(root).map_err(|_| EgressError::Setup)?;
            builder = builder.add_root_certificate(root);
        }
        Ok(Self { client: builder.build().map_err(|_| EgressError::Setup)?, rules })
    }

    /// Whether such an address could be asked at all, without asking it: for forms.
    pub fn check(&self, url: &Url) -> Result<(), EgressError> {
        self.rules.check(url)
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: EgressRequest) -> Result<EgressReply, EgressError> {
        use secrecy::ExposeSecret as _;
        self.rules.check(&request.url)?;
        let failed = |error: reqwest::Error| {
            if is_refusal(&error) {
                EgressError::AddressNotAllowed
            } else {
                EgressError::Unreachable
            }
        };
        let mut builder = match request.body {
            None => self.client.get(request.url),
            Some(body) => self.client.post(request.url).body(body),
        };
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some((user, password)) = &request.basic {
            builder = builder.basic_auth(user, Some(password.expose_secret()));
        }
        let mut response = builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > request.max_bytes {
                return Err(EgressError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(EgressReply { status, body })
    }
}
