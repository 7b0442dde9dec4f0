//! The counts of a run, and the outcome that follows from them (PRODUCT R-6).

use crate::run::Outcome;

/// How far a run is. `processed` is derived, so it cannot disagree with its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// How many things there are; unknown until every listing has ended.
    pub total: Option<u64>,
    /// Done and stored.
    pub succeeded: u64,
    /// Not done, with a reason code.
    pub failed: u64,
    /// Left out on purpose, with a reason.
    pub skipped: u64,
}

impl RunCounts {
    /// Succeeded, failed and skipped together.
    pub const fn processed(self) -> u64 {
        self.succeeded + self.failed + self.skipped
    }

    /// Whether these counts may follow `before`: nothing falls, and nothing exceeds a known total.
    pub const fn may_follow(self, before: Self) -> bool {
        let within_total = match self.total {
            Some(total) => self.processed() <= total,
            None => before.total.is_none(),
        };
        within_total
            && self.succeeded >= before.succeeded
            && self.failed >= before.failed
            && self.skipped >= before.skipped
    }

    /// The outcome that these counts prove. `had_failure` stands for failures that are not counted
    /// things, such as a policy type that could not be listed at all (ruling 19).
    pub const fn outcome(self, had_failure: bool) -> Outcome {
        let failed = self.failed > 0 || had_failure;
        match (self.succeeded > 0, failed) {
            (true, true) => Outcome::PartiallySucceeded,
            (false, true) => Outcome::Failed,
            (_, false) => Outcome::Succeeded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: Option<u64>, succeeded: u64, failed: u64, skipped: u64) -> RunCounts {
        RunCounts { total, succeeded, failed, skipped }
    }

    #[test]
    fn the_outcome_follows_from_the_counts() {
        let cases = [
            (counts(Some(3), 3, 0, 0), false, Outcome::Succeeded),
            (counts(Some(0), 0, 0, 0), false, Outcome::Succeeded),
            (counts(Some(3), 0, 0, 3), false, Outcome::Succeeded),
            (counts(Some(3), 2, 1, 0), false, Outcome::PartiallySucceeded),
            (counts(Some(3), 3, 0, 0), true, Outcome::PartiallySucceeded),
            (counts(Some(3), 0, 3, 0), false, Outcome::Failed),
            (counts(Some(0), 0, 0, 0), true, Outcome::Failed),
        ];
        for (counts, had_failure, outcome) in cases {
            assert_eq!(counts.outcome(had_failure), outcome, "{counts:?} {had_failure}");
        }
    }

    #[test]
    fn counts_never_fall_and_never_exceed_the_total() {
        let before = counts(None, 5, 1, 0);
        assert!(counts(None, 6, 1, 0).may_follow(before));
        assert!(counts(Some(10), 5, 1, 0).may_follow(before));
        assert!(!counts(None, 4, 1, 0).may_follow(before));
        assert!(!counts(Some(5), 5, 1, 0).may_follow(before));
        assert!(!counts(None, 5, 1, 0).may_follow(counts(Some(9), 5, 1, 0)));
    }
}
