//! How objects are created, changed and deleted.
//!
//! A body is the snapshot without what must not be sent. What a body cannot carry follows in calls of
//! its own (`then`), whose bodies are put together from places of the snapshot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tp_domain::json::Json;

use crate::fields::When;
use crate::filter::ClientFilter;
use crate::pattern::Pattern;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Create, or an action.
    Post,
    /// Change what is named.
    Patch,
    /// Replace the whole.
    Put,
    /// Take away.
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// How an object is created.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    /// Method, path, statuses and body.
    pub call: WriteCall,
    /// What must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_include: Vec<Pattern>,
    /// What must be true beyond that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// The caller chooses the id: it stands in the path.
    #[serde(default, skip_serializing_if = "is_false")]
    pub id_from_caller: bool,
    /// Null members and empty arrays are refused and must be taken out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prune_empty: bool,
    /// How long a new object may stay unreadable, in seconds; none where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readable_after_seconds: Option<u32>,
}

/// How an object is changed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// Method, path, statuses and body.
    pub call: WriteCall,
    /// The body replaces the whole object: what is left out is lost.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replaces: bool,
    /// The body must name the concrete type.
    #[serde(default, skip_serializing_if = "is_false")]
    pub odata_type_required: bool,
    /// What must not be sent for a default object, beyond `mustOmit`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_must_omit: Vec<Pattern>,
}

/// How an object is deleted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// How it is called.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Statuses that were seen for success.
    pub success: Vec<u16>,
    /// What must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<BeforeDelete>,
    /// Days in which it can be brought back; none where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restorable_days: Option<u32>,
}

/// What must be done before an object can be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum BeforeDelete {
    /// Its assignments are taken away.
    RemoveAssignments,
    /// A member is changed where it has another value.
    Set {
        /// The member.
        member: String,
        /// The value that it must have.
        to: Json,
    },
}

/// A request that writes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteCall {
    /// How it is called.
    pub method: Method,
    /// Its path below the version, with `{id}`, `{parentId}` and what `placeholders` names.
    pub path: String,
    /// Statuses that were seen for success; any other 2xx is one too.
    pub success: Vec<u16>,
    /// Further placeholders of the path: the place in the object that gives each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placeholders: BTreeMap<String, Pattern>,
    /// The body's members; none means the object as it may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BTreeMap<String, BodyPart>>,
    /// What this body must not contain, beyond what no body may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_omit: Vec<Pattern>,
    /// The only members that the body may have; empty means all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// References that are sent as links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Calls that follow, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<FollowUp>,
}

/// A call that follows a write.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FollowUp {
    /// Its name, for plans and messages.
    pub name: String,
    /// How it is called.
    pub method: Method,
    /// Its path, with `{id}`, `{parentId}` and, for each element, `{childId}`.
    pub path: String,
    /// Statuses that were seen for success.
    pub success: Vec<u16>,
    /// The elements of the object that it is called for; none where it is called once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Pattern>,
    /// Which objects need it.
    #[serde(default)]
    pub when: When,
    /// The body's members; none means the element itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BTreeMap<String, BodyPart>>,
    /// What must not be sent, inside the element or the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_omit: Vec<Pattern>,
    /// References that are sent as links, inside the element or the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// What is left out keeps its old value: to clear it, it must be sent as empty.
    #[serde(default, skip_serializing_if = "is_false")]
    pub absent_is_kept: bool,
}

/// Where a member of a body comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyPart {
    /// The value at this place of the object.
    Copy(Pattern),
    /// The object as it may be written.
    Whole,
    /// Elements of this array that the tenant does not have.
    Added(Pattern),
    /// Elements of this array that the tenant has with other contents.
    Updated(Pattern),
    /// Ids of the tenant's elements that this array does not have.
    RemovedIds(Pattern),
    /// The absolute address of what this path names, with `{childId}`.
    Address(String),
    /// A fixed value.
    Fixed(Json),
}

/// A reference that a body carries as `name@odata.bind`: an absolute address of the same API version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// The objects that get it; absent for the body itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Pattern>,
    /// The member that is made.
    pub member: String,
    /// The path that is linked to; `{ref}` is the id, `{outerRef}` that of the link around it.
    pub path: String,
    /// Where the id stands, inside the object that gets the link; many ids make a list.
    pub id_from: Pattern,
    /// The member that the link stands for and that is taken out.
    pub instead_of: String,
}

/// What must be true of a body for a create.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum Requirement {
    /// Exactly one of the elements has this member with this value.
    ExactlyOne {
        /// The elements.
        at: Pattern,
        /// The member.
        member: String,
        /// The value.
        equals: Json,
    },
}

/// A change to a body that is no plain leaving out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum BodyRule {
    /// Only these members of the objects are sent.
    KeepOnly {
        /// The objects.
        at: Pattern,
        /// The members that stay.
        members: Vec<String>,
    },
    /// The member is sent with this value only.
    DropUnless {
        /// The member.
        at: Pattern,
        /// The value.
        equals: Json,
    },
}

/// Objects that the service makes: read, partly changed, never created or deleted (PROTOCOL 9.5).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefaultObjects {
    /// An object is one when any of these holds.
    pub any_of: Vec<ClientFilter>,
    /// Whether it can be changed.
    pub update: bool,
    /// Whether its assignments can be changed.
    pub assign: bool,
    /// What of it cannot be changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<Pattern>,
}

impl DefaultObjects {
    /// Whether the object is a default one.
    pub fn is_default(&self, object: &Json) -> bool {
        self.any_of.iter().any(|filter| filter.passes(object))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
