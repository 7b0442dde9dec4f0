//! The one text of a value.

use std::fmt;

use tp_domain::json::{Json, JsonError, TooDeep};

/// The canonical text of a value: equal values have equal bytes, and reading it loses nothing.
///
/// Whoever makes one has taken the secrets out before.
#[derive(Clone, PartialEq, Eq)]
pub struct Canonical(String);

/// Bytes are not the canonical text of any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// They are no JSON.
    #[error(transparent)]
    NoJson(#[from] JsonError),
    /// The same value has another text.
    #[error("JSON, but not in its canonical form")]
    OtherForm,
}

impl Canonical {
    /// The canonical text of a value.
    pub fn of(value: &Json) -> Result<Self, TooDeep> {
        value.canonical().map(Self)
    }

    /// Takes bytes that claim to be canonical: those of an import, of a manifest.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NotCanonical> {
        let value = Json::parse(&bytes)?;
        // Parsing has shown that it is UTF-8 and not too deep.
        match (String::from_utf8(bytes), value.canonical()) {
            (Ok(text), Ok(canonical)) if text == canonical => Ok(Self(text)),
            _ => Err(NotCanonical::OtherForm),
        }
    }

    /// Bytes whose address was checked: they were canonical when they were stored.
    pub(crate) fn stored(bytes: Vec<u8>) -> Option<Self> {
        String::from_utf8(bytes).ok().map(Self)
    }

    /// The value.
    pub fn json(&self) -> Result<Json, JsonError> {
        Json::parse(self.0.as_bytes())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canonical({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_text_of_a_value_is_canonical() {
        let text = r#"{"a":1.0,"b":"\ud800"}"#;
        let canonical = Canonical::from_bytes(text.into()).unwrap();
        assert_eq!(Canonical::of(&canonical.json().unwrap()).unwrap(), canonical);
        for other in [r#"{"a": 1.0}"#, r#"{"b":1,"a":1}"#, r#""\u0041""#] {
            let refused = Canonical::from_bytes(other.into()).unwrap_err();
            assert_eq!(refused, NotCanonical::OtherForm, "{other}");
        }
        assert!(matches!(Canonical::from_bytes(b"{".into()), Err(NotCanonical::NoJson(_))));
        assert_eq!(format!("{canonical:?}"), "Canonical(22 bytes)");
    }
}
