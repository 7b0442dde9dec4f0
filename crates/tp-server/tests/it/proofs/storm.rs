//! TRUST A1: a thousand equal starts at one instant, by four people.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Barrier;
use tp_client::Client;
use tp_domain::access::Role;

use super::{After, LEASE, figure, name, percentile, pick};
use crate::process::{Installation, database_urls};

const STARTS: usize = 1_000;
const OTHERS: [&str; 3] = ["anna@example.com", "ben@example.com", "carla@example.com"];

/// The owner and three operators. Made before there is a server.
async fn people(installation: &Installation) -> Vec<Arc<Client>> {
    let store = installation.store().await;
    let workspace = store.console().workspaces().await.unwrap()[0].0;
    let mut clients = vec![Arc::new(installation.client())];
    for email in OTHERS {
        let token = store.test_user(workspace, email, Role::Operator).await;
        clients.push(Arc::new(installation.client_of(token.expose())));
    }
    store.close().await;
    clients
}

/// All at one instant; says how many went wrong, and how long the slowest hundredth took.
async fn storm(clients: &[Arc<Client>], round: usize) -> (usize, Duration) {
    let barrier = Arc::new(Barrier::new(STARTS));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..STARTS {
        let (client, barrier) =
            (Arc::clone(&clients[number % clients.len()]), Arc::clone(&barrier));
        tasks.spawn(async move {
            // Another selection each time, so that each round has its own run.
            let all = ["roleScopeTag", "deviceConfiguration", "termsAndConditions"];
            let inputs =
                json!({"include_foundations": round.is_multiple_of(2), "types": &all[0..=(round / 2)]});
            let body = json!({"kind": "inventory.sync", "inputs": inputs});
            barrier.wait().await;
            let asked = Instant::now();
            let run = client.post("/api/v1/tenants/contoso/runs", &body, None).await;
            (run, asked.elapsed())
        });
    }
    let (mut ids, mut created, mut errors, mut times) = (BTreeSet::new(), 0, 0, Vec::new());
    for (run, took) in tasks.join_all().await {
        times.push(took);
        match run {
            Ok(run) => {
                created += usize::from(run["deduplicated"] == false);
                ids.insert(run["id"].as_str().unwrap().to_owned());
            }
            Err(_) => errors += 1,
        }
    }
    (errors + ids.len().abs_diff(1) + usize::abs_diff(created, 1), percentile(&mut times, 99))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_thousand_equal_starts_again_and_again() {
    let mut good = true;
    for url in database_urls().await {
        let installation = Installation::new(url.as_deref(), 0, None);
        let clients = people(&installation).await;
        let mut server = installation.serve(&["serve", "--no-worker"]).await;
        installation.add_tenant().await;
        let (mut worst, mut wrong, rounds) = (Duration::ZERO, 0, pick(5, 2, 1));
        for round in 0..rounds {
            let (more, slowest) = storm(&clients, round).await;
            wrong += more;
            worst = worst.max(slowest);
        }
        server.kill();
        let after = After::look(&installation, LEASE).await;
        good &= figure(
            &format!("A1 1,000 equal starts by {} people, {}", clients.len(), name(url.as_ref())),
            "each time 1 created, 999 reused, 0 errors, p99 <= 1,500 ms; one run each, no rule broken",
            &format!(
                "{rounds} times, {wrong} wrong, worst p99 {} ms, {} runs, {}",
                worst.as_millis(),
                after.active,
                after.words()
            ),
            // The time is promised of an optimised build.
            wrong == 0
                && usize::try_from(after.active) == Ok(rounds)
                && after.broken.is_empty()
                && (cfg!(debug_assertions) || worst <= Duration::from_millis(1_500)),
        );
    }
    assert!(good, "a figure is missed");
}
