//! How a run stands in its table, and how it is read from there.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tp_domain::completeness::{Completeness, CompletenessState};
use tp_domain::counts::RunCounts;
use tp_domain::ids::{RunId, TenantId, UserId, WorkspaceId};
use tp_domain::message::SafeMessage;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{
    FailedItem, Failure, OperationRun, Outcome, RunState, RunStatus, RunStep, Waiting,
};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenants::bad_row;

/// The columns of [`RunRow`], for every statement that reads runs.
macro_rules! run_columns {
    () => {
        "r.id, r.workspace_id, r.tenant_id, r.kind, r.status, r.outcome, r.initiator_id, \
         r.initiator_name, r.trigger_kind, r.inputs, r.total, r.succeeded, r.failed, r.skipped, \
         r.phase, r.waiting_reason, r.waiting_until, r.reason, r.message, r.failures, r.context, \
         r.attempt, r.max_attempts, r.parent_id, r.retry_of, r.created_at, r.started_at, \
         r.heartbeat_at, r.completed_at, r.cancel_requested_at, r.revision"
    };
}
pub(crate) use run_columns;

#[derive(sqlx::FromRow)]
pub(crate) struct RunRow {
    pub(crate) id: Uuid,
    workspace_id: Uuid,
    tenant_id: Option<Uuid>,
    kind: String,
    status: String,
    outcome: String,
    initiator_id: Option<Uuid>,
    initiator_name: String,
    trigger_kind: String,
    inputs: String,
    total: Option<i64>,
    succeeded: i64,
    failed: i64,
    skipped: i64,
    phase: Option<String>,
    waiting_reason: Option<String>,
    waiting_until: Option<i64>,
    reason: Option<String>,
    message: Option<String>,
    failures: String,
    context: String,
    attempt: i64,
    max_attempts: i64,
    parent_id: Option<Uuid>,
    retry_of: Option<Uuid>,
    pub(crate) created_at: i64,
    started_at: Option<i64>,
    heartbeat_at: Option<i64>,
    completed_at: Option<i64>,
    cancel_requested_at: Option<i64>,
    revision: i64,
}

fn bad(column: &'static str) -> StoreError {
    bad_row("operation_runs", column)
}

fn count(value: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| bad(column))
}

impl RunRow {
    fn state(&self) -> Result<RunState, StoreError> {
        let at = Timestamp::from_micros;
        let created_at = at(self.created_at);
        let started_at = self.started_at.map(at);
        Ok(match self.status.parse::<RunStatus>().map_err(|_| bad("status"))? {
            RunStatus::Queued => RunState::Queued { created_at },
            RunStatus::Running => {
                let started_at = started_at.ok_or_else(|| bad("started_at"))?;
                let heartbeat_at = self.heartbeat_at.map_or(started_at, at);
                RunState::Running { created_at, started_at, heartbeat_at }
            }
            RunStatus::Completed => RunState::Completed {
                created_at,
                started_at,
                completed_at: self.completed_at.map(at).ok_or_else(|| bad("completed_at"))?,
                outcome: self.outcome.parse::<Outcome>().map_err(|_| bad("outcome"))?,
            },
        })
    }

    // A word of a newer version is left out: its rows must not close the page to everybody (TRUST F32).
    fn waiting(&self) -> Option<Waiting> {
        match (&self.waiting_reason, self.waiting_until) {
            (Some(reason), until) => reason.parse().ok().map(|reason| Waiting {
                reason,
                // A wait for other runs has no end of its own.
                until: Timestamp::from_micros(until.unwrap_or(i64::MAX)),
            }),
            (None, _) => None,
        }
    }
}

impl TryFrom<RunRow> for OperationRun {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let (state, waiting) = (row.state()?, row.waiting());
        let at = Timestamp::from_micros;
        Ok(Self {
            id: RunId::from_uuid(row.id),
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            tenant: row.tenant_id.map(TenantId::from_uuid),
            kind: row.kind,
            state,
            reason: row.reason.as_deref().and_then(|word| word.parse().ok()),
            message: row.message.map(SafeMessage::from_stored),
            trigger: row.trigger_kind.parse().map_err(|_| bad("trigger_kind"))?,
            initiator: row.initiator_id.map(UserId::from_uuid),
            initiator_name: row.initiator_name,
            inputs: serde_json::from_str(&row.inputs).map_err(|_| bad("inputs"))?,
            counts: RunCounts {
                total: row.total.map(|total| count(total, "total")).transpose()?,
                succeeded: count(row.succeeded, "succeeded")?,
                failed: count(row.failed, "failed")?,
                skipped: count(row.skipped, "skipped")?,
            },
            phase: row.phase,
            waiting,
            failures: failures_from_json(&row.failures)?,
            context: serde_json::from_str(&row.context).map_err(|_| bad("context"))?,
            attempt: u32::try_from(row.attempt).map_err(|_| bad("attempt"))?,
            max_attempts: u32::try_from(row.max_attempts).map_err(|_| bad("max_attempts"))?,
            parent: row.parent_id.map(RunId::from_uuid),
            retry_of: row.retry_of.map(RunId::from_uuid),
            cancel_requested_at: row.cancel_requested_at.map(at),
            heartbeat_at: row.heartbeat_at.map(at),
            revision: row.revision,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct FailureJson {
    code: String,
    message: String,
    count: u64,
    items: Vec<FailedItemJson>,
}

#[derive(Serialize, Deserialize)]
struct FailedItemJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    graph_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    graph_request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permission: Option<String>,
}

/// A run keeps at most this many items per code: the count stays exact, the row stays small.
const ITEMS_PER_CODE: usize = 100;

pub(crate) fn failures_to_json(failures: &[Failure]) -> String {
    let list: Vec<FailureJson> = failures
        .iter()
        .map(|failure| FailureJson {
            code: failure.code.as_str().to_owned(),
            message: failure.message.as_str().to_owned(),
            count: failure.count,
            items: failure.items.iter().take(ITEMS_PER_CODE).map(item_to_json).collect(),
        })
        .collect();
    serde_json::to_value(list).unwrap_or(Value::Array(Vec::new())).to_string()
}

fn item_to_json(item: &FailedItem) -> FailedItemJson {
    FailedItemJson {
        policy_type: item.policy_type.as_ref().map(|key| key.as_str().to_owned()),
        graph_id: item.graph_id.clone(),
        name: item.name.clone(),
        graph_request_id: item.graph_request_id.clone(),
        permission: item.permission.clone(),
    }
}

fn failures_from_json(text: &str) -> Result<Vec<Failure>, StoreError> {
    let list: Vec<FailureJson> = serde_json::from_str(text).map_err(|_| bad("failures"))?;
    list.into_iter()
        .map(|failure| {
            Ok(Failure {
                code: failure.code.parse().unwrap_or(ReasonCode::InternalError),
                message: SafeMessage::from_stored(failure.message),
                count: failure.count,
                items: failure
                    .items
                    .into_iter()
                    .map(|item| {
                        let policy_type = item.policy_type.as_deref().map(PolicyType::new);
                        Ok(FailedItem {
                            policy_type: policy_type.transpose().map_err(|_| bad("failures"))?,
                            graph_id: item.graph_id,
                            name: item.name,
                            graph_request_id: item.graph_request_id,
                            permission: item.permission,
                        })
                    })
                    .collect::<Result<_, StoreError>>()?,
            })
        })
        .collect()
}

/// The columns of [`StepRow`].
macro_rules! step_columns {
    () => {
        "policy_type, state, completeness, reason, permission, listed, started_at, completed_at"
    };
}
pub(crate) use step_columns;

#[derive(sqlx::FromRow)]
pub(crate) struct StepRow {
    policy_type: String,
    state: String,
    completeness: Option<String>,
    reason: Option<String>,
    permission: Option<String>,
    listed: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
}

impl TryFrom<StepRow> for RunStep {
    type Error = StoreError;

    fn try_from(row: StepRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("run_steps", column);
        let completeness = row
            .completeness
            .as_deref()
            .map(|word| completeness_of(word, row.reason.as_deref(), row.permission.as_deref()))
            .transpose()?;
        Ok(Self {
            policy_type: PolicyType::new(&row.policy_type).map_err(|_| bad("policy_type"))?,
            state: row.state.parse().map_err(|_| bad("state"))?,
            completeness,
            listed: u64::try_from(row.listed).map_err(|_| bad("listed"))?,
            started_at: row.started_at.map(Timestamp::from_micros),
            completed_at: row.completed_at.map(Timestamp::from_micros),
        })
    }
}

pub(crate) fn completeness_of(
    word: &str,
    reason: Option<&str>,
    permission: Option<&str>,
) -> Result<Completeness, StoreError> {
    let bad = || bad_row("run_steps", "completeness");
    let reason = || reason.and_then(|word| word.parse::<ReasonCode>().ok()).ok_or_else(bad);
    Ok(match word.parse::<CompletenessState>().map_err(|_| bad())? {
        CompletenessState::Complete => Completeness::Complete,
        CompletenessState::Partial => Completeness::Partial(reason()?),
        CompletenessState::Failed => Completeness::Failed(reason()?),
        CompletenessState::NotPermitted => {
            Completeness::NotPermitted(permission.unwrap_or_default().to_owned())
        }
        CompletenessState::NotCovered => Completeness::NotCovered(reason()?),
    })
}
