//! Schedules: what is started by itself, and when (PRODUCT R-3, UX §1.10).
//!
//! Every cadence is a cron pattern underneath, walked in wall-clock time of the schedule's zone:
//! - spring forward: a fixed time that does not exist is done at the first minute after the gap;
//! - fall back: a fixed time that comes twice is done once, the first time;
//! - patterns with `*` or `*/n` in minutes or hours skip the gap and run in both passes.

use std::cmp::Ordering;
use std::fmt;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ZonedDateTime};
use serde_json::{Value, json};

use crate::ids::{ScheduleId, TenantId, WorkspaceId};
use crate::operation::{
    InputError, OfWorkspace, OperationKind, OperationRequest, canonical, only_keys,
};
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// What is done with slots that nobody fired in time: the product was down, the clock jumped.
    pub enum CatchUp {
        /// Nothing: they are written down as missed.
        Skip => "skip",
        /// The latest one is fired, the others are written down as missed.
        Once => "once",
        /// Each is fired.
        All => "all",
    }
}

words! {
    /// What became of one slot.
    pub enum SlotState {
        /// It started a run.
        Fired => "fired",
        /// An equal run was active: nothing was started.
        Skipped => "skipped",
        /// Its time had passed before a scheduler saw it.
        Missed => "missed",
        /// The start was refused: the tenant is disabled, a gate is closed.
        Refused => "refused",
    }
}

/// How often, in the words of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Every hour at that minute.
    Hourly {
        /// 0 to 59.
        minute: u8,
    },
    /// Every day at that time.
    Daily {
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
    },
    /// On one day of the week.
    Weekly {
        /// 1 is Monday, 7 is Sunday.
        weekday: u8,
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
    },
    /// On one day of the month.
    Monthly {
        /// 1 to 28: every month has it.
        day: u8,
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
    },
    /// Five fields of cron: minute, hour, day of month, month, day of week.
    Cron(String),
}

/// Why a timetable cannot be kept. The sentences name what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTimetable {
    /// The zone is not known.
    #[error("the time zone is not known; write an IANA name such as Europe/Berlin or UTC")]
    Zone,
    /// The cron text cannot be read.
    #[error(
        "the cron pattern cannot be read; write five fields: minute hour day-of-month month day-of-week, such as 30 2 * * 1-5"
    )]
    Cron,
    /// The pattern never comes.
    #[error("the cron pattern never comes, such as 30 February")]
    Never,
    /// A number is out of its range.
    #[error(
        "minute is 0 to 59, hour 0 to 23, weekday 1 (Monday) to 7 (Sunday), day of the month 1 to 28"
    )]
    Range,
}

/// A cadence in a zone, checked: it can tell its next time.
#[derive(Clone, Debug)]
pub struct Timetable {
    cadence: Cadence,
    zone: String,
    tz: TimeZone,
    cron: Cron,
}

impl PartialEq for Timetable {
    fn eq(&self, other: &Self) -> bool {
        self.cadence == other.cadence && self.zone == other.zone
    }
}

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Cadence {
    fn pattern(&self) -> Result<String, BadTimetable> {
        let within = |ok: bool| if ok { Ok(()) } else { Err(BadTimetable::Range) };
        Ok(match self {
            Self::Hourly { minute } => {
                within(*minute < 60)?;
                format!("{minute} * * * *")
            }
            Self::Daily { hour, minute } => {
                within(*hour < 24 && *minute < 60)?;
                format!("{minute} {hour} * * *")
            }
            Self::Weekly { weekday, hour, minute } => {
                within((1..=7).contains(weekday) && *hour < 24 && *minute < 60)?;
                format!("{minute} {hour} * * {weekday}")
            }
            Self::Monthly { day, hour, minute } => {
                within((1..=28).contains(day) && *hour < 24 && *minute < 60)?;
                format!("{minute} {hour} {day} * *")
            }
            Self::Cron(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }

    /// As it is stored and sent: `{"every":"day","hour":2,"minute":30}`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Hourly { minute } => json!({"every": "hour", "minute": minute}),
            Self::Daily { hour, minute } => {
                json!({"every": "day", "hour": hour, "minute": minute})
            }
            Self::Weekly { weekday, hour, minute } => {
                json!({"every": "week", "weekday": weekday, "hour": hour, "minute": minute})
            }
            Self::Monthly { day, hour, minute } => {
                json!({"every": "month", "day": day, "hour": hour, "minute": minute})
            }
            Self::Cron(text) => json!({"every": "cron", "cron": text}),
        }
    }

    /// Reads what [`Cadence::to_json`] wrote, or what the API was sent.
    pub fn from_json(value: &Value) -> Result<Self, InputError> {
        let number = |field: &'static str, pointer: &'static str| {
            let number = value.get(field).and_then(Value::as_u64);
            number.and_then(|number| u8::try_from(number).ok()).ok_or_else(|| InputError::new(
                pointer,
                "must be a whole number: minute 0 to 59, hour 0 to 23, weekday 1 to 7, day 1 to 28",
            ))
        };
        let minute = || number("minute", "/minute");
        let hour = || number("hour", "/hour");
        match value.get("every").and_then(Value::as_str) {
            Some("hour") => Ok(Self::Hourly { minute: minute()? }),
            Some("day") => Ok(Self::Daily { hour: hour()?, minute: minute()? }),
            Some("week") => Ok(Self::Weekly {
                weekday: number("weekday", "/weekday")?,
                hour: hour()?,
                minute: minute()?,
            }),
            Some("month") => {
                Ok(Self::Monthly { day: number("day", "/day")?, hour: hour()?, minute: minute()? })
            }
            Some("cron") => match value.get("cron").and_then(Value::as_str) {
                Some(text) if text.len() <= 100 => Ok(Self::Cron(text.to_owned())),
                _ => Err(InputError::new("/cron", "must be five fields of cron")),
            },
            _ => Err(InputError::new(
                "/every",
                "must be hour, day, week, month or cron, with the fields of that choice",
            )),
        }
    }
}

impl Timetable {
    /// Checks the cadence and the zone.
    pub fn new(cadence: Cadence, zone: &str) -> Result<Self, BadTimetable> {
        let known = !zone.is_empty() && zone.len() <= 64 && !zone.starts_with(['+', '-', '<']);
        let tz = if known { TimeZone::get(zone).ok() } else { None };
        let tz = tz.ok_or(BadTimetable::Zone)?;
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&cadence.pattern()?).map_err(|_| BadTimetable::Cron)?;
        let table = Self { cadence, zone: zone.to_owned(), tz, cron };
        // A fixed day such as 30 February is seen here, not at the first slot.
        let probe = Timestamp::from_micros(1_767_225_600_000_000);
        table.next_after(probe).ok_or(BadTimetable::Never)?;
        Ok(table)
    }

    /// How often.
    pub const fn cadence(&self) -> &Cadence {
        &self.cadence
    }

    /// The IANA name of its zone.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The first slot after that moment, to the minute. None when there is none any more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let start = InZone(after.to_jiff().to_zoned_datetime(self.tz.clone()));
        let next = self.cron.find_next_occurrence(&start, false).ok()?;
        let at = Timestamp::from_micros(next.0.timestamp().as_microsecond());
        (at > after).then_some(at)
    }

    /// The next slots, at most `count`.
    pub fn next_times(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        let mut at = after;
        let mut times = Vec::with_capacity(count);
        while times.len() < count
            && let Some(next) = self.next_after(at)
        {
            times.push(next);
            at = next;
        }
        times
    }

    /// In words: "Every day at 02:30 (Europe/Berlin)".
    pub fn words(&self) -> String {
        let when = match &self.cadence {
            Cadence::Hourly { minute } => format!("Every hour at minute {minute}"),
            Cadence::Daily { hour, minute } => format!("Every day at {hour:02}:{minute:02}"),
            Cadence::Weekly { weekday, hour, minute } => {
                let day = WEEKDAYS.get(usize::from(*weekday) - 1).copied().unwrap_or("day");
                format!("Every {day} at {hour:02}:{minute:02}")
            }
            Cadence::Monthly { day, hour, minute } => {
                format!("On day {day} of each month at {hour:02}:{minute:02}")
            }
            Cadence::Cron(text) => format!("Cron {text}"),
        };
        format!("{when} ({})", self.zone)
    }

    /// The local form of a moment in this zone, with its offset: "2026-03-29 03:00 +02:00".
    pub fn local(&self, at: Timestamp) -> String {
        at.to_jiff().to_zoned_datetime(self.tz.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string()
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}

/// Where a schedule belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleScope {
    /// It starts its kind in one tenant.
    Tenant(TenantId),
    /// It starts its kind in many tenants, or in the workspace itself.
    Workspace(WorkspaceId),
}

/// A schedule as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// Where it belongs.
    pub scope: ScheduleScope,
    /// Its name for people.
    pub name: String,
    /// What it starts.
    pub kind: OperationKind,
    /// With which inputs.
    pub inputs: Value,
    /// Where, for a schedule of the workspace whose kind runs in tenants.
    pub targets: Targets,
    /// When.
    pub timetable: Timetable,
    /// What is done with missed slots.
    pub catch_up: CatchUp,
    /// Starts are spread over that many seconds after the slot, so that tenants do not begin together.
    pub spread_seconds: u32,
    /// Whether it fires.
    pub enabled: bool,
    /// The next slot; none when it is off or its pattern has ended.
    pub next_at: Option<Timestamp>,
    /// Who made it; none for those that the product made itself.
    pub created_by: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// Grows with every change, for `If-Match`.
    pub revision: i64,
}

/// In which tenants a schedule of the workspace starts its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Not in tenants: the kind runs in the workspace itself, or the schedule belongs to a tenant.
    Own,
    /// In every active tenant of the workspace at the time of the slot.
    AllTenants,
    /// In these, as far as they are still active.
    Tenants(Vec<TenantId>),
}

impl Targets {
    /// As it is stored and sent.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Own => Value::Null,
            Self::AllTenants => json!("all"),
            Self::Tenants(ids) => ids.iter().map(ToString::to_string).collect(),
        }
    }

    /// Reads what [`Targets::to_json`] wrote.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Own),
            Value::String(word) if word == "all" => Some(Self::AllTenants),
            Value::Array(ids) => {
                let parse = |id: &Value| id.as_str().and_then(|id| id.parse().ok());
                ids.iter().map(parse).collect::<Option<Vec<TenantId>>>().map(Self::Tenants)
            }
            _ => None,
        }
    }
}

/// One slot of a schedule and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The planned moment.
    pub at: Timestamp,
    /// What became of it.
    pub state: SlotState,
    /// The run that it started, or that was in its way.
    pub run: Option<crate::ids::RunId>,
    /// When a scheduler dealt with it.
    pub fired_at: Timestamp,
}

/// Starts a schedule's kind in many tenants: one run per tenant, in waves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteSchedule {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Its slot, or the moment of "Run now".
    pub slot: Timestamp,
    /// What is started in each tenant.
    pub kind: OperationKind,
    /// With which inputs.
    pub inputs: Value,
    /// Where.
    pub targets: Targets,
    /// How many tenants at most begin together; the next wave begins when one has ended.
    pub wave_size: u32,
}

/// How many runs a wave has unless something else is asked for.
pub const WAVE_SIZE: u32 = 50;

impl ExecuteSchedule {
    const KEYS: [&'static str; 6] = ["schedule", "slot", "kind", "inputs", "targets", "wave_size"];

    /// Reads inputs as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        only_keys(inputs, &Self::KEYS, "unknown input of schedule.execute", &mut errors);
        let text = |key: &str| inputs.get(key).and_then(Value::as_str);
        let schedule = text("schedule").and_then(|text| text.parse().ok());
        let slot = inputs.get("slot").and_then(Value::as_i64).map(Timestamp::from_micros);
        let kind = text("kind").and_then(|text| text.parse().ok());
        let targets = inputs.get("targets").and_then(Targets::from_json);
        let size = inputs.get("wave_size").and_then(Value::as_u64);
        let wave_size = size.and_then(|size| u32::try_from(size).ok()).filter(|size| *size > 0);
        if let (Some(schedule), Some(slot), Some(kind), Some(targets), Some(wave_size), true) =
            (schedule, slot, kind, targets, wave_size, errors.is_empty())
        {
            let inputs = inputs.get("inputs").cloned().unwrap_or_else(|| json!({}));
            return Ok(Self { schedule, slot, kind, inputs, targets, wave_size });
        }
        errors.push(InputError::new("", "is not what a schedule writes"));
        Err(errors)
    }
}

impl OperationRequest for ExecuteSchedule {
    type Level = OfWorkspace;

    const KIND: OperationKind = OperationKind::ScheduleExecute;

    fn inputs(&self) -> Value {
        canonical(&json!({
            "schedule": self.schedule.to_string(),
            "slot": self.slot.micros(),
            "kind": self.kind.as_str(),
            "inputs": self.inputs,
            "targets": self.targets.to_json(),
            "wave_size": self.wave_size,
        }))
    }
}

/// A moment in a zone, as the cron walker sees it.
#[derive(Clone, Debug)]
struct InZone(ZonedDateTime);

fn number<N: Into<i64>>(value: N) -> u32 {
    u32::try_from(value.into()).unwrap_or(0)
}

impl CronDateTime for InZone {
    fn to_civil(&self) -> CivilDateTime {
        let (date, time) = (self.0.date(), self.0.time());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                i32::from(date.year()),
                number(date.month()),
                number(date.day()),
            ),
            CivilTime::from_parts_unchecked(
                number(time.hour()),
                number(time.minute()),
                number(time.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(number(self.0.weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |value: u32| i8::try_from(value).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let wall = jiff::civil::DateTime::new(
            year,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(wall);
        let bad = |_| CronError::InvalidTime;
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                Resolution::Single(Self(found.unambiguous().map_err(bad)?))
            }
            AmbiguousOffset::Fold { .. } => {
                let earlier = found.clone().earlier().map_err(bad)?;
                Resolution::Ambiguous(Self(earlier), Self(found.later().map_err(bad)?))
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn table(cadence: Cadence, zone: &str) -> Timetable {
        Timetable::new(cadence, zone).unwrap()
    }

    fn local(table: &Timetable, after: &str, count: usize) -> Vec<String> {
        let times = table.next_times(at(after), count);
        times.into_iter().map(|time| table.local(time)).collect()
    }

    #[test]
    fn a_time_that_does_not_exist_is_done_after_the_gap() {
        let daily = table(Cadence::Daily { hour: 2, minute: 30 }, "Europe/Berlin");
        assert_eq!(
            local(&daily, "2026-03-28T00:00:00Z", 3),
            ["2026-03-28 02:30 +01:00", "2026-03-29 03:00 +02:00", "2026-03-30 02:30 +02:00"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_done_once() {
        let daily = table(Cadence::Daily { hour: 2, minute: 30 }, "Europe/Berlin");
        assert_eq!(
            local(&daily, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"]
        );
    }

    #[test]
    fn five_minutes_are_five_minutes_on_both_nights() {
        let often = table(Cadence::Cron("*/5 * * * *".to_owned()), "Europe/Berlin");
        for (from, to, slots) in [
            ("2026-03-28T22:59:59Z", "2026-03-29T21:59:59Z", 23 * 12),
            ("2026-10-24T21:59:59Z", "2026-10-25T22:59:59Z", 25 * 12),
        ] {
            let mut count = 0;
            let mut time = at(from);
            while let Some(next) = often.next_after(time).filter(|next| *next < at(to)) {
                assert_eq!(next.micros() % 300_000_000, 0);
                count += 1;
                time = next;
            }
            assert_eq!(count, slots, "{from}");
        }
    }

    #[test]
    fn each_cadence_has_words_and_reads_back() {
        let cases = [
            (Cadence::Hourly { minute: 7 }, "Every hour at minute 7 (UTC)"),
            (Cadence::Daily { hour: 2, minute: 5 }, "Every day at 02:05 (UTC)"),
            (Cadence::Weekly { weekday: 7, hour: 2, minute: 0 }, "Every Sunday at 02:00 (UTC)"),
            (
                Cadence::Monthly { day: 1, hour: 0, minute: 0 },
                "On day 1 of each month at 00:00 (UTC)",
            ),
            (Cadence::Cron("0 4 * * 1-5".to_owned()), "Cron 0 4 * * 1-5 (UTC)"),
        ];
        for (cadence, words) in cases {
            assert_eq!(Cadence::from_json(&cadence.to_json()), Ok(cadence.clone()));
            assert_eq!(table(cadence, "UTC").words(), words);
        }
        let sunday = table(Cadence::Weekly { weekday: 7, hour: 2, minute: 0 }, "UTC");
        assert_eq!(local(&sunday, "2026-11-24T00:00:00Z", 1), ["2026-11-29 02:00 +00:00"]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_what_is_allowed() {
        let cron = |text: &str| Timetable::new(Cadence::Cron(text.to_owned()), "UTC").unwrap_err();
        for text in ["", "* * *", "61 * * * *", "* * * * * *", "every day", "@reboot"] {
            assert_eq!(cron(text), BadTimetable::Cron, "{text:?}");
        }
        assert_eq!(cron("0 0 30 2 *"), BadTimetable::Never);
        let daily = Cadence::Daily { hour: 24, minute: 0 };
        assert_eq!(Timetable::new(daily, "UTC").unwrap_err(), BadTimetable::Range);
        for zone in ["", "Mars/Base", "+02:00", "../../etc/passwd"] {
            let daily = Cadence::Daily { hour: 2, minute: 0 };
            assert_eq!(Timetable::new(daily, zone).unwrap_err(), BadTimetable::Zone, "{zone:?}");
        }
        assert_eq!(Cadence::from_json(&json!({"every": "day"})).unwrap_err().pointer, "/hour");
        assert_eq!(Cadence::from_json(&json!({})).unwrap_err().pointer, "/every");
    }

    #[test]
    fn stored_inputs_read_back() {
        let request = ExecuteSchedule {
            schedule: ScheduleId::from_uuid(uuid::Uuid::from_u128(1)),
            slot: at("2026-01-01T00:00:00Z"),
            kind: OperationKind::InventorySync,
            inputs: json!({"include_foundations": true}),
            targets: Targets::Tenants(vec![TenantId::from_uuid(uuid::Uuid::from_u128(2))]),
            wave_size: 5,
        };
        assert_eq!(ExecuteSchedule::parse(&request.inputs()), Ok(request));
        assert!(ExecuteSchedule::parse(&json!({})).is_err());
    }
}
