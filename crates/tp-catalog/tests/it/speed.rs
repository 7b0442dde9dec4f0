//! How long it takes: `cargo test --release -p tp-catalog --test it speed -- --nocapture` prints figures.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_catalog::compare::{Comparison, Diff, Side};
use tp_catalog::definitions::Definitions;
use tp_catalog::names::Names;
use tp_catalog::readable::Reader;
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;

use crate::corpus::contract;

/// A settings catalog policy of so many settings, as Graph spells them.
fn policy(settings: usize, value: impl Fn(usize) -> usize) -> Value {
    let setting = |index: usize| {
        let id = format!("device_vendor_msft_policy_config_area{}_setting{index}", index % 17);
        json!({
            "@odata.type": "#microsoft.graph.deviceManagementConfigurationSetting",
            "id": index.to_string(),
            "settingInstance": {
                "@odata.type":
                    "#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance",
                "settingDefinitionId": id,
                "settingInstanceTemplateReference": {
                    "settingInstanceTemplateId": format!("{index:08x}-0000-4000-8000-000000000000"),
                },
                "choiceSettingValue": {
                    "value": format!("{id}_{}", value(index)),
                    "settingValueTemplateReference": {"useTemplateDefault": false},
                    "children": [{
                        "@odata.type":
                            "#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
                        "settingDefinitionId": format!("{id}_child"),
                        "simpleSettingValue": {
                            "@odata.type":
                                "#microsoft.graph.deviceManagementConfigurationIntegerSettingValue",
                            "value": index,
                        },
                    }],
                },
            },
        })
    };
    json!({"id": "1", "name": "Policy", "settings": (0..settings).map(setting).collect::<Vec<_>>()})
}

fn timed(left: &Value, right: &Value) -> (Diff, Duration) {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "settingsCatalogPolicy");
    let (definitions, names) = (Definitions::default(), Names::default());
    let comparison =
        Comparison { contract: &contract, definitions: &definitions, across_tenants: false };
    let mut best = Duration::MAX;
    let mut diff = Diff::default();
    for _ in 0..5 {
        let begin = Instant::now();
        let (left, right) = (Tree::from(left), Tree::from(right));
        let side = |object| Side {
            policy_type: &contract.key,
            object,
            assignments: None,
            names: &names,
            unread: &[],
        };
        diff = comparison.run(&side(&left), &side(&right)).unwrap();
        best = best.min(begin.elapsed());
    }
    (diff, best)
}

fn turned(mut policy: Value) -> Value {
    policy["settings"].as_array_mut().unwrap().reverse();
    policy
}

/// Room for slow machines and for builds without optimisation, far below what more than linear work takes.
const fn limit(release: Duration) -> Duration {
    if cfg!(debug_assertions) { release.saturating_mul(40) } else { release }
}

#[test]
fn a_policy_of_313_settings_is_compared_well_below_10_ms() {
    let left = policy(313, |_| 0);
    let right = turned(policy(313, |index| usize::from(index % 10 == 0)));
    let (diff, time) = timed(&left, &right);
    assert_eq!((diff.summary.changed, diff.entries.len()), (32, 32));
    println!("313 settings, 32 changed: {time:?}");
    assert!(time < limit(Duration::from_millis(10)), "{time:?}");
}

#[test]
fn ten_thousand_settings_take_about_32_times_as_long() {
    let (small, large) = (313, 10_016);
    let (_, of_small) = timed(&policy(small, |_| 0), &turned(policy(small, |_| 1)));
    let (diff, of_large) = timed(&policy(large, |_| 0), &turned(policy(large, |_| 1)));
    assert_eq!(diff.summary.changed, large);
    println!("{small} settings: {of_small:?}; {large} settings, all changed: {of_large:?}");
    // 32 times as many: quadratic work would take 1,000 times as long.
    assert!(of_large < of_small * 150, "{of_small:?} {of_large:?}");
    let gone = timed(&policy(large, |_| 0), &json!({"name": "Policy"})).0;
    assert_eq!(gone.summary.removed, large);
}

#[test]
fn a_policy_of_ten_thousand_settings_is_laid_out_in_time() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "settingsCatalogPolicy");
    let (definitions, names) = (Definitions::default(), Names::default());
    let reader = Reader { contract: &contract, definitions: &definitions, names: &names };
    let small = policy(313, |_| 0);
    let large = policy(10_016, |_| 0);
    let time = |policy: &Value| {
        let begin = Instant::now();
        let readable = reader.read(&Tree::from(policy), None).unwrap();
        (readable.len(), begin.elapsed())
    };
    let ((rows, of_small), (_, of_large)) = (time(&small), time(&large));
    println!("read 313 settings ({rows} rows): {of_small:?}; 10,016: {of_large:?}");
    assert!(rows > 626 && of_large < limit(Duration::from_secs(1)), "{rows} {of_large:?}");
}
