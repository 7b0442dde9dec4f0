use serde_json::json;

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
                .filter(|contract| contract.list.client_filter.iter().all(|f| f.passes(&object)))
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
