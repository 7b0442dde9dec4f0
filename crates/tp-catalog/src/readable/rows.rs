//! Values as rows.

use super::Row;
use crate::compare::Referred;
use crate::nodes::{Kind, Node, push_name};
use crate::shown::{ELEMENT_NAMES, MAIN, MOST, Shown, is_transparent, type_label};
use crate::words::{cut, label};

/// Letters of a text of several lines that are shown: Intune takes scripts of 200 KB.
const MOST_BODY: usize = 200_000;

/// Collects the rows of a section.
pub(super) struct Rows<'a> {
    pub(super) shown: Shown<'a>,
    pub(super) done: Vec<Row>,
    pub(super) pointer: String,
    pub(super) unset: usize,
}

impl<'a> Rows<'a> {
    pub(super) const fn new(shown: Shown<'a>) -> Self {
        Self { shown, done: Vec::new(), pointer: String::new(), unset: 0 }
    }

    /// Takes the rows that were collected.
    pub(super) fn take(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.done)
    }

    /// Does something one step below.
    pub(super) fn step(&mut self, name: &str, act: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        push_name(&mut self.pointer, name);
        act(self);
        self.pointer.truncate(length);
    }

    /// Adds a row of this place.
    pub(super) fn push(&mut self, name: String, value: String, depth: usize, node: &Node<'_>) {
        let reference = self
            .shown
            .referred(node)
            .map(|(to, name)| Referred { to: to.to_owned(), name: name.map(str::to_owned) });
        let head = value.is_empty();
        self.done.push(Row {
            label: name,
            multiline: value.contains('\n'),
            cut: value.ends_with('…') && value.chars().count() > MOST,
            value,
            pointer: self.pointer.clone(),
            depth,
            secret: matches!(node.kind, Kind::Secret(_)),
            restricted: !head && node.holds_restricted,
            unnamed: reference.as_ref().is_some_and(|one| one.name.is_none()),
            reference,
        });
    }

    /// The text of a value, longer where it has several lines.
    pub(super) fn text(&self, node: &Node<'_>) -> String {
        match &node.kind {
            Kind::Text(decoded) if !decoded.text.is_empty() => cut(&decoded.text, MOST_BODY),
            _ => match node.text().filter(|text| text.contains('\n')) {
                Some(text) => cut(text, MOST_BODY),
                None => self.shown.text(node),
            },
        }
    }

    /// Adds a member with all that is in it. The place is its own.
    pub(super) fn value(&mut self, name: String, node: &Node<'_>, depth: usize) {
        match &node.kind {
            Kind::Blank => self.unset += 1,
            Kind::Object(_) if self.setting(node, depth) => {}
            Kind::Object(members) => {
                let about = members.odata_type.map(type_label).unwrap_or_default();
                self.push(name, about, depth, node);
                self.inside(node, depth + 1, &[]);
            }
            Kind::List(nodes) if nodes.iter().any(is_structure) => {
                self.elements(name, nodes, depth);
            }
            Kind::Set(set) if set.nodes.iter().any(is_structure) => {
                self.elements(name, &set.nodes, depth);
            }
            Kind::Json(inside) if is_structure(inside) => {
                let text = self.shown.text(node);
                self.push(name, text, depth, node);
            }
            _ => {
                let text = self.text(node);
                self.push(name, text, depth, node);
            }
        }
    }

    fn elements(&mut self, name: String, nodes: &[Node<'_>], depth: usize) {
        let count =
            if nodes.len() == 1 { "1 entry".into() } else { format!("{} entries", nodes.len()) };
        let Some(first) = nodes.first() else { return };
        let row = self.done.len();
        self.push(name, count, depth, first);
        if let Some(head) = self.done.get_mut(row) {
            (head.secret, head.restricted, head.unnamed) = (false, false, false);
            head.reference = None;
        }
        self.each(nodes, depth + 1);
    }

    /// Adds the elements of an array. The place is the array's.
    pub(super) fn each(&mut self, nodes: &[Node<'_>], depth: usize) {
        for (index, node) in nodes.iter().enumerate() {
            self.step(&index.to_string(), |rows| rows.element(node, index, depth));
        }
    }

    /// Adds an element of an array. The place is its own.
    pub(super) fn element(&mut self, node: &Node<'_>, index: usize, depth: usize) {
        if !is_structure(node) || self.setting(node, depth) {
            if !is_structure(node) {
                self.value(format!("Entry {}", index + 1), node, depth);
            }
            return;
        }
        let name = self.shown.element_label(node, Some(index));
        let main = MAIN.iter().find(|main| node.get(main).is_some_and(|one| !is_structure(one)));
        if let Some((main, value)) = main.and_then(|main| Some((*main, node.get(main)?))) {
            self.step(main, |rows| {
                let text = rows.text(value);
                rows.push(name.clone(), text, depth, value);
            });
            self.inside(node, depth + 1, &[main, &name]);
        } else {
            self.push(name.clone(), String::new(), depth, node);
            self.inside(node, depth + 1, &[&name]);
        }
    }

    /// Adds the members of an object, without those that are named so, or that only repeat its name.
    pub(super) fn inside(&mut self, node: &Node<'_>, depth: usize, without: &[&str]) {
        let Kind::Object(members) = &node.kind else {
            for (index, node) in node.elements().iter().enumerate() {
                self.step(&index.to_string(), |rows| rows.element(node, index, depth));
            }
            return;
        };
        for (name, member) in &members.own {
            let repeats = ELEMENT_NAMES.contains(name)
                && member.text().is_some_and(|text| without.contains(&text));
            if without.contains(name) || repeats {
                continue;
            }
            self.step(name, |rows| {
                if is_transparent(name) && is_structure(member) {
                    rows.inside(member, depth, &[]);
                } else {
                    rows.value(label(name), member, depth);
                }
            });
        }
    }

    /// Adds a setting of a settings catalog, an intent or an administrative template. Whether it was one.
    pub(super) fn setting(&mut self, node: &Node<'_>, depth: usize) -> bool {
        if let Some(instance) = node.get("settingInstance") {
            self.step("settingInstance", |rows| rows.instance(instance, depth));
            return true;
        }
        if node.text_of("settingDefinitionId").is_some() {
            self.instance(node, depth);
            return true;
        }
        if node.get("definition").is_some() || node.get("definition@odata.bind").is_some() {
            self.definition_value(node, depth);
            return true;
        }
        if node.text_of("definitionId").is_some() {
            self.intent(node, depth);
            return true;
        }
        false
    }

    fn unnamed(&mut self, row: usize, definition_id: Option<&str>) {
        let unknown = definition_id.is_some_and(|id| self.shown.definitions.setting(id).is_none());
        if let Some(row) = self.done.get_mut(row) {
            row.unnamed |= unknown;
        }
    }

    fn instance(&mut self, node: &Node<'_>, depth: usize) {
        let name = self.shown.element_label(node, None);
        let id = node.text_of("settingDefinitionId");
        let Kind::Object(members) = &node.kind else { return };
        let row = self.done.len();
        let values = members.own.iter().filter(|(name, _)| {
            name.ends_with("SettingValue") || name.ends_with("CollectionValue")
        });
        let mut any = false;
        for (member, value) in values {
            any = true;
            self.step(member, |rows| match value.elements() {
                [] => rows.setting_value(name.clone(), value, depth),
                elements => rows.setting_values(&name, value, elements, depth),
            });
        }
        if !any {
            self.push(name, String::new(), depth, node);
        }
        self.unnamed(row, id);
    }

    /// The value of one setting, and the settings that belong to it.
    fn setting_value(&mut self, name: String, value: &Node<'_>, depth: usize) {
        match value.get("value") {
            Some(inner) => self.step("value", |rows| {
                let text = rows.text(inner);
                rows.push(name, text, depth, inner);
            }),
            None => self.push(name, String::new(), depth, value),
        }
        self.children(value, depth + 1);
    }

    fn children(&mut self, value: &Node<'_>, depth: usize) {
        let children = value.get("children").map_or(&[][..], Node::elements);
        self.step("children", |rows| rows.each(children, depth));
    }

    fn setting_values(
        &mut self,
        name: &str,
        value: &Node<'_>,
        elements: &[Node<'_>],
        depth: usize,
    ) {
        let plain = elements
            .iter()
            .all(|one| one.get("children").is_none_or(|children| children.elements().is_empty()));
        if plain {
            let texts: Vec<String> = elements
                .iter()
                .filter_map(|one| one.get("value"))
                .map(|inner| self.shown.text(inner))
                .collect();
            let text = cut(&texts.join("\n"), MOST_BODY);
            return self.push(name.to_owned(), text, depth, value);
        }
        let count =
            format!("{} {}", elements.len(), if elements.len() == 1 { "entry" } else { "entries" });
        self.push(name.to_owned(), count, depth, value);
        for (index, one) in elements.iter().enumerate() {
            let name = self.shown.element_label(one, Some(index));
            self.step(&index.to_string(), |rows| rows.setting_value(name, one, depth + 1));
        }
    }

    fn definition_value(&mut self, node: &Node<'_>, depth: usize) {
        let name = self.shown.element_label(node, None);
        let state = node.get("enabled").and_then(Node::truth);
        let state = match state {
            Some(true) => "Enabled",
            Some(false) => "Disabled",
            None => "",
        };
        let row = self.done.len();
        self.push(name, state.to_owned(), depth, node);
        if let Some(row) = self.done.get_mut(row) {
            row.unnamed =
                node.get("definition").and_then(|one| one.text_of("displayName")).is_none();
        }
        let presentations = node.get("presentationValues").map_or(&[][..], Node::elements);
        self.step("presentationValues", |rows| {
            for (index, value) in presentations.iter().enumerate() {
                rows.step(&index.to_string(), |rows| {
                    let name = rows.shown.element_label(value, Some(index));
                    let mut text = String::new();
                    rows.shown.write_presentation(value, &mut text);
                    rows.push(name, cut(&text, MOST), depth + 1, value);
                });
            }
        });
    }

    fn intent(&mut self, node: &Node<'_>, depth: usize) {
        let name = self.shown.element_label(node, None);
        let row = self.done.len();
        if let Some(value) = node.get("valueJson") {
            self.step("valueJson", |rows| {
                let text = rows.shown.text(value);
                rows.push(name, text, depth, value);
            });
        } else {
            self.push(name, String::new(), depth, node);
        }
        self.unnamed(row, node.text_of("definitionId"));
    }
}

pub(super) fn is_structure(node: &Node<'_>) -> bool {
    matches!(node.kind, Kind::Object(_) | Kind::List(_) | Kind::Set(_))
}
