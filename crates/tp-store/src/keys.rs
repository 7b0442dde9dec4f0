//! The key file and the sealing of secrets at rest (minimal form; ruling 30).
//!
//! A sealed value is `KEYID.BASE64(nonce ‖ ciphertext ‖ tag)` under AES-256-GCM. The associated data
//! name the table, the column, the scope and the row, so that a value moved to another row cannot be
//! opened (TRUST T16).

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tp_domain::hex::hex;
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

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
    /// A sealed value was altered or moved.
    #[error("a sealed secret cannot be opened")]
    Unreadable,
    /// The machine gives no random bytes.
    #[error("the machine gives no random bytes")]
    NoRandomness,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    active: String,
    keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    id: String,
    key: String,
}

impl Drop for KeyEntry {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The keys of this installation, in memory only.
pub struct Keys {
    active: String,
    keys: Vec<(String, LessSafeKey)>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("active", &self.active).finish_non_exhaustive()
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
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&Zeroizing::new(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !data_exists => {
                Self::create(path)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(KeyError::Missing),
            Err(error) => Err(KeyError::Io(error)),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let file: KeyFile = serde_json::from_slice(bytes).map_err(|_| KeyError::Damaged)?;
        let mut keys = Vec::with_capacity(file.keys.len());
        for entry in &file.keys {
            let raw = Zeroizing::new(BASE64.decode(&entry.key).map_err(|_| KeyError::Damaged)?);
            let key = UnboundKey::new(&AES_256_GCM, &raw).map_err(|_| KeyError::Damaged)?;
            keys.push((entry.id.clone(), LessSafeKey::new(key)));
        }
        if keys.iter().all(|(id, _)| *id != file.active) {
            return Err(KeyError::Damaged);
        }
        Ok(Self { active: file.active, keys })
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let raw = Zeroizing::new(random::<32>()?);
        let id = hex(&random::<4>()?);
        let entry = KeyEntry { id: id.clone(), key: BASE64.encode(*raw) };
        let file = KeyFile { active: id, keys: vec![entry] };
        let text = Zeroizing::new(serde_json::to_vec_pretty(&file).map_err(|_| KeyError::Damaged)?);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // Whole or not there: written beside, then given its name, which never takes another file's place.
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.new", hex(&random::<4>()?)));
        let beside = Path::new(&name);
        let mut out =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        let written = out.write_all(&text).and_then(|()| out.sync_all());
        let named = written.and_then(|()| std::fs::hard_link(beside, path));
        std::fs::remove_file(beside)?;
        named?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::File::open(parent)?.sync_all()?;
        }
        Self::parse(&text)
    }

    /// A key that lives only as long as this process, for tests.
    #[cfg(feature = "testing")]
    pub fn fresh() -> Result<Self, KeyError> {
        let raw = random::<32>()?;
        let key = UnboundKey::new(&AES_256_GCM, &raw).map_err(|_| KeyError::Damaged)?;
        Ok(Self {
            active: "test".to_owned(),
            keys: vec![("test".to_owned(), LessSafeKey::new(key))],
        })
    }

    /// The id of the key that new values are sealed with.
    pub fn active(&self) -> &str {
        &self.active
    }

    fn key(&self, id: &str) -> Result<&LessSafeKey, KeyError> {
        self.keys
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, key)| key)
            .ok_or(KeyError::UnknownKey)
    }

    pub(crate) fn seal(&self, place: Place, secret: &SecretString) -> Result<String, KeyError> {
        let nonce = random::<NONCE_LEN>()?;
        let mut buffer = secret.expose_secret().as_bytes().to_vec();
        self.key(&self.active)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.aad(&self.active)),
                &mut buffer,
            )
            .map_err(|_| KeyError::Unreadable)?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut buffer);
        Ok(format!("{}.{}", self.active, BASE64.encode(sealed)))
    }

    pub(crate) fn open_sealed(&self, place: Place, sealed: &str) -> Result<SecretString, KeyError> {
        let (id, text) = sealed.split_once('.').ok_or(KeyError::Unreadable)?;
        let bytes = BASE64.decode(text).map_err(|_| KeyError::Unreadable)?;
        let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or(KeyError::Unreadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Unreadable)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = self
            .key(id)?
            .open_in_place(nonce, Aad::from(place.aad(id)), &mut body)
            .map_err(|_| KeyError::Unreadable)?;
        let text = std::str::from_utf8(plain).map_err(|_| KeyError::Unreadable)?;
        Ok(SecretString::from(text))
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
}
