//! Assignments as a set: what tells one from another is whom it means, include or exclude, its filter and
//! its intent (FIELD 3). "All users" and "All devices" have no group id and are two.

use std::hash::BuildHasher as _;

use super::differ::Differ;
use super::sets::Matching;
use super::{Section, Unknown, Why};
use crate::nodes::Node;
use crate::shown::{Shown, type_label};

/// Where the filter of a target stands.
const FILTER: (&str, &str) =
    ("deviceAndAppManagementAssignmentFilterId", "deviceAndAppManagementAssignmentFilterType");

impl Differ<'_> {
    /// Compares the assignments of both sides.
    pub(super) fn assignments(&mut self, left: Option<&[Node<'_>]>, right: Option<&[Node<'_>]>) {
        if self.comparison.contract.assignments.is_none() || self.assignments_are_unread() {
            return;
        }
        let (left, right) = match (left, right) {
            (None, None) => return,
            (Some(left), Some(right)) => (left, right),
            (None, Some(_)) => return self.not_read(Why::NotReadLeft),
            (Some(_), None) => return self.not_read(Why::NotReadRight),
        };
        let mut matching = Matching::new(left.len(), right.len());
        let keys = |nodes: &[Node<'_>], key: fn(&Self, &Node<'_>) -> u64| -> Vec<u64> {
            nodes.iter().map(|node| key(self, node)).collect()
        };
        let exact = |differ: &Self, node: &Node<'_>| {
            differ.hasher.hash_one((differ.key(node), node.content))
        };
        matching.by(&keys(left, exact), &keys(right, exact), false);
        matching.by(&keys(left, Self::key), &keys(right, Self::key), false);
        // One target on each side with another filter or intent: that changed. With more, nobody can say
        // which became which.
        matching.by(&keys(left, Self::target), &keys(right, Self::target), true);
        self.in_section(Section::Assignments, |differ| {
            for (index, node) in right.iter().enumerate() {
                let other = matching.of_right[index];
                differ.assignment(other.map(|other| (other, &left[other])), Some((index, node)));
            }
            for index in matching.left_over() {
                differ.assignment(Some((index, &left[index])), None);
            }
        });
    }

    fn not_read(&mut self, why: Why) {
        let (pointer, label) = ("/assignments".to_owned(), "Assignments".to_owned());
        self.unknown(Unknown { pointer, label, why });
    }

    fn assignment(&mut self, left: Option<(usize, &Node<'_>)>, right: Option<(usize, &Node<'_>)>) {
        let step = |side: Option<(usize, &Node<'_>)>, other: Option<(usize, &Node<'_>)>| {
            side.or(other).map_or(0, |(index, _)| index).to_string()
        };
        let steps = (step(left, right), step(right, left));
        let by_id = [left, right].into_iter().flatten().any(|(_, node)| stands_by_id(node));
        self.step("assignments", "assignments", None, |differ| {
            if let (Some((_, left)), Some((_, right))) = (left, right) {
                let whom = whom(&differ.right, right);
                let named =
                    if whom.1.is_empty() { whom.0 } else { format!("{}: {}", whom.0, whom.1) };
                differ.step(&steps.0, &steps.1, Some(named), |differ| {
                    differ.pair(Some(left), Some(right));
                });
                return;
            }
            let Some((_, node)) = left.or(right) else { return };
            let shown = if left.is_some() { differ.left } else { differ.right };
            let (label, text) = (whom(&shown, node).0, summary(&shown, node));
            differ.step(&steps.0, &steps.1, Some(label), |differ| {
                differ.write(left.map(|(_, node)| node), right.map(|(_, node)| node), None);
                if let Some(entry) = differ.last_entry() {
                    if by_id {
                        entry.note = Some(super::Note::ById);
                    }
                    if let Some(cell) = entry.left.as_mut().or(entry.right.as_mut()) {
                        cell.text = text;
                    }
                }
            });
        });
    }

    /// What tells whom an assignment means, and whether it includes or excludes them.
    fn target(&self, node: &Node<'_>) -> u64 {
        let target = node.get("target");
        let known = ["groupId", "collectionId"].map(|member| content(target, member));
        self.hasher.hash_one((target.and_then(Node::odata_type).map(plain), known))
    }

    /// What tells an assignment from the others.
    fn key(&self, node: &Node<'_>) -> u64 {
        let target = node.get("target");
        let filter = [FILTER.0, FILTER.1].map(|member| content(target, member));
        self.hasher.hash_one((self.target(node), filter, content(Some(node), "intent")))
    }
}

/// What a member says; null and absent are one.
fn content(node: Option<&Node<'_>>, member: &str) -> Option<u64> {
    node?.get(member).filter(|one| !one.is_blank()).map(|one| one.content)
}

fn plain(odata_type: &str) -> &str {
    odata_type.strip_prefix("microsoft.graph.").unwrap_or(odata_type)
}

/// Whether a group or a filter of another tenant stands by its id, because no name tells which it is.
fn stands_by_id(node: &Node<'_>) -> bool {
    node.get("target").is_some_and(|target| {
        ["groupId", FILTER.0].iter().any(|one| target.get(one).is_some_and(|node| node.by_id))
    })
}

/// Whom an assignment means: what it is, and its name.
pub(crate) fn whom(shown: &Shown<'_>, node: &Node<'_>) -> (String, String) {
    let target = node.get("target").unwrap_or(node);
    let named = |member: &str| target.get(member).map(|id| shown.text(id)).unwrap_or_default();
    match target.odata_type().map(plain) {
        Some("groupAssignmentTarget") => ("Included group".to_owned(), named("groupId")),
        Some("exclusionGroupAssignmentTarget") => ("Excluded group".to_owned(), named("groupId")),
        Some("allDevicesAssignmentTarget") => ("Included".to_owned(), "All devices".to_owned()),
        Some("allLicensedUsersAssignmentTarget") => ("Included".to_owned(), "All users".to_owned()),
        Some("configurationManagerCollectionAssignmentTarget") => {
            ("Configuration Manager collection".to_owned(), named("collectionId"))
        }
        Some(other) => (type_label(other), named("groupId")),
        None => ("Group".to_owned(), named("groupId")),
    }
}

/// An assignment in a few words: whom, with which filter, and what for.
pub(crate) fn summary(shown: &Shown<'_>, node: &Node<'_>) -> String {
    let (kind, name) = whom(shown, node);
    let mut text = if name.is_empty() { kind } else { name };
    let target = node.get("target").unwrap_or(node);
    if let Some(filter) = target.get(FILTER.0).filter(|filter| !filter.is_blank()) {
        let mode = target.text_of(FILTER.1).unwrap_or("include");
        text.push_str(&format!(", filter {} ({mode})", shown.text(filter)));
    }
    if let Some(intent) = node.get("intent").filter(|intent| !intent.is_blank()) {
        text.push_str(&format!(", {}", shown.text(intent)));
    }
    text
}
