use serde_json::json;
use tp_domain::json::Json;

use super::*;

fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} changed; look at the difference, then UPDATE_GOLDEN=1");
}

#[test]
fn every_file_of_the_folder_is_embedded_and_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let embedded: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, embedded);
    assert_eq!(Catalog::builtin().unwrap().len(), names.len());
}

#[test]
fn contracts_change_only_on_purpose() {
    let catalog = Catalog::builtin().unwrap();
    let mut text = String::new();
    for (key, contract) in catalog.iter() {
        text.push_str(&format!(
            "{key} | {} {} | {:?} | {:?} | {} | read {} | write {} | {}/{}\n",
            contract.api_version.segment(),
            contract.list.path,
            contract.list.query,
            contract.list.client_filter,
            contract.throttle.as_str(),
            contract.permissions.read.join("+"),
            contract.permissions.write.join("+"),
            contract.restore.mode.as_str(),
            contract.restore.risk.as_str(),
        ));
    }
    golden("contracts.txt", &text);
}

/// Every object of a shared collection is of at most one type, whatever its type and family are.
#[test]
fn types_that_share_a_collection_are_disjoint() {
    let catalog = Catalog::builtin().unwrap();
    let all: Vec<&Contract> = catalog.iter().map(|(_, contract)| contract).collect();
    let odata_types: Vec<&str> =
        all.iter().flat_map(|contract| contract.odata_types.iter().map(String::as_str)).collect();
    let families: Vec<&str> = all
        .iter()
        .flat_map(|contract| contract.template_families.iter().map(String::as_str))
        .collect();
    for path in all.iter().map(|contract| &contract.list.path) {
        let sharing: Vec<&&Contract> =
            all.iter().filter(|contract| contract.list.path == *path).collect();
        let objects = odata_types
            .iter()
            .map(|name| json!({"@odata.type": format!("#microsoft.graph.{name}")}))
            .chain(
                families.iter().map(|name| json!({"templateReference": {"templateFamily": name}})),
            );
        for object in objects.chain([json!({})]) {
            let of: Vec<&str> = sharing
                .iter()
                .filter(|contract| {
                    contract
                        .list
                        .client_filter
                        .iter()
                        .all(|f| f.passes(&Json::from(object.clone())))
                })
                .map(|contract| contract.key.as_str())
                .collect();
            assert!(of.len() <= 1, "{object} of {path} is of {of:?}");
        }
    }
}

/// Microsoft's property lists, where the corpus is; a test without them says so and passes.
fn property_lists() -> Option<serde_json::Value> {
    let corpus = std::env::var_os("TENANTPILOT_TEST_CORPUS").map(std::path::PathBuf::from);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    let corpus = corpus.unwrap_or_else(|| beside.into());
    let Ok(text) = std::fs::read_to_string(corpus.join("../csdl_props.json")) else {
        println!("skipped: no corpus");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn microsofts_property_lists_confirm_the_contracts() {
    let Some(lists) = property_lists() else { return };
    let catalog = Catalog::builtin().unwrap();
    let faults = check::csdl(&catalog, &lists);
    let text: Vec<String> =
        faults.iter().map(|fault| format!("{}: {}", fault.key, fault.fault)).collect();
    assert!(text.is_empty(), "{}", text.join("\n"));
}

/// A new type is data: a file that this program never saw is read, checked and resolved.
#[test]
fn a_type_that_nobody_wrote_code_for_is_read_checked_and_resolved() {
    let invented = json!({
        "key": "tabletWallpaper", "label": "Tablet wallpaper", "category": "configuration",
        "platform": "all", "apiVersion": "beta", "entityType": "tabletWallpaper",
        "nameProperty": "displayName",
        "list": {"path": "/deviceManagement/tabletWallpapers", "query": {}, "shape": "set",
            "parent": null, "selectOk": true, "serverFilter": null, "clientFilter": []},
        "item": {"path": "/deviceManagement/tabletWallpapers/{id}", "query": {}, "listIsComplete": true},
        "permissions": {"read": ["Wallpaper.Read.All"], "write": ["Wallpaper.ReadWrite.All"],
            "delegatedOnly": false, "appRead": "open", "appWrite": "open",
            "certainty": "documented", "source": "invented"},
        "throttle": "intune-default",
        "restore": {"mode": "enabled", "risk": "low", "reason": null},
        "odataTypeRequired": false,
        "subresources": [{"name": "pictures", "putAt": "pictures", "part": "payload", "order": "set",
            "identity": ["/name"], "read": {"prefer": "sub_path", "subPath": {
                "path": "/deviceManagement/tabletWallpapers/{id}/pictures", "returns": "set"}}}],
        "create": {"call": {"method": "POST", "path": "/deviceManagement/tabletWallpapers", "success": [201]}},
        "changes": {"lastModified": "lastModifiedDateTime", "incremental": "own_members",
            "mayChangeUnseen": ["pictures"]},
        "secrets": [{"at": "/password", "handling": "redact", "readsAs": "absent"}],
        "availableIn": ["beta"], "evidence": ["invented"], "validation": {"status": "confirmed"},
    });
    let read = |value: &serde_json::Value| {
        Catalog::from_files(&[("tablet-wallpaper.json", &value.to_string())])
    };
    let catalog = read(&invented).unwrap();
    let (_, contract) = catalog.iter().next().unwrap();
    assert_eq!(contract.reading().requests_per_object(), 1);
    let can = crate::capabilities::capabilities(contract, Some(&[]));
    assert_eq!(can.missing_to_read, ["Wallpaper.Read.All"]);
    assert_eq!(can.limits, ["Secrets that Microsoft never gives back: /password."]);

    for (pointer, value, complaint) in [
        ("/colour", json!("red"), "unknown field `colour`"),
        ("/list/path", json!("https://evil.example/"), "not a path below the version"),
        ("/item/path", json!("/deviceManagement/tabletWallpapers"), "needs {id}"),
        ("/permissions/read", json!([]), "reading needs a permission"),
        ("/permissions/delegatedOnly", json!(true), "contradict"),
        ("/subresources/0/read/prefer", json!("call"), "preferred way is not described"),
        ("/subresources/0/identity", json!([]), "needs an identity"),
        ("/secrets/0/at", json!("password"), "begins with /"),
        ("/secrets/0/reveal", json!("pictures"), "no part pictures gives the secret"),
        ("/changes/mayChangeUnseen", json!(["sounds"]), "sounds is no part"),
        ("/create/call/path", json!("/deviceManagement/{id}"), "has no {id} yet"),
    ] {
        let mut broken = invented.clone();
        let (holder, name) = pointer.rsplit_once('/').unwrap();
        broken.pointer_mut(holder).unwrap()[name] = value;
        let said = read(&broken).unwrap_err().to_string();
        assert!(said.contains(complaint), "{pointer}: {said}");
    }
}

/// What reading one policy in full costs, beside the listing, and how a change is noticed.
#[test]
fn the_cost_of_reading_changes_only_on_purpose() {
    let catalog = Catalog::builtin().unwrap();
    let mut text = String::from(
        "Requests that read one policy in full beside the listing, and how a change is noticed.\n\n",
    );
    for (key, contract) in catalog.iter() {
        let reading = contract.reading();
        let mut how = Vec::new();
        how.extend(reading.list_query.get("$expand").map(|what| format!("list expands {what}")));
        how.extend(reading.item_query.as_ref().map(|query| match query.get("$expand") {
            Some(what) => format!("item expands {what}"),
            None => "item".to_owned(),
        }));
        how.extend(reading.parts.iter().map(|part| {
            if part.is_nested() {
                format!("{} for each child", part.name)
            } else {
                part.name.clone()
            }
        }));
        how.extend(reading.assignments_path.map(|_| "assignments".to_owned()));
        let changes = &contract.changes;
        let noticed = serde_json::to_value(changes.incremental).unwrap();
        text.push_str(&format!(
            "{key}: {} ({}); {}{}\n",
            reading.requests_per_object(),
            if how.is_empty() { "the listing is all".to_owned() } else { how.join("; ") },
            noticed.as_str().unwrap().replace('_', " "),
            if changes.may_change_unseen.is_empty() {
                String::new()
            } else {
                format!(", unseen: {}", changes.may_change_unseen.join(", "))
            },
        ));
    }
    golden("reading.txt", &text);
}
