//! A tenant at a glance: freshness, operations, what needs attention, coverage by policy type.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_domain::access::ViewTenant;
use tp_domain::completeness::Completeness;
use tp_domain::tenant::Tenant;
use tp_store::{ConnectionView, Coverage, RunFilter, RunTab};

use super::start_sync;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, connection, empty, run, time};
use crate::error::WebError;
use crate::extract::InTenant;
use crate::query::Pairs;
use crate::{format, paths};

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewTenant>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let tenant = scope.tenant();
    let coverage = scope.coverage().await?;
    let since = shell.now.minus(super::operations::WINDOW);
    let tabs = scope.run_tabs(Some(since)).await?;
    let attention = scope
        .run_list(RunFilter {
            tab: Some(RunTab::Attention),
            created_after: Some(since),
            limit: 5,
            ..RunFilter::default()
        })
        .await?
        .runs;
    let synced_at = coverage.iter().filter_map(|row| row.complete_at).max();
    let listed: u64 = coverage.iter().map(|row| row.listed).sum();
    let missing: u64 = coverage.iter().map(|row| row.missing).sum();
    let complete = coverage.iter().filter(|row| row.completeness == Completeness::Complete).count();
    let reached = scope.connection().await?;
    let here = paths::overview(tenant);
    let body = html! {
        (start_sync::banner(&scope, &Pairs::parse(query.as_deref()), &shell).await?)
        div.head {
            div {
                h1 { "Overview" }
                @if let Some(domain) = &tenant.domain { p.sub { (format::shown(domain)) } }
            }
            div.actions { (start_sync::button(&scope, &shell, &here)) }
        }
        div.cards {
            section.card {
                h2 { "Inventory" }
                p.big { (format::number(listed)) " objects" }
                p.muted.small { @match synced_at {
                    Some(at) => { "Last synced " (time(at, shell.now)) },
                    None => "Never synced",
                } }
                a href=(paths::policies(tenant)) { "View policies" }
            }
            section.card {
                h2 { "Coverage" }
                p.big { (complete) " of " (coverage.len()) " types complete" }
                p.muted.small { (format::number(missing)) " known objects missing in the tenant" }
                a href={ (paths::policies(tenant)) "?state=missing" } { "View missing" }
            }
            section.card {
                h2 { "Operations" }
                p.big { (format::number(tabs.active)) " active" }
                p.muted.small { (format::capped(tabs.attention)) " need attention" }
                a href=(paths::operations(tenant)) { "View operations" }
            }
            (connection_card(&app, tenant, &reached, &shell))
        }
        h2 { "Needs attention" }
        @if attention.is_empty() {
            p.muted { "Nothing: no operation of the last 30 days has failed without a later success." }
        } @else {
            (run::table(&attention, &|_| Some(tenant.clone()), false, shell.now))
        }
        h2 { "Coverage by policy type" }
        @if coverage.is_empty() {
            (empty("Nothing is known yet", "The first sync reads which policies this tenant has. It takes a minute or two: press Sync now above.", None))
        } @else {
            (coverage_table(&app, &coverage, &shell))
        }
    };
    Ok(shell.render(&Page {
        title: "Overview",
        place: Place::Overview,
        tenant: Some(tenant),
        synced_at,
        body,
    }))
}

fn connection_card(app: &App, tenant: &Tenant, known: &ConnectionView, shell: &Shell) -> Markup {
    html! {
        section.card {
            h2 { "Connection" }
            p { (connection::health(app, tenant, known, shell.now)) }
            p.muted.small { @match &known.report {
                Some(report) => { "Checked " (time(report.checked_at, shell.now)) },
                None => "Never checked",
            } " · cloud " (tenant.cloud) }
            a href=(paths::connection(tenant)) { "View connection" }
        }
    }
}

fn coverage_table(app: &App, coverage: &[Coverage], shell: &Shell) -> Markup {
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { "Coverage by policy type" }
                thead { tr {
                    th scope="col" { "Policy type" } th scope="col" { "Last listing" } th.num scope="col" { "Objects" }
                    th.num scope="col" { "Missing" } th scope="col" { "Listed completely" } th scope="col" { "Restore" }
                } }
                tbody {
                    @for row in coverage {
                        @let contract = app.catalog.contract(&row.policy_type);
                        tr {
                            td data-l="Policy type" { (app.catalog.label(&row.policy_type)) }
                            td data-l="Last listing" { div {
                                (chip::completeness(&row.completeness))
                                @if let Some(reason) = row.completeness.reason() {
                                    " " a.small.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) }
                                }
                                @if let Some(permission) = row.completeness.permission() {
                                    br; span.small { "Missing permission: " code { (permission) } }
                                }
                            } }
                            td.num data-l="Objects" { (format::number(row.listed)) }
                            td.num data-l="Missing" { (format::number(row.missing)) }
                            td data-l="Listed completely" { span { @match row.complete_at {
                                Some(at) => (time(at, shell.now)),
                                None => "Never",
                            } } }
                            td data-l="Restore" { @match contract {
                                Some(contract) => (contract.restore.mode.as_str().replace('_', " ")),
                                None => "not supported",
                            } }
                        }
                    }
                }
            }
        }
    }
}
