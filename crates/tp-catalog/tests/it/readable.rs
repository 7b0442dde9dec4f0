//! Policies as people read them: layouts of generated policies exactly, and of every real one whole.

use serde_json::Value;
use tp_catalog::definitions::Definitions;
use tp_catalog::names::Names;
use tp_catalog::readable::{Family, ReadablePolicy, Reader};
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;

use crate::corpus::{contract, objects};

/// The generated policies of the pairs, by their type.
const BASES: [(&str, &str); 9] = [
    ("catalog", "settingsCatalogPolicy"),
    ("compliance", "deviceCompliancePolicy"),
    ("admx", "groupPolicyConfiguration"),
    ("script", "deviceHealthScript"),
    ("custom", "deviceConfiguration"),
    ("ca", "conditionalAccessPolicy"),
    ("intent", "endpointSecurityIntent"),
    ("app", "mobileApp"),
    ("protection", "iosAppProtection"),
];

fn drawn(readable: &ReadablePolicy) -> String {
    let mut text = format!("{:?}, {} without a value\n", readable.family, readable.unset);
    for section in &readable.sections {
        text.push_str(&format!("[{}] {:?}\n", section.title, section.kind));
        for row in &section.rows {
            let value = row.value.replace('\n', "␊");
            let mut line = format!("  {}{}: {value}", "  ".repeat(row.depth), row.label);
            for (is_so, word) in [
                (row.secret, "secret"),
                (row.restricted, "restricted"),
                (row.unnamed, "unnamed"),
                (row.multiline, "lines"),
                (row.cut, "cut"),
            ] {
                if is_so {
                    line.push_str(&format!(" | {word}"));
                }
            }
            text.push_str(&format!("{line} | {}\n", row.pointer));
        }
    }
    text
}

#[test]
fn generated_policies_are_laid_out_as_planned() {
    let catalog = Catalog::builtin().unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/compare");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
    let pairs: Value = serde_json::from_str(&read("generated.json")).unwrap();
    let names: Names = serde_json::from_value(
        pairs["pairs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|pair| pair["leftNames"].is_object())
            .unwrap()["leftNames"]
            .clone(),
    )
    .unwrap();
    let mut definitions = Definitions::default();
    let known = pairs["pairs"].as_array().unwrap().iter().find_map(|pair| pair.get("definitions"));
    known.unwrap().as_array().unwrap().iter().for_each(|one| definitions.learn(one));
    let mut text = String::new();
    for (base, key) in BASES {
        let contract = contract(&catalog, key);
        let reader = Reader { contract: &contract, definitions: &definitions, names: &names };
        let mut object = pairs["bases"][base].clone();
        if base == "script" {
            object["detectionScriptContent"] = "ZXhpdCAwCmV4aXQgMQo=".into();
        }
        let readable = reader.read(&Tree::from(&object), None).unwrap();
        text.push_str(&format!("# {base}\n{}\n", drawn(&readable)));
    }
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(format!("{folder}/readable.txt"), &text).unwrap();
    }
    assert!(text == read("readable.txt"), "readable.txt changed; look, then UPDATE_GOLDEN=1");
}

/// Every value of a real policy stands in a row, or in what a row sums up.
#[test]
fn nothing_of_a_real_policy_is_lost() {
    let catalog = Catalog::builtin().unwrap();
    let (definitions, names) = (Definitions::default(), Names::default());
    let mut families = std::collections::BTreeSet::new();
    for (file, key, object) in objects() {
        let contract = contract(&catalog, &key);
        let reader = Reader { contract: &contract, definitions: &definitions, names: &names };
        let readable = reader.read(&Tree::from(&object), None).unwrap();
        families.insert(format!("{:?}", readable.family));
        let rows: std::collections::HashSet<&str> = readable
            .sections
            .iter()
            .flat_map(|section| &section.rows)
            .map(|row| row.pointer.as_str())
            .collect();
        let labels: std::collections::HashSet<&str> = readable
            .sections
            .iter()
            .flat_map(|section| &section.rows)
            .map(|row| row.label.as_str())
            .collect();
        for pointer in &rows {
            assert!(object.pointer(pointer).is_some(), "{file}: {pointer}");
        }
        let mut leaves = Vec::new();
        said(&object, String::new(), &mut leaves);
        for leaf in leaves {
            // What names an element or a setting stands in its label, beside its value.
            let text = object.pointer(&leaf).and_then(Value::as_str);
            if text.is_some_and(|text| labels.contains(text)) {
                continue;
            }
            let beside = ["/settings/", "/settingInstance/", "/definitionValues/", "/assignments/"];
            let is_setting = beside.iter().any(|part| leaf.starts_with(part));
            let covered = leaf.match_indices('/').any(|(end, _)| rows.contains(&leaf[..end]));
            assert!(covered || rows.contains(leaf.as_str()) || is_setting, "{file}: {leaf}");
        }
        let settings = object["settings"].as_array().map_or(0, Vec::len);
        if Family::of(&contract) == Family::SettingsCatalog {
            assert!(readable.len() >= settings, "{file}");
        }
    }
    println!("{families:?}; without a corpus, none was looked at");
}

/// Pointers of what says something.
fn said(value: &Value, pointer: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let is_technical = name.contains('@') || name.starts_with('#');
                if !is_technical {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    said(member, format!("{pointer}/{name}"), leaves);
                }
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                said(element, format!("{pointer}/{index}"), leaves);
            }
        }
        Value::Null => {}
        _ => leaves.push(pointer),
    }
}

#[test]
fn families_are_known_by_contract() {
    let catalog = Catalog::builtin().unwrap();
    for (key, family) in [
        ("settingsCatalogPolicy", Family::SettingsCatalog),
        ("securityBaselinePolicy", Family::SettingsCatalog),
        ("compliancePolicyV2", Family::SettingsCatalog),
        ("deviceCompliancePolicy", Family::Compliance),
        ("groupPolicyConfiguration", Family::AdministrativeTemplate),
        ("endpointSecurityIntent", Family::Intent),
        ("conditionalAccessPolicy", Family::ConditionalAccess),
        ("iosAppProtection", Family::AppProtection),
        ("appConfigurationManagedApps", Family::AppConfiguration),
        ("deviceShellScript", Family::Script),
        ("deviceComplianceScript", Family::Script),
        ("windowsAutopilotProfile", Family::Enrollment),
        ("windowsUpdateRing", Family::DeviceConfiguration),
        ("deviceConfiguration", Family::DeviceConfiguration),
        ("assignmentFilter", Family::Generic),
    ] {
        assert_eq!(Family::of(&contract(&catalog, key)), family, "{key}");
    }
}
