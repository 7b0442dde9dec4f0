//! Chance as a parameter (rule I-9).

use std::fmt;

/// Where chance comes from.
pub trait Jitter: Send + Sync + fmt::Debug {
    /// A number from 0 up to, but not including, 1.
    fn unit(&self) -> f64;
}

/// The machine's own randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemJitter;

impl Jitter for SystemJitter {
    fn unit(&self) -> f64 {
        rand::random::<f64>()
    }
}
