//! Names of the objects that a policy refers to, as they were when it was captured.
//!
//! A version keeps them, so that an old one stays readable when a group has gone (FIELD 25), and so that
//! two tenants can be compared: there, the same group has another id.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::fields::Target;

/// Names by what is referred to and by id. Ids are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Names {
    by_kind: BTreeMap<String, BTreeMap<String, String>>,
}

/// The word that stands for what is referred to: a policy type's key, or the label of something outside.
pub fn kind_of(target: &Target) -> &str {
    match target {
        Target::Type(key) => key,
        Target::Outside(outside) => outside.label(),
    }
}

impl Names {
    /// Remembers a name. `kind` is [`kind_of`] the reference's target.
    pub fn insert(&mut self, kind: &str, id: &str, name: &str) {
        let ids = self.by_kind.entry(kind.to_owned()).or_default();
        ids.insert(id.to_ascii_lowercase(), name.to_owned());
    }

    /// The name of an object; none where it is not known.
    pub fn get(&self, kind: &str, id: &str) -> Option<&str> {
        self.by_kind.get(kind)?.get(&id.to_ascii_lowercase()).map(String::as_str)
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_kind.values().all(BTreeMap::is_empty)
    }
}

/// Names that stand for one object each: what two objects are called tells nothing of either.
#[derive(Debug)]
pub(crate) struct Unambiguous<'a> {
    names: &'a Names,
    ids: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Unambiguous<'a> {
    pub(crate) fn of(names: &'a Names) -> Self {
        let mut ids: HashMap<(&str, &str), usize> = HashMap::new();
        for (kind, named) in &names.by_kind {
            for name in named.values() {
                *ids.entry((kind, name)).or_default() += 1;
            }
        }
        Self { names, ids }
    }

    /// The name of an object, where no other of its kind has it too.
    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<&'a str> {
        let (kind, named) = self.names.by_kind.get_key_value(kind)?;
        let name = named.get(&id.to_ascii_lowercase())?;
        (self.ids.get(&(kind.as_str(), name.as_str())) == Some(&1)).then_some(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_two_is_no_name() {
        let mut names = Names::default();
        names.insert("group", "A", "Pilot");
        names.insert("group", "b", "All");
        names.insert("group", "c", "All");
        names.insert("roleScopeTag", "1", "All");
        assert_eq!(names.get("group", "a"), Some("Pilot"));
        assert_eq!(names.get("group", "B"), Some("All"));
        assert_eq!(names.get("mobileApp", "a"), None);
        let unambiguous = Unambiguous::of(&names);
        assert_eq!(unambiguous.get("group", "a"), Some("Pilot"));
        assert_eq!(unambiguous.get("group", "b"), None);
        assert_eq!(unambiguous.get("roleScopeTag", "1"), Some("All"));
    }

    #[test]
    fn names_are_stored_as_they_are() {
        let mut names = Names::default();
        names.insert("group", "A", "Pilot");
        let text = serde_json::to_string(&names).unwrap();
        assert_eq!(text, r#"{"group":{"a":"Pilot"}}"#);
        assert_eq!(serde_json::from_str::<Names>(&text).unwrap(), names);
    }
}
