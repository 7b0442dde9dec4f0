//! One policy: what the inventory knows of it.

use axum::extract::State;
use maud::{Markup, html};
use tp_domain::access::ViewPolicies;
use tp_domain::ids::PolicyId;
use tp_domain::policy::Policy;

use super::policies::{assigned, name};
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, time};
use crate::error::WebError;
use crate::extract::{Id, InTenant};
use crate::{format, paths};

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewPolicies>,
    Id(id): Id<PolicyId>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let policy = scope.policy_get(id).await?.ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, title) = (scope.tenant(), name(&policy));
    let label = app.catalog.label(&policy.policy_type);
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(paths::policies(tenant)) { "Policies" } }
            li aria-current="page" { (title) }
        } }
        div.head {
            div { h1 { (title) } p.sub { (label) } }
            div.actions { (chip::missing(policy.missing)) }
        }
        @if policy.missing {
            div.banner.warn { p { "The latest complete sync of this type did not see this policy. It may have been removed from the tenant." } }
        }
        div.split {
            section {
                h2 { "Basics" }
                (basics(&policy, label, &shell))
                h2 { "Facts from the listing" }
                @match policy.observed.metadata.as_object().filter(|map| !map.is_empty()) {
                    Some(map) => dl.facts { @for (key, value) in map {
                        dt { (key) }
                        dd { (format::shown(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))) }
                    } },
                    None => p.muted { "The listing tells nothing more of this type." },
                }
                h2 { "Settings and versions" }
                p { "A backup keeps settings and assignments of this policy, as a version for each change. " a href=(paths::versions(tenant, id)) { "View versions" } }
            }
            section {
                h2 { "Seen" }
                dl.facts {
                    dt { "First seen" } dd { (time(policy.first_seen_at, shell.now)) }
                    dt { "Last seen" } dd { (time(policy.last_seen_at, shell.now)) }
                    dt { "By run" } dd { a href=(paths::operation(tenant, policy.last_seen_run)) { "View run" } }
                }
            }
        }
    };
    Ok(shell.render(&Page {
        title: &title,
        place: Place::Policies,
        tenant: Some(tenant),
        synced_at: Some(policy.last_seen_at),
        body,
    }))
}

fn basics(policy: &Policy, label: &str, shell: &Shell) -> Markup {
    let seen = &policy.observed;
    html! {
        dl.facts {
            dt { "Policy type" } dd { (label) }
            dt { "Platform" } dd { (seen.platform.as_deref().map_or("–".into(), format::shown)) }
            dt { "Concrete type" } dd { (seen.odata_type.as_deref().map_or("–".into(), format::shown)) }
            dt { "Assigned" } dd { (assigned(policy)) }
            dt { "Scope tags" } dd {
                @if seen.scope_tags.is_empty() { "–" }
                @for (index, tag) in seen.scope_tags.iter().enumerate() { @if index > 0 { ", " } (format::shown(tag)) }
            }
            dt { "Created" } dd { @match seen.created_at { Some(at) => (time(at, shell.now)), None => "–" } }
            dt { "Last modified" } dd { @match seen.modified_at { Some(at) => (time(at, shell.now)), None => "–" } }
            dt { "Graph id" } dd {
                span.mono { (format::shown(&seen.graph_id)) } " "
                button.pill type="button" data-copy=(seen.graph_id) hidden { "Copy" }
            }
        }
    }
}
