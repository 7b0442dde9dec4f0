//! The session cookie (ruling 27).

use axum::http::{HeaderMap, HeaderValue, header};
use tp_store::SessionSecret;

use crate::app::App;

fn name(app: &App) -> &'static str {
    if app.is_https() { "__Host-tp" } else { "tp" }
}

/// What the cookie says, if there is one.
pub(crate) fn read(app: &App, headers: &HeaderMap) -> Option<SessionSecret> {
    let wanted = name(app);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(own, value)| *own == wanted && value.len() <= 128)
        .map(|(_, value)| SessionSecret::from_cookie(value))
}

/// What the browser says that it is.
pub(crate) fn agent(headers: &HeaderMap) -> String {
    let value = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn cookie(app: &App, value: &str, rest: &str) -> Option<HeaderValue> {
    let secure = if app.is_https() { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{rest}", name(app));
    HeaderValue::from_str(&text).ok()
}

/// The cookie of a new session. It ends with the browser; the session itself ends in the database.
pub(crate) fn set(app: &App, secret: &SessionSecret) -> Option<HeaderValue> {
    cookie(app, secret.expose(), "")
}

/// The cookie that takes it away.
pub(crate) fn clear(app: &App) -> Option<HeaderValue> {
    cookie(app, "", "; Max-Age=0")
}
