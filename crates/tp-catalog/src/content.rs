//! What a version holds: the object without its secrets, its assignments, and what was taken out.
//!
//! The one place that knows the form. What of it may be shown to whom is decided here too: fingerprints of
//! secrets to nobody, scripts to those who may see them (`scripts.view_content`).

use tp_domain::json::{Json, Object};
use tp_domain::version::ReferenceNames;

use crate::marker;
use crate::names::Names;
use crate::secrets::{Redaction, Redactions};

/// The form's number. A reader that does not know the number refuses it.
pub const FORMAT: u64 = 1;

/// What is shown of a script to those who may not see it.
pub const WITHHELD: &str = "[withheld]";

/// A content is none of a form that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content of the version has a form that this program does not know")]
pub struct UnknownForm;

/// The content of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionContent {
    /// The key of the policy's type.
    pub policy_type: String,
    /// The object with its parts. Markers stand for secrets.
    pub object: Json,
    /// The assignments, an array; none for a type without.
    pub assignments: Option<Json>,
    /// Secrets that were taken out, and places of scripts.
    pub found: Redactions,
}

impl VersionContent {
    /// Reads a stored content.
    pub fn read(content: Json) -> Result<Self, UnknownForm> {
        let Json::Object(mut members) = content else { return Err(UnknownForm) };
        if members.get("format").and_then(Json::as_u64) != Some(FORMAT) {
            return Err(UnknownForm);
        }
        let policy_type = members.get("type").and_then(Json::as_str).map(str::to_owned);
        let list = |members: &mut Object, name: &str| {
            let value = members.remove(name).unwrap_or_default();
            serde_json::Value::from(&value)
        };
        let taken: Vec<Redaction> =
            serde_json::from_value(list(&mut members, "redactions")).map_err(|_| UnknownForm)?;
        let restricted: Vec<String> =
            serde_json::from_value(list(&mut members, "restricted")).map_err(|_| UnknownForm)?;
        let object = members.remove("object").filter(Json::is_object).ok_or(UnknownForm)?;
        let assignments = members.remove("assignments").filter(Json::is_array);
        let found = Redactions { taken, restricted };
        let policy_type = policy_type.ok_or(UnknownForm)?;
        Ok(Self { policy_type, object, assignments, found })
    }

    /// The content as a value to be stored.
    pub fn into_json(self) -> Json {
        let mut content = Object::new();
        content.insert("format", Json::from(FORMAT));
        content.insert("type", Json::from(self.policy_type));
        content.insert("object", self.object);
        content.insert("assignments", self.assignments.unwrap_or_default());
        content.insert("redactions", Json::from(serde_json::json!(self.found.taken)));
        content.insert("restricted", Json::from(serde_json::json!(self.found.restricted)));
        Json::from(content)
    }

    /// The object exactly as it was read, but for what may not be shown.
    pub fn shown(&self, with_scripts: bool) -> Json {
        let mut object = self.object.clone();
        let mut hide = |pointer: &str, word: &str| {
            if let Some(value) = object.pointer_mut(pointer) {
                *value = Json::from(word);
            }
        };
        self.found.taken.iter().for_each(|one| hide(&one.pointer, marker::SHOWN));
        if !with_scripts {
            self.found.restricted.iter().for_each(|pointer| hide(pointer, WITHHELD));
        }
        object
    }
}

/// The names that a version has kept, as comparing and reading want them.
pub fn names_of(kept: &ReferenceNames) -> Names {
    let mut names = Names::default();
    for (kind, ids) in &kept.0 {
        ids.iter().for_each(|(id, name)| names.insert(kind, id, name));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    const STORED: &str = r#"{"assignments":null,"format":1,"object":{"count":1.0,"psk":{"@tenantpilot.redacted":"f00d"},"script":"ZXhpdA=="},"redactions":[{"by":"contract","fingerprint":"f00d","pointer":"/psk","reads_as":"clear"}],"restricted":["/script"],"type":"x"}"#;

    #[test]
    fn a_content_is_read_as_it_was_stored() {
        let content = VersionContent::read(parsed(STORED)).unwrap();
        assert_eq!(content.clone().into_json().to_string(), STORED);
        for other in ["[]", "{}", r#"{"format":2}"#, r#"{"format":1,"type":"x"}"#] {
            assert_eq!(VersionContent::read(parsed(other)), Err(UnknownForm), "{other}");
        }
    }

    #[test]
    fn fingerprints_are_shown_to_nobody_and_scripts_to_some() {
        let content = VersionContent::read(parsed(STORED)).unwrap();
        let all = content.shown(true).to_string();
        assert_eq!(all, r#"{"count":1.0,"psk":"[redacted]","script":"ZXhpdA=="}"#);
        let some = content.shown(false).to_string();
        assert_eq!(some, r#"{"count":1.0,"psk":"[redacted]","script":"[withheld]"}"#);
    }
}
