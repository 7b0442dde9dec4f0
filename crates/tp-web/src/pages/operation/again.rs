//! Doing a run again: what is offered and why not, and the actions behind it.

use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tp_domain::access::{
    Capability, ManageSchedules, StartBackup, StartBackupExport, StartBackupImport,
    StartBackupRetention, StartBackupVerify, StartConnectionVerify, StartGroupsSync,
    StartInventorySync, StartPayloadsPrune, StartPolicyCapture, StartRunsPrune, ViewOperations,
    ViewSettings,
};
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::ids::{RunId, ScheduleId, WorkspaceId};
use tp_domain::operation::OperationKind;
use tp_domain::run::OperationRun;
use tp_domain::runs_prune::PruneRuns;
use tp_domain::tenant::Tenant;
use tp_store::{Actor, HowStarted, Refused, RetryOnly, Started, TenantRef, WorkspaceScope};

use super::Detail;
use crate::api::runs::{StartDoor, is_new};
use crate::app::App;
use crate::components::layout::Shell;
use crate::components::{off, why};
use crate::error::WebError;
use crate::extract::{CsrfForm, RequestId, SignedIn};
use crate::pages::one_time;
use crate::paths::{self, Home};
use crate::query::Pairs;

/// A control of an ended run.
#[derive(Debug)]
pub(super) enum Offer {
    /// There is nothing of this sort to do.
    None,
    /// It can be pressed.
    On,
    /// It cannot, and this is why.
    Off(String),
}

/// What can be done again.
#[derive(Debug)]
pub(super) struct Again {
    /// All of it.
    all: Offer,
    /// What failed.
    failed: Offer,
    /// What is to be known before all of it is done again.
    note: Option<&'static str>,
}

impl Again {
    const NOTHING: Self = Self { all: Offer::None, failed: Offer::None, note: None };
}

const FROM_ITS_RECORD: &str =
    "A restore is not run again by itself: make a new preview, which shows what is left to do.";

const UNKNOWN: &str = "This version of TenantPilot does not know what it did.";

fn if_may(capability: Capability, may: bool) -> Offer {
    if may {
        Offer::On
    } else {
        Offer::Off(format!("Running it again needs the capability {capability}."))
    }
}

fn has_failures(run: &OperationRun) -> bool {
    run.counts.failed > 0 || !run.failures.is_empty()
}

/// What can be done again of a run of a tenant.
pub(super) fn in_tenant(run: &OperationRun, may: impl Fn(Capability) -> bool) -> Again {
    if run.is_active() {
        return Again::NOTHING;
    }
    let Ok(kind) = run.kind.parse::<OperationKind>() else {
        return Again { all: Offer::Off(UNKNOWN.to_owned()), ..Again::NOTHING };
    };
    if kind == OperationKind::RestoreExecute {
        return Again { all: Offer::Off(FROM_ITS_RECORD.to_owned()), ..Again::NOTHING };
    }
    let facts = kind.facts();
    let allowed = may(facts.capability);
    let failed = if !(has_failures(run) && facts.retry_failed) {
        Offer::None
    } else if allowed {
        Offer::On
    } else {
        Offer::Off(format!("Retrying needs the capability {}.", facts.capability))
    };
    Again { all: if_may(facts.capability, allowed), failed, note: None }
}

/// What can be done again of a run of the workspace itself.
pub(super) async fn in_workspace(
    app: &App,
    scope: &WorkspaceScope<ViewOperations>,
    run: &OperationRun,
) -> Result<Again, WebError> {
    if run.is_active() {
        return Ok(Again::NOTHING);
    }
    match run.kind.parse::<OperationKind>() {
        Ok(OperationKind::RunsPrune) => {
            let capability = OperationKind::RunsPrune.facts().capability;
            Ok(Again { all: if_may(capability, scope.may(capability)), ..Again::NOTHING })
        }
        Ok(OperationKind::ScheduleExecute) => {
            let failed =
                if has_failures(run) { Offer::Off(ONE_BY_ONE.to_owned()) } else { Offer::None };
            let note = Some("It is done with what the schedule says today.");
            Ok(Again { all: of_schedule(app, scope, run).await?, failed, note })
        }
        Ok(
            OperationKind::InventorySync
            | OperationKind::BackupCreate
            | OperationKind::BackupVerify
            | OperationKind::BackupExport
            | OperationKind::BackupImport
            | OperationKind::BackupRetention
            | OperationKind::PolicyCapture
            | OperationKind::DirectoryGroupsSync
            | OperationKind::PayloadsPrune
            | OperationKind::ConnectionVerify
            | OperationKind::RestorePreview
            | OperationKind::RestoreExecute,
        )
        | Err(_) => Ok(Again { all: Offer::Off(UNKNOWN.to_owned()), ..Again::NOTHING }),
    }
}

const ONE_BY_ONE: &str =
    "What failed is tried again one by one: open the runs that belong to it, in their tenants.";

const SCHEDULE_GONE: &str = "Its schedule was deleted: make a new one to do this again.";

/// Whether the schedule behind a run can be run now.
async fn of_schedule(
    app: &App,
    scope: &WorkspaceScope<ViewOperations>,
    run: &OperationRun,
) -> Result<Offer, WebError> {
    let capability = Capability::SchedulesManage;
    if !scope.may(capability) {
        return Ok(if_may(capability, false));
    }
    let seen = match app.store.enter_workspace::<ViewSettings>(scope.actor(), scope.id()).await {
        Ok(seen) => seen,
        Err(Refused::Forbidden(capability)) => return Ok(if_may(capability, false)),
        Err(refused) => return Err(refused.into()),
    };
    let there = match schedule_of(run) {
        Some(id) => seen.schedule_get(id).await?.is_some(),
        None => false,
    };
    Ok(if there { Offer::On } else { Offer::Off(SCHEDULE_GONE.to_owned()) })
}

fn schedule_of(run: &OperationRun) -> Option<ScheduleId> {
    run.inputs.get("schedule")?.as_str()?.parse().ok()
}

/// What can be done with the run, or why it cannot.
pub(super) fn actions(shell: &Shell, detail: &Detail, home: Home<'_>) -> Markup {
    let run = &detail.run;
    let here = home.operation(run.id);
    html! {
        div.actions.run-actions {
            @if run.is_active() {
                @if run.cancel_requested_at.is_some() {
                    p.muted { "Canceling: it stops at the next item." }
                } @else if detail.may_cancel {
                    form method="post" action=(format!("{here}/cancel")) { (shell.csrf()) button.button type="submit" { "Cancel run" } }
                } @else {
                    (why("why-cancel", "Canceling needs the capability operations.cancel."))
                    (off("button", "why-cancel", &html! { "Cancel run" }))
                }
            }
            (offered(&detail.again.failed, shell, &here, "failed", "Retry what failed"))
            @if let (Some(note), Offer::On) = (detail.again.note, &detail.again.all) { span.why { (note) } }
            (offered(&detail.again.all, shell, &here, "all", "Run again"))
        }
    }
}

fn offered(offer: &Offer, shell: &Shell, here: &str, only: &str, label: &str) -> Markup {
    match offer {
        Offer::None => html! {},
        Offer::On => html! {
            form method="post" action=(format!("{here}/retry")) {
                (shell.csrf()) (shell.once(only))
                input type="hidden" name="only" value=(only);
                button.button.primary[only == "failed"] type="submit" { (label) }
            }
        },
        Offer::Off(text) => {
            let id = format!("why-{only}");
            html! { (why(&id, text)) (off("button", &id, &html! { (label) })) }
        }
    }
}

/// What a page says after it was led to by "Run again".
pub(super) fn banner(pairs: &Pairs) -> Markup {
    let words = match (pairs.get("started"), pairs.get("active")) {
        (Some(_), _) => "Started.",
        (None, Some(_)) => "It is already active: nothing new was started.",
        (None, None) => return html! {},
    };
    html! { div.banner role="status" { p { (words) } } }
}

#[derive(Deserialize)]
pub(crate) struct RetryForm {
    only: String,
    key: String,
}

impl RetryForm {
    fn asked(&self, id: RunId, request: String) -> Result<(RetryOnly, HowStarted), WebError> {
        let only = if self.only == "failed" { RetryOnly::Failed } else { RetryOnly::All };
        let what = json!({"retry": id.to_string(), "only": only == RetryOnly::Failed});
        let idempotency = Some(one_time(&self.key, &what)?);
        Ok((only, HowStarted { idempotency, request_id: Some(request) }))
    }
}

/// How the address of a started run says that it is new, or was active already.
const fn mark(started: &Started) -> &'static str {
    if is_new(started) { "started" } else { "active" }
}

/// Each kind enters through its own door (ruling 4).
pub(crate) async fn retry(
    SignedIn(actor): SignedIn,
    Path((tenant, id)): Path<(String, String)>,
    State(app): State<App>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<RetryForm>,
) -> Result<Redirect, WebError> {
    let tenant = TenantRef::parse(&tenant).ok_or(WebError::NotFound)?;
    let id: RunId = id.parse().map_err(|_| WebError::NotFound)?;
    let (only, how) = form.asked(id, request)?;
    let (started, tenant) = start_again(&app, &actor, &tenant, id, only, how).await?;
    let (run, name) = (started.run().id, mark(&started));
    Ok(Redirect::to(&format!("{}?{name}={run}", paths::operation(&tenant, run))))
}

/// The same for a run of the workspace itself.
pub(crate) async fn retry_workspace(
    SignedIn(actor): SignedIn,
    Path((workspace, id)): Path<(String, String)>,
    State(app): State<App>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<RetryForm>,
) -> Result<Redirect, WebError> {
    let workspace: WorkspaceId = workspace.parse().map_err(|_| WebError::NotFound)?;
    let id: RunId = id.parse().map_err(|_| WebError::NotFound)?;
    let (only, how) = form.asked(id, request)?;
    let started = start_again_in_workspace(&app, &actor, workspace, id, only, how).await?;
    let (run, name) = (started.run().id, mark(&started));
    Ok(Redirect::to(&format!("{}?{name}={run}", Home::Workspace(workspace).operation(run))))
}

/// Starts a run again through the door of its kind.
pub(crate) async fn start_again(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: RunId,
    only: RetryOnly,
    how: HowStarted,
) -> Result<(Started, Tenant), WebError> {
    let seen = app.store.enter::<ViewOperations>(actor, tenant).await?;
    let old = seen.run_get(id).await?.ok_or(WebError::NotFound)?;
    let door = StartDoor { app, actor, tenant, how };
    match old.kind.parse::<OperationKind>() {
        Ok(
            OperationKind::BackupVerify
            | OperationKind::BackupExport
            | OperationKind::BackupImport
            | OperationKind::BackupRetention
            | OperationKind::DirectoryGroupsSync
            | OperationKind::PayloadsPrune,
        ) if only == RetryOnly::Failed => Err(WebError::Conflict(
            "Runs of this kind have no parts that could be tried again alone.".to_owned(),
        )),
        Ok(OperationKind::ConnectionVerify) if only == RetryOnly::Failed => {
            Err(WebError::Conflict(
                "A check is done as a whole: its answers belong together.".to_owned(),
            ))
        }
        Ok(OperationKind::InventorySync) => door.retry::<StartInventorySync>(id, only).await,
        Ok(OperationKind::BackupCreate) => door.retry::<StartBackup>(id, only).await,
        Ok(OperationKind::BackupVerify) => door.retry::<StartBackupVerify>(id, only).await,
        Ok(OperationKind::BackupExport) => door.retry::<StartBackupExport>(id, only).await,
        Ok(OperationKind::BackupImport) => door.retry::<StartBackupImport>(id, only).await,
        Ok(OperationKind::BackupRetention) => door.retry::<StartBackupRetention>(id, only).await,
        Ok(OperationKind::PolicyCapture) => door.retry::<StartPolicyCapture>(id, only).await,
        Ok(OperationKind::DirectoryGroupsSync) => door.retry::<StartGroupsSync>(id, only).await,
        Ok(OperationKind::PayloadsPrune) => door.retry::<StartPayloadsPrune>(id, only).await,
        // It has no parts: it is done again as a whole, with its own identity.
        Ok(OperationKind::ConnectionVerify) => {
            door.start::<StartConnectionVerify>(Ok(VerifyConnection)).await
        }
        // A restore is done again from its own record: within its half hour, by whoever may restore.
        Ok(
            OperationKind::RestorePreview
            | OperationKind::RestoreExecute
            | OperationKind::ScheduleExecute
            | OperationKind::RunsPrune,
        )
        | Err(_) => {
            Err(WebError::Conflict("Runs of this kind cannot be tried again by hand.".to_owned()))
        }
    }
}

/// The same for a run of the workspace itself. Work of a schedule is done as the schedule is today.
pub(crate) async fn start_again_in_workspace(
    app: &App,
    actor: &Actor,
    workspace: WorkspaceId,
    id: RunId,
    only: RetryOnly,
    how: HowStarted,
) -> Result<Started, WebError> {
    let conflict = |text: &str| Err(WebError::Conflict(text.to_owned()));
    let seen = app.store.enter_workspace::<ViewOperations>(actor, workspace).await?;
    let old = seen.run_get(id).await?.ok_or(WebError::NotFound)?;
    let kind = old.kind.parse::<OperationKind>();
    if old.is_active() {
        return conflict("The run has not ended yet.");
    }
    match (kind, only) {
        (Ok(OperationKind::ScheduleExecute), RetryOnly::Failed) => conflict(ONE_BY_ONE),
        (Ok(OperationKind::RunsPrune), RetryOnly::Failed) => {
            conflict("Runs of this kind have no parts that could be tried again alone.")
        }
        (Ok(OperationKind::ScheduleExecute), RetryOnly::All) => {
            let scope = app.store.enter_workspace::<ManageSchedules>(actor, workspace).await?;
            let Some(schedule) = schedule_of(&old) else { return conflict(SCHEDULE_GONE) };
            match scope.schedule_run_now(schedule, how).await? {
                Some(started) => Ok(started),
                None => conflict(SCHEDULE_GONE),
            }
        }
        (Ok(OperationKind::RunsPrune), RetryOnly::All) => {
            let scope = app.store.enter_workspace::<StartRunsPrune>(actor, workspace).await?;
            Ok(app.starter.start_in_workspace(&scope, &PruneRuns, how).await?)
        }
        (
            Ok(
                OperationKind::InventorySync
                | OperationKind::BackupCreate
                | OperationKind::BackupVerify
                | OperationKind::BackupExport
                | OperationKind::BackupImport
                | OperationKind::BackupRetention
                | OperationKind::PolicyCapture
                | OperationKind::DirectoryGroupsSync
                | OperationKind::PayloadsPrune
                | OperationKind::ConnectionVerify
                | OperationKind::RestorePreview
                | OperationKind::RestoreExecute,
            )
            | Err(_),
            _,
        ) => conflict(UNKNOWN),
    }
}
