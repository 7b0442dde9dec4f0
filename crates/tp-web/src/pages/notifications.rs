//! What the person started and how it ended, and which credentials end soon.

use axum::extract::{RawQuery, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::ids::{NotificationId, WorkspaceId};
use tp_domain::notification::{About, Moment, Notification};
use tp_domain::run::Outcome;

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, icon, time};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, SignedIn};
use crate::pages::login::Nothing;
use crate::paths::Home;
use crate::query::Pairs;
use crate::{format, paths};

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let unread_only = Pairs::parse(query.as_deref()).get("show") == Some("unread");
    let list = app.store.hall().notification_list(&actor, unread_only, 100).await?;
    let told = app.store.hall().notify_queued(&actor).await?;
    let shell = Shell::of(&app, &actor).await?;
    let current = |is: bool| is.then_some("page");
    let body = html! {
        div.head {
            h1 { "Notifications" }
            div.actions {
                form method="post" action="/notifications/read" { (shell.csrf()) button.button type="submit" { "Mark all as read" } }
            }
        }
        ul.tabs {
            li { a href="/notifications" aria-current=[current(!unread_only)] { "All" } }
            li { a href="/notifications?show=unread" aria-current=[current(unread_only)] { "Unread" } }
        }
        form.filters method="post" action="/notifications/settings" aria-label="What you are told" {
            (shell.csrf())
            @if told {
                input type="hidden" name="queued" value="off";
                p.muted { "You are told when your operations are queued and when they end." }
                button.button type="submit" { "Tell me only when they end" }
            } @else {
                input type="hidden" name="queued" value="on";
                p.muted { "You are told when your operations end." }
                button.button type="submit" { "Tell me also when they are queued" }
            }
        }
        @if list.is_empty() {
            (empty("Nothing here", "You are told when something that you started is queued and when it ends, and when a credential that you can replace ends soon.", None))
        } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Notifications" }
                thead { tr { th scope="col" { "State" } th scope="col" { "What" } th scope="col" { "Tenant" } th scope="col" { "When" } th scope="col" { "Read" } } }
                tbody { @for note in &list { (row(note, &shell, actor.workspace())) } }
            } }
        }
    };
    Ok(shell.render(&Page {
        title: "Notifications",
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}

fn row(note: &Notification, shell: &Shell, workspace: WorkspaceId) -> Markup {
    html! {
        tr {
            td data-l="State" { span { @match note.about {
                About::Run { moment: Moment::Queued, .. } | About::Run { outcome: Outcome::Pending, .. } => span.chip.queued { (icon::clock()) "Queued" },
                About::Run { outcome, .. } => (chip::outcome(outcome)),
                About::Expiry { .. } => span.chip.partial { (icon::triangle()) "Ends soon" },
            } } }
            td data-l="What" { div {
                @if note.read_at.is_none() { strong { (note.sentence()) } } @else { (note.sentence()) }
                @match (note.run(), &note.tenant_slug) {
                    (Some(run), Some(slug)) => { " " a href=(paths::operation_of(slug, run)) { "View run" } },
                    (Some(run), None) if note.tenant.is_none() => { " " a href=(Home::Workspace(workspace).operation(run)) { "View run" } },
                    (None, Some(slug)) => { " " a href=(paths::connection_of(slug)) { "View connection" } },
                    _ => {},
                }
            } }
            td data-l="Tenant" { (note.tenant_name.as_deref().map_or("–".into(), format::shown)) }
            td data-l="When" { span { (time(note.created_at, shell.now)) } }
            td data-l="Read" { @if note.read_at.is_some() { "Read" } @else {
                form method="post" action={ "/notifications/" (note.id) "/read" } {
                    (shell.csrf())
                    button.pill type="submit" { "Mark as read" span.visually-hidden { ": " (note.sentence()) } }
                }
            } }
        }
    }
}

pub(crate) async fn read_one(
    SignedIn(actor): SignedIn,
    Id(id): Id<NotificationId>,
    State(app): State<App>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    app.store.hall().notification_read(&actor, id).await?;
    Ok(Redirect::to("/notifications"))
}

pub(crate) async fn read_all(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    app.store.hall().notification_read_all(&actor).await?;
    Ok(Redirect::to("/notifications"))
}

#[derive(Deserialize)]
pub(crate) struct SettingsForm {
    queued: String,
}

pub(crate) async fn settings(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    CsrfForm(form): CsrfForm<SettingsForm>,
) -> Result<Redirect, WebError> {
    app.store.hall().notify_queued_set(&actor, form.queued == "on").await?;
    Ok(Redirect::to("/notifications"))
}
