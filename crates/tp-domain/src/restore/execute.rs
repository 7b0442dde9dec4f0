//! `restore.execute`: carries out one confirmed plan. It is started by a confirm and in no other way.

use serde_json::{Value, json};

use crate::ids::RestoreId;
use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, only_keys};
use crate::restore::plan::PlanHash;

/// Ask for the execution of a plan. There is no purpose that may start it (`MayStart`): only the confirm of
/// a restore makes its run, in the same unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteRestore {
    /// The restore.
    pub restore: RestoreId,
    /// The plan that was confirmed.
    pub plan_hash: PlanHash,
}

impl ExecuteRestore {
    /// Reads stored inputs.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let detail = "unknown input; a restore has restore and plan_hash";
        let map = only_keys(inputs, &["restore", "plan_hash"], detail, &mut errors);
        let text = |name: &str| map.and_then(|map| map.get(name)).and_then(Value::as_str);
        let restore = text("restore").and_then(|text| text.parse().ok());
        let plan_hash = text("plan_hash").and_then(|text| text.parse().ok());
        if restore.is_none() {
            errors.push(InputError::at("/restore".to_owned(), "must be the id of a restore"));
        }
        if plan_hash.is_none() {
            errors.push(InputError::at("/plan_hash".to_owned(), "must be the hash of a plan"));
        }
        match (restore, plan_hash) {
            (Some(restore), Some(plan_hash)) if errors.is_empty() => {
                Ok(Self { restore, plan_hash })
            }
            _ => Err(errors),
        }
    }
}

impl OperationRequest for ExecuteRestore {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::RestoreExecute;

    fn inputs(&self) -> Value {
        json!({"plan_hash": self.plan_hash.as_str(), "restore": self.restore.to_string()})
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn stored_inputs_read_back_to_the_same_request() {
        let request = ExecuteRestore {
            restore: RestoreId::from_uuid(Uuid::from_u128(3)),
            plan_hash: PlanHash::of_bytes(b"plan"),
        };
        assert_eq!(ExecuteRestore::parse(&request.inputs()), Ok(request));
        let errors = ExecuteRestore::parse(&json!({"restore": "x", "also": 1})).unwrap_err();
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/also", "/restore", "/plan_hash"]);
    }
}
