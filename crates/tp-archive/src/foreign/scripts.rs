//! Scripts and pictures that tools put beside their policies: whether a policy holds the same.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tp_domain::json::Json;

use super::text;

/// Members whose text is an encoded file.
const ENCODED: [&str; 6] = [
    "scriptContent",
    "detectionScriptContent",
    "remediationScriptContent",
    "payload",
    "configurationFileContent",
    "value",
];

/// The contents of all policies, as digests.
#[derive(Debug, Default)]
pub(super) struct Contents(HashSet<[u8; 32]>);

impl Contents {
    /// Adds what an object holds.
    pub(super) fn add(&mut self, object: &Json) {
        match object {
            Json::Array(elements) => elements.iter().for_each(|one| self.add(one)),
            Json::Object(members) => {
                for (name, value) in members.iter() {
                    let is_encoded = name.as_str().is_some_and(|name| ENCODED.contains(&name));
                    match value.as_str().filter(|_| is_encoded) {
                        Some(encoded) => {
                            self.0.insert(digest(encoded.as_bytes()));
                            if let Ok(bytes) = STANDARD.decode(encoded) {
                                self.0.insert(digest(&bytes));
                            }
                        }
                        None => self.add(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a policy holds this file.
    pub(super) fn has(&self, bytes: &[u8]) -> bool {
        self.0.contains(&digest(bytes))
    }
}

/// Of a text without regard to its encoding and to how its lines end: tools rewrite both.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
    match text::decoded(bytes) {
        Ok(text) => hash(text.replace('\r', "").trim_end().as_bytes()),
        Err(_) => hash(bytes),
    }
}
