//! The record of a restore: how far it has come, and who has agreed to it.

use uuid::Uuid;

use crate::ids::{RestoreId, RunId};
use crate::payload::PayloadAddress;
use crate::restore::draft::RestoreDraft;
use crate::restore::plan::PlanHash;
use crate::time::Timestamp;
use crate::words::words;

/// The longest reason that is kept, in characters: Microsoft takes 1,024 of them, and ours has our own mark
/// behind it.
pub const LONGEST_REASON: usize = 900;

words! {
    /// How far a restore has come.
    pub enum RestoreState {
        /// Source, scope and mapping are being chosen.
        Draft => "draft",
        /// There is a frozen plan to look at.
        Previewed => "previewed",
        /// A person has confirmed it; a second one must as well.
        AwaitingSecondApprover => "awaiting_second_approver",
        /// It is agreed to, and its run is queued.
        Confirmed => "confirmed",
        /// Its run is at work.
        Executing => "executing",
        /// Its run has ended. How, its items say.
        Done => "done",
        /// Its plan was not confirmed or not begun in time.
        Expired => "expired",
        /// Somebody gave it up, or the second person refused.
        Discarded => "discarded",
    }
}

impl RestoreState {
    /// Whether `next` may follow. A new preview may be made until the run begins, and after it has ended
    /// only in a new restore.
    pub const fn may_become(self, next: Self) -> bool {
        use RestoreState as S;
        match self {
            S::Draft | S::Expired => matches!(next, S::Previewed | S::Discarded),
            S::Previewed => matches!(
                next,
                S::Previewed | S::AwaitingSecondApprover | S::Confirmed | S::Expired | S::Discarded
            ),
            S::AwaitingSecondApprover => {
                matches!(next, S::Confirmed | S::Expired | S::Discarded | S::Previewed)
            }
            S::Confirmed => matches!(next, S::Executing | S::Expired | S::Done),
            S::Executing => matches!(next, S::Done),
            // "Retry failed only" begins the same plan again.
            S::Done => matches!(next, S::Confirmed),
            S::Discarded => false,
        }
    }
}

/// Who did something, by name as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The account.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

/// A restore as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRecord {
    /// Its id.
    pub id: RestoreId,
    /// How far it has come.
    pub state: RestoreState,
    /// Whether a second person must agree.
    pub second_approver: bool,
    /// Why, in the words of whoever confirmed it.
    pub reason: Option<String>,
    /// Who began it.
    pub created: Who,
    /// The frozen plan, once there is one.
    pub plan: Option<(PlanHash, Timestamp)>,
    /// Who confirmed it.
    pub confirmed: Option<Who>,
    /// Who was the second person.
    pub approved: Option<Who>,
    /// Its run, from the confirm on.
    pub run: Option<RunId>,
    /// Counts changes of this record.
    pub revision: u64,
    /// What is wanted.
    pub draft: Option<RestoreDraft>,
    /// Where the differences of the frozen plan are kept, and the run that found them.
    pub preview: Option<(PayloadAddress, RunId)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_executed_that_was_not_confirmed() {
        for state in RestoreState::ALL {
            let may = state.may_become(RestoreState::Executing);
            assert_eq!(may, *state == RestoreState::Confirmed, "{state}");
        }
        assert!(!RestoreState::Draft.may_become(RestoreState::Confirmed), "without a preview");
        assert!(RestoreState::ALL.iter().all(|to| !RestoreState::Discarded.may_become(*to)));
    }
}
