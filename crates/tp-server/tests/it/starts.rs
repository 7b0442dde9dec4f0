//! Many equal starts at once make one run (TRUST A1), and pages reach nobody but the database.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::process::{Installation, database_urls};

/// How many starts at once.
const STARTS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_starts_make_one_run() {
    for url in database_urls().await {
        let installation = Installation::new(url.as_deref(), 0, None);
        let _server = installation.serve(&["serve", "--no-worker"]).await;
        installation.add_tenant().await;
        let client = Arc::new(installation.client());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..STARTS {
            let client = client.clone();
            tasks.spawn(async move {
                let body = json!({"kind": "inventory.sync"});
                client.post("/api/v1/tenants/contoso/runs", &body, None).await
            });
        }
        let mut ids = BTreeSet::new();
        let (mut created, mut reused) = (0, 0);
        for answer in tasks.join_all().await {
            let run = answer.unwrap();
            ids.insert(run["id"].as_str().unwrap().to_owned());
            if run["deduplicated"] == true { reused += 1 } else { created += 1 }
        }
        assert_eq!((created, reused, ids.len()), (1, STARTS - 1, 1), "{url:?}");
        let runs = client.list("/api/v1/tenants/contoso/runs", 100).await.unwrap();
        assert_eq!(runs.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_and_no_answer_reaches_graph() {
    let installation = Installation::new(None, 0, None);
    let _server = installation.serve(&["serve", "--no-worker"]).await;
    installation.add_tenant().await;
    let run = installation.start_sync(json!({})).await;
    let id = run["id"].as_str().unwrap();
    let sim = tp_client::Client::new(&installation.sim, None).unwrap();
    let client = installation.client();
    for line in tp_web::table().lines() {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        if method == "GET" {
            let path = path
                .replace("{tenant}", "contoso")
                .replace("{id}", id)
                .replace("{code}", "graph_throttled");
            // Pages are HTML, which the client does not read: only that they answer matters here.
            let _ = client.get(&path).await;
        }
    }
    let counters = sim.get("/__sim/counters").await.unwrap();
    assert_eq!((counters["graph"].as_u64(), counters["login"].as_u64()), (Some(0), Some(0)));
}
