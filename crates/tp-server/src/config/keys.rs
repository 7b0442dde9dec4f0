//! The one table of keys: what is not in it is refused, with the nearest key that is.

use super::{ConfigError, Source};

/// Of what kind a key's value is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    /// In the file an array of texts, or one text with commas.
    List,
}

/// One key: its name, its environment variable without the prefix, what is allowed.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) env: &'static str,
    pub(super) kind: Kind,
    /// Empty where the default depends on another key.
    pub(super) default: &'static str,
    pub(super) allowed: &'static str,
}

const fn text(
    name: &'static str,
    env: &'static str,
    default: &'static str,
    allowed: &'static str,
) -> Key {
    Key { name, env, kind: Kind::Text, default, allowed }
}

const fn list(name: &'static str, env: &'static str, allowed: &'static str) -> Key {
    Key { name, env, kind: Kind::List, default: "", allowed }
}

const fn number(
    name: &'static str,
    env: &'static str,
    default: &'static str,
    allowed: &'static str,
) -> Key {
    Key { name, env, kind: Kind::Number, default, allowed }
}

/// Every key but those of clouds, whose names are the operator's.
pub(super) const KEYS: &[Key] = &[
    text(
        "database.url",
        "DATABASE_URL",
        "",
        "sqlite:PATH or postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE",
    ),
    number("database.connections", "DATABASE__CONNECTIONS", "10", "a number from 2 to 200"),
    text("data_dir", "DATA_DIR", "./data", "a folder"),
    text("payloads.url", "PAYLOADS_URL", "", "file:///FOLDER or s3://BUCKET[/PREFIX]"),
    text("listen", "LISTEN", "127.0.0.1:8080", "ADDRESS:PORT"),
    text(
        "public_url",
        "PUBLIC_URL",
        "",
        "https://HOST[:PORT], or http:// on a loopback address, without user, path and query",
    ),
    text("keys.file", "KEYS_FILE", "", "a file"),
    number("worker.concurrency", "WORKER__CONCURRENCY", "8", "a number from 1 to 256"),
    number("worker.lease_seconds", "WORKER__LEASE_SECONDS", "30", "a number from 3 to 3600"),
    number(
        "worker.heartbeat_seconds",
        "WORKER__HEARTBEAT_SECONDS",
        "10",
        "a number from 1 to a third of worker.lease_seconds",
    ),
    number("worker.poll_ms", "WORKER__POLL_MS", "500", "a number from 10 to 60000"),
    number("worker.per_tenant", "WORKER__PER_TENANT", "2", "a number from 1 to 64"),
    number("graph.max_in_flight", "GRAPH__MAX_IN_FLIGHT", "16", "a number from 1 to 256"),
    number("graph.budget_scale", "GRAPH__BUDGET_SCALE", "1.0", "a number from 0.01 to 1000"),
    text(
        "oidc.issuer",
        "OIDC__ISSUER",
        "",
        "https://HOST/PATH, or http:// on a loopback address, without user, query and fragment",
    ),
    text("oidc.client_id", "OIDC__CLIENT_ID", "", "the id of this app at the provider"),
    text("oidc.client_secret_file", "OIDC__CLIENT_SECRET_FILE", "", "a file with the app's secret"),
    list("oidc.allowed_tenants", "OIDC__ALLOWED_TENANTS", "ids of Microsoft Entra tenants"),
    text("oidc.name", "OIDC__NAME", "", "a name for the button, up to 60 letters"),
    text("oidc.ca_file", "OIDC__CA_FILE", "", "a file with certificates in PEM form"),
    list("egress.allow_private", "EGRESS__ALLOW_PRIVATE", "names of hosts, without port"),
    text("log.level", "LOG__LEVEL", "info", "error, warn, info, debug or trace"),
    text("log.format", "LOG__FORMAT", "auto", "text, json or auto (text on a terminal)"),
];

/// What a cloud of one's own has, and what is allowed there.
const CLOUD_FIELDS: [(&str, &str); 3] = [
    ("graph_url", CLOUD_URL),
    ("login_url", CLOUD_URL),
    ("ca_file", "a file with certificates in PEM form"),
];

const CLOUD_URL: &str =
    "https://HOST, or http:// on a loopback address, without user, query and fragment";

/// Every variable of the product begins so.
pub(super) const PREFIX: &str = "TENANTPILOT_";

/// Variables with our prefix that are for the client verbs, not for the server.
const CLIENT_VARIABLES: [&str; 4] = ["SERVER", "TOKEN", "TENANT", "CORPUS"];

/// Variables of the tests begin so after the prefix.
const TEST_VARIABLES: &str = "TEST_";

/// The cloud and the field of `clouds.NAME.FIELD`.
pub(super) fn cloud_key(name: &str) -> Option<(&str, &'static str)> {
    let (cloud, field) = name.strip_prefix("clouds.")?.split_once('.')?;
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let (field, _) = CLOUD_FIELDS.iter().find(|(known, _)| *known == field)?;
    (!cloud.is_empty() && cloud.chars().all(plain)).then_some((cloud, *field))
}

/// What is allowed as the value of a key.
pub(super) fn allowed(name: &str) -> &'static str {
    let cloud = || {
        let (_, field) = cloud_key(name)?;
        CLOUD_FIELDS.iter().find(|(known, _)| *known == field).map(|(_, allowed)| *allowed)
    };
    let key = KEYS.iter().find(|key| key.name == name).map(|key| key.allowed);
    key.or_else(cloud).unwrap_or_default()
}

/// The kind of a key's value; none for a key that is not known.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let key = KEYS.iter().find(|key| key.name == name).map(|key| key.kind);
    key.or_else(|| cloud_key(name).map(|_| Kind::Text))
}

/// Whether a table of that name has a place in the file.
pub(super) fn is_section(name: &str) -> bool {
    let below = |key: &Key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let cloud = || cloud_key(&format!("{name}.graph_url")).is_some();
    name == "clouds" || KEYS.iter().any(below) || cloud()
}

/// The key that a variable sets; none for a variable that is not for the configuration.
pub(super) fn of_variable(variable: &str) -> Result<Option<String>, ConfigError> {
    let Some(rest) = variable.strip_prefix(PREFIX) else { return Ok(None) };
    if CLIENT_VARIABLES.contains(&rest) || rest.starts_with(TEST_VARIABLES) {
        return Ok(None);
    }
    let plain = KEYS.iter().find(|key| key.env == rest).map(|key| key.name.to_owned());
    let cloud = || {
        // The variable's own letters must be capitals, so that one key has one variable.
        let name = rest.to_ascii_lowercase().replace("__", ".");
        (rest == rest.to_ascii_uppercase() && cloud_key(&name).is_some()).then_some(name)
    };
    plain.or_else(cloud).map(Some).ok_or_else(|| {
        let known: Vec<&str> = KEYS.iter().map(|key| key.env).collect();
        let fields = CLOUD_FIELDS.map(|(field, _)| field.to_ascii_uppercase()).join(",");
        let all: Vec<String> = known.iter().map(|name| format!("{PREFIX}{name}")).collect();
        ConfigError(format!(
            "unknown variable {variable} in the environment.{} \
             Allowed: {}, {PREFIX}CLOUDS__NAME__{{{fields}}}",
            hint(rest, PREFIX, &known),
            all.join(", "),
        ))
    })
}

/// The refusal of a key of the file.
pub(super) fn unknown(name: &str, source: &Source) -> ConfigError {
    let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let fields = CLOUD_FIELDS.map(|(field, _)| field).join(",");
    ConfigError(format!(
        "unknown key {name} in the {source}.{} Allowed: {}, clouds.NAME.{{{fields}}}",
        hint(name, "", &known),
        known.join(", "),
    ))
}

/// The nearest known word, where one is near.
fn hint(word: &str, prefix: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|known| (distance(word, known), known))
        .filter(|(distance, known)| distance * 3 <= known.len())
        .min()
        .map(|(_, near)| format!(" Did you mean {prefix}{near}?"))
        .unwrap_or_default()
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
