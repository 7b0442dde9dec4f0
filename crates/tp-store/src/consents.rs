//! Links to the admin-consent page: each has a state that works once, within minutes, and only in the
//! session that asked for it (FIELD: else somebody adds a foreign tenant).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::access::ManageTenant;
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{TenantId, WorkspaceId};
use tp_domain::reason::ReasonCode;
use uuid::Uuid;

use crate::audit::audit;
use crate::db::Reach;
use crate::doors::{Actor, Via};
use crate::error::StoreError;
use crate::hall::Hall;
use crate::scope::TenantScope;
use crate::secret_text::SecretText;
use crate::stmt::stmt;

const INSERT: &str = "\
INSERT INTO consent_requests (scope_id, state_hash, workspace_id, tenant_id, session_id, created_at,
                              expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)";
const OLD_DELETE: &str = "DELETE FROM consent_requests WHERE expires_at <= $1";
const FIND: &str = "\
SELECT scope_id, workspace_id FROM consent_requests
WHERE state_hash = $1 AND session_id = $2 AND expires_at > $3";
const TAKE: &str = "DELETE FROM consent_requests WHERE scope_id = $1 AND state_hash = $2";

/// How long a link may be used: an administrator must sign in and read a list meanwhile.
pub const CONSENT_LIFE: Duration = Duration::from_mins(15);

/// The state of a consent link: what the page must send back. The database holds its SHA-256.
#[derive(Clone, Debug)]
pub struct ConsentState(SecretText);

impl ConsentState {
    fn fresh() -> Result<Self, StoreError> {
        SecretText::fresh().map(Self)
    }

    /// Takes what an address said.
    pub fn parse(text: &str) -> Option<Self> {
        SecretText::parse(text).map(Self)
    }

    /// The text for the link.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn hash(&self) -> Vec<u8> {
        self.0.hash()
    }
}

/// What the consent page answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentAnswer {
    /// An administrator has consented, says the browser. A check proves it.
    Given,
    /// It was refused or could not be asked.
    Refused(ReasonCode),
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    scope_id: Uuid,
    workspace_id: Uuid,
}

fn note(
    actor: Initiator,
    action: AuditAction,
    tenant: TenantId,
    request_id: Option<String>,
    details: Value,
) -> AuditNote {
    let target = ("tenant", tenant.to_string());
    AuditNote { actor, action, target, tenant: Some(tenant), run: None, request_id, details }
}

impl TenantScope<ManageTenant> {
    /// Makes the state of a new link, for this person's session. None for an API token: no browser comes
    /// back to one.
    pub async fn consent_ask(
        &self,
        request_id: Option<String>,
    ) -> Result<Option<ConsentState>, StoreError> {
        let Via::Session { id: session, .. } = &self.actor.via else { return Ok(None) };
        let (state, session) = (ConsentState::fresh()?, session.uuid());
        let (hash, ids) = (state.hash(), Arc::clone(&self.store.ids));
        let (workspace, tenant) = (self.workspace_id(), self.tenant.id);
        let actor = self.actor.initiator();
        // All: what is over is cleared away, whoever asked for it.
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    tx.execute(stmt!(OLD_DELETE, now)).await?;
                    tx.execute(stmt!(
                        INSERT,
                        tenant.uuid(),
                        hash.clone(),
                        workspace.uuid(),
                        tenant.uuid(),
                        session,
                        now,
                        now.plus(CONSENT_LIFE),
                    ))
                    .await?;
                    let action = AuditAction::TenantConsentAsked;
                    let note = note(actor, action, tenant, request_id, json!({}));
                    audit(tx, &*ids, workspace, &note).await
                })
            })
            .await?;
        Ok(Some(state))
    }
}

impl Hall {
    /// Takes the answer that came back with `state`: gives the tenant that it is about, once. None when
    /// the state is unknown, used, too old, or another session's. What may be done there is up to the
    /// tenant's door.
    pub async fn consent_take(
        &self,
        actor: &Actor,
        state: &ConsentState,
        answer: ConsentAnswer,
        request_id: Option<String>,
    ) -> Result<Option<TenantId>, StoreError> {
        let Via::Session { id: session, .. } = &actor.via else { return Ok(None) };
        let (hash, session) = (state.hash(), session.uuid());
        let (ids, by) = (Arc::clone(&self.store.ids), actor.initiator());
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let find = stmt!(FIND, hash.clone(), session, tx.now());
                    let Some(found) = tx.optional::<FoundRow>(find).await? else {
                        return Ok(None);
                    };
                    // Two that come at once: one of them deletes it.
                    if tx.execute(stmt!(TAKE, found.scope_id, hash.clone())).await? == 0 {
                        return Ok(None);
                    }
                    let tenant = TenantId::from_uuid(found.scope_id);
                    let details = match answer {
                        ConsentAnswer::Given => json!({"answer": "given"}),
                        ConsentAnswer::Refused(reason) => {
                            json!({"answer": "refused", "reason": reason.as_str()})
                        }
                    };
                    let action = AuditAction::TenantConsentAnswered;
                    let note = note(by, action, tenant, request_id, details);
                    let workspace = WorkspaceId::from_uuid(found.workspace_id);
                    audit(tx, &*ids, workspace, &note).await?;
                    Ok(Some(tenant))
                })
            })
            .await
    }
}
