//! Tenants: list, look, add.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tp_domain::access::{Role, ViewTenant};
use tp_domain::tenant::{Slug, Tenant};
use tp_domain::time::Timestamp;
use tp_store::{CertificateCredential, ConsoleError, NewCredential, NewTenant};
use uuid::Uuid;

use super::{fields, json_body, page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{InTenant, SignedIn};

fn tenant_json(tenant: &Tenant, role: Role) -> Value {
    json!({
        "id": tenant.id.to_string(), "slug": tenant.slug.as_str(), "name": tenant.name,
        "entra_tenant_id": tenant.entra_tenant_id, "domain": tenant.domain, "cloud": tenant.cloud,
        "client_id": tenant.client_id, "status": tenant.status.as_str(), "role": role.as_str(),
        "created_at": tenant.created_at.rfc3339(),
    })
}

pub(crate) async fn list(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let tenants = app.store.enter_fleet::<ViewTenant>(&actor)?.tenant_list().await?;
    let data = tenants.iter().map(|(tenant, role)| tenant_json(tenant, *role)).collect();
    Ok(page(data, None, "/api/v1/tenants", &pairs))
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewTenant>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    Ok(Json(tenant_json(scope.tenant(), scope.role())))
}

const FIELDS: &[&str] = &[
    "name",
    "slug",
    "entra_tenant_id",
    "domain",
    "cloud",
    "client_id",
    "client_secret",
    "certificate_pem",
    "credential_expires_at",
];

/// The longest certificate with its key, in characters; more is refused by what reads it, with a reason.
const LONGEST_PEM: usize = 1 << 17;

/// The id of an app registration.
pub(crate) fn client_id(text: &str) -> Result<String, WebError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(WebError::Unreadable("client_id must be the id of an app registration.".to_owned()))
}

/// The credential that a body brings: a secret, with its end if that is said, or a certificate with its
/// key. Nothing of it stands in an error.
pub(super) fn credential(
    map: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<NewCredential>, WebError> {
    let wrong = |text: &str| Err(WebError::Unreadable(text.to_owned()));
    let expires_at = match text(map, "credential_expires_at", 64)? {
        None => None,
        Some(end) => match Timestamp::parse(end) {
            Some(end) if end > now => Some(end),
            Some(_) => return wrong("credential_expires_at is over already."),
            None => {
                return wrong("credential_expires_at must be a time such as 2027-01-31T00:00:00Z.");
            }
        },
    };
    match (text(map, "client_secret", 1024)?, text(map, "certificate_pem", LONGEST_PEM)?) {
        (Some(_), Some(_)) => wrong("Send client_secret or certificate_pem, not both."),
        (Some(secret), None) => {
            Ok(Some(NewCredential::Secret { secret: secret.into(), expires_at }))
        }
        (None, Some(_)) if expires_at.is_some() => {
            wrong("A certificate says itself when it ends: leave out credential_expires_at.")
        }
        (None, Some(pem)) => CertificateCredential::from_pem(&pem.into(), now)
            .map(|own| Some(NewCredential::Certificate(own)))
            .map_err(|error| WebError::Unreadable(format!("certificate_pem: {error}."))),
        (None, None) if expires_at.is_some() => {
            wrong("credential_expires_at goes together with client_secret.")
        }
        (None, None) => Ok(None),
    }
}

pub(super) fn text<'m>(
    map: &'m Map<String, Value>,
    name: &str,
    longest: usize,
) -> Result<Option<&'m str>, WebError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (1..=longest).contains(&text.chars().count()) => {
            Ok(Some(text))
        }
        Some(_) => Err(WebError::Unreadable(format!(
            "{name} must be a text of 1 to {longest} characters."
        ))),
    }
}

fn new_tenant(body: &Value, now: Timestamp) -> Result<NewTenant, WebError> {
    let map = fields(body, FIELDS)?;
    let needed = |name: &'static str, longest| {
        text(map, name, longest)?.ok_or_else(|| WebError::Unreadable(format!("{name} is needed.")))
    };
    let slug = Slug::new(needed("slug", 48)?)
        .map_err(|error| WebError::Unreadable(format!("slug: {error}.")))?;
    let entra = needed("entra_tenant_id", 64)?;
    let entra_tenant_id = Uuid::try_parse(entra)
        .map_err(|_| WebError::Unreadable("entra_tenant_id must be a UUID.".to_owned()))?;
    let credential = match (text(map, "client_id", 64)?, credential(map, now)?) {
        (None, None) => None,
        (Some(id), Some(new)) => Some((client_id(id)?, new)),
        _ => {
            return Err(WebError::Unreadable(
                "client_id goes together with client_secret or certificate_pem.".to_owned(),
            ));
        }
    };
    Ok(NewTenant {
        name: needed("name", 200)?.to_owned(),
        slug,
        entra_tenant_id,
        domain: text(map, "domain", 253)?.map(str::to_owned),
        cloud: text(map, "cloud", 48)?.unwrap_or("global").to_owned(),
        credential,
    })
}

pub(crate) async fn add(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    request: Request,
) -> Result<Response, WebError> {
    let body = json_body(request, &actor).await?;
    let new = new_tenant(&body, app.store.now())?;
    if app.settings.clouds.iter().all(|cloud| cloud.name != new.cloud) {
        let names: Vec<&str> = app.settings.clouds.iter().map(|one| one.name.as_str()).collect();
        return Err(WebError::Unreadable(format!("cloud must be one of {}.", names.join(", "))));
    }
    let slug = new.slug.clone();
    match app.store.tenant_add(&actor, new).await? {
        Ok(_) => {}
        Err(ConsoleError::Taken(detail)) => {
            return Err(WebError::Conflict(format!("Nothing was added: {detail}.")));
        }
        Err(ConsoleError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::error!(error = %error, "a tenant could not be added");
            return Err(WebError::Internal);
        }
    }
    let tenant = tp_store::TenantRef::Slug(slug);
    let scope = app.store.enter::<ViewTenant>(&actor, &tenant).await?;
    let body = tenant_json(scope.tenant(), scope.role());
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let location = format!("/api/v1/tenants/{}", scope.tenant().slug);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}
