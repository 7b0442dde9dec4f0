//! The configuration: flags, then environment, then file, then default (INTERFACE §2).
//!
//! One table names every key (`config/keys.rs`). What is not in it is refused, with the nearest key
//! that is.

mod keys;
mod oidc;
mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tp_graph::cloud::{Cloud, CloudError, Clouds};
use tp_payload::Location;
use tp_store::DatabaseUrl;
use url::Url;

pub(crate) use oidc::{EgressConfig, OidcConfig};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A value as it was given. May hold a password: has no `Debug`.
struct Given {
    value: String,
    source: Source,
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

/// Variables that may hold secrets: has no `Debug` of its own.
#[derive(Clone, Default)]
pub(crate) struct PayloadSettings(Vec<(String, String)>);

impl fmt::Debug for PayloadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadSettings")
    }
}

impl PayloadSettings {
    /// The variables that bear the usual names.
    fn of(environment: &[(String, String)]) -> Self {
        let own = environment.iter().filter(|(name, value)| {
            name.starts_with("AWS_")
                && !value.is_empty()
                && !value.contains(char::REPLACEMENT_CHARACTER)
        });
        Self(own.cloned().collect())
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A cloud of the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CloudConfig {
    /// Where Graph is.
    pub(crate) graph_url: String,
    /// Where apps sign in.
    pub(crate) login_url: String,
    /// Certificates that are trusted beside the usual ones, PEM.
    pub(crate) ca_file: Option<PathBuf>,
}

/// The configuration as the program uses it. Every value is checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where the data is. The password of a server is not shown by `Debug`.
    pub(crate) database: DatabaseUrl,
    /// Readers on SQLite, all connections on PostgreSQL.
    pub(crate) connections: u32,
    /// The folder of this installation; may not be there yet.
    pub(crate) data_dir: PathBuf,
    /// Where the web is served.
    pub(crate) listen: SocketAddr,
    /// How people reach it: https, or plain http on a loopback address (ruling 27). Has no path.
    pub(crate) public_url: Url,
    /// The keys for secrets at rest; may not be there yet.
    pub(crate) keys_file: PathBuf,
    /// Where payloads of snapshots are kept.
    pub(crate) payloads: Location,
    /// The usual `AWS_…` variables, for payloads in a bucket. Some are secret: never shown.
    pub(crate) payload_settings: PayloadSettings,
    /// Clouds beside the built-in ones, by name.
    pub(crate) clouds: BTreeMap<String, CloudConfig>,
    /// How the worker works.
    pub(crate) worker: tp_engine::worker::WorkerOptions,
    /// Requests to Graph at once, per run.
    pub(crate) max_in_flight: usize,
    /// Scales Graph's documented limits.
    pub(crate) budget_scale: f64,
    /// Where people can sign in beside local accounts.
    pub(crate) oidc: Option<OidcConfig>,
    /// What outgoing requests to named addresses may reach.
    pub(crate) egress: EgressConfig,
    /// error, warn, info, debug or trace.
    pub(crate) log_level: String,
    /// text, json or auto.
    pub(crate) log_format: String,
    shown: Vec<(String, String, String)>,
}

/// Where the configuration is read from.
#[derive(Default)]
pub(crate) struct Sources {
    /// `--config`; without it `./tenantpilot.toml` where that is.
    pub(crate) file: Option<PathBuf>,
    /// Every variable of the process.
    pub(crate) environment: Vec<(String, String)>,
    /// Keys that were given as flags.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Config {
    /// Reads and checks everything; the first fault ends it.
    pub(crate) fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let given = |value: &str, source| Given { value: value.to_owned(), source };
        let mut values: BTreeMap<String, Given> = keys::KEYS
            .iter()
            .map(|key| (key.name.to_owned(), given(key.default, Source::Default)))
            .collect();
        values.extend(sources::file(sources)?);
        values.extend(sources::environment(sources)?);
        values.extend(
            sources
                .flags
                .iter()
                .map(|(name, value)| ((*name).to_owned(), given(value, Source::Flag))),
        );
        Ok(Self {
            payload_settings: PayloadSettings::of(&sources.environment),
            ..Self::typed(values)?
        })
    }

    fn typed(mut values: BTreeMap<String, Given>) -> Result<Self, ConfigError> {
        let reader = Reader { values: &values };
        let data_dir = PathBuf::from(reader.needed("data_dir")?);
        let database = match reader.text("database.url") {
            "" => DatabaseUrl::Sqlite(data_dir.join("tenantpilot.db")),
            text => DatabaseUrl::parse(text).map_err(|_| reader.bad("database.url"))?,
        };
        let listen: SocketAddr = reader.text("listen").parse().map_err(|_| reader.bad("listen"))?;
        let public_url = reader.public_url(listen)?;
        let keys_file = match reader.text("keys.file") {
            "" => data_dir.join("keys.json"),
            text => PathBuf::from(text),
        };
        let payloads = match reader.text("payloads.url") {
            "" => Location::Folder(data_dir.join("payloads")),
            text => text.parse().map_err(|_| reader.bad("payloads.url"))?,
        };
        let mut config = Self {
            connections: reader.number("database.connections", 2, 200)?,
            clouds: reader.clouds()?,
            oidc: reader.oidc()?,
            egress: reader.egress()?,
            worker: reader.worker()?,
            budget_scale: reader.factor("graph.budget_scale")?,
            max_in_flight: reader.number("graph.max_in_flight", 1, 256)? as usize,
            log_level: reader.one_of("log.level", &["error", "warn", "info", "debug", "trace"])?,
            log_format: reader.one_of("log.format", &["text", "json", "auto"])?,
            database,
            data_dir,
            listen,
            public_url,
            keys_file,
            payloads,
            payload_settings: PayloadSettings::default(),
            shown: Vec::new(),
        };
        // What a default that depends on another key came to.
        let effective = [
            ("public_url", config.public_url.to_string()),
            ("keys.file", config.keys_file.display().to_string()),
            ("payloads.url", config.payloads.to_string()),
            (
                "database.url",
                match &config.database {
                    DatabaseUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
                    DatabaseUrl::Postgres(_) => masked(&values),
                },
            ),
        ];
        for (name, value) in effective {
            if let Some(given) = values.get_mut(name) {
                given.value = value;
            }
        }
        config.shown = values
            .into_iter()
            .map(|(name, given)| (name, given.value, given.source.to_string()))
            .map(|(name, value, source)| {
                let bare = keys::kind(&name) == Some(keys::Kind::Number);
                let value = if bare { value } else { toml::Value::String(value).to_string() };
                (name, value, source)
            })
            .collect();
        Ok(config)
    }

    /// Every key with its value as TOML and where that came from; passwords are masked.
    pub(crate) fn shown(&self) -> &[(String, String, String)] {
        &self.shown
    }
}

/// The database URL without what may be a secret: the password, also where it stands in the query.
fn masked(values: &BTreeMap<String, Given>) -> String {
    const HIDDEN: &str = "***";
    let text = values.get("database.url").map_or("", |given| given.value.as_str());
    let Ok(mut url) = text.parse::<Url>() else { return HIDDEN.to_owned() };
    if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
        return HIDDEN.to_owned();
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if !pairs.is_empty() {
        let is_open = |name: &str| {
            ["host", "port", "dbname", "user", "sslmode", "application_name"].contains(&name)
        };
        let hide = |(name, value): (String, String)| {
            let value = if is_open(&name) { value } else { HIDDEN.to_owned() };
            (name, value)
        };
        url.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(hide));
    }
    url.to_string()
}

/// https anywhere; plain http on the same machine only (ruling 27).
fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && loopback
}

/// Only a scheme, a host and a port.
fn is_origin(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/"
}

struct Reader<'v> {
    values: &'v BTreeMap<String, Given>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |given| given.value.as_str())
    }

    fn bad(&self, name: &str) -> ConfigError {
        let source = self.values.get(name).map_or(&Source::Default, |given| &given.source);
        sources::bad(name, source)
    }

    fn needed(&self, name: &str) -> Result<&str, ConfigError> {
        match self.text(name) {
            "" => Err(self.bad(name)),
            text => Ok(text),
        }
    }

    fn number(&self, name: &str, least: u32, most: u32) -> Result<u32, ConfigError> {
        let number: u32 = self.text(name).parse().map_err(|_| self.bad(name))?;
        if (least..=most).contains(&number) { Ok(number) } else { Err(self.bad(name)) }
    }

    fn factor(&self, name: &str) -> Result<f64, ConfigError> {
        let number: f64 = self.text(name).parse().map_err(|_| self.bad(name))?;
        if (0.01..=1_000.0).contains(&number) { Ok(number) } else { Err(self.bad(name)) }
    }

    fn one_of(&self, name: &str, allowed: &[&str]) -> Result<String, ConfigError> {
        let text = self.text(name);
        if allowed.contains(&text) { Ok(text.to_owned()) } else { Err(self.bad(name)) }
    }

    fn public_url(&self, listen: SocketAddr) -> Result<Url, ConfigError> {
        let text = match self.text("public_url") {
            "" => format!("http://{listen}"),
            text => text.to_owned(),
        };
        let url: Url = text.parse().map_err(|_| self.bad("public_url"))?;
        if !matches!(url.scheme(), "https" | "http") || !is_origin(&url) {
            return Err(self.bad("public_url"));
        }
        if is_safe(&url) {
            return Ok(url);
        }
        Err(ConfigError(format!(
            "public_url (or listen) means {}://{}: people would sign in over plain http. \
             Allowed: https://HOST, or http:// on a loopback address. \
             Behind a proxy that ends TLS, set public_url to its https address",
            url.scheme(),
            url.host_str().unwrap_or_default()
        )))
    }

    fn worker(&self) -> Result<tp_engine::worker::WorkerOptions, ConfigError> {
        let lease = self.number("worker.lease_seconds", 3, 3600)?;
        let heartbeat = self.number("worker.heartbeat_seconds", 1, lease / 3)?;
        Ok(tp_engine::worker::WorkerOptions {
            concurrency: self.number("worker.concurrency", 1, 256)?,
            per_tenant: self.number("worker.per_tenant", 1, 64)?,
            lease: Duration::from_secs(u64::from(lease)),
            heartbeat: Duration::from_secs(u64::from(heartbeat)),
            poll: Duration::from_millis(u64::from(self.number("worker.poll_ms", 10, 60_000)?)),
            ..tp_engine::worker::WorkerOptions::default()
        })
    }

    fn clouds(&self) -> Result<BTreeMap<String, CloudConfig>, ConfigError> {
        let mut clouds: BTreeMap<String, CloudConfig> = BTreeMap::new();
        for (name, given) in self.values {
            let Some((cloud, field)) = keys::cloud_key(name) else { continue };
            let value = self.needed(name)?;
            let entry = clouds.entry(cloud.to_owned()).or_default();
            match field {
                "graph_url" => value.clone_into(&mut entry.graph_url),
                "login_url" => value.clone_into(&mut entry.login_url),
                _ => entry.ca_file = Some(PathBuf::from(&given.value)),
            }
        }
        for (name, cloud) in &clouds {
            if cloud.graph_url.is_empty() || cloud.login_url.is_empty() {
                return Err(ConfigError(format!(
                    "cloud {name} needs clouds.{name}.graph_url and clouds.{name}.login_url"
                )));
            }
            self.check_cloud(name, cloud)?;
        }
        Ok(clouds)
    }

    /// The rules for clouds are tp-graph's; here they get the key and its source.
    fn check_cloud(&self, name: &str, cloud: &CloudConfig) -> Result<(), ConfigError> {
        Cloud::new(name, &cloud.graph_url, &cloud.login_url)
            .and_then(|cloud| Clouds::with([cloud]))
            .map(|_| ())
            .map_err(|error| match error {
                CloudError::BadUrl { which, .. } => self.bad(&format!("clouds.{name}.{which}")),
                CloudError::BuiltIn(_) => ConfigError(format!("clouds.{name}: {error}")),
            })
    }
}

#[cfg(test)]
mod tests;
