//! Which values stand together, and in which order.

use std::collections::BTreeMap;

use super::rows::{Rows, is_structure};
use super::{Family, ReadablePolicy, ReadableSection, Reader, Row, SectionKind};
use crate::compare::{assignment_summary, assignment_whom};
use crate::nodes::{Kind, Members, Node};
use crate::shown::{Shown, type_label};
use crate::words::{label, words};

/// Members that say what a policy is rather than what it sets, in the order in which they are shown.
const GENERAL: [&str; 14] = [
    "displayName",
    "name",
    "description",
    "state",
    "publisher",
    "platforms",
    "platform",
    "technologies",
    "templateReference",
    "templateId",
    "profileApplicability",
    "roleScopeTagIds",
    "roleScopeTags",
    "scopeIds",
];

/// Members that share their first word stand under it from this many on.
const ENOUGH: usize = 3;

/// Members of conditional access, and where people look for them.
const CONDITIONAL_ACCESS: [(&str, &str); 5] = [
    ("/conditions/users", "Users"),
    ("/conditions/applications", "Target resources"),
    ("/conditions", "Conditions"),
    ("/grantControls", "Grant"),
    ("/sessionControls", "Session"),
];

struct LayOut<'a> {
    rows: Rows<'a>,
    sections: Vec<ReadableSection>,
}

pub(super) fn lay_out(
    reader: Reader<'_>,
    root: &Node<'_>,
    assignments: Option<&[Node<'_>]>,
) -> ReadablePolicy {
    let Reader { contract, definitions, names } = reader;
    let family = Family::of(contract);
    let shown = Shown { contract, definitions, names };
    let mut out = LayOut { rows: Rows::new(shown), sections: Vec::new() };
    let none = Members::default();
    let members = if let Kind::Object(members) = &root.kind { members } else { &none };
    out.general(members);
    match family {
        Family::ConditionalAccess => out.conditional_access(members),
        Family::SettingsCatalog | Family::AdministrativeTemplate => out.settings(members),
        _ => {}
    }
    out.members(members, family);
    if let Some(assignments) = assignments {
        out.assignments(assignments);
    }
    for (name, member) in &members.technical {
        out.rows.step(name, |rows| rows.value(label(name), member, 0));
    }
    out.close("Technical", SectionKind::Technical);
    ReadablePolicy { family, sections: out.sections, unset: out.rows.unset }
}

impl LayOut<'_> {
    /// Ends a section; one without rows is none.
    fn close(&mut self, title: &str, kind: SectionKind) {
        let rows = self.rows.take();
        self.add(title, kind, rows);
    }

    fn add(&mut self, title: &str, kind: SectionKind, rows: Vec<Row>) {
        if !rows.is_empty() {
            self.sections.push(ReadableSection { title: title.to_owned(), kind, rows });
        }
    }

    fn general(&mut self, members: &Members<'_>) {
        for wanted in GENERAL {
            for (name, member) in members.own.iter().filter(|(name, _)| *name == wanted) {
                self.rows.step(name, |rows| rows.value(label(name), member, 0));
            }
        }
        if let Some(odata_type) = members.odata_type {
            let concrete = type_label(odata_type);
            let pointer = "/@odata.type".to_owned();
            self.rows.done.push(Row::plain(label("@odata.type"), concrete, pointer));
        }
        self.close("General", SectionKind::General);
    }

    fn conditional_access(&mut self, members: &Members<'_>) {
        let get = |name: &str| members.own.iter().find(|(own, _)| *own == name).map(|(_, one)| one);
        for (place, title) in CONDITIONAL_ACCESS {
            let mut steps = place.split('/').skip(1);
            let Some(first) = steps.next() else { continue };
            let Some(node) = get(first) else { continue };
            let second = steps.next();
            self.rows.step(first, |rows| match second {
                Some(second) => {
                    if let Some(node) = node.get(second) {
                        rows.step(second, |rows| rows.inside(node, 0, &[]));
                    }
                }
                None => rows.inside(node, 0, &["users", "applications"]),
            });
            self.close(title, SectionKind::Settings);
        }
    }

    /// Settings of definitions, by their categories where these are known.
    fn settings(&mut self, members: &Members<'_>) {
        for (name, node) in &members.own {
            if !matches!(*name, "settings" | "definitionValues") {
                continue;
            }
            if node.elements().is_empty() {
                // Nothing that Graph gives; it is shown all the same.
                self.rows.step(name, |rows| rows.value(label(name), node, 0));
                self.close("Settings", SectionKind::Settings);
                continue;
            }
            let mut groups: Vec<(String, Vec<Row>)> = Vec::new();
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            for (index, setting) in node.elements().iter().enumerate() {
                self.rows.step(name, |rows| {
                    rows.step(&index.to_string(), |rows| rows.element(setting, index, 0));
                });
                let title = self.category(setting);
                let rows = self.rows.take();
                if let Some(&place) = places.get(&title) {
                    groups[place].1.extend(rows);
                } else {
                    places.insert(title.clone(), groups.len());
                    groups.push((title, rows));
                }
            }
            for (title, rows) in groups {
                self.add(&title, SectionKind::Settings, rows);
            }
        }
    }

    fn category(&self, setting: &Node<'_>) -> String {
        let path = setting.get("definition").and_then(|one| one.text_of("categoryPath"));
        let instance = setting.get("settingInstance").unwrap_or(setting);
        let known = instance
            .text_of("settingDefinitionId")
            .and_then(|id| self.rows.shown.definitions.category_of(id));
        known.or(path).filter(|title| !title.is_empty()).unwrap_or("Settings").to_owned()
    }

    /// All other members: plain ones by their first word, lists of objects each for itself.
    fn members(&mut self, members: &Members<'_>, family: Family) {
        let is_done = |name: &str| {
            GENERAL.contains(&name)
                || match family {
                    Family::ConditionalAccess => {
                        matches!(name, "conditions" | "grantControls" | "sessionControls")
                    }
                    Family::SettingsCatalog | Family::AdministrativeTemplate => {
                        matches!(name, "settings" | "definitionValues")
                    }
                    _ => false,
                }
        };
        let rest: Vec<&(&str, Node<'_>)> =
            members.own.iter().filter(|(name, _)| !is_done(name)).collect();
        let stands_alone =
            |node: &Node<'_>| node.elements().iter().any(is_structure) || is_body(node);
        let first = |name: &str| words(name).into_iter().next().unwrap_or_default();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (name, _) in rest.iter().filter(|(_, node)| !node.is_blank() && !stands_alone(node)) {
            *counts.entry(first(name)).or_default() += 1;
        }
        let mut titles: Vec<String> = vec!["Settings".to_owned()];
        for (name, node) in &rest {
            let word = first(name);
            let is_group = !node.is_blank() && counts.get(&word).is_some_and(|n| *n >= ENOUGH);
            if is_group && !titles.contains(&word) {
                titles.push(word);
            }
        }
        // Members without a group come first, then each group where its first member stands.
        for (place, title) in titles.iter().enumerate() {
            for (name, node) in rest.iter().filter(|(_, node)| !stands_alone(node)) {
                let word = first(name);
                let grouped = titles.iter().skip(1).any(|title| *title == word);
                let is_here = if place == 0 { !grouped } else { word == *title };
                if is_here {
                    self.rows.step(name, |rows| rows.value(label(name), node, 0));
                }
            }
            self.close(&label(title), SectionKind::Settings);
        }
        for (name, node) in rest.iter().filter(|(_, node)| stands_alone(node)) {
            self.rows.step(name, |rows| {
                if is_body(node) {
                    rows.value(label(name), node, 0);
                } else {
                    rows.each(node.elements(), 0);
                }
            });
            self.close(&label(name), SectionKind::Settings);
        }
    }

    fn assignments(&mut self, assignments: &[Node<'_>]) {
        self.rows.step("assignments", |rows| {
            for (index, node) in assignments.iter().enumerate() {
                rows.step(&index.to_string(), |rows| {
                    let (whom, _) = assignment_whom(&rows.shown, node);
                    let summary = assignment_summary(&rows.shown, node);
                    let group = node.get("target").and_then(|target| target.get("groupId"));
                    rows.push(whom, summary, 0, group.unwrap_or(node));
                    rows.inside(node, 1, &["target", "intent"]);
                });
            }
        });
        self.close("Assignments", SectionKind::Assignments);
    }
}

/// Whether it is a body of text: a script, a profile.
fn is_body(node: &Node<'_>) -> bool {
    match &node.kind {
        Kind::Text(decoded) => decoded.text.contains('\n'),
        _ => node.text().is_some_and(|text| text.contains('\n')) && node.holds_restricted,
    }
}

impl Row {
    const fn plain(label: String, value: String, pointer: String) -> Self {
        Self {
            label,
            value,
            pointer,
            depth: 0,
            secret: false,
            restricted: false,
            unnamed: false,
            multiline: false,
            cut: false,
            reference: None,
        }
    }
}
