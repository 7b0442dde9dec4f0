//! What is taken in, and what is said about what is not.

use std::time::Duration;

use super::*;

const WEAK: &str = include_str!("weak.pem");
const LOCKED: &str = include_str!("locked.pem");

fn now() -> Timestamp {
    Timestamp::parse("2026-06-01T12:00:00Z").unwrap()
}

fn read(text: &str, now: Timestamp) -> Result<CertificateCredential, CertificateError> {
    CertificateCredential::from_pem(&SecretString::from(text), now)
}

fn key_pem(made: &CertificateCredential) -> String {
    let pem = pem(made.private_key());
    pem.replace("CERTIFICATE", "PRIVATE KEY")
}

#[test]
fn a_certificate_that_is_made_here_is_taken_in_again() {
    let made = CertificateCredential::generate("TenantPilot contoso", now()).unwrap();
    let (certificate, key) = (made.certificate_pem(), key_pem(&made));
    for text in [
        format!("{certificate}{key}"),
        format!("{key}\n{certificate}"),
        format!("Bag Attributes\r\n    friendlyName: x\r\n{certificate}{key}")
            .replace('\n', "\r\n"),
    ] {
        let again = read(&text, now()).unwrap();
        assert_eq!(again.certificate(), made.certificate());
        assert_eq!(again.private_key(), made.private_key());
        assert_eq!(again.expires_at(), made.expires_at());
    }
    assert_eq!(made.expires_at().rfc3339(), "2028-05-31T00:00:00.000Z");
    assert_eq!(made.thumbprint().len(), 64);
    assert!(!format!("{made:?}").contains("private"));
}

#[test]
fn of_a_chain_the_certificate_of_the_key_is_taken() {
    let own = CertificateCredential::generate("own", now()).unwrap();
    let other = CertificateCredential::generate("other", now()).unwrap();
    let text = format!("{}{}{}", other.certificate_pem(), own.certificate_pem(), key_pem(&own));
    assert_eq!(read(&text, now()).unwrap().certificate(), own.certificate());
}

#[test]
fn what_is_wrong_is_said() {
    use CertificateError as E;
    let own = CertificateCredential::generate("own", now()).unwrap();
    let other = CertificateCredential::generate("other", now()).unwrap();
    let (certificate, key) = (own.certificate_pem(), key_pem(&own));
    let both = format!("{certificate}{key}");
    let ec = rcgen::KeyPair::generate().unwrap();
    let ec_certificate = rcgen::CertificateParams::default().self_signed(&ec).unwrap();
    let ec_text =
        pem(ec_certificate.der()) + &pem(ec.serialized_der()).replace("CERTIFICATE", "PRIVATE KEY");
    let cut = |text: &str| text.replacen("MII", "AII", 1);
    let cases = [
        (String::new(), E::NotPem),
        ("hello".to_owned(), E::NotPem),
        ("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n".to_owned(), E::NotPem),
        (certificate.clone(), E::NoKey),
        (key.clone(), E::NoCertificate),
        (format!("{both}{}", key_pem(&other)), E::ManyKeys),
        (format!("{}{key}", other.certificate_pem()), E::OtherKey),
        (format!("{}{key}", cut(&certificate)), E::Damaged),
        (format!("{certificate}{}", cut(&key)), E::DamagedKey),
        (ec_text, E::NotRsa),
        (WEAK.to_owned(), E::Weak(1024)),
        (LOCKED.to_owned(), E::Locked),
        ("x".repeat(LONGEST + 1), E::TooLong),
    ];
    for (text, expected) in cases {
        let error = read(&text, now()).unwrap_err();
        assert_eq!(error, expected, "{text:.80}");
        assert!(!error.to_string().contains("MII"), "{error}");
    }
    let late = own.expires_at().plus(Duration::from_secs(1));
    let error = read(&both, late).unwrap_err();
    assert_eq!(error.to_string(), "the certificate ended on 2028-05-31");
    let early = now().minus(Duration::from_hours(72));
    let error = read(&both, early).unwrap_err();
    assert_eq!(error.to_string(), "the certificate holds from 2026-05-31 on, not yet");
}
