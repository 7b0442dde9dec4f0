//! What can be done with a type, and with a connection's permissions what works for this tenant (G-2).
//!
//! Pure: the same contract and the same permissions give the same answer. The golden files below
//! `tests/golden` hold the answer for every type and every way of granting.

use std::collections::BTreeSet;

use crate::contract::{Certainty, Contract, Parent, RestoreMode, Risk, ValidationStatus, Wall};
use crate::fields::{Handling, ReadsAs, Target};
use crate::permissions;

/// What a backup of a type holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupLevel {
    /// All settings that Graph gives.
    Full,
    /// Names and dates only: Microsoft does not give the settings back, or nobody can set them.
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

/// Whether an app without a signed-in person can write a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppWrite {
    /// It can.
    Yes,
    /// Nothing says that it cannot, and Microsoft's permission data do not name the permission.
    Unproved,
    /// Microsoft lets only signed-in people write it.
    SignedInOnly,
    /// Graph has no way to write it.
    NoWay,
}

impl AppWrite {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Unproved => "unproved",
            Self::SignedInOnly => "signed_in_only",
            Self::NoWay => "no_way",
        }
    }

    /// Why, for people; none where it can.
    pub const fn why(self) -> Option<&'static str> {
        match self {
            Self::Yes => None,
            Self::Unproved => {
                Some("Microsoft's permission data do not name a permission; it may be refused.")
            }
            Self::SignedInOnly => Some("Microsoft lets only signed-in people do this."),
            Self::NoWay => Some("Microsoft Graph has no way to write it."),
        }
    }

    /// Whether it is worth trying.
    pub const fn is_possible(self) -> bool {
        matches!(self, Self::Yes | Self::Unproved)
    }
}

/// What works in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Works {
    /// It works.
    Yes,
    /// Permissions are missing.
    Missing(Vec<String>),
    /// It cannot work, whatever is granted.
    Never(&'static str),
    /// The permissions of the app in this tenant are not known.
    NotChecked,
}

impl Works {
    /// The stable word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Missing(_) => "permission_missing",
            Self::Never(_) => "never",
            Self::NotChecked => "not_checked",
        }
    }

    /// What is missing; empty where nothing is, or nothing is known.
    pub fn missing(&self) -> &[String] {
        match self {
            Self::Missing(missing) => missing,
            _ => &[],
        }
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Yes => "works".to_owned(),
            Self::Missing(missing) => format!("missing: {}", missing.join(", ")),
            Self::Never(why) => format!("not possible: {why}"),
            Self::NotChecked => "not checked yet".to_owned(),
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
    /// Things that it refers to and that no restore can make.
    pub outside: Vec<&'static str>,
    /// Whether an app without a signed-in person can write it, and why not.
    pub app_write: AppWrite,
    /// Whether an app can write it.
    pub app_only_writable: bool,
    /// What a backup does not hold, and what is not sure, as sentences for people.
    pub limits: Vec<String>,
    /// Permissions without which masked secrets stay masked; a person must ask for each value.
    pub to_reveal: Vec<String>,
    /// Whether reading works in the tenant.
    pub reading: Works,
    /// Whether writing works in the tenant.
    pub writing: Works,
    /// Permissions that reading still lacks; empty when granted, or when grants are unknown.
    pub missing_to_read: Vec<String>,
    /// Permissions that writing still lacks.
    pub missing_to_write: Vec<String>,
}

/// Derives what can be done. `granted` are the app's permissions in a tenant, `None` when unknown.
pub fn capabilities(contract: &Contract, granted: Option<&[String]>) -> Capabilities {
    let app_write = app_write(contract);
    let reading = match contract.permissions.app_read {
        Wall::Closed => Works::Never("Microsoft lets only signed-in people do this."),
        Wall::Open | Wall::Unproved => works(&contract.permissions.read, granted),
    };
    let writing = match app_write {
        AppWrite::Yes | AppWrite::Unproved => {
            // A restore reads back what it wrote.
            let mut needed = contract.permissions.write.clone();
            needed.extend(contract.permissions.read.iter().cloned());
            needed.dedup();
            works(&needed, granted)
        }
        AppWrite::SignedInOnly => Works::Never("Microsoft lets only signed-in people do this."),
        AppWrite::NoWay => Works::Never("Microsoft Graph has no way to write it."),
    };
    Capabilities {
        backup: backup(contract),
        restore: if app_write.is_possible() {
            contract.restore.mode
        } else {
            RestoreMode::Unsupported
        },
        risk: contract.restore.risk,
        dependencies: dependencies(contract),
        outside: outside(contract),
        app_write,
        app_only_writable: app_write.is_possible(),
        limits: limits(contract),
        to_reveal: to_reveal(contract),
        missing_to_read: reading.missing().to_vec(),
        missing_to_write: writing.missing().to_vec(),
        reading,
        writing,
    }
}

fn works(needed: &[String], granted: Option<&[String]>) -> Works {
    let Some(granted) = granted else { return Works::NotChecked };
    let mut missing = permissions::missing(needed, granted);
    // `X.Read.All` goes without saying where `X.ReadWrite.All` is missing as well.
    let all = missing.clone();
    missing.retain(|one| !all.iter().any(|other| other != one && permissions::covers(other, one)));
    if missing.is_empty() { Works::Yes } else { Works::Missing(missing) }
}

fn app_write(contract: &Contract) -> AppWrite {
    if contract.create.is_none() && contract.update.is_none() {
        return AppWrite::NoWay;
    }
    match contract.permissions.app_write {
        Wall::Open => AppWrite::Yes,
        Wall::Unproved => AppWrite::Unproved,
        Wall::Closed => AppWrite::SignedInOnly,
    }
}

fn backup(contract: &Contract) -> BackupLevel {
    let settable = contract.create.is_some() || contract.update.is_some();
    let empty = contract.not_returned.iter().any(|missing| missing.types.is_empty());
    match contract.permissions.app_read {
        Wall::Closed => BackupLevel::None,
        _ if empty || !settable => BackupLevel::Metadata,
        _ => BackupLevel::Full,
    }
}

/// The types that an object refers to or lies in, other than its own.
fn dependencies(contract: &Contract) -> Vec<String> {
    let referred = contract.references.iter().filter_map(|reference| match &reference.to {
        Target::Type(key) => Some(key.clone()),
        Target::Outside(_) => None,
    });
    let parent = match &contract.list.parent {
        Some(Parent::PolicyType { policy_type }) => Some(policy_type.clone()),
        _ => None,
    };
    let all: BTreeSet<String> = referred.chain(parent).filter(|key| *key != contract.key).collect();
    all.into_iter().collect()
}

fn outside(contract: &Contract) -> Vec<&'static str> {
    let all: BTreeSet<&str> = contract
        .references
        .iter()
        .filter_map(|reference| match &reference.to {
            Target::Outside(thing) => Some(thing.label()),
            Target::Type(_) => None,
        })
        .collect();
    all.into_iter().collect()
}

fn to_reveal(contract: &Contract) -> Vec<String> {
    let reveals: BTreeSet<&String> =
        contract.secrets.iter().filter_map(|secret| secret.reveal.as_ref()).collect();
    let all: BTreeSet<String> = contract
        .subresources
        .iter()
        .filter(|part| reveals.contains(&part.name))
        .filter_map(|part| part.read.call.as_ref())
        .flat_map(|call| call.permissions.iter().cloned())
        .collect();
    all.into_iter().collect()
}

/// What a backup does not hold, and what is not sure.
fn limits(contract: &Contract) -> Vec<String> {
    let mut limits: Vec<String> = contract
        .not_returned
        .iter()
        .map(|missing| format!("Not in a backup: {}", missing.what))
        .collect();
    let named = |wanted: fn(ReadsAs) -> bool| {
        let places: Vec<&str> = contract
            .secrets
            .iter()
            .filter(|secret| secret.handling == Handling::Redact && wanted(secret.reads_as))
            .map(|secret| secret.at.as_str())
            .collect();
        (!places.is_empty()).then(|| places.join(", "))
    };
    if let Some(places) = named(|reads| matches!(reads, ReadsAs::Absent)) {
        limits.push(format!("Secrets that Microsoft never gives back: {places}."));
    }
    if let Some(places) = named(|reads| matches!(reads, ReadsAs::Masked | ReadsAs::PartlyMasked)) {
        limits.push(format!("Secrets that come back masked: {places}."));
    }
    if let Some(places) = named(|reads| matches!(reads, ReadsAs::TenantToken)) {
        limits.push(format!("Secrets that only the same tenant can use again: {places}."));
    }
    if let Some(places) = named(|reads| matches!(reads, ReadsAs::Clear)) {
        limits.push(format!("Secrets that are left out on purpose: {places}."));
    }
    if contract.validation.status == ValidationStatus::UndocumentedPath {
        limits.push("Microsoft's metadata do not know the address; it may be refused.".to_owned());
    }
    if contract.permissions.certainty == Certainty::Inferred {
        limits.push(
            "The permission is taken from addresses beside it, not from Microsoft.".to_owned(),
        );
    }
    limits
}

#[cfg(test)]
mod tests;
