//! How a tenant is reached: what is known of it, and its credential (PRODUCT G-7).

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tp_catalog::permission_check::{PermissionCheck, permission_check};
use tp_catalog::permissions::Excess;
use tp_domain::access::{RotateCredentials, ViewTenant};
use tp_domain::connection::{CredentialFacts, CredentialState};
use tp_domain::time::Timestamp;
use tp_store::{
    CertificateCredential, ConnectionView, CredentialRefused, NewCredential, TenantScope,
};

use super::{absolute, bad_value, fields, json_body, runs, strict, tenants};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{InTenant, RequestId};
use crate::pages::consent;

fn facts_json(facts: &CredentialFacts) -> Value {
    json!({
        "kind": facts.kind.as_str(), "state": facts.state.as_str(),
        "expires_at": facts.expires_at.map(Timestamp::rfc3339), "thumbprint": facts.thumbprint,
        "set_at": facts.set_at.rfc3339(), "set_by": facts.set_by,
    })
}

fn permissions_json(check: &PermissionCheck) -> Value {
    let lines = check.lines.iter().map(|line| {
        json!({
            "permission": line.permission, "purpose": line.purpose.as_str(),
            "state": line.standing.as_str(), "features": line.features, "types": line.types,
            "without": line.without(),
        })
    });
    let excess = |one: &Excess| json!({"permission": one.permission, "advice": one.sentence()});
    json!({
        "needed": lines.collect::<Vec<_>>(),
        "more_than_needed": check.excess.iter().map(excess).collect::<Vec<_>>(),
        "read_only": !check.can_write(), "can_write_with": check.writing,
        "closed_to_apps": check.unreadable, "not_writable_by_apps": check.unwritable,
        "writing_unproved": check.unproved,
    })
}

/// What is known of a connection, as the API shows it.
fn connection_json<C>(app: &App, scope: &TenantScope<C>, view: &ConnectionView) -> Value {
    let tenant = scope.tenant();
    let check = permission_check(&app.catalog, view.granted.as_deref());
    let report = view.report.as_ref().map(|report| {
        let mut json = report.json();
        json["checked_at"] = json!(report.checked_at.rfc3339());
        json["run"] = json!(report.run.to_string());
        json["works"] = json!(report.works());
        json
    });
    json!({
        "tenant": tenant.slug.as_str(), "entra_tenant_id": tenant.entra_tenant_id,
        "cloud": tenant.cloud, "client_id": view.client_id,
        "credential": view.active.as_ref().map(facts_json),
        "pending": view.pending.as_ref().map(facts_json),
        "report": report, "granted": view.granted,
        "granted_at": view.granted_at.map(Timestamp::rfc3339),
        "permissions": permissions_json(&check),
        "consent_link": consent::link(app, tenant, view.client_id.as_deref(), None),
        "consent_callback": absolute(app, crate::paths::CONSENT_CALLBACK),
    })
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewTenant>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    let view = scope.connection().await?;
    Ok(Json(connection_json(&app, &scope, &view)))
}

/// What is known after a change: read anew, since the change may be of the client id as well.
async fn changed(
    app: &App,
    scope: &TenantScope<RotateCredentials>,
) -> Result<Json<Value>, WebError> {
    let view = scope.connection().await?;
    Ok(Json(connection_json(app, scope, &view)))
}

/// What is said of a credential that was not stored.
pub(crate) fn refused(error: CredentialRefused) -> WebError {
    match error {
        CredentialRefused::NoClient | CredentialRefused::NonePending => {
            WebError::Conflict(format!("Nothing was changed: {error}."))
        }
        CredentialRefused::Store(error) => error.into(),
        CredentialRefused::Key(error) => {
            tracing::error!(error = %error, "a credential could not be sealed");
            WebError::Internal
        }
    }
}

const FIELDS: &[&str] = &["client_id", "client_secret", "certificate_pem", "credential_expires_at"];

fn client_id(map: &Map<String, Value>) -> Result<Option<String>, WebError> {
    tenants::text(map, "client_id", 64)?.map(tenants::client_id).transpose()
}

/// Replaces the credential, and the app registration if it is named.
pub(crate) async fn set(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, FIELDS)?;
    let client = client_id(map)?;
    let Some(new) = tenants::credential(map, app.store.now())? else {
        return Err(WebError::Unreadable(
            "client_secret or certificate_pem is needed; a secret is never read back.".to_owned(),
        ));
    };
    let active = CredentialState::Active;
    scope.credential_set(client, &new, active, Some(id)).await.map_err(refused)?;
    changed(&app, &scope).await
}

/// Makes a key pair, which takes a moment of a core.
pub(crate) async fn generate(
    app: &App,
    scope: &TenantScope<RotateCredentials>,
) -> Result<CertificateCredential, WebError> {
    let name = format!("TenantPilot {}", scope.tenant().slug);
    let now = app.store.now();
    // Like passwords: few at once, or one person keeps all cores busy.
    let _permit = app.hashing.acquire().await.map_err(|_| WebError::Internal)?;
    let made = tokio::task::spawn_blocking(move || CertificateCredential::generate(&name, now));
    made.await.ok().and_then(Result::ok).ok_or(WebError::Internal)
}

/// Makes a key pair here. Its certificate is for the app registration; it is not signed in with yet.
pub(crate) async fn certificate_make(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let client = client_id(fields(&body, &["client_id"])?)?;
    let own = generate(&app, &scope).await?;
    let (pem, new) = (own.certificate_pem(), NewCredential::Certificate(own));
    let facts = scope.credential_set(client, &new, CredentialState::Pending, Some(id)).await;
    let mut json = facts_json(&facts.map_err(refused)?);
    json["certificate_pem"] = json!(pem);
    Ok((StatusCode::CREATED, Json(json)).into_response())
}

/// Which certificate is meant.
pub(crate) fn which(text: Option<&str>) -> Option<CredentialState> {
    text.map_or(Some(CredentialState::Pending), |word| word.parse().ok())
}

/// The certificate without its key.
pub(crate) async fn certificate(
    InTenant(scope): InTenant<ViewTenant>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    let pairs = strict(query.as_deref(), &["which"])?;
    let state = which(pairs.get("which")).ok_or_else(|| bad_value("which", "pending or active"))?;
    let pem = scope.certificate_pem(state).await?.ok_or(WebError::NotFound)?;
    Ok(Json(json!({"which": state.as_str(), "certificate_pem": pem})))
}

/// Signs in with the key pair that was made here, from now on.
pub(crate) async fn certificate_use(
    InTenant(scope): InTenant<RotateCredentials>,
    State(app): State<App>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    scope.credential_use(Some(id)).await.map_err(refused)?;
    changed(&app, &scope).await
}

/// Throws the key pair away that was made here and is not used.
pub(crate) async fn certificate_discard(
    InTenant(scope): InTenant<RotateCredentials>,
    RequestId(id): RequestId,
    request: Request,
) -> Result<StatusCode, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    if scope.credential_discard(Some(id)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(WebError::NotFound)
    }
}
