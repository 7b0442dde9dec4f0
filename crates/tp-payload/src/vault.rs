//! Sealer and store of one tenant, joined.

use std::sync::Arc;

use tp_domain::ids::CopyId;
use tp_domain::payload::{PayloadAddress, PayloadKind};

use crate::canonical::Canonical;
use crate::error::{PayloadError, SealError};
use crate::name::ObjectName;
use crate::seal::{Sealed, Sealer};
use crate::store::{PayloadStore, Put};

/// From this length on, in bytes, sealing is moved off the threads that serve others.
const LONG: usize = 256 << 10;

/// The payloads of one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    sealer: Arc<Sealer>,
    store: PayloadStore,
}

impl Vault {
    /// Joins them.
    pub fn new(sealer: Sealer, store: PayloadStore) -> Self {
        Self { sealer: Arc::new(sealer), store }
    }

    /// For addresses and fingerprints.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn name(&self, address: PayloadAddress, copy: CopyId) -> ObjectName {
        ObjectName { tenant: self.sealer.tenant(), address, copy }
    }

    /// Stores a content as the given copy. The database must have reserved the copy before, and must
    /// confirm it afterwards; until then nothing may refer to it.
    ///
    /// Asked again for the same copy, after a crash say, it leaves a sound object and replaces another.
    pub async fn put(
        &self,
        kind: PayloadKind,
        content: &Canonical,
        copy: CopyId,
    ) -> Result<Sealed, PayloadError> {
        self.put_bytes(kind, content.as_bytes(), copy).await
    }

    /// Stores any bytes, of a kind that is no JSON, as [`Vault::put`] does a content.
    pub async fn put_bytes(
        &self,
        kind: PayloadKind,
        bytes: &[u8],
        copy: CopyId,
    ) -> Result<Sealed, PayloadError> {
        let sealed = self.seal(kind, bytes).await?;
        let name = self.name(sealed.address, copy);
        if self.store.put(&name, sealed.bytes.clone()).await? == Put::Stored {
            return Ok(sealed);
        }
        let there = match self.store.get(&name).await {
            Ok(object) => self.sealer.check(kind, &sealed.address, object).ok(),
            Err(PayloadError::TooLong) => None,
            Err(error) => return Err(error),
        };
        if let Some(there) = there {
            return Ok(there);
        }
        self.store.replace(&name, sealed.bytes.clone()).await?;
        Ok(sealed)
    }

    /// Reads a content; everything about it is checked.
    pub async fn get(
        &self,
        kind: PayloadKind,
        address: PayloadAddress,
        copy: CopyId,
    ) -> Result<Canonical, PayloadError> {
        let bytes = self.get_bytes(kind, address, copy).await?;
        Ok(Canonical::stored(bytes).ok_or(SealError::Altered)?)
    }

    /// Reads any bytes, of a kind that is no JSON; everything about them is checked.
    pub async fn get_bytes(
        &self,
        kind: PayloadKind,
        address: PayloadAddress,
        copy: CopyId,
    ) -> Result<Vec<u8>, PayloadError> {
        let object = self.store.get(&self.name(address, copy)).await?;
        if object.len() < LONG {
            return Ok(self.sealer.open_bytes(kind, &address, &object)?);
        }
        let sealer = Arc::clone(&self.sealer);
        off_thread(move || sealer.open_bytes(kind, &address, &object)).await
    }

    /// Seals the content of one copy under the active data key as another copy; none when it already is.
    /// The old copy stays until the database has forgotten it.
    pub async fn reseal(
        &self,
        kind: PayloadKind,
        address: PayloadAddress,
        from: CopyId,
        to: CopyId,
    ) -> Result<Option<Sealed>, PayloadError> {
        let object = self.store.get(&self.name(address, from)).await?;
        let sealer = Arc::clone(&self.sealer);
        let resealed = off_thread(move || sealer.reseal(kind, &address, &object)).await?;
        let Some(sealed) = resealed else { return Ok(None) };
        if self.store.put(&self.name(address, to), sealed.bytes.clone()).await? == Put::Present {
            self.store.replace(&self.name(address, to), sealed.bytes.clone()).await?;
        }
        Ok(Some(sealed))
    }

    async fn seal(&self, kind: PayloadKind, bytes: &[u8]) -> Result<Sealed, PayloadError> {
        if bytes.len() < LONG {
            return Ok(self.sealer.seal_bytes(kind, bytes)?);
        }
        let (sealer, bytes) = (Arc::clone(&self.sealer), bytes.to_vec());
        off_thread(move || sealer.seal_bytes(kind, &bytes)).await
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SealError> + Send + 'static,
) -> Result<T, PayloadError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| SealError::Machine)??)
}
