//! What a wanted object refers to, in the target (PRODUCT X-7): by id, by what somebody has chosen, by a name
//! that one alone has in the same tenant. Nothing is guessed, and no list of scope tags becomes empty.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tp_catalog::references::Reference;
use tp_domain::json::Json;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::mapping::Choice;
use tp_domain::restore::plan::{Bind, NodeAction};
use tp_engine::operation::Stop;
use tp_graph::full::ASSIGNMENTS;

use super::Preview;
use super::node::{Prepared, Wanted, in_order, key};
use crate::sign_in::stop;

/// The kind of references to groups.
const GROUP: &str = "group";

/// Something that is referred to and that is not known in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) kind: String,
    /// Its id in the source.
    pub(super) id: String,
    /// Objects of the target with its name.
    pub(super) suggestions: Vec<String>,
}

/// Something that is referred to, and what it is in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) kind: String,
    pub(super) id: String,
    /// Its id in the target; none where what names it is left out.
    pub(super) to: Option<String>,
    /// How that is known: `choice`, `name`, `restored`.
    pub(super) by: &'static str,
}

/// Whether it is the scope tag that every tenant has from the beginning.
pub(super) fn is_default_tag(kind: &str, id: &str) -> bool {
    kind == "roleScopeTag" && id == "0"
}

/// What is there of what is referred to: ids in lower case by kind, and ids by kind and name.
#[derive(Default)]
struct There {
    ids: BTreeMap<String, BTreeSet<String>>,
    named: HashMap<(String, String), Vec<String>>,
}

impl There {
    /// Whether an object is there; none where that cannot be asked.
    fn has(&self, kind: &str, id: &str) -> Option<bool> {
        self.ids.get(kind).map(|ids| ids.contains(&id.to_lowercase()))
    }

    fn named(&self, one: &Prepared, reference: &Reference) -> Vec<String> {
        let names = one.version.names.0.get(&reference.kind);
        let name = names.and_then(|names| names.get(&reference.id.to_lowercase()));
        let found = name.and_then(|name| self.named.get(&(reference.kind.clone(), name.clone())));
        found.cloned().unwrap_or_default()
    }
}

/// What became of an object of the source in this plan.
enum Done {
    /// A node makes it.
    Made(String),
    /// It is that object of the target.
    Is(String),
    /// It is not there and is not made.
    Not,
}

/// What is done with one reference.
enum Becomes {
    Same,
    To(String, &'static str),
    Made(String),
    Dropped,
    Lacking,
}

impl Preview<'_> {
    /// Finds for each reference what stands for it, and says what would be done. What refers to nothing is
    /// not written. Objects that somebody has left out are not among them any more; gives their keys.
    pub(super) async fn bind(
        &self,
        all: Vec<Prepared>,
    ) -> Result<(Vec<Prepared>, Vec<String>), Stop> {
        let all = in_order(all);
        let there = self.there(&all).await?;
        let mut done: HashMap<(String, String), Done> = HashMap::new();
        let (mut kept, mut skipped) = (Vec::with_capacity(all.len()), Vec::new());
        for mut one in all {
            let at =
                (one.version.policy_type.as_str().to_owned(), one.version.graph_id.to_lowercase());
            if self.is_skipped(&one) {
                done.insert(at, Done::Not);
                skipped.push(key(&one.version, self.foreign));
                continue;
            }
            let emptied = self.map(&mut one, &there, &done);
            self.decide(&mut one);
            if !one.lacking.is_empty() || emptied {
                one.block(ReasonCode::ReferenceMissing);
            }
            let result = match (&one.base, one.action) {
                (Some(base), _) => Done::Is(base.graph_id.clone()),
                (None, NodeAction::Create) => Done::Made(key(&one.version, self.foreign)),
                (None, _) => Done::Not,
            };
            done.insert(at, result);
            kept.push(one);
        }
        Ok((kept, skipped))
    }

    fn is_skipped(&self, one: &Prepared) -> bool {
        let left_out = |kind: &str, id: &str| self.mapping.get(kind, id) == Some(&Choice::Skip);
        left_out(one.version.policy_type.as_str(), &one.version.graph_id)
            || one.refers_to.iter().any(|reference| left_out(&reference.kind, &reference.id))
    }

    /// Brings an object into the words of the target. Says whether no scope tag would be left.
    fn map(
        &self,
        one: &mut Prepared,
        there: &There,
        done: &HashMap<(String, String), Done>,
    ) -> bool {
        let Some(mut wanted) = one.wanted.take() else { return false };
        let (mut binds, mut dropped) = (Vec::new(), BTreeSet::new());
        let (mut lacking, mut mapped) = (Vec::new(), Vec::new());
        for reference in &one.refers_to {
            let pointer = in_payload(&reference.pointer);
            let said = |to: Option<String>, by| Mapped {
                kind: reference.kind.clone(),
                id: reference.id.clone(),
                to,
                by,
            };
            let lacks = match self.becomes(one, reference, there, done) {
                Becomes::Same => false,
                Becomes::To(id, by) => {
                    let put = put_id(&mut wanted, &pointer, &format!("{}{id}", reference.prefix));
                    mapped.push(said(Some(id), by));
                    !put
                }
                // What is bound is set as a whole: there is no place for what stands before an id.
                Becomes::Made(_) if !reference.prefix.is_empty() => true,
                Becomes::Made(node) => {
                    binds.push(Bind { pointer, node });
                    false
                }
                Becomes::Dropped => match element(&reference.kind, &pointer) {
                    Some(element) => {
                        dropped.insert(element);
                        mapped.push(said(None, "choice"));
                        false
                    }
                    None => true,
                },
                Becomes::Lacking => true,
            };
            if lacks {
                let suggestions = there.named(one, reference);
                let (kind, id) = (reference.kind.clone(), reference.id.clone());
                let lack = Lack { kind, id, suggestions };
                if !lacking.contains(&lack) {
                    lacking.push(lack);
                }
            }
        }
        let emptied = remove(&mut wanted, &dropped);
        one.binds = binds
            .into_iter()
            .filter_map(|bind| {
                let pointer = shifted(&bind.pointer, &dropped)?;
                Some(Bind { pointer, node: bind.node })
            })
            .collect();
        mapped.dedup();
        (one.lacking, one.mapped, one.wanted) = (lacking, mapped, Some(wanted));
        emptied
    }

    fn becomes(
        &self,
        one: &Prepared,
        reference: &Reference,
        there: &There,
        done: &HashMap<(String, String), Done>,
    ) -> Becomes {
        let (kind, id) = (reference.kind.as_str(), reference.id.as_str());
        if reference.same_everywhere || is_default_tag(kind, id) {
            return Becomes::Same;
        }
        match self.mapping.get(kind, id) {
            Some(Choice::Drop) => return Becomes::Dropped,
            Some(Choice::To(to)) if there.has(kind, to) == Some(false) => return Becomes::Lacking,
            Some(Choice::To(to)) => return Becomes::To(to.clone(), "choice"),
            Some(Choice::Create | Choice::Skip) | None => {}
        }
        match done.get(&(kind.to_owned(), id.to_lowercase())) {
            Some(Done::Made(node)) => return Becomes::Made(node.clone()),
            Some(Done::Is(to)) if to.eq_ignore_ascii_case(id) => return Becomes::Same,
            Some(Done::Is(to)) => return Becomes::To(to.clone(), "restored"),
            Some(Done::Not) => return Becomes::Lacking,
            None => {}
        }
        if self.foreign.is_none() && there.has(kind, id) != Some(false) {
            return Becomes::Same;
        }
        let known = match self.foreign {
            Some(tenant) => format!("{tenant}/{id}"),
            None => id.to_owned(),
        };
        let anew = PolicyType::new(kind).ok().and_then(|key| self.anew(&key, &known));
        if let Some(to) = anew.filter(|to| there.has(kind, to) == Some(true)) {
            return Becomes::To(to, "restored");
        }
        match there.named(one, reference).as_slice() {
            // In its own tenant, what one alone is called is that thing, made again. Elsewhere it is a
            // suggestion.
            [to] if self.foreign.is_none() => Becomes::To(to.clone(), "name"),
            _ => Becomes::Lacking,
        }
    }

    /// What there is of what is referred to or chosen. A kind that cannot be asked for is not in it.
    async fn there(&self, all: &[Prepared]) -> Result<There, Stop> {
        let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in all {
            for reference in one.refers_to.iter().filter(|one| !one.same_everywhere) {
                asked.entry(reference.kind.clone()).or_default().insert(reference.id.clone());
                let known = one.version.names.0.get(&reference.kind);
                let name = known.and_then(|known| known.get(&reference.id.to_lowercase()));
                names.entry(reference.kind.clone()).or_default().extend(name.cloned());
            }
        }
        let mut there = There::default();
        for (kind, mut ids) in asked {
            let names = names.remove(&kind).unwrap_or_default();
            if kind == GROUP {
                let chosen = self.mapping.0.get(GROUP).into_iter().flat_map(BTreeMap::values);
                ids.extend(chosen.filter_map(|choice| match choice {
                    Choice::To(id) => Some(id.clone()),
                    _ => None,
                }));
                let mut cached = Vec::new();
                for group in self.run.groups_cached().await? {
                    let Some(name) = group.name.filter(|name| names.contains(name)) else {
                        continue;
                    };
                    ids.insert(group.graph_id.clone());
                    cached.push((name, group.graph_id));
                }
                let found =
                    self.session.names_of(&ids).await.map_err(|error| stop(self.run, &error))?;
                let found: BTreeSet<String> =
                    found.into_keys().map(|id| id.to_lowercase()).collect();
                // The cache may be old: what it names must be there.
                for (name, id) in cached {
                    if found.contains(&id.to_lowercase()) {
                        there.named.entry((kind.clone(), name)).or_default().push(id);
                    }
                }
                there.ids.insert(kind, found);
                continue;
            }
            let known = PolicyType::new(&kind).ok();
            let contract = known.and_then(|key| self.tools.catalog.contract(&key));
            let Some(contract) = contract.filter(|one| !one.item.path.contains("{parentId}"))
            else {
                continue;
            };
            let listed = match self.session.list(&self.tools.catalog, contract).await {
                Ok(listed) => listed,
                Err(error) if error.reason() == ReasonCode::PermissionMissing => continue,
                Err(error) => return Err(stop(self.run, &error)),
            };
            let text =
                |object: &Json, member: &str| object.get(member)?.as_str().map(str::to_owned);
            let mut found = BTreeSet::new();
            for object in &listed {
                let Some(id) = text(object, "id") else { continue };
                found.insert(id.to_lowercase());
                let property = contract.name_property.as_deref();
                if let Some(name) = property.and_then(|property| text(object, property)) {
                    there.named.entry((kind.clone(), name)).or_default().push(id);
                }
            }
            there.ids.insert(kind, found);
        }
        Ok(there)
    }
}

/// Puts an id in the place of another one.
fn put_id(wanted: &mut Wanted, pointer: &str, id: &str) -> bool {
    let (object, assignments) = wanted;
    let place = match pointer.strip_prefix("/object") {
        Some(rest) => object.pointer_mut(rest),
        None => pointer.strip_prefix(&format!("/{ASSIGNMENTS}/")).and_then(|rest| {
            let (index, rest) = rest.split_once('/')?;
            let element = assignments.as_mut()?.get_mut(index.parse::<usize>().ok()?)?;
            element.pointer_mut(&format!("/{rest}"))
        }),
    };
    place.is_some_and(|place| {
        *place = Json::from(id);
        true
    })
}

/// A place of an object with its assignments, as a place of a payload.
fn in_payload(pointer: &str) -> String {
    let assignments = format!("/{ASSIGNMENTS}/");
    if pointer.starts_with(&assignments) { pointer.to_owned() } else { format!("/object{pointer}") }
}

/// What is left out with a reference: an assignment, or an element of a list of scope tags. Nothing else can
/// be: without its filter, an assignment would reach more.
fn element(kind: &str, pointer: &str) -> Option<String> {
    if let Some(rest) = pointer.strip_prefix(&format!("/{ASSIGNMENTS}/")) {
        let index: usize = rest.split('/').next()?.parse().ok()?;
        return Some(format!("/{ASSIGNMENTS}/{index}"));
    }
    let is_tag = kind == "roleScopeTag" && split(pointer).is_some();
    is_tag.then(|| pointer.to_owned())
}

/// The list and the place in it.
fn split(element: &str) -> Option<(&str, usize)> {
    let (list, index) = element.rsplit_once('/')?;
    Some((list, index.parse().ok()?))
}

/// Removes elements; says whether a list that is none of assignments is empty then.
fn remove(wanted: &mut Wanted, dropped: &BTreeSet<String>) -> bool {
    let mut places: Vec<(&str, usize)> = dropped.iter().filter_map(|one| split(one)).collect();
    places.sort_by_key(|(_, index)| std::cmp::Reverse(*index));
    let mut emptied = false;
    for (list, index) in places {
        match list.strip_prefix("/object") {
            Some(list) => {
                let elements = wanted.0.pointer_mut(list).and_then(Json::as_array_mut);
                if let Some(elements) = elements.filter(|elements| index < elements.len()) {
                    elements.remove(index);
                    emptied |= elements.is_empty();
                }
            }
            None => {
                if let Some(elements) = wanted.1.as_mut().filter(|list| index < list.len()) {
                    elements.remove(index);
                }
            }
        }
    }
    emptied
}

/// Where a place is after elements went; none when it went with one.
fn shifted(pointer: &str, dropped: &BTreeSet<String>) -> Option<String> {
    let mut lists: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (list, index) in dropped.iter().filter_map(|one| split(one)) {
        lists.entry(list).or_default().push(index);
    }
    for (list, gone) in lists {
        let Some(rest) = pointer.strip_prefix(list).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let (index, rest) =
            rest.split_once('/').map_or((rest, None), |(one, rest)| (one, Some(rest)));
        let Ok(index) = index.parse::<usize>() else { continue };
        if gone.contains(&index) {
            return None;
        }
        let index = index - gone.iter().filter(|one| **one < index).count();
        let rest = rest.map(|rest| format!("/{rest}")).unwrap_or_default();
        return Some(format!("{list}/{index}{rest}"));
    }
    Some(pointer.to_owned())
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn what_is_left_out_moves_what_comes_after_it() {
        let dropped = BTreeSet::from(["/assignments/0".to_owned(), "/object/tags/1".to_owned()]);
        let shift = |pointer: &str| shifted(pointer, &dropped);
        assert_eq!(shift("/assignments/0/target/groupId"), None);
        let moved = Some("/assignments/1/target/groupId".to_owned());
        assert_eq!(shift("/assignments/2/target/groupId"), moved);
        assert_eq!(shift("/object/tags/0").as_deref(), Some("/object/tags/0"));
        assert_eq!(shift("/object/tags/2").as_deref(), Some("/object/tags/1"));
        assert_eq!(shift("/object/name").as_deref(), Some("/object/name"));
    }

    #[test]
    fn assignments_may_become_none_and_scope_tags_may_not() {
        let mut wanted = (json!({"roleScopeTagIds": ["7", "8"]}), Some(vec![json!(1)]));
        let mut without =
            |element: &str| remove(&mut wanted, &BTreeSet::from([element.to_owned()]));
        assert!(!without("/assignments/0") && !without("/object/roleScopeTagIds/0"));
        assert!(without("/object/roleScopeTagIds/0"));
        assert_eq!(wanted, (json!({"roleScopeTagIds": []}), Some(Vec::new())));
    }

    #[test]
    fn a_filter_is_not_left_out_alone() {
        let filter = "/assignments/2/target/deviceAndAppManagementAssignmentFilterId";
        assert_eq!(element("assignmentFilter", filter).as_deref(), Some("/assignments/2"));
        assert_eq!(element("mobileApp", "/object/appId"), None);
        let tag = "/object/roleScopeTagIds/1";
        assert_eq!(element("roleScopeTag", tag).as_deref(), Some(tag));
    }
}
