//! Puts the parts together: the only place that knows all of them.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tp_catalog::registry::Catalog;
use tp_domain::ids::{Ids as _, WorkerId};
use tp_domain::sign_in::IdentityProvider;
use tp_egress::oidc::OidcProvider;
use tp_egress::{Egress, EgressOptions, SystemLookup};
use tp_engine::jitter::{Jitter as _, SystemJitter};
use tp_engine::worker::{Worker, WorkerOptions};
use tp_graph::cloud::{Cloud, Clouds};
use tp_graph::{Graph, GraphOptions};
use tp_ops::Tools;
use tp_payload::PayloadStore;
use tp_store::{DatabaseUrl, Keys, Store, StoreOptions, SystemClock, SystemIds, TimeSource};
use tp_web::{App, CloudPlace, WebSettings};

use crate::config::Config;

/// The program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The parts of a process.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) tools: Tools,
}

/// Opens keys and database. On SQLite the schema is brought up to date; PostgreSQL is left to
/// `tenantpilot migrate`, since other processes may be running on it.
pub(crate) async fn store(config: &Config) -> anyhow::Result<Store> {
    let data_exists = match &config.database {
        DatabaseUrl::Sqlite(path) => path.exists(),
        DatabaseUrl::Postgres(_) => has_secrets(config).await?,
    };
    if let DatabaseUrl::Sqlite(_) = &config.database {
        std::fs::create_dir_all(&config.data_dir).with_context(|| {
            format!("cannot make the data folder {}", config.data_dir.display())
        })?;
    }
    // The keys first: a start that is cut off between the two must not leave a database without keys.
    let keys = Keys::open(&config.keys_file, data_exists)
        .with_context(|| format!("key file {}", config.keys_file.display()))?;
    if let DatabaseUrl::Sqlite(_) = &config.database {
        Store::migrate(&config.database).await?;
    }
    Ok(Store::open(StoreOptions {
        url: config.database.clone(),
        time: TimeSource::Database(Arc::new(SystemClock)),
        ids: Arc::new(SystemIds),
        keys: Arc::new(keys),
        connections: config.connections,
    })
    .await?)
}

/// Opens the place for payloads.
pub(crate) fn payloads(config: &Config) -> anyhow::Result<PayloadStore> {
    PayloadStore::open(&config.payloads, config.payload_settings.iter())
        .with_context(|| format!("payloads.url {}", config.payloads))
}

/// Whether a PostgreSQL database may hold secrets already: its schema is there.
async fn has_secrets(config: &Config) -> anyhow::Result<bool> {
    if config.keys_file.exists() {
        return Ok(true);
    }
    let state = Store::migrate_check(&config.database).await?;
    if state.pending == state.known {
        return Ok(false);
    }
    Store::has_workspace(&config.database).await.map_err(Into::into)
}

/// Everything, from the configuration.
pub(crate) async fn parts(config: &Config) -> anyhow::Result<Parts> {
    let store = store(config).await?;
    Ok(Parts { tools: tools(config, &store)?, store })
}

fn tools(config: &Config, store: &Store) -> anyhow::Result<Tools> {
    let own = config
        .clouds
        .iter()
        .map(|(name, cloud)| Cloud::new(name, &cloud.graph_url, &cloud.login_url))
        .collect::<Result<Vec<_>, _>>()?;
    let mut roots = Vec::new();
    for path in config.clouds.values().filter_map(|cloud| cloud.ca_file.as_ref()) {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        roots.push(pem);
    }
    let options = GraphOptions {
        max_in_flight: config.max_in_flight,
        budget_scale: config.budget_scale,
        ..GraphOptions::default()
    };
    let chance: tp_graph::Chance = Arc::new(|| SystemJitter.unit());
    // All processes on this database keep Graph's limits together.
    let budget = Arc::new(store.clone());
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let graph = Graph::new(options, &roots, clock, ids, chance, budget)?;
    Ok(Tools {
        catalog: Arc::new(Catalog::builtin()?),
        graph,
        clouds: Arc::new(Clouds::with(own)?),
        payloads: payloads(config)?,
    })
}

/// The identity provider, where one is configured. Nothing is asked of it yet.
fn provider(config: &Config) -> anyhow::Result<Option<Arc<dyn IdentityProvider>>> {
    let Some(oidc) = &config.oidc else { return Ok(None) };
    let settings = oidc.settings()?;
    let mut extra_roots = Vec::new();
    if let Some(path) = &oidc.ca_file {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        extra_roots.push(pem);
    }
    let options = EgressOptions {
        // The list of hosts is for what people enter; the issuer is the operator's own word.
        allow_private: config.egress.allow_private.clone(),
        declared: vec![settings.issuer().clone()],
        extra_roots,
        ..EgressOptions::default()
    };
    let egress = Egress::new(options, Arc::new(SystemLookup))?;
    Ok(Some(Arc::new(OidcProvider::new(settings, egress, Arc::new(SystemClock)))))
}

fn place(cloud: &Cloud) -> CloudPlace {
    let (login, scope) = cloud.consent_page();
    CloudPlace { name: cloud.name().to_owned(), login: login.clone(), scope }
}

impl Parts {
    /// The web of this process.
    fn web(&self, config: &Config, demo: bool) -> anyhow::Result<App> {
        let settings = WebSettings {
            public_url: config.public_url.clone(),
            version: VERSION,
            clouds: self.tools.clouds.iter().map(place).collect(),
            provider: provider(config)?,
            demo,
        };
        let catalog = Arc::clone(&self.tools.catalog);
        let contents = Arc::new(self.tools.payloads.clone());
        Ok(App::new(self.store.clone(), catalog, Arc::new(SystemIds), contents, settings))
    }

    /// The worker of this process.
    pub(crate) fn worker(&self, config: &Config, schedules: bool) -> Worker {
        let id = WorkerId::from_uuid(SystemIds.next());
        let registry = tp_ops::registry(&self.tools);
        let options = WorkerOptions { schedules, ..config.worker };
        Worker::new(id, self.store.clone(), registry, options, Arc::new(SystemJitter))
    }
}

/// Ends when the process is asked to: Ctrl-C or SIGTERM.
pub(crate) fn shutdown() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let asked = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("shutting down");
        asked.cancel();
    });
    Ok(token)
}

/// Binds, or says what is in the way.
pub(crate) async fn bind(address: std::net::SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    let bound = tokio::net::TcpListener::bind(address).await;
    bound.with_context(|| {
        format!(
            "cannot listen on {address}; is another process there? Choose another with --listen"
        )
    })
}

/// What a process does beside the web.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Does {
    /// Takes runs.
    pub(crate) work: bool,
    /// Fires schedules and rolls up umbrella runs.
    pub(crate) schedule: bool,
    /// Says that it is a demo.
    pub(crate) demo: bool,
}

/// Runs the web and what else the process does, until shutdown; then lets all of it end.
pub(crate) async fn run(
    parts: Parts,
    config: &Config,
    listener: tokio::net::TcpListener,
    does: Does,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let router = tp_web::router(parts.web(config, does.demo)?);
    let web = tp_web::serve::serve(listener, router, shutdown.clone().cancelled_owned());
    let worker = parts.worker(config, does.schedule);
    let work = async {
        if does.work {
            worker.run(shutdown.clone()).await;
        } else if does.schedule {
            worker.run_schedules(shutdown.clone()).await;
        }
    };
    tokio::join!(web, work);
    parts.store.close().await;
    Ok(())
}
