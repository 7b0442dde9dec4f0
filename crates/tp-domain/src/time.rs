//! Time as the product stores it: whole microseconds since 1970 in UTC, read from a [`Clock`].

use std::fmt;
use std::time::Duration;

/// A moment, to the microsecond, in UTC. Stored as one signed 64-bit number on both databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 as Graph and the API write it.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }

    /// The same moment as a jiff value, for zones and formats. Out-of-range values are clamped.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// RFC 3339 in UTC with milliseconds: the form of the API and of `<time datetime>`.
    pub fn rfc3339(self) -> String {
        self.to_jiff().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }

    /// This moment and then `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// `duration` before this moment.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where the time comes from. A parameter everywhere, so that tests can fix it (rule I-9).
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment. It may be set, forwards and backwards.
    fn now(&self) -> Timestamp;

    /// How much time has passed since a fixed moment. It is never set: what `now` has gained on it was
    /// not lived through (TRUST F27).
    fn steady(&self) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_what_it_writes() {
        let at = Timestamp::parse("2026-01-17T14:01:02.345678Z").unwrap();
        assert_eq!(at.rfc3339(), "2026-01-17T14:01:02.345Z");
        assert_eq!(Timestamp::from_micros(at.micros()), at);
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn a_duration_is_never_negative() {
        let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        assert_eq!(late.since(early), Duration::from_micros(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
