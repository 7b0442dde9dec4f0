//! `tenantpilot demo`: simulated Graph, tenants and users, in one process.
//!
//! Everything lives in its own data folder and survives a restart. It never touches a database that
//! holds something else (ruling 31).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tp_domain::access::Role;
use tp_domain::backup_create::CreateBackup;
use tp_domain::ids::{TenantId, WorkspaceId};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::tenant::Slug;
use tp_sim::estate::EstatePlan;
use tp_sim::{Sim, SimOptions, SimTenant};
use tp_store::{Bootstrap, DatabaseUrl, NewTenant, NewUser, Store};

use crate::cli::DemoArgs;
use crate::config::{Config, Sources};
use crate::environment::Environment;
use crate::output::say;
use crate::wire;

/// The workspace of the demo, and the mark by which a database is known as one.
const WORKSPACE: &str = "TenantPilot demo";
/// The cloud that the demo's tenants are in.
const CLOUD: &str = "sim";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Login {
    role: String,
    email: String,
    password: String,
}

/// A random password that can be typed: four groups of five letters and digits.
fn password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = [uuid_bytes(), uuid_bytes()].concat();
    let letters: Vec<char> =
        bytes.iter().take(20).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[expect(clippy::disallowed_methods, reason = "random bytes for a password, not an id")]
fn uuid_bytes() -> Vec<u8> {
    // The 122 random bits of a version 4 UUID, without the bytes that hold the version and variant.
    let bytes = uuid::Uuid::new_v4().into_bytes();
    bytes.iter().enumerate().filter(|(at, _)| *at != 6 && *at != 8).map(|(_, byte)| *byte).collect()
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// The people of the demo; made once.
fn logins(data_dir: &Path) -> anyhow::Result<Vec<Login>> {
    let path = data_dir.join("logins.json");
    if path.exists() {
        let text = std::fs::read(&path)?;
        return serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()));
    }
    let logins: Vec<Login> = ["owner", "operator", "reader"]
        .into_iter()
        .map(|role| Login {
            role: role.to_owned(),
            email: format!("{role}@demo.example"),
            password: password(),
        })
        .collect();
    write_private(&path, &serde_json::to_vec_pretty(&logins)?)?;
    Ok(logins)
}

fn print_logins(logins: &[Login]) {
    for login in logins {
        crate::output::write(&format!("{}  {}  {}\n", login.role, login.email, login.password));
    }
}

fn sim(args: &DemoArgs) -> anyhow::Result<Sim> {
    let path = args.data_dir.join("simulator.json");
    let options = SimOptions {
        estate: EstatePlan {
            corpus: args.corpus.clone(),
            tenants: usize::from(args.tenants),
            scale: args.scale,
            seed: args.seed,
        },
        latency: Duration::from_millis(args.latency_ms),
        ..SimOptions::default()
    };
    if path.exists() {
        return Ok(Sim::load(options, &path)?);
    }
    let sim = Sim::new(options)?;
    sim.save(&path)?;
    sim.write_expected(&args.data_dir.join("expected.json"))?;
    Ok(sim)
}

fn config(args: &DemoArgs, sim_url: &str, environment: &Environment) -> anyhow::Result<Config> {
    // The demo has its own settings; of the environment only the log's are taken.
    let log = |(name, _): &&(String, String)| name.starts_with("TENANTPILOT_LOG__");
    let mut flags = vec![
        ("listen", args.listen.to_string()),
        ("data_dir", args.data_dir.display().to_string()),
        // Its Graph is simulated: nobody else's limits are at stake.
        ("graph.budget_scale", "100".to_owned()),
    ];
    if let Some(database) = &args.database {
        flags.push(("database.url", database.clone()));
    }
    let mut own: Vec<(String, String)> = environment.0.iter().filter(log).cloned().collect();
    own.push(("TENANTPILOT_CLOUDS__SIM__GRAPH_URL".to_owned(), sim_url.to_owned()));
    own.push(("TENANTPILOT_CLOUDS__SIM__LOGIN_URL".to_owned(), sim_url.to_owned()));
    Ok(Config::load(&Sources { file: None, environment: own, flags })?)
}

/// Makes workspace, people and tenants where they are not there yet. `true` on the first start.
async fn furnish(store: &Store, logins: &[Login], tenants: Vec<SimTenant>) -> anyhow::Result<bool> {
    let console = store.console();
    let workspaces = console.workspaces().await?;
    match workspaces.first() {
        Some((_, name)) if name == WORKSPACE => return Ok(false),
        Some(_) => bail!("this database holds another installation; give the demo one of its own"),
        None => {}
    }
    let mut hashed = Vec::new();
    for login in logins {
        let role: Role = login.role.parse()?;
        let hash = tp_web::password::hash(&login.password)?;
        let mut name = login.role.clone();
        name[..1].make_ascii_uppercase();
        hashed.push(NewUser {
            email: login.email.clone(),
            name: format!("Demo {name}"),
            password_hash: hash,
            role,
        });
    }
    let mut people = hashed.into_iter();
    let owner = people.next().context("the demo has an owner")?;
    let made = console
        .bootstrap(Bootstrap {
            workspace: WORKSPACE.to_owned(),
            owner,
            token_capabilities: Vec::new(),
        })
        .await?;
    for person in people {
        console.user_create(made.workspace, person).await?;
    }
    for (number, tenant) in tenants.into_iter().enumerate() {
        let id = add_tenant(store, made.workspace, tenant).await?;
        // The first tenant is left to the newcomer: the click on "Sync now" is the demo.
        if number > 0 {
            console.run_start(made.workspace, id, &SyncInventory::everything()).await?;
            console.run_start(made.workspace, id, &CreateBackup::everything()).await?;
        }
    }
    Ok(true)
}

async fn add_tenant(
    store: &Store,
    workspace: WorkspaceId,
    tenant: SimTenant,
) -> anyhow::Result<TenantId> {
    let slug = tenant.domain.split('.').next().unwrap_or_default();
    let new = NewTenant {
        name: tenant.display_name.clone(),
        slug: Slug::new(slug)?,
        entra_tenant_id: tenant.id,
        domain: Some(tenant.domain.clone()),
        cloud: CLOUD.to_owned(),
        credential: Some((tenant.client_id.to_string(), tenant.client_secret.into())),
    };
    Ok(store.console().tenant_create(workspace, new).await?)
}

/// Runs the demo until it is stopped.
pub(crate) async fn run(args: DemoArgs, environment: &Environment) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot make the data folder {}", args.data_dir.display()))?;
    if args.print_login {
        if !args.data_dir.join("logins.json").exists() {
            bail!(
                "there is no demo in {}; start one with: tenantpilot demo",
                args.data_dir.display()
            );
        }
        print_logins(&logins(&args.data_dir)?);
        return Ok(());
    }
    let listener = wire::bind(args.listen).await?;
    let logins = logins(&args.data_dir)?;
    let sim = sim(&args)?;
    let sim_listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let sim_url = format!("http://{}", sim_listener.local_addr()?);
    let mut args = args;
    args.listen = listener.local_addr()?;
    let config = config(&args, &sim_url, environment)?;
    crate::logs::start(&config.log_level, &config.log_format);
    if let DatabaseUrl::Postgres(_) = &config.database {
        Store::migrate(&config.database).await?;
    }
    let parts = wire::parts(&config).await?;
    let first = furnish(&parts.store, &logins, sim.tenants()).await?;
    let shutdown = wire::shutdown()?;
    let simulated = serve_sim(sim, sim_listener, shutdown.clone());
    say(&format!("TenantPilot demo: {}", config.public_url));
    say(&format!("Simulated Microsoft Graph: {sim_url}"));
    say(if first {
        "Sign in as one of these, open the first tenant and press \"Sync now\":"
    } else {
        "Sign in as:"
    });
    for login in &logins {
        say(&format!("  {:<9} {:<24} {}", login.role, login.email, login.password));
    }
    let does = wire::Does { work: true, schedule: true, demo: true };
    let simulated = async {
        simulated.await;
        Ok(())
    };
    tokio::try_join!(wire::run(parts, &config, listener, does, shutdown), simulated)?;
    Ok(())
}

async fn serve_sim(sim: Sim, listener: tokio::net::TcpListener, shutdown: CancellationToken) {
    if let Err(error) = sim.serve(listener, shutdown.cancelled_owned()).await {
        tracing::error!(error = %error, "the simulator stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_differ() {
        let (one, two) = (password(), password());
        assert_eq!(one.len(), 23);
        assert_ne!(one, two);
        assert!(tp_web::password::hash(&one).is_ok());
    }
}
