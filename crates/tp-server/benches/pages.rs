//! How fast pages and starts are with 100,000 runs in one tenant: `cargo xtask bench pages`.
//!
//! The whole way is measured: a client over loopback, the accept loop, the page, the database.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark speaks and may stop")]

#[path = "pages/versions.rs"]
mod versions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tp_catalog::registry::Catalog;
use tp_store::testing::{TestDatabase, postgres_server};
use tp_store::{NewTenant, SystemIds};
use tp_web::{App, WebSettings};

/// Runs in the tenant's table.
const RUNS: u32 = 100_000;
/// Requests per line of the table.
const REQUESTS: usize = 600;

struct Line {
    database: &'static str,
    what: &'static str,
    clients: usize,
    target_ms: f64,
    times: Vec<Duration>,
}

impl Line {
    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.times.clone();
        sorted.sort();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank below a thousand"
        )]
        let rank = ((sorted.len() - 1) as f64 * part).round() as usize;
        sorted[rank].as_secs_f64() * 1000.0
    }

    fn json(&self) -> Value {
        json!({
            "database": self.database, "what": self.what, "clients": self.clients,
            "requests": self.times.len(), "p50_ms": self.quantile(0.5), "p99_ms": self.quantile(0.99),
            "max_ms": self.quantile(1.0), "target_p99_ms": self.target_ms,
        })
    }
}

struct Site {
    url: String,
    cookie: String,
    csrf: String,
    client: reqwest::Client,
    /// The page that compares two versions of a policy of many settings.
    compare: String,
    /// Holds their contents.
    _folder: tempfile::TempDir,
}

async fn site(db: &TestDatabase) -> Site {
    let store = &db.store;
    let (workspace, _) = store.test_workspace().await;
    let tenant = NewTenant {
        name: "Contoso".to_owned(),
        slug: tp_domain::tenant::Slug::new("contoso").unwrap(),
        entra_tenant_id: uuid::Uuid::from_u128(1),
        domain: None,
        cloud: "global".to_owned(),
        credential: Some(("app".to_owned(), "secret".into())),
    };
    let tenant = store.console().tenant_create(workspace, tenant).await.unwrap();
    store.test_fill_runs(tenant, workspace, RUNS, &db.url).await;
    let hall = store.hall();
    let account = hall.account_by_email("owner@example.com").await.unwrap().unwrap();
    let session = hall.session_create(&account, workspace, None).await.unwrap();
    let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = WebSettings {
        public_url: url.parse().unwrap(),
        version: "bench",
        clouds: Vec::new(),
        provider: None,
        demo: false,
    };
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let place = tp_payload::Location::Folder(folder.path().to_owned());
    let payloads = tp_payload::PayloadStore::open(&place, []).unwrap();
    let compare = versions::made(store, tenant, &payloads).await;
    let contents = Arc::new(payloads);
    let app = App::new(store.clone(), catalog, Arc::new(SystemIds), contents, settings);
    tokio::spawn(tp_web::serve::serve(listener, tp_web::router(app), std::future::pending()));
    Site {
        url,
        cookie: format!("tp={}", session.secret.expose()),
        csrf: actor.csrf().unwrap().to_owned(),
        client: reqwest::Client::builder().build().unwrap(),
        compare,
        _folder: folder,
    }
}

/// Runs `REQUESTS` requests over so many clients and gives the time of each.
async fn measure<F>(clients: usize, request: F) -> Vec<Duration>
where
    F: Fn(usize) -> reqwest::RequestBuilder + Send + Sync + 'static,
{
    let request = Arc::new(request);
    for number in 0..20 {
        request(1_000_000 + number).send().await.unwrap().bytes().await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let request = Arc::clone(&request);
        tasks.spawn(async move {
            let mut times = Vec::new();
            for number in (client..REQUESTS).step_by(clients) {
                let request = request(number);
                let began = Instant::now();
                let response = request.send().await.unwrap();
                let good = response.status().is_success();
                response.bytes().await.unwrap();
                times.push(began.elapsed());
                assert!(good, "each answer is good");
            }
            times
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn lines(db: &TestDatabase, site: Arc<Site>) -> Vec<Line> {
    let database = db.name();
    let pages = [
        ("operations, first page", "/t/contoso/operations"),
        ("operations, failed", "/t/contoso/operations?tab=failed"),
        ("operations, needs attention", "/t/contoso/operations?tab=attention"),
        ("operations, by reason", "/t/contoso/operations?reason=graph_throttled"),
        ("overview", "/t/contoso/overview"),
    ];
    let mut lines = Vec::new();
    for (what, path) in pages {
        for clients in [1, 4] {
            let site = Arc::clone(&site);
            let times = measure(clients, move |_| {
                site.client.get(format!("{}{path}", site.url)).header("cookie", &site.cookie)
            });
            lines.push(Line { database, what, clients, target_ms: 100.0, times: times.await });
        }
    }
    for clients in [1, 4] {
        let of = Arc::clone(&site);
        let times = measure(clients, move |_| {
            of.client.get(format!("{}{}", of.url, of.compare)).header("cookie", &of.cookie)
        });
        let what = "compare, 313 settings";
        lines.push(Line { database, what, clients, target_ms: 100.0, times: times.await });
    }
    for clients in [1, 8] {
        let site = Arc::clone(&site);
        let salt = clients * 10_000_000;
        let times = measure(clients, move |number| {
            // Each start is another selection of types, so each makes a run.
            let bits = salt + number;
            let all: Vec<String> =
                Catalog::builtin().unwrap().iter().map(|(key, _)| key.to_string()).collect();
            let types: Vec<&String> = all
                .iter()
                .enumerate()
                .filter(|(at, _)| bits >> (at % 31) & 1 == 1)
                .map(|(_, key)| key)
                .take(20)
                .collect();
            let types = if types.is_empty() { vec![&all[0]] } else { types };
            site.client
                .post(format!("{}/api/v1/tenants/contoso/runs", site.url))
                .header("cookie", &site.cookie)
                .header("x-csrf-token", &site.csrf)
                .json(&json!({"kind": "inventory.sync", "inputs": {"types": types}}))
        });
        lines.push(Line { database, what: "start", clients, target_ms: 100.0, times: times.await });
    }
    lines
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut databases = vec![TestDatabase::sqlite().await];
    match postgres_server() {
        Some(server) => databases.push(TestDatabase::postgres(&server).await),
        None => println!("skipped on PostgreSQL: TENANTPILOT_TEST_POSTGRES is not set"),
    }
    let mut all = Vec::new();
    for db in &databases {
        let site = Arc::new(site(db).await);
        all.extend(lines(db, site).await);
    }
    println!("\n{RUNS} runs in the tenant, {REQUESTS} requests per line, times in ms\n");
    println!(
        "{:<9} {:<28} {:>7} {:>8} {:>8} {:>8} {:>10}  met",
        "database", "what", "clients", "p50", "p99", "max", "target p99"
    );
    let mut missed = 0;
    for line in &all {
        let met = line.quantile(0.99) <= line.target_ms;
        missed += usize::from(!met);
        println!(
            "{:<9} {:<28} {:>7} {:>8.2} {:>8.2} {:>8.2} {:>10.0}  {}",
            line.database,
            line.what,
            line.clients,
            line.quantile(0.5),
            line.quantile(0.99),
            line.quantile(1.0),
            line.target_ms,
            if met { "yes" } else { "NO" }
        );
    }
    println!("\n{}", Value::Array(all.iter().map(Line::json).collect()));
    assert_eq!(missed, 0, "every target is met");
}
