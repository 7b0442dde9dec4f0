//! What can be done with a type, and with a connection's permissions what works for this tenant (G-2).

use crate::contract::{Contract, RestoreMode, Risk};

/// What a backup of a type holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupLevel {
    /// All settings.
    Full,
    /// Names and dates only: Microsoft does not give the settings back.
    Metadata,
    /// Nothing: an app cannot read it.
    None,
}

impl BackupLevel {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Metadata => "metadata",
            Self::None => "none",
        }
    }
}

/// What can be done with one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What a backup holds.
    pub backup: BackupLevel,
    /// Whether it can be restored.
    pub restore: RestoreMode,
    /// How much harm a wrong write does.
    pub risk: Risk,
    /// Types that must be restored before it.
    pub dependencies: Vec<String>,
    /// Whether an app without a signed-in person can write it.
    pub app_only_writable: bool,
    /// Permissions that reading still lacks; empty when granted, or when grants are unknown.
    pub missing_to_read: Vec<String>,
    /// Permissions that writing still lacks.
    pub missing_to_write: Vec<String>,
}

/// Derives what can be done. `granted` are the app's permissions in a tenant, `None` when unknown.
pub fn capabilities(contract: &Contract, granted: Option<&[String]>) -> Capabilities {
    let permissions = &contract.permissions;
    let writable =
        !permissions.delegated_only && (contract.create.is_some() || contract.update.is_some());
    let mut dependencies: Vec<String> = contract
        .references
        .iter()
        .filter_map(|reference| match &reference.to {
            crate::fields::Target::Type(key) => Some(key.clone()),
            crate::fields::Target::Outside(_) => None,
        })
        .collect();
    dependencies.sort();
    dependencies.dedup();
    let missing = |needed: &[String]| match granted {
        None => Vec::new(),
        Some(granted) => needed.iter().filter(|one| !covers(granted, one)).cloned().collect(),
    };
    Capabilities {
        backup: match (
            permissions.delegated_only,
            contract.create.is_some() || contract.update.is_some(),
        ) {
            (true, _) => BackupLevel::None,
            (false, true) => BackupLevel::Full,
            (false, false) => BackupLevel::Metadata,
        },
        restore: if writable { contract.restore.mode } else { RestoreMode::Unsupported },
        risk: contract.restore.risk,
        dependencies,
        app_only_writable: writable && !permissions.write.is_empty(),
        missing_to_read: missing(&permissions.read),
        missing_to_write: missing(&permissions.write),
    }
}

/// Whether the permission or a wider one of the same name is granted.
fn covers(granted: &[String], needed: &str) -> bool {
    let wider = needed.replace(".Read.", ".ReadWrite.");
    granted.iter().any(|one| one == needed || *one == wider)
}
