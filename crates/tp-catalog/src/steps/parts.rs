//! The calls that follow a write: for what a body cannot carry.

use std::collections::BTreeMap;

use tp_domain::json::{Json, Object};
use tp_domain::restore::plan::BodyHash;

use super::{Place, Step, Unwritable, Whole, fill};
use crate::body::{Purpose, is_annotation, writable};
use crate::contract::Contract;
use crate::parts::Order;
use crate::pattern::Pattern;
use crate::readback::differences;
use crate::schema::Schema;
use crate::writes::{BodyPart, FollowUp, Link, Method};

/// The places of the object that a follow-up writes; none where it writes the object itself.
pub(super) fn sources(follow: &FollowUp) -> Vec<String> {
    let root = |pattern: &Pattern| pattern.root().map(|root| format!("/{root}"));
    if let Some(each) = &follow.each {
        return root(each).into_iter().collect();
    }
    let parts = follow.body.iter().flat_map(BTreeMap::values);
    parts
        .filter_map(|part| match part {
            BodyPart::Copy(at)
            | BodyPart::Added(at)
            | BodyPart::Updated(at)
            | BodyPart::RemovedIds(at) => root(at),
            BodyPart::Whole | BodyPart::Address(_) | BodyPart::Fixed(_) => None,
        })
        .collect()
}

/// What a follow-up is made from.
pub(super) struct Part<'a> {
    pub(super) contract: &'a Contract,
    pub(super) schema: &'a Schema,
    pub(super) wanted: Whole<'a>,
    pub(super) live: Whole<'a>,
    pub(super) place: Place<'a>,
}

impl Part<'_> {
    /// The requests of a follow-up that are needed.
    pub(super) fn steps(&self, follow: &FollowUp) -> Result<Vec<Step>, Unwritable> {
        match &follow.each {
            Some(each) => self.for_each(follow, each),
            None => self.once(follow),
        }
    }

    fn once(&self, follow: &FollowUp) -> Result<Vec<Step>, Unwritable> {
        let mut body = match &follow.body {
            None => {
                let purpose = Purpose::Update;
                let object =
                    super::typed(self.contract, self.wanted.object, Some(self.live.object));
                writable(self.contract, self.schema, &object, purpose).unwrap_or(Json::Null)
            }
            Some(members) => {
                // What is not there cannot be copied; the call would be refused without it.
                let copies = members.values().any(|part| match part {
                    BodyPart::Copy(at) => at.values(self.wanted.object).is_empty(),
                    _ => false,
                });
                if copies && sources(follow).len() == 1 {
                    return Ok(Vec::new());
                }
                self.members(members, None)
            }
        };
        for pattern in &follow.must_omit {
            pattern.remove(&mut body);
        }
        link(&follow.links, &mut body, self.place.base);
        if follow.body.is_none() && body.as_object().is_none_or(Object::is_empty) {
            return Ok(Vec::new());
        }
        let adds = body.get("added").and_then(Json::as_array).is_some_and(|new| !new.is_empty());
        let adds = adds && follow.method == Method::Post;
        let path = fill(&follow.path, self.place, None)?;
        Ok(vec![step(follow, None, path, body, adds)])
    }

    fn for_each(&self, follow: &FollowUp, each: &Pattern) -> Result<Vec<Step>, Unwritable> {
        let mut steps = Vec::new();
        let identity = self.identity(each);
        let live: Vec<&Json> = each.values(self.live.object);
        for element in each.values(self.wanted.object) {
            let twin = live.iter().find(|own| is_same_element(&identity, element, own));
            if twin.is_some_and(|twin| self.is_as_wanted(each, element, twin)) {
                continue;
            }
            let of_child = follow.path.contains("{childId}");
            // A call for the element that is there, or one that makes a new one.
            if of_child != twin.is_some() {
                continue;
            }
            let id = twin.copied().unwrap_or(element).get("id").and_then(Json::as_str);
            let mut body = match &follow.body {
                None => plain(element),
                Some(members) => self.element_members(members, element)?,
            };
            for pattern in &follow.must_omit {
                pattern.remove(&mut body);
            }
            link(&follow.links, &mut body, self.place.base);
            let path = fill(&follow.path, self.place, id)?;
            let adds = follow.method == Method::Post && !follow.path.ends_with("/$ref");
            steps.push(step(follow, Some(element), path, body, adds));
        }
        Ok(steps)
    }

    /// A body that is put together from places of the object.
    pub(super) fn members(
        &self,
        members: &BTreeMap<String, BodyPart>,
        whole: Option<&Json>,
    ) -> Json {
        let mut body = Object::default();
        for (name, part) in members {
            let value = match part {
                BodyPart::Copy(at) => at.values(self.wanted.object).first().map(|one| plain(one)),
                BodyPart::Whole => whole.cloned(),
                BodyPart::Added(at) => Some(Json::Array(self.added(at))),
                BodyPart::Updated(at) => Some(Json::Array(self.updated(at))),
                BodyPart::RemovedIds(at) => Some(Json::Array(self.removed(at))),
                BodyPart::Address(path) => fill(path, self.place, None)
                    .ok()
                    .map(|path| format!("{}{path}", self.place.base).into()),
                BodyPart::Fixed(value) => Some(value.clone()),
            };
            if let Some(value) = value {
                body.insert(name.clone(), value);
            }
        }
        Json::Object(body)
    }

    fn element_members(
        &self,
        members: &BTreeMap<String, BodyPart>,
        element: &Json,
    ) -> Result<Json, Unwritable> {
        let id = element.get("id").and_then(Json::as_str);
        let mut body = Object::default();
        for (name, part) in members {
            let value = match part {
                BodyPart::Copy(at) => at.values(element).first().map(|one| plain(one)),
                BodyPart::Address(path) => {
                    Some(format!("{}{}", self.place.base, fill(path, self.place, id)?).into())
                }
                BodyPart::Fixed(value) => Some(value.clone()),
                BodyPart::Whole => Some(plain(element)),
                BodyPart::Added(_) | BodyPart::Updated(_) | BodyPart::RemovedIds(_) => None,
            };
            if let Some(value) = value {
                body.insert(name.clone(), value);
            }
        }
        Ok(Json::Object(body))
    }

    /// The places that tell an element of a part from the others.
    fn identity(&self, at: &Pattern) -> Vec<Pattern> {
        let root = at.root().unwrap_or_default();
        let mut parts = self.contract.subresources.iter();
        let part = parts.find(|part| part.put_at == root && part.order != Order::One);
        part.map(|part| part.identity.clone()).unwrap_or_default()
    }

    fn added(&self, at: &Pattern) -> Vec<Json> {
        let identity = self.identity(at);
        let live = elements(at, self.live.object);
        let is_new = |one: &&&Json| !live.iter().any(|own| is_same_element(&identity, one, own));
        let wanted = elements(at, self.wanted.object);
        wanted.iter().filter(is_new).map(|one| plain(one)).collect()
    }

    /// Elements that are there with other contents, under the id that they have there.
    fn updated(&self, at: &Pattern) -> Vec<Json> {
        let identity = self.identity(at);
        let live = elements(at, self.live.object);
        let mut updated = Vec::new();
        for wanted in elements(at, self.wanted.object) {
            let twin = live.iter().find(|own| is_same_element(&identity, wanted, own));
            let Some(twin) = twin.filter(|twin| !self.is_as_wanted(at, wanted, twin)) else {
                continue;
            };
            let mut one = plain(wanted);
            take_ids(&mut one, twin);
            updated.push(one);
        }
        updated
    }

    fn removed(&self, at: &Pattern) -> Vec<Json> {
        let identity = self.identity(at);
        let wanted = elements(at, self.wanted.object);
        let live = elements(at, self.live.object);
        live.iter()
            .filter(|own| !wanted.iter().any(|one| is_same_element(&identity, one, own)))
            .filter_map(|own| own.get("id").cloned())
            .collect()
    }

    /// Whether an element is as it shall be, by the rules of comparison.
    fn is_as_wanted(&self, at: &Pattern, wanted: &Json, live: &Json) -> bool {
        let Some(root) = at.root() else { return false };
        let around = |element: &Json| {
            let mut object = Object::default();
            object.insert(root.to_owned(), Json::Array(vec![element.clone()]));
            Json::Object(object)
        };
        differences(self.contract, self.schema, &around(wanted), &around(live)).is_empty()
    }
}

fn elements<'v>(at: &Pattern, of: &'v Json) -> Vec<&'v Json> {
    at.values(of).into_iter().filter_map(Json::as_array).flatten().collect()
}

fn step(follow: &FollowUp, element: Option<&Json>, path: String, body: Json, adds: bool) -> Step {
    let key = match element {
        None => follow.name.clone(),
        Some(element) => {
            let hash = BodyHash::of_json(element);
            format!("{}/{}", follow.name, &hash.as_str()[..16])
        }
    };
    Step { name: follow.name.clone(), key, method: follow.method, path, body: Some(body), adds }
}

/// Whether two elements are of one identity; without one, whether they are equal but for their ids.
fn is_same_element(identity: &[Pattern], one: &Json, other: &Json) -> bool {
    if identity.is_empty() {
        let without = |value: &Json| {
            let mut value = plain(value);
            if let Json::Object(members) = &mut value {
                members.remove("id");
            }
            value
        };
        return without(one) == without(other);
    }
    let known = identity.iter().any(|place| !place.values(one).is_empty());
    known && identity.iter().all(|place| place.values(one) == place.values(other))
}

/// Gives an element the ids that its twin and the twin's children have, child by child in their order.
fn take_ids(one: &mut Json, twin: &Json) {
    let (Json::Object(members), Json::Object(twin)) = (one, twin) else { return };
    if let Some(id) = twin.get("id") {
        members.insert("id".to_owned(), id.clone());
    }
    for (name, value) in members.iter_mut() {
        let twins = name.as_str().and_then(|name| twin.get(name));
        let (Json::Array(children), Some(Json::Array(twins))) = (value, twins) else {
            continue;
        };
        for (child, twin) in children.iter_mut().zip(twins) {
            take_ids(child, twin);
        }
    }
}

/// Without the annotations of a reply.
fn plain(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            let own = members
                .iter()
                .filter(|(name, _)| name.as_str().is_some_and(|name| !is_annotation(name)));
            Json::Object(own.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Json::Array(elements) => Json::Array(elements.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// Puts absolute addresses in the place of objects that are referred to (PROTOCOL 9.7).
pub(super) fn link(links: &[Link], body: &mut Json, base: &str) {
    let mut found: Vec<(&Link, String, Vec<String>)> = Vec::new();
    for link in links {
        let places = link.at.as_ref().map_or_else(|| vec![String::new()], |at| at.find(body));
        for place in places {
            let Some(object) = body.pointer(&place) else { continue };
            let ids = link.id_from.values(object);
            let ids: Vec<String> = ids
                .into_iter()
                .filter_map(Json::as_str)
                .filter(|id| super::is_plain_id(id))
                .map(str::to_owned)
                .collect();
            found.push((link, place, ids));
        }
    }
    for (link, place, ids) in &found {
        let around = found.iter().filter(|(_, other, _)| {
            place.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        let outer = around.max_by_key(|(_, other, _)| other.len());
        let outer = outer.and_then(|(_, _, ids)| ids.first()).cloned().unwrap_or_default();
        let address = |id: &String| -> Json {
            let path = link.path.replace("{outerRef}", &outer).replace("{ref}", id);
            format!("{base}{path}").into()
        };
        let Some(Json::Object(object)) = body.pointer_mut(place) else { continue };
        let is_list = !link.id_from.is_plain();
        let value = if is_list {
            Some(Json::Array(ids.iter().map(address).collect()))
        } else {
            ids.first().map(address)
        };
        if let Some(value) = value {
            object.insert(link.member.clone(), value);
        }
        object.remove(&link.instead_of);
    }
}
