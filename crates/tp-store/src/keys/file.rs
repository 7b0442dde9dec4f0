//! The key file: JSON with the master keys, changed whole or not at all.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tp_domain::hex::hex;
use zeroize::{Zeroize as _, Zeroizing};

use super::{KeyError, Ring};
use crate::system::random;

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

/// How a new file takes its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Never that of another file.
    Free,
    /// That of the file before it.
    Taken,
}

fn fresh_entry() -> Result<KeyEntry, KeyError> {
    let raw = Zeroizing::new(random::<32>()?);
    Ok(KeyEntry { id: hex(&random::<4>()?), key: BASE64.encode(*raw) })
}

impl KeyFile {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(std::fs::read(path)?);
        let file: Self = serde_json::from_slice(&bytes).map_err(|_| KeyError::Damaged)?;
        file.ring()?;
        Ok(file)
    }

    fn ring(&self) -> Result<Ring, KeyError> {
        let mut keys = Vec::with_capacity(self.keys.len());
        for entry in &self.keys {
            let raw = Zeroizing::new(BASE64.decode(&entry.key).map_err(|_| KeyError::Damaged)?);
            let key = UnboundKey::new(&AES_256_GCM, &raw).map_err(|_| KeyError::Damaged)?;
            keys.push((entry.id.clone(), LessSafeKey::new(key)));
        }
        if keys.iter().all(|(id, _)| *id != self.active) {
            return Err(KeyError::Damaged);
        }
        Ok(Ring { active: self.active.clone(), keys })
    }

    /// Written beside, synced, then given its name; mode 0600.
    fn write(&self, path: &Path, place: Place) -> Result<(), KeyError> {
        let text = Zeroizing::new(serde_json::to_vec_pretty(self).map_err(|_| KeyError::Damaged)?);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.new", hex(&random::<4>()?)));
        let beside = Path::new(&name);
        let mut out =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        let written = out.write_all(&text).and_then(|()| out.sync_all());
        let named = written.and_then(|()| match place {
            Place::Free => std::fs::hard_link(beside, path),
            Place::Taken => std::fs::rename(beside, path),
        });
        if place == Place::Free || named.is_err() {
            std::fs::remove_file(beside)?;
        }
        named?;
        folder_of(path)?.sync_all()?;
        Ok(())
    }
}

fn folder_of(path: &Path) -> std::io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
}

pub(super) fn read(path: &Path) -> Result<Ring, KeyError> {
    KeyFile::read(path)?.ring()
}

pub(super) fn create(path: &Path) -> Result<Ring, KeyError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let entry = fresh_entry()?;
    let file = KeyFile { active: entry.id.clone(), keys: vec![entry] };
    file.write(path, Place::Free)?;
    file.ring()
}

/// Changes the file while no other process does.
fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut KeyFile) -> Result<T, KeyError>,
) -> Result<T, KeyError> {
    let folder = folder_of(path)?;
    folder.lock()?;
    let mut file = KeyFile::read(path)?;
    let done = change(&mut file)?;
    file.ring()?;
    file.write(path, Place::Taken)?;
    Ok(done)
}

pub(super) fn rotate(path: &Path) -> Result<String, KeyError> {
    change(path, |file| {
        let entry = fresh_entry()?;
        file.active.clone_from(&entry.id);
        file.keys.push(entry);
        Ok(file.active.clone())
    })
}

pub(super) fn forget(path: &Path, id: &str) -> Result<(), KeyError> {
    change(path, |file| {
        if file.active == id {
            return Err(KeyError::InUse);
        }
        let before = file.keys.len();
        file.keys.retain(|entry| entry.id != id);
        if file.keys.len() == before { Err(KeyError::UnknownKey) } else { Ok(()) }
    })
}
