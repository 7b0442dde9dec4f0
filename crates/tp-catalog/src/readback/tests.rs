use tp_domain::json;
use tp_domain::policy::PolicyType;

use super::*;
use crate::registry::Catalog;

fn contract(catalog: &Catalog, key: &str) -> Contract {
    catalog.contract(&PolicyType::new(key).unwrap()).unwrap().clone()
}

fn set(object: &mut Json, name: &str, value: Json) {
    object.as_object_mut().unwrap().insert(name, value);
}

fn differ(key: &str, wanted: &Json, live: &Json) -> Vec<String> {
    let catalog = Catalog::builtin().unwrap();
    differences(&contract(&catalog, key), catalog.schema(), wanted, live)
}

#[test]
fn what_says_the_same_is_the_same() {
    let wanted = json!({
        "@odata.type": "#microsoft.graph.windows10CustomConfiguration", "id": "1", "displayName": "A",
        "description": null, "roleScopeTagIds": ["0", "7"], "version": 3,
        "lastModifiedDateTime": "2026-01-01T00:00:00Z",
    });
    let live = json!({
        "id": "2", "displayName": "A", "description": "", "roleScopeTagIds": ["7", "0"], "version": 9,
        "supportsScopeTags": true, "omaSettings": [], "assignments": [{"id": "x"}],
    });
    assert_eq!(
        differ("deviceConfiguration", &wanted, &live),
        ["/description"],
        "a text is not nothing"
    );
    let mut live = live;
    set(&mut live, "description", Json::Null);
    assert!(differ("deviceConfiguration", &wanted, &live).is_empty());
    set(&mut live, "roleScopeTagIds", json!(["7"]));
    assert_eq!(differ("deviceConfiguration", &wanted, &live), ["/roleScopeTagIds"]);
}

#[test]
fn an_emptied_list_is_a_difference_and_what_graph_adds_is_none() {
    let wanted = json!({"displayName": "A", "omaSettings": []});
    let live =
        json!({"displayName": "A", "omaSettings": [{"omaUri": "./x"}], "deviceManagementX": 1});
    assert_eq!(differ("deviceConfiguration", &wanted, &live), ["/omaSettings"]);
}

#[test]
fn texts_are_compared_by_what_they_decode_to() {
    let script = |text: &[u8]| json!({"displayName": "A", "scriptContent": STANDARD.encode(text)});
    let key = "deviceManagementScript";
    assert!(differ(key, &script(b"echo 1"), &script(b"\xef\xbb\xbfecho 1")).is_empty());
    assert_eq!(differ(key, &script(b"echo 1"), &script(b"echo 2")), ["/scriptContent"]);
}

#[test]
fn assignments_are_a_set_without_ids() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "deviceConfiguration");
    let group = |id: &str, group: &str| {
        json!({"id": id, "source": "direct", "sourceId": "p", "target": {
            "@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group,
            "deviceAndAppManagementAssignmentFilterId": null,
            "deviceAndAppManagementAssignmentFilterType": "none"}})
    };
    let plain = json!({"target": {
        "@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": "a"}});
    assert!(!assignments_differ(
        &contract,
        &[group("1", "b"), plain.clone()],
        &[group("9", "a"), group("8", "b")]
    ));
    assert!(assignments_differ(&contract, std::slice::from_ref(&plain), &[]));
    let mut filtered = group("1", "a");
    set(
        filtered.get_mut("target").unwrap(),
        "deviceAndAppManagementAssignmentFilterId",
        "f".into(),
    );
    set(
        filtered.get_mut("target").unwrap(),
        "deviceAndAppManagementAssignmentFilterType",
        "include".into(),
    );
    assert!(assignments_differ(&contract, &[plain], &[filtered]));
}

#[test]
fn a_fingerprint_changes_with_what_is_compared() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "deviceConfiguration");
    let of = |object: &Json| fingerprint(&contract, catalog.schema(), object, Some(&[]));
    let object = json!({"id": "1", "displayName": "A", "version": 1});
    let mut touched = object.clone();
    set(&mut touched, "version", json!(2));
    assert_eq!(of(&object), of(&touched));
    set(&mut touched, "displayName", "B".into());
    assert_ne!(of(&object), of(&touched));
    assert_ne!(of(&object), fingerprint(&contract, catalog.schema(), &object, None));
}

#[test]
fn a_secret_is_in_no_fingerprint_but_its_change_is() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "deviceConfiguration");
    let of = |key: &str, changed: &str| {
        let object = json!({
            "@odata.type": "#microsoft.graph.windowsWifiConfiguration", "id": "1",
            "displayName": "A", "preSharedKey": key, "lastModifiedDateTime": changed,
        });
        fingerprint(&contract, catalog.schema(), &object, None)
    };
    assert_eq!(of("secret", "2026-01-01T00:00:00Z"), of("other", "2026-01-01T00:00:00Z"));
    assert_ne!(of("secret", "2026-01-01T00:00:00Z"), of("secret", "2026-01-02T00:00:00Z"));
}
