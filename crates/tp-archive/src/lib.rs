//! Backup sets as zip files.
//!
//! An archive is written by one installation and read by another, by a person with any zip program, and by
//! `tenantpilot backup verify-archive` without a server. So the form is here alone, below everything that
//! knows a database or a network:
//!
//! - [`Writer`]: writes one, entry by entry, with the same bytes for the same set.
//! - [`Zip`]: opens any zip file as the hostile thing that it may be (TRUST T12): its directory is checked
//!   whole before anything is unpacked, and what is unpacked is bounded.
//! - [`OwnArchive`]: an archive of ours, checked against its manifest; [`verify`] checks all of it.
//! - [`ForeignFolder`]: the backup folder of another tool, policy by policy.
//!
//! The form is described in `docs/backups.md`. Nothing here writes to a disk.

mod content;
mod error;
mod foreign;
mod layout;
mod limits;
mod manifest;
mod names;
mod own;
mod write;
mod zipped;

pub use content::{StoredContent, check_content};
pub use error::{ArchiveError, Fault};
pub use foreign::{
    ForeignFolder, ForeignPolicy, ForeignTenant, Found, LeftFile, Remark, Tool, Why,
};
pub use limits::Limits;
pub use manifest::{FORMAT, MANIFEST, Manifest, ManifestItem, MissingItem, Source};
pub use own::{OwnArchive, Verified, verify};
pub use write::{ItemFacts, SetFacts, Writer};
pub use zipped::Zip;
