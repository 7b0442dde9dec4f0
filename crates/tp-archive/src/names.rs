//! Names of files: those that we write, and whether one that we read may be.

use sha2::{Digest as _, Sha256};
use tp_domain::hex::hex;

use crate::error::Fault;

/// The longest part of a policy's name that becomes part of a file's name, in characters.
const LONGEST: usize = 60;

/// The longest path that is read, in bytes, and how many folders deep.
const LONGEST_PATH: usize = 1_024;
const DEEPEST: usize = 24;

/// Names of devices, which Windows opens whatever follows the first dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// A policy's file: `policies/{type}/{name}--{short id}.json`. The name is for people; the short id, of the
/// policy's type and id, keeps apart what would be one file on a system without upper case.
pub(crate) fn path(policy_type: &str, graph_id: &str, name: Option<&str>, digits: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(policy_type.as_bytes());
    hash.update([0]);
    hash.update(graph_id.as_bytes());
    let short = hex(&hash.finalize());
    let short = &short[..digits.min(short.len())];
    format!("policies/{}/{}--{short}.json", safe(policy_type), safe(name.unwrap_or("unnamed")))
}

/// A part of a path that every system takes: letters, digits, spaces and `-_()`, not long, no device.
fn safe(name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_' | '(' | ')') {
            letter
        } else {
            '_'
        }
    };
    let text: String = name.chars().map(plain).take(LONGEST).collect();
    let text = text.trim_matches(' ');
    let mut text = text.to_owned();
    // File systems count bytes as well.
    while text.len() > 150 {
        text.pop();
    }
    match text.as_str() {
        "" => "unnamed".to_owned(),
        device if is_device(device) => format!("_{device}"),
        _ => text,
    }
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = ["com", "lpt"].iter().any(|word| {
        let rest = stem.strip_prefix(word).map(|rest| rest.chars().collect::<Vec<_>>());
        rest.is_some_and(|rest| matches!(rest[..], ['0'..='9' | '¹' | '²' | '³']))
    });
    numbered || DEVICES.contains(&stem.as_str())
}

/// The path of an entry as it is compared: `/` between its parts. Some tools of Windows write `\`.
pub(crate) fn checked(name: &str) -> Result<String, Fault> {
    let path = name.replace('\\', "/");
    if path.is_empty() || path.len() > LONGEST_PATH {
        return Err(Fault::PathInvalid);
    }
    let mut letters = path.chars();
    let drive = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.next() == Some(':');
    if path.starts_with('/') || drive {
        return Err(Fault::PathAbsolute);
    }
    if path.chars().any(|letter| letter.is_control() || letter == '\u{FFFD}') {
        return Err(Fault::PathInvalid);
    }
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    if parts.len() > DEEPEST {
        return Err(Fault::PathInvalid);
    }
    for part in parts {
        match part.trim_end_matches(['.', ' ']) {
            _ if part == ".." || part.trim() == ".." => return Err(Fault::PathTraversal),
            // Windows drops dots and spaces at the end: `.. ` is `..` there.
            "" if part.contains("..") => return Err(Fault::PathTraversal),
            "" => return Err(Fault::PathInvalid),
            // `a:b` is a stream of `a` on Windows.
            _ if part.contains(':') => return Err(Fault::PathInvalid),
            _ => {}
        }
    }
    Ok(path)
}

/// Whether a name says that the file is an archive of its own.
pub(crate) fn is_archive(path: &str) -> bool {
    const ENDINGS: [&str; 12] = [
        ".zip", ".7z", ".gz", ".tgz", ".tar", ".rar", ".bz2", ".xz", ".zst", ".cab", ".jar", ".lz4",
    ];
    let path = path.to_lowercase();
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_policy_leads_anywhere() {
        for (name, expected) in [
            ("Wi-Fi (corp)", "Wi-Fi (corp)"),
            ("../../etc/passwd", "______etc_passwd"),
            ("CON", "_CON"),
            ("com1", "_com1"),
            ("LPT¹", "_LPT¹"),
            ("nul.txt", "nul_txt"),
            ("a/b\\c:d*e?f\"g<h>i|j", "a_b_c_d_e_f_g_h_i_j"),
            ("\u{202E}gnp.exe", "_gnp_exe"),
            ("  . ", "_"),
            ("", "unnamed"),
            ("Grüße", "Grüße"),
        ] {
            let expected = format!("policies/t/{expected}--");
            let path = path("t", "1", Some(name), 8);
            assert!(path.starts_with(&expected), "{name:?}: {path}");
            assert_eq!(checked(&path).as_deref(), Ok(path.as_str()), "{name:?}");
        }
        let long = path("t", "1", Some(&"語".repeat(500)), 8);
        assert!(long.rsplit('/').next().unwrap().len() < 200, "{}", long.len());
        assert_ne!(path("t", "1", Some("A"), 8), path("t", "2", Some("A"), 8));
    }

    #[test]
    fn paths_that_lead_out_are_told_from_those_that_do_not() {
        for (name, fault) in [
            ("/etc/passwd", Fault::PathAbsolute),
            ("\\\\server\\share", Fault::PathAbsolute),
            ("C:\\x", Fault::PathAbsolute),
            ("c:x", Fault::PathAbsolute),
            ("../x", Fault::PathTraversal),
            ("a/../../x", Fault::PathTraversal),
            ("a\\..\\x", Fault::PathTraversal),
            ("a/.. /x", Fault::PathTraversal),
            ("a/..", Fault::PathTraversal),
            ("a//b", Fault::PathInvalid),
            ("a/./b", Fault::PathInvalid),
            ("a\0b", Fault::PathInvalid),
            ("a/\u{7}b", Fault::PathInvalid),
            ("", Fault::PathInvalid),
            ("file.json:stream", Fault::PathInvalid),
        ] {
            assert_eq!(checked(name), Err(fault), "{name:?}");
        }
        assert!(checked(&"a/".repeat(30)).is_err());
        for good in ["a/b.json", "Device Configurations/Win - A.json", "..a/b..json", "a/"] {
            assert!(checked(good).is_ok(), "{good:?}");
        }
        assert_eq!(checked("a\\b.json").as_deref(), Ok("a/b.json"));
    }
}
