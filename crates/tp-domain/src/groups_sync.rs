//! `directory.groups.sync`: reads which groups the directory has, without their members (PRODUCT I-2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, no_inputs};

/// A group that no run has seen for so long is said to be stale.
pub const STALE_AFTER: Duration = Duration::from_hours(30 * 24);

/// A group that no run has seen for so long is forgotten.
pub const PURGED_AFTER: Duration = Duration::from_hours(90 * 24);

/// Ask for a refresh of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncGroups;

impl SyncGroups {
    /// Reads inputs: there are none.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        no_inputs(inputs).map(|()| Self)
    }
}

impl OperationRequest for SyncGroups {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::DirectoryGroupsSync;

    fn inputs(&self) -> Value {
        json!({})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_refused() {
        assert_eq!(SyncGroups::parse(&SyncGroups.inputs()), Ok(SyncGroups));
        assert_eq!(SyncGroups::parse(&json!({"q": 1})).unwrap_err()[0].pointer, "/q");
    }
}
