//! What differs between two versions (UX W8).

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use tp_catalog::compare::{Cell, Diff, Entry, Line, LineKind, Note, Section, TextDiff, Why};
use tp_domain::access::ViewBackups;
use tp_store::TenantScope;

use super::version;
use crate::app::App;
use crate::comparison::{self, Asked, Compared, Loaded, NotCompared, Since};
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, time};
use crate::error::WebError;
use crate::extract::InTenant;
use crate::query::Pairs;
use crate::{format, paths};

/// Entries that are shown; a difference with more is no difference but another policy.
const MOST_SHOWN: usize = 2_000;

/// Versions that can be chosen in the page.
const OFFERED: u32 = 100;

pub(crate) async fn show(
    InTenant(scope): InTenant<ViewBackups>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    let pairs = Pairs::parse(query.as_deref());
    let side = |name: &str| {
        let asked = pairs.get(name).and_then(Asked::parse);
        asked.ok_or_else(|| WebError::BadRequest(format!("{name} must be {}.", comparison::FORM)))
    };
    let (left, right) = (side("left")?, side("right")?);
    let left = comparison::load(&app, &scope, &left).await?;
    let right = comparison::load(&app, &scope, &right).await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let result = comparison::run(&app, &left, &right).await?;
    let versions = choose(&scope, &pairs, &left, &right).await?;
    let tenant = scope.tenant();
    let swapped = pairs
        .with("left", pairs.get("right").unwrap_or_default())
        .with("right", pairs.get("left").unwrap_or_default());
    let path = paths::compare_page(tenant);
    let title = version::name(&right.version);
    let is_here = right.tenant.id == tenant.id;
    let policy = if is_here { scope.policy_of_version(&right.version).await? } else { None };
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            @match policy {
                Some(policy) => {
                    li { a href=(paths::policies(tenant)) { "Policies" } }
                    li { a href=(paths::policy(tenant, policy)) { (title) } }
                    li { a href=(paths::versions(tenant, policy)) { "Versions" } }
                },
                None => li { a href=(paths::backups(tenant)) { "Backups" } },
            }
            li aria-current="page" { "Compare" }
        } }
        div.head {
            div { h1 { "Compare " (title) } p.sub { (app.catalog.label(&left.version.policy_type)) } }
            div.actions { a.button href=(swapped.link(&path)) { "Swap sides" } }
        }
        (versions)
        div.sides {
            (side_head("Left", &left, &shell))
            (side_head("Right", &right, &shell))
        }
        @match &result {
            Err(why) => (not_compared(why)),
            Ok(compared) => (differences(compared)),
        }
    };
    Ok(shell.render(&Page {
        title: &format!("Compare {title}"),
        place: Place::Policies,
        tenant: Some(tenant),
        synced_at: None,
        body,
    }))
}

fn side_head(word: &str, side: &Loaded, shell: &Shell) -> Markup {
    html! {
        section.card {
            h2 { (word) }
            p { a href=(paths::version(&side.tenant, side.version.id)) { (version::name(&side.version)) ", version " (side.version.number) } }
            p.muted.small { (format::shown(&side.tenant.name)) " · captured " (time(side.version.created_at, shell.now)) }
            @if let Some(policy) = &side.live {
                p.small {
                    "Live stands for the newest capture known here: this page asks Microsoft for nothing. "
                    @match Since::of(policy, &side.version) {
                        Since::Changed => strong { "The inventory has seen a later change: back the policy up to compare it." },
                        Since::Same => "The inventory has seen no later change.",
                        Since::NotTold => "The listing of this type does not tell whether it has changed since.",
                    }
                    " " a href=(paths::policy(&side.tenant, policy.id)) { "View policy" }
                }
            }
        }
    }
}

fn restricted(diff: &Diff) -> bool {
    diff.entries.iter().chain(&diff.technical).any(|entry| entry.restricted)
}

/// Other versions of the same policy to choose from; nothing where the sides are two policies.
async fn choose(
    scope: &TenantScope<ViewBackups>,
    pairs: &Pairs,
    left: &Loaded,
    right: &Loaded,
) -> Result<Markup, WebError> {
    let of = |side: &Loaded| {
        (side.tenant.id, side.version.policy_type.clone(), side.version.graph_id.clone())
    };
    if of(left) != of(right) || left.tenant.id != scope.tenant().id {
        return Ok(html! {});
    }
    let (_, key, graph_id) = of(left);
    let mut offered = scope.versions_of(&key, &graph_id, None, OFFERED).await?;
    for one in [&left.version, &right.version] {
        if offered.iter().all(|known| known.id != one.id) {
            offered.push(one.clone());
        }
    }
    let live = scope.policy_of_version(&left.version).await?;
    let choice = |id: &str, label: &str, chosen: &Loaded| {
        html! { div.field.wide {
            label for=(id) { (label) }
            select id=(id) name=(id) {
                @if let Some(live) = live { option value={ "live:" (live) } selected[chosen.live.is_some()] { "Live: newest capture" } }
                @for one in &offered {
                    option value={ "version:" (one.id) } selected[chosen.live.is_none() && one.id == chosen.version.id] {
                        "Version " (one.number) ", " (format::absolute(one.created_at))
                    }
                }
            }
        } }
    };
    Ok(html! {
        form.filters method="get" action=(paths::compare_page(scope.tenant())) aria-label="Choose versions" {
            (choice("left", "Left version", left))
            (choice("right", "Right version", right))
            @for (name, value) in pairs.without(&["left", "right"]).0 { input type="hidden" name=(name) value=(value); }
            button.button type="submit" { "Compare" }
        }
    })
}

fn not_compared(why: &NotCompared) -> Markup {
    match why {
        NotCompared::Unreadable(fault) => version::unreadable(*fault),
        NotCompared::Compare(error) => {
            html! { div.banner.warn role="alert" { p { "Nothing was compared: " (format::shown(&error.to_string())) "." } } }
        }
        NotCompared::NoContract => {
            html! { div.banner.warn role="alert" { p { "Nothing was compared: this version of TenantPilot knows no contract for the type." } } }
        }
    }
}

fn differences(compared: &Compared) -> Markup {
    let Compared { diff, scripts_hidden } = compared;
    let sum = diff.summary;
    let hidden = *scripts_hidden && restricted(diff);
    html! {
        @if hidden { div.banner { p { "Scripts are withheld: that they differ is said, their text needs the capability scripts.view_content." } } }
        @if diff.is_empty() {
            div.banner.good { p { "Nothing differs." } }
        } @else {
            p { strong { (sum.changed) " changed, " (sum.added) " added, " (sum.removed) " removed" } ", " (sum.same) " the same" }
        }
        @for (title, entries) in sections(&diff.entries) {
            h2 { (title) }
            (entry_table(title, &entries))
        }
        @if diff.entries.len() > MOST_SHOWN { p.muted { "The first " (MOST_SHOWN) " differences are shown. The API gives all." } }
        @if !diff.unknown.is_empty() {
            h2 { "Could not be compared" }
            ul.plain { @for one in &diff.unknown { li { (format::shown(&one.label)) ": " (why(one.why)) } } }
        }
        @if !diff.by_name.is_empty() {
            h2 { "Taken for the same by name" }
            p.muted { "The two tenants have different ids for these. Their names are equal, and each stands for one object." }
            ul.plain { @for one in &diff.by_name { li { (format::shown(&one.name)) " " span.muted.small { "(" (format::shown(&one.to)) ")" } } } }
        }
        @if !diff.technical.is_empty() {
            details {
                summary { "Technical (" (diff.technical.len()) ")" }
                p.muted.small { "What the service writes by itself: ids, times, counters." }
                (entry_table("Technical", &diff.technical.iter().collect::<Vec<_>>()))
            }
        }
    }
}

/// Entries by the part of the policy, in the order in which people look.
fn sections(entries: &[Entry]) -> Vec<(&'static str, Vec<&Entry>)> {
    let titles = ["Settings", "Parts", "Assignments", "Scope tags"];
    let place = |section: &Section| match section {
        Section::Settings | Section::Technical => 0,
        Section::Part(_) => 1,
        Section::Assignments => 2,
        Section::ScopeTags => 3,
    };
    let mut found: Vec<(&'static str, Vec<&Entry>)> =
        titles.map(|title| (title, Vec::new())).into();
    for entry in entries.iter().take(MOST_SHOWN) {
        found[place(&entry.section)].1.push(entry);
    }
    found.retain(|(_, entries)| !entries.is_empty());
    found
}

fn entry_table(title: &str, entries: &[&Entry]) -> Markup {
    html! {
        div.table-wrap { table.cards-on-mobile.diff {
            caption.visually-hidden { (title) }
            thead { tr { th scope="col" { "What" } th scope="col" { "Difference" } th scope="col" { "Left" } th scope="col" { "Right" } } }
            tbody { @for entry in entries {
                tr {
                    td data-l="What" { div {
                        @if !entry.within.is_empty() { span.muted.small { (within(entry)) " › " } }
                        (format::shown(&entry.label))
                        @if let Some(note) = entry.note { br; span.muted.small { (note_words(note)) } }
                    } }
                    td data-l="Difference" { span { (chip::difference(entry.kind)) } }
                    td data-l="Left" { (cell(entry, entry.left.as_ref())) }
                    td data-l="Right" { (cell(entry, entry.right.as_ref())) }
                }
                @if let Some(lines) = &entry.lines { tr.lines { td colspan="4" { (text_diff(&entry.label, lines)) } } }
            } }
        } }
    }
}

fn within(entry: &Entry) -> String {
    entry.within.iter().map(|word| format::shown(word)).collect::<Vec<_>>().join(" › ")
}

fn cell(entry: &Entry, cell: Option<&Cell>) -> Markup {
    html! { div {
        @match cell {
            None => span.muted { "–" },
            Some(_) if entry.lines.is_some() => span.muted { "see the lines below" },
            Some(cell) => {
                (format::shown(&cell.text))
                @if cell.reference.as_ref().is_some_and(|one| one.name.is_none()) { " " span.muted.small { "name not known" } }
            }
        }
        @if entry.secret && cell.is_some() { br; span.muted.small { "a secret: its value is not kept" } }
    } }
}

const fn note_words(note: Note) -> &'static str {
    match note {
        Note::Order => "The same elements in another order, and the order matters.",
        Note::Charset => "The same text in other bytes.",
        Note::LineEnds => "Only the ends of lines differ.",
        Note::ById => "Compared by id: a name is not known, or stands for several objects.",
    }
}

const fn why(why: Why) -> &'static str {
    match why {
        Why::NotReadLeft => "it could not be read when the left version was captured",
        Why::NotReadRight => "it could not be read when the right version was captured",
        Why::Secret => "a secret that cannot be compared with the other side's",
    }
}

fn text_diff(label: &str, diff: &TextDiff) -> Markup {
    let line = |line: &Line| {
        let (class, mark) = match line.kind {
            LineKind::Same => ("", " "),
            LineKind::Removed => ("removed", "-"),
            LineKind::Added => ("added", "+"),
            LineKind::Gap => ("gap", "…"),
        };
        html! { span class={ "line " (class) } { (mark) " " (format::shown(&line.text)) "\n" } }
    };
    html! {
        p.small.muted { (diff.added) " lines added, " (diff.removed) " removed" @if diff.cut { ". There is more than is shown." } }
        pre.code tabindex="0" aria-label={ "Lines of " (format::shown(label)) } { @for one in &diff.lines { (line(one)) } }
    }
}
