//! `inventory.sync`: what a person asks for when they sync a tenant's inventory.

use serde_json::{Map, Value, json};

use crate::operation::{
    InputError, OfTenant, OperationKind, OperationRequest, canonical, only_keys,
};
use crate::policy::PolicyType;

/// So many wrong inputs are named at most.
const MOST_ERRORS: usize = 20;

/// Ask for an inventory sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncInventory {
    types: Option<Vec<PolicyType>>,
    include_foundations: bool,
}

impl SyncInventory {
    /// Every type that has a contract.
    pub const fn everything() -> Self {
        Self { types: None, include_foundations: true }
    }

    /// Only these types. Sorted and without repeats, so that equal selections are equal requests.
    pub fn of_types(mut types: Vec<PolicyType>, include_foundations: bool) -> Self {
        types.sort();
        types.dedup();
        Self { types: Some(types), include_foundations }
    }

    /// Every type, or every type but the foundations that policies refer to.
    pub const fn all_types(include_foundations: bool) -> Self {
        Self { types: None, include_foundations }
    }

    /// The chosen types; none means all.
    pub fn types(&self) -> Option<&[PolicyType]> {
        self.types.as_deref()
    }

    /// Whether foundations (filters, scope tags, groups …) are read as well.
    pub const fn include_foundations(&self) -> bool {
        self.include_foundations
    }

    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let detail = "unknown input; allowed: types, include_foundations";
        let Some(map) = only_keys(inputs, &["types", "include_foundations"], detail, &mut errors)
        else {
            return Err(errors);
        };
        let types = Self::parse_types(map.get("types"), &mut errors);
        let include_foundations = match map.get("include_foundations") {
            None => true,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                errors.push(InputError::new("/include_foundations", "must be true or false"));
                true
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(match types {
            None => Self::all_types(include_foundations),
            Some(types) => Self::of_types(types, include_foundations),
        })
    }

    fn parse_types(value: Option<&Value>, errors: &mut Vec<InputError>) -> Option<Vec<PolicyType>> {
        let items = match value {
            None | Some(Value::Null) => return None,
            Some(Value::Array(items)) if !items.is_empty() => items,
            Some(_) => {
                errors.push(InputError::new(
                    "/types",
                    "must be a list with at least one policy type; leave it out for all",
                ));
                return None;
            }
        };
        let mut types = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            // A million bad entries are as wrong as twenty.
            if errors.len() >= MOST_ERRORS {
                break;
            }
            match item.as_str().map(PolicyType::new) {
                Some(Ok(policy_type)) => types.push(policy_type),
                Some(Err(_)) | None => errors.push(InputError::at(
                    format!("/types/{index}"),
                    "must be the key of a policy type; GET /api/v1/policy-types lists them",
                )),
            }
        }
        Some(types)
    }
}

impl OperationRequest for SyncInventory {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::InventorySync;

    fn inputs(&self) -> Value {
        let mut map = Map::new();
        if let Some(types) = &self.types {
            map.insert("types".into(), types.iter().map(PolicyType::as_str).collect());
        }
        map.insert("include_foundations".into(), json!(self.include_foundations));
        canonical(&Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::operation::IdentityHash;

    fn identity(inputs: &Value) -> IdentityHash {
        let request = SyncInventory::parse(inputs).unwrap();
        IdentityHash::of(SyncInventory::KIND, Uuid::nil(), &request.inputs())
    }

    #[test]
    fn equal_selections_have_equal_identities() {
        let left = identity(&json!({"types": ["roleScopeTag", "deviceConfiguration"]}));
        let right = identity(&json!({
            "include_foundations": true,
            "types": ["deviceConfiguration", "roleScopeTag", "deviceConfiguration"],
        }));
        assert_eq!(left, right);
        assert_ne!(left, identity(&json!({})));
        assert_ne!(identity(&json!({})), identity(&json!({"include_foundations": false})));
    }

    #[test]
    fn bad_inputs_name_their_place() {
        let errors =
            SyncInventory::parse(&json!({"types": ["ok", "not ok", 3], "a/b": 1})).unwrap_err();
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b", "/types/1", "/types/2"]);
        assert_eq!(SyncInventory::parse(&json!({"types": []})).unwrap_err()[0].pointer, "/types");
        assert_eq!(SyncInventory::parse(&json!(7)).unwrap_err()[0].pointer, "");
    }

    #[test]
    fn stored_inputs_read_back_to_the_same_request() {
        let types = vec![PolicyType::new("roleScopeTag").unwrap()];
        for request in [SyncInventory::everything(), SyncInventory::of_types(types, false)] {
            assert_eq!(SyncInventory::parse(&request.inputs()), Ok(request));
        }
    }
}
