//! Ids that cannot be mixed up, and where new ones come from.

use std::fmt;

use uuid::Uuid;

/// A word outside a closed set. Says which words are allowed, never the word that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a known {what}; allowed: {}", allowed.join(", "))]
pub struct UnknownWord {
    what: &'static str,
    allowed: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) const fn new(what: &'static str, allowed: &'static [&'static str]) -> Self {
        Self { what, allowed }
    }

    /// The words that are allowed.
    pub const fn allowed(&self) -> &'static [&'static str] {
        self.allowed
    }
}

/// Where new ids come from. A parameter everywhere, so that tests can fix them (rule I-9).
pub trait Ids: Send + Sync + fmt::Debug {
    /// A new `UUIDv7`: sorts by the time it was made.
    fn next(&self) -> Uuid;
}

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a value that was read from the database or the URL. Gives no access by itself.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A new id.
            pub fn next(ids: &dyn Ids) -> Self {
                Self(ids.next())
            }

            /// The plain value, for storing and showing.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )+};
}

id! {
    /// An MSP or an IT department.
    WorkspaceId;
    /// One Microsoft Entra tenant, managed by exactly one workspace. Our id, not Entra's.
    TenantId;
    /// A person who can sign in.
    UserId;
    /// A file that is kept for a while.
    ArtefactId;
    /// One `OperationRun`.
    RunId;
    /// One observed policy. Our id, not Graph's.
    PolicyId;
    /// One notification of one person.
    NotificationId;
    /// One entry of the audit log.
    AuditId;
    /// One signed-in browser.
    SessionId;
    /// One API token.
    TokenId;
    /// One request to join a workspace.
    InvitationId;
    /// One schedule.
    ScheduleId;
    /// One version of a policy.
    VersionId;
    /// One backup set.
    BackupId;
    /// One data key of a tenant.
    DataKeyId;
    /// One stored object of a payload. Never used again for another object, not even of the same payload.
    CopyId;
    /// One credential of a tenant.
    CredentialId;
    /// One restore: its draft, plan, confirm and results.
    RestoreId;
    /// One write that is written down before it is sent.
    IntentId;
    /// One process that takes work. Made at process start, never a host name.
    WorkerId;
}

/// What leads every key: the tenant, or the workspace for workspace-level rows (ruling 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeId {
    /// A row of one tenant.
    Tenant(TenantId),
    /// A row of the workspace itself.
    Workspace(WorkspaceId),
}

impl ScopeId {
    /// The value of the `scope_id` column.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Tenant(tenant) => tenant.uuid(),
            Self::Workspace(workspace) => workspace.uuid(),
        }
    }
}
