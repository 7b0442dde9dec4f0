//! `cargo xtask tidy`: the rules of the house that the compiler cannot hold.
//!
//! Each rule is a function from the tree of files to findings, so that its test is a small tree.

mod code;
mod documents;
mod layers;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::shell;

/// Folders at the root that hold nothing of ours.
const SKIPPED: [&str; 6] = [".git", "target", "node_modules", ".tools", "demo-data", "data"];

/// What a rule found.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
    /// A warning is shown and does not fail.
    warning: bool,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, advice: advice.into(), warning: false }
    }

    fn warning(self) -> Self {
        Self { warning: true, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}: {}", self.path, self.line, self.rule, self.advice)
    }
}

/// The files of the repository: path below the root, with `/`, and text (empty when it is not text).
#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("reading {prefix}"))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "node_modules" || (prefix.is_empty() && SKIPPED.contains(&name.as_str())) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else {
                // A file can go away while we read: an editor's, a test's.
                let bytes = fs::read(entry.path()).unwrap_or_default();
                self.files.insert(path, String::from_utf8(bytes).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Whether there is a file or a folder of this path.
    fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.files.contains_key(path)
            || self
                .files
                .range(folder.clone()..)
                .next()
                .is_some_and(|(p, _)| p.starts_with(&folder))
    }

    fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// The files below a prefix with this ending.
    fn below(&self, prefix: &str, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(prefix) && path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Our Rust files, except the rules of tidy itself: those name what they look for.
    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.below("", ".rs").filter(|(path, _)| !path.starts_with("xtask/src/tidy"))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(own).collect() }
    }
}

/// Whether the file holds tests only.
fn is_test_file(path: &str) -> bool {
    ["/tests/", "/testing/"].iter().any(|folder| path.contains(folder))
        || path.ends_with("/tests.rs")
        || path.ends_with("/testing.rs")
}

/// The part of a file before its inline tests.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// The number of the line that holds this byte.
fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// All findings of all rules.
pub(crate) fn findings() -> Result<Vec<Finding>> {
    let tree = Tree::read(shell::root())?;
    let packages = layers::packages()?;
    let mut found = layers::check(&packages, &tree);
    found.extend(code::check(&tree));
    found.extend(documents::check(&tree));
    found.extend(store::check(&tree));
    found.sort();
    Ok(found)
}

/// Prints the findings; true when nothing fails.
pub(crate) fn run() -> Result<bool> {
    let found = findings()?;
    for finding in &found {
        println!("{finding}");
    }
    let failures = found.iter().filter(|finding| !finding.warning).count();
    println!("tidy: {failures} to mend, {} warnings", found.len() - failures);
    Ok(failures == 0)
}

#[cfg(test)]
mod tests;
