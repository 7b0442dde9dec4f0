//! The rows of the registry of run kinds (PRODUCT R-17).

use crate::access::Capability;
use crate::operation::{IdentityRule, KindFacts, Lane, Level, RetryPolicy};

pub(crate) const INVENTORY_SYNC: KindFacts = KindFacts {
    label_en: "Inventory sync",
    label_de: "Inventarabgleich",
    description: "Reads which policies the tenant has, without their settings.",
    description_de: "Liest, welche Richtlinien der Mandant hat, ohne deren Einstellungen.",
    capability: Capability::InventorySync,
    level: Level::Tenant,
    lane: Lane::Sync,
    identity: IdentityRule::Selection,
    unit: "objects",
    context_keys: &["rows_written", "types_listed"],
    retry: RetryPolicy::USUAL,
    expected_seconds: 600,
    superseded_by_success: true,
    schedulable: true,
    retry_failed: true,
    spec: "specs/001-first-five-minutes/spec.md",
};

pub(crate) const BACKUP_CREATE: KindFacts = KindFacts {
    label_en: "Backup",
    label_de: "Sicherung",
    description: "Captures policies in full: settings, assignments and parts.",
    description_de: "Erfasst Richtlinien vollständig: Einstellungen, Zuweisungen und Teile.",
    capability: Capability::BackupsCreate,
    level: Level::Tenant,
    lane: Lane::Sync,
    identity: IdentityRule::Selection,
    unit: "policies",
    context_keys: &["backup", "new_versions", "rows_written", "types_read"],
    retry: RetryPolicy::USUAL,
    expected_seconds: 1_800,
    superseded_by_success: true,
    schedulable: true,
    retry_failed: false,
    spec: "specs/004-snapshots/spec.md",
};

pub(crate) const CONNECTION_VERIFY: KindFacts = KindFacts {
    label_en: "Connection check",
    label_de: "Verbindungsprüfung",
    description: "Signs in and checks consent, permissions, licence and approvals.",
    description_de: "Meldet sich an und prüft Zustimmung, Berechtigungen, Lizenz und Genehmigungen.",
    capability: Capability::OperationsStart,
    level: Level::Tenant,
    lane: Lane::Interactive,
    identity: IdentityRule::Selection,
    unit: "checks",
    context_keys: &["granted", "missing", "more_than_needed"],
    retry: RetryPolicy { max_attempts: 2, first_seconds: 5, longest_seconds: 30 },
    expected_seconds: 60,
    superseded_by_success: true,
    schedulable: true,
    retry_failed: false,
    spec: "specs/003-graph-path/spec.md",
};

pub(crate) const SCHEDULE_EXECUTE: KindFacts = KindFacts {
    label_en: "Scheduled operations",
    label_de: "Geplante Vorgänge",
    description: "Starts a schedule's operation in each of its tenants.",
    description_de: "Startet den Vorgang eines Zeitplans in jedem seiner Mandanten.",
    capability: Capability::SchedulesManage,
    level: Level::Workspace,
    lane: Lane::Sync,
    identity: IdentityRule::Slot,
    unit: "runs",
    context_keys: &["waves"],
    retry: RetryPolicy::USUAL,
    expected_seconds: 7_200,
    superseded_by_success: false,
    schedulable: false,
    retry_failed: false,
    spec: "specs/002-run-engine/spec.md",
};

pub(crate) const RUNS_PRUNE: KindFacts = KindFacts {
    label_en: "Clean up finished runs",
    label_de: "Beendete Vorgänge aufräumen",
    description: "Deletes finished runs that are older than the workspace keeps them.",
    description_de: "Löscht beendete Vorgänge, die älter sind, als der Arbeitsbereich sie aufbewahrt.",
    capability: Capability::SettingsManage,
    level: Level::Workspace,
    lane: Lane::Housekeeping,
    identity: IdentityRule::Selection,
    unit: "runs",
    context_keys: &["kept_days"],
    retry: RetryPolicy::USUAL,
    expected_seconds: 3_600,
    superseded_by_success: true,
    schedulable: true,
    retry_failed: false,
    spec: "specs/002-run-engine/spec.md",
};
