//! A captured object as its contract reads it: what says something, what is technical, what is a set,
//! what is a secret, what an encoded text holds.
//!
//! Comparing and readable settings are made from this one reading, so that they cannot differ in what
//! they take for noise or for a secret. Building is one pass over the value.

mod build;
mod decode;
mod inner;
mod rules;
pub(crate) mod scalar;

pub(crate) use build::Builder;
pub(crate) use decode::Decoded;
pub(crate) use inner::{Inner, inner_values, push_name};
pub(crate) use rules::{Rules, Sort, odata_type};

use crate::tree::Tree;

/// One value of the object.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Node<'a> {
    /// The value as it is stored.
    pub raw: &'a Tree<'a>,
    pub kind: Kind<'a>,
    /// Equal where the contents are the same: technical members, annotations and the orders of sets do
    /// not count. Keyed at random for each comparison, so that nobody can choose two that collide.
    pub content: u64,
    /// As `content`, with technical members and concrete types.
    pub exact: u64,
    /// Values that say something, in it and below.
    pub leaves: usize,
    /// Whether a secret stands in it or below.
    pub holds_secret: bool,
    /// Whether something that only those may see who may see scripts stands in it or below.
    pub holds_restricted: bool,
    /// Whether the secret is a token that means nothing outside its tenant.
    pub is_tenant_token: bool,
    /// The place in the contract's references, where it refers to another object.
    pub reference: Option<usize>,
    /// Whether it refers to another tenant's object by its id, because no name tells which it is.
    pub by_id: bool,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// Null, an empty array, an object of nothing but blanks: Graph means the same by them, and by a
    /// member that is not there.
    Blank,
    /// A number, a truth value, a text.
    Leaf,
    /// A text that is an encoding of a text.
    Text(Decoded),
    /// A text that is an encoding of so many bytes.
    Bytes(usize),
    /// A text that is JSON.
    Json(Box<Node<'a>>),
    /// A secret: a marker's fingerprint, or nothing where the value itself was found.
    Secret(Option<&'a str>),
    Object(Members<'a>),
    /// An array whose order says something.
    List(Vec<Node<'a>>),
    Set(Elements<'a>),
}

#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    /// The concrete type, without `#`.
    pub odata_type: Option<&'a str>,
    pub own: Vec<(&'a str, Node<'a>)>,
    /// What a comparison passes over by contract.
    pub technical: Vec<(&'a str, Node<'a>)>,
}

/// An array whose order says nothing.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    pub nodes: Vec<Node<'a>>,
    /// What tells each from the others.
    pub keys: Vec<u64>,
    /// Whether the contract names what tells them apart.
    pub keyed: bool,
}

impl<'a> Node<'a> {
    pub(crate) const fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Blank)
    }

    /// A member that says something.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Object(members) => {
                members.own.iter().find(|(own, _)| *own == name).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Its elements.
    pub(crate) fn elements(&self) -> &[Self] {
        match &self.kind {
            Kind::List(nodes) | Kind::Set(Elements { nodes, .. }) => nodes,
            _ => &[],
        }
    }

    pub(crate) fn odata_type(&self) -> Option<&'a str> {
        match &self.kind {
            Kind::Object(members) => members.odata_type,
            _ => None,
        }
    }

    /// The text of a plain leaf.
    pub(crate) fn text(&self) -> Option<&'a str> {
        if matches!(self.kind, Kind::Leaf) { self.raw.as_str() } else { None }
    }

    /// Whether it is true, where it is a truth value.
    pub(crate) const fn truth(&self) -> Option<bool> {
        if let Tree::Bool(value) = self.raw { Some(*value) } else { None }
    }

    /// The text of a member.
    pub(crate) fn text_of(&self, member: &str) -> Option<&'a str> {
        self.get(member)?.text()
    }
}
