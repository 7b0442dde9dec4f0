//! Files that are kept for a while: exported archives, and archives that somebody has uploaded.
//!
//! A file lies in the payload store in pieces, each sealed like any other content, so that nothing of it is
//! on a disk in clear and none of it must fit into memory.

use std::time::Duration;

use crate::ids::{ArtefactId, RunId};
use crate::payload::PayloadAddress;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// What a file is.
    pub enum ArtefactKind {
        /// A backup set as an archive.
        BackupExport => "backup_export",
        /// An archive that somebody has uploaded, to be imported.
        Upload => "upload",
    }
}

/// Bytes of one piece; the last one of a file is shorter.
pub const PIECE: usize = 1 << 20;

/// How long an exported archive can be downloaded.
pub const EXPORT_LIFE: Duration = Duration::from_hours(7 * 24);

/// How long an uploaded archive waits for its import.
pub const UPLOAD_LIFE: Duration = Duration::from_hours(24);

/// The longest file that is taken, in bytes: no archive of a backup is longer.
pub const MOST_UPLOAD_BYTES: u64 = 512 << 20;

/// So many uploads of one tenant wait at most.
pub const MOST_UPLOADS: u32 = 8;

/// A file whose last piece is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// Its id.
    pub id: ArtefactId,
    /// What it is.
    pub kind: ArtefactKind,
    /// The run that made it; none for an upload.
    pub run: Option<RunId>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// The root hash of an archive: what its manifest says of all that is in it.
    pub root: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it goes.
    pub expires_at: Timestamp,
}

/// One piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtefactPiece {
    /// Where its content is.
    pub address: PayloadAddress,
    /// Its length in bytes.
    pub bytes: u64,
}
