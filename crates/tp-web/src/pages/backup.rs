//! One backup set: how complete it is, and what it holds.

use axum::extract::{RawQuery, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{Capability, DeleteBackups, StartBackupVerify, ViewBackups};
use tp_domain::backup::{BackupItem, BackupItemState, BackupSet, BackupState, BackupType};
use tp_domain::backup_create::LONGEST_NOTE;
use tp_domain::backup_verify::VerifyBackup;
use tp_domain::completeness::Completeness;
use tp_domain::policy::PolicyType;
use tp_domain::retention::KeepReason;
use tp_store::{
    BackupChanged, BackupItemFilter, BackupItemPage, BackupTally, HowStarted, StoreError,
    TenantScope,
};

use super::backup_archive;
use super::backups::title;
use super::login::Nothing;
use super::start_sync;
use crate::api::runs::is_new;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::table::chips;
use crate::components::{chip, off, time, why};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, RequestId};
use crate::query::Pairs;
use crate::{format, paths};

const WHY: &str = "why-backup";
const NAMES: [(&str, &str); 3] = [("q", "Name"), ("type", "Type"), ("state", "State")];
const PER_PAGE: u32 = 50;

/// What the address asks for, and what of it was not understood.
fn asked(pairs: &Pairs, app: &App) -> (BackupItemFilter, u32, Vec<(String, String)>) {
    let mut filter = BackupItemFilter { limit: PER_PAGE, ..BackupItemFilter::default() };
    let (mut page, mut ignored) = (1, Vec::new());
    for (name, value) in &pairs.0 {
        let understood = match name.as_str() {
            "q" => {
                filter.query = Some(value.chars().take(200).collect());
                true
            }
            "type" => {
                let known = PolicyType::new(value).ok();
                filter.policy_type = known.filter(|key| app.catalog.contract(key).is_some());
                filter.policy_type.is_some()
            }
            "state" => {
                filter.state = value.parse().ok();
                filter.state.is_some()
            }
            "page" => match value.parse() {
                Ok(number @ 1..=100_000) => {
                    page = number;
                    true
                }
                _ => false,
            },
            _ => true,
        };
        if !understood {
            ignored.push((name.clone(), value.clone()));
        }
    }
    filter.offset = (page - 1) * filter.limit;
    (filter, page, ignored)
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewBackups>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let set = scope.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let all = Pairs::parse(query.as_deref());
    let pairs = all.without(&["started", "active"]);
    let (filter, page, ignored) = asked(&pairs, &app);
    let types = scope.backup_types(set.id).await?;
    let items = scope.backup_items(set.id, &filter).await?;
    let tally = scope.backup_tally(set.id).await?;
    let at_work = at_work(&scope, &set).await?;
    let archive = scope.backup_archive(number).await?;
    let (tenant, heading) = (scope.tenant(), title(&set));
    let path = paths::backup(tenant, number);
    let body = html! {
        (start_sync::banner(&scope, &all, &shell).await?)
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(paths::backups(tenant)) { "Backups" } }
            li aria-current="page" { (heading) }
        } }
        div.head {
            div { h1 { (heading) } p.sub { "Made " (time(set.created_at, shell.now)) } }
            div.actions { (verify_button(&scope, &set, &shell)) (restore_button(&scope, &set, &shell)) @if set.pinned { (chip::pinned()) } (chip::backup_set(set.state, at_work)) }
        }
        (standing(&set, at_work))
        div.split {
            section {
                h2 { "Policies" }
                (filters(&app, &path, &pairs, &types))
                (chips(&path, &pairs, &NAMES, &ignored))
                (item_table(&app, &items, tenant))
                (pager(&path, &pairs, page, &items))
            }
            section {
                h2 { "About this set" }
                (facts(&set, tenant, &shell))
                (backup_archive::section(&scope, &set, archive.as_ref(), &shell))
                (actions(&scope, &set, &shell))
            }
        }
        h2 { "By policy type" }
        (type_part(&app, &path, &types, &tally))
    };
    Ok(shell.render(&Page {
        title: &heading,
        place: Place::Backups,
        tenant: Some(tenant),
        synced_at: set.completed_at,
        body,
    }))
}

/// Whether the run of a set that is not ended is still at work.
pub(super) async fn at_work<C>(
    scope: &TenantScope<C>,
    set: &BackupSet,
) -> Result<bool, StoreError> {
    if set.state != BackupState::Creating {
        return Ok(false);
    }
    Ok(scope.run_get(set.run).await?.is_some_and(|run| run.is_active()))
}

/// What the state means for whoever wants to go back to this set.
fn standing(set: &BackupSet, at_work: bool) -> Markup {
    match set.state {
        BackupState::Complete => html! {},
        BackupState::Partial => {
            html! { div.banner.warn { p { "This set lacks something: " (format::number(set.failed_items)) " policies could not be read, or a type could not be listed. What is in it is whole." } } }
        }
        BackupState::Failed => {
            html! { div.banner.bad { p { "Nothing could be backed up. The run says why." } } }
        }
        BackupState::Creating if at_work => {
            html! { div.banner { p { "This set is being made. What is in it so far is below." } } }
        }
        BackupState::Creating => {
            html! { div.banner.warn { p { "Its run ended before it was done, so this set does not count as a backup. The policies in it are kept." } } }
        }
    }
}

fn facts(set: &BackupSet, tenant: &tp_domain::tenant::Tenant, shell: &Shell) -> Markup {
    html! {
        dl.facts {
            dt { "Policies" } dd { (format::number(set.items)) }
            dt { "Could not be read" } dd { (format::number(set.failed_items)) }
            dt { "New versions" } dd { (format::number(set.new_versions)) }
            @match &set.imported_from {
                Some(from) => { dt { "Imported" } dd { (backup_archive::source(from)) } },
                None => { dt { "Read" } dd { @if set.is_full_pass { "Everything in full" } @else { "In full what had changed" } } },
            }
            dt { "Begun" } dd { (time(set.created_at, shell.now)) }
            dt { "Ended" } dd { @match set.completed_at { Some(at) => (time(at, shell.now)), None => "–" } }
            dt { "By run" } dd { a href=(paths::operation(tenant, set.run)) { "View run" } @if set.scheduled { " (a schedule)" } }
            dt { "Verified" } dd { (verified(set, tenant, shell)) }
            dt { "Note" } dd { @match &set.note { Some(note) => (format::shown(note)), None => "–" } }
        }
    }
}

/// What the last verification has shown.
fn verified(set: &BackupSet, tenant: &tp_domain::tenant::Tenant, shell: &Shell) -> Markup {
    html! {
        @match set.verified {
            None => "Never",
            Some(seen) => {
                @if seen.is_sound() { (chip::good("Sound")) } @else { (chip::bad("Damaged")) }
                " " (time(seen.at, shell.now))
                br; a.small href=(paths::operation(tenant, seen.run)) { (format::number(seen.checked)) " contents read, " (format::number(seen.faulty)) " missing or damaged" }
            }
        }
    }
}

/// The button that begins a restore, or the reason why it cannot be pressed.
fn restore_button(scope: &TenantScope<ViewBackups>, set: &BackupSet, shell: &Shell) -> Markup {
    let reason = if !matches!(set.state, BackupState::Complete | BackupState::Partial) {
        Some("There is nothing in this set to restore.")
    } else if !scope.may(Capability::RestorePreview) {
        Some("Restoring begins with the capability restore.preview. Ask an owner or a manager.")
    } else {
        None
    };
    html! {
        @if let Some(reason) = reason { (why("why-restore", reason)) (off("button", "why-restore", &html! { "Restore" })) }
        @else { form method="post" action=(paths::restores(scope.tenant())) { (shell.csrf()) input type="hidden" name="backup" value=(set.number); button.button type="submit" { "Restore" span.visually-hidden { ": see what it would write" } } } }
    }
}

/// The button that reads all of it again, or the reason why it cannot be pressed.
fn verify_button(scope: &TenantScope<ViewBackups>, set: &BackupSet, shell: &Shell) -> Markup {
    let reason = if set.state == BackupState::Creating {
        Some("It is being made: it can be verified when it is done.")
    } else if !scope.may(Capability::OperationsStart) {
        Some("Verifying needs the capability operations.start. Ask an owner or a manager.")
    } else {
        None
    };
    html! {
        @if let Some(reason) = reason { (why("why-verify", reason)) (off("button", "why-verify", &html! { "Verify" })) }
        @else { form method="post" action={ (paths::backup(scope.tenant(), set.number)) "/verify" } { (shell.csrf()) button.button type="submit" { "Verify" } } }
    }
}

fn actions(scope: &TenantScope<ViewBackups>, set: &BackupSet, shell: &Shell) -> Markup {
    let here = paths::backup(scope.tenant(), set.number);
    let may = scope.may(Capability::BackupsDelete);
    let deletable = may && !set.pinned;
    html! {
        h2 { "Keep or delete" }
        @if !may { (why(WHY, "Pinning, noting and deleting need the capability backups.delete. Ask an owner or a manager.")) }
        @else if set.pinned { (why(WHY, "A pinned set is not deleted, by nobody and by no retention. Unpin it first.")) }
        form.stack method="post" action=(here) {
            (shell.csrf())
            input type="hidden" name="revision" value=(set.revision);
            fieldset disabled[!may] {
                div.field { label for="note" { "Note" } input type="text" id="note" name="note" maxlength=(LONGEST_NOTE) value=(set.note.as_deref().unwrap_or_default()); }
                div.field { label { input type="checkbox" name="pinned" value="yes" checked[set.pinned]; " Pin: keep it until somebody unpins it" } }
            }
            @if may { button.button type="submit" { "Save" } } @else { (off("button", WHY, &html! { "Save" })) }
        }
        @if deletable {
            details {
                summary { "Delete this set" }
                form method="post" action={ (here) "/delete" } {
                    (shell.csrf())
                    input type="hidden" name="revision" value=(set.revision);
                    p { "The set goes for good. Versions stay in the history of their policies." }
                    label for="confirm" { "Type " (set.number) " to delete " (title(set)) }
                    input type="text" id="confirm" name="confirm" inputmode="numeric" autocomplete="off" required;
                    p { button.button type="submit" { "Delete " (title(set)) } }
                }
            }
        } @else {
            p { (off("button", WHY, &html! { "Delete this set" })) }
        }
    }
}

fn filters(app: &App, path: &str, pairs: &Pairs, types: &[BackupType]) -> Markup {
    let option = |value: &str, label: &str, chosen: Option<&str>| {
        html! { option value=(value) selected[chosen == Some(value)] { (label) } }
    };
    html! {
        form.filters method="get" action=(path) role="search" aria-label="Filter policies" {
            div.field.wide { label for="q" { "Name contains" } input type="search" id="q" name="q" value=(pairs.get("q").unwrap_or_default()); }
            div.field { label for="type" { "Type" } select id="type" name="type" {
                (option("", "All types", pairs.get("type")))
                @for row in types.iter().filter(|row| row.listed > 0) { (option(row.policy_type.as_str(), app.catalog.label(&row.policy_type), pairs.get("type"))) }
            } }
            div.field { label for="state" { "State" } select id="state" name="state" {
                (option("", "Any", pairs.get("state")))
                @for state in BackupItemState::ALL { (option(state.as_str(), chip::backup_item_word(*state), pairs.get("state"))) }
            } }
            button.button type="submit" { "Apply filters" }
        }
    }
}

fn item_table(app: &App, page: &BackupItemPage, tenant: &tp_domain::tenant::Tenant) -> Markup {
    if page.items.is_empty() {
        return html! { p.muted { "No policy of this set matches." } };
    }
    let name = |item: &BackupItem| format::named(item.name.as_deref()).into_owned();
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Policies of this set" }
            thead { tr { th scope="col" { "Policy" } th scope="col" { "Type" } th scope="col" { "State" } } }
            tbody { @for item in &page.items { tr {
                td data-l="Policy" { @match item.version {
                    Some(version) => a href=(paths::version(tenant, version)) { (name(item)) },
                    None => (name(item)),
                } }
                td data-l="Type" { (app.catalog.label(&item.policy_type)) }
                td data-l="State" { div {
                    (chip::backup_item(item.state))
                    @if let Some(reason) = item.reason { " " a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) } }
                    @if let Some(id) = &item.graph_request_id { br; span.small.muted { "Graph request " code { (format::shown(id)) } } }
                } }
            } } }
        } }
    }
}

fn pager(path: &str, pairs: &Pairs, page: u32, items: &BackupItemPage) -> Markup {
    html! {
        nav.pager aria-label="Pages" {
            span { "Page " (page) }
            span.links {
                @if page > 1 { a.button href=(pairs.with("page", &(page - 1).to_string()).link(path)) rel="prev" { "Previous page" } }
                @if items.has_more { a.button href=(pairs.with("page", &(page + 1).to_string()).link(path)) rel="next" { "Next page" } }
            }
        }
    }
}

/// Policies of one type that are in the set, and that should be.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    saved: u64,
    lost: u64,
}

fn count(tally: &[BackupTally], key: &PolicyType) -> Count {
    let mut count = Count::default();
    for one in tally.iter().filter(|one| one.policy_type == *key) {
        match one.state {
            BackupItemState::Failed => count.lost += one.count,
            BackupItemState::Captured | BackupItemState::Unchanged => count.saved += one.count,
        }
    }
    count
}

/// What is not whole stands first, then what has policies; types without any are folded away.
fn type_part(app: &App, path: &str, types: &[BackupType], tally: &[BackupTally]) -> Markup {
    let is_whole = |row: &BackupType| {
        row.completeness == Completeness::Complete && count(tally, &row.policy_type).lost == 0
    };
    let (quiet, mut telling): (Vec<&BackupType>, Vec<&BackupType>) =
        types.iter().partition(|row| is_whole(row) && row.listed == 0);
    telling.sort_by_key(|row| (is_whole(row), app.catalog.label(&row.policy_type).to_lowercase()));
    html! {
        @if types.is_empty() { p.muted { "No type was looked at yet." } }
        @if !telling.is_empty() { (type_table(app, path, &telling, tally)) }
        @if !quiet.is_empty() {
            details {
                summary { (quiet.len()) @if quiet.len() == 1 { " type is" } @else { " types are" } " complete and have no policy" }
                ul.plain.columns { @for row in &quiet { li { (app.catalog.label(&row.policy_type)) } } }
            }
        }
    }
}

fn type_table(app: &App, path: &str, types: &[&BackupType], tally: &[BackupTally]) -> Markup {
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Completeness by policy type" }
            thead { tr {
                th scope="col" { "Policy type" } th scope="col" { "Completeness" } th.num scope="col" { "Listed" }
                th.num scope="col" { "Saved" } th.num scope="col" { "Not saved" } th scope="col" { "Restore" }
            } }
            tbody { @for row in types {
                @let count = count(tally, &row.policy_type);
                @let label = app.catalog.label(&row.policy_type);
                tr {
                    td data-l="Policy type" { a href=(paths::policy_type(row.policy_type.as_str())) { (label) } }
                    td data-l="Completeness" { (completeness(&row.completeness)) }
                    td.num data-l="Listed" { (format::number(row.listed)) }
                    td.num data-l="Saved" { @if count.saved > 0 { a href=(format!("{path}?type={}", row.policy_type)) aria-label={ (format::number(count.saved)) " saved policies of the type " (label) } { (format::number(count.saved)) } } @else { "0" } }
                    td.num data-l="Not saved" { (format::number(count.lost)) }
                    td data-l="Restore" { span { @match app.catalog.contract(&row.policy_type) {
                        Some(contract) => (chip::restore(contract.restore.mode)),
                        None => "–",
                    } } }
                }
            } }
        } }
    }
}

/// How much was seen, with the reason and the missing permission.
pub(super) fn completeness(completeness: &Completeness) -> Markup {
    html! { div {
        (chip::completeness(completeness))
        @if let Some(permission) = completeness.permission() {
            br; span.small { "Missing permission: " code { (permission) } }
        } @else if let Some(reason) = completeness.reason() {
            " " a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) }
        }
    } }
}

#[derive(Deserialize)]
pub(crate) struct MarkForm {
    #[serde(default)]
    note: String,
    #[serde(default)]
    pinned: String,
    #[serde(default)]
    revision: String,
}

impl MarkForm {
    /// The set as the form showed it.
    fn revision(&self) -> Option<u64> {
        self.revision.parse().ok()
    }
}

/// Reads a note: none when it is empty; too long is said.
pub(crate) fn read_note(text: &str) -> Result<Option<String>, WebError> {
    let text = text.trim();
    if text.chars().count() > LONGEST_NOTE {
        return Err(WebError::BadRequest(format!("A note has at most {LONGEST_NOTE} characters.")));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

pub(crate) async fn mark(
    InTenant(scope): InTenant<DeleteBackups>,
    Id(number): Id<u64>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<MarkForm>,
) -> Result<Redirect, WebError> {
    let (note, pinned) = (read_note(&form.note)?, form.pinned == "yes");
    changed(scope.backup_mark(number, form.revision(), note, pinned, Some(request)).await?)?;
    Ok(Redirect::to(&paths::backup(scope.tenant(), number)))
}

#[derive(Deserialize)]
pub(crate) struct DeleteForm {
    confirm: String,
    #[serde(default)]
    revision: String,
}

/// What became of a change, as an error where it was not carried out.
pub(crate) fn changed(change: BackupChanged) -> Result<(), WebError> {
    let kept = |why: &str| Err(WebError::Conflict(format!("This set was not deleted: {why}.")));
    match change {
        BackupChanged::Done => Ok(()),
        BackupChanged::NotThere => Err(WebError::NotFound),
        BackupChanged::Stale => Err(WebError::Conflict(
            "Somebody else changed this set meanwhile. Reload it and look again.".to_owned(),
        )),
        BackupChanged::Kept(KeepReason::Pinned) => kept("it is pinned"),
        BackupChanged::Kept(KeepReason::NeededByRestore) => {
            kept("a restore needs it that has not ended")
        }
        BackupChanged::Kept(KeepReason::AtWork) => kept("its run is still at work"),
        BackupChanged::Kept(reason) => kept(&reason.as_str().replace('_', " ")),
    }
}

pub(crate) async fn delete(
    InTenant(scope): InTenant<DeleteBackups>,
    Id(number): Id<u64>,
    RequestId(request): RequestId,
    CsrfForm(form): CsrfForm<DeleteForm>,
) -> Result<Redirect, WebError> {
    if form.confirm.trim() != number.to_string() {
        return Err(WebError::BadRequest(format!(
            "To delete this set, type its number: {number}. Nothing was deleted."
        )));
    }
    let revision = form.revision.parse().ok();
    changed(scope.backup_delete(number, revision, Some(request)).await?)?;
    Ok(Redirect::to(&paths::backups(scope.tenant())))
}

/// Reads all that the set holds again.
pub(crate) async fn verify(
    InTenant(scope): InTenant<StartBackupVerify>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RequestId(request): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    let seen = scope.also::<ViewBackups>().await?;
    seen.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let how = HowStarted { idempotency: None, request_id: Some(request) };
    let started = app.starter.start(&scope, &VerifyBackup { backup: number }, how).await?;
    let mark = if is_new(&started) { "started" } else { "active" };
    let here = paths::backup(scope.tenant(), number);
    Ok(Redirect::to(&Pairs::default().with(mark, &started.run().id.to_string()).link(&here)))
}
