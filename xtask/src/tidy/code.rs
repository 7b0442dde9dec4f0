//! Rules about the text of Rust files and about files that may stand in one place only.

use super::{Finding, Tree, is_test_file, line_at, without_tests};

/// Above this a file is worth splitting.
const LINES_WARN: usize = 400;
/// Above this a file must be split.
const LINES_FAIL: usize = 800;

/// The only files whose SQL may move a run's status (rule I-6).
const STATUS_FILES: [&str; 3] = [
    "crates/tp-store/src/runs.rs",
    "crates/tp-store/src/claims.rs",
    "crates/tp-store/src/endings.rs",
];

/// Where a stored sentence becomes a safe message again (rule I-7): the store, which writes no others.
const STORED_MESSAGES: &str = "crates/tp-store/src/";
/// What lets a client write into a tenant. Rust cannot say that one crate alone may implement a trait of
/// another, so this does.
const WRITE_RIGHTS: [&str; 2] = ["WriteWarrant", "RecordedIntent"];

/// How a path of somebody's machine begins.
const MACHINE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];

/// The samples that show that clippy still flags each banned call.
const SAMPLES: &str = "xtask/tests/banned_calls.rs";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.rust() {
        unfinished(path, text, &mut found);
        if !path.starts_with(STORED_MESSAGES) && !path.starts_with("xtask/src/tidy") {
            stored_messages(path, text, &mut found);
        }
        if !is_test_file(path) {
            size(path, text, &mut found);
            if !STATUS_FILES.contains(&path) {
                status(path, without_tests(text), &mut found);
            }
        }
    }
    for (path, text) in tree.rust().filter(|(path, _)| !path.starts_with("crates/tp-store/src/")) {
        for right in WRITE_RIGHTS {
            if let Some(at) = text.find(&format!("impl {right} for")) {
                let advice =
                    format!("only the store's doors give a {right} (rule I-8); take it from there");
                found.push(Finding::new(path, line_at(text, at), "write-rights", advice));
            }
        }
    }
    for (path, text) in &tree.files {
        if !path.starts_with("xtask/src/tidy") && path != "Cargo.lock" {
            machine_paths(path, text, &mut found);
        }
    }
    for (path, _) in tree.below("", "clippy.toml") {
        if path != "clippy.toml" {
            let advice = "it would replace the one at the root; move its lines there";
            found.push(Finding::new(path, 1, "one-clippy", advice));
        }
    }
    banned_calls(tree, &mut found);
    found
}

fn size(path: &str, text: &str, found: &mut Vec<Finding>) {
    let lines = without_tests(text).lines().count();
    if lines > LINES_FAIL {
        let advice = format!("{lines} lines, at most {LINES_FAIL}; split it by what it is about");
        found.push(Finding::new(path, lines, "file-size", advice));
    } else if lines > LINES_WARN {
        let advice = format!("{lines} lines, better {LINES_WARN}; can it be two files?");
        found.push(Finding::new(path, lines, "file-size", advice).warning());
    }
}

fn unfinished(path: &str, text: &str, found: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        if line.contains("#[ignore") {
            let advice = "a test that does not run is no test: mend it or remove it";
            found.push(Finding::new(path, index + 1, "no-ignore", advice));
        }
        if line.contains("todo!(") || line.contains("unimplemented!(") {
            found.push(Finding::new(path, index + 1, "no-todo", "write it, or leave it out"));
        }
    }
}

/// Any text could become a sentence for people by this way, a secret too.
fn stored_messages(path: &str, text: &str, found: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        if line.contains("from_stored") && !line.contains("fn from_stored") {
            let advice = "only the store reads messages back (rule I-7); make one by a reason code";
            found.push(Finding::new(path, index + 1, "stored-message", advice));
        }
    }
}

/// SQL that sets a status: `SET status`, and any update of runs that names the column before WHERE.
fn status(path: &str, text: &str, found: &mut Vec<Finding>) {
    let advice =
        "only runs.rs, claims.rs and endings.rs of tp-store move a status (rule I-6); call them";
    // Accounts have a status of their own.
    let lower = text.to_ascii_lowercase().replace("update users set", "update users sat");
    let mut lines = Vec::new();
    for (at, _) in lower.match_indices("set") {
        let rest = lower[at + 3..].trim_start();
        if rest.len() < lower[at + 3..].len()
            && rest.strip_prefix("status").is_some_and(|rest| rest.trim_start().starts_with('='))
        {
            lines.push(line_at(text, at));
        }
    }
    for (at, _) in lower.match_indices("update operation_runs") {
        let statement = &lower[at..];
        let end = [" where", "\nwhere", "\""].iter().filter_map(|stop| statement.find(stop)).min();
        let set = &statement[..end.unwrap_or(statement.len())];
        if set.contains(", status =") || set.contains("\nstatus =") {
            lines.push(line_at(text, at));
        }
    }
    lines.sort_unstable();
    lines.dedup();
    found.extend(lines.into_iter().map(|line| Finding::new(path, line, "set-status", advice)));
}

fn machine_paths(path: &str, text: &str, found: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        let named = MACHINE_PATHS.iter().any(|start| {
            line.match_indices(start).any(|(at, _)| {
                line[..at]
                    .chars()
                    .next_back()
                    .is_none_or(|before| !before.is_alphanumeric() && !"./~*})-_".contains(before))
            })
        });
        if named {
            let advice = "a path of one machine; write it relative to the repository";
            found.push(Finding::new(path, index + 1, "machine-path", advice));
        }
    }
}

/// Each call that `clippy.toml` bans has a sample. The sample carries an `#[expect]`, so clippy
/// itself complains when it stops flagging the call, for instance after a rename upstream.
fn banned_calls(tree: &Tree, found: &mut Vec<Finding>) {
    for (index, line) in tree.text("clippy.toml").lines().enumerate() {
        let Some(rest) = line.trim_start().strip_prefix("{ path = \"") else { continue };
        let Some((banned, _)) = rest.split_once('"') else { continue };
        if !tree.text(SAMPLES).contains(&format!("sample: {banned}\"")) {
            let advice = format!("add a sample of `{banned}` to {SAMPLES}");
            found.push(Finding::new("clippy.toml", index + 1, "banned-call-sample", advice));
        }
    }
}
