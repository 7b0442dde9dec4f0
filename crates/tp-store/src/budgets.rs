//! The shared Graph budget: token buckets as rows, so that all workers together keep Graph's limits
//! (ruling 5, ENGINE I11).

use futures_util::future::BoxFuture;
use std::time::Duration;

use tp_domain::budget::{Borrowed, BudgetKey, BudgetRate, BudgetUnavailable, GraphBudget};
use tp_domain::operation::Lane;
use tp_domain::time::Timestamp;

use crate::Store;
use crate::db::{Dialect, Reach, Tx};
use crate::error::StoreError;
use crate::stmt::stmt;

const GET_LITE: &str = "\
SELECT tokens, filled_at, not_before FROM graph_budgets
WHERE entra_tenant_id = $1 AND app = $2 AND service = $3 AND uses = $4";
const GET_PG: &str = "\
SELECT tokens, filled_at, not_before FROM graph_budgets
WHERE entra_tenant_id = $1 AND app = $2 AND service = $3 AND uses = $4 FOR UPDATE";
const NEW: &str = "\
INSERT INTO graph_budgets (entra_tenant_id, app, service, uses, tokens, filled_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (entra_tenant_id, app, service, uses) DO NOTHING";
const SET: &str = "\
UPDATE graph_budgets SET tokens = $5, filled_at = $6, not_before = $7
WHERE entra_tenant_id = $1 AND app = $2 AND service = $3 AND uses = $4";
const HOLD: &str = "\
INSERT INTO graph_budgets (entra_tenant_id, app, service, uses, tokens, filled_at, not_before)
VALUES ($1, $2, $3, $4, 0, $5, $6)
ON CONFLICT (entra_tenant_id, app, service, uses) DO UPDATE
SET tokens = 0, filled_at = $5,
    not_before = CASE WHEN $6 > graph_budgets.not_before THEN $6 ELSE graph_budgets.not_before END";

/// Tokens are kept in thousandths of a request.
const WHOLE: i64 = 1_000;

/// No told wait is longer: a moment further off is a clock that was set back (TRUST F27).
const LONGEST_HOLD: Duration = Duration::from_mins(30);

#[derive(Clone, Copy, Debug, sqlx::FromRow)]
struct Bucket {
    tokens: i64,
    filled_at: i64,
    not_before: i64,
}

/// How much a bucket keeps back for more urgent lanes, in percent: a flood of housekeeping must not
/// make a restore wait (PRODUCT R-12).
const fn reserve(lane: Lane) -> i64 {
    match lane {
        Lane::Interactive => 0,
        Lane::Restore => 5,
        Lane::Sync => 15,
        Lane::Drift => 25,
        Lane::Housekeeping => 35,
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).max(1)
}

/// The bucket's size in thousandths: a tenth of the window's requests, at least one. A full window's
/// worth in one burst would meet the next window's (Microsoft counts in sliding windows).
fn capacity(rate: BudgetRate) -> i64 {
    (i64::from(rate.requests) * WHOLE / 10).max(WHOLE)
}

/// Refills by the time that has passed; a clock that was set back gives nothing and takes nothing.
fn refilled(bucket: Bucket, rate: BudgetRate, now: Timestamp) -> Bucket {
    let passed = (now.micros() - bucket.filled_at).max(0);
    let per_window = i128::from(rate.requests) * i128::from(WHOLE);
    let gained = i128::from(passed) * per_window / i128::from(micros(rate.window));
    let tokens = i128::from(bucket.tokens) + gained;
    let tokens = i64::try_from(tokens.min(i128::from(capacity(rate)))).unwrap_or(0);
    // What is not a whole thousandth yet stays as time, so that frequent looks lose nothing.
    let filled_at = if gained == 0 && now.micros() >= bucket.filled_at {
        bucket.filled_at
    } else {
        now.micros()
    };
    Bucket { tokens, filled_at, ..bucket }
}

/// Takes out of a bucket: a pure function of what it held.
fn taken(
    bucket: Bucket,
    rate: BudgetRate,
    wanted: u32,
    lane: Lane,
    now: Timestamp,
) -> (Bucket, Borrowed) {
    let mut bucket = refilled(bucket, rate, now);
    if bucket.not_before > now.plus(LONGEST_HOLD).micros() {
        bucket.not_before = 0;
    }
    if bucket.not_before > now.micros() {
        return (bucket, Borrowed::Wait(Timestamp::from_micros(bucket.not_before)));
    }
    // A bucket of one request has nothing to keep back.
    let kept = if capacity(rate) > WHOLE { capacity(rate) * reserve(lane) / 100 } else { 0 };
    // The whole lot or a wait for it: out of a bucket that is nearly empty lots of one would be borrowed,
    // and the look at the database, not the limit, would set the pace.
    let most = ((capacity(rate) - kept) / WHOLE).max(1);
    let lot = i64::from(wanted.max(1)).min(most);
    if bucket.tokens - kept >= lot * WHOLE {
        bucket.tokens -= lot * WHOLE;
        return (bucket, Borrowed::Granted(u32::try_from(lot).unwrap_or(0)));
    }
    let lacking = i128::from(kept + lot * WHOLE - bucket.tokens);
    let per_window = i128::from(rate.requests.max(1)) * i128::from(WHOLE);
    let wait = (lacking * i128::from(micros(rate.window)) + per_window - 1) / per_window;
    let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX));
    (bucket, Borrowed::Wait(now.plus(wait)))
}

async fn borrow(
    tx: &mut Tx,
    key: &BudgetKey,
    rate: BudgetRate,
    wanted: u32,
    lane: Lane,
) -> Result<Borrowed, StoreError> {
    let now = tx.now();
    let (tenant, uses) = (key.entra_tenant_id, key.uses.as_str());
    let text = match tx.dialect() {
        Dialect::Sqlite => GET_LITE,
        Dialect::Postgres => GET_PG,
    };
    let get = || stmt!(text, tenant, &key.app, key.service, uses);
    let bucket: Bucket = if let Some(bucket) = tx.optional(get()).await? {
        bucket
    } else {
        let full = capacity(rate);
        tx.execute(stmt!(NEW, tenant, &key.app, key.service, uses, full, now)).await?;
        tx.one(get()).await?
    };
    let (bucket, borrowed) = taken(bucket, rate, wanted, lane, now);
    tx.execute(stmt!(
        SET,
        tenant,
        &key.app,
        key.service,
        uses,
        bucket.tokens,
        bucket.filled_at,
        bucket.not_before,
    ))
    .await?;
    Ok(borrowed)
}

impl GraphBudget for Store {
    fn borrow<'a>(
        &'a self,
        key: &'a BudgetKey,
        rate: BudgetRate,
        wanted: u32,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Borrowed, BudgetUnavailable>> {
        Box::pin(self.budget_borrow(key.clone(), rate, wanted, lane))
    }

    fn hold<'a>(
        &'a self,
        key: &'a BudgetKey,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), BudgetUnavailable>> {
        Box::pin(self.budget_hold(key.clone(), until))
    }
}

impl Store {
    /// Takes up to `wanted` requests out of a bucket: see [`GraphBudget::borrow`].
    pub async fn budget_borrow(
        &self,
        key: BudgetKey,
        rate: BudgetRate,
        wanted: u32,
        lane: Lane,
    ) -> Result<Borrowed, BudgetUnavailable> {
        self.db
            .write(Reach::All, move |tx| {
                Box::pin(async move { borrow(tx, &key, rate, wanted, lane).await })
            })
            .await
            .map_err(|error| {
                tracing::error!(error = %error, "the Graph budget could not be asked");
                BudgetUnavailable
            })
    }

    /// Empties a bucket until that moment: see [`GraphBudget::hold`].
    pub async fn budget_hold(
        &self,
        key: BudgetKey,
        until: Timestamp,
    ) -> Result<(), BudgetUnavailable> {
        self.db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let (tenant, now) = (key.entra_tenant_id, tx.now());
                    let uses = key.uses.as_str();
                    tx.execute(stmt!(HOLD, tenant, key.app, key.service, uses, now, until)).await
                })
            })
            .await
            .map(drop)
            .map_err(|error| {
                tracing::error!(error = %error, "a wait of Graph could not be told to the others");
                BudgetUnavailable
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BudgetRate = BudgetRate { requests: 1_000, window: Duration::from_secs(20) };
    const SLOW: BudgetRate = BudgetRate { requests: 1, window: Duration::from_secs(1) };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn bucket(tokens: i64) -> Bucket {
        Bucket { tokens, filled_at: 0, not_before: 0 }
    }

    #[test]
    fn no_window_gives_more_than_its_rate_and_the_burst() {
        let (mut held, mut granted) = (bucket(capacity(RATE)), 0);
        // Asked every millisecond for 20 seconds.
        for millis in 0..20_000 {
            let (next, borrowed) = taken(held, RATE, 50, Lane::Interactive, at(millis));
            held = next;
            if let Borrowed::Granted(count) = borrowed {
                granted += count;
            }
        }
        assert!((1_000..=1_100).contains(&granted), "{granted}");
    }

    #[test]
    fn a_wait_is_exact() {
        let (held, first) = taken(bucket(WHOLE), SLOW, 5, Lane::Sync, at(0));
        assert_eq!(first, Borrowed::Granted(1));
        let (held, wait) = taken(held, SLOW, 5, Lane::Sync, at(400));
        assert_eq!(wait, Borrowed::Wait(at(1_000)));
        assert_eq!(taken(held, SLOW, 5, Lane::Sync, at(1_000)).1, Borrowed::Granted(1));
    }

    #[test]
    fn urgent_work_finds_a_reserve() {
        let low = bucket(capacity(RATE) / 10);
        assert!(matches!(taken(low, RATE, 1, Lane::Sync, at(0)).1, Borrowed::Wait(_)));
        assert_eq!(taken(low, RATE, 1, Lane::Interactive, at(0)).1, Borrowed::Granted(1));
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_and_holds_nobody() {
        let held = Bucket { tokens: 0, filled_at: at(7_200_000).micros(), not_before: 0 };
        let (next, wait) = taken(held, RATE, 1, Lane::Interactive, at(0));
        assert!(matches!(wait, Borrowed::Wait(until) if until < at(1_000)));
        let (_, later) = taken(next, RATE, 1, Lane::Interactive, at(1_000));
        assert_eq!(later, Borrowed::Granted(1), "it fills from the new time on");
        let told = Bucket { not_before: at(7_200_000).micros(), ..bucket(capacity(RATE)) };
        assert_eq!(taken(told, RATE, 1, Lane::Sync, at(0)).1, Borrowed::Granted(1));
    }
}
