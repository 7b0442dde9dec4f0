//! Secrets that a link or a cookie carries: 256 bits as base64url. The database holds their SHA-256 only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::system::random;

#[derive(Clone, Debug)]
pub(crate) struct SecretText(SecretString);

impl SecretText {
    pub(crate) fn fresh() -> Result<Self, StoreError> {
        let bytes: [u8; 32] = random().map_err(|_| StoreError::Closed)?;
        Ok(Self(SecretString::from(URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// A text of another form is `None`, without asking the database.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 43
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        fits.then(|| Self::of_any_form(text))
    }

    pub(crate) fn of_any_form(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.expose().as_bytes()).to_vec()
    }
}
