//! `tenantpilot keys`: the master keys of the key file. Keys themselves are never printed.

use anyhow::{Context as _, bail};
use serde_json::json;
use tp_store::{Keys, StoreError};

use crate::cli::KeysCommand;
use crate::config::Config;
use crate::{exit, output, wire};

/// How many secrets each key has sealed; none while a server holds the SQLite database.
async fn uses(config: &Config) -> anyhow::Result<Option<Vec<(String, u64)>>> {
    match wire::store(config).await {
        Ok(store) => {
            let uses = store.console().master_key_uses().await;
            store.close().await;
            Ok(Some(uses?))
        }
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::InUse)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn list(config: &Config, form: crate::cli::Output) -> anyhow::Result<()> {
    let keys = open(config)?;
    let (active, uses) = (keys.active(), uses(config).await?);
    let entries: Vec<_> = keys
        .ids()
        .into_iter()
        .map(|id| {
            let of = |uses: &Vec<(String, u64)>| {
                uses.iter().find(|(own, _)| *own == id).map_or(0, |(_, count)| *count)
            };
            json!({"id": id, "active": id == active, "secrets": uses.as_ref().map(of)})
        })
        .collect();
    let columns: &[output::Column] = &[
        ("id", |entry| output::text(entry, "/id")),
        ("active", |entry| if entry["active"] == true { "yes".to_owned() } else { String::new() }),
        ("secrets", |entry| output::text(entry, "/secrets")),
    ];
    output::list(&entries, columns, "/id", form);
    if uses.is_none() {
        output::say(
            "A server holds the SQLite database; stop it to see how many secrets there are.",
        );
    }
    Ok(())
}

fn open(config: &Config) -> anyhow::Result<Keys> {
    Keys::open(&config.keys_file, true)
        .with_context(|| format!("key file {}", config.keys_file.display()))
}

async fn forget(config: &Config, id: &str) -> anyhow::Result<()> {
    let Some(uses) = uses(config).await? else {
        bail!("a server holds the SQLite database; stop it first");
    };
    if let Some((_, count)) = uses.iter().find(|(own, count)| own == id && *count > 0) {
        bail!("{count} secrets are sealed with the key {id}; a running server seals them anew");
    }
    Keys::forget(&config.keys_file, id)?;
    output::say(&format!("The key {id} is gone. Backups from before need it: keep a copy apart."));
    Ok(())
}

/// Carries out what is asked for.
pub(crate) async fn run(command: KeysCommand, config: &Config) -> anyhow::Result<u8> {
    match command {
        KeysCommand::List(form) => list(config, form.output).await?,
        KeysCommand::Rotate => {
            open(config)?;
            let id = Keys::rotate(&config.keys_file)?;
            output::write(&format!("{id}\n"));
            output::say(
                "New secrets are sealed with this key. Running servers on this file notice within a \
                 minute and seal the old ones anew; copy the file to other machines. Back it up.",
            );
        }
        KeysCommand::Forget { id } => forget(config, &id).await?,
    }
    Ok(exit::DONE)
}
