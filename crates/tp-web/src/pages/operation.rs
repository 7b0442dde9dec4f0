//! One run: what ran, who started it, how far it is, what failed, what to do now.

pub(crate) mod again;
mod tables;
mod view;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use tp_domain::access::{CancelOperations, Capability, ViewOperations};
use tp_domain::ids::RunId;
use tp_domain::item::RunItem;
use tp_domain::run::{OperationRun, Outcome, RunStep};
use tp_domain::tenant::Tenant;
use tp_store::{Child, ItemFilter, RunFilter, TenantScope, WorkspaceScope};

use self::again::Again;
use super::login::Nothing;
use super::{partial, start_sync};
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, InWorkspace, RequestId};
use crate::paths::Home;
use crate::query::Pairs;

/// The history shows this many runs of the same operation.
const HISTORY: u32 = 10;

/// So many of the latest runs of a kind are looked through for the history of a run of the workspace:
/// ten of each of ten schedules.
const LOOKED_AT: u32 = 100;

/// How many items of an itemised run the page shows.
const ITEMS: u32 = 200;

/// A run with what belongs to it, and what this person may do with it.
struct Detail {
    run: OperationRun,
    steps: Vec<RunStep>,
    items: Vec<RunItem>,
    children: Vec<Child>,
    history: Vec<OperationRun>,
    may_cancel: bool,
    again: Again,
}

async fn of_tenant(scope: &TenantScope<ViewOperations>, id: RunId) -> Result<Detail, WebError> {
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let filter = ItemFilter { limit: ITEMS, ..ItemFilter::default() };
    Ok(Detail {
        steps: scope.run_steps(id).await?,
        items: scope.run_items(id, filter).await?,
        children: scope.run_children(id).await?,
        history: scope.run_history(&run, HISTORY).await?,
        may_cancel: scope.may(Capability::OperationsCancel),
        again: again::in_tenant(&run, |capability| scope.may(capability)),
        run,
    })
}

async fn of_workspace(
    app: &App,
    scope: &WorkspaceScope<ViewOperations>,
    id: RunId,
) -> Result<Detail, WebError> {
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let filter = ItemFilter { limit: ITEMS, ..ItemFilter::default() };
    Ok(Detail {
        steps: Vec::new(),
        items: scope.run_items(id, filter).await?,
        children: scope.run_children(id).await?,
        history: workspace_history(scope, &run).await?,
        may_cancel: scope.may(Capability::OperationsCancel),
        again: again::in_workspace(app, scope, &run).await?,
        run,
    })
}

/// The latest other runs of the same schedule, or of the same inputs. Each slot of a schedule is asked
/// for with inputs of its own, so they are found by what they have in common.
async fn workspace_history(
    scope: &WorkspaceScope<ViewOperations>,
    run: &OperationRun,
) -> Result<Vec<OperationRun>, WebError> {
    let filter =
        RunFilter { kinds: vec![run.kind.clone()], limit: LOOKED_AT, ..RunFilter::default() };
    let schedule = run.inputs.get("schedule");
    let same = |other: &OperationRun| {
        other.id != run.id
            && match schedule {
                Some(_) => other.inputs.get("schedule") == schedule,
                None => other.inputs == run.inputs,
            }
    };
    let latest = scope.run_list(filter).await?.runs;
    let most = usize::try_from(HISTORY).unwrap_or(usize::MAX);
    Ok(latest.into_iter().filter(same).take(most).collect())
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let detail = of_tenant(&scope, id).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let pairs = Pairs::parse(query.as_deref());
    let banner = start_sync::banner(&scope, &pairs, &shell).await?;
    Ok(page(&app, &shell, &detail, Home::Tenant(scope.tenant()), banner, &[]))
}

pub(crate) async fn show_workspace(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let detail = of_workspace(&app, &scope, id).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let tenants = tenants(&app, scope.actor()).await?;
    let banner = again::banner(&Pairs::parse(query.as_deref()));
    Ok(page(&app, &shell, &detail, Home::Workspace(scope.id()), banner, &tenants))
}

/// The person's tenants, for naming children.
async fn tenants(app: &App, actor: &tp_store::Actor) -> Result<Vec<Tenant>, WebError> {
    let list = app.store.enter_fleet::<ViewOperations>(actor)?.tenant_list().await?;
    Ok(list.into_iter().map(|(tenant, _)| tenant).collect())
}

fn page(
    app: &App,
    shell: &Shell,
    detail: &Detail,
    home: Home<'_>,
    banner: Markup,
    tenants: &[Tenant],
) -> Markup {
    let run = &detail.run;
    let live = format!("{}/live", home.operation(run.id));
    let body = html! {
        (banner)
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(home.operations()) { "Operations" } }
            li aria-current="page" { (run.label()) }
        } }
        (again::actions(shell, detail, home))
        div data-live=(live) data-every="2000" data-title="1" { (view::part(app, detail, home, tenants, shell.now)) }
    };
    let title = match run.state.outcome() {
        Outcome::Pending => run.label().to_owned(),
        outcome => format!("{} {}", sign(outcome), run.label()),
    };
    let tenant = match home {
        Home::Tenant(tenant) => Some(tenant),
        Home::Workspace(_) => None,
    };
    shell.render(&Page { title: &title, place: Place::Operations, tenant, synced_at: None, body })
}

pub(crate) async fn live(
    InTenant(scope): InTenant<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let detail = of_tenant(&scope, id).await?;
    let home = Home::Tenant(scope.tenant());
    Ok(partial(&headers, view::part(&app, &detail, home, &[], app.store.now())))
}

pub(crate) async fn live_workspace(
    InWorkspace(scope): InWorkspace<ViewOperations>,
    Id(id): Id<RunId>,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let detail = of_workspace(&app, &scope, id).await?;
    let home = Home::Workspace(scope.id());
    let tenants = tenants(&app, scope.actor()).await?;
    Ok(partial(&headers, view::part(&app, &detail, home, &tenants, app.store.now())))
}

pub(crate) async fn cancel(
    InTenant(scope): InTenant<CancelOperations>,
    Id(id): Id<RunId>,
    RequestId(request): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    scope.run_cancel(id, Some(request)).await?.ok_or(WebError::NotFound)?;
    Ok(Redirect::to(&Home::Tenant(scope.tenant()).operation(id)))
}

pub(crate) async fn cancel_workspace(
    InWorkspace(scope): InWorkspace<CancelOperations>,
    Id(id): Id<RunId>,
    RequestId(request): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    scope.run_cancel(id, Some(request)).await?.ok_or(WebError::NotFound)?;
    Ok(Redirect::to(&Home::Workspace(scope.id()).operation(id)))
}

/// In front of the title, so that a background tab tells the end.
const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "✓",
        Outcome::PartiallySucceeded => "!",
        _ => "✗",
    }
}
