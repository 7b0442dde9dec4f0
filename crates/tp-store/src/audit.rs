//! The audit log: rows are written inside the change's own transaction, and never altered.

use tp_domain::actor::Initiator;
use tp_domain::audit::AuditNote;
use tp_domain::ids::{AuditId, Ids, RunId, ScopeId, TenantId, WorkspaceId};
use tp_domain::secret_names;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::stmt::stmt;

const AUDIT_INSERT: &str = "\
INSERT INTO audit_entries (scope_id, id, workspace_id, tenant_id, at, actor_kind, actor_id, actor_name,
                           action, target_kind, target_id, run_id, request_id, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// Writes the note. When this fails, the whole change is rolled back by the caller (ruling 8).
pub(crate) async fn audit(
    tx: &mut Tx,
    ids: &dyn Ids,
    workspace: WorkspaceId,
    note: &AuditNote,
) -> Result<(), StoreError> {
    let scope = note.tenant.map_or(ScopeId::Workspace(workspace), ScopeId::Tenant);
    let now = tx.now();
    // Nobody puts a secret in; should somebody, it goes no further (PRODUCT R-7).
    let mut details = note.details.clone();
    secret_names::scrub(&mut details);
    tx.execute(stmt!(
        AUDIT_INSERT,
        scope.uuid(),
        AuditId::next(ids).uuid(),
        workspace.uuid(),
        note.tenant.map(TenantId::uuid),
        now,
        note.actor.kind(),
        actor_id(&note.actor),
        note.actor.name(),
        note.action.as_str(),
        note.target.0,
        &note.target.1,
        note.run.map(RunId::uuid),
        note.request_id.clone(),
        details.to_string(),
    ))
    .await?;
    Ok(())
}

/// The id that an audit row names its actor by.
pub(crate) const fn actor_id(actor: &Initiator) -> Option<Uuid> {
    match actor {
        Initiator::User { id, .. } => Some(id.uuid()),
        Initiator::Token { id, .. } => Some(id.uuid()),
        Initiator::Console | Initiator::Schedule(_) | Initiator::System => None,
    }
}
