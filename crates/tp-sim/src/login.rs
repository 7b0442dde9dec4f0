//! The login host: tokens by client credentials, refusals as Entra words them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Answer, request_id};
use crate::state::{Estate, SimTenant};

/// Tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, (Uuid, Instant)>>);

impl Tokens {
    /// The tenant of a token that still holds.
    pub(crate) fn tenant(&self, token: &str) -> Option<Uuid> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).filter(|(_, until)| Instant::now() < *until).map(|(tenant, _)| *tenant)
    }

    /// Makes every token void, as after a revocation.
    pub(crate) fn revoke(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn give(&self, tenant: &SimTenant, claimed: Uuid, life: Duration) -> String {
        let header = URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": "RS256"}).to_string());
        let claims = json!({
            "aud": "https://graph.microsoft.com", "tid": claimed, "appid": tenant.client_id,
            "roles": tenant.permissions, "jti": request_id(),
        });
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let signature = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let token = format!("{header}.{payload}.{signature}");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token.clone(), (tenant.id, Instant::now() + life));
        token
    }
}

fn refuse(status: u16, error: &str, number: u64, text: &str) -> Answer {
    let id = request_id();
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {text} Trace ID: {id} Correlation ID: {id}"),
        "error_codes": [number],
        "timestamp": "2026-01-17 09:00:00Z", "trace_id": id, "correlation_id": id,
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    });
    Answer { status, headers: Vec::new(), body }
}

/// `POST /{tenant}/oauth2/v2.0/token`. `wrong_tid` makes the token claim another tenant.
pub(crate) fn token(
    estate: &Estate,
    tokens: &Tokens,
    tenant: &str,
    body: &[u8],
    life: Duration,
    wrong_tid: bool,
) -> Answer {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let by_id = Uuid::try_parse(tenant).ok().and_then(|id| estate.tenant(id));
    let by_name = || estate.tenants.iter().find(|own| own.domain.eq_ignore_ascii_case(tenant));
    let Some(tenant) = by_id.or_else(by_name) else {
        return refuse(400, "invalid_request", 90_002, "Tenant not found.");
    };
    if field("grant_type") != Some("client_credentials") {
        return refuse(400, "unsupported_grant_type", 70_003, "The grant type is not supported.");
    }
    let (Some(client), Some(_)) = (field("client_id"), field("scope")) else {
        return refuse(
            400,
            "invalid_request",
            900_144,
            "The request body must contain client_id and scope.",
        );
    };
    if Uuid::try_parse(client).ok() != Some(tenant.client_id) {
        return refuse(
            400,
            "unauthorized_client",
            700_016,
            "Application was not found in the directory.",
        );
    }
    match field("client_secret") {
        _ if tenant.secret_expired => {
            refuse(401, "invalid_client", 7_000_222, "The provided client secret keys are expired.")
        }
        _ if field("client_assertion").is_some() => refuse(
            401,
            "invalid_client",
            700_027,
            "The certificate is not registered on the application.",
        ),
        None => {
            refuse(401, "invalid_client", 7_000_218, "The request body must contain client_secret.")
        }
        Some(secret) if secret != tenant.client_secret => {
            refuse(401, "invalid_client", 7_000_215, "Invalid client secret provided.")
        }
        Some(_) if !tenant.consented => refuse(
            400,
            "invalid_grant",
            65_001,
            "The administrator has not consented to use the application.",
        ),
        Some(_) => {
            let claimed = if wrong_tid { Uuid::nil() } else { tenant.id };
            let token = tokens.give(tenant, claimed, life);
            let seconds = life.as_secs();
            Answer::ok(json!({
                "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
            }))
        }
    }
}

/// The bearer token of a header.
pub(crate) fn bearer(header: Option<&str>) -> Option<&str> {
    header?.strip_prefix("Bearer ").map(str::trim)
}

/// What a request without a good token is told.
pub(crate) fn no_token() -> Answer {
    Answer::error(401, "InvalidAuthenticationToken", "Access token is empty, expired or not valid.")
}

/// Replaces what an administrator of the pretend tenant could change.
pub(crate) fn change(tenant: &mut SimTenant, change: &Value) {
    if let Some(permissions) = change.get("permissions").and_then(Value::as_array) {
        tenant.permissions =
            permissions.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    }
    if let Some(expired) = change.get("secret_expired").and_then(Value::as_bool) {
        tenant.secret_expired = expired;
    }
    if let Some(consented) = change.get("consented").and_then(Value::as_bool) {
        tenant.consented = consented;
    }
}
