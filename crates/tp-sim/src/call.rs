//! One request as the simulator judges it, whether it came alone or within a batch.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::query::Query;

/// A request of Graph.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) version: &'a str,
    /// Below the version: a leading slash, single slashes, keys as segments of their own.
    pub(crate) path: String,
    pub(crate) query: Query,
    /// `scheme://host`, as the client sees it: next links are made from it.
    pub(crate) origin: &'a str,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Sent,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Nothing,
    Json(Value),
    /// Bytes that are no JSON.
    Other(Vec<u8>),
}

impl Sent {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::Json(value),
            Err(_) => Self::Other(bytes.to_vec()),
        }
    }

    /// SHA-256 of it, to tell equal requests from others.
    pub(crate) fn hash(&self) -> Option<String> {
        let bytes = match self {
            Self::Nothing => return None,
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Other(bytes) => bytes.clone(),
        };
        Some(hex(&Sha256::digest(bytes)))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Call<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether it changes something.
    pub(crate) fn is_write(&self) -> bool {
        let reads = ["/getByIds", "/getMemberGroups", "/checkMemberGroups", "/validateFilter"];
        self.method != "GET"
            && !reads.iter().any(|end| {
                let path = self.path.as_bytes();
                path.len() >= end.len()
                    && path[path.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
            })
    }
}

/// A path without doubled or trailing slashes.
pub(crate) fn tidy(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/"))
}

/// A tidy path whose keys in brackets are segments: `policies('a')/settings` is `policies/a/settings`.
/// Functions with named parameters stay as they are.
pub(crate) fn flat(path: &str) -> String {
    let mut flat = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        flat.push('/');
        let key = segment.split_once('(').and_then(|(name, rest)| {
            let key = rest.strip_suffix(')')?;
            let quoted = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
            let bare = || (!key.is_empty() && !key.contains(['=', '\''])).then_some(key);
            Some((name, quoted.or_else(bare)?))
        });
        match key {
            Some((name, key)) => {
                flat.push_str(name);
                flat.push('/');
                flat.push_str(key);
            }
            None => flat.push_str(segment),
        }
    }
    if flat.is_empty() { "/".to_owned() } else { flat }
}

/// A segment or path without percent signs.
pub(crate) fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some((&first, tail)) = rest.split_first() {
        let pair = match (first, tail) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        rest = tail;
        if let Some((high, low)) = pair {
            bytes.push(high * 16 + low);
            rest = &tail[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_tolerantly() {
        assert_eq!(tidy("//beta//a/b/"), "/beta/a/b");
        assert_eq!(flat("/a('x')/b"), "/a/x/b");
        assert_eq!(flat("/a(7)"), "/a/7");
        assert_eq!(flat("/a/f(ref='x')"), "/a/f(ref='x')");
        assert_eq!(flat("/servicePrincipals(appId='x')"), "/servicePrincipals(appId='x')");
        assert_eq!(decoded("a%20b%27%zz%"), "a b'%zz%");
    }
}
