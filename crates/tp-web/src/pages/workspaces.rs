//! The workspaces of a person: which one they go on in.

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{CsrfForm, RequestId, SignedIn};
use crate::query::Pairs;
use crate::{format, paths, session};

pub(crate) async fn show(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, &actor).await?;
    let own = app.store.hall().own_workspaces(&actor).await?;
    let pairs = Pairs::parse(query.as_deref());
    let return_to = pairs.get("return_to").and_then(paths::local).unwrap_or("/tenants");
    let body = html! {
        div.head { div {
            h1 { "Choose a workspace" }
            p.sub { "You are a member of " (own.len()) ". You can change later, from the menu with your name." }
        } }
        ul.plain {
            @for workspace in &own {
                li {
                    form method="post" action=(paths::WORKSPACES) {
                        (shell.csrf())
                        input type="hidden" name="workspace" value=(workspace.id);
                        input type="hidden" name="return_to" value=(return_to);
                        button.button type="submit" { (format::shown(&workspace.name)) }
                        @if workspace.id == actor.workspace() { " " span.muted { "You are here" } }
                    }
                }
            }
        }
    };
    let title = "Choose a workspace";
    Ok(shell.render(&Page { title, place: Place::Fleet, tenant: None, synced_at: None, body }))
}

#[derive(Deserialize)]
pub(crate) struct Choice {
    workspace: String,
    #[serde(default)]
    return_to: String,
}

pub(crate) async fn choose(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
    RequestId(id): RequestId,
    CsrfForm(choice): CsrfForm<Choice>,
) -> Result<Response, WebError> {
    let return_to = paths::local(&choice.return_to).unwrap_or("/tenants");
    let workspace = choice.workspace.parse().map_err(|_| WebError::NotFound)?;
    if workspace == actor.workspace() {
        return Ok(Redirect::to(return_to).into_response());
    }
    // Of another's workspace nothing is told, not even that it is there.
    let moved = app.store.hall().session_move(&actor, workspace, Some(id)).await?;
    let secret = moved.ok_or(WebError::NotFound)?;
    let mut response = Redirect::to(return_to).into_response();
    let cookie = session::set(&app, &secret).ok_or(WebError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
