//! `tenantpilot contracts` and `tenantpilot capabilities`: what the program knows of policy types.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use tp_catalog::capabilities::capabilities as resolve;
use tp_catalog::check;
use tp_catalog::contract::Contract;
use tp_catalog::registry::Catalog;
use tp_domain::policy::PolicyType;

use crate::cli::{ContractsCommand, Output};
use crate::exit;
use crate::output::{self, Column, text};

const COLUMNS: &[Column] = &[
    ("key", |entry| text(entry, "/key")),
    ("label", |entry| text(entry, "/label")),
    ("version", |entry| text(entry, "/version")),
    ("path", |entry| text(entry, "/path")),
];

/// The `contracts` verbs.
pub(crate) fn contracts(command: ContractsCommand) -> anyhow::Result<u8> {
    let catalog = Catalog::builtin()?;
    match command {
        ContractsCommand::List(form) => {
            let entries: Vec<Value> = catalog
                .iter()
                .map(|(key, contract)| {
                    json!({
                        "key": key.as_str(), "label": contract.label,
                        "version": contract.api_version.segment(), "path": contract.list.path,
                    })
                })
                .collect();
            output::list(&entries, COLUMNS, "/key", form.output);
            Ok(exit::DONE)
        }
        ContractsCommand::Show { key, output: form } => {
            let known = PolicyType::new(&key).ok();
            let contract = known.as_ref().and_then(|key| catalog.contract(key));
            let Some(contract) = contract else {
                output::say("error: no such policy type; tenantpilot contracts list shows all");
                return Ok(exit::NOT_FOUND);
            };
            show(contract, form.output)?;
            Ok(exit::DONE)
        }
        ContractsCommand::Check { csdl } => check_all(&catalog, csdl.as_deref()),
    }
}

const FACT_COLUMNS: &[Column] =
    &[("fact", |entry| text(entry, "/fact")), ("value", |entry| text(entry, "/value"))];

/// The contract itself as JSON, or what matters of it as a table.
fn show(contract: &Contract, form: Output) -> anyhow::Result<()> {
    if matches!(form, Output::Json | Output::Jsonl) {
        let value = serde_json::to_value(contract).context("the contract cannot be written")?;
        if form == Output::Json {
            output::json(&value);
        } else {
            output::write(&format!("{value}\n"));
        }
        return Ok(());
    }
    let can = resolve(contract, None);
    let call = |method: &str, path: &str| format!("{method} {path}");
    let create = contract.create.as_ref().map(|one| call(one.call.method.as_str(), &one.call.path));
    let update = contract.update.as_ref().map(|one| call(one.call.method.as_str(), &one.call.path));
    let delete = contract.delete.as_ref().map(|one| call(one.method.as_str(), &one.path));
    let written = contract.assignments.as_ref().and_then(|one| one.write.as_ref());
    let or_no = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let joined = |list: Vec<&str>| if list.is_empty() { "-".to_owned() } else { list.join(", ") };
    let parts = contract.subresources.iter().map(|part| part.name.as_str()).collect();
    let secrets = contract.secrets.iter().map(|secret| secret.at.as_str()).collect();
    let facts = [
        ("key", contract.key.clone()),
        ("label", contract.label.clone()),
        ("category", contract.category.clone()),
        ("version", contract.api_version.segment().to_owned()),
        ("list", call("GET", &contract.list.path)),
        ("item", call("GET", &contract.item.path)),
        ("parts", joined(parts)),
        ("requests per policy", contract.reading().requests_per_object().to_string()),
        ("create", or_no(create)),
        ("update", or_no(update)),
        ("delete", or_no(delete)),
        ("assign", or_no(written.map(|write| write.path().to_owned()))),
        ("secrets", joined(secrets)),
        ("backup", can.backup.as_str().to_owned()),
        ("restore", can.restore.as_str().to_owned()),
        ("risk", can.risk.as_str().to_owned()),
        ("reading needs", contract.permissions.read.join(", ")),
        ("writing needs", contract.permissions.write.join(", ")),
    ];
    let entries: Vec<Value> =
        facts.iter().map(|(fact, value)| json!({"fact": fact, "value": value})).collect();
    output::list(&entries, FACT_COLUMNS, "/fact", form);
    Ok(())
}

/// Says each fault; the exit code tells whether there was one.
fn check_all(catalog: &Catalog, csdl: Option<&Path>) -> anyhow::Result<u8> {
    let mut faults = catalog.check();
    if let Some(path) = csdl {
        let read = || format!("cannot read {}", path.display());
        let text = std::fs::read_to_string(path).with_context(read)?;
        let lists: Value = serde_json::from_str(&text).with_context(read)?;
        anyhow::ensure!(lists.get("types").is_some(), "{} has no property lists", path.display());
        faults.extend(check::csdl(catalog, &lists));
    }
    for fault in &faults {
        output::say(&output::clean(&format!("{}: {}", fault.key, fault.fault)));
    }
    if !faults.is_empty() {
        output::say(&format!("{} faults in {} contracts.", faults.len(), catalog.len()));
        return Ok(exit::ERROR);
    }
    let held = if csdl.is_some() { " Microsoft's property lists confirm them." } else { "" };
    output::say(&format!("{} contracts are good.{held}", catalog.len()));
    Ok(exit::DONE)
}

const CAPABILITY_COLUMNS: &[Column] = &[
    ("key", |entry| text(entry, "/key")),
    ("backup", |entry| text(entry, "/backup")),
    ("restore", |entry| text(entry, "/restore")),
    ("risk", |entry| text(entry, "/risk")),
    ("read needs", |entry| text(entry, "/read")),
];

/// What can be done with each policy type.
pub(crate) fn capabilities(form: Output) -> anyhow::Result<()> {
    let catalog = Catalog::builtin().context("the contracts cannot be read")?;
    let entries: Vec<Value> = catalog
        .iter()
        .map(|(key, contract)| {
            let can = resolve(contract, None);
            json!({
                "key": key.as_str(), "backup": can.backup.as_str(), "restore": can.restore.as_str(),
                "risk": can.risk.as_str(), "read": contract.permissions.read.join("+"),
                "write": contract.permissions.write.join("+"),
                "app_only_writable": can.app_only_writable, "app_write": can.app_write.as_str(),
                "why_not": can.app_write.why(), "dependencies": can.dependencies,
                "limits": can.limits,
            })
        })
        .collect();
    output::list(&entries, CAPABILITY_COLUMNS, "/key", form);
    Ok(())
}
