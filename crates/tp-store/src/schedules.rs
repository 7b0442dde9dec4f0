//! Schedules and their slots. A slot is a row written with the run that it starts, so that it fires
//! once with any number of schedulers (docs/decisions/0010-a-slot-is-a-row.md).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::access::{Capability, ManageSchedules, ViewSettings};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{Ids, RunId, ScheduleId, ScopeId, TenantId, WorkspaceId};
use tp_domain::operation::{IdentityHash, IdentityRule, OperationKind, OperationRequest as _};
use tp_domain::run::RunStatus;
use tp_domain::schedule::{
    Cadence, CatchUp, ExecuteSchedule, Schedule, ScheduleScope, Slot, SlotState, Targets,
    Timetable, WAVE_SIZE,
};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::Store;
use crate::audit::audit;
use crate::breaks::break_point;
use crate::db::{Dialect, Reach, Tx};
use crate::error::{Refused, StoreError};
use crate::queue::Hint;
use crate::runs::{HowStarted, NewRun, StartRefused, Started, run_start, start};
use crate::scope::TenantScope;
use crate::stmt::{StmtBuilder, stmt};
use crate::tenants::bad_row;
use crate::upkeep::Upkeep;
use crate::workspace::WorkspaceScope;

const SELECT: &str = "\
SELECT id, workspace_id, tenant_id, name, kind, inputs, targets, cadence, zone, catch_up,
       spread_seconds, enabled, next_at, created_by, created_at, revision
FROM schedules";
const INSERT: &str = "\
INSERT INTO schedules (scope_id, id, workspace_id, tenant_id, name, kind, inputs, targets, cadence, zone,
                       catch_up, spread_seconds, enabled, next_at, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (scope_id, id) DO NOTHING";
const UPDATE: &str = "\
UPDATE schedules
SET name = $4, inputs = $5, targets = $6, cadence = $7, zone = $8, catch_up = $9, spread_seconds = $10,
    enabled = $11, next_at = $12, revision = revision + 1
WHERE scope_id = $1 AND id = $2 AND revision = $3";
// Those that the product made itself can be paused, not deleted.
const DELETE: &str =
    "DELETE FROM schedules WHERE scope_id = $1 AND id = $2 AND created_by IS NOT NULL";
const SLOTS_DELETE: &str = "DELETE FROM schedule_slots WHERE scope_id = $1 AND schedule_id = $2";
const DUE: &str = "SELECT scope_id, id FROM schedules WHERE enabled AND next_at <= $1 ORDER BY next_at, id LIMIT 200";
const NEXT: &str = "\
UPDATE schedules SET next_at = $3 WHERE scope_id = $1 AND id = $2 AND enabled AND next_at = $4";
const SLOT_INSERT: &str = "\
INSERT INTO schedule_slots (scope_id, schedule_id, slot_at, workspace_id, tenant_id, state, at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (scope_id, schedule_id, slot_at) DO NOTHING";
const SLOT_RUN: &str = "\
UPDATE schedule_slots SET state = $4, run_id = $5
WHERE scope_id = $1 AND schedule_id = $2 AND slot_at = $3";
const SLOTS: &str = "\
SELECT slot_at, state, run_id, at FROM schedule_slots
WHERE scope_id = $1 AND schedule_id = $2 ORDER BY slot_at DESC LIMIT $3";
const TENANT_ACTIVE: &str =
    "SELECT id FROM tenants WHERE id = $1 AND workspace_id = $2 AND status = 'active'";
const WORKSPACES: &str = "\
SELECT id FROM workspaces w WHERE NOT EXISTS (
  SELECT 1 FROM schedules s WHERE s.scope_id = w.id AND s.kind = $1 AND s.created_by IS NULL)";
const GATED: &str = "\
SELECT CAST(1 AS BIGINT) AS n FROM gates WHERE scope_id IN ($1, $2) AND kind IN ('*', $3)
AND (expires_at IS NULL OR expires_at > $4)";

/// A slot that is seen later than this was missed; a scheduler looks once a second.
const GRACE: Duration = Duration::from_mins(5);

/// How many slots of one schedule one look deals with.
const SLOTS_AT_ONCE: usize = 500;

/// The longest name of a schedule, in characters.
pub const LONGEST_SCHEDULE_NAME: usize = 100;
/// The longest spread of a schedule, in seconds: an hour.
pub const LONGEST_SPREAD: u32 = 3_600;

/// What a schedule is to be.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// Its name for people: 1 to 100 characters, checked by the caller.
    pub name: String,
    /// What it starts. Cannot be changed later.
    pub kind: OperationKind,
    /// With which effective inputs.
    pub inputs: Value,
    /// Where, for a schedule of the workspace.
    pub targets: Targets,
    /// When.
    pub timetable: Timetable,
    /// What is done with missed slots.
    pub catch_up: CatchUp,
    /// Over how many seconds its starts are spread, at most an hour.
    pub spread_seconds: u32,
    /// Whether it fires.
    pub enabled: bool,
}

/// What a change of a schedule led to.
#[derive(Clone, Debug, PartialEq)]
pub enum ScheduleChanged {
    /// It is so now.
    Done(Box<Schedule>),
    /// Somebody else changed it meanwhile.
    Stale,
    /// There is no such schedule here.
    NotThere,
}

/// What a look at the schedules led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// Slots that started a run.
    pub fired: u64,
    /// Slots whose equal run was active.
    pub skipped: u64,
    /// Slots whose time had passed.
    pub missed: u64,
    /// Slots whose start was refused.
    pub refused: u64,
}

#[derive(sqlx::FromRow)]
struct ScheduleRow {
    id: Uuid,
    workspace_id: Uuid,
    tenant_id: Option<Uuid>,
    name: String,
    kind: String,
    inputs: String,
    targets: String,
    cadence: String,
    zone: String,
    catch_up: String,
    spread_seconds: i64,
    enabled: bool,
    next_at: Option<i64>,
    created_by: Option<String>,
    created_at: i64,
    revision: i64,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    scope_id: Uuid,
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct OneRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    n: i64,
}

#[derive(sqlx::FromRow)]
struct SlotRow {
    slot_at: i64,
    state: String,
    run_id: Option<Uuid>,
    at: i64,
}

impl TryFrom<ScheduleRow> for Schedule {
    type Error = StoreError;

    fn try_from(row: ScheduleRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("schedules", column);
        let json = |text: &str, column| serde_json::from_str(text).map_err(|_| bad(column));
        let cadence: Value = json(&row.cadence, "cadence")?;
        let cadence = Cadence::from_json(&cadence).map_err(|_| bad("cadence"))?;
        let targets: Value = json(&row.targets, "targets")?;
        Ok(Self {
            id: ScheduleId::from_uuid(row.id),
            scope: match row.tenant_id {
                Some(tenant) => ScheduleScope::Tenant(TenantId::from_uuid(tenant)),
                None => ScheduleScope::Workspace(WorkspaceId::from_uuid(row.workspace_id)),
            },
            name: row.name,
            kind: row.kind.parse().map_err(|_| bad("kind"))?,
            inputs: json(&row.inputs, "inputs")?,
            targets: Targets::from_json(&targets).ok_or_else(|| bad("targets"))?,
            timetable: Timetable::new(cadence, &row.zone).map_err(|_| bad("zone"))?,
            catch_up: row.catch_up.parse().map_err(|_| bad("catch_up"))?,
            spread_seconds: u32::try_from(row.spread_seconds).map_err(|_| bad("spread_seconds"))?,
            enabled: row.enabled,
            next_at: row.next_at.map(Timestamp::from_micros),
            created_by: row.created_by,
            created_at: Timestamp::from_micros(row.created_at),
            revision: row.revision,
        })
    }
}

/// Where a schedule's rows are, and who acts on them.
#[derive(Clone)]
struct Place {
    scope: ScopeId,
    workspace: WorkspaceId,
    actor: Initiator,
    /// What the person may do here.
    allowed: Vec<Capability>,
}

impl Place {
    const fn tenant(&self) -> Option<TenantId> {
        match self.scope {
            ScopeId::Tenant(tenant) => Some(tenant),
            ScopeId::Workspace(_) => None,
        }
    }

    /// A schedule starts work without asking again: whoever makes one may do by hand what it does.
    fn may_schedule(&self, kind: OperationKind) -> Result<(), Refused> {
        let needed = kind.facts().capability;
        if self.allowed.contains(&needed) { Ok(()) } else { Err(Refused::Forbidden(needed)) }
    }

    fn note(&self, action: AuditAction, id: ScheduleId, details: Value) -> AuditNote {
        AuditNote {
            actor: self.actor.clone(),
            action,
            target: ("schedule", id.to_string()),
            tenant: self.tenant(),
            run: None,
            request_id: None,
            details,
        }
    }
}

fn details(new: &NewSchedule) -> Value {
    json!({
        "name": new.name,
        "kind": new.kind.as_str(),
        "inputs": new.inputs,
        "targets": new.targets.to_json(),
        "when": new.timetable.words(),
        "catch_up": new.catch_up.as_str(),
        "enabled": new.enabled,
    })
}

async fn get(tx: &mut Tx, scope: Uuid, id: Uuid) -> Result<Option<Schedule>, StoreError> {
    let mut sql = StmtBuilder::new(SELECT);
    sql.push(" WHERE scope_id = ").bind(scope).push(" AND id = ").bind(id);
    let row: Option<ScheduleRow> = tx.optional(sql.build()).await?;
    row.map(Schedule::try_from).transpose()
}

async fn create(store: &Store, place: Place, new: NewSchedule) -> Result<Schedule, Refused> {
    place.may_schedule(new.kind)?;
    let ids = Arc::clone(&store.ids);
    store
        .db
        .write(Reach::Scope(place.scope.uuid()), move |tx| {
            Box::pin(async move {
                let (id, now) = (ScheduleId::next(&*ids), tx.now());
                let next = new.timetable.next_after(now).filter(|_| new.enabled);
                tx.execute(stmt!(
                    INSERT,
                    place.scope.uuid(),
                    id.uuid(),
                    place.workspace.uuid(),
                    place.tenant().map(TenantId::uuid),
                    &new.name,
                    new.kind.as_str(),
                    new.inputs.to_string(),
                    new.targets.to_json().to_string(),
                    new.timetable.cadence().to_json().to_string(),
                    new.timetable.zone(),
                    new.catch_up.as_str(),
                    new.spread_seconds.min(LONGEST_SPREAD),
                    new.enabled,
                    next,
                    place.actor.name(),
                    now,
                ))
                .await?;
                let note = place.note(AuditAction::ScheduleCreated, id, details(&new));
                audit(tx, &*ids, place.workspace, &note).await?;
                let made = get(tx, place.scope.uuid(), id.uuid()).await?;
                made.ok_or_else(|| bad_row("schedules", "id"))
            })
        })
        .await
        .map_err(Refused::Store)
}

async fn update(
    store: &Store,
    place: Place,
    id: ScheduleId,
    revision: i64,
    new: NewSchedule,
) -> Result<ScheduleChanged, Refused> {
    place.may_schedule(new.kind)?;
    let ids = Arc::clone(&store.ids);
    store
        .db
        .write(Reach::Scope(place.scope.uuid()), move |tx| {
            Box::pin(async move {
                let (scope, now) = (place.scope.uuid(), tx.now());
                let Some(old) = get(tx, scope, id.uuid()).await? else {
                    return Ok(ScheduleChanged::NotThere);
                };
                // The next slot stays when the timetable does: a change of name misses nothing.
                let next = match old.next_at {
                    Some(next) if old.timetable == new.timetable => Some(next),
                    _ => new.timetable.next_after(now),
                };
                let changed = tx
                    .execute(stmt!(
                        UPDATE,
                        scope,
                        id.uuid(),
                        revision,
                        &new.name,
                        new.inputs.to_string(),
                        new.targets.to_json().to_string(),
                        new.timetable.cadence().to_json().to_string(),
                        new.timetable.zone(),
                        new.catch_up.as_str(),
                        new.spread_seconds.min(LONGEST_SPREAD),
                        new.enabled,
                        next.filter(|_| new.enabled),
                    ))
                    .await?;
                if changed == 0 {
                    return Ok(ScheduleChanged::Stale);
                }
                let note = place.note(AuditAction::ScheduleChanged, id, details(&new));
                audit(tx, &*ids, place.workspace, &note).await?;
                Ok(match get(tx, scope, id.uuid()).await? {
                    Some(schedule) => ScheduleChanged::Done(Box::new(schedule)),
                    None => ScheduleChanged::NotThere,
                })
            })
        })
        .await
        .map_err(Refused::Store)
}

async fn delete(store: &Store, place: Place, id: ScheduleId) -> Result<bool, StoreError> {
    let ids = Arc::clone(&store.ids);
    store
        .db
        .write(Reach::Scope(place.scope.uuid()), move |tx| {
            Box::pin(async move {
                let scope = place.scope.uuid();
                if tx.execute(stmt!(DELETE, scope, id.uuid())).await? == 0 {
                    return Ok(false);
                }
                tx.execute(stmt!(SLOTS_DELETE, scope, id.uuid())).await?;
                let note = place.note(AuditAction::ScheduleDeleted, id, json!({}));
                audit(tx, &*ids, place.workspace, &note).await?;
                Ok(true)
            })
        })
        .await
}

/// The run that a slot starts.
fn run_of(schedule: &Schedule, slot: Timestamp, initiator: Initiator) -> NewRun {
    let (scope, workspace, kind, inputs) = match schedule.scope {
        ScheduleScope::Tenant(tenant) => {
            // The workspace is filled in by the caller, who has the row.
            let none = WorkspaceId::from_uuid(Uuid::nil());
            (ScopeId::Tenant(tenant), none, schedule.kind, schedule.inputs.clone())
        }
        ScheduleScope::Workspace(workspace) => {
            let scope = ScopeId::Workspace(workspace);
            if schedule.targets == Targets::Own {
                (scope, workspace, schedule.kind, schedule.inputs.clone())
            } else {
                let request = ExecuteSchedule {
                    schedule: schedule.id,
                    slot,
                    kind: schedule.kind,
                    inputs: schedule.inputs.clone(),
                    targets: schedule.targets.clone(),
                    wave_size: WAVE_SIZE,
                };
                (scope, workspace, OperationKind::ScheduleExecute, request.inputs())
            }
        }
    };
    let mut new = NewRun::new(scope, workspace, kind, inputs, initiator);
    if kind.facts().identity == IdentityRule::Slot {
        // Each slot is a run of its own; a later one makes good what an earlier one failed at.
        let line = json!({"schedule": schedule.id.to_string()});
        new.origin = Some(IdentityHash::of(kind, scope.uuid(), &line).hex().clone());
    }
    new
}

async fn run_now(
    store: &Store,
    place: Place,
    id: ScheduleId,
    caller: tp_domain::ids::UserId,
    how: HowStarted,
) -> Result<Option<Started>, StartRefused> {
    let scope = place.scope.uuid();
    let found = store
        .db
        .read(Reach::Scope(scope), move |tx| {
            Box::pin(async move { get(tx, scope, id.uuid()).await })
        })
        .await?;
    let Some(schedule) = found else { return Ok(None) };
    // Changing schedules is one right, doing what they do is another.
    let needed = schedule.kind.facts().capability;
    if !place.allowed.contains(&needed) {
        return Err(StartRefused::Forbidden(needed));
    }
    if let Some(tenant) = place.tenant() {
        let active = stmt!(TENANT_ACTIVE, tenant.uuid(), place.workspace.uuid());
        let reach = Reach::Scope(scope);
        if store.db.read(reach, |tx| Box::pin(tx.optional::<IdRow>(active))).await?.is_none() {
            return Err(StartRefused::TenantDisabled);
        }
    }
    let mut new = run_of(&schedule, store.now(), place.actor);
    new.workspace = place.workspace;
    run_start(store, new, caller, how).await.map(Some)
}

/// Over which seconds after its slot a schedule starts: always the same for one schedule.
fn spread(schedule: &Schedule) -> Duration {
    let spread = u128::from(schedule.spread_seconds.min(LONGEST_SPREAD));
    if spread == 0 {
        return Duration::ZERO;
    }
    Duration::from_secs(u64::try_from(schedule.id.uuid().as_u128() % spread).unwrap_or(0))
}

/// Which slots are due, and what is to be done with each.
fn due(schedule: &Schedule, now: Timestamp) -> (Vec<(Timestamp, bool)>, Option<Timestamp>) {
    let mut slots = Vec::new();
    let mut next = schedule.next_at;
    while let Some(slot) = next.filter(|slot| *slot <= now && slots.len() < SLOTS_AT_ONCE) {
        slots.push((slot, false));
        next = schedule.timetable.next_after(slot);
    }
    let in_time = |slot: Timestamp| now.since(slot) <= GRACE;
    match schedule.catch_up {
        CatchUp::All => slots.iter_mut().for_each(|slot| slot.1 = true),
        // More are due than one look deals with: the last of them is in a later look.
        _ if next.is_some_and(|next| next <= now) => {}
        CatchUp::Once => {
            if let Some(last) = slots.last_mut() {
                last.1 = true;
            }
        }
        CatchUp::Skip => {
            if let Some(last) = slots.last_mut() {
                last.1 = in_time(last.0);
            }
        }
    }
    (slots, next)
}

async fn fire(
    tx: &mut Tx,
    ids: &dyn Ids,
    scope: Uuid,
    id: Uuid,
    fired: &mut Fired,
) -> Result<Vec<Hint>, StoreError> {
    let now = tx.now();
    let mut sql = StmtBuilder::new(SELECT);
    sql.push(" WHERE scope_id = ").bind(scope).push(" AND id = ").bind(id);
    sql.push(" AND enabled AND next_at <= ").bind(now);
    if tx.dialect() == Dialect::Postgres {
        sql.push(" FOR UPDATE SKIP LOCKED");
    }
    let row: Option<ScheduleRow> = tx.optional(sql.build()).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let (workspace, tenant) = (row.workspace_id, row.tenant_id);
    let schedule = Schedule::try_from(row)?;
    let (slots, next) = due(&schedule, now);
    let mut hints = Vec::new();
    for (slot, wanted) in slots {
        let first = if wanted { SlotState::Fired } else { SlotState::Missed };
        let place = stmt!(SLOT_INSERT, scope, id, slot, workspace, tenant, first.as_str(), now);
        if tx.execute(place).await? == 0 {
            continue; // Another scheduler had it.
        }
        if !wanted {
            fired.missed += 1;
            continue;
        }
        let initiator = Initiator::Schedule(schedule.name.clone());
        let mut new = run_of(&schedule, slot, initiator);
        new.workspace = WorkspaceId::from_uuid(workspace);
        new.delay = spread(&schedule);
        let (state, run) = match start_slot(tx, ids, &new, &mut hints).await? {
            Some(Started::Created(run)) => (SlotState::Fired, Some(run)),
            Some(Started::Reused(run) | Started::Replayed { run, .. }) => {
                (SlotState::Skipped, Some(run))
            }
            None => (SlotState::Refused, None),
        };
        match state {
            SlotState::Fired => fired.fired += 1,
            SlotState::Skipped => fired.skipped += 1,
            SlotState::Refused | SlotState::Missed => fired.refused += 1,
        }
        let run = run.map(|run| run.id.uuid());
        tx.execute(stmt!(SLOT_RUN, scope, id, slot, state.as_str(), run)).await?;
    }
    tx.execute(stmt!(NEXT, scope, id, next, schedule.next_at)).await?;
    Ok(hints)
}

/// Starts the run of a slot; none when its tenant is disabled or a gate stops it.
async fn start_slot(
    tx: &mut Tx,
    ids: &dyn Ids,
    new: &NewRun,
    hints: &mut Vec<Hint>,
) -> Result<Option<Started>, StoreError> {
    let (workspace, now) = (new.workspace.uuid(), tx.now());
    if let Some(tenant) = new.tenant {
        let active = stmt!(TENANT_ACTIVE, tenant.uuid(), workspace);
        if tx.optional::<IdRow>(active).await?.is_none() {
            return Ok(None);
        }
    }
    let gated = stmt!(GATED, workspace, crate::gates::EVERYWHERE, new.kind.as_str(), now);
    if tx.optional::<OneRow>(gated).await?.is_some() {
        return Ok(None);
    }
    let started = start(tx, ids, new).await?;
    if let Started::Created(run) = &started
        && run.state.status() == RunStatus::Queued
    {
        hints.push(new.hint());
    }
    Ok(Some(started))
}

impl Upkeep {
    /// Fires the slots that are due. Any process may, as often as it likes: a slot is a row, written
    /// with its run.
    pub async fn schedules_fire(&self) -> Result<Fired, StoreError> {
        let due: Vec<KeyRow> = self
            .store
            .db
            .read(Reach::All, |tx| {
                let stmt = stmt!(DUE, tx.now());
                Box::pin(tx.all(stmt))
            })
            .await?;
        let mut all = Fired::default();
        for KeyRow { scope_id, id } in due {
            let (hints, fired) = match self.schedule_fire(scope_id, id).await {
                Ok(done) => done,
                Err(error) if error.is_passing() => return Err(error),
                // One schedule that cannot be read must not stop all others.
                Err(error) => {
                    tracing::error!(
                        schedule.id = %id,
                        error = %error,
                        facts = error.facts(),
                        "a schedule could not be fired",
                    );
                    continue;
                }
            };
            break_point!(SlotCommitted, fired.fired > 0);
            all.fired += fired.fired;
            all.skipped += fired.skipped;
            all.missed += fired.missed;
            all.refused += fired.refused;
            hints.into_iter().for_each(|hint| self.store.wake.ring(hint));
        }
        Ok(all)
    }

    async fn schedule_fire(&self, scope: Uuid, id: Uuid) -> Result<(Vec<Hint>, Fired), StoreError> {
        let ids = Arc::clone(&self.store.ids);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let mut fired = Fired::default();
                    let hints = fire(tx, &*ids, scope, id, &mut fired).await?;
                    break_point!(SlotWritten, fired.fired > 0);
                    Ok((hints, fired))
                })
            })
            .await
    }

    /// Gives each workspace the schedules of its housekeeping, each once. Says how many were made.
    pub async fn schedules_ensure(&self) -> Result<u64, StoreError> {
        let mut own = Vec::with_capacity(HOUSEKEEPING.len());
        for (kind, name, minute, targets) in HOUSEKEEPING {
            let nightly = Timetable::new(Cadence::Daily { hour: 3, minute }, "UTC");
            own.extend(nightly.ok().map(|nightly| (kind, name, nightly, targets.to_json())));
        }
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let mut made = 0;
                    for (kind, name, nightly, targets) in &own {
                        made += ensure(tx, *kind, name, nightly, targets).await?;
                    }
                    Ok(made)
                })
            })
            .await
    }
}

/// What the product does by itself in each workspace: kind, name, minute after three, and where.
const HOUSEKEEPING: [(OperationKind, &str, u8, Targets); 2] = [
    (OperationKind::RunsPrune, "Clean up finished runs", 0, Targets::Own),
    (OperationKind::PayloadsPrune, "Clean up stored contents", 30, Targets::AllTenants),
];

/// Makes one schedule of the housekeeping in each workspace that has none. Two processes at once make one:
/// its id is of the workspace and the kind.
async fn ensure(
    tx: &mut Tx,
    kind: OperationKind,
    name: &str,
    nightly: &Timetable,
    targets: &Value,
) -> Result<u64, StoreError> {
    let without: Vec<IdRow> = tx.all(stmt!(WORKSPACES, kind.as_str())).await?;
    let now = tx.now();
    let mut made = 0;
    for IdRow { id: workspace } in without {
        let id = match kind {
            OperationKind::RunsPrune => workspace,
            _ => Uuid::from_u128(workspace.as_u128() ^ 1),
        };
        made += tx
            .execute(stmt!(
                INSERT,
                workspace,
                id,
                workspace,
                None::<Uuid>,
                name,
                kind.as_str(),
                "{}",
                targets.to_string(),
                nightly.cadence().to_json().to_string(),
                nightly.zone(),
                CatchUp::Once.as_str(),
                0_i64,
                true,
                nightly.next_after(now),
                None::<String>,
                now,
            ))
            .await?;
    }
    Ok(made)
}

async fn list(store: &Store, scope: Uuid) -> Result<Vec<Schedule>, StoreError> {
    let mut sql = StmtBuilder::new(SELECT);
    sql.push(" WHERE scope_id = ").bind(scope).push(" ORDER BY name, id LIMIT 500");
    let stmt = sql.build();
    let rows: Vec<ScheduleRow> =
        store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.all(stmt))).await?;
    rows.into_iter().map(Schedule::try_from).collect()
}

async fn slots(
    store: &Store,
    scope: Uuid,
    id: ScheduleId,
    limit: u32,
) -> Result<Vec<Slot>, StoreError> {
    let stmt = stmt!(SLOTS, scope, id.uuid(), limit.clamp(1, 500));
    let rows: Vec<SlotRow> =
        store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.all(stmt))).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Slot {
                at: Timestamp::from_micros(row.slot_at),
                state: row.state.parse().map_err(|_| bad_row("schedule_slots", "state"))?,
                run: row.run_id.map(RunId::from_uuid),
                fired_at: Timestamp::from_micros(row.at),
            })
        })
        .collect()
}

/// The same face for a tenant and for the workspace.
macro_rules! schedule_doors {
    ($door:ident) => {
        impl $door<ViewSettings> {
            /// The schedules here, by name; at most 500.
            pub async fn schedule_list(&self) -> Result<Vec<Schedule>, StoreError> {
                list(&self.store, self.scope_id().uuid()).await
            }

            /// One schedule; none when there is no such schedule here.
            pub async fn schedule_get(
                &self,
                id: ScheduleId,
            ) -> Result<Option<Schedule>, StoreError> {
                let scope = self.scope_id().uuid();
                self.store
                    .db
                    .read(Reach::Scope(scope), move |tx| {
                        Box::pin(async move { get(tx, scope, id.uuid()).await })
                    })
                    .await
            }

            /// The latest slots of a schedule, newest first.
            pub async fn schedule_slots(
                &self,
                id: ScheduleId,
                limit: u32,
            ) -> Result<Vec<Slot>, StoreError> {
                slots(&self.store, self.scope_id().uuid(), id, limit).await
            }
        }

        impl $door<ManageSchedules> {
            fn place(&self) -> Place {
                let (scope, workspace) = (self.scope_id(), self.workspace_id());
                let may = |one: &Capability| self.may(*one);
                let allowed = Capability::ALL.iter().copied().filter(may).collect();
                Place { scope, workspace, actor: self.actor.initiator(), allowed }
            }

            /// Makes a schedule of work that the person may also start by hand.
            pub async fn schedule_create(&self, new: NewSchedule) -> Result<Schedule, Refused> {
                create(&self.store, self.place(), new).await
            }

            /// Changes it, unless somebody else has since `revision`. Its kind stays.
            pub async fn schedule_update(
                &self,
                id: ScheduleId,
                revision: i64,
                new: NewSchedule,
            ) -> Result<ScheduleChanged, Refused> {
                update(&self.store, self.place(), id, revision, new).await
            }

            /// Deletes it with its slots; its runs stay. `false` when it is not here, or is one that
            /// the product made itself.
            pub async fn schedule_delete(&self, id: ScheduleId) -> Result<bool, StoreError> {
                delete(&self.store, self.place(), id).await
            }

            /// Starts now what its next slot would start; none when it is not here.
            pub async fn schedule_run_now(
                &self,
                id: ScheduleId,
                how: HowStarted,
            ) -> Result<Option<Started>, StartRefused> {
                run_now(&self.store, self.place(), id, self.actor.user, how).await
            }
        }
    };
}

schedule_doors!(TenantScope);
schedule_doors!(WorkspaceScope);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn hourly(catch_up: CatchUp, next: &str) -> Schedule {
        Schedule {
            id: ScheduleId::from_uuid(Uuid::from_u128(12_345)),
            scope: ScheduleScope::Tenant(TenantId::from_uuid(Uuid::nil())),
            name: String::new(),
            kind: OperationKind::InventorySync,
            inputs: json!({}),
            targets: Targets::Own,
            timetable: Timetable::new(Cadence::Hourly { minute: 0 }, "UTC").unwrap(),
            catch_up,
            spread_seconds: 300,
            enabled: true,
            next_at: Some(at(next)),
            created_by: None,
            created_at: at(next),
            revision: 1,
        }
    }

    #[test]
    fn missed_slots_are_dealt_with_as_chosen() {
        let now = at("2026-01-01T04:30:00Z");
        for (catch_up, wanted) in [
            (CatchUp::Skip, [false, false, false, false]),
            (CatchUp::Once, [false, false, false, true]),
            (CatchUp::All, [true, true, true, true]),
        ] {
            let (slots, next) = due(&hourly(catch_up, "2026-01-01T01:00:00Z"), now);
            let flags: Vec<bool> = slots.iter().map(|(_, wanted)| *wanted).collect();
            assert_eq!(flags, wanted, "{catch_up}");
            assert_eq!(next, Some(at("2026-01-01T05:00:00Z")));
        }
        let (slots, _) =
            due(&hourly(CatchUp::Skip, "2026-01-01T04:00:00Z"), at("2026-01-01T04:00:01Z"));
        assert_eq!(slots, [(at("2026-01-01T04:00:00Z"), true)], "in time");
    }

    #[test]
    fn a_long_outage_is_caught_up_once() {
        let mut schedule = hourly(CatchUp::Once, "2026-01-01T01:00:00Z");
        let now = at("2026-03-01T00:30:00Z");
        let (mut looks, mut wanted) = (0, Vec::new());
        while schedule.next_at.is_some_and(|next| next <= now) {
            let (slots, next) = due(&schedule, now);
            wanted.extend(slots.into_iter().filter(|slot| slot.1).map(|slot| slot.0));
            schedule.next_at = next;
            looks += 1;
        }
        assert!(looks > 1, "more slots than one look deals with");
        assert_eq!(wanted, [at("2026-03-01T00:00:00Z")]);
    }

    #[test]
    fn one_schedule_always_starts_at_the_same_offset() {
        let schedule = hourly(CatchUp::Skip, "2026-01-01T01:00:00Z");
        assert_eq!(spread(&schedule), Duration::from_secs(12_345 % 300));
    }
}
