//! What `IntuneManagement` and `IntuneBackupAndRestore` write in another form than Graph.

use tp_domain::json::{Json, Object};

use super::intunecd::is_guid;
use super::shape::list;

/// Members that these tools may write with another case: to `PowerShell` it is the same.
const NAMES: [&str; 6] =
    ["apps", "assignments", "definitionValues", "roleAssignments", "settings", "id"];

/// Administrative templates in the form in which they are sent: the definition as a link.
pub(super) fn definitions(members: &mut Object) {
    let values = members.get_mut("definitionValues").and_then(Json::as_array_mut);
    for value in values.into_iter().flatten().filter_map(Json::as_object_mut) {
        linked(value, "definition", "#Definition_");
        if value.get("presentationValues").is_none_or(Json::is_null) {
            value.insert("presentationValues", Json::Array(Vec::new()));
        }
        let shown = value.get_mut("presentationValues").and_then(Json::as_array_mut);
        for shown in shown.into_iter().flatten().filter_map(Json::as_object_mut) {
            linked(shown, "presentation", "#Presentation_");
        }
    }
}

/// Puts what a link and the members beside it say into the member that Graph gives.
fn linked(members: &mut Object, name: &str, beside: &str) {
    let link = members.remove(&format!("{name}@odata.bind"));
    if members.get(name).is_some() {
        return;
    }
    let id = link.as_ref().and_then(Json::as_str).and_then(|link| {
        let (front, _) = link.rsplit_once("')")?;
        Some(front.rsplit_once("('")?.1.to_owned())
    });
    let mut own = Object::new();
    if let Some(id) = id {
        own.insert("id", Json::from(id));
    }
    members.retain(|member, value| {
        let Some(what) = member.as_str().and_then(|member| member.strip_prefix(beside)) else {
            return true;
        };
        let mut letters = what.chars();
        let first = letters.next().map(|first| first.to_ascii_lowercase());
        let what: String = first.into_iter().chain(letters).collect();
        own.insert(what, value.take());
        false
    });
    members.insert(name, Json::from(own));
}

/// Writes members as Graph writes them.
pub(super) fn names(members: &mut Object) {
    let own: Vec<String> =
        members.keys().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    for name in own {
        let known = NAMES.iter().find(|one| **one != name && one.eq_ignore_ascii_case(&name));
        if let Some(known) = known.filter(|known| !members.contains_key(known))
            && let Some(value) = members.remove(&name)
        {
            members.insert(*known, value);
        }
    }
}

/// Settings of an intent under the name that Graph's own path has.
pub(super) fn settings_delta(members: &mut Object) {
    if let Some(settings) = members.remove("settingsDelta") {
        members.insert("settings", Json::from(list(settings)));
    }
}

/// An administrative template of `IntuneBackupAndRestore`: a list of values and no more.
pub(super) fn template(values: Json, stem: &str) -> Json {
    let mut members = Object::new();
    members.insert("displayName", Json::from(stem));
    members.insert("definitionValues", Json::from(list(values)));
    Json::from(members)
}

/// The template of an intent, which `IntuneBackupAndRestore` puts before the name of the file.
pub(super) fn intent_template(stem: &str) -> Option<&str> {
    stem.split_once('_').map(|(template, _)| template).filter(|template| is_guid(template))
}

/// The id of the policy in the id of an assignment: in front, whatever parts the two.
pub(super) fn policy_id(assignments: &[Json]) -> Option<&str> {
    let id = assignments.first()?.get("id")?.as_str()?;
    id.get(..36).filter(|id| is_guid(id))
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn links_become_what_they_link_to() {
        let at = "https://graph.microsoft.com/beta/deviceManagement/groupPolicyDefinitions('d1')";
        let mut object = json!({"definitionValues": [{
            "enabled": true,
            "definition@odata.bind": at,
            "#Definition_displayName": "Wallpaper",
            "#Definition_classType": "user",
            "presentationValues": [{"value": 1, "presentation@odata.bind": format!("{at}/presentations('p1')")}],
        }, {"enabled": false, "definition@odata.bind": at}]});
        definitions(object.as_object_mut().unwrap());
        let expected = json!({"definitionValues": [{
            "enabled": true,
            "definition": {"id": "d1", "displayName": "Wallpaper", "classType": "user"},
            "presentationValues": [{"value": 1, "presentation": {"id": "p1"}}],
        }, {"enabled": false, "definition": {"id": "d1"}, "presentationValues": []}]});
        assert_eq!(object, expected);
    }
}
