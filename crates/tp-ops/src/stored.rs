//! What operations share that deal with stored contents: the tenant's vault, and what its faults mean.

use tp_domain::payload::PayloadKind;
use tp_domain::reason::ReasonCode;
use tp_engine::operation::Stop;
use tp_payload::{Canonical, PayloadError, SealError, Sealer, Vault};
use tp_store::{ClaimedRun, PayloadPlace};

use crate::Tools;
use crate::sign_in::failed;

/// How often a content is looked for that is being sealed anew.
const TRIES: usize = 3;

/// The payloads of the run's tenant, with the keys as they are now.
pub(crate) async fn vault(tools: &Tools, run: &ClaimedRun) -> Result<Vault, Stop> {
    let keys = run.payload_keys().await?.map_err(failed)?;
    let tenant = run.claimed().tenant().ok_or_else(|| failed(ReasonCode::InternalError))?;
    let sealer = Sealer::new(tenant, &keys).map_err(|_| failed(ReasonCode::InternalError))?;
    Ok(Vault::new(sealer, tools.payloads.clone()))
}

/// What a run does when its payloads cannot be stored: the whole of it is tried again.
pub(crate) fn payload_stop(error: PayloadError) -> Stop {
    tracing::error!(error = %error, "the payload store does not do as asked");
    failed(match error {
        // A file that is missing while it is written was taken by a sweep whose clock is a day ahead.
        PayloadError::Unavailable | PayloadError::Denied | PayloadError::Missing => {
            ReasonCode::StorageUnavailable
        }
        error => error.reason(),
    })
}

/// What an error says of the one content that was asked for; none when it is about the store or the machine.
pub(crate) const fn fault(error: PayloadError) -> Option<ReasonCode> {
    match error {
        PayloadError::Missing => Some(ReasonCode::PayloadMissing),
        PayloadError::TooLong
        | PayloadError::Unreliable
        | PayloadError::Seal(
            SealError::NotOurs | SealError::UnknownKey | SealError::Altered | SealError::TooLarge,
        ) => Some(ReasonCode::PayloadDamaged),
        PayloadError::Unavailable
        | PayloadError::Denied
        | PayloadError::Full
        | PayloadError::Seal(SealError::Machine) => None,
    }
}

/// Reads a content of the run's tenant, with everything about it checked; or what is wrong with it.
///
/// Housekeeping may seal it anew meanwhile: then it is elsewhere, under a key that was made after ours.
pub(crate) async fn read(
    tools: &Tools,
    run: &ClaimedRun,
    vault: &Vault,
    kind: PayloadKind,
    place: PayloadPlace,
) -> Result<Result<Canonical, ReasonCode>, Stop> {
    let mut at = place;
    for _ in 0..TRIES {
        if at.kind != kind {
            return Ok(Err(ReasonCode::BackupInconsistent));
        }
        let mut read = vault.get(kind, at.address, at.copy).await;
        if matches!(read, Err(PayloadError::Seal(SealError::UnknownKey))) {
            read = self::vault(tools, run).await?.get(kind, at.address, at.copy).await;
        }
        let reason = match read {
            Ok(content) => return Ok(Ok(content)),
            Err(error) => fault(error).ok_or_else(|| payload_stop(error))?,
        };
        match run.payload_place(at.address).await? {
            Some(now) if now != at => at = now,
            Some(_) => return Ok(Err(reason)),
            None => return Ok(Err(ReasonCode::PayloadMissing)),
        }
    }
    Err(failed(ReasonCode::StorageUnavailable))
}
