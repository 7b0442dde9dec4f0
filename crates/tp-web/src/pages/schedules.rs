//! Schedules of a tenant or of the workspace: what starts by itself, and when (UX §1.10).

mod form;
mod view;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tp_domain::access::{Capability, ManageSchedules, ViewSettings};
use tp_domain::ids::ScheduleId;
use tp_domain::schedule::Timetable;
use tp_domain::tenant::Tenant;
use tp_store::{HowStarted, ScheduleChanged, Started, TenantScope, WorkspaceScope};

use self::form::{Choices, ScheduleForm};
use self::view::{Detail, Told, detail, new_page};
use super::login::Nothing;
use super::one_time;
use crate::api::runs::is_new;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InTenant, InWorkspace, RequestId};
use crate::format;
use crate::paths::Home;
use crate::query::Pairs;

/// How many slots a schedule's page shows.
const SLOTS: u32 = 30;

/// How many of its next times a schedule shows, everywhere.
pub(crate) const NEXT_TIMES: usize = 5;

const STALE: &str = "Somebody else changed this schedule meanwhile. This is what you wrote: save again to put it in place of theirs, or reload the page to see theirs.";

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

pub(crate) async fn show_list(
    InTenant(scope): InTenant<ViewSettings>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let schedules = scope.schedule_list().await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let seen = Seen::tenant(&scope);
    Ok(seen.render(&shell, "Schedules", view::list(&seen, &schedules, shell.now)))
}

pub(crate) async fn show_list_workspace(
    InWorkspace(scope): InWorkspace<ViewSettings>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let schedules = scope.schedule_list().await?;
    let shell = Shell::of(&app, scope.actor()).await?;
    let seen = Seen::workspace(&scope);
    Ok(seen.render(&shell, "Schedules", view::list(&seen, &schedules, shell.now)))
}

/// Where a form leads: on, or back to itself with what was typed.
pub(crate) enum Saved {
    /// It is saved.
    Done(Redirect),
    /// It only asked for the times.
    Previewed(Markup),
    /// Something is wrong with it.
    Again(Markup),
}

impl IntoResponse for Saved {
    fn into_response(self) -> Response {
        match self {
            Self::Done(to) => to.into_response(),
            Self::Previewed(page) => page.into_response(),
            Self::Again(page) => (StatusCode::UNPROCESSABLE_ENTITY, page).into_response(),
        }
    }
}

impl Saved {
    /// The page that says so.
    fn told(told: Told<'_>, page: Markup) -> Self {
        match told {
            Told::Times(_) | Told::Nothing => Self::Previewed(page),
            Told::Wrong(_) => Self::Again(page),
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
    let name = if is_new(started) { "started" } else { "active" };
    Redirect::to(&format!("{here}?{name}={}", started.run().id))
}

/// What a preview says: the times, or why there are none.
fn told(timetable: &Result<Timetable, String>) -> Told<'_> {
    match timetable {
        Ok(timetable) => Told::Times(timetable),
        Err(wrong) => Told::Wrong(wrong),
    }
}

/// "Run now", pressed once.
#[derive(Deserialize)]
pub(crate) struct RunForm {
    key: String,
}

/// The handlers of one kind of place.
macro_rules! handlers {
    ($extract:ident, $seen:path, $new:ident, $show:ident, $create:ident, $update:ident, $delete:ident, $run:ident) => {
        pub(crate) async fn $new(
            $extract(scope): $extract<ManageSchedules>,
            State(app): State<App>,
        ) -> Result<Markup, WebError> {
            let shell = Shell::of(&app, scope.actor()).await?;
            let choices = Choices::of(&app, scope.actor(), None).await?;
            let form = ScheduleForm::fresh();
            Ok(new_page(&$seen(&scope), &shell, &form, &choices, Told::Nothing))
        }

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
            let choices = Choices::of(&app, scope.actor(), Some(&schedule)).await?;
            let (form, told) = (ScheduleForm::of(&schedule), Told::Nothing);
            let notice = notice_of(query.as_deref(), &seen);
            let shown = Detail {
                schedule: &schedule, slots: &slots, form: &form, choices: &choices, told,
            };
            let body = detail(&seen, &shell, &shown, notice);
            Ok(seen.render(&shell, &schedule.name, body))
        }

        pub(crate) async fn $create(
            $extract(scope): $extract<ManageSchedules>,
            State(app): State<App>,
            CsrfForm(form): CsrfForm<ScheduleForm>,
        ) -> Result<Saved, WebError> {
            let seen = $seen(&scope);
            let choices = Choices::of(&app, scope.actor(), None).await?;
            let (timetable, wrong);
            let told = if form.is_preview() {
                timetable = form.timetable();
                told(&timetable)
            } else {
                match form.read(&choices, None, seen.whole) {
                    Ok(new) => {
                        let made = scope.schedule_create(new).await?;
                        return Ok(Saved::Done(Redirect::to(&seen.home.schedule(made.id))));
                    }
                    Err(text) => {
                        wrong = text;
                        Told::Wrong(&wrong)
                    }
                }
            };
            let shell = Shell::of(&app, scope.actor()).await?;
            Ok(Saved::told(told, new_page(&seen, &shell, &form, &choices, told)))
        }

        pub(crate) async fn $update(
            $extract(scope): $extract<ManageSchedules>,
            $extract(look): $extract<ViewSettings>,
            Id(id): Id<ScheduleId>,
            State(app): State<App>,
            CsrfForm(mut form): CsrfForm<ScheduleForm>,
        ) -> Result<Saved, WebError> {
            let seen = $seen(&scope);
            let schedule = look.schedule_get(id).await?.ok_or(WebError::NotFound)?;
            let choices = Choices::of(&app, scope.actor(), Some(&schedule)).await?;
            let (timetable, wrong);
            let told = if form.is_preview() {
                timetable = form.timetable();
                told(&timetable)
            } else {
                wrong = match form.read(&choices, Some(&schedule), seen.whole) {
                    Err(text) => text,
                    Ok(new) => {
                        let revision = form.revision.parse().unwrap_or(0);
                        match scope.schedule_update(id, revision, new).await? {
                            ScheduleChanged::Done(_) => {
                                return Ok(Saved::Done(Redirect::to(&seen.home.schedule(id))));
                            }
                            ScheduleChanged::NotThere => return Err(WebError::NotFound),
                            ScheduleChanged::Stale => {
                                form.revision = schedule.revision.to_string();
                                STALE.to_owned()
                            }
                        }
                    }
                };
                Told::Wrong(&wrong)
            };
            let shell = Shell::of(&app, scope.actor()).await?;
            let slots = look.schedule_slots(id, SLOTS).await?;
            let shown = Detail {
                schedule: &schedule, slots: &slots, form: &form, choices: &choices, told,
            };
            let body = detail(&seen, &shell, &shown, None);
            Ok(Saved::told(told, seen.render(&shell, &schedule.name, body)))
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
            CsrfForm(form): CsrfForm<RunForm>,
        ) -> Result<Redirect, WebError> {
            let seen = $seen(&scope);
            let key = one_time(&form.key, &json!({"schedule": id.to_string()}))?;
            let how = HowStarted { idempotency: Some(key), request_id: Some(request) };
            let started = scope.schedule_run_now(id, how).await?.ok_or(WebError::NotFound)?;
            Ok(led_to(&started, &seen.home.schedule(id)))
        }
    };
}

handlers!(InTenant, Seen::tenant, show_new, show, create, update, delete, run_now);
handlers!(
    InWorkspace,
    Seen::workspace,
    show_new_workspace,
    show_workspace,
    create_workspace,
    update_workspace,
    delete_workspace,
    run_now_workspace
);
