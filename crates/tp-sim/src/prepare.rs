//! What Graph always sends and an export may lack: ids of parts, the names of the schema, a few
//! values that every object of a type has.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::routes::{Route, short, type_of};
use crate::shape::secret_reference;

/// Completes an object that has its id.
pub(crate) fn prepare(object: &mut Map<String, Value>, route: &Route) {
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    rename(object);
    defaults(object, route, &id);
    let entity = object.get("@odata.type").and_then(Value::as_str).map(short).map(str::to_owned);
    for name in route.navigation_of(entity.as_deref()) {
        if let Some(part) = object.get_mut(name) {
            if part.is_object() && is_list(name) {
                *part = json!([part.take()]);
            }
            parts(part, &id, name);
        }
    }
    oma_settings(object, &id);
    catalog_secrets(object);
}

/// Tools that speak PowerShell write names with a large first letter.
pub(crate) fn small_names(object: &mut Map<String, Value>) {
    let foreign = ["Id", "DisplayName", "State"].iter().any(|name| object.contains_key(*name));
    if foreign && !object.contains_key("displayName") {
        let mut value = Value::Object(std::mem::take(object));
        small(&mut value);
        if let Value::Object(map) = value {
            *object = map;
        }
    }
}

fn small(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, mut inner) in std::mem::take(map) {
                small(&mut inner);
                let mut letters = key.chars();
                let name: String = letters
                    .next()
                    .map(|first| first.to_ascii_lowercase())
                    .into_iter()
                    .chain(letters)
                    .collect();
                map.insert(name, inner);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(small),
        _ => {}
    }
}

fn rename(object: &mut Map<String, Value>) {
    // A template's word for what Graph calls localizedNotificationMessages.
    if let Some(messages) = object.remove("localizedMessages") {
        object.insert("localizedNotificationMessages".to_owned(), messages);
    }
}

fn is_list(name: &str) -> bool {
    ["definitionValues", "assignments", "settings", "scheduledActionsForRule", "apps"]
        .contains(&name)
}

/// Gives parts their ids, and what is bound the object that it is bound to.
fn parts(part: &mut Value, id: &str, name: &str) {
    let Value::Array(list) = part else { return };
    for (number, one) in list.iter_mut().enumerate() {
        let Value::Object(map) = one else { continue };
        bound(map);
        if !map.contains_key("id") {
            let own = part_id(id, name, number, map);
            map.insert("id".to_owned(), own.into());
        }
        // The service knows no empty reference to a template.
        if let Some(template) = map.get_mut("notificationTemplateId")
            && template.as_str().is_none_or(str::is_empty)
        {
            *template = Uuid::nil().to_string().into();
        }
        let own = map.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        for inner in ["scheduledActionConfigurations", "presentationValues"] {
            if let Some(inner_part) = map.get_mut(inner) {
                parts(inner_part, &own, inner);
            }
        }
    }
}

fn part_id(id: &str, name: &str, number: usize, part: &Map<String, Value>) -> String {
    let text = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
    match name {
        "settings" => number.to_string(),
        "localizedNotificationMessages" => {
            format!("{id}_{}", text("locale").unwrap_or_else(|| number.to_string()))
        }
        "assignments" => {
            let target = part.get("target");
            let group = target.and_then(|target| target.get("groupId")).and_then(Value::as_str);
            format!("{id}_{}", group.map_or_else(|| number.to_string(), str::to_owned))
        }
        _ => Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{id}/{name}/{number}").as_bytes())
            .to_string(),
    }
}

/// `x@odata.bind` becomes `x` with the id at the end of the address.
pub(crate) fn bound(object: &mut Map<String, Value>) {
    let names: Vec<String> =
        object.keys().filter(|key| key.ends_with("@odata.bind")).cloned().collect();
    let one = |address: &Value| -> Option<Value> {
        let address = address.as_str()?.trim_end_matches(['\'', ')', '/']);
        let id = address.rsplit(['/', '(']).next()?.trim_matches('\'');
        Some(json!({"id": id}))
    };
    for key in names {
        let Some(bind) = object.remove(&key) else { continue };
        let value = match &bind {
            Value::Array(list) => Some(Value::Array(list.iter().filter_map(one).collect())),
            bind => one(bind),
        };
        if let Some(value) = value {
            object.insert(key.trim_end_matches("@odata.bind").to_owned(), value);
        }
    }
}

/// Encrypted values have a reference under which they can be asked for.
pub(crate) fn oma_settings(object: &mut Map<String, Value>, id: &str) {
    let Some(Value::Array(settings)) = object.get_mut("omaSettings") else { return };
    for (number, setting) in settings.iter_mut().enumerate() {
        let Value::Object(map) = setting else { continue };
        let encrypted = map.get("isEncrypted") == Some(&Value::Bool(true));
        if encrypted && map.get("secretReferenceValueId").is_none_or(Value::is_null) {
            map.insert("secretReferenceValueId".to_owned(), secret_reference(id, number).into());
        }
    }
}

/// Secrets of the settings catalog become tokens that mean nothing anywhere else.
pub(crate) fn catalog_secrets(object: &mut Map<String, Value>) {
    if let Some(settings) = object.get_mut("settings") {
        catalog_secret(settings);
    }
}

fn catalog_secret(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(catalog_secret),
        Value::Object(map) => {
            let is_secret = map.get("@odata.type").and_then(Value::as_str).is_some_and(|name| {
                name.ends_with("deviceManagementConfigurationSecretSettingValue")
            });
            if is_secret && map.get("valueState") == Some(&"notEncrypted".into()) {
                let plain = map.get("value").map(Value::to_string).unwrap_or_default();
                let token = Uuid::new_v5(&Uuid::NAMESPACE_OID, plain.as_bytes());
                map.insert("value".to_owned(), token.to_string().into());
                map.insert("valueState".to_owned(), "encryptedValueToken".into());
            }
            map.values_mut().for_each(catalog_secret);
        }
        _ => {}
    }
}

/// The block action that every compliance policy has.
pub(crate) fn block_action(id: &str) -> Value {
    let part = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{id}/{name}").as_bytes());
    json!([{
        "id": part("rule"), "ruleName": null,
        "scheduledActionConfigurations": [{
            "id": part("block"), "gracePeriodHours": 0, "actionType": "block",
            "notificationTemplateId": Uuid::nil(),
            "notificationMessageCCList": [],
        }],
    }])
}

fn defaults(object: &mut Map<String, Value>, route: &Route, id: &str) {
    let mut put = |name: &str, value: Value| {
        let missing = object.get(name).is_none_or(Value::is_null);
        if missing {
            object.insert(name.to_owned(), value);
        }
    };
    match route.key.as_str() {
        "settingsCatalogPolicy"
        | "endpointSecurityPolicy"
        | "securityBaselinePolicy"
        | "autopilotDevicePreparation"
        | "inventoryPolicy"
        | "compliancePolicyV2" => {
            put("platforms", "windows10".into());
            put("technologies", "mdm".into());
            put("roleScopeTagIds", json!(["0"]));
        }
        "roleDefinition" => {
            put("isBuiltIn", false.into());
            put("rolePermissions", json!([{"resourceActions": []}]));
        }
        "roleScopeTag" => put("isBuiltIn", false.into()),
        "mobileApp" => put("isAssigned", false.into()),
        "endpointSecurityIntent" => {
            put("roleScopeTagIds", json!(["0"]));
            put("templateId", Uuid::new_v5(&Uuid::NAMESPACE_OID, b"template").to_string().into());
        }
        _ => {}
    }
    if ["deviceCompliancePolicy", "compliancePolicyV2"].contains(&route.key.as_str())
        && object.get("scheduledActionsForRule").and_then(Value::as_array).is_none_or(Vec::is_empty)
    {
        object.insert("scheduledActionsForRule".to_owned(), block_action(id));
    }
    if route.path.ends_with("/deviceEnrollmentConfigurations")
        && !object.contains_key("deviceEnrollmentConfigurationType")
    {
        let kind = type_of(&Value::Object(object.clone())).map(enrollment_kind);
        if let Some(kind) = kind {
            object.insert("deviceEnrollmentConfigurationType".to_owned(), kind.into());
        }
    }
    if let Some(name) = &route.name
        && route.path.ends_with("olicies")
        && name == "name"
        && !object.contains_key("name")
        && let Some(other) = object.get("displayName").cloned()
    {
        object.insert("name".to_owned(), other);
    }
}

/// The word that filters on enrolment configurations use.
pub(crate) fn enrollment_kind(entity: &str) -> &'static str {
    match entity {
        "windows10EnrollmentCompletionPageConfiguration" => {
            "windows10EnrollmentCompletionPageConfiguration"
        }
        "deviceEnrollmentLimitConfiguration" => "limit",
        "deviceEnrollmentPlatformRestrictionConfiguration" => "singlePlatformRestriction",
        "deviceEnrollmentPlatformRestrictionsConfiguration" => "platformRestrictions",
        "deviceEnrollmentWindowsHelloForBusinessConfiguration" => "windowsHelloForBusiness",
        "deviceEnrollmentNotificationConfiguration" => "enrollmentNotificationsConfiguration",
        "deviceComanagementAuthorityConfiguration" => "deviceComanagementAuthorityConfiguration",
        "windowsRestoreDeviceEnrollmentConfiguration" => "windowsRestore",
        _ => "unknown",
    }
}
