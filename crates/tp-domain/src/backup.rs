//! Backup sets: collections of versions that are complete or say what is missing (PRODUCT S-2).

use serde::{Deserialize, Serialize};

use crate::completeness::Completeness;
use crate::ids::{BackupId, RunId, VersionId};
use crate::policy::PolicyType;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// How a set stands.
    pub enum BackupState {
        /// It is being made, or its run died in the middle.
        Creating => "creating",
        /// Everything that was asked for is in it.
        Complete => "complete",
        /// Some of it is in it; the types and items say what is missing.
        Partial => "partial",
        /// Nothing is in it.
        Failed => "failed",
    }
}

words! {
    /// What became of one policy in a set.
    pub enum BackupItemState {
        /// It was read in full.
        Captured => "captured",
        /// The listing showed that it is as its latest version has it.
        Unchanged => "unchanged",
        /// It could not be read in full: the set does not hold it.
        Failed => "failed",
    }
}

/// Every so many sets each object is read in full, whatever its last change says: some parts can change
/// without touching it.
pub const FULL_PASS_EVERY: u64 = 7;

/// A backup set, without its contents.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupSet {
    /// Our id.
    pub id: BackupId,
    /// Counted per tenant, from 1: what people call it.
    pub number: u64,
    /// The run that made it.
    pub run: RunId,
    /// How it stands.
    pub state: BackupState,
    /// What was asked for: the run's inputs.
    pub selection: serde_json::Value,
    /// Whether every object was read in full.
    pub is_full_pass: bool,
    /// What somebody wrote beside it.
    pub note: Option<String>,
    /// A pinned set is never removed by retention.
    pub pinned: bool,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was ended.
    pub completed_at: Option<Timestamp>,
    /// How many policies it holds.
    pub items: u64,
    /// How many policies it should hold and does not.
    pub failed_items: u64,
    /// How many of its versions are new with it.
    pub new_versions: u64,
    /// Grows with each change of its note and pin, for `If-Match`.
    pub revision: u64,
    /// Whether a schedule made it.
    pub scheduled: bool,
    /// Where it was imported from; none for a set that was captured.
    pub imported_from: Option<ImportedFrom>,
    /// When it was last verified to its end, and with what result.
    pub verified: Option<Verified>,
}

/// What an archive says of where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ImportedFrom {
    /// The program that made it.
    pub tool: String,
    /// The set's number there.
    pub backup: Option<u64>,
    /// When the set was made there, as the archive words it.
    pub created_at: Option<String>,
    /// The root hash of an archive of ours.
    pub root: Option<String>,
}

/// What the last verification of a set has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// When it ended.
    pub at: Timestamp,
    /// Its run.
    pub run: RunId,
    /// How many contents were read, the set's manifest among them.
    pub checked: u64,
    /// How many of them are missing or not what was stored.
    pub faulty: u64,
}

impl Verified {
    /// Whether everything was as it was stored.
    pub const fn is_sound(&self) -> bool {
        self.faulty == 0
    }
}

/// How a set stands for one policy type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupType {
    /// The type.
    pub policy_type: PolicyType,
    /// How much of it was seen.
    pub completeness: Completeness,
    /// How many objects were listed.
    pub listed: u64,
}

/// One policy in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupItem {
    /// Its type.
    pub policy_type: PolicyType,
    /// Its Graph id.
    pub graph_id: String,
    /// Its name at that time.
    pub name: Option<String>,
    /// What became of it.
    pub state: BackupItemState,
    /// The version; none when it failed.
    pub version: Option<VersionId>,
    /// Why it failed.
    pub reason: Option<ReasonCode>,
    /// Graph's id of the request that failed.
    pub graph_request_id: Option<String>,
}
