//! The configuration: flags, then environment, then file, then default (INTERFACE §2).
//!
//! One table names every key. What is not in it is refused, with the nearest key that is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tp_store::DatabaseUrl;
use url::Url;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Default,
    File,
    Environment,
    Flag,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

/// One key: its name, its environment variable, what is allowed.
struct Key {
    name: &'static str,
    env: &'static str,
    default: &'static str,
    allowed: &'static str,
}

const fn key(
    name: &'static str,
    env: &'static str,
    default: &'static str,
    allowed: &'static str,
) -> Key {
    Key { name, env, default, allowed }
}

const KEYS: &[Key] = &[
    key(
        "database.url",
        "DATABASE_URL",
        "",
        "sqlite:PATH or postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE",
    ),
    key("database.connections", "DATABASE__CONNECTIONS", "10", "a number from 2 to 200"),
    key("data_dir", "DATA_DIR", "./data", "a folder"),
    key("listen", "LISTEN", "127.0.0.1:8080", "ADDRESS:PORT"),
    key("public_url", "PUBLIC_URL", "", "https://HOST, or http:// on a loopback address"),
    key("keys.file", "KEYS_FILE", "", "a file"),
    key("worker.concurrency", "WORKER__CONCURRENCY", "8", "a number from 1 to 256"),
    key("worker.lease_seconds", "WORKER__LEASE_SECONDS", "30", "a number from 3 to 3600"),
    key(
        "worker.heartbeat_seconds",
        "WORKER__HEARTBEAT_SECONDS",
        "10",
        "a number from 1 to a third of worker.lease_seconds",
    ),
    key("worker.poll_ms", "WORKER__POLL_MS", "500", "a number from 10 to 60000"),
    key("worker.per_tenant", "WORKER__PER_TENANT", "2", "a number from 1 to 64"),
    key("graph.max_in_flight", "GRAPH__MAX_IN_FLIGHT", "16", "a number from 1 to 256"),
    key("log.level", "LOG__LEVEL", "info", "error, warn, info, debug or trace"),
    key("log.format", "LOG__FORMAT", "auto", "text, json or auto (text on a terminal)"),
];

/// What a cloud of one's own has.
const CLOUD_FIELDS: [&str; 3] = ["graph_url", "login_url", "ca_file"];

/// Variables with our prefix that are not configuration of the server.
const OTHER_VARIABLES: [&str; 5] = ["SERVER", "TOKEN", "TENANT", "CORPUS", "TEST_POSTGRES"];

const PREFIX: &str = "TENANTPILOT_";

/// A cloud of the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CloudConfig {
    pub(crate) graph_url: String,
    pub(crate) login_url: String,
    pub(crate) ca_file: Option<PathBuf>,
}

/// The configuration as the program uses it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) database: DatabaseUrl,
    pub(crate) connections: u32,
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Url,
    pub(crate) keys_file: PathBuf,
    pub(crate) clouds: BTreeMap<String, CloudConfig>,
    pub(crate) worker: tp_engine::worker::WorkerOptions,
    pub(crate) max_in_flight: usize,
    pub(crate) log_level: String,
    pub(crate) log_format: String,
    values: BTreeMap<String, (String, Source)>,
}

/// Where the configuration is read from.
#[derive(Debug, Default)]
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
        let mut values: BTreeMap<String, (String, Source)> = KEYS
            .iter()
            .map(|key| (key.name.to_owned(), (key.default.to_owned(), Source::Default)))
            .collect();
        for (name, value) in file_values(sources)? {
            known(&name, Source::File)?;
            values.insert(name, (value, Source::File));
        }
        for (name, value) in environment_values(&sources.environment)? {
            values.insert(name, (value, Source::Environment));
        }
        for (name, value) in &sources.flags {
            values.insert((*name).to_owned(), (value.clone(), Source::Flag));
        }
        Self::typed(values)
    }

    fn typed(values: BTreeMap<String, (String, Source)>) -> Result<Self, ConfigError> {
        let reader = Reader { values: &values };
        let data_dir = PathBuf::from(reader.text("data_dir"));
        let database = match reader.text("database.url") {
            "" => DatabaseUrl::Sqlite(data_dir.join("tenantpilot.db")),
            text => DatabaseUrl::parse(text).map_err(|_| reader.bad("database.url"))?,
        };
        let listen: SocketAddr = reader.text("listen").parse().map_err(|_| reader.bad("listen"))?;
        let public_url = match reader.text("public_url") {
            "" => format!("http://{listen}"),
            text => text.to_owned(),
        };
        let public_url: Url = public_url.parse().map_err(|_| reader.bad("public_url"))?;
        if !is_safe(&public_url) {
            return Err(ConfigError(format!(
                "public_url (or listen) means {}://{}: people would sign in over plain http. \
                 Allowed: https://HOST, or http:// on a loopback address. \
                 Behind a proxy that ends TLS, set public_url to its https address",
                public_url.scheme(),
                public_url.host_str().unwrap_or_default()
            )));
        }
        let keys_file = match reader.text("keys.file") {
            "" => data_dir.join("keys.json"),
            text => PathBuf::from(text),
        };
        let worker = reader.worker()?;
        Ok(Self {
            database,
            connections: reader.number("database.connections", 2, 200)?,
            listen,
            public_url,
            keys_file,
            clouds: reader.clouds()?,
            worker,
            max_in_flight: reader.number("graph.max_in_flight", 1, 256)? as usize,
            log_level: reader.one_of("log.level", &["error", "warn", "info", "debug", "trace"])?,
            log_format: reader.one_of("log.format", &["text", "json", "auto"])?,
            data_dir,
            values,
        })
    }

    /// Every key with its value and where that came from; passwords are masked.
    pub(crate) fn shown(&self) -> Vec<(String, String, &'static str)> {
        self.values
            .iter()
            .map(|(name, (value, source))| (name.clone(), masked(name, value), source.as_str()))
            .collect()
    }
}

/// Hides what stands between the user and the host of a URL.
fn masked(name: &str, value: &str) -> String {
    if name == "database.url"
        && let Ok(mut url) = value.parse::<Url>()
        && url.password().is_some()
        && url.set_password(Some("***")).is_ok()
    {
        return url.to_string();
    }
    value.to_owned()
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

struct Reader<'v> {
    values: &'v BTreeMap<String, (String, Source)>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |(value, _)| value.as_str())
    }

    /// The refusal of a value: names the key, where it came from, and what is allowed. Not the value
    /// itself, which may hold a password.
    fn bad(&self, name: &str) -> ConfigError {
        let source = self.values.get(name).map_or("default", |(_, source)| source.as_str());
        let allowed = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.allowed);
        ConfigError(format!("bad value for {name} (from the {source}); allowed: {allowed}"))
    }

    fn number(&self, name: &str, least: u32, most: u32) -> Result<u32, ConfigError> {
        let number: u32 = self.text(name).parse().map_err(|_| self.bad(name))?;
        if (least..=most).contains(&number) { Ok(number) } else { Err(self.bad(name)) }
    }

    fn one_of(&self, name: &str, allowed: &[&str]) -> Result<String, ConfigError> {
        let text = self.text(name);
        if allowed.contains(&text) { Ok(text.to_owned()) } else { Err(self.bad(name)) }
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
        for (name, (value, _)) in self.values.iter().filter(|(name, _)| name.starts_with("clouds."))
        {
            let Some((cloud, field)) = name["clouds.".len()..].rsplit_once('.') else { continue };
            let entry = clouds.entry(cloud.to_owned()).or_default();
            match field {
                "graph_url" => entry.graph_url.clone_from(value),
                "login_url" => entry.login_url.clone_from(value),
                _ => entry.ca_file = Some(PathBuf::from(value)),
            }
        }
        match clouds
            .iter()
            .find(|(_, cloud)| cloud.graph_url.is_empty() || cloud.login_url.is_empty())
        {
            None => Ok(clouds),
            Some((name, _)) => Err(ConfigError(format!(
                "cloud {name} needs clouds.{name}.graph_url and clouds.{name}.login_url"
            ))),
        }
    }
}

fn is_cloud_key(name: &str) -> bool {
    let Some((cloud, field)) = name.strip_prefix("clouds.").and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    !cloud.is_empty() && cloud.chars().all(plain) && CLOUD_FIELDS.contains(&field)
}

fn known(name: &str, source: Source) -> Result<(), ConfigError> {
    if KEYS.iter().any(|key| key.name == name) || is_cloud_key(name) {
        return Ok(());
    }
    let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    Err(unknown(name, source, &names))
}

fn unknown(name: &str, source: Source, names: &[&str]) -> ConfigError {
    let nearest = names
        .iter()
        .min_by_key(|known| distance(name, known))
        .filter(|known| distance(name, known) <= 4);
    let hint = nearest.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
    ConfigError(format!(
        "unknown key {name} in the {}.{hint} Allowed: {}, clouds.NAME.{{{}}}",
        source.as_str(),
        names.join(", "),
        CLOUD_FIELDS.join(",")
    ))
}

/// How many letters must change to make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let change = corner + usize::from(left != right);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

fn file_values(sources: &Sources) -> Result<Vec<(String, String)>, ConfigError> {
    let path = sources.file.clone().unwrap_or_else(|| PathBuf::from("tenantpilot.toml"));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && sources.file.is_none() => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(ConfigError(format!(
                "cannot read the configuration file {}: {error}",
                path.display()
            )));
        }
    };
    parse_file(&text).map_err(|fault| ConfigError(format!("{}: {fault}", path.display())))
}

fn parse_file(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| format!("not TOML: {}", error.message()))?;
    let mut values = Vec::new();
    flatten("", &table, &mut values)?;
    Ok(values)
}

fn flatten(
    prefix: &str,
    table: &toml::Table,
    values: &mut Vec<(String, String)>,
) -> Result<(), String> {
    for (name, value) in table {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, values)?,
            toml::Value::String(text) => values.push((name, text.clone())),
            toml::Value::Integer(number) => values.push((name, number.to_string())),
            toml::Value::Boolean(flag) => values.push((name, flag.to_string())),
            _ => return Err(format!("{name} must be a text or a whole number")),
        }
    }
    Ok(())
}

fn environment_values(
    environment: &[(String, String)],
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut values = Vec::new();
    for (variable, value) in environment {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        if OTHER_VARIABLES.contains(&rest) {
            continue;
        }
        let plain = KEYS.iter().find(|key| key.env == rest).map(|key| key.name.to_owned());
        let cloud =
            || Some(rest.to_lowercase().replace("__", ".")).filter(|name| is_cloud_key(name));
        if let Some(name) = plain.or_else(cloud) {
            values.push((name, value.clone()));
        } else {
            let names: Vec<String> =
                KEYS.iter().map(|key| format!("{PREFIX}{}", key.env)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(unknown(variable, Source::Environment, &names));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
