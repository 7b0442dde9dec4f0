//! Runs: start, list, look, items.

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tp_domain::access::{
    CancelOperations, MayStart, StartBackup, StartBackupExport, StartBackupImport,
    StartBackupRetention, StartBackupVerify, StartConnectionVerify, StartGroupsSync,
    StartInventorySync, StartPayloadsPrune, StartPolicyCapture, StartRestorePreview,
    ViewOperations,
};
use tp_domain::backup_create::CreateBackup;
use tp_domain::backup_export::ExportBackup;
use tp_domain::backup_import::ImportBackup;
use tp_domain::backup_retention::RetainBackups;
use tp_domain::backup_verify::VerifyBackup;
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::groups_sync::SyncGroups;
use tp_domain::hex::hex;
use tp_domain::ids::RunId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::{ItemState, RunItem};
use tp_domain::operation::{
    InputError, Level, OfTenant, OperationKind, OperationRequest, canonical,
};
use tp_domain::payloads_prune::PrunePayloads;
use tp_domain::policy::PolicyType;
use tp_domain::policy_capture::CapturePolicies;
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::run::{Outcome, RunStatus, StepState};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{
    Actor, Cancel, HowStarted, IdempotencyKey, ItemFilter, RetryOnly, RunCursor, RunFilter,
    Started, TenantRef,
};

use super::run_json::{is_active, item_json, run_json, step_json};
use super::{bad_value, fields, json_body, limit, page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::etag;
use crate::extract::{Id, InTenant, RequestId, SignedIn, read_body};
use crate::pages::operation::again::start_again;
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

pub(crate) fn filter(query: Option<&str>) -> Result<(RunFilter, Pairs), WebError> {
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
    let fleet = app.store.enter_fleet::<ViewOperations>(&actor)?;
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
    let steps = scope.run_steps(id).await?;
    let object = run_json(&app, &run, Some(scope.tenant()), Some(&steps), false);
    Ok(polled(&run, &headers, object))
}

/// An answer that is polled: with its `ETag`, and when to ask again. The tag is of the whole body:
/// freshness, signs of life and children change without a change of the run's own row.
pub(crate) fn polled(
    run: &tp_domain::run::OperationRun,
    headers: &HeaderMap,
    object: Value,
) -> Response {
    let tag = etag::of(object.to_string().as_bytes());
    let mut response = if etag::is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(object).into_response()
    };
    let headers = response.headers_mut();
    etag::write(headers, &tag);
    if is_active(run) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Which items are asked for.
pub(crate) fn item_filter(query: Option<&str>) -> Result<(ItemFilter, Pairs), WebError> {
    let pairs = strict(query, &["state", "limit", "cursor"])?;
    let state = match pairs.get("state") {
        None => None,
        Some(word) => Some(word.parse::<ItemState>().map_err(|error| {
            bad_value("state", &format!("one of {}", error.allowed().join(", ")))
        })?),
    };
    let after = match pairs.get("cursor") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| bad_value("cursor", "a value of page.next from an earlier answer"))?,
        ),
    };
    Ok((ItemFilter { state, after, limit: limit(&pairs)? }, pairs))
}

/// Where the next page of items begins.
pub(crate) fn next_items(items: &[RunItem], filter: ItemFilter) -> Option<String> {
    let full = items.len() >= usize::try_from(filter.limit).unwrap_or(usize::MAX);
    items.last().filter(|_| full).map(|item| item.position.to_string())
}

/// The items of an itemised run; the steps of a run that has steps.
pub(crate) async fn items(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let path = format!("/api/v1/tenants/{}/runs/{id}/items", scope.tenant().slug);
    let steps = scope.run_steps(id).await?;
    if steps.is_empty() {
        let (filter, pairs) = item_filter(query.as_deref())?;
        let items = scope.run_items(id, filter).await?;
        let next = next_items(&items, filter);
        return Ok(page(items.iter().map(item_json).collect(), next, &path, &pairs));
    }
    let pairs = strict(query.as_deref(), &["state"])?;
    let states: Vec<StepState> = each(&pairs, "state")?;
    let data = steps
        .iter()
        .filter(|step| states.is_empty() || states.contains(&step.state))
        .map(step_json)
        .collect();
    Ok(page(data, None, &path, &pairs))
}

pub(crate) async fn cancel(
    InTenant(scope): InTenant<CancelOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    no_fields(request, scope.actor()).await?;
    let answer = scope.run_cancel(id, Some(request_id)).await?.ok_or(WebError::NotFound)?;
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    canceled(answer, run_json(&app, &run, Some(scope.tenant()), None, false))
}

/// What a cancel answers: the run as it is now, or 409 when it had ended.
pub(crate) fn canceled(answer: Cancel, run: Value) -> Result<Response, WebError> {
    match answer {
        Cancel::Ended => Ok(Json(run).into_response()),
        Cancel::Asked | Cancel::AskedBefore => {
            Ok((StatusCode::ACCEPTED, Json(run)).into_response())
        }
        Cancel::TooLate => {
            Err(WebError::Conflict("The run has ended: there is nothing to cancel.".to_owned()))
        }
    }
}

pub(crate) async fn retry(
    SignedIn(actor): SignedIn,
    Path((tenant, id)): Path<(String, String)>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let tenant = TenantRef::parse(&tenant).ok_or(WebError::NotFound)?;
    let id: RunId = id.parse().map_err(|_| WebError::NotFound)?;
    app.store.enter::<ViewOperations>(&actor, &tenant).await?;
    let (only, how) = retry_asked(request, &actor, request_id, id).await?;
    let (started, tenant) = start_again(&app, &actor, &tenant, id, only, how).await?;
    Ok(answer(&app, &started, &tenant))
}

/// Reads what of a run is asked for again, and under which key.
pub(crate) async fn retry_asked(
    request: Request,
    actor: &Actor,
    request_id: String,
    id: RunId,
) -> Result<(RetryOnly, HowStarted), WebError> {
    let key = idempotency_key(request.headers())?;
    let body = json_body(request, actor).await?;
    let map = fields(&body, &["only"])?;
    let only = match map.get("only").map(Value::as_str) {
        None | Some(Some("all")) => RetryOnly::All,
        Some(Some("failed")) => RetryOnly::Failed,
        Some(_) => return Err(WebError::Unreadable("only must be failed or all.".to_owned())),
    };
    let body_hash = digest(&json!({"retry": id.to_string(), "only": only == RetryOnly::Failed}));
    let how = HowStarted {
        idempotency: key.map(|key| IdempotencyKey { key, body_hash }),
        request_id: Some(request_id),
    };
    Ok((only, how))
}

/// A change without a body, or with an empty object.
pub(crate) async fn no_fields(request: Request, actor: &Actor) -> Result<(), WebError> {
    let empty = request.headers().get(header::CONTENT_TYPE).is_none();
    if empty {
        check_change(&request, actor)?;
        if read_body(request).await?.is_empty() {
            return Ok(());
        }
        return Err(WebError::Unreadable("This takes no body, or {}.".to_owned()));
    }
    let body = json_body(request, actor).await?;
    fields(&body, &[]).map(drop)
}

/// That a change of a session comes from our own page. A bearer token needs nothing more.
pub(crate) fn check_change(request: &Request, actor: &Actor) -> Result<(), WebError> {
    let Some(expected) = actor.csrf() else { return Ok(()) };
    let given = request.headers().get("x-csrf-token").and_then(|value| value.to_str().ok());
    let right = given.is_some_and(|given| crate::csrf::same(given, expected));
    if crate::csrf::same_origin(request.headers()) && right { Ok(()) } else { Err(WebError::Csrf) }
}

fn input_error(pointer: String, detail: &'static str) -> WebError {
    WebError::Inputs(vec![InputError::at(pointer, detail)])
}

/// What a start asks for.
pub(crate) struct Asked {
    pub(crate) kind: OperationKind,
    pub(crate) inputs: Value,
    pub(crate) how: HowStarted,
}

/// The circumstances of a start: its key and the request's id.
pub(crate) fn how(
    request: &Request,
    request_id: String,
    body: &Value,
) -> Result<HowStarted, WebError> {
    let key = idempotency_key(request.headers())?;
    let idempotency = key.map(|key| IdempotencyKey { key, body_hash: digest(body) });
    Ok(HowStarted { idempotency, request_id: Some(request_id) })
}

pub(crate) fn not_here(why: &'static str) -> WebError {
    input_error("/kind".to_owned(), why)
}

/// Reads a start of a kind of that level.
pub(crate) async fn asked(
    request: Request,
    actor: &Actor,
    request_id: String,
    level: Level,
) -> Result<Asked, WebError> {
    let key = idempotency_key(request.headers())?;
    let body = json_body(request, actor).await?;
    let map = fields(&body, &["kind", "inputs"])?;
    let kind = map.get("kind").and_then(Value::as_str).map(str::parse::<OperationKind>);
    let known = kind.and_then(Result::ok).filter(|kind| kind.facts().level == level);
    let Some(kind) = known else {
        let known: Vec<&str> = OperationKind::ALL
            .iter()
            .filter(|kind| kind.facts().level == level)
            .map(|kind| kind.as_str())
            .collect();
        return Err(WebError::Unreadable(format!("kind must be one of {}.", known.join(", "))));
    };
    let inputs = map.get("inputs").cloned().unwrap_or_else(|| json!({}));
    let idempotency = key.map(|key| IdempotencyKey { key, body_hash: digest(&body) });
    Ok(Asked { kind, inputs, how: HowStarted { idempotency, request_id: Some(request_id) } })
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
    // Whoever is not a member learns nothing of what bodies are allowed.
    app.store.enter::<tp_domain::access::ViewTenant>(&actor, &tenant).await?;
    let Asked { kind, inputs, how } = asked(request, &actor, id, Level::Tenant).await?;
    let door = StartDoor { app: &app, actor: &actor, tenant: &tenant, how };
    let (started, tenant) = match kind {
        OperationKind::InventorySync => {
            let request = SyncInventory::parse(&inputs);
            let request = request.and_then(|one| known_types(&app, one.types()).map(|()| one));
            door.start::<StartInventorySync>(request).await?
        }
        OperationKind::BackupCreate => {
            let request = CreateBackup::parse(&inputs);
            let request = request.and_then(|one| known_types(&app, one.types()).map(|()| one));
            door.start::<StartBackup>(request).await?
        }
        OperationKind::BackupVerify => {
            door.start::<StartBackupVerify>(VerifyBackup::parse(&inputs)).await?
        }
        OperationKind::BackupExport => {
            door.start::<StartBackupExport>(ExportBackup::parse(&inputs)).await?
        }
        OperationKind::BackupImport => {
            door.start::<StartBackupImport>(ImportBackup::parse(&inputs)).await?
        }
        OperationKind::BackupRetention => {
            door.start::<StartBackupRetention>(RetainBackups::parse(&inputs)).await?
        }
        OperationKind::PolicyCapture => {
            door.start::<StartPolicyCapture>(CapturePolicies::parse(&inputs)).await?
        }
        OperationKind::DirectoryGroupsSync => {
            door.start::<StartGroupsSync>(SyncGroups::parse(&inputs)).await?
        }
        OperationKind::PayloadsPrune => {
            door.start::<StartPayloadsPrune>(PrunePayloads::parse(&inputs)).await?
        }
        OperationKind::ConnectionVerify => {
            door.start::<StartConnectionVerify>(VerifyConnection::parse(&inputs)).await?
        }
        OperationKind::RestorePreview => {
            door.start::<StartRestorePreview>(MakeRestorePreview::parse(&inputs)).await?
        }
        OperationKind::RestoreExecute => {
            return Err(not_here("is started by the confirm of a restore and in no other way"));
        }
        OperationKind::ScheduleExecute | OperationKind::RunsPrune => {
            return Err(not_here("is a kind of the workspace"));
        }
    };
    Ok(answer(&app, &started, &tenant))
}

/// Where a person starts a run in a tenant: each kind has a right of its own (ruling 4).
pub(crate) struct StartDoor<'a> {
    pub(crate) app: &'a App,
    pub(crate) actor: &'a Actor,
    pub(crate) tenant: &'a TenantRef,
    pub(crate) how: HowStarted,
}

impl StartDoor<'_> {
    /// Starts what was asked for. Whoever may not is told that before what is wrong with the inputs.
    pub(crate) async fn start<C: MayStart>(
        self,
        request: Result<C::Request, Vec<InputError>>,
    ) -> Result<(Started, Tenant), WebError>
    where
        C::Request: OperationRequest<Level = OfTenant>,
    {
        let scope = self.app.store.enter::<C>(self.actor, self.tenant).await?;
        let request = request.map_err(WebError::Inputs)?;
        let started = self.app.starter.start(&scope, &request, self.how).await?;
        Ok((started, scope.tenant().clone()))
    }

    /// Starts a run again.
    pub(crate) async fn retry<C: MayStart>(
        self,
        of: RunId,
        only: RetryOnly,
    ) -> Result<(Started, Tenant), WebError>
    where
        C::Request: OperationRequest<Level = OfTenant>,
    {
        let scope = self.app.store.enter::<C>(self.actor, self.tenant).await?;
        let started = self.app.starter.retry(&scope, of, only, self.how).await?;
        Ok((started, scope.tenant().clone()))
    }
}

/// A type that has no contract would be skipped: said before anything is written.
pub(crate) fn known_types(app: &App, types: Option<&[PolicyType]>) -> Result<(), Vec<InputError>> {
    let unknown =
        types.unwrap_or_default().iter().position(|key| app.catalog.contract(key).is_none());
    match unknown {
        None => Ok(()),
        Some(index) => Err(vec![InputError::at(
            format!("/types/{index}"),
            "is not a known policy type; GET /api/v1/policy-types lists them",
        )]),
    }
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, WebError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
    text.map(|text| Some(text.to_owned()))
        .ok_or_else(|| bad_value("Idempotency-Key", "1 to 255 printable ASCII characters"))
}

pub(crate) fn digest(body: &Value) -> String {
    let text = canonical(body).to_string();
    hex(&Sha256::digest(text.as_bytes()))
}

/// Whether an answer tells of a new run; a repeat by key is answered as before.
pub(crate) const fn is_new(started: &Started) -> bool {
    match started {
        Started::Created(_) => true,
        Started::Reused(_) => false,
        Started::Replayed { created, .. } => *created,
    }
}

fn answer(app: &App, started_run: &Started, tenant: &Tenant) -> Response {
    let run = started_run.run();
    let href = format!("/api/v1/tenants/{}/runs/{}", tenant.slug, run.id);
    let object = run_json(app, run, Some(tenant), None, !is_new(started_run));
    started(started_run, object, &href)
}

/// 202 for a new run, 200 for one that is active already.
pub(crate) fn started(started: &Started, object: Value, href: &str) -> Response {
    let status = if is_new(started) { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, Json(object)).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(href) {
        headers.insert(header::LOCATION, value);
    }
    if matches!(started, Started::Replayed { .. }) {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
