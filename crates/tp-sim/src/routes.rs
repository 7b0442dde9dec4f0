//! Which types there are, where, and how they are written: the simulator's own data,
//! `data/routes.json`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// One policy type as the simulator serves it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "facts of a type, one by one")]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) label: String,
    pub(crate) versions: Vec<String>,
    pub(crate) path: String,
    pub(crate) singleton: bool,
    pub(crate) name: Option<String>,
    pub(crate) entity: String,
    pub(crate) odata_types: Vec<String>,
    pub(crate) family: Option<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) write_permissions: Vec<String>,
    pub(crate) delegated_only: bool,
    pub(crate) throttle: String,
    pub(crate) page: usize,
    pub(crate) navigation: Vec<String>,
    /// Of these concrete types, such names are plain members and no navigation.
    #[serde(default)]
    plain: HashMap<String, Vec<String>>,
    /// Navigation that has no path of its own.
    pub(crate) expand_only: Vec<String>,
    /// Navigation that `$expand` does not take.
    pub(crate) no_expand: Vec<String>,
    pub(crate) no_filter: bool,
    /// What lists leave out.
    pub(crate) item_only: Vec<String>,
    /// The status of a create; without it nothing can be made.
    pub(crate) create: Option<u16>,
    /// Navigation that a create may carry.
    pub(crate) create_navigation: Vec<String>,
    pub(crate) update: Option<Update>,
    pub(crate) delete: Option<u16>,
    /// Whether a write must name the concrete type.
    pub(crate) needs_type: bool,
    pub(crate) assign: Option<Assign>,
    /// Never in a write.
    pub(crate) refused: Vec<String>,
    /// Not in an update.
    pub(crate) fixed: Vec<String>,
    /// In an update only with the value that is there.
    pub(crate) immutable: Vec<String>,
}

/// How a type is changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    pub(crate) method: String,
    pub(crate) status: u16,
    /// What PATCH can change where the whole goes by PUT.
    #[serde(default)]
    pub(crate) metadata: Vec<String>,
}

/// How assignments are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assign {
    pub(crate) action: String,
    pub(crate) key: String,
    pub(crate) status: u16,
}

const ROUTES: &str = include_str!("../data/routes.json");

/// All types, by key.
pub(crate) fn routes() -> Result<Vec<Route>, serde_json::Error> {
    serde_json::from_str(ROUTES)
}

/// The concrete type of an object, without its namespace.
pub(crate) fn type_of(object: &Value) -> Option<&str> {
    object.get("@odata.type")?.as_str().map(short)
}

/// A type's name without its namespace.
pub(crate) fn short(name: &str) -> &str {
    name.trim_start_matches('#').trim_start_matches("microsoft.graph.")
}

impl Route {
    /// The concrete type of an object that does not name its own.
    pub(crate) fn default_type(&self) -> String {
        let name = self.odata_types.first().unwrap_or(&self.entity);
        format!("#microsoft.graph.{name}")
    }

    /// The navigation of an object, by its concrete type.
    pub(crate) fn navigation_of<'r>(
        &'r self,
        entity: Option<&str>,
    ) -> impl Iterator<Item = &'r String> + use<'r> {
        let plain = entity.and_then(|entity| self.plain.get(entity));
        let plain = plain.map(Vec::as_slice).unwrap_or_default();
        self.navigation.iter().filter(move |name| !plain.contains(name))
    }

    /// Whether a collection belongs to this type: its path, with any parent.
    pub(crate) fn is_at(&self, collection: &str) -> bool {
        let mut theirs = collection.split('/');
        let ours = self.path.split('/').all(|ours| {
            theirs.next().is_some_and(|own| ours == "{parentId}" || ours.eq_ignore_ascii_case(own))
        });
        ours && theirs.next().is_none()
    }

    /// Whether an object of a set that several types share is one of this type.
    pub(crate) fn holds(&self, object: &Value) -> bool {
        if let Some(family) = &self.family {
            let own = object.get("templateReference").and_then(|own| own.get("templateFamily"));
            let own = own.and_then(Value::as_str).unwrap_or("none");
            return match family.as_str() {
                "none" => false,
                "endpointSecurityAntivirus" => own.starts_with("endpointSecurity"),
                family => own == family,
            };
        }
        type_of(object).is_some_and(|own| self.odata_types.iter().any(|name| name == own))
    }

    /// Whether a tenant's grants are enough, and what would be.
    pub(crate) fn missing(&self, granted: &[String], is_write: bool) -> Option<Vec<String>> {
        let needed = if is_write { &self.write_permissions } else { &self.permissions };
        let has = |needed: &String| {
            let wider = needed.replace(".Read.", ".ReadWrite.");
            granted.iter().any(|own| own == needed || *own == wider)
        };
        if !self.delegated_only && needed.iter().all(has) {
            return None;
        }
        let mut names = needed.clone();
        if !is_write {
            names.extend(needed.iter().map(|name| name.replace(".Read.", ".ReadWrite.")));
        }
        names.dedup();
        Some(names)
    }
}

/// Of the types at a path the one that an object is of; the first where none says so.
pub(crate) fn of<'r>(
    routes: &'r [Route],
    collection: &str,
    object: Option<&Value>,
) -> Option<&'r Route> {
    let at = || routes.iter().filter(|route| route.is_at(collection));
    object.and_then(|object| at().find(|route| route.holds(object))).or_else(|| {
        // A settings catalog policy has no family; it is the type whose family is "none".
        at().find(|route| route.family.as_deref() == Some("none")).or_else(|| at().next())
    })
}
