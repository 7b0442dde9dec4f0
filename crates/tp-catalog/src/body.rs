//! A write body: what of a stored object may be sent, by the contract and the schema (PRODUCT G-6).
//!
//! Pure. What stands in `links`, in a `body` of its own and in the calls that follow is put together by
//! whoever writes, because it needs the addresses and ids of the tenant that is written to.

use tp_domain::json::Json;

use crate::contract::Contract;
use crate::filter::odata_type;
use crate::schema::Schema;
use crate::writes::{BodyRule, WriteCall};

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A new object.
    Create,
    /// A change of one that is there.
    Update,
}

/// Whether a member says something about others and is neither sent nor compared, at any depth.
///
/// Source: annotations of the protocol `OData`. The concrete type and links are no mere annotations.
pub fn is_annotation(name: &str) -> bool {
    name.starts_with('#')
        || (name.contains("@odata") && name != "@odata.type" && !name.ends_with("@odata.bind"))
}

/// What of an object may be sent; none where the type cannot be written so.
pub fn writable(
    contract: &Contract,
    schema: &Schema,
    object: &Json,
    purpose: Purpose,
) -> Option<Json> {
    let call: &WriteCall = match purpose {
        Purpose::Create => &contract.create.as_ref()?.call,
        Purpose::Update => &contract.update.as_ref()?.call,
    };
    let mut body = object.clone();
    drop_annotations(&mut body);
    let facts = schema.facts(&contract.key, odata_type(object));
    if let Json::Object(members) = &mut body {
        let carried = |name: &str| {
            contract.subresources.iter().any(|part| part.in_body && part.put_at == name)
        };
        members.retain(|name, value| {
            // What has no Unicode name is no member of any type.
            let Some(name) = name.as_str() else { return false };
            name != "assignments"
                && !facts.is_read_only(name)
                && (!facts.is_navigation(name) || carried(name))
                && !(value.is_null() && facts.is_not_null(name))
                && (call.only.is_empty() || call.only.iter().any(|one| one == name))
        });
    }
    for pattern in contract.strip_on_write.iter().chain(&call.must_omit) {
        pattern.remove(&mut body);
    }
    let replaces = contract.update.as_ref().is_some_and(|update| update.replaces);
    if purpose == Purpose::Update && !replaces {
        for pattern in &contract.immutable_after_create {
            pattern.remove(&mut body);
        }
    }
    contract.body_rules.iter().for_each(|rule| apply(rule, &mut body));
    if purpose == Purpose::Create && contract.create.as_ref().is_some_and(|one| one.prune_empty) {
        prune(&mut body);
    }
    Some(body)
}

/// Takes annotations away, at every depth.
fn drop_annotations(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|name, _| !name.as_str().is_some_and(is_annotation));
            members.values_mut().for_each(drop_annotations);
        }
        Json::Array(elements) => elements.iter_mut().for_each(drop_annotations),
        _ => {}
    }
}

fn apply(rule: &BodyRule, body: &mut Json) {
    match rule {
        BodyRule::KeepOnly { at, members } => {
            for pointer in at.find(body) {
                if let Some(Json::Object(object)) = body.pointer_mut(&pointer) {
                    object.retain(|name, _| members.iter().any(|one| *name == one.as_str()));
                }
            }
        }
        BodyRule::DropUnless { at, equals } => {
            let as_wanted = at.values(body).iter().all(|value| *value == equals);
            if !as_wanted {
                at.remove(body);
            }
        }
    }
}

/// Takes null members, empty arrays and objects that become empty away.
fn prune(value: &mut Json) {
    if let Json::Object(members) = value {
        members.values_mut().for_each(prune);
        members.retain(|_, member| match member {
            Json::Null => false,
            Json::Array(elements) => !elements.is_empty(),
            Json::Object(members) => !members.is_empty(),
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests;
