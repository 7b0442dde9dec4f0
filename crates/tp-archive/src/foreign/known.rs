//! What a folder tells of names: which object has which id.

use std::collections::{BTreeMap, HashMap};

use tp_catalog::contract::Contract;
use tp_catalog::references::references;
use tp_domain::json::Json;
use tp_domain::version::ReferenceNames;

use super::ForeignPolicy;

/// Ids by name and names by id, by kind.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// None where two objects have the name.
    ids: HashMap<(String, String), Option<String>>,
    names: HashMap<(String, String), String>,
}

impl Known {
    pub(super) fn insert(&mut self, kind: &str, id: &str, name: &str) {
        let place = self.ids.entry((kind.to_owned(), name.to_owned()));
        place
            .and_modify(|known| {
                if known.as_deref() != Some(id) {
                    *known = None;
                }
            })
            .or_insert_with(|| Some(id.to_owned()));
        self.names.insert((kind.to_owned(), id.to_lowercase()), name.to_owned());
    }

    /// The id of the one object of that name.
    pub(super) fn id(&self, kind: &str, name: &str) -> Option<&str> {
        self.ids.get(&(kind.to_owned(), name.to_owned()))?.as_deref()
    }

    /// Adds the names of what a policy refers to.
    pub(super) fn name(&self, contract: &Contract, policy: &mut ForeignPolicy) {
        let mut whole = policy.object.clone();
        if let (Some(members), Some(assignments)) = (whole.as_object_mut(), &policy.assignments) {
            members.insert("assignments", Json::from(assignments.clone()));
        }
        let mut names: BTreeMap<String, BTreeMap<String, String>> =
            std::mem::take(&mut policy.names).0;
        for one in references(contract, &whole) {
            let key = (one.kind, one.id.to_lowercase());
            if let Some(name) = self.names.get(&key) {
                names.entry(key.0).or_default().insert(key.1, name.clone());
            }
        }
        policy.names = ReferenceNames(names);
    }
}
