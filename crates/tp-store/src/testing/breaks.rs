//! Break points: named moments inside the store at which a proof stops a process for good and kills it;
//! and how long the looks at the queue took. Without the feature `testing` none of it is compiled.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

macro_rules! break_points {
    ($($(#[doc = $doc:literal])+ $point:ident = $text:literal,)+) => {
        /// A moment between two steps of the store. "Written" is before the commit, "committed" after it
        /// and before anybody has been told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum BreakPoint {
            $($(#[doc = $doc])+ $point,)+
        }

        impl BreakPoint {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$point),+];

            /// Its name, as in docs/engine.md.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$point => $text,)+
                }
            }

            /// Whether it lies in a restore: the proofs of restores stop there.
            pub const fn is_of_restores(self) -> bool {
                matches!(self, Self::IntentCommitted | Self::SettledCommitted | Self::ResultCommitted)
            }
        }
    };
}

break_points! {
    /// A start's rows are written.
    StartWritten = "start-written",
    /// A start is committed and not answered.
    StartCommitted = "start-committed",
    /// A claim has taken jobs and moved their runs.
    ClaimWritten = "claim-written",
    /// A claim is committed; nobody works on its runs yet.
    ClaimCommitted = "claim-committed",
    /// A beat has prolonged leases.
    BeatWritten = "beat-written",
    /// A beat is committed and not answered.
    BeatCommitted = "beat-committed",
    /// The end of one run is written.
    EndWritten = "end-written",
    /// The end of one run is committed and not answered.
    EndCommitted = "end-committed",
    /// The ends of several runs are written together.
    GroupEndWritten = "group-end-written",
    /// The ends of several runs are committed together and not answered.
    GroupEndCommitted = "group-end-committed",
    /// A sweep has taken runs back, or ended them.
    SweepWritten = "sweep-written",
    /// A sweep is committed; nobody was rung.
    SweepCommitted = "sweep-committed",
    /// A roll-up has started children.
    RollUpStartWritten = "roll-up-start-written",
    /// A roll-up that started children is committed; nobody was rung.
    RollUpStartCommitted = "roll-up-start-committed",
    /// A roll-up has ended its parent.
    RollUpEndWritten = "roll-up-end-written",
    /// A roll-up that ended its parent is committed.
    RollUpEndCommitted = "roll-up-end-committed",
    /// A write into a tenant is written down and committed; it is not sent.
    IntentCommitted = "intent-committed",
    /// What came of a write is committed and not answered.
    SettledCommitted = "settled-committed",
    /// What came of an object of a restore is committed and not answered.
    ResultCommitted = "result-committed",
    /// A slot is written with its run.
    SlotWritten = "slot-written",
    /// A slot is committed with its run; nobody was rung.
    SlotCommitted = "slot-committed",
}

impl FromStr for BreakPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|point| point.as_str() == text);
        found.copied().ok_or_else(|| format!("there is no break point {text:?}"))
    }
}

/// The armed point's place, counted from one.
static ARMED: AtomicUsize = AtomicUsize::new(0);
static TELL: OnceLock<fn()> = OnceLock::new();
/// How many ends of runs this process has written: tells a group of them on SQLite.
static ENDS: AtomicUsize = AtomicUsize::new(0);

const fn place(point: BreakPoint) -> usize {
    point as usize + 1
}

/// Stops this process for good at that point, whoever comes to it, and calls `tell` first. What it had
/// begun stays begun: the process is to be killed.
pub fn break_at(point: BreakPoint, tell: fn()) {
    let _ = TELL.set(tell);
    ARMED.store(place(point), Ordering::SeqCst);
}

/// Lets everybody pass again.
pub fn break_nowhere() {
    ARMED.store(0, Ordering::SeqCst);
}

/// The other side of [`break_at`].
pub(crate) async fn reached(point: BreakPoint) {
    if point == BreakPoint::EndWritten {
        ENDS.fetch_add(1, Ordering::SeqCst);
    }
    if ARMED.load(Ordering::SeqCst) == place(point) {
        if let Some(tell) = TELL.get() {
            tell();
        }
        std::future::pending::<()>().await;
    }
}

/// How many ends of runs were written so far.
pub(crate) fn ends_written() -> usize {
    ENDS.load(Ordering::SeqCst)
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A claim.
    Claim,
    /// A discovery of scopes with work.
    Discovery,
}

/// When and how long: none until somebody asks for it.
static LOOKS: Mutex<Option<Vec<(Look, Instant, Duration)>>> = Mutex::new(None);

/// Begins to keep the times of all looks at the queue in this process.
pub fn looks_begin() {
    *LOOKS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
}

/// The looks since [`looks_begin`]: what, when it was asked for, how long it took.
pub fn looks_taken() -> Vec<(Look, Instant, Duration)> {
    LOOKS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// Times a look from here to its drop.
pub(crate) struct Timed(Look, Instant);

impl Timed {
    pub(crate) fn begin(look: Look) -> Self {
        Self(look, Instant::now())
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let took = self.1.elapsed();
        let mut looks = LOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looks) = looks.as_mut() {
            looks.push((self.0, self.1, took));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_point_is_found_by_its_name() {
        for point in BreakPoint::ALL {
            assert_eq!(point.as_str().parse(), Ok(*point));
        }
        assert!("nowhere".parse::<BreakPoint>().is_err());
    }
}
