//! Sign-ins at a provider that are under way: each has a state that works once, within minutes, and only
//! in the browser that began it (TRUST T21).
//!
//! Nonce and PKCE verifier are derived from that browser's secret and the state. The database has hashes
//! only, so whoever reads it can neither finish a sign-in nor redeem its code.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tp_domain::ids::{SessionId, UserId};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::db::Reach;
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::hall::Hall;
use crate::secret_text::SecretText;
use crate::stmt::stmt;

const INSERT: &str = "\
INSERT INTO sign_in_requests (state_hash, browser_hash, return_to, user_id, session_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)";
const OLD_DELETE: &str = "DELETE FROM sign_in_requests WHERE expires_at <= $1";
const OPEN_COUNT: &str = "SELECT count(*) AS n FROM sign_in_requests";
const FIND: &str = "\
SELECT return_to, user_id, session_id, created_at FROM sign_in_requests
WHERE state_hash = $1 AND browser_hash = $2 AND expires_at > $3";
const TAKE: &str = "DELETE FROM sign_in_requests WHERE state_hash = $1";

/// How long somebody may take at the provider's page.
pub const SIGN_IN_LIFE: Duration = Duration::from_mins(10);

/// So many may be under way at once: anybody can begin one without being signed in.
pub const MOST_OPEN_SIGN_INS: i64 = 20_000;

/// What a browser holds while it signs in: its cookie.
#[derive(Clone, Debug)]
pub struct SignInBrowser(SecretText);

impl SignInBrowser {
    /// A new one.
    pub fn fresh() -> Result<Self, StoreError> {
        SecretText::fresh().map(Self)
    }

    /// Takes what a cookie said.
    pub fn from_cookie(text: &str) -> Option<Self> {
        SecretText::parse(text).map(Self)
    }

    /// The value for the cookie.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn hash(&self) -> Vec<u8> {
        self.0.hash()
    }

    /// A value of one sign-in of this browser, of use for nothing else.
    fn derive(&self, what: &str, state: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose().as_bytes());
        let text = format!("tenantpilot sign-in {what}\0{state}");
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()))
    }
}

/// What a sign-in is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInPurpose {
    /// To come in.
    Enter,
    /// To be able to come in this way from now on: somebody in a session.
    Link {
        /// Whose account.
        user: UserId,
        /// In which session it was asked.
        session: SessionId,
    },
}

/// A sign-in that was begun: what goes to the provider.
#[derive(Debug)]
pub struct BegunSignIn {
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the token.
    pub nonce: String,
    /// SHA-256 of the verifier, base64url.
    pub challenge: String,
}

/// A sign-in whose answer came.
#[derive(Debug)]
pub struct TakenSignIn {
    /// What it is for.
    pub purpose: SignInPurpose,
    /// Where the person wanted to go: a path of this server, as it was given when it began.
    pub return_to: String,
    /// What the token must carry.
    pub nonce: String,
    /// What the code is redeemed with.
    pub verifier: SecretString,
    /// When it was begun.
    pub begun_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    return_to: String,
    user_id: Option<Uuid>,
    session_id: Option<Uuid>,
    created_at: i64,
}

impl Hall {
    /// Begins a sign-in of that browser. None when too many are under way.
    pub async fn oidc_begin(
        &self,
        browser: &SignInBrowser,
        return_to: &str,
    ) -> Result<Option<BegunSignIn>, StoreError> {
        self.begin(browser, return_to, None).await
    }

    /// Begins a sign-in whose identity is to be linked to the account of this session. None for an API
    /// token, and when the person has not lately shown who they are (TRUST §6, 7).
    pub async fn oidc_begin_link(
        &self,
        actor: &Actor,
        browser: &SignInBrowser,
        return_to: &str,
    ) -> Result<Option<BegunSignIn>, StoreError> {
        let Via::Session { id, .. } = &actor.via else { return Ok(None) };
        if !actor.is_fresh(self.store.now()) {
            return Ok(None);
        }
        self.begin(browser, return_to, Some((actor.user, *id))).await
    }

    async fn begin(
        &self,
        browser: &SignInBrowser,
        return_to: &str,
        link: Option<(UserId, SessionId)>,
    ) -> Result<Option<BegunSignIn>, StoreError> {
        let state = SecretText::fresh()?;
        let (state_hash, browser_hash) = (state.hash(), browser.hash());
        let (user, session) = (link.map(|link| link.0.uuid()), link.map(|link| link.1.uuid()));
        let return_to = return_to.to_owned();
        let begun = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    tx.execute(stmt!(OLD_DELETE, now)).await?;
                    if tx.one::<CountRow>(stmt!(OPEN_COUNT)).await?.n >= MOST_OPEN_SIGN_INS {
                        return Ok(false);
                    }
                    let ends = now.plus(SIGN_IN_LIFE);
                    tx.execute(stmt!(
                        INSERT,
                        state_hash,
                        browser_hash,
                        return_to,
                        user,
                        session,
                        now,
                        ends
                    ))
                    .await?;
                    Ok(true)
                })
            })
            .await?;
        let state = state.expose();
        let verifier = browser.derive("verifier", state);
        Ok(begun.then(|| BegunSignIn {
            state: state.to_owned(),
            nonce: browser.derive("nonce", state),
            challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())),
        }))
    }

    /// Takes the answer that came back with `state`, once. None when the state is unknown, used, too old,
    /// or another browser's.
    pub async fn oidc_take(
        &self,
        browser: &SignInBrowser,
        state: &str,
    ) -> Result<Option<TakenSignIn>, StoreError> {
        let Some(given) = SecretText::parse(state) else { return Ok(None) };
        let (state_hash, browser_hash) = (given.hash(), browser.hash());
        let found = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let find = stmt!(FIND, state_hash.clone(), browser_hash, tx.now());
                    let found = tx.optional::<FoundRow>(find).await?;
                    // Two that come at once: one of them deletes it.
                    if found.is_none() || tx.execute(stmt!(TAKE, state_hash)).await? == 0 {
                        return Ok(None);
                    }
                    Ok(found)
                })
            })
            .await?;
        Ok(found.map(|row| TakenSignIn {
            purpose: match (row.user_id, row.session_id) {
                (Some(user), Some(session)) => SignInPurpose::Link {
                    user: UserId::from_uuid(user),
                    session: SessionId::from_uuid(session),
                },
                _ => SignInPurpose::Enter,
            },
            return_to: row.return_to,
            nonce: browser.derive("nonce", state),
            verifier: SecretString::from(browser.derive("verifier", state)),
            begun_at: Timestamp::from_micros(row.created_at),
        }))
    }
}
