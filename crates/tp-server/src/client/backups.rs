//! The `backup` and `policy` verbs.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use tp_client::Client;
use tp_domain::json::{Json, Object};

use super::{VerbError, client, follow, query, segment, tenant_of};
use crate::archive;
use crate::cli::{BackupCommand, Output, PolicyCommand, TenantArgs};
use crate::environment::Environment;
use crate::exit;
use crate::output::{self, Column, text};

const SET_COLUMNS: &[Column] = &[
    ("number", |set| text(set, "/number")),
    ("state", |set| text(set, "/state")),
    ("begun", |set| text(set, "/created_at")),
    ("policies", |set| text(set, "/items")),
    ("not saved", |set| text(set, "/failed_items")),
    ("new versions", |set| text(set, "/new_versions")),
    ("pinned", |set| text(set, "/pinned")),
    ("note", |set| text(set, "/note")),
];

const TYPE_COLUMNS: &[Column] = &[
    ("type", |one| text(one, "/type")),
    ("completeness", |one| text(one, "/state")),
    ("reason", |one| text(one, "/reason_code")),
    ("permission", |one| text(one, "/permission")),
    ("listed", |one| text(one, "/listed")),
    ("saved", |one| text(one, "/saved")),
    ("not saved", |one| text(one, "/failed")),
];

const ITEM_COLUMNS: &[Column] = &[
    ("name", |item| text(item, "/name")),
    ("type", |item| text(item, "/type")),
    ("outcome", |item| text(item, "/state")),
    ("reason", |item| text(item, "/reason_code")),
    ("version", |item| text(item, "/version")),
    ("graph id", |item| text(item, "/graph_id")),
];

const POLICY_COLUMNS: &[Column] = &[
    ("name", |policy| text(policy, "/name")),
    ("type", |policy| text(policy, "/type")),
    ("platform", |policy| text(policy, "/platform")),
    ("modified", |policy| text(policy, "/modified_at")),
    ("missing", |policy| text(policy, "/missing")),
    ("graph id", |policy| text(policy, "/graph_id")),
    ("id", |policy| text(policy, "/id")),
];

const VERSION_COLUMNS: &[Column] = &[
    ("version", |one| text(one, "/number")),
    ("captured", |one| text(one, "/captured_at")),
    ("for", |one| text(one, "/purpose")),
    ("run", |one| text(one, "/run")),
    ("changed in Intune", |one| text(one, "/modified_text")),
    ("assignments", |one| text(one, "/assignments")),
    ("name", |one| text(one, "/name")),
];

const ENTRY_COLUMNS: &[Column] = &[
    ("change", |entry| text(entry, "/kind")),
    ("setting", |entry| {
        let around = entry["within"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let own = text(entry, "/label");
        around.map(str::to_owned).chain([own]).collect::<Vec<_>>().join(" > ")
    }),
    ("from", |entry| text(entry, "/left/text")),
    ("to", |entry| text(entry, "/right/text")),
];

/// The `backup` verbs.
pub(crate) async fn backup(
    command: BackupCommand,
    environment: &Environment,
) -> Result<u8, VerbError> {
    match command {
        BackupCommand::VerifyArchive { file, root, output } => {
            archive::verify_archive(&file, root.as_deref(), output.output)
        }
        BackupCommand::Export { set, tenant, to, waiting } => {
            export(set, &tenant, &to, waiting.timeout, environment).await
        }
        BackupCommand::Import { file, tenant, wait, waiting } => {
            let (client, slug) = reach(&tenant, environment)?;
            let opened = tokio::fs::File::open(&file).await.map_err(|error| {
                VerbError::Usage(format!("cannot read {}: {error}", file.display()))
            })?;
            let upload = client.upload(&format!("/api/v1/tenants/{slug}/uploads"), opened).await?;
            let inputs = json!({"upload": upload["id"]});
            let body = json!({"kind": "backup.import", "inputs": inputs});
            let run = client.post(&format!("/api/v1/tenants/{slug}/runs"), &body, None).await?;
            follow(&client, &slug, run, &tenant, wait, waiting.timeout).await
        }
        BackupCommand::List { tenant, limit } => {
            let (client, slug) = reach(&tenant, environment)?;
            let path = format!("/api/v1/tenants/{slug}/backups?{}", query(&[], limit));
            let sets = client.list(&path, limit).await?;
            output::list(&sets, SET_COLUMNS, "/number", tenant.server.output.output);
            Ok(exit::DONE)
        }
        BackupCommand::View { set, tenant, policies, state, limit } => {
            let (client, slug) = reach(&tenant, environment)?;
            let path = format!("/api/v1/tenants/{slug}/backups/{set}");
            let form = tenant.server.output.output;
            if policies {
                let state: Vec<String> = state.into_iter().collect();
                let path = format!("{path}/items?{}", query(&[("state", &state[..])], limit));
                let items = client.list(&path, limit).await?;
                output::list(&items, ITEM_COLUMNS, "/graph_id", form);
                return Ok(exit::DONE);
            }
            let found = client.get(&path).await?;
            view(&found, form);
            Ok(exit::DONE)
        }
        BackupCommand::Create { tenant, types, policies, no_foundations, note, wait, waiting } => {
            let (client, slug) = reach(&tenant, environment)?;
            let mut inputs = json!({});
            if !types.is_empty() {
                inputs["types"] = json!(types);
            }
            if !policies.is_empty() {
                inputs["policies"] = json!(policies);
            }
            if no_foundations {
                inputs["include_foundations"] = json!(false);
            }
            if let Some(note) = note {
                inputs["note"] = json!(note);
            }
            let body = json!({"kind": "backup.create", "inputs": inputs});
            let run = client.post(&format!("/api/v1/tenants/{slug}/runs"), &body, None).await?;
            follow(&client, &slug, run, &tenant, wait, waiting.timeout).await
        }
    }
}

/// Has a set packed, downloads the archive, and checks it: the file is written when all of it is right.
async fn export(
    set: u64,
    tenant: &TenantArgs,
    to: &Path,
    timeout: Option<u64>,
    environment: &Environment,
) -> Result<u8, VerbError> {
    let (client, slug) = reach(tenant, environment)?;
    let failed =
        |error: std::io::Error| VerbError::Usage(format!("cannot write {}: {error}", to.display()));
    if to.exists() {
        let text = format!("{} is there already: it is not replaced", to.display());
        return Err(VerbError::Usage(text));
    }
    let body = json!({"kind": "backup.export", "inputs": {"backup": set}});
    let run = client.post(&format!("/api/v1/tenants/{slug}/runs"), &body, None).await?;
    let ended = follow(&client, &slug, run, tenant, true, timeout).await?;
    if ended != exit::DONE {
        return Ok(ended);
    }
    let path = format!("/api/v1/tenants/{slug}/backups/{set}");
    let root = text(&client.get(&path).await?, "/archive/root");
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut part = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))
        .map_err(failed)?;
    let bytes = client.download(&format!("{path}/download"), |chunk| part.write_all(chunk)).await?;
    part.as_file().sync_all().map_err(failed)?;
    let checked = archive::verify_archive(part.path(), Some(&root), tenant.server.output.output)?;
    if checked == exit::DONE {
        part.persist_noclobber(to).map_err(|error| failed(error.error))?;
        output::say(&format!("Written to {}: {bytes} bytes", to.display()));
    }
    Ok(checked)
}

/// A set in words, then its types. As JSON it is whole.
fn view(set: &Value, form: Output) {
    if matches!(form, Output::Json | Output::Jsonl) {
        output::list(std::slice::from_ref(set), SET_COLUMNS, "/number", form);
        return;
    }
    let of = |pointer: &str| output::clean(&text(set, pointer));
    output::say(&format!(
        "Backup set {}: {}, {} policies, {} not saved, {} new versions",
        of("/number"),
        of("/state"),
        of("/items"),
        of("/failed_items"),
        of("/new_versions"),
    ));
    let types = set["types"].as_array().cloned().unwrap_or_default();
    // What is complete and empty says nothing; the first line has the whole.
    let says = |one: &Value| one["state"] != "complete" || one["listed"] != 0;
    let telling: Vec<Value> = types.iter().filter(|one| says(one)).cloned().collect();
    output::list(&telling, TYPE_COLUMNS, "/type", form);
    match types.len() - telling.len() {
        0 => {}
        quiet => output::say(&format!("{quiet} more types are complete and have no policy.")),
    }
}

/// The `policy` verbs.
pub(crate) async fn policy(
    command: PolicyCommand,
    environment: &Environment,
) -> Result<u8, VerbError> {
    match command {
        PolicyCommand::List { tenant, types, query: name, missing, limit } => {
            let (client, slug) = reach(&tenant, environment)?;
            let name: Vec<String> = name.into_iter().collect();
            let missing: Vec<String> = missing.then(|| "true".to_owned()).into_iter().collect();
            let filters = [("type", &types[..]), ("q", &name[..]), ("missing", &missing[..])];
            let path = format!("/api/v1/tenants/{slug}/policies?{}", query(&filters, limit));
            let policies = client.list(&path, limit).await?;
            output::list(&policies, POLICY_COLUMNS, "/graph_id", tenant.server.output.output);
            Ok(exit::DONE)
        }
        PolicyCommand::Versions { policy, tenant, limit } => {
            let (client, slug) = reach(&tenant, environment)?;
            let versions = versions(&client, &slug, &policy, limit).await?;
            output::list(&versions, VERSION_COLUMNS, "/id", tenant.server.output.output);
            Ok(exit::DONE)
        }
        PolicyCommand::Diff { policy, tenant, from, to, exit_code } => {
            let (client, slug) = reach(&tenant, environment)?;
            let all = versions(&client, &slug, &policy, usize::MAX).await?;
            let (left, right) = two(&all, from, &to)?;
            let path =
                format!("/api/v1/tenants/{slug}/compare?left=version:{left}&right=version:{right}");
            let diff = client.get(&path).await?;
            let differs = differences(&diff, tenant.server.output.output);
            Ok(if differs && exit_code { exit::DIFFERENCES } else { exit::DONE })
        }
        PolicyCommand::Export { policy, tenant, number, to } => {
            let (client, slug) = reach(&tenant, environment)?;
            let number = match number {
                Some(number) => number,
                None => number_of(newest(&versions(&client, &slug, &policy, 1).await?)?)?,
            };
            let path =
                format!("/api/v1/tenants/{slug}/policies/{}/versions/{number}", segment(&policy)?);
            let answer = client.get_text(&path).await?;
            write(&document(&answer)?, to.as_deref())?;
            Ok(exit::DONE)
        }
    }
}

fn reach(tenant: &TenantArgs, environment: &Environment) -> Result<(Client, String), VerbError> {
    Ok((client(&tenant.server, environment)?, tenant_of(tenant, environment)?))
}

async fn versions(
    client: &Client,
    slug: &str,
    policy: &str,
    limit: usize,
) -> Result<Vec<Value>, VerbError> {
    let policy = segment(policy)?;
    let path = format!("/api/v1/tenants/{slug}/policies/{policy}/versions?{}", query(&[], limit));
    Ok(client.list(&path, limit).await?)
}

fn newest(versions: &[Value]) -> Result<&Value, VerbError> {
    versions.first().ok_or_else(|| {
        VerbError::Usage("this policy has no version yet: back it up first".to_owned())
    })
}

fn number_of(version: &Value) -> Result<u64, VerbError> {
    version["number"]
        .as_u64()
        .ok_or_else(|| VerbError::Usage("the server's answer has no version number".to_owned()))
}

/// The ids of the two versions that are meant. The newest capture is what is known of "live" here.
fn two(versions: &[Value], from: Option<u64>, to: &str) -> Result<(String, String), VerbError> {
    let find = |number: u64| {
        let found = versions.iter().find(|one| one["number"].as_u64() == Some(number));
        found.ok_or_else(|| VerbError::Usage(format!("there is no version {number}")))
    };
    let right = match to {
        "live" => newest(versions)?,
        number => find(number.parse().map_err(|_| {
            VerbError::Usage("--to is the number of a version, or live".to_owned())
        })?)?,
    };
    let before = number_of(right)?.checked_sub(1).filter(|number| *number > 0);
    let left = match from.or(before) {
        Some(number) => find(number)?,
        None => return Err(VerbError::Usage("there is no version before the first".to_owned())),
    };
    let id = |version: &Value| segment(&text(version, "/id"));
    Ok((id(left)?, id(right)?))
}

/// Writes what differs; whether something does.
fn differences(diff: &Value, form: Output) -> bool {
    let entries = diff["entries"].as_array().cloned().unwrap_or_default();
    let unknown = diff["unknown"].as_array().map_or(0, Vec::len);
    if matches!(form, Output::Json | Output::Jsonl) {
        output::list(std::slice::from_ref(diff), ENTRY_COLUMNS, "/pointer", form);
    } else {
        output::list(&entries, ENTRY_COLUMNS, "/pointer", form);
    }
    let of = |pointer: &str| output::clean(&text(diff, pointer));
    output::say(&format!(
        "Version {} to {}: {} added, {} removed, {} changed, {} the same",
        of("/left/number"),
        of("/right/number"),
        of("/summary/added"),
        of("/summary/removed"),
        of("/summary/changed"),
        of("/summary/same"),
    ));
    if unknown > 0 {
        output::say(&format!("{unknown} could not be compared"));
    }
    if diff["scripts_hidden"] == true {
        output::say("Scripts are hidden: seeing them needs scripts.view_content");
    }
    !entries.is_empty() || unknown > 0
}

/// Type, object and assignments of the API's answer, with every number as it was written.
fn document(answer: &str) -> Result<String, VerbError> {
    let foreign = || VerbError::Usage("the server's answer holds no version".to_owned());
    let Ok(Json::Object(mut members)) = Json::parse(answer.as_bytes()) else {
        return Err(foreign());
    };
    let mut document = Object::new();
    for (from, to) in [("type", "type"), ("payload", "object"), ("assignment_list", "assignments")]
    {
        document.insert(to, members.remove(from).ok_or_else(foreign)?);
    }
    Ok(Json::from(document).to_string())
}

fn write(text: &str, file: Option<&Path>) -> Result<(), VerbError> {
    let Some(file) = file else {
        output::write(&format!("{text}\n"));
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        VerbError::Usage(format!("cannot write {}: {error}", file.display()))
    };
    let mut made =
        std::fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(failed)?;
    output::say(&format!("Written to {}", file.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> Vec<Value> {
        [3, 2, 1].map(|number| json!({"number": number, "id": format!("v{number}")})).to_vec()
    }

    #[test]
    fn without_numbers_the_newest_change_is_meant() {
        let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        assert_eq!(two(&versions(), None, "live").unwrap(), pair("v2", "v3"));
        assert_eq!(two(&versions(), Some(1), "live").unwrap(), pair("v1", "v3"));
        assert_eq!(two(&versions(), None, "2").unwrap(), pair("v1", "v2"));
        for (from, to) in [(None, "1"), (Some(9), "live"), (None, "9"), (None, "new")] {
            assert!(matches!(two(&versions(), from, to), Err(VerbError::Usage(_))), "{to}");
        }
        assert!(two(&[], None, "live").is_err());
    }

    #[test]
    fn an_export_keeps_every_number() {
        let answer = r#"{"assignment_list":null,"assignments":0,"id":"x","payload":{"n":1e400,"t":1.0},"type":"a"}"#;
        let expected = r#"{"assignments":null,"object":{"n":1e400,"t":1.0},"type":"a"}"#;
        assert_eq!(document(answer).unwrap(), expected);
        assert!(document("{}").is_err() && document("[]").is_err());
    }
}
