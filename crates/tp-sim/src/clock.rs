//! The time of day. Tokens and time stamps must agree with the clock of the clients, which is the
//! machine's; everything else of the simulator follows from its seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "real clients compare tokens with the machine's clock"
)]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `2026-01-17T09:00:00.0000000Z`, as Intune writes it.
pub(crate) fn stamp(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:07}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        since_1970.subsec_nanos() / 100,
    )
}

/// Days since 1970 as a date: whole eras of 400 years, counted from March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Seconds since 1970 of a time as certificates write it: `YYMMDDHHMMSSZ` (years 1950 to 2049) or
/// `YYYYMMDDHHMMSSZ`. None for another form, and for what is before 1970.
pub(crate) fn of_certificate(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z').filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match digits.len() {
        12 => {
            let year: u64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        14 => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<u64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The other way round as `date`.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(days.checked_sub(719_468)? * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_certificates_are_read() {
        assert_eq!(of_certificate("260117090000Z"), Some(1_768_640_400));
        assert_eq!(of_certificate("20000229000000Z"), Some(951_782_400));
        assert_eq!(of_certificate("700101000000Z"), Some(0));
        for bad in ["", "Z", "260117090000", "26011709000Z", "261317090000Z", "500101000000Z"] {
            assert_eq!(of_certificate(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_written_as_graph_writes_them() {
        let cases = [
            (0, "1970-01-01T00:00:00.0000000Z"),
            (951_782_400, "2000-02-29T00:00:00.0000000Z"),
            (1_768_640_400, "2026-01-17T09:00:00.0000000Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(stamp(Duration::from_secs(seconds)), text);
        }
    }
}
