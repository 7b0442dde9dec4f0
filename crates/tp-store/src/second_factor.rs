//! The second factor of local accounts: codes of an authenticator app (TOTP, RFC 6238) and, for whoever has
//! lost it, recovery codes (TRUST §6, 22).
//!
//! SHA-1, six digits, steps of 30 seconds: what every app knows. A code is taken of the step now, of the one
//! before and of the one after, since clocks differ; each step is taken once.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, UserId, WorkspaceId};
use tp_domain::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::account::{END_OTHERS, ROTATE};
use crate::audit::audit;
use crate::db::{Reach, Tx};
use crate::doors::Actor;
use crate::error::StoreError;
use crate::hall::{Hall, NewSession, SESSION_LIFE, SIGN_IN_RESET, SessionSecret};
use crate::keys::{KeyError, Keys, Place};
use crate::recovery_codes::{
    CODE_COUNT, CODE_TAKE, CODES_DELETE, RecoveryCodes, code_hash, codes_set,
};
use crate::second_step::STEPS_OF;
use crate::stmt::stmt;
use crate::system::random;
use crate::workspace_choice::of_user;

const GET: &str = "\
SELECT secret_sealed, confirmed_at, last_step FROM user_factors WHERE user_id = $1";
const BEGIN: &str = "\
INSERT INTO user_factors (user_id, secret_sealed, created_at) VALUES ($1, $2, $3)
ON CONFLICT (user_id) DO UPDATE SET secret_sealed = excluded.secret_sealed, created_at = excluded.created_at
WHERE user_factors.confirmed_at IS NULL";
const CONFIRM: &str = "\
UPDATE user_factors SET confirmed_at = $2, last_step = $3
WHERE user_id = $1 AND confirmed_at IS NULL";
// Of two that come with the same code one changes nothing.
const TAKE: &str = "\
UPDATE user_factors SET last_step = $2
WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2";
// One try at a time: who sends a thousand codes at once gets one of them looked at.
const TRY: &str = "\
UPDATE users SET locked_until = $3 WHERE id = $1 AND (locked_until IS NULL OR locked_until <= $2)";
const DELETE: &str = "DELETE FROM user_factors WHERE user_id = $1";
const SESSIONS_END: &str = "DELETE FROM sessions WHERE user_id = $1";

/// What is asked of whoever signs in to an account beside the password.
#[derive(Debug)]
pub enum SecondFactor {
    /// Nothing.
    Off,
    /// A secret was shown, and no code of it came back yet.
    Pending(FactorSetup),
    /// A code.
    On {
        /// Since when.
        since: Timestamp,
        /// Recovery codes that are left.
        codes_left: u64,
    },
}

/// What goes into an authenticator app.
#[derive(Debug)]
pub struct FactorSetup {
    /// The secret in base32, to be typed.
    pub secret: SecretString,
    /// The same as an `otpauth` address, to be scanned.
    pub uri: SecretString,
}

/// By which code somebody came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondCode {
    /// One of the app.
    App,
    /// A recovery code, which is used up.
    Recovery,
}

/// Why nothing could be done with a second factor.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    /// The secret cannot be sealed or opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(sqlx::FromRow)]
struct FactorRow {
    secret_sealed: String,
    confirmed_at: Option<i64>,
    last_step: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

/// Where a secret is sealed to.
pub(crate) const fn place(user: Uuid) -> Place {
    Place { column: "user_factors.secret_sealed", scope: user, row: user }
}

fn totp(secret: &[u8], email: &str) -> Result<Totp, KeyError> {
    let builder = Builder::new()
        .with_secret(Secret::new(secret.into()))
        .with_issuer(Some("TenantPilot"))
        .with_account_name(email.replace(':', "_"));
    builder.build().map_err(|_| KeyError::Unreadable)
}

/// The step of a code; none where it is no code of now.
fn step_of(
    keys: &Keys,
    user: Uuid,
    row: &FactorRow,
    code: &str,
    now: Timestamp,
) -> Result<Option<i64>, KeyError> {
    let secret = keys.open_bytes(place(user), &row.secret_sealed)?;
    let seconds = u64::try_from(now.micros() / 1_000_000).unwrap_or(0);
    let code: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
    let is_form = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    let step = if is_form { totp(&secret, "")?.check(&code, seconds) } else { None };
    Ok(step.and_then(|step| i64::try_from(step).ok()).filter(|step| *step > row.last_step))
}

/// Writes down in each workspace of the account what became of its second factor.
pub(crate) async fn told(
    tx: &mut Tx,
    ids: &dyn Ids,
    user: UserId,
    (actor, action): (Initiator, AuditAction),
    details: Value,
    request_id: Option<String>,
) -> Result<(), StoreError> {
    let target = ("user", user.to_string());
    let note = AuditNote { actor, action, target, tenant: None, run: None, request_id, details };
    for row in of_user(tx, user).await? {
        audit(tx, ids, WorkspaceId::from_uuid(row.id), &note).await?;
    }
    Ok(())
}

/// Takes the second factor of an account away, with its codes, and ends all its sessions. `false` where it
/// has none.
pub(crate) async fn remove(
    tx: &mut Tx,
    ids: &dyn Ids,
    user: UserId,
    actor: Initiator,
    request_id: Option<String>,
) -> Result<bool, StoreError> {
    tx.execute(stmt!(CODES_DELETE, user.uuid())).await?;
    if tx.execute(stmt!(DELETE, user.uuid())).await? == 0 {
        return Ok(false);
    }
    tx.execute(stmt!(STEPS_OF, user.uuid())).await?;
    let ended = tx.execute(stmt!(SESSIONS_END, user.uuid())).await?;
    let details = json!({"sessions_ended": ended});
    told(tx, ids, user, (actor, AuditAction::UserSecondFactorRemoved), details, request_id).await?;
    Ok(true)
}

/// Gives this session a new secret, and ends the others of its person.
async fn renew(
    tx: &mut Tx,
    actor: &Actor,
    hash: Vec<u8>,
) -> Result<Option<(Timestamp, u64)>, StoreError> {
    let Some(session) = actor.session() else { return Ok(None) };
    let (user, now) = (actor.user.uuid(), tx.now());
    let expires_at = now.plus(SESSION_LIFE);
    if tx.execute(stmt!(ROTATE, user, session.uuid(), hash, now, expires_at)).await? == 0 {
        return Ok(None);
    }
    let ended = tx.execute(stmt!(END_OTHERS, user, session.uuid())).await?;
    Ok(Some((expires_at, ended)))
}

impl Hall {
    async fn factor_row(&self, user: UserId) -> Result<Option<FactorRow>, StoreError> {
        let stmt = stmt!(GET, user.uuid());
        self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await
    }

    /// Whether an account asks for a code.
    pub async fn has_second_factor(&self, user: UserId) -> Result<bool, StoreError> {
        Ok(self.factor_row(user).await?.is_some_and(|row| row.confirmed_at.is_some()))
    }

    /// The second factor of this person. A secret that waits for its first code comes with it: the caller
    /// shows it to nobody whose sign-in is not fresh.
    pub async fn second_factor(&self, actor: &Actor) -> Result<SecondFactor, FactorError> {
        let Some(row) = self.factor_row(actor.user).await? else { return Ok(SecondFactor::Off) };
        if let Some(at) = row.confirmed_at {
            let stmt = stmt!(CODE_COUNT, actor.user.uuid());
            let count: CountRow =
                self.store.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await?;
            let codes_left = u64::try_from(count.n).unwrap_or(0);
            return Ok(SecondFactor::On { since: Timestamp::from_micros(at), codes_left });
        }
        let secret = self.store.keys.open_bytes(place(actor.user.uuid()), &row.secret_sealed)?;
        let totp = totp(&secret, &self.own_account(actor).await?.email)?;
        let uri = totp.to_url().map_err(|_| KeyError::Unreadable)?;
        let secret = totp.secret().to_base32().into();
        Ok(SecondFactor::Pending(FactorSetup { secret, uri: uri.into() }))
    }

    /// Makes a secret for an authenticator app, in place of one that waits. `false` for API tokens, for
    /// sign-ins that are not fresh, for accounts without a password, and where a second factor is on.
    pub async fn second_factor_begin(&self, actor: &Actor) -> Result<bool, FactorError> {
        let may = actor.session().is_some() && actor.is_fresh(self.store.now());
        if !may || self.own_account(actor).await?.password_hash.is_none() {
            return Ok(false);
        }
        let user = actor.user.uuid();
        let secret = Zeroizing::new(random::<20>()?);
        let sealed = self.store.keys.seal_bytes(place(user), &*secret)?;
        let changed = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    tx.execute(stmt!(BEGIN, user, sealed, now)).await
                })
            })
            .await?;
        Ok(changed > 0)
    }

    /// Turns the second factor on with the first code of the app. Ends the person's other sessions and gives
    /// this one a new secret. None where the code is not right, or nothing waits for one.
    pub async fn second_factor_confirm(
        &self,
        actor: &Actor,
        code: &str,
        request_id: Option<String>,
    ) -> Result<Option<(NewSession, RecoveryCodes)>, FactorError> {
        let now = self.store.now();
        let row = self.factor_row(actor.user).await?.filter(|row| row.confirmed_at.is_none());
        let (true, Some(row)) = (actor.is_fresh(now), row) else { return Ok(None) };
        let user = actor.user;
        let Some(step) = step_of(&self.store.keys, user.uuid(), &row, code, now)? else {
            return Ok(None);
        };
        let (secret, codes) = (SessionSecret::fresh()?, RecoveryCodes::fresh()?);
        let (hash, hashes) = (secret.hash(), codes.expose().map(code_hash).collect::<Vec<_>>());
        let (by, ids) = (actor.clone(), Arc::clone(&self.store.ids));
        let renewed = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let Some((expires_at, ended)) = renew(tx, &by, hash).await? else {
                        return Ok(None);
                    };
                    if tx.execute(stmt!(CONFIRM, user.uuid(), now, step)).await? == 0 {
                        return Ok(None);
                    }
                    codes_set(tx, user.uuid(), &hashes).await?;
                    let what = (by.initiator(), AuditAction::UserSecondFactorSet);
                    let details = json!({"sessions_ended": ended});
                    told(tx, &*ids, user, what, details, request_id).await?;
                    Ok(Some(expires_at))
                })
            })
            .await?;
        Ok(renewed.map(|expires_at| (NewSession { secret, expires_at }, codes)))
    }

    /// Turns this person's second factor off, and ends all their sessions. `false` where there is none, and
    /// where the sign-in is not fresh.
    pub async fn second_factor_remove(
        &self,
        actor: &Actor,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        if actor.session().is_none() || !actor.is_fresh(self.store.now()) {
            return Ok(false);
        }
        let (user, by, ids) = (actor.user, actor.initiator(), Arc::clone(&self.store.ids));
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move { remove(tx, &*ids, user, by, request_id).await })
            })
            .await
    }

    /// Takes a code of the app or a recovery code, once. None where it is not right, and while the account is
    /// paused. Wrong tries are counted by the caller, as wrong passwords are; a right one ends their count.
    pub async fn second_factor_take(
        &self,
        user: UserId,
        name: &str,
        code: &str,
        request_id: Option<String>,
    ) -> Result<Option<SecondCode>, FactorError> {
        let row = self.factor_row(user).await?.filter(|row| row.confirmed_at.is_some());
        let Some(row) = row else { return Ok(None) };
        let step = step_of(&self.store.keys, user.uuid(), &row, code, self.store.now())?;
        let (hash, ids) = (code_hash(code), Arc::clone(&self.store.ids));
        let by = Initiator::User { id: user, name: name.to_owned() };
        let taken = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let wait = stmt!(TRY, user.uuid(), now, now.plus(Duration::from_secs(1)));
                    if tx.execute(wait).await? == 0 {
                        return Ok(None);
                    }
                    if let Some(step) = step {
                        if tx.execute(stmt!(TAKE, user.uuid(), step)).await? == 0 {
                            return Ok(None);
                        }
                        tx.execute(stmt!(SIGN_IN_RESET, user.uuid())).await?;
                        return Ok(Some(SecondCode::App));
                    }
                    if tx.execute(stmt!(CODE_TAKE, user.uuid(), hash)).await? == 0 {
                        return Ok(None);
                    }
                    tx.execute(stmt!(SIGN_IN_RESET, user.uuid())).await?;
                    let left = tx.one::<CountRow>(stmt!(CODE_COUNT, user.uuid())).await?.n;
                    let what = (by, AuditAction::UserRecoveryCodeUsed);
                    told(tx, &*ids, user, what, json!({"left": left}), request_id).await?;
                    Ok(Some(SecondCode::Recovery))
                })
            })
            .await?;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_taken_of_now_and_its_neighbours_once() {
        let keys = Keys::fresh().unwrap();
        let user = Uuid::from_u128(7);
        // The secret and the codes of RFC 6238, appendix B, in six digits.
        let sealed = keys.seal_bytes(place(user), b"12345678901234567890").unwrap();
        let row =
            |last_step| FactorRow { secret_sealed: sealed.clone(), confirmed_at: None, last_step };
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let step = |code: &str, seconds, last| {
            step_of(&keys, user, &row(last), code, at(seconds)).unwrap()
        };
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")]
        {
            let own = seconds / 30;
            for now in [seconds - 30, seconds, seconds + 30] {
                assert_eq!(step(code, now, 0), Some(own), "{now}");
            }
            assert_eq!(step(code, seconds + 60, 0), None);
            assert_eq!(step(code, seconds, own), None, "taken");
            assert_eq!(step(&format!(" {} {} ", &code[..3], &code[3..]), seconds, 0), Some(own));
        }
        for wrong in ["", "28708", "2870822", "28708a", "\u{0662}\u{0668}\u{0667}"] {
            assert_eq!(step(wrong, 59, 0), None, "{wrong}");
        }
    }
}
