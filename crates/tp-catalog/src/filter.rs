//! Which objects of a shared collection are of a type: rules as data (ruling 6).

use serde::{Deserialize, Serialize};
use tp_domain::json::Json;

use crate::pattern::Pattern;

/// One rule. All rules of a type must hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientFilter {
    /// The concrete type is one of these.
    OdataTypeIn {
        /// Without `#microsoft.graph.`.
        values: Vec<String>,
    },
    /// The concrete type is none of these.
    OdataTypeNotIn {
        /// Without `#microsoft.graph.`.
        values: Vec<String>,
    },
    /// The template family is one of these.
    TemplateFamilyIn {
        /// Families.
        values: Vec<String>,
    },
    /// The template family is none of these; an object without a family passes.
    TemplateFamilyNotIn {
        /// Families.
        values: Vec<String>,
    },
    /// The template family begins with one of these.
    TemplateFamilyStarting {
        /// Beginnings.
        values: Vec<String>,
    },
    /// The template family begins with none of these; an object without a family passes.
    TemplateFamilyNotStarting {
        /// Beginnings.
        values: Vec<String>,
    },
    /// One of the policy's technologies is this.
    TechnologiesContain {
        /// The technology; Graph gives several as one text with commas.
        value: String,
    },
    /// The id begins with one of these.
    IdStarting {
        /// Beginnings.
        values: Vec<String>,
    },
    /// A member has this value.
    MemberEquals {
        /// Where it stands.
        at: Pattern,
        /// The value.
        value: Json,
    },
}

/// The concrete type of an object, without `#microsoft.graph.`.
pub fn odata_type(object: &Json) -> Option<&str> {
    let text = object.get("@odata.type")?.as_str()?;
    Some(text.strip_prefix("#microsoft.graph.").unwrap_or(text))
}

/// The template family of a configuration policy. `none` is what Graph says where there is none.
pub fn template_family(object: &Json) -> &str {
    object
        .get("templateReference")
        .and_then(|reference| reference.get("templateFamily"))
        .and_then(Json::as_str)
        .unwrap_or("none")
}

impl ClientFilter {
    /// Whether the object passes this rule.
    pub fn passes(&self, object: &Json) -> bool {
        let is_type = |values: &[String]| {
            odata_type(object).is_some_and(|name| values.iter().any(|value| value == name))
        };
        let family = template_family(object);
        let starts =
            |values: &[String]| values.iter().any(|value| family.starts_with(value.as_str()));
        let is_family = |values: &[String]| values.iter().any(|value| value == family);
        match self {
            Self::OdataTypeIn { values } => is_type(values),
            Self::OdataTypeNotIn { values } => !is_type(values),
            Self::TemplateFamilyIn { values } => is_family(values),
            Self::TemplateFamilyNotIn { values } => !is_family(values),
            Self::TemplateFamilyStarting { values } => starts(values),
            Self::TemplateFamilyNotStarting { values } => !starts(values),
            Self::TechnologiesContain { value } => object
                .get("technologies")
                .and_then(Json::as_str)
                .is_some_and(|all| all.split(',').any(|one| one.trim() == value)),
            Self::IdStarting { values } => object
                .get("id")
                .and_then(Json::as_str)
                .is_some_and(|id| values.iter().any(|value| id.starts_with(value.as_str()))),
            Self::MemberEquals { at, value } => at.values(object).contains(&value),
        }
    }
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    fn check(rule: Json, object: Json, expected: bool) {
        let filter: ClientFilter = serde_json::from_str(&rule.to_string()).unwrap();
        assert_eq!(filter.passes(&object), expected, "{filter:?} {object}");
    }

    #[test]
    fn rules_decide_by_type_and_family() {
        let ring = json!({"@odata.type": "#microsoft.graph.windowsUpdateForBusinessConfiguration"});
        let rings = ["windowsUpdateForBusinessConfiguration"];
        check(json!({"rule": "odata_type_in", "values": rings}), ring.clone(), true);
        check(json!({"rule": "odata_type_not_in", "values": rings}), ring, false);
        check(json!({"rule": "odata_type_in", "values": rings}), json!({}), false);
        check(json!({"rule": "odata_type_not_in", "values": rings}), json!({}), true);
        let family = |name: &str| json!({"templateReference": {"templateFamily": name}});
        let starting = json!({"rule": "template_family_starting", "values": ["endpointSecurity"]});
        check(starting.clone(), family("endpointSecurityAntivirus"), true);
        check(starting, json!({"templateReference": null}), false);
        let not = json!({"rule": "template_family_not_in", "values": ["baseline"]});
        check(not.clone(), family("baseline"), false);
        check(not, json!({}), true);
    }

    #[test]
    fn rules_decide_by_members() {
        let mdm = json!({"rule": "technologies_contain", "value": "mdm"});
        check(mdm.clone(), json!({"technologies": "linuxMdm,mdm"}), true);
        check(mdm, json!({"technologies": "linuxMdm"}), false);
        let id = json!({"rule": "id_starting", "values": ["T_"]});
        check(id.clone(), json!({"id": "T_1"}), true);
        check(id, json!({"id": "A_1"}), false);
        let built_in = json!({"rule": "member_equals", "at": "/isBuiltIn", "value": true});
        check(built_in.clone(), json!({"isBuiltIn": true}), true);
        check(built_in, json!({}), false);
    }
}
