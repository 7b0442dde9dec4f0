//! The policies of a tenant: search, filters, order and pages, all in the address.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_domain::access::ViewPolicies;
use tp_domain::policy::{Policy, PolicyType};
use tp_store::{Coverage, PolicyFilter, PolicySort, PolicyStateFilter};

use super::start_sync;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::table::{chips, sort_head};
use crate::components::{chip, empty, time};
use crate::error::WebError;
use crate::extract::InTenant;
use crate::query::Pairs;
use crate::{format, paths};

const NAMES: [(&str, &str); 4] =
    [("q", "Name"), ("type", "Type"), ("platform", "Platform"), ("state", "State")];

/// What the address asks for, and what of it was not understood.
struct Asked {
    filter: PolicyFilter,
    sort: &'static str,
    page: u32,
    ignored: Vec<(String, String)>,
}

fn asked(pairs: &Pairs, app: &App) -> Asked {
    let mut filter = PolicyFilter { limit: 50, ..PolicyFilter::default() };
    let (mut sort, mut page, mut ignored) = ("name", 1, Vec::new());
    for (name, value) in &pairs.0 {
        let understood = match name.as_str() {
            "q" => {
                filter.query = Some(value.chars().take(200).collect());
                true
            }
            "type" => {
                match PolicyType::new(value).ok().filter(|key| app.catalog.contract(key).is_some())
                {
                    Some(key) => {
                        filter.types.push(key);
                        true
                    }
                    None => false,
                }
            }
            "platform" => {
                filter.platform = Some(value.clone());
                true
            }
            "state" => match value.as_str() {
                "present" => {
                    filter.state = PolicyStateFilter::Present;
                    true
                }
                "missing" => {
                    filter.state = PolicyStateFilter::Missing;
                    true
                }
                _ => false,
            },
            "sort" => {
                let known = [
                    ("name", PolicySort::Name),
                    ("-name", PolicySort::NameDown),
                    ("modified", PolicySort::Modified),
                    ("-modified", PolicySort::ModifiedDown),
                    ("type", PolicySort::Type),
                ];
                match known.iter().find(|(word, _)| word == value) {
                    Some((word, order)) => {
                        (sort, filter.sort) = (word, *order);
                        true
                    }
                    None => false,
                }
            }
            "per" => match value.parse() {
                Ok(per @ (25 | 50 | 100 | 200)) => {
                    filter.limit = per;
                    true
                }
                _ => false,
            },
            "page" => match value.parse() {
                Ok(number @ 1..=100_000) => {
                    page = number;
                    true
                }
                _ => false,
            },
            _ => true, // Unknown parameters are kept and mean nothing.
        };
        if !understood {
            ignored.push((name.clone(), value.clone()));
        }
    }
    filter.offset = (page - 1) * filter.limit;
    Asked { filter, sort, page, ignored }
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewPolicies>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, pairs) = (scope.tenant(), Pairs::parse(query.as_deref()));
    let list = pairs.without(&["started", "active"]);
    let Asked { filter, sort, page, ignored } = asked(&list, &app);
    let per = filter.limit;
    let found = scope.policy_list(filter).await?;
    let (coverage, platforms) = (scope.coverage().await?, scope.policy_platforms().await?);
    let synced_at = coverage.iter().filter_map(|row| row.complete_at).max();
    let path = paths::policies(tenant);
    let filtered = NAMES.iter().any(|(name, _)| list.get(name).is_some());
    let body = html! {
        (start_sync::banner(&scope, &pairs, &shell).await?)
        div.head {
            div {
                h1 { "Policies" }
                p.sub {
                    (format::number(found.total)) @if filtered { " match" } @else { " policies" } " · "
                    @match synced_at { Some(at) => { "last synced " (time(at, shell.now)) }, None => "never synced" }
                }
            }
            div.actions { (start_sync::button(&scope, &shell, &list.link(&path))) }
        }
        (filters(&app, &path, &list, &coverage, &platforms))
        (chips(&path, &list, &NAMES, &ignored))
        @if found.policies.is_empty() && !filtered && page == 1 {
            (empty("No policy is known yet", "Sync this tenant: it reads which policies there are, without their settings.", None))
        } @else if found.policies.is_empty() {
            (empty("No policy matches", "Change the filters, or clear them.", Some(html! { a.button href=(path) { "Clear filters" } })))
        } @else {
            (table(&app, &shell, &found.policies, tenant, &path, &list, sort))
            (pager(&path, &list, page, per, found.total))
        }
    };
    Ok(shell.render(&Page {
        title: "Policies",
        place: Place::Policies,
        tenant: Some(tenant),
        synced_at,
        body,
    }))
}

fn filters(
    app: &App,
    path: &str,
    list: &Pairs,
    coverage: &[Coverage],
    platforms: &[String],
) -> Markup {
    let option = |value: &str, label: &str, chosen: Option<&str>| {
        html! { option value=(value) selected[chosen == Some(value)] { (label) } }
    };
    html! {
        form.filters method="get" action=(path) role="search" aria-label="Filter policies" {
            div.field.wide {
                label for="q" { "Name contains" }
                input type="search" id="q" name="q" value=(list.get("q").unwrap_or_default());
            }
            div.field {
                label for="type" { "Type" }
                select id="type" name="type" {
                    (option("", "All types", list.get("type")))
                    @for row in coverage.iter().filter(|row| row.listed > 0 || row.missing > 0) {
                        (option(row.policy_type.as_str(), app.catalog.label(&row.policy_type), list.get("type")))
                    }
                }
            }
            div.field {
                label for="platform" { "Platform" }
                select id="platform" name="platform" {
                    (option("", "All platforms", list.get("platform")))
                    @for platform in platforms { (option(platform, &format::shown(platform), list.get("platform"))) }
                }
            }
            div.field {
                label for="state" { "State" }
                select id="state" name="state" {
                    (option("", "Any", list.get("state")))
                    (option("present", "Present", list.get("state")))
                    (option("missing", "Missing in tenant", list.get("state")))
                }
            }
            @if let Some(sort) = list.get("sort") { input type="hidden" name="sort" value=(sort); }
            button.button type="submit" { "Apply filters" }
        }
    }
}

fn table(
    app: &App,
    shell: &Shell,
    policies: &[Policy],
    tenant: &tp_domain::tenant::Tenant,
    path: &str,
    list: &Pairs,
    sort: &str,
) -> Markup {
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Policies" }
                thead { tr {
                    (sort_head("Policy name", path, list, sort, "name", "-name"))
                    (sort_head("Type", path, list, sort, "type", "type"))
                    th scope="col" { "Platform" }
                    th scope="col" { "Assigned" }
                    (sort_head("Modified", path, list, sort, "modified", "-modified"))
                    th scope="col" { "State" }
                    th scope="col" { "Last seen" }
                } }
                tbody {
                    @for policy in policies {
                        tr {
                            td data-l="Policy name" { a href=(paths::policy(tenant, policy.id)) { (name(policy)) } }
                            td data-l="Type" { (app.catalog.label(&policy.policy_type)) }
                            td data-l="Platform" { (policy.observed.platform.as_deref().map_or("–".into(), format::shown)) }
                            td data-l="Assigned" { (assigned(policy)) }
                            td data-l="Modified" { span { @match policy.observed.modified_at {
                                Some(at) => (time(at, shell.now)),
                                None => "–",
                            } } }
                            td data-l="State" { span { (chip::missing(policy.missing)) } }
                            td data-l="Last seen" { span { (time(policy.last_seen_at, shell.now)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The name, or the words for none.
pub(crate) fn name(policy: &Policy) -> String {
    format::named(policy.observed.name.as_deref()).into_owned()
}

/// Assigned, not assigned, or not told by the listing.
pub(crate) const fn assigned(policy: &Policy) -> &'static str {
    match policy.observed.assigned {
        Some(true) => "Yes",
        Some(false) => "No",
        None => "Not listed",
    }
}

fn pager(path: &str, list: &Pairs, page: u32, per: u32, total: u64) -> Markup {
    let first = u64::from((page - 1) * per) + 1;
    let last = (u64::from(page) * u64::from(per)).min(total);
    html! {
        nav.pager aria-label="Pages" {
            span { (format::number(first)) "–" (format::number(last)) " of " (format::number(total)) }
            span.links {
                @if page > 1 { a.button href=(list.with("page", &(page - 1).to_string()).link(path)) rel="prev" { "Previous page" } }
                @if last < total { a.button href=(list.with("page", &(page + 1).to_string()).link(path)) rel="next" { "Next page" } }
            }
        }
    }
}
