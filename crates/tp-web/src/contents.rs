//! The content of a version, for pages and the API: read through a port, with every hash checked.

use tp_catalog::content::VersionContent;
use tp_domain::access::ViewBackups;
use tp_domain::contents::{ContentFault, ContentPlace};
use tp_domain::json::Json;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::reason::ReasonCode;
use tp_domain::version::PolicyVersion;
use tp_store::TenantScope;

use crate::app::App;
use crate::error::WebError;

/// Why a content cannot be shown. The version itself can: its facts are in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not where it should be, or is not what was stored.
    Fault(ContentFault),
    /// The keys that open it are destroyed or not at hand.
    Keys(ReasonCode),
    /// It was written by a newer version of the program.
    Form,
}

impl Unreadable {
    /// The reason for programs, and for the page that explains it.
    pub(crate) const fn reason(self) -> ReasonCode {
        match self {
            Self::Fault(ContentFault::Unavailable) => ReasonCode::StorageUnavailable,
            Self::Fault(ContentFault::Full) => ReasonCode::StorageFull,
            Self::Fault(ContentFault::Missing | ContentFault::Damaged) | Self::Form => {
                ReasonCode::PayloadUnreadable
            }
            Self::Keys(reason) => reason,
        }
    }

    /// What is wrong.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Fault(ContentFault::Missing) => {
                "The content of this version is not in the payload store."
            }
            Self::Fault(ContentFault::Damaged) => {
                "The content of this version is damaged: it is not what was stored."
            }
            Self::Fault(ContentFault::Unavailable) => "The payload store does not answer.",
            Self::Fault(ContentFault::Full) => "The payload store has no room.",
            Self::Keys(_) => "The key that this version is sealed with is not at hand.",
            Self::Form => "A newer version of TenantPilot wrote this version's content.",
        }
    }

    /// What to do about it.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Fault(ContentFault::Missing | ContentFault::Damaged) => {
                "Bring the payload store back from a backup of the same time as the database, then look again. Nothing of it is restored to a tenant."
            }
            Self::Fault(ContentFault::Full) => {
                "Make room on the disk of payloads.url, then try again. Nothing was kept."
            }
            Self::Fault(ContentFault::Unavailable) => {
                "It may be well. Check payloads.url and the disk or the bucket, then look again."
            }
            Self::Keys(_) => {
                "Check keys.file. If the tenant's keys were destroyed, its contents are gone for good."
            }
            Self::Form => "Install the version that made it, or a newer one.",
        }
    }
}

/// Work on contents, which may be large, off the threads that serve others.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WebError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| WebError::Internal)
}

async fn stored(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    kind: PayloadKind,
    address: PayloadAddress,
) -> Result<Result<Json, Unreadable>, WebError> {
    let Some(place) = scope.payload_place(address).await? else {
        return Ok(Err(Unreadable::Fault(ContentFault::Missing)));
    };
    let keys = match scope.payload_keys().await? {
        Ok(keys) => keys,
        Err(reason) => return Ok(Err(Unreadable::Keys(reason))),
    };
    let place = ContentPlace { tenant: scope.tenant().id, kind, address, copy: place.copy };
    Ok(app.contents.read(place, &keys).await.map_err(Unreadable::Fault))
}

/// Reads what the preview of a restore has found. The outer error is the database's.
pub(crate) async fn preview(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    address: PayloadAddress,
) -> Result<Result<Json, Unreadable>, WebError> {
    stored(app, scope, PayloadKind::Preview, address).await
}

/// Reads what a version holds. The outer error is the database's.
pub(crate) async fn read(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    version: &PolicyVersion,
) -> Result<Result<VersionContent, Unreadable>, WebError> {
    let stored = stored(app, scope, PayloadKind::Version, version.address).await?;
    Ok(stored.and_then(|json| match VersionContent::read(json) {
        // A content of another type in this place is not what was stored.
        Ok(content) if content.policy_type != version.policy_type.as_str() => {
            Err(Unreadable::Fault(ContentFault::Damaged))
        }
        read => read.map_err(|_| Unreadable::Form),
    }))
}
