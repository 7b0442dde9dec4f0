//! One policy: its settings as they were captured last, and what the inventory knows of it.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_domain::access::{Capability, ViewBackups, ViewPolicies};
use tp_domain::ids::PolicyId;
use tp_domain::policy::Policy;
use tp_domain::tenant::Tenant;
use tp_domain::version::PolicyVersion;
use tp_store::TenantScope;

use super::policies::{assigned, name};
use super::{backups, start_sync, version};
use crate::app::App;
use crate::comparison::Since;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, time};
use crate::error::WebError;
use crate::extract::{Id, InTenant};
use crate::query::Pairs;
use crate::{format, paths};

/// The pages of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Settings,
    Versions,
}

/// What was captured of the policy last, where this person may see it.
struct Latest {
    scope: TenantScope<ViewBackups>,
    version: Option<PolicyVersion>,
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewPolicies>,
    Id(id): Id<PolicyId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let policy = scope.policy_get(id).await?.ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, title) = (scope.tenant(), name(&policy));
    let latest = latest(&scope, &policy).await?;
    let version = latest.as_ref().and_then(|latest| latest.version.as_ref());
    let pairs = Pairs::parse(query.as_deref());
    let body = html! {
        (start_sync::banner(&scope, &pairs, &shell).await?)
        (head(&app, tenant, &policy, &backups::button_of_policy(&scope, &shell, id)))
        (tabs(tenant, id, version, Tab::Settings))
        div.split {
            section {
                @match &latest {
                    None => (empty("Settings cannot be shown", "Seeing what was captured needs the capability backups.view. Ask an owner or a manager.", None)),
                    Some(latest) => (settings(&app, latest, &policy, &shell).await?),
                }
            }
            section { (side(&app, tenant, &policy, &shell)) }
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

async fn latest(
    scope: &TenantScope<ViewPolicies>,
    policy: &Policy,
) -> Result<Option<Latest>, WebError> {
    if !scope.may(Capability::BackupsView) {
        return Ok(None);
    }
    let scope = scope.also::<ViewBackups>().await?;
    let version = scope.version_newest(policy.id).await?;
    Ok(Some(Latest { scope, version }))
}

async fn settings(
    app: &App,
    latest: &Latest,
    policy: &Policy,
    shell: &Shell,
) -> Result<Markup, WebError> {
    let Some(known) = &latest.version else {
        return Ok(empty(
            "Settings are not known yet",
            "A sync reads which policies there are, not their settings. Back this policy up: then its settings, assignments and versions are here.",
            None,
        ));
    };
    let tenant = latest.scope.tenant();
    // The page is about the policy: that its content cannot be read is said, and the rest still stands.
    let shown = version::settings(app, &latest.scope, known).await?;
    let here = paths::version(tenant, known.id);
    Ok(html! {
        p.small.muted {
            "As captured in " a href=(here) { "version " (known.number) } ", " (time(known.created_at, shell.now)) "."
        }
        @if Since::of(policy, known) == Since::Changed {
            div.banner.warn { p { "The inventory has seen a later change of this policy. Back it up to see its settings of today." } }
        }
        (shown)
    })
}

/// The heading of the pages of a policy.
pub(crate) fn head(app: &App, tenant: &Tenant, policy: &Policy, action: &Markup) -> Markup {
    let title = name(policy);
    html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href=(paths::policies(tenant)) { "Policies" } }
            li aria-current="page" { (title) }
        } }
        div.head {
            div { h1 { (title) } p.sub { (app.catalog.label(&policy.policy_type)) " · " (chip::missing(policy.missing)) } }
            div.actions { (action) }
        }
        @if policy.missing {
            div.banner.warn { p { "The latest complete sync of this type did not see this policy. It may have been removed from the tenant." } }
        }
    }
}

/// Its pages.
pub(crate) fn tabs(
    tenant: &Tenant,
    id: PolicyId,
    newest: Option<&PolicyVersion>,
    tab: Tab,
) -> Markup {
    let link = |label: Markup, href: String, own: Tab| {
        html! { li { a href=(href) aria-current=[(tab == own).then_some("page")] { (label) } } }
    };
    let count = newest.map(|newest| format!(" {}", format::number(newest.number)));
    html! {
        ul.tabs {
            (link(html! { "Settings" }, paths::policy(tenant, id), Tab::Settings))
            (link(html! { "Versions" (count.unwrap_or_default()) }, paths::versions(tenant, id), Tab::Versions))
        }
    }
}

fn side(app: &App, tenant: &Tenant, policy: &Policy, shell: &Shell) -> Markup {
    html! {
        h2 { "Basics" }
        (basics(policy, app.catalog.label(&policy.policy_type), shell))
        h2 { "Facts from the listing" }
        @match policy.observed.metadata.as_object().filter(|map| !map.is_empty()) {
            Some(map) => dl.facts { @for (key, value) in map {
                dt { (key) }
                dd { (format::shown(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))) }
            } },
            None => p.muted { "The listing tells nothing more of this type." },
        }
        h2 { "Seen" }
        dl.facts {
            dt { "First seen" } dd { (time(policy.first_seen_at, shell.now)) }
            dt { "Last seen" } dd { (time(policy.last_seen_at, shell.now)) }
            dt { "By run" } dd { a href=(paths::operation(tenant, policy.last_seen_run)) { "View run" } }
        }
    }
}

fn basics(policy: &Policy, label: &str, shell: &Shell) -> Markup {
    let seen = &policy.observed;
    html! {
        dl.facts {
            dt { "Policy type" } dd { a href=(paths::policy_type(policy.policy_type.as_str())) { (label) } }
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
