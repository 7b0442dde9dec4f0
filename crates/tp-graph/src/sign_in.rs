//! Tokens by client credentials: in memory only, one request for all who wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tp_domain::reason::ReasonCode;
use uuid::Uuid;

use crate::cloud::Cloud;
use crate::error::GraphError;

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
    /// Its secret.
    pub client_secret: SecretString,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) bearer: SecretString,
    usable_until: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;
type SlotKey = (String, Uuid, String);

/// Tokens by cloud, tenant and app.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<SlotKey, Slot>>>);

impl Tokens {
    pub(crate) fn slot(&self, access: &Access) -> Slot {
        let key =
            (access.cloud.name().to_owned(), access.entra_tenant_id, access.client_id.clone());
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }
}

impl Token {
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        now < self.usable_until
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
    #[derive(Deserialize)]
    struct Claims {
        tid: Uuid,
    }
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Claims>(&bytes).ok().map(|claims| claims.tid)
}

/// What a refusal of the login host means. Numbers are Microsoft's AADSTS codes (Entra documentation,
/// reference-error-codes); the text of the refusal is not looked at.
pub(crate) fn refusal(status: u16, body: &[u8]) -> ReasonCode {
    if status == 429 {
        return ReasonCode::GraphThrottled;
    }
    if status >= 500 {
        return ReasonCode::GraphUnavailable;
    }
    let codes = serde_json::from_slice::<TokenRefusal>(body).map(|r| r.error_codes);
    let known = codes.unwrap_or_default().into_iter().find_map(|code| match code {
        90_002 | 700_016 | 700_011 | 90_038 | 90_051 => Some(ReasonCode::AppNotFound),
        7_000_215 | 7_000_218 | 900_144 | 700_027 | 50_012 | 700_030 => {
            Some(ReasonCode::CredentialInvalid)
        }
        7_000_222 => Some(ReasonCode::CredentialExpired),
        65_001 | 650_056 | 90_094 | 500_011 | 650_057 => Some(ReasonCode::ConsentMissing),
        90_033 | 90_006 | 90_012 | 90_024 | 50_033 | 90_090 => Some(ReasonCode::GraphUnavailable),
        90_055 | 50_196 => Some(ReasonCode::GraphThrottled),
        _ => None,
    });
    known.unwrap_or(ReasonCode::AuthFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            cloud: Cloud::new("sim", "http://127.0.0.1:1", "http://127.0.0.1:1").unwrap(),
            entra_tenant_id: Uuid::from_u128(7),
            client_id: "app".to_owned(),
            client_secret: "s".into(),
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
