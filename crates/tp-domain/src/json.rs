//! JSON without loss: what Graph sent, value for value (ruling 20).
//!
//! `serde_json` reads `1e2` as `100.0`, `12345678901234567890123` as a float, refuses lone surrogates and
//! keeps the last of two equal names. A snapshot must do none of that: here a number is its text, a text
//! may hold U+0000 and lone surrogates, and an object with a name twice is refused, since it has two
//! readings (TRUST F18). The nesting is bounded by [`MOST_LEVELS`], so that no text can exhaust the stack.
//!
//! Objects are ordered by their names; so equal values have one text, [`Json::canonical`].
//! Why our own and not a feature of `serde_json`: `docs/decisions/0012-json-without-loss.md`.

mod convert;
mod number;
mod object;
mod parse;
mod text;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

pub use number::Number;
pub use object::Object;
pub use parse::{Fault, JsonError};
pub use text::Text;
pub use write::TooDeep;

/// How deep arrays and objects may stand in each other. The deepest that Graph is known to send are
/// settings catalog choices in choices, below 40.
pub const MOST_LEVELS: usize = 128;

/// A JSON value, kept as it was written but for white space, the order of names and the way in which
/// letters were escaped.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as its text.
    Number(Number),
    /// A text.
    String(Text),
    /// An array.
    Array(Vec<Json>),
    /// An object, ordered by name.
    Object(Object),
}

/// Makes a [`Json`] from a literal, as `serde_json::json!` does.
#[macro_export]
macro_rules! json {
    ($($token:tt)+) => { $crate::json::Json::from(::serde_json::json!($($token)+)) };
}

impl Json {
    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// The member of that name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.as_object_mut()?.get_mut(name)
    }

    /// The text; none when it is none or holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => text.as_str(),
            _ => None,
        }
    }

    /// The truth value.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number as a `u64`; none when it is written in another way than with digits, or is too large.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The number as an `i64`; none when it is written with a fraction or an exponent, or is too large.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The number as the nearest `f64`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number.as_f64()),
            _ => None,
        }
    }

    /// The elements.
    pub const fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements, to be changed.
    pub const fn as_array_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The members, to be changed.
    pub const fn as_object_mut(&mut self) -> Option<&mut Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Whether it is an object.
    pub const fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether it is an array.
    pub const fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// Whether it is a text, with or without lone surrogates.
    pub const fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    /// Whether it is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value at a JSON pointer (RFC 6901). A member whose name holds a lone surrogate cannot be named.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        steps(pointer)?.try_fold(self, |at, step| match at {
            Self::Object(members) => members.get(&step),
            Self::Array(elements) => elements.get(index(&step)?),
            _ => None,
        })
    }

    /// The value at a JSON pointer, to be changed.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        steps(pointer)?.try_fold(self, |at, step| match at {
            Self::Object(members) => members.get_mut(&step),
            Self::Array(elements) => elements.get_mut(index(&step)?),
            _ => None,
        })
    }

    /// Takes the value out and leaves `null`.
    #[must_use]
    pub const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Null)
    }
}

impl std::ops::Index<&str> for Json {
    type Output = Self;

    /// The member of that name; `null` when there is none.
    fn index(&self, name: &str) -> &Self {
        const NONE: &Json = &Json::Null;
        self.get(name).unwrap_or(NONE)
    }
}

impl std::ops::Index<usize> for Json {
    type Output = Self;

    /// The element of that place; `null` when there is none.
    fn index(&self, at: usize) -> &Self {
        const NONE: &Json = &Json::Null;
        self.as_array().and_then(|elements| elements.get(at)).unwrap_or(NONE)
    }
}

fn steps(pointer: &str) -> Option<impl Iterator<Item = String> + '_> {
    if !(pointer.is_empty() || pointer.starts_with('/')) {
        return None;
    }
    Some(pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")))
}

/// An index as RFC 6901 wants it: digits without a leading zero.
fn index(step: &str) -> Option<usize> {
    let is_plain = step.bytes().all(|byte| byte.is_ascii_digit());
    let leads = step.len() > 1 && step.starts_with('0');
    (is_plain && !leads).then(|| step.parse().ok()).flatten()
}

impl fmt::Debug for Json {
    /// The kind and the size only: a policy may hold secrets, and logs must not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(_) => f.write_str("a truth value"),
            Self::Number(_) => f.write_str("a number"),
            Self::String(text) => write!(f, "a text of {} bytes", text.as_bytes().len()),
            Self::Array(elements) => write!(f, "an array of {}", elements.len()),
            Self::Object(members) => write!(f, "an object of {}", members.len()),
        }
    }
}

impl fmt::Display for Json {
    /// The canonical text, without the bound on levels: for values that are not too deep.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write::unbounded(self))
    }
}
