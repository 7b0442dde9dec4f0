//! The store as those see it who show what is in it, and take files in.

use futures_util::future::BoxFuture;
use tp_domain::contents::{ContentFault, ContentPlace, ContentWritten, Contents};
use tp_domain::ids::TenantId;
use tp_domain::json::Json;
use tp_domain::payload::{PayloadAddress, PayloadKeys, PayloadKind};

use crate::error::PayloadError;
use crate::seal::Sealer;
use crate::store::PayloadStore;
use crate::vault::Vault;

fn sealer(tenant: TenantId, keys: &PayloadKeys) -> Result<Sealer, ContentFault> {
    Sealer::new(tenant, keys).map_err(|_| ContentFault::Damaged)
}

impl PayloadStore {
    fn vault(&self, tenant: TenantId, keys: &PayloadKeys) -> Result<Vault, ContentFault> {
        Ok(Vault::new(sealer(tenant, keys)?, self.clone()))
    }
}

impl Contents for PayloadStore {
    fn read<'a>(
        &'a self,
        place: ContentPlace,
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<Json, ContentFault>> {
        Box::pin(async move {
            let vault = self.vault(place.tenant, keys)?;
            let read = vault.get(place.kind, place.address, place.copy).await;
            let content = read.map_err(fault)?;
            content.json().map_err(|_| ContentFault::Damaged)
        })
    }

    fn read_piece<'a>(
        &'a self,
        place: ContentPlace,
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<Vec<u8>, ContentFault>> {
        Box::pin(async move {
            let vault = self.vault(place.tenant, keys)?;
            vault.get_bytes(place.kind, place.address, place.copy).await.map_err(fault)
        })
    }

    fn address_of_piece(
        &self,
        tenant: TenantId,
        bytes: &[u8],
        keys: &PayloadKeys,
    ) -> Result<PayloadAddress, ContentFault> {
        Ok(sealer(tenant, keys)?.address_of(PayloadKind::Piece, bytes))
    }

    fn write_piece<'a>(
        &'a self,
        place: ContentPlace,
        bytes: &'a [u8],
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<ContentWritten, ContentFault>> {
        Box::pin(async move {
            let vault = self.vault(place.tenant, keys)?;
            let sealed = vault.put_bytes(place.kind, bytes, place.copy).await.map_err(fault)?;
            let object_bytes = u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX);
            Ok(ContentWritten { key: sealed.key, object_bytes })
        })
    }
}

const fn fault(error: PayloadError) -> ContentFault {
    match error {
        PayloadError::Missing => ContentFault::Missing,
        PayloadError::TooLong | PayloadError::Unreliable | PayloadError::Seal(_) => {
            ContentFault::Damaged
        }
        PayloadError::Full => ContentFault::Full,
        PayloadError::Unavailable | PayloadError::Denied => ContentFault::Unavailable,
    }
}
