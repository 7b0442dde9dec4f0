//! `runs.prune`: deletes finished runs after the workspace's retention (PRODUCT R-16).

use std::time::Duration;

use serde_json::{Value, json};

use crate::operation::{InputError, OfWorkspace, OperationKind, OperationRequest, no_inputs};

/// How long finished runs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(u32);

impl Retention {
    /// What a workspace begins with, in days.
    pub const USUAL: Self = Self(90);
    /// The fewest days that can be set: a week's end and the people who were away.
    pub const FLOOR: u32 = 7;
    /// The most days that can be set: ten years.
    pub const CEILING: u32 = 3_650;

    /// That many days, if they are within the bounds.
    pub const fn days(days: u32) -> Option<Self> {
        if days < Self::FLOOR || days > Self::CEILING { None } else { Some(Self(days)) }
    }

    /// The days.
    pub const fn as_days(self) -> u32 {
        self.0
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_hours(self.0 as u64 * 24)
    }
}

/// Ask for the clean-up of finished runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneRuns;

impl PruneRuns {
    /// Reads inputs: there are none.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        no_inputs(inputs).map(|()| Self)
    }
}

impl OperationRequest for PruneRuns {
    type Level = OfWorkspace;

    const KIND: OperationKind = OperationKind::RunsPrune;

    fn inputs(&self) -> Value {
        json!({})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_has_bounds() {
        assert_eq!(Retention::days(6), None);
        assert_eq!(Retention::days(7).map(Retention::as_days), Some(7));
        assert_eq!(Retention::days(3_651), None);
    }

    #[test]
    fn inputs_are_refused() {
        assert!(PruneRuns::parse(&json!({})).is_ok());
        assert_eq!(PruneRuns::parse(&json!({"days": 1})).unwrap_err()[0].pointer, "/days");
    }
}
