//! Reads what the real `IntuneCD` has saved of a simulated tenant, and compares it with that tenant.
//!
//! ```text
//! intunecd_check BACKUP.zip STATE.json EXPECTED.json
//! ```
//!
//! `STATE.json`: objects by the address of their set, as the simulator gives them. `EXPECTED.json`: ids that
//! `IntuneCD` must have saved. Prints a line of JSON per figure; see `cargo xtask prove sim`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File};

use tp_archive::{ForeignFolder, Found, Limits, Zip};
use tp_catalog::body::is_annotation;
use tp_catalog::registry::Catalog;
use tp_domain::json;
use tp_domain::json::{Json, Object};

/// Members that `IntuneCD` removes (`IntuneCDBase.remove_keys`), of an object and of some of its parts.
const REMOVED: [&str; 24] = [
    "id",
    "version",
    "topicIdentifier",
    "certificate",
    "createdDateTime",
    "lastModifiedDateTime",
    "isAssigned",
    "sourceId",
    "supportsScopeTags",
    "companyCodes",
    "isGlobalScript",
    "highestAvailableVersion",
    "token",
    "lastSyncDateTime",
    "isReadOnly",
    "secretReferenceValueId",
    "isEncrypted",
    "modifiedDateTime",
    "deployedAppCount",
    "intunecd_name",
    "deviceHealthScriptType",
    // Our word for what is read in clear, and what the simulator puts in place of it.
    "omaSettings",
    "assignments",
    // Kept as names, of those tags only that are listed; the simulator does not list the built-in one.
    "roleScopeTagIds",
];

/// Members of single types that it does not ask for, or that it removes.
const NOT_SAVED: [(&str, &[&str]); 8] = [
    ("mobileApp", &["description", "categories", "relationships"]),
    ("androidAppProtection", &["apps"]),
    ("iosAppProtection", &["apps"]),
    ("windowsAppProtection", &["apps"]),
    ("appConfigurationManagedApps", &["apps", "settings"]),
    ("endpointSecurityIntent", &["@odata.type", "isMigratingToConfigurationPolicy", "categories"]),
    ("reusablePolicySetting", &["referencingConfigurationPolicyCount", "@odata.type"]),
    ("roleDefinition", &["permissions", "rolePermissions", "roleAssignments"]),
];

/// Members that the simulator fills in when they are read, from what it holds elsewhere.
const VIRTUAL: [&str; 3] = ["definitionValues", "localizedNotificationMessages", "roleScopeTags"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut given = std::env::args().skip(1);
    let (Some(zip), Some(state), Some(expected)) = (given.next(), given.next(), given.next())
    else {
        return Err("intunecd_check BACKUP.zip STATE.json EXPECTED.json".into());
    };
    let state = Json::parse(&fs::read(state)?)?;
    let expected: BTreeSet<String> = serde_json::from_slice(&fs::read(expected)?)?;
    let catalog = Catalog::builtin()?;
    let folder = ForeignFolder::open(Zip::open(File::open(&zip)?, Limits::BACKUP)?, &catalog)?;
    let groups = names(&state, "/groups");
    let objects = objects(&state);
    let (mut read, mut lost, mut differences, mut assigned) = (BTreeSet::new(), 0, Vec::new(), 0);
    for found in folder {
        let policy = match found? {
            Found::Policy(policy) => policy,
            Found::Left(left) => {
                if left.why.loses() {
                    eprintln!("left: {} {}", left.why.as_str(), left.path);
                    // Managed Google Play: there is no type for it.
                    lost += usize::from(left.why.as_str() != "type_not_covered");
                }
                continue;
            }
        };
        let key = policy.policy_type.as_str().to_owned();
        let id = policy.id.clone().unwrap_or_else(|| match key.as_str() {
            "deviceManagementSettings" => "settings.json".to_owned(),
            _ => policy.name.clone(),
        });
        if let Some(own) = objects.get(&id) {
            let contract = catalog.contract(&policy.policy_type);
            // What has no concrete types has no type in Graph's plain replies.
            let typed = contract.is_some_and(|contract| !contract.odata_types.is_empty());
            for what in compare(&key, typed, own, &policy.object) {
                differences.push(format!("{key} {id}: {what}"));
            }
            let targets = policy.assignments.as_deref().unwrap_or_default();
            let asked = key != "deviceComplianceScript";
            if let (true, Some(what)) = (asked, compare_assignments(own, targets, &groups)) {
                differences.push(format!("{key} {id}: {what}"));
            }
            assigned += targets.len();
        }
        read.insert(id);
    }
    differences.iter().take(30).for_each(|one| eprintln!("differs: {one}"));
    let missing: Vec<&String> = expected.difference(&read).collect();
    missing.iter().take(20).for_each(|one| eprintln!("not read: {one}"));
    let found = expected.len() - missing.len();
    figure(
        "objects of its files that are read",
        &expected.len().to_string(),
        found == expected.len(),
        &found.to_string(),
    );
    figure("files that hold an object and could not be read", "0", lost == 0, &lost.to_string());
    let count = differences.len();
    figure(
        "members that differ from the tenant, what it strips apart",
        "0",
        count == 0,
        &count.to_string(),
    );
    figure("assignments that are read", "> 0", assigned > 0, &assigned.to_string());
    Ok(())
}

fn figure(name: &str, target: &str, holds: bool, measured: &str) {
    println!("{}", json!({"figure": name, "target": target, "measured": measured, "holds": holds}));
}

fn objects(state: &Json) -> BTreeMap<String, &Json> {
    let sets = state.as_object().into_iter().flat_map(Object::values);
    let all = sets.filter_map(Json::as_array).flatten();
    all.filter_map(|one| Some((one.get("id")?.as_str()?.to_owned(), one))).collect()
}

fn names(state: &Json, set: &str) -> BTreeMap<String, String> {
    let all = state.get(set).and_then(Json::as_array).into_iter().flatten();
    let text = |one: &Json, name: &str| Some(one.get(name)?.as_str()?.to_owned());
    all.filter_map(|one| Some((text(one, "id")?, text(one, "displayName")?))).collect()
}

/// Which members are not what the tenant holds.
fn compare(key: &str, typed: bool, own: &Json, read: &Json) -> Vec<String> {
    let passed = |name: &str| {
        let of_type = NOT_SAVED.iter().find(|(of, _)| *of == key);
        let of_type = of_type.is_some_and(|(_, names)| names.contains(&name));
        is_annotation(name)
            || REMOVED.contains(&name)
            || VIRTUAL.contains(&name)
            || of_type
            || !typed && name == "@odata.type"
    };
    let plain = |value: &Json, name: &str| {
        let mut value = value.clone();
        clean(&mut value);
        // Text of JSON in base64: spaces between its words say nothing.
        match (name, value.as_str()) {
            ("payloadJson", Some(_)) => Json::Null,
            ("preSharedKey" | "productKey" | "sharedSecret", _) => Json::Null,
            _ => value,
        }
    };
    let members = |value: &Json| -> BTreeMap<String, Json> {
        let all = value.as_object().into_iter().flat_map(Object::iter);
        let named = all.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value)));
        let is_empty = |value: &Json| value.is_null() || *value == Json::Array(Vec::new());
        named
            .filter(|(name, value)| !passed(name) && !is_empty(value))
            .map(|(name, value)| (name.clone(), plain(value, &name)))
            .collect()
    };
    let (own, read) = (members(own), members(read));
    let names: BTreeSet<&String> = own.keys().chain(read.keys()).collect();
    let differ = names.into_iter().filter(|name| own.get(*name) != read.get(*name));
    differ.map(|name| format!("{name}: {:?} {:?}", own.get(name), read.get(name))).collect()
}

/// Takes away what says nothing, and what `IntuneCD` removes of parts.
fn clean(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|name, value| {
                let name = name.as_str().unwrap_or_default();
                let removed = ["id", "createdDateTime", "lastModifiedDateTime", "settingCount"];
                !is_annotation(name) && !removed.contains(&name) && !value.is_null()
            });
            members.values_mut().for_each(clean);
        }
        Json::Array(elements) => elements.iter_mut().for_each(clean),
        _ => {}
    }
}

/// Whether the targets are those of the tenant: their kinds, and the groups by name.
fn compare_assignments(
    own: &Json,
    read: &[Json],
    groups: &BTreeMap<String, String>,
) -> Option<String> {
    let own = own.get("assignments")?.as_array()?;
    let text =
        |target: &Json, name: &str| target.get(name).and_then(Json::as_str).map(str::to_owned);
    let mut wanted: Vec<(Option<String>, Option<String>)> = own
        .iter()
        .map(|one| {
            let target = &one["target"];
            let name = text(target, "groupId").and_then(|id| groups.get(&id).cloned());
            (text(target, "@odata.type"), name)
        })
        .collect();
    let mut had: Vec<(Option<String>, Option<String>)> = read
        .iter()
        .map(|one| (text(&one["target"], "@odata.type"), text(&one["target"], "groupId")))
        .collect();
    wanted.sort();
    had.sort();
    (wanted != had).then(|| format!("assignments: {wanted:?} {had:?}"))
}
