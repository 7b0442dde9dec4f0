//! What stands in a stored object where a secret was (PRODUCT G-8).
//!
//! A marker is an object with the single member `$redacted`, whose value is the secret's keyed
//! fingerprint in hexadecimal digits. Equal fingerprints mean equal secrets, within one workspace; the
//! fingerprint is shown to nobody.

use serde_json::Value;

/// The member of a marker.
pub const REDACTED: &str = "$redacted";

/// What is shown in place of a secret.
pub const SHOWN: &str = "[redacted]";

/// Whether a value stands for a secret.
pub fn is_secret_marker(value: &Value) -> bool {
    fingerprint(value).is_some()
}

/// The fingerprint in a marker; none where the value is no marker.
pub fn fingerprint(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) if members.len() == 1 => members.get(REDACTED)?.as_str(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_exact_form_is_a_marker() {
        assert_eq!(fingerprint(&json!({"$redacted": "0a1b"})), Some("0a1b"));
        for other in [
            json!({"$redacted": "0a", "x": 1}),
            json!({"$redacted": 1}),
            json!({"redacted": "0a"}),
            json!("$redacted"),
            json!(null),
        ] {
            assert!(!is_secret_marker(&other), "{other}");
        }
    }
}
