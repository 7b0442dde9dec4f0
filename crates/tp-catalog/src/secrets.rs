//! Takes secrets out of an object before anything of it is stored or shown (PRODUCT G-8, S-1).
//!
//! Two rules say where secrets are: the contract names places, and [`secret_names`] knows names. What they
//! find is replaced by a marker with a keyed fingerprint, so that "the secret changed" can be seen and
//! nothing else. The list of places is the truth; the marker in the text only stands for it: an object of
//! Graph's that looks like a marker is taken for a secret itself, so that nobody can forge one.
//!
//! Pure: the fingerprint comes from the caller, who has the key (`tp-payload/src/seal.rs`).

use serde::{Deserialize, Serialize};
use tp_domain::json::{Json, Object};
use tp_domain::secret_names;

use crate::contract::Contract;
use crate::fields::{Handling, ReadsAs};

#[cfg(test)]
mod tests;

/// The member that a marker consists of. Its value is the fingerprint.
pub const MARKER: &str = "@tenantpilot.redacted";

/// A secret that was taken out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Redaction {
    /// Where it stood (RFC 6901), in the object with its parts.
    pub pointer: String,
    /// Which rule found it.
    pub by: FoundBy,
    /// What Graph gives when it is read. Only of a value in clear does an equal fingerprint say that the
    /// secret is the same; of a mask it says nothing.
    pub reads_as: ReadsAs,
    /// The fingerprint of what was read.
    pub fingerprint: String,
}

/// Which rule found a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The contract names the place.
    Contract,
    /// The field's name says it, or the name beside it.
    Name,
    /// It looks like a marker of ours.
    Marker,
}

/// What was found in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redactions {
    /// Secrets that were taken out, in the order of the object.
    pub taken: Vec<Redaction>,
    /// Places that are stored and shown only to those who may see scripts.
    pub restricted: Vec<String>,
}

/// Replaces each secret of an object by a marker. `fingerprint` is asked for the value before it goes.
pub fn redact(
    contract: &Contract,
    object: &mut Json,
    fingerprint: &dyn Fn(&Json) -> String,
) -> Redactions {
    let mut found = Redactions::default();
    let mut places: Vec<(String, FoundBy, ReadsAs)> = Vec::new();
    for secret in &contract.secrets {
        for pointer in secret.at.find(object) {
            let is_one = object.pointer(&pointer).is_some_and(holds_something)
                && secret.when.holds(object, &pointer);
            match secret.handling {
                _ if !is_one => {}
                Handling::Redact => places.push((pointer, FoundBy::Contract, secret.reads_as)),
                Handling::Restrict => found.restricted.push(pointer),
            }
        }
    }
    by_name(object, &mut String::new(), &mut places);
    found.taken = take(object, places, fingerprint);
    let taken = &found.taken;
    found.restricted.retain(|place| !taken.iter().any(|one| is_at_or_below(place, &one.pointer)));
    found.restricted.sort();
    found.restricted.dedup();
    found
}

/// The same for an object whose secrets were taken out once already, by whichever version of the rules:
/// those that `known` lists stay as they are, and what is secret by now goes as well.
pub fn redact_again(
    contract: &Contract,
    object: &mut Json,
    known: &Redactions,
    fingerprint: &dyn Fn(&Json) -> String,
) -> Redactions {
    // A marker that is listed is not taken for one that somebody has forged.
    let aside: Vec<(&Redaction, Json)> = known
        .taken
        .iter()
        .filter_map(|one| Some((one, std::mem::take(object.pointer_mut(&one.pointer)?))))
        .collect();
    let mut found = redact(contract, object, fingerprint);
    let news = found.taken.clone();
    for (one, marker) in aside {
        let is_gone = news.iter().any(|new| is_at_or_below(&one.pointer, &new.pointer));
        if let Some(place) = object.pointer_mut(&one.pointer).filter(|_| !is_gone) {
            *place = marker;
            found.taken.push(one.clone());
        }
    }
    found.taken.sort_by(|one, other| steps(&one.pointer).cmp(steps(&other.pointer)));
    let taken = &found.taken;
    let scripts = known.restricted.iter();
    let kept = scripts.filter(|at| !taken.iter().any(|one| is_at_or_below(at, &one.pointer)));
    found.restricted.extend(kept.cloned());
    found.restricted.sort();
    found.restricted.dedup();
    found
}

/// Whether there is anything that could be secret.
fn holds_something(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(_) => false,
        Json::String(text) => !text.as_bytes().is_empty(),
        Json::Number(_) => true,
        Json::Array(elements) => elements.iter().any(holds_something),
        Json::Object(members) => members.values().any(holds_something),
    }
}

/// What a field with a secret's name must hold to be one: texts. Numbers and truth values of such a name
/// say how something is set.
fn holds_text(value: &Json) -> bool {
    match value {
        Json::String(text) => !text.as_bytes().is_empty(),
        Json::Array(elements) => elements.iter().any(holds_text),
        _ => false,
    }
}

/// Finds secrets by their names, and what looks like a marker.
fn by_name(value: &Json, at: &mut String, places: &mut Vec<(String, FoundBy, ReadsAs)>) {
    let length = at.len();
    match value {
        Json::Object(members) => {
            if members.contains_key(MARKER) {
                places.push((at.clone(), FoundBy::Marker, ReadsAs::Clear));
                return;
            }
            let text_of = |name: &str| members.get(name).and_then(Json::as_str);
            let beside: Vec<&str> = secret_names::named_beside(text_of).collect();
            // A name that is no Unicode text cannot be pointed at, and is no name that Graph has.
            for (name, child) in
                members.iter().filter_map(|(name, child)| Some((name.as_str()?, child)))
            {
                push_step(at, name);
                let is_secret = secret_names::is_secret(name) || beside.contains(&name);
                if is_secret && holds_text(child) {
                    places.push((at.clone(), FoundBy::Name, reads_as(child)));
                } else {
                    by_name(child, at, places);
                }
                at.truncate(length);
            }
        }
        Json::Array(elements) => {
            for (index, child) in elements.iter().enumerate() {
                push_step(at, &index.to_string());
                by_name(child, at, places);
                at.truncate(length);
            }
        }
        _ => {}
    }
}

fn push_step(at: &mut String, name: &str) {
    at.push('/');
    at.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// A value of asterisks tells nothing about the secret.
fn reads_as(value: &Json) -> ReadsAs {
    let is_mask = value.as_str().is_some_and(|text| text.bytes().all(|byte| byte == b'*'));
    if is_mask { ReadsAs::Masked } else { ReadsAs::Clear }
}

fn is_at_or_below(place: &str, of: &str) -> bool {
    place.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Puts markers in. What the contract says of a place goes before what its name says; a place inside
/// another one goes with it.
fn take(
    object: &mut Json,
    mut places: Vec<(String, FoundBy, ReadsAs)>,
    fingerprint: &dyn Fn(&Json) -> String,
) -> Vec<Redaction> {
    places.sort_by(|one, other| steps(&one.0).cmp(steps(&other.0)));
    let mut taken: Vec<Redaction> = Vec::new();
    for (pointer, by, reads_as) in places {
        if taken.last().is_some_and(|last| is_at_or_below(&pointer, &last.pointer)) {
            continue;
        }
        let Some(value) = object.pointer_mut(&pointer) else { continue };
        let fingerprint = fingerprint(value);
        let mut marker = Object::new();
        marker.insert(MARKER, Json::from(fingerprint.as_str()));
        *value = Json::Object(marker);
        taken.push(Redaction { pointer, by, reads_as, fingerprint });
    }
    taken
}

fn steps(pointer: &str) -> impl Iterator<Item = &str> {
    pointer.split('/')
}
