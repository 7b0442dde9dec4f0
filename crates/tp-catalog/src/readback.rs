//! Whether what is there is what was wanted: the comparison after a write, and before one (PRODUCT G-6, X-5).
//!
//! Only what the contract calls comparable is compared: no annotations, no members that Graph sets by itself,
//! no secrets. Sets have no order, encodings are compared by what they decode to, and null, an empty list
//! and nothing are the same. Differences are places, never values, so that they can be stored and shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tp_domain::json::{Json, Object, Text};
use tp_domain::restore::plan::Fingerprint;
use tp_domain::time::Timestamp;

use crate::body::is_annotation;
use crate::contract::Contract;
use crate::fields::{Encoding, Handling};
use crate::filter::odata_type;
use crate::marker;
use crate::parts::{Order, PartOf};
use crate::schema::Schema;

/// Places of differences that are kept: more of them tell nobody more.
pub const MOST_DIFFERENCES: usize = 50;

/// The object as it is compared. Members of `object` that mean nothing are still there, as null.
pub fn comparable(contract: &Contract, schema: &Schema, object: &Json) -> Json {
    let facts = schema.facts(&contract.key, odata_type(object));
    let mut value = object.clone();
    // The rules look at what stands beside a field, so they come before anything is taken away.
    decode(contract, object, &mut value);
    hide_secrets(contract, object, &mut value);
    for pattern in &contract.ignore_in_diff {
        pattern.remove(&mut value);
    }
    plain(&mut value);
    if let Json::Object(members) = &mut value {
        let is_part = |name: &str| {
            let mut parts = contract.subresources.iter();
            parts.any(|part| part.part == PartOf::Payload && part.put_at == name)
        };
        members.retain(|name, _| {
            // What has no Unicode name is no member of any type.
            let Some(name) = name.as_str() else { return false };
            // A concrete type cannot change; some replies leave it out.
            name != "@odata.type"
                && name != "assignments"
                && !facts.is_read_only(name)
                && (!facts.is_navigation(name) || is_part(name))
        });
    }
    sort_sets(contract, &mut value);
    value
}

/// The assignments as they are compared: without ids and origin, in a fixed order.
pub fn comparable_assignments(contract: &Contract, assignments: &[Json]) -> Vec<Json> {
    let mut own: Vec<Json> = written_assignments(contract, assignments);
    for assignment in &mut own {
        drop_empty(assignment);
    }
    own.sort_by_cached_key(Json::to_string);
    own.dedup();
    own
}

/// The assignments as they are sent: what the contract carries, without those that another object makes.
pub fn written_assignments(contract: &Contract, assignments: &[Json]) -> Vec<Json> {
    let Some(rules) = &contract.assignments else { return Vec::new() };
    let foreign = |assignment: &&Json| {
        let is = |rule: &crate::fields::Beside| assignment.get(&rule.member) == Some(&rule.equals);
        rules.not_replayed.iter().any(is)
    };
    let mut own: Vec<Json> = assignments.iter().filter(|one| !foreign(one)).cloned().collect();
    for assignment in &mut own {
        for pattern in &rules.strip {
            pattern.remove(assignment);
        }
        plain(assignment);
        if let Json::Object(members) = assignment {
            members.retain(|name, _| {
                *name == "target"
                    || *name == "@odata.type"
                    || rules.carries.iter().any(|carried| *name == carried.as_str())
            });
            if let Some(Json::Object(target)) = members.get_mut("target") {
                no_filter(target);
            }
        }
    }
    own
}

/// Graph says "no filter" in three ways; none of them is sent.
fn no_filter(target: &mut Object) {
    const ID: &str = "deviceAndAppManagementAssignmentFilterId";
    const KIND: &str = "deviceAndAppManagementAssignmentFilterType";
    let id = target.get(ID).and_then(Json::as_str).unwrap_or_default();
    let nobody = id.is_empty() || id.bytes().all(|byte| byte == b'0' || byte == b'-');
    if nobody || target.get(KIND).and_then(Json::as_str) == Some("none") {
        target.remove(ID);
        target.remove(KIND);
    }
}

/// Where the object that is there differs from the one that is wanted. What the wanted one does not mention
/// is not asked for: Graph adds members of its own.
pub fn differences(
    contract: &Contract,
    schema: &Schema,
    wanted: &Json,
    live: &Json,
) -> Vec<String> {
    let (wanted, live) = (comparable(contract, schema, wanted), comparable(contract, schema, live));
    let mut found = Vec::new();
    walk_members(&wanted, &live, "", &mut found);
    found.truncate(MOST_DIFFERENCES);
    found
}

/// Whether the assignments that are there are not those that are wanted.
pub fn assignments_differ(contract: &Contract, wanted: &[Json], live: &[Json]) -> bool {
    comparable_assignments(contract, wanted) != comparable_assignments(contract, live)
}

/// What an object and its assignments are like. Two readings of an unchanged object have the same, and any
/// change that a comparison would show gives another.
///
/// Secrets are not in it, not even as a hash. So where an object holds one, the time of its last change is:
/// then any change counts.
pub fn fingerprint(
    contract: &Contract,
    schema: &Schema,
    object: &Json,
    assignments: Option<&[Json]>,
) -> Fingerprint {
    let mut value = comparable(contract, schema, object);
    drop_empty(&mut value);
    let changed =
        contract.changes.last_modified.as_ref().filter(|_| holds_secret(contract, object));
    let mut whole = Object::default();
    whole.insert("object", value);
    let assigned = assignments.map(|list| comparable_assignments(contract, list));
    whole.insert("assignments", assigned.map_or(Json::Null, Json::Array));
    let changed = changed.and_then(|member| object.get(member)).cloned();
    whole.insert("changed", changed.unwrap_or_default());
    Fingerprint::of_json(&Json::Object(whole))
}

/// Whether a secret stands in the object.
fn holds_secret(contract: &Contract, object: &Json) -> bool {
    let redacted = contract.secrets.iter().filter(|secret| secret.handling == Handling::Redact);
    redacted.into_iter().any(|secret| {
        secret.at.find(object).iter().any(|pointer| secret.when.holds(object, pointer))
    })
}

fn hide_secrets(contract: &Contract, object: &Json, value: &mut Json) {
    for secret in contract.secrets.iter().filter(|one| one.handling == Handling::Redact) {
        for pointer in secret.at.find(object) {
            if secret.when.holds(object, &pointer)
                && let Some(place) = value.pointer_mut(&pointer)
            {
                *place = Json::Null;
            }
        }
    }
}

/// Puts what texts decode to in their place; what does not decode stays a text.
fn decode(contract: &Contract, object: &Json, value: &mut Json) {
    for encoded in &contract.encoded {
        for pointer in encoded.at.find(object) {
            let text = object.pointer(&pointer).and_then(Json::as_str);
            let decoded = text
                .filter(|_| encoded.when.holds(object, &pointer))
                .and_then(|text| decoded(encoded.encoding, text));
            if let (Some(decoded), Some(place)) = (decoded, value.pointer_mut(&pointer)) {
                *place = decoded;
            }
        }
    }
}

fn decoded(encoding: Encoding, text: &str) -> Option<Json> {
    let bytes = || {
        let packed: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        STANDARD.decode(packed).ok()
    };
    match encoding {
        Encoding::Json => Json::parse(text.as_bytes()).ok(),
        Encoding::Base64Json => Json::parse(&bytes()?).ok(),
        // A byte order mark says nothing of the text.
        Encoding::Base64Text => String::from_utf8(bytes()?)
            .ok()
            .map(|text| text.trim_start_matches('\u{feff}').to_owned().into()),
        Encoding::Base64Bytes => Some(STANDARD.encode(bytes()?).into()),
    }
}

/// Takes annotations away, at every depth.
fn plain(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|name, _| name.as_str().is_some_and(|name| !is_annotation(name)));
            members.values_mut().for_each(plain);
        }
        Json::Array(elements) => elements.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Null, an empty list and an empty object are nothing.
fn drop_empty(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.values_mut().for_each(drop_empty);
            members.retain(|_, member| !is_nothing(member));
        }
        Json::Array(elements) => elements.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(elements) => elements.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Puts sets into one order, the inner ones first.
fn sort_sets(contract: &Contract, value: &mut Json) {
    let mut places: Vec<String> = contract.sets.iter().flat_map(|set| set.at.find(value)).collect();
    for part in contract.subresources.iter().filter(|part| part.order == Order::Set) {
        let each = part.read.sub_path.as_ref().and_then(|path| path.each.as_ref());
        match each.filter(|_| part.is_nested()) {
            Some(each) => places
                .extend(each.find(value).iter().map(|child| format!("{child}/{}", part.put_at))),
            None => places.push(format!("/{}", part.put_at)),
        }
    }
    places.sort_by_key(|pointer| std::cmp::Reverse(pointer.matches('/').count()));
    for pointer in places {
        if let Some(Json::Array(elements)) = value.pointer_mut(&pointer) {
            elements.sort_by_cached_key(|element| {
                let mut element = element.clone();
                drop_empty(&mut element);
                element.to_string()
            });
        }
    }
}

/// The members that are wanted, and for members of members also those that are there and are not wanted.
fn walk_members(wanted: &Json, live: &Json, pointer: &str, found: &mut Vec<String>) {
    for (name, wanted) in wanted.as_object().into_iter().flat_map(Object::iter) {
        let Some(name) = name.as_str() else { continue };
        let inner = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        walk(wanted, live.get(name).unwrap_or(&Json::Null), &inner, found);
    }
}

fn walk(wanted: &Json, live: &Json, pointer: &str, found: &mut Vec<String>) {
    match (wanted, live) {
        // A secret that is not stored: what is there stays, and is not asked for.
        (wanted, _) if marker::is_marker(wanted) => {}
        (Json::Object(own), Json::Object(members)) => {
            walk_members(wanted, live, pointer, found);
            for (name, value) in members.iter() {
                let Some(name) = name.as_str().filter(|name| !own.contains_key(name)) else {
                    continue;
                };
                let inner = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                walk(&Json::Null, value, &inner, found);
            }
        }
        (Json::Array(wanted), Json::Array(live)) if wanted.len() == live.len() => {
            for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                walk(wanted, live, &format!("{pointer}/{index}"), found);
            }
        }
        (wanted, live) => {
            let (mut one, mut other) = (wanted.clone(), live.clone());
            drop_empty(&mut one);
            drop_empty(&mut other);
            let nothing = is_nothing(&one) && is_nothing(&other);
            if !nothing && !is_same(&one, &other) {
                found.push(pointer.to_owned());
            }
        }
    }
}

/// `1` and `1.0` are one number; times are compared as moments.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            one == other
                || Json::Number(one.clone())
                    .as_f64()
                    .is_some_and(|one| Some(one) == Json::Number(other.clone()).as_f64())
        }
        (Json::String(one), Json::String(other)) if one != other => {
            let at = |text: &Text| Timestamp::parse(text.as_str()?);
            matches!((at(one), at(other)), (Some(one), Some(other)) if one == other)
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests;
