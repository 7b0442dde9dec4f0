//! SIGKILL in mid-sync: the run ends correctly, with exact counts (TRUST A4).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Installation, database_urls, is_completed};

/// How often; `TENANTPILOT_TEST_KILLS=30` is the long form.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn kills() -> usize {
    std::env::var("TENANTPILOT_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_loses_nothing() {
    let mut good = true;
    for url in database_urls().await {
        let installation = Installation::new(url.as_deref(), 100, None);
        let expected = std::fs::read(installation.folder().join("expected.json")).unwrap();
        let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
        let mut recoveries = Vec::new();
        let mut server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        for number in 0..kills() {
            let run = installation.start_sync(json!({})).await;
            let id = run["id"].as_str().unwrap().to_owned();
            // At another place each time: after so many objects are stored.
            let place = u64::try_from(number * 17 % 60 + 1).unwrap();
            let limit = Duration::from_mins(1);
            installation
                .until(&id, limit, |run| run["counts"]["succeeded"].as_u64() >= Some(place))
                .await;
            server.kill();
            let killed = Instant::now();
            server = installation.serve(&["serve"]).await;
            let run = installation.until(&id, Duration::from_secs(75), is_completed).await;
            recoveries.push(killed.elapsed());
            assert_eq!(run["outcome"], "succeeded", "{url:?}: {run}");
            let counts = &run["counts"];
            assert_eq!(counts["succeeded"].as_u64(), u64::try_from(expected.len()).ok(), "{url:?}");
            assert_eq!(counts["total"], counts["processed"]);
            assert_eq!(run["attempt"], 2, "{url:?}: it was taken over");
            let notes = installation.client().list("/api/v1/notifications", 500).await.unwrap();
            let about = notes.iter().filter(|note| note["run"] == id.as_str()).count();
            assert_eq!(about, 2, "queued and ended, once each");
        }
        recoveries.sort();
        let (median, longest) =
            (recoveries[recoveries.len() / 2], recoveries[recoveries.len() - 1]);
        println!(
            "recovery after SIGKILL on {}: {} kills, median {median:?}, max {longest:?}",
            if url.is_some() { "PostgreSQL" } else { "SQLite" },
            recoveries.len()
        );
        good &= crate::proofs::figure(
            &format!(
                "A4 recovery after SIGKILL, {}",
                if url.is_some() { "postgres" } else { "sqlite" }
            ),
            "median <= 30 s, max <= 60 s with default settings",
            &format!("{} kills, median {median:.1?}, max {longest:.1?}", recoveries.len()),
            median <= Duration::from_secs(30) && longest <= Duration::from_mins(1),
        );
    }
    assert!(good, "a figure is missed");
}
