//! Contracts held against Microsoft's property lists.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Fault;
use crate::contract::Contract;
use crate::pattern::Pattern;
use crate::registry::Catalog;

/// What Microsoft's property lists do not confirm of the contracts.
///
/// The lists are JSON: `types` (policy type → concrete type → members), `complex` (complex types with
/// `base`, `derived` and `props`), `enums`. A member is its type, `[]` before it for many, or a pair of
/// type and flags.
pub fn csdl(catalog: &Catalog, lists: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, contract) in catalog.iter() {
        let Some(types) = lists.pointer(&format!("/types/{key}")).and_then(Value::as_object) else {
            let fault = "the property lists do not know the type".to_owned();
            faults.push(Fault { key: key.to_string(), fault });
            continue;
        };
        let lists = Lists { types, complex: lists.get("complex") };
        lists.contract(contract, &mut |fault| {
            faults.push(Fault { key: key.to_string(), fault });
        });
    }
    faults
}

struct Lists<'a> {
    types: &'a Map<String, Value>,
    complex: Option<&'a Value>,
}

/// What stands at a place, as far as the lists say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// An object of a type, by its name.
    Object(String),
    /// Many of them.
    Many(String),
    /// Nothing is known of what is below.
    Unknown,
}

impl Lists<'_> {
    fn contract(&self, contract: &Contract, fault: &mut impl FnMut(String)) {
        for name in contract.odata_types.iter().filter(|name| !self.types.contains_key(*name)) {
            fault(format!("{name} is no concrete type"));
        }
        let members =
            [&contract.name_property, &contract.changes.last_modified, &contract.changes.version];
        for member in members.into_iter().flatten() {
            if !self.has_member(member) {
                fault(format!("{member} is no member"));
            }
        }
        let parts: BTreeSet<&str> = contract
            .subresources
            .iter()
            .filter(|part| !part.is_nested())
            .map(|part| part.put_at.as_str())
            .collect();
        for pattern in patterns(contract) {
            let known = pattern.root().is_some_and(|root| {
                let held = contract.validation.not_in_schema.iter().any(|name| name == root);
                root == "assignments" || held || parts.contains(root)
            });
            if !known && !self.leads_somewhere(pattern) {
                fault(format!("{pattern} leads nowhere"));
            }
        }
        for (pattern, when) in conditions(contract) {
            let Some(root) = pattern.root().filter(|root| !parts.contains(root)) else { continue };
            for name in &when.types {
                let has = self.types.get(name).is_none_or(|members| members.get(root).is_some());
                if !has {
                    fault(format!("{name} has no member {root}"));
                }
            }
        }
    }

    fn has_member(&self, member: &str) -> bool {
        self.types.values().any(|members| members.get(member).is_some())
    }

    fn leads_somewhere(&self, pattern: &Pattern) -> bool {
        let mut places: BTreeSet<Place> = BTreeSet::new();
        for (index, step) in pattern.as_str().split('/').skip(1).enumerate() {
            if step == "**" {
                return true;
            }
            let mut next = BTreeSet::new();
            if index == 0 {
                for members in self.types.values().filter_map(Value::as_object) {
                    below(members, step, &mut next);
                }
            }
            for place in &places {
                match place {
                    Place::Unknown => return true,
                    Place::Many(name) if step == "*" => {
                        next.insert(Place::Object(name.clone()));
                    }
                    Place::Many(_) => {}
                    Place::Object(name) => self.members_of(name, step, &mut next),
                }
            }
            if next.is_empty() {
                return false;
            }
            places = next;
        }
        true
    }

    /// What stands below a member of a complex type, its bases and what derives from it.
    fn members_of(&self, name: &str, step: &str, next: &mut BTreeSet<Place>) {
        if name.starts_with("Edm.") {
            return;
        }
        let Some(complex) = self.complex.and_then(|complex| complex.get(name)) else {
            next.insert(Place::Unknown);
            return;
        };
        let derived = complex.get("derived").and_then(Value::as_array);
        let names = derived.into_iter().flatten().filter_map(Value::as_str);
        for name in names.chain([name]) {
            let members = self.complex.and_then(|all| all.get(name)?.get("props")?.as_object());
            if let Some(members) = members {
                below(members, step, next);
            }
        }
    }
}

/// What stands below the members that a step names.
fn below(members: &Map<String, Value>, step: &str, next: &mut BTreeSet<Place>) {
    let form = Pattern::new(&format!("/{step}"));
    for (name, of) in members {
        if form.as_ref().is_ok_and(|form| form.matches(&[name])) {
            let text = of.as_str().or_else(|| of.get(0).and_then(Value::as_str)).unwrap_or("");
            next.insert(match text.strip_prefix("[]") {
                Some(many) => Place::Many(many.to_owned()),
                None => Place::Object(text.to_owned()),
            });
        }
    }
}

/// The places in an object that a contract names.
fn patterns(contract: &Contract) -> impl Iterator<Item = &Pattern> {
    let create = contract.create.iter().flat_map(|create| {
        create
            .must_include
            .iter()
            .chain(&create.call.must_omit)
            .chain(create.call.placeholders.values())
    });
    let update = contract
        .update
        .iter()
        .flat_map(|update| update.call.must_omit.iter().chain(&update.default_must_omit));
    contract
        .strip_on_write
        .iter()
        .chain(&contract.ignore_in_diff)
        .chain(&contract.immutable_after_create)
        .chain(contract.sets.iter().map(|set| &set.at))
        .chain(contract.encoded.iter().map(|encoded| &encoded.at))
        .chain(contract.secrets.iter().map(|secret| &secret.at))
        .chain(contract.references.iter().map(|reference| &reference.at))
        .chain(contract.defaults.iter().flat_map(|defaults| &defaults.fixed))
        .chain(create)
        .chain(update)
}

/// The places that hold for some concrete types only.
fn conditions(contract: &Contract) -> impl Iterator<Item = (&Pattern, &crate::fields::When)> {
    let encoded = contract.encoded.iter().map(|one| (&one.at, &one.when));
    let secrets = contract.secrets.iter().map(|one| (&one.at, &one.when));
    encoded.chain(secrets).chain(contract.references.iter().map(|one| (&one.at, &one.when)))
}
