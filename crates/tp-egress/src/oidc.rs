//! Signing people in at an identity provider: OpenID Connect's authorization code flow with PKCE.
//!
//! Nothing of a provider's answer is believed before the token's signature, and nothing of a token but
//! what `token` checks. Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 8725
//! (JWT), RFC 9207 (`iss` of the answer), RFC 9700 (OAuth security), and Microsoft's texts about the
//! claims of its id tokens and the issuers of its keys.

mod metadata;
mod provider;
mod settings;
mod token;

pub use provider::OidcProvider;
pub use settings::{OidcSettings, OidcSettingsError, Tenancy};
