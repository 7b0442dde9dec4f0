//! Tenants: list, look, add.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tp_domain::access::{Role, ViewTenant};
use tp_domain::tenant::{Slug, Tenant};
use tp_store::{ConsoleError, NewTenant};
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

const FIELDS: &[&str] =
    &["name", "slug", "entra_tenant_id", "domain", "cloud", "client_id", "client_secret"];

fn text<'m>(
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

fn new_tenant(body: &Value) -> Result<NewTenant, WebError> {
    let map = fields(body, FIELDS)?;
    let needed = |name: &'static str, longest| {
        text(map, name, longest)?.ok_or_else(|| WebError::Unreadable(format!("{name} is needed.")))
    };
    let slug = Slug::new(needed("slug", 48)?)
        .map_err(|error| WebError::Unreadable(format!("slug: {error}.")))?;
    let entra = needed("entra_tenant_id", 64)?;
    let entra_tenant_id = Uuid::try_parse(entra)
        .map_err(|_| WebError::Unreadable("entra_tenant_id must be a UUID.".to_owned()))?;
    let credential = match (text(map, "client_id", 64)?, text(map, "client_secret", 1024)?) {
        (None, None) => None,
        (Some(id), Some(secret)) => Some((id.to_owned(), SecretString::from(secret))),
        _ => {
            return Err(WebError::Unreadable(
                "client_id and client_secret go together.".to_owned(),
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
    let new = new_tenant(&body)?;
    if !app.settings.clouds.contains(&new.cloud) {
        return Err(WebError::Unreadable(format!(
            "cloud must be one of {}.",
            app.settings.clouds.join(", ")
        )));
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
