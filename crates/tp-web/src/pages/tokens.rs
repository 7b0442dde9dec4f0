//! A person's API tokens (PRODUCT A-5).

use std::time::Duration;

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use tp_domain::access::{Capability, ViewTenant};
use tp_domain::ids::{TenantId, TokenId};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{Actor, ApiToken, ApiTokenSecret, LONGEST_LIFE, NewToken};

use super::account::{render, tabs};
use super::login::Nothing;
use crate::app::App;
use crate::components::layout::Shell;
use crate::components::{chip, empty, time};
use crate::error::WebError;
use crate::extract::{CsrfForm, CsrfPairs, Id, RequestId, SignedIn};
use crate::format;
use crate::query::Pairs;

/// For how long tokens are made, in days; the first is chosen unless somebody chooses another.
const LIVES: [u64; 4] = [30, 90, 180, 365];

/// The longest name of a token, in characters.
pub(crate) const LONGEST_NAME: usize = 100;

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    page(&app, &actor, None).await
}

async fn page(app: &App, actor: &Actor, new: Option<&ApiTokenSecret>) -> Result<Markup, WebError> {
    let shell = Shell::of(app, actor).await?;
    let tokens = app.store.hall().token_list(actor).await?;
    let fleet = app.store.enter_fleet::<ViewTenant>(actor)?;
    let tenants: Vec<Tenant> = fleet.tenant_list().await?.into_iter().map(|(one, _)| one).collect();
    let body = html! {
        div.head { div { h1 { "API tokens" } p.sub { "For the command line and for programs. A token can do at most what you can." } } }
        (tabs("/account/tokens"))
        @if let Some(secret) = new {
            div.banner.good role="status" {
                p { "This is the token. It is shown once: " code { (secret.expose()) } " "
                    button.pill type="button" data-copy=(secret.expose()) hidden { "Copy" } }
            }
        }
        @if tokens.is_empty() { (empty("No token", "Make one below. It is shown once, and works until it expires or is taken back.", None)) } @else { (table(&tokens, &tenants, &shell)) }
        h2 { "Make a token" }
        (form(&shell, &tenants))
    };
    Ok(render(&shell, "API tokens", body))
}

/// Whether a token works, in a chip.
pub(super) fn state(token: &ApiToken, now: Timestamp) -> Markup {
    if token.revoked_at.is_some() {
        chip::plain("Taken back")
    } else if token.expires_at <= now {
        chip::plain("Expired")
    } else {
        chip::good("Works")
    }
}

fn table(tokens: &[ApiToken], tenants: &[Tenant], shell: &Shell) -> Markup {
    let place = |ids: &[TenantId]| {
        let names = ids.iter().map(|id| match tenants.iter().find(|one| one.id == *id) {
            Some(tenant) => format::shown(&tenant.name).into_owned(),
            None => "a tenant that you do not see".to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Your tokens, newest first" }
            thead { tr { th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "May" } th scope="col" { "Where" } th scope="col" { "Last used" } th scope="col" { "Expires" } th scope="col" { "Take back" } } }
            tbody { @for token in tokens { tr {
                td data-l="Name" { (format::shown(&token.name)) }
                td data-l="State" { span { (state(token, shell.now)) } }
                td data-l="May" { @match &token.capabilities { None => "All that you may", Some(list) => span.mono { (list.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ")) } } }
                td data-l="Where" { @match &token.tenants { None => "Everywhere", Some(ids) => (place(ids)) } }
                td data-l="Last used" { span { @match token.used_at { Some(at) => (time(at, shell.now)), None => "Never" } } }
                td data-l="Expires" { span { (time(token.expires_at, shell.now)) } }
                td data-l="Take back" { @if token.revoked_at.is_none() && token.expires_at > shell.now {
                    form method="post" action=(format!("/account/tokens/{}/revoke", token.id)) { (shell.csrf()) button.pill type="submit" { "Take back" span.visually-hidden { ": " (format::shown(&token.name)) } } }
                } @else { "–" } }
            } } }
        } }
    }
}

fn form(shell: &Shell, tenants: &[Tenant]) -> Markup {
    html! {
        form.stack method="post" action="/account/tokens" {
            (shell.csrf())
            div.field { label for="name" { "What it is for" } input type="text" id="name" name="name" maxlength=(LONGEST_NAME) required; }
            div.field { label for="days" { "Works for" } select id="days" name="days" { @for days in LIVES { option value=(days) { (days) " days" } } } }
            fieldset.field {
                legend.small { "What it may do" }
                label { input type="radio" name="may" value="all" checked; " All that I may" }
                label { input type="radio" name="may" value="some"; " Only what is ticked below" }
                details.boxes { summary { "Capabilities" } ul { @for capability in Capability::ALL { li { label { input type="checkbox" name="capability" value=(capability); " " code { (capability) } } } } } }
            }
            @if !tenants.is_empty() {
                fieldset.field {
                    legend.small { "Where" }
                    label { input type="radio" name="where" value="all" checked; " In all my tenants and in the workspace" }
                    label { input type="radio" name="where" value="some"; " Only in the tenants ticked below" }
                    details.boxes { summary { "Tenants" } ul { @for tenant in tenants { li { label { input type="checkbox" name="tenant" value=(tenant.id); " " (format::shown(&tenant.name)) } } } } }
                }
            }
            button.button.primary type="submit" { "Make token" }
        }
    }
}

/// Reads a wished token from a form.
fn read(pairs: &Pairs) -> Result<NewToken, WebError> {
    let name = read_name(pairs.get("name").unwrap_or_default())?;
    let days: u64 = pairs.get("days").and_then(|text| text.parse().ok()).unwrap_or(0);
    let list = |choice: &str, values: Vec<&str>, what: &str| match pairs.get(choice) {
        Some("some") if values.is_empty() => {
            Err(WebError::BadRequest(format!("Tick at least one {what}, or choose all.")))
        }
        Some("some") => Ok(Some(values.into_iter().map(str::to_owned).collect::<Vec<_>>())),
        _ => Ok(None),
    };
    let may = list("may", pairs.all("capability").collect(), "capability")?;
    let places = list("where", pairs.all("tenant").collect(), "tenant")?;
    new_token(name, days, may.as_deref(), places.as_deref())
}

/// Reads what a token is for.
pub(crate) fn read_name(text: &str) -> Result<String, WebError> {
    let text = text.trim();
    if !(1..=LONGEST_NAME).contains(&text.chars().count()) {
        return Err(WebError::BadRequest(format!(
            "A token's name has 1 to {LONGEST_NAME} characters."
        )));
    }
    Ok(text.to_owned())
}

/// A wished token from words; says what is allowed.
pub(crate) fn new_token(
    name: String,
    days: u64,
    capabilities: Option<&[String]>,
    tenants: Option<&[String]>,
) -> Result<NewToken, WebError> {
    let most = LONGEST_LIFE.as_secs() / 86_400;
    if !(1..=most).contains(&days) {
        return Err(WebError::BadRequest(format!("days must be 1 to {most}.")));
    }
    let capabilities = capabilities.map(|words| {
        let read =
            words.iter().map(|word| word.parse::<Capability>()).collect::<Result<Vec<_>, _>>();
        read.map_err(|error| WebError::BadRequest(format!("capabilities: {error}.")))
    });
    let tenants = tenants.map(|words| {
        let read = words.iter().map(|word| word.parse::<TenantId>()).collect::<Result<Vec<_>, _>>();
        read.map_err(|_| WebError::BadRequest("tenants must be ids of tenants.".to_owned()))
    });
    Ok(NewToken {
        name,
        capabilities: capabilities.transpose()?,
        tenants: tenants.transpose()?,
        life: Duration::from_hours(24 * days),
    })
}

/// Makes the token, if the person may: fresh, within their own tenants.
pub(crate) async fn make(
    app: &App,
    actor: &Actor,
    new: NewToken,
    request: String,
) -> Result<(TokenId, ApiTokenSecret), WebError> {
    if !actor.is_fresh(app.store.now()) {
        return Err(WebError::ConfirmNeeded);
    }
    let fleet = app.store.enter_fleet::<ViewTenant>(actor)?;
    let own = fleet.tenant_list().await?;
    let strange = new.tenants.iter().flatten().any(|id| !own.iter().any(|(one, _)| one.id == *id));
    if strange {
        return Err(WebError::BadRequest("tenants must be ids of your tenants.".to_owned()));
    }
    let made = app.store.hall().token_create(actor, new, Some(request)).await?;
    made.ok_or_else(|| {
        WebError::Conflict("A token cannot make tokens, and nobody has more than 100 that work. Take some back first.".to_owned())
    })
}

/// Makes one, and shows it: the one time that its text is anywhere.
pub(crate) async fn create(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfPairs(pairs): CsrfPairs,
) -> Result<Markup, WebError> {
    let (_, secret) = make(&app, &actor, read(&pairs)?, id).await?;
    page(&app, &actor, Some(&secret)).await
}

pub(crate) async fn revoke(
    SignedIn(actor): SignedIn,
    Id(token): Id<TokenId>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    if !app.store.hall().token_revoke(&actor, token, Some(id)).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to("/account/tokens"))
}
