//! Parts that could not be read: they are unknown, and not removed (PRODUCT G-5).

use super::Differ;
use crate::compare::{Unknown, Why};
use crate::words::label;

/// What could not be read of either side.
#[derive(Debug, Default)]
pub(super) struct Unread<'a> {
    /// Members of the object that are not compared.
    pub(super) members: Vec<&'a str>,
    /// Members of children that are not compared.
    pub(super) nested: Vec<&'a str>,
    /// Whether members that are not there may be there: the object's own reply could not be read.
    pub(super) own: [bool; 2],
    pub(super) assignments: bool,
}

impl<'a> Differ<'a> {
    pub(super) fn note_unread(&mut self, name: &'a str, side: usize, why: Why) {
        let contract = self.comparison.contract;
        let (pointer, label) = if name == contract.key {
            self.unread.own[side] = true;
            (String::new(), contract.label.clone())
        } else if name == "assignments" {
            self.unread.assignments = true;
            ("/assignments".to_owned(), "Assignments".to_owned())
        } else {
            let part = contract.subresources.iter().find(|part| part.name == name);
            let put_at = part.map_or(name, |part| part.put_at.as_str());
            if part.is_some_and(crate::parts::Subresource::is_nested) {
                self.unread.nested.push(put_at);
            } else {
                self.unread.members.push(put_at);
            }
            (format!("/{put_at}"), label(put_at))
        };
        self.out.unknown.push(Unknown { pointer, label, why });
    }
}
