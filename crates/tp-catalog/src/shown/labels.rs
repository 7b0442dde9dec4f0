//! What people call an element of an array.

use super::Shown;
use crate::nodes::Node;
use crate::words::{cut, label};

/// Members that name their object, the best first.
pub(crate) const ELEMENT_NAMES: &[&str] = &[
    "displayName",
    "name",
    "appConfigKey",
    "locale",
    "ruleName",
    "label",
    "omaUri",
    "cidrAddress",
    "targetType",
    "bundleId",
    "packageId",
    "windowsAppId",
    "permission",
    "appId",
    "key",
    "title",
];

/// Members that only hold what people look for.
const TRANSPARENT: &[&str] = &[
    "settings",
    "definitionValues",
    "settingInstance",
    "choiceSettingValue",
    "simpleSettingValue",
    "groupSettingValue",
    "choiceSettingCollectionValue",
    "simpleSettingCollectionValue",
    "groupSettingCollectionValue",
    "children",
    "presentationValues",
    "target",
    "valueJson",
];

/// Members that hold what an element is about.
pub(crate) const MAIN: [&str; 4] = ["value", "appConfigKeyValue", "valueJson", "values"];

/// Letters of a label.
const MOST: usize = 200;

/// Whether a member only holds what people look for, so that its own name is not shown.
pub(crate) fn is_transparent(member: &str) -> bool {
    TRANSPARENT.contains(&member)
}

impl Shown<'_> {
    /// What people call an element. Where nothing names it: its place, if that says something.
    pub(crate) fn element_label(&self, node: &Node<'_>, index: Option<usize>) -> String {
        let named = self.named(node).unwrap_or_else(|| match index {
            Some(index) => format!("Entry {}", index + 1),
            None => "Entry".to_owned(),
        });
        cut(&named, MOST)
    }

    fn named(&self, node: &Node<'_>) -> Option<String> {
        if let Some(instance) = node.get("settingInstance") {
            return self.named(instance);
        }
        for member in ["settingDefinitionId", "definitionId"] {
            if let Some(id) = node.text_of(member) {
                return Some(self.definitions.setting(id).unwrap_or(id).to_owned());
            }
        }
        if let Some(definition) = node.get("definition")
            && let Some(name) = definition.text_of("displayName")
        {
            // The same name often is there for devices and for users.
            let is_user = definition.text_of("classType") == Some("user");
            return Some(if is_user { format!("{name} (user)") } else { name.to_owned() });
        }
        if let Some(presentation) = node.get("presentation") {
            return presentation.text_of("label").map(|text| text.trim().to_owned());
        }
        for member in ["definition@odata.bind", "presentation@odata.bind"] {
            if let Some(link) = node.text_of(member) {
                return Some(bound_id(link).to_owned());
            }
        }
        if let Some(action) = node.text_of("actionType") {
            let hours = node.get("gracePeriodHours").map(|hours| self.text(hours));
            let after = hours.map(|hours| format!(" after {hours} hours")).unwrap_or_default();
            return Some(label(action) + &after);
        }
        if let Some(children) = node.get("children") {
            return named_by_child(children);
        }
        if let Some(app) = node.get("mobileAppIdentifier") {
            return self.named(app);
        }
        ELEMENT_NAMES
            .iter()
            .find_map(|member| node.text_of(member))
            .filter(|name| !name.trim().is_empty())
            .map(str::to_owned)
    }
}

/// The name of a group of settings: the value of the setting that is called so, such as a firewall rule's.
fn named_by_child(children: &Node<'_>) -> Option<String> {
    let name_of = |child: &Node<'_>| {
        let id = child.text_of("settingDefinitionId")?;
        let is_name = ["name", "_key", "_id"].iter().any(|end| id.ends_with(end));
        let value = child.get("simpleSettingValue")?.text_of("value")?;
        (is_name && !value.trim().is_empty()).then(|| value.to_owned())
    };
    children.elements().iter().find_map(name_of)
}

/// The id at the end of a link: `…/groupPolicyDefinitions('81c07ba0-…')`.
fn bound_id(link: &str) -> &str {
    let tail = link.rsplit_once('/').map_or(link, |(_, tail)| tail);
    tail.split_once("('").and_then(|(_, id)| id.strip_suffix("')")).unwrap_or(tail)
}
