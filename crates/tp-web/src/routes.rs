//! The route table: every address of the product, once. The router is built from it, so a route outside
//! of it cannot exist; `docs/routes.txt` is its golden file.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post};
use tower_http::compression::CompressionLayer;
use tp_domain::access::{
    ApproveRestore, CancelOperations, Capability, DeleteBackups, DownloadBackups, ExecuteRestores,
    ManageMembers, ManageSchedules, ManageSettings, ManageTenant, Need, PreviewRestore,
    RotateCredentials, StartBackup, StartBackupExport, StartBackupImport, StartBackupVerify,
    StartConnectionVerify, StartInventorySync, ViewBackups, ViewInventory, ViewMembers,
    ViewOperations, ViewPolicies, ViewSettings, ViewTenant,
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
    /// A capability in the workspace of the address.
    Workspace(Capability),
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

/// A change of a thing that is there.
fn change(method: Method, path: &'static str, asks: Asks, handler: MethodRouter<App>) -> Route {
    row(method, path, asks, handler)
}

const fn needs<C: Need>() -> Asks {
    Asks::Tenant(C::CAPABILITY)
}

const fn wants<C: Need>() -> Asks {
    Asks::Workspace(C::CAPABILITY)
}

fn page_routes() -> Vec<Route> {
    use pages::{
        login, notifications, operation, operations, overview, policies, policy, policy_types,
        reason_codes, start_sync, tenants,
    };
    let mut routes = vec![
        show("/", Asks::Nothing, get(home)),
        show("/assets/{name}", Asks::Nothing, get(assets::asset)),
        show("/login", Asks::Nothing, get(login::show)),
        act("/login", Asks::Nothing, post(login::sign_in)),
        show("/login/code", Asks::Nothing, get(pages::login_code::show)),
        act("/login/code", Asks::Nothing, post(pages::login_code::check)),
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
        show("/policy-types", Asks::SignIn, get(policy_types::list)),
        show("/policy-types/{key}", Asks::SignIn, get(policy_types::show)),
        show("/t/{tenant}/policy-types", needs::<ViewTenant>(), get(policy_types::tenant)),
        show("/t/{tenant}/overview", needs::<ViewTenant>(), get(overview::show)),
        show("/t/{tenant}/policies", needs::<ViewPolicies>(), get(policies::show)),
        show("/t/{tenant}/policies/{id}", needs::<ViewPolicies>(), get(policy::show)),
        show("/t/{tenant}/operations", needs::<ViewOperations>(), get(operations::show)),
        show("/t/{tenant}/operations/live", needs::<ViewOperations>(), get(operations::live)),
        show("/t/{tenant}/operations/banner", needs::<ViewOperations>(), get(operations::banner)),
        show("/t/{tenant}/operations/{id}", needs::<ViewOperations>(), get(operation::show)),
        show("/t/{tenant}/operations/{id}/live", needs::<ViewOperations>(), get(operation::live)),
        act("/t/{tenant}/inventory/sync", needs::<StartInventorySync>(), post(start_sync::start)),
        act(
            "/t/{tenant}/operations/{id}/cancel",
            needs::<CancelOperations>(),
            post(operation::cancel),
        ),
        act(
            "/t/{tenant}/operations/{id}/retry",
            Asks::Kind(Level::Tenant),
            post(operation::again::retry),
        ),
        act("/notifications/settings", Asks::SignIn, post(notifications::settings)),
    ];
    routes.extend(account_pages());
    routes.extend(backup_pages());
    routes.extend(restore_pages());
    routes.extend(sign_in_pages());
    routes.extend(connection_pages());
    routes.extend(schedule_pages());
    routes.extend(workspace_pages());
    routes
}

fn account_pages() -> Vec<Route> {
    use pages::{account as a, invitation as i, members as m, second_factor as f, tokens as t};
    let (see, manage) = (wants::<ViewMembers>(), wants::<ManageMembers>());
    vec![
        show("/account", Asks::SignIn, get(a::show)),
        act("/account/name", Asks::SignIn, post(a::name)),
        act("/account/password", Asks::SignIn, post(a::password)),
        act("/account/sessions/{id}/end", Asks::SignIn, post(a::session_end)),
        act("/account/sessions/end-others", Asks::SignIn, post(a::session_end_others)),
        show("/account/confirm", Asks::SignIn, get(a::confirm_show)),
        act("/account/confirm", Asks::SignIn, post(a::confirm)),
        show("/account/second-factor", Asks::SignIn, get(f::show)),
        act("/account/second-factor/begin", Asks::SignIn, post(f::begin)),
        act("/account/second-factor/confirm", Asks::SignIn, post(f::confirm)),
        act("/account/second-factor/codes", Asks::SignIn, post(f::renew)),
        act("/account/second-factor/off", Asks::SignIn, post(f::remove)),
        show("/account/tokens", Asks::SignIn, get(t::show)),
        act("/account/tokens", Asks::SignIn, post(t::create)),
        act("/account/tokens/{id}/revoke", Asks::SignIn, post(t::revoke)),
        show("/w/{workspace}/members", see, get(m::show)),
        act("/w/{workspace}/members/invite", manage, post(m::invite)),
        act("/w/{workspace}/members/{id}/role", manage, post(m::role)),
        act("/w/{workspace}/members/{id}/remove", manage, post(m::remove)),
        act("/w/{workspace}/members/{id}/second-factor", manage, post(m::second_factor)),
        act("/w/{workspace}/members/invitations/{id}/revoke", manage, post(m::revoke)),
        show("/roles", Asks::SignIn, get(m::matrix)),
        show("/invite/{secret}", Asks::Nothing, get(i::show)),
        act("/invite/{secret}", Asks::Nothing, post(i::accept)),
        act("/invite/{secret}/join", Asks::SignIn, post(i::join)),
    ]
}

fn backup_pages() -> Vec<Route> {
    use pages::{backup, backup_archive as archive, backups, compare, coverage, version, versions};
    let (see, change) = (needs::<ViewBackups>(), needs::<DeleteBackups>());
    let import = needs::<StartBackupImport>();
    vec![
        show("/t/{tenant}/backups", see, get(backups::show)),
        act("/t/{tenant}/backups", needs::<StartBackup>(), post(backups::start)),
        show("/t/{tenant}/backups/import", import, get(archive::import_form)),
        act(
            "/t/{tenant}/backups/import",
            import,
            post(archive::import).layer(DefaultBodyLimit::disable()),
        ),
        act("/t/{tenant}/backups/{id}/export", needs::<StartBackupExport>(), post(archive::export)),
        show(
            "/t/{tenant}/backups/{id}/download",
            needs::<DownloadBackups>(),
            get(archive::download),
        ),
        show("/t/{tenant}/backups/{id}", see, get(backup::show)),
        act("/t/{tenant}/backups/{id}", change, post(backup::mark)),
        act("/t/{tenant}/backups/{id}/delete", change, post(backup::delete)),
        act("/t/{tenant}/backups/{id}/verify", needs::<StartBackupVerify>(), post(backup::verify)),
        show("/t/{tenant}/versions/{id}", see, get(version::show)),
        show("/t/{tenant}/versions/{id}/json", see, get(version::json)),
        show("/t/{tenant}/policies/{id}/versions", see, get(versions::show)),
        show("/t/{tenant}/compare", see, get(compare::show)),
        show("/t/{tenant}/coverage", needs::<ViewInventory>(), get(coverage::show)),
    ]
}

fn sign_in_pages() -> Vec<Route> {
    use pages::{oidc, own_sign_ins as own, workspaces};
    vec![
        show("/login/oidc", Asks::Nothing, get(oidc::begin)),
        show(crate::paths::OIDC_CALLBACK, Asks::Nothing, get(oidc::callback)),
        show(crate::paths::SIGNED_OUT, Asks::Nothing, get(oidc::signed_out)),
        show(crate::paths::WORKSPACES, Asks::SignIn, get(workspaces::show)),
        act(crate::paths::WORKSPACES, Asks::SignIn, post(workspaces::choose)),
        show(crate::paths::OWN_SIGN_INS, Asks::SignIn, get(own::show)),
        act("/account/sign-ins/link", Asks::SignIn, post(own::link)),
        act("/account/sign-ins/remove", Asks::SignIn, post(own::remove)),
    ]
}

fn connection_pages() -> Vec<Route> {
    use pages::{connection as c, consent};
    let rotate = needs::<RotateCredentials>();
    let see = needs::<ViewTenant>();
    vec![
        show("/t/{tenant}/settings/connection", see, get(c::show)),
        act(
            "/t/{tenant}/settings/connection/check",
            needs::<StartConnectionVerify>(),
            post(c::check),
        ),
        act("/t/{tenant}/settings/connection/secret", rotate, post(c::secret)),
        show("/t/{tenant}/settings/connection/certificate", see, get(c::download)),
        act("/t/{tenant}/settings/connection/certificate", rotate, post(c::certificate)),
        act("/t/{tenant}/settings/connection/certificate/make", rotate, post(c::make)),
        act("/t/{tenant}/settings/connection/certificate/use", rotate, post(c::switch)),
        act("/t/{tenant}/settings/connection/certificate/discard", rotate, post(c::discard)),
        act("/t/{tenant}/settings/connection/consent", needs::<ManageTenant>(), post(consent::ask)),
        // Whoever consented may have no account here: the answer itself opens nothing.
        show("/consent/callback", Asks::Nothing, get(consent::callback)),
    ]
}

fn schedule_pages() -> Vec<Route> {
    use pages::schedules as s;
    let (see, manage) = (needs::<ViewSettings>(), needs::<ManageSchedules>());
    let (see_all, manage_all) = (wants::<ViewSettings>(), wants::<ManageSchedules>());
    vec![
        show("/t/{tenant}/schedules", see, get(s::show_list)),
        act("/t/{tenant}/schedules", manage, post(s::create)),
        show("/t/{tenant}/schedules/new", manage, get(s::show_new)),
        show("/t/{tenant}/schedules/{id}", see, get(s::show)),
        act("/t/{tenant}/schedules/{id}", manage, post(s::update)),
        act("/t/{tenant}/schedules/{id}/delete", manage, post(s::delete)),
        act("/t/{tenant}/schedules/{id}/run", manage, post(s::run_now)),
        show("/w/{workspace}/schedules", see_all, get(s::show_list_workspace)),
        act("/w/{workspace}/schedules", manage_all, post(s::create_workspace)),
        show("/w/{workspace}/schedules/new", manage_all, get(s::show_new_workspace)),
        show("/w/{workspace}/schedules/{id}", see_all, get(s::show_workspace)),
        act("/w/{workspace}/schedules/{id}", manage_all, post(s::update_workspace)),
        act("/w/{workspace}/schedules/{id}/delete", manage_all, post(s::delete_workspace)),
        act("/w/{workspace}/schedules/{id}/run", manage_all, post(s::run_now_workspace)),
    ]
}

fn workspace_pages() -> Vec<Route> {
    use pages::{operation, platform, workspace_operations};
    let (see, manage) = (wants::<ViewOperations>(), wants::<ManageSettings>());
    vec![
        show("/w/{workspace}/operations", see, get(workspace_operations::show)),
        show("/w/{workspace}/operations/{id}", see, get(operation::show_workspace)),
        show("/w/{workspace}/operations/{id}/live", see, get(operation::live_workspace)),
        act(
            "/w/{workspace}/operations/{id}/cancel",
            wants::<CancelOperations>(),
            post(operation::cancel_workspace),
        ),
        act(
            "/w/{workspace}/operations/{id}/retry",
            Asks::Kind(Level::Workspace),
            post(operation::again::retry_workspace),
        ),
        show("/w/{workspace}/platform", wants::<ViewSettings>(), get(platform::show)),
        act("/w/{workspace}/platform/release", manage, post(platform::release)),
        act("/w/{workspace}/platform/gates/close", manage, post(platform::gate_close)),
        act("/w/{workspace}/platform/gates/open", manage, post(platform::gate_open)),
        act("/w/{workspace}/platform/settings", manage, post(platform::settings)),
    ]
}

fn api_routes() -> Vec<Route> {
    use api::{me, policies, policy_types, reference, runs, system, tenants};
    let mut routes = vec![
        show("/healthz", Asks::Nothing, get(system::healthz)),
        show("/readyz", Asks::Nothing, get(system::readyz)),
        show("/version", Asks::Nothing, get(system::version)),
        show("/metrics", Asks::Nothing, get(system::metrics)),
        show("/api/v1/openapi.json", Asks::Nothing, get(api::openapi::show)),
        show("/api/v1/me", Asks::SignIn, get(me::show)),
        show("/api/v1/notifications", Asks::SignIn, get(me::notifications)),
        show("/api/v1/policy-types", Asks::SignIn, get(policy_types::list)),
        show("/api/v1/policy-types/{key}", Asks::SignIn, get(policy_types::show)),
        show(
            "/api/v1/tenants/{tenant}/policy-types",
            needs::<ViewTenant>(),
            get(policy_types::list_tenant),
        ),
        show(
            "/api/v1/tenants/{tenant}/permissions",
            needs::<ViewTenant>(),
            get(policy_types::permissions),
        ),
        act("/api/v1/notifications/read", Asks::SignIn, post(me::read_all)),
        act("/api/v1/notifications/{id}/read", Asks::SignIn, post(me::read_one)),
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
        show("/api/v1/kinds", Asks::SignIn, get(reference::kinds)),
        act(
            "/api/v1/tenants/{tenant}/runs/{id}/cancel",
            needs::<CancelOperations>(),
            post(runs::cancel),
        ),
        act(
            "/api/v1/tenants/{tenant}/runs/{id}/retry",
            Asks::Kind(Level::Tenant),
            post(runs::retry),
        ),
    ];
    routes.extend(member_api());
    routes.extend(backup_api());
    routes.extend(restore_api());
    routes.extend(connection_api());
    routes.extend(schedule_api());
    routes.extend(workspace_api());
    routes
}

fn member_api() -> Vec<Route> {
    use api::members as m;
    let (see, manage) = (wants::<ViewMembers>(), wants::<ManageMembers>());
    vec![
        show("/api/v1/members", see, get(m::list)),
        act("/api/v1/members", manage, post(m::invite)),
        change(Method::PATCH, "/api/v1/members/{id}", manage, patch(m::set)),
        change(Method::DELETE, "/api/v1/members/{id}", manage, delete(m::remove)),
        show("/api/v1/members/invitations", see, get(m::invitations)),
        change(
            Method::DELETE,
            "/api/v1/members/invitations/{id}",
            manage,
            delete(m::invitation_revoke),
        ),
        show("/api/v1/roles", Asks::SignIn, get(m::roles)),
        show("/api/v1/capabilities", Asks::SignIn, get(m::capabilities)),
        show("/api/v1/tokens", Asks::SignIn, get(m::token_list)),
        act("/api/v1/tokens", Asks::SignIn, post(m::token_create)),
        change(Method::DELETE, "/api/v1/tokens/{id}", Asks::SignIn, delete(m::token_revoke)),
    ]
}

fn restore_pages() -> Vec<Route> {
    use pages::restores as r;
    let (see, execute) = (needs::<PreviewRestore>(), needs::<ExecuteRestores>());
    vec![
        show("/t/{tenant}/restores", see, get(r::list)),
        act("/t/{tenant}/restores", see, post(r::create)),
        show("/t/{tenant}/restores/{id}", see, get(r::show)),
        act("/t/{tenant}/restores/{id}/preview", see, post(r::preview)),
        act("/t/{tenant}/restores/{id}/discard", see, post(r::discard)),
        act("/t/{tenant}/restores/{id}/confirm", execute, post(r::confirm)),
        act("/t/{tenant}/restores/{id}/approve", needs::<ApproveRestore>(), post(r::approve)),
    ]
}

fn restore_api() -> Vec<Route> {
    use api::restores as r;
    let (see, execute) = (needs::<PreviewRestore>(), needs::<ExecuteRestores>());
    vec![
        show("/api/v1/tenants/{tenant}/restores", see, get(r::list)),
        act("/api/v1/tenants/{tenant}/restores", see, post(r::create)),
        show("/api/v1/tenants/{tenant}/restores/{id}", see, get(r::show)),
        act("/api/v1/tenants/{tenant}/restores/{id}/preview", see, post(r::preview_again)),
        act("/api/v1/tenants/{tenant}/restores/{id}/discard", see, post(r::discard)),
        act("/api/v1/tenants/{tenant}/restores/{id}/confirm", execute, post(r::confirm)),
        act(
            "/api/v1/tenants/{tenant}/restores/{id}/approve",
            needs::<ApproveRestore>(),
            post(r::approve),
        ),
        act("/api/v1/tenants/{tenant}/restores/{id}/retry", execute, post(r::retry)),
    ]
}

fn backup_api() -> Vec<Route> {
    use api::backups as b;
    let (see, alter) = (needs::<ViewBackups>(), needs::<DeleteBackups>());
    let (one, policy) = (
        "/api/v1/tenants/{tenant}/backups/{id}",
        "/api/v1/tenants/{tenant}/policies/{id}/versions",
    );
    vec![
        show("/api/v1/tenants/{tenant}/backups", see, get(b::list)),
        show(one, see, get(b::show)),
        change(Method::PATCH, one, alter, patch(b::mark)),
        change(Method::DELETE, one, alter, delete(b::delete)),
        show("/api/v1/tenants/{tenant}/backups/{id}/items", see, get(b::items)),
        show(
            "/api/v1/tenants/{tenant}/backups/{id}/download",
            needs::<DownloadBackups>(),
            get(b::download),
        ),
        act("/api/v1/tenants/{tenant}/uploads", needs::<StartBackupImport>(), post(b::upload)),
        show(policy, see, get(b::versions)),
        show(
            "/api/v1/tenants/{tenant}/policies/{id}/versions/{number}",
            see,
            get(b::version_of_policy),
        ),
        show("/api/v1/tenants/{tenant}/versions/{id}", see, get(b::version)),
        show("/api/v1/tenants/{tenant}/compare", see, get(b::compare)),
        show("/api/v1/tenants/{tenant}/dependencies", see, get(api::dependencies::list)),
    ]
}

fn connection_api() -> Vec<Route> {
    use api::connections as c;
    let (see, rotate) = (needs::<ViewTenant>(), needs::<RotateCredentials>());
    let certificate = "/api/v1/tenants/{tenant}/certificate";
    vec![
        show("/api/v1/tenants/{tenant}/connection", see, get(c::show)),
        change(Method::PATCH, "/api/v1/tenants/{tenant}", rotate, patch(c::set)),
        show(certificate, see, get(c::certificate)),
        act(certificate, rotate, post(c::certificate_make)),
        change(Method::DELETE, certificate, rotate, delete(c::certificate_discard)),
        act("/api/v1/tenants/{tenant}/certificate/use", rotate, post(c::certificate_use)),
    ]
}

fn schedule_api() -> Vec<Route> {
    use api::schedules as s;
    let (see, manage) = (needs::<ViewSettings>(), needs::<ManageSchedules>());
    let (see_all, manage_all) = (wants::<ViewSettings>(), wants::<ManageSchedules>());
    let (one, each) = (
        "/api/v1/tenants/{tenant}/schedules/{id}",
        "/api/v1/workspaces/{workspace}/schedules/{id}",
    );
    vec![
        show("/api/v1/tenants/{tenant}/schedules", see, get(s::list)),
        act("/api/v1/tenants/{tenant}/schedules", manage, post(s::create)),
        show(one, see, get(s::show)),
        change(Method::PATCH, one, manage, patch(s::update)),
        change(Method::DELETE, one, manage, delete(s::delete)),
        show("/api/v1/tenants/{tenant}/schedules/{id}/slots", see, get(s::slots)),
        act("/api/v1/tenants/{tenant}/schedules/{id}/run", manage, post(s::run_now)),
        show("/api/v1/workspaces/{workspace}/schedules", see_all, get(s::list_workspace)),
        act("/api/v1/workspaces/{workspace}/schedules", manage_all, post(s::create_workspace)),
        show(each, see_all, get(s::show_workspace)),
        change(Method::PATCH, each, manage_all, patch(s::update_workspace)),
        change(Method::DELETE, each, manage_all, delete(s::delete_workspace)),
        show(
            "/api/v1/workspaces/{workspace}/schedules/{id}/slots",
            see_all,
            get(s::slots_workspace),
        ),
        act(
            "/api/v1/workspaces/{workspace}/schedules/{id}/run",
            manage_all,
            post(s::run_now_workspace),
        ),
    ]
}

fn workspace_api() -> Vec<Route> {
    use api::workspaces as w;
    let (see, manage) = (wants::<ViewOperations>(), wants::<ManageSettings>());
    let settings = wants::<ViewSettings>();
    vec![
        show("/api/v1/workspaces/{workspace}/runs", see, get(w::run_list)),
        act(
            "/api/v1/workspaces/{workspace}/runs",
            Asks::Kind(Level::Workspace),
            post(w::run_start),
        ),
        show("/api/v1/workspaces/{workspace}/runs/{id}", see, get(w::run_show)),
        show("/api/v1/workspaces/{workspace}/runs/{id}/items", see, get(w::run_items)),
        act(
            "/api/v1/workspaces/{workspace}/runs/{id}/cancel",
            wants::<CancelOperations>(),
            post(w::run_cancel),
        ),
        act(
            "/api/v1/workspaces/{workspace}/runs/{id}/retry",
            Asks::Kind(Level::Workspace),
            post(w::run_retry),
        ),
        show("/api/v1/workspaces/{workspace}/settings", settings, get(w::settings_show)),
        change(
            Method::PATCH,
            "/api/v1/workspaces/{workspace}/settings",
            manage,
            patch(w::settings_set),
        ),
        show("/api/v1/workspaces/{workspace}/gates", settings, get(w::gate_list)),
        act("/api/v1/workspaces/{workspace}/gates", manage, post(w::gate_close)),
        act("/api/v1/workspaces/{workspace}/gates/open", manage, post(w::gate_open)),
        show("/api/v1/workspaces/{workspace}/platform", settings, get(w::platform)),
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
                Asks::Workspace(capability) => format!("{capability} (workspace)"),
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
