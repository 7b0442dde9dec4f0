//! Archives of backup sets: making and downloading one, and importing what another installation has made.

use axum::extract::multipart::{Field, Multipart};
use axum::extract::{FromRequest as _, Request, State};
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use tp_domain::access::{
    Capability, DownloadBackups, StartBackupExport, StartBackupImport, ViewBackups,
};
use tp_domain::artefact::{Artefact, MOST_UPLOAD_BYTES};
use tp_domain::backup::{BackupSet, BackupState, ImportedFrom};
use tp_domain::backup_export::ExportBackup;
use tp_domain::backup_import::ImportBackup;
use tp_store::{HowStarted, Started, TenantScope};

use super::login::Nothing;
use crate::api::runs::is_new;
use crate::app::App;
use crate::archives;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{off, time, why};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, RequestId};
use crate::query::Pairs;
use crate::{csrf, format, paths};

/// What of the form is not the archive, in bytes.
const BESIDE: u64 = 16 << 10;

const SCRIPTS: &str = "An archive holds scripts in clear: exporting and downloading need the capability scripts.view_content. Ask an owner or a manager.";

/// Where an imported set comes from.
pub(super) fn source(from: &ImportedFrom) -> Markup {
    html! {
        "From an archive of " (format::shown(&from.tool))
        @if let Some(number) = from.backup { ", backup " (number) }
        @if let Some(at) = &from.created_at { br; span.small.muted { "made " (format::shown(at)) } }
        @if let Some(root) = &from.root { br; span.small.muted { "root " code { (format::shown(root)) } } }
    }
}

/// The part of a set's page about its archive.
pub(super) fn section(
    scope: &TenantScope<ViewBackups>,
    set: &BackupSet,
    archive: Option<&Artefact>,
    shell: &Shell,
) -> Markup {
    let reason = if set.state == BackupState::Creating {
        Some("It can be exported when it is done.")
    } else if scope.may(Capability::ScriptsViewContent) {
        None
    } else {
        Some(SCRIPTS)
    };
    let here = paths::backup(scope.tenant(), set.number);
    let again = if archive.is_some() { "Export again" } else { "Export" };
    html! {
        h2 { "Archive" }
        @match archive {
            None => p.muted { "A zip file with a folder for each type and the hash of each file. Any program opens it, another TenantPilot can import it, and it can be checked without a server." },
            Some(archive) => {
                dl.facts {
                    dt { "Size" } dd { (format::bytes(archive.bytes)) }
                    dt { "Made" } dd { (time(archive.created_at, shell.now)) }
                    dt { "Until" } dd { (time(archive.expires_at, shell.now)) }
                    @if let Some(root) = &archive.root { dt { "Root hash" } dd { code { (format::shown(root)) } } }
                }
                @if reason.is_none() { p { a.button href={ (here) "/download" } download { "Download" } } }
                p.small.muted { "Keep the root hash elsewhere: it shows that nothing in the archive was changed." }
            }
        }
        @if let Some(reason) = reason { (why("why-export", reason)) (off("button", "why-export", &html! { (again) })) }
        @else { form method="post" action={ (here) "/export" } { (shell.csrf()) button.button type="submit" { (again) } } }
    }
}

/// The way to the import, or the reason why it is closed.
pub(super) fn import_button(scope: &TenantScope<ViewBackups>) -> Markup {
    html! {
        @if scope.may(Capability::BackupsCreate) { a.button href=(paths::backup_import(scope.tenant())) { "Import" } }
        @else { (why("why-import", "Importing needs the capability backups.create. Ask an owner or a manager.")) (off("button", "why-import", &html! { "Import" })) }
    }
}

fn mark(started: &Started) -> Pairs {
    let mark = if is_new(started) { "started" } else { "active" };
    Pairs::default().with(mark, &started.run().id.to_string())
}

/// Makes the archive of a set.
pub(crate) async fn export(
    InTenant(scope): InTenant<StartBackupExport>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RequestId(request): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    let seen = scope.also::<ViewBackups>().await?;
    seen.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let how = HowStarted { idempotency: None, request_id: Some(request) };
    let started = app.starter.start(&scope, &ExportBackup { backup: number }, how).await?;
    Ok(Redirect::to(&mark(&started).link(&paths::backup(scope.tenant(), number))))
}

pub(crate) async fn download(
    InTenant(scope): InTenant<DownloadBackups>,
    Id(number): Id<u64>,
    State(app): State<App>,
    RequestId(request): RequestId,
) -> Result<Response, WebError> {
    archives::send(&app, &scope, number, request).await
}

pub(crate) async fn import_form(
    InTenant(scope): InTenant<StartBackupImport>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let tenant = scope.tenant();
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(paths::backups(tenant)) { "Backups" } }
            li aria-current="page" { "Import" }
        } }
        div.head { div {
            h1 { "Import a backup" }
            p.sub { "An archive that TenantPilot has exported from this tenant, here or in another installation; or the zipped backup folder of IntuneCD, IntuneManagement or IntuneBackupAndRestore." }
        } }
        ul {
            li { "The whole archive is checked first. If anything in it is wrong, nothing is imported." }
            li { "It becomes a backup that says that it was imported. Nothing is written to Microsoft Intune." }
            li { "An archive of another tenant is refused: import it there, and restore from there." }
            li { "A folder of another tool does not say how complete it is, so the backup says the same of each type." }
        }
        form.stack method="post" action=(paths::backup_import(tenant)) enctype="multipart/form-data" {
            (shell.csrf())
            div.field {
                label for="archive" { "Archive (a zip file of at most " (MOST_UPLOAD_BYTES >> 20) " MiB)" }
                input type="file" id="archive" name="archive" accept=".zip,application/zip" required;
            }
            button.button.primary type="submit" { "Import" }
        }
    };
    Ok(shell.render(&Page {
        title: "Import a backup",
        place: Place::Backups,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

/// The next field of a form that comes in pieces; it must have that name.
async fn field<'f>(form: &'f mut Multipart, name: &str) -> Result<Field<'f>, WebError> {
    let bad = || WebError::BadRequest(format!("The form must have the field {name} next."));
    let next = form.next_field().await.map_err(|_| bad())?;
    next.filter(|field| field.name() == Some(name)).ok_or_else(bad)
}

/// Takes an archive in and starts its import. The token of the session comes before the archive.
pub(crate) async fn import(
    InTenant(scope): InTenant<StartBackupImport>,
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Redirect, WebError> {
    let expected = scope.actor().csrf().ok_or(WebError::Csrf)?.to_owned();
    if !csrf::same_origin(request.headers()) {
        return Err(WebError::Csrf);
    }
    archives::length_is_allowed(request.headers(), BESIDE)?;
    let unreadable = || WebError::BadRequest("Choose a file, then press Import.".to_owned());
    let mut form = Multipart::from_request(request, &app).await.map_err(|_| unreadable())?;
    let mut token = field(&mut form, "csrf").await?;
    let mut given = String::new();
    while let Some(chunk) = token.chunk().await.map_err(|_| unreadable())? {
        given.push_str(&String::from_utf8_lossy(&chunk));
        if given.len() > expected.len() {
            return Err(WebError::Csrf);
        }
    }
    drop(token);
    if !csrf::same(&given, &expected) {
        return Err(WebError::Csrf);
    }
    let archive = field(&mut form, "archive").await?;
    if archive.file_name().is_none_or(str::is_empty) {
        return Err(unreadable());
    }
    let received = archives::receive(&app, &scope, archive, id.clone()).await?;
    let how = HowStarted { idempotency: None, request_id: Some(id) };
    let started = app.starter.start(&scope, &ImportBackup { upload: received.id }, how).await?;
    Ok(Redirect::to(&mark(&started).link(&paths::backups(scope.tenant()))))
}
