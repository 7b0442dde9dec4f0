//! What a policy's file holds: the content of its version, checked as strictly as if nobody could be
//! trusted with it.

use tp_catalog::content::VersionContent;
use tp_catalog::secrets::MARKER;
use tp_domain::json::{Fault as JsonFault, Json, JsonError};

use crate::error::Fault;

/// The longest number in a policy, in characters. Microsoft's longest have 20.
const LONGEST_NUMBER: usize = 64;

/// The largest exponent: beyond it no program can hold the number.
const LARGEST_EXPONENT: i64 = 308;

/// A fingerprint of a secret: 32 lower-case hex digits.
const FINGERPRINT: usize = 32;

/// A content that was checked.
#[derive(Clone, Debug)]
pub struct StoredContent {
    /// The content.
    pub content: VersionContent,
    /// Its canonical text: the bytes of the file.
    pub text: String,
}

/// What of an archive a fault of JSON is.
pub(crate) fn fault(error: &JsonError) -> Fault {
    match error.fault {
        JsonFault::TooDeep => Fault::TooDeep,
        JsonFault::NotUtf8 => Fault::NotUtf8,
        _ => Fault::NotJson,
    }
}

/// That no number is longer than a policy needs.
pub(crate) fn numbers(value: &Json) -> Result<(), Fault> {
    match value {
        Json::Number(number) => {
            let text = number.as_str();
            let exponent = text.split(['e', 'E']).nth(1).map_or(Some(0), |it| it.parse().ok());
            let sound = text.len() <= LONGEST_NUMBER
                && exponent.is_some_and(|it: i64| it.abs() <= LARGEST_EXPONENT);
            if sound { Ok(()) } else { Err(Fault::NumberTooLarge) }
        }
        Json::Array(elements) => elements.iter().try_for_each(numbers),
        Json::Object(members) => members.values().try_for_each(numbers),
        _ => Ok(()),
    }
}

/// Checks the bytes of a policy's file: canonical JSON in the form of a version's content, of that type,
/// with a marker for each redaction and for nothing else.
pub fn check_content(bytes: Vec<u8>, policy_type: &str) -> Result<StoredContent, Fault> {
    let value = Json::parse(&bytes).map_err(|error| fault(&error))?;
    numbers(&value)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
    if value.canonical().map_err(|_| Fault::TooDeep)? != text {
        return Err(Fault::NotCanonical);
    }
    let content = VersionContent::read(value).map_err(|_| Fault::ContentWrong)?;
    if content.policy_type != policy_type {
        return Err(Fault::ContentWrong);
    }
    // A member that the form does not have would be lost, or stand for something.
    if content.clone().into_json().to_string() != text {
        return Err(Fault::ContentWrong);
    }
    markers(&content)?;
    Ok(StoredContent { content, text })
}

/// The fingerprint in a marker; none where the value is no marker.
fn fingerprint(value: &Json) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get(MARKER)?.as_str()
}

fn markers(content: &VersionContent) -> Result<(), Fault> {
    let taken = &content.found.taken;
    for one in taken {
        let marked = content.object.pointer(&one.pointer).and_then(fingerprint);
        let is_form = one.fingerprint.len() == FINGERPRINT
            && one.fingerprint.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if marked != Some(one.fingerprint.as_str()) || !is_form {
            return Err(Fault::MarkerWrong);
        }
    }
    let places: std::collections::HashSet<&str> =
        taken.iter().map(|one| one.pointer.as_str()).collect();
    let assignments = content.assignments.as_ref().map_or(0, count);
    if places.len() != taken.len() || count(&content.object) != taken.len() || assignments > 0 {
        return Err(Fault::MarkerWrong);
    }
    Ok(())
}

/// How many objects look like markers.
fn count(value: &Json) -> usize {
    match value {
        Json::Object(members) if members.contains_key(MARKER) => 1,
        Json::Object(members) => members.values().map(count).sum(),
        Json::Array(elements) => elements.iter().map(count).sum(),
        _ => 0,
    }
}
