//! Who may come in from a provider: rules of a workspace, and links that an owner or the console makes.

use std::sync::Arc;

use serde_json::json;
use tp_domain::access::{ManageMembers, Role};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, UserId, WorkspaceId};
use tp_domain::sign_in::IdentityKey;
use uuid::Uuid;

use crate::audit::audit;
use crate::console::Console;
use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::identities::{IdentityLinked, link};
use crate::stmt::stmt;
use crate::tenants::bad_row;
use crate::workspace::WorkspaceScope;
use crate::workspace_choice::of_user;

const LIST: &str =
    "SELECT authority, role FROM sign_in_rules WHERE scope_id = $1 ORDER BY authority";
const SET: &str = "\
INSERT INTO sign_in_rules (scope_id, authority, workspace_id, role, created_at, created_by)
VALUES ($1, $2, $1, $3, $4, $5)
ON CONFLICT (scope_id, authority) DO UPDATE SET role = excluded.role, created_at = excluded.created_at,
  created_by = excluded.created_by";
const DELETE: &str = "DELETE FROM sign_in_rules WHERE scope_id = $1 AND authority = $2";
pub(crate) const OF_AUTHORITY: &str =
    "SELECT workspace_id, role FROM sign_in_rules WHERE authority = $1 ORDER BY workspace_id";
const USER_BY_EMAIL: &str = "SELECT id FROM users WHERE email = $1";

/// Whose people become members of a workspace when they sign in for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRule {
    /// `entra:TENANT`, or the issuer of another provider.
    pub authority: String,
    /// As what: operator or reader, never more (ruling 40).
    pub role: Role,
}

/// Why a link was not made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum LinkRefused {
    /// Not a member of this workspace, or no such account.
    #[error("there is no such member")]
    NotFound,
    /// The account is a member of other workspaces, too: their owners have not been asked.
    #[error(
        "the account belongs to other workspaces, too; it can only be linked by its own person"
    )]
    Shared,
    /// Somebody can sign in that way already.
    #[error("this identity is linked to an account already")]
    Taken,
    /// Rules give no such role.
    #[error("a rule can make people operators or readers, nothing more")]
    Role,
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(sqlx::FromRow)]
struct RuleRow {
    authority: String,
    role: String,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

fn note(
    actor: Initiator,
    target: (&'static str, String),
    request_id: Option<String>,
    details: serde_json::Value,
) -> AuditNote {
    let action = AuditAction::SignInRuleSet;
    AuditNote { actor, action, target, tenant: None, run: None, request_id, details }
}

async fn rule_set(
    tx: &mut Tx,
    ids: &dyn Ids,
    workspace: WorkspaceId,
    actor: Initiator,
    rule: (String, Option<Role>),
    request_id: Option<String>,
) -> Result<(), StoreError> {
    let (authority, role) = rule;
    let (scope, now) = (workspace.uuid(), tx.now());
    match role {
        Some(role) => {
            tx.execute(stmt!(SET, scope, &authority, role.as_str(), now, actor.name())).await?;
        }
        None => {
            tx.execute(stmt!(DELETE, scope, &authority)).await?;
        }
    }
    let details = json!({"authority": authority, "role": role.map(Role::as_str)});
    let target = ("workspace", workspace.to_string());
    audit(tx, ids, workspace, &note(actor, target, request_id, details)).await
}

fn is_modest(role: Option<Role>) -> bool {
    matches!(role, None | Some(Role::Operator | Role::Reader))
}

impl WorkspaceScope<ManageMembers> {
    /// Whose people become members by signing in.
    pub async fn sign_in_rules(&self) -> Result<Vec<SignInRule>, StoreError> {
        let scope = self.workspace.uuid();
        let stmt = stmt!(LIST, scope);
        let rows: Vec<RuleRow> =
            self.store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.all(stmt))).await?;
        let rule = |row: RuleRow| {
            let role = row.role.parse().map_err(|_| bad_row("sign_in_rules", "role"))?;
            Ok(SignInRule { authority: row.authority, role })
        };
        rows.into_iter().map(rule).collect()
    }

    /// Sets as what the people of an authority become members, or with no role that they do not. Whoever
    /// is a member already keeps their role.
    pub async fn sign_in_rule_set(
        &self,
        authority: &str,
        role: Option<Role>,
        request_id: Option<String>,
    ) -> Result<(), LinkRefused> {
        if !is_modest(role) {
            return Err(LinkRefused::Role);
        }
        let (ids, workspace) = (Arc::clone(&self.store.ids), self.workspace);
        let (actor, authority) = (self.actor.initiator(), authority.to_owned());
        let set = self.store.db.write(Reach::Scope(workspace.uuid()), move |tx| {
            let rule = (authority, role);
            Box::pin(async move { rule_set(tx, &*ids, workspace, actor, rule, request_id).await })
        });
        Ok(set.await?)
    }

    /// Lets a member of this workspace sign in with that identity. Only for accounts that are members of
    /// no other workspace: else an owner of one could come into the other.
    pub async fn identity_link(
        &self,
        user: UserId,
        key: IdentityKey,
        label: Option<String>,
        request_id: Option<String>,
    ) -> Result<(), LinkRefused> {
        let (ids, workspace) = (Arc::clone(&self.store.ids), self.workspace);
        let actor = self.actor.initiator();
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let own = of_user(tx, user).await?;
                    if !own.iter().any(|row| row.id == workspace.uuid()) {
                        return Ok(Err(LinkRefused::NotFound));
                    }
                    if own.len() > 1 {
                        return Ok(Err(LinkRefused::Shared));
                    }
                    let linked = link(tx, &*ids, user, (&key, label), &actor, request_id).await?;
                    Ok(match linked {
                        IdentityLinked::Done => Ok(()),
                        IdentityLinked::Taken => Err(LinkRefused::Taken),
                    })
                })
            })
            .await?
    }
}

impl Console {
    /// Lets an account sign in with that identity.
    pub async fn identity_link(
        &self,
        email: &str,
        key: IdentityKey,
        label: Option<String>,
    ) -> Result<(), LinkRefused> {
        let (ids, email) = (Arc::clone(&self.store.ids), email.trim().to_lowercase());
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let find = stmt!(USER_BY_EMAIL, email);
                    let Some(row) = tx.optional::<IdRow>(find).await? else {
                        return Ok(Err(LinkRefused::NotFound));
                    };
                    let user = UserId::from_uuid(row.id);
                    let by = Initiator::Console;
                    let linked = link(tx, &*ids, user, (&key, label), &by, None).await?;
                    Ok(match linked {
                        IdentityLinked::Done => Ok(()),
                        IdentityLinked::Taken => Err(LinkRefused::Taken),
                    })
                })
            })
            .await?
    }

    /// Sets as what the people of an authority become members of a workspace; no role: they do not.
    pub async fn sign_in_rule_set(
        &self,
        workspace: WorkspaceId,
        authority: &str,
        role: Option<Role>,
    ) -> Result<(), LinkRefused> {
        if !is_modest(role) {
            return Err(LinkRefused::Role);
        }
        let (ids, authority) = (Arc::clone(&self.store.ids), authority.to_owned());
        let set = self.store.db.write(Reach::Scope(workspace.uuid()), move |tx| {
            let (by, rule) = (Initiator::Console, (authority, role));
            Box::pin(async move { rule_set(tx, &*ids, workspace, by, rule, None).await })
        });
        Ok(set.await?)
    }
}
