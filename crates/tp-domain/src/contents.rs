//! Reading stored contents, as those who show them need it: they know neither seals nor object stores.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::ids::{CopyId, DataKeyId, TenantId};
use crate::json::Json;
use crate::payload::{PayloadAddress, PayloadKeys, PayloadKind};

/// Which content is wanted, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentPlace {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub kind: PayloadKind,
    /// Its address.
    pub address: PayloadAddress,
    /// The copy to read.
    pub copy: CopyId,
}

/// Why a content cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// It is not where it should be.
    #[error("the stored content is missing")]
    Missing,
    /// It is not what was stored: altered, cut, in another's place, or sealed with a key that is gone.
    #[error("the stored content is damaged")]
    Damaged,
    /// There is no room for more.
    #[error("the store of contents is full")]
    Full,
    /// Where it lies does not answer, or refuses; it may be well.
    #[error("the store of contents does not answer")]
    Unavailable,
}

/// Bytes that were sealed and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentWritten {
    /// The data key that they are sealed with.
    pub key: DataKeyId,
    /// Length of the stored object.
    pub object_bytes: u64,
}

/// Reads stored contents, and stores pieces of files. tp-payload does it; the process hands it to the pages.
pub trait Contents: fmt::Debug + Send + Sync {
    /// The content, with everything about it checked.
    fn read<'a>(
        &'a self,
        place: ContentPlace,
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<Json, ContentFault>>;

    /// The bytes of a piece, with everything about it checked.
    fn read_piece<'a>(
        &'a self,
        place: ContentPlace,
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<Vec<u8>, ContentFault>>;

    /// Where a piece belongs.
    fn address_of_piece(
        &self,
        tenant: TenantId,
        bytes: &[u8],
        keys: &PayloadKeys,
    ) -> Result<PayloadAddress, ContentFault>;

    /// Stores a piece as the copy that was reserved for it.
    fn write_piece<'a>(
        &'a self,
        place: ContentPlace,
        bytes: &'a [u8],
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<ContentWritten, ContentFault>>;
}
