//! The master keys of this installation, and the sealing of secrets at rest with them.
//!
//! A sealed value is `KEYID.BASE64(nonce ‖ ciphertext ‖ tag)` under AES-256-GCM. The associated data
//! name the table, the column, the scope and the row, so that a value moved to another row cannot be
//! opened (TRUST T16). Columns of sealed values are called `…_sealed`; all of them are sealed anew when
//! the key file has a newer key (`rewrap.rs`).
//!
//! The file stays with this crate, since it seals columns. Payloads are sealed with keys that such columns
//! hold (`payload_keys.rs`), never with a master key itself.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::system::random;

/// Something is wrong with the keys or with a sealed value.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file is missing although the data directory has data.
    #[error(
        "the key file is missing beside existing data; put it back, since secrets cannot be read without it"
    )]
    Missing,
    /// The key file cannot be read or written.
    #[error("cannot use the key file")]
    Io(#[from] std::io::Error),
    /// The key file is not one of ours.
    #[error(
        "the key file is damaged: expected JSON with `active` and `keys` of 32 bytes in base64"
    )]
    Damaged,
    /// A sealed value names a key that is not in the file.
    #[error("a secret was sealed with a key that is not in the key file")]
    UnknownKey,
    /// The active key cannot be taken out of the file.
    #[error("new secrets are sealed with this key; make another one active first")]
    InUse,
    /// A sealed value was altered or moved.
    #[error("a sealed secret cannot be opened")]
    Unreadable,
    /// The machine gives no random bytes.
    #[error("the machine gives no random bytes")]
    NoRandomness,
}

pub(crate) struct Ring {
    active: String,
    keys: Vec<(String, LessSafeKey)>,
}

/// The keys of this installation, in memory only.
///
/// A process notices a changed key file when it meets a key that it does not know, and at each sweep.
pub struct Keys {
    /// Where they were read from; none for keys that live as long as the process.
    path: Option<PathBuf>,
    ring: RwLock<Ring>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("active", &self.active()).finish_non_exhaustive()
    }
}

/// Which place a sealed value belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) column: &'static str,
    pub(crate) scope: Uuid,
    pub(crate) row: Uuid,
}

impl Place {
    fn aad(self, key: &str) -> Vec<u8> {
        let mut aad = self.column.as_bytes().to_vec();
        aad.push(0);
        aad.extend_from_slice(self.scope.as_bytes());
        aad.extend_from_slice(self.row.as_bytes());
        aad.extend_from_slice(key.as_bytes());
        aad
    }
}

impl Keys {
    /// Reads the key file; makes one (mode 0600) when there is none and `data_exists` is false.
    pub fn open(path: &Path, data_exists: bool) -> Result<Self, KeyError> {
        let ring = match file::read(path) {
            Err(KeyError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                if data_exists {
                    return Err(KeyError::Missing);
                }
                file::create(path)?
            }
            read => read?,
        };
        Ok(Self { path: Some(path.to_owned()), ring: RwLock::new(ring) })
    }

    /// A key that lives only as long as this process, for tests.
    #[cfg(feature = "testing")]
    pub fn fresh() -> Result<Self, KeyError> {
        use aws_lc_rs::aead::{AES_256_GCM, UnboundKey};
        let raw = random::<32>()?;
        let key = UnboundKey::new(&AES_256_GCM, &raw).map_err(|_| KeyError::Damaged)?;
        let keys = vec![("test".to_owned(), LessSafeKey::new(key))];
        Ok(Self { path: None, ring: RwLock::new(Ring { active: "test".to_owned(), keys }) })
    }

    /// Adds a key to a key file and makes it the active one; gives its id. Processes that run take note
    /// of it by themselves. What older keys have sealed can still be read.
    pub fn rotate(path: &Path) -> Result<String, KeyError> {
        file::rotate(path)
    }

    /// Takes a key out of a key file. The caller has made sure that nothing is sealed with it any more.
    pub fn forget(path: &Path, id: &str) -> Result<(), KeyError> {
        file::forget(path, id)
    }

    /// The id of the key that new values are sealed with.
    pub fn active(&self) -> String {
        self.ring().active.clone()
    }

    /// The ids of all keys, oldest first.
    pub fn ids(&self) -> Vec<String> {
        self.ring().keys.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Reads the key file again. What cannot be read leaves the keys as they are.
    pub fn reload(&self) -> Result<(), KeyError> {
        let Some(path) = &self.path else { return Ok(()) };
        let ring = file::read(path)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seal(&self, place: Place, secret: &SecretString) -> Result<String, KeyError> {
        self.seal_bytes(place, secret.expose_secret().as_bytes())
    }

    pub(crate) fn open_sealed(&self, place: Place, sealed: &str) -> Result<SecretString, KeyError> {
        let plain = self.open_bytes(place, sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| KeyError::Unreadable)?;
        Ok(SecretString::from(text))
    }

    pub(crate) fn seal_bytes(&self, place: Place, secret: &[u8]) -> Result<String, KeyError> {
        let ring = self.ring();
        let nonce = random::<NONCE_LEN>()?;
        let mut buffer = secret.to_vec();
        ring.key(&ring.active)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.aad(&ring.active)),
                &mut buffer,
            )
            .map_err(|_| KeyError::Unreadable)?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut buffer);
        Ok(format!("{}.{}", ring.active, BASE64.encode(sealed)))
    }

    pub(crate) fn open_bytes(
        &self,
        place: Place,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let opened = self.ring().open(place, sealed);
        if !matches!(opened, Err(KeyError::UnknownKey)) {
            return opened;
        }
        // Another process may have added the key since.
        self.reload()?;
        self.ring().open(place, sealed)
    }
}

impl Ring {
    fn key(&self, id: &str) -> Result<&LessSafeKey, KeyError> {
        self.keys
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, key)| key)
            .ok_or(KeyError::UnknownKey)
    }

    fn open(&self, place: Place, sealed: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (id, text) = sealed.split_once('.').ok_or(KeyError::Unreadable)?;
        let bytes = BASE64.decode(text).map_err(|_| KeyError::Unreadable)?;
        let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or(KeyError::Unreadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Unreadable)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .key(id)?
            .open_in_place(nonce, Aad::from(place.aad(id)), &mut body)
            .map_err(|_| KeyError::Unreadable)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(row: u128) -> Place {
        Place {
            column: "tenants.client_secret",
            scope: Uuid::from_u128(1),
            row: Uuid::from_u128(row),
        }
    }

    #[test]
    fn a_sealed_value_opens_in_its_own_row_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let keys = Keys::open(&path, false).unwrap();
        let sealed = keys.seal(place(1), &"s3cret".into()).unwrap();
        assert!(!sealed.contains("s3cret"));
        let again = Keys::open(&path, true).unwrap();
        assert_eq!(again.open_sealed(place(1), &sealed).unwrap().expose_secret(), "s3cret");
        assert!(matches!(again.open_sealed(place(2), &sealed), Err(KeyError::Unreadable)));
        let other = Keys::fresh().unwrap();
        assert!(matches!(other.open_sealed(place(1), &sealed), Err(KeyError::UnknownKey)));
    }

    #[test]
    fn a_missing_key_file_beside_data_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            Keys::open(&folder.path().join("keys.json"), true),
            Err(KeyError::Missing)
        ));
        std::fs::write(folder.path().join("bad.json"), "{}").unwrap();
        assert!(matches!(
            Keys::open(&folder.path().join("bad.json"), true),
            Err(KeyError::Damaged)
        ));
    }

    #[test]
    fn a_new_key_is_noticed_and_an_old_one_goes_when_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let running = Keys::open(&path, false).unwrap();
        let first = running.active();
        let old = running.seal(place(1), &"s3cret".into()).unwrap();
        let second = Keys::rotate(&path).unwrap();
        assert_ne!(second, first);
        let other = Keys::open(&path, true).unwrap();
        let new = other.seal(place(1), &"s3cret".into()).unwrap();
        assert!(new.starts_with(&second));
        assert_eq!(running.open_sealed(place(1), &new).unwrap().expose_secret(), "s3cret");
        assert_eq!(running.active(), second, "it has read the file again");
        assert_eq!(other.open_sealed(place(1), &old).unwrap().expose_secret(), "s3cret");
        assert!(matches!(Keys::forget(&path, &second), Err(KeyError::InUse)));
        assert!(matches!(Keys::forget(&path, "none"), Err(KeyError::UnknownKey)));
        Keys::forget(&path, &first).unwrap();
        other.reload().unwrap();
        assert_eq!(other.ids(), [second]);
        assert!(matches!(other.open_sealed(place(1), &old), Err(KeyError::UnknownKey)));
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside");
    }
}
