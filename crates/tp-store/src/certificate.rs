//! Certificates for app registrations: taken in as PEM with their private key, or made here.
//!
//! Nothing of what is taken in reaches an error text. The private key lives in memory that is wiped, and
//! is sealed where it is stored.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use secrecy::{ExposeSecret as _, SecretString};
use tp_domain::hex::hex;
use tp_domain::time::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

/// The fewest bits of an RSA key that are taken (NIST SP 800-57: less is broken within the decade).
const FEWEST_BITS: usize = 2_048;
/// The most bits: more is no certificate of an app, and costs seconds to check.
const MOST_BITS: usize = 8_192;
/// No certificate with its key is longer, in bytes; a chain of ten is not.
const LONGEST: usize = 64 << 10;
/// How long a certificate that is made here holds, in days: two years, as long as Entra proposes.
const LIFE_DAYS: i64 = 730;

/// Why a certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// More than any certificate with its key.
    #[error("this is longer than 64 KiB; send one certificate and its private key in PEM form")]
    TooLong,
    /// No PEM at all, or a part of it is damaged.
    #[error(
        "this is not PEM: it needs a part between BEGIN CERTIFICATE and END CERTIFICATE, and one between \
         BEGIN PRIVATE KEY and END PRIVATE KEY"
    )]
    NotPem,
    /// There is no certificate in it.
    #[error("the certificate is missing: a part between BEGIN CERTIFICATE and END CERTIFICATE")]
    NoCertificate,
    /// There is no private key in it.
    #[error(
        "the private key is missing: a part between BEGIN PRIVATE KEY and END PRIVATE KEY (PKCS #8)"
    )]
    NoKey,
    /// More than one private key.
    #[error("there are several private keys in it; send the one that belongs to the certificate")]
    ManyKeys,
    /// The private key is locked with a passphrase.
    #[error(
        "the private key is locked with a passphrase; unlock it first, for example with \
         openssl pkey -in locked.pem -out key.pem"
    )]
    Locked,
    /// The certificate cannot be read.
    #[error("the certificate is damaged")]
    Damaged,
    /// Not RSA.
    #[error("the key is not RSA; Microsoft Entra takes client certificates with RSA keys only")]
    NotRsa,
    /// Too few bits.
    #[error("the key has {0} bits; at least 2048 are needed")]
    Weak(usize),
    /// The private key cannot be read.
    #[error("the private key is damaged, or is not an RSA key of 2048 to 8192 bits")]
    DamagedKey,
    /// Certificate and key do not belong together.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
    /// It is over.
    #[error("the certificate ended on {}", day(*.0))]
    Expired(Timestamp),
    /// It has not begun.
    #[error("the certificate holds from {} on, not yet", day(*.0))]
    NotYet(Timestamp),
    /// None could be made.
    #[error("this machine could not make a key pair")]
    NotMade,
}

fn day(at: Timestamp) -> String {
    at.rfc3339().chars().take(10).collect()
}

/// A certificate and its private key, checked.
#[derive(Clone)]
pub struct CertificateCredential {
    certificate: Vec<u8>,
    /// PKCS #8, DER.
    key: Zeroizing<Vec<u8>>,
    expires_at: Timestamp,
}

impl std::fmt::Debug for CertificateCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateCredential")
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

impl CertificateCredential {
    /// Reads a certificate and its private key, in any order; further certificates of a chain are left
    /// out. PKCS #8 and PKCS #1 are understood.
    pub fn from_pem(text: &SecretString, now: Timestamp) -> Result<Self, CertificateError> {
        use CertificateError as E;
        let text = text.expose_secret();
        if text.len() > LONGEST {
            return Err(E::TooLong);
        }
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for part in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            match part.map_err(|_| E::NotPem)? {
                (SectionKind::Certificate, der) => certificates.push(der),
                (SectionKind::PrivateKey | SectionKind::RsaPrivateKey, der) => {
                    keys.push(Zeroizing::new(der));
                }
                (SectionKind::EcPrivateKey, der) => {
                    drop(Zeroizing::new(der));
                    return Err(E::NotRsa);
                }
                _ => {}
            }
        }
        if text.contains("ENCRYPTED") && keys.len() <= 1 {
            return Err(E::Locked);
        }
        match (certificates.is_empty(), keys.len()) {
            (true, 0) => Err(E::NotPem),
            (true, _) => Err(E::NoCertificate),
            (false, 0) => Err(E::NoKey),
            (false, 1) => Self::checked(&certificates, &keys[0], now),
            (false, _) => Err(E::ManyKeys),
        }
    }

    fn checked(
        certificates: &[Vec<u8>],
        key: &[u8],
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        use CertificateError as E;
        // What is wrong with the first certificate is said before what is wrong with the key.
        let mut facts = Vec::with_capacity(certificates.len());
        for der in certificates {
            facts.push(Facts::read(der));
        }
        let key = KeyPair::from_pkcs8(key).or_else(|_| KeyPair::from_der(key));
        let own = key.as_ref().ok().map(|key| key.public_key().as_ref().to_vec());
        let found = facts.iter().position(|facts| {
            facts.as_ref().is_ok_and(|facts| own.as_deref() == Some(&facts.public_key))
        });
        let Some(found) = found else {
            facts.swap_remove(0)?;
            return Err(if key.is_ok() { E::OtherKey } else { E::DamagedKey });
        };
        let facts = facts.swap_remove(found)?;
        if facts.expires_at <= now {
            return Err(E::Expired(facts.expires_at));
        }
        if facts.begins_at > now {
            return Err(E::NotYet(facts.begins_at));
        }
        let key = key.map_err(|_| E::DamagedKey)?;
        let der: Pkcs8V1Der<'static> = key.as_der().map_err(|_| E::DamagedKey)?;
        Ok(Self {
            certificate: certificates[found].clone(),
            key: Zeroizing::new(der.as_ref().to_vec()),
            expires_at: facts.expires_at,
        })
    }

    /// Makes a key pair of 3,072 bits and a certificate that it signs itself. It takes up to a second.
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, CertificateError> {
        let not_made = |_| CertificateError::NotMade;
        let pair =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072);
        let pair = pair.map_err(not_made)?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        // From yesterday: the clocks of others may be behind ours.
        let moment =
            |days| date(now, days).map(|(year, month, day)| rcgen::date_time_ymd(year, month, day));
        params.not_before = moment(-1).ok_or(CertificateError::NotMade)?;
        params.not_after = moment(LIFE_DAYS).ok_or(CertificateError::NotMade)?;
        let made = params.self_signed(&pair).map_err(not_made)?;
        let key = Zeroizing::new(pair.serialize_der());
        Self::checked(&[made.der().to_vec()], &key, now)
    }

    /// From what the store holds.
    pub(crate) fn from_parts(certificate: Vec<u8>, key: Vec<u8>, expires_at: Timestamp) -> Self {
        Self { certificate, key: Zeroizing::new(key), expires_at }
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key, PKCS #8 in DER.
    pub fn private_key(&self) -> &[u8] {
        &self.key
    }

    /// When the certificate ends.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// SHA-256 of the certificate, in hex.
    pub fn thumbprint(&self) -> String {
        hex(digest(&SHA256, &self.certificate).as_ref())
    }

    /// The certificate in PEM form, without the key: what an app registration takes.
    pub fn certificate_pem(&self) -> String {
        pem(&self.certificate)
    }
}

/// Year, month and day, so many days from now.
fn date(now: Timestamp, days: i64) -> Option<(i32, u8, u8)> {
    let today = jiff::tz::TimeZone::UTC.to_datetime(now.to_jiff()).date();
    let date = today.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
    Some((i32::from(date.year()), u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?))
}

/// The public form of a certificate.
pub(crate) fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// What matters of a certificate.
struct Facts {
    /// PKCS #1.
    public_key: Vec<u8>,
    begins_at: Timestamp,
    expires_at: Timestamp,
}

impl Facts {
    fn read(der: &[u8]) -> Result<Self, CertificateError> {
        use CertificateError as E;
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| E::Damaged)?;
        if !rest.is_empty() {
            return Err(E::Damaged);
        }
        let key = certificate.public_key();
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => match rsa.key_size() {
                bits if bits < FEWEST_BITS => return Err(E::Weak(bits)),
                bits if bits > MOST_BITS => return Err(E::DamagedKey),
                _ => {}
            },
            Ok(_) => return Err(E::NotRsa),
            Err(_) => return Err(E::Damaged),
        }
        let moment = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
        Ok(Self {
            public_key: key.subject_public_key.data.to_vec(),
            begins_at: moment(certificate.validity().not_before.timestamp()),
            expires_at: moment(certificate.validity().not_after.timestamp()),
        })
    }
}

#[cfg(test)]
mod tests;
