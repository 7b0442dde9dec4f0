//! Payloads: what a snapshot holds, kept so that it can be neither read nor altered nor lost unseen.
//!
//! A payload passes four stations, each with a type of its own:
//!
//! 1. [`Canonical`]: the one text of a value, secrets already replaced by markers (`tp-catalog` does that).
//! 2. [`Sealer`]: compresses and seals it under the tenant's data key. The seal names kind, tenant and
//!    address, so that no payload can take another's place (TRUST T15, T16, A28).
//! 3. [`PayloadStore`]: a local folder or an S3 bucket. Objects are written whole or not at all, and never
//!    changed.
//! 4. The database says which object holds which payload. Why objects carry an id beside the address, and
//!    how that keeps the collection of garbage from racing a capture: `docs/decisions/0013-payload-store.md`.
//!
//! [`Vault`] joins sealer and store for one tenant; most callers need nothing else.

mod canonical;
mod envelope;
mod error;
mod location;
mod name;
mod reader;
mod seal;
mod store;
mod vault;

pub use canonical::{Canonical, NotCanonical};
pub use error::{PayloadError, SealError};
pub use location::{BadLocation, Location};
pub use name::ObjectName;
pub use seal::{Fingerprint, Sealed, Sealer};
pub use store::{Listed, PayloadStore, Probe, Put};
pub use vault::Vault;

/// The longest canonical text that is kept, in bytes. A policy with 25 MB is kept (TRUST F33); what is
/// longer is `payload_too_large`.
pub const MOST_BYTES: usize = 64 << 20;
