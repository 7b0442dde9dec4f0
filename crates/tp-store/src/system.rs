//! The real clock, the real ids and real chance. The only place that asks the operating system.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tp_domain::ids::Ids;
use tp_domain::time::{Clock, Timestamp};
use uuid::Uuid;

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    fn steady(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }
}

/// New `UUIDv7s`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Fills `buffer` with unpredictable bytes, for tokens and nonces.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], crate::keys::KeyError> {
    let mut buffer = [0; N];
    aws_lc_rs::rand::fill(&mut buffer).map_err(|_| crate::keys::KeyError::NoRandomness)?;
    Ok(buffer)
}
