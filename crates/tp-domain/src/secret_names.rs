//! Which fields hold secrets, told by their names: the one rule for policies, logs, failures and audit
//! (PRODUCT R-7, G-8).
//!
//! A secret is called by what it is, and that stands last: `preSharedKey`, `adminAccountPassword`. Where
//! something else stands last, the field tells about a secret and is none: `minimumPasswordLength`. The
//! contracts name more places, which this rule cannot know (`tp-catalog/src/secrets.rs`).

use serde_json::Value;

/// What is shown in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Endings of names that hold secrets; lower-case letters and digits only.
const ENDINGS: [&str; 35] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwordhash",
    "passwordformatstring",
    "adminpwd",
    "secret",
    "secretvalue",
    "presharedkey",
    "sharedkey",
    "psk",
    "token",
    "tokenvalue",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "accountkey",
    "storagekey",
    "encryptionkey",
    "signingkey",
    "recoverykey",
    "productkey",
    "licensekey",
    "licencekey",
    "activationkey",
    "registrationkey",
    "wepkey",
    "networkkey",
    "connectionstring",
    "clientassertion",
    "authorization",
    "cookie",
    "qrcodecontent",
];

/// Beginnings of names that say what is done about secrets, whatever stands last.
const ABOUT: [&str; 16] = [
    "allow", "block", "require", "disable", "enable", "prevent", "hide", "show", "use", "skip",
    "force", "is", "has", "can", "enforce", "reset",
];

/// Members that name what stands in the member beside them, and that member.
const PAIRS: [(&str, &str); 4] = [
    ("name", "value"),
    ("key", "value"),
    ("omaUri", "value"),
    ("appConfigKey", "appConfigKeyValue"),
];

/// Whether a field of this name holds a secret.
pub fn is_secret(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    if name.contains("@odata.") || !ENDINGS.iter().any(|ending| plain.ends_with(ending)) {
        return false;
    }
    !ABOUT.iter().any(|word| begins_with_word(name, word))
}

/// Whether the name begins with that word: `hasPassword` does with `has`, `hashedPassword` does not.
fn begins_with_word(name: &str, word: &str) -> bool {
    let Some((start, rest)) = name.split_at_checked(word.len()) else { return false };
    start.eq_ignore_ascii_case(word)
        && !rest.starts_with(|letter: char| letter.is_ascii_lowercase())
}

/// The member that holds a secret because of what the member beside it says: the `value` of
/// `{"name": "apiKey", "value": …}`. The closure gives the text of a member.
pub fn named_beside<'a>(
    text_of: impl Fn(&str) -> Option<&'a str>,
) -> impl Iterator<Item = &'static str> {
    PAIRS.into_iter().filter_map(move |(names, holds)| {
        let name = text_of(names)?;
        // Of a path such as an OMA-URI, the last step is the name.
        let last = name.rsplit('/').next().unwrap_or(name);
        is_secret(last).then_some(holds)
    })
}

/// Takes what its name calls a secret out of facts that are to be logged, shown or audited; says how many.
pub fn scrub(facts: &mut Value) -> usize {
    match facts {
        Value::Array(elements) => elements.iter_mut().map(scrub).sum(),
        Value::Object(members) => {
            let beside: Vec<&str> =
                named_beside(|name| members.get(name).and_then(Value::as_str)).collect();
            let mut found = 0;
            for (name, value) in members.iter_mut() {
                if is_secret(name) || beside.contains(&name.as_str()) {
                    found += blacken(value);
                } else {
                    found += scrub(value);
                }
            }
            found
        }
        _ => 0,
    }
}

/// Takes every text out; numbers and truth values say how something is set.
fn blacken(value: &mut Value) -> usize {
    match value {
        Value::String(text) if !text.is_empty() => {
            REDACTED.clone_into(text);
            1
        }
        Value::Array(elements) => elements.iter_mut().map(blacken).sum(),
        Value::Object(members) => members.values_mut().map(blacken).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_called_by_what_it_is() {
        for name in [
            "preSharedKey",
            "PreSharedKey",
            "wifi_pre_shared_key",
            "adminAccountPassword",
            "password",
            "clientSecret",
            "client-secret",
            "sharedSecret",
            "accessToken",
            "tokenValue",
            "productKey",
            "apiKey",
            "passwordFormatString",
            "hashedPassword",
            "Authorization",
            "usedPassword",
        ] {
            assert!(is_secret(name), "{name}");
        }
    }

    #[test]
    fn what_tells_about_secrets_is_readable() {
        for name in [
            "minimumPasswordLength",
            "passwordMinimumLength",
            "passwordRequired",
            "passwordRequiredType",
            "workProfilePasswordRequiredType",
            "bitLockerRecoveryPasswordRotation",
            "firewallPreSharedKeyEncodingMethod",
            "hideForgotMyPassword",
            "requirePassword",
            "secretReferenceValueId",
            "tokenExpirationDateTime",
            "vppTokenId",
            "tokenType",
            "passwordChangeUrl",
            "preSharedKeyIsSet",
            "key",
            "keyPath",
            "password@odata.type",
            "",
            "é",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn facts_are_scrubbed_by_name_and_by_what_stands_beside() {
        let mut facts = json!({
            "minimumPasswordLength": 8,
            "password": "hunter2",
            "passwords": {"adminPassword": ["a", {"b": "c"}], "length": 3},
            "settings": [
                {"name": "ApiKey", "value": "k"},
                {"omaUri": "./Vendor/MSFT/WiFi/PreSharedKey", "value": "k"},
                {"name": "colour", "value": "red"},
            ],
            "clientSecret": null,
            "token": "",
        });
        assert_eq!(scrub(&mut facts), 5);
        let shown = facts.to_string();
        assert!(shown.contains("\"minimumPasswordLength\":8") && shown.contains("red"));
        for secret in ["hunter2", "\"a\"", "\"c\"", "\"k\""] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}
