//! Signing in at an identity provider (OpenID Connect), as the pages need it: they know neither HTTP nor
//! tokens. tp-egress does it; the process hands it to the pages (ruling 1).

use std::fmt;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::time::Timestamp;
use crate::words::words;

/// Who somebody is at a provider: the key of an account (PRODUCT A-4). Never an e-mail address, which
/// others may be given later (TRUST §6, 28).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    authority: String,
    subject: String,
}

/// The longest subject: OpenID Connect Core 1.0, section 2, allows 255 letters.
const LONGEST_SUBJECT: usize = 255;
/// An issuer is an address; longer ones are nobody's.
const LONGEST_AUTHORITY: usize = 512;

impl IdentityKey {
    /// A person in a Microsoft Entra tenant: `tid` and `oid`, the same over all apps and clouds.
    pub fn entra(tenant: uuid::Uuid, object: uuid::Uuid) -> Self {
        Self { authority: format!("entra:{tenant}"), subject: object.to_string() }
    }

    /// A person at another issuer: `iss` and `sub`. None when one of them is empty, too long or not plain.
    pub fn of_issuer(issuer: &str, subject: &str) -> Option<Self> {
        let plain = |text: &str, longest| {
            (1..=longest).contains(&text.len())
                && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        };
        let is_address = issuer.starts_with("https://") || issuer.starts_with("http://");
        (is_address && plain(issuer, LONGEST_AUTHORITY) && plain(subject, LONGEST_SUBJECT))
            .then(|| Self { authority: issuer.to_owned(), subject: subject.to_owned() })
    }

    /// Who says so: `entra:TENANT` or the issuer.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whom it means there: the object id, or the subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// What a provider has proved about somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenIdentity {
    /// The key of the account.
    pub key: IdentityKey,
    /// A name for people, if it tells one. Anybody may choose it: it is shown, never compared.
    pub name: Option<String>,
    /// What the person signs in with there, for showing only.
    pub label: Option<String>,
}

/// What a sign-in is begun with. State, nonce and challenge are of this sign-in alone.
#[derive(Clone, Debug)]
pub struct SignInAsk {
    /// Where the provider leads back to.
    pub redirect_uri: String,
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the token.
    pub nonce: String,
    /// SHA-256 of the verifier, base64url (PKCE S256).
    pub challenge: String,
}

/// What came back from the provider's page, with what the sign-in was begun with.
#[derive(Debug)]
pub struct SignInAnswer {
    /// The one-time code.
    pub code: SecretString,
    /// The `iss` of the answer (RFC 9207), if there was one.
    pub issuer: Option<String>,
    /// As it was asked.
    pub redirect_uri: String,
    /// What the token must carry.
    pub nonce: String,
    /// Proves that it was us who asked.
    pub verifier: SecretString,
    /// When the sign-in was begun: no token of it is older.
    pub begun_at: Timestamp,
}

words! {
    /// Why a sign-in at a provider came to nothing. Stable words: they are shown, logged and audited.
    pub enum SignInFault {
        /// The provider does not answer, or with what is not an answer.
        ProviderUnavailable => "provider_unavailable",
        /// What the provider says of itself does not fit the configuration.
        ProviderMisconfigured => "provider_misconfigured",
        /// The provider's page says no, or the person went back.
        ProviderRefused => "provider_refused",
        /// The provider did not take the code: used, of another sign-in, or the verifier is wrong.
        CodeRefused => "code_refused",
        /// The answer belongs to no sign-in of this browser: used, too old, or another's.
        StateUnknown => "state_unknown",
        /// The answer comes from another issuer than the one that was asked, or does not say from whom.
        ResponseIssuer => "response_issuer",
        /// The token cannot be read as one.
        TokenMalformed => "token_malformed",
        /// The token is signed in a way that is not allowed.
        AlgorithmNotAllowed => "algorithm_not_allowed",
        /// The token is signed with a key that the provider does not name.
        KeyUnknown => "key_unknown",
        /// The key is for another issuer than the token's.
        KeyIssuer => "key_issuer",
        /// The signature is not of that key.
        SignatureWrong => "signature_wrong",
        /// The token is of another issuer.
        IssuerMismatch => "issuer_mismatch",
        /// The token is for another app, or not for this one alone.
        AudienceMismatch => "audience_mismatch",
        /// The token was asked for by another app.
        PartyMismatch => "party_mismatch",
        /// The token is of another sign-in.
        NonceMismatch => "nonce_mismatch",
        /// The token is over.
        TokenExpired => "token_expired",
        /// The token begins later than now.
        TokenNotYetValid => "token_not_yet_valid",
        /// The token was issued later than now, or before the sign-in was begun.
        TokenIssuedAt => "token_issued_at",
        /// The token does not say who it is about.
        SubjectMissing => "subject_missing",
        /// The token does not say which tenant it is about.
        TenantMissing => "tenant_missing",
        /// The tenant is not one whose people may sign in.
        TenantNotAllowed => "tenant_not_allowed",
        /// Somebody with a private account and no tenant.
        PersonalAccount => "personal_account",
    }
}

/// A provider of identities, as the sign-in pages use it.
pub trait IdentityProvider: fmt::Debug + Send + Sync {
    /// Its name for people, on the button.
    fn name(&self) -> &str;

    /// The address of its page, with the request of this sign-in.
    fn authorize<'a>(&'a self, ask: &'a SignInAsk) -> BoxFuture<'a, Result<String, SignInFault>>;

    /// Takes the answer of its page: redeems the code and checks the token that comes for it.
    fn redeem(&self, answer: SignInAnswer) -> BoxFuture<'_, Result<ProvenIdentity, SignInFault>>;

    /// The address that ends the person's session there and leads back to `back`; none when it has none.
    fn sign_out<'a>(&'a self, back: &'a str) -> BoxFuture<'a, Option<String>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_two_parts_that_cannot_be_confused() {
        let (tenant, object) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let entra = IdentityKey::entra(tenant, object);
        assert_eq!(entra.authority(), "entra:00000000-0000-0000-0000-000000000001");
        assert_eq!(entra.subject(), "00000000-0000-0000-0000-000000000002");
        assert!(IdentityKey::of_issuer("https://idp.example", "a b").is_some());
        let long = "s".repeat(256);
        for (issuer, subject) in [
            ("entra:00000000-0000-0000-0000-000000000001", "x"),
            ("https://idp.example", ""),
            ("", "x"),
            ("https://idp.example", "a\nb"),
            ("https://idp.example", "ä"),
            ("https://idp.example", long.as_str()),
        ] {
            assert_eq!(IdentityKey::of_issuer(issuer, subject), None, "{issuer:?} {subject:?}");
        }
    }
}
