//! Local passwords: argon2id with 19 MiB, two passes (TRUST §6, 18).

use std::time::Duration;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::app::App;
use crate::error::WebError;

/// The shortest password that is taken.
pub const SHORTEST: usize = 12;
/// The longest: more than any person types, and short enough to hash.
pub const LONGEST: usize = 256;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {SHORTEST} to {LONGEST} characters")]
    Length,
    /// The machine gives no randomness or no memory.
    #[error("the password could not be hashed")]
    Hash,
}

fn argon2() -> Argon2<'static> {
    Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(19 * 1024, 2, 1, None).unwrap_or_default(),
    )
}

/// The hash to store, in PHC form. Takes some tens of milliseconds: not on an async thread.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if !(SHORTEST..=LONGEST).contains(&password.chars().count()) {
        return Err(PasswordError::Length);
    }
    let hash = argon2().hash_password(password.as_bytes()).map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// Whether the password is the one of the hash. Without a hash it takes as long and says no.
pub(crate) fn verify(password: &str, stored: Option<&str>) -> bool {
    // The hash of nobody's password: unknown accounts cost the same time as known ones.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                          8bZ8D0c3kzl0mY5Cq2m3z0r5m2m1x1cQyY3o0b8m2bI";
    let known = stored.and_then(|text| PasswordHash::new(text).ok());
    let is = |hash: &PasswordHash| argon2().verify_password(password.as_bytes(), hash).is_ok();
    if let Some(hash) = known {
        is(&hash)
    } else {
        if let Ok(nobody) = PasswordHash::new(NOBODY) {
            is(&nobody);
        }
        false
    }
}

/// How long a check waits for its turn.
const QUEUE: Duration = Duration::from_secs(5);

/// Checks a password off the async threads, two at a time: a flood is told to wait, and pages stay quick.
pub(crate) async fn check(
    app: &App,
    given: String,
    stored: Option<String>,
) -> Result<bool, WebError> {
    let turn = tokio::time::timeout(QUEUE, app.hashing.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(WebError::TooMany) };
    let right = tokio::task::spawn_blocking(move || {
        let right = given.len() <= 4 * LONGEST && verify(&given, stored.as_deref());
        drop(turn);
        right
    });
    right.await.map_err(|_| WebError::Internal)
}

/// Hashes a new password in the same line.
pub(crate) async fn make(
    app: &App,
    password: String,
) -> Result<Result<String, PasswordError>, WebError> {
    let turn = tokio::time::timeout(QUEUE, app.hashing.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(WebError::TooMany) };
    let made = tokio::task::spawn_blocking(move || {
        let made = hash(&password);
        drop(turn);
        made
    });
    made.await.map_err(|_| WebError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password() {
        let stored = hash("correct horse battery").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse battery", Some(&stored)));
        assert!(!verify("correct horse batterx", Some(&stored)));
        assert!(!verify("correct horse battery", None));
        assert_eq!(hash("short"), Err(PasswordError::Length));
    }
}
