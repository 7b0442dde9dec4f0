//! Operations of the workspace itself: scheduled work over many tenants, clean-ups.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_domain::access::ViewOperations;
use tp_store::{RunCursor, RunFilter};

use crate::app::App;
use crate::components::empty;
use crate::components::layout::{Page, Place, Shell};
use crate::components::run::table;
use crate::error::WebError;
use crate::extract::InWorkspace;
use crate::paths::Home;
use crate::query::Pairs;

pub(crate) async fn show(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let cursor = match pairs.get("cursor") {
        None => None,
        Some(text) => Some(RunCursor::parse(text).ok_or_else(|| {
            WebError::BadRequest("The cursor is not one that a list gave out.".to_owned())
        })?),
    };
    let found = scope.run_list(RunFilter { limit: 50, cursor, ..RunFilter::default() }).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let path = Home::Workspace(scope.id()).operations();
    let body = html! {
        div.head { div { h1 { "Operations of the workspace" } p.sub { "Work over many tenants, and housekeeping" } } }
        @if found.runs.is_empty() {
            (empty("Nothing has run here yet", "A schedule over many tenants is listed here as one run, with the runs that belong to it.", None))
        } @else {
            (table(&found.runs, &|_| None, false, shell.now))
            nav.pager aria-label="Pages" {
                span { (found.runs.len()) " shown" }
                span.links { @if let Some(next) = found.next { a.button href=(pairs.with("cursor", &next.encode()).link(&path)) rel="next" { "Older" } } }
            }
        }
    };
    Ok(shell.render(&Page {
        title: "Operations of the workspace",
        place: Place::Workspace,
        tenant: None,
        synced_at: None,
        body,
    }))
}
