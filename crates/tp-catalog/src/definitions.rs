//! Names of settings and of their options, from the tenant's own setting definitions.
//!
//! Settings catalog policies hold ids of definitions and of options only. Their names come with the
//! tenant's definitions (`deviceManagementConfigurationSettingDefinition`: `id`, `displayName`,
//! `options[{itemId, displayName}]`, `categoryId`), and for intents with
//! `deviceManagementSettingDefinition`. They are kept with a capture, so that an old version stays readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words::cut;

/// Letters of a name that are kept.
const MOST: usize = 500;

/// What is known of settings. Empty is fine: ids then stand for names, and are marked as such.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definitions {
    /// Names of settings by definition id.
    #[serde(default)]
    settings: BTreeMap<String, Setting>,
    /// Names of options by option id, which begins with the id of its definition.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Names of categories by id.
    #[serde(default)]
    categories: BTreeMap<String, String>,
}

/// What is known of one setting.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Setting {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<String>,
}

impl Definitions {
    /// Takes the names out of one definition as Graph gives it. What is no definition is passed over.
    pub fn learn(&mut self, definition: &Value) {
        let text = |value: &Value, member| value.get(member).and_then(Value::as_str).map(name);
        let Some(id) = definition.get("id").and_then(Value::as_str) else { return };
        if let Some(name) = text(definition, "displayName").filter(|name| !name.is_empty()) {
            let category = definition.get("categoryId").and_then(Value::as_str);
            let setting = Setting { name, category: category.map(str::to_owned) };
            self.settings.insert(id.to_owned(), setting);
        }
        for option in definition.get("options").and_then(Value::as_array).into_iter().flatten() {
            let item = option.get("itemId").and_then(Value::as_str);
            if let (Some(item), Some(name)) = (item, text(option, "displayName")) {
                self.options.insert(item.to_owned(), name);
            }
        }
    }

    /// Takes the name out of one category (`deviceManagementConfigurationCategory`).
    pub fn learn_category(&mut self, category: &Value) {
        let text = |member| category.get(member).and_then(Value::as_str);
        if let (Some(id), Some(shown)) = (text("id"), text("displayName")) {
            self.categories.insert(id.to_owned(), name(shown));
        }
    }

    /// The name of a setting.
    pub fn setting(&self, definition_id: &str) -> Option<&str> {
        self.settings.get(definition_id).map(|setting| setting.name.as_str())
    }

    /// The name of an option.
    pub fn option(&self, option_id: &str) -> Option<&str> {
        self.options.get(option_id).map(String::as_str)
    }

    /// The name of a setting's category.
    pub fn category_of(&self, definition_id: &str) -> Option<&str> {
        let category = self.settings.get(definition_id)?.category.as_ref()?;
        self.categories.get(category).map(String::as_str)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.options.is_empty()
    }

    /// Leaves only what these settings need, so that a capture keeps no more than it uses.
    pub fn keep(&mut self, is_used: impl Fn(&str) -> bool) {
        self.settings.retain(|id, _| is_used(id));
        let settings = &self.settings;
        // An option's id is its definition's id, an underscore and more.
        self.options.retain(|id, _| {
            id.rmatch_indices('_').any(|(end, _)| settings.contains_key(&id[..end]))
        });
        let used: std::collections::BTreeSet<&str> =
            settings.values().filter_map(|setting| setting.category.as_deref()).collect();
        self.categories.retain(|id, _| used.contains(id.as_str()));
    }
}

fn name(text: &str) -> String {
    cut(text.trim(), MOST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_learnt_and_what_is_not_used_is_left_out() {
        let mut known = Definitions::default();
        known.learn(&json!({
            "id": "a_b", "displayName": " Require it ", "categoryId": "c",
            "options": [{"itemId": "a_b_1", "displayName": "Yes"}, {"itemId": 7}, 3],
        }));
        known.learn(&json!({"id": "other", "displayName": "Other", "options": [
            {"itemId": "other_0", "displayName": "No"}]}));
        known.learn_category(&json!({"id": "c", "displayName": "Locks"}));
        for hostile in [json!(null), json!([]), json!({"id": 1}), json!({"options": {}})] {
            known.learn(&hostile);
            known.learn_category(&hostile);
        }
        assert_eq!(known.setting("a_b"), Some("Require it"));
        assert_eq!(known.option("a_b_1"), Some("Yes"));
        assert_eq!(known.category_of("a_b"), Some("Locks"));
        assert_eq!(known.setting("x"), None);
        known.keep(|id| id == "a_b");
        assert_eq!(known.option("other_0"), None);
        assert_eq!(known.option("a_b_1"), Some("Yes"));
        assert_eq!(known.category_of("a_b"), Some("Locks"));
    }
}
