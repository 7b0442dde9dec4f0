//! Starts that come in at once, on PostgreSQL: one statement for all of them
//! (docs/decisions/0011-starts-and-ends-in-groups.md).
//!
//! Whatever has come in while the last group was written is the next one; nobody waits on purpose and
//! nobody is answered before the commit. A start that comes alone is a group of one.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tp_domain::ids::{AuditId, Ids, NotificationId, RunId, TenantId, UserId};
use tp_domain::run::OperationRun;
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::audit::actor_id;
use crate::db::{Db, Reach};
use crate::error::StoreError;
use crate::run_rows::{RunRow, run_columns};
use crate::runs::{NewRun, Started, details};
use crate::stmt::{Stmt, stmt};

// Run, job, notification and audit entry of each unit. The reach is set by the row that everything else is
// made from, and names the scopes of this group and no others.
const GROUP: &str = "\
WITH reach AS MATERIALIZED (
  SELECT set_config('app.reach', $2, TRUE) AS reach,
         COALESCE($3, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)) AS at
), d AS MATERIALIZED (
  SELECT d.*, reach.at FROM reach CROSS JOIN jsonb_to_recordset(CAST($1 AS JSONB)) AS d(
    scope_id UUID, id UUID, workspace_id UUID, tenant_id UUID, kind TEXT, identity_hash TEXT,
    initiator_id UUID, initiator_name TEXT, trigger_kind TEXT, inputs TEXT, max_attempts BIGINT,
    retry_of UUID, parent_id UUID, origin_hash TEXT, authority_id UUID, priority BIGINT, delay BIGINT,
    notification UUID, audit UUID, actor_kind TEXT, actor_id UUID, request_id TEXT, details TEXT)
), run AS (
  INSERT INTO operation_runs (scope_id, id, workspace_id, tenant_id, kind, status, outcome, identity_hash,
                              initiator_id, initiator_name, trigger_kind, inputs, max_attempts, retry_of,
                              parent_id, created_at, origin_hash, authority_id)
  SELECT scope_id, id, workspace_id, tenant_id, kind, 'queued', 'pending', identity_hash, initiator_id,
         initiator_name, trigger_kind, inputs, max_attempts, retry_of, parent_id, at, origin_hash, authority_id
  FROM d
  ON CONFLICT (scope_id, kind, identity_hash) WHERE outcome = 'pending' DO NOTHING
  RETURNING id
), made AS MATERIALIZED (
  SELECT d.* FROM d WHERE d.id IN (SELECT id FROM run)
), job AS (
  INSERT INTO jobs (scope_id, run_id, workspace_id, tenant_id, kind, state, priority, run_at, waits)
  SELECT scope_id, id, workspace_id, tenant_id, kind, 'ready', priority, at + delay, delay > 0 FROM made
), told AS (
  INSERT INTO notifications (scope_id, run_id, moment, id, workspace_id, tenant_id, user_id, kind,
                             outcome, created_at)
  SELECT m.scope_id, m.id, 'queued', m.notification, m.workspace_id, m.tenant_id, m.initiator_id, m.kind,
         'pending', m.at
  FROM made m WHERE EXISTS (SELECT FROM users u WHERE u.id = m.initiator_id AND u.notify_queued)
), noted AS (
  INSERT INTO audit_entries (scope_id, id, workspace_id, tenant_id, at, actor_kind, actor_id, actor_name,
                             action, target_kind, target_id, run_id, request_id, details)
  SELECT scope_id, audit, workspace_id, tenant_id, at, actor_kind, actor_id, initiator_name,
         'run.started', 'run', CAST(id AS TEXT), id, request_id, details
  FROM made
)
SELECT id, at FROM made";
// A statement of its own: inside the INSERT its snapshot could be older than the winner (ENGINE §4.2). The runs
// are looked up for each key, so that the reach stands before the first row is looked at.
const ACTIVE: &str = concat!(
    "WITH reach AS MATERIALIZED (SELECT set_config('app.reach', $2, TRUE) AS reach), k AS MATERIALIZED (\
     SELECT k.* FROM reach CROSS JOIN jsonb_to_recordset(CAST($1 AS JSONB)) AS \
     k(scope_id UUID, kind TEXT, identity_hash TEXT)) \
     SELECT found.* FROM k CROSS JOIN LATERAL (SELECT ",
    run_columns!(),
    ", r.identity_hash FROM operation_runs r WHERE r.scope_id = k.scope_id AND r.kind = k.kind \
     AND r.identity_hash = k.identity_hash AND r.outcome = 'pending' LIMIT 1) AS found"
);

/// How many starts one statement carries at most.
const MOST_PER_GROUP: usize = 100;

/// How many groups are on their way at once: while one waits for its commit, the next is written.
const GROUPS_AT_ONCE: usize = 3;

/// What became of one start.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A new run, or the equal one that was active.
    Started(Box<Started>),
    /// It could not be told in a group: the careful way finds out.
    Alone,
}

struct Request {
    new: NewRun,
    answer: oneshot::Sender<Answer>,
}

/// The way to the task that writes starts in groups. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Starts(mpsc::Sender<Request>);

#[derive(sqlx::FromRow)]
struct ActiveRow {
    #[sqlx(flatten)]
    run: RunRow,
    identity_hash: String,
}

#[derive(sqlx::FromRow)]
struct MadeRow {
    id: Uuid,
    at: i64,
}

impl Starts {
    /// Starts the task, on PostgreSQL; SQLite's writer groups by itself. It ends when the last store is
    /// dropped.
    pub(crate) fn of(db: &Db, ids: &Arc<dyn Ids>) -> Option<Self> {
        match db {
            Db::Pg { .. } => {
                let (sender, inbox) = mpsc::channel(1024);
                tokio::spawn(write_groups(db.clone(), Arc::clone(ids), inbox));
                Some(Self(sender))
            }
            Db::Lite { .. } => None,
        }
    }

    pub(crate) async fn start(&self, new: &NewRun) -> Result<Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { new: new.clone(), answer };
        self.0.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }
}

async fn write_groups(db: Db, ids: Arc<dyn Ids>, mut inbox: mpsc::Receiver<Request>) {
    let turns = Arc::new(Semaphore::new(GROUPS_AT_ONCE));
    while let Ok(turn) = Arc::clone(&turns).acquire_owned().await
        && let Some(first) = inbox.recv().await
    {
        let mut group = vec![first];
        while group.len() < MOST_PER_GROUP
            && let Ok(next) = inbox.try_recv()
        {
            group.push(next);
        }
        let (db, ids) = (db.clone(), Arc::clone(&ids));
        tokio::spawn(async move {
            answer_group(&db, &*ids, group).await;
            drop(turn);
        });
    }
}

async fn answer_group(db: &Db, ids: &dyn Ids, mut group: Vec<Request>) {
    // In one order, so that two groups with the same identities wait and do not lock each other out.
    group.sort_by_cached_key(|request| key(&request.new));
    let written = write(db, ids, &group).await;
    if let Err(error) = &written
        && group.len() > 1
    {
        tracing::warn!(error = %error, "a group of starts is written one by one");
    }
    let mut answers = written.unwrap_or_default();
    for (place, Request { answer, .. }) in group.into_iter().enumerate() {
        let started = answers.remove(&place);
        let told = started.map_or(Answer::Alone, |one| Answer::Started(Box::new(one)));
        // Nobody waits any more: the run stands all the same.
        let _ = answer.send(told);
    }
}

fn key(new: &NewRun) -> (Uuid, &'static str, String) {
    (new.scope.uuid(), new.kind.as_str(), new.identity.hex())
}

/// Writes the group and says of each place what became of it; a place that is missing was in neither answer.
async fn write(
    db: &Db,
    ids: &dyn Ids,
    group: &[Request],
) -> Result<HashMap<usize, Started>, StoreError> {
    // Equal ones stand beside each other: the first stands for all of them.
    let mut firsts: Vec<(usize, RunId)> = Vec::with_capacity(group.len());
    for (place, request) in group.iter().enumerate() {
        if firsts.last().is_none_or(|(first, _)| key(&group[*first].new) != key(&request.new)) {
            firsts.push((place, RunId::next(ids)));
        }
    }
    let made: HashMap<Uuid, i64> = db
        .single_all::<MadeRow>(group_stmt(db, ids, &firsts, group))
        .await?
        .into_iter()
        .map(|row| (row.id, row.at))
        .collect();
    let mut answers = HashMap::with_capacity(group.len());
    let mut others: Vec<usize> = Vec::new();
    for (number, (first, id)) in firsts.iter().enumerate() {
        let end = firsts.get(number + 1).map_or(group.len(), |(next, _)| *next);
        let Some(at) = made.get(&id.uuid()) else {
            others.extend(*first..end);
            continue;
        };
        let run = group[*first].new.queued(*id, Timestamp::from_micros(*at));
        answers.extend((first + 1..end).map(|place| (place, Started::Reused(run.clone()))));
        answers.insert(*first, Started::Created(run));
    }
    if others.is_empty() {
        return Ok(answers);
    }
    // What was made is committed; that the look-up fails must not make anybody start it again.
    match active(db, group, &others).await {
        Ok(found) => answers.extend(found),
        Err(error) => tracing::warn!(error = %error, "the active runs are looked up one by one"),
    }
    Ok(answers)
}

async fn active(
    db: &Db,
    group: &[Request],
    others: &[usize],
) -> Result<HashMap<usize, Started>, StoreError> {
    let mut keys: Vec<_> = others.iter().map(|place| key(&group[*place].new)).collect();
    keys.dedup();
    let list: Vec<Value> = keys
        .iter()
        .map(|(scope, kind, hash)| json!({"scope_id": scope, "kind": kind, "identity_hash": hash}))
        .collect();
    let reach = Reach::scopes(keys.iter().map(|(scope, ..)| *scope));
    let text = stmt!(ACTIVE, Value::Array(list).to_string(), reach.setting());
    let rows: Vec<ActiveRow> = db.single_all(text).await?;
    let mut runs = HashMap::with_capacity(rows.len());
    for ActiveRow { run, identity_hash } in rows {
        let run: OperationRun = run.try_into()?;
        let scope = run.tenant.map_or(run.workspace.uuid(), TenantId::uuid);
        runs.insert((scope, run.kind.clone(), identity_hash), run);
    }
    let found = others.iter().filter_map(|place| {
        let (scope, kind, hash) = key(&group[*place].new);
        let run = runs.get(&(scope, kind.to_owned(), hash))?;
        Some((*place, Started::Reused(run.clone())))
    });
    Ok(found.collect())
}

fn group_stmt(db: &Db, ids: &dyn Ids, firsts: &[(usize, RunId)], group: &[Request]) -> Stmt {
    let list: Vec<Value> = firsts
        .iter()
        .map(|(place, id)| {
            let new = &group[*place].new;
            json!({
                "scope_id": new.scope.uuid(),
                "id": id.uuid(),
                "workspace_id": new.workspace.uuid(),
                "tenant_id": new.tenant.map(TenantId::uuid),
                "kind": new.kind.as_str(),
                "identity_hash": new.identity.hex(),
                "initiator_id": new.initiator.user().map(UserId::uuid),
                "initiator_name": new.initiator.name(),
                "trigger_kind": new.trigger.as_str(),
                "inputs": new.inputs.to_string(),
                "max_attempts": new.kind.facts().retry.max_attempts,
                "retry_of": new.retry_of.map(RunId::uuid),
                "parent_id": new.parent.map(RunId::uuid),
                "origin_hash": new.origin,
                "authority_id": new.authority.map(UserId::uuid),
                "priority": new.kind.facts().lane.priority(),
                "delay": i64::try_from(new.delay.as_micros()).unwrap_or(i64::MAX),
                "notification": NotificationId::next(ids).uuid(),
                "audit": AuditId::next(ids).uuid(),
                "actor_kind": new.initiator.kind(),
                "actor_id": actor_id(&new.initiator),
                "request_id": new.request_id,
                "details": details(new).to_string(),
            })
        })
        .collect();
    let reach = Reach::scopes(group.iter().map(|request| request.new.scope.uuid()));
    stmt!(GROUP, Value::Array(list).to_string(), reach.setting(), db.told_time())
}
