//! A text that may hold what Unicode allows and what JSON's escapes allow beyond it.

use std::cmp::Ordering;
use std::fmt;

/// A text of JSON. `"\ud800"` is one, although it is no Unicode text: it is kept as it is.
///
/// Ordered by code point, lone surrogates at their number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Plain(Box<str>),
    /// At least one lone surrogate: UTF-8 in which a surrogate is three bytes (WTF-8), never a pair.
    Broken(Box<[u8]>),
}

impl Text {
    /// The text; none when it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Form::Plain(text) => Some(text),
            Form::Broken(_) => None,
        }
    }

    /// The text with U+FFFD in place of lone surrogates, for showing.
    pub fn lossy(&self) -> String {
        match &self.0 {
            Form::Plain(text) => text.to_string(),
            Form::Broken(bytes) => {
                let mut shown = String::with_capacity(bytes.len());
                let mut rest = &bytes[..];
                while let Some(at) = lone(rest) {
                    shown.push_str(&String::from_utf8_lossy(&rest[..at]));
                    shown.push('\u{fffd}');
                    rest = &rest[at + 3..];
                }
                shown.push_str(&String::from_utf8_lossy(rest));
                shown
            }
        }
    }

    /// UTF-8, with lone surrogates as the three bytes that they would have.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Plain(text) => text.as_bytes(),
            Form::Broken(bytes) => bytes,
        }
    }

    /// From bytes in the form of [`Text::as_bytes`], in which no two surrogates are a pair.
    pub(super) fn from_units(bytes: Vec<u8>) -> Self {
        Self(match String::from_utf8(bytes) {
            Ok(text) => Form::Plain(text.into()),
            Err(error) => Form::Broken(error.into_bytes().into()),
        })
    }
}

/// Where the first surrogate stands: in UTF-8 proper, 0xED is never followed by 0xA0 or more.
pub(super) fn lone(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three[0] == 0xED && three[1] >= 0xA0)
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Form::Plain(text.into()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Form::Plain(text.into()))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of {} bytes", self.as_bytes().len())
    }
}
