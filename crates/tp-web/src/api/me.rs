//! Who asks, and what they are told.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};
use tp_domain::time::Timestamp;

use super::{page, strict};
use crate::app::App;
use crate::error::WebError;
use crate::extract::SignedIn;

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
    let list = app.store.hall().notification_list(&actor, false, 200).await?;
    let data = list
        .iter()
        .map(|note| {
            json!({
                "id": note.id.to_string(), "run": note.run.to_string(), "tenant": note.tenant_slug,
                "kind": note.kind, "moment": note.moment.as_str(), "outcome": note.outcome.as_str(),
                "sentence": note.sentence(), "created_at": note.created_at.rfc3339(),
                "read_at": note.read_at.map(Timestamp::rfc3339),
            })
        })
        .collect();
    Ok(page(data, None, "/api/v1/notifications", &pairs))
}
