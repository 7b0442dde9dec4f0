//! A backup folder, file by file.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{Read, Seek};

use tp_catalog::registry::Catalog;
use tp_domain::json::Json;
use tp_domain::version::ReferenceNames;

use super::known::Known;
use super::places::{self, Collection, Holds};
use super::recognise::{MIGRATION_TABLE, recognise};
use super::scripts::Contents;
use super::shape::{self, Raw};
use super::{
    ForeignPolicy, ForeignTenant, Found, LeftFile, Remark, Tool, Why, intunecd, powershell, text,
};
use crate::error::{ArchiveError, Fault};
use crate::zipped::Zip;

/// What stands for the tenant's id in files of `IntuneManagement`.
const ORGANIZATION: &str = "%OrganizationId%";

/// Types whose names others refer to.
const NAMED: [&str; 6] = [
    "assignmentFilter",
    "deviceComplianceScript",
    "mobileApp",
    "notificationMessageTemplate",
    "reusablePolicySetting",
    "roleScopeTag",
];

/// What is to be done with a file of objects.
#[derive(Debug)]
struct Step {
    path: String,
    folder: String,
    stem: String,
    collections: &'static [Collection],
    /// The file beside it that holds its settings.
    settings: Option<String>,
}

/// Assignments by the folder of their policies, and by the policy's id or the stem of its file.
type Assignments = BTreeMap<(String, String), String>;

/// A backup folder of another tool in an archive. Gives what it holds in one order, whatever the order in
/// the archive; an error ends it, and refuses the archive whole.
pub struct ForeignFolder<'a, R> {
    zip: Zip<R>,
    catalog: &'a Catalog,
    tool: Tool,
    tenant: Option<ForeignTenant>,
    steps: VecDeque<Step>,
    assignments: Assignments,
    copies: VecDeque<String>,
    left: VecDeque<LeftFile>,
    known: Known,
    contents: Contents,
    seen: HashSet<(String, String)>,
}

impl<'a, R: Read + Seek> ForeignFolder<'a, R> {
    /// Recognises the tool, and reads what its other files need: names and their ids.
    pub fn open(zip: Zip<R>, catalog: &'a Catalog) -> Result<Self, ArchiveError> {
        let paths: Vec<&str> = zip.files().collect();
        let found = recognise(&paths).ok_or(Fault::FolderUnknown)?;
        let mut folder = Self {
            zip,
            catalog,
            tool: found.tool,
            tenant: None,
            steps: VecDeque::new(),
            assignments: Assignments::new(),
            copies: VecDeque::new(),
            left: VecDeque::new(),
            known: Known::default(),
            contents: Contents::default(),
            seen: HashSet::new(),
        };
        // IntuneCD takes ids out of its files.
        if let Some(path) = &found.doubt
            && folder.value(path)?.is_ok_and(|value| value.get("id").is_some())
        {
            folder.tool = Tool::IntuneBackupAndRestore;
        }
        let mut paths: Vec<String> = folder.zip.files().map(str::to_owned).collect();
        paths.sort();
        for path in paths {
            folder.sort(path, &found.base)?;
        }
        folder.join_settings();
        folder.learn_names()?;
        Ok(folder)
    }

    /// The tool that has made it.
    pub const fn tool(&self) -> Tool {
        self.tool
    }

    /// The tenant that it was made of, where it says so.
    pub const fn tenant(&self) -> Option<&ForeignTenant> {
        self.tenant.as_ref()
    }

    /// How many files seem to hold a policy.
    pub fn candidates(&self) -> usize {
        self.steps.len()
    }

    /// Puts a file where it belongs by its path.
    fn sort(&mut self, path: String, base: &str) -> Result<(), ArchiveError> {
        let Some(rest) = path.strip_prefix(base) else {
            self.leave(path, Why::NotOfTheTool);
            return Ok(());
        };
        let (folder, name) = rest.rsplit_once('/').unwrap_or(("", rest));
        let is_value =
            text::is_value(name) && (self.tool == Tool::IntuneCd || !text::is_yaml(name));
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
        let folder = folder.to_owned();
        if self.tool == Tool::IntuneManagement && rest == MIGRATION_TABLE {
            self.learn_table(&path)?;
            self.leave(path, Why::Names);
            return Ok(());
        }
        let why = match places::find(self.tool, &folder).map(|place| &place.holds) {
            Some(Holds::Objects(collections)) if is_value => {
                self.steps.push_back(Step { path, folder, stem, collections, settings: None });
                return Ok(());
            }
            Some(Holds::Assignments) if is_value => {
                let above = folder.strip_suffix("/Assignments").unwrap_or(&folder).to_owned();
                let id = stem.split_once(" - ").map(|(id, _)| id).filter(|id| is_id(id));
                let key = (above, id.map_or(stem.clone(), str::to_owned));
                if let Some(same) = self.assignments.insert(key, path) {
                    self.leave(same, Why::WithoutPolicy);
                }
                return Ok(());
            }
            Some(Holds::Objects(_) | Holds::Copies) => {
                self.copies.push_back(path);
                return Ok(());
            }
            Some(Holds::NotCovered) => Why::NotCovered,
            Some(Holds::Archived) => Why::Archived,
            Some(Holds::Directory) => Why::Names,
            Some(Holds::Report) => Why::Report,
            None if is_value && !folder.starts_with("__MACOSX") => Why::NotCovered,
            Some(Holds::Assignments) | None => Why::NotOfTheTool,
        };
        self.leave(path, why);
        Ok(())
    }

    fn leave(&mut self, path: String, why: Why) {
        self.left.push_back(LeftFile { path, why });
    }

    /// Gives `IntuneManagement`'s files of settings to the objects beside them.
    fn join_settings(&mut self) {
        if self.tool != Tool::IntuneManagement {
            return;
        }
        let mains: HashSet<String> = self.steps.iter().map(|step| step.path.clone()).collect();
        let main_of = |path: &str| {
            let main = format!("{}.json", path.strip_suffix("_Settings.json")?);
            mains.contains(&main).then_some(main)
        };
        let has_settings =
            |folder: &str| matches!(folder, "EndpointSecurity" | "AdministrativeTemplates");
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        self.steps.retain(|step| match main_of(&step.path) {
            Some(main) if has_settings(&step.folder) => {
                settings.insert(main, step.path.clone());
                false
            }
            _ => true,
        });
        for step in &mut self.steps {
            step.settings = settings.remove(&step.path);
        }
    }

    /// Names of groups and users, and the tenant.
    fn learn_table(&mut self, path: &str) -> Result<(), ArchiveError> {
        let Ok(table) = self.value(path)? else { return Ok(()) };
        let text =
            |value: &Json, name: &str| value.get(name).and_then(Json::as_str).map(str::to_owned);
        if let Some(id) = text(&table, "TenantId").filter(|id| intunecd::is_guid(id)) {
            self.tenant = Some(ForeignTenant { id, name: text(&table, "Organization") });
        }
        for one in table.get("Objects").cloned().map(shape::list).unwrap_or_default() {
            if let (Some(id), Some(name), Some(kind)) =
                (text(&one, "Id"), text(&one, "DisplayName"), text(&one, "Type"))
            {
                // The kinds of references are written small.
                self.known.insert(&kind.to_lowercase(), &id, &name);
            }
        }
        Ok(())
    }

    /// Names of objects that others refer to, where the folder has their ids.
    fn learn_names(&mut self) -> Result<(), ArchiveError> {
        let catalog = self.catalog;
        let is_named = |step: &Step| {
            catalog.iter().any(|(key, contract)| {
                NAMED.contains(&key.as_str())
                    && step.collections.iter().any(|one| one.path == contract.list.path)
            })
        };
        let steps: Vec<(usize, String)> = self
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| is_named(step))
            .map(|(at, step)| (at, step.path.clone()))
            .collect();
        for (at, path) in steps {
            let Ok(value) = self.value(&path)? else { continue };
            let step = &self.steps[at];
            let Some((key, contract)) = shape::type_of(catalog, step.collections, &value) else {
                continue;
            };
            let own = value.get("id").and_then(Json::as_str);
            let id = own.or_else(|| intunecd::id_of(&step.stem, key.as_str() == "roleScopeTag"));
            let name = contract.name_property.as_ref().and_then(|name| value.get(name)?.as_str());
            if let (Some(id), Some(name)) = (id, name) {
                self.known.insert(key.as_str(), id, name);
            }
        }
        Ok(())
    }

    /// The value of a file, or why it has none.
    fn value(&mut self, path: &str) -> Result<Result<Json, Why>, ArchiveError> {
        let bytes = self.zip.read(path)?;
        let mut text = match text::decoded(&bytes) {
            Ok(text) => text,
            Err(why) => return Ok(Err(why)),
        };
        if let (Tool::IntuneManagement, Some(tenant)) = (self.tool, &self.tenant)
            && text.contains(ORGANIZATION)
        {
            text = text.replace(ORGANIZATION, &tenant.id);
        }
        let mut value = text::value(path, &text);
        if let (true, Ok(value)) = (self.tool != Tool::IntuneCd, &mut value) {
            text::dates(value);
        }
        Ok(value)
    }

    /// Reads a file of an object.
    fn policy(&mut self, step: Step) -> Result<Found, ArchiveError> {
        let path = step.path.clone();
        let settings = step.settings.clone();
        match self.object(step)? {
            Ok(policy) => Ok(Found::Policy(Box::new(policy))),
            Err(why) => {
                if let Some(settings) = settings {
                    self.leave(settings, Why::WithoutPolicy);
                }
                Ok(Found::Left(LeftFile { path, why }))
            }
        }
    }

    fn object(&mut self, step: Step) -> Result<Result<ForeignPolicy, Why>, ArchiveError> {
        let Step { path, folder, stem, collections, settings } = step;
        let mut value = match self.value(&path)? {
            Ok(value) => value,
            Err(why) => return Ok(Err(why)),
        };
        if folder == "Administrative Templates" && value.get("displayName").is_none() {
            value = powershell::template(value, &stem);
        }
        // Some singletons come as a list of one.
        if let Some([only]) = value.get("value").and_then(Json::as_array).map(Vec::as_slice)
            && value.get("id").is_none()
            && only.is_object()
        {
            value = only.clone();
        }
        if !value.is_object() {
            return Ok(Err(Why::NoObject));
        }
        let mut files = vec![path];
        let mut raw = Raw {
            object: value,
            id: None,
            assignments: None,
            names: ReferenceNames::default(),
            remarks: Vec::new(),
        };
        if self.tool != Tool::IntuneCd
            && let Some(members) = raw.object.as_object_mut()
        {
            powershell::names(members);
        }
        let Some((key, contract)) = shape::type_of(self.catalog, collections, &raw.object) else {
            return Ok(Err(Why::TypeUnknown));
        };
        if self.tool == Tool::IntuneCd {
            raw.id = intunecd::id_of(&stem, key.as_str() == "roleScopeTag").map(str::to_owned);
            intunecd::restore(&mut raw, &self.known);
        } else {
            self.of_powershell(&mut raw, (&folder, &stem), settings, &mut files)?;
        }
        let id = raw.object.get("id").and_then(Json::as_str).or(raw.id.as_deref());
        if let Some(id) = id
            && !self.seen.insert((key.as_str().to_owned(), id.to_lowercase()))
        {
            // Assignments that were found with it stay with the first.
            let rest: Vec<String> = files.drain(1..).collect();
            rest.into_iter().for_each(|file| self.leave(file, Why::WithoutPolicy));
            return Ok(Err(Why::SamePolicy));
        }
        self.contents.add(&raw.object);
        let mut policy = shape::policy(self.tool, (key, contract), raw, &stem, files);
        self.known.name(contract, &mut policy);
        Ok(Ok(policy))
    }

    /// What the tools written in `PowerShell` keep beside an object or in another form.
    fn of_powershell(
        &mut self,
        raw: &mut Raw,
        (folder, stem): (&str, &str),
        settings: Option<String>,
        files: &mut Vec<String>,
    ) -> Result<(), ArchiveError> {
        let id = raw.object.get("id").and_then(Json::as_str).unwrap_or_default();
        let key = |name: &str| (folder.to_owned(), name.to_owned());
        let beside =
            self.assignments.remove(&key(id)).or_else(|| self.assignments.remove(&key(stem)));
        if let Some(path) = beside {
            match self.value(&path)? {
                Ok(mut value) => {
                    let inner = value.as_object_mut().and_then(|reply| reply.remove("value"));
                    raw.assignments = Some(shape::list(inner.unwrap_or(value)));
                    files.push(path);
                }
                Err(why) => self.leave(path, why),
            }
        }
        raw.id = raw.assignments.as_deref().and_then(powershell::policy_id).map(str::to_owned);
        let settings = match settings {
            Some(path) => match self.value(&path)? {
                Ok(value) => {
                    files.push(path);
                    Some(value)
                }
                Err(why) => {
                    self.leave(path, why);
                    raw.remarks.push(Remark::LeftOut { member: "settings".to_owned() });
                    None
                }
            },
            None => None,
        };
        let Some(members) = raw.object.as_object_mut() else { return Ok(()) };
        if let Some(mut settings) = settings {
            let (member, settings) =
                match settings.as_object_mut().and_then(|it| it.remove("settings")) {
                    Some(settings) => ("settings", settings),
                    None => ("definitionValues", settings),
                };
            if members.get(member).is_none_or(Json::is_null) {
                members.insert(member, Json::from(shape::list(settings)));
            }
        }
        powershell::settings_delta(members);
        if folder.starts_with("Device Management Intents/")
            && let Some(template) = powershell::intent_template(stem)
        {
            members.insert("templateId", Json::from(template));
        }
        powershell::definitions(members);
        Ok(())
    }

    /// Whether a policy holds a script too.
    fn copy(&mut self, path: String) -> Result<LeftFile, ArchiveError> {
        let why =
            if self.contents.has(&self.zip.read(&path)?) { Why::Copy } else { Why::ScriptDiffers };
        Ok(LeftFile { path, why })
    }
}

fn is_id(text: &str) -> bool {
    let bare = text
        .split_once('_')
        .map_or(text, |(front, rest)| if front.len() < 3 { rest } else { front });
    intunecd::is_guid(bare)
}

impl<R: Read + Seek> Iterator for ForeignFolder<'_, R> {
    type Item = Result<Found, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(left) = self.left.pop_front() {
            return Some(Ok(Found::Left(left)));
        }
        let found = if let Some(step) = self.steps.pop_front() {
            self.policy(step)
        } else if let Some((_, path)) = self.assignments.pop_first() {
            Ok(Found::Left(LeftFile { path, why: Why::WithoutPolicy }))
        } else {
            let path = self.copies.pop_front()?;
            self.copy(path).map(Found::Left)
        };
        if found.is_err() {
            self.steps.clear();
            self.assignments.clear();
            self.copies.clear();
            self.left.clear();
        }
        Some(found)
    }
}
