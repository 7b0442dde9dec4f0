//! Addresses that hold nothing of their own: sets that are put together from others, functions, and
//! the few directory sets that a connection check asks for.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::approvals::Approval;
use crate::call::{Call, Sent};
use crate::place::{Place, item};
use crate::reads::{Reader, World, forbidden};
use crate::state::SimTenant;

/// The sets that `managedAppPolicies` joins.
const APP_POLICIES: [&str; 6] = [
    "/deviceAppManagement/iosManagedAppProtections",
    "/deviceAppManagement/androidManagedAppProtections",
    "/deviceAppManagement/windowsManagedAppProtections",
    "/deviceAppManagement/windowsInformationProtectionPolicies",
    "/deviceAppManagement/mdmWindowsInformationProtectionPolicies",
    "/deviceAppManagement/targetedManagedAppConfigurations",
];

/// Sets of which a tenant of the simulator has nothing, with the permission that reads them.
const EMPTY: [(&str, &str); 8] = [
    ("/deviceManagement/managedDevices", "DeviceManagementManagedDevices.Read.All"),
    (
        "/deviceManagement/windowsAutopilotDeviceIdentities",
        "DeviceManagementServiceConfig.Read.All",
    ),
    ("/deviceManagement/detectedApps", "DeviceManagementManagedDevices.Read.All"),
    ("/users", "User.Read.All"),
    ("/devices", "Device.Read.All"),
    ("/domains", "Domain.Read.All"),
    ("/applications", "Application.Read.All"),
    ("/groupSettings", "Group.Read.All"),
];

/// Graph's own application id.
const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";

fn permitted(world: World<'_>, any_of: &[&str]) -> Option<Answer> {
    if any_of.iter().any(|name| world.granted.iter().any(|own| own == name)) {
        return None;
    }
    Some(forbidden(&any_of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()))
}

/// Reads of addresses that hold nothing of their own.
pub(crate) fn read(world: World<'_>, tenant: &SimTenant, call: &Call<'_>) -> Option<Answer> {
    let reader = Reader { world, tenant, call };
    let path = call.path.to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["devicemanagement", "templates", rest @ ..] => Some(templates(&reader, rest)),
        ["deviceappmanagement", "managedapppolicies", rest @ ..] => {
            Some(app_policies(&reader, rest))
        }
        ["devicemanagement", "auditevents", rest @ ..] => {
            let needed = ["DeviceManagementApps.Read.All", "DeviceManagementApps.ReadWrite.All"];
            Some(permitted(world, &needed).unwrap_or_else(|| {
                set(&reader, &tenant.audit, rest, "/deviceManagement/auditEvents")
            }))
        }
        ["devicemanagement", "operationapprovalrequests", rest @ ..] => {
            let needed = [
                "DeviceManagementConfiguration.Read.All",
                "DeviceManagementConfiguration.ReadWrite.All",
                "DeviceManagementRBAC.Read.All",
                "DeviceManagementRBAC.ReadWrite.All",
            ];
            let requests: Vec<Value> = tenant.approvals.iter().map(Approval::shown).collect();
            let name = "/deviceManagement/operationApprovalRequests";
            Some(permitted(world, &needed).unwrap_or_else(|| set(&reader, &requests, rest, name)))
        }
        ["devicemanagement"] => Some(device_management(&reader)),
        ["devicemanagement", "androidmanagedstoreaccountenterprisesettings"] => {
            Some(Answer::ok(json!({
                "@odata.context": reader.context("deviceManagement/androidManagedStoreAccountEnterpriseSettings/$entity"),
                "id": "androidManagedStoreAccountEnterpriseSettings", "bindStatus": "notBound",
                "ownerUserPrincipalName": "", "ownerOrganizationName": "", "enrollmentTarget": "none",
                "lastAppSyncDateTime": "0001-01-01T00:00:00Z",
            })))
        }
        ["policies", name @ ("authenticationflowspolicy" | "externalidentitiespolicy")] => {
            Some(Answer::ok(json!({"id": name, "displayName": name})))
        }
        ["subscribedskus", rest @ ..] => {
            let needed =
                ["LicenseAssignment.Read.All", "Organization.Read.All", "Directory.Read.All"];
            Some(
                permitted(world, &needed)
                    .unwrap_or_else(|| set(&reader, &skus(tenant), rest, "/subscribedSkus")),
            )
        }
        ["organization"] | ["organization", _] => permitted(
            world,
            &["Organization.Read.All", "Directory.Read.All", "Organization.ReadWrite.All"],
        ),
        ["organization", id, "branding"] => Some(branding(&reader, id)),
        [first, rest @ ..] if first.starts_with("serviceprincipals") => {
            Some(principals(&reader, first, rest))
        }
        _ => EMPTY.iter().find(|(own, _)| own.eq_ignore_ascii_case(&path)).map(|(own, needed)| {
            permitted(world, &[needed]).unwrap_or_else(|| set(&reader, &[], &[], own))
        }),
    }
}

/// A set of objects that are made on the spot.
fn set(reader: &Reader<'_>, objects: &[Value], rest: &[&str], name: &str) -> Answer {
    match rest {
        [] => reader.list(None, objects.iter(), 100, name),
        ["$count"] => Answer::raw(objects.len().to_string().into_bytes(), "text/plain"),
        [id] => match item(objects, id) {
            Some(object) => reader.one(None, object, name),
            None => Answer::not_found(),
        },
        _ => Answer::no_route(),
    }
}

fn intent_permission(reader: &Reader<'_>) -> Option<Answer> {
    permitted(
        reader.world,
        &["DeviceManagementConfiguration.Read.All", "DeviceManagementConfiguration.ReadWrite.All"],
    )
}

/// The one category that every template of the simulator has.
pub(crate) fn category(template: &str) -> Value {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, template.to_ascii_lowercase().as_bytes());
    json!({"id": id, "displayName": "Settings", "description": "", "settingDefinitionCount": 0})
}

/// Templates of intents: those that the tenant's intents were made from.
fn templates(reader: &Reader<'_>, rest: &[&str]) -> Answer {
    if let Some(refusal) = intent_permission(reader) {
        return refusal;
    }
    let intents = reader.tenant.collections.get("/deviceManagement/intents");
    let ids: BTreeSet<&str> = intents
        .into_iter()
        .flatten()
        .filter_map(|intent| intent.get("templateId")?.as_str())
        .collect();
    let objects: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({"@odata.type": "#microsoft.graph.securityBaselineTemplate", "id": id,
                "displayName": format!("Template {id}"), "isDeprecated": false, "templateType": "securityBaseline"})
        })
        .collect();
    let name = "/deviceManagement/templates";
    match rest {
        [id, "categories", deeper @ ..] => match item(&objects, id) {
            Some(_) => set(reader, &[category(id)], deeper, &format!("{name}('{id}')/categories")),
            None => Answer::not_found(),
        },
        rest => set(reader, &objects, rest, name),
    }
}

fn app_policies(reader: &Reader<'_>, rest: &[&str]) -> Answer {
    let needed = ["DeviceManagementApps.Read.All", "DeviceManagementApps.ReadWrite.All"];
    if let Some(refusal) = permitted(reader.world, &needed) {
        return refusal;
    }
    let sets =
        APP_POLICIES.iter().filter_map(|path| reader.tenant.collections.get_key_value(*path));
    let objects: Vec<Value> = sets
        .flat_map(|(path, objects)| {
            let route = reader.world.routes.iter().find(|route| route.path == *path);
            objects.iter().map(move |object| {
                let mut object = object.clone();
                if let (Some(map), Some(route)) = (object.as_object_mut(), route) {
                    map.retain(|key, _| !route.navigation.contains(key));
                    map.entry("@odata.type")
                        .or_insert_with(|| format!("#microsoft.graph.{}", route.entity).into());
                }
                object
            })
        })
        .collect();
    set(reader, &objects, rest, "/deviceAppManagement/managedAppPolicies")
}

fn device_management(reader: &Reader<'_>) -> Answer {
    if let Some(refusal) = intent_permission(reader) {
        return refusal;
    }
    let settings = reader.tenant.collections.get("/deviceManagement/settings");
    let settings = settings.and_then(|list| list.first()).cloned().unwrap_or(Value::Null);
    reader.one(
        None,
        &json!({
            "id": reader.tenant.id, "intuneAccountId": reader.tenant.id, "settings": settings,
            "subscriptionState": "active",
        }),
        "/deviceManagement",
    )
}

/// The licences that decide what a tenant can have.
fn skus(tenant: &SimTenant) -> Vec<Value> {
    let plan = |name: &str| {
        json!({"servicePlanId": Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            "servicePlanName": name, "provisioningStatus": "Success", "appliesTo": "User"})
    };
    let sku = |name: &str, plans: &[&str]| {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
        json!({
            "id": format!("{}_{id}", tenant.id), "skuId": id, "skuPartNumber": name,
            "accountName": tenant.display_name, "accountId": tenant.id, "appliesTo": "User",
            "capabilityStatus": "Enabled", "consumedUnits": 20,
            "prepaidUnits": {"enabled": 25, "suspended": 0, "warning": 0, "lockedOut": 0},
            "servicePlans": plans.iter().map(|name| plan(name)).collect::<Vec<_>>(),
        })
    };
    tenant
        .licences
        .iter()
        .map(|name| sku(name, &[name.as_str(), "EXCHANGE_S_FOUNDATION"]))
        .collect()
}

fn branding(reader: &Reader<'_>, id: &str) -> Answer {
    if let Some(refusal) =
        permitted(reader.world, &["Organization.Read.All", "Organization.ReadWrite.All"])
    {
        return refusal;
    }
    let path = format!("/organization/{id}/branding/localizations");
    let set = reader.tenant.collections.iter().find(|(own, _)| own.eq_ignore_ascii_case(&path));
    match set.and_then(|(own, objects)| Some((own, item(objects, "0").or(objects.first())?))) {
        Some((_, object)) => {
            let mut object = object.clone();
            object["id"] = reader.tenant.id.to_string().into();
            reader.one(None, &object, &format!("/organization('{id}')/branding"))
        }
        None => Answer::not_found(),
    }
}

/// The app's own service principal and Graph's, with what the app was granted.
fn principals(reader: &Reader<'_>, first: &str, rest: &[&str]) -> Answer {
    let tenant = reader.tenant;
    let needed = ["Application.Read.All", "Directory.Read.All", "Application.ReadWrite.All"];
    if let Some(refusal) = permitted(reader.world, &needed) {
        return refusal;
    }
    let id = |app: &str| Uuid::new_v5(&tenant.id, app.as_bytes()).to_string();
    let (app, graph) = (tenant.client_id.to_string(), GRAPH_APP.to_owned());
    let role = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let roles: Vec<Value> = tenant
        .permissions
        .iter()
        .map(|name| json!({"id": role(name), "value": name, "isEnabled": true, "allowedMemberTypes": ["Application"]}))
        .collect();
    let objects = [
        json!({"id": id(&app), "appId": app, "displayName": "TenantPilot", "accountEnabled": true, "appRoles": []}),
        json!({"id": id(&graph), "appId": graph, "displayName": "Microsoft Graph", "accountEnabled": true, "appRoles": roles}),
    ];
    let granted: Vec<Value> = tenant
        .permissions
        .iter()
        .map(|name| {
            json!({"id": role(&format!("grant/{name}")), "appRoleId": role(name), "principalId": id(&app),
                "principalType": "ServicePrincipal", "resourceId": id(&graph), "resourceDisplayName": "Microsoft Graph"})
        })
        .collect();
    let by_app =
        first.strip_prefix("serviceprincipals(appid='").and_then(|key| key.strip_suffix("')"));
    let own = match by_app {
        Some(app) => {
            let Some(found) = objects.iter().find(|one| one["appId"] == *app) else {
                return Answer::not_found();
            };
            found["id"].as_str().unwrap_or_default().to_owned()
        }
        None => String::new(),
    };
    let mut path: Vec<&str> = Vec::new();
    if !own.is_empty() {
        path.push(&own);
    }
    path.extend(rest);
    match path.as_slice() {
        [one, "approleassignments"] if *one == objects[0]["id"] => {
            set(reader, &granted, &[], &format!("/servicePrincipals('{one}')/appRoleAssignments"))
        }
        [_, "approleassignments"] => set(reader, &[], &[], "/appRoleAssignments"),
        path => set(reader, &objects, path, "/servicePrincipals"),
    }
}

/// Functions and sets below an object that are not in the object.
pub(crate) fn function(
    reader: &Reader<'_>,
    place: &Place<'_, '_>,
    object: &Value,
    name: &str,
) -> Option<Answer> {
    let key = place.route.map(|route| route.key.as_str()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("getomasettingplaintextvalue(") {
        return Some(plain_text(reader, object, name));
    }
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    match (key, lower.as_str()) {
        ("roleDefinition", "roleassignments") => {
            let all = reader.tenant.collections.get("/deviceManagement/roleAssignments");
            let own = all.into_iter().flatten().filter(|one| one["roleDefinition"]["id"] == *id);
            let context = format!("/deviceManagement/roleDefinitions('{id}')/roleAssignments");
            let route = reader.world.routes.iter().find(|route| route.key == "roleAssignment");
            Some(reader.list(route, own, 100, &context))
        }
        ("endpointSecurityIntent", "categories") => {
            let template = object.get("templateId").and_then(Value::as_str).unwrap_or_default();
            let base = format!("/deviceManagement/intents('{id}')/categories");
            let rest: Vec<&str> = place.rest.iter().skip(2).copied().collect();
            let category = category(template);
            Some(match rest.as_slice() {
                [own, "settings"] if category["id"] == **own => {
                    let none = Vec::new();
                    let settings = object.get("settings").and_then(Value::as_array);
                    let settings = settings.unwrap_or(&none).iter();
                    reader.list(None, settings, 100, &format!("{base}('{own}')/settings"))
                }
                rest => set(reader, &[category], rest, &base),
            })
        }
        _ => None,
    }
}

/// `getOmaSettingPlainTextValue(secretReferenceValueId='…')`: peers with a read-only app get 403.
fn plain_text(reader: &Reader<'_>, object: &Value, name: &str) -> Answer {
    if let Some(refusal) = permitted(reader.world, &["DeviceManagementConfiguration.ReadWrite.All"])
    {
        return refusal;
    }
    let wanted = name.split('\'').nth(1).unwrap_or_default();
    let settings = object.get("omaSettings").and_then(Value::as_array);
    let setting = settings.into_iter().flatten().find(|setting| {
        setting["secretReferenceValueId"]
            .as_str()
            .is_some_and(|own| own.eq_ignore_ascii_case(wanted))
    });
    match setting {
        Some(setting) => {
            // For XML a write takes base64, and this gives the text (graph/README 1).
            let value = setting["value"].as_str().unwrap_or_default();
            let is_xml = setting["@odata.type"] == "#microsoft.graph.omaSettingStringXml";
            let text = if is_xml { decoded(value) } else { None };
            Answer::ok(json!({
                "@odata.context": reader.context("Edm.String"),
                "value": text.unwrap_or_else(|| value.to_owned()),
            }))
        }
        None => Answer::not_found(),
    }
}

fn decoded(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// Reads that are sent as POST: `getByIds`.
pub(crate) fn look_up(world: World<'_>, tenant: &SimTenant, call: &Call<'_>) -> Option<Answer> {
    let path = call.path.to_ascii_lowercase();
    if !path.ends_with("/getbyids") {
        return None;
    }
    let needed =
        ["Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "GroupMember.Read.All"];
    if let Some(refusal) = permitted(world, &needed) {
        return Some(refusal);
    }
    let Sent::Json(body) = &call.body else {
        return Some(Answer::bad_request("Unable to read JSON request payload."));
    };
    let Some(ids) = body.get("ids").and_then(Value::as_array) else {
        return Some(Answer::error(
            400,
            "Request_BadRequest",
            "A value is required for property 'ids'.",
        ));
    };
    if ids.len() > 1000 {
        return Some(Answer::error(400, "Request_BadRequest", "Too many ids; at most 1000."));
    }
    let kinds = body.get("types").and_then(Value::as_array);
    let groups = kinds
        .is_none_or(|kinds| kinds.iter().any(|kind| kind == "group" || kind == "directoryObject"));
    let all = tenant.collections.get("/groups").filter(|_| groups);
    let found: Vec<Value> = ids
        .iter()
        .filter_map(|id| item(all?, id.as_str()?))
        .map(|group| {
            let mut group = group.clone();
            group["@odata.type"] = "#microsoft.graph.group".into();
            group
        })
        .collect();
    let context = format!("{}/{}/$metadata#directoryObjects", call.origin, call.version);
    Some(Answer::ok(json!({"@odata.context": context, "value": found})))
}

/// The object that a reference names: a category of apps, a member of a group.
pub(crate) fn referred(tenant: &SimTenant, name: &str, id: &str) -> Value {
    let path = match name {
        "categories" => "/deviceAppManagement/mobileAppCategories",
        "includedGroups" | "members" | "owners" => "/groups",
        "roleScopeTags" => "/deviceManagement/roleScopeTags",
        _ => "",
    };
    let held = tenant.collections.get(path).and_then(|objects| item(objects, id));
    held.cloned().unwrap_or_else(|| json!({ "id": id }))
}
