//! Reads of one tenant: lists, items, singletons and what hangs below them.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::filter;
use crate::place::{Place, address, item};
use crate::routes::{Route, type_of};
use crate::schema::Schema;
use crate::shape::{NESTED, Shape};
use crate::state::SimTenant;
use crate::virtuals;

/// The largest page that `$top` can ask for.
const LARGEST_PAGE: usize = 1000;
/// Settings and assignments come in small pages (PROTOCOL §2).
const PART_PAGE: usize = 25;

/// What a read needs beside the tenant.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) routes: &'a [Route],
    pub(crate) schema: &'a Schema,
    /// What the token says was granted: new consent shows in new tokens only.
    pub(crate) granted: &'a [String],
}

/// Answers a GET from the tenant's objects.
pub(crate) fn answer(world: World<'_>, tenant: &SimTenant, call: &Call<'_>) -> Answer {
    if let Some(answer) = virtuals::read(world, tenant, call) {
        return answer;
    }
    let address = address(tenant, &call.path);
    let Some(place) = Place::find(tenant, world.routes, &address) else {
        return Answer::bad_request(&format!(
            "Resource not found for the segment '{}'.",
            call.path.rsplit('/').next().unwrap_or_default()
        ));
    };
    if let Some(refusal) = refusal(world, place.route, call) {
        return refusal;
    }
    let reader = Reader { world, tenant, call };
    match place.rest.first() {
        _ if place.is_singleton() => reader.singleton(&place),
        None => reader.collection(&place, |_| true),
        Some(&"$count") if place.rest.len() == 1 => reader.count(place.objects.iter()),
        Some(cast) if cast.starts_with("microsoft.graph.") && place.rest.len() == 1 => {
            let name = cast.trim_start_matches("microsoft.graph.");
            reader.collection(&place, |object| type_of(object) == Some(name))
        }
        Some(_) => reader.item(&place),
    }
}

/// What is refused before anything is looked up: the version, the permission.
pub(crate) fn refusal(world: World<'_>, route: Option<&Route>, call: &Call<'_>) -> Option<Answer> {
    let route = route?;
    if !route.versions.iter().any(|version| version == call.version) {
        return Some(Answer::no_route());
    }
    let missing = route.missing(world.granted, call.is_write())?;
    Some(forbidden(&missing))
}

/// 403 in Intune's words, naming what would be enough.
pub(crate) fn forbidden(scopes: &[String]) -> Answer {
    let message = format!(
        "Application is not authorized to perform this operation. Application must have one of the following scopes: {}",
        scopes.join(", ")
    );
    Answer::intune_error(403, "Forbidden", &message)
}

pub(crate) struct Reader<'a> {
    pub(crate) world: World<'a>,
    pub(crate) tenant: &'a SimTenant,
    pub(crate) call: &'a Call<'a>,
}

impl Reader<'_> {
    fn shape<'s>(&'s self, route: Option<&'s Route>, is_list: bool, context: &'s str) -> Shape<'s> {
        let query = &self.call.query;
        Shape { route, select: &query.select, expand: &query.expand, is_list, context }
    }

    pub(crate) fn context(&self, metadata: &str) -> String {
        let metadata = metadata.trim_start_matches('/');
        format!("{}/{}/$metadata#{metadata}", self.call.origin, self.call.version)
    }

    fn singleton(&self, place: &Place<'_, '_>) -> Answer {
        let Some(object) = place.objects.first() else { return Answer::not_found() };
        if !place.rest.is_empty() {
            return self.part(place, object, &place.rest, &place.collection);
        }
        // It is one object in v1.0 and a set of one in beta.
        if place.route.is_some_and(|route| route.key == "authorizationPolicy")
            && self.call.version == "beta"
        {
            return self.list(place.route, place.objects.iter(), 100, &place.collection);
        }
        self.one(place.route, object, &place.collection)
    }

    fn collection(&self, place: &Place<'_, '_>, keep: impl Fn(&Value) -> bool) -> Answer {
        let page = place.route.map_or(100, |route| route.page);
        let objects = place.objects.iter().filter(|object| keep(object));
        self.list(place.route, objects, page, &place.collection)
    }

    fn item(&self, place: &Place<'_, '_>) -> Answer {
        let Some((object, rest)) = place.object() else { return Answer::not_found() };
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if self.tenant.hides(id) {
            return Answer::not_found();
        }
        if rest.is_empty() {
            return self.one(place.route, object, &place.collection);
        }
        // Real clients find the policy by the id in the context (graph/README 1).
        self.part(place, object, rest, &format!("{}('{id}')", place.collection))
    }

    /// An object, whole.
    pub(crate) fn one(&self, route: Option<&Route>, object: &Value, context: &str) -> Answer {
        let context = self.context(context);
        let shape = self.shape(route, false, &context);
        if let Some(text) = shape.refused() {
            return Answer::bad_request(&text);
        }
        let mut shaped = shape.object(object);
        if let Value::Object(map) = &mut shaped {
            map.insert("@odata.context".to_owned(), format!("{context}/$entity").into());
        }
        Answer::ok(shaped)
    }

    /// What stands behind an object in the path.
    fn part(&self, place: &Place<'_, '_>, object: &Value, rest: &[&str], context: &str) -> Answer {
        let Some((name, deeper)) = rest.split_first() else {
            return self.one(None, object, context);
        };
        if name.starts_with("microsoft.graph.") {
            return self.part(place, object, deeper, context);
        }
        if let Some(answer) = virtuals::function(self, place, object, name) {
            return answer;
        }
        let is = |own: &&String| own.eq_ignore_ascii_case(name);
        if place.route.is_some_and(|route| route.expand_only.iter().any(|own| is(&own))) {
            return Answer::no_route();
        }
        let known = place.route.and_then(|route| route.navigation.iter().find(is));
        let held = object.as_object().and_then(|map| map.keys().find(is));
        let nested = NESTED.iter().copied().find(|own| own.eq_ignore_ascii_case(name));
        let entity = type_of(object).or(place.route.map(|route| route.entity.as_str()));
        // A property that has no value is still there.
        let properties = entity.and_then(|entity| self.world.schema.of(entity));
        let named = properties.and_then(|all| all.keys().find(is));
        let own = known.or(held).or(named).map(String::as_str).or(nested);
        let Some(own) = own else {
            return Answer::bad_request(&format!("Resource not found for the segment '{name}'."));
        };
        let context = format!("{context}/{own}");
        let one = entity
            .and_then(|entity| self.world.schema.property(entity, own))
            .is_some_and(|property| !property.is_collection);
        match object.get(own) {
            Some(Value::Array(parts)) => self.parts(place, parts, deeper, &context),
            Some(part @ Value::Object(_)) => self.part(place, part, deeper, &context),
            None | Some(Value::Null) if !one => self.parts(place, &[], deeper, &context),
            None | Some(Value::Null) => Answer::nothing(204),
            Some(value) => Answer::ok(json!({
                "@odata.context": self.context(&context), "value": value,
            })),
        }
    }

    fn parts(
        &self,
        place: &Place<'_, '_>,
        parts: &[Value],
        rest: &[&str],
        context: &str,
    ) -> Answer {
        match rest.split_first() {
            None => self.list(None, parts.iter(), PART_PAGE, context),
            Some((&"$count", [])) => self.count(parts.iter()),
            Some((id, deeper)) => match item(parts, id) {
                None => Answer::not_found(),
                Some(part) if deeper.is_empty() => self.one(None, part, context),
                Some(part) => self.part(place, part, deeper, &format!("{context}('{id}')")),
            },
        }
    }

    fn count<'v>(&self, objects: impl Iterator<Item = &'v Value>) -> Answer {
        match self.passing(None, objects) {
            Ok(passing) => Answer::raw(passing.len().to_string().into_bytes(), "text/plain"),
            Err(refusal) => refusal,
        }
    }

    /// What the filter lets through and nobody hides, in the order that is asked for.
    fn passing<'v>(
        &self,
        route: Option<&Route>,
        objects: impl Iterator<Item = &'v Value>,
    ) -> Result<Vec<&'v Value>, Answer> {
        let query = &self.call.query;
        let condition = match query.filter.as_deref() {
            None => None,
            Some(text) => {
                let filter = filter::parse(text)
                    .ok_or_else(|| Answer::bad_request("Invalid filter clause"))?;
                let path = &self.call.path;
                let picky = path.ends_with("/deviceEnrollmentConfigurations")
                    || path.ends_with("/managedAppPolicies");
                if route.is_some_and(|route| route.no_filter) || picky && filter.asks_for_type() {
                    return Err(Answer::bad_request(
                        "The query specified in the URI is not valid. Filter is not supported.",
                    ));
                }
                Some(filter)
            }
        };
        let mut passing: Vec<&Value> = objects
            .filter(|object| {
                let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
                condition.as_ref().is_none_or(|filter| filter.passes(object))
                    && !self.tenant.hides(id)
            })
            .collect();
        if let Some((name, falls)) = &query.order_by {
            let key = |object: &Value| {
                object.get(name).map_or_else(String::new, |value| {
                    value.as_str().map_or_else(|| value.to_string(), str::to_lowercase)
                })
            };
            passing.sort_by_cached_key(|object| key(object));
            if *falls {
                passing.reverse();
            }
        }
        Ok(passing)
    }

    /// A page of a list.
    pub(crate) fn list<'v>(
        &self,
        route: Option<&Route>,
        objects: impl Iterator<Item = &'v Value>,
        page: usize,
        metadata: &str,
    ) -> Answer {
        let (query, call) = (&self.call.query, self.call);
        let context = self.context(metadata);
        let shape = self.shape(route, true, &context);
        if let Some(text) = shape.refused() {
            return Answer::bad_request(&text);
        }
        let passing = match self.passing(route, objects) {
            Ok(passing) => passing,
            Err(refusal) => return refusal,
        };
        let size = query.top.map_or(page, |top| top.min(LARGEST_PAGE)).max(1);
        let start = query.skip.min(passing.len());
        let end = (start + size).min(passing.len());
        let value = passing[start..end].iter().map(|object| shape.object(object)).collect();
        let mut body = json!({"@odata.context": context});
        if query.count && start == 0 {
            body["@odata.count"] = passing.len().into();
        }
        if end < passing.len() {
            let next = query.next(end);
            body["@odata.nextLink"] =
                format!("{}/{}{}?{next}", call.origin, call.version, call.path).into();
        }
        body["value"] = Value::Array(value);
        Answer::ok(body)
    }
}
