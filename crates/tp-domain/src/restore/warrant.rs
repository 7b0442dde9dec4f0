//! What lets a client write into a tenant: a plan that was confirmed, and an intent that was written down.
//!
//! The crate that speaks to Graph does not know the database, so it asks for these two traits. The store is
//! the only crate that implements them (`cargo xtask tidy` fails on another), on types that only its doors
//! make: a warrant from the claim of a confirmed restore, an intent from a committed row (rule I-8).

use uuid::Uuid;

use crate::restore::plan::BodyHash;

/// The right to write what one confirmed plan says.
pub trait WriteWarrant: Send + Sync {
    /// The tenant that the plan is for, by its id in Microsoft Entra.
    fn entra_tenant_id(&self) -> Uuid;

    /// Why it is written, in the words of the person who confirmed it.
    fn reason(&self) -> &str;
}

/// One write that was written down and committed before it is sent (TRUST P4, T14).
pub trait RecordedIntent: Send + Sync {
    /// Its id: it stands in the justification that Microsoft keeps, so that a lost request is found again.
    fn id(&self) -> Uuid;

    /// The method that was written down.
    fn method(&self) -> &str;

    /// The path below the version that was written down.
    fn path(&self) -> &str;

    /// The hash of the body that was written down; none where there is no body.
    fn body_hash(&self) -> Option<&BodyHash>;
}
