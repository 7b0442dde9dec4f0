//! Runs: start, list, look, items.

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tp_domain::access::{StartInventorySync, ViewOperations};
use tp_domain::hex::hex;
use tp_domain::ids::RunId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{InputError, OperationKind, canonical};
use tp_domain::run::{Outcome, RunStatus, StepState};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{HowStarted, IdempotencyKey, RunCursor, RunFilter, Started, TenantRef};

use super::run_json::{is_active, run_json, step_json};
use super::{bad_value, fields, json_body, limit, page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{Id, InTenant, RequestId, SignedIn};
use crate::query::Pairs;

const FILTERS: [&str; 10] = [
    "status",
    "outcome",
    "kind",
    "initiator",
    "reason",
    "created_after",
    "created_before",
    "sort",
    "limit",
    "cursor",
];

fn each<T: std::str::FromStr<Err = tp_domain::ids::UnknownWord>>(
    pairs: &Pairs,
    name: &str,
) -> Result<Vec<T>, WebError> {
    pairs
        .all(name)
        .map(|word| {
            word.parse().map_err(|error: T::Err| {
                bad_value(name, &format!("one of {}", error.allowed().join(", ")))
            })
        })
        .collect()
}

fn moment(pairs: &Pairs, name: &str) -> Result<Option<Timestamp>, WebError> {
    match pairs.get(name) {
        None => Ok(None),
        Some(text) => match Timestamp::parse(text) {
            Some(at) => Ok(Some(at)),
            None => Err(bad_value(name, "a time like 2026-01-17T14:01:02Z")),
        },
    }
}

fn filter(query: Option<&str>) -> Result<(RunFilter, Pairs), WebError> {
    let pairs = strict(query, &FILTERS)?;
    let cursor = match pairs.get("cursor") {
        None => None,
        Some(text) => Some(RunCursor::parse(text).ok_or_else(|| {
            bad_value(
                "cursor",
                "a value of page.next from an earlier answer; leave it out for the first page",
            )
        })?),
    };
    let oldest_first = match pairs.get("sort") {
        None | Some("-created_at") => false,
        Some("created_at") => true,
        Some(_) => return Err(bad_value("sort", "created_at or -created_at")),
    };
    let filter = RunFilter {
        tab: None,
        statuses: each::<RunStatus>(&pairs, "status")?,
        outcomes: each::<Outcome>(&pairs, "outcome")?,
        kinds: pairs.all("kind").map(|kind| kind.chars().take(100).collect()).collect(),
        initiator: pairs.get("initiator").map(str::to_owned),
        reasons: each(&pairs, "reason")?,
        created_after: moment(&pairs, "created_after")?,
        created_before: moment(&pairs, "created_before")?,
        oldest_first,
        cursor,
        limit: limit(&pairs)?,
    };
    Ok((filter, pairs))
}

pub(crate) async fn list(
    InTenant(scope): InTenant<ViewOperations>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let (filter, pairs) = filter(query.as_deref())?;
    let found = scope.run_list(filter).await?;
    let tenant = Some(scope.tenant());
    let data = found.runs.iter().map(|run| run_json(&app, run, tenant, None, false)).collect();
    let path = format!("/api/v1/tenants/{}/runs", scope.tenant().slug);
    Ok(page(data, found.next.map(RunCursor::encode), &path, &pairs))
}

pub(crate) async fn list_fleet(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let (filter, pairs) = filter(query.as_deref())?;
    let fleet = app.store.enter_fleet(&actor);
    let found = fleet.fleet_run_list(filter).await?;
    let tenants: Vec<Tenant> =
        fleet.tenant_list().await?.into_iter().map(|(tenant, _)| tenant).collect();
    let data = found
        .runs
        .iter()
        .map(|run| {
            let tenant = tenants.iter().find(|tenant| Some(tenant.id) == run.tenant);
            run_json(&app, run, tenant, None, false)
        })
        .collect();
    Ok(page(data, found.next.map(RunCursor::encode), "/api/v1/runs", &pairs))
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    strict(query.as_deref(), &[])?;
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let etag = format!("\"{}-{}\"", run.id, run.revision);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known == Some(etag.as_str()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let steps = scope.run_steps(id).await?;
        Json(run_json(&app, &run, Some(scope.tenant()), Some(&steps), false)).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_active(&run) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    Ok(response)
}

pub(crate) async fn items(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &["state"])?;
    let states: Vec<StepState> = each(&pairs, "state")?;
    scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let steps = scope.run_steps(id).await?;
    let data = steps
        .iter()
        .filter(|step| states.is_empty() || states.contains(&step.state))
        .map(step_json)
        .collect();
    let path = format!("/api/v1/tenants/{}/runs/{id}/items", scope.tenant().slug);
    Ok(page(data, None, &path, &pairs))
}

fn input_error(pointer: String, detail: &'static str) -> WebError {
    WebError::Inputs(vec![InputError::at(pointer, detail)])
}

/// Starts whatever kind is asked for. Each kind enters through its own door (ruling 4).
pub(crate) async fn start(
    SignedIn(actor): SignedIn,
    Path(tenant): Path<String>,
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let tenant = TenantRef::parse(&tenant).ok_or(WebError::NotFound)?;
    let key = idempotency_key(request.headers())?;
    // Whoever is not a member learns nothing of what bodies are allowed.
    app.store.enter::<tp_domain::access::ViewTenant>(&actor, &tenant).await?;
    let body = json_body(request, &actor).await?;
    let map = fields(&body, &["kind", "inputs"])?;
    let kind = map.get("kind").and_then(Value::as_str).map(str::parse::<OperationKind>);
    let Some(Ok(kind)) = kind else {
        let known: Vec<&str> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(WebError::Unreadable(format!("kind must be one of {}.", known.join(", "))));
    };
    let inputs = map.get("inputs").cloned().unwrap_or_else(|| json!({}));
    let how = HowStarted {
        idempotency: key.map(|key| IdempotencyKey { key, body_hash: digest(&body) }),
        request_id: Some(id),
    };
    match kind {
        OperationKind::InventorySync => {
            let scope = app.store.enter::<StartInventorySync>(&actor, &tenant).await?;
            let request = SyncInventory::parse(&inputs).map_err(WebError::Inputs)?;
            known_types(&app, &request)?;
            let started = app.starter.start(&scope, &request, how).await?;
            Ok(answer(&app, &started, scope.tenant()))
        }
        OperationKind::ScheduleExecute | OperationKind::RunsPrune => Err(input_error(
            "/kind".to_owned(),
            "is a kind of the workspace; start it with POST /api/v1/workspaces/{workspace}/runs",
        )),
    }
}

/// A type that has no contract would be skipped: said before anything is written.
fn known_types(app: &App, request: &SyncInventory) -> Result<(), WebError> {
    let unknown = request
        .types()
        .unwrap_or_default()
        .iter()
        .position(|key| app.catalog.contract(key).is_none());
    match unknown {
        None => Ok(()),
        Some(index) => Err(input_error(
            format!("/types/{index}"),
            "is not a known policy type; GET /api/v1/policy-types lists them",
        )),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, WebError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
    text.map(|text| Some(text.to_owned()))
        .ok_or_else(|| bad_value("Idempotency-Key", "1 to 255 printable ASCII characters"))
}

fn digest(body: &Value) -> String {
    let text = canonical(body).to_string();
    hex(&Sha256::digest(text.as_bytes()))
}

/// 202 for a new run, 200 for one that is active already; a repeat by key is answered as before.
fn answer(app: &App, started: &Started, tenant: &Tenant) -> Response {
    let (run, created) = match started {
        Started::Created(run) => (run, true),
        Started::Reused(run) => (run, false),
        Started::Replayed { run, created } => (run, *created),
    };
    let status = if created { StatusCode::ACCEPTED } else { StatusCode::OK };
    let body = run_json(app, run, Some(tenant), None, !created);
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    let location = format!("/api/v1/tenants/{}/runs/{}", tenant.slug, run.id);
    if let Ok(value) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, value);
    }
    if matches!(started, Started::Replayed { .. }) {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
