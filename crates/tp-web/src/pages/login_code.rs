//! The second step of a sign-in with a local account: a code of the app, or a recovery code.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tp_store::{Account, FactorError, SecondCode};

use super::login::{entrance, ladder};
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{RequestId, read_body, read_form};
use crate::{csrf, paths, session};

/// The address of the page.
pub(crate) const PATH: &str = "/login/code";

/// What is said of a code that was not taken, whatever was wrong with it.
const WRONG: &str = "The code is not right, was used already, or the account is paused for a few seconds after wrong tries.";

/// The longest code that is looked at, in bytes.
const LONGEST: usize = 64;

/// The field for a code.
pub(super) fn field() -> Markup {
    html! {
        div {
            label for="code" { "Code of your app" }
            input type="text" id="code" name="code" autocomplete="one-time-code" autocapitalize="off" spellcheck="false" maxlength=(LONGEST) aria-describedby="code-help" required;
            p.muted.small id="code-help" { "Six digits. If you have lost the app: one of your recovery codes." }
        }
    }
}

fn page(app: &App, wrong: bool) -> Response {
    let body = html! {
        div.signin {
            h1 { "One more step" }
            @if wrong { div.banner.bad role="alert" { p { (WRONG) } } }
            form method="post" action=(PATH) {
                (field())
                button.button.primary type="submit" { "Sign in" }
            }
            p { a href="/login" { "Sign in as somebody else" } }
        }
    };
    let title = "Second step";
    let page = Page { title, place: Place::Fleet, tenant: None, synced_at: None, body };
    let status = if wrong { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, Shell::anonymous(app).render(&page)).into_response()
}

/// What the keys or the database say, as an error of a page.
pub(super) fn failed(error: FactorError) -> WebError {
    match error {
        FactorError::Store(error) => error.into(),
        FactorError::Key(error) => {
            tracing::error!(error = %error, "a second factor cannot be read");
            WebError::Internal
        }
    }
}

/// Takes a code of an account, once; none where it is not right, which counts as a wrong password does.
pub(super) async fn take(
    app: &App,
    account: &Account,
    code: &str,
    request: &str,
) -> Result<Option<SecondCode>, WebError> {
    let hall = app.store.hall();
    let code = if code.len() <= LONGEST { code } else { "" };
    let taken = hall.second_factor_take(account.id, &account.name, code, Some(request.to_owned()));
    let taken = taken.await.map_err(failed)?;
    if taken.is_none() {
        let wait = ladder(account.failed_sign_ins);
        hall.sign_in_refused(account, wait, Some(request.to_owned())).await?;
    }
    Ok(taken)
}

pub(crate) async fn show(State(app): State<App>, headers: HeaderMap) -> Result<Response, WebError> {
    let step = session::read_step(&app, &headers);
    let found = match &step {
        Some(step) => app.store.hall().second_step(step).await?,
        None => None,
    };
    Ok(if found.is_some() { page(&app, false) } else { Redirect::to("/login").into_response() })
}

#[derive(Deserialize)]
struct CodeForm {
    code: String,
}

pub(crate) async fn check(
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    // There is no session yet whose token the form could carry: where it comes from must do.
    if !csrf::same_origin(request.headers()) {
        return Err(WebError::Csrf);
    }
    let agent = session::agent(request.headers());
    let step = session::read_step(&app, request.headers());
    let form: CodeForm = read_form(&read_body(request).await?)?;
    let hall = app.store.hall();
    let found = match &step {
        Some(step) => hall.second_step(step).await?,
        None => None,
    };
    let Some((account, back)) = found else { return Ok(Redirect::to("/login").into_response()) };
    let paused = account.locked_until.is_some_and(|until| until > app.store.now());
    let (Some(workspace), true, false) = (account.workspace, account.active, paused) else {
        return Ok(page(&app, true));
    };
    let Some(code) = take(&app, &account, &form.code, &id).await? else {
        return Ok(page(&app, true));
    };
    hall.second_step_end(account.id).await?;
    let entrance = entrance(&app, &agent, Some(code));
    let session = hall.session_create_for(&account, workspace, &entrance, Some(id)).await?;
    let mut response = Redirect::to(paths::local(&back).unwrap_or("/tenants")).into_response();
    let cookie = session::set(&app, &session.secret).ok_or(WebError::Internal)?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    let gone = session::clear_step(&app).ok_or(WebError::Internal)?;
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}
