//! `tenantpilot admin identity`: who may sign in at the identity provider.

use anyhow::{Context as _, bail};
use serde_json::json;
use tp_domain::access::Role;
use tp_domain::ids::WorkspaceId;
use tp_domain::sign_in::IdentityKey;
use tp_store::Store;

use crate::cli::{AuthorityArgs, IdentityCommand};
use crate::config::Config;
use crate::{output, wire};

/// The key that the flags name.
fn key(of: &AuthorityArgs, subject: &str) -> anyhow::Result<IdentityKey> {
    match (of.entra_tenant, &of.issuer) {
        (Some(tenant), _) => {
            let object =
                subject.parse().context("--subject must be the person's object id (oid)")?;
            Ok(IdentityKey::entra(tenant, object))
        }
        (None, Some(issuer)) => IdentityKey::of_issuer(issuer, subject)
            .context("--issuer must be the issuer as it names itself, --subject its word (sub)"),
        (None, None) => bail!("say --entra-tenant or --issuer"),
    }
}

async fn workspace(store: &Store, name: Option<&str>) -> anyhow::Result<WorkspaceId> {
    let all = store.console().workspaces().await?;
    let mut named = all
        .iter()
        .filter(|(id, own)| name.is_none_or(|name| name == own || name == id.to_string()));
    match (named.next(), named.next()) {
        (Some((id, _)), None) => Ok(*id),
        (None, _) => bail!("there is no such workspace"),
        (Some(_), Some(_)) => bail!("say which workspace, with --workspace ID"),
    }
}

/// Carries the act out and prints what it made.
pub(super) async fn run(command: IdentityCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        IdentityCommand::Link { email, authority, subject } => {
            let key = key(&authority, &subject)?;
            let store = wire::store(config).await?;
            store.console().identity_link(&email, key.clone(), None).await?;
            let identity = json!({"authority": key.authority(), "subject": key.subject()});
            output::json(&json!({"email": email, "identity": identity}));
            store.close().await;
        }
        IdentityCommand::Rule { workspace: name, authority, role } => {
            let authority = match (authority.entra_tenant, authority.issuer) {
                (Some(tenant), _) => format!("entra:{tenant}"),
                (None, Some(issuer)) => issuer,
                (None, None) => bail!("say --entra-tenant or --issuer"),
            };
            let role = match role.as_str() {
                "none" => None,
                word => Some(word.parse::<Role>()?),
            };
            let store = wire::store(config).await?;
            let workspace = workspace(&store, name.as_deref()).await?;
            store.console().sign_in_rule_set(workspace, &authority, role).await?;
            output::json(&json!({
                "workspace": workspace.to_string(), "authority": authority, "role": role.map(Role::as_str),
            }));
            store.close().await;
        }
    }
    Ok(())
}
