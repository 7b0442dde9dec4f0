//! Looking for scopes with work, for what no ring told of: work of other processes whose message was
//! lost, waits that have ended, leases that were taken back.
//!
//! Where a snapshot is held open, what has been worked on stays in the index, and a look from its
//! beginning steps over all of it. So a look begins at a low-water mark: what became ready before the
//! last look was seen by it and has its hint. What is written with an older time than it is seen, a
//! commit that came late or a claim that was undone, is found by a whole look now and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_domain::operation::Lane;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::breaks::timed;
use crate::db::{Dialect, Reach, Tx};
use crate::error::StoreError;
use crate::queue::Hint;
use crate::stmt::stmt;

// From scope to scope by the index, however many jobs each has. What lies below the mark is left out by
// the index alone, without a look at its row.
const SCOPES: &str = "\
WITH RECURSIVE found(scope_id) AS (
  SELECT (SELECT scope_id FROM jobs
          WHERE state = 'ready' AND NOT umbrella AND priority = $1 AND run_at >= $2
          ORDER BY scope_id LIMIT 1)
  UNION ALL
  SELECT (SELECT j.scope_id FROM jobs j
          WHERE j.state = 'ready' AND NOT j.umbrella AND j.priority = $1 AND j.scope_id > f.scope_id
            AND j.run_at >= $2 ORDER BY j.scope_id LIMIT 1)
  FROM found f WHERE f.scope_id IS NOT NULL
)
SELECT f.scope_id,
       (SELECT j.workspace_id FROM jobs j
        WHERE j.state = 'ready' AND NOT j.umbrella AND j.priority = $1 AND j.scope_id = f.scope_id
          AND j.run_at >= $2 LIMIT 1) AS workspace_id
FROM found f WHERE f.scope_id IS NOT NULL";

// What is leased since the last mark, and what of the leases before it still is.
const LEASES: &str = "\
SELECT scope_id, run_id FROM jobs WHERE state = 'leased' AND leased_at >= $1 AND leased_at < $2
UNION ALL
SELECT j.scope_id, j.run_id
FROM jsonb_to_recordset(CAST($3 AS JSONB)) AS k(scope_id UUID, run_id UUID)
JOIN jobs j ON j.scope_id = k.scope_id AND j.run_id = k.run_id
WHERE j.lease_owner IS NOT NULL AND j.leased_at < $1";

#[derive(sqlx::FromRow)]
struct LeaseRow {
    scope_id: Uuid,
    run_id: Uuid,
}

/// What is leased: what was claimed since a moment, and of what was claimed before these jobs at most.
#[derive(Clone, Debug)]
pub(crate) struct Leased {
    pub(crate) since: Timestamp,
    pub(crate) before: Arc<Vec<(Uuid, Uuid)>>,
}

#[derive(sqlx::FromRow)]
struct ScopeRow {
    scope_id: Uuid,
    workspace_id: Option<Uuid>,
}

/// A commit may become visible this long after the time that it wrote.
const LATE: Duration = Duration::from_millis(500);
/// So often a look goes over everything.
const WHOLE_EVERY: Duration = Duration::from_secs(10);
/// And so many times longer than it took, so that a snapshot that is held for hours costs a hundredth.
const WHOLE_SHARE: u32 = 100;

/// When this process looked last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<Mutex<Option<Last>>>);

#[derive(Clone, Debug)]
struct Last {
    at: Timestamp,
    leased: Option<Leased>,
    whole_at: Instant,
    whole_took: Duration,
}

impl Marks {
    fn lock(&self) -> MutexGuard<'_, Option<Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From where a look at that time begins; none for a whole one. A clock that was set back writes
    /// below the mark.
    fn from(&self, now: Timestamp) -> Option<Timestamp> {
        let lock = self.lock();
        let last = lock.as_ref()?;
        let pause = WHOLE_EVERY.max(last.whole_took.saturating_mul(WHOLE_SHARE));
        let begins = last.at <= now && last.whole_at.elapsed() < pause;
        begins.then(|| last.at.minus(LATE))
    }

    /// What was leased when this process looked last; none where only a count from the beginning tells.
    pub(crate) fn leased(&self) -> Option<Leased> {
        self.lock().as_ref()?.leased.clone()
    }

    /// A look has ended; `whole` says when it began, when it was a whole one.
    fn looked(&self, at: Timestamp, whole: Option<Instant>, leased: Option<Leased>) {
        let mut last = self.lock();
        match (whole, last.as_mut()) {
            (Some(whole_at), _) => {
                *last = Some(Last { at, leased, whole_at, whole_took: whole_at.elapsed() });
            }
            (None, Some(last)) => (last.at, last.leased) = (at, leased),
            (None, None) => {}
        }
    }
}

/// Finds the scopes with work in any lane and gives each a hint.
pub(crate) async fn discover(store: &Store) -> Result<(), StoreError> {
    timed!(Discovery);
    let (marks, began) = (store.discovered.clone(), Instant::now());
    let known = marks.leased();
    let (found, now, whole, leased) = store
        .db
        .read(Reach::All, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let mark = marks.from(now);
                let from = mark.unwrap_or(Timestamp::from_micros(i64::MIN));
                let mut hints = Vec::new();
                for lane in Lane::ALL {
                    let priority = lane.priority();
                    let rows: Vec<ScopeRow> = tx.all(stmt!(SCOPES, priority, from)).await?;
                    hints.extend(rows.into_iter().filter_map(|row| {
                        let workspace = row.workspace_id?;
                        Some(Hint { priority, scope: row.scope_id, workspace })
                    }));
                }
                let leased = match tx.dialect() {
                    Dialect::Postgres => Some(leases(tx, known, mark.is_none()).await?),
                    // One process, and no snapshot that it does not end itself.
                    Dialect::Sqlite => None,
                };
                Ok((hints, now, mark.is_none(), leased))
            })
        })
        .await?;
    store.discovered.looked(now, whole.then_some(began), leased);
    found.into_iter().for_each(|hint| store.queue.add(hint));
    Ok(())
}

/// Moves the mark of what is leased up to a little before now.
async fn leases(tx: &mut Tx, known: Option<Leased>, whole: bool) -> Result<Leased, StoreError> {
    let since = tx.now().minus(LATE);
    let (from, before) = match known {
        Some(known) if !whole => (known.since, known.before),
        _ => (Timestamp::from_micros(i64::MIN), Arc::default()),
    };
    let before: Vec<Value> =
        before.iter().map(|(scope, run)| json!({"scope_id": scope, "run_id": run})).collect();
    let text = stmt!(LEASES, from, since.max(from), Value::Array(before).to_string());
    let rows: Vec<LeaseRow> = tx.all(text.planned_anew()).await?;
    let before = rows.into_iter().map(|row| (row.scope_id, row.run_id)).collect();
    Ok(Leased { since: since.max(from), before: Arc::new(before) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_look_begins_where_the_last_one_was_unless_the_clock_was_set_back() {
        let marks = Marks::default();
        assert_eq!(marks.from(at(100)), None, "the first one is whole");
        marks.looked(at(100), Some(Instant::now()), None);
        assert_eq!(marks.from(at(101)), Some(at(100).minus(LATE)));
        marks.looked(at(101), None, None);
        assert_eq!(marks.from(at(102)), Some(at(101).minus(LATE)));
        assert_eq!(marks.from(at(50)), None, "what is written now lies below the mark");
    }

    #[test]
    fn a_whole_look_comes_again_and_costs_a_hundredth() {
        let marks = Marks::default();
        let long_ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let last =
            |whole_at, whole_took| Some(Last { at: at(100), leased: None, whole_at, whole_took });
        *marks.lock() = last(long_ago(11), Duration::from_millis(1));
        assert_eq!(marks.from(at(101)), None);
        *marks.lock() = last(long_ago(11), Duration::from_secs(1));
        assert!(marks.from(at(101)).is_some(), "it took a second: not yet");
        *marks.lock() = last(long_ago(101), Duration::from_secs(1));
        assert_eq!(marks.from(at(101)), None);
    }
}
