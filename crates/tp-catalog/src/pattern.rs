//! Where something stands in an object: JSON pointers (RFC 6901) with wildcards.
//!
//! `/omaSettings/*/value` is the value of every OMA setting. A step `*` is every element or member,
//! `**` is any number of levels (none as well), and a `*` inside a name stands for any letters:
//! `/onPremises*`. `~0` and `~1` are written for `~` and `/`, as in RFC 6901.

mod follow;

use serde::{Deserialize, Serialize};
use tp_domain::json::Json;

pub use follow::{Down, Follow, Spot};

/// A pointer with wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// This member or this element.
    Name(String),
    /// Members whose name is of this form.
    Form(String),
    /// Every member or element.
    Each,
    /// Any number of levels.
    Deep,
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("{text} is no pointer: it begins with /"));
        };
        let mut steps = Vec::new();
        for part in rest.split('/') {
            let name = part.replace("~1", "/").replace("~0", "~");
            steps.push(match part {
                "" => return Err(format!("{text} has an empty step")),
                "*" => Step::Each,
                "**" => Step::Deep,
                _ if name.contains("**") => return Err(format!("{text}: ** stands alone")),
                _ if name.contains('*') => Step::Form(name),
                _ => Step::Name(name),
            });
        }
        match steps.last() {
            Some(Step::Deep) => Err(format!("{text} ends with **: name what is meant")),
            _ => Ok(Self { text, steps }),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The member of the object that it begins in; none where it begins with a wildcard.
    pub fn root(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether it stands for one place at most.
    pub fn is_plain(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Name(_)))
    }

    /// Whether it means the place at these steps (names and indexes, unescaped).
    pub fn matches(&self, path: &[&str]) -> bool {
        fits(&self.steps, path)
    }

    /// The places that it means in a value, as plain JSON pointers, in the value's order.
    pub fn find(&self, value: &Json) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.steps, value, &mut String::new(), &mut |pointer, _| {
            if !found.iter().any(|one| one == pointer) {
                found.push(pointer.to_owned());
            }
        });
        found
    }

    /// The values that it means.
    pub fn values<'a>(&self, value: &'a Json) -> Vec<&'a Json> {
        self.find(value).iter().filter_map(|pointer| value.pointer(pointer)).collect()
    }

    /// Takes what it means out of a value; says how many there were.
    pub fn remove(&self, value: &mut Json) -> usize {
        let found = self.find(value);
        // Later elements first, so that the places of the earlier ones stay true.
        for pointer in found.iter().rev() {
            take(value, pointer);
        }
        found.len()
    }
}

fn take(value: &mut Json, pointer: &str) {
    let Some((holder, name)) = pointer.rsplit_once('/') else { return };
    match value.pointer_mut(holder) {
        Some(Json::Object(members)) => {
            members.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Json::Array(elements)) => {
            if let Some(index) = name.parse().ok().filter(|index| *index < elements.len()) {
                elements.remove(index);
            }
        }
        _ => {}
    }
}

fn fits(steps: &[Step], path: &[&str]) -> bool {
    match (steps.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((Step::Deep, rest)), _) => (0..=path.len()).any(|skip| fits(rest, &path[skip..])),
        (Some((step, rest)), Some((name, left))) => step.is(name) && fits(rest, left),
        _ => false,
    }
}

impl Step {
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Form(form) => is_of_form(form, name),
            Self::Each => true,
            Self::Deep => false,
        }
    }
}

/// Whether a name is of the form, in which `*` stands for any letters.
fn is_of_form(form: &str, name: &str) -> bool {
    let Some((start, rest)) = form.split_once('*') else { return form == name };
    let Some(left) = name.strip_prefix(start) else { return false };
    left.char_indices()
        .map(|(at, _)| at)
        .chain([left.len()])
        .any(|at| is_of_form(rest, &left[at..]))
}

fn walk(steps: &[Step], value: &Json, at: &mut String, found: &mut impl FnMut(&str, &Json)) {
    let Some((step, rest)) = steps.split_first() else { return found(at, value) };
    let deep = *step == Step::Deep;
    if deep {
        walk(rest, value, at, found);
    }
    let next = if deep { steps } else { rest };
    let length = at.len();
    let mut into = |name: &str, child: &Json| {
        if deep || step.is(name) {
            at.push('/');
            at.push_str(&name.replace('~', "~0").replace('/', "~1"));
            walk(next, child, at, found);
            at.truncate(length);
        }
    };
    match value {
        Json::Object(members) => members
            .iter()
            .filter_map(|(name, child)| Some((name.as_str()?, child)))
            .for_each(|(name, child)| into(name, child)),
        Json::Array(elements) => {
            for (index, child) in elements.iter().enumerate() {
                into(&index.to_string(), child);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    fn found(pattern: &str, value: &Json) -> Vec<String> {
        Pattern::new(pattern).unwrap().find(value)
    }

    #[test]
    fn a_pattern_finds_what_it_means() {
        let value = json!({"a": [{"b": 1, "bee": 2}, {"c": {"b": 3}}], "x/y": {"b": 4}});
        assert_eq!(found("/a/*/b", &value), ["/a/0/b"]);
        assert_eq!(found("/a/*/b*", &value), ["/a/0/b", "/a/0/bee"]);
        assert_eq!(found("/**/b", &value), ["/a/0/b", "/a/1/c/b", "/x~1y/b"]);
        assert_eq!(found("/x~1y/b", &value), ["/x~1y/b"]);
        assert_eq!(found("/nothing", &value), Vec::<String>::new());
    }

    #[test]
    fn what_is_found_is_what_matches() {
        let pattern = Pattern::new("/settings/**/value").unwrap();
        assert!(pattern.matches(&["settings", "value"]));
        assert!(pattern.matches(&["settings", "0", "children", "1", "value"]));
        assert!(!pattern.matches(&["settings", "0", "values"]));
        assert!(!pattern.matches(&["value"]));
    }

    #[test]
    fn removing_takes_all_and_leaves_the_rest() {
        let mut value = json!({"apps": [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}], "list": [1, 2]});
        assert_eq!(Pattern::new("/apps/*/id").unwrap().remove(&mut value), 2);
        assert_eq!(Pattern::new("/list/*").unwrap().remove(&mut value), 2);
        assert_eq!(value, json!({"apps": [{"n": "a"}, {"n": "b"}], "list": []}));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        for bad in ["", "a", "/", "/a//b", "/a/**", "/a**b"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
