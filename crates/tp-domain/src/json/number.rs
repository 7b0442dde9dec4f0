//! A number as its text.

use std::fmt;

/// A number as it was written: `1e2`, `1.0` and `100` are three.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(Box<str>);

impl Number {
    /// A number by its text; none when JSON does not allow it.
    pub fn new(text: &str) -> Option<Self> {
        (length(text.as_bytes()) == Some(text.len())).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a `u64`; none when it is written in another way than with digits, or is too large.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// As an `i64`; none when it is written with a fraction or an exponent, or is too large.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The nearest `f64`; infinite when it is beyond them.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }
}

macro_rules! from_integers {
    ($($kind:ty),+) => {$(
        impl From<$kind> for Number {
            fn from(value: $kind) -> Self {
                Self(value.to_string().into())
            }
        }
    )+};
}

from_integers!(u8, u16, u32, u64, usize, i32, i64);

impl From<&serde_json::Number> for Number {
    fn from(value: &serde_json::Number) -> Self {
        Self(value.to_string().into())
    }
}

/// How many of these bytes are the number that they begin with (RFC 8259, section 6); none when they
/// begin with none. `01` begins with the number `0`: what follows is the caller's to judge.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at += digits(&bytes[at..]),
        _ => return None,
    }
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(&bytes[at + 1..]);
        at += 1 + (fraction > 0).then_some(fraction)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(at + 1 + sign..).map_or(0, digits);
        at += 1 + sign + (exponent > 0).then_some(exponent)?;
    }
    Some(at)
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}
