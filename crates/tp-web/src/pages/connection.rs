//! How a tenant is reached: credential, consent, permissions and what they are for (UX W12).

mod forms;
mod view;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use secrecy::SecretString;
use serde::Deserialize;
use tp_catalog::permission_check::permission_check;
use tp_domain::access::{RotateCredentials, StartConnectionVerify, ViewTenant};
use tp_domain::connection::CredentialState;
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::time::Timestamp;
use tp_store::{
    CertificateCredential, CredentialRefused, HowStarted, NewCredential, Started, TenantScope,
};

use self::view::Seen;
use super::login::Nothing;
use crate::api::connections::{generate, refused, which};
use crate::api::tenants::client_id;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{CsrfForm, InTenant, RequestId};
use crate::paths;
use crate::query::Pairs;

async fn render(
    app: &App,
    scope: &TenantScope<ViewTenant>,
    pairs: &Pairs,
    wrong: Option<&str>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(app, scope.actor()).await?;
    let known = scope.connection().await?;
    let check = permission_check(&app.catalog, known.granted.as_deref());
    let started = super::start_sync::banner(scope, pairs, &shell).await?;
    let seen = Seen { app, scope, shell: &shell, known: &known, check: &check };
    let body = seen.page(pairs, started, wrong);
    Ok(shell.render(&Page {
        title: "Connection",
        place: Place::Connection,
        tenant: Some(scope.tenant()),
        synced_at: None,
        body,
    }))
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewTenant>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    render(&app, &scope, &Pairs::parse(query.as_deref()), None).await
}

/// "Check again": starts and does nothing else (rule I-5).
pub(crate) async fn check(
    InTenant(scope): InTenant<StartConnectionVerify>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    let how = HowStarted { idempotency: None, request_id: Some(id) };
    let started = app.starter.start(&scope, &VerifyConnection, how).await?;
    let name = if matches!(started, Started::Created(_)) { "started" } else { "active" };
    let query = Pairs::default().with(name, &started.run().id.to_string());
    Ok(Redirect::to(&query.link(&paths::connection(scope.tenant()))))
}

/// After a change: the page says what was done. `wrong` is what was wrong with the form instead.
enum Told {
    Done(&'static str),
    Wrong(String),
}

async fn answer(
    app: &App,
    scope: &TenantScope<RotateCredentials>,
    told: Told,
) -> Result<Response, WebError> {
    match told {
        Told::Done(word) => {
            let query = Pairs::default().with("done", word);
            Ok(Redirect::to(&query.link(&paths::connection(scope.tenant()))).into_response())
        }
        Told::Wrong(text) => {
            let seen = scope.also::<ViewTenant>().await?;
            let page = render(app, &seen, &Pairs::default(), Some(&text)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Stores what a form brought, or says what is wrong with it.
async fn store(
    app: &App,
    scope: &TenantScope<RotateCredentials>,
    client: &str,
    new: Result<NewCredential, String>,
    (state, done): (CredentialState, &'static str),
    request: String,
) -> Result<Response, WebError> {
    let new = match new {
        Ok(new) => new,
        Err(text) => return answer(app, scope, Told::Wrong(text)).await,
    };
    let client = match client.trim() {
        "" => None,
        text => {
            let Ok(id) = client_id(text) else {
                let text = "Write the client id as the app registration shows it.".to_owned();
                return answer(app, scope, Told::Wrong(text)).await;
            };
            Some(id)
        }
    };
    match scope.credential_set(client, &new, state, Some(request)).await {
        Ok(_) => answer(app, scope, Told::Done(done)).await,
        Err(error @ CredentialRefused::NoClient) => {
            answer(app, scope, Told::Wrong(format!("Nothing was changed: {error}."))).await
        }
        Err(error) => Err(refused(error)),
    }
}

/// A new client secret.
#[derive(Deserialize)]
pub(crate) struct SecretForm {
    #[serde(default)]
    client_id: String,
    client_secret: SecretString,
    #[serde(default)]
    expires_on: String,
}

impl SecretForm {
    fn read(&self, now: Timestamp) -> Result<NewCredential, String> {
        use secrecy::ExposeSecret as _;
        let secret = self.client_secret.expose_secret().trim();
        if secret.is_empty() || secret.chars().count() > 1024 {
            return Err("Write the client secret: its value, not its id.".to_owned());
        }
        let expires_at = match self.expires_on.trim() {
            "" => None,
            day => {
                let end = Timestamp::parse(&format!("{day}T00:00:00Z"));
                let end =
                    end.ok_or("Write the end of the secret as a date, such as 2027-01-31.")?;
                if end <= now {
                    return Err(
                        "This secret has ended already; make a new one in Entra.".to_owned()
                    );
                }
                Some(end)
            }
        };
        Ok(NewCredential::Secret { secret: secret.into(), expires_at })
    }
}

pub(crate) async fn secret(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<SecretForm>,
) -> Result<Response, WebError> {
    let new = form.read(app.store.now());
    store(&app, &scope, &form.client_id, new, (CredentialState::Active, "secret"), id).await
}

/// A certificate with its key.
#[derive(Deserialize)]
pub(crate) struct CertificateForm {
    #[serde(default)]
    client_id: String,
    certificate_pem: SecretString,
}

pub(crate) async fn certificate(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<CertificateForm>,
) -> Result<Response, WebError> {
    let own = CertificateCredential::from_pem(&form.certificate_pem, app.store.now());
    let new = own
        .map(NewCredential::Certificate)
        .map_err(|error| format!("The certificate was not taken: {error}."));
    store(&app, &scope, &form.client_id, new, (CredentialState::Active, "certificate"), id).await
}

/// Whose key pair is to be made.
#[derive(Deserialize)]
pub(crate) struct MakeForm {
    #[serde(default)]
    client_id: String,
}

pub(crate) async fn make(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<MakeForm>,
) -> Result<Response, WebError> {
    let new = NewCredential::Certificate(generate(&app, &scope).await?);
    store(&app, &scope, &form.client_id, Ok(new), (CredentialState::Pending, "made"), id).await
}

pub(crate) async fn switch(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, WebError> {
    scope.credential_use(Some(id)).await.map_err(refused)?;
    answer(&app, &scope, Told::Done("used")).await
}

pub(crate) async fn discard(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, WebError> {
    scope.credential_discard(Some(id)).await?;
    answer(&app, &scope, Told::Done("discarded")).await
}

/// The certificate as a file, without its key: what the app registration takes.
pub(crate) async fn download(
    InTenant(scope): InTenant<ViewTenant>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let state = which(pairs.get("which")).ok_or(WebError::NotFound)?;
    let pem = scope.certificate_pem(state).await?.ok_or(WebError::NotFound)?;
    let name = format!("attachment; filename=\"tenantpilot-{}.pem\"", scope.tenant().slug);
    let mut response = pem.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
    if let Ok(value) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
