//! One version of a policy as people read it, and its exact JSON (UX W6).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use tp_catalog::content::{VersionContent, WITHHELD, names_of};
use tp_catalog::contract::Contract;
use tp_catalog::definitions::Definitions;
use tp_catalog::readable::{ReadablePolicy, ReadableSection, Reader, Row, SectionKind};
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;
use tp_domain::access::{Capability, ViewBackups};
use tp_domain::ids::VersionId;
use tp_domain::json::Json;
use tp_domain::version::PolicyVersion;
use tp_store::TenantScope;

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::time;
use crate::contents::{self, Unreadable};
use crate::error::WebError;
use crate::extract::{Id, InTenant};
use crate::{format, paths};

/// Versions that the page lists beside the one that it shows.
const BESIDE: u32 = 20;

/// JSON that is shown in the page, in bytes; more of it is a download.
const MOST_SHOWN: usize = 300_000;

/// The name of a version's policy at that time.
pub(crate) fn name(version: &PolicyVersion) -> String {
    format::named(version.name.as_deref()).into_owned()
}

/// Lays a content out for people; none where it cannot be.
pub(crate) fn readable(
    contract: &Contract,
    version: &PolicyVersion,
    content: &VersionContent,
    with_scripts: bool,
) -> Option<ReadablePolicy> {
    let (names, definitions) = (names_of(&version.names), Definitions::default());
    let reader = Reader { contract, definitions: &definitions, names: &names };
    let mut object = content.object.clone();
    if !with_scripts {
        // The list of the capture holds even where today's contract has forgotten a place.
        for pointer in &content.found.restricted {
            if let Some(value) = object.pointer_mut(pointer) {
                *value = Json::from(WITHHELD);
            }
        }
    }
    let object = Tree::from(&object);
    let assignments = content.assignments.as_ref().map(Tree::from);
    let mut read = reader.read(&object, assignments.as_ref()).ok()?;
    if !with_scripts {
        read.withhold_restricted();
    }
    Some(read)
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewBackups>,
    Id(id): Id<VersionId>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let version = scope.version_get(id).await?.ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let read = contents::read(&app, &scope, &version).await?;
    let (key, graph_id) = (&version.policy_type, version.graph_id.as_str());
    let others = scope.versions_of(key, graph_id, None, BESIDE).await?;
    let policy = scope.policy_of_version(&version).await?;
    let (tenant, title) = (scope.tenant(), name(&version));
    let heading = format!("{title}, version {}", version.number);
    let is_readable = read.is_ok();
    let held = held(&app, &scope, &version, read).await?;
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            @match policy {
                Some(policy) => {
                    li { a href=(paths::policies(tenant)) { "Policies" } }
                    li { a href=(paths::policy(tenant, policy)) { (title) } }
                    li { a href=(paths::versions(tenant, policy)) { "Versions" } }
                },
                None => li { a href=(paths::backups(tenant)) { "Backups" } },
            }
            li aria-current="page" { "Version " (version.number) }
        } }
        div.head {
            div { h1 { (title) } p.sub { "Version " (version.number) " · " (app.catalog.label(key)) } }
            div.actions {
                @if scope.may(Capability::RestorePreview) { form method="post" action=(paths::restores(tenant)) { (shell.csrf()) input type="hidden" name="version" value=(id); button.button type="submit" { "Restore this version" } } }
                @if is_readable { a.button href={ (paths::version(tenant, id)) "/json" } download { "Download JSON" } } }
        }
        div.split {
            section {
                (held)
            }
            section {
                h2 { "About this version" }
                (facts(&version, tenant, &shell))
                (beside(&version, &others, tenant, &shell))
            }
        }
    };
    Ok(shell.render(&Page {
        title: &heading,
        place: Place::Policies,
        tenant: Some(tenant),
        synced_at: Some(version.created_at),
        body,
    }))
}

/// What stands in the place of a content that cannot be shown.
pub(super) fn unreadable(fault: Unreadable) -> Markup {
    let reason = fault.reason().as_str();
    html! {
        div.banner.bad role="alert" {
            p { (fault.sentence()) " " (fault.advice()) }
            a.mono href=(paths::reason_code(reason)) { (reason) }
        }
    }
}

/// What a version holds, laid out; or what is said where it cannot be read: never an empty page.
async fn held(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    version: &PolicyVersion,
    read: Result<VersionContent, Unreadable>,
) -> Result<Markup, WebError> {
    let content = match read {
        Ok(content) => content,
        Err(fault) => return Ok(unreadable(fault)),
    };
    let scripts = scope.may(Capability::ScriptsViewContent);
    let (catalog, version) = (Arc::clone(&app.catalog), version.clone());
    contents::off_thread(move || shown(&catalog, &version, &content, scripts)).await
}

/// The settings of a version, for the page of its policy.
pub(super) async fn settings(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    version: &PolicyVersion,
) -> Result<Markup, WebError> {
    let read = contents::read(app, scope, version).await?;
    held(app, scope, version, read).await
}

fn shown(
    catalog: &Catalog,
    version: &PolicyVersion,
    content: &VersionContent,
    scripts: bool,
) -> Markup {
    let contract = catalog.contract(&version.policy_type);
    let read = contract.and_then(|contract| readable(contract, version, content, scripts));
    let exact = content.shown(scripts).pretty();
    let withheld = !scripts && !content.found.restricted.is_empty();
    html! {
        @if !content.found.taken.is_empty() {
            div.banner { p { (format::number(version.redactions)) " secrets were taken out before this was stored: their places say [redacted]. A later version shows whether one has changed." } }
        }
        @if withheld { div.banner { p { "Scripts are withheld: seeing them needs the capability scripts.view_content." } } }
        @match &read {
            Some(policy) => {
                @for section in policy.sections.iter().filter(|one| one.kind != SectionKind::Technical) { (part(section)) }
                @let unnamed = policy.sections.iter().flat_map(|one| &one.rows).filter(|row| row.unnamed).count();
                @if unnamed > 0 { p.muted.small { (unnamed) " ids stand for names that were not known when this was captured." } }
                @if policy.unset > 0 { p.muted.small { (policy.unset) " members have no value and are not shown." } }
                @for section in policy.sections.iter().filter(|one| one.kind == SectionKind::Technical) {
                    details { summary { (section.title) " (" (section.rows.len()) ")" } (rows(section)) }
                }
            },
            None => p.muted { "This object cannot be laid out. Its exact JSON is below." },
        }
        details {
            summary { "JSON" }
            @if exact.len() <= MOST_SHOWN { pre.code tabindex="0" { (format::shown_lines(&exact)) } }
            @else { p { "It has " (format::number(u64::try_from(exact.len()).unwrap_or(0))) " bytes: download it instead." } }
            @if let Some(assignments) = &content.assignments {
                h3 { "Assignments" }
                pre.code tabindex="0" { (format::shown_lines(&assignments.pretty())) }
            }
        }
    }
}

fn part(section: &ReadableSection) -> Markup {
    html! { h2 { (section.title) } @if section.rows.is_empty() { p.muted { "None." } } @else { (rows(section)) } }
}

fn rows(section: &ReadableSection) -> Markup {
    html! {
        div.table-wrap { table.settings {
            caption.visually-hidden { (section.title) }
            thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } } }
            tbody { @for row in &section.rows { tr {
                th scope="row" class={ "d" (row.depth.min(6)) } { (format::shown(&row.label)) }
                td { (value(row)) }
            } } }
        } }
    }
}

fn value(row: &Row) -> Markup {
    html! {
        @if row.multiline { pre.code tabindex="0" { (format::shown_lines(&row.value)) } } @else { (format::shown(&row.value)) }
        @if row.cut { " " span.muted.small { "There is more: see the JSON." } }
    }
}

fn facts(version: &PolicyVersion, tenant: &tp_domain::tenant::Tenant, shell: &Shell) -> Markup {
    html! {
        dl.facts {
            dt { "Captured" } dd { (time(version.created_at, shell.now)) }
            dt { "For" } dd { (purpose(version)) }
            dt { "By run" } dd { a href=(paths::operation(tenant, version.run)) { "View run" } }
            dt { "Changed in Graph" } dd { (version.modified_text.as_deref().map_or("–".into(), format::shown)) }
            dt { "Assignments" } dd { (format::number(version.assignments)) }
            dt { "Secrets taken out" } dd { (format::number(version.redactions)) }
            dt { "Graph id" } dd { span.mono { (format::shown(&version.graph_id)) } " " button.pill type="button" data-copy=(version.graph_id) hidden { "Copy" } }
        }
    }
}

/// Why a version was captured, in words.
pub(super) const fn purpose(version: &PolicyVersion) -> &'static str {
    use tp_domain::version::Purpose as P;
    match version.purpose {
        P::Backup => "a backup",
        P::Capture => "a capture of this policy",
        P::Safety => "safety, before a restore",
        P::Import => "an imported backup",
    }
}

fn beside(
    version: &PolicyVersion,
    others: &[PolicyVersion],
    tenant: &tp_domain::tenant::Tenant,
    shell: &Shell,
) -> Markup {
    html! {
        h2 { "Versions of this policy" }
        ul.plain { @for other in others { li {
            @if other.id == version.id { strong { "Version " (other.number) } " (this one)" }
            @else {
                a href=(paths::version(tenant, other.id)) { "Version " (other.number) } " "
                @let (left, right) = if other.number < version.number { (other.id, version.id) } else { (version.id, other.id) };
                a.small href=(paths::compare(tenant, left, right)) { "compare" span.visually-hidden { " version " (other.number) " with this one" } }
            }
            br; span.muted.small { (time(other.created_at, shell.now)) }
        } } }
    }
}

/// The exact object as a file.
pub(crate) async fn json(
    InTenant(scope): InTenant<ViewBackups>,
    Id(id): Id<VersionId>,
    State(app): State<App>,
) -> Result<Response, WebError> {
    let version = scope.version_get(id).await?.ok_or(WebError::NotFound)?;
    let content = content(&app, &scope, &version).await?;
    let text = content.shown(scope.may(Capability::ScriptsViewContent)).to_string();
    let name = format!("attachment; filename=\"{}-{}.json\"", version.policy_type, version.number);
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// The content, or an error for those who want nothing else.
pub(crate) async fn content(
    app: &App,
    scope: &TenantScope<ViewBackups>,
    version: &PolicyVersion,
) -> Result<VersionContent, WebError> {
    contents::read(app, scope, version).await?.map_err(WebError::Content)
}
