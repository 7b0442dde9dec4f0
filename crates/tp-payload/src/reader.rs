//! The store as those see it who show what is in it.

use futures_util::future::BoxFuture;
use tp_domain::contents::{ContentFault, ContentPlace, Contents};
use tp_domain::json::Json;
use tp_domain::payload::PayloadKeys;

use crate::error::PayloadError;
use crate::seal::Sealer;
use crate::store::PayloadStore;
use crate::vault::Vault;

impl Contents for PayloadStore {
    fn read<'a>(
        &'a self,
        place: ContentPlace,
        keys: &'a PayloadKeys,
    ) -> BoxFuture<'a, Result<Json, ContentFault>> {
        Box::pin(async move {
            let sealer = Sealer::new(place.tenant, keys).map_err(|_| ContentFault::Damaged)?;
            let vault = Vault::new(sealer, self.clone());
            let read = vault.get(place.kind, place.address, place.copy).await;
            let content = read.map_err(fault)?;
            content.json().map_err(|_| ContentFault::Damaged)
        })
    }
}

const fn fault(error: PayloadError) -> ContentFault {
    match error {
        PayloadError::Missing => ContentFault::Missing,
        PayloadError::TooLong | PayloadError::Unreliable | PayloadError::Seal(_) => {
            ContentFault::Damaged
        }
        PayloadError::Unavailable | PayloadError::Denied | PayloadError::Full => {
            ContentFault::Unavailable
        }
    }
}
