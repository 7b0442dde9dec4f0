//! What stands in a stored object where a secret was (PRODUCT G-8).
//!
//! A marker is an object with the single member [`MARKER`], whose value is the secret's keyed
//! fingerprint in hexadecimal digits. Equal fingerprints mean equal secrets, within one workspace; the
//! fingerprint is shown to nobody.

use tp_domain::json::{Json, Object};

use crate::secrets::MARKER;
use crate::tree::Tree;

/// What is shown in place of a secret.
pub const SHOWN: &str = "[redacted]";

/// Whether a value stands for a secret.
pub fn is_secret_marker(value: &Tree<'_>) -> bool {
    fingerprint(value).is_some()
}

/// The fingerprint in a marker; none where the value is no marker.
pub fn fingerprint<'t>(value: &'t Tree<'_>) -> Option<&'t str> {
    match value {
        Tree::Object(members) if members.len() == 1 => value.get(MARKER)?.as_str(),
        _ => None,
    }
}

/// The same of a stored value.
pub fn is_marker(value: &Json) -> bool {
    value.as_object().is_some_and(|members| {
        members.len() == 1 && members.get(MARKER).is_some_and(Json::is_string)
    })
}

/// Where markers stand in a stored object (RFC 6901).
pub fn places(object: &Json) -> Vec<String> {
    let mut found = Vec::new();
    collect(object, &mut String::new(), &mut found);
    found
}

fn collect(value: &Json, at: &mut String, found: &mut Vec<String>) {
    let length = at.len();
    if is_marker(value) {
        found.push(at.clone());
        return;
    }
    for (name, member) in value.as_object().into_iter().flat_map(Object::iter) {
        let Some(name) = name.as_str() else { continue };
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect(member, at, found);
        at.truncate(length);
    }
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        at.push_str(&format!("/{index}"));
        collect(element, at, found);
        at.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markers_are_found_at_every_depth() {
        let object = Json::from(json!({"a/b": [{"c": {MARKER: "0a"}}, 1], "d": {MARKER: 1}}));
        assert_eq!(places(&object), ["/a~1b/0/c"]);
    }

    #[test]
    fn only_the_exact_form_is_a_marker() {
        let marker = json!({MARKER: "0a1b"});
        assert_eq!(fingerprint(&Tree::from(&marker)), Some("0a1b"));
        for other in [
            json!({MARKER: "0a", "x": 1}),
            json!({MARKER: 1}),
            json!({"redacted": "0a"}),
            json!(MARKER),
            json!(null),
        ] {
            assert!(!is_secret_marker(&Tree::from(&other)), "{other}");
        }
    }
}
