//! Verbs that talk to a server.

mod backups;
mod tenants;
mod watch;

use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value, json};
use tp_client::{Client, ClientError};

use crate::cli::{PlaceArgs, RetryOnly, RunCommand, ScheduleCommand, ServerArgs, TenantArgs};
use crate::environment::Environment;
use crate::exit;
use crate::output::{self, Column, text};

pub(crate) use backups::{backup, policy};
pub(crate) use tenants::tenant;

/// Why a verb ended without its answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerbError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Usage(String),
}

impl VerbError {
    /// Says it, and gives the exit code.
    pub(crate) fn report(&self) -> u8 {
        output::say(&format!("error: {}", output::clean(&self.to_string())));
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Client(error) => {
                if let ClientError::Refused { errors, request_id, .. } = error {
                    errors
                        .iter()
                        .for_each(|error| output::say(&format!("  {}", output::clean(error))));
                    output::say(&format!("  request id {}", output::clean(request_id)));
                }
                match error {
                    ClientError::Refused { status: 401, .. } => {
                        output::say("hint: set TENANTPILOT_TOKEN, or pass --token-file FILE");
                    }
                    ClientError::Unreachable(_) => {
                        output::say("hint: set TENANTPILOT_SERVER, or pass --server URL");
                    }
                    _ => {}
                }
                exit::of_error(error)
            }
        }
    }
}

/// Reads a secret from a file, or from standard input for `-`. Never from an argument.
pub(crate) fn read_secret(path: &Path) -> Result<SecretString, VerbError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text =
        text.map_err(|error| VerbError::Usage(format!("cannot read {}: {error}", path.display())))?;
    match text.trim() {
        "" => Err(VerbError::Usage(format!("{} is empty", path.display()))),
        secret => Ok(SecretString::from(secret)),
    }
}

fn client(args: &ServerArgs, environment: &Environment) -> Result<Client, VerbError> {
    let server = args.server.clone().or_else(|| environment.get("TENANTPILOT_SERVER"));
    let server = server.unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let token = match &args.token_file {
        Some(path) => Some(read_secret(path)?),
        None => environment.get("TENANTPILOT_TOKEN").map(SecretString::from),
    };
    Ok(Client::new(&server, token)?)
}

fn tenant_of(args: &TenantArgs, environment: &Environment) -> Result<String, VerbError> {
    let tenant = args.tenant.clone().or_else(|| environment.get("TENANTPILOT_TENANT"));
    let tenant = tenant.ok_or_else(|| {
        VerbError::Usage("which tenant? Pass -t TENANT or set TENANTPILOT_TENANT".to_owned())
    })?;
    segment(&tenant)
}

/// A value that is put into a path.
fn segment(text: &str) -> Result<String, VerbError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(VerbError::Usage("a tenant or an id has only letters, digits and -".to_owned()))
    }
}

fn query(pairs: &[(&str, &[String])], limit: usize) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, values) in pairs {
        for value in *values {
            text.append_pair(name, value);
        }
    }
    text.append_pair("limit", &limit.clamp(1, 200).to_string());
    text.finish()
}

const RUN_COLUMNS: &[Column] = &[
    ("id", |run| text(run, "/id")),
    ("operation", |run| text(run, "/label")),
    ("status", |run| match text(run, "/outcome").as_str() {
        "pending" => text(run, "/status"),
        outcome => outcome.to_owned(),
    }),
    ("processed", |run| text(run, "/counts/processed")),
    ("total", |run| text(run, "/counts/total")),
    ("failed", |run| text(run, "/counts/failed")),
    ("reason", |run| text(run, "/reason_code")),
    ("started by", |run| text(run, "/initiator/name")),
    ("queued", |run| text(run, "/created_at")),
];

/// The `run` verbs.
pub(crate) async fn run(command: RunCommand, environment: &Environment) -> Result<u8, VerbError> {
    match command {
        RunCommand::List { tenant, status, outcome, kind, limit } => {
            let client = client(&tenant.server, environment)?;
            let slug = tenant_of(&tenant, environment)?;
            let filters = [("status", &status[..]), ("outcome", &outcome[..]), ("kind", &kind[..])];
            let path = format!("/api/v1/tenants/{slug}/runs?{}", query(&filters, limit));
            let runs = client.list(&path, limit).await?;
            output::list(&runs, RUN_COLUMNS, "/id", tenant.server.output.output);
            Ok(exit::DONE)
        }
        RunCommand::View { run, tenant } => {
            let client = client(&tenant.server, environment)?;
            let slug = tenant_of(&tenant, environment)?;
            let run =
                client.get(&format!("/api/v1/tenants/{slug}/runs/{}", segment(&run)?)).await?;
            output::list(&[run], RUN_COLUMNS, "/id", tenant.server.output.output);
            Ok(exit::DONE)
        }
        RunCommand::Watch { run, tenant, wait } => {
            let client = client(&tenant.server, environment)?;
            let slug = tenant_of(&tenant, environment)?;
            watch::watch(&client, &slug, &segment(&run)?, wait.timeout).await
        }
        RunCommand::Cancel { run, tenant } => {
            let client = client(&tenant.server, environment)?;
            let slug = tenant_of(&tenant, environment)?;
            let path = format!("/api/v1/tenants/{slug}/runs/{}/cancel", segment(&run)?);
            let run = client.post(&path, &json!({}), None).await?;
            let ended = text(&run, "/status") == "completed";
            output::say(if ended { "Canceled" } else { "Canceling: it stops at the next item" });
            output::list(&[run], RUN_COLUMNS, "/id", tenant.server.output.output);
            Ok(exit::DONE)
        }
        RunCommand::Retry { run, tenant, only, wait, waiting } => {
            let client = client(&tenant.server, environment)?;
            let slug = tenant_of(&tenant, environment)?;
            let only = if only == RetryOnly::Failed { "failed" } else { "all" };
            let path = format!("/api/v1/tenants/{slug}/runs/{}/retry", segment(&run)?);
            let run = client.post(&path, &json!({"only": only}), None).await?;
            follow(&client, &slug, run, &tenant, wait, waiting.timeout).await
        }
        RunCommand::Start { kind, tenant, inputs, wait, waiting } => {
            let client = client(&tenant.server, environment)?;
            let slug = tenant_of(&tenant, environment)?;
            let inputs: Value = serde_json::from_str(&inputs).map_err(|_| {
                VerbError::Usage(
                    "--inputs must be JSON, for example {\"types\":[\"roleScopeTag\"]}".to_owned(),
                )
            })?;
            let body = json!({"kind": kind, "inputs": inputs});
            let run = client.post(&format!("/api/v1/tenants/{slug}/runs"), &body, None).await?;
            follow(&client, &slug, run, &tenant, wait, waiting.timeout).await
        }
    }
}

/// Says what was started, and follows it where that is wanted.
async fn follow(
    client: &Client,
    slug: &str,
    run: Value,
    tenant: &TenantArgs,
    wait: bool,
    timeout: Option<u64>,
) -> Result<u8, VerbError> {
    let id = text(&run, "/id");
    let word = if run["deduplicated"] == true { "Already active" } else { "Queued" };
    output::say(&format!("{word}   run {id}   {}", output::clean(&text(&run, "/links/html"))));
    if wait {
        return watch::watch(client, slug, &segment(&id)?, timeout).await;
    }
    output::list(&[run], RUN_COLUMNS, "/id", tenant.server.output.output);
    output::say(&format!("Next: tenantpilot run watch {id} -t {slug}"));
    Ok(exit::DONE)
}

const SCHEDULE_COLUMNS: &[Column] = &[
    ("id", |schedule| text(schedule, "/id")),
    ("name", |schedule| text(schedule, "/name")),
    ("starts", |schedule| text(schedule, "/kind")),
    ("when", |schedule| text(schedule, "/words")),
    ("on", |schedule| text(schedule, "/enabled")),
    ("next", |schedule| text(schedule, "/next_at")),
];

/// Where the schedules of that place are in the API.
async fn schedules_of(
    place: &PlaceArgs,
    environment: &Environment,
) -> Result<(Client, String), VerbError> {
    let client = client(&place.tenant.server, environment)?;
    let base = if place.workspace {
        let me = client.get("/api/v1/me").await?;
        format!("/api/v1/workspaces/{}/schedules", segment(&text(&me, "/workspace"))?)
    } else {
        format!("/api/v1/tenants/{}/schedules", tenant_of(&place.tenant, environment)?)
    };
    Ok((client, base))
}

/// The `schedule` verbs.
pub(crate) async fn schedule(
    command: ScheduleCommand,
    environment: &Environment,
) -> Result<u8, VerbError> {
    let (place, found) = match command {
        ScheduleCommand::List { place } => {
            let (client, base) = schedules_of(&place, environment).await?;
            let found = client.list(&base, usize::MAX).await?;
            (place, found)
        }
        ScheduleCommand::Create { place, name, kind, cron, zone, catch_up } => {
            let (client, base) = schedules_of(&place, environment).await?;
            let when = json!({"every": "cron", "cron": cron});
            let body = json!({
                "name": name, "kind": kind, "when": when, "zone": zone, "catch_up": catch_up,
            });
            let made = client.post(&base, &body, None).await?;
            (place, vec![made])
        }
        ScheduleCommand::Run { schedule, place } => {
            let (client, base) = schedules_of(&place, environment).await?;
            let path = format!("{base}/{}/run", segment(&schedule)?);
            let run = client.post(&path, &json!({}), None).await?;
            output::list(&[run], RUN_COLUMNS, "/id", place.tenant.server.output.output);
            return Ok(exit::DONE);
        }
        ScheduleCommand::Pause { schedule, place } => {
            let (client, base) = schedules_of(&place, environment).await?;
            let path = format!("{base}/{}", segment(&schedule)?);
            let changed = client.patch(&path, &json!({"enabled": false})).await?;
            (place, vec![changed])
        }
        ScheduleCommand::Resume { schedule, place } => {
            let (client, base) = schedules_of(&place, environment).await?;
            let path = format!("{base}/{}", segment(&schedule)?);
            let changed = client.patch(&path, &json!({"enabled": true})).await?;
            (place, vec![changed])
        }
        ScheduleCommand::Delete { schedule, place } => {
            let (client, base) = schedules_of(&place, environment).await?;
            client.delete(&format!("{base}/{}", segment(&schedule)?)).await?;
            output::say("Deleted");
            return Ok(exit::DONE);
        }
    };
    output::list(&found, SCHEDULE_COLUMNS, "/id", place.tenant.server.output.output);
    Ok(exit::DONE)
}

const ABILITY_COLUMNS: &[Column] = &[
    ("key", |entry| text(entry, "/key")),
    ("backup", |entry| text(entry, "/backup")),
    ("restore", |entry| text(entry, "/restore")),
    ("risk", |entry| text(entry, "/risk")),
    ("back up here", |entry| text(entry, "/in_tenant/reading/text")),
    ("restore here", |entry| text(entry, "/in_tenant/writing/text")),
];

/// What of each policy type works in a tenant, and which permissions are more than needed.
pub(crate) async fn capabilities(
    tenant: &str,
    server: &ServerArgs,
    environment: &Environment,
) -> Result<u8, VerbError> {
    let client = client(server, environment)?;
    let base = format!("/api/v1/tenants/{}", segment(tenant)?);
    let entries = client.list(&format!("{base}/policy-types"), usize::MAX).await?;
    let permissions = client.get(&format!("{base}/permissions")).await?;
    output::list(&entries, ABILITY_COLUMNS, "/key", server.output.output);
    if permissions["checked"] == false {
        output::say("The app's permissions in this tenant were not checked yet.");
    }
    for excess in permissions["more_than_needed"].as_array().into_iter().flatten() {
        output::say(&output::clean(&text(excess, "/advice")));
    }
    Ok(exit::DONE)
}

/// A raw call.
pub(crate) async fn api(
    server: &ServerArgs,
    method: &str,
    path: &str,
    input: Option<&Path>,
    environment: &Environment,
) -> Result<u8, VerbError> {
    use secrecy::ExposeSecret as _;
    let client = client(server, environment)?;
    let answer = match method.to_ascii_uppercase().as_str() {
        "GET" => client.get(path).await?,
        "POST" => {
            let body = match input {
                None => json!({}),
                Some(path) => serde_json::from_str(read_secret(path)?.expose_secret())
                    .map_err(|_| VerbError::Usage("--input must be JSON".to_owned()))?,
            };
            client.post(path, &body, None).await?
        }
        _ => return Err(VerbError::Usage("the method must be GET or POST".to_owned())),
    };
    output::json(&answer);
    Ok(exit::DONE)
}
