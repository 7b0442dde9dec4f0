//! Reads a value by its contract, in one pass.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hash, RandomState};

use super::{
    Elements, Inner, Kind, Members, Node, Rules, Sort, decode, odata_type, push_name, scalar,
};
use crate::body::is_annotation;
use crate::fields::{Encoding, MatchBy, Reference, ReferenceKind};
use crate::marker;
use crate::names::{Unambiguous, kind_of};
use crate::pattern::{Down, Pattern, Spot};
use crate::tree::Tree;

/// The mode of a filter that is not there. Source: beta model, `deviceAndAppManagementAssignmentFilterType`.
const FILTER_MODE: (&str, &str) = ("deviceAndAppManagementAssignmentFilterType", "none");

/// Reads the values of one side.
pub(crate) struct Builder<'a, 'r> {
    rules: &'r Rules<'r>,
    odata_type: Option<&'a str>,
    inner: &'a Inner,
    /// Names, where objects are the same by their names.
    by_name: Option<&'r Unambiguous<'a>>,
    hasher: &'r RandomState,
    pointer: String,
    /// Whether what is read next is the object itself.
    at_root: bool,
    /// The id of each object that stands by its name, by what it is and its name.
    pub(crate) named: BTreeMap<(&'r str, &'a str), &'a str>,
}

impl<'a, 'r> Builder<'a, 'r> {
    pub(crate) fn new(
        rules: &'r Rules<'r>,
        object: &'a Tree<'a>,
        inner: &'a Inner,
        by_name: Option<&'r Unambiguous<'a>>,
        hasher: &'r RandomState,
    ) -> Self {
        let odata_type = odata_type(object);
        let (pointer, named) = (String::new(), BTreeMap::new());
        Self { rules, odata_type, inner, by_name, hasher, pointer, at_root: false, named }
    }

    /// Reads the object.
    pub(crate) fn object(&mut self, object: &'a Tree<'a>) -> Node<'a> {
        let start = self.rules.follow.start();
        self.at_root = true;
        self.value(object, start, Sort::default())
    }

    /// Reads the assignments, which stand beside the object.
    pub(crate) fn assignments(
        &mut self,
        list: &'a Tree<'a>,
        holder: &'a Tree<'a>,
    ) -> Vec<Node<'a>> {
        let start = self.rules.follow.start();
        let all = self.rules.follow.down(start, Down::Member("assignments"));
        let each = self.rules.follow.down(all, Down::Element);
        let sort = self.rules.at(each, self.odata_type, holder);
        let Tree::Array(list) = list else { return Vec::new() };
        list.iter().map(|assignment| self.value(assignment, each, sort)).collect()
    }

    /// The place is only asked for where JSON was found in texts.
    fn push_index(&mut self, index: usize) {
        if !self.inner.is_empty() {
            push_name(&mut self.pointer, &index.to_string());
        }
    }

    fn hash(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    fn value(&mut self, raw: &'a Tree<'a>, spot: Spot, sort: Sort<'r>) -> Node<'a> {
        if let Some(fingerprint) = marker::fingerprint(raw) {
            let hash = self.hash(("secret", fingerprint));
            return secret(raw, Some(fingerprint), hash, sort);
        }
        if sort.secret && *raw != Tree::Null {
            // A fingerprint and a value in clear are never equal: the caller redacts both or none.
            let hash = self.hash(("clear", raw.to_value().to_string()));
            return secret(raw, None, hash, sort);
        }
        match raw {
            Tree::Null | Tree::Deeper => blank(raw),
            Tree::Bool(value) => leaf(raw, Kind::Leaf, self.hash(("bool", value)), sort),
            Tree::Number(number) => {
                let hash = self.hash(("number", scalar::number(number)));
                leaf(raw, Kind::Leaf, hash, sort)
            }
            Tree::Text(text) => self.text(raw, text, sort),
            Tree::Array(elements) => self.array(raw, elements, spot, sort),
            Tree::Object(members) => self.members(raw, members, spot, sort),
        }
    }

    fn text(&mut self, raw: &'a Tree<'a>, text: &'a str, sort: Sort<'r>) -> Node<'a> {
        if let Some(index) = sort.reference {
            let reference = &self.rules.contract.references[index];
            if means_none(reference, text) {
                return blank(raw);
            }
            let (hash, by_id) = self.referred(reference, text);
            let mut node = leaf(raw, Kind::Leaf, hash, sort);
            node.by_id = by_id;
            node.reference = Some(index);
            return node;
        }
        match sort.encoding {
            Some(Encoding::Base64Text) => {
                if let Some(decoded) = decode::text(text) {
                    let hash = self.hash(("encoded", &decoded.text, decoded.charset));
                    return leaf(raw, Kind::Text(decoded), hash, sort);
                }
            }
            Some(Encoding::Base64Bytes) => {
                if let Some(bytes) = decode::bytes(text) {
                    let hash = self.hash(("bytes", &bytes));
                    return leaf(raw, Kind::Bytes(bytes.len()), hash, sort);
                }
            }
            Some(Encoding::Json | Encoding::Base64Json) => {
                let inner = self.inner;
                if let Some(value) = inner.get(&self.pointer) {
                    // What is inside has no contract of its own, so no rule holds there; but who may not
                    // see the text may not see what is in it.
                    let restricted = Sort { restricted: sort.restricted, ..Sort::default() };
                    let inside = self.value(value, Spot::NOWHERE, restricted);
                    let hash = self.hash(("json", inside.content));
                    let mut node = leaf(raw, Kind::Leaf, hash, sort);
                    node.exact = self.hash(("json", inside.exact));
                    node.leaves = inside.leaves.max(1);
                    node.holds_secret = inside.holds_secret;
                    node.kind = Kind::Json(Box::new(inside));
                    return node;
                }
            }
            None => {}
        }
        leaf(raw, Kind::Leaf, self.hash(("text", scalar::text(text))), sort)
    }

    /// What tells the object that is referred to, and whether that is its id for want of a name.
    fn referred(&mut self, reference: &'r Reference, text: &'a str) -> (u64, bool) {
        let prefix = reference.prefixes.iter().find(|prefix| text.starts_with(prefix.as_str()));
        let id = prefix.map_or(text, |prefix| &text[prefix.len()..]);
        let kind = kind_of(&reference.to);
        let is_word = reference.words.iter().any(|word| word == text);
        let by_name = self.by_name.filter(|_| reference.match_by == MatchBy::Name && !is_word);
        if let Some(name) = by_name.and_then(|names| names.get(kind, id)) {
            self.named.insert((kind, name), id);
            return (self.hash(("named", prefix, kind, name)), false);
        }
        (self.hash(("id", prefix, scalar::text(id))), by_name.is_some())
    }

    fn array(
        &mut self,
        raw: &'a Tree<'a>,
        elements: &'a [Tree<'a>],
        spot: Spot,
        sort: Sort<'r>,
    ) -> Node<'a> {
        if elements.is_empty() {
            return blank(raw);
        }
        let below = self.rules.follow.down(spot, Down::Element);
        let mut each = self.rules.at(below, self.odata_type, raw);
        each.restricted |= sort.restricted;
        let length = self.pointer.len();
        let mut nodes = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            self.push_index(index);
            nodes.push(self.value(element, below, each));
            self.pointer.truncate(length);
        }
        let (content, exact, kind) = match sort.set {
            None => {
                let of = |part: fn(&Node<'_>) -> u64| nodes.iter().map(part).collect::<Vec<u64>>();
                let content = self.hash(("list", of(|node| node.content)));
                let exact = self.hash(("list", of(|node| node.exact)));
                (content, exact, Kind::List(nodes))
            }
            Some(identity) => {
                let sorted = |part: fn(&Node<'_>) -> u64| {
                    let mut all: Vec<u64> = nodes.iter().map(part).collect();
                    all.sort_unstable();
                    all
                };
                let content = self.hash(("set", sorted(|node| node.content)));
                let exact = self.hash(("set", sorted(|node| node.exact)));
                let places: Vec<Vec<&str>> = identity.iter().filter_map(Pattern::names).collect();
                let keys = nodes.iter().map(|node| self.key(node, &places)).collect();
                (content, exact, Kind::Set(Elements { nodes, keys, keyed: !identity.is_empty() }))
            }
        };
        let mut node = leaf(raw, Kind::Blank, content, sort);
        node.exact = exact;
        node.leaves = 0;
        node.kind = kind;
        for index in 0..node.elements().len() {
            let element = &node.elements()[index];
            let (leaves, secret) = (element.leaves, element.holds_secret);
            let restricted = element.holds_restricted;
            node.leaves += leaves;
            node.holds_secret |= secret;
            node.holds_restricted |= restricted;
        }
        node
    }

    /// What tells an element of a set from the others: what the contract names; where that is not there,
    /// what it is bound to; else all that it says.
    fn key(&self, node: &Node<'a>, places: &[Vec<&str>]) -> u64 {
        let values: Vec<Option<u64>> = places
            .iter()
            .map(|place| find(node, place).filter(|value| !value.is_blank()).map(|one| one.content))
            .collect();
        if values.iter().any(Option::is_some) {
            return self.hash(("key", values));
        }
        let Kind::Object(members) = &node.kind else { return node.content };
        let bound: Vec<(&str, u64)> = members
            .own
            .iter()
            .filter(|(name, _)| !places.is_empty() && name.ends_with("@odata.bind"))
            .map(|(name, target)| (*name, target.content))
            .collect();
        if bound.is_empty() { node.content } else { self.hash(("bound", bound)) }
    }

    fn members(
        &mut self,
        raw: &'a Tree<'a>,
        members: &'a [(Cow<'a, str>, Tree<'a>)],
        spot: Spot,
        sort: Sort<'r>,
    ) -> Node<'a> {
        let is_root = std::mem::take(&mut self.at_root);
        let mut read = Members::default();
        let length = self.pointer.len();
        for (name, value) in members {
            let name: &'a str = name;
            if name == "@odata.type"
                && let Tree::Text(text) = value
            {
                read.odata_type = Some(text.strip_prefix('#').unwrap_or(text));
                continue;
            }
            // Assignments stand beside the object.
            let apart =
                is_root && name == "assignments" && self.rules.contract.assignments.is_some();
            if is_annotation(name) || apart {
                continue;
            }
            let below = self.rules.follow.down(spot, Down::Member(name));
            let mut own = self.rules.at(below, self.odata_type, raw);
            own.restricted |= sort.restricted;
            let is_no_filter = name == FILTER_MODE.0 && value.as_str() == Some(FILTER_MODE.1);
            if !self.inner.is_empty() {
                push_name(&mut self.pointer, name);
            }
            let node = if is_no_filter { blank(value) } else { self.value(value, below, own) };
            self.pointer.truncate(length);
            if own.technical {
                read.technical.push((name, node));
            } else {
                read.own.push((name, node));
            }
        }
        let mut node = leaf(raw, Kind::Blank, 0, sort);
        node.leaves = 0;
        for (_, member) in &read.own {
            node.leaves += member.leaves;
            node.holds_secret |= member.holds_secret;
            node.holds_restricted |= member.holds_restricted;
        }
        if read.odata_type.is_none()
            && read.own.iter().chain(&read.technical).all(|(_, member)| member.is_blank())
        {
            return blank(raw);
        }
        let sorted = |all: &mut dyn Iterator<Item = &(&'a str, Node<'a>)>,
                      part: fn(&Node<'_>) -> u64| {
            let mut all: Vec<(&str, u64)> = all
                .filter(|(_, member)| !member.is_blank())
                .map(|(name, member)| (*name, part(member)))
                .collect();
            all.sort_unstable();
            all
        };
        node.content = self.hash(("object", sorted(&mut read.own.iter(), |one| one.content)));
        let exact = sorted(&mut read.own.iter().chain(&read.technical), |one| one.exact);
        node.exact = self.hash(("object", read.odata_type, exact));
        node.kind = Kind::Object(read);
        node
    }
}

/// A reference that says that there is none.
fn means_none(reference: &Reference, text: &str) -> bool {
    matches!(reference.kind, ReferenceKind::Filter | ReferenceKind::Notification)
        && (text.is_empty() || scalar::is_zero_guid(text))
}

fn find<'n, 'a>(node: &'n Node<'a>, place: &[&str]) -> Option<&'n Node<'a>> {
    place.iter().try_fold(node, |node, name| match &node.kind {
        Kind::Object(members) => members
            .own
            .iter()
            .chain(&members.technical)
            .find(|(own, _)| own == name)
            .map(|(_, node)| node),
        _ => None,
    })
}

const fn blank<'a>(raw: &'a Tree<'a>) -> Node<'a> {
    Node {
        raw,
        kind: Kind::Blank,
        content: 0,
        exact: 0,
        leaves: 0,
        holds_secret: false,
        holds_restricted: false,
        is_tenant_token: false,
        reference: None,
        by_id: false,
    }
}

fn leaf<'a>(raw: &'a Tree<'a>, kind: Kind<'a>, hash: u64, sort: Sort<'_>) -> Node<'a> {
    let mut node = blank(raw);
    node.kind = kind;
    node.content = hash;
    node.exact = hash;
    node.leaves = 1;
    node.holds_restricted = sort.restricted;
    node
}

fn secret<'a>(
    raw: &'a Tree<'a>,
    fingerprint: Option<&'a str>,
    hash: u64,
    sort: Sort<'_>,
) -> Node<'a> {
    let mut node = leaf(raw, Kind::Secret(fingerprint), hash, sort);
    node.holds_secret = true;
    node.is_tenant_token = sort.tenant_token;
    node
}
