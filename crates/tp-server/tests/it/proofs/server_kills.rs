//! TRUST A6: a server that is killed again and again while runs are started, half of them under a key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_client::{Client, ClientError};

use super::{After, SHORT_LEASE, figure, name, pick, short_leases};
use crate::process::{Installation, database_urls, is_completed};

/// Twenty starts a second.
const EVERY: Duration = Duration::from_millis(50);
const RUNS: &str = "/api/v1/tenants/contoso/runs";

/// What came of the starts.
#[derive(Debug, Default)]
struct Starts {
    asked: usize,
    keyed: Vec<String>,
    plain: Vec<String>,
    unanswered: usize,
    took: Duration,
}

/// Different selections, so that some starts find an equal run and others do not.
fn body(number: usize) -> Value {
    let all = ["roleScopeTag", "deviceConfiguration", "termsAndConditions"];
    let bits = number % 7 + 1;
    let types: Vec<&str> = (0..3).filter(|bit| bits >> bit & 1 == 1).map(|bit| all[bit]).collect();
    let inputs = json!({"types": types, "include_foundations": number.is_multiple_of(2)});
    json!({"kind": "inventory.sync", "inputs": inputs})
}

/// One start: with a key until it is answered, without one once.
async fn start(client: &Client, number: usize, key: Option<&str>) -> Option<String> {
    let body = body(number);
    let began = Instant::now();
    loop {
        match client.post(RUNS, &body, key).await {
            Ok(run) => return Some(run["id"].as_str().unwrap().to_owned()),
            // The server is there and says no: that is no kill.
            Err(ClientError::Refused { status, .. }) if status < 500 => panic!("{status}"),
            // The server is gone: the repeat with the same key is the same start.
            Err(_) if key.is_some() && began.elapsed() < Duration::from_mins(1) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => return None,
        }
    }
}

/// Starts at that rate, whatever becomes of them, until told to stop.
async fn start_for_ever(installation: &Installation, stop: Arc<AtomicBool>) -> Starts {
    let client = Arc::new(installation.client());
    let (mut ticks, mut tasks) = (tokio::time::interval(EVERY), tokio::task::JoinSet::new());
    let (began, mut starts) = (Instant::now(), Starts::default());
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let (client, number) = (Arc::clone(&client), starts.asked);
        starts.asked += 1;
        tasks.spawn(async move {
            let key = (number.is_multiple_of(2)).then(|| format!("key-{number}"));
            (key.is_some(), start(&client, number / 2, key.as_deref()).await)
        });
    }
    starts.took = began.elapsed();
    for (keyed, answer) in tasks.join_all().await {
        match answer {
            Some(run) if keyed => starts.keyed.push(run),
            Some(run) => starts.plain.push(run),
            None => starts.unanswered += 1,
        }
    }
    starts
}

/// How many of the answered runs there are not. All others, answered or not, have ended when this returns.
async fn missing(installation: &Installation, answered: &BTreeSet<&String>) -> usize {
    let mut missing = 0;
    for id in answered {
        if installation.client().get(&format!("{RUNS}/{id}")).await.is_ok() {
            installation.until(id, Duration::from_mins(2), is_completed).await;
        } else {
            missing += 1;
        }
    }
    for run in installation.client().list(RUNS, 500).await.unwrap() {
        let id = run["id"].as_str().unwrap();
        installation.until(id, Duration::from_mins(2), is_completed).await;
    }
    missing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_every_answered_start_exists_and_ends() {
    let mut good = true;
    for url in database_urls().await {
        let mut installation = Installation::new(url.as_deref(), 0, None);
        short_leases(&mut installation);
        let mut server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        let installation = Arc::new(installation);
        let stop = Arc::new(AtomicBool::new(false));
        let (starting, ending) = (Arc::clone(&installation), Arc::clone(&stop));
        let starts = tokio::spawn(async move { start_for_ever(&starting, ending).await });
        let kills = pick(200, 8, 2);
        for number in 0..kills {
            tokio::time::sleep(Duration::from_millis(200 + number * 37 % 400)).await;
            server.kill();
            server = installation.serve(&["serve"]).await;
        }
        stop.store(true, Ordering::SeqCst);
        let starts = starts.await.unwrap();
        let answered: BTreeSet<&String> = starts.keyed.iter().chain(&starts.plain).collect();
        let missing = missing(&installation, &answered).await;
        server.kill();
        let after = After::look(&installation, SHORT_LEASE).await;
        let per_second = rate(starts.asked, starts.took);
        good &= figure(
            &format!("A6 server kills under 20 starts/s, {}", name(url.as_ref())),
            "every answered start exists and ends; 0 half-made (job, notifications, audit entry)",
            &format!(
                "{kills} kills, {per_second:.1} starts/s, {} answers with and {} without a key about {} runs, {} \
                 without an answer, {missing} missing, {} not ended, {}",
                starts.keyed.len(),
                starts.plain.len(),
                answered.len(),
                starts.unanswered,
                after.active,
                after.words(),
            ),
            missing == 0
                && after.active == 0
                && after.broken.is_empty()
                && per_second >= 19.0
                && !starts.keyed.is_empty()
                && !starts.plain.is_empty(),
        );
    }
    assert!(good, "a figure is missed");
}

fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64()
}
