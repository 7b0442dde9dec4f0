//! The shape of a contract file: every fact that code needs of one policy type.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::filter::ClientFilter;
use crate::throttle::ThrottleGroup;

/// One policy type as Microsoft Graph offers it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The type's key.
    pub key: String,
    /// Its name for people.
    pub label: String,
    /// What it belongs to, for grouping.
    pub category: String,
    /// The platform that all its objects are for, or `all`.
    pub platform: String,
    /// The version of Graph that is called.
    pub api_version: ApiVersion,
    /// The entity's name in Graph's metadata.
    pub entity_type: String,
    /// The property that holds the name; none where objects have no name.
    pub name_property: Option<String>,
    /// How objects are listed.
    pub list: ListContract,
    /// How one object is read.
    pub item: ItemContract,
    /// What the app must be allowed to do.
    pub permissions: Permissions,
    /// Which of Graph's limits counts.
    pub throttle: ThrottleGroup,
    /// Whether and how it may be restored.
    pub restore: RestoreContract,
    /// Whether a write must name its concrete type.
    pub odata_type_required: bool,
    /// Concrete types, without `#microsoft.graph.`; empty where there is one.
    pub odata_types: Vec<String>,
    /// Template families, for types that share `configurationPolicies`.
    pub template_families: Vec<String>,
    /// Parts that are read on their own.
    pub subresources: Vec<Subresource>,
    /// How assignments are read and written; none where the type has none.
    pub assignments: Option<Value>,
    /// How an object is created.
    pub create: Option<Value>,
    /// How an object is changed.
    pub update: Option<Value>,
    /// How an object is deleted.
    pub delete: Option<Value>,
    /// What a write body must not contain.
    pub strip_on_write: Vec<String>,
    /// What a comparison passes over.
    pub ignore_in_diff: Vec<String>,
    /// What cannot be changed after creation.
    pub immutable_after_create: Vec<String>,
    /// Where secrets stand.
    pub secrets: Vec<Value>,
    /// What other objects it refers to.
    pub references: Vec<Reference>,
    /// Read-only by Graph's schema, over all concrete types together.
    pub schema_read_only: Vec<String>,
    /// Read-only by the schema's descriptions.
    pub schema_described_read_only: Vec<String>,
    /// Navigation properties.
    pub navigation_properties: Vec<String>,
    /// The versions of Graph whose metadata know it.
    pub available_in: Vec<ApiVersion>,
    /// What surprises, each with its source.
    pub quirks: Vec<Value>,
    /// Where the facts come from.
    pub evidence: Vec<Value>,
    /// What the metadata confirm.
    pub validation: BTreeMap<String, Value>,
}

/// A version of Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ApiVersion {
    /// Generally available.
    #[serde(rename = "v1.0")]
    V1,
    /// Beta: most Intune types exist here only.
    #[serde(rename = "beta")]
    Beta,
}

impl ApiVersion {
    /// The path segment.
    pub const fn segment(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// How objects are listed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListContract {
    /// The path below the version; `{parentId}` stands for each parent in turn.
    pub path: String,
    /// Query options of the listing.
    pub query: BTreeMap<String, String>,
    /// A set of objects, or the one object that there is.
    pub shape: ListShape,
    /// Where parents come from.
    pub parent: Option<Parent>,
    /// Whether `$select` is honoured.
    pub select_ok: bool,
    /// What `$expand` is proved to work with.
    pub expand_on_list: Vec<String>,
    /// A `$filter` that other tools send. The inventory does not: it would hide objects that exist.
    pub server_filter: Option<String>,
    /// Which objects of the collection are of this type, where types share it (ruling 6).
    pub client_filter: Vec<ClientFilter>,
}

/// What a listing's reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListShape {
    /// `value` is an array, in pages.
    Set,
    /// The reply is the object.
    Singleton,
}

/// Where the parents of nested objects come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Parent {
    /// The objects of another policy type.
    PolicyType {
        /// Its key.
        policy_type: String,
    },
    /// A list that is no policy type.
    List {
        /// Its path.
        list_path: String,
        /// Its version.
        api_version: ApiVersion,
    },
}

/// How one object is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemContract {
    /// The path below the version, with `{id}`.
    pub path: String,
    /// Query options.
    pub query: BTreeMap<String, String>,
    /// Whether the listing holds all that the item reply holds.
    pub list_is_complete: bool,
}

/// A part that is read on its own. Facts beside these are kept for the backup.
#[derive(Clone, Debug, Deserialize)]
pub struct Subresource {
    /// Its name.
    pub name: String,
    /// Everything else that is known of it.
    #[serde(flatten)]
    pub facts: BTreeMap<String, Value>,
}

/// An object that this type refers to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What is referred to: a type's key, or words for things that are no policy type.
    pub to: String,
    /// Where the reference stands.
    #[serde(rename = "where")]
    pub place: String,
    /// More about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// Permissions of the app.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// The least that reading needs.
    pub read: Vec<String>,
    /// The least that writing needs; empty where nothing can be written.
    pub write: Vec<String>,
    /// Microsoft allows it to signed-in people only, not to an app.
    pub delegated_only: bool,
    /// Where this is known from.
    pub source: String,
}

/// Whether and how a type may be restored. A judgement, not a fact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreContract {
    /// How.
    pub mode: RestoreMode,
    /// How much harm a wrong write does.
    pub risk: Risk,
    /// Why.
    pub reason: Option<String>,
}

/// Whether a type may be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreMode {
    /// Yes.
    Enabled,
    /// A preview only, unless an operator enables it with a reason (PRODUCT G-3).
    PreviewOnly,
    /// No.
    Unsupported,
}

impl RestoreMode {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::PreviewOnly => "preview_only",
            Self::Unsupported => "unsupported",
        }
    }
}

/// How much harm a wrong write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Little.
    Low,
    /// Devices change at their next check-in.
    Medium,
    /// People or devices may be locked out.
    High,
}

impl Risk {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Contract {
    /// Whether it is a foundation: something that policies refer to (PRODUCT §2).
    pub fn is_foundation(&self) -> bool {
        matches!(
            self.key.as_str(),
            "assignmentFilter"
                | "roleScopeTag"
                | "notificationMessageTemplate"
                | "reusablePolicySetting"
                | "roleDefinition"
                | "group"
        )
    }

    /// Whether its objects feed the directory cache and not the policies (ruling 25).
    pub fn is_directory_group(&self) -> bool {
        self.key == "group"
    }
}
