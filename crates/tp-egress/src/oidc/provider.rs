//! The provider as the sign-in pages use it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tp_domain::sign_in::{IdentityProvider, ProvenIdentity, SignInAnswer, SignInAsk, SignInFault};
use tp_domain::time::Clock;
use url::form_urlencoded;

use super::metadata::{Metadata, Source};
use super::settings::{OidcSettings, Tenancy};
use super::token::{self, Expected, Head};
use crate::client::{Egress, EgressRequest};

/// The least that tells who somebody is. No access to anything is asked for.
const SCOPE: &str = "openid profile email";

/// The answer of the token endpoint: three tokens and little else.
const MOST_BYTES: usize = 64 << 10;

/// An OpenID Connect provider.
#[derive(Debug)]
pub struct OidcProvider {
    settings: OidcSettings,
    source: Source,
    clock: Arc<dyn Clock>,
}

#[derive(Deserialize)]
struct TokenReply {
    id_token: Option<SecretString>,
}

impl OidcProvider {
    /// A provider that is asked through this door.
    pub fn new(settings: OidcSettings, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        Self { settings, source: Source::new(egress, Arc::clone(&clock)), clock }
    }

    /// The `iss` of the answer: demanded where it is promised, checked wherever it is (RFC 9207).
    fn response_issuer(&self, metadata: &Metadata, said: Option<&str>) -> Result<(), SignInFault> {
        let fits = match (said, &self.settings.tenancy) {
            (None, _) => !metadata.says_issuer,
            // Which tenant it must be is known with the token, and compared there.
            (Some(said), Tenancy::EntraMany) => {
                let template = self.settings.expected_issuer();
                template.split_once("{tenantid}").is_some_and(|(before, after)| {
                    said.starts_with(before) && said.ends_with(after)
                })
            }
            (Some(said), _) => said == self.settings.expected_issuer(),
        };
        if fits { Ok(()) } else { Err(SignInFault::ResponseIssuer) }
    }

    /// The request of the token endpoint; the app shows itself in the header or in the form.
    fn code_request(&self, metadata: &Metadata, answer: &SignInAnswer) -> EgressRequest {
        let client = self.settings.client_id.as_str();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", answer.code.expose_secret())
            .append_pair("redirect_uri", &answer.redirect_uri)
            .append_pair("code_verifier", answer.verifier.expose_secret());
        let secret = self.settings.client_secret.as_ref();
        let in_header = secret.filter(|_| !metadata.secret_in_form);
        if in_header.is_none() {
            form.append_pair("client_id", client);
        }
        if let Some(secret) = secret.filter(|_| metadata.secret_in_form) {
            form.append_pair("client_secret", secret.expose_secret());
        }
        let body = form.finish().into_bytes();
        let kind = "application/x-www-form-urlencoded";
        let mut request = EgressRequest::post(metadata.token.clone(), kind, body, MOST_BYTES)
            .header("accept", "application/json".to_owned());
        if let Some(secret) = in_header {
            // Both are form-encoded first (RFC 6749, 2.3.1).
            let encoded = |text: &str| -> String {
                form_urlencoded::byte_serialize(text.as_bytes()).collect()
            };
            request = request.basic(encoded(client), encoded(secret.expose_secret()).into());
        }
        request
    }

    /// Redeems the code for an id token. Other tokens that come along are dropped at once.
    async fn redeem_code(
        &self,
        metadata: &Metadata,
        answer: &SignInAnswer,
    ) -> Result<SecretString, SignInFault> {
        let request = self.code_request(metadata, answer);
        let reply = self.source.egress().send(request).await.map_err(|error| {
            tracing::warn!(%error, "the provider's token endpoint cannot be asked");
            SignInFault::ProviderUnavailable
        })?;
        match reply.status {
            200 => {}
            // invalid_grant and the like; the text is the provider's and is not kept.
            400 | 401 | 403 => return Err(SignInFault::CodeRefused),
            _ => return Err(SignInFault::ProviderUnavailable),
        }
        let reply: TokenReply =
            serde_json::from_slice(&reply.body).map_err(|_| SignInFault::ProviderUnavailable)?;
        reply.id_token.ok_or(SignInFault::TokenMalformed)
    }

    async fn redeemed(&self, answer: SignInAnswer) -> Result<ProvenIdentity, SignInFault> {
        let metadata = self.source.metadata(&self.settings).await?;
        // Before the code is sent anywhere: an answer of another provider carries another's code.
        self.response_issuer(&metadata, answer.issuer.as_deref())?;
        let id_token = self.redeem_code(&metadata, &answer).await?;
        let id_token = id_token.expose_secret();
        let head = Head::of(id_token)?;
        let kid = head.kid.as_deref().ok_or(SignInFault::KeyUnknown)?;
        let keys = self.source.keys(&self.settings, kid).await?;
        let expected = Expected {
            nonce: &answer.nonce,
            response_issuer: answer.issuer.as_deref(),
            begun_at: answer.begun_at,
            now: self.clock.now(),
        };
        token::check(&self.settings, &head, &keys, id_token, expected)
    }
}

impl IdentityProvider for OidcProvider {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn authorize<'a>(&'a self, ask: &'a SignInAsk) -> BoxFuture<'a, Result<String, SignInFault>> {
        Box::pin(async move {
            let mut url = self.source.metadata(&self.settings).await?.authorize;
            url.query_pairs_mut()
                .append_pair("response_type", "code")
                .append_pair("response_mode", "query")
                .append_pair("client_id", &self.settings.client_id)
                .append_pair("redirect_uri", &ask.redirect_uri)
                .append_pair("scope", SCOPE)
                .append_pair("state", &ask.state)
                .append_pair("nonce", &ask.nonce)
                .append_pair("code_challenge", &ask.challenge)
                .append_pair("code_challenge_method", "S256");
            Ok(url.into())
        })
    }

    fn redeem(&self, answer: SignInAnswer) -> BoxFuture<'_, Result<ProvenIdentity, SignInFault>> {
        Box::pin(self.redeemed(answer))
    }

    fn sign_out<'a>(&'a self, back: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let mut url = self.source.metadata(&self.settings).await.ok()?.end_session?;
            // By the app's id: no token of the person is kept for a hint.
            url.query_pairs_mut()
                .append_pair("client_id", &self.settings.client_id)
                .append_pair("post_logout_redirect_uri", back);
            Some(url.into())
        })
    }
}
