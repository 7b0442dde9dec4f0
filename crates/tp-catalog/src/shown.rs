//! How values of a policy are shown to people: labels of elements, texts of values. Secrets never are.

mod labels;

use serde_json::{Map, Value};

pub(crate) use labels::{ELEMENT_NAMES, MAIN, is_transparent};

use crate::contract::Contract;
use crate::definitions::Definitions;
use crate::fields::ReferenceKind;
use crate::marker;
use crate::names::{Names, kind_of};
use crate::nodes::scalar::is_guid;
use crate::nodes::{Kind, Node};
use crate::tree::Tree;
use crate::words::{cut, label};

/// Letters of a text that are shown; the value itself is always whole.
pub(crate) const MOST: usize = 2_000;

/// Elements of a set that are put in order before they are shown.
const MOST_SORTED: usize = 200;

/// The scope tag that every tenant has.
const DEFAULT_TAG: (&str, &str) = ("0", "Default");

/// What is shown of an empty text.
pub(crate) const EMPTY: &str = "(empty)";

/// How one side is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) contract: &'a Contract,
    pub(crate) definitions: &'a Definitions,
    pub(crate) names: &'a Names,
}

impl<'a> Shown<'a> {
    /// The value for programs: without annotations, technical members, blanks and secrets.
    pub(crate) fn value(node: &Node<'_>) -> Value {
        match &node.kind {
            Kind::Secret(_) => Value::String(marker::SHOWN.to_owned()),
            Kind::List(_) | Kind::Set(_) => node.elements().iter().map(Self::value).collect(),
            Kind::Object(members) => {
                let mut shown = Map::new();
                if let Some(odata_type) = members.odata_type {
                    shown.insert("@odata.type".to_owned(), format!("#{odata_type}").into());
                }
                for (name, member) in members.own.iter().filter(|(_, member)| !member.is_blank()) {
                    shown.insert((*name).to_owned(), Self::value(member));
                }
                Value::Object(shown)
            }
            Kind::Json(inside) if inside.holds_secret => Self::value(inside),
            _ => node.raw.to_value(),
        }
    }

    /// The value for people, cut where it is long.
    pub(crate) fn text(&self, node: &Node<'_>) -> String {
        let mut out = String::new();
        self.write(node, &mut out);
        cut(&out, MOST)
    }

    /// What a value refers to: what it is, and its name.
    pub(crate) fn referred(&self, node: &Node<'_>) -> Option<(&'a str, Option<&'a str>)> {
        let reference = &self.contract.references[node.reference?];
        let id = node.raw.as_str()?;
        if id.is_empty() || reference.words.iter().any(|word| word == id) {
            return None;
        }
        let prefix = reference.prefixes.iter().find(|prefix| id.starts_with(prefix.as_str()));
        let id = prefix.map_or(id, |prefix| &id[prefix.len()..]);
        let kind = kind_of(&reference.to);
        Some((kind, self.names.get(kind, id)))
    }

    /// Writes until there is enough: no value costs more than is shown of it.
    fn write(&self, node: &Node<'_>, out: &mut String) {
        if out.len() > MOST * 4 {
            return;
        }
        match &node.kind {
            Kind::Blank => {}
            Kind::Secret(_) => out.push_str(marker::SHOWN),
            Kind::Text(decoded) if decoded.text.is_empty() => out.push_str(EMPTY),
            Kind::Text(decoded) => out.push_str(&cut(&decoded.text, MOST + 1)),
            Kind::Bytes(count) => out.push_str(&format!("{count} bytes")),
            Kind::Json(inside) => self.write(inside, out),
            Kind::List(nodes) => self.write_all(nodes, out),
            Kind::Set(elements) => self.write_set(&elements.nodes, out),
            Kind::Leaf => self.write_leaf(node, out),
            Kind::Object(_) => self.write_object(node, out),
        }
    }

    fn write_leaf(&self, node: &Node<'_>, out: &mut String) {
        if let Some((_, Some(name))) = self.referred(node) {
            out.push_str(name);
            return;
        }
        let kind = node.reference.map(|index| self.contract.references[index].kind);
        match node.raw {
            Tree::Text(id) if kind == Some(ReferenceKind::ScopeTag) && id == DEFAULT_TAG.0 => {
                out.push_str(DEFAULT_TAG.1);
            }
            Tree::Bool(true) => out.push_str("Yes"),
            Tree::Bool(false) => out.push_str("No"),
            Tree::Text(text) if text.is_empty() => out.push_str(EMPTY),
            Tree::Text(text) if is_guid(text) => out.push_str(&text.to_ascii_lowercase()),
            Tree::Text(text) => {
                let known = self.definitions.option(text);
                out.push_str(&known.map_or_else(|| cut(text, MOST + 1), str::to_owned));
            }
            Tree::Number(number) => out.push_str(plain_number(number)),
            other => out.push_str(&other.to_value().to_string()),
        }
    }

    /// Elements of a set, always in the same order, whatever theirs is.
    fn write_set(&self, nodes: &[Node<'_>], out: &mut String) {
        if nodes.len() > MOST_SORTED {
            return self.write_all(nodes, out);
        }
        let plain = nodes.iter().all(|node| matches!(node.kind, Kind::Leaf | Kind::Blank));
        let mut texts: Vec<String> = nodes
            .iter()
            .map(|node| {
                let mut text = String::new();
                self.write(node, &mut text);
                text
            })
            .collect();
        texts.sort_unstable();
        out.push_str(&cut(&texts.join(if plain { ", " } else { "; " }), MOST * 4));
    }

    fn write_all(&self, nodes: &[Node<'_>], out: &mut String) {
        let plain = nodes.iter().all(|node| matches!(node.kind, Kind::Leaf | Kind::Blank));
        let between = if plain { ", " } else { "; " };
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                out.push_str(between);
            }
            self.write(node, out);
            if out.len() > MOST * 4 {
                return;
            }
        }
    }

    fn write_object(&self, node: &Node<'_>, out: &mut String) {
        if self.write_setting(node, out) {
            return;
        }
        let Kind::Object(members) = &node.kind else { return };
        let before = out.len();
        let mut own: Vec<&(&str, Node<'_>)> =
            members.own.iter().filter(|(_, member)| !member.is_blank()).collect();
        own.sort_unstable_by_key(|(name, _)| *name);
        for (name, member) in own {
            if out.len() > before {
                out.push_str("; ");
            }
            if !is_transparent(name) {
                out.push_str(&label(name));
                out.push_str(": ");
            }
            self.write(member, out);
            if out.len() > MOST * 4 {
                return;
            }
        }
        if out.len() == before
            && let Some(odata_type) = members.odata_type
        {
            out.push_str(&type_label(odata_type));
        }
    }

    /// Settings say their value first, and then what belongs to it. Whether it was a setting.
    fn write_setting(&self, node: &Node<'_>, out: &mut String) -> bool {
        if let Some(instance) = node.get("settingInstance") {
            self.write(instance, out);
            return true;
        }
        if let Some(value) = bare_value(node) {
            self.write(value, out);
            return true;
        }
        if node.text_of("settingDefinitionId").is_some() {
            self.write_instance(node, out);
            return true;
        }
        if node.get("definition").is_some() || node.get("definition@odata.bind").is_some() {
            if let Some(enabled) = node.get("enabled").and_then(Node::truth) {
                out.push_str(if enabled { "Enabled" } else { "Disabled" });
            }
            let values = node.get("presentationValues").map_or(&[][..], Node::elements);
            let mut texts: Vec<String> = values
                .iter()
                .take(MOST_SORTED)
                .map(|value| {
                    let mut text = format!("; {}: ", self.element_label(value, None));
                    self.write_presentation(value, &mut text);
                    text
                })
                .collect();
            texts.sort_unstable();
            texts.iter().for_each(|text| out.push_str(text));
            return true;
        }
        false
    }

    /// The value of a presentation: what is neither its name nor its type.
    pub(crate) fn write_presentation(&self, node: &Node<'_>, out: &mut String) {
        let value = node.get("value").or_else(|| node.get("values"));
        if let Some(value) = value {
            self.write(value, out);
        }
    }

    /// What belongs to a setting's value, by its labels.
    fn children<'n, 'v>(&self, value: &'n Node<'v>) -> Vec<(String, &'n Node<'v>)> {
        let children = value.get("children").map_or(&[][..], Node::elements);
        let labelled = |child| (self.element_label(child, None), child);
        let mut all: Vec<(String, &Node<'_>)> = children.iter().map(labelled).collect();
        all.sort_by(|(left, _), (right, _)| left.cmp(right));
        all
    }

    fn write_instance(&self, node: &Node<'_>, out: &mut String) {
        let Kind::Object(members) = &node.kind else { return };
        let is_value =
            |name: &str| name.ends_with("SettingValue") || name.ends_with("CollectionValue");
        let mut before = out.len();
        for (_, value) in members.own.iter().filter(|(name, _)| is_value(name)) {
            let one = std::slice::from_ref(value);
            let all = if value.elements().is_empty() { one } else { value.elements() };
            for value in all {
                if out.len() > before {
                    out.push_str("; ");
                }
                before = out.len();
                if let Some(value) = value.get("value") {
                    self.write(value, out);
                }
                for (label, child) in self.children(value) {
                    if out.len() > before {
                        out.push_str("; ");
                    }
                    out.push_str(&label);
                    out.push_str(": ");
                    self.write(child, out);
                    if out.len() > MOST * 4 {
                        return;
                    }
                }
            }
        }
    }
}

/// The value of an object that is nothing but a value of a setting.
pub(crate) fn bare_value<'n, 'a>(node: &'n Node<'a>) -> Option<&'n Node<'a>> {
    let Kind::Object(members) = &node.kind else { return None };
    let is_bare = members.own.iter().all(|(name, member)| {
        matches!(*name, "value" | "valueState" | "settingValueTemplateReference")
            || member.is_blank()
    });
    if is_bare { node.get("value") } else { None }
}

/// A number without zeros that say nothing.
fn plain_number(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    }
}

/// A concrete type as people read it.
pub(crate) fn type_label(odata_type: &str) -> String {
    label(odata_type.strip_prefix("microsoft.graph.").unwrap_or(odata_type))
}
