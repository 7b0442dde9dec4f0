//! Graph's documented limits, by group of types.
//!
//! Sources: Microsoft Graph documentation, `throttling-limits.md` and the `throttling-intune-*`,
//! `throttling-identityprotection-ca` includes. Microsoft says of them "subject to change".

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which of Graph's limits counts for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThrottleGroup {
    /// Most of Intune.
    IntuneDefault,
    /// Managed devices and scripts.
    IntuneDevices,
    /// Conditional access and named locations: no Retry-After is sent.
    ConditionalAccess,
    /// Directory objects, counted in resource units.
    Identity,
    /// Windows 365; no number is published.
    Cloudpc,
}

/// The numbers of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Over which time they count.
    pub window: Duration,
    /// Requests of one app in one tenant.
    pub app_any: Option<u32>,
    /// Writes of one app in one tenant.
    pub app_write: Option<u32>,
    /// Requests of all apps in one tenant.
    pub tenant_any: Option<u32>,
    /// Writes of all apps in one tenant.
    pub tenant_write: Option<u32>,
}

impl ThrottleGroup {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntuneDefault => "intune-default",
            Self::IntuneDevices => "intune-devices",
            Self::ConditionalAccess => "conditional-access",
            Self::Identity => "identity",
            Self::Cloudpc => "cloudpc",
        }
    }

    /// The numbers; none where Microsoft publishes none in requests.
    pub const fn limits(self) -> Option<Limits> {
        match self {
            Self::IntuneDefault => Some(Limits {
                window: Duration::from_secs(20),
                app_any: Some(1000),
                app_write: Some(100),
                tenant_any: Some(2000),
                tenant_write: Some(200),
            }),
            Self::IntuneDevices => Some(Limits {
                window: Duration::from_secs(20),
                app_any: Some(2000),
                app_write: Some(200),
                tenant_any: Some(4000),
                tenant_write: Some(400),
            }),
            Self::ConditionalAccess => Some(Limits {
                window: Duration::from_secs(1),
                app_any: None,
                app_write: None,
                tenant_any: Some(1),
                tenant_write: None,
            }),
            Self::Identity | Self::Cloudpc => None,
        }
    }
}
