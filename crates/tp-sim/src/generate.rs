//! Estates from a seed: the same seed gives the same objects.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::estate::{EstatePlan, seeded};
use crate::routes::Route;
use crate::state::{ExpectedObject, SimTenant};

const AREAS: [&str; 12] = [
    "Baseline",
    "BitLocker",
    "Defender",
    "Edge hardening",
    "Firewall",
    "Kiosk",
    "Office",
    "OneDrive",
    "Passwords",
    "Updates",
    "VPN",
    "Wi-Fi",
];
const GROUPS: [&str; 6] = ["All devices", "Pilot", "Finance", "Sales", "Shared devices", "VIP"];

/// How many objects of a type a tenant of scale 1 has.
fn amount(key: &str) -> u32 {
    match key {
        "settingsCatalogPolicy" => 40,
        "deviceConfiguration" => 24,
        "group" => 20,
        "conditionalAccessPolicy" => 12,
        "endpointSecurityPolicy" | "deviceCompliancePolicy" | "mobileApp" => 10,
        "assignmentFilter" | "deviceManagementScript" | "namedLocation" => 5,
        "roleScopeTag" | "windowsUpdateRing" | "iosAppProtection" | "androidAppProtection" => 3,
        _ => 1,
    }
}

/// Fills a tenant with every type that an app can read.
pub(crate) fn fill(
    plan: &EstatePlan,
    routes: &[Route],
    tenant: &mut SimTenant,
    expected: &mut Vec<ExpectedObject>,
) {
    let mut random = StdRng::seed_from_u64(plan.seed ^ tenant.id.as_u64_pair().0);
    // Parents come before their children: their path is a beginning of the children's.
    let mut ordered: Vec<&Route> = routes.iter().filter(|route| !route.delegated_only).collect();
    ordered.sort_by_key(|route| route.path.contains("{parentId}"));
    for route in ordered {
        let path = match route.path.split_once("/{parentId}") {
            None => route.path.clone(),
            Some((parent, _)) => {
                let parents = tenant.collections.get(parent).and_then(|list| list.first());
                let Some(id) = parents.and_then(|parent| parent.get("id")).and_then(Value::as_str)
                else {
                    continue;
                };
                route.path.replace("{parentId}", id)
            }
        };
        let count = if route.singleton { 1 } else { amount(&route.key) * plan.scale.max(1) };
        for number in 0..count {
            let object = object(plan, route, tenant, number, &mut random);
            let text = |field: &str| object.get(field).and_then(Value::as_str).map(str::to_owned);
            expected.push(ExpectedObject {
                policy_type: route.key.clone(),
                id: text("id").unwrap_or_default(),
                name: route.name.as_deref().and_then(text),
            });
            tenant.collections.entry(path.clone()).or_default().push(object);
        }
    }
}

fn object(
    plan: &EstatePlan,
    route: &Route,
    tenant: &SimTenant,
    number: u32,
    random: &mut StdRng,
) -> Value {
    let id = seeded(plan.seed, &format!("{}/{}/{number}", tenant.id, route.key));
    let area = AREAS[random.random_range(0..AREAS.len())];
    let name = match route.key.as_str() {
        "group" => format!("{} {}", GROUPS[random.random_range(0..GROUPS.len())], number + 1),
        _ => format!("{} – {area} {}", route.label, number + 1),
    };
    let (day, month) = (random.random_range(1..28), random.random_range(1..12));
    let mut object = json!({
        "id": id,
        "createdDateTime": format!("2025-{month:02}-{day:02}T08:00:00Z"),
        "lastModifiedDateTime": format!("2025-{:02}-{day:02}T09:30:00Z", month + 1),
        "roleScopeTagIds": ["0"],
        "description": "",
    });
    if let Some(field) = &route.name
        && field != "id"
    {
        object[field] = name.into();
    }
    if !route.odata_types.is_empty() {
        let concrete = &route.odata_types[random.random_range(0..route.odata_types.len())];
        object["@odata.type"] = format!("#microsoft.graph.{concrete}").into();
    }
    if let Some(family) = &route.family {
        object["templateReference"] = json!({"templateId": "", "templateFamily": family});
        object["platforms"] = "windows10".into();
        object["technologies"] = "mdm".into();
        object["settingCount"] = random.random_range(1..60).into();
        object["isAssigned"] = random.random_bool(0.7).into();
    }
    if route.key == "group" {
        object["groupTypes"] = json!([]);
        object["securityEnabled"] = true.into();
        object["mailEnabled"] = false.into();
    }
    object
}
