//! What a path means: a collection, one of its objects, or something within an object.

use serde_json::Value;

use crate::routes::{self, Route};
use crate::state::SimTenant;

/// A collection and what stands behind it in the path.
#[derive(Debug)]
pub(crate) struct Place<'t, 'p> {
    /// The type of the collection, or of the object where several types share it.
    pub(crate) route: Option<&'t Route>,
    /// The collection's path as the tenant has it.
    pub(crate) collection: String,
    pub(crate) objects: &'t [Value],
    /// The segments behind it.
    pub(crate) rest: Vec<&'p str>,
}

/// Other addresses of the same collections.
const ALIASES: [(&str, &str); 3] = [
    (
        "/identity/conditionalAccess/authenticationStrength/policies",
        "/policies/authenticationStrengthPolicies",
    ),
    (
        "/identity/conditionalAccess/authenticationStrengths/policies",
        "/policies/authenticationStrengthPolicies",
    ),
    ("/myorganization", ""),
];

/// The path by its usual address.
pub(crate) fn usual(path: &str) -> String {
    for (alias, own) in ALIASES {
        if let Some((start, rest)) = path.split_at_checked(alias.len())
            && start.eq_ignore_ascii_case(alias)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{own}{rest}");
        }
    }
    path.to_owned()
}

impl<'t, 'p> Place<'t, 'p> {
    /// The longest collection that the path begins with.
    pub(crate) fn find(tenant: &'t SimTenant, routes: &'t [Route], path: &'p str) -> Option<Self> {
        let mut end = path.len();
        loop {
            let start = &path[..end];
            if let Some((collection, objects)) = collection(tenant, routes, start) {
                let rest: Vec<&str> =
                    path[end..].split('/').filter(|segment| !segment.is_empty()).collect();
                let object = rest.first().and_then(|id| item(objects, id));
                let route = routes::of(routes, &collection, object);
                return Some(Self { route, collection, objects, rest });
            }
            end = start.rfind('/').filter(|at| *at > 0)?;
        }
    }

    pub(crate) fn is_singleton(&self) -> bool {
        self.route.is_some_and(|route| route.singleton)
    }

    /// The object that the path leads to or through, and what stands behind it.
    pub(crate) fn object(&self) -> Option<(&'t Value, &[&'p str])> {
        if self.is_singleton() {
            return self.objects.first().map(|object| (object, &self.rest[..]));
        }
        let (id, rest) = self.rest.split_first()?;
        item(self.objects, id).map(|object| (object, rest))
    }
}

/// An object of a list by its id, in any case of its letters.
pub(crate) fn item<'t>(objects: &'t [Value], id: &str) -> Option<&'t Value> {
    index(objects, id).and_then(|at| objects.get(at))
}

/// Where in a list an object is.
pub(crate) fn index(objects: &[Value], id: &str) -> Option<usize> {
    objects.iter().position(|object| {
        object.get("id").and_then(Value::as_str).is_some_and(|own| own.eq_ignore_ascii_case(id))
    })
}

/// The collection at a path, in any case of its letters; empty where the type exists but the tenant
/// has none.
fn collection<'t>(
    tenant: &'t SimTenant,
    routes: &'t [Route],
    path: &str,
) -> Option<(String, &'t [Value])> {
    let held = tenant.collections.iter().find(|(own, _)| own.eq_ignore_ascii_case(path));
    if let Some((own, objects)) = held {
        return Some((own.clone(), objects));
    }
    let route = routes.iter().find(|route| route.is_at(path))?;
    let is_child = route.path.contains("{parentId}");
    let own = if is_child { path } else { &route.path };
    // A child of nobody is no collection.
    (!is_child || has_parent(tenant, path)).then(|| (own.to_owned(), &[][..]))
}

fn has_parent(tenant: &SimTenant, path: &str) -> bool {
    tenant.collections.iter().any(|(own, objects)| {
        path.split_at_checked(own.len()).is_some_and(|(start, rest)| {
            let id = rest.split('/').nth(1).unwrap_or_default();
            start.eq_ignore_ascii_case(own) && item(objects, id).is_some()
        })
    })
}

/// Where a write goes.
#[derive(Debug)]
pub(crate) struct Target<'r> {
    pub(crate) route: Option<&'r Route>,
    pub(crate) collection: String,
    /// Where in the collection the object is.
    pub(crate) index: Option<usize>,
    /// What stands behind the collection, or behind the object.
    pub(crate) rest: Vec<String>,
}

impl<'r> Target<'r> {
    pub(crate) fn find(tenant: &SimTenant, routes: &'r [Route], path: &str) -> Option<Self> {
        let address = address(tenant, path);
        let place = Place::find(tenant, routes, &address)?;
        let route = place.route.and_then(|own| routes.iter().find(|route| route.key == own.key));
        let index = if place.is_singleton() {
            (!place.objects.is_empty()).then_some(0)
        } else {
            place.rest.first().and_then(|id| index(place.objects, id))
        };
        let skip = usize::from(index.is_some() && !place.is_singleton());
        let rest = place.rest.iter().skip(skip).map(|segment| (*segment).to_owned());
        let rest = rest.filter(|segment| !segment.starts_with("microsoft.graph.")).collect();
        Some(Self { route, collection: place.collection, index, rest })
    }
}

/// The path where an object is: shell scripts answer under the address of scripts too.
pub(crate) fn address(tenant: &SimTenant, path: &str) -> String {
    const SCRIPTS: [&str; 2] =
        ["/deviceManagement/deviceManagementScripts", "/deviceManagement/deviceShellScripts"];
    let rest = path
        .split_at_checked(SCRIPTS[0].len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(SCRIPTS[0]))
        .map(|(_, rest)| rest);
    let id = rest.and_then(|rest| rest.split('/').nth(1));
    let held = |collection: &str| {
        let objects = tenant.collections.get(collection);
        id.is_some_and(|id| objects.is_some_and(|objects| item(objects, id).is_some()))
    };
    match rest {
        Some(rest) if !held(SCRIPTS[0]) && held(SCRIPTS[1]) => format!("{}{rest}", SCRIPTS[1]),
        _ => path.to_owned(),
    }
}
