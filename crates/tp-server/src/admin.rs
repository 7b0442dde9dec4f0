//! `tenantpilot admin`: the acts of the machine's own shell.

mod identities;

use std::io::Read as _;

use anyhow::{Context as _, bail};
use serde_json::json;
use tp_domain::access::{Capability, Role};
use tp_store::{Bootstrap, NewUser};

use crate::cli::{AdminCommand, SecondFactorCommand};
use crate::config::Config;
use crate::{output, wire};

/// No password line is longer.
const LONGEST_INPUT: u64 = 4096;

fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(LONGEST_INPUT)
        .read_to_string(&mut text)
        .context("cannot read the password")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn check_capabilities(words: &[String]) -> anyhow::Result<()> {
    let known = |word: &String| word == "all" || word.parse::<Capability>().is_ok();
    if let Some(word) = words.iter().find(|word| !known(word)) {
        let all: Vec<&str> = Capability::ALL.iter().map(|capability| capability.as_str()).collect();
        bail!("{word} is not a capability; allowed: all, {}", all.join(", "));
    }
    Ok(())
}

async fn second_factor_off(email: &str, config: &Config) -> anyhow::Result<()> {
    let store = wire::store(config).await?;
    let was_on = store.console().second_factor_remove(email).await?;
    store.close().await;
    let Some(was_on) = was_on else { bail!("there is no account with the address {email}") };
    output::json(&json!({"email": email, "was_on": was_on}));
    Ok(())
}

/// Carries an act out and prints what it made.
pub(crate) async fn run(command: AdminCommand, config: &Config) -> anyhow::Result<()> {
    let (workspace, email, name, token_capabilities) = match command {
        AdminCommand::Identity(command) => return identities::run(command, config).await,
        AdminCommand::SecondFactor(SecondFactorCommand::Off { email }) => {
            return second_factor_off(&email, config).await;
        }
        AdminCommand::Bootstrap {
            workspace,
            email,
            name,
            password_stdin: _,
            token_capabilities,
        } => (workspace, email, name, token_capabilities),
    };
    check_capabilities(&token_capabilities)?;
    let well_formed = email
        .split_once('@')
        .is_some_and(|(person, host)| !person.is_empty() && host.contains('.'));
    if !well_formed || email.len() > 254 || workspace.trim().is_empty() {
        bail!("--email needs an address like name@example.com, and --workspace a name");
    }
    let password_hash = tp_web::password::hash(&read_password()?)?;
    let name = name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_owned());
    let store = wire::store(config).await?;
    let owner = NewUser { email: email.clone(), name, password_hash, role: Role::Owner };
    let made = store
        .console()
        .bootstrap(Bootstrap { workspace: workspace.clone(), owner, token_capabilities })
        .await?;
    output::json(&json!({
        "workspace": {"id": made.workspace.to_string(), "name": workspace},
        "user": {"id": made.user.to_string(), "email": email},
        "token": made.token.as_ref().map(tp_store::ApiTokenSecret::expose),
    }));
    store.close().await;
    Ok(())
}
