//! The demo finds every object of its estate, survives a restart, and leaves other databases alone.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{BINARY, Installation, corpus, database_urls, is_completed, run};

struct Demo {
    child: Child,
    lines: Vec<String>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(folder: &Path, extra: &[&str]) -> Demo {
    let data = folder.join("demo");
    let mut child = Command::new(BINARY)
        .args([
            "demo",
            "--listen",
            "127.0.0.1:0",
            "--latency-ms",
            "0",
            "--tenants",
            "2",
            "--data-dir",
        ])
        .arg(&data)
        .args(extra)
        .env_clear()
        .env("TENANTPILOT_LOG__LEVEL", "error")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = Vec::new();
    for line in reader.by_ref() {
        lines.push(line.unwrap());
        if lines.last().is_some_and(|line| line.contains("reader@")) {
            break;
        }
    }
    std::thread::spawn(move || reader.for_each(drop));
    Demo { child, lines }
}

impl Demo {
    fn url(&self) -> String {
        self.lines[0].rsplit(' ').next().unwrap().trim_end_matches('/').to_owned()
    }
}

#[test]
fn a_demo_survives_a_restart_and_keeps_its_people() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    assert!(first.url().starts_with("http://127.0.0.1:"), "{:?}", first.lines);
    let people = |demo: &Demo| {
        demo.lines.iter().filter(|line| line.contains('@')).cloned().collect::<Vec<_>>()
    };
    let before = people(&first);
    assert_eq!(before.len(), 3);
    let data = folder.path().join("demo").display().to_string();
    let printed = run(&["demo", "--data-dir", &data, "--print-login"], &[], "");
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed.lines().count(), 3, "beside the running demo");
    drop(first);
    let second = start(folder.path(), &[]);
    assert_eq!(people(&second), before);
    let password = before[0].rsplit(' ').next().unwrap();
    assert!(printed.contains(password));
}

#[tokio::test]
async fn a_demo_leaves_other_databases_alone() {
    for url in database_urls().await {
        let installation = Installation::new(url.as_deref(), 0, None);
        let database = url.unwrap_or_else(|| {
            format!("sqlite:{}/data/tenantpilot.db", installation.folder().display())
        });
        let data = installation.folder().join("demo").display().to_string();
        let args =
            ["demo", "--listen", "127.0.0.1:0", "--data-dir", &data, "--database", &database];
        let refused = run(&args, &[], "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success());
        assert!(said.contains("another installation") || said.contains("key file"), "{said}");
    }
}

/// Type and id of each entry, as the loader words them.
fn pairs(entries: &[Value], kind: &str, id: &str) -> BTreeSet<(String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| (text(entry, kind), text(entry, id))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_first_sync_every_object_is_in_the_inventory() {
    let corpus = corpus();
    if corpus.is_none() {
        println!("skipped: no corpus (a generated estate is used)");
    }
    for url in database_urls().await {
        let installation = Installation::new(url.as_deref(), 0, corpus.as_deref());
        let _server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        let began = Instant::now();
        let run = installation.start_sync(serde_json::json!({})).await;
        let id = run["id"].as_str().unwrap();
        let run = installation.until(id, Duration::from_mins(2), is_completed).await;
        println!("first sync: {:?}", began.elapsed());
        assert_eq!(run["outcome"], "succeeded", "{run}");
        let client = installation.client();
        let policies =
            client.list("/api/v1/tenants/contoso/policies?limit=200", 100_000).await.unwrap();
        let groups = client.list("/api/v1/tenants/contoso/groups", 100_000).await.unwrap();
        let mut found = pairs(&policies, "type", "graph_id");
        found.extend(
            groups
                .iter()
                .map(|group| ("group".to_owned(), group["graph_id"].as_str().unwrap().to_owned())),
        );
        let expected = std::fs::read(installation.folder().join("expected.json")).unwrap();
        let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
        assert_eq!(found, pairs(&expected, "policy_type", "id"), "{url:?}");
        assert_eq!(policies.len() + groups.len(), expected.len());
        let run = installation.start_sync(serde_json::json!({})).await;
        let run = installation
            .until(run["id"].as_str().unwrap(), Duration::from_mins(2), is_completed)
            .await;
        assert_eq!(run["context"]["rows_written"], 0, "a second sync writes nothing new");
    }
}
