//! "Sync now": a start surface starts and does nothing else (rule I-5).

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{Capability, StartInventorySync};
use tp_domain::ids::RunId;
use tp_domain::inventory_sync::SyncInventory;
use tp_store::{HowStarted, Started, TenantScope};

use crate::app::App;
use crate::components::layout::Shell;
use crate::components::run::started_banner;
use crate::error::WebError;
use crate::extract::{CsrfForm, InTenant, RequestId};
use crate::paths;
use crate::query::Pairs;

#[derive(Deserialize)]
pub(crate) struct SyncForm {
    #[serde(default)]
    back: String,
}

/// The action behind the button.
pub(crate) async fn start(
    InTenant(scope): InTenant<StartInventorySync>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<SyncForm>,
) -> Result<Redirect, WebError> {
    let how = HowStarted { idempotency: None, request_id: Some(id) };
    let started = app.starter.start(&scope, &SyncInventory::everything(), how).await?;
    let name = if matches!(started, Started::Created(_)) { "started" } else { "active" };
    let back =
        paths::local(&form.back).map_or_else(|| paths::overview(scope.tenant()), str::to_owned);
    let (path, query) =
        back.split_once('?').map_or((back.as_str(), None), |(path, query)| (path, Some(query)));
    let pairs = Pairs::parse(query).without(&["started", "active"]);
    Ok(Redirect::to(&pairs.with(name, &started.run().id.to_string()).link(path)))
}

/// The button, or the reason why it cannot be pressed.
pub(crate) fn button<C>(scope: &TenantScope<C>, shell: &Shell, back: &str) -> Markup {
    let why = if !scope.may(Capability::InventorySync) {
        Some("Syncing needs the capability inventory.sync. Ask an owner or a manager.")
    } else if scope.tenant().client_id.is_none() {
        Some("This tenant has no credential yet, so it cannot be reached.")
    } else {
        None
    };
    html! {
        @if let Some(why) = why {
            span.why id="why-sync" { (why) }
            button.button type="button" aria-disabled="true" aria-describedby="why-sync" { "Sync now" }
        } @else {
            form method="post" action=(paths::sync(scope.tenant())) {
                (shell.csrf())
                input type="hidden" name="back" value=(back);
                button.button.primary type="submit" { "Sync now" }
            }
        }
    }
}

/// The banner for what the address says was started. Read from the database: it is true after a
/// reload too, and says nothing about a run of another tenant.
pub(crate) async fn banner<C>(
    scope: &TenantScope<C>,
    pairs: &Pairs,
    shell: &Shell,
) -> Result<Markup, WebError> {
    let new = pairs.get("started").and_then(|text| text.parse::<RunId>().ok());
    let active = pairs.get("active").and_then(|text| text.parse::<RunId>().ok());
    let Some(id) = new.or(active) else { return Ok(html! {}) };
    let Some(run) = scope.run_get(id).await? else { return Ok(html! {}) };
    let banner = started_banner(&run, scope.tenant(), new.is_some(), shell.now);
    let mark = if new.is_some() { "started" } else { "active" };
    let live = format!("{}/banner?{mark}={id}", paths::operations(scope.tenant()));
    Ok(html! { div data-live=(live) data-every="2000" { (banner) } })
}
