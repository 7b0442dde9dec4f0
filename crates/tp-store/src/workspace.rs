//! A person in a workspace as a whole, for one purpose: workspace runs, schedules, settings.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::json;
use tp_domain::access::{Capability, ManageSettings, Need, Role};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{RunId, ScopeId, WorkspaceId};
use tp_domain::run::OperationRun;
use tp_domain::runs_prune::Retention;
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::db::Reach;
use crate::doors::Actor;
use crate::error::{Refused, StoreError};
use crate::run_reads::{self, RunFilter, RunPage};
use crate::run_rows::RunRow;
use crate::runs::RUN_GET;
use crate::stmt::stmt;
use crate::tenants::bad_row;

const ENTER: &str = "\
SELECT m.role, w.name FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
WHERE m.scope_id = $1 AND m.user_id = $2";
const SETTINGS: &str = "SELECT retention_days, max_running FROM workspaces WHERE id = $1";
const SETTINGS_SET: &str =
    "UPDATE workspaces SET retention_days = $2, max_running = $3 WHERE id = $1";

/// The most runs of a workspace that can be allowed at once.
pub const MOST_RUNNING: u32 = 1_000;

/// What one person may do in the workspace itself for the purpose `C`. Made by
/// [`Store::enter_workspace`] only.
#[derive(Debug)]
pub struct WorkspaceScope<C> {
    pub(crate) store: Store,
    pub(crate) workspace: WorkspaceId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) actor: Actor,
    purpose: PhantomData<fn() -> C>,
}

/// What can be set for a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceSettings {
    /// How long finished runs are kept.
    pub retention: Retention,
    /// How many runs are worked on at once.
    pub max_running: u32,
}

#[derive(sqlx::FromRow)]
struct EnteredRow {
    role: String,
    name: String,
}

#[derive(sqlx::FromRow)]
struct SettingsRow {
    retention_days: i64,
    max_running: i64,
}

impl Store {
    /// Lets `actor` into the workspace of their session or token for the purpose `C`.
    ///
    /// Another workspace, or a membership of single tenants only: [`Refused::NotFound`]. A member
    /// without the capability: [`Refused::Forbidden`].
    pub async fn enter_workspace<C: Need>(
        &self,
        actor: &Actor,
        workspace: WorkspaceId,
    ) -> Result<WorkspaceScope<C>, Refused> {
        if actor.workspace != workspace || !actor.may_reach_workspace() {
            return Err(Refused::NotFound);
        }
        let stmt = stmt!(ENTER, workspace.uuid(), actor.user.uuid());
        let row: Option<EnteredRow> =
            self.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row else { return Err(Refused::NotFound) };
        let role: Role = row.role.parse().map_err(|_| bad_row("memberships", "role"))?;
        actor.admits::<C>(role, self.now())?;
        Ok(WorkspaceScope {
            store: self.clone(),
            workspace,
            name: row.name,
            role,
            actor: actor.clone(),
            purpose: PhantomData,
        })
    }
}

impl<C> WorkspaceScope<C> {
    /// The workspace.
    pub const fn id(&self) -> WorkspaceId {
        self.workspace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who is inside.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether that person could also do something else here: for disabling buttons with a reason.
    pub fn may(&self, capability: Capability) -> bool {
        self.role.grants(capability) && self.actor.may_use(capability)
    }

    pub(crate) const fn scope_id(&self) -> ScopeId {
        ScopeId::Workspace(self.workspace)
    }

    pub(crate) const fn workspace_id(&self) -> WorkspaceId {
        self.workspace
    }

    /// One page of the runs of the workspace itself.
    pub async fn run_list(&self, filter: RunFilter) -> Result<RunPage, StoreError> {
        let scope = self.workspace.uuid();
        self.store
            .db
            .read(Reach::Scope(scope), move |tx| {
                Box::pin(async move { run_reads::list(tx, &[scope], &filter).await })
            })
            .await
    }

    /// The run of the workspace itself, or none when it has no such run.
    pub async fn run_get(&self, id: RunId) -> Result<Option<OperationRun>, StoreError> {
        let scope: Uuid = self.workspace.uuid();
        let stmt = stmt!(RUN_GET, scope, id.uuid());
        let row: Option<RunRow> =
            self.store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(OperationRun::try_from).transpose()
    }

    /// What is set for the workspace.
    pub async fn settings(&self) -> Result<WorkspaceSettings, StoreError> {
        settings_of(&self.store, self.workspace).await
    }
}

pub(crate) async fn settings_of(
    store: &Store,
    workspace: WorkspaceId,
) -> Result<WorkspaceSettings, StoreError> {
    let stmt = stmt!(SETTINGS, workspace.uuid());
    let row: SettingsRow = store.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await?;
    let days = u32::try_from(row.retention_days).ok().and_then(Retention::days);
    Ok(WorkspaceSettings {
        retention: days.ok_or_else(|| bad_row("workspaces", "retention_days"))?,
        max_running: u32::try_from(row.max_running)
            .map_err(|_| bad_row("workspaces", "max_running"))?,
    })
}

impl WorkspaceScope<ManageSettings> {
    /// Changes what is set. `max_running` is kept between 1 and [`MOST_RUNNING`].
    pub async fn settings_set(&self, settings: WorkspaceSettings) -> Result<(), StoreError> {
        let (ids, actor, workspace) =
            (Arc::clone(&self.store.ids), self.actor.initiator(), self.workspace);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let most = settings.max_running.clamp(1, MOST_RUNNING);
                    let days = settings.retention.as_days();
                    tx.execute(stmt!(SETTINGS_SET, workspace.uuid(), days, most)).await?;
                    let note = AuditNote {
                        actor,
                        action: AuditAction::SettingsChanged,
                        target: ("workspace", workspace.to_string()),
                        tenant: None,
                        run: None,
                        request_id: None,
                        details: json!({"retention_days": days, "max_running": most}),
                    };
                    audit(tx, &*ids, workspace, &note).await
                })
            })
            .await
    }
}
