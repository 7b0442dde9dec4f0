//! Restores: from a backup set or a version to a preview, a confirm, and what came of it (UX W9, W10).

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use tp_domain::access::{ApproveRestore, Capability, ExecuteRestores, PreviewRestore};
use tp_domain::ids::RestoreId;
use tp_domain::restore::draft::{RestoreDraft, RestoreSource};
use tp_domain::restore::outcome::{ItemOutcome, RestoreItem};
use tp_domain::restore::plan::{FrozenPlan, NodeAction, PlanNode};
use tp_domain::restore::record::{LONGEST_REASON, RestoreRecord, RestoreState};
use tp_domain::run::OperationRun;
use tp_store::{Confirm, HowStarted, TenantScope};

use super::login::Nothing;
use super::one_time;
use crate::api::restores as api;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, off, time, why};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, RequestId};
use crate::{format, paths};

const WHY: &str = "why-restore";

/// Nodes that the page shows; the API gives all.
const MOST_SHOWN: usize = 500;

pub(crate) async fn list(
    InTenant(scope): InTenant<PreviewRestore>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, records) = (scope.tenant(), scope.restore_list().await?);
    let body = html! {
        div.head { div { h1 { "Restores" } p.sub { "What was written back, by whom and why. A restore begins at a backup set or at a version." } } }
        @if records.is_empty() {
            (empty("No restore yet", "Open a backup set or a version of a policy and press Restore. Nothing is written before you have seen and confirmed what it will be.", Some(html! { a.button href=(paths::backups(tenant)) { "View backups" } })))
        } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Restores, newest first" }
                thead { tr { th scope="col" { "Restore" } th scope="col" { "State" } th scope="col" { "Begun" } th scope="col" { "Reason" } } }
                tbody { @for record in &records { tr {
                    td data-l="Restore" { a href=(paths::restore(tenant, record.id)) { (source(record)) } }
                    td data-l="State" { span { (state(record.state)) } }
                    td data-l="Begun" { div { (time(record.created.at, shell.now)) br; span.muted.small { "by " (format::shown(&record.created.name)) } } }
                    td data-l="Reason" { (record.reason.as_deref().map_or("–".into(), format::shown)) }
                } } }
            } }
        }
    };
    Ok(shell.render(&Page {
        title: "Restores",
        place: Place::Restores,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

/// Where a restore is taken from, in words.
fn source(record: &RestoreRecord) -> String {
    match record
        .draft
        .as_ref()
        .map(|draft| (&draft.source, draft.items.as_ref().map(std::collections::BTreeSet::len)))
    {
        Some((RestoreSource::Backup(number), None)) => format!("All of backup {number}"),
        Some((RestoreSource::Backup(number), Some(count))) => format!("{count} of backup {number}"),
        Some((RestoreSource::Versions(ids), _)) if ids.len() == 1 => "One version".to_owned(),
        Some((RestoreSource::Versions(ids), _)) => format!("{} versions", ids.len()),
        None => "A restore".to_owned(),
    }
}

fn state(state: RestoreState) -> Markup {
    match state {
        RestoreState::Draft => chip::unknown("Draft"),
        RestoreState::Previewed => chip::unknown("To be confirmed"),
        RestoreState::AwaitingSecondApprover => chip::warn("Waits for a second person"),
        RestoreState::Confirmed => chip::unknown("Confirmed"),
        RestoreState::Executing => chip::unknown("At work"),
        RestoreState::Done => chip::good("Ended"),
        RestoreState::Expired => chip::plain("Expired"),
        RestoreState::Discarded => chip::plain("Given up"),
    }
}

pub(crate) async fn show(
    InTenant(scope): InTenant<PreviewRestore>,
    Id(id): Id<RestoreId>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let record = scope.restore_get(id).await?.ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let plan = scope.restore_plan(id).await?;
    let found = api::found(&app, &scope, &record).await?;
    let items = scope.restore_items(id).await?;
    let looking = scope.restore_preview_run(id).await?;
    let (tenant, heading) = (scope.tenant(), source(&record));
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(paths::restores(tenant)) { "Restores" } }
            li aria-current="page" { (heading) }
        } }
        div.head {
            div { h1 { "Restore: " (heading) } p.sub { "Begun " (time(record.created.at, shell.now)) " by " (format::shown(&record.created.name)) } }
            div.actions { (state(record.state)) }
        }
        (progress(&scope, &record, looking.as_ref(), &shell))
        @if !items.is_empty() { (results(&app, &items, &shell)) }
        @if let Some(plan) = &plan {
            (summary(plan, &record, &shell))
            (nodes(&app, plan, &found))
            (confirm_part(&scope, &record, plan, &shell))
        }
    };
    Ok(shell.render(&Page {
        title: "Restore",
        place: Place::Restores,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

/// What is going on, and what can be done about it.
fn progress(
    scope: &TenantScope<PreviewRestore>,
    record: &RestoreRecord,
    looking: Option<&OperationRun>,
    shell: &Shell,
) -> Markup {
    let tenant = scope.tenant();
    let here = paths::restore(tenant, record.id);
    let active = looking.filter(|run| run.is_active());
    html! {
        @if let Some(run) = active {
            div.banner { p { "The preview reads what is there now. Reload this page when it has ended. " a href=(paths::operation(tenant, run.id)) { "View run" } } }
        } @else if matches!(record.state, RestoreState::Draft | RestoreState::Previewed | RestoreState::Expired) {
            @if record.plan.is_none() { div.banner.warn { p { "There is no preview. " @if let Some(run) = looking { "The last one did not end well: " a href=(paths::operation(tenant, run.id)) { "View run" } } } } }
            div.actions {
                form method="post" action={ (here) "/preview" } { (shell.csrf()) button.button type="submit" { "Make the preview anew" } }
                form method="post" action={ (here) "/discard" } { (shell.csrf()) button.button type="submit" { "Give this restore up" } }
            }
        }
        @if let Some(run) = record.run { p { "Carried out by " a href=(paths::operation(tenant, run)) { "this run" } "." } }
        @if let Some(confirmed) = &record.confirmed { p.muted.small { "Confirmed " (time(confirmed.at, shell.now)) " by " (format::shown(&confirmed.name)) @if let Some(reason) = &record.reason { ": " (format::shown(reason)) } } }
        @if let Some(approved) = &record.approved { p.muted.small { "Agreed to " (time(approved.at, shell.now)) " by " (format::shown(&approved.name)) } }
    }
}

fn summary(plan: &FrozenPlan, record: &RestoreRecord, shell: &Shell) -> Markup {
    let actions = plan.plan().actions();
    let count = |word: &str| actions.get(word).copied().unwrap_or(0);
    let expired = plan.expires_at() <= shell.now;
    html! {
        h2 { "What will be written" }
        dl.counts {
            div { dt { "Made anew" } dd { (count("create")) } }
            div { dt { "Changed back" } dd { (count("update")) } }
            div { dt { "As they shall be" } dd { (count("unchanged")) } }
            div { dt { "Blocked" } dd { (count("blocked")) } }
            div { dt { "Preview only" } dd { (count("preview_only")) } }
        }
        @if record.state == RestoreState::Previewed {
            p.muted.small { @if expired { "This preview is older than 30 minutes: make it anew." } @else { "Confirm it before " (time(plan.expires_at(), shell.now)) ", or make it anew. What somebody changes meanwhile is left alone." } }
        }
    }
}

fn action(node: &PlanNode) -> Markup {
    match node.action {
        NodeAction::Create => chip::warn("Made anew"),
        NodeAction::Update => chip::warn("Changed back"),
        NodeAction::Unchanged => chip::good("As it shall be"),
        NodeAction::Blocked(_) => chip::bad("Blocked"),
        NodeAction::PreviewOnly => chip::plain("Preview only"),
    }
}

fn nodes(app: &App, plan: &FrozenPlan, found: &serde_json::Map<String, Value>) -> Markup {
    let (rest, open): (Vec<&PlanNode>, Vec<&PlanNode>) =
        plan.plan().nodes.iter().partition(|node| node.action == NodeAction::Unchanged);
    html! {
        @if !open.is_empty() {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Objects of this restore, in the order of work" }
                thead { tr { th scope="col" { "Object" } th scope="col" { "Type" } th scope="col" { "What happens" } th scope="col" { "Differences and reach" } } }
                tbody { @for node in open.iter().take(MOST_SHOWN) { tr {
                    td data-l="Object" { (format::named(node.name.as_deref())) }
                    td data-l="Type" { (app.catalog.label(&node.policy_type)) }
                    td data-l="What happens" { div {
                        (action(node))
                        @if let Some(reason) = node.action.blocker() { br; a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) } }
                    } }
                    td data-l="Differences and reach" { (told(found.get(&node.key))) }
                } } }
            } }
            @if open.len() > MOST_SHOWN { p.muted { "The first " (MOST_SHOWN) " are shown. The API gives all." } }
        }
        @if !rest.is_empty() {
            details { summary { (rest.len()) " objects are as they shall be" }
                ul.plain { @for node in rest.iter().take(MOST_SHOWN) { li { (format::named(node.name.as_deref())) " " span.muted.small { (app.catalog.label(&node.policy_type)) } } } }
            }
        }
    }
}

/// What the preview has found of a node.
fn told(found: Option<&Value>) -> Markup {
    let Some(found) = found else { return html! { span.muted { "–" } } };
    let list = |pointer: &str| {
        found.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let text = |value: &Value, pointer: &str| {
        let text = value.pointer(pointer).and_then(Value::as_str);
        text.map(|text| format::shown(text).into_owned())
    };
    let (entries, lacking, permissions) =
        (list("/diff/entries"), list("/lacking"), list("/permissions"));
    let (gains, loses) = (list("/reach/gains"), list("/reach/loses"));
    let target = |value: &Value| match text(value, "/kind").as_deref() {
        Some("all_users") => "All users".to_owned(),
        Some("all_devices") => "All devices".to_owned(),
        Some("excluded_group") => format!("left out: {}", name_or_id(value)),
        _ => name_or_id(value),
    };
    html! { div {
        @for permission in &permissions { span.small { "Missing permission: " code { (permission.as_str().unwrap_or_default()) } } br; }
        @for one in &lacking { span.small { "Not in the tenant: " (text(one, "/kind").unwrap_or_default()) " " (name_or_id(one)) } br; }
        @if !gains.is_empty() { span.small { "Reaches again: " (gains.iter().map(target).collect::<Vec<_>>().join(", ")) } br; }
        @if !loses.is_empty() { span.small { "Does not reach any more: " (loses.iter().map(target).collect::<Vec<_>>().join(", ")) } br; }
        @if !entries.is_empty() {
            details { summary { (entries.len()) " differences" }
                ul.plain { @for entry in entries.iter().take(100) { li {
                    (text(entry, "/label").unwrap_or_default()) ": "
                    span.muted { (text(entry, "/left/text").unwrap_or_else(|| "–".to_owned())) } " → "
                    (text(entry, "/right/text").unwrap_or_else(|| "–".to_owned()))
                } } }
            }
        }
    } }
}

fn name_or_id(value: &Value) -> String {
    let text = value
        .get("name")
        .and_then(Value::as_str)
        .or_else(|| value.get("id").and_then(Value::as_str));
    format::shown(text.unwrap_or("not named")).into_owned()
}

fn outcome(outcome: ItemOutcome) -> Markup {
    match outcome {
        ItemOutcome::Verified => chip::good("Verified"),
        ItemOutcome::WrittenButDiffers => chip::warn("Written, but differs"),
        ItemOutcome::Failed => chip::bad("Failed"),
        ItemOutcome::Refused => chip::bad("Left alone"),
        ItemOutcome::Skipped => chip::plain("Not begun"),
        ItemOutcome::AwaitingExternalApproval => chip::unknown("Waits for approval in Intune"),
        ItemOutcome::UnknownOutcome => chip::bad("Not known"),
    }
}

fn results(app: &App, items: &[RestoreItem], shell: &Shell) -> Markup {
    html! {
        h2 { "What came of it" }
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Results" }
            thead { tr { th scope="col" { "Object" } th scope="col" { "Type" } th scope="col" { "Outcome" } th scope="col" { "Ended" } } }
            tbody { @for item in items { tr {
                td data-l="Object" { (format::named(item.name.as_deref())) }
                td data-l="Type" { (app.catalog.label(&item.policy_type)) }
                td data-l="Outcome" { div { @match &item.result {
                    None => (chip::unknown("Not begun yet")),
                    Some(result) => {
                        (outcome(result.outcome))
                        @if result.half_done { " " (chip::bad("Half done")) }
                        @if let Some(reason) = result.reason { br; a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) } }
                        @for place in result.differences.iter().take(20) { br; span.small.mono { (format::shown(place)) } }
                    }
                } } }
                td data-l="Ended" { span { @match item.completed_at { Some(at) => (time(at, shell.now)), None => "–" } } }
            } } }
        } }
    }
}

fn confirm_part(
    scope: &TenantScope<PreviewRestore>,
    record: &RestoreRecord,
    plan: &FrozenPlan,
    shell: &Shell,
) -> Markup {
    let tenant = scope.tenant();
    let here = paths::restore(tenant, record.id);
    let typed = tenant.domain.clone().unwrap_or_else(|| tenant.entra_tenant_id.to_string());
    if record.state == RestoreState::AwaitingSecondApprover {
        let me = scope.actor().user().uuid();
        let first = record.confirmed.as_ref().is_some_and(|who| who.id == me);
        let reason = if first {
            Some("You confirmed it: another person must agree.")
        } else if !scope.may(Capability::RestoreApprove) {
            Some("Agreeing needs the capability restore.approve.")
        } else {
            None
        };
        return html! {
            h2 { "Second person" }
            @if let Some(reason) = reason { (why(WHY, reason)) (off("button", WHY, &html! { "Agree and begin" })) }
            @else { form method="post" action={ (here) "/approve" } { (shell.csrf()) input type="hidden" name="plan_hash" value=(plan.hash()); button.button.primary type="submit" { "Agree and begin" } } }
        };
    }
    if record.state != RestoreState::Previewed {
        return html! {};
    }
    let blocked = plan.plan().nodes.iter().filter(|node| node.action.blocker().is_some()).count();
    let reason = if !scope.may(Capability::RestoreExecute) {
        Some(
            "Confirming needs the capability restore.execute. Ask an owner or a manager."
                .to_owned(),
        )
    } else if blocked > 0 {
        Some(format!(
            "{blocked} objects are blocked. Begin a restore without them, or put right what stands in the way and make the preview anew."
        ))
    } else if plan.plan().writes().next().is_none() {
        Some("Everything is as it shall be: there is nothing to write.".to_owned())
    } else if plan.expires_at() <= shell.now {
        Some("The preview is older than 30 minutes: make it anew.".to_owned())
    } else {
        None
    };
    html! {
        h2 { "Confirm" }
        @if let Some(reason) = reason { (why(WHY, &reason)) p { (off("button", WHY, &html! { "Confirm and begin" })) } }
        @else {
            form.stack method="post" action={ (here) "/confirm" } {
                (shell.csrf())
                (shell.once("confirm"))
                input type="hidden" name="plan_hash" value=(plan.hash());
                div.field { label for="domain" { "Type " code { (format::shown(&typed)) } ", the tenant that is written to" } input type="text" id="domain" name="domain" autocomplete="off" required; }
                div.field { label for="reason" { "Why. Whoever approves in Intune reads it, too" } textarea id="reason" name="reason" rows="2" maxlength=(LONGEST_REASON) required {} }
                button.button.primary type="submit" { "Confirm and begin" }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct CreateForm {
    #[serde(default)]
    backup: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    second_approver: String,
    #[serde(default)]
    stop_on_failure: String,
}

pub(crate) async fn create(
    InTenant(scope): InTenant<PreviewRestore>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<CreateForm>,
) -> Result<Redirect, WebError> {
    let source = match form.backup.parse::<u64>() {
        Ok(number) => json!({ "backup": number }),
        Err(_) => json!({ "version": form.version }),
    };
    let options = json!({
        "second_approver": form.second_approver == "yes",
        "stop_on_failure": form.stop_on_failure == "yes",
    });
    let draft = RestoreDraft::parse(&json!({"source": source, "options": options}));
    let draft = draft.map_err(WebError::Inputs)?;
    let restore = api::begin(&scope, &draft, id.clone()).await?;
    api::preview(&app, &scope, restore, id).await?;
    Ok(Redirect::to(&paths::restore(scope.tenant(), restore)))
}

pub(crate) async fn preview(
    InTenant(scope): InTenant<PreviewRestore>,
    Id(restore): Id<RestoreId>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    scope.restore_get(restore).await?.ok_or(WebError::NotFound)?;
    api::preview(&app, &scope, restore, id).await?;
    Ok(Redirect::to(&paths::restore(scope.tenant(), restore)))
}

pub(crate) async fn discard(
    InTenant(scope): InTenant<PreviewRestore>,
    Id(restore): Id<RestoreId>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    scope.restore_discard(restore, Some(id)).await.map_err(api::refused)?;
    Ok(Redirect::to(&paths::restore(scope.tenant(), restore)))
}

#[derive(Deserialize)]
pub(crate) struct ConfirmForm {
    key: String,
    plan_hash: String,
    domain: String,
    reason: String,
}

pub(crate) async fn confirm(
    InTenant(scope): InTenant<ExecuteRestores>,
    Id(restore): Id<RestoreId>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<ConfirmForm>,
) -> Result<Redirect, WebError> {
    let key = one_time(&form.key, &json!({"plan_hash": form.plan_hash}))?;
    let confirm = Confirm {
        plan_hash: api::hash(&form.plan_hash)?,
        typed_domain: form.domain,
        reason: form.reason,
    };
    let how = HowStarted { idempotency: Some(key), request_id: Some(id) };
    scope.restore_confirm(restore, confirm, how).await.map_err(api::refused)?;
    Ok(Redirect::to(&paths::restore(scope.tenant(), restore)))
}

#[derive(Deserialize)]
pub(crate) struct ApproveForm {
    plan_hash: String,
}

pub(crate) async fn approve(
    InTenant(scope): InTenant<ApproveRestore>,
    Id(restore): Id<RestoreId>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<ApproveForm>,
) -> Result<Redirect, WebError> {
    let plan = api::hash(&form.plan_hash)?;
    scope.restore_approve(restore, plan, Some(id)).await.map_err(api::refused)?;
    Ok(Redirect::to(&paths::restore(scope.tenant(), restore)))
}
