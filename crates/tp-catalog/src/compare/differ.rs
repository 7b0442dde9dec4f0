//! Goes down both sides at once and writes down what differs.

mod entries;
mod unread;

use std::collections::HashMap;
use std::hash::RandomState;

use entries::is_same_flags;
use unread::Unread;

use super::sets::Matching;
use super::{Comparison, Diff, EntryKind, Note, Section, Side, Unknown, Why, lists};
use crate::fields::ReferenceKind;
use crate::nodes::{Elements, Kind, Members, Node, push_name};
use crate::parts::{Order, PartOf};
use crate::shown::{MAIN, Shown, bare_value, is_transparent};
use crate::words::label;

/// Parts that are the settings themselves.
const SETTINGS: [&str; 2] = ["settings", "definitionValues"];

/// One side's pointer, or one inside of JSON in a text.
#[derive(Clone, Debug, Default)]
struct Place {
    left: String,
    right: String,
    /// Inside of JSON in a text; none outside.
    inner: Option<String>,
    /// What people call what is around.
    trail: Vec<String>,
    section: Option<Section>,
}

pub(super) struct Differ<'a> {
    pub(super) comparison: Comparison<'a>,
    pub(super) left: Shown<'a>,
    pub(super) right: Shown<'a>,
    pub(super) hasher: &'a RandomState,
    place: Place,
    unread: Unread<'a>,
    out: Diff,
}

impl<'a> Differ<'a> {
    pub(super) fn new(
        comparison: Comparison<'a>,
        left: &Side<'a>,
        right: &Side<'a>,
        hasher: &'a RandomState,
    ) -> Self {
        let Comparison { contract, definitions, .. } = comparison;
        let shown = |side: &Side<'a>| Shown { contract, definitions, names: side.names };
        let mut differ = Self {
            comparison,
            left: shown(left),
            right: shown(right),
            hasher,
            place: Place::default(),
            unread: Unread::default(),
            out: Diff::default(),
        };
        for (index, side) in [left, right].into_iter().enumerate() {
            let why = if index == 0 { Why::NotReadLeft } else { Why::NotReadRight };
            for part in side.unread {
                differ.note_unread(part, index, why);
            }
        }
        differ
    }

    pub(super) fn done(mut self) -> Diff {
        for entry in &self.out.entries {
            let count = match entry.kind {
                EntryKind::Added => &mut self.out.summary.added,
                EntryKind::Removed => &mut self.out.summary.removed,
                EntryKind::Changed => &mut self.out.summary.changed,
            };
            *count += 1;
        }
        self.out
    }

    /// Compares the objects.
    pub(super) fn objects(&mut self, left: &Node<'_>, right: &Node<'_>) {
        match (&left.kind, &right.kind) {
            (Kind::Object(left), Kind::Object(right)) => self.members(left, right),
            (Kind::Blank, Kind::Object(right)) => self.members(&Members::default(), right),
            (Kind::Object(left), Kind::Blank) => self.members(left, &Members::default()),
            _ => {}
        }
    }

    /// The section of a member of the object.
    fn section(&self, member: &str) -> Section {
        let contract = self.comparison.contract;
        let is_tag = contract.references.iter().any(|reference| {
            reference.kind == ReferenceKind::ScopeTag && reference.at.root() == Some(member)
        });
        if is_tag || member == "roleScopeTagIds" {
            return Section::ScopeTags;
        }
        let is_part = contract.subresources.iter().any(|part| {
            part.put_at == member && part.part == PartOf::Payload && part.order == Order::Set
        });
        if is_part && !SETTINGS.contains(&member) {
            Section::Part(member.to_owned())
        } else {
            Section::Settings
        }
    }

    /// Compares the members of two objects.
    fn members(&mut self, left: &Members<'_>, right: &Members<'_>) {
        self.each_member(&left.own, &right.own, false);
        self.each_member(&left.technical, &right.technical, true);
    }

    fn each_member(
        &mut self,
        left: &[(&str, Node<'_>)],
        right: &[(&str, Node<'_>)],
        technical: bool,
    ) {
        let mut lefts: HashMap<&str, &Node<'_>> =
            left.iter().map(|(name, node)| (*name, node)).collect();
        for (name, node) in right {
            let other = lefts.remove(name);
            self.member(name, other, Some(node), technical);
        }
        for (name, node) in left.iter().filter(|(name, _)| lefts.contains_key(name)) {
            self.member(name, Some(node), None, technical);
        }
    }

    fn member(
        &mut self,
        name: &str,
        left: Option<&Node<'_>>,
        right: Option<&Node<'_>>,
        technical: bool,
    ) {
        let is_root = self.place.right.is_empty() && self.place.inner.is_none();
        if is_root {
            let is_unread = self.unread.members.contains(&name)
                || (left.is_none() && self.unread.own[0])
                || (right.is_none() && self.unread.own[1]);
            if is_unread {
                return;
            }
        } else if self.unread.nested.contains(&name) {
            return;
        }
        let outside = self.place.section.clone();
        if technical {
            self.place.section = Some(Section::Technical);
        } else if is_root && outside.is_none() {
            self.place.section = Some(self.section(name));
        }
        let is_state = name == "enabled" && self.is_below("definitionValues");
        let silent = is_transparent(name)
            || is_state
            || (name == "value" && self.is_in_setting_value())
            || (MAIN.contains(&name) && self.is_in_element());
        let written = self.out.entries.len();
        self.step(name, name, (!silent).then(|| label(name)), |differ| differ.pair(left, right));
        if is_state && self.out.entries.len() > written {
            self.say_states();
        }
        self.place.section = outside;
    }

    /// Whether the place is an element of an array, which has a label of its own.
    fn is_in_element(&self) -> bool {
        let last = self.place.right.rsplit('/').next().unwrap_or_default();
        last.parse::<usize>().is_ok() && !self.place.trail.is_empty()
    }

    /// Whether the place is an element of an array of this name.
    fn is_below(&self, array: &str) -> bool {
        self.is_in_element() && self.place.right.rsplit('/').nth(1) == Some(array)
    }

    /// Whether the place is the value of a setting of a settings catalog policy.
    fn is_in_setting_value(&self) -> bool {
        let mut steps = self.place.right.rsplit('/');
        let last = steps.next().unwrap_or_default();
        let before = steps.next().unwrap_or_default();
        last.ends_with("SettingValue") || before.ends_with("SettingCollectionValue")
    }

    /// Does something one step below.
    pub(super) fn step(
        &mut self,
        left: &str,
        right: &str,
        label: Option<String>,
        act: impl FnOnce(&mut Self),
    ) {
        let labels = self.place.trail.len();
        self.place.trail.extend(label);
        if let Some(inner) = &mut self.place.inner {
            let length = inner.len();
            push_name(inner, right);
            act(self);
            if let Some(inner) = &mut self.place.inner {
                inner.truncate(length);
            }
        } else {
            let lengths = (self.place.left.len(), self.place.right.len());
            push_name(&mut self.place.left, left);
            push_name(&mut self.place.right, right);
            act(self);
            self.place.left.truncate(lengths.0);
            self.place.right.truncate(lengths.1);
        }
        self.place.trail.truncate(labels);
    }

    pub(super) fn in_section(&mut self, section: Section, act: impl FnOnce(&mut Self)) {
        let outside = self.place.section.replace(section);
        act(self);
        self.place.section = outside;
    }

    /// Compares what stands at the same place of both sides.
    pub(super) fn pair(&mut self, left: Option<&Node<'_>>, right: Option<&Node<'_>>) {
        let left = left.filter(|node| says(node));
        let right = right.filter(|node| says(node));
        match (left, right) {
            (None, None) => {}
            (Some(left), Some(right)) if left.exact == right.exact => self.same(right),
            (Some(left), Some(right)) => self.both(left, right),
            (Some(only), None) | (None, Some(only)) => self.one(only, left.is_some()),
        }
    }

    fn same(&mut self, node: &Node<'_>) {
        if self.place.section != Some(Section::Technical) {
            self.out.summary.same += node.leaves;
        }
    }

    /// What stands on one side only: elements of an array each for itself, all else as a whole.
    fn one(&mut self, only: &Node<'_>, is_left: bool) {
        if let Kind::Object(members) = &only.kind
            && members.odata_type.is_none()
            && only.leaves == 0
        {
            // Nothing but technical members.
            let none = Members::default();
            let (left, right) = if is_left { (members, &none) } else { (&none, members) };
            return self.members(left, right);
        }
        if only.elements().is_empty() {
            let (left, right) = if is_left { (Some(only), None) } else { (None, Some(only)) };
            return self.write(left, right, None);
        }
        for (index, element) in only.elements().iter().enumerate() {
            let (left, right) = if is_left { (Some(element), None) } else { (None, Some(element)) };
            let in_order = matches!(only.kind, Kind::List(_));
            self.element((index, left), (index, right), in_order);
        }
    }

    fn both(&mut self, left: &Node<'_>, right: &Node<'_>) {
        match (&left.kind, &right.kind) {
            (Kind::Secret(of_left), Kind::Secret(of_right)) => {
                let strange = left.is_tenant_token && self.comparison.across_tenants;
                if of_left.is_some() != of_right.is_some() || strange {
                    self.cannot_tell();
                } else {
                    self.write(Some(left), Some(right), None);
                }
            }
            (Kind::Secret(_), _) | (_, Kind::Secret(_)) => self.cannot_tell(),
            (Kind::Object(of_left), Kind::Object(of_right)) => {
                if is_other_type(of_left, of_right) {
                    self.write(Some(left), Some(right), None);
                } else {
                    self.members(of_left, of_right);
                }
            }
            (Kind::Set(of_left), Kind::Set(of_right)) => self.sets(of_left, of_right),
            (Kind::List(of_left), Kind::List(of_right)) => {
                match lists::aligned(of_left, of_right, self.hasher) {
                    Some(matching) => self.elements(of_left, of_right, &matching, true),
                    None => self.write(Some(left), Some(right), Some(Note::Order)),
                }
            }
            (Kind::Json(of_left), Kind::Json(of_right)) => {
                let outside = self.place.inner.replace(String::new());
                self.pair(Some(of_left), Some(of_right));
                self.place.inner = outside;
            }
            _ if is_same_flags(left, right) => self.same(right),
            _ => self.write(Some(left), Some(right), None),
        }
    }

    fn sets(&mut self, left: &Elements<'_>, right: &Elements<'_>) {
        let mut matching = Matching::new(left.nodes.len(), right.nodes.len());
        let contents = |set: &Elements<'_>| set.nodes.iter().map(|node| node.content).collect();
        let (of_left, of_right): (Vec<u64>, Vec<u64>) = (contents(left), contents(right));
        matching.by(&of_left, &of_right, false);
        if left.keyed {
            matching.by(&left.keys, &right.keys, false);
        } else {
            matching.by_likeness(&left.nodes, &right.nodes, self.hasher);
        }
        self.elements(&left.nodes, &right.nodes, &matching, false);
    }

    fn elements(
        &mut self,
        left: &[Node<'_>],
        right: &[Node<'_>],
        matching: &Matching,
        in_order: bool,
    ) {
        for (index, node) in right.iter().enumerate() {
            match matching.of_right[index] {
                Some(other) => {
                    self.element((other, Some(&left[other])), (index, Some(node)), in_order);
                }
                None => self.element((index, None), (index, Some(node)), in_order),
            }
        }
        for index in matching.left_over() {
            self.element((index, Some(&left[index])), (index, None), in_order);
        }
    }

    fn element(
        &mut self,
        left: (usize, Option<&Node<'_>>),
        right: (usize, Option<&Node<'_>>),
        in_order: bool,
    ) {
        let place = |index: usize| in_order.then_some(index);
        let named = match (right.1, left.1) {
            (Some(node), _) if has_label(node) => {
                Some(self.right.element_label(node, place(right.0)))
            }
            (None, Some(node)) if has_label(node) => {
                Some(self.left.element_label(node, place(left.0)))
            }
            _ => None,
        };
        let steps = (left.0.to_string(), right.0.to_string());
        self.step(&steps.0, &steps.1, named, |differ| differ.pair(left.1, right.1));
    }

    fn cannot_tell(&mut self) {
        if self.place.section == Some(Section::Technical) {
            return;
        }
        let label = self.place.trail.last().cloned().unwrap_or_default();
        let pointer = self.place.right.clone();
        self.out.unknown.push(Unknown { pointer, label, why: Why::Secret });
    }

    /// Whether assignments of a side are known to be unread.
    pub(super) const fn assignments_are_unread(&self) -> bool {
        self.unread.assignments
    }

    pub(super) fn unknown(&mut self, unknown: Unknown) {
        self.out.unknown.push(unknown);
    }
}

/// Whether a value says anything.
fn says(node: &Node<'_>) -> bool {
    match &node.kind {
        Kind::Blank => false,
        // Technical members alone say something, but only beside those of the other side.
        Kind::Object(members) => {
            node.leaves > 0 || members.odata_type.is_some() || !members.technical.is_empty()
        }
        _ => true,
    }
}

/// Whether an element is called something: plain values say themselves what they are.
fn has_label(node: &Node<'_>) -> bool {
    matches!(node.kind, Kind::Object(_) | Kind::List(_) | Kind::Set(_))
        && bare_value(node).is_none()
}

fn is_other_type(left: &Members<'_>, right: &Members<'_>) -> bool {
    let plain = |name: &'_ str| name.strip_prefix("microsoft.graph.").unwrap_or(name).to_owned();
    match (left.odata_type, right.odata_type) {
        (Some(left), Some(right)) => left != right && plain(left) != plain(right),
        _ => false,
    }
}
