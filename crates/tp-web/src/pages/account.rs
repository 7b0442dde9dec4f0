//! A person's own account: name, password, sessions, and showing again who they are (UX §2.2).

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::ids::SessionId;
use tp_store::{Actor, FRESH, NewSession};

use super::login::Nothing;
use super::{login_code, second_factor};
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{empty, time};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, RequestId, SignedIn};
use crate::query::Pairs;
use crate::{format, password, paths, session};

/// The address of the page where a person shows again who they are.
pub(crate) const CONFIRM: &str = "/account/confirm";

/// The longest name of a person, in characters.
pub(crate) const LONGEST_NAME: usize = 100;

pub(super) fn render(shell: &Shell, title: &str, body: Markup) -> Markup {
    shell.render(&Page { title, place: Place::Account, tenant: None, synced_at: None, body })
}

pub(super) fn tabs(here: &str) -> Markup {
    let link = |href: &str, label: &str| html! { li { a href=(href) aria-current=[(href == here).then_some("page")] { (label) } } };
    html! { nav aria-label="Account" { ul.tabs { (link("/account", "Account")) (link("/account/tokens", "API tokens")) (link(second_factor::PATH, "Second factor")) (link(paths::OWN_SIGN_INS, "Ways to sign in")) (link(paths::WORKSPACES, "Workspaces")) } } }
}

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    page(&app, &actor, pairs.get("done"), None).await
}

async fn page(
    app: &App,
    actor: &Actor,
    done: Option<&str>,
    wrong: Option<&str>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(app, actor).await?;
    let hall = app.store.hall();
    let own = hall.own_account(actor).await?;
    let sessions = hall.session_list(actor).await?;
    let has_factor = hall.has_second_factor(actor.user()).await?;
    let told = match done {
        Some("name") => Some("Your name is changed."),
        Some("password") => Some("Your password is changed, and your other sessions are ended."),
        Some("sessions") => Some("The sessions are ended."),
        _ => None,
    };
    let body = html! {
        div.head { div { h1 { "Account" } p.sub { (format::shown(&own.email)) } } }
        (tabs("/account"))
        @if let Some(told) = told { div.banner.good role="status" { p { (told) } } }
        @if let Some(wrong) = wrong { div.banner.bad role="alert" { p { (wrong) } } }
        h2 { "Name" }
        form.stack method="post" action="/account/name" {
            (shell.csrf())
            div.field { label for="name" { "The name that others see" } input type="text" id="name" name="name" maxlength=(LONGEST_NAME) value=(own.name) autocomplete="name" required; }
            button.button type="submit" { "Save name" }
        }
        h2 { "Password" }
        @if own.password_hash.is_some() {
            form.stack method="post" action="/account/password" {
                (shell.csrf())
                div.field { label for="current" { "Password now" } input type="password" id="current" name="current" autocomplete="current-password" required; }
                div.field {
                    label for="new" { "New password" }
                    input type="password" id="new" name="new" autocomplete="new-password" minlength=(password::SHORTEST) maxlength=(password::LONGEST) aria-describedby="new-help" required;
                    p.muted.small id="new-help" { "At least " (password::SHORTEST) " characters. Any letters; a sentence is good. Your other sessions end." }
                }
                @if has_factor { (login_code::field()) }
                button.button type="submit" { "Change password" }
            }
        } @else { p.muted { "You sign in with your organisation's account: this account has no password here." } }
        h2 { "Sessions" }
        @if sessions.is_empty() { (empty("No session", "You came in with an API token.", None)) } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Where you are signed in" }
                thead { tr { th scope="col" { "Browser" } th scope="col" { "Workspace" } th scope="col" { "Since" } th scope="col" { "Last used" } th scope="col" { "End" } } }
                tbody { @for one in &sessions { tr {
                    td data-l="Browser" { @if one.agent.is_empty() { "Not known" } @else { (format::shown(&one.agent)) } }
                    td data-l="Workspace" { (format::shown(&one.workspace)) }
                    td data-l="Since" { span { (time(one.created_at, shell.now)) } }
                    td data-l="Last used" { span { (time(one.used_at, shell.now)) } }
                    td data-l="End" { @if one.is_this { span.muted { "This one" } } @else {
                        form method="post" action=(format!("/account/sessions/{}/end", one.id)) { (shell.csrf()) button.pill type="submit" { "End" span.visually-hidden { " the session " (format::shown(&one.agent)) } } }
                    } }
                } } }
            } }
            @if sessions.len() > 1 { form method="post" action="/account/sessions/end-others" { (shell.csrf()) p { button.button type="submit" { "End all other sessions" } } } }
        }
    };
    Ok(render(&shell, "Account", body))
}

/// Reads a person's name: 1 to 100 characters that are no control characters.
pub(crate) fn read_name(text: &str) -> Result<String, WebError> {
    let text = text.trim();
    let length = text.chars().count();
    if !(1..=LONGEST_NAME).contains(&length) || text.chars().any(char::is_control) {
        return Err(WebError::BadRequest(format!("A name has 1 to {LONGEST_NAME} characters.")));
    }
    Ok(text.to_owned())
}

#[derive(Deserialize)]
pub(crate) struct NameForm {
    name: String,
}

pub(crate) async fn name(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    CsrfForm(form): CsrfForm<NameForm>,
) -> Result<Redirect, WebError> {
    app.store.hall().name_set(actor.user(), read_name(&form.name)?).await?;
    Ok(Redirect::to("/account?done=name"))
}

#[derive(Deserialize)]
pub(crate) struct PasswordForm {
    current: String,
    new: String,
    #[serde(default)]
    code: String,
}

/// Whether somebody in a session is who they are: the password and, where it is on, a code. Wrong tries wait
/// as at sign-in: a session that was left open is no way to guess.
async fn is_right(
    app: &App,
    actor: &Actor,
    (given, code): (String, &str),
    request: &str,
) -> Result<bool, WebError> {
    let hall = app.store.hall();
    let own = hall.own_account(actor).await?;
    let account = hall.account_by_email(&own.email).await?.ok_or(WebError::SignInNeeded)?;
    if account.locked_until.is_some_and(|until| until > app.store.now()) {
        return Err(WebError::TooMany);
    }
    let right = password::check(app, given, own.password_hash).await?;
    if !right {
        let wait = super::login::ladder(account.failed_sign_ins);
        hall.sign_in_refused(&account, wait, Some(request.to_owned())).await?;
        return Ok(false);
    }
    if !hall.has_second_factor(account.id).await? {
        return Ok(true);
    }
    Ok(login_code::take(app, &account, code, request).await?.is_some())
}

/// Sends on with the session's new secret.
pub(super) fn on(app: &App, session: &NewSession, to: &str) -> Result<Response, WebError> {
    let mut response = Redirect::to(to).into_response();
    let cookie = session::set(app, &session.secret).ok_or(WebError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

const WRONG: &str = "The password or the code is not right. Nothing was changed.";

pub(crate) async fn password(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<PasswordForm>,
) -> Result<Response, WebError> {
    if !is_right(&app, &actor, (form.current, &form.code), &id).await? {
        let page = page(&app, &actor, None, Some(WRONG)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let hash = match password::make(&app, form.new).await? {
        Ok(hash) => hash,
        Err(wrong) => {
            let page = page(&app, &actor, None, Some(&format!("Not changed: {wrong}."))).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let session = app.store.hall().password_change(&actor, hash, Some(id)).await?;
    on(&app, &session.ok_or(WebError::SignInNeeded)?, "/account?done=password")
}

pub(crate) async fn session_end(
    SignedIn(actor): SignedIn,
    Id(session): Id<SessionId>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    if !app.store.hall().session_end(&actor, session, Some(id)).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to("/account?done=sessions"))
}

pub(crate) async fn session_end_others(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    app.store.hall().session_end_others(&actor, Some(id)).await?;
    Ok(Redirect::to("/account?done=sessions"))
}

/// Where somebody is sent who must show again who they are: back to the page with the form.
pub(crate) fn confirm_address(back: Option<&str>) -> String {
    match back.and_then(paths::local).filter(|back| !back.starts_with(CONFIRM)) {
        Some(back) => format!("{CONFIRM}?return_to={}", paths::encode(back)),
        None => CONFIRM.to_owned(),
    }
}

fn confirm_page(
    shell: &Shell,
    back: &str,
    (has_password, has_factor): (bool, bool),
    wrong: bool,
) -> Markup {
    let minutes = FRESH.as_secs() / Duration::from_mins(1).as_secs();
    let body = html! {
        div.signin {
            h1 { "Show that it is you" }
            p { "What you are about to do weighs much, and you signed in more than " (minutes) " minutes ago. Nothing was changed yet." }
            @if wrong { div.banner.bad role="alert" { p { @if has_factor { "The password or the code is not right." } @else { "The password is not right." } } } }
            @if has_password {
                form method="post" action=(CONFIRM) {
                    (shell.csrf())
                    input type="hidden" name="return_to" value=(back);
                    div { label for="password" { "Password" } input type="password" id="password" name="password" autocomplete="current-password" required; }
                    @if has_factor { (login_code::field()) }
                    button.button.primary type="submit" { "Confirm" }
                }
            } @else {
                p { "You sign in with your organisation's account: sign out and in again, then come back." }
                form method="post" action="/logout" { (shell.csrf()) button.button.primary type="submit" { "Sign out" } }
            }
        }
    };
    render(shell, "Show that it is you", body)
}

pub(crate) async fn confirm_show(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let back = pairs.get("return_to").and_then(paths::local).unwrap_or("/tenants");
    let shell = Shell::of(&app, &actor).await?;
    let own = app.store.hall().own_account(&actor).await?;
    let has_factor = app.store.hall().has_second_factor(actor.user()).await?;
    Ok(confirm_page(&shell, back, (own.password_hash.is_some(), has_factor), false))
}

#[derive(Deserialize)]
pub(crate) struct ConfirmForm {
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    return_to: String,
}

pub(crate) async fn confirm(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<ConfirmForm>,
) -> Result<Response, WebError> {
    let back = paths::local(&form.return_to).unwrap_or("/tenants").to_owned();
    if !is_right(&app, &actor, (form.password, &form.code), &id).await? {
        let shell = Shell::of(&app, &actor).await?;
        let has_factor = app.store.hall().has_second_factor(actor.user()).await?;
        let page = confirm_page(&shell, &back, (true, has_factor), true);
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    let session = app.store.hall().session_confirm(&actor, Some(id)).await?;
    on(&app, &session.ok_or(WebError::SignInNeeded)?, &back)
}
