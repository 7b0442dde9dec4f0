//! For machines that watch this one: alive, ready, version, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::error::WebError;

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(app): State<App>) -> Response {
    if let Ok(()) = app.store.ping().await {
        Json(json!({"ready": true})).into_response()
    } else {
        let body = json!({"ready": false, "reason": "the database does not answer"});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}

pub(crate) async fn version(State(app): State<App>) -> Json<Value> {
    Json(json!({"name": "tenantpilot", "version": app.settings.version}))
}

/// Prometheus text. Numbers of the whole installation, nothing of a tenant.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, WebError> {
    let upkeep = app.store.upkeep();
    let (queue, workers) = (upkeep.queue().await?, upkeep.workers().await?);
    let now = app.store.now();
    let oldest = queue.oldest.map_or(0.0, |at| now.since(at).as_secs_f64());
    let beat = queue.worker_beat.map_or(-1.0, |at| now.since(at).as_secs_f64());
    let text = format!(
        "# HELP tenantpilot_jobs_ready Runs that wait for a worker or for their time.\n\
         # TYPE tenantpilot_jobs_ready gauge\ntenantpilot_jobs_ready {}\n\
         # HELP tenantpilot_jobs_leased Runs that are being worked on.\n\
         # TYPE tenantpilot_jobs_leased gauge\ntenantpilot_jobs_leased {}\n\
         # HELP tenantpilot_oldest_job_seconds Age of the oldest waiting run.\n\
         # TYPE tenantpilot_oldest_job_seconds gauge\ntenantpilot_oldest_job_seconds {oldest}\n\
         # HELP tenantpilot_workers Processes that take work.\n\
         # TYPE tenantpilot_workers gauge\ntenantpilot_workers {}\n\
         # HELP tenantpilot_worker_beat_age_seconds Age of the latest heartbeat; -1 without any.\n\
         # TYPE tenantpilot_worker_beat_age_seconds gauge\ntenantpilot_worker_beat_age_seconds {beat}\n",
        queue.ready,
        queue.leased,
        workers.len(),
    );
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
