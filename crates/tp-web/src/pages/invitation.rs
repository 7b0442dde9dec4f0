//! The page behind an invitation's link. Whoever holds the link sees it; looking at it changes nothing.

use std::collections::HashMap;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tp_store::{Accepted, Actor, InvitationSecret, OpenInvitation};

use super::account::{LONGEST_NAME, read_name};
use super::login::Nothing;
use super::members::word;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::time;
use crate::error::WebError;
use crate::extract::{CsrfForm, RequestId, SignedIn, read_body, read_form};
use crate::{csrf, format, password, paths, session};

fn secret(path: &HashMap<String, String>) -> Result<InvitationSecret, WebError> {
    path.get("secret").and_then(|text| InvitationSecret::parse(text)).ok_or(WebError::NotFound)
}

/// Who is signed in, if anybody is.
async fn somebody(app: &App, request: &axum::http::HeaderMap) -> Result<Option<Actor>, WebError> {
    match session::read(app, request) {
        Some(secret) => Ok(app.store.hall().actor_of_session(&secret).await?),
        None => Ok(None),
    }
}

fn render(shell: &Shell, body: &Markup) -> Markup {
    let body = html! { div.signin { (body) } };
    shell.render(&Page {
        title: "Invitation",
        place: Place::Account,
        tenant: None,
        synced_at: None,
        body,
    })
}

fn gone(shell: &Shell) -> Response {
    let body = html! { h1 { "This link does not work" } p { "It was used, taken back, or is too old. Ask whoever sent it for a new one." } a.button href="/login" { "Go to sign-in" } };
    (StatusCode::NOT_FOUND, render(shell, &body)).into_response()
}

pub(crate) async fn show(
    State(app): State<App>,
    Path(path): Path<HashMap<String, String>>,
    headers: axum::http::HeaderMap,
) -> Result<Response, WebError> {
    let secret = secret(&path)?;
    let actor = somebody(&app, &headers).await?;
    let shell = match &actor {
        Some(actor) => Shell::of(&app, actor).await?,
        None => Shell::anonymous(&app),
    };
    let Some(open) = app.store.hall().invitation_open(&secret).await? else {
        return Ok(gone(&shell));
    };
    Ok(page(&app, &shell, &open, &secret, actor.as_ref(), None).await?.into_response())
}

async fn page(
    app: &App,
    shell: &Shell,
    open: &OpenInvitation,
    secret: &InvitationSecret,
    actor: Option<&Actor>,
    wrong: Option<&str>,
) -> Result<Markup, WebError> {
    let here = paths::invitation(secret.expose());
    let offered = &open.invitation;
    let own = match actor {
        Some(actor) => Some(app.store.hall().own_account(actor).await?.email),
        None => None,
    };
    let body = html! {
        h1 { "You are invited" }
        p { (format::shown(&offered.created_by)) " asks " strong { (format::shown(&offered.email)) } " to join " strong { (format::shown(&open.workspace_name)) } " as " (word(offered.role)) @if offered.tenant.is_some() { ", for one tenant" } "." }
        p.muted.small { "The link works until " (time(offered.expires_at, shell.now)) "." }
        @if let Some(wrong) = wrong { div.banner.bad role="alert" { p { (wrong) } } }
        @match own {
            Some(own) if own == offered.email => {
                form method="post" action={ (here) "/join" } { (shell.csrf()) button.button.primary type="submit" { "Join " (format::shown(&open.workspace_name)) } }
            },
            Some(own) => {
                p { "You are signed in as " (format::shown(&own)) ". The invitation is for another address: sign out first." }
                form method="post" action="/logout" { (shell.csrf()) button.button type="submit" { "Sign out" } }
            },
            None if open.has_account => a.button.primary href={ "/login?return_to=" (paths::encode(&here)) } { "Sign in to join" },
            None => {
                form method="post" action=(here) {
                    div { label for="name" { "Your name" } input type="text" id="name" name="name" maxlength=(LONGEST_NAME) autocomplete="name" required; }
                    div { label for="password" { "Password" } input type="password" id="password" name="password" autocomplete="new-password" minlength=(password::SHORTEST) maxlength=(password::LONGEST) aria-describedby="password-help" required; p.muted.small id="password-help" { "At least " (password::SHORTEST) " characters. Any letters; a sentence is good." } }
                    button.button.primary type="submit" { "Join" }
                }
            }
        }
    };
    Ok(render(shell, &body))
}

#[derive(Deserialize)]
struct JoinForm {
    name: String,
    password: String,
}

/// Makes the account and signs it in.
pub(crate) async fn accept(
    State(app): State<App>,
    Path(path): Path<HashMap<String, String>>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    // There is no session whose token the form could carry: where it comes from must do.
    if !csrf::same_origin(request.headers()) {
        return Err(WebError::Csrf);
    }
    let secret = secret(&path)?;
    let agent = session::agent(request.headers());
    let form: JoinForm = read_form(&read_body(request).await?)?;
    let (hall, shell) = (app.store.hall(), Shell::anonymous(&app));
    let Some(open) = hall.invitation_open(&secret).await? else { return Ok(gone(&shell)) };
    let Ok(name) = read_name(&form.name) else {
        return again(&app, &shell, &open, &secret, "Write your name.").await;
    };
    let hash = match password::make(&app, form.password).await? {
        Ok(hash) => hash,
        Err(wrong) => {
            return again(
                &app,
                &shell,
                &open,
                &secret,
                &format!("Another password, please: {wrong}."),
            )
            .await;
        }
    };
    match hall.invitation_accept(&secret, name, Some(hash), Some(id.clone())).await? {
        Accepted::Joined(_, workspace) => {
            let email = open.invitation.email;
            let account = hall.account_by_email(&email).await?.ok_or(WebError::Internal)?;
            let entrance = super::login::entrance(&app, &agent, None);
            let session = hall.session_create_for(&account, workspace, &entrance, Some(id)).await?;
            let mut response = Redirect::to("/tenants").into_response();
            let cookie = session::set(&app, &session.secret).ok_or(WebError::Internal)?;
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Accepted::Gone | Accepted::OtherAccount => Ok(gone(&shell)),
        Accepted::HasAccount => {
            let here = paths::invitation(secret.expose());
            Ok(Redirect::to(&format!("/login?return_to={}", paths::encode(&here))).into_response())
        }
    }
}

async fn again(
    app: &App,
    shell: &Shell,
    open: &OpenInvitation,
    secret: &InvitationSecret,
    wrong: &str,
) -> Result<Response, WebError> {
    let page = page(app, shell, open, secret, None, Some(wrong)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// Makes the account that is signed in a member.
pub(crate) async fn join(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    Path(path): Path<HashMap<String, String>>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, WebError> {
    let secret = secret(&path)?;
    let hall = app.store.hall();
    match hall.invitation_accept_as(&secret, &actor, Some(id.clone())).await? {
        Accepted::Joined(_, workspace) => {
            let mut response = Redirect::to("/tenants").into_response();
            if let Some(secret) = hall.session_move(&actor, workspace, Some(id)).await? {
                let cookie = session::set(&app, &secret).ok_or(WebError::Internal)?;
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        Accepted::Gone | Accepted::OtherAccount | Accepted::HasAccount => {
            Ok(gone(&Shell::of(&app, &actor).await?))
        }
    }
}
