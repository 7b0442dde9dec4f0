//! The contents of the source, each read with its seal and its address checked (A28).

use tp_domain::payload::PayloadKind;
use tp_domain::reason::ReasonCode;
use tp_domain::version::PolicyVersion;
use tp_engine::operation::Stop;
use tp_payload::{Canonical, PayloadError, SealError, Sealer, Vault};
use tp_store::{ClaimedRun, SourceDoor};

use crate::Tools;
use crate::sign_in::failed;
use crate::stored::{self, fault, payload_stop};

/// How often a content is looked for that is being sealed anew.
const TRIES: usize = 3;

/// Where contents are read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) door: SourceDoor,
}

impl Source {
    /// The content of a version; or what is wrong with it.
    pub(super) async fn content(
        &self,
        tools: &Tools,
        run: &ClaimedRun,
        own: &Vault,
        version: &PolicyVersion,
    ) -> Result<Result<Canonical, ReasonCode>, Stop> {
        let kind = PayloadKind::Version;
        if !self.door.is_foreign() {
            let Some(place) = run.payload_place(version.address).await? else {
                return Ok(Err(ReasonCode::PayloadMissing));
            };
            return stored::read(tools, run, own, kind, place).await;
        }
        let mut vault = self.vault(tools).await?;
        let (mut seen, mut last) = (None, ReasonCode::PayloadMissing);
        for _ in 0..TRIES {
            let Some(place) = self.door.place(version.address).await? else {
                return Ok(Err(ReasonCode::PayloadMissing));
            };
            // Housekeeping may seal it anew meanwhile: then it is elsewhere.
            if seen == Some(place) {
                break;
            }
            seen = Some(place);
            let mut read = vault.get(kind, place.address, place.copy).await;
            if matches!(read, Err(PayloadError::Seal(SealError::UnknownKey))) {
                vault = self.vault(tools).await?;
                read = vault.get(kind, place.address, place.copy).await;
            }
            match read {
                Ok(content) => return Ok(Ok(content)),
                Err(error) => last = fault(error).ok_or_else(|| payload_stop(error))?,
            }
        }
        Ok(Err(last))
    }

    async fn vault(&self, tools: &Tools) -> Result<Vault, Stop> {
        let keys = self.door.keys().await?.map_err(failed)?;
        let sealer = Sealer::new(self.door.tenant(), &keys);
        let sealer = sealer.map_err(|_| failed(ReasonCode::InternalError))?;
        Ok(Vault::new(sealer, tools.payloads.clone()))
    }
}
