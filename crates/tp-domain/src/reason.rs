//! The reason codes: why something did not go as asked (PRODUCT R-7, ruling 21).
//!
//! Codes are stable: never renamed, never reused. The golden file `reason-codes.txt` holds them.

use crate::words::words;

words! {
    /// A stable reason. The word is what the API, the CLI, URLs and the database carry.
    pub enum ReasonCode {
        /// The app lacks a Graph permission.
        PermissionMissing => "permission_missing",
        /// The client secret or certificate has expired.
        CredentialExpired => "credential_expired",
        /// The client secret or certificate is not accepted.
        CredentialInvalid => "credential_invalid",
        /// The stored credential cannot be opened with our keys.
        CredentialUnreadable => "credential_unreadable",
        /// The tenant has no credential.
        CredentialMissing => "credential_missing",
        /// The tenant or the app is not known at the login host.
        AppNotFound => "app_not_found",
        /// An administrator has not consented.
        ConsentMissing => "consent_missing",
        /// The answer could not be read.
        MalformedResponse => "malformed_response",
        /// A next link led to another host or path.
        UntrustedNextLink => "untrusted_next_link",
        /// A next link was not a link.
        BadNextLink => "bad_next_link",
        /// Paging came back to a page that was seen.
        PagingLoop => "paging_loop",
        /// A listing had more pages than any real one.
        PageLimit => "page_limit",
        /// An answer was larger than the limit.
        PayloadTooLarge => "payload_too_large",
        /// The object was deleted meanwhile.
        ItemGone => "item_gone",
        /// Graph asked us to wait longer than a run may.
        GraphThrottled => "graph_throttled",
        /// Graph could not be reached or kept failing.
        GraphUnavailable => "graph_unavailable",
        /// Graph refused the request itself.
        GraphRefused => "graph_refused",
        /// Graph did not accept our token.
        AuthFailed => "auth_failed",
        /// There is no contract for this policy type.
        UnsupportedType => "unsupported_type",
        /// The token was for another tenant.
        TenantMismatch => "tenant_mismatch",
        /// The object changed since the preview.
        TargetChanged => "target_changed",
        /// The plan is too old.
        PlanExpired => "plan_expired",
        /// A write may or may not have happened.
        UnknownOutcome => "unknown_outcome",
        /// Microsoft waits for a second administrator.
        AwaitingExternalApproval => "awaiting_external_approval",
        /// Microsoft does not allow this to an app.
        AppOnlyNotSupported => "app_only_not_supported",
        /// The run could not be queued.
        DispatchFailed => "dispatch_failed",
        /// The worker stopped answering too often.
        WorkerLost => "worker_lost",
        /// The database has no room.
        StorageFull => "storage_full",
        /// The database did not answer in time.
        StorageUnavailable => "storage_unavailable",
        /// Far fewer objects than last time.
        SuspiciousShrink => "suspicious_shrink",
        /// Another run is writing the same types.
        ScopeBusy => "scope_busy",
        /// A fault of ours.
        InternalError => "internal_error",
        /// Whoever started it may not do it any more.
        AuthorityLost => "authority_lost",
        /// The tenant is disabled.
        TenantDisabled => "tenant_disabled",
        /// The kind is stopped by a gate.
        GateClosed => "gate_closed",
        /// An equal run was active.
        AlreadyActive => "already_active",
        /// The run that it belongs to was canceled.
        CanceledByParent => "canceled_by_parent",
        /// The tenant has no licence for Microsoft Intune.
        LicenceMissing => "licence_missing",
        /// What was read back is not what was planned.
        WrittenButDiffers => "written_but_differs",
        /// A part of an object was written before another was refused.
        HalfDone => "half_done",
        /// A write was accepted, and the object could not be read afterwards.
        NotReadBack => "not_read_back",
        /// The second administrator said no.
        ApprovalRejected => "approval_rejected",
        /// Nobody approved in time.
        ApprovalExpired => "approval_expired",
        /// A value that is kept secret is not there to be written.
        SecretMissing => "secret_missing",
        /// What it refers to was not written.
        DependencyFailed => "dependency_failed",
        /// Something before it failed, and it was asked to stop then.
        StoppedAfterFailure => "stopped_after_failure",
        /// Its type is shown in previews and not written.
        PreviewOnly => "preview_only",
        /// A stored payload is missing or is not what it was.
        PayloadUnreadable => "payload_unreadable",
        /// A stored payload is not where it should be.
        PayloadMissing => "payload_missing",
        /// A stored payload is not what was stored.
        PayloadDamaged => "payload_damaged",
        /// It refers to something that is not in the tenant, and nobody has said what stands for it.
        ReferenceMissing => "reference_missing",
        /// A backup's list of contents and the database say different things.
        BackupInconsistent => "backup_inconsistent",
        /// Something needs it by now, so it was kept.
        StillNeeded => "still_needed",
        /// Its id is not in the target, another of its name is, and nobody has chosen.
        NameTaken => "name_taken",
        /// An archive is no zip file, or one that contradicts itself.
        ArchiveUnreadable => "archive_unreadable",
        /// An archive holds something that no backup holds: paths that lead out, links, archives.
        ArchiveUnsafe => "archive_unsafe",
        /// An archive is larger than any backup, packed or unpacked.
        ArchiveTooLarge => "archive_too_large",
        /// An archive is not what was exported.
        ArchiveAltered => "archive_altered",
        /// An archive has a form that is not known.
        ArchiveUnknownFormat => "archive_unknown_format",
        /// A file of an archive cannot be read.
        ArchiveMalformed => "archive_malformed",
        /// An archive is of another tenant.
        ArchiveOfAnotherTenant => "archive_of_another_tenant",
        /// Where it comes from does not say whether it is all that there was.
        CompletenessUnknown => "completeness_unknown",
        /// A file of a folder became no policy.
        FileNotUnderstood => "file_not_understood",
    }
}

/// Who can put it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedBy {
    /// The customer's Microsoft Entra administrator.
    EntraAdministrator,
    /// Whoever manages the tenant in TenantPilot.
    TenantManager,
    /// Whoever runs TenantPilot.
    Operator,
    /// Time: try again later.
    Waiting,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// A later try may succeed by itself.
    Transient,
    /// It fails until somebody changes something.
    Permanent,
}

/// What is said about a code.
#[derive(Clone, Copy, Debug)]
pub struct ReasonText {
    /// One sentence: what happened.
    pub sentence: &'static str,
    /// One sentence: what to do.
    pub advice: &'static str,
    /// Who can do it.
    pub fixed_by: FixedBy,
    /// Whether trying again can help.
    pub retry: RetryClass,
}

impl ReasonCode {
    /// Whether trying again can help.
    pub const fn retry(self) -> RetryClass {
        self.text().retry
    }

    /// The sentence, the advice and who can act on it.
    #[expect(clippy::too_many_lines, reason = "one table, one row per code")]
    pub const fn text(self) -> ReasonText {
        use FixedBy::{EntraAdministrator as Entra, Operator, TenantManager as Manager, Waiting};
        use RetryClass::{Permanent, Transient};
        let (sentence, advice, fixed_by, retry) = match self {
            Self::PermissionMissing => (
                "Microsoft Graph refused: the app lacks a permission.",
                "Grant the permission that is named, consent to it again, then sync.",
                Entra,
                Permanent,
            ),
            Self::CredentialExpired => (
                "The credential of this tenant has expired.",
                "Make a new client secret or certificate in Microsoft Entra and store it here.",
                Manager,
                Permanent,
            ),
            Self::CredentialInvalid => (
                "Microsoft Entra did not accept the credential of this tenant.",
                "Check the client secret: store the secret's value, not its id.",
                Manager,
                Permanent,
            ),
            Self::CredentialUnreadable => (
                "The stored credential cannot be opened with the keys of this installation.",
                "Check the key file, or store the credential again.",
                Operator,
                Permanent,
            ),
            Self::CredentialMissing => (
                "This tenant has no credential.",
                "Store a client secret in the tenant's connection settings.",
                Manager,
                Permanent,
            ),
            Self::AppNotFound => (
                "Microsoft Entra does not know this app in this tenant.",
                "Check the tenant id, the application id and the cloud, and consent to the app.",
                Manager,
                Permanent,
            ),
            Self::ConsentMissing => (
                "An administrator of the tenant has not consented to the app.",
                "Open the consent link as an administrator of that tenant.",
                Entra,
                Permanent,
            ),
            Self::MalformedResponse => (
                "Microsoft Graph sent an answer that could not be read.",
                "Try again later. If it stays, report the Graph request id to Microsoft.",
                Waiting,
                Transient,
            ),
            Self::UntrustedNextLink => (
                "A listing pointed to another host or path; it was not followed.",
                "Check who answers for Microsoft Graph on your network: proxies, DNS.",
                Operator,
                Permanent,
            ),
            Self::BadNextLink => (
                "A listing had a next link that is not a link.",
                "Try again later. If it stays, report the Graph request id to Microsoft.",
                Waiting,
                Transient,
            ),
            Self::PagingLoop => (
                "A listing led back to a page that was read before.",
                "Try again later. If it stays, report the Graph request id to Microsoft.",
                Waiting,
                Transient,
            ),
            Self::PageLimit => (
                "A listing did not end within the page limit.",
                "Report this: no real tenant has that many objects of one type.",
                Operator,
                Permanent,
            ),
            Self::PayloadTooLarge => (
                "An answer was larger than the size limit.",
                "Look at the object in the Intune admin center; raise the limit if it is right.",
                Operator,
                Permanent,
            ),
            Self::ItemGone => (
                "The object was deleted while we were reading.",
                "Nothing to do: the next sync shows it as missing.",
                Waiting,
                Permanent,
            ),
            Self::GraphThrottled => (
                "Microsoft Graph asked us to wait longer than a run may.",
                "Run it again later, or run fewer things at once in this tenant.",
                Waiting,
                Transient,
            ),
            Self::GraphUnavailable => (
                "Microsoft Graph could not be reached or kept failing.",
                "Check the network and Microsoft's service health, then run it again.",
                Waiting,
                Transient,
            ),
            Self::GraphRefused => (
                "Microsoft Graph refused the request.",
                "Check that the tenant has the licence for this policy type.",
                Entra,
                Permanent,
            ),
            Self::AuthFailed => (
                "Microsoft did not accept our sign-in.",
                "Check the connection of this tenant, then run it again.",
                Manager,
                Permanent,
            ),
            Self::UnsupportedType => (
                "There is no contract for this policy type, so no call was made.",
                "Choose policy types from the list of supported types.",
                Operator,
                Permanent,
            ),
            Self::TenantMismatch => (
                "The sign-in was answered for another tenant; it was not used.",
                "Check the Microsoft Entra tenant id of this tenant.",
                Manager,
                Permanent,
            ),
            Self::TargetChanged => (
                "The object changed after the preview; it was left alone.",
                "Make a new preview.",
                Manager,
                Permanent,
            ),
            Self::PlanExpired => {
                ("The preview is too old.", "Make a new preview.", Manager, Permanent)
            }
            Self::UnknownOutcome => (
                "The answer to a write was lost: it may or may not have happened.",
                "Compare the object with the plan before you try again.",
                Manager,
                Permanent,
            ),
            Self::AwaitingExternalApproval => (
                "Microsoft Intune waits for a second administrator to approve.",
                "Approve the request in the Intune admin center within three days.",
                Entra,
                Permanent,
            ),
            Self::AppOnlyNotSupported => (
                "Microsoft does not allow this to an app without a signed-in person.",
                "Do this one in the Intune admin center.",
                Entra,
                Permanent,
            ),
            Self::DispatchFailed => (
                "The run could not be queued.",
                "Try again. If it stays, look at the server's log and database.",
                Operator,
                Transient,
            ),
            Self::WorkerLost => (
                "The worker stopped answering too many times.",
                "Look at the workers' logs, then run it again.",
                Operator,
                Transient,
            ),
            Self::StorageFull => (
                "The database has no room left.",
                "Free space on the database's disk, then run it again.",
                Operator,
                Transient,
            ),
            Self::SuspiciousShrink => (
                "Far fewer objects were listed than last time; nothing was marked missing.",
                "Sync again: a second equal listing confirms it.",
                Manager,
                Transient,
            ),
            Self::ScopeBusy => (
                "Another run is writing the same policy types of this tenant.",
                "Wait for that run to end.",
                Waiting,
                Transient,
            ),
            Self::AuthorityLost => (
                "Whoever started it may not do it any more, so it was not begun.",
                "Let somebody with the right start it, or give the right back.",
                Manager,
                Permanent,
            ),
            Self::TenantDisabled => (
                "The tenant is disabled, so it was not begun.",
                "Enable the tenant, then run it again.",
                Manager,
                Permanent,
            ),
            Self::GateClosed => (
                "This kind of operation is stopped at present, so it was not begun.",
                "Look at the platform page: who closed the gate, why, and until when.",
                Manager,
                Permanent,
            ),
            Self::AlreadyActive => (
                "An equal run was active already, so none was started.",
                "Look at that run.",
                Waiting,
                Permanent,
            ),
            Self::CanceledByParent => (
                "The run that it belongs to was canceled before this was begun.",
                "Start it again if it is still wanted.",
                Manager,
                Permanent,
            ),
            Self::WrittenButDiffers => (
                "It was written, but what was read back differs from the plan.",
                "Compare the object with the plan: Microsoft may have changed a value.",
                Manager,
                Permanent,
            ),
            Self::HalfDone => (
                "A part of the object was written before another part was refused.",
                "Look at which part failed, then make a new preview: it shows what is left to do.",
                Manager,
                Permanent,
            ),
            Self::NotReadBack => (
                "The write was accepted, but the object could not be read afterwards.",
                "Look at the object in the Intune admin center, then make a new preview.",
                Manager,
                Permanent,
            ),
            Self::ApprovalRejected => (
                "A second administrator rejected the change in Microsoft Intune.",
                "Ask who rejected it, then make a new preview.",
                Entra,
                Permanent,
            ),
            Self::ApprovalExpired => (
                "Nobody approved the change in Microsoft Intune within three days.",
                "Make a new preview, and tell the approvers before you confirm it.",
                Entra,
                Permanent,
            ),
            Self::SecretMissing => (
                "The object holds a secret whose value is not stored.",
                "Give the value in the restore, or set it in the Intune admin center.",
                Manager,
                Permanent,
            ),
            Self::DependencyFailed => (
                "Something that it refers to was not written, so it was not begun.",
                "Look at what failed before it, then make a new preview.",
                Manager,
                Permanent,
            ),
            Self::StoppedAfterFailure => (
                "It was not begun: something before it failed, and the plan says to stop then.",
                "Look at what failed before it, then make a new preview.",
                Manager,
                Permanent,
            ),
            Self::PreviewOnly => (
                "Its policy type is shown in previews and not written.",
                "Do this one in the Intune admin center, or let an operator enable the type.",
                Operator,
                Permanent,
            ),
            Self::PayloadUnreadable => (
                "A stored payload is missing or is not what it was.",
                "Verify the backup that it comes from.",
                Operator,
                Permanent,
            ),
            Self::PayloadMissing => (
                "A stored content is not where it should be.",
                "Put it back from a backup of the payload store, then verify again.",
                Operator,
                Permanent,
            ),
            Self::PayloadDamaged => (
                "A stored content is not what was stored: altered, cut, moved, or sealed with a lost key.",
                "Put it back from a backup of the payload store, then verify again.",
                Operator,
                Permanent,
            ),
            Self::ReferenceMissing => (
                "It refers to a group, filter or other object that is not in the tenant.",
                "Restore what it refers to as well, or leave this policy out.",
                Manager,
                Permanent,
            ),
            Self::BackupInconsistent => (
                "The backup's own list of contents and the database say different things.",
                "Look for who changed the database or put an older one back; restore from another backup.",
                Operator,
                Permanent,
            ),
            Self::StillNeeded => (
                "It was pinned or needed by something in the meantime, so it was kept.",
                "Nothing to do: the next run looks again.",
                Waiting,
                Permanent,
            ),
            Self::ArchiveUnreadable => (
                "The archive is no zip file, or it is cut off, encrypted or contradicts itself.",
                "Export the backup again, or pack the folder with another program.",
                Manager,
                Permanent,
            ),
            Self::ArchiveUnsafe => (
                "The archive holds something that no backup holds: nothing of it was imported.",
                "Do not trust this file; get the archive again from where it was exported.",
                Manager,
                Permanent,
            ),
            Self::ArchiveTooLarge => (
                "The archive is larger than allowed, packed or unpacked.",
                "Export fewer policies into one archive.",
                Manager,
                Permanent,
            ),
            Self::ArchiveAltered => (
                "The archive is not what was exported: nothing of it was imported.",
                "Get the archive again, and compare its root hash with the one of the export.",
                Manager,
                Permanent,
            ),
            Self::ArchiveUnknownFormat => (
                "The archive has a form that this version does not know.",
                "Update TenantPilot, or export the archive again.",
                Manager,
                Permanent,
            ),
            Self::ArchiveMalformed => (
                "A file of the archive cannot be read: nothing of it was imported.",
                "Export the archive again.",
                Manager,
                Permanent,
            ),
            Self::ArchiveOfAnotherTenant => (
                "The archive is of another tenant: nothing of it was imported.",
                "Import it into its own tenant; from there it can be restored into another one.",
                Manager,
                Permanent,
            ),
            Self::FileNotUnderstood => (
                "A file of the folder became no policy; everything else was imported.",
                "Look at the file. Where it holds a policy that you need, back the tenant up with TenantPilot.",
                Manager,
                Permanent,
            ),
            Self::CompletenessUnknown => (
                "What this was imported from does not say whether it is all that there was.",
                "Nothing to do: what is in the backup can be compared and restored.",
                Manager,
                Permanent,
            ),
            Self::NameTaken => (
                "Another object of this name is in the target tenant.",
                "Say whether it is this one or a new one is made; then preview again.",
                Manager,
                Permanent,
            ),
            Self::StorageUnavailable => (
                "TenantPilot's database did not answer in time.",
                "It is tried again by itself; look at the database if this repeats.",
                Operator,
                Transient,
            ),
            Self::LicenceMissing => (
                "The tenant has no licence for Microsoft Intune.",
                "Give the tenant a licence that holds Microsoft Intune, then check the connection again.",
                Entra,
                Permanent,
            ),
            Self::InternalError => (
                "TenantPilot failed at this.",
                "Look at the server's log for this run's id and report it.",
                Operator,
                Permanent,
            ),
        };
        ReasonText { sentence, advice, fixed_by, retry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_never_renamed() {
        let codes: Vec<&str> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.join("\n") + "\n", include_str!("../tests/golden/reason-codes.txt"));
    }
}
