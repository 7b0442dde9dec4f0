//! What a provider says of itself, and its keys: fetched, checked and kept for a while.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tp_domain::sign_in::SignInFault;
use tp_domain::time::Clock;
use url::Url;

use super::settings::OidcSettings;
use super::token::Key;
use crate::client::{Egress, EgressRequest};

/// After this long both are fetched anew.
const FRESH: Duration = Duration::from_hours(1);
/// While the provider does not answer, what it said before holds so long.
const STALE: Duration = Duration::from_hours(24);
/// A key that is not known is looked for again no sooner: a flood of forged tokens asks nobody.
const AGAIN: Duration = Duration::from_mins(1);
/// Microsoft's discovery document has 2 kB, its keys 15 kB.
const MOST_BYTES: usize = 512 << 10;
/// More keys are nobody's.
const MOST_KEYS: usize = 200;

/// The discovery document (OpenID Connect Discovery 1.0, section 3, and RFC 8414).
#[derive(Clone, Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    end_session_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What is used of it.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) authorize: Url,
    pub(super) token: Url,
    pub(super) end_session: Option<Url>,
    /// Whether the secret goes into the form instead of the header.
    pub(super) secret_in_form: bool,
    /// Whether each answer says whose it is (RFC 9207).
    pub(super) says_issuer: bool,
    keys: Url,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    at: Duration,
}

#[derive(Debug, Default)]
struct Cache {
    metadata: Option<Kept<Metadata>>,
    keys: Option<Kept<Vec<Key>>>,
    /// When keys were asked for, with or without success.
    asked: Option<Duration>,
}

/// A provider's own words, as fresh as needed.
#[derive(Debug)]
pub(super) struct Source {
    egress: Egress,
    clock: Arc<dyn Clock>,
    cache: Mutex<Cache>,
}

impl Source {
    pub(super) fn new(egress: Egress, clock: Arc<dyn Clock>) -> Self {
        Self { egress, clock, cache: Mutex::default() }
    }

    pub(super) const fn egress(&self) -> &Egress {
        &self.egress
    }

    /// The discovery document, checked.
    pub(super) async fn metadata(&self, settings: &OidcSettings) -> Result<Metadata, SignInFault> {
        let mut cache = self.cache.lock().await;
        self.metadata_in(&mut cache, settings).await
    }

    async fn metadata_in(
        &self,
        cache: &mut Cache,
        settings: &OidcSettings,
    ) -> Result<Metadata, SignInFault> {
        let now = self.clock.steady();
        let age = |at: Duration| now.saturating_sub(at);
        if let Some(kept) = &cache.metadata
            && age(kept.at) < FRESH
        {
            return Ok(kept.value.clone());
        }
        let fetched = self.fetch(discovery_of(settings)).await.and_then(|body| {
            let document: Document =
                serde_json::from_slice(&body).map_err(|_| SignInFault::ProviderUnavailable)?;
            self.checked(settings, document)
        });
        match (fetched, &cache.metadata) {
            (Ok(value), _) => {
                cache.metadata = Some(Kept { value: value.clone(), at: now });
                Ok(value)
            }
            (Err(SignInFault::ProviderUnavailable), Some(kept)) if age(kept.at) < STALE => {
                Ok(kept.value.clone())
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// What the provider says must fit what was configured: the issuer letter for letter, addresses that
    /// may be asked, and PKCE where it tells what it can do.
    fn checked(
        &self,
        settings: &OidcSettings,
        document: Document,
    ) -> Result<Metadata, SignInFault> {
        let wrong = Err(SignInFault::ProviderMisconfigured);
        if document.issuer != settings.expected_issuer() {
            tracing::warn!("the provider names itself otherwise than oidc.issuer");
            return wrong;
        }
        let pages =
            [Some(&document.authorization_endpoint), document.end_session_endpoint.as_ref()];
        // The browser goes there, with what the sign-in is begun with.
        let is_safe =
            |url: &Url| url.scheme() == "https" || url.origin() == settings.issuer().origin();
        let asked = [&document.token_endpoint, &document.jwks_uri];
        if !pages.into_iter().flatten().all(is_safe)
            || asked.iter().any(|url| self.egress.check(url).is_err())
        {
            tracing::warn!("the provider names addresses that may not be asked");
            return wrong;
        }
        let lists = |list: &Option<Vec<String>>, word: &str| {
            list.as_ref().map(|all| all.iter().any(|own| own == word))
        };
        if lists(&document.code_challenge_methods_supported, "S256") == Some(false) {
            return wrong;
        }
        let methods = &document.token_endpoint_auth_methods_supported;
        Ok(Metadata {
            // Without a list the header it is (Discovery 1.0, section 3).
            secret_in_form: lists(methods, "client_secret_basic") == Some(false),
            says_issuer: document.authorization_response_iss_parameter_supported,
            authorize: document.authorization_endpoint,
            token: document.token_endpoint,
            end_session: document.end_session_endpoint,
            keys: document.jwks_uri,
        })
    }

    /// The keys of that name. One that is not known is looked for anew, once a minute at most.
    pub(super) async fn keys(
        &self,
        settings: &OidcSettings,
        kid: &str,
    ) -> Result<Vec<Key>, SignInFault> {
        let mut cache = self.cache.lock().await;
        let now = self.clock.steady();
        let named = |cache: &Cache, longest: Duration| -> Vec<Key> {
            let kept = cache.keys.as_ref().filter(|kept| now.saturating_sub(kept.at) < longest);
            let all = kept.map_or(&[][..], |kept| kept.value.as_slice());
            all.iter().filter(|key| key.is_named(kid)).cloned().collect()
        };
        let found = named(&cache, FRESH);
        if !found.is_empty() {
            return Ok(found);
        }
        let may_ask = cache.asked.is_none_or(|at| now.saturating_sub(at) >= AGAIN);
        if may_ask {
            cache.asked = Some(now);
            let metadata = self.metadata_in(&mut cache, settings).await?;
            match self.fetch(metadata.keys).await.and_then(|body| key_set(&body)) {
                Ok(value) => cache.keys = Some(Kept { value, at: now }),
                Err(fault) if cache.keys.is_none() => return Err(fault),
                Err(fault) => tracing::warn!(%fault, "the provider's keys could not be fetched"),
            }
        }
        let found = named(&cache, STALE);
        if found.is_empty() { Err(SignInFault::KeyUnknown) } else { Ok(found) }
    }

    async fn fetch(&self, url: Url) -> Result<Vec<u8>, SignInFault> {
        let request =
            EgressRequest::get(url, MOST_BYTES).header("accept", "application/json".into());
        match self.egress.send(request).await {
            Ok(reply) if reply.status == 200 => Ok(reply.body),
            Ok(reply) => {
                tracing::warn!(status = reply.status, "the provider answers with an error");
                Err(SignInFault::ProviderUnavailable)
            }
            Err(error) => {
                tracing::warn!(%error, "the provider cannot be asked");
                Err(SignInFault::ProviderUnavailable)
            }
        }
    }
}

/// The address of the document (Discovery 1.0, section 4): the issuer's, with a fixed end.
fn discovery_of(settings: &OidcSettings) -> Url {
    let mut url = settings.issuer().clone();
    let path = format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// Keys that cannot be read are left out: a provider may have kinds that are not for us.
fn key_set(body: &[u8]) -> Result<Vec<Key>, SignInFault> {
    let set: KeySet = serde_json::from_slice(body).map_err(|_| SignInFault::ProviderUnavailable)?;
    let keys = set.keys.into_iter().take(MOST_KEYS);
    Ok(keys.filter_map(|key| serde_json::from_value(key).ok()).collect())
}
