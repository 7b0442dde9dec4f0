//! What every process does beside its runs, as often as it likes: take runs from workers that are
//! gone, roll up umbrella runs, fire schedules. The database makes each of these happen once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tp_store::Upkeep;

/// How often lost workers are looked for (ruling 14).
const SWEEP: Duration = Duration::from_secs(2);
/// How often umbrella runs are brought up to date.
const ROLL_UP: Duration = Duration::from_millis(500);
/// How often schedules are looked at.
const SCHEDULE: Duration = Duration::from_secs(1);
/// Every so many looks each workspace is given what it should have, the key file is read again, and credentials
/// that end are warned of.
const ENSURE_EVERY: u32 = 60;

async fn pause(every: Duration, end: &CancellationToken) -> bool {
    tokio::select! {
        () = end.cancelled() => false,
        () = tokio::time::sleep(every) => true,
    }
}

/// Sweeps until `end`. `lease` is the longest that a worker of this installation takes.
pub(crate) async fn sweep(upkeep: Upkeep, lease: Duration, end: CancellationToken) {
    loop {
        match upkeep.sweep(lease).await {
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
        if !pause(SWEEP, &end).await {
            return;
        }
    }
}

/// Rolls up umbrella runs until `end`.
pub(crate) async fn roll_up(upkeep: Upkeep, end: CancellationToken) {
    loop {
        match upkeep.roll_up().await {
            Ok(done) if done.started + done.ended > 0 => {
                tracing::info!(
                    started = done.started,
                    ended = done.ended,
                    "umbrella runs moved on"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "a roll-up failed; it is tried again"),
        }
        if !pause(ROLL_UP, &end).await {
            return;
        }
    }
}

/// Fires schedules until `end`.
pub(crate) async fn schedule(upkeep: Upkeep, end: CancellationToken) {
    let mut looks: u32 = 0;
    loop {
        // Also for workspaces that were made since.
        if looks.is_multiple_of(ENSURE_EVERY)
            && let Err(error) = upkeep.schedules_ensure().await
        {
            tracing::error!(error = %error, "the schedule of the clean-up could not be made");
        }
        if looks.is_multiple_of(ENSURE_EVERY) {
            rewrap(&upkeep).await;
            match upkeep.credential_warnings().await {
                Ok(0) => {}
                Ok(written) => {
                    tracing::info!(written, "people were warned of credentials that end");
                }
                Err(error) => tracing::error!(error = %error, "credentials could not be looked at"),
            }
        }
        looks = looks.wrapping_add(1);
        match upkeep.schedules_fire().await {
            Ok(done) if done != tp_store::Fired::default() => {
                tracing::info!(
                    fired = done.fired,
                    skipped = done.skipped,
                    missed = done.missed,
                    refused = done.refused,
                    "slots were dealt with",
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "schedules could not be fired"),
        }
        if !pause(SCHEDULE, &end).await {
            return;
        }
    }
}

/// Values of each sealed column that are sealed anew in one go after the master key has changed.
const REWRAP: u32 = 500;

/// Seals anew what an older master key has sealed.
async fn rewrap(upkeep: &Upkeep) {
    match upkeep.rewrap(REWRAP).await {
        Ok(done) if done != tp_store::Rewrapped::default() => tracing::info!(
            done = done.done,
            unreadable = done.unreadable,
            "secrets were sealed anew with the active master key",
        ),
        Ok(_) => {}
        Err(error) => tracing::error!(error = %error, "secrets could not be sealed anew"),
    }
}
