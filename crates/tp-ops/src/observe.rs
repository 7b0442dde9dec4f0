//! From an object of Graph to what the inventory keeps of it: whitelisted fields only (PRODUCT I-1).

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tp_catalog::contract::{Contract, ListShape};
use tp_catalog::filter::{odata_type, template_family};
use tp_domain::hex::hex;
use tp_domain::json::Json;
use tp_domain::policy::{ObservedGroup, ObservedPolicy};
use tp_domain::time::Timestamp;

/// Facts that tell what a policy is, hold no setting and no secret, and are short.
const METADATA: [&str; 10] = [
    "version",
    "platforms",
    "technologies",
    "settingCount",
    "priority",
    "state",
    "publisher",
    "publishingState",
    "isBuiltIn",
    "deviceEnrollmentConfigurationType",
];

/// A text longer than this is no name, and is cut.
const LONGEST_TEXT: usize = 1024;

fn text(object: &Json, field: &str) -> Option<String> {
    let text = object.get(field)?.as_str()?;
    Some(text.chars().take(LONGEST_TEXT).collect())
}

fn time(object: &Json, fields: &[&str]) -> Option<Timestamp> {
    fields.iter().find_map(|field| Timestamp::parse(object.get(field)?.as_str()?))
}

/// The identity of an object: its id, or for the one object that a tenant has, the type's key.
fn graph_id(contract: &Contract, object: &Json) -> Option<String> {
    match object.get("id").and_then(Json::as_str).filter(|id| !id.is_empty()) {
        Some(id) if id.len() <= LONGEST_TEXT => Some(id.to_owned()),
        Some(_) => None,
        None if contract.list.shape == ListShape::Singleton => Some(contract.key.clone()),
        None => None,
    }
}

/// The platform: of the object if it says so, else of the type, else by the concrete type's name.
fn platform(contract: &Contract, object: &Json) -> Option<String> {
    if let Some(platforms) = text(object, "platforms") {
        return Some(platforms);
    }
    if contract.platform != "all" {
        return Some(contract.platform.clone());
    }
    let name = odata_type(object)?.to_lowercase();
    let known = [
        ("windows", "windows"),
        ("ios", "ios"),
        ("macos", "macos"),
        ("android", "android"),
        ("aosp", "android"),
    ];
    known.iter().find(|(start, _)| name.starts_with(start)).map(|(_, word)| (*word).to_owned())
}

/// A digest of listed ids in their order, for the shrink guard (ruling 22).
pub(crate) fn digest<'a>(ids: impl Iterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// What the inventory keeps; none for an object without an identity.
pub(crate) fn policy(contract: &Contract, object: &Json) -> Option<ObservedPolicy> {
    let mut metadata = Map::new();
    for field in METADATA {
        match object.get(field) {
            Some(Json::String(_)) => {
                metadata.insert(field.to_owned(), text(object, field).into());
            }
            Some(value @ (Json::Number(_) | Json::Bool(_))) => {
                metadata.insert(field.to_owned(), value.into());
            }
            _ => {}
        }
    }
    if object.get("templateReference").is_some_and(Json::is_object) {
        metadata.insert("templateFamily".to_owned(), template_family(object).into());
    }
    metadata.sort_keys();
    let tags = object.get("roleScopeTagIds").or_else(|| object.get("roleScopeTags"));
    let scope_tags = tags.and_then(Json::as_array).map_or_else(Vec::new, |tags| {
        let mut tags: Vec<String> =
            tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        tags.sort();
        tags
    });
    Some(ObservedPolicy {
        graph_id: graph_id(contract, object)?,
        name: contract.name_property.as_deref().and_then(|field| text(object, field)),
        platform: platform(contract, object),
        odata_type: odata_type(object).map(|name| name.chars().take(LONGEST_TEXT).collect()),
        created_at: time(object, &["createdDateTime"]),
        modified_at: time(object, &["lastModifiedDateTime", "modifiedDateTime"]),
        scope_tags,
        assigned: object.get("isAssigned").and_then(Json::as_bool),
        metadata: Value::Object(metadata),
    })
}

/// What the directory cache keeps; none for an object without an id.
pub(crate) fn group(object: &Json) -> Option<ObservedGroup> {
    let types = object.get("groupTypes").and_then(Json::as_array);
    let has = |word: &str| types.is_some_and(|types| types.iter().any(|one| one == word));
    let flag = |field: &str| object.get(field).and_then(Json::as_bool).unwrap_or(false);
    let kind = match (has("Unified"), flag("mailEnabled"), flag("securityEnabled")) {
        (true, _, _) => "microsoft365",
        (false, true, true) => "mail-enabled security",
        (false, true, false) => "distribution",
        (false, false, _) => "security",
    };
    let dynamic = if has("DynamicMembership") { " (dynamic)" } else { "" };
    Some(ObservedGroup {
        graph_id: object.get("id")?.as_str().filter(|id| !id.is_empty())?.to_owned(),
        name: text(object, "displayName"),
        group_type: format!("{kind}{dynamic}"),
    })
}

#[cfg(test)]
mod tests {
    use tp_catalog::registry::Catalog;
    use tp_domain::json;
    use tp_domain::policy::PolicyType;

    use super::*;

    fn contract(catalog: &Catalog, key: &str) -> Contract {
        catalog.contract(&PolicyType::new(key).unwrap()).unwrap().clone()
    }

    #[test]
    fn only_whitelisted_fields_are_kept() {
        let catalog = Catalog::builtin().unwrap();
        let seen = policy(
            &contract(&catalog, "deviceConfiguration"),
            &json!({
                "@odata.type": "#microsoft.graph.windows10CustomConfiguration",
                "id": "1", "displayName": "Wi-Fi", "version": 3,
                "lastModifiedDateTime": "2026-01-17T14:01:02.1234567Z",
                "roleScopeTagIds": ["7", "0"],
                "omaSettings": [{"value": "s3cret"}], "preSharedKey": "s3cret",
            }),
        )
        .unwrap();
        assert_eq!(seen.name.as_deref(), Some("Wi-Fi"));
        assert_eq!(seen.platform.as_deref(), Some("windows"));
        assert_eq!(seen.scope_tags, ["0", "7"]);
        assert_eq!(seen.metadata, serde_json::json!({"version": 3}));
        assert!(seen.modified_at.is_some());
        assert!(!format!("{seen:?}").contains("s3cret"));
    }

    #[test]
    fn an_object_without_an_identity_is_not_kept() {
        let catalog = Catalog::builtin().unwrap();
        let set = contract(&catalog, "deviceConfiguration");
        for object in [json!({}), json!({"id": ""}), json!({"id": 7})] {
            assert_eq!(policy(&set, &object), None, "{object}");
        }
        let single = contract(&catalog, "deviceManagementSettings");
        assert_eq!(policy(&single, &json!({})).unwrap().graph_id, "deviceManagementSettings");
    }

    #[test]
    fn groups_are_told_apart() {
        let kind = |object: Json| group(&object).map(|group| group.group_type);
        assert_eq!(kind(json!({"id": "1", "securityEnabled": true})).as_deref(), Some("security"));
        let unified = json!({"id": "1", "groupTypes": ["Unified", "DynamicMembership"]});
        assert_eq!(kind(unified).as_deref(), Some("microsoft365 (dynamic)"));
        assert_eq!(kind(json!({"displayName": "x"})), None);
    }
}
