//! How long to wait after a refusal. Pure functions; the wait itself is the caller's.

use std::time::Duration;

use tp_domain::time::Timestamp;

/// The first wait without a Retry-After; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Without a word of the host no wait is longer.
const LONGEST_BACKOFF: Duration = Duration::from_mins(2);
/// A told wait is believed up to here: a longer one would stop a tenant by one bad answer (TRUST F14).
const LONGEST_TOLD: Duration = Duration::from_mins(15);

/// Reads a Retry-After: whole seconds, a decimal (Microsoft's own sample is `2.128`), or an HTTP date.
///
/// Words and negative numbers tell nothing and read as `None`; absurd numbers are cut later.
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0)
            .then(|| Duration::from_secs_f64(seconds.min(86_400.0)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at = Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).ok()?);
    Some(at.since(now))
}

/// The wait before attempt `attempt + 1` (the first attempt is 1). `chance` is from 0 up to 1.
///
/// A told wait is kept and lengthened by up to a fifth, so that clients that were told the same do not
/// come back together. Without one: full jitter over a doubling ceiling. Zero never leads to a hot loop.
pub fn next_wait(attempt: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let chance = chance.clamp(0.0, 1.0);
    let doubled =
        FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(16)));
    let backoff = doubled.min(LONGEST_BACKOFF).mul_f64(chance).max(Duration::from_millis(100));
    match retry_after {
        None => backoff,
        // "0" says "now", and usually means "soon": back off as without it.
        Some(told) if told.is_zero() => backoff,
        Some(told) => told.min(LONGEST_TOLD).mul_f64(chance.mul_add(0.2, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_retry_after_is_read() {
        let now = Timestamp::parse("2026-01-17T09:00:00Z").unwrap();
        let ms = Duration::from_millis;
        let cases = [
            ("12", Some(ms(12_000))),
            ("2.128", Some(ms(2128))),
            ("0", Some(ms(0))),
            (" 7 ", Some(ms(7000))),
            ("Sat, 17 Jan 2026 09:00:45 GMT", Some(ms(45_000))),
            ("Sat, 17 Jan 2026 08:00:00 GMT", Some(ms(0))),
            ("-5", None),
            ("soon", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("999999999999", Some(ms(86_400_000))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_retry_after(text, now), expected, "{text:?}");
        }
    }

    #[test]
    fn a_told_wait_is_never_cut_short() {
        for told in [Duration::from_millis(2128), Duration::from_secs(45)] {
            for chance in [0.0, 0.5, 0.999] {
                assert!(next_wait(1, Some(told), chance) >= told);
            }
        }
        assert!(next_wait(1, Some(Duration::ZERO), 0.0) > Duration::ZERO, "no hot loop");
        let absurd = next_wait(1, Some(Duration::from_hours(24)), 0.0);
        assert_eq!(absurd, LONGEST_TOLD, "one bad answer does not stop a tenant for a day");
    }

    #[test]
    fn without_a_word_the_wait_doubles_and_is_spread() {
        let waits: Vec<Duration> = (1..=9).map(|attempt| next_wait(attempt, None, 1.0)).collect();
        let seconds: Vec<u64> = waits.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(next_wait(3, None, 0.5), Duration::from_secs(2));
    }
}
