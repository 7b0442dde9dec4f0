use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use tp_domain::json;
use tp_domain::policy::PolicyType;

use super::*;
use crate::registry::Catalog;

fn write(key: &str, object: &Json, purpose: Purpose) -> Json {
    let catalog = Catalog::builtin().unwrap();
    let contract = catalog.contract(&PolicyType::new(key).unwrap()).unwrap();
    writable(contract, catalog.schema(), object, purpose).unwrap()
}

#[test]
fn a_body_carries_what_may_be_set_and_nothing_else() {
    let policy = json!({
        "@odata.context": "x", "@odata.type": "#microsoft.graph.deviceManagementConfigurationPolicy",
        "#microsoft.graph.assign": {}, "id": "1", "name": "A", "platforms": "windows10",
        "settingCount": 1, "isAssigned": true, "assignments": [],
        "settings": [{"id": "0", "settingInstance": {"settingDefinitionId": "d", "x@odata.type": "y"}}],
    });
    let expected = json!({
        "@odata.type": "#microsoft.graph.deviceManagementConfigurationPolicy", "name": "A",
        "platforms": "windows10", "settings": [{"settingInstance": {"settingDefinitionId": "d"}}],
    });
    assert_eq!(write("settingsCatalogPolicy", &policy, Purpose::Create), expected);
    assert_eq!(write("settingsCatalogPolicy", &policy, Purpose::Update), expected);
}

#[test]
fn what_is_read_only_in_one_concrete_type_is_sent_in_another() {
    let app =
        |name: &str| json!({"@odata.type": format!("#microsoft.graph.{name}"), "packageId": "a"});
    assert!(
        write("mobileApp", &app("androidForWorkApp"), Purpose::Create).get("packageId").is_none()
    );
    assert_eq!(
        write("mobileApp", &app("androidAospReferencedApp"), Purpose::Create)["packageId"],
        "a"
    );
    let change = write("mobileApp", &app("androidAospReferencedApp"), Purpose::Update);
    assert!(change.get("packageId").is_none(), "it cannot be changed later");
}

#[test]
fn a_conditional_access_policy_is_pruned_and_names_its_strength_by_id() {
    let policy = json!({
        "displayName": "A", "templateId": null, "conditions": {"users": {"includeUsers": [], "includeRoles": ["r"]}, "platforms": null},
        "grantControls": {"operator": "AND", "authenticationStrength": {"id": "s", "displayName": "Strong"}},
        "sessionControls": {"disableResilienceDefaults": false},
    });
    let expected = json!({
        "displayName": "A", "conditions": {"users": {"includeRoles": ["r"]}},
        "grantControls": {"operator": "AND", "authenticationStrength": {"id": "s"}},
    });
    assert_eq!(write("conditionalAccessPolicy", &policy, Purpose::Create), expected);
}

#[test]
fn a_type_that_cannot_be_written_has_no_body() {
    let catalog = Catalog::builtin().unwrap();
    let contract = catalog.contract(&PolicyType::new("vppToken").unwrap()).unwrap();
    assert!(writable(contract, catalog.schema(), &json!({}), Purpose::Update).is_none());
}

/// Where the corpus is; a test without it says so and passes.
fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    let folder =
        std::env::var_os("TENANTPILOT_TEST_CORPUS").map_or_else(|| beside.into(), PathBuf::from);
    if folder.join("index.json").exists() {
        return Some(folder);
    }
    println!("skipped: no corpus");
    None
}

/// Every real object of the corpus makes a body in which Microsoft's property lists find nothing that
/// cannot be set: no member that is read-only, no null where none may be. Members that the lists do not
/// know are sent, because the service is ahead of its metadata; there are few.
#[test]
fn bodies_of_real_objects_hold_only_what_can_be_set() {
    let Some(corpus) = corpus() else { return };
    let read = |path: PathBuf| -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
    };
    let (Some(index), Some(lists)) =
        (read(corpus.join("index.json")), read(corpus.join("../csdl_props.json")))
    else {
        return println!("skipped: no property lists");
    };
    let catalog = Catalog::builtin().unwrap();
    let (mut bodies, mut unknown) = (0, BTreeSet::new());
    let mut problems = BTreeMap::<String, usize>::new();
    for entry in index.as_array().unwrap() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let sample = ["script-sample", "docs-sample", "test-fixture"].contains(&text("kind"));
        let Some(contract) =
            PolicyType::new(text("type")).ok().and_then(|key| catalog.contract(&key))
        else {
            continue;
        };
        let object = std::fs::read(corpus.join(text("file"))).ok().filter(|_| !sample);
        let Some(object) = object.and_then(|text| Json::parse(&text).ok()) else { continue };
        let first = object.as_array().and_then(|list| list.first()).cloned();
        let object = first.unwrap_or(object);
        let types = &lists["types"][&contract.key];
        let name = odata_type(&object).unwrap_or(&contract.entity_type);
        let Some(members) = types[name].as_object() else { continue };
        let Some(body) = writable(contract, catalog.schema(), &object, Purpose::Create) else {
            continue;
        };
        bodies += 1;
        for (name, value) in body.as_object().unwrap().iter() {
            let name = name.as_str().unwrap();
            let flags = members.get(name).and_then(|member| member[1].as_str()).unwrap_or_default();
            let problem = match name {
                "@odata.type" => continue,
                _ if !members.contains_key(name) => {
                    unknown.insert(text("file"));
                    continue;
                }
                _ if flags.contains('R') => "read-only",
                _ if value.is_null() && flags.contains('!') => "null",
                _ => continue,
            };
            *problems.entry(format!("{}: {problem} {name}", contract.key)).or_default() += 1;
        }
    }
    println!(
        "{bodies} bodies of real objects, {} with a member unknown to the lists",
        unknown.len()
    );
    assert!(bodies > 1000, "{bodies}");
    assert!(unknown.len() * 20 < bodies, "{unknown:?}");
    assert!(problems.is_empty(), "{problems:#?}");
}
