//! What a policy refers to: groups, filters, scope tags, other policies. The contract names the places.

use tp_domain::json::Json;

use crate::contract::Contract;
use crate::fields::MatchBy;
use crate::names::kind_of;

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What is referred to: a policy type's key, or the label of something outside.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Where the reference stands (RFC 6901).
    pub pointer: String,
    /// What stands before the id there; mostly nothing.
    pub prefix: String,
    /// Whether the id is the same in every tenant.
    pub same_everywhere: bool,
}

/// The references of an object, in the order of the contract. The contract's places are in the object with
/// its assignments as the member `assignments`.
pub fn references(contract: &Contract, object: &Json) -> Vec<Reference> {
    let mut found = Vec::new();
    for reference in &contract.references {
        for pointer in reference.at.find(object) {
            let id = object.pointer(&pointer).and_then(Json::as_str);
            let Some(id) = id.filter(|_| reference.when.holds(object, &pointer)) else { continue };
            let mut prefixes = reference.prefixes.iter();
            let stripped =
                prefixes.find_map(|prefix| Some((prefix, id.strip_prefix(prefix.as_str())?)));
            let (prefix, id) = stripped.map_or(("", id), |(prefix, id)| (prefix.as_str(), id));
            if !id.is_empty() && !reference.words.iter().any(|word| word == id) {
                let (kind, id) = (kind_of(&reference.to).to_owned(), id.to_owned());
                found.push(Reference {
                    kind,
                    id,
                    pointer,
                    prefix: prefix.to_owned(),
                    same_everywhere: reference.match_by == MatchBy::Id,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;
    use crate::registry::Catalog;

    #[test]
    fn groups_and_filters_of_assignments_are_found_and_words_are_not() {
        let catalog = Catalog::builtin().unwrap();
        let key = tp_domain::policy::PolicyType::new("deviceConfiguration").unwrap();
        let contract = catalog.contract(&key).unwrap();
        let object = json!({
            "@odata.type": "#microsoft.graph.windows10GeneralConfiguration",
            "roleScopeTagIds": ["0", "7"],
            "assignments": [
                {"target": {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": "g1",
                            "deviceAndAppManagementAssignmentFilterId": "f1"}},
                {"target": {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}},
            ],
        });
        let found = references(contract, &object);
        let has = |kind: &str, id: &str| found.iter().any(|one| one.kind == kind && one.id == id);
        assert!(has("group", "g1"), "{found:?}");
        assert!(has("roleScopeTag", "7"), "{found:?}");
        assert!(found.iter().any(|one| one.id == "f1"), "{found:?}");
        assert!(found.iter().all(|one| object.pointer(&one.pointer).is_some()), "{found:?}");
    }
}
