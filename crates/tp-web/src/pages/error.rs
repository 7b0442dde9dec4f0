//! What people see when something went wrong: what happened, what to do, and nothing internal.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::Said;

/// The page. A 404 holds nothing of the request: it is the same for what is not there and for what is
/// somebody else's (PRODUCT A-3).
pub(crate) fn render(app: &App, said: &Said, request_id: &str) -> Response {
    let body = html! {
        div.empty {
            h1 { (said.title) }
            p { (said.detail) }
            p { (said.advice) }
            @if said.status != StatusCode::NOT_FOUND {
                p.muted.small { "Request id " code { (request_id) } }
            }
            p { a.button href="/tenants" { "Go to your tenants" } }
        }
    };
    let page = Page { title: said.title, place: Place::Fleet, tenant: None, synced_at: None, body };
    (said.status, Shell::anonymous(app).render(&page)).into_response()
}
