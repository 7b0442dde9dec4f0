//! An identity provider that says whatever it is told to: the attacker of TRUST A25. It signs by hand, so
//! that it can sign what no library would.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{digest, hmac, rand};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tp_domain::time::Timestamp;

pub(crate) const CLIENT: &str = "our-app";
pub(crate) const SECRET: &str = "a secret: of % the app";
pub(crate) const TENANT: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const OTHER: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
pub(crate) const PERSON: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
pub(crate) const STRANGER: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Pairs {
    own: RsaKeyPair,
    foreign: RsaKeyPair,
    unlisted: RsaKeyPair,
    curve: EcdsaKeyPair,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| {
    let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let curve = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    Pairs { own: rsa(), foreign: rsa(), unlisted: rsa(), curve }
});

/// What a token is signed with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum With {
    /// The key `own`, RSA with PKCS 1.
    Own,
    /// The same with PSS.
    OwnPss,
    /// The listed key `foreign`, which is for another tenant's tokens.
    Foreign,
    /// A key that is in no list.
    Unlisted,
    /// The listed key `curve`.
    Curve,
    /// HMAC with the public key of `own` as the secret.
    PublicAsSecret,
    /// Nothing.
    Nothing,
}

fn sign(with: With, message: &[u8]) -> Vec<u8> {
    let rsa = |pair: &RsaKeyPair, padding| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &rand::SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    match with {
        With::Own => rsa(&PAIRS.own, &RSA_PKCS1_SHA256),
        With::OwnPss => rsa(&PAIRS.own, &RSA_PSS_SHA256),
        With::Foreign => rsa(&PAIRS.foreign, &RSA_PKCS1_SHA256),
        With::Unlisted => rsa(&PAIRS.unlisted, &RSA_PKCS1_SHA256),
        With::Curve => {
            PAIRS.curve.sign(&rand::SystemRandom::new(), message).unwrap().as_ref().to_vec()
        }
        With::PublicAsSecret => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, PAIRS.own.public_key().as_ref());
            hmac::sign(&key, message).as_ref().to_vec()
        }
        With::Nothing => Vec::new(),
    }
}

/// A token that is about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    pub(crate) head: Value,
    pub(crate) claims: Value,
    pub(crate) with: With,
}

impl Forged {
    /// What an honest provider would give.
    pub(crate) fn honest(origin: &str, nonce: &str, now: Timestamp) -> Self {
        let now = now.micros() / 1_000_000;
        Self {
            head: json!({"alg": "RS256", "kid": "own", "typ": "JWT"}),
            claims: json!({
                "iss": format!("{origin}/{TENANT}/v2.0"), "aud": CLIENT, "tid": TENANT, "oid": PERSON,
                "sub": "pairwise", "nonce": nonce, "iat": now, "nbf": now, "exp": now + 3600,
                "name": "Olive", "preferred_username": "olive@contoso.example",
            }),
            with: With::Own,
        }
    }

    pub(crate) fn token(&self) -> String {
        let message =
            format!("{}.{}", base64(self.head.to_string()), base64(self.claims.to_string()));
        let signature = sign(self.with, message.as_bytes());
        format!("{message}.{}", base64(signature))
    }
}

#[derive(Default)]
struct Says {
    discovery: Value,
    keys: Vec<Value>,
    key_requests: usize,
    token_requests: usize,
    /// The challenge that each unused code belongs to.
    codes: HashMap<String, String>,
    token: String,
}

/// The provider, on a loopback address.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) origin: String,
    says: Arc<Mutex<Says>>,
}

fn rsa_key(kid: &str, pair: &RsaKeyPair, issuer: &str) -> Value {
    let public = pair.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    json!({
        "kty": "RSA", "use": "sig", "kid": kid, "issuer": issuer,
        "n": base64(n.big_endian_without_leading_zero()),
        "e": base64(e.big_endian_without_leading_zero()),
    })
}

impl Issuer {
    /// Of the people of many tenants, as Microsoft Entra's `organizations` is.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let template = format!("{origin}/{{tenantid}}/v2.0");
        let point = PAIRS.curve.public_key().as_ref();
        let keys = vec![
            rsa_key("own", &PAIRS.own, &template),
            rsa_key("foreign", &PAIRS.foreign, &format!("{origin}/{OTHER}/v2.0")),
            json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "kid": "curve", "issuer": template,
                "x": base64(&point[1..33]), "y": base64(&point[33..]),
            }),
            // What is not for us is left out, not a reason to stop.
            json!({"kty": "oct", "kid": "own", "k": "AAAA", "issuer": template}),
            json!({"kty": "of the future", "kid": "own"}),
        ];
        let discovery = json!({
            "issuer": template,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "jwks_uri": format!("{origin}/keys"),
            "end_session_endpoint": format!("{origin}/logout"),
            "authorization_response_iss_parameter_supported": false,
        });
        let says = Arc::new(Mutex::new(Says { discovery, keys, ..Says::default() }));
        let own = Self { origin, says };
        let document = get(|State(own): State<Self>| async move {
            own.says.lock().unwrap().discovery.to_string()
        });
        let router = Router::new()
            .route("/organizations/v2.0/.well-known/openid-configuration", document)
            .route("/keys", get(keys_of))
            .route("/token", post(token))
            .with_state(own.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        own
    }

    /// The issuer for the configuration.
    pub(crate) fn configured(&self) -> String {
        format!("{}/organizations/v2.0", self.origin)
    }

    /// Changes a word of the discovery document.
    pub(crate) fn discovers(&self, name: &str, value: Value) {
        self.says.lock().unwrap().discovery[name] = value;
    }

    /// Gives a code for the sign-in with that challenge, and this token for it.
    pub(crate) fn gives(&self, code: &str, challenge: &str, token: String) {
        let mut says = self.says.lock().unwrap();
        says.codes.insert(code.to_owned(), challenge.to_owned());
        says.token = token;
    }

    /// Lists the key that was in no list, under this name.
    pub(crate) fn lists(&self, kid: &str) {
        let key = rsa_key(kid, &PAIRS.unlisted, &format!("{}/{{tenantid}}/v2.0", self.origin));
        self.says.lock().unwrap().keys.push(key);
    }

    pub(crate) fn key_requests(&self) -> usize {
        self.says.lock().unwrap().key_requests
    }

    pub(crate) fn token_requests(&self) -> usize {
        self.says.lock().unwrap().token_requests
    }
}

async fn keys_of(State(own): State<Issuer>) -> String {
    let mut says = own.says.lock().unwrap();
    says.key_requests += 1;
    json!({"keys": says.keys}).to_string()
}

/// As strict as RFC 6749 and RFC 7636 are: the app's secret, the code once, the verifier of its challenge.
async fn token(
    State(own): State<Issuer>,
    headers: axum::http::HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let refused = |word: &str| (StatusCode::BAD_REQUEST, json!({"error": word}).to_string());
    let mut says = own.says.lock().unwrap();
    says.token_requests += 1;
    let form: HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let said = |name: &str| form.get(name).cloned().unwrap_or_default();
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(CLIENT), encoded(SECRET));
    let expected =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
    if headers.get("authorization").is_none_or(|given| *given != *expected) {
        return refused("invalid_client");
    }
    let Some(challenge) = says.codes.remove(&said("code")) else { return refused("invalid_grant") };
    let verifier = digest::digest(&digest::SHA256, said("code_verifier").as_bytes());
    if base64(verifier) != challenge
        || said("redirect_uri") != "http://127.0.0.1:8080/login/oidc/callback"
        || said("grant_type") != "authorization_code"
    {
        return refused("invalid_grant");
    }
    let reply =
        json!({"id_token": says.token, "access_token": "never kept", "token_type": "Bearer"});
    (StatusCode::OK, reply.to_string())
}
