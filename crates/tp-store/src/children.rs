//! Umbrella runs: a parent over many runs, started in waves (PRODUCT R-11).
//!
//! No child writes its parent. Any process rolls a parent up from the rows of its children, one at a
//! time, and writes only what has changed: a thousand children that end at once cost one write.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tp_domain::actor::{Initiator, Trigger};
use tp_domain::counts::RunCounts;
use tp_domain::ids::{RunId, ScopeId, TenantId, WorkspaceId};
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, RunStatus, WaitingReason};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::breaks::break_point;
use crate::claims::ClaimedRun;
use crate::db::{Dialect, Reach, Tx};
use crate::endings::{Ended, end_run};
use crate::error::StoreError;
use crate::queue::Hint;
use crate::run_rows::RunRow;
use crate::runs::{NewRun, RUN_GET, Started, start};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::bad_row;
use crate::upkeep::Upkeep;
use crate::workspace::WorkspaceScope;

const PLAN: &str = "\
INSERT INTO run_children (scope_id, run_id, position, workspace_id, tenant_id, wave, child_scope,
                          child_tenant, kind, inputs, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'planned')
ON CONFLICT (scope_id, run_id, position) DO NOTHING";
const PARK_JOB: &str = "\
UPDATE jobs
SET state = 'ready', umbrella = TRUE, lease_owner = NULL, lease_until = NULL, holds = NULL
WHERE scope_id = $1 AND run_id = $2";
const PARK_RUN: &str = "\
UPDATE operation_runs
SET waiting_reason = $3, waiting_until = NULL, phase = NULL, total = $4, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'";
const PARENTS: &str = "\
SELECT scope_id, run_id FROM jobs WHERE umbrella AND (scope_id, run_id) > ($1, $2)
ORDER BY scope_id, run_id LIMIT 200";
const LOCK_PG: &str = "\
SELECT scope_id, run_id FROM jobs WHERE scope_id = $1 AND run_id = $2 AND umbrella
FOR UPDATE SKIP LOCKED";
const LOCK_LITE: &str =
    "SELECT scope_id, run_id FROM jobs WHERE scope_id = $1 AND run_id = $2 AND umbrella";
// A child that succeeded only in part has failed for its parent: somebody should look at it.
const SETTLE: &str = "\
UPDATE run_children
SET state = CASE r.outcome WHEN 'succeeded' THEN 'succeeded' WHEN 'canceled' THEN 'skipped'
                           ELSE 'failed' END,
    reason = r.reason
FROM operation_runs r
WHERE run_children.scope_id = $1 AND run_children.run_id = $2 AND run_children.state = 'started'
  AND r.scope_id = run_children.child_scope AND r.id = run_children.child_id
  AND r.status = 'completed'";
const CHILDREN: &str = "\
SELECT position, wave, child_scope, child_tenant, kind, inputs, state, reason, child_id
FROM run_children WHERE scope_id = $1 AND run_id = $2 ORDER BY position";
const STARTED: &str = "\
UPDATE run_children SET state = $4, reason = $5, child_id = $6
WHERE scope_id = $1 AND run_id = $2 AND position = $3";
const SKIP_PLANNED: &str = "\
UPDATE run_children SET state = 'skipped', reason = $3
WHERE scope_id = $1 AND run_id = $2 AND state = 'planned'";
const COUNTS: &str = "\
UPDATE operation_runs
SET succeeded = $3, failed = $4, skipped = $5, processed = $3 + $4 + $5, heartbeat_at = $6,
    revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND status = 'running'
  AND (succeeded <> $3 OR failed <> $4 OR skipped <> $5)";
const TENANT_ACTIVE: &str =
    "SELECT id FROM tenants WHERE id = $1 AND workspace_id = $2 AND status = 'active'";
const TENANTS_ACTIVE: &str =
    "SELECT id FROM tenants WHERE workspace_id = $1 AND status = 'active' ORDER BY name, id";

/// How many children one roll-up starts: the transaction stays short.
const STARTS_AT_ONCE: usize = 100;

/// A run that an umbrella run is to start.
#[derive(Clone, Debug)]
pub struct ChildPlan {
    /// In which tenant.
    pub tenant: TenantId,
    /// What.
    pub kind: OperationKind,
    /// With which effective inputs.
    pub inputs: Value,
    /// In which wave, from 0. A wave begins when the one before has ended.
    pub wave: u32,
}

/// One run that an umbrella run started or will start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its place, from 0.
    pub position: u64,
    /// Its wave, from 0.
    pub wave: u64,
    /// Its tenant.
    pub tenant: Option<TenantId>,
    /// Its kind's code.
    pub kind: String,
    /// `planned`, `started`, `succeeded`, `failed` or `skipped`.
    pub state: ChildState,
    /// Why it failed or was skipped.
    pub reason: Option<ReasonCode>,
    /// The run: its own, or the equal one that was in its way.
    pub run: Option<RunId>,
}

/// How one child stands, for its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// Its wave has not begun.
    Planned,
    /// Its run is queued or running.
    Started,
    /// Its run succeeded.
    Succeeded,
    /// Its run failed, also in part, or was blocked.
    Failed,
    /// Left out or canceled.
    Skipped,
}

impl ChildState {
    fn parse(text: &str) -> Result<Self, StoreError> {
        Ok(match text {
            "planned" => Self::Planned,
            "started" => Self::Started,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            _ => return Err(bad_row("run_children", "state")),
        })
    }

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    scope_id: Uuid,
    run_id: Uuid,
}

#[derive(Clone, sqlx::FromRow)]
struct ChildRow {
    position: i64,
    wave: i64,
    child_scope: Uuid,
    child_tenant: Option<Uuid>,
    kind: String,
    inputs: String,
    state: String,
    reason: Option<String>,
    child_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

impl TryFrom<ChildRow> for Child {
    type Error = StoreError;

    fn try_from(row: ChildRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("run_children", column);
        let reason = row.reason.as_deref().map(str::parse::<ReasonCode>).transpose();
        Ok(Self {
            position: u64::try_from(row.position).map_err(|_| bad("position"))?,
            wave: u64::try_from(row.wave).map_err(|_| bad("wave"))?,
            tenant: row.child_tenant.map(TenantId::from_uuid),
            kind: row.kind,
            state: ChildState::parse(&row.state)?,
            reason: reason.map_err(|_| bad("reason"))?,
            run: row.child_id.map(RunId::from_uuid),
        })
    }
}

impl ClaimedRun {
    /// The active tenants of this run's workspace, by name.
    pub async fn active_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let stmt = stmt!(TENANTS_ACTIVE, self.claimed.workspace.uuid());
        let rows: Vec<IdRow> = self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
        Ok(rows.into_iter().map(|row| TenantId::from_uuid(row.id)).collect())
    }

    /// Writes down the children, once, and hands the run over to the roll-up: no worker holds it while
    /// they run. The roll-up starts them wave by wave and ends this run when all have ended.
    pub async fn children_begin(self, children: Vec<ChildPlan>) -> Result<(), StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run) = (claimed.scope, claimed.run.uuid());
                    for (position, child) in (0_i64..).zip(&children) {
                        tx.execute(stmt!(
                            PLAN,
                            scope,
                            run,
                            position,
                            claimed.workspace.uuid(),
                            claimed.tenant.map(TenantId::uuid),
                            child.wave,
                            child.tenant.uuid(),
                            child.tenant.uuid(),
                            child.kind.as_str(),
                            child.inputs.to_string(),
                        ))
                        .await?;
                    }
                    let total = u64::try_from(children.len()).unwrap_or(u64::MAX);
                    tx.execute(stmt!(PARK_JOB, scope, run)).await?;
                    let waiting = WaitingReason::Children.as_str();
                    tx.execute(stmt!(PARK_RUN, scope, run, waiting, total)).await.map(drop)
                })
            })
            .await
    }
}

/// What a roll-up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolledUp {
    /// Children that were started.
    pub started: u64,
    /// Parents that have ended.
    pub ended: u64,
}

impl Upkeep {
    /// Brings every umbrella run up to date: settles children that have ended, starts the next wave,
    /// ends parents whose children have. Any process may; each parent is rolled up by one at a time.
    pub async fn roll_up(&self) -> Result<RolledUp, StoreError> {
        let mut done = RolledUp::default();
        let mut last = (Uuid::nil(), Uuid::nil());
        loop {
            let page = stmt!(PARENTS, last.0, last.1);
            let parents: Vec<KeyRow> =
                self.store.db.read(Reach::All, |tx| Box::pin(tx.all(page))).await?;
            let Some(end) = parents.last() else { return Ok(done) };
            last = (end.scope_id, end.run_id);
            for KeyRow { scope_id, run_id } in parents {
                match self.roll_up_parent(scope_id, run_id).await {
                    Ok((hints, ended)) => {
                        break_point!(RollUpStartCommitted, !hints.is_empty());
                        break_point!(RollUpEndCommitted, ended);
                        done.started += u64::try_from(hints.len()).unwrap_or(0);
                        done.ended += u64::from(ended);
                        hints.into_iter().for_each(|hint| self.store.wake.ring(hint));
                    }
                    Err(error) if error.is_passing() => return Err(error),
                    // One parent that cannot be read must not stop all others.
                    Err(error) => tracing::error!(
                        run.id = %run_id,
                        error = %error,
                        facts = error.facts(),
                        "an umbrella run could not be rolled up",
                    ),
                }
            }
        }
    }

    async fn roll_up_parent(
        &self,
        scope: Uuid,
        run: Uuid,
    ) -> Result<(Vec<Hint>, bool), StoreError> {
        let ids = Arc::clone(&self.store.ids);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let (hints, ended) = roll_up_one(tx, &*ids, scope, run).await?;
                    break_point!(RollUpStartWritten, !hints.is_empty());
                    break_point!(RollUpEndWritten, ended);
                    Ok((hints, ended))
                })
            })
            .await
    }
}

async fn roll_up_one(
    tx: &mut Tx,
    ids: &dyn tp_domain::ids::Ids,
    scope: Uuid,
    run: Uuid,
) -> Result<(Vec<Hint>, bool), StoreError> {
    let text = match tx.dialect() {
        Dialect::Sqlite => LOCK_LITE,
        Dialect::Postgres => LOCK_PG,
    };
    if tx.optional::<KeyRow>(stmt!(text, scope, run)).await?.is_none() {
        return Ok((Vec::new(), false));
    }
    let parent: RunRow = tx.one(stmt!(RUN_GET, scope, run)).await?;
    let parent = tp_domain::run::OperationRun::try_from(parent)?;
    tx.execute(stmt!(SETTLE, scope, run)).await?;
    let canceled = parent.cancel_requested_at.is_some();
    if canceled {
        let reason = ReasonCode::CanceledByParent.as_str();
        tx.execute(stmt!(SKIP_PLANNED, scope, run, reason)).await?;
    }
    let children: Vec<ChildRow> = tx.all(stmt!(CHILDREN, scope, run)).await?;
    let mut hints = Vec::new();
    let next: Vec<ChildRow> =
        next_wave(&children).into_iter().take(STARTS_AT_ONCE).cloned().collect();
    let now = tx.now();
    for child in &next {
        hints.extend(start_child(tx, ids, &parent, scope, run, child, now).await?);
    }
    let children =
        if next.is_empty() { children } else { tx.all(stmt!(CHILDREN, scope, run)).await? };
    let children: Vec<Child> =
        children.into_iter().map(Child::try_from).collect::<Result<_, _>>()?;
    let count = |state: ChildState| {
        u64::try_from(children.iter().filter(|child| child.state == state).count()).unwrap_or(0)
    };
    let counts = RunCounts {
        total: Some(u64::try_from(children.len()).unwrap_or(u64::MAX)),
        succeeded: count(ChildState::Succeeded),
        failed: count(ChildState::Failed),
        skipped: count(ChildState::Skipped),
    };
    let RunCounts { succeeded, failed, skipped, .. } = counts;
    tx.execute(stmt!(COUNTS, scope, run, succeeded, failed, skipped, now)).await?;
    if counts.total != Some(counts.processed()) {
        return Ok((hints, false));
    }
    let ended = parent_end(&children, counts, canceled);
    end_run(tx, ids, scope, parent.id, &ended, false).await?;
    Ok((hints, true))
}

/// The planned children of the first wave that has not begun, when all before it have ended.
fn next_wave(children: &[ChildRow]) -> Vec<&ChildRow> {
    let mut waves: BTreeMap<i64, Vec<&ChildRow>> = BTreeMap::new();
    for child in children {
        waves.entry(child.wave).or_default().push(child);
    }
    for wave in waves.into_values() {
        let planned: Vec<&ChildRow> =
            wave.iter().copied().filter(|child| child.state == "planned").collect();
        if !planned.is_empty() {
            return planned;
        }
        if wave.iter().any(|child| child.state == "started") {
            return Vec::new();
        }
    }
    Vec::new()
}

/// Starts one child. An equal run that is active is not waited for: the child is skipped and says so.
async fn start_child(
    tx: &mut Tx,
    ids: &dyn tp_domain::ids::Ids,
    parent: &tp_domain::run::OperationRun,
    scope: Uuid,
    run: Uuid,
    child: &ChildRow,
    now: Timestamp,
) -> Result<Option<Hint>, StoreError> {
    let tenant = TenantId::from_uuid(child.child_scope);
    let skip = |reason: ReasonCode, other: Option<Uuid>| {
        stmt!(STARTED, scope, run, child.position, "skipped", reason.as_str(), other)
    };
    let active = stmt!(TENANT_ACTIVE, tenant.uuid(), parent.workspace.uuid());
    if tx.optional::<IdRow>(active).await?.is_none() {
        tx.execute(skip(ReasonCode::TenantDisabled, None)).await?;
        return Ok(None);
    }
    let Ok(kind) = child.kind.parse::<OperationKind>() else {
        tx.execute(skip(ReasonCode::InternalError, None)).await?;
        return Ok(None);
    };
    let inputs: Value =
        serde_json::from_str(&child.inputs).map_err(|_| bad_row("run_children", "inputs"))?;
    // Nobody is told of each child: the parent's end is told to whoever started it.
    let initiator = Initiator::Schedule(parent.initiator_name.clone());
    let workspace: WorkspaceId = parent.workspace;
    let mut new = NewRun::new(ScopeId::Tenant(tenant), workspace, kind, inputs, initiator);
    new.trigger = match parent.trigger {
        Trigger::Manual | Trigger::Api => parent.trigger,
        _ => Trigger::Schedule,
    };
    new.parent = Some(parent.id);
    // The right of whoever started the umbrella is asked for in each tenant, when each child begins.
    new.authority = parent.initiator;
    match start(tx, ids, &new).await? {
        Started::Created(begun) => {
            let id = begun.id.uuid();
            let state =
                if begun.state.status() == RunStatus::Completed { "failed" } else { "started" };
            let reason = begun.reason.map(ReasonCode::as_str);
            tx.execute(stmt!(STARTED, scope, run, child.position, state, reason, id)).await?;
            tracing::debug!(run.id = %begun.id, parent.id = %parent.id, at = %now, "a child was started");
            Ok(Some(new.hint()))
        }
        Started::Reused(other) | Started::Replayed { run: other, .. } => {
            tx.execute(skip(ReasonCode::AlreadyActive, Some(other.id.uuid()))).await?;
            Ok(None)
        }
    }
}

fn parent_end(children: &[Child], counts: RunCounts, canceled: bool) -> Ended {
    let mut failures: Vec<tp_domain::run::Failure> = Vec::new();
    for child in children.iter().filter(|child| child.state == ChildState::Failed) {
        let code = child.reason.unwrap_or(ReasonCode::InternalError);
        match failures.iter_mut().find(|failure| failure.code == code) {
            Some(failure) => failure.count += 1,
            None => failures.push(tp_domain::run::Failure {
                code,
                message: code.message(&[]),
                count: 1,
                items: Vec::new(),
            }),
        }
    }
    let outcome = if canceled { Outcome::Canceled } else { counts.outcome(false) };
    let reason = failures.iter().max_by_key(|failure| failure.count).map(|failure| failure.code);
    let waves = children.iter().map(|child| child.wave).max().map_or(0, |last| last + 1);
    Ended {
        outcome,
        reason: reason.filter(|_| outcome.needs_attention()),
        message: reason.filter(|_| outcome.needs_attention()).map(|reason| reason.message(&[])),
        failures,
        context: json!({"waves": waves}),
        counts,
    }
}

async fn list(store: &crate::Store, scope: Uuid, run: RunId) -> Result<Vec<Child>, StoreError> {
    let stmt = stmt!(CHILDREN, scope, run.uuid());
    let rows: Vec<ChildRow> =
        store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.all(stmt))).await?;
    rows.into_iter().map(Child::try_from).collect()
}

impl<C> TenantScope<C> {
    /// The runs that an umbrella run of this tenant started or will start.
    pub async fn run_children(&self, run: RunId) -> Result<Vec<Child>, StoreError> {
        list(&self.store, self.scope_id().uuid(), run).await
    }
}

impl<C> WorkspaceScope<C> {
    /// The runs that an umbrella run of the workspace started or will start.
    pub async fn run_children(&self, run: RunId) -> Result<Vec<Child>, StoreError> {
        list(&self.store, self.workspace.uuid(), run).await
    }
}
