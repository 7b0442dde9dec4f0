//! Each rule with a small tree that breaks it, and the real tree that breaks none.

use super::layers::Package;
use super::*;

fn rules(found: &[Finding]) -> Vec<String> {
    found.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.rule)).collect()
}

fn code(files: &[(&str, &str)]) -> Vec<String> {
    rules(&code::check(&Tree::of(files)))
}

fn documents(files: &[(&str, &str)]) -> Vec<String> {
    rules(&documents::check(&Tree::of(files)))
}

fn store(files: &[(&str, &str)]) -> Vec<String> {
    rules(&store::check(&Tree::of(files)))
}

fn layers(name: &str, uses: &[(&str, bool)]) -> Vec<String> {
    let uses = uses.iter().map(|(used, tests)| ((*used).to_owned(), *tests)).collect();
    let found = layers::check(&[Package { name: name.to_owned(), uses }], &Tree::default());
    found.into_iter().map(|finding| finding.advice).collect()
}

#[test]
fn the_repository_is_tidy() {
    let failing: Vec<String> =
        findings().unwrap().iter().filter(|f| !f.warning).map(ToString::to_string).collect();
    assert!(failing.is_empty(), "run `cargo xtask tidy`:\n{}", failing.join("\n"));
}

#[test]
fn a_crate_uses_only_what_stands_below_it() {
    assert_eq!(
        layers("tp-web", &[("tp-store", false), ("axum", false), ("serde", false)]),
        [""; 0]
    );
    assert_eq!(
        layers("tp-engine", &[("tp-graph", false), ("tp-sim", true)]),
        ["tp-engine may use of ours: [tp-domain, tp-store]; not tp-graph"]
    );
    assert_eq!(layers("tp-client", &[("tp-domain", false)]).len(), 1);
    assert_eq!(layers("tp-ops", &[("reqwest", false)]).len(), 1);
    assert_eq!(layers("tp-ops", &[("reqwest", true)]).len(), 0);
    assert_eq!(
        layers("tp-web", &[("tp-graph", true)]),
        ["tp-web may not use tp-graph, not even in tests"]
    );
    assert_eq!(layers("tp-new", &[]).len(), 1);
}

#[test]
fn versions_stand_in_the_root_manifest() {
    let tree = Tree::of(&[(
        "crates/tp-domain/Cargo.toml",
        "[package]\nversion = \"1\"\n[dependencies]\nserde = \"1\"\nuuid.workspace = true\n",
    )]);
    let found = layers::check(&[Package { name: "tp-domain".to_owned(), uses: vec![] }], &tree);
    assert_eq!(rules(&found), ["crates/tp-domain/Cargo.toml:4: versions"]);
}

#[test]
fn long_files_are_split() {
    let long = "//\n".repeat(801);
    let tests = format!("//\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(code(&[("crates/a/src/b.rs", &long)]), ["crates/a/src/b.rs:801: file-size"]);
    assert_eq!(code(&[("crates/a/tests/b.rs", &long), ("crates/a/src/c.rs", &tests)]), [""; 0]);
    let worth = code::check(&Tree::of(&[("a.rs", &"//\n".repeat(401))]));
    assert!(worth[0].warning);
}

#[test]
fn a_status_moves_in_two_files_only() {
    let sql = "const A: &str = \"UPDATE jobs\nSET Status = 'x'\";";
    let second = "\n\"UPDATE operation_runs SET phase = $1, status = 'x' WHERE id = $2\"";
    let clean = "\"UPDATE operation_runs SET phase = $1 WHERE status = 'running'\" .set status";
    assert_eq!(
        code(&[("crates/tp-store/src/jobs.rs", sql)]),
        ["crates/tp-store/src/jobs.rs:2: set-status"]
    );
    assert_eq!(code(&[("crates/a/src/b.rs", second)]), ["crates/a/src/b.rs:2: set-status"]);
    assert_eq!(
        code(&[
            ("crates/tp-store/src/runs.rs", sql),
            ("crates/tp-store/src/claims/tests.rs", sql),
            ("crates/a/src/c.rs", clean),
        ]),
        [""; 0]
    );
}

#[test]
fn only_the_store_reads_messages_back() {
    let text = "fn a(text: String) {\n    SafeMessage::from_stored(text);\n}\n";
    assert_eq!(
        code(&[("crates/tp-ops/src/a.rs", text)]),
        ["crates/tp-ops/src/a.rs:2: stored-message"]
    );
    assert_eq!(code(&[("crates/tp-store/src/run_rows.rs", text)]), [""; 0]);
}

#[test]
fn only_the_store_gives_the_right_to_write() {
    let forged = "struct A;\nimpl WriteWarrant for A {}";
    assert_eq!(
        code(&[("crates/tp-ops/src/a.rs", forged)]),
        ["crates/tp-ops/src/a.rs:2: write-rights"]
    );
    assert_eq!(code(&[("crates/tp-store/src/a.rs", forged)]), [""; 0]);
}

#[test]
fn unfinished_work_is_found() {
    assert_eq!(code(&[("a.rs", "fn a() { todo!() }")]), ["a.rs:1: no-todo"]);
    assert_eq!(code(&[("a.rs", "fn a() {\n unimplemented!(\"x\") }")]), ["a.rs:2: no-todo"]);
    assert_eq!(
        code(&[("tests/a.rs", "#[test]\n#[ignore = \"slow\"]")]),
        ["tests/a.rs:2: no-ignore"]
    );
    assert_eq!(code(&[("a.rs", "// no #[ignore] here")]), [""; 0]);
}

#[test]
fn paths_of_a_machine_are_found() {
    assert_eq!(code(&[("a.md", "see `/home/x/a`")]), ["a.md:1: machine-path"]);
    assert_eq!(code(&[("a.toml", "a = 1\nb = \"/work/x\"")]), ["a.toml:2: machine-path"]);
    assert_eq!(code(&[("a.md", "at <https://x.test/home/a> and docs/work/a")]), [""; 0]);
}

#[test]
fn there_is_one_clippy_toml() {
    assert_eq!(
        code(&[("clippy.toml", ""), ("crates/a/clippy.toml", "")]),
        ["crates/a/clippy.toml:1: one-clippy"]
    );
}

#[test]
fn each_banned_call_has_a_sample() {
    let config = "x = [\n  { path = \"std::env::var\", reason = \"r\" },\n]";
    let sample = "reason = \"sample: std::env::var\"";
    assert_eq!(code(&[("clippy.toml", config)]), ["clippy.toml:2: banned-call-sample"]);
    assert_eq!(code(&[("clippy.toml", config), ("xtask/tests/banned_calls.rs", sample)]), [""; 0]);
}

#[test]
fn what_a_document_names_exists() {
    let check = |line: &str| {
        documents(&[("docs/a.md", line), ("crates/tp-x/src/b.rs", ""), ("README.md", "")]).len()
    };
    assert_eq!(check("`crates/tp-x/src/b.rs`, `tp-x/src/b.rs`, `b.rs`, [r](../README.md#top)"), 0);
    assert_eq!(check("`inventory.sync`, `text/html`, `/api/v1/runs`, `crates/tp-x/src/*.rs`"), 0);
    assert_eq!(check("`crates/tp-x/src/c.rs`"), 1);
    assert_eq!(check("`tp-y/src/b.rs`"), 1);
    assert_eq!(check("`tp-x/src/{b,c}.rs`"), 1);
    assert_eq!(check("`NOPE.md`"), 1);
    assert_eq!(check("[r](README.md) and [s](gone.md)"), 1);
    assert_eq!(check("```\n`crates/gone`\n```"), 0);
}

#[test]
fn each_kind_names_a_spec_that_exists() {
    let kind = ("crates/tp-domain/src/operation.rs", "a\n  spec: \"specs/001-a/spec.md\",");
    let spec = [
        kind,
        ("specs/001-a/spec.md", ""),
        ("specs/001-a/plan.md", ""),
        ("specs/001-a/tasks.md", ""),
        ("specs/001-a/checklists/requirements.md", ""),
    ];
    assert_eq!(documents(&[kind]), ["crates/tp-domain/src/operation.rs:2: spec"]);
    assert_eq!(documents(&spec), [""; 0]);
    assert_eq!(documents(&spec[..4]), ["specs/001-a/spec.md:1: spec"]);
}

#[test]
fn each_family_of_policy_types_is_named_by_a_spec() {
    let contract = ("crates/tp-catalog/contracts/a.json", "{\n \"category\": \"updates\"\n}");
    let names = |text| documents(&[contract, ("specs/1/spec.md", text)]).len();
    assert_eq!(names("families: `updates`") + 1, names("families: `apps`"));
}

#[test]
fn each_dependency_has_its_line() {
    let manifest = "[workspace.dependencies]\ntp-a = { path = \"a\" }\nserde = \"1\"\n[x]\ny = 1\n";
    let lines = "docs/decisions/dependencies.md";
    assert_eq!(documents(&[("Cargo.toml", manifest)]), ["Cargo.toml:3: dependencies"]);
    assert_eq!(documents(&[("Cargo.toml", manifest), (lines, "- `serde`: rows")]), [""; 0]);
    assert_eq!(
        documents(&[("Cargo.toml", manifest), (lines, "- `serde`: rows\n- `gone`: x")]),
        ["docs/decisions/dependencies.md:2: dependencies"]
    );
}

#[test]
fn each_store_method_has_a_conformance_test() {
    let source = ("crates/tp-store/src/a.rs", "impl A {\n    pub async fn run_get(&self) {}\n}");
    let test = |text| ("crates/tp-store/tests/conformance/a.rs", text);
    assert_eq!(store(&[source]), ["crates/tp-store/src/a.rs:2: conformance"]);
    assert_eq!(store(&[source, test("scope.run_get_all()")]).len(), 1);
    assert_eq!(store(&[source, test("scope.run_get().await")]), [""; 0]);
}

#[test]
fn both_databases_have_the_same_migrations() {
    assert_eq!(
        store(&[("crates/tp-store/migrations/sqlite/0001_a.sql", "")]),
        ["crates/tp-store/migrations/postgres/:1: migrations"]
    );
}
