//! The identity provider and the rules of outgoing requests (INTERFACE §2, `oidc.*` and `egress.*`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tp_egress::oidc::{OidcSettings, OidcSettingsError};
use uuid::Uuid;

use super::{ConfigError, Reader};

/// No secret of an app is longer.
const LONGEST_SECRET: usize = 4096;

/// Where people can sign in, as the configuration says it.
#[derive(Clone, Debug)]
pub(crate) struct OidcConfig {
    issuer: String,
    client_id: String,
    allowed_tenants: BTreeSet<Uuid>,
    name: Option<String>,
    /// Where the app's secret is; none for an app without one.
    client_secret_file: Option<PathBuf>,
    /// Certificates that are trusted beside the usual ones, PEM.
    pub(crate) ca_file: Option<PathBuf>,
}

/// What outgoing requests may reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct EgressConfig {
    /// Hosts that may be in a private network.
    pub(crate) allow_private: Vec<String>,
}

impl OidcConfig {
    /// The settings with the secret, which is read from its file now.
    pub(crate) fn settings(&self) -> Result<OidcSettings, ConfigError> {
        let secret = self.client_secret_file.as_deref().map(read_secret).transpose()?;
        self.with(secret).map_err(|error| ConfigError(format!("oidc: {error}")))
    }

    fn with(&self, secret: Option<SecretString>) -> Result<OidcSettings, OidcSettingsError> {
        let (tenants, name) = (self.allowed_tenants.clone(), self.name.as_deref());
        OidcSettings::new(&self.issuer, &self.client_id, secret, tenants, name)
    }
}

fn read_secret(path: &Path) -> Result<SecretString, ConfigError> {
    let bad = |why: &str| ConfigError(format!("oidc.client_secret_file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| bad(&error.kind().to_string()))?;
    let text = SecretString::from(text);
    let secret = text.expose_secret().trim_end_matches(['\r', '\n']);
    let is_plain = secret.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if secret.is_empty() || secret.len() > LONGEST_SECRET || !is_plain {
        return Err(bad("must hold the secret of the app, in one line, and nothing else"));
    }
    Ok(SecretString::from(secret))
}

/// A host as it stands in an address: a name or an IPv4 address, without port.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=253).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('.')
        && !text.ends_with('.')
}

impl Reader<'_> {
    fn list(&self, name: &str) -> Vec<&str> {
        self.text(name).split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
    }

    fn hosts(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let hosts = self.list(name);
        if hosts.iter().all(|host| is_host(host)) {
            Ok(hosts.into_iter().map(str::to_lowercase).collect())
        } else {
            Err(self.bad(name))
        }
    }

    pub(super) fn egress(&self) -> Result<EgressConfig, ConfigError> {
        Ok(EgressConfig { allow_private: self.hosts("egress.allow_private")? })
    }

    /// None when no issuer is named.
    pub(super) fn oidc(&self) -> Result<Option<OidcConfig>, ConfigError> {
        const REST: [&str; 5] = [
            "oidc.client_id",
            "oidc.client_secret_file",
            "oidc.allowed_tenants",
            "oidc.name",
            "oidc.ca_file",
        ];
        if self.text("oidc.issuer").is_empty() {
            // Half a configuration is a mistake, not a wish for local accounts only.
            return match REST.iter().find(|name| !self.text(name).is_empty()) {
                Some(name) => Err(ConfigError(format!("{name} needs oidc.issuer beside it"))),
                None => Ok(None),
            };
        }
        let tenants = self.list("oidc.allowed_tenants");
        let tenants: Result<BTreeSet<Uuid>, _> = tenants.into_iter().map(Uuid::try_parse).collect();
        let optional = |name| Some(self.text(name)).filter(|text| !text.is_empty());
        let name = optional("oidc.name").map(str::to_owned);
        if name.as_ref().is_some_and(|name| name.len() > 60 || name.chars().any(char::is_control)) {
            return Err(self.bad("oidc.name"));
        }
        let config = OidcConfig {
            issuer: self.text("oidc.issuer").to_owned(),
            client_id: self.text("oidc.client_id").to_owned(),
            allowed_tenants: tenants.map_err(|_| self.bad("oidc.allowed_tenants"))?,
            name,
            client_secret_file: optional("oidc.client_secret_file").map(PathBuf::from),
            ca_file: optional("oidc.ca_file").map(PathBuf::from),
        };
        let wrong = |key: &str, error: OidcSettingsError| {
            Err(ConfigError(format!("{key} {error}; allowed: {}", super::keys::allowed(key))))
        };
        match config.with(None) {
            Ok(_) => Ok(Some(config)),
            Err(error @ OidcSettingsError::ClientId) => wrong("oidc.client_id", error),
            Err(error @ OidcSettingsError::TenantsForeign) => wrong("oidc.allowed_tenants", error),
            Err(error) => wrong("oidc.issuer", error),
        }
    }
}
