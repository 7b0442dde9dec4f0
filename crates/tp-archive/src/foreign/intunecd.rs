//! `IntuneCD`: what it turns into names, and what it writes in another form than Graph.
//!
//! What it strips and nobody can give back is in `docs/backups.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tp_domain::json::{Json, Object};

use super::Remark;
use super::known::Known;
use super::shape::Raw;

/// The built-in scope tag has this id in every tenant.
const DEFAULT_TAG: (&str, &str) = ("Default", "0");

/// The id at the end of a file's name, where it was asked for (`--append-id`).
pub(super) fn id_of(stem: &str, is_tag: bool) -> Option<&str> {
    let (_, id) = stem.rsplit_once("__")?;
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    // A managed app policy's id has a letter in front, an enrolment's a word behind.
    let bare =
        id.split_once('_').map_or(id, |(front, rest)| if front.len() < 3 { rest } else { front });
    (is_guid(bare) || is_tag && is_number).then_some(id)
}

/// 8-4-4-4-12 hex digits.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Gives an object back the form that Graph gives it.
pub(super) fn restore(raw: &mut Raw, known: &Known) {
    let mut names = Names { known, told: &mut raw.names.0, remarks: &mut raw.remarks };
    let Some(members) = raw.object.as_object_mut() else { return };
    for member in ["roleScopeTagIds", "roleScopeTags"] {
        if let Some(Json::Array(tags)) = members.get_mut(member) {
            for (index, tag) in tags.iter_mut().enumerate() {
                let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                names.id(tag, &format!("/{member}/{index}"), "roleScopeTag", is_number);
            }
        }
    }
    for (index, one) in members
        .get_mut("assignments")
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten()
        .enumerate()
    {
        if let Some(target) = one.get_mut("target").and_then(Json::as_object_mut) {
            names.target(target, &format!("/assignments/{index}/target"));
        }
    }
    apps(members, &mut names);
    notifications(members, &mut names);
    if let Some(payload) =
        members.get_mut("payloadJson").filter(|it| it.is_object() || it.is_array())
    {
        *payload = Json::from(STANDARD.encode(payload.to_string()));
    }
    if let Some(settings) = members.remove("settingsDelta") {
        members.insert("settings", settings);
    }
}

type KindNames = std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>;

struct Names<'a> {
    known: &'a Known,
    told: &'a mut KindNames,
    remarks: &'a mut Vec<Remark>,
}

impl Names<'_> {
    fn remember(&mut self, kind: &str, id: &str, name: &str) {
        let ids = self.told.entry(kind.to_owned()).or_default();
        ids.insert(id.to_lowercase(), name.to_owned());
    }

    /// Puts the id in place of a name.
    fn id(&mut self, place: &mut Json, at: &str, kind: &str, is_id: fn(&str) -> bool) {
        let Some(name) = place.as_str().map(str::to_owned) else { return };
        let built_in = (kind == "roleScopeTag" && name == DEFAULT_TAG.0).then_some(DEFAULT_TAG.1);
        match self.known.id(kind, &name).or(built_in) {
            Some(id) => {
                *place = Json::from(id);
                let id = id.to_owned();
                self.remember(kind, &id, &name);
            }
            None if is_id(&name) => {}
            None => self.remarks.push(Remark::NameForId {
                at: at.to_owned(),
                kind: kind.to_owned(),
                name,
            }),
        }
    }

    /// A target has a group's name and kind in place of its id, and a filter's name.
    fn target(&mut self, target: &mut Object, at: &str) {
        let name = target.remove("groupName").and_then(|name| name.as_str().map(str::to_owned));
        target.remove("groupType");
        target.remove("membershipRule");
        let kind = target.get("@odata.type").and_then(Json::as_str).unwrap_or_default();
        let is_group = kind.ends_with("roupAssignmentTarget");
        let id = target.get("groupId").and_then(Json::as_str).map(str::to_owned);
        match (id, name) {
            (Some(id), Some(name)) => self.remember("group", &id, &name),
            (None, Some(name)) => {
                target.insert("groupId", Json::from(name.as_str()));
                let at = format!("{at}/groupId");
                self.remarks.push(Remark::NameForId { at, kind: "group".to_owned(), name });
            }
            (None, None) if is_group => {
                self.remarks.push(Remark::ReferenceLost { at: format!("{at}/groupId") });
            }
            _ => {}
        }
        let filter = "deviceAndAppManagementAssignmentFilterId";
        if let Some(place) = target.get_mut(filter) {
            self.id(place, &format!("{at}/{filter}"), "assignmentFilter", is_guid);
        }
    }
}

/// Apps of an app configuration and of an enrolment status page: names and types in place of ids.
fn apps(members: &mut Object, names: &mut Names<'_>) {
    let targeted = members.get("targetedMobileApps").and_then(|it| it.get("appName")).cloned();
    if let Some(name) = targeted {
        members.insert("targetedMobileApps", Json::from(vec![name]));
    }
    if let Some(selected) = members.remove("selectedMobileAppNames") {
        let all = selected.as_array().into_iter().flatten();
        let all: Vec<Json> = all.filter_map(|app| app.get("name").cloned()).collect();
        members.insert("selectedMobileAppIds", Json::from(all));
    }
    for member in ["targetedMobileApps", "selectedMobileAppIds"] {
        if let Some(Json::Array(apps)) = members.get_mut(member) {
            for (index, app) in apps.iter_mut().enumerate() {
                names.id(app, &format!("/{member}/{index}"), "mobileApp", is_guid);
            }
        }
    }
}

/// Names that a compliance policy has beside ids.
fn notifications(members: &mut Object, names: &mut Names<'_>) {
    let rules = members.get_mut("scheduledActionsForRule").and_then(Json::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let actions = rule.get_mut("scheduledActionConfigurations").and_then(Json::as_array_mut);
        for action in actions.into_iter().flatten().filter_map(Json::as_object_mut) {
            let name = action.remove("notificationTemplateName");
            let id = action.get("notificationTemplateId").and_then(Json::as_str);
            if let (Some(id), Some(name)) = (id, name.as_ref().and_then(Json::as_str)) {
                names.remember("notificationMessageTemplate", id, name);
            }
        }
    }
    let script = members.remove("deviceComplianceScriptName");
    let id = members
        .get("deviceCompliancePolicyScript")
        .and_then(|script| script.get("deviceComplianceScriptId")?.as_str());
    if let (Some(id), Some(name)) = (id, script.as_ref().and_then(Json::as_str)) {
        names.remember("deviceComplianceScript", id, name);
    }
    // Its id is in the settings.
    members.remove("detectionScriptName");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names_with_underscores() {
        let guid = "11111111-2222-3333-4444-555555555555";
        for (stem, is_tag, id) in [
            (format!("A_windows10__{guid}"), false, Some(guid.to_owned())),
            (format!("A__T_{guid}"), false, Some(format!("T_{guid}"))),
            (format!("A__{guid}_DefaultLimit"), false, Some(format!("{guid}_DefaultLimit"))),
            ("Tag_roleScopeTag__7".to_owned(), true, Some("7".to_owned())),
            ("Build__7".to_owned(), false, None),
            ("A__b_windows10CustomConfiguration".to_owned(), false, None),
            ("A".to_owned(), true, None),
        ] {
            assert_eq!(id_of(&stem, is_tag).map(str::to_owned), id, "{stem}");
        }
    }
}
