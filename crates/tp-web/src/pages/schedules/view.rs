//! What the pages of schedules show: the list, one schedule, the form.

use maud::{Markup, html};
use tp_domain::operation::{Level, OperationKind};
use tp_domain::schedule::{Schedule, Slot, Targets, Timetable};
use tp_domain::time::Timestamp;
use tp_store::LONGEST_SPREAD;

use super::form::{Choices, ScheduleForm, tenant_box, type_box};
use super::{NEXT_TIMES, Seen};
use crate::components::layout::Shell;
use crate::components::{chip, empty, off, time, why};
use crate::format;

/// The id of the text that says why controls are off.
const WHY: &str = "why-manage";
const NEEDS: &str =
    "Changing schedules needs the capability schedules.manage. Ask an owner or a manager.";

/// What a form says besides its fields.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    /// Nothing yet.
    Nothing,
    /// What is wrong with it.
    Wrong(&'a str),
    /// When it would start.
    Times(&'a Timetable),
}

pub(super) fn list(seen: &Seen<'_>, schedules: &[Schedule], now: Timestamp) -> Markup {
    let new = html! { a.button.primary href=(format!("{}/new", seen.home.schedules())) { "New schedule" } };
    html! {
        div.head {
            h1 { "Schedules" }
            div.actions {
                @if seen.may { (new) } @else { (why(WHY, NEEDS)) (off("button", WHY, &html! { "New schedule" })) }
            }
        }
        @if schedules.is_empty() {
            (empty("Nothing starts by itself yet", "A schedule starts a sync every night, so that the inventory is fresh in the morning.", None))
        } @else {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Schedules" }
                thead { tr { th scope="col" { "State" } th scope="col" { "Name" } th scope="col" { "Starts" } th scope="col" { "When" } th scope="col" { "Next" } } }
                tbody { @for schedule in schedules { tr {
                    td data-l="State" { span { (chip::switch(schedule.enabled)) } }
                    td data-l="Name" { a href=(seen.home.schedule(schedule.id)) { (format::shown(&schedule.name)) } }
                    td data-l="Starts" { div { (schedule.kind.facts().label_en) @if let Some(words) = of_targets(schedule) { br; span.muted.small { (words) } } } }
                    td data-l="When" { (schedule.timetable.words()) }
                    td data-l="Next" { span { @match schedule.next_at { Some(at) => (time(at, now)), None => "–" } } }
                } } }
            } }
        }
    }
}

/// In which tenants, for a schedule that starts something in tenants.
fn of_targets(schedule: &Schedule) -> Option<String> {
    match &schedule.targets {
        Targets::Own => None,
        Targets::AllTenants => Some("in all tenants".to_owned()),
        Targets::Tenants(list) if list.len() == 1 => Some("in 1 tenant".to_owned()),
        Targets::Tenants(list) => Some(format!("in {} tenants", list.len())),
    }
}

/// One schedule: what came of it, when it starts next, and its form.
pub(super) struct Detail<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) slots: &'a [Slot],
    pub(super) form: &'a ScheduleForm,
    pub(super) choices: &'a Choices,
    pub(super) told: Told<'a>,
}

pub(super) fn detail(
    seen: &Seen<'_>,
    shell: &Shell,
    shown: &Detail<'_>,
    notice: Option<Markup>,
) -> Markup {
    let schedule = shown.schedule;
    let here = seen.home.schedule(schedule.id);
    html! {
        (seen.crumbs(&schedule.name))
        @if let Some(notice) = notice { (notice) }
        div.head {
            div { h1 { (format::shown(&schedule.name)) } p.sub { (schedule.kind.facts().label_en) @if let Some(words) = of_targets(schedule) { " " (words) } " · " (schedule.timetable.words()) } }
            div.actions {
                (chip::switch(schedule.enabled))
                @if !seen.may { (why(WHY, NEEDS)) }
                (buttons(seen, shell, schedule, &here))
            }
        }
        div.split {
            section {
                h2 { "Latest slots" }
                @if shown.slots.is_empty() { p.muted { "No slot has come up yet." } } @else { (slots_table(seen, schedule, shown.slots, shell.now)) }
            }
            section {
                h2 { "Next times" }
                @if schedule.enabled { (times(&schedule.timetable, shell.now)) } @else { p.muted { "Paused: it starts nothing." } }
                h2 { "Settings" }
                (form_part(seen, shell, &here, shown.form, shown.choices, shown.told, Some(schedule)))
            }
        }
    }
}

/// The next times, in the zone of the schedule.
fn times(timetable: &Timetable, now: Timestamp) -> Markup {
    html! {
        ol.plain { @for at in timetable.next_times(now, NEXT_TIMES) { li { (timetable.local(at)) " · " (time(at, now)) } } }
    }
}

fn buttons(seen: &Seen<'_>, shell: &Shell, schedule: &Schedule, here: &str) -> Markup {
    let (run, delete) = (html! { "Run now" }, html! { "Delete" });
    if !seen.may {
        return html! { (off("button", WHY, &run)) (off("button", WHY, &delete)) };
    }
    html! {
        form method="post" action=(format!("{here}/run")) { (shell.csrf()) (shell.once("run")) button.button.primary type="submit" { (run) } }
        @if schedule.created_by.is_some() {
            form method="post" action=(format!("{here}/delete")) { (shell.csrf()) button.button type="submit" { (delete) } }
        } @else {
            (why("why-delete", "The product made this one: pause it instead of deleting it."))
            (off("button", "why-delete", &delete))
        }
    }
}

fn slots_table(seen: &Seen<'_>, schedule: &Schedule, slots: &[Slot], now: Timestamp) -> Markup {
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Latest slots" }
            thead { tr { th scope="col" { "State" } th scope="col" { "Slot" } th scope="col" { "Run" } } }
            tbody { @for slot in slots { tr {
                td data-l="State" { span { (chip::slot(slot.state)) } }
                td data-l="Slot" { div { (schedule.timetable.local(slot.at)) br; span.muted.small { (time(slot.at, now)) } } }
                td data-l="Run" { @match slot.run { Some(run) => a href=(seen.home.operation(run)) { "View run" }, None => "–" } }
            } } }
        } }
    }
}

const EVERY: [(&str, &str); 5] = [
    ("hour", "Every hour"),
    ("day", "Every day"),
    ("week", "Every week"),
    ("month", "Every month"),
    ("cron", "Cron pattern"),
];

const WEEKDAYS: [(&str, &str); 7] = [
    ("1", "Monday"),
    ("2", "Tuesday"),
    ("3", "Wednesday"),
    ("4", "Thursday"),
    ("5", "Friday"),
    ("6", "Saturday"),
    ("7", "Sunday"),
];

const CATCH_UPS: [(&str, &str); 3] =
    [("once", "Start once"), ("skip", "Start nothing"), ("all", "Start once for each")];

fn options(id: &str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        div.field { label for=(id) { (label) } select id=(id) name=(id) {
            @for (value, words) in options { option value=(value) selected[*value == chosen] { (words) } }
        } }
    }
}

fn text(id: &str, label: &str, value: &str, help: &str) -> Markup {
    html! {
        div.field { label for=(id) { (label) } input type="text" id=(id) name=(id) value=(value) aria-describedby={ "help-" (id) }; p.muted.small id={ "help-" (id) } { (help) } }
    }
}

/// A list of boxes, shut while all of it is meant.
fn boxes(title: &str, open: bool, list: &[(String, String)], form: &ScheduleForm) -> Markup {
    html! {
        details.boxes open[open] {
            summary { (title) }
            ul { @for (name, label) in list {
                li { label { input type="checkbox" name=(name) value="on" checked[form.has(name)]; " " (format::shown(label)) } }
            } }
        }
    }
}

const ALL_OR_CHOSEN: [(&str, &str); 2] = [("all", "All"), ("chosen", "Only those that are ticked")];

/// In which tenants, for a kind of tenants in a workspace.
fn tenants_part(form: &ScheduleForm, choices: &Choices, schedule: Option<&Schedule>) -> Markup {
    let list: Vec<(String, String)> =
        choices.tenants.iter().map(|one| (tenant_box(one.id), one.name.clone())).collect();
    let hidden = schedule.map_or(0, |schedule| choices.hidden(schedule).len());
    html! {
        (options("targets", "In which tenants", &form.targets, &ALL_OR_CHOSEN))
        (boxes("Tenants to tick", form.targets == "chosen", &list, form))
        @if hidden > 0 { p.muted.small { "… and " (hidden) " that you do not see. They stay." } }
    }
}

/// Which policy types, for inventory syncs.
fn types_part(form: &ScheduleForm, choices: &Choices) -> Markup {
    let list: Vec<(String, String)> =
        choices.types.iter().map(|(key, label)| (type_box(key), label.clone())).collect();
    html! {
        (options("types", "Which policy types", &form.types, &ALL_OR_CHOSEN))
        (boxes("Policy types to tick", form.types == "chosen", &list, form))
        (options("foundations", "Foundations, such as filters, scope tags and groups", &form.foundations, &[("on", "Included"), ("off", "Left out")]))
    }
}

fn told_part(told: Told<'_>, form: &ScheduleForm, now: Timestamp) -> Markup {
    match told {
        Told::Nothing => html! {},
        Told::Wrong(wrong) => html! { div.banner.bad role="alert" { p { (wrong) } } },
        Told::Times(timetable) => html! {
            div.banner role="status" { div {
                p { strong { (timetable.words()) } ". Nothing is saved yet." }
                @if form.enabled != "on" { p { "It is off: it starts nothing until it is switched on." } }
                (times(timetable, now))
            } }
        },
    }
}

fn kinds(seen: &Seen<'_>) -> Vec<(&'static str, &'static str)> {
    OperationKind::ALL
        .iter()
        .map(|kind| (kind, kind.facts()))
        .filter(|(_, facts)| facts.schedulable && (seen.whole || facts.level == Level::Tenant))
        .map(|(kind, facts)| (kind.as_str(), facts.label_en))
        .collect()
}

/// The form. Everything that it can change is shown in it.
pub(super) fn form_part(
    seen: &Seen<'_>,
    shell: &Shell,
    action: &str,
    form: &ScheduleForm,
    choices: &Choices,
    told: Told<'_>,
    schedule: Option<&Schedule>,
) -> Markup {
    // A new schedule may become one of any kind; one that is there has the fields of its own.
    let has_types = schedule.is_none_or(|schedule| {
        matches!(schedule.kind, OperationKind::InventorySync | OperationKind::BackupCreate)
            && !super::form::has_chosen_policies(schedule)
    });
    let of_tenants = schedule.is_none_or(|one| one.kind.facts().level == Level::Tenant);
    html! {
        (told_part(told, form, shell.now))
        form.stack method="post" action=(action) {
            (shell.csrf())
            input type="hidden" name="revision" value=(form.revision);
            fieldset disabled[!seen.may] {
                (text("name", "Name", &form.name, "For people, such as Nightly sync"))
                @match schedule { Some(schedule) => input type="hidden" name="kind" value=(schedule.kind);, None => (options("kind", "Starts", &form.kind, &kinds(seen))) }
                @if seen.whole && of_tenants { (tenants_part(form, choices, schedule)) }
                @if has_types { (types_part(form, choices)) }
                (when_part(form))
                @if of_tenants { (text("spread_seconds", "Spread, in seconds", &form.spread_seconds, &format!("It starts within so many seconds after its time, so that not everything begins at once; 0 to {LONGEST_SPREAD}"))) }
                (options("catch_up", "After an outage", &form.catch_up, &CATCH_UPS))
                div.field { label { input type="checkbox" name="enabled" value="on" checked[form.enabled == "on"]; " On" } }
            }
            div.actions {
                @if seen.may {
                    button.button.primary type="submit" name="then" value="save" { "Save" }
                    button.button type="submit" name="then" value="preview" { "Preview times" }
                } @else {
                    (off("button", WHY, &html! { "Save" })) (off("button", WHY, &html! { "Preview times" }))
                }
            }
        }
    }
}

fn when_part(form: &ScheduleForm) -> Markup {
    html! {
        (options("every", "How often", &form.every, &EVERY))
        (text("at", "At", &form.at, "HH:MM in the zone below; of an hourly schedule only the minutes count"))
        (options("weekday", "Day of the week", &form.weekday, &WEEKDAYS))
        (text("day", "Day of the month", &form.day, "1 to 28, for a monthly schedule"))
        (text("cron", "Cron pattern", &form.cron, "Only for a cron pattern: minute hour day month weekday, such as 30 2 * * 1-5"))
        (text("zone", "Time zone", &form.zone, "An IANA name such as Europe/Berlin. A time that the clock skips in spring is done right after the gap; one that comes twice in autumn is done once"))
    }
}

pub(super) fn new_page(
    seen: &Seen<'_>,
    shell: &Shell,
    form: &ScheduleForm,
    choices: &Choices,
    told: Told<'_>,
) -> Markup {
    let body = html! {
        (seen.crumbs("New schedule"))
        div.head { h1 { "New schedule" } }
        (form_part(seen, shell, &seen.home.schedules(), form, choices, told, None))
    };
    seen.render(shell, "New schedule", body)
}
