//! Operations: one list for every kind of work, filtered and paged by the database, live by `ETag`.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use tp_domain::access::ViewOperations;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome, RunStatus};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{RunCursor, RunFilter, RunPage, RunTab, TabCounts};

use super::partial;
use crate::app::App;
use crate::components::empty;
use crate::components::layout::{Page, Place, Shell, bell};
use crate::components::run::{started_banner, table};
use crate::components::table::chips;
use crate::error::WebError;
use crate::extract::{InTenant, SignedIn};
use crate::query::Pairs;
use crate::{format, paths};

/// How far back the list looks unless it is told otherwise.
pub(crate) const WINDOW: Duration = Duration::from_hours(720);

/// A worker that has not given a sign for this long is not there (UX §1.1).
const WORKER_SILENT: Duration = Duration::from_secs(90);

const NAMES: [(&str, &str); 7] = [
    ("type", "Type"),
    ("by", "Started by"),
    ("reason", "Reason"),
    ("status", "Status"),
    ("outcome", "Outcome"),
    ("from", "From"),
    ("to", "To"),
];

const TABS: [(&str, &str); 6] = [
    ("", "All"),
    ("active", "Active"),
    ("attention", "Needs attention"),
    ("failed", "Failed"),
    ("partial", "Partially succeeded"),
    ("succeeded", "Succeeded"),
];

struct Asked {
    filter: RunFilter,
    since: Option<Timestamp>,
    tab: String,
    ignored: Vec<(String, String)>,
}

fn tab_of(word: &str) -> Option<RunTab> {
    Some(match word {
        "active" => RunTab::Active,
        "attention" => RunTab::Attention,
        "failed" => RunTab::Ended(Outcome::Failed),
        "partial" => RunTab::Ended(Outcome::PartiallySucceeded),
        "succeeded" => RunTab::Ended(Outcome::Succeeded),
        _ => return None,
    })
}

/// Midnight of a day written as `2026-01-17`.
fn day(text: &str) -> Option<Timestamp> {
    if text.len() == 10 { Timestamp::parse(&format!("{text}T00:00:00Z")) } else { None }
}

fn asked(pairs: &Pairs, now: Timestamp) -> Result<Asked, WebError> {
    let mut filter = RunFilter { limit: 50, ..RunFilter::default() };
    let (mut tab, mut ignored) = (String::new(), Vec::new());
    for (name, value) in &pairs.0 {
        let understood = match name.as_str() {
            "tab" => tab_of(value).map(|known| {
                filter.tab = Some(known);
                tab.clone_from(value);
            }),
            "type" => {
                value.parse::<OperationKind>().ok().map(|kind| filter.kinds.push(kind.to_string()))
            }
            "by" => {
                filter.initiator = Some(value.chars().take(200).collect());
                Some(())
            }
            "reason" => value.parse::<ReasonCode>().ok().map(|code| filter.reasons.push(code)),
            "status" => value.parse::<RunStatus>().ok().map(|status| filter.statuses.push(status)),
            "outcome" => value.parse::<Outcome>().ok().map(|outcome| filter.outcomes.push(outcome)),
            "from" => day(value).map(|at| filter.created_after = Some(at)),
            "to" => {
                day(value).map(|at| filter.created_before = Some(at.plus(Duration::from_hours(24))))
            }
            "sort" => match value.as_str() {
                "queued" => {
                    filter.oldest_first = true;
                    Some(())
                }
                "-queued" => Some(()),
                _ => None,
            },
            "per" => match value.parse() {
                Ok(per @ (25 | 50 | 100 | 200)) => {
                    filter.limit = per;
                    Some(())
                }
                _ => None,
            },
            "cursor" => {
                let cursor = RunCursor::parse(value).ok_or_else(|| {
                    WebError::BadRequest("The cursor is not one that a list gave out. Leave it out to begin with the first page.".to_owned())
                })?;
                filter.cursor = Some(cursor);
                Some(())
            }
            _ => Some(()),
        };
        if understood.is_none() {
            ignored.push((name.clone(), value.clone()));
        }
    }
    if filter.created_after.is_none() {
        filter.created_after = Some(now.minus(WINDOW));
    }
    // What is active is shown whatever its age.
    if filter.tab == Some(RunTab::Active) {
        filter.created_after = None;
    }
    let since = filter.created_after;
    Ok(Asked { filter, since, tab, ignored })
}

/// What a list shows, of one tenant or of all of a person's tenants.
struct Listed {
    page: RunPage,
    tabs: TabCounts,
    asked: Asked,
    silent: bool,
}

/// Nobody takes work: nothing is running, something has waited, and no worker has given a sign.
async fn is_silent(app: &App, active: u64) -> Result<bool, WebError> {
    if active == 0 {
        return Ok(false);
    }
    let (queue, now) = (app.store.upkeep().queue().await?, app.store.now());
    let waited = queue.oldest.is_some_and(|at| now.since(at) > WORKER_SILENT);
    Ok(waited && queue.worker_beat.is_none_or(|beat| now.since(beat) > WORKER_SILENT))
}

async fn of_tenant(
    scope: &tp_store::TenantScope<ViewOperations>,
    app: &App,
    pairs: &Pairs,
) -> Result<Listed, WebError> {
    let asked = asked(pairs, app.store.now())?;
    let page = scope.run_list(asked.filter.clone()).await?;
    let tabs = scope.run_tabs(asked.since.or(Some(app.store.now().minus(WINDOW)))).await?;
    Ok(Listed { silent: is_silent(app, tabs.active).await?, page, tabs, asked })
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewOperations>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let listed = of_tenant(&scope, &app, &pairs).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let tenant = scope.tenant();
    let path = paths::operations(tenant);
    let live = pairs.link(&format!("{path}/live"));
    let part = list(&listed, &path, &pairs, &|_| Some(tenant.clone()), false, shell.now);
    let body = frame(&listed, &path, &pairs, &live, part);
    Ok(shell.render(&Page {
        title: "Operations",
        place: Place::Operations,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

pub(crate) async fn live(
    InTenant(scope): InTenant<ViewOperations>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let listed = of_tenant(&scope, &app, &pairs).await?;
    let tenant = scope.tenant();
    let path = paths::operations(tenant);
    let of = |_: &OperationRun| Some(tenant.clone());
    Ok(partial(&headers, list(&listed, &path, &pairs, &of, false, app.store.now())))
}

/// The banner of a start, again, for the poller.
pub(crate) async fn banner(
    InTenant(scope): InTenant<ViewOperations>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let new = pairs.get("started");
    let id =
        new.or(pairs.get("active")).and_then(|text| text.parse().ok()).ok_or(WebError::NotFound)?;
    let run = scope.run_get(id).await?.ok_or(WebError::NotFound)?;
    let banner = started_banner(&run, scope.tenant(), new.is_some(), app.store.now());
    let ended = (!run.is_active()).then_some("");
    Ok(partial(&headers, html! { div { (banner) @if ended.is_some() { span data-ended="" {} } } }))
}

pub(crate) async fn fleet(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let (listed, tenants, pairs) = of_fleet(&app, &actor, query.as_deref()).await?;
    let shell = Shell::of(&app, &actor).await?;
    let live = pairs.link("/operations/live");
    let part =
        list(&listed, "/operations", &pairs, &|run| tenant_of(&tenants, run), true, shell.now);
    let body = frame(&listed, "/operations", &pairs, &live, part);
    Ok(shell.render(&Page {
        title: "Operations of all tenants",
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}

pub(crate) async fn fleet_live(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let (listed, tenants, pairs) = of_fleet(&app, &actor, query.as_deref()).await?;
    let of = |run: &OperationRun| tenant_of(&tenants, run);
    Ok(partial(&headers, list(&listed, "/operations", &pairs, &of, true, app.store.now())))
}

async fn of_fleet(
    app: &App,
    actor: &tp_store::Actor,
    query: Option<&str>,
) -> Result<(Listed, Vec<Tenant>, Pairs), WebError> {
    let pairs = Pairs::parse(query);
    let asked = asked(&pairs, app.store.now())?;
    let fleet = app.store.enter_fleet::<ViewOperations>(actor)?;
    let page = fleet.fleet_run_list(asked.filter.clone()).await?;
    let tabs = fleet.fleet_run_tabs(asked.since.or(Some(app.store.now().minus(WINDOW)))).await?;
    let tenants = fleet.tenant_list().await?.into_iter().map(|(tenant, _)| tenant).collect();
    Ok((Listed { silent: is_silent(app, tabs.active).await?, page, tabs, asked }, tenants, pairs))
}

fn tenant_of(tenants: &[Tenant], run: &OperationRun) -> Option<Tenant> {
    tenants.iter().find(|tenant| Some(tenant.id) == run.tenant).cloned()
}

fn frame(listed: &Listed, path: &str, pairs: &Pairs, live: &str, part: Markup) -> Markup {
    let paused = pairs.get("live") == Some("off");
    html! {
        div.head {
            h1 { "Operations" }
            p.muted.small {
                @if paused {
                    "Updates are paused · " a href=(pairs.without(&["live"]).link(path)) { "Resume" }
                } @else {
                    "Updates every 5 s · " a href=(pairs.with("live", "off").link(path)) { "Pause" }
                }
            }
        }
        (filters(path, pairs))
        (chips(path, pairs, &NAMES, &listed.asked.ignored))
        @if paused { div { (part) } } @else { div data-live=(live) data-every="5000" { (part) } }
    }
}

fn filters(path: &str, pairs: &Pairs) -> Markup {
    html! {
        form.filters method="get" action=(path) aria-label="Filter operations" {
            @if let Some(tab) = pairs.get("tab") { input type="hidden" name="tab" value=(tab); }
            div.field {
                label for="type" { "Type" }
                select id="type" name="type" {
                    option value="" { "All types" }
                    @for kind in OperationKind::ALL {
                        option value=(kind) selected[pairs.get("type") == Some(kind.as_str())] { (kind.facts().label_en) }
                    }
                }
            }
            div.field {
                label for="by" { "Started by" }
                input type="text" id="by" name="by" value=(pairs.get("by").unwrap_or_default());
            }
            div.field {
                label for="reason" { "Reason" }
                select id="reason" name="reason" {
                    option value="" { "Any reason" }
                    @for code in ReasonCode::ALL {
                        option value=(code) selected[pairs.get("reason") == Some(code.as_str())] { (code) }
                    }
                }
            }
            div.field {
                label for="from" { "From (UTC)" }
                input type="date" id="from" name="from" value=(pairs.get("from").unwrap_or_default());
            }
            div.field {
                label for="to" { "To (UTC)" }
                input type="date" id="to" name="to" value=(pairs.get("to").unwrap_or_default());
            }
            button.button type="submit" { "Apply filters" }
            a.button href=(path) { "Reset" }
        }
    }
}

/// The part that is refreshed: tabs, rows, pager.
fn list(
    listed: &Listed,
    path: &str,
    pairs: &Pairs,
    tenant_of: &dyn Fn(&OperationRun) -> Option<Tenant>,
    with_tenant: bool,
    now: Timestamp,
) -> Markup {
    let Listed { page, tabs, asked, silent } = listed;
    let filtered = NAMES.iter().any(|(name, _)| pairs.get(name).is_some()) || !asked.tab.is_empty();
    html! {
        div {
            @if *silent {
                div.banner.warn role="status" { p { "No worker has taken work for 90 s. Start one with " code { "tenantpilot worker" } ", or look at " code { "tenantpilot doctor" } "." } }
            }
            ul.tabs {
                @for (word, label) in TABS {
                    @let count = match word { "" => tabs.all, "active" => tabs.active, "attention" => tabs.attention, "failed" => tabs.failed, "partial" => tabs.partial, _ => tabs.succeeded };
                    @let to = if word.is_empty() { pairs.without(&["tab", "cursor"]) } else { pairs.without(&["cursor"]).with("tab", word) };
                    li { a href=(to.link(path)) aria-current=[(asked.tab == word).then_some("page")] { (label) " " (format::capped(count)) } }
                }
            }
            @if page.runs.is_empty() && !filtered && asked.filter.cursor.is_none() {
                (empty("No operation in the last 30 days", "Whatever takes time is listed here: syncs, backups, restores. Start a sync from the tenant's overview.", None))
            } @else if page.runs.is_empty() {
                (empty("No operation matches", "Change the filters, choose another tab, or clear them.", Some(html! { a.button href=(path) { "Clear filters" } })))
            } @else {
                (table(&page.runs, tenant_of, with_tenant, now))
                nav.pager aria-label="Pages" {
                    span { (page.runs.len()) " shown" }
                    span.links {
                        @if asked.filter.cursor.is_some() { a.button href=(pairs.without(&["cursor"]).link(path)) { "First page" } }
                        @if let Some(next) = page.next { a.button href=(pairs.with("cursor", &next.encode()).link(path)) rel="next" { "Older" } }
                    }
                }
            }
        }
    }
}

/// The bell, for the poller.
pub(crate) async fn bell_part(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let unread = app.store.hall().notification_count(&actor).await?;
    Ok(partial(&headers, html! { span { (bell(unread)) } }))
}
