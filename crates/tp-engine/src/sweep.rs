//! The sweeper: takes runs from workers that are gone. Every process sweeps; each run is swept once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tp_store::Upkeep;

/// How often (ruling 14).
const EVERY: Duration = Duration::from_secs(2);

/// Sweeps until `end`.
pub(crate) async fn sweep(upkeep: Upkeep, end: CancellationToken) {
    loop {
        match upkeep.sweep().await {
            Ok(swept) if swept.released + swept.ended > 0 => {
                tracing::warn!(
                    released = swept.released,
                    ended = swept.ended,
                    "runs of lost workers were taken back",
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "the sweep failed; it is tried again"),
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
