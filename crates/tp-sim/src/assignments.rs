//! Assignments: an action replaces the whole list, under a name that differs by type.

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::checks::body;
use crate::routes::Route;

const TARGETS: [&str; 5] = [
    "allDevicesAssignmentTarget",
    "allLicensedUsersAssignmentTarget",
    "exclusionGroupAssignmentTarget",
    "groupAssignmentTarget",
    "cloudPcManagementGroupAssignmentTarget",
];

fn bad(text: &str) -> Answer {
    Answer::bad_model(text)
}

/// `POST {item}/assign`.
pub(crate) fn replace(
    route: &Route,
    call: &Call<'_>,
    object: &mut Value,
) -> Result<Answer, Answer> {
    let assign = route.assign.as_ref().filter(|assign| assign.action == "assign");
    let Some(assign) = assign else { return Err(Answer::no_route()) };
    if object["priority"] == 0 && route.path.ends_with("EnrollmentConfigurations") {
        return Err(bad("A default object cannot be assigned."));
    }
    let sent = body(call)?;
    if let Some(other) = sent.keys().find(|key| **key != assign.key) {
        return Err(bad(&format!(
            "The parameter '{other}' in the request payload is not a valid parameter for the operation 'assign'."
        )));
    }
    let Some(list) = sent.get(&assign.key).and_then(Value::as_array) else {
        return Err(bad(&format!(
            "The parameter '{}' is required and must be a list.",
            assign.key
        )));
    };
    let id = object["id"].as_str().unwrap_or_default().to_owned();
    let mut made: Vec<Value> = Vec::new();
    for (number, one) in list.iter().enumerate() {
        let new = assignment(one, &id, number)?;
        if made.iter().any(|own| own["id"] == new["id"]) {
            return Err(bad("The same target is assigned twice."));
        }
        made.push(new);
    }
    object["isAssigned"] = (!made.is_empty()).into();
    object["assignments"] = Value::Array(made.clone());
    Ok(match assign.status {
        204 => Answer::nothing(204),
        status => {
            let mut shown = json!({ "value": made });
            shown["@odata.context"] =
                format!("{}/{}/$metadata#{}", call.origin, call.version, call.path).into();
            Answer::json(status, shown)
        }
    })
}

/// `POST {item}/assignments`: one target at a time.
pub(crate) fn add(route: &Route, call: &Call<'_>, object: &mut Value) -> Result<Answer, Answer> {
    let assign = route.assign.as_ref().filter(|assign| assign.action == "assignments");
    let Some(assign) = assign else { return Err(Answer::no_route()) };
    let id = object["id"].as_str().unwrap_or_default().to_owned();
    let mut list = object["assignments"].as_array().cloned().unwrap_or_default();
    let new = assignment(&Value::Object(body(call)?.clone()), &id, list.len())?;
    if list.iter().any(|own| own["target"] == new["target"]) {
        return Err(Answer::intune_error(409, "Conflict", "The target is assigned already."));
    }
    list.push(new.clone());
    object["assignments"] = Value::Array(list);
    Ok(Answer::json(assign.status, new))
}

/// One assignment as the service keeps it.
fn assignment(sent: &Value, id: &str, number: usize) -> Result<Value, Answer> {
    let Value::Object(sent) = sent else { return Err(bad("An assignment is an object.")) };
    let Some(Value::Object(target)) = sent.get("target") else {
        return Err(bad("The target of an assignment is required."));
    };
    for name in ["id", "source", "sourceId"] {
        if sent.get(name).is_some_and(|value| !value.is_null()) {
            return Err(bad(&format!("The property '{name}' of an assignment is read-only.")));
        }
    }
    let key = check(target)?;
    let mut kept: Map<String, Value> = sent.clone();
    kept.retain(|name, _| !name.contains("@odata.") || name == "@odata.type");
    kept.insert(
        "id".to_owned(),
        format!("{id}_{}", key.unwrap_or_else(|| number.to_string())).into(),
    );
    kept.insert("source".to_owned(), "direct".into());
    kept.insert("sourceId".to_owned(), id.into());
    let mut target = target.clone();
    target.entry("deviceAndAppManagementAssignmentFilterId").or_insert(Value::Null);
    target.entry("deviceAndAppManagementAssignmentFilterType").or_insert_with(|| "none".into());
    kept.insert("target".to_owned(), Value::Object(target));
    Ok(Value::Object(kept))
}

/// Judges a target; gives what its assignment's id ends with.
fn check(target: &Map<String, Value>) -> Result<Option<String>, Answer> {
    let kind = target.get("@odata.type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.trim_start_matches("#microsoft.graph.");
    if !TARGETS.contains(&kind) {
        return Err(bad("The @odata.type of the target is missing or not known."));
    }
    let text =
        |name: &str| target.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let filter = text("deviceAndAppManagementAssignmentFilterType").unwrap_or("none");
    if !["none", "include", "exclude"].contains(&filter) {
        return Err(bad("The type of the target's filter is not known."));
    }
    if (filter != "none") != text("deviceAndAppManagementAssignmentFilterId").is_some() {
        return Err(bad("A filter needs both its id and its type."));
    }
    let is_group = kind.to_ascii_lowercase().contains("group");
    match text("groupId") {
        None if is_group => Err(bad("The groupId of the target is required.")),
        Some(_) if !is_group => {
            Err(bad("The property 'groupId' does not exist on the target's type."))
        }
        Some(group) if kind.starts_with("exclusion") => Ok(Some(format!("{group}_exclude"))),
        Some(group) => Ok(Some(group.to_owned())),
        None => Ok(Some(kind.to_owned())),
    }
}
