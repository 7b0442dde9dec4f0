//! Sign-in with a local account, and sign-out.

use std::time::Duration;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use tp_store::{BREAK_GLASS_LIFE, Entrance, SecondCode, SignInMethod};

use super::login_code;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{CsrfForm, RequestId, SignedIn, read_body, read_form};
use crate::query::Pairs;
use crate::{csrf, password, paths, session};

/// What is said to everybody whose sign-in was not right, whatever was wrong.
const REFUSED: &str = "The e-mail address or the password is not right, or the account is paused for a few seconds after wrong tries.";

/// The wait after so many wrong passwords (TRUST §6, 20). Never permanent.
pub(super) const fn ladder(failed: u64) -> Duration {
    Duration::from_secs(match failed {
        0..=2 => 1,
        3..=4 => 3,
        5..=8 => 5,
        9..=19 => 10,
        // From here on a hundred tries a day at most.
        _ => 900,
    })
}

/// Sends somebody who is not signed in to the sign-in, and back afterwards.
pub(crate) fn redirect(method: &Method, target: &str) -> Response {
    let back = if method == Method::GET { paths::local(target) } else { None };
    let href = match back {
        Some(back) if back != "/" => format!("/login?return_to={}", paths::encode(back)),
        _ => "/login".to_owned(),
    };
    Redirect::to(&href).into_response()
}

/// How somebody with a local account comes in. Where there is a provider to sign in at, a local account is
/// for the time when that does not work (PRODUCT A-4).
pub(super) fn entrance<'a>(app: &App, agent: &'a str, second: Option<SecondCode>) -> Entrance<'a> {
    Entrance { agent, second, break_glass: app.settings.provider.is_some() }
}

fn page(app: &App, return_to: &str, email: &str, refused: bool) -> Response {
    let body = html! {
        div.signin {
            h1 { "Sign in" }
            p.muted { "TenantPilot watches device policies of Microsoft Intune tenants." }
            @if app.settings.demo {
                div.banner { p { "This is the demo. Its accounts were printed when it started; "
                    code { "tenantpilot demo --print-login" } " shows them again." } }
            }
            @if refused { div.banner.bad role="alert" { p { (REFUSED) } } }
            @if let Some(provider) = &app.settings.provider {
                a.button.primary href=(paths::oidc(return_to)) { "Sign in with " (provider.name()) }
                h2 { "Local account" }
                p.muted.small { "For when signing in at " (provider.name()) " does not work. The session ends after " (BREAK_GLASS_LIFE.as_secs() / 60) " minutes, and everybody in the workspace sees it." }
            }
            form method="post" action="/login" {
                input type="hidden" name="return_to" value=(return_to);
                div {
                    label for="email" { "E-mail address" }
                    input type="email" id="email" name="email" value=(email) autocomplete="username" required;
                }
                div {
                    label for="password" { "Password" }
                    input type="password" id="password" name="password" autocomplete="current-password" required;
                }
                button.button.primary type="submit" { "Sign in" }
            }
        }
    };
    let page = Page { title: "Sign in", place: Place::Fleet, tenant: None, synced_at: None, body };
    let status = if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, Shell::anonymous(app).render(&page)).into_response()
}

pub(crate) async fn show(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let pairs = Pairs::parse(query.as_deref());
    let return_to = pairs.get("return_to").and_then(paths::local).unwrap_or("/tenants");
    page(&app, return_to, "", false)
}

#[derive(Deserialize)]
struct SignIn {
    email: String,
    password: String,
    #[serde(default)]
    return_to: String,
}

pub(crate) async fn sign_in(
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    // There is no session yet whose token the form could carry: where it comes from must do.
    if !csrf::same_origin(request.headers()) {
        return Err(WebError::Csrf);
    }
    let agent = session::agent(request.headers());
    let form: SignIn = read_form(&read_body(request).await?)?;
    let return_to = paths::local(&form.return_to).unwrap_or("/tenants").to_owned();
    let hall = app.store.hall();
    let account = hall.account_by_email(&form.email).await?;
    let stored = account.as_ref().and_then(|account| account.password_hash.clone());
    let right = password::check(&app, form.password, stored).await?;
    let Some(account) = account else { return Ok(page(&app, &return_to, &form.email, true)) };
    let paused = account.locked_until.is_some_and(|until| until > app.store.now());
    match account.workspace {
        Some(workspace) if right && account.active && !paused => {
            if hall.has_second_factor(account.id).await? {
                let step = hall.second_step_begin(&account, &return_to).await?;
                let mut response = Redirect::to(login_code::PATH).into_response();
                let cookie = session::set_step(&app, &step).ok_or(WebError::Internal)?;
                response.headers_mut().insert(header::SET_COOKIE, cookie);
                return Ok(response);
            }
            let entrance = entrance(&app, &agent, None);
            let session = hall.session_create_for(&account, workspace, &entrance, Some(id)).await?;
            let mut response = Redirect::to(&return_to).into_response();
            let cookie = session::set(&app, &session.secret).ok_or(WebError::Internal)?;
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(response)
        }
        _ => {
            if !paused {
                hall.sign_in_refused(&account, ladder(account.failed_sign_ins), Some(id)).await?;
            }
            Ok(page(&app, &return_to, &form.email, true))
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Nothing {}

pub(crate) async fn sign_out(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, WebError> {
    let method = app.store.hall().session_method(&actor).await?;
    app.store.hall().sign_out(&actor, Some(id)).await?;
    let elsewhere = method == Some(SignInMethod::Oidc) && app.settings.provider.is_some();
    let to = if elsewhere { paths::SIGNED_OUT } else { "/login" };
    let mut response = Redirect::to(to).into_response();
    if let Some(cookie) = session::clear(&app) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    let clear = HeaderValue::from_static("\"cache\", \"storage\"");
    response.headers_mut().insert("clear-site-data", clear);
    Ok(response)
}
