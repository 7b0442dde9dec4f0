//! Parts of an object that a listing does not give, and the ways to read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fields::When;
use crate::pattern::Pattern;
use crate::writes::Method;

/// A part of an object that has a request, an expansion or a call of its own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subresource {
    /// Its name, unique in the type.
    pub name: String,
    /// The member of the object (for a nested part: of each child) that it is put into.
    pub put_at: String,
    /// What it is for.
    pub part: PartOf,
    /// How it is read.
    pub read: Ways,
    /// Whether a body carries it although it is a navigation property.
    #[serde(default)]
    pub in_body: bool,
    /// Whether its order says something.
    pub order: Order,
    /// Places that tell an element of a set from the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<Pattern>,
    /// Which objects have it.
    #[serde(default)]
    pub when: When,
    /// Numbers of the listed object of which one must be above zero, else there is nothing to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_positive: Vec<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a part is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOf {
    /// It belongs to the settings: kept, compared, restored.
    Payload,
    /// It helps to understand; it is not read for a backup.
    Context,
    /// A secret in clear: read only when a person asks for it.
    Secret,
}

/// Whether the order of a part's elements says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It does.
    List,
    /// It does not.
    Set,
    /// The part is one thing.
    One,
}

/// The known ways to read a part, and the one to take.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ways {
    /// The cheapest way that is known to give it whole.
    pub prefer: Way,
    /// `$expand` on the listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_expand: Option<ListExpand>,
    /// `$expand` on the single GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_expand: Option<String>,
    /// A path of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<SubPath>,
    /// A function or an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
}

/// A way to read a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is in the listing without asking.
    Inline,
    /// It is in the listing with `$expand`: no request per object.
    ListExpand,
    /// It is in the single GET without asking, and only there.
    Item,
    /// It is in the single GET with `$expand`.
    ItemExpand,
    /// It has a path of its own.
    SubPath,
    /// It has a path below each child of another part.
    PerChild,
    /// A function or an action gives it.
    Call,
}

/// `$expand` on a listing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListExpand {
    /// The option's value.
    pub expand: String,
    /// Whether it is proved to give the part whole. Even then a link to more pages is followed.
    pub whole: bool,
    /// Where this is known from.
    pub source: String,
}

/// A path of a part.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubPath {
    /// The path below the version, with `{id}`, `{parentId}` and, below a child, `{childId}`.
    pub path: String,
    /// Query options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Elements of a page where none is asked for; none where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// What the reply is.
    pub returns: Returns,
    /// The children that it is read for, in the object with the parts read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Pattern>,
}

/// What a part's reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// `value` is an array, in pages.
    Set,
    /// The reply is the object.
    Object,
    /// Bytes, no JSON.
    Bytes,
}

/// A function or an action that gives a part.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// How it is called.
    pub method: Method,
    /// The path below the version; `{ref}` stands for the value at `each`.
    pub path: String,
    /// The values that it is called for; none where it is called once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Pattern>,
    /// Where the result stands in the reply.
    pub result: Pattern,
    /// Permissions that it needs beyond reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl Ways {
    /// Whether the way to take needs the single GET.
    pub fn needs_item(&self) -> bool {
        matches!(self.prefer, Way::Item | Way::ItemExpand)
    }

    /// Whether the listing brings it.
    pub fn comes_with_listing(&self) -> bool {
        matches!(self.prefer, Way::Inline | Way::ListExpand)
    }
}
