//! TRUST A2: starts that race with the end of the equal run: never none and never two.

use std::time::Duration;

use anyhow::Result;
use tp_domain::counts::RunCounts;
use tp_domain::ids::{Ids as _, WorkerId};
use tp_domain::operation::OperationKind;
use tp_domain::run::Outcome;
use tp_store::{ClaimRequest, Ended, Started, SystemIds};

use crate::figure::{Figure, Size};
use crate::invariants;
use crate::world::{Open, Place, World};

fn ended() -> Ended {
    Ended {
        outcome: Outcome::Succeeded,
        reason: None,
        message: None,
        failures: Vec::new(),
        context: serde_json::json!({}),
        counts: RunCounts::default(),
    }
}

/// One race; says how many runs are active after it.
async fn race(open: &Open, worker: WorkerId) -> Result<i64> {
    open.start(0, 0).await?;
    let request = ClaimRequest {
        worker,
        kinds: vec![OperationKind::InventorySync],
        lease: Duration::from_secs(30),
        per_tenant: 9,
        most: 1,
    };
    open.store.discover().await?;
    let claim = open.store.claim_many(request).await?.runs.pop();
    let claim = claim.ok_or_else(|| anyhow::anyhow!("the run could not be claimed"))?;
    let id = claim.id();
    let (started, finished) = tokio::join!(open.start(0, 0), claim.finish(ended()));
    finished?;
    let started = started?;
    let active = "SELECT count(*) AS n FROM operation_runs WHERE status <> 'completed'";
    let count = open.store.test_count(active).await;
    // Either the old one was reused in time, or a new one is there: never neither.
    let right = match &started {
        Started::Reused(run) => run.id == id && count == 0,
        Started::Created(run) => run.id != id && count == 1,
        Started::Replayed { .. } => false,
    };
    if let Started::Created(run) = &started {
        open.cancel(0, run.id).await?;
        anyhow::ensure!(!open.run(0, run.id).await?.is_active(), "a canceled run is active");
    }
    Ok(i64::from(!right))
}

pub(crate) async fn start_and_finish(place: &Place, size: Size) -> Result<Vec<Figure>> {
    let races = size.pick(200, 100);
    let world = World::new(place, 1).await?;
    let open = world.open().await?;
    let worker = WorkerId::from_uuid(SystemIds.next());
    let (mut wrong, mut created) = (0, 0);
    for _ in 0..races {
        let before = open.store.test_count("SELECT count(*) AS n FROM operation_runs").await;
        wrong += race(&open, worker).await?;
        let after = open.store.test_count("SELECT count(*) AS n FROM operation_runs").await;
        created += after - before - 1;
    }
    let broken = invariants::broken(&open.store).await;
    let holds = wrong == 0 && broken.is_empty();
    let measured = format!(
        "{races} races: {wrong} wrong, {created} led to a new run, {} reused; {} rules broken",
        races - created,
        broken.len()
    );
    open.close().await;
    Ok(vec![Figure::new(
        format!("A2 start against finish, {}", place.name()),
        format!("{races} races, never 0 and never 2 active"),
        measured,
        holds,
    )])
}
