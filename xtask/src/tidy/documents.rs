//! Rules about documents: what they name exists, and what must be named in them is.

use super::{Finding, Tree};

const DEPENDENCIES: &str = "docs/decisions/dependencies.md";

/// What programs make when they run: a document may name it though it is not in the tree.
const MADE: [&str; 5] =
    ["target/", "demo-data", "data/", "node_modules", "tests/browser/node_modules"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.below("", ".md") {
        let is_document =
            !path.contains('/') || path.starts_with("docs/") || path.starts_with("specs/");
        if is_document {
            named_paths(tree, path, text, &mut found);
        }
    }
    specs(tree, &mut found);
    dependencies(tree, &mut found);
    found
}

fn named_paths(tree: &Tree, document: &str, text: &str, found: &mut Vec<Finding>) {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let links = between(line, "](", ")").into_iter().filter(|target| {
            !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:")
        });
        let quoted = between(line, "`", "`").into_iter().filter(|span| is_path(tree, span));
        for named in links.chain(quoted) {
            let bare = named.split(['#', '?']).next().unwrap_or(named);
            for path in alternatives(bare) {
                if !MADE.iter().any(|made| path.starts_with(made)) && !stands(tree, folder, &path) {
                    let advice = format!("`{path}` does not exist; name what does, or make it");
                    found.push(Finding::new(document, index + 1, "document-path", advice));
                }
            }
        }
    }
}

/// The texts between two marks.
fn between<'t>(line: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((part, next)) = after.split_once(close) else { break };
        parts.push(part);
        rest = next;
    }
    parts
}

/// Whether a quoted span names a file or folder of the repository.
fn is_path(tree: &Tree, span: &str) -> bool {
    if span.contains(|c: char| c.is_whitespace() || "<>:=$()[]\"'|…".contains(c))
        || span.contains("..")
    {
        return false;
    }
    match span.split_once('/') {
        Some(("", _)) => false,
        Some((first, _)) => first.starts_with("tp-") || tree.has(first),
        None => matches!(span.rsplit_once('.'), Some((_, "md" | "rs"))),
    }
}

/// `a/{b,c}.rs` names `a/b.rs` and `a/c.rs`.
fn alternatives(path: &str) -> Vec<String> {
    let Some((start, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((choices, end)) = rest.split_once('}') else { return vec![path.to_owned()] };
    choices.split(',').map(|choice| format!("{start}{choice}{end}")).collect()
}

fn stands(tree: &Tree, folder: &str, path: &str) -> bool {
    // Of a pattern, the folder before the first star must stand.
    let path = path.split('*').next().map_or(path, |start| {
        if start.len() < path.len() { start.rsplit_once('/').map_or("", |(f, _)| f) } else { start }
    });
    let relative = resolve(folder, path);
    tree.has(path)
        || tree.has(&relative)
        || tree.has(&format!("crates/{path}"))
        || (!path.contains('/')
            && tree.files.keys().any(|file| file.ends_with(&format!("/{path}"))))
}

/// Joins a folder and a relative path that may begin with `..`.
fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Each kind of run names a spec that exists, and each family of policy types is named by one.
fn specs(tree: &Tree, found: &mut Vec<Finding>) {
    for (path, text) in tree.below("crates/tp-catalog/contracts/", ".json") {
        let named = text.lines().enumerate().find_map(|(index, line)| {
            let family = line.trim_start().strip_prefix("\"category\": \"")?.split('"').next()?;
            Some((index + 1, family))
        });
        let (line, family) = named.unwrap_or((1, ""));
        if !tree.below("specs/", "/spec.md").any(|(_, spec)| spec.contains(&format!("`{family}`")))
        {
            let advice =
                format!("no spec names the family `{family}` of this type; write it first");
            found.push(Finding::new(path, line, "spec", advice));
        }
    }
    for (path, text) in tree.rust().filter(|(path, _)| path.starts_with("crates/")) {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let Some(named) = line.strip_prefix("spec: \"") else { continue };
            let Some((spec, _)) = named.split_once('"') else { continue };
            if !spec.starts_with("specs/") || !tree.files.contains_key(spec) {
                let advice = format!("the spec `{spec}` does not exist; write it first");
                found.push(Finding::new(path, index + 1, "spec", advice));
            }
        }
    }
    for (path, _) in tree.below("specs/", "/spec.md") {
        let folder = path.trim_end_matches("spec.md");
        for file in ["plan.md", "tasks.md", "checklists/requirements.md"] {
            if !tree.files.contains_key(&format!("{folder}{file}")) {
                let advice = format!("`{folder}{file}` is missing beside it");
                found.push(Finding::new(path, 1, "spec", advice));
            }
        }
    }
}

/// Each dependency has its line, and each line its dependency.
fn dependencies(tree: &Tree, found: &mut Vec<Finding>) {
    let manifest = tree.text("Cargo.toml");
    let document = tree.text(DEPENDENCIES);
    let named = |line: &str| -> Option<String> {
        Some(line.strip_prefix("- `")?.split_once("`: ")?.0.to_owned())
    };
    let documented: Vec<String> = document.lines().filter_map(named).collect();
    let mut used = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if let Some((name, value)) = line.split_once(" = ")
            && inside
            && !name.starts_with('#')
            && !value.contains("path = ")
        {
            used.push(name);
            if !documented.iter().any(|documented| documented == name) {
                let advice =
                    format!("add a line \"- `{name}`: what it saves us\" to {DEPENDENCIES}");
                found.push(Finding::new("Cargo.toml", index + 1, "dependencies", advice));
            }
        }
    }
    for (index, line) in document.lines().enumerate() {
        if let Some(name) = named(line)
            && !used.contains(&name.as_str())
        {
            let advice = format!("`{name}` is no longer used; remove the line");
            found.push(Finding::new(DEPENDENCIES, index + 1, "dependencies", advice));
        }
    }
}
