//! Real policies by path; tests that need them say so where they are not there.

use std::path::PathBuf;

use serde_json::Value;
use tp_catalog::contract::Contract;
use tp_catalog::registry::Catalog;
use tp_domain::policy::PolicyType;

/// The folder of the corpus, where there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
    let folder =
        std::env::var("TENANTPILOT_TEST_CORPUS").map_or_else(|_| beside.into(), PathBuf::from);
    folder.join("index.json").is_file().then_some(folder)
}

/// All objects: path, type, object.
pub(crate) fn objects() -> Vec<(String, String, Value)> {
    let Some(folder) = folder() else { return Vec::new() };
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let index = read(folder.join("index.json"));
    let text = |row: &Value, member| row[member].as_str().unwrap().to_owned();
    index
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(row, "file"), text(row, "type"), read(folder.join(text(row, "file")))))
        .collect()
}

/// The contract of a type.
pub(crate) fn contract(catalog: &Catalog, key: &str) -> Contract {
    catalog.contract(&PolicyType::new(key).unwrap()).unwrap().clone()
}
