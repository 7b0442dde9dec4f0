//! The run object: the same names in the API, the command line and webhooks (INTERFACE §4).

use serde_json::{Map, Value, json};
use tp_domain::item::RunItem;
use tp_domain::run::{OperationRun, Outcome, RunStep};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;

use super::absolute;
use crate::app::App;
use crate::paths::Home;

fn moment(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::rfc3339)
}

/// The object. `steps` are known for a single run and left out of lists.
pub(crate) fn run_json(
    app: &App,
    run: &OperationRun,
    tenant: Option<&Tenant>,
    steps: Option<&[RunStep]>,
    deduplicated: bool,
) -> Value {
    let counts = run.counts;
    let slug = tenant.map(|tenant| tenant.slug.as_str());
    let home = match (tenant, run.tenant) {
        (Some(tenant), _) => Some(Home::Tenant(tenant)),
        (None, None) => Some(Home::Workspace(run.workspace)),
        (None, Some(_)) => None,
    };
    let href = home.map(|home| home.api_run(run.id));
    let html = home.map(|home| absolute(app, &home.operation(run.id)));
    let action =
        |name: &str, can: bool| href.as_ref().filter(|_| can).map(|href| format!("{href}/{name}"));
    let known = run.kind.parse::<tp_domain::operation::OperationKind>().is_ok();
    let retries = known && !run.is_active();
    json!({
        "id": run.id.to_string(),
        "tenant": slug,
        "kind": run.kind,
        "label": run.label(),
        "status": run.state.status().as_str(),
        "outcome": run.state.outcome().as_str(),
        "reason_code": run.reason.map(tp_domain::reason::ReasonCode::as_str),
        "message": run.message.as_ref().map(tp_domain::message::SafeMessage::as_str),
        "trigger": {"kind": run.trigger.as_str(), "name": null},
        "initiator": {"id": run.initiator.map(|id| id.to_string()), "name": run.initiator_name},
        "inputs": run.inputs,
        "counts": {
            "total": counts.total, "processed": counts.processed(), "succeeded": counts.succeeded,
            "failed": counts.failed, "skipped": counts.skipped,
        },
        "progress": {
            "phase": run.phase,
            "known_total": counts.total.is_some(),
            "waiting_reason": run.waiting.map(|waiting| waiting.reason.as_str()),
            "waiting_until": moment(run.waiting.map(|waiting| waiting.until).filter(|at| at.micros() < i64::MAX)),
        },
        "failures": failures(run),
        "completeness": steps.map(completeness),
        "context": run.context,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "parent": run.parent.map(|id| id.to_string()),
        "retry_of": run.retry_of.map(|id| id.to_string()),
        "created_at": run.state.created_at().rfc3339(),
        "started_at": moment(run.state.started_at()),
        "heartbeat_at": moment(run.heartbeat_at),
        "completed_at": moment(run.state.completed_at()),
        "freshness": run.freshness(app.store.now()).as_str(),
        "cancel_requested_at": moment(run.cancel_requested_at),
        "related": related(run, home),
        "links": {
            "self": href, "html": html,
            "items": href.as_ref().map(|href| format!("{href}/items")),
            "cancel": action("cancel", run.is_active() && run.cancel_requested_at.is_none()),
            "retry": action("retry", retries),
        },
        "deduplicated": deduplicated,
    })
}

/// Runs that this one belongs to or follows.
fn related(run: &OperationRun, home: Option<Home<'_>>) -> Vec<Value> {
    let link = |rel: &str, id: tp_domain::ids::RunId, home: Home<'_>| json!({"rel": rel, "id": id.to_string(), "href": home.api_run(id)});
    let parent = run.parent.map(|id| link("parent", id, Home::Workspace(run.workspace)));
    let old = run.retry_of.zip(home).map(|(id, home)| link("retry_of", id, home));
    parent.into_iter().chain(old).collect()
}

/// One item of an itemised run.
pub(crate) fn item_json(item: &RunItem) -> Value {
    json!({
        "key": item.subject.key, "position": item.position,
        "policy_type": item.subject.policy_type.as_ref().map(tp_domain::policy::PolicyType::as_str),
        "id": item.subject.graph_id, "name": item.subject.name, "state": item.state.as_str(),
        "reason_code": item.reason.map(tp_domain::reason::ReasonCode::as_str),
        "graph_request_id": item.graph_request_id, "attempts": item.attempts,
        "started_at": moment(item.started_at), "completed_at": moment(item.completed_at),
    })
}

fn failures(run: &OperationRun) -> Vec<Value> {
    run.failures
        .iter()
        .map(|failure| {
            let items: Vec<Value> = failure
                .items
                .iter()
                .map(|item| {
                    json!({
                        "policy_type": item.policy_type.as_ref().map(tp_domain::policy::PolicyType::as_str),
                        "id": item.graph_id, "name": item.name, "permission": item.permission,
                        "graph_request_id": item.graph_request_id,
                    })
                })
                .collect();
            json!({
                "code": failure.code.as_str(), "message": failure.message.as_str(),
                "advice": failure.code.text().advice, "count": failure.count, "items": items,
            })
        })
        .collect()
}

/// Per policy type how much of it was seen.
fn completeness(steps: &[RunStep]) -> Value {
    let mut map = Map::new();
    for step in steps {
        if let Some(seen) = &step.completeness {
            let value = json!({
                "state": seen.state().as_str(),
                "reason": seen.reason().map(tp_domain::reason::ReasonCode::as_str),
                "permission": seen.permission(),
                "listed": step.listed,
            });
            map.insert(step.policy_type.to_string(), value);
        }
    }
    Value::Object(map)
}

/// One step as an item.
pub(crate) fn step_json(step: &RunStep) -> Value {
    json!({
        "policy_type": step.policy_type.as_str(),
        "state": step.state.as_str(),
        "completeness": step.completeness.as_ref().map(|seen| seen.state().as_str()),
        "reason_code": step.completeness.as_ref().and_then(tp_domain::completeness::Completeness::reason).map(tp_domain::reason::ReasonCode::as_str),
        "listed": step.listed,
        "started_at": moment(step.started_at),
        "completed_at": moment(step.completed_at),
    })
}

/// Whether a run is of interest to a poller for longer.
pub(crate) const fn is_active(run: &OperationRun) -> bool {
    matches!(run.state.outcome(), Outcome::Pending)
}
