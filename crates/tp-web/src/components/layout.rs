//! The shell around every page: top bar, sidebar, main, footer (UX §2.3).

use maud::{DOCTYPE, Markup, html};
use tp_domain::access::{Capability, Role, ViewOperations};
use tp_domain::ids::WorkspaceId;
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{Actor, BreakGlass, StoreError};

use super::{icon, time};
use crate::app::App;
use crate::paths::Home;
use crate::{format, paths};

/// What the shell shows besides the page.
pub(crate) struct Shell {
    assets: (String, String, String),
    version: &'static str,
    person: Option<Person>,
    once: String,
    pub(crate) now: Timestamp,
}

struct Person {
    name: String,
    csrf: String,
    unread: u64,
    active: u64,
    tenants: Vec<(Tenant, Role)>,
    workspace: WorkspaceId,
    /// A member of the workspace as a whole, not of single tenants only.
    whole: bool,
    /// Local accounts that are used in place of the provider.
    break_glass: Vec<BreakGlass>,
}

/// Where in the product a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A page over all tenants.
    Fleet,
    /// The overview of a tenant.
    Overview,
    /// Its policies.
    Policies,
    /// What can be done with its policy types.
    PolicyTypes,
    /// Its backups.
    Backups,
    /// What is written back.
    Restores,
    /// What of it is seen and protected.
    Coverage,
    /// How it is reached.
    Connection,
    /// Its operations.
    Operations,
    /// Schedules of a tenant or of the workspace.
    Schedules,
    /// What belongs to the workspace itself.
    Workspace,
    /// Whether work is moving.
    Platform,
    /// Who is a member.
    Members,
    /// A person's own account.
    Account,
}

/// One page.
pub(crate) struct Page<'a> {
    /// Of the page itself; tenant and product are added.
    pub(crate) title: &'a str,
    pub(crate) place: Place,
    pub(crate) tenant: Option<&'a Tenant>,
    /// Since when the tenant's data are known, for the footer.
    pub(crate) synced_at: Option<Timestamp>,
    pub(crate) body: Markup,
}

impl Shell {
    /// For somebody who is signed in.
    pub(crate) async fn of(app: &App, actor: &Actor) -> Result<Self, StoreError> {
        let fleet = app.store.enter_fleet::<ViewOperations>(actor).ok();
        let whole = app.store.workspace_may(actor, Capability::SettingsView).await?;
        let person = Person {
            name: actor.name().to_owned(),
            csrf: actor.csrf().unwrap_or_default().to_owned(),
            unread: app.store.hall().notification_count(actor).await?,
            active: match &fleet {
                Some(fleet) => fleet.fleet_run_active().await?,
                None => 0,
            },
            tenants: match &fleet {
                Some(fleet) => fleet.tenant_list().await?,
                None => Vec::new(),
            },
            workspace: actor.workspace(),
            whole,
            break_glass: match &app.settings.provider {
                Some(_) => app.store.hall().break_glass_list(actor).await?,
                None => Vec::new(),
            },
        };
        Ok(Self { person: Some(person), ..Self::anonymous(app) })
    }

    /// For nobody in particular: sign-in and errors.
    pub(crate) fn anonymous(app: &App) -> Self {
        let assets = &app.assets;
        Self {
            assets: (assets.css.href(), assets.js.href(), assets.icon.href()),
            version: app.settings.version,
            person: None,
            once: app.ids.next().to_string(),
            now: app.store.now(),
        }
    }

    /// The token that forms carry.
    pub(crate) fn csrf(&self) -> Markup {
        let token = self.person.as_ref().map_or("", |person| person.csrf.as_str());
        html! { input type="hidden" name="csrf" value=(token); }
    }

    /// A key that this page's form has and no other: the same form sent twice is carried out once. The
    /// word tells the forms of one page apart.
    pub(crate) fn once(&self, word: &str) -> Markup {
        html! { input type="hidden" name="key" value={ (self.once) "-" (word) }; }
    }

    /// The whole document.
    pub(crate) fn render(&self, page: &Page<'_>) -> Markup {
        let tenant = page.tenant.map(|tenant| format::shown(&tenant.name).into_owned());
        let title = match &tenant {
            Some(tenant) => format!("{} – {tenant} – TenantPilot", page.title),
            None => format!("{} – TenantPilot", page.title),
        };
        let (css, js, icon) = &self.assets;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    link rel="icon" href=(icon) type="image/svg+xml";
                    link rel="stylesheet" href=(css);
                    script src=(js) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    (self.top_bar(page))
                    div class=(if page.tenant.is_some() { "frame" } else { "frame wide" }) {
                        @if let Some(tenant) = page.tenant { (sidebar(tenant, page.place)) }
                        main id="main" tabindex="-1" { (self.break_glass()) (page.body) }
                        (self.footer(page))
                    }
                    p.visually-hidden id="live-status" role="status" {}
                }
            }
        }
    }

    /// That a local account is used although there is a provider: everybody is told (PRODUCT A-4).
    fn break_glass(&self) -> Markup {
        let all = self.person.as_ref().map_or(&[][..], |person| &person.break_glass);
        html! { @for one in all {
            div.banner.warn role="status" { p {
                strong { "Break-glass: " } "a session of the local account " (format::shown(&one.name)) " began " (time(one.since, self.now))
                " and ends " (time(one.until, self.now)) " at the latest."
            } }
        } }
    }

    fn top_bar(&self, page: &Page<'_>) -> Markup {
        html! {
            header.topbar {
                a.brand href="/tenants" { (icon::mark()) "TenantPilot" }
                @if let Some(person) = &self.person {
                    (switcher(person, page))
                    span.grow {}
                    @if person.active > 0 {
                        a.pill href="/operations?tab=active" { (icon::ring()) span { span.count { (format::number(person.active)) } " running" } }
                    }
                    (bell(person.unread))
                    button.pill type="button" data-theme-toggle hidden { "Theme" }
                    details.menu {
                        summary.pill { (format::shown(&person.name)) }
                        div.menu-list.right {
                            @if person.whole {
                                @let whole = Home::Workspace(person.workspace);
                                ul {
                                    li { a href=(whole.operations()) { "Operations of the workspace" } }
                                    li { a href=(whole.schedules()) { "Schedules of the workspace" } }
                                    li { a href=(paths::members(person.workspace)) { "Members" } }
                                    li { a href=(paths::platform(person.workspace)) { "Platform" } }
                                }
                            }
                            ul {
                                li { a href=(paths::policy_types(None)) { "Policy types" } }
                                li { a href="/account" { "Account" } }
                                li { a href=(paths::OWN_SIGN_INS) { "Your ways to sign in" } }
                                li { a href=(paths::WORKSPACES) { "Your workspaces" } }
                            }
                            form method="post" action="/logout" {
                                (self.csrf())
                                button type="submit" { "Sign out" }
                            }
                        }
                    }
                }
            }
        }
    }

    fn footer(&self, page: &Page<'_>) -> Markup {
        html! {
            footer {
                "Times are in UTC · All data on this page comes from the database"
                @if let Some(at) = page.synced_at { ", last synced " (time(at, self.now)) }
                " · TenantPilot " (self.version)
            }
        }
    }
}

/// The bell, also alone for the poller.
pub(crate) fn bell(unread: u64) -> Markup {
    let label = match unread {
        0 => "Notifications, none unread".to_owned(),
        count => format!("Notifications, {count} unread"),
    };
    html! {
        a.pill href="/notifications" aria-label=(label) id="bell" {
            (icon::bell())
            @if unread > 0 { span.count { (format::number(unread)) } }
        }
    }
}

fn switcher(person: &Person, page: &Page<'_>) -> Markup {
    // The section is kept, an object never is (UX N04).
    let section = match page.place {
        Place::Policies => "policies",
        Place::PolicyTypes => "policy-types",
        Place::Backups => "backups",
        Place::Restores => "restores",
        Place::Coverage => "coverage",
        Place::Operations => "operations",
        Place::Connection => "settings/connection",
        Place::Schedules => "schedules",
        Place::Fleet
        | Place::Overview
        | Place::Workspace
        | Place::Platform
        | Place::Members
        | Place::Account => "overview",
    };
    html! {
        details.menu {
            summary.pill {
                @match page.tenant {
                    Some(tenant) => (format::shown(&tenant.name)),
                    None => "All tenants",
                }
                span aria-hidden="true" { "▾" }
            }
            ul.menu-list {
                li { a href="/tenants" { "All tenants" } }
                @for (tenant, _) in &person.tenants {
                    li {
                        a href=(format!("/t/{}/{section}", tenant.slug)) {
                            (format::shown(&tenant.name))
                            @if let Some(domain) = &tenant.domain { br; span.muted.small { (format::shown(domain)) } }
                        }
                    }
                }
            }
        }
    }
}

fn sidebar(tenant: &Tenant, place: Place) -> Markup {
    let link = |href: String, label: &str, own: Place| {
        html! { li { a href=(href) aria-current=[(place == own).then_some("page")] { (label) } } }
    };
    html! {
        aside.sidebar aria-label="Tenant" {
            nav aria-label="Sections" {
                ul { (link(paths::overview(tenant), "Overview", Place::Overview)) }
                p.group { "Inventory" }
                ul {
                    (link(paths::policies(tenant), "Policies", Place::Policies))
                    (link(paths::coverage(tenant), "Coverage", Place::Coverage))
                    (link(paths::policy_types(Some(tenant)), "Policy types", Place::PolicyTypes))
                }
                p.group { "Protection" }
                ul { (link(paths::backups(tenant), "Backups", Place::Backups))
                    (link(paths::restores(tenant), "Restores", Place::Restores)) }
                p.group { "Monitoring" }
                ul {
                    (link(paths::operations(tenant), "Operations", Place::Operations))
                    (link(Home::Tenant(tenant).schedules(), "Schedules", Place::Schedules))
                }
                p.group { "Tenant" }
                ul { (link(paths::connection(tenant), "Connection", Place::Connection)) }
            }
        }
    }
}
