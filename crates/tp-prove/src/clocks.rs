//! Clocks that a file sets, for all processes of a proof at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tp_domain::time::{Clock, Timestamp};
use tp_store::SystemClock;

fn read(file: &Path) -> i64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The new file takes the old one's place at once: nobody reads half of it.
fn write(file: &Path, micros: i64) -> Result<()> {
    let next = file.with_extension("next");
    std::fs::write(&next, micros.to_string())?;
    Ok(std::fs::rename(next, file)?)
}

/// A clock that stands where the file says, in microseconds, with a skew of its own.
#[derive(Clone, Debug)]
pub(crate) struct FileClock {
    pub(crate) file: PathBuf,
    pub(crate) skew_seconds: i64,
}

impl FileClock {
    /// Sets the time for all who look.
    pub(crate) fn set(&self, at: Timestamp) -> Result<()> {
        write(&self.file, at.micros())
    }

    /// What the file says, without the skew.
    pub(crate) fn told(&self) -> i64 {
        read(&self.file)
    }
}

impl Clock for FileClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.told() + self.skew_seconds * 1_000_000)
    }

    fn steady(&self) -> Duration {
        SystemClock.steady()
    }
}

/// A clock that goes, but is set forward or back by what the file says, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct OffsetClock {
    pub(crate) file: PathBuf,
}

impl OffsetClock {
    pub(crate) fn set(&self, offset_micros: i64) -> Result<()> {
        write(&self.file, offset_micros)
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().micros() + read(&self.file))
    }

    fn steady(&self) -> Duration {
        SystemClock.steady()
    }
}
