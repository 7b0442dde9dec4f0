//! Members, roles, capabilities and API tokens of the workspace that the caller is in.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tp_domain::access::{Capability, ManageMembers, ManageTokens, Role, ViewMembers};
use tp_domain::ids::{InvitationId, TenantId, TokenId, UserId};
use tp_domain::member::{Invitation, Member};
use tp_domain::time::Timestamp;
use tp_store::ApiToken;

use super::{absolute, bad_value, fields, json_body, page, runs, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{Id, InOwnWorkspace, RequestId, SignedIn};
use crate::pages::{members, tokens};
use crate::paths;

fn member_json(member: &Member) -> Value {
    json!({
        "id": member.user.to_string(), "name": member.name, "email": member.email,
        "active": member.is_active,
        "role": member.role.map(Role::as_str),
        "tenants": member.overrides.iter().map(|one| json!({
            "tenant": one.tenant.to_string(), "slug": one.slug.as_str(), "role": one.role.as_str(),
        })).collect::<Vec<_>>(),
        "added_at": member.added_at.rfc3339(), "added_by": member.added_by,
        "seen_at": member.seen_at.map(Timestamp::rfc3339),
    })
}

fn invitation_json(invitation: &Invitation) -> Value {
    json!({
        "id": invitation.id.to_string(), "email": invitation.email, "role": invitation.role.as_str(),
        "tenant": invitation.tenant.map(|id| id.to_string()), "created_by": invitation.created_by,
        "created_at": invitation.created_at.rfc3339(), "expires_at": invitation.expires_at.rfc3339(),
    })
}

pub(crate) async fn list(
    InOwnWorkspace(scope): InOwnWorkspace<ViewMembers>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let data = scope.member_list().await?.iter().map(member_json).collect();
    Ok(page(data, None, "/api/v1/members", &pairs))
}

pub(crate) async fn invitations(
    InOwnWorkspace(scope): InOwnWorkspace<ViewMembers>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let data = scope.invitation_list().await?.iter().map(invitation_json).collect();
    Ok(page(data, None, "/api/v1/members/invitations", &pairs))
}

/// A tenant's id in a body; null and nothing are the whole workspace.
fn tenant(value: Option<&Value>) -> Result<Option<TenantId>, WebError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let id = value.as_str().and_then(|text| text.parse().ok());
            id.map(Some).ok_or_else(|| bad_value("tenant", "the id of a tenant, or null"))
        }
    }
}

/// Makes an invitation. Its link is in this answer and nowhere else.
pub(crate) async fn invite(
    InOwnWorkspace(scope): InOwnWorkspace<ManageMembers>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["email", "role", "tenant"])?;
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let new = members::new_invitation(text("email"), text("role"), tenant(map.get("tenant"))?)?;
    let (id, secret) = members::link(scope.invite(new, Some(request_id)).await?)?;
    let answer =
        json!({"id": id.to_string(), "link": absolute(&app, &paths::invitation(secret.expose()))});
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(crate) async fn invitation_revoke(
    InOwnWorkspace(scope): InOwnWorkspace<ManageMembers>,
    Id(id): Id<InvitationId>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    if !scope.invitation_revoke(id, Some(request_id)).await? {
        return Err(WebError::NotFound);
    }
    Ok(Json(json!({ "revoked": id.to_string() })))
}

/// Sets a role: in the workspace, or with `tenant` in one tenant, where null takes it away.
pub(crate) async fn set(
    InOwnWorkspace(scope): InOwnWorkspace<ManageMembers>,
    Id(user): Id<UserId>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    let body = json_body(request, scope.actor()).await?;
    let map = fields(&body, &["role", "tenant"])?;
    let tenant = tenant(map.get("tenant"))?;
    let role = match map.get("role") {
        Some(Value::Null) if tenant.is_some() => None,
        Some(Value::String(word)) => Some(
            word.parse::<Role>()
                .map_err(|error| WebError::BadRequest(format!("role: {error}.")))?,
        ),
        _ => {
            let allowed = "a role; with a tenant, null takes the role there away";
            return Err(bad_value("role", allowed));
        }
    };
    members::changed(scope.member_role_set(user, tenant, role, Some(request_id)).await?)?;
    let list = scope.member_list().await?;
    // Who has lost the last role is no member any more.
    let member = list.iter().find(|one| one.user == user);
    Ok(Json(member.map_or(Value::Null, member_json)))
}

pub(crate) async fn remove(
    InOwnWorkspace(scope): InOwnWorkspace<ManageMembers>,
    Id(user): Id<UserId>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, scope.actor()).await?;
    members::changed(scope.member_remove(user, Some(request_id)).await?)?;
    Ok(Json(json!({ "removed": user.to_string() })))
}

pub(crate) async fn roles(
    SignedIn(_): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let row = |role: &Role| {
        let may = Capability::ALL.iter().filter(|one| role.grants(**one));
        json!({
            "role": role.as_str(), "label": members::word(*role),
            "capabilities": may.map(|one| one.as_str()).collect::<Vec<_>>(),
        })
    };
    Ok(page(Role::ALL.iter().map(row).collect(), None, "/api/v1/roles", &pairs))
}

pub(crate) async fn capabilities(
    SignedIn(_): SignedIn,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let row = |capability: &Capability| {
        let roles = Role::ALL.iter().filter(|role| role.grants(*capability));
        json!({
            "capability": capability.as_str(),
            "roles": roles.map(|role| role.as_str()).collect::<Vec<_>>(),
        })
    };
    Ok(page(Capability::ALL.iter().map(row).collect(), None, "/api/v1/capabilities", &pairs))
}

fn token_json(token: &ApiToken) -> Value {
    let all = || json!(["all"]);
    let capabilities = token
        .capabilities
        .as_ref()
        .map_or_else(all, |list| list.iter().map(|one| json!(one.as_str())).collect());
    let tenants = token
        .tenants
        .as_ref()
        .map_or_else(all, |list| list.iter().map(|one| json!(one.to_string())).collect());
    json!({
        "id": token.id.to_string(), "name": token.name, "owner": token.owner.to_string(),
        "owner_name": token.owner_name, "capabilities": capabilities, "tenants": tenants,
        "created_at": token.created_at.rfc3339(), "expires_at": token.expires_at.rfc3339(),
        "used_at": token.used_at.map(Timestamp::rfc3339),
        "revoked_at": token.revoked_at.map(Timestamp::rfc3339),
    })
}

/// One's own tokens, or everybody's with `all=true`.
pub(crate) async fn token_list(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &["all"])?;
    let tokens = match pairs.get("all") {
        None | Some("false") => app.store.hall().token_list(&actor).await?,
        Some("true") => {
            let scope = app.store.enter_workspace::<ManageTokens>(&actor, actor.workspace());
            scope.await?.token_list().await?
        }
        Some(_) => return Err(bad_value("all", "true or false")),
    };
    Ok(page(tokens.iter().map(token_json).collect(), None, "/api/v1/tokens", &pairs))
}

/// A list of words in a body; `["all"]` and nothing are no limit.
fn words(
    map: &serde_json::Map<String, Value>,
    name: &str,
) -> Result<Option<Vec<String>>, WebError> {
    let Some(value) = map.get(name) else { return Ok(None) };
    let list: Option<Vec<String>> = value
        .as_array()
        .and_then(|list| list.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    let list = list.filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| bad_value(name, "a list of words, or [\"all\"]"))?;
    Ok(if list.iter().any(|word| word == "all") { None } else { Some(list) })
}

/// Makes a token. Its text is in this answer and nowhere else.
pub(crate) async fn token_create(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, WebError> {
    let body = json_body(request, &actor).await?;
    let map = fields(&body, &["name", "days", "capabilities", "tenants"])?;
    let name = tokens::read_name(map.get("name").and_then(Value::as_str).unwrap_or_default())?;
    let days = map.get("days").and_then(Value::as_u64).unwrap_or(0);
    let (may, places) = (words(map, "capabilities")?, words(map, "tenants")?);
    let new = tokens::new_token(name, days, may.as_deref(), places.as_deref())?;
    let (id, secret) = tokens::make(&app, &actor, new, request_id).await?;
    let answer = json!({"id": id.to_string(), "token": secret.expose()});
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Takes a token back: one's own, or anybody's for those who manage them.
pub(crate) async fn token_revoke(
    SignedIn(actor): SignedIn,
    Id(id): Id<TokenId>,
    State(app): State<App>,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, &actor).await?;
    let own = app.store.hall().token_revoke(&actor, id, Some(request_id.clone())).await?;
    if !own {
        let scope = app.store.enter_workspace::<ManageTokens>(&actor, actor.workspace()).await;
        // Somebody else's token is not there for those who do not manage them.
        let scope = scope.map_err(|refused| match refused {
            tp_store::Refused::Forbidden(_) => WebError::NotFound,
            other => other.into(),
        })?;
        if !scope.token_revoke(id, Some(request_id)).await? {
            return Err(WebError::NotFound);
        }
    }
    Ok(Json(json!({ "revoked": id.to_string() })))
}
