//! Objects as Graph would send them: no hints of full metadata, navigation only when it is asked
//! for, selected properties only, secrets masked.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::query::Expand;
use crate::routes::{Route, type_of};

/// Navigation within navigation.
pub(crate) const NESTED: [&str; 4] =
    ["scheduledActionConfigurations", "definition", "presentationValues", "presentation"];

/// What never comes back.
const NEVER: [&str; 5] =
    ["preSharedKey", "adminAccountPassword", "adDomainPassword", "sharedSecret", "passwordHash"];

/// How objects are to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    pub(crate) route: Option<&'a Route>,
    pub(crate) select: &'a [String],
    pub(crate) expand: &'a [Expand],
    pub(crate) is_list: bool,
    /// `http://host/beta/$metadata#deviceManagement/policies`, for contexts within.
    pub(crate) context: &'a str,
}

fn is_hint(key: &str) -> bool {
    key.starts_with('#')
        || key.ends_with("@odata.navigationLink")
        || key.ends_with("@odata.associationLink")
        || key.ends_with("@odata.context")
        || (key.ends_with("@odata.type") && key != "@odata.type")
        || ["@odata.id", "@odata.editLink", "@odata.readLink", "@odata.etag"].contains(&key)
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

impl Shape<'_> {
    fn navigation(&self, entity: Option<&str>, name: &str) -> bool {
        // Contained in the policy and sent with it (authenticationmethodspolicy-get.md).
        if name == "authenticationMethodConfigurations" {
            return false;
        }
        match self.route {
            Some(route) => route.navigation_of(entity).any(|own| own.eq_ignore_ascii_case(name)),
            None => NESTED.contains(&name),
        }
    }

    /// An object of a collection or of a part.
    pub(crate) fn object(&self, object: &Value) -> Value {
        let Value::Object(map) = object else { return object.clone() };
        let id = map.get("id").and_then(Value::as_str).unwrap_or_default();
        let entity = type_of(object);
        let mut shaped = Map::new();
        for (key, value) in map {
            if is_hint(key) || self.navigation(entity, key) {
                continue;
            }
            let always = key == "id" || key == "@odata.type";
            if self.select.is_empty() || always || has(self.select, key) {
                shaped.insert(key.clone(), value.clone());
            }
        }
        self.mask(&mut shaped);
        for expand in self.expand {
            let name = map.keys().find(|key| key.eq_ignore_ascii_case(&expand.name));
            let known = self.route.and_then(|route| {
                route.navigation.iter().find(|name| name.eq_ignore_ascii_case(&expand.name))
            });
            let Some(name) = name.or(known) else { continue };
            let held = map.get(name).filter(|_| !self.is_always_empty(name));
            let value = match held {
                None => Value::Array(Vec::new()),
                Some(Value::Array(parts)) => {
                    Value::Array(parts.iter().map(|part| within(part, expand)).collect())
                }
                Some(part) => within(part, expand),
            };
            shaped.insert(
                format!("{name}@odata.context"),
                format!("{}('{id}')/{name}", self.context).into(),
            );
            shaped.insert(name.clone(), value);
        }
        Value::Object(shaped)
    }

    /// `$expand=assignments` on scope tags is taken, and always empty.
    fn is_always_empty(&self, name: &str) -> bool {
        name == "assignments" && self.route.is_some_and(|route| route.key == "roleScopeTag")
    }

    fn mask(&self, object: &mut Map<String, Value>) {
        for name in NEVER {
            if let Some(value) = object.get_mut(name) {
                *value = Value::Null;
            }
        }
        if let Some(Value::String(key)) = object.get_mut("productKey") {
            let shown: String =
                key.chars().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect();
            *key = format!("*****-*****-*****-*****-{shown}");
        }
        if let Some(Value::Array(settings)) = object.get_mut("omaSettings") {
            for setting in settings.iter_mut().filter(|one| one["isEncrypted"] == true) {
                setting["value"] = "****".into();
            }
        }
        let Some(route) = self.route else { return };
        match route.key.as_str() {
            "vppToken" => drop(object.insert("token".to_owned(), Value::Null)),
            "groupPolicyUploadedDefinitionFile" => {
                object.insert("content".to_owned(), Value::Null);
                object.insert("groupPolicyUploadedLanguageFiles".to_owned(), json!([]));
            }
            // It is null unless it is named.
            "reusablePolicySetting" if !has(self.select, "settingInstance") => {
                object.insert("settingInstance".to_owned(), Value::Null);
            }
            _ => {}
        }
        if self.is_list {
            for name in &route.item_only {
                if name == "roleScopeTagIds" {
                    object.remove(name);
                } else if let Some(value) = object.get_mut(name) {
                    *value = Value::Null;
                }
            }
        }
    }

    /// A navigation that the type does not have, or does not let be expanded.
    pub(crate) fn refused(&self) -> Option<String> {
        let bad = |expand: &&Expand| {
            let name = &expand.name;
            match self.route {
                Some(route) => {
                    !has(&route.navigation, name)
                        || has(&route.no_expand, name)
                        || (self.is_list && route.key == "policySet")
                }
                None => false,
            }
        };
        let expand = self.expand.iter().find(bad)?;
        let entity = self.route.map_or("entity", |route| route.entity.as_str());
        Some(format!(
            "Parsing OData Select and Expand failed: Could not find a property named '{}' on type 'microsoft.graph.{entity}'.",
            expand.name
        ))
    }
}

/// A part, with what is asked of it.
fn within(part: &Value, expand: &Expand) -> Value {
    let shape = Shape {
        route: None,
        select: &expand.select,
        expand: &expand.within,
        is_list: false,
        context: "",
    };
    let mut shaped = shape.object(part);
    if let Value::Object(map) = &mut shaped {
        map.retain(|key, _| !key.ends_with("@odata.context"));
    }
    shaped
}

/// The reference under which an encrypted value can be asked for.
pub(crate) fn secret_reference(id: &str, number: usize) -> String {
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{id}/{number}").as_bytes());
    format!("{id}_{number}_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_when_asked_for_only() {
        let object = json!({"id": "1", "assignments": [{"id": "a"}], "name": "x", "name@odata.type": "y",
            "rules": [{"id": "r", "scheduledActionConfigurations": [1]}]});
        let expand = [
            Expand { name: "assignments".to_owned(), ..Expand::default() },
            Expand { name: "rules".to_owned(), ..Expand::default() },
        ];
        let shape = Shape {
            route: None,
            select: &["ID".to_owned()],
            expand: &expand,
            is_list: false,
            context: "c",
        };
        assert_eq!(
            shape.object(&object),
            json!({"id": "1", "assignments@odata.context": "c('1')/assignments", "assignments": [{"id": "a"}],
                "rules@odata.context": "c('1')/rules", "rules": [{"id": "r"}]})
        );
    }

    #[test]
    fn secrets_do_not_come_back() {
        let object = json!({"id": "1", "preSharedKey": "k", "productKey": "AAAAA-12345",
            "omaSettings": [{"isEncrypted": true, "value": "v"}, {"isEncrypted": false, "value": "w"}]});
        let shape = Shape { route: None, select: &[], expand: &[], is_list: false, context: "" };
        let shaped = shape.object(&object);
        assert_eq!(shaped["preSharedKey"], Value::Null);
        assert_eq!(shaped["productKey"], "*****-*****-*****-*****-12345");
        assert_eq!(shaped["omaSettings"][0]["value"], "****");
        assert_eq!(shaped["omaSettings"][1]["value"], "w");
    }
}
