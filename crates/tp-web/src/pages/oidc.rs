//! Sign-in at an identity provider: the way there, the way back, and what is said when it came to nothing.
//!
//! Who the provider says it is decides nothing about what they may do: it names an account, and the
//! account's roles are those of every other request.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tp_domain::sign_in::{ProvenIdentity, SignInAnswer, SignInAsk, SignInFault};
use tp_store::{
    BegunSignIn, IdentityEntry, IdentityLinked, SIGN_IN_LIFE, SignInBrowser, SignInPurpose,
};

use crate::api::absolute;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{RequestId, SignedIn};
use crate::query::Pairs;
use crate::{paths, session};

/// Whether this is a page that a browser opens: pictures and scripts of others begin no sign-in.
fn is_page(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_none_or(|dest| dest == "document")
}

/// The browser's secret for signing in; a new one when it has none.
pub(super) fn browser(app: &App, headers: &HeaderMap) -> Result<SignInBrowser, WebError> {
    match session::read_sign_in(app, headers) {
        Some(browser) => Ok(browser),
        None => Ok(SignInBrowser::fresh()?),
    }
}

/// Asks the provider for its page, for this sign-in.
pub(super) async fn authorize(app: &App, begun: BegunSignIn) -> Result<String, WebError> {
    let provider = app.settings.provider.as_ref().ok_or(WebError::NotFound)?;
    let ask = SignInAsk {
        redirect_uri: absolute(app, paths::OIDC_CALLBACK),
        state: begun.state,
        nonce: begun.nonce,
        challenge: begun.challenge,
    };
    provider.authorize(&ask).await.map_err(|fault| {
        tracing::warn!(%fault, "a sign-in could not be begun");
        WebError::ProviderFault(fault)
    })
}

/// Leads to the provider's page.
pub(crate) async fn begin(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    if app.settings.provider.is_none() {
        return Err(WebError::NotFound);
    }
    if !is_page(&headers) {
        return Err(WebError::Csrf);
    }
    let pairs = Pairs::parse(query.as_deref());
    let return_to = pairs.get("return_to").and_then(paths::local).unwrap_or("/tenants");
    let browser = browser(&app, &headers)?;
    let begun = app.store.hall().oidc_begin(&browser, return_to).await?;
    let page = authorize(&app, begun.ok_or(WebError::TooMany)?).await?;
    let mut response = Redirect::to(&page).into_response();
    let cookie = session::set_sign_in(&app, &browser, SIGN_IN_LIFE).ok_or(WebError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// What came of the way back.
enum Back {
    /// Proved, and what for.
    Proven(ProvenIdentity, SignInPurpose, String),
    /// Nothing.
    Nothing(SignInFault),
}

async fn back(app: &App, headers: &HeaderMap, pairs: &Pairs) -> Result<Back, WebError> {
    let provider = app.settings.provider.as_ref().ok_or(WebError::NotFound)?;
    let unknown = Ok(Back::Nothing(SignInFault::StateUnknown));
    let (Some(browser), Some(state)) = (session::read_sign_in(app, headers), pairs.get("state"))
    else {
        return unknown;
    };
    // Taken before anything else is looked at: whatever comes of it, it was its one use.
    let Some(taken) = app.store.hall().oidc_take(&browser, state).await? else { return unknown };
    let code = pairs.get("code").filter(|_| pairs.get("error").is_none());
    let Some(code) = code else { return Ok(Back::Nothing(SignInFault::ProviderRefused)) };
    let answer = SignInAnswer {
        code: code.to_owned().into(),
        issuer: pairs.get("iss").map(str::to_owned),
        redirect_uri: absolute(app, paths::OIDC_CALLBACK),
        nonce: taken.nonce,
        verifier: taken.verifier,
        begun_at: taken.begun_at,
    };
    Ok(match provider.redeem(answer).await {
        Ok(proven) => Back::Proven(proven, taken.purpose, taken.return_to),
        Err(fault) => Back::Nothing(fault),
    })
}

/// Where the provider leads back to.
pub(crate) async fn callback(
    signed_in: Result<SignedIn, WebError>,
    State(app): State<App>,
    RequestId(id): RequestId,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let (proven, purpose, return_to) = match back(&app, &headers, &pairs).await? {
        Back::Proven(proven, purpose, return_to) => (proven, purpose, return_to),
        Back::Nothing(fault) => {
            tracing::warn!(request.id = %id, reason = %fault, "a sign-in was refused");
            return Ok(refused(&app, StatusCode::UNAUTHORIZED, fault_text(&app, fault)));
        }
    };
    // Written by our own page when it began; checked again, since it comes from the database.
    let return_to = paths::local(&return_to).unwrap_or("/tenants").to_owned();
    match purpose {
        SignInPurpose::Enter => enter(&app, &headers, &proven, &return_to, id).await,
        SignInPurpose::Link { user, session } => {
            let own = signed_in.ok().map(|SignedIn(actor)| actor);
            // The same session, not only the same person: nobody else's browser links anything.
            let own = own.filter(|own| own.user() == user && own.session() == Some(session));
            let Some(actor) = own else {
                return Ok(refused(
                    &app,
                    StatusCode::UNAUTHORIZED,
                    html! {
                        p { "The session in which this was asked is over. Nothing was changed." }
                    },
                ));
            };
            let linked = app.store.hall().identity_link_own(&actor, &proven, Some(id)).await?;
            let word = match linked {
                IdentityLinked::Done => "linked",
                IdentityLinked::Taken => "taken",
            };
            let query = Pairs::default().with("done", word);
            Ok(Redirect::to(&query.link(paths::OWN_SIGN_INS)).into_response())
        }
    }
}

async fn enter(
    app: &App,
    headers: &HeaderMap,
    proven: &ProvenIdentity,
    return_to: &str,
    id: String,
) -> Result<Response, WebError> {
    let before = session::read(app, headers);
    match app.store.hall().identity_enter(proven, before.as_ref(), Some(id.clone())).await? {
        IdentityEntry::In(session, workspaces) => {
            let to = if workspaces > 1 {
                Pairs::default().with("return_to", return_to).link(paths::WORKSPACES)
            } else {
                return_to.to_owned()
            };
            let mut response = Redirect::to(&to).into_response();
            let cookie = session::set(app, &session.secret).ok_or(WebError::Internal)?;
            response.headers_mut().append(header::SET_COOKIE, cookie);
            if let Some(cookie) = session::clear_sign_in(app) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        IdentityEntry::NoWorkspace => Ok(refused(
            app,
            StatusCode::FORBIDDEN,
            html! {
                p { "You are known here, but you are not a member of any workspace. An owner of a workspace can change that." }
            },
        )),
        IdentityEntry::Refused => {
            let key = &proven.key;
            tracing::warn!(
                request.id = %id,
                authority = key.authority(),
                subject = key.subject(),
                "nobody here may sign in with this identity"
            );
            Ok(refused(
                app,
                StatusCode::UNAUTHORIZED,
                html! {
                    p { "This account cannot sign in here. An owner of your workspace can tell why, and change it." }
                },
            ))
        }
    }
}

/// What is said about a fault: what to do, and its word for whoever looks into it.
fn fault_text(app: &App, fault: SignInFault) -> Markup {
    let name = app.settings.provider.as_ref().map_or("", |provider| provider.name());
    let text = match fault {
        SignInFault::StateUnknown => {
            "This sign-in was used already, is too old, or was begun in another browser."
        }
        SignInFault::ProviderRefused => "The sign-in was not completed there.",
        SignInFault::ProviderUnavailable => "It does not answer. Try again in a few minutes.",
        SignInFault::TenantNotAllowed => "People of your organisation cannot sign in here.",
        SignInFault::PersonalAccount => {
            "Private accounts cannot sign in here. Use the account of your organisation."
        }
        _ => "Its answer could not be trusted, so nothing was believed.",
    };
    html! {
        p { "Sign-in with " (name) ": " (text) }
        p.muted.small { "Reason: " span.mono { (fault.as_str()) } }
    }
}

fn refused(app: &App, status: StatusCode, said: Markup) -> Response {
    let body = html! {
        div.signin {
            h1 { "Not signed in" }
            div.banner.bad role="alert" { (said) }
            a.button.primary href="/login" { "Back to sign-in" }
        }
    };
    (status, simple(app, "Not signed in", body)).into_response()
}

pub(super) fn simple(app: &App, title: &str, body: Markup) -> Markup {
    let page = Page { title, place: Place::Fleet, tenant: None, synced_at: None, body };
    Shell::anonymous(app).render(&page)
}

/// After signing out here: the person's session at the provider may go on, and they may not want that.
pub(crate) async fn signed_out(State(app): State<App>) -> Result<Markup, WebError> {
    let provider = app.settings.provider.as_ref().ok_or(WebError::NotFound)?;
    let link = provider.sign_out(&absolute(&app, "/login")).await;
    let name = provider.name();
    let body = html! {
        div.signin {
            h1 { "Signed out" }
            p { "Your session in TenantPilot is over." }
            @match link {
                Some(link) => {
                    p { "You may still be signed in to " (name) " in this browser. On a computer that others use, end that, too." }
                    div.actions {
                        a.button.primary href=(link) rel="noreferrer" { "Sign out of " (name) }
                        a.button href="/login" { "Sign in again" }
                    }
                }
                None => a.button.primary href="/login" { "Sign in again" },
            }
        }
    };
    Ok(simple(&app, "Signed out", body))
}
