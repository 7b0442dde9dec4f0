//! The requests that make an object what it shall be: pure, from the contract, what is wanted and what is
//! there (PRODUCT G-6).
//!
//! A new object is made by one step ([`create`]). What it still lacks then, and all that an object lacks that
//! is there, is found by [`remaining`]: the change of the object itself, the calls that follow for what a
//! body cannot carry, the assignments. It asks for nothing that is there already, so that work that was cut
//! off goes on by reading the object again.

mod parts;

use tp_domain::json::{Json, Object};
use tp_domain::reason::ReasonCode;

use crate::assignments::AssignmentsWrite;
use crate::body::{Purpose, writable};
use crate::contract::Contract;
use crate::fields::{Handling, ReadsAs};
use crate::marker;
use crate::readback::{assignments_differ, differences, written_assignments};
use crate::schema::Schema;
use crate::writes::{FollowUp, Method, WriteCall};

/// The name of the step that writes the object itself.
pub const OBJECT: &str = "object";

/// The name of the step that writes assignments.
pub const ASSIGNMENTS: &str = "assignments";

/// What an object shall be, or is.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// The object with its parts.
    pub object: &'a Json,
    /// Its assignments; none where nothing is said of them.
    pub assignments: Option<&'a [Json]>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The address of the version, for links: `https://graph.microsoft.com/beta`.
    pub base: &'a str,
    /// The object's id; none for the one that a tenant has.
    pub id: Option<&'a str>,
    /// The id of the object that it lies in.
    pub parent: Option<&'a str>,
}

/// One request that writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it writes: [`OBJECT`], [`ASSIGNMENTS`], or the follow-up's name in the contract.
    pub name: String,
    /// Its identity among the steps of one object: the name, and the element that it is for.
    pub key: String,
    /// How it is called.
    pub method: Method,
    /// Its path below the version.
    pub path: String,
    /// What is sent.
    pub body: Option<Json>,
    /// Sent twice it would add twice. Such a step is never sent again when its answer was lost.
    pub adds: bool,
}

/// Why an object cannot be written as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {what}")]
pub struct Unwritable {
    /// The code.
    pub reason: ReasonCode,
    /// The place or the path that is the matter; no value.
    pub what: String,
}

fn unwritable(reason: ReasonCode, what: &str) -> Unwritable {
    Unwritable { reason, what: what.to_owned() }
}

/// The step that makes the object.
pub fn create(
    contract: &Contract,
    schema: &Schema,
    wanted: Whole<'_>,
    place: Place<'_>,
) -> Result<Step, Unwritable> {
    let refused = || unwritable(ReasonCode::UnsupportedType, "it cannot be created");
    let call = &contract.create.as_ref().ok_or_else(refused)?.call;
    if let Some(hidden) = hidden_secrets(contract, wanted.object).first() {
        return Err(unwritable(ReasonCode::SecretMissing, hidden));
    }
    let object = writable(contract, schema, &typed(contract, wanted.object, None), Purpose::Create);
    let object = object.ok_or_else(refused)?;
    let caller = wanted.object.get("id").and_then(Json::as_str);
    let own = Place { id: caller, ..place };
    let body = body_of(call, contract, schema, wanted.object, object, own)?;
    let path = filled(call, wanted.object, own)?;
    let is_post = call.method == Method::Post;
    let (name, key) = (OBJECT.to_owned(), OBJECT.to_owned());
    Ok(Step { name, key, method: call.method, path, body: Some(body), adds: is_post })
}

/// What is still to be done so that the object that is there becomes the wanted one, in this order.
pub fn remaining(
    contract: &Contract,
    schema: &Schema,
    wanted: Whole<'_>,
    live: Whole<'_>,
    place: Place<'_>,
) -> Result<Vec<Step>, Unwritable> {
    let mut steps = Vec::new();
    let places = differences(contract, schema, wanted.object, live.object);
    let is_default =
        contract.defaults.as_ref().is_some_and(|defaults| defaults.is_default(live.object));
    if !places.is_empty() {
        steps.extend(update(contract, schema, wanted, live, place, &places)?);
        for follow in follow_ups(contract) {
            let sources = parts::sources(&follow);
            let concerned = sources.is_empty()
                || places.iter().any(|place| sources.iter().any(|source| is_within(place, source)));
            if concerned && follow.when.holds(live.object, "/") {
                let whole = parts::Part { contract, schema, wanted, live, place };
                steps.extend(whole.steps(&follow)?);
            }
        }
    }
    if let (Some(own), Some(wanted)) = (&contract.assignments, wanted.assignments)
        && let Some(write) = &own.write
        && assignments_differ(contract, wanted, live.assignments.unwrap_or_default())
    {
        if is_default && contract.defaults.as_ref().is_some_and(|defaults| !defaults.assign) {
            return Err(unwritable(ReasonCode::UnsupportedType, ASSIGNMENTS));
        }
        steps.extend(assign(contract, write, wanted, live.assignments.unwrap_or_default(), place)?);
    }
    Ok(steps)
}

/// The change of the object itself, where its body carries something that differs.
fn update(
    contract: &Contract,
    schema: &Schema,
    wanted: Whole<'_>,
    live: Whole<'_>,
    place: Place<'_>,
    places: &[String],
) -> Result<Option<Step>, Unwritable> {
    let Some(update) = &contract.update else {
        return Err(unwritable(ReasonCode::UnsupportedType, "it cannot be changed"));
    };
    let defaults = contract.defaults.as_ref().filter(|one| one.is_default(live.object));
    if defaults.is_some_and(|defaults| !defaults.update) {
        return Err(unwritable(ReasonCode::UnsupportedType, "a built-in object"));
    }
    let object = typed(contract, wanted.object, Some(live.object));
    let Some(mut body) = writable(contract, schema, &object, Purpose::Update) else {
        return Err(unwritable(ReasonCode::UnsupportedType, "it cannot be changed"));
    };
    if let Some(defaults) = defaults {
        for pattern in update.default_must_omit.iter().chain(&defaults.fixed) {
            pattern.remove(&mut body);
        }
    }
    keep_secrets(contract, wanted.object, &mut body, update.replaces, places)?;
    let carried = |place: &String| {
        let root = place[1..].split('/').next().unwrap_or_default();
        let root = root.replace("~1", "/").replace("~0", "~");
        update.call.body.is_some() || body.get(root.as_str()).is_some()
    };
    if !places.iter().any(carried) {
        return Ok(None);
    }
    let body = body_of(&update.call, contract, schema, wanted.object, body, place)?;
    let path = filled(&update.call, live.object, place)?;
    let (name, key) = (OBJECT.to_owned(), OBJECT.to_owned());
    Ok(Some(Step { name, key, method: update.call.method, path, body: Some(body), adds: false }))
}

/// A secret that is not stored is not sent: a change that names no such member leaves the old value. Where
/// that is not possible, the object is not written, so that no secret is lost by a restore.
fn keep_secrets(
    contract: &Contract,
    wanted: &Json,
    body: &mut Json,
    replaces: bool,
    places: &[String],
) -> Result<(), Unwritable> {
    for pointer in hidden_secrets(contract, wanted) {
        let root = pointer[1..].split('/').next().unwrap_or_default().to_owned();
        let alone = pointer.matches('/').count() == 1;
        let changed = places.iter().any(|place| is_within(place, &format!("/{root}")));
        if replaces || (changed && !alone) {
            return Err(unwritable(ReasonCode::SecretMissing, &pointer));
        }
        if let Json::Object(members) = body {
            members.remove(&root);
        }
    }
    Ok(())
}

/// Places of secrets whose value is not there: masked by Graph, or marked by us.
fn hidden_secrets(contract: &Contract, object: &Json) -> Vec<String> {
    let mut hidden = Vec::new();
    for secret in contract.secrets.iter().filter(|one| one.handling == Handling::Redact) {
        // Its own tenant understands the token.
        if secret.reads_as == ReadsAs::TenantToken {
            continue;
        }
        for pointer in secret.at.find(object) {
            let value = object.pointer(&pointer).unwrap_or(&Json::Null);
            if secret.when.holds(object, &pointer) && is_hidden(value) {
                hidden.push(pointer);
            }
        }
    }
    // A name has told the capture that it is one: the contract need not name the place.
    let named = marker::places(object).into_iter();
    let all: Vec<String> = named.filter(|place| !hidden.contains(place)).collect();
    hidden.extend(all);
    hidden
}

fn is_hidden(value: &Json) -> bool {
    match value {
        Json::String(text) => {
            let text = text.lossy();
            text.contains("***") || text.starts_with("[redacted")
        }
        // No secret is an object: it is a mark that stands for one.
        Json::Object(_) => true,
        _ => false,
    }
}

/// The calls that follow: those of the update, and those that only a create names. Where both name one, a
/// set of elements can be added to by the create's and changed by the update's: both are kept.
fn follow_ups(contract: &Contract) -> Vec<FollowUp> {
    let of = |call: Option<&WriteCall>| call.map(|call| call.then.clone()).unwrap_or_default();
    let mut all = of(contract.update.as_ref().map(|update| &update.call));
    for follow in of(contract.create.as_ref().map(|create| &create.call)) {
        let same = all.iter().any(|other| other.name == follow.name);
        if !same || (follow.each.is_some() && !follow.path.contains("{childId}")) {
            all.push(follow);
        }
    }
    all
}

/// The object with the concrete type that a body must name.
fn typed(contract: &Contract, wanted: &Json, live: Option<&Json>) -> Json {
    let mut object = wanted.clone();
    let known = |object: &Json| object.get("@odata.type").is_some_and(Json::is_string);
    let update = contract.update.as_ref().is_some_and(|update| update.odata_type_required);
    if (contract.odata_type_required || update)
        && !known(&object)
        && let Json::Object(members) = &mut object
    {
        let named = live.and_then(|live| live.get("@odata.type")).cloned();
        let usual = || format!("#microsoft.graph.{}", contract.entity_type).into();
        members.insert("@odata.type".to_owned(), named.unwrap_or_else(usual));
    }
    object
}

fn body_of(
    call: &WriteCall,
    contract: &Contract,
    schema: &Schema,
    wanted: &Json,
    whole: Json,
    place: Place<'_>,
) -> Result<Json, Unwritable> {
    let mut body = match &call.body {
        None => whole,
        Some(members) => {
            let live = Whole { object: &Json::Null, assignments: None };
            let wanted = Whole { object: wanted, assignments: None };
            parts::Part { contract, schema, wanted, live, place }.members(members, Some(&whole))
        }
    };
    // What a link stands for is a part of its own and not in the body yet.
    for link in call.links.iter().filter(|link| link.at.is_none()) {
        if let (Json::Object(members), Some(own)) = (&mut body, wanted.get(&link.instead_of))
            && !members.contains_key(&link.instead_of)
        {
            members.insert(link.instead_of.clone(), own.clone());
        }
    }
    parts::link(&call.links, &mut body, place.base);
    if body.is_object() { Ok(body) } else { Err(unwritable(ReasonCode::PayloadUnreadable, "/")) }
}

fn filled(call: &WriteCall, object: &Json, place: Place<'_>) -> Result<String, Unwritable> {
    let mut path = fill(&call.path, place, None)?;
    for (name, pattern) in &call.placeholders {
        let value = pattern.values(object).first().and_then(|value| value.as_str());
        let value = value.filter(|value| is_plain_id(value));
        let missing = || unwritable(ReasonCode::PayloadUnreadable, pattern.as_str());
        path = path.replace(&format!("{{{name}}}"), value.ok_or_else(missing)?);
    }
    Ok(path)
}

/// Fills ids into a path. An id that could change the path is none.
fn fill(path: &str, place: Place<'_>, child: Option<&str>) -> Result<String, Unwritable> {
    let mut filled = path.to_owned();
    let names = [("{id}", place.id), ("{parentId}", place.parent), ("{childId}", child)];
    for (name, value) in names {
        if filled.contains(name) {
            let value = value.filter(|value| is_plain_id(value));
            let value = value.ok_or_else(|| unwritable(ReasonCode::PayloadUnreadable, path))?;
            filled = filled.replace(name, value);
        }
    }
    Ok(filled)
}

/// An id that cannot change the path it is put into.
fn is_plain_id(id: &str) -> bool {
    (1..=200).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte))
        && id != "."
        && id != ".."
}

/// Whether a place is that one, in it or around it.
fn is_within(place: &str, of: &str) -> bool {
    let below = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(place, of) || below(of, place)
}

/// The steps that make the assignments the wanted ones: always the full set, where one action takes it.
fn assign(
    contract: &Contract,
    write: &AssignmentsWrite,
    wanted: &[Json],
    live: &[Json],
    place: Place<'_>,
) -> Result<Vec<Step>, Unwritable> {
    let step = |key: String, method, path, body, adds| Step {
        name: ASSIGNMENTS.to_owned(),
        key,
        method,
        path,
        body,
        adds,
    };
    let own = written_assignments(contract, wanted);
    match write {
        AssignmentsWrite::ReplaceAll { method, path, body_key, .. }
        | AssignmentsWrite::UpdateAction { method, path, body_key, .. } => {
            let mut body = Object::default();
            body.insert(body_key.as_str().to_owned(), Json::Array(own));
            let path = fill(path, place, None)?;
            Ok(vec![step(ASSIGNMENTS.into(), *method, path, Some(Json::Object(body)), false)])
        }
        AssignmentsWrite::PerTarget { path, delete_path, .. } => {
            let same = |one: &Json, other: &Json| {
                !assignments_differ(
                    contract,
                    std::slice::from_ref(one),
                    std::slice::from_ref(other),
                )
            };
            let mut steps = Vec::new();
            for old in live.iter().filter(|old| !wanted.iter().any(|one| same(one, old))) {
                let id = old.get("id").and_then(Json::as_str).filter(|id| is_plain_id(id));
                let missing = || unwritable(ReasonCode::PayloadUnreadable, "/assignments");
                let path = delete_path.replace("{assignmentId}", id.ok_or_else(missing)?);
                let path = fill(&path, place, None)?;
                let key = format!("{ASSIGNMENTS}/-{}", id.unwrap_or_default());
                steps.push(step(key, Method::Delete, path, None, false));
            }
            for new in &own {
                if live.iter().any(|old| same(new, old)) {
                    continue;
                }
                let key = tp_domain::restore::plan::BodyHash::of_json(new);
                let key = format!("{ASSIGNMENTS}/+{}", &key.as_str()[..16]);
                let path = fill(path, place, None)?;
                steps.push(step(key, Method::Post, path, Some(new.clone()), true));
            }
            Ok(steps)
        }
    }
}

#[cfg(test)]
mod tests;
