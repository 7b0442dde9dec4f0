//! Reading a tenant in full: requests, time and memory: `cargo xtask bench graph`.
//!
//! The simulator runs in this process, each reading in a process of its own, so that its memory is its own.
//! With `TENANTPILOT_INTUNECD` (a command that takes `--base --out --tenant --client --secret`) the real
//! IntuneCD reads the same tenant in turn with ours.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    reason = "a benchmark speaks and may stop"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tp_catalog::contract::Contract;
use tp_catalog::registry::Catalog;
use tp_domain::operation::Lane;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use tp_engine::jitter::{Jitter as _, SystemJitter};
use tp_graph::budget::Unshared;
use tp_graph::cloud::Cloud;
use tp_graph::credential::Credential;
use tp_graph::full::Read;
use tp_graph::session::{Access, WaitObserver};
use tp_graph::{Graph, GraphOptions};
use tp_sim::estate::EstatePlan;
use tp_sim::{Sim, SimOptions, SpawnedSim};
use tp_store::{SystemClock, SystemIds};

/// Six types that cost differently: from nothing beyond the listing to three requests a policy.
const TYPES: [&str; 6] = [
    "settingsCatalogPolicy",
    "deviceConfiguration",
    "deviceCompliancePolicy",
    "groupPolicyConfiguration",
    "deviceManagementScript",
    "iosAppProtection",
];

/// Types that are read at once, as an inventory sync does.
const AT_ONCE: usize = 4;

/// Policies of each type where IntuneCD reads too: it takes most of a minute for each hundred.
const RACE: u32 = 100;

#[derive(Debug)]
struct Silent;

impl WaitObserver for Silent {
    fn waits(&self, _: Timestamp, _: ReasonCode) {}
}

/// What one reading took.
struct Reading {
    objects: u64,
    faults: u64,
    seconds: f64,
    peak_mib: f64,
    counted: u64,
    http: u64,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("reader") {
        return read(&arguments[2..]).await;
    }
    let mut lines = Vec::new();
    let sim = simulator(1_000).await;
    let cold = reading(&sim, false).await;
    let warm = reading(&sim, true).await;
    lines.push(line(
        "6 types x 1,000 policies, cold",
        "<= 9,000 counted, <= 550 HTTP, <= 150 MiB",
        &cold,
        cold.counted <= 9_000 && cold.http <= 550 && cold.peak_mib <= 150.0 && whole(&cold, 6_000),
    ));
    lines.push(line(
        "the same, nothing changed",
        "<= 150 counted",
        &warm,
        warm.counted <= 150 && whole(&warm, 6_000),
    ));
    drop(sim);
    lines.extend(race().await);
    println!("| figure | target | measured | holds |\n| --- | --- | --- | --- |");
    for line in &lines {
        let holds = if line["holds"] == true { "yes" } else { "NO" };
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        println!("| {} | {} | {} | {holds} |", text("figure"), text("target"), text("measured"));
    }
    println!("{}", Value::Array(lines.clone()));
    if lines.iter().any(|line| line["holds"] != true) {
        std::process::exit(1);
    }
}

fn whole(reading: &Reading, objects: u64) -> bool {
    reading.objects == objects && reading.faults == 0
}

fn line(figure: &str, target: &str, reading: &Reading, holds: bool) -> Value {
    let measured = format!(
        "{} objects, {} faults, {} counted, {} HTTP, {:.2} s, {:.0} MiB",
        reading.objects,
        reading.faults,
        reading.counted,
        reading.http,
        reading.seconds,
        reading.peak_mib
    );
    json!({"figure": figure, "target": target, "measured": measured, "holds": holds})
}

/// A tenant that has these types and no others.
async fn simulator(each: u32) -> SpawnedSim {
    let estate = EstatePlan { corpus: None, tenants: 1, scale: 1, seed: 7 };
    let sim = Sim::new(SimOptions { estate, ..SimOptions::default() }).unwrap();
    let sim = sim.spawn().await.unwrap();
    let tenant = sim.sim.tenants().remove(0).id;
    let types: BTreeMap<String, u32> = Catalog::builtin()
        .unwrap()
        .iter()
        .filter(|(_, contract)| {
            contract.list.parent.is_none() && !contract.permissions.delegated_only
        })
        .map(|(key, _)| (key.to_string(), if TYPES.contains(&key.as_str()) { each } else { 0 }))
        .collect();
    control(&sim, "estate", &json!({"tenant": tenant, "types": types, "seed": 7})).await;
    sim
}

async fn control(sim: &SpawnedSim, path: &str, body: &Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/__sim/{path}", sim.url);
    let request = match path {
        "counters" => client.get(url),
        "latency" => client.put(url).json(body),
        _ => client.post(url).json(body),
    };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

async fn requests(sim: &SpawnedSim) -> (u64, u64) {
    let counters = control(sim, "counters", &Value::Null).await;
    (counters["graph"].as_u64().unwrap(), counters["graph_http"].as_u64().unwrap())
}

/// One reading by a process of its own.
async fn reading(sim: &SpawnedSim, known: bool) -> Reading {
    let tenant = sim.sim.tenants().remove(0);
    let before = requests(sim).await;
    let known = if known { "known" } else { "new" };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "reader",
        &sim.url,
        &tenant.id.to_string(),
        &tenant.client_id.to_string(),
        known,
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let secret = tenant.client_secret.clone();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    assert!(output.status.success(), "the reader failed");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let after = requests(sim).await;
    Reading {
        objects: told["objects"].as_u64().unwrap(),
        faults: told["faults"].as_u64().unwrap(),
        seconds: told["seconds"].as_f64().unwrap(),
        peak_mib: told["peak_mib"].as_f64().unwrap(),
        counted: after.0 - before.0,
        http: after.1 - before.1,
    }
}

/// The reader's side: everything in full, nothing kept.
async fn read(arguments: &[String]) {
    let [url, tenant, client, known] = arguments else { panic!("four words") };
    let mut secret = String::new();
    std::io::stdin().read_line(&mut secret).unwrap();
    let options = GraphOptions { budget_scale: 100.0, ..GraphOptions::default() };
    let chance: tp_graph::Chance = Arc::new(|| SystemJitter.unit());
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let graph = Graph::new(options, &[], clock, ids, chance, Arc::new(Unshared)).unwrap();
    let access = Access {
        cloud: Cloud::new("sim", url, url).unwrap(),
        entra_tenant_id: tenant.parse().unwrap(),
        client_id: client.clone(),
        credential: Credential::Secret(secret.into()),
    };
    let session = graph.session(access, Arc::new(Silent), Lane::Sync);
    let catalog = Catalog::builtin().unwrap();
    let contracts: Vec<&Contract> =
        TYPES.iter().map(|key| catalog.contract(&PolicyType::new(key).unwrap()).unwrap()).collect();
    // What the last reading saw is as it was: the caller's part of an incremental reading.
    let unchanged = known == "known";
    let is_known = |_: &Contract, _: &tp_domain::json::Json| unchanged;
    let began = Instant::now();
    let counts: Vec<(u64, u64)> = stream::iter(contracts.iter())
        .map(|contract| {
            let (session, catalog, is_known) = (&session, &catalog, &is_known);
            async move {
                let own = [*contract];
                let reads = session.read_in_full(catalog, &own, is_known);
                let count = reads.try_fold((0, 0), |(objects, faults), chunk| async move {
                    let failed = chunk.iter().filter(|(_, read)| match read {
                        Read::Full(full) => !full.faults.is_empty(),
                        Read::Unchanged(_) => false,
                        Read::Gone(_) => true,
                    });
                    Ok((objects + chunk.len() as u64, faults + failed.count() as u64))
                });
                count.await.unwrap()
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let seconds = began.elapsed().as_secs_f64();
    let (objects, faults) =
        counts.into_iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let told = json!({
        "objects": objects, "faults": faults, "seconds": seconds, "peak_mib": peak_mib(),
    });
    println!("{told}");
}

/// The most memory that this process has had.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok());
    kib.unwrap_or(f64::INFINITY) / 1024.0
}

/// Ours and IntuneCD in turn on the same tenant, without and with the way to Microsoft and back.
#[expect(clippy::disallowed_methods, reason = "a benchmark has no configuration file")]
async fn race() -> Vec<Value> {
    let Ok(intunecd) = std::env::var("TENANTPILOT_INTUNECD") else {
        eprintln!("IntuneCD is not measured: TENANTPILOT_INTUNECD is not set");
        return Vec::new();
    };
    let mut lines = Vec::new();
    for (latency, least) in [(0_u64, 5.0), (100, 10.0)] {
        let sim = simulator(RACE).await;
        control(&sim, "latency", &json!({"ms": latency})).await;
        let ours = reading(&sim, false).await;
        let before = requests(&sim).await;
        let theirs = intunecd_reads(&sim, &intunecd).await;
        let after = requests(&sim).await;
        let ratio = theirs.as_secs_f64() / ours.seconds;
        let measured = format!(
            "{ratio:.1} times: {:.2} s and {:.1} s ({} and {} counted, {} and {} HTTP)",
            ours.seconds,
            theirs.as_secs_f64(),
            ours.counted,
            after.0 - before.0,
            ours.http,
            after.1 - before.1,
        );
        lines.push(json!({
            "figure": format!("6 types x {RACE} policies against IntuneCD, {latency} ms latency"),
            "target": format!(">= {least} times as fast"),
            "measured": measured,
            "holds": ratio >= least && whole(&ours, u64::from(RACE) * 6),
        }));
    }
    lines
}

async fn intunecd_reads(sim: &SpawnedSim, command: &str) -> Duration {
    let tenant = sim.sim.tenants().remove(0);
    let out = tempfile::tempdir().unwrap();
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--base", &sim.url, "--out", &out.path().to_string_lossy()]);
    command.args(["--tenant", &tenant.domain, "--client", &tenant.client_id.to_string()]);
    command.args(["--secret", &tenant.client_secret]).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
    assert!(status.success(), "IntuneCD failed: {status}");
    began.elapsed()
}
