//! Schedules of a tenant or of the workspace: what starts by itself, and when (UX §1.10).

use axum::extract::{RawQuery, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{Capability, ManageSchedules, ViewSettings};
use tp_domain::ids::ScheduleId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{Level, OperationKind, OperationRequest as _};
use tp_domain::schedule::{Cadence, CatchUp, Schedule, Slot, Targets, Timetable};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::{
    HowStarted, LONGEST_SCHEDULE_NAME, NewSchedule, ScheduleChanged, Started, TenantScope,
    WorkspaceScope,
};

use super::login::Nothing;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, empty, time};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, InWorkspace, RequestId};
use crate::format;
use crate::paths::Home;
use crate::query::Pairs;

/// How many slots a schedule's page shows.
const SLOTS: u32 = 30;

/// The form as it comes in: texts, checked below.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ScheduleForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    every: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    weekday: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    cron: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    catch_up: String,
    #[serde(default)]
    enabled: String,
    #[serde(default)]
    revision: String,
}

fn number(text: &str) -> Option<u8> {
    text.trim().parse().ok()
}

/// Hour and minute of `02:30`.
fn clock(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    Some((number(hour)?, number(minute)?))
}

impl ScheduleForm {
    /// The form of a schedule that is there.
    fn of(schedule: &Schedule) -> Self {
        let mut form = Self {
            name: schedule.name.clone(),
            kind: schedule.kind.to_string(),
            zone: schedule.timetable.zone().to_owned(),
            catch_up: schedule.catch_up.to_string(),
            enabled: if schedule.enabled { "on".to_owned() } else { String::new() },
            revision: schedule.revision.to_string(),
            ..Self::default()
        };
        match schedule.timetable.cadence() {
            Cadence::Hourly { minute } => {
                "hour".clone_into(&mut form.every);
                form.at = format!("00:{minute:02}");
            }
            Cadence::Daily { hour, minute } => {
                "day".clone_into(&mut form.every);
                form.at = format!("{hour:02}:{minute:02}");
            }
            Cadence::Weekly { weekday, hour, minute } => {
                "week".clone_into(&mut form.every);
                form.at = format!("{hour:02}:{minute:02}");
                form.weekday = weekday.to_string();
            }
            Cadence::Monthly { day, hour, minute } => {
                "month".clone_into(&mut form.every);
                form.at = format!("{hour:02}:{minute:02}");
                form.day = day.to_string();
            }
            Cadence::Cron(text) => {
                "cron".clone_into(&mut form.every);
                form.cron.clone_from(text);
            }
        }
        form
    }

    fn cadence(&self) -> Result<Cadence, &'static str> {
        const AT: &str = "Write the time as HH:MM, such as 02:30.";
        let at = || clock(&self.at).ok_or(AT);
        Ok(match self.every.as_str() {
            "hour" => Cadence::Hourly { minute: at()?.1 },
            "day" => {
                let (hour, minute) = at()?;
                Cadence::Daily { hour, minute }
            }
            "week" => {
                let (hour, minute) = at()?;
                let weekday = number(&self.weekday).ok_or("Choose a day of the week.")?;
                Cadence::Weekly { weekday, hour, minute }
            }
            "month" => {
                let (hour, minute) = at()?;
                let day = number(&self.day).ok_or("Write a day of the month, 1 to 28.")?;
                Cadence::Monthly { day, hour, minute }
            }
            "cron" => Cadence::Cron(self.cron.chars().take(100).collect()),
            _ => return Err("Choose how often."),
        })
    }

    fn timetable(&self) -> Result<Timetable, String> {
        let zone = if self.zone.trim().is_empty() { "UTC" } else { self.zone.trim() };
        let cadence = self.cadence().map_err(str::to_owned)?;
        Timetable::new(cadence, zone).map_err(|error| {
            let mut text = error.to_string();
            if let Some(first) = text.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            text + "."
        })
    }

    /// What is to be kept, or what is wrong, in a sentence.
    fn read(&self, whole: bool) -> Result<NewSchedule, String> {
        let name = self.name.trim();
        if name.is_empty()
            || name.chars().count() > LONGEST_SCHEDULE_NAME
            || name.chars().any(char::is_control)
        {
            return Err(format!("Write a name of 1 to {LONGEST_SCHEDULE_NAME} characters."));
        }
        let kind: OperationKind = self
            .kind
            .parse()
            .ok()
            .filter(|kind: &OperationKind| kind.facts().schedulable)
            .filter(|kind| whole || kind.facts().level == Level::Tenant)
            .ok_or("Choose what is to be started.")?;
        let (inputs, targets) = match kind {
            OperationKind::InventorySync if whole => {
                (SyncInventory::everything().inputs(), Targets::AllTenants)
            }
            OperationKind::InventorySync => (SyncInventory::everything().inputs(), Targets::Own),
            OperationKind::RunsPrune | OperationKind::ScheduleExecute => {
                (serde_json::json!({}), Targets::Own)
            }
        };
        Ok(NewSchedule {
            name: name.to_owned(),
            kind,
            inputs,
            targets,
            timetable: self.timetable()?,
            catch_up: self.catch_up.parse().unwrap_or(CatchUp::Once),
            // Many tenants must not begin in the same second.
            spread_seconds: if kind.facts().level == Level::Tenant { 300 } else { 0 },
            enabled: self.enabled == "on",
        })
    }
}

/// A place with schedules, seen by somebody.
struct Seen<'a> {
    home: Home<'a>,
    tenant: Option<&'a Tenant>,
    whole: bool,
    may: bool,
}

impl<'a> Seen<'a> {
    fn tenant<C>(scope: &'a TenantScope<C>) -> Self {
        let tenant = scope.tenant();
        let may = scope.may(Capability::SchedulesManage);
        Self { home: Home::Tenant(tenant), tenant: Some(tenant), whole: false, may }
    }

    fn workspace<C>(scope: &WorkspaceScope<C>) -> Self {
        let may = scope.may(Capability::SchedulesManage);
        Self { home: Home::Workspace(scope.id()), tenant: None, whole: true, may }
    }

    fn render(&self, shell: &Shell, title: &str, body: Markup) -> Markup {
        let place = Place::Schedules;
        shell.render(&Page { title, place, tenant: self.tenant, synced_at: None, body })
    }

    fn crumbs(&self, here: &str) -> Markup {
        html! {
            nav.crumbs aria-label="Breadcrumb" { ol {
                li { a href=(self.home.schedules()) { "Schedules" } }
                li aria-current="page" { (format::shown(here)) }
            } }
        }
    }
}

fn list(seen: &Seen<'_>, schedules: &[Schedule], now: Timestamp) -> Markup {
    let new = html! { a.button.primary href=(format!("{}/new", seen.home.schedules())) { "New schedule" } };
    html! {
        div.head {
            h1 { "Schedules" }
            div.actions {
                @if seen.may { (new) } @else {
                    span.why id="why-new" { "Making schedules needs the capability schedules.manage." }
                    button.button type="button" aria-disabled="true" aria-describedby="why-new" { "New schedule" }
                }
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
                    td data-l="Starts" { div { (schedule.kind.facts().label_en) (of_targets(schedule)) } }
                    td data-l="When" { (schedule.timetable.words()) }
                    td data-l="Next" { span { @match schedule.next_at { Some(at) => (time(at, now)), None => "–" } } }
                } } }
            } }
        }
    }
}

fn of_targets(schedule: &Schedule) -> Markup {
    let words = match &schedule.targets {
        Targets::Own => return html! {},
        Targets::AllTenants => "in all tenants".to_owned(),
        Targets::Tenants(list) => format!("in {} tenants", list.len()),
    };
    html! { br; span.muted.small { (words) } }
}

pub(crate) async fn show_list(
    InTenant(scope): InTenant<ViewSettings>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let schedules = scope.schedule_list().await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let seen = Seen::tenant(&scope);
    Ok(seen.render(&shell, "Schedules", list(&seen, &schedules, shell.now)))
}

pub(crate) async fn show_list_workspace(
    InWorkspace(scope): InWorkspace<ViewSettings>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let schedules = scope.schedule_list().await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let seen = Seen::workspace(&scope);
    Ok(seen.render(&shell, "Schedules", list(&seen, &schedules, shell.now)))
}

fn detail(
    seen: &Seen<'_>,
    shell: &Shell,
    schedule: &Schedule,
    slots: &[Slot],
    wrong: Option<&str>,
    form: &ScheduleForm,
    notice: Option<Markup>,
) -> Markup {
    let here = seen.home.schedule(schedule.id);
    let next = schedule.timetable.next_times(shell.now, 3);
    html! {
        (seen.crumbs(&schedule.name))
        @if let Some(notice) = notice { (notice) }
        div.head {
            div { h1 { (format::shown(&schedule.name)) } p.sub { (schedule.kind.facts().label_en) " · " (schedule.timetable.words()) } }
            div.actions { (chip::switch(schedule.enabled)) @if seen.may { (buttons(shell, schedule, &here)) } }
        }
        div.split {
            section {
                h2 { "Latest slots" }
                @if slots.is_empty() { p.muted { "No slot has come up yet." } } @else { (slots_table(seen, schedule, slots, shell.now)) }
            }
            section {
                h2 { "Next times" }
                @if schedule.enabled {
                    ol.plain { @for at in next { li { (schedule.timetable.local(at)) " · " (time(at, shell.now)) } } }
                } @else { p.muted { "Paused: it starts nothing." } }
                h2 { "Settings" }
                @if seen.may { (form_part(seen, shell, form, &here, wrong, Some(schedule))) } @else { p.muted { "Changing schedules needs the capability schedules.manage." } }
            }
        }
    }
}

fn buttons(shell: &Shell, schedule: &Schedule, here: &str) -> Markup {
    html! {
        form method="post" action=(format!("{here}/run")) { (shell.csrf()) button.button.primary type="submit" { "Run now" } }
        @if schedule.created_by.is_some() {
            form method="post" action=(format!("{here}/delete")) { (shell.csrf()) button.button type="submit" { "Delete" } }
        } @else {
            span.why id="why-delete" { "The product made this one: pause it instead of deleting it." }
            button.button type="button" aria-disabled="true" aria-describedby="why-delete" { "Delete" }
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

fn choices(id: &str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Markup {
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

fn form_part(
    seen: &Seen<'_>,
    shell: &Shell,
    form: &ScheduleForm,
    action: &str,
    wrong: Option<&str>,
    schedule: Option<&Schedule>,
) -> Markup {
    let kinds: Vec<(&str, &str)> = OperationKind::ALL
        .iter()
        .filter(|kind| {
            kind.facts().schedulable && (seen.whole || kind.facts().level == Level::Tenant)
        })
        .map(|kind| (kind.as_str(), kind.facts().label_en))
        .collect();
    html! {
        @if let Some(wrong) = wrong { div.banner.bad role="alert" { p { (wrong) } } }
        form.stack method="post" action=(action) {
            (shell.csrf())
            input type="hidden" name="revision" value=(form.revision);
            (text("name", "Name", &form.name, "For people, such as Nightly sync"))
            @match schedule { Some(schedule) => input type="hidden" name="kind" value=(schedule.kind);, None => (choices("kind", "Starts", &form.kind, &kinds)) }
            (choices("every", "How often", &form.every, &EVERY))
            (text("at", "At", &form.at, "HH:MM in the zone below; of an hourly schedule only the minutes count"))
            (choices("weekday", "Day of the week", &form.weekday, &WEEKDAYS))
            (text("day", "Day of the month", &form.day, "1 to 28, for a monthly schedule"))
            (text("cron", "Cron pattern", &form.cron, "Only for a cron pattern: minute hour day month weekday, such as 30 2 * * 1-5"))
            (text("zone", "Time zone", &form.zone, "An IANA name such as Europe/Berlin. A time that the clock skips in spring is done right after the gap; one that comes twice in autumn is done once"))
            (choices("catch_up", "After an outage", &form.catch_up, &CATCH_UPS))
            div.field { label { input type="checkbox" name="enabled" value="on" checked[form.enabled == "on"]; " On" } }
            button.button.primary type="submit" { "Save" }
        }
    }
}

fn fresh_form() -> ScheduleForm {
    ScheduleForm {
        every: "day".to_owned(),
        at: "02:30".to_owned(),
        zone: "UTC".to_owned(),
        catch_up: "once".to_owned(),
        enabled: "on".to_owned(),
        weekday: "1".to_owned(),
        day: "1".to_owned(),
        ..ScheduleForm::default()
    }
}

fn new_page(seen: &Seen<'_>, shell: &Shell, form: &ScheduleForm, wrong: Option<&str>) -> Markup {
    let body = html! {
        (seen.crumbs("New schedule"))
        div.head { h1 { "New schedule" } }
        (form_part(seen, shell, form, &seen.home.schedules(), wrong, None))
    };
    seen.render(shell, "New schedule", body)
}

pub(crate) async fn show_new(
    InTenant(scope): InTenant<ManageSchedules>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    Ok(new_page(&Seen::tenant(&scope), &shell, &fresh_form(), None))
}

pub(crate) async fn show_new_workspace(
    InWorkspace(scope): InWorkspace<ManageSchedules>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, scope.actor()).await?;
    Ok(new_page(&Seen::workspace(&scope), &shell, &fresh_form(), None))
}

/// A form that was refused comes back with what was typed, or leads on.
pub(crate) enum Saved {
    Done(Redirect),
    Again(Markup),
}

impl axum::response::IntoResponse for Saved {
    fn into_response(self) -> axum::response::Response {
        match self {
            Self::Done(to) => to.into_response(),
            Self::Again(page) => {
                (axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
            }
        }
    }
}

fn notice_of(query: Option<&str>, seen: &Seen<'_>) -> Option<Markup> {
    let pairs = Pairs::parse(query);
    let (words, id) = match (pairs.get("started"), pairs.get("active")) {
        (Some(id), _) => ("Started.", id),
        (None, Some(id)) => ("It is already active.", id),
        (None, None) => return None,
    };
    let id = id.parse().ok()?;
    Some(
        html! { div.banner role="status" { p { (words) } a href=(seen.home.operation(id)) { "View run" } } },
    )
}

fn led_to(started: &Started, here: &str) -> Redirect {
    let name = if matches!(started, Started::Created(_)) { "started" } else { "active" };
    Redirect::to(&format!("{here}?{name}={}", started.run().id))
}

/// The handlers of one kind of place.
macro_rules! handlers {
    ($extract:ident, $seen:path, $show:ident, $create:ident, $update:ident, $delete:ident, $run:ident) => {
        pub(crate) async fn $show(
            $extract(scope): $extract<ViewSettings>,
            Id(id): Id<ScheduleId>,
            State(app): State<App>,
            RawQuery(query): RawQuery,
        ) -> Result<Markup, WebError> {
            let schedule = scope.schedule_get(id).await?.ok_or(WebError::NotFound)?;
            let slots = scope.schedule_slots(id, SLOTS).await?;
            let shell = Shell::of(&app, scope.actor()).await?;
            let seen = $seen(&scope);
            let form = ScheduleForm::of(&schedule);
            let notice = notice_of(query.as_deref(), &seen);
            let body = detail(&seen, &shell, &schedule, &slots, None, &form, notice);
            Ok(seen.render(&shell, &schedule.name, body))
        }

        pub(crate) async fn $create(
            $extract(scope): $extract<ManageSchedules>,
            State(app): State<App>,
            CsrfForm(form): CsrfForm<ScheduleForm>,
        ) -> Result<Saved, WebError> {
            let seen = $seen(&scope);
            match form.read(seen.whole) {
                Ok(new) => {
                    let made = scope.schedule_create(new).await?;
                    Ok(Saved::Done(Redirect::to(&seen.home.schedule(made.id))))
                }
                Err(wrong) => {
                    let shell = Shell::of(&app, scope.actor()).await?;
                    Ok(Saved::Again(new_page(&seen, &shell, &form, Some(&wrong))))
                }
            }
        }

        pub(crate) async fn $update(
            $extract(scope): $extract<ManageSchedules>,
            Id(id): Id<ScheduleId>,
            State(app): State<App>,
            CsrfForm(form): CsrfForm<ScheduleForm>,
        ) -> Result<Saved, WebError> {
            let seen = $seen(&scope);
            let wrong = match form.read(seen.whole) {
                Ok(new) => {
                    let revision = form.revision.parse().unwrap_or(0);
                    match scope.schedule_update(id, revision, new).await? {
                        ScheduleChanged::Done(_) => {
                            return Ok(Saved::Done(Redirect::to(&seen.home.schedule(id))));
                        }
                        ScheduleChanged::NotThere => return Err(WebError::NotFound),
                        ScheduleChanged::Stale => {
                            "Somebody else changed this schedule meanwhile. Look at it and save again."
                                .to_owned()
                        }
                    }
                }
                Err(wrong) => wrong,
            };
            let shell = Shell::of(&app, scope.actor()).await?;
            let body = html! {
                (seen.crumbs("Settings"))
                div.head { h1 { "Settings" } }
                (form_part(&seen, &shell, &form, &seen.home.schedule(id), Some(&wrong), None))
            };
            Ok(Saved::Again(seen.render(&shell, "Settings", body)))
        }

        pub(crate) async fn $delete(
            $extract(scope): $extract<ManageSchedules>,
            Id(id): Id<ScheduleId>,
            CsrfForm(Nothing {}): CsrfForm<Nothing>,
        ) -> Result<Redirect, WebError> {
            let seen = $seen(&scope);
            if !scope.schedule_delete(id).await? {
                return Err(WebError::NotFound);
            }
            Ok(Redirect::to(&seen.home.schedules()))
        }

        pub(crate) async fn $run(
            $extract(scope): $extract<ManageSchedules>,
            Id(id): Id<ScheduleId>,
            RequestId(request): RequestId,
            CsrfForm(Nothing {}): CsrfForm<Nothing>,
        ) -> Result<Redirect, WebError> {
            let seen = $seen(&scope);
            let how = HowStarted { idempotency: None, request_id: Some(request) };
            let started = scope.schedule_run_now(id, how).await?.ok_or(WebError::NotFound)?;
            Ok(led_to(&started, &seen.home.schedule(id)))
        }
    };
}

handlers!(InTenant, Seen::tenant, show, create, update, delete, run_now);
handlers!(
    InWorkspace,
    Seen::workspace,
    show_workspace,
    create_workspace,
    update_workspace,
    delete_workspace,
    run_now_workspace
);
