//! How much of a policy type a run has seen (PRODUCT G-5). Absence is knowledge only when complete.

use crate::reason::ReasonCode;
use crate::words::words;

words! {
    /// The word that is stored and shown for a [`Completeness`].
    pub enum CompletenessState {
        /// Every page was read.
        Complete => "complete",
        /// Some of it was read; what is absent may still be there.
        Partial => "partial",
        /// Nothing usable was read.
        Failed => "failed",
        /// Graph refused for want of a permission.
        NotPermitted => "not_permitted",
        /// No call was made: there is no contract, or Microsoft allows none to an app.
        NotCovered => "not_covered",
    }
}

/// What one run knows of one policy type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Every page was read: what is absent is missing.
    Complete,
    /// Cut off, with the reason.
    Partial(ReasonCode),
    /// Not read, with the reason.
    Failed(ReasonCode),
    /// Refused; the permission that the contract names as least.
    NotPermitted(String),
    /// No call was made, with the reason: no contract, or none that an app may use.
    NotCovered(ReasonCode),
}

impl Completeness {
    /// The stable word.
    pub const fn state(&self) -> CompletenessState {
        match self {
            Self::Complete => CompletenessState::Complete,
            Self::Partial(_) => CompletenessState::Partial,
            Self::Failed(_) => CompletenessState::Failed,
            Self::NotPermitted(_) => CompletenessState::NotPermitted,
            Self::NotCovered(_) => CompletenessState::NotCovered,
        }
    }

    /// Why it is not complete.
    pub const fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Complete => None,
            Self::Partial(reason) | Self::Failed(reason) | Self::NotCovered(reason) => {
                Some(*reason)
            }
            Self::NotPermitted(_) => Some(ReasonCode::PermissionMissing),
        }
    }

    /// The missing permission, where that is the reason.
    pub fn permission(&self) -> Option<&str> {
        match self {
            Self::NotPermitted(permission) => Some(permission),
            _ => None,
        }
    }
}
