//! What can be asked for: the registry of run kinds and the requests that start them (PRODUCT R-17).

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::Capability;
use crate::hex::hex;
use crate::kinds;
use crate::words::words;

words! {
    /// A kind of run. Its code is stable; an old row may carry a code that is no longer here.
    pub enum OperationKind {
        /// Reads what policies a tenant has.
        InventorySync => "inventory.sync",
        /// Captures policies in full into a backup set.
        BackupCreate => "backup.create",
        /// Reads all that a backup set holds and says whether it is what was stored.
        BackupVerify => "backup.verify",
        /// Removes backup sets that the given rules do not keep.
        BackupRetention => "backup.retention",
        /// Packs a backup set into an archive.
        BackupExport => "backup.export",
        /// Makes a backup set of an uploaded archive.
        BackupImport => "backup.import",
        /// Captures single policies as versions, without a backup set.
        PolicyCapture => "policy.capture",
        /// Reads which groups the directory has.
        DirectoryGroupsSync => "directory.groups.sync",
        /// Removes stored contents that nothing needs, and seals anew what a retired key has sealed.
        PayloadsPrune => "payloads.prune",
        /// Checks how a tenant is reached and what its app may do there.
        ConnectionVerify => "connection.verify",
        /// Reads the tenant and freezes the plan of a restore.
        RestorePreview => "restore.preview",
        /// Carries out a restore's confirmed plan.
        RestoreExecute => "restore.execute",
        /// Starts a schedule's work in many tenants and ends when all of it has ended.
        ScheduleExecute => "schedule.execute",
        /// Deletes finished runs that are older than the workspace keeps them.
        RunsPrune => "runs.prune",
    }
}

/// How urgent a kind is: a claim takes everything of one lane before it looks at the next.
///
/// The number is stored with each job, smaller is sooner; gaps leave room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// A person waits for the answer: previews, connection checks.
    Interactive,
    /// Restores.
    Restore,
    /// Syncs and backups.
    Sync,
    /// Drift scans and reports.
    Drift,
    /// Housekeeping.
    Housekeeping,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Interactive, Self::Restore, Self::Sync, Self::Drift, Self::Housekeeping];

    /// The stored number.
    pub const fn priority(self) -> i64 {
        match self {
            Self::Interactive => 10,
            Self::Restore => 20,
            Self::Sync => 30,
            Self::Drift => 40,
            Self::Housekeeping => 50,
        }
    }
}

/// What makes two starts the same (PRODUCT R-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityRule {
    /// Equal effective inputs.
    Selection,
    /// The same slot of the same schedule.
    Slot,
    /// The same plan of the same restore.
    Plan,
}

/// Where runs of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In one tenant.
    Tenant,
    /// In the workspace itself.
    Workspace,
}

/// How often and after which waits a kind is tried again (ruling 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many tries a run gets.
    pub max_attempts: u32,
    /// The first wait in seconds; it triples with each try, with full jitter.
    pub first_seconds: u64,
    /// No wait is longer, in seconds.
    pub longest_seconds: u64,
}

impl RetryPolicy {
    /// The policy of a kind that has no reason for another.
    pub const USUAL: Self = Self { max_attempts: 3, first_seconds: 10, longest_seconds: 600 };
}

/// What the registry says of a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindFacts {
    /// English label, in sentence case.
    pub label_en: &'static str,
    /// German label.
    pub label_de: &'static str,
    /// One sentence for the start surface.
    pub description: &'static str,
    /// The same sentence in German.
    pub description_de: &'static str,
    /// The capability that a person needs to start it.
    pub capability: Capability,
    /// Where its runs live.
    pub level: Level,
    /// How urgent it is.
    pub lane: Lane,
    /// What makes two starts the same.
    pub identity: IdentityRule,
    /// What the counts count, in the plural.
    pub unit: &'static str,
    /// The keys that `context` may hold.
    pub context_keys: &'static [&'static str],
    /// How it is tried again.
    pub retry: RetryPolicy,
    /// Above this a run is "likely stuck", in seconds.
    pub expected_seconds: u64,
    /// Whether a later success of the same identity voids an old failure in "needs attention".
    pub superseded_by_success: bool,
    /// Whether a schedule may start it.
    pub schedulable: bool,
    /// Whether only what failed can be tried again.
    pub retry_failed: bool,
    /// The spec that says what it must do, below the repository's root.
    pub spec: &'static str,
}

impl OperationKind {
    /// The registry row of this kind.
    pub const fn facts(self) -> KindFacts {
        match self {
            Self::InventorySync => kinds::INVENTORY_SYNC,
            Self::BackupCreate => kinds::BACKUP_CREATE,
            Self::BackupVerify => kinds::BACKUP_VERIFY,
            Self::BackupExport => kinds::BACKUP_EXPORT,
            Self::BackupImport => kinds::BACKUP_IMPORT,
            Self::BackupRetention => kinds::BACKUP_RETENTION,
            Self::PolicyCapture => kinds::POLICY_CAPTURE,
            Self::DirectoryGroupsSync => kinds::DIRECTORY_GROUPS_SYNC,
            Self::PayloadsPrune => kinds::PAYLOADS_PRUNE,
            Self::ConnectionVerify => kinds::CONNECTION_VERIFY,
            Self::RestorePreview => kinds::RESTORE_PREVIEW,
            Self::RestoreExecute => kinds::RESTORE_EXECUTE,
            Self::ScheduleExecute => kinds::SCHEDULE_EXECUTE,
            Self::RunsPrune => kinds::RUNS_PRUNE,
        }
    }

    /// The label of a stored code; a code that is not in the registry is "Unknown operation".
    pub fn label_of(code: &str) -> &'static str {
        code.parse::<Self>().map_or("Unknown operation", |kind| kind.facts().label_en)
    }
}

/// SHA-256 of what is asked for: equal starts have equal identities (PRODUCT R-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdentityHash([u8; 32]);

impl IdentityHash {
    /// Kind, scope and canonical JSON of the effective inputs; never the person, and never what somebody
    /// noted beside them.
    pub fn of(kind: OperationKind, scope: Uuid, inputs: &Value) -> Self {
        let mut inputs = inputs.clone();
        if let Value::Object(map) = &mut inputs {
            map.remove("note");
        }
        let mut hash = Sha256::new();
        hash.update(kind.as_str().as_bytes());
        hash.update([0]);
        hash.update(scope.as_bytes());
        hash.update(canonical(&inputs).to_string().as_bytes());
        Self(hash.finalize().into())
    }

    /// Lower-case hex, as it is stored.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// The same value with the keys of every object sorted.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            let sorted: Map<String, Value> =
                keys.into_iter().map(|key| (key.clone(), canonical(&map[key]))).collect();
            Value::Object(sorted)
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        plain => plain.clone(),
    }
}

/// What a start asks for. The web makes one, the operation takes one; they need not know each other.
pub trait OperationRequest: Send + Sync + 'static {
    /// The kind that this request starts.
    const KIND: OperationKind;

    /// Where its runs live: [`OfTenant`] or [`OfWorkspace`].
    type Level;

    /// The effective inputs as JSON, with sets sorted. Stored, shown and hashed.
    fn inputs(&self) -> Value;
}

/// The mark of requests whose runs live in one tenant.
#[derive(Debug)]
pub enum OfTenant {}

/// The mark of requests whose runs live in the workspace itself.
#[derive(Debug)]
pub enum OfWorkspace {}

/// Adds an error for each key of `inputs` that is not allowed; none when it is no object.
pub(crate) fn only_keys<'a>(
    inputs: &'a Value,
    allowed: &[&str],
    detail: &'static str,
    errors: &mut Vec<InputError>,
) -> Option<&'a Map<String, Value>> {
    let Value::Object(map) = inputs else {
        errors.push(InputError::new("", "must be an object"));
        return None;
    };
    for key in map.keys().filter(|key| !allowed.contains(&key.as_str())) {
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        errors.push(InputError::at(pointer, detail));
    }
    Some(map)
}

/// Reads the inputs of a kind that takes none.
pub(crate) fn no_inputs(inputs: &Value) -> Result<(), Vec<InputError>> {
    let mut errors = Vec::new();
    only_keys(inputs, &[], "unknown input; this kind takes none", &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What is wrong with one input, and where (a JSON pointer into `inputs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// JSON pointer, empty for the whole.
    pub pointer: String,
    /// What is allowed there.
    pub detail: &'static str,
}

impl InputError {
    pub(crate) fn new(pointer: &'static str, detail: &'static str) -> Self {
        Self { pointer: pointer.to_owned(), detail }
    }

    /// An error at that pointer.
    pub const fn at(pointer: String, detail: &'static str) -> Self {
        Self { pointer, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_has_a_label() {
        assert_eq!(OperationKind::label_of("inventory.sync"), "Inventory sync");
        assert_eq!(OperationKind::label_of("gone.kind"), "Unknown operation");
    }

    #[test]
    fn the_registry_is_as_declared() {
        let mut table = String::new();
        for kind in OperationKind::ALL {
            let facts = kind.facts();
            table.push_str(&format!(
                "{kind} | {} | {} | {} | {:?} | {:?} | {:?} | {} | {} tries, {} to {} s | {} s | {}\n",
                facts.label_en,
                facts.label_de,
                facts.capability,
                facts.level,
                facts.lane,
                facts.identity,
                facts.unit,
                facts.retry.max_attempts,
                facts.retry.first_seconds,
                facts.retry.longest_seconds,
                facts.expected_seconds,
                facts.context_keys.join(","),
            ));
        }
        assert_eq!(table, include_str!("../tests/golden/kinds.txt"), "kinds:\n{table}");
    }

    #[test]
    fn lanes_are_ordered_by_urgency() {
        let numbers: Vec<i64> = Lane::ALL.iter().map(|lane| lane.priority()).collect();
        assert!(numbers.is_sorted());
    }
}
