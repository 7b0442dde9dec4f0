//! `backup.create`: what a person asks for when they make a backup.

use serde_json::{Map, Value, json};

use crate::ids::PolicyId;
use crate::inventory_sync::SyncInventory;
use crate::operation::{
    InputError, OfTenant, OperationKind, OperationRequest, canonical, only_keys,
};
use crate::policy::PolicyType;

/// So many policies are chosen by name at most; a larger choice is one of types.
const MOST_POLICIES: usize = 1_000;
/// The longest note, in characters.
pub const LONGEST_NOTE: usize = 500;

/// What a backup set is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupSelection {
    /// Policies of types: all, or some.
    Types(SyncInventory),
    /// These policies.
    Policies(Vec<PolicyId>),
}

/// Ask for a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateBackup {
    selection: BackupSelection,
    note: Option<String>,
}

impl CreateBackup {
    /// Every type that has a contract.
    pub const fn everything() -> Self {
        Self { selection: BackupSelection::Types(SyncInventory::everything()), note: None }
    }

    /// Only these types.
    pub fn of_types(types: Vec<PolicyType>, include_foundations: bool) -> Self {
        let types = SyncInventory::of_types(types, include_foundations);
        Self { selection: BackupSelection::Types(types), note: None }
    }

    /// Only these policies. Sorted and without repeats.
    pub fn of_policies(mut policies: Vec<PolicyId>) -> Self {
        policies.sort();
        policies.dedup();
        Self { selection: BackupSelection::Policies(policies), note: None }
    }

    /// The same with a note. It is not part of what makes two starts equal.
    #[must_use]
    pub fn with_note(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    /// What the set is to hold.
    pub const fn selection(&self) -> &BackupSelection {
        &self.selection
    }

    /// The note for the set.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The chosen types; none means all, or that policies are chosen.
    pub fn types(&self) -> Option<&[PolicyType]> {
        match &self.selection {
            BackupSelection::Types(types) => types.types(),
            BackupSelection::Policies(_) => None,
        }
    }

    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let allowed = ["types", "policies", "note", "include_foundations"];
        let detail = "unknown input; allowed: types, policies, note, include_foundations";
        let Some(map) = only_keys(inputs, &allowed, detail, &mut errors) else {
            return Err(errors);
        };
        let note = parse_note(map.get("note"), &mut errors);
        let policies = parse_policies(map.get("policies"), &mut errors);
        let mut rest = map.clone();
        rest.retain(|key, _| key == "types" || key == "include_foundations");
        if policies.is_some() && !rest.is_empty() {
            let detail = "choose policies, or types and foundations, not both";
            errors.push(InputError::new("/policies", detail));
        }
        let selection = match policies {
            Some(policies) => Some(Self::of_policies(policies).selection),
            None => match SyncInventory::parse(&Value::Object(rest)) {
                Ok(types) => Some(BackupSelection::Types(types)),
                Err(wrong) => {
                    errors.extend(wrong);
                    None
                }
            },
        };
        match selection {
            Some(selection) if errors.is_empty() => Ok(Self { selection, note }),
            _ => Err(errors),
        }
    }
}

fn parse_note(value: Option<&Value>, errors: &mut Vec<InputError>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.chars().count() <= LONGEST_NOTE => {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        }
        Some(_) => {
            errors.push(InputError::new("/note", "must be a text of at most 500 characters"));
            None
        }
    }
}

pub(crate) fn parse_policies(
    value: Option<&Value>,
    errors: &mut Vec<InputError>,
) -> Option<Vec<PolicyId>> {
    let items = match value {
        None | Some(Value::Null) => return None,
        Some(Value::Array(items)) if (1..=MOST_POLICIES).contains(&items.len()) => items,
        Some(_) => {
            let detail = "must be a list of 1 to 1,000 policy ids; leave it out for whole types";
            errors.push(InputError::new("/policies", detail));
            return Some(Vec::new());
        }
    };
    let mut policies = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(id) = item.as_str().and_then(|text| text.parse::<PolicyId>().ok()) else {
            let detail = "must be the id of a policy; GET …/policies lists them";
            errors.push(InputError::at(format!("/policies/{index}"), detail));
            break;
        };
        policies.push(id);
    }
    Some(policies)
}

impl OperationRequest for CreateBackup {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::BackupCreate;

    fn inputs(&self) -> Value {
        let mut map = match &self.selection {
            BackupSelection::Types(types) => match types.inputs() {
                Value::Object(map) => map,
                _ => Map::new(),
            },
            BackupSelection::Policies(policies) => {
                let ids: Vec<String> = policies.iter().map(ToString::to_string).collect();
                Map::from_iter([("policies".to_owned(), json!(ids))])
            }
        };
        if let Some(note) = &self.note {
            map.insert("note".to_owned(), json!(note));
        }
        canonical(&Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::operation::IdentityHash;

    fn identity(inputs: &Value) -> IdentityHash {
        let request = CreateBackup::parse(inputs).unwrap();
        IdentityHash::of(CreateBackup::KIND, Uuid::nil(), &request.inputs())
    }

    #[test]
    fn equal_selections_have_equal_identities_whatever_the_note_says() {
        let left = identity(&json!({"types": ["roleScopeTag", "deviceConfiguration"]}));
        let right = identity(&json!({
            "types": ["deviceConfiguration", "roleScopeTag"],
            "include_foundations": true,
            "note": "before the change",
        }));
        assert_eq!(left, right);
        assert_ne!(left, identity(&json!({})));
        let (one, two) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
        assert_eq!(
            identity(&json!({"policies": [one, two]})),
            identity(&json!({"policies": [two, one, two]}))
        );
    }

    #[test]
    fn bad_inputs_name_their_place() {
        let pointers = |inputs: &Value| -> Vec<String> {
            let errors = CreateBackup::parse(inputs).unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect()
        };
        assert_eq!(pointers(&json!({"policies": ["x"], "a": 1})), ["/a", "/policies/0"]);
        assert_eq!(pointers(&json!({"policies": []})), ["/policies"]);
        assert_eq!(pointers(&json!({"note": 3, "types": []})), ["/note", "/types"]);
        assert_eq!(pointers(&json!({"note": "x".repeat(501)})), ["/note"]);
        let both = json!({"policies": [Uuid::nil().to_string()], "types": ["roleScopeTag"]});
        assert_eq!(pointers(&both), ["/policies"]);
    }

    #[test]
    fn stored_inputs_read_back_to_the_same_request() {
        let id = PolicyId::from_uuid(Uuid::from_u128(7));
        for request in [
            CreateBackup::everything().with_note(Some("x".to_owned())),
            CreateBackup::of_types(vec![PolicyType::new("roleScopeTag").unwrap()], false),
            CreateBackup::of_policies(vec![id]),
        ] {
            assert_eq!(CreateBackup::parse(&request.inputs()), Ok(request));
        }
    }
}
