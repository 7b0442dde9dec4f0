//! `tenantpilot contracts` and `tenantpilot capabilities`: what the program knows of policy types.

use anyhow::Context as _;
use serde_json::{Value, json};
use tp_catalog::capabilities::capabilities as resolve;
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
        }
        ContractsCommand::Show { key } => {
            let known = PolicyType::new(&key).ok();
            let contract = known.as_ref().and_then(|key| catalog.contract(key));
            let Some(contract) = contract else {
                output::say("error: no such policy type; tenantpilot contracts list shows all");
                return Ok(exit::NOT_FOUND);
            };
            output::write(&format!("{contract:#?}\n"));
        }
        ContractsCommand::Check => output::say(&format!("{} contracts are good.", catalog.len())),
    }
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
                "app_only_writable": can.app_only_writable,
            })
        })
        .collect();
    output::list(&entries, CAPABILITY_COLUMNS, "/key", form);
    Ok(())
}
