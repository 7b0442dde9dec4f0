//! Zero noise: one state that was read twice has no differences.

use serde_json::Value;
use tp_catalog::compare::{Comparison, Diff, Side};
use tp_catalog::definitions::Definitions;
use tp_catalog::names::Names;
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;

use crate::corpus::{contract, objects};
use crate::noise::noisy;

fn compared(
    contract: &tp_catalog::contract::Contract,
    left: &Value,
    right: &Value,
    across_tenants: bool,
) -> Diff {
    let (definitions, names) = (Definitions::default(), Names::default());
    let (left, right) = (Tree::from(left), Tree::from(right));
    let side = |object| Side {
        policy_type: &contract.key,
        object,
        assignments: None,
        names: &names,
        unread: &[],
    };
    let comparison = Comparison { contract, definitions: &definitions, across_tenants };
    comparison.run(&side(&left), &side(&right)).unwrap()
}

#[test]
fn every_real_policy_is_the_same_as_itself_and_as_its_next_reading() {
    let catalog = Catalog::builtin().unwrap();
    let (mut count, mut found) = (0, 0);
    let mut loud = Vec::new();
    for (file, key, object) in objects() {
        let contract = contract(&catalog, &key);
        let same = compared(&contract, &object, &object, false);
        assert!(same.is_empty() && same.technical.is_empty(), "{file}: {same:?}");
        let noisy = noisy(&contract, &object);
        assert_ne!(noisy, object);
        for (left, right) in [(&object, &noisy), (&noisy, &object)] {
            let diff = compared(&contract, left, right, false);
            if !diff.is_empty() {
                let first: Vec<_> = diff.entries.iter().take(3).collect();
                loud.push(format!("{file}: {} {first:?} {:?}", diff.entries.len(), diff.unknown));
            }
            assert_eq!(diff.summary.same, same.summary.same, "{file}");
        }
        // Among all that noise, a change is found.
        let named = contract.name_property.as_deref().filter(|name| {
            object[*name].is_string()
                && !contract.ignore_in_diff.iter().any(|pattern| pattern.matches(&[name]))
        });
        if let Some(name) = named {
            let mut renamed = noisy.clone();
            renamed[name] = "planted".into();
            let diff = compared(&contract, &object, &renamed, false);
            assert_eq!(diff.entries.len(), 1, "{file}: {:?}", diff.entries);
            assert_eq!(diff.entries[0].pointer, format!("/{name}"), "{file}");
            found += 1;
        }
        count += 1;
    }
    assert!(loud.is_empty(), "{} are loud:\n{}", loud.len(), loud[..loud.len().min(20)].join("\n"));
    println!(
        "{count} policies are quiet, {found} planted names found; without a corpus, none was looked at"
    );
}
