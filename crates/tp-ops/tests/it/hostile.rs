//! TRUST A13, A14, A15, A17: replies that are wrong on purpose. No token leaves, no run hangs, nothing is
//! marked missing, every fault has its code. `cargo xtask prove graph` collects the figures.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_domain::completeness::Completeness;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome};
use tp_sim::faults::Fault;

use crate::proofs::figure;
use crate::world::{World, worlds};

/// Types that are read in different ways, and one that is left alone.
const TYPES: [(&str, &str); 6] = [
    ("deviceConfiguration", "/deviceConfigurations"),
    ("settingsCatalogPolicy", "/configurationPolicies"),
    ("deviceCompliancePolicy", "/deviceCompliancePolicies"),
    ("assignmentFilter", "/assignmentFilters"),
    ("namedLocation", "/namedLocations"),
    ("deviceManagementScript", "/deviceManagementScripts"),
];
const LEFT_ALONE: &str = "roleScopeTag";

fn faults(rules: &Value) -> Vec<Fault> {
    serde_json::from_value(rules.clone()).unwrap()
}

fn all_types() -> SyncInventory {
    let keys = TYPES.iter().map(|(key, _)| *key).chain([LEFT_ALONE]);
    SyncInventory::of_types(keys.map(|key| PolicyType::new(key).unwrap()).collect(), true)
}

/// The same fault for every type but one.
fn everywhere(action: &Value) -> Value {
    let rule = |path: &str| json!({"match": {"path_contains": path}, "action": action});
    Value::Array(TYPES.iter().map(|(_, path)| rule(path)).collect())
}

async fn missing(world: &World) -> u64 {
    let coverage = world.policies().await.coverage().await.unwrap();
    coverage.iter().map(|row| row.missing).sum()
}

/// Whether each bad type has failed for that reason, and the one left alone is complete.
async fn said(world: &World, run: &OperationRun, reason: ReasonCode) -> Vec<String> {
    let coverage = world.policies().await.coverage().await.unwrap();
    let mut wrong = Vec::new();
    for (key, _) in TYPES {
        let row = coverage.iter().find(|row| row.policy_type.as_str() == key);
        let code = row.and_then(|row| row.completeness.reason());
        if code != Some(reason) {
            wrong.push(format!("{key}: {code:?} instead of {reason}"));
        }
    }
    let good = coverage.iter().find(|row| row.policy_type.as_str() == LEFT_ALONE).unwrap();
    if good.completeness != Completeness::Complete {
        wrong.push(format!("{LEFT_ALONE} is {:?}", good.completeness));
    }
    if run.state.outcome() != Outcome::PartiallySucceeded {
        wrong.push(format!("the run is {}", run.state.outcome()));
    }
    wrong
}

#[tokio::test]
async fn a14_malformed_replies_end_in_their_code() {
    let mut kinds: Vec<Value> = [
        "nan",
        "cut",
        "bom",
        "invalid_utf8",
        "lone_surrogate",
        "duplicate_keys",
        "deep",
        "wrong_type",
        "wrong_items",
        "no_value",
        "value_is_object",
        "value_is_null",
        "nothing",
    ]
    .iter()
    .map(|how| json!({"kind": "malformed", "how": how}))
    .collect();
    kinds.push(json!({"kind": "html"}));
    let (mut runs, mut wrong, mut marked) = (0, Vec::new(), 0);
    for world in worlds(None).await {
        world.sync(all_types()).await;
        for kind in &kinds {
            world.sim.sim.set_faults(faults(&everywhere(kind)));
            let run = world.sync(all_types()).await;
            runs += 1;
            marked += missing(&world).await;
            for fault in said(&world, &run, ReasonCode::MalformedResponse).await {
                wrong.push(format!("{kind} on {}: {fault}", world.db.name()));
            }
        }
    }
    figure(
        "A14 malformed replies, on each database",
        "14 kinds x 6 types: 0 wrong codes, 0 items marked missing, the other type complete",
        &format!(
            "{runs} runs of 7 types, {} wrong {wrong:?}, {marked} marked missing",
            wrong.len()
        ),
        wrong.is_empty() && marked == 0 && runs >= kinds.len(),
    );
}

/// A host that nobody may speak to. Counts who does.
struct Trap {
    port: u16,
    met: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let met = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&met);
        std::thread::spawn(move || {
            while listener.accept().is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, met }
    }
}

#[tokio::test]
async fn a13_no_token_goes_to_a_foreign_host() {
    let trap = Trap::set();
    let (mut tried, mut wrong, mut marked) = (0, Vec::new(), 0);
    let (mut slowest, port) = (Duration::ZERO, trap.port);
    for world in worlds(None).await {
        world.sync(all_types()).await;
        let own = world.sim.url.trim_start_matches("http://").to_owned();
        let untrusted = [
            format!("http://127.0.0.1:{port}/beta/x"),
            format!("http://localhost:{port}/beta/x"),
            format!("http://{own}@127.0.0.1:{port}/beta/x"),
            format!("http://127.0.0.1:{port}/{own}/beta/x"),
            format!("https://127.0.0.1:{port}/beta/x"),
            format!("http://[::ffff:127.0.0.1]:{port}/beta/x"),
            format!("http://2130706433:{port}/beta/x"),
            format!("http://{own}/beta/users"),
            format!("http://{own}/v1.0/groups"),
        ];
        let links = untrusted
            .into_iter()
            .map(|url| (json!({"kind": "next_link", "url": url}), ReasonCode::UntrustedNextLink));
        let bad = [json!("/beta/x"), json!(7), json!({"a": 1}), json!(""), json!(null)]
            .map(|url| (json!({"kind": "next_link", "url": url}), ReasonCode::BadNextLink));
        let redirect = json!({"kind": "redirect", "to": format!("http://127.0.0.1:{port}/beta/x")});
        let redirect = [(redirect, ReasonCode::MalformedResponse)];
        for (action, reason) in links.chain(bad).chain(redirect) {
            world.sim.sim.set_faults(faults(&everywhere(&action)));
            let began = Instant::now();
            let run = world.sync(all_types()).await;
            slowest = slowest.max(began.elapsed());
            tried += TYPES.len();
            marked += missing(&world).await;
            for fault in said(&world, &run, reason).await {
                wrong.push(format!("{action} on {}: {fault}", world.db.name()));
            }
        }
        // The login host leads elsewhere: the secret would go along.
        let rule = json!([
            {"match": {"host": "graph"}, "times": 1, "action": {"kind": "status", "status": 401}},
            {"match": {"host": "login"},
             "action": {"kind": "redirect", "to": format!("http://127.0.0.1:{port}/token")}},
        ]);
        world.sim.sim.set_faults(faults(&rule));
        let run = world.sync(all_types()).await;
        tried += 1;
        if run.state.outcome() == Outcome::Succeeded {
            wrong.push("a sign-in elsewhere succeeded".to_owned());
        }
    }
    let met = trap.met.load(Ordering::SeqCst);
    figure(
        "A13 links and redirects to other hosts, 6 types and the token endpoint",
        "0 requests at the foreign host, the right code, <= 60 s, nothing marked missing",
        &format!(
            "{tried} tried, {met} requests, {} wrong {wrong:?}, {marked} marked missing, slowest {:.1} s",
            wrong.len(),
            slowest.as_secs_f64()
        ),
        met == 0 && wrong.is_empty() && marked == 0 && slowest <= Duration::from_mins(1),
    );
}

#[tokio::test]
async fn a15_a_host_that_does_not_go_on_is_left() {
    let kinds = [
        json!({"kind": "drip"}),
        json!({"kind": "drip", "ms": 600}),
        json!({"kind": "reset", "when": "before"}),
        json!({"kind": "reset", "when": "during"}),
        json!({"kind": "truncate"}),
    ];
    let (mut slowest, mut wrong, mut marked) = (Duration::ZERO, Vec::new(), 0);
    for world in worlds(None).await {
        world.sync(all_types()).await;
        for kind in &kinds {
            world.sim.sim.set_faults(faults(&everywhere(kind)));
            let began = Instant::now();
            let run = world.sync(all_types()).await;
            slowest = slowest.max(began.elapsed());
            marked += missing(&world).await;
            for fault in said(&world, &run, ReasonCode::GraphUnavailable).await {
                wrong.push(format!("{kind} on {}: {fault}", world.db.name()));
            }
        }
    }
    figure(
        "A15 a host that drips, hangs or breaks off",
        "given up <= 60 s, the place is free again, nothing marked missing",
        &format!(
            "slowest {:.1} s, {} wrong {wrong:?}, {marked} marked missing",
            slowest.as_secs_f64(),
            wrong.len()
        ),
        wrong.is_empty() && marked == 0 && slowest <= Duration::from_mins(1),
    );
}

#[tokio::test]
async fn a17_a_listing_that_shrinks_marks_nothing_missing() {
    const LARGE: [(&str, &str); 3] = [
        ("settingsCatalogPolicy", "/configurationPolicies"),
        ("deviceConfiguration", "/deviceConfigurations"),
        ("group", "/groups"),
    ];
    let request = || {
        let keys = LARGE.iter().map(|(key, _)| PolicyType::new(key).unwrap());
        SyncInventory::of_types(keys.collect(), true)
    };
    let (mut trials, mut marked, mut confirmed) = (0, 0, 0);
    for world in worlds(None).await {
        world.sync(request()).await;
        for trial in 0..17 {
            let action = match trial % 4 {
                0 => json!({"kind": "empty"}),
                // Never the same twice: a second equal listing would confirm the first.
                1 => json!({"kind": "shrink", "keep": 2 + trial % 8}),
                2 => json!({"kind": "shrink", "keep": 10}),
                // The second page does not come.
                _ => json!({"kind": "next_link", "url": "/beta/x"}),
            };
            let rules: Vec<Value> = LARGE
                .iter()
                .map(|(_, path)| json!({"match": {"path_contains": path}, "action": action}))
                .collect();
            world.sim.sim.set_faults(faults(&Value::Array(rules)));
            world.sync(request()).await;
            trials += LARGE.len();
            marked += missing(&world).await;
            world.sim.sim.set_faults(Vec::new());
            world.sync(request()).await;
        }
        // And what is said twice is believed: the guard is no wall.
        let rule = json!([{"match": {"path_contains": "/deviceConfigurations"},
            "action": {"kind": "shrink", "keep": 4}}]);
        world.sim.sim.set_faults(faults(&rule));
        world.sync(request()).await;
        world.sync(request()).await;
        confirmed += usize::from(missing(&world).await > 0);
    }
    figure(
        "A17 empty, shrunken and partial listings",
        ">= 50 trials on each database: 0 policies marked missing; a second equal listing is believed",
        &format!("{trials} trials, {marked} marked missing, believed on {confirmed} databases"),
        trials >= 50 && marked == 0 && confirmed > 0,
    );
}
