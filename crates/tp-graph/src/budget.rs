//! Keeping Graph's limits together with all other processes: requests are borrowed from shared buckets in
//! small lots, and a told wait is told to all (ruling 5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::budget::{
    Borrowed, BudgetKey, BudgetRate, BudgetUnavailable, BudgetUse, GraphBudget,
};
use tp_domain::operation::Lane;
use tp_domain::time::{Clock, Timestamp};

use crate::sign_in::Access;

/// A borrowed lot is used within this time or forgotten: what is hoarded here is missing elsewhere.
const LOT_LIFE: Duration = Duration::from_millis(500);

/// The largest lot, and the smallest share of a window that one lot may be.
const LARGEST_LOT: u32 = 20;
const LOTS_PER_WINDOW: u32 = 50;

/// How long it is waited before a budget that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Where Microsoft publishes no number, nothing is paced; the bucket only carries told waits.
const UNPUBLISHED: BudgetRate = BudgetRate { requests: 100_000, window: Duration::from_secs(10) };

/// A budget without limits, for a process that shares with nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshared;

impl GraphBudget for Unshared {
    fn borrow<'a>(
        &'a self,
        _: &'a BudgetKey,
        _: BudgetRate,
        wanted: u32,
        _: Lane,
    ) -> BoxFuture<'a, Result<Borrowed, BudgetUnavailable>> {
        Box::pin(async move { Ok(Borrowed::Granted(wanted)) })
    }

    fn hold<'a>(
        &'a self,
        _: &'a BudgetKey,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<(), BudgetUnavailable>> {
        Box::pin(async { Ok(()) })
    }
}

#[derive(Clone, Copy, Debug)]
struct Lot {
    left: u32,
    until: Instant,
}

/// The purse of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    port: Arc<dyn GraphBudget>,
    clock: Arc<dyn Clock>,
    scale: f64,
    lots: Arc<Mutex<HashMap<BudgetKey, Lot>>>,
}

impl Purse {
    pub(crate) fn new(port: Arc<dyn GraphBudget>, clock: Arc<dyn Clock>, scale: f64) -> Self {
        Self { port, clock, scale, lots: Arc::default() }
    }

    fn rate(&self, requests: u32, window: Duration) -> BudgetRate {
        let scaled = (f64::from(requests) * self.scale).clamp(1.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        let requests = scaled as u32;
        BudgetRate { requests, window }
    }

    /// The buckets that a request is taken from: of the app in that tenant, and of all apps there. A write
    /// counts as a request as well.
    fn buckets(
        &self,
        access: &Access,
        group: ThrottleGroup,
        uses: BudgetUse,
    ) -> Vec<(BudgetKey, BudgetRate)> {
        let key = |app: &str, uses| BudgetKey {
            app: app.to_owned(),
            entra_tenant_id: access.entra_tenant_id,
            service: group.as_str(),
            uses,
        };
        let app = access.client_id.as_str();
        let Some(limits) = group.limits() else {
            return vec![(key(app, BudgetUse::Read), UNPUBLISHED)];
        };
        // Conditional access sends no Retry-After: a refusal costs more than a tenth of the pace.
        let window = match group {
            ThrottleGroup::ConditionalAccess => limits.window.mul_f64(1.1),
            _ => limits.window,
        };
        let write = uses == BudgetUse::Write;
        let wanted = [
            (app, BudgetUse::Read, limits.app_any),
            ("*", BudgetUse::Read, limits.tenant_any),
            (app, BudgetUse::Write, limits.app_write.filter(|_| write)),
            ("*", BudgetUse::Write, limits.tenant_write.filter(|_| write)),
        ];
        wanted
            .into_iter()
            .filter_map(|(app, uses, limit)| {
                limit.map(|limit| (key(app, uses), self.rate(limit, window)))
            })
            .collect()
    }

    fn take_from_lot(&self, key: &BudgetKey) -> bool {
        let mut lots = self.lots.lock().unwrap_or_else(PoisonError::into_inner);
        match lots.get_mut(key) {
            Some(lot) if lot.left > 0 && lot.until > Instant::now() => {
                lot.left -= 1;
                true
            }
            _ => false,
        }
    }

    fn put(&self, key: &BudgetKey, more: u32) {
        let mut lots = self.lots.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let lot = lots.entry(key.clone()).or_insert(Lot { left: 0, until: now });
        if lot.until <= now {
            lot.left = 0;
        }
        lot.left += more;
        lot.until = now + LOT_LIFE;
    }

    fn forget(&self, key: &BudgetKey) {
        self.lots.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Takes one request out of every bucket that it counts in; how long to wait when one is empty.
    pub(crate) async fn take(
        &self,
        access: &Access,
        group: ThrottleGroup,
        uses: BudgetUse,
        lane: Lane,
    ) -> Option<Duration> {
        let buckets = self.buckets(access, group, uses);
        let mut taken: Vec<&BudgetKey> = Vec::with_capacity(buckets.len());
        for (key, rate) in &buckets {
            if !self.take_from_lot(key) {
                let wanted = (rate.requests / LOTS_PER_WINDOW).clamp(1, LARGEST_LOT);
                let wait = match self.port.borrow(key, *rate, wanted, lane).await {
                    Ok(Borrowed::Granted(count)) if count > 0 => {
                        self.put(key, count - 1);
                        None
                    }
                    Ok(Borrowed::Granted(_)) => Some(ASK_AGAIN),
                    Ok(Borrowed::Wait(until)) => {
                        Some(until.since(self.clock.now()).max(Duration::from_millis(1)))
                    }
                    // Never without: the limit is the tenant's, not ours to risk.
                    Err(BudgetUnavailable) => Some(ASK_AGAIN),
                };
                if let Some(wait) = wait {
                    taken.into_iter().for_each(|key| self.put(key, 1));
                    return Some(wait);
                }
            }
            taken.push(key);
        }
        None
    }

    /// Graph told this process to wait: all others wait as well.
    pub(crate) async fn hold(
        &self,
        access: &Access,
        group: ThrottleGroup,
        uses: BudgetUse,
        wait: Duration,
    ) {
        let until = self.clock.now().plus(wait);
        // The narrowest bucket: which of the limits was met is not told.
        if let Some((key, _)) = self.buckets(access, group, uses).first() {
            self.forget(key);
            if let Err(BudgetUnavailable) = self.port.hold(key, until).await {
                tracing::warn!("other processes could not be told to wait for Graph");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::cloud::Cloud;

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(1_000_000)
        }

        fn steady(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// Grants that many in all, in lots as asked for.
    #[derive(Debug)]
    struct Limited(AtomicU32);

    impl GraphBudget for Limited {
        fn borrow<'a>(
            &'a self,
            key: &'a BudgetKey,
            _: BudgetRate,
            wanted: u32,
            _: Lane,
        ) -> BoxFuture<'a, Result<Borrowed, BudgetUnavailable>> {
            Box::pin(async move {
                if key.app == "*" {
                    return Ok(Borrowed::Granted(wanted));
                }
                let left = self.0.load(Ordering::SeqCst);
                let given = wanted.min(left);
                self.0.fetch_sub(given, Ordering::SeqCst);
                Ok(if given > 0 {
                    Borrowed::Granted(given)
                } else {
                    Borrowed::Wait(Timestamp::from_micros(3_000_000))
                })
            })
        }

        fn hold<'a>(
            &'a self,
            _: &'a BudgetKey,
            _: Timestamp,
        ) -> BoxFuture<'a, Result<(), BudgetUnavailable>> {
            Box::pin(async { Ok(()) })
        }
    }

    fn access() -> Access {
        Access {
            cloud: Cloud::new("sim", "http://127.0.0.1:1", "http://127.0.0.1:1").unwrap(),
            entra_tenant_id: uuid::Uuid::from_u128(1),
            client_id: "app".to_owned(),
            credential: crate::credential::Credential::Secret("s".into()),
        }
    }

    #[tokio::test]
    async fn no_request_leaves_without_its_share_of_every_bucket() {
        let purse = Purse::new(Arc::new(Limited(AtomicU32::new(30))), Arc::new(Still), 1.0);
        let access = access();
        let group = ThrottleGroup::IntuneDefault;
        let take = || purse.take(&access, group, BudgetUse::Read, Lane::Sync);
        for number in 0..30 {
            assert_eq!(take().await, None, "{number}");
        }
        assert_eq!(take().await, Some(Duration::from_secs(2)));
    }

    #[test]
    fn writes_count_in_both_kinds_of_buckets() {
        let purse = Purse::new(Arc::new(Unshared), Arc::new(Still), 0.5);
        let buckets = purse.buckets(&access(), ThrottleGroup::IntuneDefault, BudgetUse::Write);
        let seen: Vec<(String, &str, u32)> = buckets
            .into_iter()
            .map(|(key, rate)| (key.app, key.uses.as_str(), rate.requests))
            .collect();
        let app = |uses, requests| ("app".to_owned(), uses, requests);
        let all = |uses, requests| ("*".to_owned(), uses, requests);
        assert_eq!(
            seen,
            [app("read", 500), all("read", 1_000), app("write", 50), all("write", 100)]
        );
    }
}
