//! The Graph host: lists, items, singletons and sub-resources of one tenant.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::filter;
use crate::query::Query;
use crate::routes::Route;
use crate::state::SimTenant;

/// The largest page that `$top` can ask for.
const LARGEST_PAGE: usize = 999;

/// What a request asks for, without the host.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) version: &'a str,
    /// Below the version, with a leading slash and single slashes.
    pub(crate) path: String,
    pub(crate) query: Query,
    /// `http://host:port`, as the client sees it: next links are made from it.
    pub(crate) origin: &'a str,
}

/// A path without doubled or trailing slashes.
pub(crate) fn tidy(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/"))
}

/// Answers from the tenant's objects.
pub(crate) fn answer(tenant: &SimTenant, routes: &[Route], ask: &Ask<'_>) -> Answer {
    let Some(place) = Place::find(tenant, routes, ask) else { return Answer::not_found() };
    if let Some(route) = place.route {
        if !route.versions.iter().any(|version| version == ask.version) {
            return Answer::bad_request("No method match route template");
        }
        let granted = |needed: &String| {
            let wider = needed.replace(".Read.", ".ReadWrite.");
            tenant.permissions.iter().any(|own| own == needed || *own == wider)
        };
        if route.delegated_only || !route.permissions.iter().all(granted) {
            let scopes = route.permissions.join(", ");
            let message = format!(
                "Application is not authorized to perform this operation. Application must have one of the following scopes: {scopes}"
            );
            return Answer::intune_error(403, "Forbidden", &message);
        }
    }
    if ask.method != "GET" {
        return Answer::error(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        );
    }
    match place.kind {
        Kind::Collection(objects) if place.route.is_some_and(|route| route.singleton) => {
            match objects.first() {
                Some(object) => Answer::ok(one(ask, place.route, object, &place.collection)),
                None => Answer::not_found(),
            }
        }
        Kind::Collection(objects) => {
            let page = place.route.map_or(100, |route| route.page);
            let navigation = place.route.map_or(&[][..], |route| &route.navigation);
            list(ask, objects, navigation, page, &place.collection)
        }
        Kind::Item(object) => Answer::ok(one(ask, place.route, object, &place.collection)),
        Kind::Part(object, name) => {
            let none = Value::Array(Vec::new());
            match object.get(&name).unwrap_or(&none) {
                // Settings and assignments come in small pages (PROTOCOL §2).
                Value::Array(parts) => list(ask, parts, &[], 25, &place.collection),
                part => Answer::ok(part.clone()),
            }
        }
    }
}

fn one(ask: &Ask<'_>, route: Option<&Route>, object: &Value, context: &str) -> Value {
    let navigation = route.map_or(&[][..], |route| &route.navigation);
    let mut shaped = ask.query.shape(object, navigation);
    let context = format!(
        "{}/{}/$metadata#{}/$entity",
        ask.origin,
        ask.version,
        context.trim_start_matches('/')
    );
    if let Value::Object(map) = &mut shaped {
        map.insert("@odata.context".to_owned(), context.into());
    }
    shaped
}

fn list(
    ask: &Ask<'_>,
    objects: &[Value],
    navigation: &[String],
    page: usize,
    context: &str,
) -> Answer {
    let condition = match ask.query.filter.as_deref().map(filter::parse) {
        Some(None) => return Answer::bad_request("Invalid filter clause"),
        Some(Some(condition)) => Some(condition),
        None => None,
    };
    let passing: Vec<&Value> = objects
        .iter()
        .filter(|object| condition.as_ref().is_none_or(|condition| condition.passes(object)))
        .collect();
    let size = ask.query.top.map_or(page, |top| top.min(LARGEST_PAGE)).max(1);
    let start = ask.query.skip.min(passing.len());
    let end = (start + size).min(passing.len());
    let value: Vec<Value> =
        passing[start..end].iter().map(|object| ask.query.shape(object, navigation)).collect();
    let metadata = context.trim_start_matches('/');
    let mut body =
        json!({"@odata.context": format!("{}/{}/$metadata#{metadata}", ask.origin, ask.version)});
    if ask.query.count && start == 0 {
        body["@odata.count"] = passing.len().into();
    }
    body["value"] = Value::Array(value);
    if end < passing.len() {
        let next = ask.query.next(end);
        body["@odata.nextLink"] =
            format!("{}/{}{}?{next}", ask.origin, ask.version, ask.path).into();
    }
    Answer::ok(body)
}

struct Place<'t> {
    route: Option<&'t Route>,
    /// As `@odata.context` names it.
    collection: String,
    kind: Kind<'t>,
}

enum Kind<'t> {
    Collection(&'t [Value]),
    Item(&'t Value),
    Part(&'t Value, String),
}

impl<'t> Place<'t> {
    /// Finds what a path means: a collection, an item of one, or a part of an item.
    fn find(tenant: &'t SimTenant, routes: &'t [Route], ask: &Ask<'_>) -> Option<Self> {
        let path = ask.path.as_str();
        if let Some((route, collection, objects)) = collection(tenant, routes, path) {
            return Some(Self { route, collection, kind: Kind::Collection(objects) });
        }
        let (parent, id) = path.rsplit_once('/')?;
        if let Some((route, collection, objects)) = collection(tenant, routes, parent) {
            let item = item(objects, id)?;
            return Some(Self { route, collection, kind: Kind::Item(item) });
        }
        let (grandparent, middle) = parent.rsplit_once('/')?;
        let (route, name, objects) = collection(tenant, routes, grandparent)?;
        let object = item(objects, middle)?;
        // Real clients find the policy by the id in the context (graph/README 1).
        let collection = format!("{name}('{}')/{id}", object.get("id")?.as_str()?);
        let part = route
            .and_then(|route| route.navigation.iter().find(|name| name.eq_ignore_ascii_case(id)))
            .cloned()
            .or_else(|| ["assignments", "settings"].contains(&id).then(|| id.to_owned()))?;
        Some(Self { route, collection, kind: Kind::Part(object, part) })
    }
}

fn item<'t>(objects: &'t [Value], id: &str) -> Option<&'t Value> {
    objects.iter().find(|object| object.get("id").and_then(Value::as_str) == Some(id))
}

/// The collection at a path, in any case of its letters; empty where the type exists but the tenant
/// has none.
fn collection<'t>(
    tenant: &'t SimTenant,
    routes: &'t [Route],
    path: &str,
) -> Option<(Option<&'t Route>, String, &'t [Value])> {
    let route = routes.iter().find(|route| route.is_at(path));
    let held = tenant.collections.iter().find(|(own, _)| own.eq_ignore_ascii_case(path));
    match (route, held) {
        (route, Some((own, objects))) => Some((route, own.clone(), objects)),
        (Some(route), None) => Some((Some(route), path.to_owned(), &[])),
        (None, None) => None,
    }
}
