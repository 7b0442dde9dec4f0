//! TRUST A1, A3, A6, A33 over HTTP: storms of starts, a sync killed at each request, a server killed and
//! ended under load. `cargo xtask prove engine` sets the sizes and collects the figures.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_client::ClientError;

use crate::process::{Installation, Process, database_urls, is_completed};

/// The size of a proof: of every change, unless `TENANTPILOT_PROVE` says `short` or `long`.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn pick<T>(long: T, short: T, smallest: T) -> T {
    match std::env::var("TENANTPILOT_PROVE").as_deref() {
        Ok("long") => long,
        Ok("short") => short,
        _ => smallest,
    }
}

/// Appends a figure to the file that the prover reads, and fails when it does not hold.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
#[expect(clippy::print_stdout, reason = "a figure must be seen")]
pub(crate) fn figure(figure: &str, target: &str, measured: &str, holds: bool) {
    let line = json!({"figure": figure, "target": target, "measured": measured, "holds": holds});
    println!("{line}");
    if let Ok(path) = std::env::var("TENANTPILOT_PROVE_FILE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    assert!(holds, "{figure}: {measured}; promised: {target}");
}

const fn name(url: Option<&String>) -> &'static str {
    if url.is_some() { "postgres" } else { "sqlite" }
}

fn percentile(times: &mut [Duration], of_hundred: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * of_hundred / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_thousand_equal_starts_again_and_again() {
    for url in database_urls().await {
        let installation = Installation::new(url.as_deref(), 0, None);
        let _server = installation.serve(&["serve", "--no-worker"]).await;
        installation.add_tenant().await;
        let client = Arc::new(installation.client());
        let (mut worst, mut wrong, rounds) = (Duration::ZERO, 0, pick(5, 2, 1));
        for round in 0..rounds {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..1_000 {
                let client = Arc::clone(&client);
                tasks.spawn(async move {
                    // Another selection each time, so that each round has its own run.
                    let all = ["roleScopeTag", "deviceConfiguration", "termsAndConditions"];
                    let types = &all[0..=(round / 2)];
                    let inputs = json!({"include_foundations": round % 2 == 0, "types": types});
                    let body = json!({"kind": "inventory.sync", "inputs": inputs});
                    let asked = Instant::now();
                    let run = client.post("/api/v1/tenants/contoso/runs", &body, None).await;
                    (run.unwrap(), asked.elapsed())
                });
            }
            let (mut ids, mut created, mut times) = (BTreeSet::new(), 0, Vec::new());
            for (run, took) in tasks.join_all().await {
                ids.insert(run["id"].as_str().unwrap().to_owned());
                created += usize::from(run["deduplicated"] == false);
                times.push(took);
            }
            wrong += usize::from(ids.len() != 1) + created.abs_diff(1);
            worst = worst.max(percentile(&mut times, 99));
        }
        figure(
            &format!("A1 1,000 equal starts, {}", name(url.as_ref())),
            "each time 1 created, 999 reused, 0 errors, p99 <= 1,500 ms",
            &format!("{rounds} times, {wrong} wrong, worst p99 {} ms", worst.as_millis()),
            // The time is promised of an optimised build.
            wrong == 0 && (cfg!(debug_assertions) || worst <= Duration::from_millis(1_500)),
        );
    }
}

/// How many requests the simulator has answered to Graph.
async fn graph_requests(installation: &Installation) -> u64 {
    let sim = tp_client::Client::new(&installation.sim, None).unwrap();
    sim.get("/__sim/counters").await.unwrap()["graph"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_sync_killed_at_each_request() {
    for url in database_urls().await {
        let mut installation = Installation::new(url.as_deref(), 60, None);
        // Ruling 34: leases of the proofs.
        installation.set("TENANTPILOT_WORKER__LEASE_SECONDS", "3");
        installation.set("TENANTPILOT_WORKER__HEARTBEAT_SECONDS", "1");
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
        figure(
            &format!("A3 a sync killed at each request, {}", name(url.as_ref())),
            "0 stuck, counts exact, 2 notifications each",
            &format!("{kills} kills, {wrong} wrong, slowest {:.1} s", slowest.as_secs_f64()),
            wrong == 0,
        );
    }
}

/// Starts runs at that rate until told to stop; gives the ids that were answered.
async fn start_for_ever(installation: &Installation, stop: Arc<AtomicBool>) -> Vec<String> {
    let (client, keys) = (installation.client(), AtomicU64::new(0));
    let mut answered = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = keys.fetch_add(1, Ordering::SeqCst);
        // One of two selections, so that some starts are reuses.
        let kind = if number.is_multiple_of(2) { "roleScopeTag" } else { "termsAndConditions" };
        let inputs = json!({"types": [kind]});
        let body = json!({"kind": "inventory.sync", "inputs": inputs});
        let key = format!("key-{number}");
        loop {
            match client.post("/api/v1/tenants/contoso/runs", &body, Some(&key)).await {
                Ok(run) => {
                    answered.push(run["id"].as_str().unwrap().to_owned());
                    break;
                }
                // The server is gone: the repeat with the same key is the same start.
                Err(ClientError::Refused { status, .. }) if status < 500 => panic!("{status}"),
                Err(_) if stop.load(Ordering::SeqCst) => break,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_every_answered_start_exists_and_ends() {
    for url in database_urls().await {
        let mut installation = Installation::new(url.as_deref(), 0, None);
        installation.set("TENANTPILOT_WORKER__LEASE_SECONDS", "3");
        installation.set("TENANTPILOT_WORKER__HEARTBEAT_SECONDS", "1");
        let mut server = Some(installation.serve(&["serve"]).await);
        installation.add_tenant().await;
        let installation = Arc::new(installation);
        let stop = Arc::new(AtomicBool::new(false));
        let (starting, ending) = (Arc::clone(&installation), Arc::clone(&stop));
        let starts = tokio::spawn(async move { start_for_ever(&starting, ending).await });
        let kills = pick(200, 8, 2);
        for number in 0..kills {
            tokio::time::sleep(Duration::from_millis(200 + number * 37 % 400)).await;
            if let Some(mut server) = server.take() {
                server.kill();
            }
            server = Some(installation.serve(&["serve"]).await);
        }
        stop.store(true, Ordering::SeqCst);
        let answered = starts.await.unwrap();
        let unique: BTreeSet<&String> = answered.iter().collect();
        let mut missing = 0;
        for id in &unique {
            // Each exists and comes to its end.
            let path = format!("/api/v1/tenants/contoso/runs/{id}");
            match installation.client().get(&path).await {
                Ok(run) if is_completed(&run) => {}
                Ok(_) => {
                    installation.until(id, Duration::from_mins(1), is_completed).await;
                }
                Err(_) => missing += 1,
            }
        }
        figure(
            &format!("A6 server kills under starts, {}", name(url.as_ref())),
            "every answered start exists and ends",
            &format!(
                "{kills} kills, {} answers about {} runs, {missing} missing, all others ended",
                answered.len(),
                unique.len()
            ),
            missing == 0,
        );
    }
}

/// How a request over a connection of its own went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Whole,
    /// Nobody listened.
    NotTaken,
    /// The connection was taken and the answer did not come, or not whole.
    Cut,
}

fn ask(port: u16, token: &str) -> Answer {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return Answer::NotTaken };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let request = format!(
        "GET /api/v1/tenants HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    if stream.write_all(request.as_bytes()).is_err() {
        return Answer::Cut;
    }
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Answer::Cut };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok())
    });
    let whole = read.is_ok() && length.is_none_or(|length: usize| length == body.len());
    if whole { Answer::Whole } else { Answer::Cut }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a33_a_server_that_is_ended_cuts_no_answer() {
    for url in database_urls().await {
        let mut installation = Installation::new(url.as_deref(), 40, None);
        // Leases as shipped: what is handed back does not wait for them.
        installation.set("TENANTPILOT_LOG__LEVEL", "error");
        let mut server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        let (port, token) = (installation.port(), installation.token.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let (mut askers, cut, whole) =
            (Vec::new(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for _ in 0..2 {
            let (token, stop) = (token.clone(), Arc::clone(&stop));
            let (cut, whole) = (Arc::clone(&cut), Arc::clone(&whole));
            askers.push(std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    match ask(port, &token) {
                        Answer::Whole => whole.fetch_add(1, Ordering::SeqCst),
                        Answer::Cut => cut.fetch_add(1, Ordering::SeqCst),
                        Answer::NotTaken => 0,
                    };
                    std::thread::sleep(Duration::from_millis(40));
                }
            }));
        }
        let (ends, mut slowest_exit, mut slowest_takeover, mut wrong) =
            (pick(50, 6, 2), Duration::ZERO, Duration::ZERO, 0);
        for _ in 0..ends {
            let run = installation.start_sync(json!({})).await;
            let id = run["id"].as_str().unwrap().to_owned();
            let working = |run: &Value| run["counts"]["succeeded"].as_u64() > Some(0);
            installation.until(&id, Duration::from_secs(30), working).await;
            let asked = Instant::now();
            server.terminate();
            wrong += usize::from(!server.wait(Duration::from_secs(30)));
            slowest_exit = slowest_exit.max(asked.elapsed());
            server = installation.serve(&["serve"]).await;
            let back = Instant::now();
            let taken =
                |run: &Value| run["status"] == "completed" || run["heartbeat_at"].is_string();
            installation.until(&id, Duration::from_mins(1), taken).await;
            let run = installation.until(&id, Duration::from_mins(1), is_completed).await;
            slowest_takeover = slowest_takeover.max(back.elapsed());
            wrong += usize::from(run["outcome"] != "succeeded" || run["attempt"] != 1);
        }
        stop.store(true, Ordering::SeqCst);
        askers.into_iter().for_each(|asker| asker.join().unwrap());
        let (cut, whole) = (cut.load(Ordering::SeqCst), whole.load(Ordering::SeqCst));
        figure(
            &format!("A33 SIGTERM under load, {}", name(url.as_ref())),
            "0 cut answers, exit <= 30 s, runs go on within 10 s, with their try",
            &format!(
                "{ends} ends, {whole} whole answers, {cut} cut, slowest exit {:.1} s, slowest run ended {:.1} s after the \
                 new start, {wrong} wrong",
                slowest_exit.as_secs_f64(),
                slowest_takeover.as_secs_f64()
            ),
            cut == 0 && wrong == 0 && slowest_exit <= Duration::from_secs(30),
        );
        drop::<Process>(server);
    }
}
