//! The audit log: what was done, by whom, to what (PRODUCT U-1). Written with the change itself.

use serde_json::Value;

use crate::actor::Initiator;
use crate::ids::{RunId, TenantId};
use crate::words::words;

words! {
    /// What was done. The word is stable and is what filters and exports use.
    pub enum AuditAction {
        /// A backup set was pinned, unpinned or noted.
        BackupMarked => "backup.marked",
        /// A backup set was deleted.
        BackupDeleted => "backup.deleted",
        /// The archive of a backup set was taken away as a file.
        BackupDownloaded => "backup.downloaded",
        /// An archive was uploaded.
        BackupUploaded => "backup.uploaded",
        /// A workspace was created.
        WorkspaceCreated => "workspace.created",
        /// An account was created.
        UserCreated => "user.created",
        /// Somebody signed in.
        UserSignedIn => "user.signed_in",
        /// Somebody tried to sign in and was refused.
        UserSignInRefused => "user.sign_in_refused",
        /// Somebody signed out.
        UserSignedOut => "user.signed_out",
        /// Somebody went on in another of their workspaces.
        UserWorkspaceChosen => "user.workspace_chosen",
        /// An account can be signed in to at an identity provider.
        IdentityLinked => "identity.linked",
        /// An account cannot be signed in to at that identity provider any more.
        IdentityUnlinked => "identity.unlinked",
        /// Whose people become members by signing in was changed.
        SignInRuleSet => "sign_in_rule.set",
        /// A member was added or given another role.
        MemberSet => "member.set",
        /// A member was removed, or lost the role in one tenant.
        MemberRemoved => "member.removed",
        /// Somebody was asked to join.
        MemberInvited => "member.invited",
        /// An invitation was taken back.
        InvitationRevoked => "invitation.revoked",
        /// Somebody joined with an invitation.
        InvitationAccepted => "invitation.accepted",
        /// An account was switched off: it cannot sign in.
        UserDisabled => "user.disabled",
        /// An account was switched on again.
        UserEnabled => "user.enabled",
        /// Somebody changed their password.
        UserPasswordChanged => "user.password_changed",
        /// Somebody turned their second factor on.
        UserSecondFactorSet => "user.second_factor_set",
        /// A second factor was turned off, by its person or for them.
        UserSecondFactorRemoved => "user.second_factor_removed",
        /// Somebody made new recovery codes.
        UserRecoveryCodesMade => "user.recovery_codes_made",
        /// Somebody came in with a recovery code.
        UserRecoveryCodeUsed => "user.recovery_code_used",
        /// Somebody showed again who they are.
        UserConfirmed => "user.confirmed",
        /// Sessions were ended from another one.
        SessionsEnded => "session.ended",
        /// An API token was taken back.
        TokenRevoked => "token.revoked",
        /// An API token was made.
        TokenCreated => "token.created",
        /// An API token was used for the first time.
        TokenFirstUsed => "token.first_used",
        /// A tenant was added.
        TenantCreated => "tenant.created",
        /// A tenant's credential was stored.
        TenantCredentialSet => "tenant.credential_set",
        /// A tenant was given a new key for its payloads.
        TenantKeyRotated => "tenant.key_rotated",
        /// The keys for a tenant's payloads were destroyed: what they sealed is gone.
        TenantKeysDestroyed => "tenant.keys_destroyed",
        /// A key pair was made here, to be signed in with later.
        TenantCredentialPrepared => "tenant.credential_prepared",
        /// A key pair that was made here took the place of the credential before.
        TenantCredentialUsed => "tenant.credential_used",
        /// A key pair that was made here was thrown away unused.
        TenantCredentialDiscarded => "tenant.credential_discarded",
        /// Somebody asked for a link to the admin-consent page.
        TenantConsentAsked => "tenant.consent_asked",
        /// The admin-consent page sent its answer.
        TenantConsentAnswered => "tenant.consent_answered",
        /// A run was started.
        RunStarted => "run.started",
        /// A run could not be queued.
        RunDispatchFailed => "run.dispatch_failed",
        /// Somebody asked to cancel a run.
        RunCancelRequested => "run.cancel_requested",
        /// A run was refused before it began.
        RunBlocked => "run.blocked",
        /// A stuck run was taken from its worker by hand.
        RunReleased => "run.released",
        /// Finished runs were deleted after the workspace's retention.
        RunsPruned => "runs.pruned",
        /// A gate was closed.
        GateClosed => "gate.closed",
        /// A gate was opened.
        GateOpened => "gate.opened",
        /// A schedule was made.
        ScheduleCreated => "schedule.created",
        /// A schedule was changed, paused or resumed.
        ScheduleChanged => "schedule.changed",
        /// A schedule was deleted.
        ScheduleDeleted => "schedule.deleted",
        /// A restore was begun.
        RestoreCreated => "restore.created",
        /// A plan was frozen for a restore.
        RestorePlanFrozen => "restore.plan_frozen",
        /// A person confirmed a restore's plan.
        RestoreConfirmed => "restore.confirmed",
        /// A second person agreed to a restore.
        RestoreApproved => "restore.approved",
        /// A restore was given up, or refused by the second person.
        RestoreDiscarded => "restore.discarded",
        /// What failed of a restore is done again.
        RestoreRetried => "restore.retried",
        /// What a run did to one object of a restore.
        RestoreItemEnded => "restore.item_ended",
        /// A setting of the workspace was changed.
        SettingsChanged => "settings.changed",
    }
}

/// What a change says of itself. The store adds time, id and scope when it writes the row.
#[derive(Clone, Debug)]
pub struct AuditNote {
    /// Who.
    pub actor: Initiator,
    /// What.
    pub action: AuditAction,
    /// To what, as a kind and an id: `run`, `tenant`, `user`.
    pub target: (&'static str, String),
    /// The tenant, where there is one.
    pub tenant: Option<TenantId>,
    /// The run that it led to.
    pub run: Option<RunId>,
    /// The request that brought it in, for the log.
    pub request_id: Option<String>,
    /// Sanitised facts: before, after, chosen inputs. Never a secret.
    pub details: Value,
}
