//! What a person says of things that ids do not find in the target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most choices of one restore.
pub const MOST_CHOICES: usize = 10_000;

/// The longest id of Graph's that is taken, in bytes.
const LONGEST_ID: usize = 1_024;

/// What something of the source is in the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// That object, by its Graph id.
    To(String),
    /// It is made anew, although another object has its name.
    Create,
    /// The assignment that names it is not restored; of scope tags, the tag.
    Drop,
    /// It is not restored, and nothing that refers to it.
    Skip,
}

/// Choices by what they are about (a policy type's key, or the label of something outside), and by its Graph
/// id in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Mapping(pub BTreeMap<String, BTreeMap<String, Choice>>);

impl Mapping {
    /// No choices.
    pub const NONE: Self = Self(BTreeMap::new());

    /// What was chosen. Ids are compared without regard to case.
    pub fn get(&self, kind: &str, id: &str) -> Option<&Choice> {
        let of_kind = self.0.get(kind)?;
        of_kind.get(id).or_else(|| {
            of_kind.iter().find(|(one, _)| one.eq_ignore_ascii_case(id)).map(|(_, choice)| choice)
        })
    }

    /// Lays other choices over these.
    pub fn lay_over(&mut self, over: Self) {
        for (kind, choices) in over.0 {
            self.0.entry(kind).or_default().extend(choices);
        }
    }

    /// Reads choices as the API takes them; none when they have another form.
    pub fn parse(value: &Value) -> Option<Self> {
        let read: Self = serde_json::from_value(value.clone()).ok()?;
        let fits = |id: &str| (1..=LONGEST_ID).contains(&id.len());
        let mut all = read.0.values().flatten();
        let good = all.all(|(from, choice)| {
            fits(from) && if let Choice::To(to) = choice { fits(to) } else { true }
        });
        (good && read.0.values().map(BTreeMap::len).sum::<usize>() <= MOST_CHOICES).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        let text = json!({"group": {"A": {"to": "b"}, "c": "drop"}, "roleScopeTag": {"7": "skip"}});
        let mapping = Mapping::parse(&text).unwrap();
        assert_eq!(serde_json::to_value(&mapping).unwrap(), text);
        assert_eq!(mapping.get("group", "a"), Some(&Choice::To("b".to_owned())));
        assert_eq!(mapping.get("group", "x"), None);
        for bad in [json!([]), json!({"group": {"a": "burn"}}), json!({"group": {"": "drop"}})] {
            assert_eq!(Mapping::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn later_choices_count() {
        let mut known = Mapping::parse(&json!({"group": {"a": {"to": "1"}, "b": "drop"}})).unwrap();
        known.lay_over(Mapping::parse(&json!({"group": {"a": "skip"}})).unwrap());
        assert_eq!(known.get("group", "a"), Some(&Choice::Skip));
        assert_eq!(known.get("group", "b"), Some(&Choice::Drop));
    }
}
