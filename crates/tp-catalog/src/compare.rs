//! What differs between two captures of a policy (PRODUCT S-3), by contract.
//!
//! Pure functions over the stored parts. What Graph changes by itself makes no difference: annotations,
//! technical members, the order of sets, null and absent, spellings of numbers, ids and times. Two captures
//! of one state give an empty [`Diff`]. The work is about linear in the size of the two sides.

mod assignments;
mod differ;
mod lines;
mod lists;
mod sets;

use std::hash::RandomState;

use serde::Serialize;
use serde_json::Value;

pub(crate) use assignments::{summary as assignment_summary, whom as assignment_whom};
pub use lines::{Line, LineKind, TextDiff};

use crate::contract::Contract;
use crate::definitions::Definitions;
use crate::marker;
use crate::names::{Names, Unambiguous};
use crate::nodes::{Builder, Rules, inner_values, odata_type};
use crate::tree::Tree;

/// One side of a comparison: a policy as it was captured, or as it was just read.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The key of its type.
    pub policy_type: &'a str,
    /// The object with its parts. Secrets are markers ([`crate::marker`]) on both sides, made with the same
    /// key, or values in clear on both sides.
    pub object: &'a Tree<'a>,
    /// Its assignments, an array; none where they could not be read. `assignments` inside the object stand
    /// in.
    pub assignments: Option<&'a Tree<'a>>,
    /// Names of the objects that it refers to, at the time of the capture.
    pub names: &'a Names,
    /// Parts that could not be read, by their names in the contract: they are not compared.
    pub unread: &'a [String],
}

impl<'a> Side<'a> {
    fn assignments(&self) -> Option<&'a Tree<'a>> {
        let all = self.assignments.or_else(|| self.object.get("assignments"));
        all.filter(|all| matches!(all, Tree::Array(_)))
    }
}

/// What is compared, and how.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The contract of the type.
    pub contract: &'a Contract,
    /// Names of settings; empty is fine.
    pub definitions: &'a Definitions,
    /// Whether the sides are of two tenants. References then are the same where both names are known,
    /// stand for one object each, and are equal; else by id.
    pub across_tenants: bool,
}

/// Why nothing was compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// The sides are of two policy types, or not of the contract's.
    #[error("policies of the types {0} and {1} cannot be compared")]
    DifferentTypes(String, String),
    /// The sides are of two concrete types of Graph.
    #[error("objects of the types {0} and {1} cannot be compared")]
    DifferentConcreteTypes(String, String),
    /// A side is no JSON object.
    #[error("a policy is a JSON object")]
    NoObject,
    /// A side is nested more deeply than any real object.
    #[error("the policy is nested too deeply")]
    TooDeep,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// How much.
    pub summary: Summary,
    /// What says something.
    pub entries: Vec<Entry>,
    /// What is kept apart: ids, times of change, counters.
    pub technical: Vec<Entry>,
    /// What could not be compared.
    pub unknown: Vec<Unknown>,
    /// Across tenants: references with two ids that were taken for the same object by its name.
    pub by_name: Vec<NameMatch>,
}

/// Numbers of entries. Technical ones do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// On the right only.
    pub added: usize,
    /// On the left only.
    pub removed: usize,
    /// On both, with two values.
    pub changed: usize,
    /// Values that are the same on both sides.
    pub same: usize,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Where it stands (RFC 6901), in the object with its parts and `assignments`: on the right side,
    /// or on the left where it was removed.
    pub pointer: String,
    /// Where it stands on the left, if elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_pointer: Option<String>,
    /// Where it stands in the JSON that the text at `pointer` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner: Option<String>,
    /// What people call it.
    pub label: String,
    /// What it lies in, from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// Which part of the policy it belongs to.
    pub section: Section,
    /// What happened.
    pub kind: EntryKind,
    /// The value on the left.
    pub left: Option<Cell>,
    /// The value on the right.
    pub right: Option<Cell>,
    /// Whether it is or holds a secret: no value of one is in the cells.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
    /// Whether it is for those only who may see scripts (`scripts.view_content`).
    #[serde(skip_serializing_if = "is_false")]
    pub restricted: bool,
    /// What is remarkable about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// The lines that differ, for texts of more than one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<TextDiff>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// It is on the right only.
    Added,
    /// It is on the left only.
    Removed,
    /// It has two values.
    Changed,
}

/// A part of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What the policy sets.
    Settings,
    /// A part that Graph keeps apart, by its name in the contract.
    Part(String),
    /// Whom it reaches.
    Assignments,
    /// Who manages it.
    ScopeTags,
    /// What the service writes.
    Technical,
}

/// A value as it is and as people read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The value without annotations and technical members; `[redacted]` stands for secrets.
    pub value: Value,
    /// For people: the name of an option or an object, a decoded text; cut where it is long.
    pub text: String,
    /// What it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Referred>,
}

/// An object that a value refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Referred {
    /// What it is: a policy type's key, or words.
    pub to: String,
    /// Its name at the time of the capture; none where it was not known.
    pub name: Option<String>,
}

/// What is remarkable about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The elements are the same in another order, and their order says something.
    Order,
    /// The text is the same, written in other bytes (a mark at the beginning, UTF-16).
    Charset,
    /// Only the ends of lines differ.
    LineEnds,
    /// Two tenants: one side's name is not known or stands for several objects, so ids were compared.
    ById,
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Where it stands.
    pub pointer: String,
    /// What people call it.
    pub label: String,
    /// Why.
    pub why: Why,
}

/// Why something could not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It could not be read on the left.
    NotReadLeft,
    /// It could not be read on the right.
    NotReadRight,
    /// A secret in a form that cannot be compared: a token of another tenant, or a marker beside a value.
    Secret,
}

/// Two ids that are taken for the same object of two tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameMatch {
    /// What it is: a policy type's key, or words.
    pub to: String,
    /// Its name.
    pub name: String,
    /// Its id on the left.
    pub left: String,
    /// Its id on the right.
    pub right: String,
}

impl Diff {
    /// Whether nothing differs, technical members apart, and everything could be compared.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unknown.is_empty()
    }

    /// Takes the values away that only those may see who may see scripts. That they differ stays visible.
    pub fn withhold_restricted(&mut self) {
        for entry in self.entries.iter_mut().chain(&mut self.technical) {
            if entry.restricted {
                for cell in [&mut entry.left, &mut entry.right].into_iter().flatten() {
                    marker::SHOWN.clone_into(&mut cell.text);
                    cell.value = Value::String(marker::SHOWN.to_owned());
                }
                entry.lines = None;
            }
        }
    }
}

impl Comparison<'_> {
    /// What differs from left to right.
    pub fn run(&self, left: &Side<'_>, right: &Side<'_>) -> Result<Diff, CompareError> {
        self.check(left, right)?;
        let rules = Rules::of(self.contract);
        let hasher = RandomState::new();
        let inner = [left, right].map(|side| inner_values(&rules, side.object));
        let names = self
            .across_tenants
            .then(|| (Unambiguous::of(left.names), Unambiguous::of(right.names)));
        let by_name = names.as_ref();
        let mut of_left =
            Builder::new(&rules, left.object, &inner[0], by_name.map(|both| &both.0), &hasher);
        let mut of_right =
            Builder::new(&rules, right.object, &inner[1], by_name.map(|both| &both.1), &hasher);
        let roots = (of_left.object(left.object), of_right.object(right.object));
        let assigned = (
            left.assignments().map(|list| of_left.assignments(list, left.object)),
            right.assignments().map(|list| of_right.assignments(list, right.object)),
        );
        let mut differ = differ::Differ::new(*self, left, right, &hasher);
        differ.objects(&roots.0, &roots.1);
        differ.assignments(assigned.0.as_deref(), assigned.1.as_deref());
        let mut diff = differ.done();
        diff.by_name = of_left
            .named
            .iter()
            .filter_map(|(key, left)| {
                let right = of_right.named.get(key).filter(|right| *right != left)?;
                let (to, name) = (key.0.to_owned(), key.1.to_owned());
                Some(NameMatch { to, name, left: (*left).to_owned(), right: (*right).to_owned() })
            })
            .collect();
        Ok(diff)
    }

    fn check(&self, left: &Side<'_>, right: &Side<'_>) -> Result<(), CompareError> {
        let key = &self.contract.key;
        if left.policy_type != key || right.policy_type != key {
            let (left, right) = (left.policy_type.to_owned(), right.policy_type.to_owned());
            return Err(CompareError::DifferentTypes(left, right));
        }
        for side in [left, right] {
            if !side.object.is_object() {
                return Err(CompareError::NoObject);
            }
            if !side.object.is_whole() || side.assignments.is_some_and(|list| !list.is_whole()) {
                return Err(CompareError::TooDeep);
            }
        }
        let concrete = |side: &Side<'_>| {
            let name = odata_type(side.object)?;
            Some(name.strip_prefix("microsoft.graph.").unwrap_or(name).to_owned())
        };
        match (concrete(left), concrete(right)) {
            (Some(left), Some(right)) if left != right => {
                Err(CompareError::DifferentConcreteTypes(left, right))
            }
            _ => Ok(()),
        }
    }
}
