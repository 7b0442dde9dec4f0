//! An archive of ours: its files are those of the manifest, no more and no fewer, each as its hash says.

use std::io::{Read, Seek};

use sha2::{Digest as _, Sha256};
use tp_domain::hex::hex;

use crate::content::{StoredContent, check_content};
use crate::error::{ArchiveError, Fault};
use crate::manifest::{MANIFEST, Manifest, ManifestItem};
use crate::zipped::Zip;

/// An archive whose manifest was checked. Its files are checked one by one as they are read.
#[derive(Debug)]
pub struct OwnArchive<R> {
    zip: Zip<R>,
    manifest: Manifest,
}

impl<R: Read + Seek> OwnArchive<R> {
    /// Whether a zip file says that it is one of ours.
    pub fn is_one(zip: &Zip<R>) -> bool {
        zip.has(MANIFEST)
    }

    /// Reads the manifest and holds the files against it.
    pub fn open(mut zip: Zip<R>) -> Result<Self, ArchiveError> {
        if !zip.has(MANIFEST) {
            return Err(Fault::ManifestMissing.into());
        }
        let manifest = Manifest::read(&zip.read(MANIFEST)?)?;
        let mut known: std::collections::HashSet<&str> =
            manifest.items.iter().map(|item| item.path.as_str()).collect();
        known.insert(MANIFEST);
        if let Some(extra) = zip.entries().find(|path| !known.contains(path)) {
            return Err(ArchiveError::at(Fault::FileExtra, extra));
        }
        if let Some(missing) = manifest.items.iter().find(|item| !zip.has(&item.path)) {
            return Err(ArchiveError::at(Fault::FileMissing, &missing.path));
        }
        Ok(Self { zip, manifest })
    }

    /// The list of contents.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads the content of a policy; everything about it is checked.
    pub fn read(&mut self, item: &ManifestItem) -> Result<StoredContent, ArchiveError> {
        let bytes = self.zip.read(&item.path)?;
        let refuse = |fault| ArchiveError::at(fault, &item.path);
        if bytes.len() as u64 != item.bytes {
            return Err(refuse(Fault::SizeWrong));
        }
        if hex(&Sha256::digest(&bytes)) != item.sha256 {
            return Err(refuse(Fault::HashWrong));
        }
        check_content(bytes, item.policy_type.as_str()).map_err(refuse)
    }
}

/// What a check of a whole archive has found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The list of contents.
    pub manifest: Manifest,
    /// The root hash: the same for the same archive, whoever computes it.
    pub root: String,
    /// Unpacked bytes of all policies.
    pub bytes: u64,
}

/// Checks an archive of ours whole.
pub fn verify<R: Read + Seek>(zip: Zip<R>) -> Result<Verified, ArchiveError> {
    let mut archive = OwnArchive::open(zip)?;
    let manifest = archive.manifest.clone();
    for item in &manifest.items {
        archive.read(item)?;
    }
    let bytes = manifest.items.iter().map(|item| item.bytes).sum();
    Ok(Verified { root: manifest.root(), manifest, bytes })
}
