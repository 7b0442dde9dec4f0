//! The Graph budget: how many requests may be sent, shared by all workers (ruling 5, ENGINE I11).

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::operation::Lane;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Microsoft limits writes apart from reads.
    pub enum BudgetUse {
        /// GET requests.
        Read => "read",
        /// Everything else. A write is counted as a request as well.
        Write => "write",
    }
}

/// Which bucket is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BudgetKey {
    /// The app registration; `*` where the limit counts all apps of a tenant together.
    pub app: String,
    /// The tenant's id in Microsoft Entra.
    pub entra_tenant_id: Uuid,
    /// The group of services that the limit is about.
    pub service: &'static str,
    /// Reads or writes.
    pub uses: BudgetUse,
}

/// How a bucket fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetRate {
    /// That many requests …
    pub requests: u32,
    /// … in that time.
    pub window: Duration,
}

/// What a bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Borrowed {
    /// That many requests may be sent now.
    Granted(u32),
    /// None before that moment.
    Wait(Timestamp),
}

/// The shared budget did not answer. The sender waits and asks again; it never sends without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared Graph budget did not answer")]
pub struct BudgetUnavailable;

/// The port of the budget: tp-graph asks, tp-store answers.
pub trait GraphBudget: Send + Sync + fmt::Debug {
    /// Takes up to `wanted` requests out of the bucket. Less urgent lanes leave a reserve to the
    /// urgent ones.
    fn borrow<'a>(
        &'a self,
        key: &'a BudgetKey,
        rate: BudgetRate,
        wanted: u32,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Borrowed, BudgetUnavailable>>;

    /// Says that nothing may be sent before that moment: Graph told so. All workers obey.
    fn hold<'a>(
        &'a self,
        key: &'a BudgetKey,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), BudgetUnavailable>>;
}
