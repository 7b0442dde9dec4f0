//! All tenants that a person may see, with what is going on there.

use axum::extract::State;
use maud::{Markup, html};
use tp_domain::access::Capability;

use tp_domain::access::ViewTenant;

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{connection, empty, time};
use crate::error::WebError;
use crate::extract::SignedIn;
use crate::{format, paths};

pub(crate) async fn show(
    State(app): State<App>,
    SignedIn(actor): SignedIn,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, &actor).await?;
    let tenants = app.store.enter_fleet::<ViewTenant>(&actor)?.tenant_summaries().await?;
    let may_add = app.store.workspace_may(&actor, Capability::TenantManage).await?;
    let attention = tenants.iter().filter(|line| line.failed_runs > 0).count();
    let body = html! {
        div.head {
            div {
                h1 { "Tenants" }
                p.sub { (tenants.len()) " tenants · " (attention) " with failed operations in the last 7 days" }
            }
        }
        @if tenants.is_empty() {
            (empty("No tenant yet", if may_add {
                "Add the first one on the command line: tenantpilot tenant add --help shows how."
            } else {
                "You are not a member of any tenant. An owner of the workspace can change that."
            }, None))
        } @else {
            div.table-wrap {
                table.cards-on-mobile {
                    caption.visually-hidden { "Tenants" }
                    thead { tr {
                        th scope="col" { "Tenant" } th scope="col" { "Connection" } th scope="col" { "Last sync" }
                        th.num scope="col" { "Policies" } th.num scope="col" { "Active" } th.num scope="col" { "Failed, 7 days" }
                        th scope="col" { "Your role" }
                    } }
                    tbody {
                        @for line in &tenants {
                            tr {
                                td data-l="Tenant" { div {
                                    a href=(paths::overview(&line.tenant)) { (format::shown(&line.tenant.name)) }
                                    @if let Some(domain) = &line.tenant.domain { br; span.muted.small { (format::shown(domain)) } }
                                } }
                                td data-l="Connection" { div {
                                    (connection::health(&app, &line.tenant, &line.connection, shell.now))
                                    @if line.tenant.cloud != "global" { br; span.muted.small { "Cloud " (line.tenant.cloud) } }
                                } }
                                td data-l="Last sync" { span { @match line.synced_at {
                                    Some(at) => (time(at, shell.now)),
                                    None => "Never",
                                } } }
                                td.num data-l="Policies" { (format::number(line.policies)) }
                                td.num data-l="Active" { (format::number(line.active_runs)) }
                                td.num data-l="Failed, 7 days" { @if line.failed_runs > 0 {
                                    a href={ (paths::operations(&line.tenant)) "?tab=attention" } { (format::number(line.failed_runs)) }
                                } @else { "0" } }
                                td data-l="Your role" { (line.role) }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(shell.render(&Page {
        title: "Tenants",
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}
