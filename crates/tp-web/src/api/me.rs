//! Who asks, and what they are told.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tp_domain::ids::NotificationId;
use tp_domain::notification::About;
use tp_domain::time::Timestamp;

use super::{page, runs, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::{Id, SignedIn};

/// So many of the newest notifications are listed.
const LISTED: u32 = 200;

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, WebError> {
    strict(query.as_deref(), &[])?;
    let unread = app.store.hall().notification_count(&actor).await?;
    Ok(Json(json!({
        "id": actor.user().to_string(), "name": actor.name(),
        "workspace": actor.workspace().to_string(), "unread_notifications": unread,
    })))
}

pub(crate) async fn notifications(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let pairs = strict(query.as_deref(), &[])?;
    let list = app.store.hall().notification_list(&actor, false, LISTED).await?;
    let data = list
        .iter()
        .map(|note| {
            let mut told = json!({
                "id": note.id.to_string(), "run": note.run().map(|run| run.to_string()),
                "tenant": note.tenant_slug, "sentence": note.sentence(),
                "created_at": note.created_at.rfc3339(),
                "read_at": note.read_at.map(Timestamp::rfc3339),
            });
            match &note.about {
                About::Run { kind, moment, outcome, .. } => {
                    told["kind"] = json!(kind);
                    told["moment"] = json!(moment.as_str());
                    told["outcome"] = json!(outcome.as_str());
                }
                About::Expiry { credential, warning, expires_at } => {
                    told["kind"] = json!("credential.expiry");
                    told["moment"] = json!(warning.as_str());
                    told["credential"] = json!(credential.as_str());
                    told["expires_at"] = json!(expires_at.rfc3339());
                }
            }
            told
        })
        .collect();
    Ok(page(data, None, "/api/v1/notifications", &pairs))
}

/// Marks one as read. A second time is as good as the first.
pub(crate) async fn read_one(
    SignedIn(actor): SignedIn,
    Id(id): Id<NotificationId>,
    State(app): State<App>,
    request: Request,
) -> Result<StatusCode, WebError> {
    runs::no_fields(request, &actor).await?;
    let hall = app.store.hall();
    if !hall.notification_read(&actor, id).await? {
        let own = hall.notification_list(&actor, false, LISTED).await?;
        own.iter().find(|note| note.id == id).ok_or(WebError::NotFound)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Marks all as read, and says how many were not.
pub(crate) async fn read_all(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    request: Request,
) -> Result<Json<Value>, WebError> {
    runs::no_fields(request, &actor).await?;
    let read = app.store.hall().notification_read_all(&actor).await?;
    Ok(Json(json!({ "read": read })))
}
