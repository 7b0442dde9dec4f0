//! JSON that stands in texts.

use std::collections::HashMap;

use super::{Rules, decode, odata_type};
use crate::fields::Encoding;
use crate::pattern::{Down, Spot};
use crate::tree::Tree;

/// JSON that was found inside texts, by pointer.
pub(crate) type Inner = HashMap<String, Tree<'static>>;

/// The JSON inside the texts of an object that the contract says are JSON. What does not parse, or is too
/// deep, stays a text.
pub(crate) fn inner_values(rules: &Rules<'_>, object: &Tree<'_>) -> Inner {
    let is_json = |encoding| matches!(encoding, Encoding::Json | Encoding::Base64Json);
    let mut inner = Inner::new();
    if rules.contract.encoded.iter().any(|encoded| is_json(encoded.encoding)) {
        let odata_type = odata_type(object);
        let mut finder = Finder { rules, odata_type, inner: &mut inner, pointer: String::new() };
        finder.look(object, rules.follow.start(), object);
    }
    inner
}

struct Finder<'r, 'v> {
    rules: &'r Rules<'r>,
    odata_type: Option<&'v str>,
    inner: &'r mut Inner,
    pointer: String,
}

impl<'v> Finder<'_, 'v> {
    fn look(&mut self, value: &'v Tree<'_>, spot: Spot, holder: &'v Tree<'_>) {
        let length = self.pointer.len();
        match value {
            Tree::Object(members) => {
                for (name, child) in members {
                    let below = self.rules.follow.down(spot, Down::Member(name));
                    push_name(&mut self.pointer, name);
                    self.look(child, below, value);
                    self.pointer.truncate(length);
                }
            }
            Tree::Array(elements) => {
                let below = self.rules.follow.down(spot, Down::Element);
                for (index, child) in elements.iter().enumerate() {
                    push_name(&mut self.pointer, &index.to_string());
                    self.look(child, below, value);
                    self.pointer.truncate(length);
                }
            }
            Tree::Text(text) => {
                let decoded = match self.rules.at(spot, self.odata_type, holder).encoding {
                    Some(Encoding::Json) => serde_json::from_str(text).ok(),
                    Some(Encoding::Base64Json) => decode::text(text)
                        .and_then(|decoded| serde_json::from_str(&decoded.text).ok()),
                    _ => None,
                };
                let decoded = decoded.map(|value: serde_json::Value| Tree::from(value));
                if let Some(value) = decoded.filter(Tree::is_whole) {
                    self.inner.insert(self.pointer.clone(), value);
                }
            }
            _ => {}
        }
    }
}

/// Adds a step to a pointer (RFC 6901).
pub(crate) fn push_name(pointer: &mut String, name: &str) {
    pointer.push('/');
    if name.contains(['~', '/']) {
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(name);
    }
}
