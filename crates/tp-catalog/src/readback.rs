//! Whether what is there is what was wanted: the comparison after a write, and before one (PRODUCT G-6, X-5).
//!
//! Only what the contract calls comparable is compared: no annotations, no members that Graph sets by itself,
//! no secrets. Sets have no order, encodings are compared by what they decode to, and null, an empty list
//! and nothing are the same. Differences are places, never values, so that they can be stored and shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tp_domain::operation::canonical;
use tp_domain::restore::plan::Fingerprint;

use crate::body::is_annotation;
use crate::contract::Contract;
use crate::fields::{Encoding, Handling};
use crate::filter::odata_type;
use crate::parts::{Order, PartOf};
use crate::schema::Schema;

/// Places of differences that are kept: more of them tell nobody more.
pub const MOST_DIFFERENCES: usize = 50;

/// The object as it is compared. Members of `object` that mean nothing are still there, as null.
pub fn comparable(contract: &Contract, schema: &Schema, object: &Value) -> Value {
    let facts = schema.facts(&contract.key, odata_type(object));
    let mut value = object.clone();
    // The rules look at what stands beside a field, so they come before anything is taken away.
    decode(contract, object, &mut value);
    hide_secrets(contract, object, &mut value);
    for pattern in &contract.ignore_in_diff {
        pattern.remove(&mut value);
    }
    plain(&mut value);
    if let Value::Object(members) = &mut value {
        let is_part = |name: &str| {
            let mut parts = contract.subresources.iter();
            parts.any(|part| part.part == PartOf::Payload && part.put_at == name)
        };
        members.retain(|name, _| {
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
pub fn comparable_assignments(contract: &Contract, assignments: &[Value]) -> Vec<Value> {
    let mut own: Vec<Value> = written_assignments(contract, assignments);
    for assignment in &mut own {
        drop_empty(assignment);
    }
    own.sort_by_cached_key(|assignment| canonical(assignment).to_string());
    own.dedup();
    own
}

/// The assignments as they are sent: what the contract carries, without those that another object makes.
pub fn written_assignments(contract: &Contract, assignments: &[Value]) -> Vec<Value> {
    let Some(rules) = &contract.assignments else { return Vec::new() };
    let foreign = |assignment: &&Value| {
        let is = |rule: &crate::fields::Beside| assignment.get(&rule.member) == Some(&rule.equals);
        rules.not_replayed.iter().any(is)
    };
    let mut own: Vec<Value> = assignments.iter().filter(|one| !foreign(one)).cloned().collect();
    for assignment in &mut own {
        for pattern in &rules.strip {
            pattern.remove(assignment);
        }
        plain(assignment);
        if let Value::Object(members) = assignment {
            members.retain(|name, _| {
                ["target", "@odata.type"].contains(&name.as_str())
                    || rules.carries.iter().any(|carried| carried == name)
            });
            if let Some(Value::Object(target)) = members.get_mut("target") {
                no_filter(target);
            }
        }
    }
    own
}

/// Graph says "no filter" in three ways; none of them is sent.
fn no_filter(target: &mut Map<String, Value>) {
    const ID: &str = "deviceAndAppManagementAssignmentFilterId";
    const KIND: &str = "deviceAndAppManagementAssignmentFilterType";
    let id = target.get(ID).and_then(Value::as_str).unwrap_or_default();
    let nobody = id.is_empty() || id.bytes().all(|byte| byte == b'0' || byte == b'-');
    if nobody || target.get(KIND).and_then(Value::as_str) == Some("none") {
        target.remove(ID);
        target.remove(KIND);
    }
}

/// Where the object that is there differs from the one that is wanted. What the wanted one does not mention
/// is not asked for: Graph adds members of its own.
pub fn differences(
    contract: &Contract,
    schema: &Schema,
    wanted: &Value,
    live: &Value,
) -> Vec<String> {
    let (wanted, live) = (comparable(contract, schema, wanted), comparable(contract, schema, live));
    let mut found = Vec::new();
    for (name, wanted) in wanted.as_object().into_iter().flatten() {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        walk(wanted, live.get(name).unwrap_or(&Value::Null), &pointer, &mut found);
    }
    found.truncate(MOST_DIFFERENCES);
    found
}

/// Whether the assignments that are there are not those that are wanted.
pub fn assignments_differ(contract: &Contract, wanted: &[Value], live: &[Value]) -> bool {
    let form = |list: &[Value]| canonical(&json!(comparable_assignments(contract, list)));
    form(wanted) != form(live)
}

/// What an object and its assignments are like. Two readings of an unchanged object have the same, and any
/// change that a comparison would show gives another.
///
/// Secrets are not in it, not even as a hash. So where an object holds one, the time of its last change is:
/// then any change counts.
pub fn fingerprint(
    contract: &Contract,
    schema: &Schema,
    object: &Value,
    assignments: Option<&[Value]>,
) -> Fingerprint {
    let mut value = comparable(contract, schema, object);
    drop_empty(&mut value);
    let changed =
        contract.changes.last_modified.as_ref().filter(|_| holds_secret(contract, object));
    Fingerprint::of(&json!({
        "object": value,
        "assignments": assignments.map(|list| comparable_assignments(contract, list)),
        "changed": changed.and_then(|member| object.get(member)),
    }))
}

/// Whether a secret stands in the object.
fn holds_secret(contract: &Contract, object: &Value) -> bool {
    let redacted = contract.secrets.iter().filter(|secret| secret.handling == Handling::Redact);
    redacted.into_iter().any(|secret| {
        secret.at.find(object).iter().any(|pointer| secret.when.holds(object, pointer))
    })
}

fn hide_secrets(contract: &Contract, object: &Value, value: &mut Value) {
    for secret in contract.secrets.iter().filter(|one| one.handling == Handling::Redact) {
        for pointer in secret.at.find(object) {
            if secret.when.holds(object, &pointer)
                && let Some(place) = value.pointer_mut(&pointer)
            {
                *place = Value::Null;
            }
        }
    }
}

/// Puts what texts decode to in their place; what does not decode stays a text.
fn decode(contract: &Contract, object: &Value, value: &mut Value) {
    for encoded in &contract.encoded {
        for pointer in encoded.at.find(object) {
            let text = object.pointer(&pointer).and_then(Value::as_str);
            let decoded = text
                .filter(|_| encoded.when.holds(object, &pointer))
                .and_then(|text| decoded(encoded.encoding, text));
            if let (Some(decoded), Some(place)) = (decoded, value.pointer_mut(&pointer)) {
                *place = decoded;
            }
        }
    }
}

fn decoded(encoding: Encoding, text: &str) -> Option<Value> {
    let bytes = || {
        let packed: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        STANDARD.decode(packed).ok()
    };
    match encoding {
        Encoding::Json => serde_json::from_str(text).ok().map(|value: Value| canonical(&value)),
        Encoding::Base64Json => {
            serde_json::from_slice(&bytes()?).ok().map(|value: Value| canonical(&value))
        }
        // A byte order mark says nothing of the text.
        Encoding::Base64Text => String::from_utf8(bytes()?)
            .ok()
            .map(|text| text.trim_start_matches('\u{feff}').to_owned().into()),
        Encoding::Base64Bytes => Some(STANDARD.encode(bytes()?).into()),
    }
}

/// Takes annotations away, at every depth.
fn plain(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !is_annotation(name));
            members.values_mut().for_each(plain);
        }
        Value::Array(elements) => elements.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Null, an empty list and an empty object are nothing.
fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(drop_empty);
            members.retain(|_, member| !is_nothing(member));
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Puts sets into one order, the inner ones first.
fn sort_sets(contract: &Contract, value: &mut Value) {
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
        if let Some(Value::Array(elements)) = value.pointer_mut(&pointer) {
            elements.sort_by_cached_key(|element| {
                let mut element = element.clone();
                drop_empty(&mut element);
                canonical(&element).to_string()
            });
        }
    }
}

fn walk(wanted: &Value, live: &Value, pointer: &str, found: &mut Vec<String>) {
    let inner = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (name, value) in wanted {
                walk(value, live.get(name).unwrap_or(&Value::Null), &inner(name), found);
            }
            for (name, value) in live.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                walk(&Value::Null, value, &inner(name), found);
            }
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                walk(wanted, live, &inner(&index.to_string()), found);
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
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64().is_some_and(|one| Some(one) == other.as_f64())
        }
        (Value::String(one), Value::String(other)) if one != other => {
            let at = tp_domain::time::Timestamp::parse;
            matches!((at(one), at(other)), (Some(one), Some(other)) if one == other)
        }
        (one, other) => canonical(one) == canonical(other),
    }
}

#[cfg(test)]
mod tests;
