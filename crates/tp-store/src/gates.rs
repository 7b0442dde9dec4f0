//! Gates: kinds of work that are stopped for a while (PRODUCT A-6).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tp_domain::access::ManageSettings;
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::gate::{Gate, GateKind, GateReach};
use tp_domain::ids::WorkspaceId;
use tp_domain::operation::OperationKind;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::console::Console;
use crate::db::Reach;
use crate::error::StoreError;
use crate::stmt::stmt;
use crate::tenants::bad_row;
use crate::workspace::WorkspaceScope;

/// The scope of a gate over the whole installation.
pub(crate) const EVERYWHERE: Uuid = Uuid::nil();

const CLOSED: &str = "\
SELECT scope_id, kind, note, closed_by, closed_at, expires_at FROM gates
WHERE expires_at IS NULL OR expires_at > $1 ORDER BY closed_at, scope_id, kind";
const CLOSE: &str = "\
INSERT INTO gates (scope_id, kind, workspace_id, note, closed_by, closed_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (scope_id, kind) DO UPDATE
SET note = excluded.note, closed_by = excluded.closed_by, closed_at = excluded.closed_at,
    expires_at = excluded.expires_at";
const OPEN: &str = "DELETE FROM gates WHERE scope_id = $1 AND kind = $2";

/// What was read is believed for that long at a start; the claim always asks the database.
const BELIEVED: Duration = Duration::from_secs(1);

/// The closed gates as they were last read.
#[derive(Clone, Debug, Default)]
pub(crate) struct GateCache(Arc<Mutex<Option<Cached>>>);

/// When they were read, and what was read.
type Cached = (Instant, Arc<Vec<Gate>>);

impl GateCache {
    fn get(&self) -> Option<Arc<Vec<Gate>>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.as_ref().filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, list)| Arc::clone(list))
    }

    fn set(&self, gates: Option<Arc<Vec<Gate>>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            gates.map(|list| (Instant::now(), list));
    }
}

/// A gate to be closed.
#[derive(Clone, Debug)]
pub struct NewGate {
    /// Which work it stops.
    pub kind: GateKind,
    /// Why, for people. Control characters are left out, and it is cut at 200 characters.
    pub note: String,
    /// When it opens by itself.
    pub expires_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct GateRow {
    scope_id: Uuid,
    kind: String,
    note: String,
    closed_by: String,
    closed_at: i64,
    expires_at: Option<i64>,
}

impl TryFrom<GateRow> for Gate {
    type Error = StoreError;

    fn try_from(row: GateRow) -> Result<Self, StoreError> {
        Ok(Self {
            reach: if row.scope_id == EVERYWHERE {
                GateReach::Everywhere
            } else {
                GateReach::Workspace(WorkspaceId::from_uuid(row.scope_id))
            },
            kind: GateKind::parse(&row.kind).ok_or_else(|| bad_row("gates", "kind"))?,
            note: row.note,
            closed_by: row.closed_by,
            closed_at: Timestamp::from_micros(row.closed_at),
            expires_at: row.expires_at.map(Timestamp::from_micros),
        })
    }
}

impl Store {
    async fn closed_gates(&self) -> Result<Arc<Vec<Gate>>, StoreError> {
        let rows: Vec<GateRow> = self
            .db
            .read(Reach::All, |tx| {
                let stmt = stmt!(CLOSED, tx.now());
                Box::pin(tx.all(stmt))
            })
            .await?;
        // A gate of a kind that a newer version knows stops nothing that this one could start.
        let gates: Vec<Gate> =
            rows.into_iter().filter_map(|row| Gate::try_from(row).ok()).collect();
        let gates = Arc::new(gates);
        self.gates.set(Some(Arc::clone(&gates)));
        Ok(gates)
    }

    /// The gate that stops this kind in this workspace, if one is closed.
    pub(crate) async fn gate_over(
        &self,
        workspace: WorkspaceId,
        kind: OperationKind,
    ) -> Result<Option<Gate>, StoreError> {
        let gates = match self.gates.get() {
            Some(gates) => gates,
            None => self.closed_gates().await?,
        };
        let now = self.now();
        let found = gates.iter().find(|gate| {
            let here = match gate.reach {
                GateReach::Everywhere => true,
                GateReach::Workspace(own) => own == workspace,
            };
            let this = matches!(gate.kind, GateKind::All) || gate.kind == GateKind::Kind(kind);
            here && this && gate.expires_at.is_none_or(|at| at > now)
        });
        Ok(found.cloned())
    }

    async fn gate_close_as(
        &self,
        actor: Initiator,
        workspace: Option<WorkspaceId>,
        audited_in: WorkspaceId,
        gate: NewGate,
        request_id: Option<String>,
    ) -> Result<(), StoreError> {
        let ids = Arc::clone(&self.ids);
        let scope = workspace.map_or(EVERYWHERE, WorkspaceId::uuid);
        let note: String = gate
            .note
            .chars()
            .filter(|letter| !letter.is_control())
            .take(tp_domain::gate::LONGEST_NOTE)
            .collect();
        self.db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    tx.execute(stmt!(
                        CLOSE,
                        scope,
                        gate.kind.as_str(),
                        workspace.map(WorkspaceId::uuid),
                        &note,
                        actor.name(),
                        now,
                        gate.expires_at,
                    ))
                    .await?;
                    let until = gate.expires_at.map(Timestamp::rfc3339);
                    let reach = if workspace.is_some() { "workspace" } else { "everywhere" };
                    let details = json!({"reach": reach, "note": note, "expires_at": until});
                    let entry = AuditNote {
                        request_id,
                        ..gate_note(actor, AuditAction::GateClosed, gate.kind, details)
                    };
                    audit(tx, &*ids, audited_in, &entry).await
                })
            })
            .await?;
        self.gates.set(None);
        Ok(())
    }

    async fn gate_open_as(
        &self,
        actor: Initiator,
        workspace: Option<WorkspaceId>,
        audited_in: WorkspaceId,
        kind: GateKind,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let ids = Arc::clone(&self.ids);
        let scope = workspace.map_or(EVERYWHERE, WorkspaceId::uuid);
        let opened = self
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    if tx.execute(stmt!(OPEN, scope, kind.as_str())).await? == 0 {
                        return Ok(false);
                    }
                    let reach = if workspace.is_some() { "workspace" } else { "everywhere" };
                    let details = json!({"reach": reach});
                    let entry = AuditNote {
                        request_id,
                        ..gate_note(actor, AuditAction::GateOpened, kind, details)
                    };
                    audit(tx, &*ids, audited_in, &entry).await?;
                    Ok(true)
                })
            })
            .await?;
        self.gates.set(None);
        Ok(opened)
    }
}

fn gate_note(
    actor: Initiator,
    action: AuditAction,
    kind: GateKind,
    details: serde_json::Value,
) -> AuditNote {
    AuditNote {
        actor,
        action,
        target: ("gate", kind.as_str().to_owned()),
        tenant: None,
        run: None,
        request_id: None,
        details,
    }
}

impl<C> WorkspaceScope<C> {
    /// The closed gates that reach this workspace, also those over the whole installation.
    pub async fn gate_list(&self) -> Result<Vec<Gate>, StoreError> {
        let all = self.store.closed_gates().await?;
        let here = |gate: &&Gate| match gate.reach {
            GateReach::Everywhere => true,
            GateReach::Workspace(own) => own == self.workspace,
        };
        Ok(all.iter().filter(here).cloned().collect())
    }
}

impl WorkspaceScope<ManageSettings> {
    /// Stops a kind in this workspace: new starts are refused, and what is queued ends as blocked when
    /// its turn comes. What runs goes on, unless its kind asks again.
    pub async fn gate_close(
        &self,
        gate: NewGate,
        request_id: Option<String>,
    ) -> Result<(), StoreError> {
        let (actor, own) = (self.actor.initiator(), self.workspace);
        self.store.gate_close_as(actor, Some(own), own, gate, request_id).await
    }

    /// Opens it again; `false` when it was not closed here.
    pub async fn gate_open(
        &self,
        kind: GateKind,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let (actor, own) = (self.actor.initiator(), self.workspace);
        self.store.gate_open_as(actor, Some(own), own, kind, request_id).await
    }
}

impl Console {
    /// Stops a kind in the whole installation. The entry is written to the oldest workspace's audit
    /// log; `false` when there is no workspace yet, and so nothing to stop.
    pub async fn gate_close_everywhere(&self, gate: NewGate) -> Result<bool, StoreError> {
        let Some((first, _)) = self.workspaces().await?.into_iter().next() else {
            return Ok(false);
        };
        self.store.gate_close_as(Initiator::Console, None, first, gate, None).await?;
        Ok(true)
    }

    /// Opens it again; `false` when it was not closed.
    pub async fn gate_open_everywhere(&self, kind: GateKind) -> Result<bool, StoreError> {
        let Some((first, _)) = self.workspaces().await?.into_iter().next() else {
            return Ok(false);
        };
        self.store.gate_open_as(Initiator::Console, None, first, kind, None).await
    }
}
