//! Recovery codes: each stands in once for the code of an app that was lost. The database has their hashes.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tp_domain::audit::AuditAction;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::db::{Reach, Tx};
use crate::doors::Actor;
use crate::error::StoreError;
use crate::hall::Hall;
use crate::second_factor::told;
use crate::stmt::stmt;
use crate::system::random;

const CODE_INSERT: &str = "INSERT INTO user_recovery_codes (user_id, code_hash) VALUES ($1, $2)";
pub(crate) const CODE_TAKE: &str =
    "DELETE FROM user_recovery_codes WHERE user_id = $1 AND code_hash = $2";
pub(crate) const CODES_DELETE: &str = "DELETE FROM user_recovery_codes WHERE user_id = $1";
pub(crate) const CODE_COUNT: &str =
    "SELECT count(*) AS n FROM user_recovery_codes WHERE user_id = $1";

/// How many recovery codes there are at first.
pub const RECOVERY_CODES: usize = 10;

/// Letters of a recovery code (Crockford's base 32): none that is taken for another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Recovery codes as they are shown, once.
#[derive(Debug)]
pub struct RecoveryCodes(Vec<SecretString>);

impl RecoveryCodes {
    /// The codes.
    pub fn expose(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(ExposeSecret::expose_secret)
    }

    pub(crate) fn fresh() -> Result<Self, StoreError> {
        let one = || -> Result<SecretString, StoreError> {
            let bytes = Zeroizing::new(random::<16>().map_err(|_| StoreError::Closed)?);
            let mut code = String::with_capacity(19);
            for byte in bytes.iter() {
                if code.len() % 5 == 4 {
                    code.push('-');
                }
                code.push(char::from(ALPHABET[usize::from(byte % 32)]));
            }
            Ok(code.into())
        };
        (0..RECOVERY_CODES).map(|_| one()).collect::<Result<_, _>>().map(Self)
    }
}

/// The hash of a recovery code, however it was typed.
pub(crate) fn code_hash(code: &str) -> Vec<u8> {
    let plain = code.chars().filter(char::is_ascii_alphanumeric).map(|letter| {
        match letter.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            letter => letter,
        }
    });
    Sha256::digest(plain.collect::<String>().as_bytes()).to_vec()
}

/// Puts these codes in place of all that an account has.
pub(crate) async fn codes_set(
    tx: &mut Tx,
    user: Uuid,
    codes: &[Vec<u8>],
) -> Result<(), StoreError> {
    tx.execute(stmt!(CODES_DELETE, user)).await?;
    for hash in codes {
        tx.execute(stmt!(CODE_INSERT, user, hash.clone())).await?;
    }
    Ok(())
}

impl Hall {
    /// Makes new recovery codes; the old ones work no more. None where there is no second factor, and where
    /// the sign-in is not fresh.
    pub async fn recovery_codes_renew(
        &self,
        actor: &Actor,
        request_id: Option<String>,
    ) -> Result<Option<RecoveryCodes>, StoreError> {
        let may = actor.session().is_some() && actor.is_fresh(self.store.now());
        if !may || !self.has_second_factor(actor.user).await? {
            return Ok(None);
        }
        let codes = RecoveryCodes::fresh()?;
        let hashes: Vec<Vec<u8>> = codes.expose().map(code_hash).collect();
        let (user, by, ids) = (actor.user, actor.initiator(), Arc::clone(&self.store.ids));
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    codes_set(tx, user.uuid(), &hashes).await?;
                    let what = (by, AuditAction::UserRecoveryCodesMade);
                    told(tx, &*ids, user, what, json!({}), request_id).await
                })
            })
            .await?;
        Ok(Some(codes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_of_80_bits_and_more_and_typed_as_one_likes() {
        let codes = RecoveryCodes::fresh().unwrap();
        let all: std::collections::HashSet<&str> = codes.expose().collect();
        assert_eq!(all.len(), RECOVERY_CODES);
        for code in all {
            assert_eq!(code.len(), 19, "four groups of four: {}", code.len());
            let typed = code.to_uppercase().replace('-', " ").replace('0', "O").replace('1', "l");
            assert_eq!(code_hash(code), code_hash(&typed));
        }
    }
}
