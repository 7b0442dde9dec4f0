//! The admin-consent page of Microsoft: the link to it, and what comes back from it.
//!
//! Whoever comes back is not believed: an answer changes nothing by itself. In the session that asked for
//! it, once and within minutes, it starts a check, and the check's token proves what was consented to.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tp_domain::access::{ManageTenant, StartConnectionVerify, ViewTenant};
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::entra::reason_of_consent;
use tp_domain::reason::ReasonCode;
use tp_domain::tenant::Tenant;
use tp_store::{
    CONSENT_LIFE, ConsentAnswer, ConsentState, HowStarted, Refused, Started, TenantRef,
};
use url::Url;
use uuid::Uuid;

use super::login::Nothing;
use crate::api::absolute;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{CsrfForm, InTenant, RequestId, SignedIn};
use crate::query::Pairs;
use crate::{format, paths};

/// The address of Microsoft's page, for this tenant and its app. Without a state its answer is shown to
/// whoever comes back, and changes nothing here: such a link can be sent to the customer's administrator.
pub(crate) fn link(
    app: &App,
    tenant: &Tenant,
    client_id: Option<&str>,
    state: Option<&ConsentState>,
) -> Option<String> {
    let cloud = app.settings.clouds.iter().find(|cloud| cloud.name == tenant.cloud)?;
    let mut url = cloud.login.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend([
        &tenant.entra_tenant_id.to_string(),
        "v2.0",
        "adminconsent",
    ]);
    let mut pairs = url.query_pairs_mut();
    pairs
        .append_pair("client_id", client_id?)
        .append_pair("scope", &cloud.scope)
        .append_pair("redirect_uri", &absolute(app, paths::CONSENT_CALLBACK));
    if let Some(state) = state {
        pairs.append_pair("state", state.expose());
    }
    drop(pairs);
    Some(url.into())
}

/// Asks for a link of one's own. The form leads to a page with it and not at once to Microsoft: people
/// see where they go, and no form of ours is sent elsewhere.
pub(crate) async fn ask(
    InTenant(scope): InTenant<ManageTenant>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Markup, WebError> {
    let tenant = scope.tenant();
    let no_app = || {
        WebError::Conflict(
            "The tenant has no app registration yet: set its credential first.".to_owned(),
        )
    };
    let client = tenant.client_id.as_deref().ok_or_else(no_app)?;
    let state = scope.consent_ask(Some(id)).await?.ok_or(WebError::SignInNeeded)?;
    let link = link(&app, tenant, Some(client), Some(&state)).ok_or(WebError::Internal)?;
    let host = Url::parse(&link).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    let shell = Shell::of(&app, scope.actor()).await?;
    let minutes = CONSENT_LIFE.as_secs() / 60;
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol { li { a href=(paths::connection(tenant)) { "Connection" } } li aria-current="page" { "Consent" } } }
        div.head { h1 { "Consent of an administrator" } }
        ol.plain {
            li { "Microsoft's page at " strong { (host) } " opens. Sign in there as an administrator of " strong { (format::shown(&tenant.name)) } "." }
            li { "It lists the permissions of the app registration " code { (client) } ". Compare them with those on the connection's page: it needs no others." }
            li { "It leads back here. A check of the connection then shows what was granted." }
        }
        p { "The link works once, in this browser, for " (minutes) " minutes." }
        div.actions {
            a.button.primary href=(link) rel="noreferrer" { "Continue to Microsoft" }
            a.button href=(paths::connection(tenant)) { "Back" }
        }
    };
    Ok(shell.render(&Page {
        title: "Consent",
        place: Place::Connection,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

/// What the address says that came of it; none when it says nothing that Microsoft's page would.
fn answer_of(pairs: &Pairs) -> Option<ConsentAnswer> {
    if let Some(error) = pairs.get("error") {
        let description = pairs.get("error_description").unwrap_or_default();
        return Some(ConsentAnswer::Refused(reason_of_consent(error, description)));
    }
    let given = pairs.get("admin_consent").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    given.then_some(ConsentAnswer::Given)
}

/// Where Microsoft's page leads back to.
pub(crate) async fn callback(
    signed_in: Result<SignedIn, WebError>,
    State(app): State<App>,
    RequestId(id): RequestId,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let Some(answer) = answer_of(&pairs) else {
        return Err(WebError::BadRequest(
            "This address is where Microsoft's consent page leads back to. It came without an answer."
                .to_owned(),
        ));
    };
    let actor = match signed_in {
        Ok(SignedIn(actor)) => Some(actor),
        Err(WebError::SignInNeeded) => None,
        Err(error) => return Err(error),
    };
    let state = pairs.get("state").and_then(ConsentState::parse);
    if let (Some(actor), Some(state)) = (&actor, &state) {
        let hall = app.store.hall();
        if let Some(tenant) = hall.consent_take(actor, state, answer, Some(id.clone())).await? {
            let tenant = TenantRef::Id(tenant);
            return taken(&app, actor, &tenant, answer, &pairs, id).await;
        }
    }
    let shell = match &actor {
        Some(actor) => Shell::of(&app, actor).await?,
        None => Shell::anonymous(&app),
    };
    let page = shell.render(&Page {
        title: "Consent",
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body: untaken(answer, state.is_some()),
    });
    Ok((StatusCode::OK, page).into_response())
}

/// The answer belongs to a link of this session: back to the connection, with a check under way.
async fn taken(
    app: &App,
    actor: &tp_store::Actor,
    tenant: &TenantRef,
    answer: ConsentAnswer,
    pairs: &Pairs,
    request: String,
) -> Result<Response, WebError> {
    let seen = app.store.enter::<ViewTenant>(actor, tenant).await?;
    let back = |name: &str, value: &str| {
        let query = Pairs::default().with("consent", name);
        let query = if value.is_empty() { query } else { query.with("started", value) };
        Redirect::to(&query.link(&paths::connection(seen.tenant()))).into_response()
    };
    let reason = match answer {
        ConsentAnswer::Refused(reason) => Some(reason),
        ConsentAnswer::Given => {
            // An administrator may have signed in to another tenant than the one that was meant.
            let other = pairs.get("tenant").and_then(|text| Uuid::try_parse(text).ok());
            let own = other.is_none_or(|other| other == seen.tenant().entra_tenant_id);
            (!own).then_some(ReasonCode::TenantMismatch)
        }
    };
    if let Some(reason) = reason {
        return Ok(back(reason.as_str(), ""));
    }
    let scope = match app.store.enter::<StartConnectionVerify>(actor, tenant).await {
        Ok(scope) => scope,
        Err(Refused::Forbidden(_)) => return Ok(back("given", "")),
        Err(error) => return Err(error.into()),
    };
    let how = HowStarted { idempotency: None, request_id: Some(request) };
    let started: Started = app.starter.start(&scope, &VerifyConnection, how).await?;
    Ok(back("given", &started.run().id.to_string()))
}

/// The answer belongs to no link of this session: it is said and changes nothing.
fn untaken(answer: ConsentAnswer, had_state: bool) -> Markup {
    html! {
        div.head { h1 { "Consent" } }
        @match answer {
            ConsentAnswer::Given => div.banner.good role="status" { p { "Microsoft says that consent was given." } },
            ConsentAnswer::Refused(reason) => div.banner.bad role="status" { p {
                "Consent was not given: " (reason.text().sentence) " " span.mono { (reason.as_str()) }
            } },
        }
        @if had_state {
            p { "The link that led here was used already, is too old, or is of another browser. Nothing was changed by coming back." }
        }
        p { "Whoever manages the tenant in TenantPilot can now press “Check again” on its connection's page. You can close this window." }
    }
}

/// What the connection's page says after an answer.
pub(crate) fn banner(pairs: &Pairs) -> Markup {
    let Some(word) = pairs.get("consent") else { return html! {} };
    if word == "given" {
        return html! { div.banner.good role="status" { p { "Microsoft says that consent was given. A check shows what was granted." } } };
    }
    let Ok(reason) = word.parse::<ReasonCode>() else { return html! {} };
    html! {
        div.banner.bad role="status" { p {
            "Consent was not given: " (reason.text().sentence) " "
            a.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) } ". "
            strong { "What to do: " } (reason.text().advice)
        } }
    }
}
