//! One figure: what was promised, what was measured.

use serde::Serialize;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The full sample sizes, or those of every change.
    pub(crate) long: bool,
    /// The seed of every chance.
    pub(crate) seed: u64,
}

impl Size {
    pub(crate) const fn pick<T: Copy>(self, long: T, short: T) -> T {
        if self.long { long } else { short }
    }

    pub(crate) fn chance(self, what: u64) -> rand::rngs::StdRng {
        use rand::SeedableRng as _;
        rand::rngs::StdRng::seed_from_u64(self.seed ^ what)
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    #[serde(rename = "figure")]
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) holds: bool,
}

impl Figure {
    pub(crate) fn new(
        name: impl Into<String>,
        target: impl Into<String>,
        measured: impl Into<String>,
        holds: bool,
    ) -> Self {
        Self { name: name.into(), target: target.into(), measured: measured.into(), holds }
    }
}
