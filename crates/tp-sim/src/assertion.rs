//! Client assertions: a token that the client signs with the key of a registered certificate.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::clock;
use crate::state::SimTenant;

/// A refusal: its number and text.
type Refusal = (u64, &'static str);

const MALFORMED: Refusal = (50_027, "JWT token is invalid or malformed.");
const UNKNOWN: Refusal = (
    700_027,
    "The certificate with identifier used to sign the client assertion is not registered on application.",
);
const BAD_SIGNATURE: Refusal = (700_027, "Client assertion failed signature validation.");
const EXPIRED: Refusal = (700_024, "Client assertion is not within its valid time range.");
const AUDIENCE: Refusal =
    (700_023, "Client assertion audience claim does not match the realm issuer.");
const CERTIFICATE_OVER: Refusal =
    (700_027, "The certificate used to sign the client assertion has expired or is not valid yet.");
const ALGORITHM: Refusal =
    (700_027, "The client assertion is signed with an algorithm that is not supported.");
const ISSUER: Refusal =
    (700_021, "Client assertion application identifier doesn't match 'client_id' parameter.");

/// Judges an assertion.
pub(crate) fn check(tenant: &SimTenant, assertion: &str) -> Result<(), Refusal> {
    let mut parts = assertion.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED);
    };
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let (Some(header), Some(body)) = (json(head), json(claims)) else { return Err(MALFORMED) };
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| MALFORMED)?;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (x5t, x5t256) = (text(&header, "x5t"), text(&header, "x5t#S256"));
    let certificate = tenant
        .certificates
        .iter()
        .filter_map(|one| STANDARD.decode(one).ok())
        .find(|der| {
            let print = |of| URL_SAFE_NO_PAD.encode(digest(of, der).as_ref());
            (!x5t256.is_empty() && print(&SHA256) == x5t256.trim_end_matches('='))
                || (!x5t.is_empty()
                    && print(&SHA1_FOR_LEGACY_USE_ONLY) == x5t.trim_end_matches('='))
        })
        .ok_or(UNKNOWN)?;
    let key = public_key(&certificate).ok_or(UNKNOWN)?;
    if !tenant.algorithms.contains(&text(&header, "alg")) {
        return Err(ALGORITHM);
    }
    let signed = format!("{head}.{claims}");
    let good = match text(&header, "alg").as_str() {
        "RS256" => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &signature),
        "PS256" => UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &signature),
        _ => return Err(MALFORMED),
    };
    good.map_err(|_| BAD_SIGNATURE)?;
    let now = clock::now().as_secs();
    if validity(&certificate).is_some_and(|(from, to)| now < from || to < now) {
        return Err(CERTIFICATE_OVER);
    }
    let number = |name: &str| body[name].as_u64();
    // Entra allows the clocks five minutes.
    if number("exp").is_none_or(|exp| exp + 300 < now)
        || number("nbf").is_some_and(|nbf| nbf > now + 300)
    {
        return Err(EXPIRED);
    }
    let client = tenant.client_id.to_string();
    if !text(&body, "iss").eq_ignore_ascii_case(&client)
        || !text(&body, "sub").eq_ignore_ascii_case(&client)
    {
        return Err(ISSUER);
    }
    let audience = text(&body, "aud");
    let audience = url::Url::parse(&audience).ok();
    let path: Vec<&str> = audience
        .as_ref()
        .and_then(url::Url::path_segments)
        .map(Iterator::collect)
        .unwrap_or_default();
    // The token endpoint, or the issuer, of this tenant.
    match path.as_slice() {
        [realm, "oauth2", "v2.0", "token"] | [realm, "v2.0"] if tenant.is_named(realm) => Ok(()),
        _ => Err(AUDIENCE),
    }
}

/// DER from PEM or base64 text, as base64 without line breaks.
pub(crate) fn normal(text: &str) -> Option<String> {
    let inner: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::chars)
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let der = STANDARD.decode(&inner).ok()?;
    public_key(&der).map(|_| inner)
}

/// The public key of a certificate: the seventh part of what is signed in it, behind version, serial
/// number, algorithm, issuer, validity and subject.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, whole, _) = part(certificate)?;
    let (_, mut signed, _) = part(whole)?;
    let version = part(signed)?;
    if version.0 == 0xa0 {
        signed = version.2;
    }
    for _ in 0..5 {
        signed = part(signed)?.2;
    }
    let rest = part(signed)?.2;
    Some(&signed[..signed.len() - rest.len()])
}

/// From when until when a certificate holds; none where it does not say so in a form that we read.
fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (_, whole, _) = part(certificate)?;
    let (_, mut signed, _) = part(whole)?;
    if part(signed)?.0 == 0xa0 {
        signed = part(signed)?.2;
    }
    for _ in 0..3 {
        signed = part(signed)?.2;
    }
    let (_, both, _) = part(signed)?;
    let (_, from, rest) = part(both)?;
    let (_, to, _) = part(rest)?;
    let read = |time: &[u8]| clock::of_certificate(std::str::from_utf8(time).ok()?);
    Some((read(from)?, read(to)?))
}

/// The first part of DER: its tag, its content and what follows.
fn part(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let (bytes, rest) = rest.split_at_checked(count)?;
        if count > 4 {
            return None;
        }
        (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
