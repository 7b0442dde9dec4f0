//! The `tenant` verbs.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tp_client::Client;

use super::{VerbError, client, follow, read_secret, tenant_of};
use crate::cli::{CertificateCommand, CredentialArgs, TenantArgs, TenantCommand};
use crate::environment::Environment;
use crate::exit;
use crate::output::{self, Column, text};

const TENANT_COLUMNS: &[Column] = &[
    ("slug", |tenant| text(tenant, "/slug")),
    ("name", |tenant| text(tenant, "/name")),
    ("domain", |tenant| text(tenant, "/domain")),
    ("cloud", |tenant| text(tenant, "/cloud")),
    ("status", |tenant| text(tenant, "/status")),
    ("role", |tenant| text(tenant, "/role")),
    ("entra tenant id", |tenant| text(tenant, "/entra_tenant_id")),
];

const FACT_COLUMNS: &[Column] =
    &[("fact", |fact| text(fact, "/fact")), ("value", |fact| text(fact, "/value"))];

const PERMISSION_COLUMNS: &[Column] = &[
    ("permission", |line| text(line, "/permission")),
    ("state", |line| text(line, "/state")),
    ("for", |line| text(line, "/purpose")),
    ("features", |line| joined(&line["features"])),
    ("without it", |line| text(line, "/without")),
];

fn joined(list: &Value) -> String {
    let words = list.as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// Puts what the arguments bring into a body; `false` when they bring nothing.
fn bring(credential: &CredentialArgs, body: &mut Value) -> Result<bool, VerbError> {
    if let Some(path) = &credential.client_secret_file {
        body["client_secret"] = read_secret(path)?.expose_secret().into();
        if let Some(end) = &credential.expires_at {
            body["credential_expires_at"] = end.as_str().into();
        }
        return Ok(true);
    }
    if let Some(path) = &credential.certificate_file {
        body["certificate_pem"] = read_secret(path)?.expose_secret().into();
        return Ok(true);
    }
    Ok(false)
}

/// A client, the tenant's slug and the address of the tenant.
fn reach(
    tenant: &TenantArgs,
    environment: &Environment,
) -> Result<(Client, String, String), VerbError> {
    let client = client(&tenant.server, environment)?;
    let slug = tenant_of(tenant, environment)?;
    let path = format!("/api/v1/tenants/{slug}");
    Ok((client, slug, path))
}

/// The `tenant` verbs.
pub(crate) async fn tenant(
    command: TenantCommand,
    environment: &Environment,
) -> Result<u8, VerbError> {
    match command {
        TenantCommand::List { server } => {
            let tenants = client(&server, environment)?.list("/api/v1/tenants", usize::MAX).await?;
            output::list(&tenants, TENANT_COLUMNS, "/slug", server.output.output);
        }
        TenantCommand::Add {
            server,
            name,
            slug,
            entra_tenant_id,
            cloud,
            client_id,
            credential,
        } => {
            let client = client(&server, environment)?;
            let mut body = json!({"name": name, "slug": slug, "entra_tenant_id": entra_tenant_id, "cloud": cloud});
            if bring(&credential, &mut body)? {
                body["client_id"] = client_id.into();
            }
            let tenant = client.post("/api/v1/tenants", &body, None).await?;
            output::list(&[tenant], TENANT_COLUMNS, "/slug", server.output.output);
            let slug = output::clean(&slug);
            output::say(&format!("Next: tenantpilot tenant check -t {slug} --wait"));
        }
        TenantCommand::Connection { tenant } => {
            let (client, _, path) = reach(&tenant, environment)?;
            let found = client.get(&format!("{path}/connection")).await?;
            connection(&found, &tenant);
        }
        TenantCommand::Permissions { tenant } => {
            let (client, _, path) = reach(&tenant, environment)?;
            let found = client.get(&format!("{path}/connection")).await?;
            permissions(&found, &tenant);
        }
        TenantCommand::Check { tenant, wait, waiting } => {
            let (client, slug, path) = reach(&tenant, environment)?;
            let body = json!({"kind": "connection.verify"});
            let run = client.post(&format!("{path}/runs"), &body, None).await?;
            return follow(&client, &slug, run, &tenant, wait, waiting.timeout).await;
        }
        TenantCommand::Credential { tenant, client_id, credential } => {
            let (client, slug, path) = reach(&tenant, environment)?;
            let mut body = json!({});
            if !bring(&credential, &mut body)? {
                let text = "pass --client-secret-file FILE or --certificate-file FILE";
                return Err(VerbError::Usage(text.to_owned()));
            }
            if let Some(id) = client_id {
                body["client_id"] = id.into();
            }
            let found = client.patch(&path, &body).await?;
            connection(&found, &tenant);
            output::say(&format!("Replaced. Next: tenantpilot tenant check -t {slug} --wait"));
        }
        TenantCommand::Certificate(command) => return certificate(command, environment).await,
        TenantCommand::ConsentLink { tenant } => {
            let (client, _, path) = reach(&tenant, environment)?;
            let found = client.get(&format!("{path}/connection")).await?;
            let Some(link) = found["consent_link"].as_str() else {
                let text = "the tenant has no app registration yet: set its credential first";
                return Err(VerbError::Usage(text.to_owned()));
            };
            output::write(&format!("{}\n", output::clean(link)));
            let callback = output::clean(&text(&found, "/consent_callback"));
            output::say(&format!(
                "The app registration must list {callback} as a redirect address."
            ));
        }
    }
    Ok(exit::DONE)
}

/// What is known of a connection, one fact a line.
fn connection(found: &Value, tenant: &TenantArgs) {
    let form = tenant.server.output.output;
    if matches!(form, crate::cli::Output::Json | crate::cli::Output::Jsonl) {
        output::list(std::slice::from_ref(found), FACT_COLUMNS, "/tenant", form);
        return;
    }
    let finding = |name: &str| {
        let of = |part: &str| text(found, &format!("/report/{name}/{part}"));
        let why = [of("reason"), of("needs")].into_iter().find(|text| !text.is_empty());
        match (of("found"), why) {
            (word, Some(why)) if word != "yes" => format!("{word} ({why})"),
            (word, _) => word,
        }
    };
    let count = |state: &str, purpose: &str| {
        let lines = found["permissions"]["needed"].as_array().map(Vec::as_slice);
        let lines = lines.unwrap_or_default().iter();
        lines.filter(|line| line["state"] == state && line["purpose"] == purpose).count()
    };
    let more = found["permissions"]["more_than_needed"].as_array().map_or(0, Vec::len);
    let granted = if found["granted"].is_null() {
        "not checked yet".to_owned()
    } else {
        let held = count("granted", "backup") + count("covered", "backup");
        format!("{held} granted, {} missing, {more} more than needed", count("missing", "backup"))
    };
    let access = match (&found["granted"], found["permissions"]["read_only"].as_bool()) {
        (Value::Null, _) => "not known",
        (_, Some(true)) => "read only",
        _ => "reads and writes",
    };
    let facts = [
        ("tenant", text(found, "/tenant")),
        ("entra tenant id", text(found, "/entra_tenant_id")),
        ("cloud", text(found, "/cloud")),
        ("client id", text(found, "/client_id")),
        ("credential", text(found, "/credential/kind")),
        ("credential ends", text(found, "/credential/expires_at")),
        ("key pair that waits", text(found, "/pending/thumbprint")),
        ("checked", text(found, "/report/checked_at")),
        ("sign-in", finding("token")),
        ("consent", finding("consent")),
        ("permissions to read", granted),
        ("access", access.to_owned()),
        ("licence", finding("licence")),
        ("multi admin approval", finding("approval")),
    ];
    let facts: Vec<Value> =
        facts.iter().map(|(fact, value)| json!({"fact": fact, "value": value})).collect();
    output::list(&facts, FACT_COLUMNS, "/fact", form);
}

fn permissions(found: &Value, tenant: &TenantArgs) {
    let list = |name: &str| found["permissions"][name].as_array().cloned().unwrap_or_default();
    let mut lines = list("needed");
    lines.extend(list("more_than_needed").into_iter().map(|one| {
        json!({
            "permission": one["permission"], "state": "more_than_needed", "purpose": "",
            "features": [], "without": one["advice"],
        })
    }));
    output::list(&lines, PERMISSION_COLUMNS, "/permission", tenant.server.output.output);
}

/// The `tenant certificate` verbs. The certificate goes to standard output, as it is for a file.
async fn certificate(
    command: CertificateCommand,
    environment: &Environment,
) -> Result<u8, VerbError> {
    match command {
        CertificateCommand::Make { tenant, client_id } => {
            let (client, slug, path) = reach(&tenant, environment)?;
            let mut body = json!({});
            if let Some(id) = client_id {
                body["client_id"] = id.into();
            }
            let made = client.post(&format!("{path}/certificate"), &body, None).await?;
            output::write(&text(&made, "/certificate_pem"));
            let ends = output::clean(&text(&made, "/expires_at"));
            output::say(&format!("Made; it ends {ends}. Add it to the app registration, then:"));
            output::say(&format!("tenantpilot tenant certificate use -t {slug}"));
        }
        CertificateCommand::Show { tenant, active } => {
            let (client, _, path) = reach(&tenant, environment)?;
            let which = if active { "active" } else { "pending" };
            let found = client.get(&format!("{path}/certificate?which={which}")).await?;
            output::write(&text(&found, "/certificate_pem"));
        }
        CertificateCommand::Use { tenant } => {
            let (client, slug, path) = reach(&tenant, environment)?;
            let found = client.post(&format!("{path}/certificate/use"), &json!({}), None).await?;
            connection(&found, &tenant);
            output::say(&format!("In use. Next: tenantpilot tenant check -t {slug} --wait"));
        }
        CertificateCommand::Discard { tenant } => {
            let (client, _, path) = reach(&tenant, environment)?;
            client.delete(&format!("{path}/certificate")).await?;
            output::say("Thrown away");
        }
    }
    Ok(exit::DONE)
}
