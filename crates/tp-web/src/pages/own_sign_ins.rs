//! One's own ways in at identity providers: what is linked, link another, take one away.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tp_store::{IdentityGone, OwnIdentity, SIGN_IN_LIFE};
use url::Url;

use super::login::Nothing;
use super::oidc;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::time;
use crate::error::WebError;
use crate::extract::{CsrfForm, RequestId, SignedIn};
use crate::query::Pairs;
use crate::{format, paths, session};

const TITLE: &str = "Your ways to sign in";

fn page(shell: &Shell, body: Markup) -> Markup {
    let place = Place::Fleet;
    shell.render(&Page { title: TITLE, place, tenant: None, synced_at: None, body })
}

/// What was just done.
fn banner(word: Option<&str>) -> Markup {
    let (class, text) = match word {
        Some("linked") => ("banner good", "Linked. You can sign in this way from now on."),
        Some("taken") => {
            ("banner bad", "This identity is linked to an account already. Nothing was changed.")
        }
        Some("removed") => {
            ("banner good", "Removed. Nobody can sign in to your account this way any more.")
        }
        Some("last") => {
            ("banner bad", "This is your only way to sign in: it was kept. Link another one first.")
        }
        Some("old") => (
            "banner bad",
            "You showed who you are more than ten minutes ago. Sign in again, and then link it.",
        ),
        _ => return html! {},
    };
    html! { div class=(class) role="status" { p { (text) } } }
}

fn row(shell: &Shell, identity: &OwnIdentity) -> Markup {
    let (authority, subject) = (&identity.authority, &identity.subject);
    let label = identity.label.as_deref().unwrap_or("Without a name");
    html! {
        tr {
            td data-l="Name there" { (format::shown(label)) }
            td data-l="Provider" { span.mono { (format::shown(authority)) } }
            td data-l="Linked" { (time(identity.created_at, shell.now)) }
            td data-l="Last used" { @match identity.last_used_at {
                Some(at) => (time(at, shell.now)),
                None => "Never",
            } }
            td data-l="" {
                form method="post" action="/account/sign-ins/remove" {
                    (shell.csrf())
                    input type="hidden" name="authority" value=(authority);
                    input type="hidden" name="subject" value=(subject);
                    button.button type="submit" { "Remove" span.visually-hidden { " " (format::shown(label)) } }
                }
            }
        }
    }
}

pub(crate) async fn show(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, &actor).await?;
    let own = app.store.hall().own_identities(&actor).await?;
    let provider = app.settings.provider.as_ref().map(|provider| provider.name().to_owned());
    let pairs = Pairs::parse(query.as_deref());
    let body = html! {
        div.head { div {
            h1 { (TITLE) }
            p.sub { "Signing in elsewhere proves who you are. What you may do is decided here, by your roles." }
        } }
        (banner(pairs.get("done")))
        @if own.is_empty() {
            p { "No identity of a provider is linked to your account." }
        } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Linked identities" }
                thead { tr {
                    th scope="col" { "Name there" } th scope="col" { "Provider" } th scope="col" { "Linked" }
                    th scope="col" { "Last used" } th scope="col" { span.visually-hidden { "Actions" } }
                } }
                tbody { @for identity in &own { (row(&shell, identity)) } }
            } }
        }
        @match provider {
            Some(name) => form method="post" action="/account/sign-ins/link" {
                (shell.csrf())
                button.button.primary type="submit" { "Link " (name) }
            },
            None => p.muted { "This installation has no identity provider; the operator can configure one." },
        }
    };
    Ok(page(&shell, body))
}

/// Leads to a page with the link and not at once to the provider: people see where they go, and no form of
/// ours is sent elsewhere (its content security policy allows none).
pub(crate) async fn link(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
    headers: HeaderMap,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, WebError> {
    let provider = app.settings.provider.as_ref().ok_or(WebError::NotFound)?;
    let browser = oidc::browser(&app, &headers)?;
    let begun = app.store.hall().oidc_begin_link(&actor, &browser, paths::OWN_SIGN_INS).await?;
    let Some(begun) = begun else {
        let query = Pairs::default().with("done", "old");
        return Ok(Redirect::to(&query.link(paths::OWN_SIGN_INS)).into_response());
    };
    let link = oidc::authorize(&app, begun).await?;
    let parsed = Url::parse(&link).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    let shell = Shell::of(&app, &actor).await?;
    let body = html! {
        div.head { h1 { "Link " (provider.name()) } }
        p { "The page at " strong { (host) } " opens. Sign in there as yourself: whoever signs in there will be able to use your account here." }
        p { "The link works once, in this browser, for " (SIGN_IN_LIFE.as_secs() / 60) " minutes." }
        div.actions {
            a.button.primary href=(link) rel="noreferrer" { "Continue to " (provider.name()) }
            a.button href=(paths::OWN_SIGN_INS) { "Back" }
        }
    };
    let mut response = page(&shell, body).into_response();
    let cookie = session::set_sign_in(&app, &browser, SIGN_IN_LIFE).ok_or(WebError::Internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

#[derive(Deserialize)]
pub(crate) struct Removal {
    authority: String,
    subject: String,
}

pub(crate) async fn remove(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
    RequestId(id): RequestId,
    CsrfForm(Removal { authority, subject }): CsrfForm<Removal>,
) -> Result<Redirect, WebError> {
    let hall = app.store.hall();
    let word = match hall.identity_unlink_own(&actor, &authority, &subject, Some(id)).await? {
        IdentityGone::Done => "removed",
        IdentityGone::LastWay => "last",
        IdentityGone::NotFound => return Err(WebError::NotFound),
    };
    Ok(Redirect::to(&Pairs::default().with("done", word).link(paths::OWN_SIGN_INS)))
}
