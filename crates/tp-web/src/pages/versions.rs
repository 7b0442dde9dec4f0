//! The versions of one policy, and a choice of two to compare (UX W7).

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_domain::access::{ViewBackups, ViewPolicies};
use tp_domain::ids::PolicyId;

use super::policies::name;
use super::version::purpose;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{empty, time};
use crate::error::WebError;
use crate::extract::{Id, InTenant};
use crate::query::Pairs;
use crate::{format, paths};

const PER_PAGE: u32 = 100;

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewBackups>,
    Id(id): Id<PolicyId>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let tenant = scope.tenant();
    let policies = scope.also::<ViewPolicies>().await?;
    let policy = policies.policy_get(id).await?.ok_or(WebError::NotFound)?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let pairs = Pairs::parse(query.as_deref());
    let before: Option<u64> = pairs.get("before").and_then(|text| text.parse().ok());
    let (key, graph_id) = (&policy.policy_type, policy.observed.graph_id.as_str());
    let mut found = scope.versions_of(key, graph_id, before, PER_PAGE + 1).await?;
    let wanted = usize::try_from(PER_PAGE).unwrap_or(usize::MAX);
    let next = (found.len() > wanted).then(|| found[wanted - 1].number);
    found.truncate(wanted);
    let newest = scope.version_newest(id).await?;
    let (title, path) = (format!("Versions of {}", name(&policy)), paths::versions(tenant, id));
    let body = html! {
        (super::policy::head(&app, tenant, &policy, &super::backups::button_of_policy(&scope, &shell, id)))
        (super::policy::tabs(tenant, id, newest.as_ref(), super::policy::Tab::Versions))
        @if found.is_empty() && before.is_none() {
            (empty("No version yet", "A backup reads this policy in full and keeps it as a version. Later backups add one only when something has changed.", Some(html! { a.button href=(paths::backups(tenant)) { "View backups" } })))
        } @else {
            form method="get" action=(paths::compare_page(tenant)) {
                div.table-wrap { table.cards-on-mobile {
                    caption.visually-hidden { "Versions, newest first" }
                    thead { tr { th scope="col" { "Version" } th scope="col" { "Captured" } th scope="col" { "For" } th scope="col" { "Name then" } th.num scope="col" { "Assignments" } th scope="col" { "Left" } th scope="col" { "Right" } } }
                    tbody { @for (index, version) in found.iter().enumerate() { tr {
                        td data-l="Version" { a href=(paths::version(tenant, version.id)) { "Version " (version.number) } }
                        td data-l="Captured" { span { (time(version.created_at, shell.now)) } }
                        td data-l="For" { (purpose(version)) }
                        td data-l="Name then" { (super::version::name(version)) }
                        td.num data-l="Assignments" { (format::number(version.assignments)) }
                        td data-l="Left" { label.pick { input type="radio" name="left" value={ "version:" (version.id) } checked[index == 1.min(found.len() - 1)]; span.visually-hidden { "Version " (version.number) " on the left" } } }
                        td data-l="Right" { label.pick { input type="radio" name="right" value={ "version:" (version.id) } checked[index == 0]; span.visually-hidden { "Version " (version.number) " on the right" } } }
                    } } }
                } }
                @if found.len() > 1 { p { button.button type="submit" { "Compare the two" } } }
                @else { p.muted { "With a second version there is something to compare." } }
            }
            @if let Some(next) = next { nav.pager aria-label="Pages" { span {} span.links { a.button href=(pairs.with("before", &next.to_string()).link(&path)) rel="next" { "Older versions" } } } }
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
