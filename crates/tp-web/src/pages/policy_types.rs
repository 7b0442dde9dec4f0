//! What can be done with each policy type, and what of it works in a tenant (PRODUCT G-2, ruling 40).

use axum::extract::{Path, RawQuery, State};
use maud::{Markup, html};
use tp_catalog::capabilities::{Capabilities, Works, capabilities};
use tp_catalog::contract::{Certainty, Contract};
use tp_catalog::permissions::{Needed, missing};
use tp_domain::access::ViewTenant;
use tp_domain::tenant::Tenant;

use crate::api::policy_types::{find, is_wanted};
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::table::chips;
use crate::components::{chip, empty};
use crate::error::WebError;
use crate::extract::{InTenant, SignedIn};
use crate::grants::granted;
use crate::paths;
use crate::query::Pairs;

const NAMES: [(&str, &str); 4] =
    [("q", "Name"), ("category", "Category"), ("backup", "Backup"), ("restore", "Restore")];
const BACKUPS: [(&str, &str); 3] =
    [("full", "Full"), ("metadata", "Names and dates"), ("none", "None")];
const RESTORES: [(&str, &str); 3] =
    [("enabled", "Enabled"), ("preview_only", "Preview only"), ("unsupported", "Unsupported")];

/// Where the list is shown.
struct Spot<'a> {
    tenant: Option<&'a Tenant>,
    granted: Option<Vec<String>>,
}

pub(crate) async fn list(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, &actor).await?;
    let spot = Spot { tenant: None, granted: None };
    let body = list_body(&app, &spot, &Pairs::parse(query.as_deref()));
    Ok(shell.render(&Page {
        title: "Policy types",
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}

pub(crate) async fn tenant(
    InTenant(scope): InTenant<ViewTenant>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let tenant = scope.tenant();
    let spot = Spot { tenant: Some(tenant), granted: granted(&scope).await? };
    let body = list_body(&app, &spot, &Pairs::parse(query.as_deref()));
    Ok(shell.render(&Page {
        title: "Policy types",
        place: Place::PolicyTypes,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

fn list_body(app: &App, spot: &Spot<'_>, asked: &Pairs) -> Markup {
    let (list, ignored) = understood(app, asked);
    let path = paths::policy_types(spot.tenant);
    let all = app.catalog.iter().map(|(_, contract)| contract);
    let rows: Vec<(&Contract, Capabilities)> = all
        .map(|contract| (contract, capabilities(contract, spot.granted.as_deref())))
        .filter(|(contract, can)| is_wanted(contract, can, &list))
        .collect();
    html! {
        div.head { div {
            h1 { "Policy types" }
            p.sub { (rows.len()) " of " (app.catalog.len()) " types · what a backup holds, what can be restored, what it needs" }
        } }
        @if let Some(tenant) = spot.tenant { (permissions(app, tenant, spot.granted.as_deref())) }
        (filters(app, &path, &list))
        (chips(&path, asked, &NAMES, &ignored))
        @if rows.is_empty() {
            (empty("No policy type matches", "Change the filters, or clear them.", Some(html! { a.button href=(path) { "Clear filters" } })))
        } @else {
            (table(&rows, spot))
        }
    }
}

/// The filters that mean something, and the values that do not.
fn understood(app: &App, asked: &Pairs) -> (Pairs, Vec<(String, String)>) {
    let known = |name: &str, value: &str| match name {
        "category" => app.catalog.iter().any(|(_, contract)| contract.category == value),
        "backup" => BACKUPS.iter().any(|(word, _)| *word == value),
        "restore" => RESTORES.iter().any(|(word, _)| *word == value),
        _ => true,
    };
    let (list, ignored): (Vec<_>, Vec<_>) =
        asked.0.iter().cloned().partition(|(name, value)| known(name, value));
    (Pairs(list), ignored)
}

fn filters(app: &App, path: &str, list: &Pairs) -> Markup {
    let mut categories: Vec<&str> =
        app.catalog.iter().map(|(_, contract)| contract.category.as_str()).collect();
    categories.sort_unstable();
    categories.dedup();
    let option = |value: &str, label: &str, chosen: Option<&str>| {
        html! { option value=(value) selected[chosen == Some(value)] { (label) } }
    };
    let choice = |name: &str, label: &str, words: &[(&str, &str)]| {
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    (option("", "Any", list.get(name)))
                    @for (word, label) in words { (option(word, label, list.get(name))) }
                }
            }
        }
    };
    html! {
        form.filters method="get" action=(path) role="search" aria-label="Filter policy types" {
            div.field.wide {
                label for="q" { "Name contains" }
                input type="search" id="q" name="q" value=(list.get("q").unwrap_or_default());
            }
            div.field {
                label for="category" { "Category" }
                select id="category" name="category" {
                    (option("", "All categories", list.get("category")))
                    @for category in categories { (option(category, &words(category), list.get("category"))) }
                }
            }
            (choice("backup", "Backup", &BACKUPS))
            (choice("restore", "Restore", &RESTORES))
            button.button type="submit" { "Apply filters" }
        }
    }
}

/// A stable word as people write it.
fn words(word: &str) -> String {
    word.replace(['_', '-'], " ")
}

fn table(rows: &[(&Contract, Capabilities)], spot: &Spot<'_>) -> Markup {
    let in_tenant = spot.tenant.is_some();
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Policy types" }
                thead { tr {
                    th scope="col" { "Policy type" } th scope="col" { "Category" } th scope="col" { "Backup" }
                    th scope="col" { "Restore" } th scope="col" { "Risk" }
                    @if in_tenant {
                        th scope="col" { "Back up here" } th scope="col" { "Restore here" }
                    } @else {
                        th scope="col" { "An app can write" } th scope="col" { "Reading needs" }
                    }
                } }
                tbody { @for (contract, can) in rows { tr {
                    td data-l="Policy type" { a href=(paths::policy_type(&contract.key)) { (contract.label) } }
                    td data-l="Category" { (words(&contract.category)) }
                    td data-l="Backup" { span { (chip::backup(can.backup)) } }
                    td data-l="Restore" { span { (chip::restore(can.restore)) } }
                    td data-l="Risk" { (can.risk.as_str()) }
                    @if in_tenant {
                        td data-l="Back up here" { (here(&can.reading)) }
                        td data-l="Restore here" { (here(&can.writing)) }
                    } @else {
                        td data-l="An app can write" { (words(can.app_write.as_str())) }
                        td data-l="Reading needs" { (codes(&contract.permissions.read)) }
                    }
                } } }
            }
        }
    }
}

fn here(works: &Works) -> Markup {
    html! { div {
        (chip::works(works))
        @match works {
            Works::Missing(missing) => { br; span.small { (codes(missing)) } }
            Works::Never(why) => { br; span.small.muted { (why) } }
            Works::Yes | Works::NotChecked => {}
        }
    } }
}

fn codes(names: &[String]) -> Markup {
    html! {
        @if names.is_empty() { "–" }
        @for (index, name) in names.iter().enumerate() {
            @if index > 0 { ", " }
            code { (name) }
        }
    }
}

/// What the tenant's app needs, lacks and has too much.
fn permissions(app: &App, tenant: &Tenant, granted: Option<&[String]>) -> Markup {
    let needed = Needed::of_all(&app.catalog);
    let read: Vec<String> = needed.read.iter().cloned().collect();
    let write: Vec<String> = needed.write.iter().cloned().collect();
    let line = |needed: &[String]| {
        let lacking = granted.map(|granted| missing(needed, granted));
        html! {
            (codes(needed))
            @match lacking {
                None => { br; span.small.muted { "Not checked yet" } }
                Some(none) if none.is_empty() => { br; span.small { "All are granted" } }
                Some(lacking) => { br; span.small { "Missing: " (codes(&lacking)) } }
            }
        }
    };
    html! {
        details {
            summary { "Permissions of the app in this tenant" }
            p.small { a href=(paths::connection(tenant)) { "View connection" } " says what each is for, and checks again." }
            dl.facts {
                dt { "To back up everything" } dd { (line(&read)) }
                dt { "To restore everything" } dd { (line(&write)) }
                dt { "More than needed" } dd { @match granted {
                    None => span.muted { "Not checked yet" },
                    Some(granted) => {
                        @let excess = needed.excess(granted);
                        @if excess.is_empty() { "Nothing" } @else { ul { @for one in excess { li { (one.sentence()) } } } }
                    }
                } }
            }
        }
    }
}

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    Path(key): Path<String>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let contract = find(&app, &key).ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, &actor).await?;
    let can = capabilities(contract, None);
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol { li { a href=(paths::policy_types(None)) { "Policy types" } } li aria-current="page" { (contract.label) } } }
        h1 { (contract.label) }
        p.sub { code { (contract.key) } " · " (words(&contract.category)) " · " (contract.platform) }
        (abilities(&app, contract, &can))
        h2 { "Permissions" }
        (needs(contract, &can))
        h2 { "How it is read and written" }
        (traffic(contract))
        @if !contract.quirks.is_empty() {
            h2 { "Good to know" }
            dl.facts { @for quirk in &contract.quirks {
                dt { (quirk.fact) } dd.small.muted { (quirk.source) }
            } }
        }
    };
    Ok(shell.render(&Page {
        title: &contract.label,
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}

fn abilities(app: &App, contract: &Contract, can: &Capabilities) -> Markup {
    html! {
        dl.facts {
            dt { "Backup" } dd {
                (chip::backup(can.backup))
                @if !can.limits.is_empty() { ul { @for limit in &can.limits { li { (limit) } } } }
            }
            dt { "Restore" } dd {
                (chip::restore(can.restore)) " Risk: " (can.risk.as_str())
                @if let Some(reason) = &contract.restore.reason { br; span.small { (reason) } }
            }
            dt { "An app can write" } dd {
                (words(can.app_write.as_str()))
                @if let Some(why) = can.app_write.why() { br; span.small { (why) } }
            }
            dt { "Restore these before" } dd {
                @if can.dependencies.is_empty() { "–" }
                @for (index, key) in can.dependencies.iter().enumerate() {
                    @if index > 0 { ", " }
                    a href=(paths::policy_type(key)) { (find(app, key).map_or(key.as_str(), |contract| contract.label.as_str())) }
                }
            }
            @if !can.outside.is_empty() {
                dt { "Must be there already" } dd { (can.outside.join(", ")) }
            }
        }
    }
}

fn needs(contract: &Contract, can: &Capabilities) -> Markup {
    let permissions = &contract.permissions;
    html! {
        dl.facts {
            dt { "Reading needs at least" } dd { (codes(&permissions.read)) }
            dt { "Writing needs at least" } dd { (codes(&permissions.write)) }
            @if !can.to_reveal.is_empty() {
                dt { "Reading masked secrets needs" } dd {
                    (codes(&can.to_reveal)) br;
                    span.small { "More than a backup needs: without it masked values stay masked." }
                }
            }
            dt { "Known from" } dd {
                (permissions.source)
                @if permissions.certainty != Certainty::Documented { br; span.small { "Not from Microsoft's permission data." } }
            }
        }
    }
}

fn traffic(contract: &Contract) -> Markup {
    let reading = contract.reading();
    html! {
        dl.facts {
            dt { "Address" } dd { code { (contract.api_version.segment()) (contract.list.path) } }
            dt { "Requests for each policy" } dd {
                (reading.requests_per_object()) " beside the list"
                @for part in &reading.parts { br; span.small { "Own request: " code { (part.name) } } }
            }
            dt { "Assignments" } dd { @match &contract.assignments {
                None => "None",
                Some(assignments) => {
                    @if assignments.filters { "Groups, with filters" } @else { "Groups, without filters" }
                }
            } }
            dt { "Limit of Graph that counts" } dd { (contract.throttle.as_str()) }
        }
    }
}
