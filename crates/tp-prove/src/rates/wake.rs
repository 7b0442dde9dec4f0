//! From the answer to a start until its operation begins, with an idle worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Telling, percentile, worker};
use crate::world::{Place, World};

const STARTS: usize = 500;

/// On PostgreSQL the worker has a store of its own, as another process has: it hears of the start by
/// NOTIFY only. On SQLite one process has the file.
pub(super) async fn wake(place: &Place) -> Result<serde_json::Value> {
    let world = World::new(place, 1).await?;
    let starter = world.open().await?;
    let other = if place.is_postgres() { Some(world.open().await?) } else { None };
    let (sender, mut begun) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let working = other.as_ref().unwrap_or(&starter);
    let working =
        tokio::spawn(worker(working, Arc::new(Telling(sender)), 8, 8).run(shutdown.clone()));
    let mut times = Vec::new();
    for number in 0..=STARTS {
        let run = starter.start(0, number).await?.run().id;
        let answered = Instant::now();
        let next = tokio::time::timeout(Duration::from_secs(10), begun.recv()).await?;
        let (id, at) = next.context("the worker has ended")?;
        anyhow::ensure!(id == run, "another run has begun");
        // The first one waits for the worker to be there.
        if number > 0 {
            times.push(at.saturating_duration_since(answered));
        }
        idle(&starter).await?;
    }
    shutdown.cancel();
    working.await?;
    Ok(json!({
        "what": "wake", "on": place.name(), "count": times.len(), "stores": 1 + usize::from(other.is_some()),
        "p50_ms": percentile(&mut times, 50), "p99_ms": percentile(&mut times, 99),
    }))
}

/// The worker is idle again when the run has ended: the next start must wake it.
async fn idle(open: &crate::world::Open) -> Result<()> {
    open.idle(Duration::from_secs(10)).await.map(drop)
}
