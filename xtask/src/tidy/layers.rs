//! The layer table (ARCHITECTURE.md): which crate may use which, and where versions are written.

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::{Finding, Tree};
use crate::shell;

/// What each crate may use of ours. A crate that is not here is a finding.
const LAYERS: [(&str, &[&str]); 15] = [
    ("tp-domain", &[]),
    ("tp-catalog", &["tp-domain"]),
    ("tp-graph", &["tp-domain", "tp-catalog"]),
    ("tp-store", &["tp-domain"]),
    ("tp-payload", &["tp-domain"]),
    ("tp-egress", &["tp-domain"]),
    ("tp-archive", &["tp-domain", "tp-catalog"]),
    ("tp-engine", &["tp-domain", "tp-store"]),
    (
        "tp-ops",
        &[
            "tp-domain",
            "tp-catalog",
            "tp-graph",
            "tp-store",
            "tp-payload",
            "tp-archive",
            "tp-engine",
        ],
    ),
    ("tp-web", &["tp-domain", "tp-catalog", "tp-store", "tp-engine"]),
    ("tp-sim", &["tp-domain"]),
    ("tp-client", &[]),
    ("tp-prove", &["tp-domain", "tp-store", "tp-engine"]),
    (
        "tp-server",
        &[
            "tp-domain",
            "tp-catalog",
            "tp-graph",
            "tp-store",
            "tp-payload",
            "tp-egress",
            "tp-archive",
            "tp-engine",
            "tp-ops",
            "tp-web",
            "tp-sim",
            "tp-client",
        ],
    ),
    ("xtask", &[]),
];

/// Crates of others that only these of ours may use outside tests.
const EXCLUSIVE: [(&str, &[&str]); 13] = [
    ("reqwest", &["tp-graph", "tp-client", "tp-egress"]),
    ("jsonwebtoken", &["tp-egress"]),
    ("saphyr-parser", &["tp-archive"]),
    ("zip", &["tp-archive"]),
    ("sqlx", &["tp-store"]),
    ("object_store", &["tp-payload"]),
    ("zstd", &["tp-payload"]),
    ("axum", &["tp-web", "tp-sim"]),
    ("maud", &["tp-web"]),
    ("toml", &["tp-catalog", "tp-server"]),
    ("clap", &["tp-server", "tp-prove", "xtask"]),
    ("tracing-subscriber", &["tp-server"]),
    ("anyhow", &["tp-server", "tp-prove", "xtask"]),
];

/// What may not be used even in tests: a page test that could reach Graph would hide that a page can.
const NEVER: [(&str, &[&str]); 1] = [("tp-web", &["tp-graph", "tp-ops", "sqlx", "reqwest"])];

/// A crate of ours and what it uses.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// The dependency's name, and whether it is for tests only.
    pub(super) uses: Vec<(String, bool)>,
}

pub(super) fn packages() -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new().current_dir(shell::root()).no_deps().exec()?;
    let package = |package: &cargo_metadata::Package| Package {
        name: package.name.to_string(),
        uses: package
            .dependencies
            .iter()
            .map(|used| (used.name.clone(), used.kind == DependencyKind::Development))
            .collect(),
    };
    Ok(metadata.workspace_packages().into_iter().map(package).collect())
}

pub(super) fn check(packages: &[Package], tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in packages {
        let manifest = manifest_of(&package.name);
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            found.push(Finding::new(
                &manifest,
                1,
                "layers",
                "this crate has no row in xtask/src/tidy/layers.rs; add one, and one in ARCHITECTURE.md",
            ));
            continue;
        };
        for (used, for_tests) in &package.uses {
            if let Some(advice) = fault(&package.name, allowed, used, *for_tests) {
                let line = line_of(tree.text(&manifest), used);
                found.push(Finding::new(&manifest, line, "layers", advice));
            }
        }
        versions(tree.text(&manifest), &manifest, &mut found);
    }
    found
}

fn fault(package: &str, allowed: &[&str], used: &str, for_tests: bool) -> Option<String> {
    if NEVER.iter().any(|(name, never)| *name == package && never.contains(&used)) {
        return Some(format!("{package} may not use {used}, not even in tests"));
    }
    if for_tests || used == package {
        return None;
    }
    if LAYERS.iter().any(|(name, _)| *name == used) && !allowed.contains(&used) {
        return Some(format!("{package} may use of ours: [{}]; not {used}", allowed.join(", ")));
    }
    let (_, owners) = EXCLUSIVE.iter().find(|(name, _)| *name == used)?;
    (!owners.contains(&package))
        .then(|| format!("{used} is for {} only; not for {package}", owners.join(" and ")))
}

fn manifest_of(package: &str) -> String {
    let folder = if package == "xtask" { "xtask".to_owned() } else { format!("crates/{package}") };
    format!("{folder}/Cargo.toml")
}

fn line_of(manifest: &str, used: &str) -> usize {
    let names =
        |line: &str| line.strip_prefix(used).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    manifest.lines().position(names).map_or(1, |index| index + 1)
}

/// Versions stand in the root manifest only.
fn versions(manifest: &str, path: &str, found: &mut Vec<Finding>) {
    let mut in_dependencies = false;
    for (index, line) in manifest.lines().enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies
            && line.contains('=')
            && !line.starts_with('#')
            && !line.contains("workspace = true")
            && !line.contains("path = ")
        {
            let advice = "write the version in the root Cargo.toml and `workspace = true` here";
            found.push(Finding::new(path, index + 1, "versions", advice));
        }
    }
}
