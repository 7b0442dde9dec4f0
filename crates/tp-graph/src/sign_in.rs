//! Tokens by client credentials, a secret or a signed assertion: in memory only, one request for all who
//! wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tp_domain::entra::reason_of_number;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;
use url::Url;
use uuid::Uuid;

use crate::cloud::Cloud;
use crate::connection::names;
use crate::credential::{Claims, Credential, Signing};
use crate::error::GraphError;
use crate::http::{Graph, refused};
use crate::session::WaitObserver;
use crate::throttle::next_wait;

/// A token is renewed this long before its end, so that none runs out on the way.
const RENEW_BEFORE: Duration = Duration::from_mins(2);

/// How a tenant is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where.
    pub cloud: Cloud,
    /// The tenant's id in Microsoft Entra.
    pub entra_tenant_id: Uuid,
    /// The app registration.
    pub client_id: String,
    /// What it proves itself with.
    pub credential: Credential,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) bearer: SecretString,
    usable_until: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;
type SlotKey = (String, Uuid, String, [u8; 32]);

/// Tokens by cloud, tenant, app and credential: a new credential is signed in with at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<SlotKey, Slot>>>);

impl Tokens {
    pub(crate) fn slot(&self, access: &Access) -> Slot {
        let key = (
            access.cloud.name().to_owned(),
            access.entra_tenant_id,
            access.client_id.clone(),
            access.credential.fingerprint(),
        );
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }
}

impl Token {
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        now < self.usable_until
    }

    /// The application permissions that it carries; none where it cannot be read. A token that can be
    /// read and names none carries none.
    pub(crate) fn roles(&self) -> Option<Vec<String>> {
        let claims = claims_of(self.bearer.expose_secret())?;
        match claims.get("roles") {
            None => Some(Vec::new()),
            Some(roles) => roles.as_array().map(|list| names(list.iter())),
        }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.bearer.expose_secret() == other.bearer.expose_secret()
    }
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: SecretString,
    #[serde(default)]
    expires_in: u64,
}

#[derive(Deserialize)]
struct TokenRefusal {
    #[serde(default)]
    error_codes: Vec<u64>,
}

/// Reads the reply of the login host to a token that is for this tenant.
pub(crate) fn read_token(access: &Access, body: &[u8], now: Instant) -> Result<Token, GraphError> {
    let malformed = || GraphError::new(ReasonCode::MalformedResponse);
    let reply: TokenReply = serde_json::from_slice(body).map_err(|_| malformed())?;
    let header_safe =
        reply.access_token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
    if reply.access_token.expose_secret().is_empty() || !header_safe {
        return Err(malformed());
    }
    if let Some(tid) = tenant_of(reply.access_token.expose_secret())
        && tid != access.entra_tenant_id
    {
        return Err(GraphError::new(ReasonCode::TenantMismatch));
    }
    let life = Duration::from_secs(reply.expires_in.clamp(1, 86_400));
    // A life shorter than the margin is used to its half.
    let usable = life.saturating_sub(RENEW_BEFORE).max(life / 2);
    Ok(Token { bearer: reply.access_token, usable_until: now + usable })
}

/// The tenant that a token says it is for. Microsoft calls tokens opaque: one that cannot be read tells
/// nothing, and was asked for at the tenant's own address.
fn tenant_of(token: &str) -> Option<Uuid> {
    Uuid::try_parse(claims_of(token)?.get("tid")?.as_str()?).ok()
}

/// What stands in a token that can be read.
fn claims_of(token: &str) -> Option<Json> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    Json::parse_unicode(&bytes).ok().filter(Json::is_object)
}

/// What a refusal of the login host means, by its numbers; its text is not looked at.
pub(crate) fn refusal(status: u16, body: &[u8]) -> ReasonCode {
    if status == 429 {
        return ReasonCode::GraphThrottled;
    }
    if status >= 500 {
        return ReasonCode::GraphUnavailable;
    }
    let codes = serde_json::from_slice::<TokenRefusal>(body).map(|r| r.error_codes);
    let known = codes.unwrap_or_default().into_iter().find_map(reason_of_number);
    known.unwrap_or(ReasonCode::AuthFailed)
}

/// A refusal, and after which time the login host wants to be asked again.
type Refusal = (GraphError, Option<Duration>);

/// RFC 7523.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn token_endpoint(access: &Access) -> Result<Url, GraphError> {
    let mut url = access.cloud.login().clone();
    url.path_segments_mut()
        .map_err(|()| GraphError::new(ReasonCode::InternalError))?
        .pop_if_empty()
        .extend([&access.entra_tenant_id.to_string(), "oauth2", "v2.0", "token"]);
    Ok(url)
}

impl Graph {
    /// A usable token; `stale` is one that Graph has refused. Whoever comes first asks, all others wait
    /// for that answer.
    pub(crate) async fn token(
        &self,
        access: &Access,
        stale: Option<&Token>,
        observer: &dyn WaitObserver,
    ) -> Result<Token, GraphError> {
        let slot = self.tokens.slot(access);
        let mut held = slot.lock().await;
        if let Some(token) = &*held
            && token.is_usable(Instant::now())
            && stale.is_none_or(|stale| !stale.is_same(token))
        {
            return Ok(token.clone());
        }
        *held = None;
        let (mut waited, mut attempt) = (Duration::ZERO, 0);
        loop {
            attempt += 1;
            let (error, told) = match self.sign_in(access).await {
                Ok(token) => {
                    *held = Some(token.clone());
                    return Ok(token);
                }
                Err(refusal) => refusal,
            };
            let again =
                matches!(error.reason(), ReasonCode::GraphThrottled | ReasonCode::GraphUnavailable);
            if !again || attempt >= self.options.attempts {
                return Err(error);
            }
            let wait = next_wait(attempt, told, (self.chance)());
            waited = self.wait(wait, waited, error.reason(), observer).await?;
        }
    }

    /// A token that was not there before.
    pub(crate) async fn new_token(
        &self,
        access: &Access,
        observer: &dyn WaitObserver,
    ) -> Result<Token, GraphError> {
        let old = self.tokens.slot(access).lock().await.clone();
        self.token(access, old.as_ref(), observer).await
    }

    /// Asks the login host once; with a certificate a second time where it does not take PS256.
    async fn sign_in(&self, access: &Access) -> Result<Token, Refusal> {
        let Credential::Certificate(own) = &access.credential else {
            return self.ask(access, None).await;
        };
        let audience = token_endpoint(access).map_err(|error| (error, None))?;
        let claims = Claims {
            audience: audience.as_str(),
            client_id: &access.client_id,
            now: self.clock.now(),
            id: self.ids.next(),
        };
        let signed = |signing| {
            own.assertion(signing, &claims)
                .map_err(|_| (GraphError::new(ReasonCode::CredentialInvalid), None))
        };
        match self.ask(access, Some(&signed(Signing::Ps256)?)).await {
            Err((error, _)) if error.reason() == ReasonCode::CredentialInvalid => {
                self.ask(access, Some(&signed(Signing::Rs256)?)).await
            }
            answer => answer,
        }
    }

    async fn ask(
        &self,
        access: &Access,
        assertion: Option<&SecretString>,
    ) -> Result<Token, Refusal> {
        let url = token_endpoint(access).map_err(|error| (error, None))?;
        let scope = format!("{}/.default", access.cloud.graph().as_str().trim_end_matches('/'));
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", access.client_id.as_str()),
            ("scope", scope.as_str()),
        ];
        match (&access.credential, assertion) {
            (_, Some(assertion)) => {
                form.push(("client_assertion_type", ASSERTION_TYPE));
                form.push(("client_assertion", assertion.expose_secret()));
            }
            (Credential::Secret(secret), None) => {
                form.push(("client_secret", secret.expose_secret()));
            }
            (Credential::Certificate(_), None) => {
                return Err((GraphError::new(ReasonCode::InternalError), None));
            }
        }
        let request = self.client.post(url).form(&form);
        // A token reply is small; more is not one.
        let answer =
            self.send(&access.cloud, request, 1 << 20).await.map_err(|error| (error, None))?;
        if answer.status != 200 {
            let reason = refusal(answer.status, &answer.body);
            return Err((refused(reason, &answer), answer.retry_after));
        }
        read_token(access, &answer.body, Instant::now()).map_err(|error| (error, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            cloud: Cloud::new("sim", "http://127.0.0.1:1", "http://127.0.0.1:1").unwrap(),
            entra_tenant_id: Uuid::from_u128(7),
            client_id: "app".to_owned(),
            credential: Credential::Secret("s".into()),
        }
    }

    fn jwt(tid: Uuid) -> String {
        let payload = URL_SAFE_NO_PAD.encode(format!("{{\"tid\":\"{tid}\"}}"));
        format!("{{\"access_token\":\"h.{payload}.s\",\"expires_in\":3599}}")
    }

    #[test]
    fn a_token_of_another_tenant_is_not_used() {
        let now = Instant::now();
        assert!(read_token(&access(), jwt(Uuid::from_u128(7)).as_bytes(), now).is_ok());
        let other = read_token(&access(), jwt(Uuid::from_u128(8)).as_bytes(), now).unwrap_err();
        assert_eq!(other.reason(), ReasonCode::TenantMismatch);
        for bad in ["{}", "<html>", r#"{"access_token":""}"#, "{\"access_token\":\"a\\nb\"}"] {
            let error = read_token(&access(), bad.as_bytes(), now).unwrap_err();
            assert_eq!(error.reason(), ReasonCode::MalformedResponse, "{bad}");
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let now = Instant::now();
        let token = read_token(&access(), jwt(Uuid::from_u128(7)).as_bytes(), now).unwrap();
        assert!(token.is_usable(now + Duration::from_secs(3400)));
        assert!(!token.is_usable(now + Duration::from_secs(3500)));
    }

    #[test]
    fn refusals_become_reason_codes() {
        use ReasonCode as R;
        let cases = [
            (400, r#"{"error_codes":[90002]}"#, R::AppNotFound),
            (401, r#"{"error_codes":[7000215]}"#, R::CredentialInvalid),
            (401, r#"{"error_codes":[7000222]}"#, R::CredentialExpired),
            (400, r#"{"error_codes":[1, 65001]}"#, R::ConsentMissing),
            (400, r#"{"error_codes":[53003]}"#, R::AuthFailed),
            (400, "<html>", R::AuthFailed),
            (429, "", R::GraphThrottled),
            (503, "", R::GraphUnavailable),
        ];
        for (status, body, expected) in cases {
            assert_eq!(refusal(status, body.as_bytes()), expected, "{status} {body}");
        }
    }
}
