//! The login host: tokens by client credentials, refusals as Entra words them, admin consent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, request_id};
use crate::assertion;
use crate::clock;
use crate::state::{Estate, SimTenant};

/// What a token opens.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) tenant: Uuid,
    pub(crate) granted: Arc<Vec<String>>,
    until: Instant,
}

/// Tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Pass>>);

impl Tokens {
    /// What a token that still holds opens.
    pub(crate) fn pass(&self, token: &str) -> Option<Pass> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).filter(|pass| Instant::now() < pass.until).cloned()
    }

    /// Makes tokens void, as after a revocation: those of a tenant, or all.
    pub(crate) fn revoke(&self, tenant: Option<Uuid>) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, pass| tenant.is_some_and(|tenant| tenant != pass.tenant));
    }

    fn give(&self, tenant: &SimTenant, claimed: Uuid, life: Duration) -> String {
        let now = clock::now().as_secs();
        let header =
            URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": "RS256", "kid": "sim"}).to_string());
        let claims = json!({
            "aud": "https://graph.microsoft.com", "iss": format!("https://sts.windows.net/{claimed}/"),
            "tid": claimed, "appid": tenant.client_id, "app_displayname": "TenantPilot",
            "idtyp": "app", "oid": Uuid::new_v5(&tenant.id, tenant.client_id.to_string().as_bytes()),
            "roles": tenant.permissions, "ver": "1.0", "jti": request_id(),
            "iat": now, "nbf": now, "exp": now + life.as_secs(),
        });
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let signature = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let token = format!("{header}.{payload}.{signature}");
        let pass = Pass {
            tenant: tenant.id,
            granted: Arc::new(tenant.permissions.clone()),
            until: Instant::now() + life,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), pass);
        token
    }
}

/// A refusal in Entra's words.
pub(crate) fn refuse(status: u16, error: &str, number: u64, text: &str) -> Answer {
    let id = request_id();
    let now = clock::stamp(clock::now());
    Answer::json(
        status,
        json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {text} Trace ID: {id} Correlation ID: {id} Timestamp: {now}"),
            "error_codes": [number],
            "timestamp": now, "trace_id": id, "correlation_id": id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        }),
    )
}

/// The error that usually goes with a number (PROTOCOL §6).
pub(crate) fn error_of(number: u64) -> &'static str {
    match number {
        90_002 | 900_144 => "invalid_request",
        700_016 | 700_011 | 7_000_112 | 70_001 => "unauthorized_client",
        7_000_215 | 7_000_222 | 7_000_218 | 700_021 | 700_023 | 700_024 | 700_027 | 50_012
        | 700_030 => "invalid_client",
        500_011 | 50_001 | 650_057 => "invalid_resource",
        70_011 | 28_002 | 700_022 => "invalid_scope",
        50_076 | 50_079 | 50_158 => "interaction_required",
        90_033 | 90_006 | 90_012 | 90_024 | 50_033 | 90_090 | 90_055 => "temporarily_unavailable",
        _ => "invalid_grant",
    }
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
    let Some(tenant) = estate.named(tenant) else {
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
        );
        return refuse(400, "invalid_request", 90_002, &text);
    };
    if field("grant_type") != Some("client_credentials") {
        return refuse(400, "unsupported_grant_type", 70_003, "The grant type is not supported.");
    }
    let (Some(client), Some(scope)) = (field("client_id"), field("scope")) else {
        let text = "The request body must contain client_id and scope.";
        return refuse(400, "invalid_request", 900_144, text);
    };
    if !scope.split(' ').any(|scope| scope.ends_with("/.default")) {
        let text = "The provided value for the input parameter 'scope' is not valid.";
        return refuse(400, "invalid_scope", 70_011, text);
    }
    if Uuid::try_parse(client).ok() != Some(tenant.client_id) {
        let text =
            format!("Application with identifier '{client}' was not found in the directory.");
        return refuse(400, "unauthorized_client", 700_016, &text);
    }
    if let Err(refusal) = credential(tenant, &form) {
        return refusal;
    }
    if !tenant.consented {
        let text = "The administrator has not consented to use the application.";
        return refuse(400, "invalid_grant", 65_001, text);
    }
    let life = tenant.token_lifetime_s.map_or(life, Duration::from_secs);
    let claimed = if wrong_tid { Uuid::nil() } else { tenant.id };
    let token = tokens.give(tenant, claimed, life);
    let seconds = life.as_secs();
    Answer::ok(json!({
        "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
    }))
    .with_header("Cache-Control", "no-store")
}

/// Judges the secret or the assertion.
fn credential(tenant: &SimTenant, form: &HashMap<String, String>) -> Result<(), Answer> {
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let bad = |number, text| Err(refuse(401, "invalid_client", number, text));
    if let Some(assertion) = field("client_assertion") {
        if field("client_assertion_type")
            != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        {
            let text = "The request body must contain client_assertion_type.";
            return Err(refuse(400, "invalid_request", 900_144, text));
        }
        return match assertion::check(tenant, assertion) {
            Ok(()) => Ok(()),
            Err((number, text)) => bad(number, text),
        };
    }
    match field("client_secret") {
        None => bad(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        ),
        Some(_) if tenant.secret_expired => {
            bad(7_000_222, "The provided client secret keys are expired.")
        }
        Some(secret) if secret != tenant.client_secret => {
            bad(7_000_215, "Invalid client secret provided.")
        }
        Some(_) => Ok(()),
    }
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`, which MSAL asks for first.
pub(crate) fn discovery(estate: &Estate, tenant: &str, origin: &str) -> Answer {
    let common = ["common", "organizations", "consumers"].contains(&tenant);
    let id = match estate.named(tenant) {
        Some(tenant) => tenant.id.to_string(),
        None if common => "{tenantid}".to_owned(),
        None => return refuse(400, "invalid_tenant", 90_002, "Tenant not found."),
    };
    let host = format!("{origin}/{id}");
    Answer::ok(json!({
        "issuer": format!("{host}/v2.0"),
        "authorization_endpoint": format!("{host}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{host}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{host}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{host}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code"], "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": ["openid"],
    }))
}

/// `GET /{tenant}/adminconsent`: an administrator who says yes, or no with `sim_decision=deny`.
pub(crate) fn consent(estate: &mut Estate, tenant: &str, query: &[(String, String)]) -> Answer {
    let get =
        |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let page = |text: &str| {
        let mut answer = Answer::raw(
            format!(
                "<html><body>Sorry, but we're having trouble signing you in. {text}</body></html>"
            )
            .into_bytes(),
            "text/html; charset=utf-8",
        );
        answer.status = 400;
        answer
    };
    let client = get("client_id").and_then(|id| Uuid::try_parse(id).ok());
    let Some(back) = get("redirect_uri").and_then(|uri| url::Url::parse(uri).ok()) else {
        return page("AADSTS900144: The request must contain redirect_uri.");
    };
    // With `organizations` the administrator picks the tenant: here the one whose app it is.
    let common = ["common", "organizations"].contains(&tenant);
    let found = estate
        .tenants
        .iter_mut()
        .find(|own| own.is_named(tenant) || common && Some(own.client_id) == client);
    let Some(found) = found else { return page("AADSTS90002: Tenant not found.") };
    if client != Some(found.client_id) {
        return page("AADSTS700016: Application was not found in the directory.");
    }
    let mut back = back;
    {
        let mut pairs = back.query_pairs_mut();
        if get("sim_decision") == Some("deny") {
            pairs.append_pair("error", "access_denied");
            pairs.append_pair(
                "error_description",
                "AADSTS65004: User declined to consent to access the app.",
            );
        } else {
            found.consented = true;
            pairs.append_pair("admin_consent", "True");
            pairs.append_pair("tenant", &found.id.to_string());
        }
        if let Some(state) = get("state") {
            pairs.append_pair("state", state);
        }
    }
    Answer::nothing(302).with_header("Location", back.as_str())
}

/// The bearer token of a header.
pub(crate) fn bearer(header: Option<&str>) -> Option<&str> {
    let header = header?;
    let (kind, token) = header.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a request without a good token is told.
pub(crate) fn no_token() -> Answer {
    Answer::error(401, "InvalidAuthenticationToken", "Access token is empty, expired or not valid.")
}
