//! Rules of single types that a client runs into (PROTOCOL §9, the registry's quirks).

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::answer::Answer;
use crate::routes::{Route, type_of};
use crate::state::SimTenant;

/// Sets whose built-in objects are there for ever.
fn is_default(route: &Route, object: &Value) -> bool {
    let is = |name: &str| object.get(name) == Some(&Value::Bool(true));
    match route.key.as_str() {
        "intuneBrandingProfile" => is("isDefaultProfile"),
        "roleScopeTag" => is("isBuiltIn") || object["id"] == "0",
        "roleDefinition" => is("isBuiltIn") || is("isBuiltInRoleDefinition"),
        "authenticationStrength" => object["policyType"] == "builtIn",
        "deviceHealthScript" => is("isGlobalScript"),
        "organizationalBranding" => object["id"] == "0",
        _ if route.path.ends_with("/deviceEnrollmentConfigurations") => object["priority"] == 0,
        _ => false,
    }
}

fn blocks(rules: Option<&Value>) -> usize {
    let rules = rules.and_then(Value::as_array);
    rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("scheduledActionConfigurations")?.as_array())
        .flatten()
        .filter(|action| action["actionType"] == "block")
        .count()
}

/// Exactly one block action.
pub(crate) fn one_block(rules: Option<&Value>) -> Result<(), Answer> {
    if blocks(rules) == 1 {
        return Ok(());
    }
    Err(Answer::bad_model("Compliance policy must have one and only one block scheduled action."))
}

/// What a new object must have.
pub(crate) fn create(
    tenant: &SimTenant,
    route: &Route,
    body: &Map<String, Value>,
) -> Result<(), Answer> {
    if let Some(name) = route.name.as_deref().filter(|name| *name != "id") {
        let text = body.get(name).and_then(Value::as_str);
        if text.is_none_or(str::is_empty) {
            return Err(Answer::bad_model(&format!("The property '{name}' is required.")));
        }
        if ["roleDefinition", "roleScopeTag"].contains(&route.key.as_str()) {
            let taken = tenant.collections.get(&route.path).into_iter().flatten();
            if taken.into_iter().any(|other| other.get(name).and_then(Value::as_str) == text) {
                let text = "An object with this name exists already.";
                return Err(Answer::intune_error(409, "NameAlreadyExists", text));
            }
        }
    }
    match route.key.as_str() {
        "deviceCompliancePolicy" => one_block(body.get("scheduledActionsForRule")),
        "appConfigurationManagedApps" if !body.contains_key("appGroupType") => {
            Err(Answer::bad_model("The property 'appGroupType' is required."))
        }
        "managedDeviceCleanupRule" => {
            let platform = body.get("deviceCleanupRulePlatformType");
            let rules = tenant.collections.get(&route.path).into_iter().flatten();
            let mut others = rules.map(|rule| rule.get("deviceCleanupRulePlatformType"));
            if others.any(|other| other == platform) {
                return Err(Answer::intune_error(500, "InternalError", "An error has occurred"));
            }
            Ok(())
        }
        "conditionalAccessPolicy" => access(body),
        "intuneBrandingProfile" => {
            only(body, &["profileName", "profileDescription", "roleScopeTagIds"])
        }
        _ => Ok(()),
    }
}

/// What a create takes of an object; the rest goes by an update.
fn only(body: &Map<String, Value>, names: &[&str]) -> Result<(), Answer> {
    let other = body.keys().find(|name| !names.contains(&name.as_str()) && *name != "@odata.type");
    other.map_or(Ok(()), |name| {
        Err(Answer::bad_model(&format!("The property '{name}' cannot be set on creation.")))
    })
}

/// What the conditional access service refuses, with its numeric codes.
fn access(body: &Map<String, Value>) -> Result<(), Answer> {
    let strength = body.get("grantControls").and_then(|grant| grant.get("authenticationStrength"));
    if let Some(Value::Object(strength)) = strength
        && strength.keys().any(|name| name != "id" && !name.contains("@odata."))
    {
        let text = "1011: The authentication strength of a policy is named by its id only.";
        return Err(Answer::error(400, "1011", text));
    }
    for name in ["conditions", "state"] {
        if body.get(name).is_none_or(Value::is_null) {
            let text = format!("1004: The property '{name}' is required.");
            return Err(Answer::error(400, "1004", &text));
        }
    }
    Ok(())
}

/// What of a default object is fixed, and other rules of updates.
pub(crate) fn update(
    _tenant: &SimTenant,
    route: &Route,
    existing: &Value,
    body: &Map<String, Value>,
) -> Result<(), Answer> {
    if is_default(route, existing) {
        let fixed: &[&str] = match route.key.as_str() {
            "roleScopeTag" | "roleDefinition" | "authenticationStrength" | "deviceHealthScript" => {
                return Err(Answer::bad_model("A built-in object cannot be changed."));
            }
            "intuneBrandingProfile" => &["profileName", "profileDescription"],
            "organizationalBranding" => &[],
            _ => &["displayName", "description", "roleScopeTagIds"],
        };
        let name = fixed
            .iter()
            .find(|name| body.get(**name).is_some_and(|new| Some(new) != existing.get(**name)));
        if let Some(name) = name {
            return Err(Answer::bad_model(&format!(
                "The property '{name}' of a default object cannot be changed."
            )));
        }
    }
    Ok(())
}

/// What cannot be deleted, and when.
pub(crate) fn delete(tenant: &SimTenant, route: &Route, existing: &Value) -> Result<(), Answer> {
    if is_default(route, existing) {
        return Err(Answer::bad_model("A default or built-in object cannot be deleted."));
    }
    let has = |name: &str| {
        existing.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    };
    let id = existing.get("id").and_then(Value::as_str).unwrap_or_default();
    let used = |path: &str, by: &dyn Fn(&Value) -> bool| {
        tenant.collections.get(path).into_iter().flatten().any(by)
    };
    match route.key.as_str() {
        "windowsAutopilotProfile" | "cloudPcProvisioningPolicy" if has("assignments") => {
            Err(Answer::bad_model("A profile with assignments cannot be deleted."))
        }
        "namedLocation" if existing["isTrusted"] == true => {
            Err(Answer::error(400, "1090", "1090: A trusted location cannot be deleted."))
        }
        "namedLocation"
            if used("/identity/conditionalAccess/policies", &|policy| {
                !id.is_empty() && policy["conditions"]["locations"].to_string().contains(id)
            }) =>
        {
            Err(Answer::error(400, "1091", "1091: The location is used by a policy."))
        }
        "roleDefinition"
            if used("/deviceManagement/roleAssignments", &|one| {
                one["roleDefinition"]["id"] == *id
            }) =>
        {
            Err(Answer::bad_model("A role with assignments cannot be deleted."))
        }
        _ => Ok(()),
    }
}

/// The id of a new object, in the form that its set uses.
pub(crate) fn new_id(
    tenant: &SimTenant,
    route: &Route,
    collection: &str,
    body: &Value,
    next: Uuid,
) -> String {
    if collection == "/deviceManagement/roleScopeTags" {
        let tags = tenant.collections.get(collection).into_iter().flatten();
        let numbers = tags.filter_map(|tag| tag.get("id")?.as_str()?.parse::<u64>().ok());
        return (numbers.max().unwrap_or(0) + 1).to_string();
    }
    if collection.ends_with("/branding/localizations") {
        let id = body.get("id").and_then(Value::as_str);
        return id.map_or_else(|| next.to_string(), str::to_owned);
    }
    if route.path.ends_with("/deviceEnrollmentConfigurations") {
        let kind = type_of(body).map_or("unknown", crate::prepare::enrollment_kind);
        return format!("{next}_{kind}");
    }
    if collection.contains("AppProtections") || collection.contains("InformationProtection") {
        return format!("T_{next}");
    }
    if collection.ends_with("/targetedManagedAppConfigurations") {
        return format!("A_{next}");
    }
    next.to_string()
}
