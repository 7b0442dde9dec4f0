//! Actions and parts: what hangs below an object and is written by requests of its own.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::assignments;
use crate::call::Call;
use crate::checks::{address_is_good, body};
use crate::place::{self, Target};
use crate::prepare;
use crate::reads::World;
use crate::routes::Route;
use crate::rules;
use crate::state::SimTenant;
use crate::virtuals;
use crate::writes::{Writer, audit, existing, put_back};

/// The type whose permission a write needs that is at no object of it.
pub(crate) fn key_of(call: &Call<'_>) -> Option<&'static str> {
    let path = call.path.to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["devicemanagement", "templates", _, "createinstance"] => Some("endpointSecurityIntent"),
        ["devicemanagement"] => Some("deviceManagementSettings"),
        ["organization", _, "branding"] => Some("organizationalBranding"),
        _ => None,
    }
}

/// Writes whose address is no object of a set.
pub(crate) fn at_no_object(
    world: World<'_>,
    tenant: &mut SimTenant,
    call: &Call<'_>,
    next: Uuid,
) -> Option<Answer> {
    let key = key_of(call)?;
    let route = world.routes.iter().find(|route| route.key == key)?;
    let done = match (call.method, key) {
        ("POST", "endpointSecurityIntent") => create_instance(tenant, route, call, next),
        ("PATCH", "deviceManagementSettings") => settings(tenant, route, call),
        ("PATCH", "organizationalBranding") => Ok(Answer::nothing(204)),
        _ => Err(Answer::not_allowed()),
    };
    Some(done.unwrap_or_else(|refusal| refusal))
}

/// An intent is made from a template.
fn create_instance(
    tenant: &mut SimTenant,
    route: &Route,
    call: &Call<'_>,
    next: Uuid,
) -> Result<Answer, Answer> {
    let sent = body(call)?;
    let template = call.path.split('/').nth(3).unwrap_or_default();
    let Some(name) = sent.get("displayName").and_then(Value::as_str) else {
        return Err(Answer::bad_model("The property 'displayName' is required."));
    };
    let known = ["displayName", "description", "roleScopeTagIds", "settingsDelta"];
    if let Some(other) = sent.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Answer::bad_model(&format!("The parameter '{other}' is not known.")));
    }
    let mut object = json!({
        "id": next, "displayName": name, "description": sent.get("description"), "templateId": template,
        "roleScopeTagIds": sent.get("roleScopeTagIds").cloned().unwrap_or_else(|| json!(["0"])),
        "isAssigned": false, "settings": sent.get("settingsDelta").cloned().unwrap_or_else(|| json!([])),
        "assignments": [],
    });
    if let Value::Object(map) = &mut object {
        prepare::prepare(map, route);
    }
    tenant.collections.entry(route.path.clone()).or_default().push(object.clone());
    audit(tenant, route, &next.to_string(), "Create");
    if let Value::Object(map) = &mut object {
        map.retain(|key, _| !route.navigation.contains(key));
    }
    Ok(Answer::ok(object))
}

/// `PATCH /deviceManagement {settings: {…}}`.
fn settings(tenant: &mut SimTenant, route: &Route, call: &Call<'_>) -> Result<Answer, Answer> {
    let sent = body(call)?;
    let Some(Value::Object(new)) = sent.get("settings") else {
        return Err(Answer::bad_model("The property 'settings' is required."));
    };
    let held = tenant.collections.entry(route.path.clone()).or_default();
    if held.is_empty() {
        held.push(json!({}));
    }
    for (name, value) in new {
        held[0][name] = value.clone();
    }
    audit(tenant, route, "settings", "Patch");
    Ok(Answer::nothing(204))
}

/// A write behind an object.
pub(crate) fn answer(
    writer: &Writer<'_>,
    tenant: &mut SimTenant,
    route: &Route,
    target: &Target<'_>,
    index: usize,
) -> Result<Answer, Answer> {
    let mut object = existing(tenant, target, index)?;
    let rest: Vec<&str> = target.rest.iter().map(String::as_str).collect();
    let (name, deeper) = rest.split_first().ok_or_else(Answer::not_allowed)?;
    let action = Action { writer, route, tenant };
    let done = match (writer.call.method, deeper) {
        ("POST", []) => action.post(&mut object, name)?,
        (_, deeper) => action.part(&mut object, name, deeper)?,
    };
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    writer.touch(route, &mut object);
    put_back(tenant, target, index, object);
    audit(tenant, route, &id, "Action");
    Ok(done)
}

struct Action<'a> {
    writer: &'a Writer<'a>,
    route: &'a Route,
    tenant: &'a SimTenant,
}

/// The words of an action's body; others are refused.
fn parameters<'c>(call: &'c Call<'_>, known: &[&str]) -> Result<&'c Map<String, Value>, Answer> {
    let sent = body(call)?;
    match sent.keys().find(|key| !known.contains(&key.as_str())) {
        Some(other) => Err(Answer::bad_model(&format!(
            "The parameter '{other}' in the request payload is not a valid parameter for the operation."
        ))),
        None => Ok(sent),
    }
}

fn list(sent: &Map<String, Value>, name: &str) -> Result<Vec<Value>, Answer> {
    sent.get(name).and_then(Value::as_array).cloned().ok_or_else(|| {
        Answer::bad_model(&format!("The parameter '{name}' is required and must be a list."))
    })
}

impl Action<'_> {
    fn post(&self, object: &mut Value, name: &str) -> Result<Answer, Answer> {
        let call = self.writer.call;
        match (self.route.key.as_str(), name) {
            ("policySet", "update") => self.policy_set(object),
            (_, "assign") => assignments::replace(self.route, call, object),
            (_, "assignments") => assignments::add(self.route, call, object),
            ("groupPolicyConfiguration", "updateDefinitionValues") => self.definitions(object),
            ("deviceCompliancePolicy", "scheduleActionsForRules") => {
                let key = "deviceComplianceScheduledActionForRules";
                let rules = list(parameters(call, &[key])?, key)?;
                rules::one_block(Some(&Value::Array(rules.clone())))?;
                object["scheduledActionsForRule"] = Value::Array(rules);
                Ok(self.prepared(object, Answer::nothing(200)))
            }
            ("compliancePolicyV2", "setScheduledActions") => {
                let rules = list(parameters(call, &["scheduledActions"])?, "scheduledActions")?;
                object["scheduledActionsForRule"] = Value::Array(rules);
                let value = object["scheduledActionsForRule"].clone();
                Ok(self.prepared(object, Answer::ok(json!({ "value": value }))))
            }
            (_, "targetApps") if self.has("apps") => {
                let sent = parameters(call, &["apps", "appGroupType"])?;
                object["apps"] = Value::Array(list(sent, "apps")?);
                if let Some(kind) = sent.get("appGroupType") {
                    object["appGroupType"] = kind.clone();
                }
                Ok(self.prepared(object, Answer::nothing(204)))
            }
            ("appConfigurationManagedApps", "changeSettings") => {
                let sent = parameters(call, &["settings"])?;
                object["settings"] = Value::Array(list(sent, "settings")?);
                Ok(self.prepared(object, Answer::nothing(204)))
            }
            ("mobileApp", "updateRelationships") => {
                let sent = parameters(call, &["relationships"])?;
                object["relationships"] = Value::Array(list(sent, "relationships")?);
                Ok(self.prepared(object, Answer::nothing(204)))
            }
            ("endpointSecurityIntent", "updateSettings") => self.intent_settings(object),
            ("authenticationStrength", "updateAllowedCombinations") => {
                let sent = parameters(call, &["allowedCombinations"])?;
                object["allowedCombinations"] = Value::Array(list(sent, "allowedCombinations")?);
                Ok(Answer::ok(json!({"currentCombinations": object["allowedCombinations"]})))
            }
            (_, "setPriority") if self.route.path.ends_with("EnrollmentConfigurations") => {
                let sent = parameters(call, &["priority"])?;
                let priority = sent.get("priority").and_then(Value::as_u64);
                let Some(priority) = priority.filter(|priority| *priority > 0) else {
                    return Err(Answer::bad_model("The parameter 'priority' must be above 0."));
                };
                object["priority"] = priority.into();
                Ok(Answer::nothing(200))
            }
            ("groupPolicyUploadedDefinitionFile", "uploadNewVersion" | "remove")
            | ("deviceConfiguration", "windowsPrivacyAccessControls") => Ok(Answer::nothing(204)),
            ("androidEnrollmentProfile", "createToken") => Ok(Answer::nothing(204)),
            ("autopilotDevicePreparation", "setEnrollmentTimeDeviceMembershipTarget") => {
                let sent = body(call)?;
                object["enrollmentTimeDeviceMembershipTargets"] = Value::Object(sent.clone());
                Ok(Answer::ok(json!({"validationSucceeded": true})))
            }
            ("notificationMessageTemplate", "localizedNotificationMessages") => {
                self.message(object)
            }
            (_, name) if self.has(name) => self.add_part(object, name),
            _ => Err(Answer::no_route()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.route.navigation.iter().any(|own| own == name)
    }

    /// Gives new parts their ids.
    fn prepared(&self, object: &mut Value, answer: Answer) -> Answer {
        if let Value::Object(map) = object {
            prepare::prepare(map, self.route);
        }
        answer
    }

    fn definitions(&self, object: &mut Value) -> Result<Answer, Answer> {
        let call = self.writer.call;
        let sent = parameters(call, &["added", "updated", "deletedIds"])?;
        let (added, updated) = (list(sent, "added")?, list(sent, "updated")?);
        let deleted = list(sent, "deletedIds")?;
        for value in added.iter().chain(&updated) {
            if let Some(address) = value.get("definition@odata.bind") {
                address_is_good(call, address)?;
            } else if added.contains(value) {
                return Err(Answer::bad_model("The definition of a definition value is required."));
            }
        }
        let none = Vec::new();
        let mut values = object["definitionValues"].as_array().unwrap_or(&none).clone();
        values.retain(|value| !deleted.contains(&value["id"]));
        for value in updated {
            let own = values.iter_mut().find(|own| own["id"] == value["id"]);
            let Some(Value::Object(own)) = own else { return Err(Answer::not_found()) };
            if let Value::Object(new) = value {
                own.extend(new);
            }
        }
        for (number, mut value) in added.into_iter().enumerate() {
            value["id"] = self.part_id("definitionValues", number).to_string().into();
            values.push(value);
        }
        object["definitionValues"] = Value::Array(values);
        let answer = self.prepared(object, Answer::nothing(204));
        self.define(&mut object["definitionValues"]);
        Ok(answer)
    }

    /// Puts the definitions in the place of their names.
    fn define(&self, values: &mut Value) {
        let known = &self.tenant.definitions;
        let define = |one: Option<&mut Value>| {
            let Some(one) = one else { return };
            if let Some(whole) = one.get("id").and_then(Value::as_str).and_then(|id| known.get(id))
            {
                *one = whole.clone();
            }
        };
        for value in values.as_array_mut().into_iter().flatten() {
            define(value.get_mut("definition"));
            let presentations = value.get_mut("presentationValues").and_then(Value::as_array_mut);
            for presentation in presentations.into_iter().flatten() {
                define(presentation.get_mut("presentation"));
            }
        }
    }

    fn part_id(&self, name: &str, number: usize) -> Uuid {
        Uuid::new_v5(&self.writer.next, format!("{name}/{number}").as_bytes())
    }

    fn policy_set(&self, object: &mut Value) -> Result<Answer, Answer> {
        let known = [
            "addedPolicySetItems",
            "updatedPolicySetItems",
            "deletedPolicySetItems",
            "assignments",
        ];
        let sent = parameters(self.writer.call, &known)?;
        let part = |name: &str| sent.get(name).and_then(Value::as_array).cloned();
        let mut items = object["items"].as_array().cloned().unwrap_or_default();
        let deleted = part("deletedPolicySetItems").unwrap_or_default();
        items.retain(|item| !deleted.contains(&item["id"]));
        for new in part("updatedPolicySetItems").unwrap_or_default() {
            if let Some(own) = items.iter_mut().find(|own| own["id"] == new["id"]) {
                *own = new;
            }
        }
        for (number, mut new) in
            part("addedPolicySetItems").unwrap_or_default().into_iter().enumerate()
        {
            new["id"] = self.part_id("items", number).to_string().into();
            items.push(new);
        }
        object["items"] = Value::Array(items);
        if let Some(new) = part("assignments") {
            object["assignments"] = Value::Array(new);
        }
        Ok(self.prepared(object, Answer::nothing(204)))
    }

    /// What is left out keeps its value.
    fn intent_settings(&self, object: &mut Value) -> Result<Answer, Answer> {
        let sent = parameters(self.writer.call, &["settings"])?;
        let mut settings = object["settings"].as_array().cloned().unwrap_or_default();
        for new in list(sent, "settings")? {
            match settings.iter_mut().find(|own| own["definitionId"] == new["definitionId"]) {
                Some(own) => *own = new,
                None => settings.push(new),
            }
        }
        object["settings"] = Value::Array(settings);
        Ok(self.prepared(object, Answer::nothing(204)))
    }

    /// A message's id is the template's with the locale, of which there is one each.
    fn message(&self, object: &mut Value) -> Result<Answer, Answer> {
        let known =
            ["locale", "subject", "messageTemplate", "isDefault", "roleScopeTagIds", "@odata.type"];
        let mut new = Value::Object(parameters(self.writer.call, &known)?.clone());
        let Some(locale) = new["locale"].as_str().map(str::to_ascii_lowercase) else {
            return Err(Answer::bad_model("The property 'locale' is required."));
        };
        let id = format!("{}_{locale}", object["id"].as_str().unwrap_or_default());
        let mut messages =
            object["localizedNotificationMessages"].as_array().cloned().unwrap_or_default();
        if messages.iter().any(|own| own["id"] == *id) {
            return Err(Answer::intune_error(409, "Conflict", "The locale exists already."));
        }
        new["id"] = id.into();
        messages.push(new.clone());
        object["localizedNotificationMessages"] = Value::Array(messages);
        Ok(Answer::json(200, new))
    }

    /// A part that has no rule of its own.
    fn add_part(&self, object: &mut Value, name: &str) -> Result<Answer, Answer> {
        let mut new = body(self.writer.call)?.clone();
        prepare::bound(&mut new);
        new.insert("id".to_owned(), self.part_id(name, 0).to_string().into());
        let mut parts = object[name].as_array().cloned().unwrap_or_default();
        parts.push(Value::Object(new.clone()));
        object[name] = Value::Array(parts);
        Ok(Answer::json(201, Value::Object(new)))
    }

    /// PATCH and DELETE of a part, references, and actions further down.
    fn part(&self, object: &mut Value, name: &str, deeper: &[&str]) -> Result<Answer, Answer> {
        let call = self.writer.call;
        if !self.has(name) && name != "authenticationMethodConfigurations" {
            let is_bytes = call.method == "PUT" && self.route.key == "organizationalBranding";
            return if is_bytes { Ok(Answer::nothing(204)) } else { Err(Answer::no_route()) };
        }
        let mut parts = object[name].as_array().cloned().unwrap_or_default();
        let answer = match (call.method, deeper) {
            ("POST", ["$ref"]) => {
                let sent = body(call)?;
                let address = sent.get("@odata.id").unwrap_or(&Value::Null);
                address_is_good(call, address)?;
                let id = address.as_str().and_then(|text| text.rsplit('/').next());
                let held = virtuals::referred(self.tenant, name, id.unwrap_or_default());
                parts.retain(|part| part["id"] != held["id"]);
                parts.push(held);
                Answer::nothing(204)
            }
            ("DELETE", [id] | [id, "$ref"]) => {
                let at = place::index(&parts, id).ok_or_else(Answer::not_found)?;
                parts.remove(at);
                Answer::nothing(204)
            }
            ("PATCH", [id]) => {
                let at = place::index(&parts, id).ok_or_else(Answer::not_found)?;
                let sent = body(call)?;
                if name == "localizedNotificationMessages" && sent.contains_key("locale") {
                    return Err(Answer::bad_model("The locale of a message cannot be changed."));
                }
                for (key, value) in sent {
                    parts[at][key] = value.clone();
                }
                let status = if name == "authenticationMethodConfigurations" { 204 } else { 200 };
                if status == 204 {
                    Answer::nothing(204)
                } else {
                    Answer::json(200, parts[at].clone())
                }
            }
            _ => return Err(Answer::not_allowed()),
        };
        object[name] = Value::Array(parts);
        Ok(answer)
    }
}
