//! What stands in a stored object where a secret was (PRODUCT G-8).
//!
//! A marker is an object with the single member [`MARKER`], whose value is the secret's keyed
//! fingerprint in hexadecimal digits. Equal fingerprints mean equal secrets, within one workspace; the
//! fingerprint is shown to nobody.

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
