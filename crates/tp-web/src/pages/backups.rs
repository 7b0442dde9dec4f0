//! Backup sets of a tenant: what there is, how the nights went, and making one (UX §1.6).

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tp_domain::access::{Capability, StartBackup, ViewBackups};
use tp_domain::backup::{BackupSet, BackupState};
use tp_domain::backup_create::{CreateBackup, LONGEST_NOTE};
use tp_domain::ids::PolicyId;
use tp_domain::time::Timestamp;
use tp_store::{HowStarted, TenantScope};

use super::backup::at_work;
use super::backup_archive;
use super::{one_time, start_sync};
use crate::api::runs::is_new;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, off, time, why};
use crate::error::WebError;
use crate::extract::{CsrfForm, InTenant, RequestId};
use crate::paths::Home;
use crate::query::Pairs;
use crate::{format, paths};

/// Sets on one page.
const PER_PAGE: u32 = 50;

/// Nights of the strip: five weeks.
const NIGHTS: u32 = 35;

const DAY: Duration = Duration::from_hours(24);

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewBackups>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, pairs) = (scope.tenant(), Pairs::parse(query.as_deref()));
    let list = pairs.without(&["started", "active"]);
    let before: Option<u64> = list.get("before").and_then(|text| text.parse().ok());
    let mut sets = scope.backup_list(before, PER_PAGE + 1).await?;
    let wanted = usize::try_from(PER_PAGE).unwrap_or(usize::MAX);
    let next = (sets.len() > wanted).then(|| sets[wanted - 1].number);
    sets.truncate(wanted);
    let mut working = Vec::new();
    for set in &sets {
        if at_work(&scope, set).await? {
            working.push(set.number);
        }
    }
    let path = paths::backups(tenant);
    let nights = if before.is_none() {
        scope.backup_states_since(shell.now.minus(DAY * NIGHTS)).await?
    } else {
        Vec::new()
    };
    let body = html! {
        (start_sync::banner(&scope, &pairs, &shell).await?)
        div.head {
            div {
                h1 { "Backups" }
                p.sub { "What the policies of this tenant were: settings, assignments, parts and names. Kept here, unchanged." }
            }
            div.actions { (button(&scope, &shell)) (backup_archive::import_button(&scope)) }
        }
        @if sets.is_empty() && before.is_none() {
            (empty("No backup yet", "The first backup reads every policy in full. Later ones read again what has changed since. Press Back up now above, or make a schedule.", Some(html! { a.button href=(Home::Tenant(tenant).schedules()) { "View schedules" } })))
        } @else {
            @if before.is_none() { (strip(&nights, shell.now)) }
            (table(&sets, &working, tenant, shell.now))
            nav.pager aria-label="Pages" {
                span { (format::number(u64::try_from(sets.len()).unwrap_or(0))) " sets" }
                span.links {
                    @if before.is_some() { a.button href=(path) { "Newest sets" } }
                    @if let Some(next) = next { a.button href=(list.with("before", &next.to_string()).link(&path)) rel="next" { "Older sets" } }
                }
            }
        }
    };
    Ok(shell.render(&Page {
        title: "Backups",
        place: Place::Backups,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

/// Why this person cannot make a backup now; none when they can.
fn reason<C>(scope: &TenantScope<C>) -> Option<&'static str> {
    if !scope.may(Capability::BackupsCreate) {
        Some("Making a backup needs the capability backups.create. Ask an owner or a manager.")
    } else if scope.tenant().client_id.is_none() {
        Some("This tenant has no credential yet, so it cannot be reached.")
    } else {
        None
    }
}

/// The form that makes one, or the reason why it cannot be sent.
fn button(scope: &TenantScope<ViewBackups>, shell: &Shell) -> Markup {
    html! {
        @if let Some(reason) = reason(scope) {
            (why("why-backup", reason))
            (off("button", "why-backup", &html! { "Back up now" }))
        } @else {
            form.filters method="post" action=(paths::backups(scope.tenant())) {
                (shell.csrf())
                (shell.once("backup"))
                div.field.wide {
                    label for="note" { "Note (optional)" }
                    input type="text" id="note" name="note" maxlength=(LONGEST_NOTE) placeholder="Before the update of …";
                }
                button.button.primary type="submit" { "Back up now" }
            }
        }
    }
}

/// The form that backs one policy up, or the reason why it cannot be sent.
pub(super) fn button_of_policy<C>(
    scope: &TenantScope<C>,
    shell: &Shell,
    policy: PolicyId,
) -> Markup {
    html! {
        @if let Some(reason) = reason(scope) {
            (why("why-backup", reason))
            (off("button", "why-backup", &html! { "Back up this policy" }))
        } @else {
            form method="post" action=(paths::backups(scope.tenant())) {
                (shell.csrf())
                (shell.once("backup"))
                input type="hidden" name="policy" value=(policy);
                button.button.primary type="submit" { "Back up this policy" }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct BackupForm {
    key: String,
    #[serde(default)]
    note: String,
    /// Only this policy; empty for everything.
    #[serde(default)]
    policy: String,
}

/// The action behind the button.
pub(crate) async fn start(
    InTenant(scope): InTenant<StartBackup>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<BackupForm>,
) -> Result<Redirect, WebError> {
    let mut asked = json!({ "note": form.note });
    let policy: Option<PolicyId> = match form.policy.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| WebError::NotFound)?),
    };
    if let Some(policy) = policy {
        scope.policy_get(policy).await?.ok_or(WebError::NotFound)?;
        asked["policies"] = json!([policy.to_string()]);
    }
    let request = CreateBackup::parse(&asked).map_err(WebError::Inputs)?;
    let key = one_time(&form.key, &asked)?;
    let how = HowStarted { idempotency: Some(key), request_id: Some(id) };
    let started = app.starter.start(&scope, &request, how).await?;
    let mark = if is_new(&started) { "started" } else { "active" };
    let run = started.run().id.to_string();
    let back = policy.map_or_else(
        || paths::backups(scope.tenant()),
        |policy| paths::policy(scope.tenant(), policy),
    );
    Ok(Redirect::to(&Pairs::default().with(mark, &run).link(&back)))
}

/// What a set is called.
pub(super) fn title(set: &BackupSet) -> String {
    format!("Backup {}", set.number)
}

fn table(
    sets: &[BackupSet],
    working: &[u64],
    tenant: &tp_domain::tenant::Tenant,
    now: Timestamp,
) -> Markup {
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Backup sets, newest first" }
            thead { tr {
                th scope="col" { "Set" } th scope="col" { "State" } th scope="col" { "Made" }
                th.num scope="col" { "Policies" } th.num scope="col" { "Not read" } th.num scope="col" { "New versions" }
                th scope="col" { "Note" }
            } }
            tbody { @for set in sets { tr {
                td data-l="Set" { a href=(paths::backup(tenant, set.number)) { (title(set)) } }
                td data-l="State" { span { (chip::backup_set(set.state, working.contains(&set.number))) } }
                td data-l="Made" { span { (time(set.created_at, now)) @if set.imported_from.is_some() { br; span.muted.small { "imported" } } @if set.is_full_pass { br; span.muted.small { "everything read in full" } } } }
                td.num data-l="Policies" { (format::number(set.items)) }
                td.num data-l="Not read" { (format::number(set.failed_items)) }
                td.num data-l="New versions" { (format::number(set.new_versions)) }
                td data-l="Note" { div {
                    @if set.pinned { (chip::pinned()) " " }
                    @match &set.note { Some(note) => (format::shown(note)), None => @if !set.pinned { "–" } }
                } }
            } } }
        } }
    }
}

/// The better of two states of one day's sets: what the day has at best is what one can go back to.
const fn better(one: BackupState, other: BackupState) -> BackupState {
    const fn rank(state: BackupState) -> u8 {
        match state {
            BackupState::Complete => 3,
            BackupState::Partial => 2,
            BackupState::Creating => 1,
            BackupState::Failed => 0,
        }
    }
    if rank(one) >= rank(other) { one } else { other }
}

/// The last five weeks, a square a day in UTC.
fn strip(sets: &[(Timestamp, BackupState)], now: Timestamp) -> Markup {
    let mut days: Vec<(String, Option<BackupState>)> =
        (0..NIGHTS).rev().map(|back| (day(now.minus(DAY * back)), None)).collect();
    for (at, made) in sets {
        let of = day(*at);
        if let Some((_, state)) = days.iter_mut().find(|(day, _)| *day == of) {
            *state = Some(state.map_or(*made, |before| better(before, *made)));
        }
    }
    let kept = days.iter().filter(|(_, state)| *state == Some(BackupState::Complete)).count();
    html! {
        section.nights aria-label="The last five weeks" {
            p.small.muted { (kept) " of the last " (NIGHTS) " days have a complete backup (days in UTC)" }
            ol { @for (day, state) in &days {
                li class=(state.map_or("none", night)) {
                    span.visually-hidden { (day) ": " (state.map_or("no backup", words)) }
                    span.tip aria-hidden="true" title={ (day) ": " (state.map_or("no backup", words)) } {}
                }
            } }
        }
    }
}

fn day(at: Timestamp) -> String {
    at.rfc3339().chars().take(10).collect()
}

const fn night(state: BackupState) -> &'static str {
    match state {
        BackupState::Complete => "succeeded",
        BackupState::Partial => "partial",
        BackupState::Creating => "running",
        BackupState::Failed => "failed",
    }
}

const fn words(state: BackupState) -> &'static str {
    match state {
        BackupState::Complete => "complete",
        BackupState::Partial => "partial",
        BackupState::Creating => "being made",
        BackupState::Failed => "failed",
    }
}
