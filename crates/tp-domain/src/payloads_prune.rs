//! `payloads.prune`: the housekeeping of a tenant's stored contents. Removes what nothing needs, and seals anew
//! what a retired data key has sealed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, no_inputs};

/// How long something must have been needed by nothing before it is removed: longer than any capture takes
/// from its first write to its last, and time for whoever puts an older database back.
pub const GRACE: Duration = Duration::from_hours(24);

/// Ask for the housekeeping of stored contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunePayloads;

impl PrunePayloads {
    /// Reads inputs: there are none.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        no_inputs(inputs).map(|()| Self)
    }
}

impl OperationRequest for PrunePayloads {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::PayloadsPrune;

    fn inputs(&self) -> Value {
        json!({})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_refused() {
        assert_eq!(PrunePayloads::parse(&PrunePayloads.inputs()), Ok(PrunePayloads));
        assert_eq!(PrunePayloads::parse(&json!({"grace": 1})).unwrap_err()[0].pointer, "/grace");
    }
}
