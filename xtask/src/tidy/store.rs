//! Rules about the store: both databases have the same history, and each method a conformance test.

use std::collections::BTreeSet;

use super::{Finding, Tree, is_test_file, line_at, without_tests};

const SOURCES: &str = "crates/tp-store/src/";
const CONFORMANCE: &str = "crates/tp-store/tests/conformance/";
const MIGRATIONS: [&str; 2] =
    ["crates/tp-store/migrations/sqlite/", "crates/tp-store/migrations/postgres/"];

/// Methods that no conformance test names, with the reason.
const EXCEPTIONS: [(&str, &str); 1] =
    [("migrate", "every conformance test begins with it, through the testing feature")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    methods(tree, &mut found);
    migrations(tree, &mut found);
    found
}

fn methods(tree: &Tree, found: &mut Vec<Finding>) {
    let tests: BTreeSet<&str> = tree
        .below(CONFORMANCE, ".rs")
        .flat_map(|(_, text)| text.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    for (path, text) in tree.below(SOURCES, ".rs").filter(|(path, _)| !is_test_file(path)) {
        let text = without_tests(text);
        for (at, start) in text.match_indices("pub async fn ") {
            let name: String = text[at + start.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let excepted = EXCEPTIONS.iter().any(|(exception, _)| *exception == name);
            if !excepted && !tests.contains(name.as_str()) {
                let advice = format!("`{name}` has no test in {CONFORMANCE}; write one");
                found.push(Finding::new(path, line_at(text, at), "conformance", advice));
            }
        }
    }
}

fn migrations(tree: &Tree, found: &mut Vec<Finding>) {
    let names = |folder: &str| -> BTreeSet<String> {
        tree.below(folder, "").map(|(path, _)| path[folder.len()..].to_owned()).collect()
    };
    let [sqlite, postgres] = MIGRATIONS;
    for (folder, here, there) in
        [(sqlite, names(sqlite), names(postgres)), (postgres, names(postgres), names(sqlite))]
    {
        for name in there.difference(&here) {
            let advice =
                format!("`{name}` is missing here; each migration has one file per database");
            found.push(Finding::new(folder, 1, "migrations", advice));
        }
    }
}
