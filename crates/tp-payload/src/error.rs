//! What can go wrong with payloads, named by what the caller can do about it.

use tp_domain::reason::ReasonCode;

/// A payload cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The object is none of ours, or of a newer version.
    #[error("the stored object is not a payload of this version")]
    NotOurs,
    /// The object was sealed with a data key that the tenant does not have (any more).
    #[error("the payload was sealed with a key that is gone")]
    UnknownKey,
    /// The object was altered, cut, or stands in another one's place.
    #[error("the stored payload was altered")]
    Altered,
    /// The canonical text is longer than [`crate::MOST_BYTES`].
    #[error("the payload is too large")]
    TooLarge,
    /// The machine gives no random bytes, or compresses nothing.
    #[error("the payload cannot be sealed on this machine")]
    Machine,
}

/// The object store did not do as asked. Carries no foreign text: answers of object stores repeat
/// account names and signed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// There is no such object.
    #[error("the stored payload is missing")]
    Missing,
    /// The object is longer than any payload.
    #[error("the stored object is longer than any payload")]
    TooLong,
    /// The object store cannot be reached, or did not answer in time.
    #[error("the payload store is not available")]
    Unavailable,
    /// The object store refuses us.
    #[error("the payload store refuses access")]
    Denied,
    /// There is no room left.
    #[error("the payload store has no room left")]
    Full,
    /// What was written came back otherwise, or another object has the name.
    #[error("the payload store does not keep what it is given")]
    Unreliable,
    /// The payload cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl PayloadError {
    /// The reason code that an item or a run ends with.
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::Full => ReasonCode::StorageFull,
            Self::Seal(SealError::TooLarge) => ReasonCode::PayloadTooLarge,
            _ => ReasonCode::InternalError,
        }
    }

    /// Whether the same may succeed a moment later.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Unavailable | Self::Full)
    }
}

impl From<object_store::Error> for PayloadError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        match &error {
            E::NotFound { .. } => Self::Missing,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied,
            _ => cause(&error),
        }
    }
}

/// What the operating system said, if it said something.
fn cause(error: &object_store::Error) -> PayloadError {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return of_system(error);
        }
        at = error.source();
    }
    PayloadError::Unavailable
}

pub(crate) fn of_system(error: &std::io::Error) -> PayloadError {
    use std::io::ErrorKind as E;
    match error.kind() {
        E::NotFound => PayloadError::Missing,
        E::PermissionDenied | E::ReadOnlyFilesystem => PayloadError::Denied,
        E::StorageFull | E::QuotaExceeded => PayloadError::Full,
        _ => PayloadError::Unavailable,
    }
}
