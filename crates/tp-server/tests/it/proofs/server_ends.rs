//! TRUST A33: a server that is asked to end under load cuts no answer and gives its runs back at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_domain::time::{Clock as _, Timestamp};
use tp_store::SystemClock;

use super::{After, LEASE, figure, name, pick};
use crate::process::{Installation, Process, database_urls, is_completed};

/// Eight askers, each asking every 140 ms: 57 requests a second.
const ASKERS: u32 = 8;
const EVERY: Duration = Duration::from_millis(140);
/// What is promised: the load, the time to end, the time until a run is taken over.
const LOAD: f64 = 50.0;
const EXIT: Duration = Duration::from_secs(30);
const TAKE_OVER: Duration = Duration::from_secs(10);

/// How a request over a connection of its own went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Whole,
    /// Nobody listened.
    NotTaken,
    /// The connection was taken and the answer did not come, or not whole.
    Cut,
}

fn ask(port: u16, request: &str) -> Answer {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return Answer::NotTaken };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
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

/// What the askers have seen.
#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    asked: AtomicU64,
    whole: AtomicU64,
    cut: AtomicU64,
}

/// Pages through the API, and each fifth request starts a run of another tenant.
fn requests(token: &str) -> [String; 5] {
    let head = format!("host: 127.0.0.1\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{head}\r\n");
    let body = json!({"kind": "inventory.sync", "inputs": {"types": ["roleScopeTag"]}}).to_string();
    [
        get("/api/v1/tenants"),
        get("/api/v1/tenants/contoso/runs"),
        get("/api/v1/tenants/fabrikam/runs"),
        get("/api/v1/notifications"),
        format!(
            "POST /api/v1/tenants/fabrikam/runs HTTP/1.1\r\n{head}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    ]
}

/// Asks at its rate; what comes late is made up for.
fn ask_for_ever(load: &Load, port: u16, requests: &[String], asker: u32) {
    let mut next = Instant::now() + EVERY * asker / ASKERS;
    let mut number = usize::try_from(asker).unwrap();
    while !load.stop.load(Ordering::SeqCst) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += EVERY;
        load.asked.fetch_add(1, Ordering::SeqCst);
        match ask(port, &requests[number % requests.len()]) {
            Answer::Whole => load.whole.fetch_add(1, Ordering::SeqCst),
            Answer::Cut => load.cut.fetch_add(1, Ordering::SeqCst),
            Answer::NotTaken => 0,
        };
        number += 1;
    }
}

/// What one end led to.
struct End {
    server: Process,
    exit: Duration,
    /// From the end of the old process until the run shows a sign of life of the new one.
    taken: Duration,
    right: bool,
}

/// Ends the server in the middle of a run and starts it again.
async fn end(installation: &Installation, mut server: Process) -> End {
    let run = installation.start_sync(json!({})).await;
    let id = run["id"].as_str().unwrap().to_owned();
    let working = |run: &Value| run["counts"]["succeeded"].as_u64() > Some(0);
    installation.until(&id, Duration::from_secs(30), working).await;
    let asked = Instant::now();
    server.terminate();
    let ended = server.wait(EXIT);
    let (exit, gone, since) = (asked.elapsed(), SystemClock.now(), Instant::now());
    let server = installation.serve(&["serve"]).await;
    // A sign of life that is older is one of the process that has ended.
    let taken = |run: &Value| {
        let beat = run["heartbeat_at"].as_str().and_then(Timestamp::parse);
        beat.is_some_and(|beat| beat > gone)
    };
    installation.until(&id, Duration::from_mins(1), taken).await;
    let taken = since.elapsed();
    let run = installation.until(&id, Duration::from_mins(1), is_completed).await;
    // Given back with its try: the new process is still at the first.
    let right = ended && run["outcome"] == "succeeded" && run["attempt"] == 1;
    End { server, exit, taken, right }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a33_a_server_that_is_ended_cuts_no_answer() {
    let mut good = true;
    for url in database_urls().await {
        let mut installation = Installation::new(url.as_deref(), 40, None);
        // Leases as shipped: what is handed back does not wait for them.
        installation.set("TENANTPILOT_LOG__LEVEL", "error");
        let mut server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        installation.add_tenant_as(1, "fabrikam").await;
        let (load, began) = (Arc::new(Load::default()), Instant::now());
        let askers: Vec<_> = (0..ASKERS)
            .map(|asker| {
                let (load, port) = (Arc::clone(&load), installation.port());
                let requests = requests(&installation.token);
                std::thread::spawn(move || ask_for_ever(&load, port, &requests, asker))
            })
            .collect();
        let ends = pick(50, 6, 2);
        let (mut exit, mut taken, mut wrong) = (Duration::ZERO, Duration::ZERO, 0);
        for _ in 0..ends {
            let seen = end(&installation, server).await;
            server = seen.server;
            (exit, taken) = (exit.max(seen.exit), taken.max(seen.taken));
            wrong += usize::from(!seen.right);
        }
        load.stop.store(true, Ordering::SeqCst);
        askers.into_iter().for_each(|asker| asker.join().unwrap());
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let (asked, whole, cut) = (count(&load.asked), count(&load.whole), count(&load.cut));
        let per_second = f64::from(u32::try_from(asked).unwrap()) / began.elapsed().as_secs_f64();
        server.kill();
        let after = After::look(&installation, LEASE).await;
        good &= figure(
            &format!("A33 SIGTERM under 50 requests/s, {}", name(url.as_ref())),
            "0 cut answers, exit <= 30 s, runs taken over <= 10 s, with their try",
            &format!(
                "{ends} ends, {per_second:.0} requests/s, {whole} whole answers, {cut} cut, slowest exit {:.1} s, \
                 slowest take-over {:.1} s, {wrong} wrong, {}",
                exit.as_secs_f64(),
                taken.as_secs_f64(),
                after.words(),
            ),
            cut == 0
                && wrong == 0
                && exit <= EXIT
                && taken <= TAKE_OVER
                && per_second >= LOAD
                && after.broken.is_empty(),
        );
    }
    assert!(good, "a figure is missed");
}
