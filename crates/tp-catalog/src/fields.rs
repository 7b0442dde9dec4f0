//! What single fields of a type are: secrets, encodings, sets, references. All of it is data.

use serde::{Deserialize, Serialize};
use tp_domain::json::Json;

use crate::filter::odata_type;
use crate::pattern::Pattern;

/// When a rule about a field holds. What is absent does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct When {
    /// The object's concrete type is one of these, without `#microsoft.graph.`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// A member of the object that holds the field has this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// A member that stands beside a field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Beside {
    /// The member's name.
    pub member: String,
    /// The value that it must have.
    pub equals: Json,
}

impl When {
    /// Whether the rule holds for the field at this plain pointer of the object.
    pub fn holds(&self, object: &Json, pointer: &str) -> bool {
        let of_type = self.types.is_empty()
            || odata_type(object).is_some_and(|name| self.types.iter().any(|one| one == name));
        of_type
            && self.beside.as_ref().is_none_or(|beside| {
                let holder = pointer.rsplit_once('/').map_or("", |(holder, _)| holder);
                object.pointer(holder).and_then(|holder| holder.get(&beside.member))
                    == Some(&beside.equals)
            })
    }
}

/// Where a secret stands (PRODUCT G-8).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// The place.
    pub at: Pattern,
    /// When it is one.
    #[serde(default)]
    pub when: When,
    /// What must be done with it.
    pub handling: Handling,
    /// What Graph gives when it is read.
    pub reads_as: ReadsAs,
    /// The sub-resource that gives it in clear; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal: Option<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What must be done with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// Never stored and never shown; a marker and a keyed fingerprint stand for it.
    Redact,
    /// Stored, and shown to those who may see scripts: text that often holds keys.
    Restrict,
}

/// What Graph gives in place of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadsAs {
    /// The value.
    Clear,
    /// Asterisks.
    Masked,
    /// The value with some of its letters hidden.
    PartlyMasked,
    /// A token that only the same tenant understands.
    TenantToken,
    /// Nothing: it can be written and never read.
    Absent,
}

/// A field whose text is an encoding; comparing means comparing what it decodes to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Encoded {
    /// The place.
    pub at: Pattern,
    /// When it is encoded.
    #[serde(default)]
    pub when: When,
    /// How.
    pub encoding: Encoding,
}

/// How a text is encoded. What does not decode is kept as it was read and compared as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64 of text.
    Base64Text,
    /// Base64 of bytes: pictures, certificates.
    Base64Bytes,
    /// Base64 of JSON.
    Base64Json,
    /// JSON as text.
    Json,
}

/// An array whose order says nothing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetLike {
    /// The array.
    pub at: Pattern,
    /// Places inside an element that tell it from the others; empty where the whole element does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<Pattern>,
}

/// Another object that this type refers to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// What is referred to.
    pub to: Target,
    /// Where the reference stands, in the object with its parts and `assignments`.
    pub at: Pattern,
    /// When it is one.
    #[serde(default)]
    pub when: When,
    /// What the reference is for.
    pub kind: ReferenceKind,
    /// How the same object is found in another tenant.
    pub match_by: MatchBy,
    /// Values that are words and no ids, such as `All`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// What stands before the id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is referred to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Objects of a policy type, by its key.
    Type(String),
    /// Something that is no policy type: the service's own, or of the directory.
    Outside(Outside),
}

/// Things that are referred to and are no policy type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// A user of the directory.
    User,
    /// A directory role's template; the same id in every tenant.
    DirectoryRole,
    /// An application, by its app id.
    Application,
    /// A template of configuration policies, owned by the service.
    ConfigurationPolicyTemplate,
    /// A template of intents, owned by the service.
    IntentTemplate,
    /// A definition of an administrative template.
    GroupPolicyDefinition,
    /// A gallery or device image of Windows 365.
    CloudPcImage,
    /// A service plan of Windows 365.
    ServicePlan,
    /// Any policy of the tenant.
    AnyPolicy,
}

impl Outside {
    /// Its name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::DirectoryRole => "directory role",
            Self::Application => "application",
            Self::ConfigurationPolicyTemplate => "settings catalog template",
            Self::IntentTemplate => "intent template",
            Self::GroupPolicyDefinition => "administrative template definition",
            Self::CloudPcImage => "Cloud PC image",
            Self::ServicePlan => "Windows 365 service plan",
            Self::AnyPolicy => "any policy",
        }
    }
}

/// What a reference is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceKind {
    /// A group that the policy reaches.
    GroupInclude,
    /// A group that the policy spares.
    GroupExclude,
    /// A group in another part, such as the approvers.
    Group,
    /// An assignment filter.
    Filter,
    /// A scope tag.
    ScopeTag,
    /// A template.
    Template,
    /// A reusable setting.
    ReusableSetting,
    /// An app.
    App,
    /// A certificate profile.
    Certificate,
    /// A notification template.
    Notification,
    /// A script.
    Script,
    /// The object that it lies in.
    Parent,
    /// Another object.
    Other,
}

/// How the same object is found in another tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// By its name.
    Name,
    /// By its id: it is the same everywhere.
    Id,
    /// By the app's package or bundle id.
    PackageId,
    /// By class, category path and name of a definition.
    DefinitionPath,
    /// Not at all: a person must say which.
    Person,
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn a_condition_looks_at_the_type_and_beside_the_field() {
        let when = |value: Json| serde_json::from_str::<When>(&value.to_string()).unwrap();
        let object = json!({
            "@odata.type": "#microsoft.graph.windows10CustomConfiguration",
            "omaSettings": [{"isEncrypted": true, "value": "*"}, {"isEncrypted": false, "value": "a"}],
        });
        let encrypted = when(json!({"beside": {"member": "isEncrypted", "equals": true}}));
        assert!(encrypted.holds(&object, "/omaSettings/0/value"));
        assert!(!encrypted.holds(&object, "/omaSettings/1/value"));
        assert!(When::default().holds(&object, "/id"));
        assert!(!when(json!({"types": ["iosCustomConfiguration"]})).holds(&object, "/id"));
    }
}
