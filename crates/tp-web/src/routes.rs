//! The route table: every address of the product, once. The router is built from it, so a route outside
//! of it cannot exist; `docs/routes.txt` is its golden file.

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use tower_http::compression::CompressionLayer;
use tp_domain::access::{
    Capability, Need, StartInventorySync, ViewInventory, ViewOperations, ViewPolicies, ViewTenant,
};
use tp_domain::operation::{Level, OperationKind};

use crate::app::App;
use crate::{api, assets, middleware, pages};

/// What an address asks of whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nothing.
    Nothing,
    /// To be signed in; it shows or changes what is the person's own.
    SignIn,
    /// A capability in the tenant of the address.
    Tenant(Capability),
    /// For each kind of that level the capability of that kind (ruling 4).
    Kind(Level),
}

/// One address.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) asks: Asks,
    handler: MethodRouter<App>,
}

fn row(method: Method, path: &'static str, asks: Asks, handler: MethodRouter<App>) -> Route {
    Route { method, path, asks, handler }
}

/// A page or a GET of the API.
fn show(path: &'static str, asks: Asks, handler: MethodRouter<App>) -> Route {
    row(Method::GET, path, asks, handler)
}

/// A change.
fn act(path: &'static str, asks: Asks, handler: MethodRouter<App>) -> Route {
    row(Method::POST, path, asks, handler)
}

const fn needs<C: Need>() -> Asks {
    Asks::Tenant(C::CAPABILITY)
}

fn page_routes() -> Vec<Route> {
    use pages::{
        login, notifications, operation, operations, overview, policies, policy, reason_codes,
        start_sync, tenants,
    };
    vec![
        show("/", Asks::Nothing, get(home)),
        show("/assets/{name}", Asks::Nothing, get(assets::asset)),
        show("/login", Asks::Nothing, get(login::show)),
        act("/login", Asks::Nothing, post(login::sign_in)),
        act("/logout", Asks::SignIn, post(login::sign_out)),
        show("/tenants", Asks::SignIn, get(tenants::show)),
        show("/operations", Asks::SignIn, get(operations::fleet)),
        show("/operations/live", Asks::SignIn, get(operations::fleet_live)),
        show("/notifications", Asks::SignIn, get(notifications::show)),
        show("/notifications/bell", Asks::SignIn, get(operations::bell_part)),
        act("/notifications/read", Asks::SignIn, post(notifications::read_all)),
        act("/notifications/{id}/read", Asks::SignIn, post(notifications::read_one)),
        show("/docs/reason-codes", Asks::SignIn, get(reason_codes::list)),
        show("/docs/reason-codes/{code}", Asks::SignIn, get(reason_codes::show)),
        show("/t/{tenant}/overview", needs::<ViewTenant>(), get(overview::show)),
        show("/t/{tenant}/policies", needs::<ViewPolicies>(), get(policies::show)),
        show("/t/{tenant}/policies/{id}", needs::<ViewPolicies>(), get(policy::show)),
        show("/t/{tenant}/operations", needs::<ViewOperations>(), get(operations::show)),
        show("/t/{tenant}/operations/live", needs::<ViewOperations>(), get(operations::live)),
        show("/t/{tenant}/operations/banner", needs::<ViewOperations>(), get(operations::banner)),
        show("/t/{tenant}/operations/{id}", needs::<ViewOperations>(), get(operation::show)),
        show("/t/{tenant}/operations/{id}/live", needs::<ViewOperations>(), get(operation::live)),
        act("/t/{tenant}/inventory/sync", needs::<StartInventorySync>(), post(start_sync::start)),
    ]
}

fn api_routes() -> Vec<Route> {
    use api::{me, policies, reference, runs, system, tenants};
    vec![
        show("/healthz", Asks::Nothing, get(system::healthz)),
        show("/readyz", Asks::Nothing, get(system::readyz)),
        show("/version", Asks::Nothing, get(system::version)),
        show("/metrics", Asks::Nothing, get(system::metrics)),
        show("/api/v1/openapi.json", Asks::Nothing, get(api::openapi::show)),
        show("/api/v1/me", Asks::SignIn, get(me::show)),
        show("/api/v1/notifications", Asks::SignIn, get(me::notifications)),
        show("/api/v1/policy-types", Asks::SignIn, get(reference::policy_types)),
        show("/api/v1/reason-codes", Asks::SignIn, get(reference::reason_codes)),
        show("/api/v1/tenants", Asks::SignIn, get(tenants::list)),
        act("/api/v1/tenants", Asks::SignIn, post(tenants::add)),
        show("/api/v1/tenants/{tenant}", needs::<ViewTenant>(), get(tenants::show)),
        show("/api/v1/runs", Asks::SignIn, get(runs::list_fleet)),
        show("/api/v1/tenants/{tenant}/runs", needs::<ViewOperations>(), get(runs::list)),
        act("/api/v1/tenants/{tenant}/runs", Asks::Kind(Level::Tenant), post(runs::start)),
        show("/api/v1/tenants/{tenant}/runs/{id}", needs::<ViewOperations>(), get(runs::show)),
        show(
            "/api/v1/tenants/{tenant}/runs/{id}/items",
            needs::<ViewOperations>(),
            get(runs::items),
        ),
        show("/api/v1/tenants/{tenant}/policies", needs::<ViewPolicies>(), get(policies::list)),
        show(
            "/api/v1/tenants/{tenant}/policies/{id}",
            needs::<ViewPolicies>(),
            get(policies::show),
        ),
        show(
            "/api/v1/tenants/{tenant}/coverage",
            needs::<ViewInventory>(),
            get(policies::coverage),
        ),
        show("/api/v1/tenants/{tenant}/groups", needs::<ViewInventory>(), get(policies::groups)),
    ]
}

pub(crate) fn all() -> Vec<Route> {
    let mut routes = page_routes();
    routes.extend(api_routes());
    routes
}

/// The table as text: method, address, what it asks.
pub fn table() -> String {
    let mut lines: Vec<String> = all()
        .iter()
        .map(|route| {
            let asks = match route.asks {
                Asks::Nothing => "nothing".to_owned(),
                Asks::SignIn => "sign-in".to_owned(),
                Asks::Tenant(capability) => capability.to_string(),
                Asks::Kind(level) => OperationKind::ALL
                    .iter()
                    .filter(|kind| kind.facts().level == level)
                    .map(|kind| format!("{kind}: {}", kind.facts().capability))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            format!("{:<5} {:<48} {asks}", route.method.as_str(), route.path)
        })
        .collect();
    lines.sort();
    lines.join("\n") + "\n"
}

async fn home() -> axum::response::Redirect {
    axum::response::Redirect::to("/tenants")
}

/// The whole web.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in all() {
        router = router.route(route.path, route.handler);
    }
    router
        .with_state(app.clone())
        .layer(axum::middleware::from_fn_with_state(app, middleware::wrap))
        .layer(CompressionLayer::new())
}
