//! The session cookie (ruling 27).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use tp_store::{SECOND_STEP_LIFE, SecondStep, SessionSecret, SignInBrowser};

use crate::app::App;

fn name(app: &App) -> &'static str {
    if app.is_https() { "__Host-tp" } else { "tp" }
}

/// The cookie of a browser that is about to sign in at a provider (TRUST T21).
fn sign_in_name(app: &App) -> &'static str {
    if app.is_https() { "__Host-tp-sign-in" } else { "tp-sign-in" }
}

/// The cookie of a sign-in whose code is missing.
fn step_name(app: &App) -> &'static str {
    if app.is_https() { "__Host-tp-step" } else { "tp-step" }
}

fn value<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(own, value)| *own == wanted && value.len() <= 128)
        .map(|(_, value)| value)
}

/// What the browser says that it is.
pub(crate) fn agent(headers: &HeaderMap) -> String {
    let value = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// What the cookie says, if there is one.
pub(crate) fn read(app: &App, headers: &HeaderMap) -> Option<SessionSecret> {
    value(headers, name(app)).map(SessionSecret::from_cookie)
}

/// What the cookie of a sign-in under way says.
pub(crate) fn read_sign_in(app: &App, headers: &HeaderMap) -> Option<SignInBrowser> {
    value(headers, sign_in_name(app)).and_then(SignInBrowser::from_cookie)
}

/// What the cookie of a sign-in whose code is missing says.
pub(crate) fn read_step(app: &App, headers: &HeaderMap) -> Option<SecondStep> {
    value(headers, step_name(app)).and_then(SecondStep::from_cookie)
}

/// The cookie of a sign-in whose code is missing.
pub(crate) fn set_step(app: &App, step: &SecondStep) -> Option<HeaderValue> {
    let rest = format!("; Max-Age={}", SECOND_STEP_LIFE.as_secs());
    cookie(app, step_name(app), step.expose(), &rest)
}

/// The cookie that takes it away.
pub(crate) fn clear_step(app: &App) -> Option<HeaderValue> {
    cookie(app, step_name(app), "", "; Max-Age=0")
}

fn cookie(app: &App, name: &str, value: &str, rest: &str) -> Option<HeaderValue> {
    let secure = if app.is_https() { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{rest}");
    HeaderValue::from_str(&text).ok()
}

/// The cookie of a new session. It ends with the browser; the session itself ends in the database.
pub(crate) fn set(app: &App, secret: &SessionSecret) -> Option<HeaderValue> {
    cookie(app, name(app), secret.expose(), "")
}

/// The cookie that takes it away.
pub(crate) fn clear(app: &App) -> Option<HeaderValue> {
    cookie(app, name(app), "", "; Max-Age=0")
}

/// The cookie of a sign-in under way. `Lax`: the provider's page leads back from another site.
pub(crate) fn set_sign_in(
    app: &App,
    browser: &SignInBrowser,
    life: Duration,
) -> Option<HeaderValue> {
    let rest = format!("; Max-Age={}", life.as_secs());
    cookie(app, sign_in_name(app), browser.expose(), &rest)
}

/// The cookie that takes it away.
pub(crate) fn clear_sign_in(app: &App) -> Option<HeaderValue> {
    cookie(app, sign_in_name(app), "", "; Max-Age=0")
}
