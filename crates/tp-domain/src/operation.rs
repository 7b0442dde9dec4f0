//! What can be asked for: the registry of run kinds and the requests that start them (PRODUCT R-17).

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::Capability;
use crate::hex::hex;
use crate::policy::PolicyType;
use crate::words::words;

words! {
    /// A kind of run. Its code is stable; an old row may carry a code that is no longer here.
    pub enum OperationKind {
        /// Reads what policies a tenant has.
        InventorySync => "inventory.sync",
    }
}

/// What the registry says of a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindFacts {
    /// English label, in sentence case.
    pub label_en: &'static str,
    /// German label.
    pub label_de: &'static str,
    /// One sentence for the start surface.
    pub description: &'static str,
    /// The capability that a person needs to start it.
    pub capability: Capability,
    /// What the counts count, in the plural.
    pub unit: &'static str,
    /// The keys that `context` may hold.
    pub context_keys: &'static [&'static str],
    /// How many tries a run gets.
    pub max_attempts: u32,
    /// Above this a run is "likely stuck", in seconds.
    pub expected_seconds: u64,
    /// Whether a later success of the same identity voids an old failure in "needs attention".
    pub superseded_by_success: bool,
    /// The spec that says what it must do, below the repository's root.
    pub spec: &'static str,
}

impl OperationKind {
    /// The registry row of this kind.
    pub const fn facts(self) -> KindFacts {
        match self {
            Self::InventorySync => KindFacts {
                label_en: "Inventory sync",
                label_de: "Inventarabgleich",
                description: "Reads which policies the tenant has, without their settings.",
                capability: Capability::InventorySync,
                unit: "objects",
                context_keys: &["rows_written", "types_listed"],
                max_attempts: 3,
                expected_seconds: 600,
                superseded_by_success: true,
                spec: "specs/001-first-five-minutes/spec.md",
            },
        }
    }

    /// The label of a stored code; a code that is not in the registry is "Unknown operation".
    pub fn label_of(code: &str) -> &'static str {
        code.parse::<Self>().map_or("Unknown operation", |kind| kind.facts().label_en)
    }
}

/// SHA-256 of what is asked for: equal starts have equal identities (PRODUCT R-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdentityHash([u8; 32]);

impl IdentityHash {
    /// Kind, scope and canonical JSON of the effective inputs; never the person.
    pub fn of(kind: OperationKind, scope: Uuid, inputs: &Value) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind.as_str().as_bytes());
        hash.update([0]);
        hash.update(scope.as_bytes());
        hash.update(canonical(inputs).to_string().as_bytes());
        Self(hash.finalize().into())
    }

    /// Lower-case hex, as it is stored.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// The same value with the keys of every object sorted.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            let sorted: Map<String, Value> =
                keys.into_iter().map(|key| (key.clone(), canonical(&map[key]))).collect();
            Value::Object(sorted)
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        plain => plain.clone(),
    }
}

/// What a start asks for. The web makes one, the operation takes one; they need not know each other.
pub trait OperationRequest: Send + Sync + 'static {
    /// The kind that this request starts.
    const KIND: OperationKind;

    /// The effective inputs as JSON, with sets sorted. Stored, shown and hashed.
    fn inputs(&self) -> Value;
}

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
        let Value::Object(map) = inputs else {
            return Err(vec![InputError::new("", "must be an object")]);
        };
        let mut errors = Vec::new();
        for key in
            map.keys().filter(|key| !["types", "include_foundations"].contains(&key.as_str()))
        {
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            errors.push(InputError::at(
                pointer,
                "unknown input; allowed: types, include_foundations",
            ));
        }
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

/// What is wrong with one input, and where (a JSON pointer into `inputs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// JSON pointer, empty for the whole.
    pub pointer: String,
    /// What is allowed there.
    pub detail: &'static str,
}

impl InputError {
    fn new(pointer: &'static str, detail: &'static str) -> Self {
        Self { pointer: pointer.to_owned(), detail }
    }

    /// An error at that pointer.
    pub const fn at(pointer: String, detail: &'static str) -> Self {
        Self { pointer, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn an_unknown_kind_has_a_label() {
        assert_eq!(OperationKind::label_of("inventory.sync"), "Inventory sync");
        assert_eq!(OperationKind::label_of("gone.kind"), "Unknown operation");
    }
}
