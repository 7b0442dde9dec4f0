//! Estates from a seed: the same seed gives the same objects.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::estate::{EstatePlan, seeded};
use crate::prepare::prepare;
use crate::routes::{Route, type_of};
use crate::schema::{Kind, Schema};
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

/// Properties that a generated object gets without asking whether its entity has them.
const COMMON: [&str; 8] = [
    "createdDateTime",
    "lastModifiedDateTime",
    "roleScopeTagIds",
    "description",
    "fileName",
    "platforms",
    "technologies",
    "isAssigned",
];

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
        // One of these would mean that writes wait for a second administrator.
        "operationApprovalPolicy" => 0,
        _ => 1,
    }
}

/// Fills a tenant with every type that an app can read.
pub(crate) fn fill(
    plan: &EstatePlan,
    types: &BTreeMap<String, u32>,
    (routes, schema): (&[Route], &Schema),
    tenant: &mut SimTenant,
    expected: &mut Vec<ExpectedObject>,
) {
    let mut random = StdRng::seed_from_u64(plan.seed ^ tenant.id.as_u64_pair().0);
    // Parents come before their children: their path is a beginning of the children's.
    let mut ordered: Vec<&Route> = routes.iter().filter(|route| !route.delegated_only).collect();
    ordered.sort_by_key(|route| (route.path.contains("{parentId}"), route.key != "group"));
    for route in ordered {
        let Some(path) = path(tenant, route) else { continue };
        let count = match types.get(&route.key) {
            Some(count) => *count,
            None if !types.is_empty() => continue,
            None if route.singleton => 1,
            None => amount(&route.key) * plan.scale.max(1),
        };
        for number in 0..count {
            let object = object(plan.seed, (route, schema), tenant, number, &mut random);
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

/// The path of a type's collection, below the first parent.
fn path(tenant: &SimTenant, route: &Route) -> Option<String> {
    let Some((parent, _)) = route.path.split_once("/{parentId}") else {
        return Some(route.path.clone());
    };
    let parents = tenant.collections.get(parent).and_then(|list| list.first());
    let id = parents.and_then(|parent| parent.get("id")).and_then(Value::as_str)?;
    Some(route.path.replace("{parentId}", id))
}

/// Replaces the objects of some types by so many generated ones. Gives how many there are now, or
/// the type that is not known.
pub(crate) fn refill(
    tenant: &mut SimTenant,
    (routes, schema): (&[Route], &Schema),
    types: &BTreeMap<String, u32>,
    seed: u64,
) -> Result<usize, String> {
    let mut random = StdRng::seed_from_u64(seed ^ tenant.id.as_u64_pair().0);
    let mut made = 0;
    for (key, count) in types {
        let route = routes.iter().find(|route| route.key == *key).ok_or_else(|| key.clone())?;
        let path = path(tenant, route).ok_or_else(|| key.clone())?;
        if let Some(objects) = tenant.collections.get_mut(&path) {
            let shared = routes.iter().filter(|other| other.path == route.path).count() > 1;
            objects.retain(|object| {
                shared
                    && crate::routes::of(routes, &path, Some(object)).map(|own| &own.key)
                        != Some(key)
            });
        }
        for number in 0..*count {
            let object = object(seed, (route, schema), tenant, number, &mut random);
            tenant.collections.entry(path.clone()).or_default().push(object);
            made += 1;
        }
    }
    Ok(made)
}

fn object(
    seed: u64,
    (route, schema): (&Route, &Schema),
    tenant: &SimTenant,
    number: u32,
    random: &mut StdRng,
) -> Value {
    let id = seeded(seed, &format!("{}/{}/{number}", tenant.id, route.key));
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
        object["isAssigned"] = random.random_bool(0.7).into();
    }
    content(&mut object, route, number, random);
    assignments(&mut object, route, tenant, random);
    complete(&mut object, route, schema);
    if let Value::Object(map) = &mut object {
        prepare(map, route);
    }
    object
}

/// What the object is about.
fn content(object: &mut Value, route: &Route, number: u32, random: &mut StdRng) {
    if route.navigation.iter().any(|name| name == "settings")
        && route.name.as_deref() == Some("name")
    {
        // Some have more than one page of settings.
        let count = random.random_range(1..60);
        object["settingCount"] = count.into();
        object["settings"] = (0..count).map(setting).collect();
    }
    for name in ["scriptContent", "detectionScriptContent", "remediationScriptContent"] {
        if route.item_only.iter().any(|own| own == name) {
            let text = format!("# {} {number}\nWrite-Output 'ok'\n", route.label);
            object[name] = STANDARD.encode(text).into();
            object["fileName"] = "script.txt".into();
        }
    }
    match route.key.as_str() {
        "group" => {
            object["groupTypes"] = json!([]);
            object["securityEnabled"] = true.into();
            object["mailEnabled"] = false.into();
        }
        "deviceConfiguration" if number.is_multiple_of(8) => {
            object["@odata.type"] = "#microsoft.graph.windows10CustomConfiguration".into();
            object["omaSettings"] = json!([{
                "@odata.type": "#microsoft.graph.omaSettingString", "displayName": "Key", "description": "",
                "omaUri": "./Vendor/MSFT/Sim/Key", "isEncrypted": true, "value": format!("secret {number}"),
            }]);
        }
        "groupPolicyConfiguration" => {
            object["definitionValues"] = json!([{
                "enabled": true, "configurationType": "policy",
                "definition": {"id": "f974758d-1fab-42fe-ad36-3a6cd25c49c1", "displayName": "Sim definition", "classType": "machine", "categoryPath": "\\Sim"},
                "presentationValues": [{"@odata.type": "#microsoft.graph.groupPolicyPresentationValueText", "value": "1",
                    "presentation": {"@odata.type": "#microsoft.graph.groupPolicyPresentationTextBox", "id": "6d1b6e1a-0000-4000-8000-000000000001", "label": "Value"}}],
            }]);
        }
        "notificationMessageTemplate" => {
            object["localizedNotificationMessages"] = json!([{"locale": "en-us", "subject": "Hello", "messageTemplate": "Text", "isDefault": true}]);
        }
        "endpointSecurityIntent" => {
            object["settings"] = json!([{"@odata.type": "#microsoft.graph.deviceManagementBooleanSettingInstance",
                "definitionId": "deviceConfiguration--sim", "valueJson": "true"}]);
        }
        // The first of a kind is the default one, of priority 0.
        _ if route.path.ends_with("/deviceEnrollmentConfigurations") => {
            object["priority"] = number.into();
        }
        "appConfigurationManagedApps" => object["appGroupType"] = "selectedPublicApps".into(),
        "deviceHealthScript" => object["publisher"] = "Contoso".into(),
        "complianceManagementPartner" => object["partnerState"] = "enabled".into(),
        "deviceManagementPartner" => object["isConfigured"] = true.into(),
        "remoteAssistancePartner" => object["onboardingStatus"] = "onboarded".into(),
        "roleDefinition" => object["rolePermissions"] = json!([{"resourceActions": []}]),
        "vppToken" => object["displayName"] = "Volume purchase".into(),
        "organizationalBranding" => object["id"] = number.to_string().into(),
        "roleScopeTag" => object["id"] = (number + 1).to_string().into(),
        _ => {}
    }
}

/// The service sends all properties of an object, the unused ones too.
fn complete(object: &mut Value, route: &Route, schema: &Schema) {
    let entity = type_of(object).unwrap_or(&route.entity);
    let Some(properties) = schema.of(entity) else { return };
    let mut names: Vec<_> = properties.iter().filter(|(_, one)| !one.is_navigation).collect();
    names.sort_by_key(|(name, _)| *name);
    let Value::Object(map) = object else { return };
    // What most entities have, and some have not: the service never sends what an entity does not know.
    map.retain(|name, _| !COMMON.contains(&name.as_str()) || properties.contains_key(name));
    for (name, property) in names {
        if map.contains_key(name) || route.navigation.contains(name) {
            continue;
        }
        let value = match property.kind {
            _ if property.is_collection => json!([]),
            _ if property.is_nullable => Value::Null,
            Kind::Boolean => false.into(),
            Kind::Number => 0.into(),
            Kind::Text => String::new().into(),
            // A word of which nothing is known here.
            Kind::Word | Kind::Object => continue,
        };
        map.insert(name.clone(), value);
    }
}

fn setting(number: u32) -> Value {
    json!({"id": number.to_string(), "settingInstance": {
        "@odata.type": "#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
        "settingDefinitionId": format!("device_vendor_msft_policy_config_sim_{number}"),
        "settingInstanceTemplateReference": null,
        "simpleSettingValue": {
            "@odata.type": "#microsoft.graph.deviceManagementConfigurationIntegerSettingValue",
            "value": number, "settingValueTemplateReference": null,
        },
    }})
}

fn assignments(object: &mut Value, route: &Route, tenant: &SimTenant, random: &mut StdRng) {
    if route.assign.is_none() || route.key == "policySet" {
        return;
    }
    let group = tenant.collections.get("/groups").and_then(|groups| {
        let at = random.random_range(0..groups.len().max(1));
        groups.get(at)?.get("id").cloned()
    });
    object["assignments"] = match group {
        Some(group) if random.random_bool(0.6) => json!([{
            "source": "direct", "sourceId": object["id"],
            "target": {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group,
                "deviceAndAppManagementAssignmentFilterId": null, "deviceAndAppManagementAssignmentFilterType": "none"},
        }]),
        _ => json!([]),
    };
}
