//! `policy.capture`: captures single policies as versions, without a backup set (PRODUCT S-1).

use serde_json::{Value, json};

use crate::backup_create::parse_policies;
use crate::ids::PolicyId;
use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, only_keys};

/// Ask for the capture of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturePolicies {
    policies: Vec<PolicyId>,
}

impl CapturePolicies {
    /// These policies. Sorted and without repeats.
    pub fn of(mut policies: Vec<PolicyId>) -> Self {
        policies.sort();
        policies.dedup();
        Self { policies }
    }

    /// The policies.
    pub fn policies(&self) -> &[PolicyId] {
        &self.policies
    }

    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let detail = "unknown input; allowed: policies";
        let Some(map) = only_keys(inputs, &["policies"], detail, &mut errors) else {
            return Err(errors);
        };
        match parse_policies(map.get("policies"), &mut errors) {
            Some(policies) if errors.is_empty() => Ok(Self::of(policies)),
            Some(_) => Err(errors),
            None => {
                let detail = "is needed: a list of 1 to 1,000 policy ids";
                errors.push(InputError::new("/policies", detail));
                Err(errors)
            }
        }
    }
}

impl OperationRequest for CapturePolicies {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::PolicyCapture;

    fn inputs(&self) -> Value {
        let ids: Vec<String> = self.policies.iter().map(ToString::to_string).collect();
        json!({"policies": ids})
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn policies_are_chosen_by_their_ids() {
        let id = |number| PolicyId::from_uuid(Uuid::from_u128(number));
        let request = CapturePolicies::of(vec![id(2), id(1), id(2)]);
        assert_eq!(request.policies(), [id(1), id(2)]);
        assert_eq!(CapturePolicies::parse(&request.inputs()), Ok(request));
        let pointers = |inputs: &Value| -> Vec<String> {
            let errors = CapturePolicies::parse(inputs).unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect()
        };
        assert_eq!(pointers(&json!({})), ["/policies"]);
        assert_eq!(pointers(&json!({"policies": []})), ["/policies"]);
        assert_eq!(pointers(&json!({"policies": ["x"], "a": 1})), ["/a", "/policies/0"]);
    }
}
