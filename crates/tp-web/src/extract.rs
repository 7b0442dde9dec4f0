//! Who asks, and for which tenant: a handler's signature says what it needs.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tp_domain::access::Need;
use tp_store::{Actor, ApiTokenSecret, TenantRef, TenantScope, WorkspaceScope};

use crate::app::App;
use crate::csrf;
use crate::error::WebError;
use crate::query::Pairs;
use crate::session;

/// Somebody who is signed in, by session or by API token.
pub(crate) struct SignedIn(pub(crate) Actor);

/// The id of this request, for logs and errors.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

async fn actor(parts: &Parts, app: &App) -> Result<Actor, WebError> {
    let hall = app.store.hall();
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let text = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let secret = text.and_then(|text| ApiTokenSecret::parse(text.trim()));
        let actor = match secret {
            Some(secret) => hall.actor_of_token(&secret).await?,
            None => None,
        };
        return actor.ok_or(WebError::SignInNeeded);
    }
    let Some(secret) = session::read(app, &parts.headers) else {
        return Err(WebError::SignInNeeded);
    };
    hall.actor_of_session(&secret).await?.ok_or(WebError::SignInNeeded)
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, WebError> {
        actor(parts, app).await.map(Self)
    }
}

impl FromRequestParts<App> for RequestId {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, WebError> {
        parts.extensions.get::<Self>().cloned().ok_or(WebError::Internal)
    }
}

/// Somebody inside the tenant of the address, for the purpose `C`.
pub(crate) struct InTenant<C>(pub(crate) TenantScope<C>);

impl<C: Need> FromRequestParts<App> for InTenant<C> {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, WebError> {
        let actor = actor(parts, app).await?;
        let path =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, app);
        let Path(path) = path.await.map_err(|_| WebError::NotFound)?;
        let tenant = path.get("tenant").and_then(|text| TenantRef::parse(text));
        let tenant = tenant.ok_or(WebError::NotFound)?;
        Ok(Self(app.store.enter::<C>(&actor, &tenant).await?))
    }
}

/// Somebody in the workspace of the address as a whole, for the purpose `C`.
pub(crate) struct InWorkspace<C>(pub(crate) WorkspaceScope<C>);

impl<C: Need> FromRequestParts<App> for InWorkspace<C> {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, WebError> {
        let actor = actor(parts, app).await?;
        let path =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, app);
        let Path(path) = path.await.map_err(|_| WebError::NotFound)?;
        let workspace = path.get("workspace").and_then(|text| text.parse().ok());
        let workspace = workspace.ok_or(WebError::NotFound)?;
        Ok(Self(app.store.enter_workspace::<C>(&actor, workspace).await?))
    }
}

/// Somebody in the workspace of their session or token, for the purpose `C`.
pub(crate) struct InOwnWorkspace<C>(pub(crate) WorkspaceScope<C>);

impl<C: Need> FromRequestParts<App> for InOwnWorkspace<C> {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, WebError> {
        let actor = actor(parts, app).await?;
        Ok(Self(app.store.enter_workspace::<C>(&actor, actor.workspace()).await?))
    }
}

/// The id in an address; one of another form names nothing.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: std::str::FromStr> FromRequestParts<App> for Id<T> {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, WebError> {
        let path =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, app);
        let Path(path) = path.await.map_err(|_| WebError::NotFound)?;
        path.get("id").and_then(|text| text.parse().ok()).map(Self).ok_or(WebError::NotFound)
    }
}

/// A form of our own page, with the session's token in it.
pub(crate) struct CsrfForm<T>(pub(crate) T);

/// The same with its fields as they came, for forms with several values of one name.
pub(crate) struct CsrfPairs(pub(crate) Pairs);

impl FromRequest<App> for CsrfPairs {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &App) -> Result<Self, WebError> {
        let bytes = own_form(request, app).await?;
        let pairs = url::form_urlencoded::parse(&bytes).into_owned();
        Ok(Self(Pairs(pairs.filter(|(_, value)| !value.is_empty()).collect())))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for CsrfForm<T> {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &App) -> Result<Self, WebError> {
        read_form(&own_form(request, app).await?).map(Self)
    }
}

/// The bytes of a form of our own page.
async fn own_form(request: Request, app: &App) -> Result<Vec<u8>, WebError> {
    let (parts, body) = request.into_parts();
    let actor = actor(&parts, app).await?;
    let expected = actor.csrf().ok_or(WebError::Csrf)?.to_owned();
    if !csrf::same_origin(&parts.headers) {
        return Err(WebError::Csrf);
    }
    let bytes = read_body(Request::from_parts(parts, body)).await?;
    let given = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == "csrf");
    if !given.is_some_and(|(_, value)| csrf::same(&value, &expected)) {
        return Err(WebError::Csrf);
    }
    Ok(bytes)
}

/// A form's fields; the token and fields that the action does not know are left out.
pub(crate) fn read_form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WebError> {
    let map: serde_json::Map<String, serde_json::Value> = url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), serde_json::Value::String(value.into_owned())))
        .collect();
    serde_json::from_value(serde_json::Value::Object(map))
        .map_err(|_| WebError::BadRequest("A field of the form is missing.".to_owned()))
}

/// How long a body may take to come.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(15);

/// The whole body, up to the limit of 1 MiB.
pub(crate) async fn read_body(request: Request) -> Result<Vec<u8>, WebError> {
    let bytes = axum::body::to_bytes(request.into_body(), crate::middleware::BODY_LIMIT);
    // A body that drips holds a connection and a task (TRUST A44).
    match tokio::time::timeout(BODY_TIME, bytes).await {
        Ok(bytes) => bytes.map(|bytes| bytes.to_vec()).map_err(|_| WebError::TooLarge),
        Err(_) => Err(WebError::BadRequest("The body did not come within 15 seconds.".to_owned())),
    }
}
