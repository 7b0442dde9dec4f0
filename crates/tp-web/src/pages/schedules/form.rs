//! The form of a schedule: read from what came in, filled from what is kept. What a form does not send
//! stays as it is.

use std::collections::BTreeMap;

use serde::Deserialize;
use tp_domain::access::ViewOperations;
use tp_domain::backup_create::{BackupSelection, CreateBackup};
use tp_domain::backup_retention::RetainBackups;
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::groups_sync::SyncGroups;
use tp_domain::ids::TenantId;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::{Level, OperationKind, OperationRequest as _};
use tp_domain::payloads_prune::PrunePayloads;
use tp_domain::policy::PolicyType;
use tp_domain::retention::KeepRules;
use tp_domain::schedule::{Cadence, CatchUp, Schedule, Targets, Timetable};
use tp_domain::tenant::Tenant;
use tp_store::{Actor, LONGEST_SCHEDULE_NAME, LONGEST_SPREAD, NewSchedule};

use crate::app::App;
use crate::error::WebError;

/// Many tenants must not begin in the same second.
const USUAL_SPREAD: u32 = 300;

/// The form as it comes in: texts, checked below.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ScheduleForm {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) every: String,
    pub(super) at: String,
    pub(super) weekday: String,
    pub(super) day: String,
    pub(super) cron: String,
    pub(super) zone: String,
    pub(super) catch_up: String,
    pub(super) enabled: String,
    pub(super) revision: String,
    /// `all` or `chosen`; empty when it was not sent.
    pub(super) targets: String,
    /// `all` or `chosen`; empty when it was not sent.
    pub(super) types: String,
    /// `on` or `off`; empty when it was not sent.
    pub(super) foundations: String,
    pub(super) spread_seconds: String,
    /// Which button was pressed: `preview`, or one that saves.
    then: String,
    /// The ticked boxes: `in-` and a tenant's id, `type-` and a policy type.
    #[serde(flatten)]
    ticked: BTreeMap<String, String>,
}

/// What a form can choose from.
#[derive(Debug)]
pub(super) struct Choices {
    /// The tenants that the person sees.
    pub(super) tenants: Vec<Tenant>,
    /// The policy types with their labels, by label.
    pub(super) types: Vec<(PolicyType, String)>,
}

impl Choices {
    /// What there is, and what an old schedule names besides.
    pub(super) async fn of(
        app: &App,
        actor: &Actor,
        old: Option<&Schedule>,
    ) -> Result<Self, WebError> {
        let tenants = app.store.enter_fleet::<ViewOperations>(actor)?.tenant_list().await?;
        let known = app.catalog.iter().map(|(key, contract)| (key.clone(), contract.label.clone()));
        let mut types: Vec<(PolicyType, String)> = known.collect();
        for key in old.and_then(request_of).iter().filter_map(SyncInventory::types).flatten() {
            if app.catalog.contract(key).is_none() {
                types.push((key.clone(), key.as_str().to_owned()));
            }
        }
        types.sort_by(|left, right| left.1.cmp(&right.1));
        Ok(Self { tenants: tenants.into_iter().map(|(tenant, _)| tenant).collect(), types })
    }

    fn shows(&self, id: TenantId) -> bool {
        self.tenants.iter().any(|tenant| tenant.id == id)
    }

    /// The tenants of a schedule that this person does not see.
    pub(super) fn hidden(&self, schedule: &Schedule) -> Vec<TenantId> {
        match &schedule.targets {
            Targets::Tenants(ids) => ids.iter().copied().filter(|id| !self.shows(*id)).collect(),
            Targets::Own | Targets::AllTenants => Vec::new(),
        }
    }
}

/// Which types a schedule of syncs or backups asks for.
fn request_of(schedule: &Schedule) -> Option<SyncInventory> {
    match schedule.kind {
        OperationKind::InventorySync => SyncInventory::parse(&schedule.inputs).ok(),
        OperationKind::BackupCreate => {
            match CreateBackup::parse(&schedule.inputs).ok()?.selection() {
                BackupSelection::Types(types) => Some(types.clone()),
                BackupSelection::Policies(_) => None,
            }
        }
        OperationKind::BackupVerify
        | OperationKind::BackupExport
        | OperationKind::BackupImport
        | OperationKind::BackupRetention
        | OperationKind::PolicyCapture
        | OperationKind::DirectoryGroupsSync
        | OperationKind::PayloadsPrune
        | OperationKind::ConnectionVerify
        | OperationKind::RestorePreview
        | OperationKind::RestoreExecute
        | OperationKind::ScheduleExecute
        | OperationKind::RunsPrune => None,
    }
}

/// Whether a schedule backs up chosen policies: the form has no field for them and keeps them.
pub(super) fn has_chosen_policies(schedule: &Schedule) -> bool {
    schedule.kind == OperationKind::BackupCreate && request_of(schedule).is_none()
}

fn number(text: &str) -> Option<u8> {
    text.trim().parse().ok()
}

/// Hour and minute of `02:30`.
fn clock(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    Some((number(hour)?, number(minute)?))
}

/// The name of the box of a tenant.
pub(super) fn tenant_box(id: TenantId) -> String {
    format!("in-{id}")
}

/// The name of the box of a policy type.
pub(super) fn type_box(key: &PolicyType) -> String {
    format!("type-{key}")
}

impl ScheduleForm {
    /// The form of a schedule that is not there yet.
    pub(super) fn fresh() -> Self {
        let text = str::to_owned;
        Self {
            every: text("day"),
            at: text("02:30"),
            zone: text("UTC"),
            catch_up: text("once"),
            enabled: text("on"),
            weekday: text("1"),
            day: text("1"),
            targets: text("all"),
            types: text("all"),
            foundations: text("on"),
            spread_seconds: USUAL_SPREAD.to_string(),
            ..Self::default()
        }
    }

    /// The form of a schedule that is there.
    pub(super) fn of(schedule: &Schedule) -> Self {
        let mut form = Self {
            name: schedule.name.clone(),
            kind: schedule.kind.to_string(),
            zone: schedule.timetable.zone().to_owned(),
            catch_up: schedule.catch_up.to_string(),
            enabled: if schedule.enabled { "on".to_owned() } else { String::new() },
            revision: schedule.revision.to_string(),
            spread_seconds: schedule.spread_seconds.to_string(),
            ..Self::fresh()
        };
        form.fill_when(schedule.timetable.cadence());
        if let Targets::Tenants(ids) = &schedule.targets {
            "chosen".clone_into(&mut form.targets);
            ids.iter().for_each(|id| form.tick(tenant_box(*id)));
        }
        if let Some(request) = request_of(schedule) {
            let foundations = if request.include_foundations() { "on" } else { "off" };
            foundations.clone_into(&mut form.foundations);
            if let Some(types) = request.types() {
                "chosen".clone_into(&mut form.types);
                types.iter().for_each(|key| form.tick(type_box(key)));
            }
        }
        form
    }

    fn fill_when(&mut self, cadence: &Cadence) {
        let (every, at) = match cadence {
            Cadence::Hourly { minute } => ("hour", format!("00:{minute:02}")),
            Cadence::Daily { hour, minute } => ("day", format!("{hour:02}:{minute:02}")),
            Cadence::Weekly { weekday, hour, minute } => {
                self.weekday = weekday.to_string();
                ("week", format!("{hour:02}:{minute:02}"))
            }
            Cadence::Monthly { day, hour, minute } => {
                self.day = day.to_string();
                ("month", format!("{hour:02}:{minute:02}"))
            }
            Cadence::Cron(text) => {
                self.cron.clone_from(text);
                ("cron", self.at.clone())
            }
        };
        every.clone_into(&mut self.every);
        self.at = at;
    }

    fn tick(&mut self, name: String) {
        self.ticked.insert(name, "on".to_owned());
    }

    /// Whether a box is ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        self.ticked.get(name).is_some_and(|value| value == "on")
    }

    /// Whether only the times are asked for.
    pub(super) fn is_preview(&self) -> bool {
        self.then == "preview"
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

    /// When it starts, or what is wrong, in a sentence.
    pub(super) fn timetable(&self) -> Result<Timetable, String> {
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

    fn kind(&self, old: Option<&Schedule>, whole: bool) -> Result<OperationKind, String> {
        if let Some(old) = old {
            return Ok(old.kind);
        }
        let kind = self.kind.parse().ok();
        kind.filter(|kind: &OperationKind| kind.facts().schedulable)
            .filter(|kind| whole || kind.facts().level == Level::Tenant)
            .ok_or_else(|| "Choose what is to be started.".to_owned())
    }

    fn sync(&self, choices: &Choices, old: Option<&Schedule>) -> Result<SyncInventory, String> {
        let old = old.and_then(request_of).unwrap_or_else(SyncInventory::everything);
        let foundations = match self.foundations.as_str() {
            "" => old.include_foundations(),
            word => word == "on",
        };
        let types = match self.types.as_str() {
            "all" => None,
            "chosen" => {
                let ticked = choices.types.iter().filter(|(key, _)| self.has(&type_box(key)));
                Some(ticked.map(|(key, _)| key.clone()).collect::<Vec<_>>())
            }
            _ => old.types().map(<[PolicyType]>::to_vec),
        };
        match types {
            None => Ok(SyncInventory::all_types(foundations)),
            Some(types) if types.is_empty() => Err("Choose at least one policy type.".to_owned()),
            Some(types) => Ok(SyncInventory::of_types(types, foundations)),
        }
    }

    fn targets(&self, choices: &Choices, old: Option<&Schedule>) -> Result<Targets, String> {
        match self.targets.as_str() {
            "all" => Ok(Targets::AllTenants),
            "chosen" => {
                let shown = choices.tenants.iter().map(|tenant| tenant.id);
                let mut ids: Vec<_> = shown.filter(|id| self.has(&tenant_box(*id))).collect();
                // What is not shown to this person is not theirs to take away.
                ids.extend(old.map(|old| choices.hidden(old)).unwrap_or_default());
                if ids.is_empty() {
                    return Err("Choose at least one tenant.".to_owned());
                }
                Ok(Targets::Tenants(ids))
            }
            _ => Ok(old.map_or(Targets::AllTenants, |old| old.targets.clone())),
        }
    }

    fn spread(&self, kind: OperationKind, old: Option<&Schedule>) -> Result<u32, String> {
        let text = self.spread_seconds.trim();
        if kind.facts().level != Level::Tenant {
            return Ok(old.map_or(0, |old| old.spread_seconds));
        }
        if text.is_empty() {
            return Ok(old.map_or(USUAL_SPREAD, |old| old.spread_seconds));
        }
        text.parse()
            .ok()
            .filter(|seconds| *seconds <= LONGEST_SPREAD)
            .ok_or_else(|| format!("Write a spread of 0 to {LONGEST_SPREAD} seconds."))
    }

    /// What is to be kept, or what is wrong, in a sentence.
    pub(super) fn read(
        &self,
        choices: &Choices,
        old: Option<&Schedule>,
        whole: bool,
    ) -> Result<NewSchedule, String> {
        let name = self.name.trim();
        if name.is_empty()
            || name.chars().count() > LONGEST_SCHEDULE_NAME
            || name.chars().any(char::is_control)
        {
            return Err(format!("Write a name of 1 to {LONGEST_SCHEDULE_NAME} characters."));
        }
        let kind = self.kind(old, whole)?;
        let (inputs, targets) = match kind {
            OperationKind::InventorySync | OperationKind::BackupCreate => {
                let inputs = match old.filter(|old| has_chosen_policies(old)) {
                    Some(old) => old.inputs.clone(),
                    None => self.sync(choices, old)?.inputs(),
                };
                let targets = if whole { self.targets(choices, old)? } else { Targets::Own };
                (inputs, targets)
            }
            OperationKind::ConnectionVerify
            | OperationKind::BackupRetention
            | OperationKind::DirectoryGroupsSync
            | OperationKind::PayloadsPrune => {
                let inputs = match (kind, old) {
                    // The rules of a schedule are set over the API; the form leaves them as they are.
                    (OperationKind::BackupRetention, Some(old)) => old.inputs.clone(),
                    (OperationKind::BackupRetention, None) => {
                        RetainBackups::from(KeepRules::usual()).inputs()
                    }
                    (OperationKind::DirectoryGroupsSync, _) => SyncGroups.inputs(),
                    (OperationKind::PayloadsPrune, _) => PrunePayloads.inputs(),
                    _ => VerifyConnection.inputs(),
                };
                let targets = if whole { self.targets(choices, old)? } else { Targets::Own };
                (inputs, targets)
            }
            OperationKind::BackupVerify
            | OperationKind::BackupExport
            | OperationKind::BackupImport
            | OperationKind::PolicyCapture
            | OperationKind::RunsPrune
            | OperationKind::RestorePreview
            | OperationKind::RestoreExecute
            | OperationKind::ScheduleExecute => old
                .map_or((serde_json::json!({}), Targets::Own), |old| {
                    (old.inputs.clone(), old.targets.clone())
                }),
        };
        Ok(NewSchedule {
            name: name.to_owned(),
            kind,
            inputs,
            targets,
            timetable: self.timetable()?,
            catch_up: match (self.catch_up.as_str(), old) {
                ("", Some(old)) => old.catch_up,
                (word, _) => word.parse().unwrap_or(CatchUp::Once),
            },
            spread_seconds: self.spread(kind, old)?,
            enabled: self.enabled == "on",
        })
    }
}
