//! What of a tenant is seen, what of that is protected, and what is missing for more (PRODUCT I-4).

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_catalog::capabilities::{BackupLevel, Capabilities, Works, capabilities};
use tp_catalog::contract::Contract;
use tp_domain::access::{Capability, ViewBackups, ViewInventory, ViewTenant};
use tp_domain::backup::{BackupSet, BackupState, BackupType};
use tp_domain::completeness::{Completeness, CompletenessState};
use tp_domain::policy::PolicyType;
use tp_domain::tenant::Tenant;
use tp_store::{Coverage, TenantScope};

use super::backup::completeness;
use super::start_sync;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, time};
use crate::error::WebError;
use crate::extract::InTenant;
use crate::grants::granted;
use crate::query::Pairs;
use crate::{format, paths};

/// Sets that are looked through for the newest that has ended.
const LOOKED_THROUGH: u32 = 20;

/// What is known beside the inventory, as far as this person may see it.
#[derive(Default)]
struct Beside {
    /// The app's permissions; none where they were not checked.
    granted: Option<Vec<String>>,
    /// The newest set that has something in it, and how it stands for each type.
    set: Option<(BackupSet, BTreeMap<PolicyType, BackupType>)>,
}

async fn beside(scope: &TenantScope<ViewInventory>) -> Result<Beside, WebError> {
    let mut known = Beside::default();
    if scope.may(Capability::TenantView) {
        known.granted = granted(&scope.also::<ViewTenant>().await?).await?;
    }
    if scope.may(Capability::BackupsView) {
        let backups = scope.also::<ViewBackups>().await?;
        let sets = backups.backup_list(None, LOOKED_THROUGH).await?;
        let holds = |set: &BackupSet| {
            set.imported_from.is_none()
                && matches!(set.state, BackupState::Complete | BackupState::Partial)
        };
        if let Some(set) = sets.into_iter().find(holds) {
            let types = backups.backup_types(set.id).await?;
            let types = types.into_iter().map(|one| (one.policy_type.clone(), one)).collect();
            known.set = Some((set, types));
        }
    }
    Ok(known)
}

/// One policy type: what was seen of it, and what can be done.
struct Line<'a> {
    seen: &'a Coverage,
    can: Option<Capabilities>,
}

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewInventory>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    let (tenant, pairs) = (scope.tenant(), Pairs::parse(query.as_deref()));
    let coverage = scope.coverage().await?;
    let beside = beside(&scope).await?;
    let can = |key: &PolicyType| {
        let contract = app.catalog.contract(key)?;
        Some(capabilities(contract, beside.granted.as_deref()))
    };
    let lines: Vec<Line<'_>> =
        coverage.iter().map(|seen| Line { seen, can: can(&seen.policy_type) }).collect();
    let of = |wanted: fn(CompletenessState) -> bool| -> Vec<&Line<'_>> {
        lines.iter().filter(|line| wanted(line.seen.completeness.state())).collect()
    };
    let complete = of(|state| state == CompletenessState::Complete);
    let uncovered = of(|state| state == CompletenessState::NotCovered);
    let lacking =
        of(|state| !matches!(state, CompletenessState::Complete | CompletenessState::NotCovered));
    let synced_at = coverage.iter().filter_map(|row| row.complete_at).max();
    let known: BTreeSet<&PolicyType> = coverage.iter().map(|row| &row.policy_type).collect();
    let never: Vec<&Contract> = app
        .catalog
        .iter()
        .filter(|(key, _)| !known.contains(key))
        .map(|(_, contract)| contract)
        .collect();
    let here = paths::coverage(tenant);
    let view = |title: &str, text: &str, lines: &[&Line<'_>]| {
        html! {
            @if !lines.is_empty() {
                h2 { (title) " " span.muted.count-of { "(" (lines.len()) ")" } }
                p.muted { (text) }
                (table(&app, tenant, title, lines, &beside, &shell))
            }
        }
    };
    let body = html! {
        (start_sync::banner(&scope, &pairs, &shell).await?)
        div.head {
            div {
                h1 { "Coverage" }
                p.sub { @match synced_at { Some(at) => { "Last synced " (time(at, shell.now)) }, None => "Never synced" } }
            }
            div.actions { (start_sync::button(&scope, &shell, &here)) }
        }
        @if coverage.is_empty() {
            (empty("Nothing is known yet", "A sync asks for each policy type of this tenant; then this page says what of it is seen and what can be backed up and restored.", None))
        } @else {
            (cards(tenant, &lines, &beside, &shell))
            (view("Not seen in full", "What is absent here may still be in the tenant. Nothing of these types is taken for missing.", &lacking))
            (view("Seen in full", "Every page of the listing was read.", &complete))
            (view("Not covered", "Microsoft lets no app read these, or there is no contract for them: they are in no backup.", &uncovered))
            @if !never.is_empty() {
                details {
                    summary { "Never asked for (" (never.len()) ")" }
                    ul.plain.columns { @for contract in &never { li { a href=(paths::policy_type(&contract.key)) { (contract.label) } } } }
                }
            }
        }
    };
    Ok(shell.render(&Page {
        title: "Coverage",
        place: Place::Coverage,
        tenant: Some(tenant),
        synced_at,
        body,
    }))
}

fn cards(tenant: &Tenant, lines: &[Line<'_>], beside: &Beside, shell: &Shell) -> Markup {
    let complete = |line: &&Line<'_>| line.seen.completeness == Completeness::Complete;
    let works = |reading: bool| {
        let can = lines.iter().filter_map(|line| line.can.as_ref());
        can.filter(|can| *if reading { &can.reading } else { &can.writing } == Works::Yes).count()
    };
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    for can in lines.iter().filter_map(|line| line.can.as_ref()) {
        missing.extend(can.missing_to_read.iter().map(String::as_str));
    }
    html! {
        div.cards {
            section.card {
                h2 { "Seen" }
                p.big { (lines.iter().filter(complete).count()) " of " (lines.len()) " types" }
                p.small.muted { "listed completely" }
            }
            section.card {
                h2 { "Backup" }
                @match &beside.set {
                    Some((set, types)) => {
                        p.big { (types.values().filter(|one| one.completeness == Completeness::Complete).count()) " of " (types.len()) " types" }
                        p.small.muted { "complete in " a href=(paths::backup(tenant, set.number)) { "set " (set.number) } ", " (time(set.created_at, shell.now)) }
                    },
                    None => { p.big { "None" } p.small.muted { "Nothing is backed up yet. " a href=(paths::backups(tenant)) { "View backup sets" } } },
                }
            }
            section.card {
                h2 { "Permissions" }
                @if beside.granted.is_none() {
                    p.big { "Not checked" }
                    p.small.muted { a href=(paths::connection(tenant)) { "View connection" } " to check them" }
                } @else {
                    p.big { (works(true)) " types can be read" }
                    p.small.muted { (works(false)) " can be restored here. " @if !missing.is_empty() { (missing.len()) @if missing.len() == 1 { " permission is" } @else { " permissions are" } " missing to read: " a href=(paths::connection(tenant)) { "View connection" } } }
                }
            }
        }
    }
}

fn table(
    app: &App,
    tenant: &Tenant,
    title: &str,
    lines: &[&Line<'_>],
    beside: &Beside,
    shell: &Shell,
) -> Markup {
    html! {
        div.table-wrap {
            table.cards-on-mobile {
                caption.visually-hidden { (title) }
                thead { tr {
                    th scope="col" { "Policy type" } th scope="col" { "Last listing" } th.num scope="col" { "Objects" } th.num scope="col" { "Missing" }
                    th scope="col" { "Listed completely" } th scope="col" { "Newest backup" } th scope="col" { "Back up" } th scope="col" { "Restore" }
                } }
                tbody { @for line in lines {
                    @let seen = line.seen;
                    tr {
                        td data-l="Policy type" { a href=(paths::policy_type(seen.policy_type.as_str())) { (app.catalog.label(&seen.policy_type)) } }
                        td data-l="Last listing" { (completeness(&seen.completeness)) }
                        td.num data-l="Objects" { @if seen.listed > 0 { a href={ (paths::policies(tenant)) "?type=" (seen.policy_type) } { (format::number(seen.listed)) } } @else { "0" } }
                        td.num data-l="Missing" { (format::number(seen.missing)) }
                        td data-l="Listed completely" { span { @match seen.complete_at { Some(at) => (time(at, shell.now)), None => "Never" } } }
                        td data-l="Newest backup" { @match beside.set.as_ref().and_then(|(_, types)| types.get(&seen.policy_type)) {
                            Some(one) => (completeness(&one.completeness)),
                            None => span.muted { "Not in it" },
                        } }
                        td data-l="Back up" { @match &line.can { Some(can) => (backup(can)), None => "–" } }
                        td data-l="Restore" { @match &line.can { Some(can) => (restore(can)), None => "–" } }
                    }
                } }
            }
        }
    }
}

fn backup(can: &Capabilities) -> Markup {
    html! { div {
        (chip::backup(can.backup))
        @if can.backup != BackupLevel::None && !can.missing_to_read.is_empty() { (needs(&can.missing_to_read)) }
        @if let Works::Never(why) = &can.reading { br; span.small.muted { (why) } }
    } }
}

fn restore(can: &Capabilities) -> Markup {
    html! { div {
        (chip::restore(can.restore))
        @if !can.missing_to_write.is_empty() { (needs(&can.missing_to_write)) }
        @if let Works::Never(why) = &can.writing { br; span.small.muted { (why) } }
    } }
}

fn needs(missing: &[String]) -> Markup {
    html! { br; span.small { "Missing: " @for (at, one) in missing.iter().enumerate() { @if at > 0 { ", " } code { (one) } } } }
}
