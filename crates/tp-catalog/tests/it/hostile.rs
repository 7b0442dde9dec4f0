//! Whatever comes in: no panic, no endless work, no secret in the answer.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tp_catalog::compare::{CompareError, Comparison, Diff, EntryKind, Side};
use tp_catalog::contract::Contract;
use tp_catalog::definitions::Definitions;
use tp_catalog::names::Names;
use tp_catalog::readable::{ReadError, Reader};
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;
use tp_domain::json::Json;

use crate::corpus::contract;

fn compared(contract: &Contract, left: &Value, right: &Value) -> Result<Diff, CompareError> {
    let (definitions, names) = (Definitions::default(), Names::default());
    let (left, right) = (Tree::from(left), Tree::from(right));
    let side = |object| Side {
        policy_type: &contract.key,
        object,
        assignments: None,
        names: &names,
        unread: &[],
    };
    let comparison = Comparison { contract, definitions: &definitions, across_tenants: false };
    comparison.run(&side(&left), &side(&right))
}

/// Names that contracts know, so that generated values reach the rules.
const NAMES: [&str; 20] = [
    "settings",
    "settingInstance",
    "settingDefinitionId",
    "children",
    "value",
    "choiceSettingValue",
    "groupSettingCollectionValue",
    "assignments",
    "target",
    "groupId",
    "roleScopeTagIds",
    "@odata.type",
    "valueJson",
    "definitionId",
    "id",
    "@tenantpilot.redacted",
    "scheduledActionsForRule",
    "definition",
    "a/b~c",
    "x",
];

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("#microsoft.graph.deviceManagementConfigurationSecretSettingValue")),
        Just(json!("{\"a\":[1,{\"b\":null}]}")),
        Just(json!("aGVsbG8KdGhlcmU=")),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(&NAMES[..]), inner), 0..6).prop_map(
                |members| {
                    let named = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                    Value::Object(named.collect::<Map<_, _>>())
                }
            ),
        ]
    })
}

fn objects() -> impl Strategy<Value = Value> {
    let member = (prop::sample::select(&NAMES[..]), values());
    prop::collection::vec(member, 0..8).prop_map(|members| {
        let named = members
            .into_iter()
            // Two concrete types are refused, and nothing is learnt from it.
            .filter(|(name, _)| *name != "@odata.type")
            .map(|(name, value)| (name.to_owned(), value));
        Value::Object(named.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn anything_can_be_compared(left in objects(), right in objects(), key in prop::sample::select(&[
        "settingsCatalogPolicy", "deviceCompliancePolicy", "groupPolicyConfiguration",
        "endpointSecurityIntent", "deviceHealthScript", "mobileApp", "deviceConfiguration",
    ][..])) {
        let catalog = Catalog::builtin().unwrap();
        let contract = contract(&catalog, key);
        let there = compared(&contract, &left, &right).unwrap();
        let back = compared(&contract, &right, &left).unwrap();
        prop_assert_eq!(there.entries.is_empty(), back.entries.is_empty());
        prop_assert_eq!(there.unknown.len(), back.unknown.len());
        prop_assert_eq!(there.summary.same, back.summary.same);
        let itself = compared(&contract, &left, &left).unwrap();
        prop_assert!(itself.is_empty() && itself.technical.is_empty(), "{:?}", itself);
        for entry in &there.entries {
            let side = if entry.kind == EntryKind::Removed { &left } else { &right };
            prop_assert!(side.pointer(&entry.pointer).is_some(), "{}", entry.pointer);
            if entry.kind == EntryKind::Changed {
                let place = entry.left_pointer.as_ref().unwrap_or(&entry.pointer);
                prop_assert!(left.pointer(place).is_some(), "{}", place);
            }
        }
        let (definitions, names) = (Definitions::default(), Names::default());
        let reader = Reader { contract: &contract, definitions: &definitions, names: &names };
        let readable = reader.read(&Tree::from(&left), None).unwrap();
        for row in readable.sections.iter().flat_map(|section| &section.rows) {
            prop_assert!(left.pointer(&row.pointer).is_some(), "{}", row.pointer);
        }
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "deviceCompliancePolicy");
    let windows = json!({"@odata.type": "#microsoft.graph.windows10CompliancePolicy"});
    let ios = json!({"@odata.type": "#microsoft.graph.iosCompliancePolicy"});
    assert!(matches!(
        compared(&contract, &windows, &ios),
        Err(CompareError::DifferentConcreteTypes(..))
    ));
    assert!(compared(&contract, &windows, &json!({})).is_ok());
    assert_eq!(compared(&contract, &json!([]), &windows), Err(CompareError::NoObject));

    let mut deep = json!(1);
    for _ in 0..2_000 {
        deep = Value::Array(vec![deep]);
    }
    let deep = Value::Object(Map::from_iter([("x".to_owned(), deep)]));
    assert_eq!(compared(&contract, &deep, &windows), Err(CompareError::TooDeep));
    let (definitions, names) = (Definitions::default(), Names::default());
    let reader = Reader { contract: &contract, definitions: &definitions, names: &names };
    assert_eq!(reader.read(&Tree::from(&deep), None), Err(ReadError::TooDeep));
    assert_eq!(reader.read(&Tree::from(&json!(1)), None), Err(ReadError::NoObject));

    let tree = Tree::from(&windows);
    let side = |policy_type: &'static str| Side {
        policy_type,
        object: &tree,
        assignments: None,
        names: &names,
        unread: &[],
    };
    let comparison =
        Comparison { contract: &contract, definitions: &definitions, across_tenants: false };
    assert!(matches!(
        comparison.run(&side("deviceCompliancePolicy"), &side("mobileApp")),
        Err(CompareError::DifferentTypes(..))
    ));
}

/// As deep as is looked into, in a thread with the stack that workers have.
#[test]
fn the_deepest_that_is_looked_into_fits_the_stack() {
    let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        let catalog = Catalog::builtin().unwrap();
        let contract = contract(&catalog, "settingsCatalogPolicy");
        let nested = |end: Value, in_arrays: bool| {
            let level = |value, level| match level % 2 {
                0 if in_arrays => json!([value]),
                _ => json!({"x": value}),
            };
            json!({"settings": (0..198).fold(end, level)})
        };
        for in_arrays in [false, true] {
            let left = nested(json!({"a": 1, "b": 2, "value": 1}), in_arrays);
            let right = nested(json!({"a": 1, "b": 2, "value": 2}), in_arrays);
            let diff = compared(&contract, &left, &right).unwrap();
            assert_eq!(diff.entries.len(), 1, "{in_arrays}");
            assert_eq!(diff.entries[0].pointer.matches('/').count(), 200);
        }
        let left = nested(json!({"value": 1}), true);
        let (definitions, names) = (Definitions::default(), Names::default());
        let reader = Reader { contract: &contract, definitions: &definitions, names: &names };
        assert!(!reader.read(&Tree::from(&left), None).unwrap().is_empty());
    });
    worker.unwrap().join().unwrap();
}

#[test]
fn work_is_bounded_where_elements_are_all_alike_or_all_unlike() {
    let catalog = Catalog::builtin().unwrap();
    let intent = contract(&catalog, "settingsCatalogPolicy");
    let many = |value: &dyn Fn(usize) -> Value| -> Value {
        let elements: Vec<Value> = (0..10_000).map(value).collect();
        json!({"list": elements, "settings": [{"settingInstance": {
            "settingDefinitionId": "x", "groupSettingCollectionValue": elements}}]})
    };
    let same_key =
        |value: usize| json!({"settingInstance": {"settingDefinitionId": "one", "value": value}});
    let many_lines =
        |word: &str| (0..15_000).map(|line| format!("{word}{line}\n")).collect::<Vec<_>>().concat();
    let text = many_lines("");
    let other = many_lines("other ");
    let begin = Instant::now();
    for (left, right) in [
        (many(&|index| json!(index)), many(&|index| json!(index + 20_000))),
        (
            many(&|index| json!({"a": index, "b": 1})),
            many(&|index| json!({"a": index + 1, "b": 1})),
        ),
        (
            json!({"settings": (0..10_000).map(same_key).collect::<Vec<_>>()}),
            json!({"settings": (5_000..15_000).map(same_key).collect::<Vec<_>>()}),
        ),
        (json!({"description": text}), json!({"description": other})),
        (json!({"x": "é".repeat(3_000_000)}), json!({"x": "ü".repeat(3_000_000)})),
    ] {
        let begin = Instant::now();
        let diff = compared(&intent, &left, &right).unwrap();
        println!("{} entries in {:?}", diff.entries.len(), begin.elapsed());
        assert!(!diff.entries.is_empty());
    }
    let limit = if cfg!(debug_assertions) { 60 } else { 5 };
    assert!(begin.elapsed() < Duration::from_secs(limit), "{:?}", begin.elapsed());
}

#[test]
fn no_secret_is_in_an_answer() {
    let catalog = Catalog::builtin().unwrap();
    let secret_value = |value: Value| {
        json!({"name": "P", "settings": [{"settingInstance": {
            "@odata.type": "#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
            "settingDefinitionId": "wifi_key",
            "simpleSettingValue": {
                "@odata.type": "#microsoft.graph.deviceManagementConfigurationSecretSettingValue",
                "valueState": "encryptedValueToken", "value": value},
        }}]})
    };
    let contract_of = |key| contract(&catalog, key);
    let policies = contract_of("settingsCatalogPolicy");
    let marker = |print: &str| json!({"@tenantpilot.redacted": print});
    let cases = [
        (secret_value(marker("f1f1f1")), secret_value(marker("f2f2f2")), 1, 0),
        (secret_value(marker("f1f1f1")), secret_value(marker("f1f1f1")), 0, 0),
        (secret_value(json!("hunter2")), secret_value(json!("hunter3")), 1, 0),
        (secret_value(marker("f1f1f1")), secret_value(json!("hunter3")), 0, 1),
        (secret_value(marker("f1f1f1")), json!({"name": "P"}), 1, 0),
        (json!({"name": "P"}), secret_value(json!("hunter2")), 1, 0),
    ];
    for (left, right, entries, unknown) in cases {
        let diff = compared(&policies, &left, &right).unwrap();
        assert_eq!((diff.entries.len(), diff.unknown.len()), (entries, unknown), "{diff:?}");
        assert!(diff.entries.iter().all(|entry| entry.secret));
        let answer = serde_json::to_string(&diff).unwrap();
        for planted in ["f1f1f1", "f2f2f2", "hunter"] {
            assert!(!answer.contains(planted), "{answer}");
        }
        let (definitions, names) = (Definitions::default(), Names::default());
        let reader = Reader { contract: &policies, definitions: &definitions, names: &names };
        let readable =
            serde_json::to_string(&reader.read(&Tree::from(&left), None).unwrap()).unwrap();
        assert!(!readable.contains("f1f1f1") && !readable.contains("hunter"), "{readable}");
    }
    // A member that is both technical and secret.
    let tokens = contract_of("vppToken");
    let diff =
        compared(&tokens, &json!({"token": "hunter2"}), &json!({"token": "hunter3"})).unwrap();
    assert!(diff.entries.is_empty() && diff.technical.len() == 1);
    assert!(!serde_json::to_string(&diff).unwrap().contains("hunter"));
}

/// A payload keeps numbers that no machine number holds, and so does its comparison.
#[test]
fn stored_numbers_are_compared_by_all_their_digits() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "namedLocation");
    let (definitions, names) = (Definitions::default(), Names::default());
    let comparison =
        Comparison { contract: &contract, definitions: &definitions, across_tenants: false };
    let changed = |left: &str, right: &str| {
        let stored = [left, right].map(|number| {
            Json::parse(format!(r#"{{"displayName":"x","n":{number}}}"#).as_bytes()).unwrap()
        });
        let trees = [Tree::from(&stored[0]), Tree::from(&stored[1])];
        let side = |object| Side {
            policy_type: &contract.key,
            object,
            assignments: None,
            names: &names,
            unread: &[],
        };
        comparison.run(&side(&trees[0]), &side(&trees[1])).unwrap().summary.changed
    };
    assert_eq!(changed("12345678901234567890123", "12345678901234567890124"), 1);
    assert_eq!(changed("1e400", "1e401"), 1);
    assert_eq!(changed("1e400", "10.0e399"), 0);
    assert_eq!(changed("1", "1.000"), 0);
}

#[test]
fn what_scripts_say_can_be_withheld() {
    let catalog = Catalog::builtin().unwrap();
    let scripts = contract(&catalog, "deviceManagementScript");
    // "key = 1\nx" and "key = 2\nx"
    let (left, right) = (
        json!({"displayName": "S", "scriptContent": "a2V5ID0gMQp4"}),
        json!({"displayName": "S", "scriptContent": "a2V5ID0gMgp4"}),
    );
    let mut diff = compared(&scripts, &left, &right).unwrap();
    assert!(diff.entries[0].restricted && diff.entries[0].lines.is_some());
    diff.withhold_restricted();
    let answer = serde_json::to_string(&diff).unwrap();
    assert!(!answer.contains("key =") && !answer.contains("a2V5"), "{answer}");
    let intents = contract(&catalog, "endpointSecurityIntent");
    let setting = |key: &str| {
        json!({"settings": [{
            "@odata.type": "#microsoft.graph.deviceManagementStringSettingInstance",
            "definitionId": "d", "valueJson": format!("{{\"k\":\"{key}\"}}"),
        }]})
    };
    let mut diff = compared(&intents, &setting("key 1"), &setting("key 2")).unwrap();
    assert_eq!(diff.entries.len(), 1);
    assert_eq!(diff.entries[0].inner.as_deref(), Some("/k"));
    diff.withhold_restricted();
    assert!(!serde_json::to_string(&diff).unwrap().contains("key "), "{diff:?}");
}
