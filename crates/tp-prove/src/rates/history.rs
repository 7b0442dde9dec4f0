//! What a history costs: the same work beside 10,000 and beside a million ended runs, in turn.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{drain, fill, rate};
use crate::world::{Open, Place, World};

const TENANTS: usize = 50;
const HISTORIES: [usize; 2] = [10_000, 1_000_000];
/// Rounds of each, one after the other; the middle one counts.
const ROUNDS: usize = 5;
/// Few against the smaller history, which grows by them.
const RUNS_PER_ROUND: usize = 1_500;

/// A world with that many ended runs.
pub(super) async fn filled(
    place: &Place,
    tenants: usize,
    runs: usize,
) -> Result<(World, Arc<Open>)> {
    let world = World::new(place, tenants).await?;
    let open = Arc::new(world.open().await?);
    open.no_limit().await?;
    let account = open.store.hall().account_by_email("owner@example.com").await?;
    let user = account.context("the owner is gone")?.id;
    let url = tp_store::DatabaseUrl::parse(world.url())?;
    open.store.test_fill_history(&open.tenants, open.workspace, user, runs, &url).await;
    Ok((world, open))
}

/// Start, claim and end, per second.
async fn round(open: &Arc<Open>, number: usize) -> Result<f64> {
    let began = Instant::now();
    fill(open, TENANTS, RUNS_PER_ROUND, number * RUNS_PER_ROUND).await?;
    drain(open, 100_000).await?;
    Ok(rate(RUNS_PER_ROUND, began.elapsed()))
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Start, claim and end with both histories, each with its notifications and audit entries, interleaved.
pub(super) async fn history(place: &Place) -> Result<serde_json::Value> {
    let mut opens = Vec::new();
    for runs in HISTORIES {
        opens.push(filled(place, TENANTS, runs).await?);
    }
    let mut rates = [Vec::new(), Vec::new()];
    // The first round warms up and does not count.
    for number in 0..=ROUNDS {
        for ((_, open), rates) in opens.iter().zip(&mut rates) {
            let rate = round(open, number).await?;
            if number > 0 {
                rates.push(rate);
            }
        }
    }
    let [small, large] = rates.map(middle);
    Ok(json!({
        "what": "history", "on": place.name(), "rounds": ROUNDS, "runs_per_round": RUNS_PER_ROUND,
        "per_second_10k": small.round(), "per_second_1m": large.round(), "ratio": large / small,
    }))
}
