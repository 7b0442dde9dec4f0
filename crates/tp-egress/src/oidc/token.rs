//! The id token: what must hold before anything in it is believed (TRUST §6, 25 to 28, and A25).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tp_domain::sign_in::{IdentityKey, ProvenIdentity, SignInFault};
use tp_domain::time::Timestamp;
use uuid::{Uuid, uuid};

use super::settings::{OidcSettings, Tenancy};

/// How far the provider's clock may be from ours (TRUST §6, 27).
const SKEW: Duration = Duration::from_mins(2);

/// The tenant that Microsoft says private accounts are of (its text about the claims of id tokens).
const PERSONAL: Uuid = uuid!("9188040d-6c67-4c5b-b112-36a304b66dad");

/// No id token is longer; a header of a request could hold no more either.
const LONGEST: usize = 16 << 10;

/// What the head of a token says; anybody may have written it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Head {
    alg: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl Head {
    /// Reads the head, and refuses ways of signing that are not on the list.
    pub(super) fn of(token: &str) -> Result<Self, SignInFault> {
        let mut parts = token.split('.');
        let (Some(head), Some(_), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SignInFault::TokenMalformed);
        };
        if token.len() > LONGEST {
            return Err(SignInFault::TokenMalformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(head).map_err(|_| SignInFault::TokenMalformed)?;
        let head: Self = serde_json::from_slice(&bytes).map_err(|_| SignInFault::TokenMalformed)?;
        head.algorithm().ok_or(SignInFault::AlgorithmNotAllowed)?;
        let is_token = head.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        // An extension that must be understood is not (RFC 7515, 4.1.11).
        if head.crit.is_some() || !is_token {
            return Err(SignInFault::TokenMalformed);
        }
        Ok(head)
    }

    /// Signatures with a public key only: with a shared secret the public key could be that secret.
    fn algorithm(&self) -> Option<Algorithm> {
        match self.alg.as_str() {
            "RS256" => Some(Algorithm::RS256),
            "PS256" => Some(Algorithm::PS256),
            "ES256" => Some(Algorithm::ES256),
            _ => None,
        }
    }
}

/// A key of the provider.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Key {
    #[serde(flatten)]
    jwk: Jwk,
    /// Microsoft's: the only issuer whose tokens the key may sign, or a template of it.
    issuer: Option<String>,
}

impl Key {
    pub(super) fn is_named(&self, kid: &str) -> bool {
        self.jwk.common.key_id.as_deref() == Some(kid)
    }

    /// Whether the key is for that way of signing.
    fn fits(&self, head: &Head) -> bool {
        let common = &self.jwk.common;
        let for_signing =
            common.public_key_use.as_ref().is_none_or(|own| *own == PublicKeyUse::Signature);
        let same = common.key_algorithm.is_none_or(|own| own.to_string() == head.alg);
        let kind = match (&self.jwk.algorithm, head.algorithm()) {
            (AlgorithmParameters::RSA(_), Some(Algorithm::RS256 | Algorithm::PS256)) => true,
            (AlgorithmParameters::EllipticCurve(key), Some(Algorithm::ES256)) => {
                key.curve == EllipticCurve::P256
            }
            _ => false,
        };
        for_signing && same && kind
    }
}

/// What a token says. Other claims are not read: no right comes from them.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    azp: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    nonce: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
    name: Option<Value>,
    preferred_username: Option<Value>,
    email: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What the sign-in expects of its token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) nonce: &'a str,
    /// The `iss` of the answer's address, if there was one.
    pub(super) response_issuer: Option<&'a str>,
    pub(super) begun_at: Timestamp,
    pub(super) now: Timestamp,
}

/// Seconds since 1970 as microseconds; none when it is no such number.
fn moment(seconds: Option<f64>) -> Option<Timestamp> {
    let seconds = seconds.filter(|value| value.is_finite() && (0.0..4e9).contains(value))?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded above: some 4·10¹⁵")]
    let micros = (seconds * 1e6) as i64;
    Some(Timestamp::from_micros(micros))
}

/// A text for people, as far as it can be shown: anybody may have chosen it.
fn shown(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?.trim();
    let clean: String = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
    (!clean.is_empty()).then_some(clean)
}

/// Checks the token with one of these keys, which have the name that its head says.
pub(super) fn check(
    settings: &OidcSettings,
    head: &Head,
    keys: &[Key],
    token: &str,
    expected: Expected<'_>,
) -> Result<ProvenIdentity, SignInFault> {
    let key = keys.iter().find(|key| key.fits(head)).ok_or(SignInFault::KeyUnknown)?;
    let claims = verified(head, key, token)?;
    let tenant = tenant_of(settings, &claims)?;
    let issuer = settings.issuer_of(tenant);
    if claims.iss.as_deref() != Some(issuer.as_str()) {
        return Err(SignInFault::IssuerMismatch);
    }
    // A key of one issuer must not speak for another (the lesson of Storm-0558).
    let key_issuer = key.issuer.as_ref().map(|own| match tenant {
        Some(tenant) => own.replace("{tenantid}", &tenant.to_string()),
        None => own.clone(),
    });
    match (&key_issuer, &settings.tenancy) {
        (Some(own), _) if *own != issuer => return Err(SignInFault::KeyIssuer),
        (None, Tenancy::EntraMany) => return Err(SignInFault::KeyIssuer),
        _ => {}
    }
    if expected.response_issuer.is_some_and(|said| said != issuer) {
        return Err(SignInFault::ResponseIssuer);
    }
    party(settings, &claims)?;
    times(&claims, expected)?;
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err(SignInFault::NonceMismatch);
    }
    if let Some(tenant) = tenant {
        if tenant == PERSONAL {
            return Err(SignInFault::PersonalAccount);
        }
        if !settings.allows(tenant) {
            return Err(SignInFault::TenantNotAllowed);
        }
    }
    let key = identity(&claims, tenant, &issuer).ok_or(SignInFault::SubjectMissing)?;
    let label = shown(claims.preferred_username.as_ref()).or_else(|| shown(claims.email.as_ref()));
    Ok(ProvenIdentity { key, name: shown(claims.name.as_ref()), label })
}

fn verified(head: &Head, key: &Key, token: &str) -> Result<Claims, SignInFault> {
    let algorithm = head.algorithm().ok_or(SignInFault::AlgorithmNotAllowed)?;
    let verifying = DecodingKey::from_jwk(&key.jwk).map_err(|_| SignInFault::KeyUnknown)?;
    let mut validation = Validation::new(algorithm);
    // Only the signature: the claims are checked here, by our clock and with our reasons.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    validation.validate_aud = false;
    match jsonwebtoken::decode::<Value>(token, &verifying, &validation) {
        Ok(data) => serde_json::from_value(data.claims).map_err(|_| SignInFault::TokenMalformed),
        Err(error) => Err(match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => SignInFault::SignatureWrong,
            _ => SignInFault::TokenMalformed,
        }),
    }
}

/// The tenant that the token is about; none at providers that have none.
fn tenant_of(settings: &OidcSettings, claims: &Claims) -> Result<Option<Uuid>, SignInFault> {
    match settings.tenancy {
        Tenancy::Other => Ok(None),
        Tenancy::EntraMany | Tenancy::EntraOne(_) => {
            let text = claims.tid.as_deref().ok_or(SignInFault::TenantMissing)?;
            let tenant = Uuid::try_parse(text).map_err(|_| SignInFault::TenantMissing)?;
            // One spelling only, as in the issuer.
            let is_plain = tenant.to_string() == text;
            let tenant = is_plain.then_some(tenant).ok_or(SignInFault::TenantMissing)?;
            match settings.tenancy {
                Tenancy::EntraOne(own) if own != tenant => Err(SignInFault::IssuerMismatch),
                _ => Ok(Some(tenant)),
            }
        }
    }
}

/// For this app, alone, and asked for by it.
fn party(settings: &OidcSettings, claims: &Claims) -> Result<(), SignInFault> {
    let own = settings.client_id.as_str();
    let is_ours = match &claims.aud {
        Some(Audience::One(aud)) => aud == own,
        // A token for several could be handed on by one of them.
        Some(Audience::Many(all)) => all.len() == 1 && all[0] == own,
        None => false,
    };
    if !is_ours {
        return Err(SignInFault::AudienceMismatch);
    }
    if claims.azp.as_deref().is_some_and(|azp| azp != own) {
        return Err(SignInFault::PartyMismatch);
    }
    Ok(())
}

fn times(claims: &Claims, expected: Expected<'_>) -> Result<(), SignInFault> {
    let late = expected.now.plus(SKEW);
    let exp = moment(claims.exp).ok_or(SignInFault::TokenExpired)?;
    if exp.plus(SKEW) <= expected.now {
        return Err(SignInFault::TokenExpired);
    }
    if claims.nbf.is_some() && moment(claims.nbf).is_none_or(|nbf| nbf > late) {
        return Err(SignInFault::TokenNotYetValid);
    }
    let iat = moment(claims.iat).ok_or(SignInFault::TokenIssuedAt)?;
    if iat > late || iat.plus(SKEW) < expected.begun_at {
        return Err(SignInFault::TokenIssuedAt);
    }
    Ok(())
}

fn identity(claims: &Claims, tenant: Option<Uuid>, issuer: &str) -> Option<IdentityKey> {
    match tenant {
        Some(tenant) => {
            let object = Uuid::try_parse(claims.oid.as_deref()?).ok()?;
            Some(IdentityKey::entra(tenant, object))
        }
        None => IdentityKey::of_issuer(issuer, claims.sub.as_deref()?),
    }
}
