//! How a difference is written down.

use serde_json::Value;

use super::Differ;
use crate::compare::lines::{self, TextDiff};
use crate::compare::{Cell, Entry, EntryKind, Note, Referred, Section};
use crate::nodes::{Kind, Node};
use crate::shown::{MOST, Shown};
use crate::words::cut;

impl Differ<'_> {
    /// Writes a difference down.
    pub(in crate::compare) fn write(
        &mut self,
        left: Option<&Node<'_>>,
        right: Option<&Node<'_>>,
        note: Option<Note>,
    ) {
        let kind = match (left, right) {
            (Some(_), Some(_)) => EntryKind::Changed,
            (Some(_), None) => EntryKind::Removed,
            _ => EntryKind::Added,
        };
        let any = |part: fn(&Node<'_>) -> bool| [left, right].into_iter().flatten().any(part);
        let secret = any(|node| node.holds_secret);
        let (note, diff) = match (left, right) {
            (Some(left), Some(right)) if note.is_none() && !secret => text_note(left, right),
            _ => (note, None),
        };
        let note = note.or_else(|| any(|node| node.by_id).then_some(Note::ById));
        let place = &self.place;
        let pointer = if kind == EntryKind::Removed { &place.left } else { &place.right };
        let moved = kind == EntryKind::Changed && place.left != place.right;
        let (label, within) = match place.trail.split_last() {
            Some((last, around)) => (last.clone(), around.to_vec()),
            None => (self.comparison.contract.label.clone(), Vec::new()),
        };
        let section = place.section.clone().unwrap_or(Section::Settings);
        let is_technical = section == Section::Technical;
        let shown = |shown: &Shown<'_>, node: &Node<'_>| {
            let mut cell = cell(shown, node);
            if let (Some(Note::Charset), Kind::Text(decoded)) = (note, &node.kind) {
                decoded.charset.label().clone_into(&mut cell.text);
            }
            cell
        };
        let mut entry = Entry {
            pointer: pointer.clone(),
            left_pointer: moved.then(|| place.left.clone()),
            inner: place.inner.clone(),
            label,
            within,
            section,
            kind,
            left: left.map(|node| shown(&self.left, node)),
            right: right.map(|node| shown(&self.right, node)),
            secret,
            restricted: any(|node| node.holds_restricted),
            note,
            lines: diff,
        };
        if let (Some(left), Some(right), None, false) =
            (&mut entry.left, &mut entry.right, note, secret)
            && left.text == right.text
        {
            // They read alike and are two: the JSON shows what differs.
            for cell in [left, right] {
                cell.text = cut(&cell.value.to_string(), MOST);
            }
        }
        if is_technical {
            self.out.technical.push(entry);
        } else {
            self.out.entries.push(entry);
        }
    }

    /// Changes the texts of the entry that was written last.
    pub(in crate::compare) fn last_entry(&mut self) -> Option<&mut Entry> {
        self.out.entries.last_mut()
    }

    /// Definitions of administrative templates are enabled or disabled.
    pub(super) fn say_states(&mut self) {
        let Some(entry) = self.out.entries.last_mut() else { return };
        for cell in [&mut entry.left, &mut entry.right].into_iter().flatten() {
            match cell.value {
                Value::Bool(true) => "Enabled".clone_into(&mut cell.text),
                Value::Bool(false) => "Disabled".clone_into(&mut cell.text),
                _ => {}
            }
        }
    }
}

/// Some sets of words are an array in one version of Graph and one text with commas in another.
pub(super) fn is_same_flags(left: &Node<'_>, right: &Node<'_>) -> bool {
    let (text, list) = match (left.text(), right.text()) {
        (Some(text), None) => (text, right),
        (None, Some(text)) => (text, left),
        _ => return false,
    };
    if text.len() > MOST {
        return false;
    }
    let mut words: Vec<&str> = text.split(',').map(str::trim).collect();
    let listed: Option<Vec<&str>> = list.elements().iter().map(Node::text).collect();
    listed.is_some_and(|mut listed| {
        words.sort_unstable();
        listed.sort_unstable();
        !listed.is_empty() && words == listed
    })
}

/// What is remarkable about two texts, and the lines that differ.
fn text_note(left: &Node<'_>, right: &Node<'_>) -> (Option<Note>, Option<TextDiff>) {
    let text = |node: &Node<'_>| match &node.kind {
        Kind::Text(decoded) => Some(decoded.text.clone()),
        _ => node.text().map(str::to_owned),
    };
    let (Some(of_left), Some(of_right)) = (text(left), text(right)) else { return (None, None) };
    if of_left == of_right {
        let encoded = matches!((&left.kind, &right.kind), (Kind::Text(_), Kind::Text(_)));
        return (encoded.then_some(Note::Charset), None);
    }
    if !of_left.contains('\n') && !of_right.contains('\n') {
        return (None, None);
    }
    if lines::differ_in_ends_only(&of_left, &of_right) {
        return (Some(Note::LineEnds), None);
    }
    (None, Some(lines::lines(&of_left, &of_right)))
}

fn cell(shown: &Shown<'_>, node: &Node<'_>) -> Cell {
    let reference = shown
        .referred(node)
        .map(|(to, name)| Referred { to: to.to_owned(), name: name.map(str::to_owned) });
    let value = Shown::value(node);
    let mut text = shown.text(node);
    if text.is_empty() && value != Value::Null {
        text = cut(&value.to_string(), MOST);
    }
    Cell { value, text, reference }
}
