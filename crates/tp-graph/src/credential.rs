//! What an app proves itself with: a secret, or a token of its own that it signs with a certificate's key.
//!
//! Form of the assertion: Microsoft identity platform, "certificate credentials": PS256 with `x5t#S256`;
//! RS256 with `x5t` is what login hosts took before.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tp_domain::time::Timestamp;
use uuid::Uuid;

/// How long an assertion holds, in seconds: as long as Microsoft proposes at most.
const LIFE: i64 = 600;

/// Our clock may be so many seconds ahead of the login host's.
const AHEAD: i64 = 60;

/// What an app proves itself with. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A client secret.
    Secret(SecretString),
    /// A certificate and its key.
    Certificate(Arc<SigningCertificate>),
}

impl Credential {
    /// A certificate in DER with its private key in PKCS #8.
    pub fn certificate(certificate: &[u8], key: &[u8]) -> Result<Self, BadCredential> {
        SigningCertificate::new(certificate, key).map(|own| Self::Certificate(Arc::new(own)))
    }

    /// What tells this credential from others, without telling what it is.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let hash = match self {
            Self::Secret(secret) => digest(&SHA256, secret.expose_secret().as_bytes()),
            Self::Certificate(own) => digest(&SHA256, own.x5t_s256.as_bytes()),
        };
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hash.as_ref());
        fingerprint
    }
}

/// The private key cannot be used for signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key of the certificate cannot be used for signing")]
pub struct BadCredential;

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// RSA-PSS: what is asked for today.
    Ps256,
    /// RSA-PKCS1: for login hosts that do not know PS256 yet.
    Rs256,
}

/// A certificate, by its thumbprints, and the key that signs for it.
pub struct SigningCertificate {
    key: KeyPair,
    x5t: String,
    x5t_s256: String,
}

impl fmt::Debug for SigningCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningCertificate")
            .field("x5t#S256", &self.x5t_s256)
            .finish_non_exhaustive()
    }
}

/// To whom, for whom, when and as which an assertion is made.
pub(crate) struct Claims<'a> {
    pub(crate) audience: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) id: Uuid,
}

impl SigningCertificate {
    fn new(certificate: &[u8], key: &[u8]) -> Result<Self, BadCredential> {
        Ok(Self {
            key: KeyPair::from_pkcs8(key).map_err(|_| BadCredential)?,
            x5t: URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate)),
            x5t_s256: URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate)),
        })
    }

    /// An assertion that holds for ten minutes.
    pub(crate) fn assertion(
        &self,
        signing: Signing,
        claims: &Claims<'_>,
    ) -> Result<SecretString, BadCredential> {
        let (header, encoding): (_, &'static dyn RsaEncoding) = match signing {
            Signing::Ps256 => {
                (json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.x5t_s256}), &RSA_PSS_SHA256)
            }
            Signing::Rs256 => {
                (json!({"alg": "RS256", "typ": "JWT", "x5t": self.x5t}), &RSA_PKCS1_SHA256)
            }
        };
        let now = claims.now.micros().div_euclid(1_000_000);
        let body = json!({
            "aud": claims.audience, "iss": claims.client_id, "sub": claims.client_id,
            "jti": claims.id, "iat": now - AHEAD, "nbf": now - AHEAD, "exp": now + LIFE,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&body));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| BadCredential)?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_assertion_says_who_to_whom_and_how_long() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'static> = pair.as_der().unwrap();
        let own = SigningCertificate::new(b"certificate", der.as_ref()).unwrap();
        let claims = Claims {
            audience: "https://login.example/t/oauth2/v2.0/token",
            client_id: "app",
            now: Timestamp::from_micros(1_000_000_500_000),
            id: Uuid::from_u128(7),
        };
        let cases: [(_, &'static dyn VerificationAlgorithm, _); 2] = [
            (Signing::Ps256, &RSA_PSS_2048_8192_SHA256, "x5t#S256"),
            (Signing::Rs256, &RSA_PKCS1_2048_8192_SHA256, "x5t"),
        ];
        for (signing, algorithm, thumbprint) in cases {
            let token = own.assertion(signing, &claims).unwrap();
            let (signed, signature) = token.expose_secret().rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let key = UnparsedPublicKey::new(algorithm, pair.public_key().as_ref());
            key.verify(signed.as_bytes(), &signature).unwrap();
            let read = |part: &str| -> Value {
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
            };
            let (header, body) = signed.split_once('.').unwrap();
            assert!(read(header)[thumbprint].is_string(), "{signing:?}");
            let body = read(body);
            assert_eq!(body["aud"], claims.audience);
            assert_eq!((&body["iss"], &body["sub"]), (&json!("app"), &json!("app")));
            assert_eq!((&body["nbf"], &body["exp"]), (&json!(999_940), &json!(1_000_600)));
            assert_eq!(body["jti"], claims.id.to_string());
        }
        let shown = format!("{:?}", Credential::Certificate(Arc::new(own)));
        assert!(shown.contains("x5t#S256") && !shown.contains("KeyPair"), "{shown}");
        assert_eq!(SigningCertificate::new(b"", b"no key").unwrap_err(), BadCredential);
    }
}
