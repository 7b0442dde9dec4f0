//! Who may do what: roles, capabilities and the matrix between them (PRODUCT; ruling 26).

use crate::words::words;

words! {
    /// What a member is in a workspace or, by override, in one tenant.
    pub enum Role {
        /// May do everything.
        Owner => "owner",
        /// Everything but members and the danger zone.
        Manager => "manager",
        /// Views, and starts syncs, backups, previews and scans.
        Operator => "operator",
        /// Views only.
        Reader => "reader",
        /// Views, the audit log and its export.
        Auditor => "auditor",
    }
}

words! {
    /// One thing that a person can be allowed to do. Code asks for these, never for a role.
    pub enum Capability {
        /// See a tenant.
        TenantView => "tenant.view",
        /// Add, change and remove tenants and their connections.
        TenantManage => "tenant.manage",
        /// Replace a tenant's credentials.
        TenantCredentialsRotate => "tenant.credentials.rotate",
        /// See who is a member.
        MembersView => "members.view",
        /// Change who is a member.
        MembersManage => "members.manage",
        /// See settings.
        SettingsView => "settings.view",
        /// Change settings.
        SettingsManage => "settings.manage",
        /// See runs.
        OperationsView => "operations.view",
        /// Start runs that need no right of their own.
        OperationsStart => "operations.start",
        /// Cancel runs.
        OperationsCancel => "operations.cancel",
        /// See the inventory.
        InventoryView => "inventory.view",
        /// Start an inventory sync.
        InventorySync => "inventory.sync",
        /// See policies.
        PoliciesView => "policies.view",
        /// Mark policies as ignored.
        PoliciesIgnore => "policies.ignore",
        /// See backup sets.
        BackupsView => "backups.view",
        /// Make backups.
        BackupsCreate => "backups.create",
        /// Delete backup sets.
        BackupsDelete => "backups.delete",
        /// Preview a restore.
        RestorePreview => "restore.preview",
        /// Confirm and run a restore.
        RestoreExecute => "restore.execute",
        /// Approve somebody else's restore.
        RestoreApprove => "restore.approve",
        /// See drift findings.
        DriftView => "drift.view",
        /// Decide about drift findings.
        DriftDecide => "drift.decide",
        /// Change baselines.
        BaselinesManage => "baselines.manage",
        /// Change schedules.
        SchedulesManage => "schedules.manage",
        /// See alerts.
        AlertsView => "alerts.view",
        /// Change alert rules and destinations.
        AlertsManage => "alerts.manage",
        /// See the audit log.
        AuditView => "audit.view",
        /// Export the audit log.
        AuditExport => "audit.export",
        /// Manage API tokens: one's own, and everybody's for owners.
        TokensManage => "tokens.manage",
        /// Search groups live in the directory.
        GroupsSearchLive => "groups.search_live",
        /// See the text of scripts.
        ScriptsViewContent => "scripts.view_content",
        /// Disconnect tenants and other acts that cannot be undone.
        DangerZone => "danger_zone",
    }
}

impl Role {
    /// Whether this role has that capability. The golden file `role-matrix.txt` shows the whole table.
    pub const fn grants(self, capability: Capability) -> bool {
        use Capability as C;
        match capability {
            C::TenantView
            | C::OperationsView
            | C::InventoryView
            | C::PoliciesView
            | C::BackupsView
            | C::DriftView
            | C::AlertsView
            | C::MembersView
            | C::SettingsView
            | C::TokensManage => true,
            C::OperationsStart
            | C::OperationsCancel
            | C::InventorySync
            | C::BackupsCreate
            | C::RestorePreview
            | C::DriftDecide
            | C::GroupsSearchLive
            | C::ScriptsViewContent => matches!(self, Self::Owner | Self::Manager | Self::Operator),
            C::TenantManage
            | C::TenantCredentialsRotate
            | C::SettingsManage
            | C::PoliciesIgnore
            | C::BackupsDelete
            | C::RestoreExecute
            | C::RestoreApprove
            | C::BaselinesManage
            | C::SchedulesManage
            | C::AlertsManage => matches!(self, Self::Owner | Self::Manager),
            C::AuditView => matches!(self, Self::Owner | Self::Manager | Self::Auditor),
            C::AuditExport => matches!(self, Self::Owner | Self::Auditor),
            C::MembersManage | C::DangerZone => matches!(self, Self::Owner),
        }
    }
}

/// A capability as a type, so that a signature can ask for it (rule I-3).
pub trait Need: Send + Sync + 'static {
    /// The capability that is needed.
    const CAPABILITY: Capability;
    /// Whether a person must have shown lately who they are (TRUST §6, 7).
    const FRESH: bool = false;
}

/// A [`Need`] whose scope may start one kind of work, and no other.
pub trait MayStart: Need {
    /// What such a scope can start.
    type Request: crate::operation::OperationRequest;
}

macro_rules! needs {
    ($($(#[$meta:meta])* $name:ident => $capability:ident $($fresh:ident)?;)+) => {$(
        $(#[$meta])*
        #[derive(Debug)]
        pub enum $name {}

        impl Need for $name {
            const CAPABILITY: Capability = Capability::$capability;
            $(needs!(@ $fresh);)?
        }
    )+};
    (@ fresh) => { const FRESH: bool = true; };
}

needs! {
    /// Look at a tenant.
    ViewTenant => TenantView;
    /// Look at runs.
    ViewOperations => OperationsView;
    /// Look at policies.
    ViewPolicies => PoliciesView;
    /// Look at the inventory: coverage and the directory cache.
    ViewInventory => InventoryView;
    /// Start an inventory sync.
    StartInventorySync => InventorySync;
    /// Look at backup sets and versions.
    ViewBackups => BackupsView;
    /// Make a backup.
    StartBackup => BackupsCreate;
    /// Start the verification of a backup set.
    StartBackupVerify => OperationsStart;
    /// Start the removal of backup sets after rules.
    StartBackupRetention => BackupsDelete;
    /// Pack a backup set into an archive. Scripts are in it in clear.
    StartBackupExport => ScriptsViewContent;
    /// Take an archive away as a file.
    DownloadBackups => ScriptsViewContent;
    /// Upload an archive, and make a backup set of it.
    StartBackupImport => BackupsCreate;
    /// Capture single policies.
    StartPolicyCapture => BackupsCreate;
    /// Start a refresh of the groups.
    StartGroupsSync => InventorySync;
    /// Start the housekeeping of stored contents.
    StartPayloadsPrune => SettingsManage;
    /// Pin, note and delete backup sets.
    DeleteBackups => BackupsDelete;
    /// Change a tenant and its connection.
    ManageTenant => TenantManage;
    /// Replace the credential of a tenant.
    RotateCredentials => TenantCredentialsRotate fresh;
    /// Start a check of a tenant's connection.
    StartConnectionVerify => OperationsStart;
    /// Cancel runs.
    CancelOperations => OperationsCancel;
    /// Add and remove members, and change their roles.
    ManageMembers => MembersManage fresh;
    /// See schedules and other settings.
    ViewSettings => SettingsView;
    /// Change settings: gates, retention, stuck runs.
    ManageSettings => SettingsManage;
    /// Start the clean-up of finished runs.
    StartRunsPrune => SettingsManage;
    /// Change schedules, and run one now.
    ManageSchedules => SchedulesManage;
    /// Begin a restore and make its preview.
    PreviewRestore => RestorePreview;
    /// Make the preview of a restore.
    StartRestorePreview => RestorePreview;
    /// Confirm a restore. It starts nothing by itself: there is no `MayStart` for it.
    ExecuteRestores => RestoreExecute fresh;
    /// Agree to a restore that somebody else has confirmed.
    ApproveRestore => RestoreApprove fresh;
    /// See who is a member.
    ViewMembers => MembersView;
    /// Manage everybody's API tokens.
    ManageTokens => MembersManage fresh;
    /// Look at the audit log.
    ViewAudit => AuditView;
    /// Take the audit log away as a file.
    ExportAudit => AuditExport;
}

impl MayStart for StartInventorySync {
    type Request = crate::inventory_sync::SyncInventory;
}

impl MayStart for StartBackup {
    type Request = crate::backup_create::CreateBackup;
}

impl MayStart for StartBackupVerify {
    type Request = crate::backup_verify::VerifyBackup;
}

impl MayStart for StartBackupRetention {
    type Request = crate::backup_retention::RetainBackups;
}

impl MayStart for StartBackupExport {
    type Request = crate::backup_export::ExportBackup;
}

impl MayStart for StartBackupImport {
    type Request = crate::backup_import::ImportBackup;
}

impl MayStart for StartPolicyCapture {
    type Request = crate::policy_capture::CapturePolicies;
}

impl MayStart for StartGroupsSync {
    type Request = crate::groups_sync::SyncGroups;
}

impl MayStart for StartPayloadsPrune {
    type Request = crate::payloads_prune::PrunePayloads;
}

impl MayStart for StartRestorePreview {
    type Request = crate::restore::preview::MakeRestorePreview;
}

impl MayStart for StartConnectionVerify {
    type Request = crate::connection_verify::VerifyConnection;
}

impl MayStart for StartRunsPrune {
    type Request = crate::runs_prune::PruneRuns;
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_role_matrix_is_as_declared() {
        let mut table = String::from("capability");
        for role in Role::ALL {
            write!(table, " {role}").unwrap();
        }
        for capability in Capability::ALL {
            write!(table, "\n{capability}").unwrap();
            for role in Role::ALL {
                table.push_str(if role.grants(*capability) { " yes" } else { " -" });
            }
        }
        table.push('\n');
        assert_eq!(table, include_str!("../tests/golden/role-matrix.txt"), "role matrix:\n{table}");
    }
}
