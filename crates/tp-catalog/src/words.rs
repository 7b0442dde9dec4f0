//! Names of members as people read them: `passwordMinimumLength` is "Password minimum length".

/// Words that are not written as other words are.
const SPELLED: &[(&str, &str)] = &[
    ("aad", "AAD"),
    ("admx", "ADMX"),
    ("android", "Android"),
    ("api", "API"),
    ("apple", "Apple"),
    ("autopilot", "Autopilot"),
    ("azure", "Azure"),
    ("bios", "BIOS"),
    ("bitlocker", "BitLocker"),
    ("bluetooth", "Bluetooth"),
    ("cc", "CC"),
    ("cidr", "CIDR"),
    ("cpu", "CPU"),
    ("cortana", "Cortana"),
    ("defender", "Defender"),
    ("dns", "DNS"),
    ("eap", "EAP"),
    ("edge", "Edge"),
    ("eula", "EULA"),
    ("filevault", "FileVault"),
    ("google", "Google"),
    ("gps", "GPS"),
    ("html", "HTML"),
    ("http", "HTTP"),
    ("https", "HTTPS"),
    ("icloud", "iCloud"),
    ("id", "ID"),
    ("ids", "IDs"),
    ("intune", "Intune"),
    ("ios", "iOS"),
    ("ip", "IP"),
    ("ipados", "iPadOS"),
    ("itunes", "iTunes"),
    ("json", "JSON"),
    ("lan", "LAN"),
    ("macos", "macOS"),
    ("mdm", "MDM"),
    ("mfa", "MFA"),
    ("microsoft", "Microsoft"),
    ("nfc", "NFC"),
    ("oma", "OMA"),
    ("onedrive", "OneDrive"),
    ("os", "OS"),
    ("pc", "PC"),
    ("pin", "PIN"),
    ("powershell", "PowerShell"),
    ("sim", "SIM"),
    ("siri", "Siri"),
    ("sms", "SMS"),
    ("ssid", "SSID"),
    ("ssl", "SSL"),
    ("sso", "SSO"),
    ("tls", "TLS"),
    ("tpm", "TPM"),
    ("tvos", "tvOS"),
    ("uri", "URI"),
    ("url", "URL"),
    ("urls", "URLs"),
    ("usb", "USB"),
    ("vpn", "VPN"),
    ("windows", "Windows"),
    ("xml", "XML"),
];

/// Names that are made of words and are one word for people.
const JOINED: &[(&str, &str, &str)] = &[
    ("bit", "locker", "BitLocker"),
    ("file", "vault", "FileVault"),
    ("i", "cloud", "iCloud"),
    ("i", "os", "iOS"),
    ("i", "tunes", "iTunes"),
    ("mac", "os", "macOS"),
    ("one", "drive", "OneDrive"),
    ("power", "shell", "PowerShell"),
    ("smart", "screen", "SmartScreen"),
    ("tv", "os", "tvOS"),
    ("wi", "fi", "Wi-Fi"),
];

/// Members whose name says less than people need.
const KNOWN: &[(&str, &str)] = &[
    ("@odata.type", "Type"),
    ("displayName", "Name"),
    ("roleScopeTagIds", "Scope tags"),
    ("roleScopeTags", "Scope tags"),
    ("scopeIds", "Scope tags"),
    ("omaSettings", "OMA-URI settings"),
    ("omaUri", "OMA-URI"),
    ("definitionValues", "Settings"),
    ("scheduledActionsForRule", "Actions for noncompliance"),
    ("scheduledActionConfigurations", "Actions"),
    ("deviceAndAppManagementAssignmentFilterId", "Filter"),
    ("deviceAndAppManagementAssignmentFilterType", "Filter mode"),
    ("createdDateTime", "Created"),
    ("lastModifiedDateTime", "Modified"),
    ("modifiedDateTime", "Modified"),
];

/// Letters of a name that are looked at: a hostile name may have millions.
const MOST: usize = 200;

/// The label of a member.
pub fn label(member: &str) -> String {
    if let Some((_, label)) = KNOWN.iter().find(|(name, _)| *name == member) {
        return (*label).to_owned();
    }
    let words = words(member);
    if words.is_empty() { cut(member, MOST) } else { sentence(&words) }
}

/// The words of a name, in lower case.
pub fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().take(MOST).collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| letters[index]);
        let after = letters.get(index + 1);
        // A word begins at a capital after a small letter or digit, and at the last capital of a run:
        // `osVersion`, `HTTPServer`.
        let begins = letter.is_uppercase()
            && (before.is_some_and(|one| one.is_lowercase() || one.is_ascii_digit())
                || (before.is_some_and(char::is_uppercase)
                    && after.is_some_and(|one| one.is_lowercase())));
        // And at a number: `runAs32Bit`, but not `x509` or `ipV4`.
        let counts = letter.is_ascii_digit()
            && before.is_some_and(|one| !one.is_ascii_digit())
            && after.is_some_and(char::is_ascii_digit)
            && word.chars().count() > 1;
        if begins || counts || !letter.is_alphanumeric() {
            push(&mut words, &mut word);
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
    }
    push(&mut words, &mut word);
    words
}

fn push(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Words as a phrase that begins with a capital.
fn sentence(words: &[String]) -> String {
    let mut text = String::new();
    let mut index = 0;
    while index < words.len() {
        let joined = JOINED.iter().find(|(first, second, _)| {
            words[index] == *first && words.get(index + 1).is_some_and(|next| next == second)
        });
        let word = words[index].as_str();
        let spelled = match joined {
            Some((.., spelled)) => {
                index += 1;
                Some(*spelled)
            }
            None => SPELLED.iter().find(|(plain, _)| *plain == word).map(|(_, spelled)| *spelled),
        };
        index += 1;
        if !text.is_empty() {
            text.push(' ');
        }
        match spelled {
            Some(spelled) => text.push_str(spelled),
            None if text.is_empty() => {
                let mut letters = word.chars();
                text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
                text.push_str(letters.as_str());
            }
            None => text.push_str(word),
        }
    }
    text
}

/// A text of at most so many letters; an ellipsis says that there are more.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_as_people_write() {
        for (member, expected) in [
            ("passwordMinimumLength", "Password minimum length"),
            ("osMinimumVersion", "OS minimum version"),
            ("bitLockerEnabled", "BitLocker enabled"),
            ("wiFiBlocked", "Wi-Fi blocked"),
            ("macOSMinimumVersion", "macOS minimum version"),
            ("iCloudBlockBackup", "iCloud block backup"),
            ("roleScopeTagIds", "Scope tags"),
            ("HTTPServer", "HTTP server"),
            ("windows10Device", "Windows 10 device"),
            ("runAs32Bit", "Run as 32 bit"),
            ("x509Name", "X509 name"),
            ("cidrAddress", "CIDR address"),
            ("snake_case-name", "Snake case name"),
            ("@@", "@@"),
        ] {
            assert_eq!(label(member), expected);
        }
        assert!(label(&"a".repeat(1_000_000)).len() <= MOST);
    }
}
