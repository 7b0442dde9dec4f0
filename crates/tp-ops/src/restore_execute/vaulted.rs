//! The payload store as restores use it: what a plan wants, and each object as it was before a write.

use futures_util::future::BoxFuture;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::restore::plan::{BodyHash, PayloadRef};
use tp_engine::operation::Stop;
use tp_store::{ClaimedRun, StoreError};

use super::payloads::{PayloadUnavailable, RestorePayloads, SafetyCapture};
use crate::Tools;
use crate::capturing::capture_one;
use crate::stored::{self, vault};

/// Over the payloads of the run's tenant.
#[derive(Clone, Debug)]
pub struct Vaulted(pub Tools);

/// What a stop says of a payload: only what is certain is called damage.
fn unavailable(stop: Stop) -> PayloadUnavailable {
    tracing::warn!(stop = ?stop, "a payload of a restore is not at hand");
    PayloadUnavailable::Passing
}

fn of_store(error: StoreError) -> PayloadUnavailable {
    unavailable(error.into())
}

impl RestorePayloads for Vaulted {
    fn fetch<'a>(
        &'a self,
        run: &'a ClaimedRun,
        at: &'a PayloadRef,
    ) -> BoxFuture<'a, Result<Vec<u8>, PayloadUnavailable>> {
        Box::pin(async move {
            let address: PayloadAddress = at.id.parse().map_err(|_| PayloadUnavailable::Damaged)?;
            let place = run.payload_place(address).await.map_err(of_store)?;
            let place = place.ok_or(PayloadUnavailable::Damaged)?;
            let vault = vault(&self.0, run).await.map_err(unavailable)?;
            let read = stored::read(&self.0, run, &vault, PayloadKind::Wanted, place).await;
            let content = read.map_err(unavailable)?.map_err(|_| PayloadUnavailable::Damaged)?;
            Ok(content.as_bytes().to_vec())
        })
    }

    fn keep<'a>(
        &'a self,
        run: &'a ClaimedRun,
        capture: SafetyCapture,
    ) -> BoxFuture<'a, Result<PayloadRef, PayloadUnavailable>> {
        Box::pin(async move {
            let kept = capture_one(&self.0, run, &capture.policy_type, capture.object).await;
            let kept = kept.map_err(unavailable)?.map_err(|reason| {
                tracing::error!(reason = %reason, "an object cannot be kept before a restore");
                PayloadUnavailable::Damaged
            })?;
            let sha256 = BodyHash::of_bytes(&kept.content).as_str().to_owned();
            Ok(PayloadRef { id: kept.version.to_string(), sha256 })
        })
    }
}
