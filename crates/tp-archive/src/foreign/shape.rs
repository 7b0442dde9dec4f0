//! From what a tool has saved of an object to the form that a capture has.

use tp_catalog::body::is_annotation;
use tp_catalog::contract::Contract;
use tp_catalog::filter::odata_type;
use tp_catalog::parts::{PartOf, Subresource};
use tp_catalog::registry::Catalog;
use tp_domain::json::{Json, Object};
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;

use super::places::Collection;
use super::{ForeignPolicy, Remark, Tool, text};

/// The member that assignments have in replies.
pub(super) const ASSIGNMENTS: &str = "assignments";

/// An object on its way.
pub(super) struct Raw {
    pub(super) object: Json,
    pub(super) id: Option<String>,
    /// From a file of their own.
    pub(super) assignments: Option<Vec<Json>>,
    pub(super) names: ReferenceNames,
    pub(super) remarks: Vec<Remark>,
}

/// The type of an object of a folder; none where it is none of the folder's.
pub(super) fn type_of<'a>(
    catalog: &'a Catalog,
    collections: &[Collection],
    object: &Json,
) -> Option<(&'a PolicyType, &'a Contract)> {
    let of_one = |collection: &Collection| {
        let has = collection.has.is_none_or(|member| object.get(member).is_some());
        let path = collection.path;
        catalog.iter().filter(move |(_, contract)| {
            has && contract.list.path == path
                && contract.list.client_filter.iter().all(|rule| rule.passes(object))
        })
    };
    let candidates: Vec<_> = collections.iter().flat_map(of_one).collect();
    let fits = |contract: &Contract| match odata_type(object) {
        None => contract.odata_types.is_empty(),
        Some(name) if contract.odata_types.is_empty() => name == contract.entity_type,
        Some(name) => contract.odata_types.iter().any(|one| one == name),
    };
    let fitting = candidates.iter().find(|(_, contract)| fits(contract));
    // A concrete type that is newer than the contract.
    fitting.or(if let [only] = &candidates[..] { Some(only) } else { None }).copied()
}

/// Brings an object into the form of a capture.
pub(super) fn policy(
    tool: Tool,
    (key, contract): (&PolicyType, &Contract),
    raw: Raw,
    stem: &str,
    files: Vec<String>,
) -> ForeignPolicy {
    let Raw { mut object, id, mut assignments, names, mut remarks } = raw;
    without_annotations(&mut object);
    if let Some(all) = &mut assignments {
        all.iter_mut().for_each(without_annotations);
    }
    if tool != Tool::IntuneCd {
        cut_off(&object, &mut String::new(), &mut remarks);
    }
    let is_own_type = odata_type(&object) == Some(contract.entity_type.as_str());
    let own_id = object.get("id").and_then(Json::as_str).map(str::to_owned).or(id);
    if let Some(members) = object.as_object_mut() {
        if let Some(id) = &own_id {
            members.insert("id", Json::from(id.as_str()));
        }
        if contract.odata_types.is_empty() && is_own_type {
            members.remove("@odata.type");
        }
        let beside = members.remove(ASSIGNMENTS).filter(|value| !value.is_null());
        match (contract.assignments.is_some(), beside) {
            (true, Some(beside)) => assignments = assignments.or_else(|| Some(list(beside))),
            (false, Some(beside)) if beside.as_array().is_none_or(|all| !all.is_empty()) => {
                remarks.push(Remark::LeftOut { member: ASSIGNMENTS.to_owned() });
            }
            _ => {}
        }
        as_encrypted(members);
        context(contract, members, &mut remarks);
    }
    if contract.assignments.is_none() {
        assignments = None;
    }
    missing_parts(contract, &object, &mut remarks);
    let name = contract.name_property.as_ref().and_then(|member| object.get(member)?.as_str());
    let name = name.filter(|name| !name.is_empty()).unwrap_or(stem).to_owned();
    ForeignPolicy {
        policy_type: key.clone(),
        id: own_id,
        name,
        object,
        assignments,
        names,
        remarks,
        files,
    }
}

/// A list; `PowerShell` writes one element without its list.
pub(super) fn list(value: Json) -> Vec<Json> {
    match value {
        Json::Array(elements) => elements,
        Json::Null => Vec::new(),
        one => vec![one],
    }
}

/// Takes the annotations of a reply out, at every level. `IntuneManagement` asks for all that there are.
fn without_annotations(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|name, _| !name.as_str().is_some_and(is_annotation));
            members.values_mut().for_each(without_annotations);
        }
        Json::Array(elements) => elements.iter_mut().for_each(without_annotations),
        _ => {}
    }
}

/// Says of custom settings that they are encrypted, as Graph does: all three tools ask for the values in
/// clear, save those, and write that they are not encrypted. Without this word nothing tells that they are
/// secret. Graph has encrypted all texts since 2021 (`IntuneBackupAndRestore`, change log 3.1.0).
fn as_encrypted(members: &mut Object) {
    let Some(settings) = members.get_mut("omaSettings").and_then(Json::as_array_mut) else {
        return;
    };
    for setting in settings {
        let kind = odata_type(setting).unwrap_or_default().to_owned();
        let Some(setting) = setting.as_object_mut() else { continue };
        // IntuneCD puts Graph's whole reply here.
        let reply = setting.get_mut("value").and_then(Json::as_object_mut);
        let revealed = reply.map(|reply| reply.remove("value").unwrap_or_default());
        let was_revealed = revealed.is_some();
        if let Some(value) = revealed {
            setting.insert("value", value);
        }
        let value = setting.get("value").and_then(Json::as_str).unwrap_or_default();
        let in_clear = !value.is_empty() && value.bytes().any(|byte| byte != b'*');
        let is_text = kind.starts_with("omaSettingString") || kind == "omaSettingBase64";
        if in_clear && (is_text || was_revealed) {
            setting.insert("isEncrypted", Json::Bool(true));
        }
    }
}

/// Takes out what is no part of a backup: other objects that a tool has saved inside this one.
fn context(contract: &Contract, members: &mut Object, remarks: &mut Vec<Remark>) {
    let kept = |part: &Subresource| part.part == PartOf::Payload;
    for part in contract.subresources.iter().filter(|part| !kept(part) && !part.is_nested()) {
        let is_other =
            !contract.subresources.iter().any(|one| kept(one) && one.put_at == part.put_at);
        let holds = |value: &Json| match value {
            Json::Null => false,
            Json::Array(elements) => !elements.is_empty(),
            _ => true,
        };
        if part.part == PartOf::Context
            && is_other
            && members.remove(&part.put_at).is_some_and(|value| holds(&value))
        {
            remarks.push(Remark::LeftOut { member: part.put_at.clone() });
        }
    }
}

/// Says which parts are not there.
fn missing_parts(contract: &Contract, object: &Json, remarks: &mut Vec<Remark>) {
    let positive =
        |member: &String| object.get(member).and_then(Json::as_u64).is_some_and(|count| count > 0);
    for part in contract.subresources.iter().filter(|part| part.part == PartOf::Payload) {
        let each = part.read.sub_path.as_ref().and_then(|path| path.each.as_ref());
        let is_missing = match each {
            Some(each) => each.values(object).iter().any(|child| child.get(&part.put_at).is_none()),
            None => object.get(&part.put_at).is_none_or(Json::is_null),
        };
        let applies = part.when.holds(object, "/")
            && (part.any_positive.is_empty() || part.any_positive.iter().any(positive));
        if is_missing && applies {
            remarks.push(Remark::PartNotSaved { part: part.name.clone() });
        }
    }
}

/// Finds what `PowerShell` has cut off.
fn cut_off(value: &Json, at: &mut String, remarks: &mut Vec<Remark>) {
    let length = at.len();
    match value {
        Json::String(_) if value.as_str().is_some_and(text::is_cut_off) => {
            remarks.push(Remark::CutOff { at: at.clone() });
        }
        Json::Array(elements) => {
            for (index, one) in elements.iter().enumerate() {
                at.push_str(&format!("/{index}"));
                cut_off(one, at, remarks);
                at.truncate(length);
            }
        }
        Json::Object(members) => {
            for (name, one) in members.iter() {
                let Some(name) = name.as_str() else { continue };
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                cut_off(one, at, remarks);
                at.truncate(length);
            }
        }
        _ => {}
    }
}
