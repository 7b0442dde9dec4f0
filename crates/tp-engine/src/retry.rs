//! Whether a failed try is followed by another, and when. A pure function.

use std::time::Duration;

use tp_domain::operation::RetryPolicy;
use tp_domain::reason::{ReasonCode, RetryClass};

/// What follows a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after that time.
    Retry(Duration),
    /// It has failed.
    Fail,
}

/// Decides for a try that failed for `reason`, by the kind's policy. `chance` is from 0 up to 1: full jitter, so that runs
/// that failed together do not come back together.
pub fn decide(reason: ReasonCode, attempt: u32, policy: RetryPolicy, chance: f64) -> Decision {
    if reason.retry() == RetryClass::Permanent || attempt >= policy.max_attempts {
        return Decision::Fail;
    }
    let tripled = 3_u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let first = Duration::from_secs(policy.first_seconds);
    let longest = Duration::from_secs(policy.longest_seconds);
    let ceiling = first.saturating_mul(tripled).min(longest);
    Decision::Retry(ceiling.mul_f64(chance.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_troubles_are_tried_again() {
        use ReasonCode as R;
        let cases = [
            (R::GraphUnavailable, 1, 3, Decision::Retry(Duration::from_secs(5))),
            (R::GraphUnavailable, 2, 3, Decision::Retry(Duration::from_secs(15))),
            (R::GraphUnavailable, 3, 3, Decision::Fail),
            (R::GraphThrottled, 9, 20, Decision::Retry(Duration::from_mins(5))),
            (R::GraphThrottled, u32::MAX - 1, u32::MAX, Decision::Retry(Duration::from_mins(5))),
            (R::CredentialExpired, 1, 3, Decision::Fail),
            (R::InternalError, 1, 3, Decision::Fail),
        ];
        for (reason, attempt, max, expected) in cases {
            let policy = RetryPolicy { max_attempts: max, ..RetryPolicy::USUAL };
            assert_eq!(decide(reason, attempt, policy, 0.5), expected, "{reason} {attempt}/{max}");
        }
    }
}
