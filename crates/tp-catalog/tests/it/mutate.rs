//! Planted changes, as data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// One change of an object with its assignments.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    /// Gives a place a value.
    Set { at: String, value: Value },
    /// Takes a place away.
    Remove { at: String },
    /// Puts an element at the end of an array.
    Append { at: String, value: Value },
    /// Turns an array around.
    Reverse { at: String },
    /// Gives a place a text as base64, in some charset.
    Script { at: String, text: String, charset: Charset },
    /// Replaces words in the text at a place.
    Replace { at: String, from: String, to: String },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Charset {
    Utf8,
    Utf8Bom,
    Utf16Le,
}

impl Change {
    pub(crate) fn apply(&self, value: &mut Value) {
        match self {
            Self::Set { at, value: new } => put(value, at, new.clone()),
            Self::Append { at, value: new } => {
                value.pointer_mut(at).unwrap().as_array_mut().unwrap().push(new.clone());
            }
            Self::Reverse { at } => {
                value.pointer_mut(at).unwrap().as_array_mut().unwrap().reverse();
            }
            Self::Script { at, text, charset } => {
                let bytes = match charset {
                    Charset::Utf8 => text.as_bytes().to_vec(),
                    Charset::Utf8Bom => [&[0xEF, 0xBB, 0xBF], text.as_bytes()].concat(),
                    Charset::Utf16Le => [0xFF, 0xFE]
                        .into_iter()
                        .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
                        .collect(),
                };
                put(value, at, STANDARD.encode(bytes).into());
            }
            Self::Replace { at, from, to } => {
                let text = value.pointer(at).unwrap().as_str().unwrap().to_owned();
                assert!(text.contains(from.as_str()), "{at} has no {from}");
                put(value, at, text.replace(from.as_str(), to).into());
            }
            Self::Remove { at } => {
                let (holder, name) = split(at);
                match value.pointer_mut(holder).unwrap() {
                    Value::Object(members) => {
                        assert!(members.shift_remove(&name).is_some(), "{at}");
                    }
                    Value::Array(elements) => drop(elements.remove(name.parse().unwrap())),
                    other => unreachable!("{at}: {other} holds nothing"),
                }
            }
        }
    }
}

fn split(at: &str) -> (&str, String) {
    let (holder, name) = at.rsplit_once('/').unwrap();
    (holder, name.replace("~1", "/").replace("~0", "~"))
}

fn put(value: &mut Value, at: &str, new: Value) {
    let (holder, name) = split(at);
    match value.pointer_mut(holder).expect(at) {
        Value::Object(members) => drop(members.insert(name, new)),
        Value::Array(elements) => elements[name.parse::<usize>().unwrap()] = new,
        other => unreachable!("{at}: {other} holds nothing"),
    }
}
