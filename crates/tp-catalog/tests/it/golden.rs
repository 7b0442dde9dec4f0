//! Pairs of policies with planted changes, and the entries that come of them, exactly.
//!
//! `tests/golden/compare/*.json` are the pairs, the files `.txt` beside them what is expected. Each pair is
//! compared as it is, and once more with noise on the right: the same must come of it, save the places.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tp_catalog::compare::{Cell, Comparison, Diff, Entry, EntryKind, LineKind, Section, Side};
use tp_catalog::contract::Contract;
use tp_catalog::definitions::Definitions;
use tp_catalog::names::Names;
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;

use crate::corpus::{contract, folder};
use crate::mutate::Change;
use crate::noise::noisy;

/// A file of pairs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Objects that several pairs begin with.
    #[serde(default)]
    bases: BTreeMap<String, Value>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pair {
    name: String,
    #[serde(rename = "type")]
    policy_type: String,
    base: Base,
    #[serde(default)]
    left: Vec<Change>,
    #[serde(default)]
    right: Vec<Change>,
    #[serde(default)]
    left_names: Names,
    #[serde(default)]
    right_names: Names,
    #[serde(default)]
    definitions: Vec<Value>,
    #[serde(default)]
    across_tenants: bool,
    #[serde(default)]
    unread_left: Vec<String>,
    #[serde(default)]
    unread_right: Vec<String>,
    /// Whether technical entries are expected by name too.
    #[serde(default)]
    technical: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Base {
    /// A file of the corpus.
    Corpus(String),
    /// An object of the file.
    Named(String),
    /// The object itself.
    Object(Value),
}

fn file(name: &str) -> String {
    let path = format!("{}/tests/golden/compare/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap_or_default()
}

fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/compare/{name}", env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = file(name);
    for (number, (is, was)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, was, "{name}, line {}", number + 1);
    }
    assert!(expected == text, "{name} changed; look at the difference, then UPDATE_GOLDEN=1");
}

impl Pair {
    fn diff(&self, contract: &Contract, left: &Value, right: &Value) -> Diff {
        let mut definitions = Definitions::default();
        for definition in &self.definitions {
            definitions.learn(definition);
        }
        let side = |object: &'_ Value| {
            // Assignments stand beside the object, as a capture has them.
            let mut object = object.clone();
            let assignments = object.as_object_mut().unwrap().shift_remove("assignments");
            (Tree::from(object), assignments.map(Tree::from))
        };
        let (left, right) = (side(left), side(right));
        let left = Side {
            policy_type: &self.policy_type,
            object: &left.0,
            assignments: left.1.as_ref(),
            names: &self.left_names,
            unread: &self.unread_left,
        };
        let right = Side {
            policy_type: &self.policy_type,
            object: &right.0,
            assignments: right.1.as_ref(),
            names: &self.right_names,
            unread: &self.unread_right,
        };
        let across_tenants = self.across_tenants;
        let comparison = Comparison { contract, definitions: &definitions, across_tenants };
        comparison.run(&left, &right).unwrap()
    }
}

fn run(name: &str) -> usize {
    let catalog = Catalog::builtin().unwrap();
    let File { bases, pairs } = serde_json::from_str(&file(&format!("{name}.json"))).unwrap();
    let mut text = String::new();
    let mut faults = Vec::new();
    for pair in &pairs {
        let contract = contract(&catalog, &pair.policy_type);
        let base = match &pair.base {
            Base::Object(object) => object.clone(),
            Base::Named(name) => bases[name].clone(),
            Base::Corpus(path) => {
                let path = folder().unwrap().join(path);
                serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
            }
        };
        let (mut left, mut right) = (base.clone(), base);
        pair.left.iter().for_each(|change| change.apply(&mut left));
        pair.right.iter().for_each(|change| change.apply(&mut right));
        let diff = pair.diff(&contract, &left, &right);
        text.push_str(&format!("# {} ({})\n{}\n", pair.name, pair.policy_type, drawn(pair, &diff)));

        // Noise changes places, and nothing else.
        let noisy = noisy(&contract, &right);
        let with_noise = pair.diff(&contract, &left, &noisy);
        if placeless(&diff) != placeless(&with_noise) || diff.summary != with_noise.summary {
            let (quiet, loud) = (placeless(&diff), placeless(&with_noise));
            faults.push(format!("{}, with noise: {quiet:#?} {loud:#?}", pair.name));
        }
        // And from right to left, what was added is removed.
        let back = pair.diff(&contract, &right, &left).summary;
        let (there, back) = (
            (diff.summary.added, diff.summary.removed, diff.summary.changed),
            (back.removed, back.added, back.changed),
        );
        let is_one_way = pair.left_names != pair.right_names || !pair.unread_right.is_empty();
        if there != back && !is_one_way {
            faults.push(format!("{}, backwards: {there:?} {back:?}", pair.name));
        }
    }
    golden(&format!("{name}.txt"), &text);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    pairs.len()
}

fn drawn(pair: &Pair, diff: &Diff) -> String {
    let mut text = String::new();
    for entry in &diff.entries {
        let moved = entry.left_pointer.as_ref().map(|left| format!(" (was {left})"));
        let inner = entry.inner.as_ref().map(|inner| format!(" in JSON {inner}"));
        text.push_str(&format!(
            "{} {}{}{} | {}\n",
            mark(entry),
            entry.pointer,
            moved.unwrap_or_default(),
            inner.unwrap_or_default(),
            said(entry),
        ));
        for line in entry.lines.iter().flat_map(|lines| &lines.lines) {
            let mark = match line.kind {
                LineKind::Same => ' ',
                LineKind::Removed => '-',
                LineKind::Added => '+',
                LineKind::Gap => '…',
            };
            text.push_str(&format!("    {mark}{}\n", short(&line.text)));
        }
    }
    if pair.technical {
        for entry in &diff.technical {
            text.push_str(&format!("T {} | {}\n", entry.pointer, said(entry)));
        }
    }
    for unknown in &diff.unknown {
        text.push_str(&format!("? {} | {} | {:?}\n", unknown.pointer, unknown.label, unknown.why));
    }
    for same in &diff.by_name {
        text.push_str(&format!("= {} {}: {} is {}\n", same.to, same.name, same.left, same.right));
    }
    if text.is_empty() { "nothing\n".to_owned() } else { text }
}

fn mark(entry: &Entry) -> char {
    match entry.kind {
        EntryKind::Added => '+',
        EntryKind::Removed => '-',
        EntryKind::Changed => '~',
    }
}

/// An entry without its place.
fn said(entry: &Entry) -> String {
    let section = match &entry.section {
        Section::Settings => "settings".to_owned(),
        Section::Part(name) => format!("part {name}"),
        Section::Assignments => "assignments".to_owned(),
        Section::ScopeTags => "scope tags".to_owned(),
        Section::Technical => "technical".to_owned(),
    };
    let labels: Vec<&str> = entry.within.iter().chain([&entry.label]).map(String::as_str).collect();
    let values: Vec<String> =
        [&entry.left, &entry.right].into_iter().flatten().map(shown).collect();
    let mut text = format!("{section} | {} | {}", labels.join(" › "), values.join(" → "));
    if entry.secret {
        text.push_str(" | secret");
    }
    if entry.restricted {
        text.push_str(" | restricted");
    }
    if let Some(note) = entry.note {
        text.push_str(&format!(" | {note:?}"));
    }
    text
}

fn shown(cell: &Cell) -> String {
    let text = short(&cell.text);
    match &cell.reference {
        Some(reference) if reference.name.is_some() => format!("{text} [{}]", reference.to),
        Some(reference) => format!("{text} [unnamed {}]", reference.to),
        None => text,
    }
}

fn short(text: &str) -> String {
    let text = text.replace('\r', "␍").replace('\n', "␊");
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn placeless(diff: &Diff) -> Vec<String> {
    let unknown = diff.unknown.iter().map(|one| format!("? {} {:?}", one.label, one.why));
    let mut all: Vec<String> = diff
        .entries
        .iter()
        .map(|entry| format!("{} {}", mark(entry), said(entry)))
        .chain(unknown)
        .collect();
    all.sort();
    all
}

#[test]
fn generated_pairs_differ_as_planted() {
    assert!(run("generated") >= 45);
}

#[test]
fn real_policies_differ_as_planted() {
    if folder().is_none() {
        println!("skipped: no corpus");
        return;
    }
    assert!(run("corpus") >= 20);
}
