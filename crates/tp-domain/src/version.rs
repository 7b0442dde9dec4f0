//! A version: what one policy was at one time. It never changes (PRODUCT S-1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{RunId, VersionId};
use crate::payload::PayloadAddress;
use crate::policy::PolicyType;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Why a version was captured.
    pub enum Purpose {
        /// For a backup set.
        Backup => "backup",
        /// Because somebody asked for this policy.
        Capture => "capture",
        /// Before a restore wrote to the policy.
        Safety => "safety",
        /// It came with an imported backup.
        Import => "import",
    }
}

/// Names of what a policy refers to, at the time of its capture, by kind (`group`, `filter`, `scopeTag` …)
/// and id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct ReferenceNames(pub BTreeMap<String, BTreeMap<String, String>>);

/// A version of a policy, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Our id.
    pub id: VersionId,
    /// The policy's type.
    pub policy_type: PolicyType,
    /// The policy's Graph id; the type's key for a type that has one object.
    pub graph_id: String,
    /// Counted per policy, from 1.
    pub number: u64,
    /// Where its content is.
    pub address: PayloadAddress,
    /// Why it was captured.
    pub purpose: Purpose,
    /// The run that captured it.
    pub run: RunId,
    /// The policy's name at that time.
    pub name: Option<String>,
    /// What Graph said of its last change, as Graph wrote it.
    pub modified_text: Option<String>,
    /// How many assignments it has.
    pub assignments: u64,
    /// How many secrets were taken out.
    pub redactions: u64,
    /// Names of what it refers to.
    pub names: ReferenceNames,
    /// When it was captured first.
    pub created_at: Timestamp,
}
