//! The shape of a contract file: every fact that code needs of one policy type.
//!
//! Reading, comparing, marking secrets and writing are driven by these facts; no type has code of its
//! own. Parts, assignments, writes and fields have their own modules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assignments::Assignments;
use crate::fields::{Encoded, Reference, Secret, SetLike};
use crate::filter::ClientFilter;
use crate::parts::Subresource;
use crate::pattern::Pattern;
use crate::throttle::ThrottleGroup;
use crate::writes::{BodyRule, Create, DefaultObjects, Delete, Update};

/// One policy type as Microsoft Graph offers it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    #[serde(default)]
    pub odata_types: Vec<String>,
    /// Types that no object can have: a body with one is refused.
    #[serde(default)]
    pub abstract_types: Vec<String>,
    /// Template families, for types that share `configurationPolicies`.
    #[serde(default)]
    pub template_families: Vec<String>,
    /// Parts that are read on their own.
    #[serde(default)]
    pub subresources: Vec<Subresource>,
    /// How assignments are read and written; none where the type has none.
    #[serde(default)]
    pub assignments: Option<Assignments>,
    /// How an object is created; none where it cannot be.
    #[serde(default)]
    pub create: Option<Create>,
    /// How an object is changed; none where it cannot be.
    #[serde(default)]
    pub update: Option<Update>,
    /// How an object is deleted; none where it cannot be.
    #[serde(default)]
    pub delete: Option<Delete>,
    /// Objects that the service makes.
    #[serde(default)]
    pub defaults: Option<DefaultObjects>,
    /// How a change is noticed without reading the whole object.
    pub changes: Changes,
    /// What no write body may contain, beyond annotations and what the schema says is read-only.
    #[serde(default)]
    pub strip_on_write: Vec<Pattern>,
    /// Changes to a write body that are no plain leaving out.
    #[serde(default)]
    pub body_rules: Vec<BodyRule>,
    /// What a comparison passes over, beyond annotations.
    #[serde(default)]
    pub ignore_in_diff: Vec<Pattern>,
    /// What cannot be changed after creation.
    #[serde(default)]
    pub immutable_after_create: Vec<Pattern>,
    /// Arrays whose order says nothing. Parts say it of themselves.
    #[serde(default)]
    pub sets: Vec<SetLike>,
    /// Texts that are encodings.
    #[serde(default)]
    pub encoded: Vec<Encoded>,
    /// Where secrets stand.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Contents that Graph takes and never gives back: no backup through Graph can hold them.
    #[serde(default)]
    pub not_returned: Vec<NotReturned>,
    /// What other objects it refers to.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// The versions of Graph whose metadata know it.
    pub available_in: Vec<ApiVersion>,
    /// What surprises, each with its source.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// Where the facts come from.
    pub evidence: Vec<String>,
    /// What Microsoft's metadata confirm.
    pub validation: Validation,
}

/// Contents that Graph takes and never gives back.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotReturned {
    /// What it is, as a sentence for people.
    pub what: String,
    /// Concrete types that it is true of; empty for all, and then a backup holds names and dates only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// A surprise, and where it is known from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quirk {
    /// What surprises.
    pub fact: String,
    /// Where it is known from.
    pub source: String,
}

/// What Microsoft's metadata confirm of a contract.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validation {
    /// Whether they know the paths and methods.
    pub status: ValidationStatus,
    /// Members that are stripped and that the metadata do not know: the service gives them all the same.
    #[serde(default)]
    pub not_in_schema: Vec<String>,
}

/// Whether Microsoft's metadata know the paths and methods of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidationStatus {
    /// All of them.
    Confirmed,
    /// All but a method that peers use: PUT of a whole policy, a `$ref`.
    UndocumentedMethod,
    /// Not even the path.
    UndocumentedPath,
}

/// How a change is noticed in a listing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Changes {
    /// The member that holds the time of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The member that counts changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How far an unchanged `last_modified` lets a reader skip the rest.
    pub incremental: Incremental,
    /// Parts that may change without touching it, `assignments` among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_change_unseen: Vec<String>,
}

/// How far an unchanged time of change lets a reader skip reading an object again.
///
/// Nobody measured which parts touch it (PROTOCOL 8), so a part counts as seen only where the listing
/// itself brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Incremental {
    /// The listing brings everything: there is nothing to skip.
    ListingIsAll,
    /// Everything that is not in the listing belongs to the object itself.
    Sound,
    /// Sound for the object's own members; parts in `may_change_unseen` need a reading now and then.
    OwnMembers,
    /// There is no time of change: each object must be read.
    Never,
}

/// A version of Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    /// A `$filter` that other tools send. The inventory does not: it would hide objects that exist.
    pub server_filter: Option<String>,
    /// Which objects of the collection are of this type, where types share it (ruling 6).
    pub client_filter: Vec<ClientFilter>,
}

/// What a listing's reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListShape {
    /// `value` is an array, in pages.
    Set,
    /// The reply is the object.
    Singleton,
}

/// Where the parents of nested objects come from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase", deny_unknown_fields)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ItemContract {
    /// The path below the version, with `{id}`.
    pub path: String,
    /// Query options.
    pub query: BTreeMap<String, String>,
    /// Whether the listing holds all of the object's own members, parts apart. If not, each object is
    /// read, and its reply laid over the listed object.
    pub list_is_complete: bool,
}

/// Permissions of the app.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permissions {
    /// The least that reading needs.
    pub read: Vec<String>,
    /// The least that writing needs; empty where nothing can be written.
    pub write: Vec<String>,
    /// Microsoft allows it to signed-in people only, not to an app.
    pub delegated_only: bool,
    /// Whether an app on its own may read.
    pub app_read: Wall,
    /// Whether an app on its own may write.
    pub app_write: Wall,
    /// How sure the names are.
    pub certainty: Certainty,
    /// Where this is known from.
    pub source: String,
}

/// Whether an app without a signed-in person gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// It does.
    Open,
    /// Nothing says that it does not, and nothing proves that it does.
    Unproved,
    /// Microsoft's permission data name no permission for apps.
    Closed,
}

/// How sure the names of permissions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Microsoft's permission data say so.
    Documented,
    /// Another tool uses them.
    Peer,
    /// Taken over from paths beside it.
    Inferred,
}

/// Whether and how a type may be restored. A judgement, not a fact.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreContract {
    /// How.
    pub mode: RestoreMode,
    /// How much harm a wrong write does.
    pub risk: Risk,
    /// Why.
    pub reason: Option<String>,
}

/// Whether a type may be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
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
