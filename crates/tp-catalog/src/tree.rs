//! JSON as comparing and reading look at it: borrowed, numbers as their texts, bounded in depth.
//!
//! Stored payloads ([`Json`]) keep numbers as they were written; `serde_json::Value` does not. Both become a
//! [`Tree`] without a copy of their texts, so that a comparison loses nothing that a payload has.

use std::borrow::Cow;

use serde_json::{Map, Value};
use tp_domain::json::{Json, Text};

/// Levels that are looked into. Graph's deepest objects have about 40; recursion must end somewhere.
pub const DEEPEST: usize = 200;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as its text.
    Number(Cow<'a, str>),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Self>),
    /// An object, each name once.
    Object(Vec<(Cow<'a, str>, Self)>),
    /// Something that is deeper than [`DEEPEST`] levels: it is not looked into, and not compared.
    Deeper,
}

impl<'a> From<&'a Value> for Tree<'a> {
    fn from(value: &'a Value) -> Self {
        borrowed(value, 0)
    }
}

impl From<Value> for Tree<'static> {
    fn from(value: Value) -> Self {
        owned(value, 0)
    }
}

impl<'a> From<&'a Json> for Tree<'a> {
    fn from(value: &'a Json) -> Self {
        stored(value, 0)
    }
}

fn stored(value: &Json, depth: usize) -> Tree<'_> {
    match value {
        _ if depth > DEEPEST => Tree::Deeper,
        Json::Null => Tree::Null,
        Json::Bool(value) => Tree::Bool(*value),
        Json::Number(number) => Tree::Number(number.as_str().into()),
        Json::String(text) => Tree::Text(readable(text)),
        Json::Array(elements) => {
            Tree::Array(elements.iter().map(|one| stored(one, depth + 1)).collect())
        }
        Json::Object(members) => {
            let mut all = Vec::new();
            for (name, one) in members.iter() {
                all.push((readable(name), stored(one, depth + 1)));
            }
            Tree::Object(all)
        }
    }
}

/// A text as Unicode. Of a lone surrogate, which is no letter, its number stands behind U+FFFD: two texts
/// that differ in nothing else stay two.
fn readable(text: &Text) -> Cow<'_, str> {
    if let Some(text) = text.as_str() {
        return text.into();
    }
    let mut plain = String::new();
    for chunk in text.as_bytes().utf8_chunks() {
        plain.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            plain.push('\u{FFFD}');
            chunk.invalid().iter().for_each(|byte| plain.push_str(&format!("{byte:02X}")));
        }
    }
    plain.into()
}

fn borrowed(value: &Value, depth: usize) -> Tree<'_> {
    match value {
        _ if depth > DEEPEST => Tree::Deeper,
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(*value),
        Value::Number(number) => Tree::Number(number.to_string().into()),
        Value::String(text) => Tree::Text(text.as_str().into()),
        Value::Array(elements) => {
            Tree::Array(elements.iter().map(|one| borrowed(one, depth + 1)).collect())
        }
        Value::Object(members) => {
            let mut all = Vec::with_capacity(members.len());
            for (name, one) in members {
                all.push((Cow::Borrowed(name.as_str()), borrowed(one, depth + 1)));
            }
            Tree::Object(all)
        }
    }
}

fn owned(value: Value, depth: usize) -> Tree<'static> {
    match value {
        _ if depth > DEEPEST => Tree::Deeper,
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(value),
        Value::Number(number) => Tree::Number(number.to_string().into()),
        Value::String(text) => Tree::Text(text.into()),
        Value::Array(elements) => {
            Tree::Array(elements.into_iter().map(|one| owned(one, depth + 1)).collect())
        }
        Value::Object(members) => Tree::Object(
            members.into_iter().map(|(name, one)| (name.into(), owned(one, depth + 1))).collect(),
        ),
    }
}

impl<'a> Tree<'a> {
    /// An array of these: assignments, which stand beside their object.
    pub fn list<T>(elements: &'a [T]) -> Self
    where
        &'a T: Into<Self>,
    {
        Self::Array(elements.iter().map(Into::into).collect())
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Whether it is an object.
    pub const fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether all of it can be looked at.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Deeper => false,
            Self::Array(elements) => elements.iter().all(Self::is_whole),
            Self::Object(members) => members.iter().all(|(_, value)| value.is_whole()),
            _ => true,
        }
    }

    /// The value for programs. A number that `serde_json` cannot hold becomes its text.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null | Self::Deeper => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(text) => {
                let number = text.parse().map(Value::Number);
                number.unwrap_or_else(|_| Value::String(text.to_string()))
            }
            Self::Text(text) => Value::String(text.to_string()),
            Self::Array(elements) => elements.iter().map(Self::to_value).collect(),
            Self::Object(members) => {
                let member =
                    |(name, value): &(Cow<'_, str>, Self)| (name.to_string(), value.to_value());
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_is_the_value_that_it_was_made_of() {
        let value = json!({"a": [1, 2.5, null, true], "b": {"c": "d"}});
        assert_eq!(Tree::from(&value).to_value(), value);
        assert_eq!(Tree::from(value.clone()), Tree::from(&value));
        assert_eq!(Tree::from(&value).get("b").unwrap().get("c").unwrap().as_str(), Some("d"));
    }

    #[test]
    fn what_is_stored_loses_nothing() {
        let stored = |text: &str| Json::parse(text.as_bytes()).unwrap();
        let (one, two) = (stored(r#"[1e400,"\ud800a",1.0]"#), stored(r#"[1e400,"\ud801a",1.0]"#));
        let Tree::Array(elements) = Tree::from(&one) else { unreachable!("it is an array") };
        assert_eq!(elements[0], Tree::Number("1e400".into()));
        assert_eq!(elements[2], Tree::Number("1.0".into()));
        assert_ne!(Tree::from(&one), Tree::from(&two));
        let member = stored(r#"{"a":{"b":true}}"#);
        assert_eq!(Tree::from(&member).to_value(), json!({"a": {"b": true}}));
    }

    #[test]
    fn a_number_that_is_too_large_keeps_its_digits() {
        assert_eq!(Tree::Number("1e400".into()).to_value(), json!("1e400"));
    }

    #[test]
    fn what_is_too_deep_is_known() {
        let nested = |levels| (0..levels).fold(Value::Null, |value, _| Value::Array(vec![value]));
        assert!(Tree::from(&nested(DEEPEST)).is_whole());
        assert!(!Tree::from(&nested(DEEPEST + 1)).is_whole());
        assert!(!Tree::from(nested(2_000)).is_whole());
    }
}
