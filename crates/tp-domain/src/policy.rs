//! What is observed of a policy: whitelisted fields only, never a payload (PRODUCT I-1).

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::ids::{PolicyId, RunId};
use crate::time::Timestamp;

/// The key of a policy type in the contract registry, for example `deviceConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyType(String);

/// Not the form of a policy type's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a policy type is 1 to 64 ASCII letters and digits and starts with a lower-case letter")]
pub struct BadPolicyType;

impl PolicyType {
    /// Checks the form. Whether there is a contract for it, the catalog knows.
    pub fn new(key: &str) -> Result<Self, BadPolicyType> {
        let fits = key.len() <= 64
            && key.starts_with(|first: char| first.is_ascii_lowercase())
            && key.chars().all(|letter| letter.is_ascii_alphanumeric());
        if fits { Ok(Self(key.to_owned())) } else { Err(BadPolicyType) }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a listing tells of one policy. Identity is (tenant, type, Graph id).
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedPolicy {
    /// The id that Graph gave; for singletons the contract's rule.
    pub graph_id: String,
    /// The name, or none when Graph sent none.
    pub name: Option<String>,
    /// The platform as Graph words it, or the contract's.
    pub platform: Option<String>,
    /// The concrete type without `#microsoft.graph.`.
    pub odata_type: Option<String>,
    /// When Graph says that it was made.
    pub created_at: Option<Timestamp>,
    /// When Graph says that it was last changed.
    pub modified_at: Option<Timestamp>,
    /// The ids of its scope tags.
    pub scope_tags: Vec<String>,
    /// Whether it is assigned, where the listing says so.
    pub assigned: Option<bool>,
    /// Further whitelisted fields, with sorted keys.
    pub metadata: Value,
}

impl ObservedPolicy {
    /// SHA-256 over everything observed: equal fingerprints mean that nothing is to be written.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::json!([
            self.graph_id,
            self.name,
            self.platform,
            self.odata_type,
            self.created_at.map(Timestamp::micros),
            self.modified_at.map(Timestamp::micros),
            self.scope_tags,
            self.assigned,
            self.metadata,
        ])
        .to_string();
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// One row of the inventory.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Our id.
    pub id: PolicyId,
    /// Its type.
    pub policy_type: PolicyType,
    /// What was seen last.
    pub observed: ObservedPolicy,
    /// When a sync saw it first.
    pub first_seen_at: Timestamp,
    /// When a sync saw it last.
    pub last_seen_at: Timestamp,
    /// The run that saw it last.
    pub last_seen_run: RunId,
    /// The latest complete sync of its type did not see it (never "deleted").
    pub missing: bool,
}

/// One group of the directory cache: no members, no owners (PRODUCT I-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedGroup {
    /// The id that Graph gave.
    pub graph_id: String,
    /// The group's name.
    pub name: Option<String>,
    /// Security, Microsoft 365, dynamic … in Graph's words.
    pub group_type: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_type_has_one_form() {
        assert_eq!(PolicyType::new("deviceConfiguration").unwrap().as_str(), "deviceConfiguration");
        for bad in ["", "DeviceConfiguration", "device-configuration", "a b", "a/../b", "ä"] {
            assert_eq!(PolicyType::new(bad), Err(BadPolicyType), "{bad:?}");
        }
    }
}
