//! TRUST A3: a sync whose server is killed at each of its requests to Graph.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{After, SHORT_LEASE, figure, name, pick, short_leases};
use crate::process::{Installation, database_urls, is_completed};

/// How many requests the simulator has answered to Graph.
async fn graph_requests(installation: &Installation) -> u64 {
    let sim = tp_client::Client::new(&installation.sim, None).unwrap();
    sim.get("/__sim/counters").await.unwrap()["graph"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_sync_killed_at_each_request() {
    let mut good = true;
    for url in database_urls().await {
        let mut installation = Installation::new(url.as_deref(), 60, None);
        short_leases(&mut installation);
        let expected = std::fs::read(installation.folder().join("expected.json")).unwrap();
        let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
        let mut server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        let (mut kills, mut wrong, mut slowest) = (0, 0, Duration::ZERO);
        for place in (0..60_u64).step_by(pick(1, 15, 40)) {
            let before = graph_requests(&installation).await;
            let run = installation.start_sync(json!({})).await;
            let id = run["id"].as_str().unwrap().to_owned();
            while graph_requests(&installation).await <= before + place {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            server.kill();
            let killed = Instant::now();
            kills += 1;
            server = installation.serve(&["serve"]).await;
            let run = installation.until(&id, Duration::from_mins(1), is_completed).await;
            slowest = slowest.max(killed.elapsed());
            let counts = &run["counts"];
            let exact = counts["succeeded"].as_u64() == u64::try_from(expected.len()).ok()
                && counts["total"] == counts["processed"]
                && run["outcome"] == "succeeded";
            let notes = installation.client().list("/api/v1/notifications", 500).await.unwrap();
            let told = notes.iter().filter(|note| note["run"] == id.as_str()).count();
            wrong += usize::from(!exact || told != 2);
        }
        server.kill();
        let after = After::look(&installation, SHORT_LEASE).await;
        good &= figure(
            &format!("A3 a sync killed at each request, {}", name(url.as_ref())),
            "0 stuck, counts exact, 2 notifications each, ended <= 60 s after the kill, no rule broken",
            &format!(
                "{kills} kills, {wrong} wrong, slowest {:.1} s, {}",
                slowest.as_secs_f64(),
                after.words()
            ),
            wrong == 0
                && slowest <= Duration::from_mins(1)
                && after.active == 0
                && after.broken.is_empty(),
        );
    }
    assert!(good, "a figure is missed");
}
