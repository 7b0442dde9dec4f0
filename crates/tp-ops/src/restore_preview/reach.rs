//! Whom a restore gives a policy to, and whom it takes it from (PRODUCT X-2).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tp_domain::json::Json;
use tp_domain::version::ReferenceNames;

/// Whom an object gains and loses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    gains: Vec<Target>,
    loses: Vec<Target>,
}

/// Somebody who is assigned to, or left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    /// `group`, `excluded_group`, `all_users`, `all_devices`, or Graph's own word.
    kind: String,
    id: Option<String>,
}

fn targets(assignments: &[Json]) -> Vec<Target> {
    let of = |assignment: &Json| {
        let target = assignment.get("target").unwrap_or(assignment);
        let word = target.get("@odata.type").and_then(Json::as_str).unwrap_or_default();
        let word = word.rsplit('.').next().unwrap_or_default();
        let kind = match word {
            "allLicensedUsersAssignmentTarget" => "all_users",
            "allDevicesAssignmentTarget" => "all_devices",
            "groupAssignmentTarget" => "group",
            "exclusionGroupAssignmentTarget" => "excluded_group",
            other => other,
        };
        let id = target.get("groupId").and_then(Json::as_str).map(str::to_lowercase);
        Target { kind: kind.to_owned(), id }
    };
    let mut all: Vec<Target> = assignments.iter().map(of).collect();
    all.sort();
    all.dedup();
    all
}

/// What changes from what is there to what is wanted.
pub(super) fn reach(wanted: Option<&[Json]>, live: Option<&[Json]>) -> Reach {
    let (wanted, live) = match (wanted, live) {
        // Assignments that were not captured are not written.
        (None, _) => return Reach::default(),
        (Some(wanted), live) => (targets(wanted), targets(live.unwrap_or_default())),
    };
    let without = |these: &[Target], those: &[Target]| {
        these.iter().filter(|one| !those.contains(one)).cloned().collect()
    };
    Reach { gains: without(&wanted, &live), loses: without(&live, &wanted) }
}

impl Reach {
    /// For the page, with the names that the version has kept.
    pub(super) fn json(&self, names: &ReferenceNames) -> Value {
        let none = BTreeMap::new();
        let groups = names.0.get("group").unwrap_or(&none);
        let list = |targets: &[Target]| -> Value {
            let one = |target: &Target| {
                let name = target.id.as_ref().and_then(|id| groups.get(id));
                json!({"kind": target.kind, "id": target.id, "name": name})
            };
            targets.iter().map(one).collect()
        };
        json!({"gains": list(&self.gains), "loses": list(&self.loses)})
    }
}
