//! A person's own second factor: turning it on with a QR code, recovery codes, turning it off.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use fast_qr::{ECL, QRBuilder};
use maud::{Markup, html};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tp_store::{Actor, FactorSetup, RecoveryCodes, SecondFactor};

use super::account::{confirm_address, render, tabs};
use super::login::Nothing;
use super::login_code::failed;
use crate::app::App;
use crate::components::layout::Shell;
use crate::components::time;
use crate::error::WebError;
use crate::extract::{CsrfForm, RequestId, SignedIn};
use crate::{format, session};

/// The address of the page.
pub(crate) const PATH: &str = "/account/second-factor";

const TITLE: &str = "Second factor";

/// Light modules around the code, as scanners want them.
const QUIET: usize = 4;

/// A QR code as a drawing: dark on light in every theme, since scanners want that.
fn qr(text: &str) -> Result<Markup, WebError> {
    let code = QRBuilder::new(text).ecl(ECL::M).build().map_err(|_| WebError::Internal)?;
    let side = code.size + 2 * QUIET;
    let mut path = String::new();
    for (y, row) in code.data[..code.size * code.size].chunks(code.size).enumerate() {
        let mut x = 0;
        while x < row.len() {
            let run = row[x..].iter().take_while(|module| module.value()).count();
            if run > 0 {
                path.push_str(&format!("M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET));
            }
            x += run.max(1);
        }
    }
    Ok(html! {
        svg.qr viewBox={ "0 0 " (side) " " (side) } role="img" aria-label="QR code of the secret below" {
            rect width=(side) height=(side) fill="#fff" {}
            path d=(path) fill="#000" shape-rendering="crispEdges" {}
        }
    })
}

/// A secret in groups of four letters, to be typed.
fn grouped(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
) -> Result<Response, WebError> {
    page(&app, &actor, false).await
}

async fn page(app: &App, actor: &Actor, wrong: bool) -> Result<Response, WebError> {
    let shell = Shell::of(app, actor).await?;
    let hall = app.store.hall();
    let own = hall.own_account(actor).await?;
    let factor = hall.second_factor(actor).await.map_err(failed)?;
    let part = match &factor {
        _ if own.password_hash.is_none() => html! {
            p.muted { "You sign in with your organisation's account: it asks for a second factor, or not. This account has no password here." }
        },
        SecondFactor::Off => off(&shell),
        SecondFactor::Pending(_) if !actor.is_fresh(app.store.now()) => html! {
            p { "A secret waits for its first code. Show that it is you to see it again." }
            p { a.button.primary href=(confirm_address(Some(PATH))) { "Go on" } }
        },
        SecondFactor::Pending(setup) => pending(&shell, setup, wrong)?,
        SecondFactor::On { since, codes_left } => html! {
            p { "Turned on " (time(*since, shell.now)) ". Signing in takes your password and a code of your app." }
            h2 { "Recovery codes" }
            p { (format::number(*codes_left)) " are left. Each works once, in place of a code of the app." }
            form method="post" action={ (PATH) "/codes" } { (shell.csrf()) button.button type="submit" { "Make new recovery codes" } }
            p.muted.small { "The old ones then work no more." }
            h2 { "Turn it off" }
            form method="post" action={ (PATH) "/off" } { (shell.csrf()) button.button type="submit" { "Turn the second factor off" } }
            p.muted.small { "All your sessions end, this one too." }
        },
    };
    let body = html! {
        div.head { div { h1 { (TITLE) } p.sub { "A code of an app on your phone, beside your password." } } }
        (tabs(PATH))
        (part)
    };
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, render(&shell, TITLE, body)).into_response())
}

fn off(shell: &Shell) -> Markup {
    html! {
        p { "It is off: whoever knows your password is let in." }
        form method="post" action={ (PATH) "/begin" } { (shell.csrf()) button.button.primary type="submit" { "Turn it on" } }
        p.muted.small { "You need an authenticator app: any that knows TOTP." }
    }
}

fn pending(shell: &Shell, setup: &FactorSetup, wrong: bool) -> Result<Markup, WebError> {
    let secret = setup.secret.expose_secret();
    Ok(html! {
        @if wrong { div.banner.bad role="alert" { p { "The code is not right. Is the clock of your phone right?" } } }
        h2 { "1. Scan this with your app" }
        (qr(setup.uri.expose_secret())?)
        p { "Or type the secret: " code { (grouped(secret)) } " "
            button.pill type="button" data-copy=(secret) hidden { "Copy" } }
        h2 { "2. Type the code that the app shows now" }
        form.stack method="post" action={ (PATH) "/confirm" } {
            (shell.csrf())
            div.field { label for="code" { "Code" } input type="text" id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="16" required; }
            button.button.primary type="submit" { "Turn it on" }
        }
        p.muted.small { "It is on from then, and your other sessions end." }
        form method="post" action={ (PATH) "/begin" } { (shell.csrf()) p { button.button type="submit" { "Make another secret" } } }
    })
}

/// The recovery codes, the one time that they are anywhere.
fn codes(shell: &Shell, codes: &RecoveryCodes, told: &str) -> Markup {
    let all: Vec<&str> = codes.expose().collect();
    let body = html! {
        div.head { div { h1 { "Your recovery codes" } } }
        (tabs(PATH))
        div.banner.good role="status" { p { (told) } }
        p { "Each of these works once in place of a code of your app. They are shown now and never again: print them, or keep them where you keep passwords, and not on the phone that has the app." }
        ul.codes { @for code in &all { li { code { (code) } } } }
        p { button.pill type="button" data-copy=(all.join("\n")) hidden { "Copy all" } }
        p { a.button.primary href=(PATH) { "I have kept them" } }
    };
    render(shell, "Your recovery codes", body)
}

fn must_be_fresh(app: &App, actor: &Actor) -> Result<(), WebError> {
    if actor.is_fresh(app.store.now()) { Ok(()) } else { Err(WebError::ConfirmNeeded) }
}

fn not_now() -> WebError {
    WebError::Conflict("This cannot be done with your second factor as it is now.".to_owned())
}

pub(crate) async fn begin(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    must_be_fresh(&app, &actor)?;
    let begun = app.store.hall().second_factor_begin(&actor).await.map_err(failed)?;
    if begun { Ok(Redirect::to(PATH)) } else { Err(not_now()) }
}

#[derive(Deserialize)]
pub(crate) struct CodeForm {
    code: String,
}

pub(crate) async fn confirm(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<CodeForm>,
) -> Result<Response, WebError> {
    must_be_fresh(&app, &actor)?;
    let hall = app.store.hall();
    let done = hall.second_factor_confirm(&actor, &form.code, Some(id)).await.map_err(failed)?;
    let Some((session, made)) = done else { return page(&app, &actor, true).await };
    // The forms of the page must carry the token of the new session.
    let actor = hall.actor_of_session(&session.secret).await?.ok_or(WebError::SignInNeeded)?;
    let shell = Shell::of(&app, &actor).await?;
    let told = "Your second factor is on, and your other sessions are ended.";
    let mut response = codes(&shell, &made, told).into_response();
    let cookie = session::set(&app, &session.secret).ok_or(WebError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

pub(crate) async fn renew(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Markup, WebError> {
    must_be_fresh(&app, &actor)?;
    let made =
        app.store.hall().recovery_codes_renew(&actor, Some(id)).await?.ok_or_else(not_now)?;
    let shell = Shell::of(&app, &actor).await?;
    Ok(codes(&shell, &made, "The old recovery codes work no more."))
}

pub(crate) async fn remove(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, WebError> {
    must_be_fresh(&app, &actor)?;
    if !app.store.hall().second_factor_remove(&actor, Some(id)).await? {
        return Err(not_now());
    }
    let mut response = Redirect::to("/login").into_response();
    let cookie = session::clear(&app).ok_or(WebError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_a_drawing_without_styles() {
        let drawing =
            qr("otpauth://totp/TenantPilot:a%40b.c?secret=AAAA&issuer=TenantPilot").unwrap();
        let text = drawing.into_string();
        assert!(text.starts_with("<svg class=\"qr\" viewBox=\"0 0 "), "{text}");
        assert!(!text.contains("style"), "the policy of contents allows none");
        // A finder: seven dark modules in a row at its top and its foot, behind the quiet border.
        assert!(text.contains("M4 4h7v1h-7z") && text.contains("M4 10h7v1h-7z"), "{text}");
        assert_eq!(grouped("ABCDEFGHIJ"), "ABCD EFGH IJ");
    }
}
