//! What a write's body may hold.

use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::call::{Call, Sent};
use crate::routes::{Route, type_of};
use crate::schema::Schema;

/// What real clients send and the service passes over (graph/README, "found" 5).
const PASSED_OVER: [&str; 3] = ["creationSource", "deletedDateTime", "appSupportsOemConfig"];

/// What is done with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Create,
    Patch,
    Put,
}

/// The JSON object that a request carries.
pub(crate) fn body<'c>(call: &'c Call<'_>) -> Result<&'c Map<String, Value>, Answer> {
    match &call.body {
        Sent::Nothing => Err(Answer::bad_request("Empty Payload. JSON content expected.")),
        Sent::Json(Value::Object(map)) => Ok(map),
        Sent::Json(_) | Sent::Other(_) => {
            Err(Answer::bad_request("Unable to read JSON request payload."))
        }
    }
}

/// The type that a body is of, among those of its set, with the entity's name.
pub(crate) fn concrete<'r>(
    routes: &'r [Route],
    collection: &str,
    object: &Value,
    mode: Mode,
) -> Result<(&'r Route, String), Answer> {
    let at: Vec<&Route> = routes.iter().filter(|route| route.is_at(collection)).collect();
    let needs = at.iter().any(|route| route.needs_type);
    let usual = crate::routes::of(routes, collection, Some(object)).ok_or_else(Answer::no_route)?;
    let Some(name) = type_of(object) else {
        return match (needs, mode) {
            (true, Mode::Create) => Err(Answer::bad_model("Cannot create an abstract class.")),
            (true, _) => Err(Answer::bad_model(
                "The property '@odata.type' is required to update an object of a derived type.",
            )),
            (false, _) => Ok((usual, usual.entity.clone())),
        };
    };
    let of = |route: &&&Route| {
        let plain = route.odata_types.is_empty() && route.entity == name;
        plain || route.odata_types.iter().any(|own| own == name)
    };
    // Types that share a set without a word of their own are told apart by the object.
    if let Some(route) = at.iter().find(of) {
        let own = if usual.odata_types.is_empty() { usual } else { route };
        return Ok((own, name.to_owned()));
    }
    if at.iter().any(|route| route.entity == name) {
        return Err(Answer::bad_model("Cannot create an abstract class."));
    }
    Err(Answer::bad_model(&format!(
        "A type named 'microsoft.graph.{name}' could not be resolved by the model, or is not assignable to the expected type 'microsoft.graph.{}'.",
        usual.entity
    )))
}

/// Judges each property of a body.
pub(crate) struct Judge<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) route: &'a Route,
    pub(crate) entity: &'a str,
    pub(crate) mode: Mode,
    pub(crate) call: &'a Call<'a>,
    /// The object as it is.
    pub(crate) existing: Option<&'a Value>,
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|own| own == name)
}

impl Judge<'_> {
    pub(crate) fn body(&self, body: &Map<String, Value>) -> Result<(), Answer> {
        for (name, value) in body {
            if name == "@odata.type" || PASSED_OVER.contains(&name.as_str()) {
                continue;
            }
            if let Some(navigation) = name.strip_suffix("@odata.bind") {
                self.bind(navigation, value)?;
            } else if name.starts_with('#') || name.contains("@odata.") {
                annotation(name)?;
            } else if name == "id" {
                self.id(value)?;
            } else {
                self.property(name, value)?;
            }
        }
        self.immutable(body)
    }

    fn bind(&self, navigation: &str, value: &Value) -> Result<(), Answer> {
        if !has(&self.route.navigation, navigation) {
            return Err(self.unknown(navigation));
        }
        let addresses: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        for address in addresses {
            address_is_good(self.call, address)?;
        }
        Ok(())
    }

    fn id(&self, value: &Value) -> Result<(), Answer> {
        let own = self.existing.and_then(|object| object.get("id"));
        match self.mode {
            Mode::Create => Err(read_only("id")),
            Mode::Patch | Mode::Put if own == Some(value) => Ok(()),
            Mode::Patch | Mode::Put => {
                Err(Answer::bad_model("The id of the body differs from the id of the address."))
            }
        }
    }

    fn property(&self, name: &str, value: &Value) -> Result<(), Answer> {
        let Some(property) = self.schema.property(self.entity, name) else {
            return Err(self.unknown(name));
        };
        let is_navigation = property.is_navigation;
        let inline = has(&self.route.create_navigation, name);
        if property.is_read_only || has(&self.route.refused, name) {
            return Err(read_only(name));
        }
        if self.mode != Mode::Create && has(&self.route.fixed, name) {
            return Err(Answer::bad_model(&format!(
                "The property '{name}' cannot be changed by an update."
            )));
        }
        if is_navigation && !(inline && self.mode != Mode::Patch) {
            return Err(Answer::bad_model(&format!(
                "The navigation property '{name}' cannot be set within the object."
            )));
        }
        if value.is_null() && !property.is_nullable && !is_navigation {
            return Err(Answer::bad_model(&format!(
                "A null value was found for the property named '{name}', which is not nullable."
            )));
        }
        if !is_navigation && !property.takes(value) {
            return Err(Answer::bad_model(&format!(
                "Cannot convert the value of the property '{name}' to the expected type."
            )));
        }
        Ok(())
    }

    /// What may only be sent with the value that is there.
    fn immutable(&self, body: &Map<String, Value>) -> Result<(), Answer> {
        let Some(existing) = self.existing else { return Ok(()) };
        for path in &self.route.immutable {
            let (first, rest) = path.split_once('.').unwrap_or((path, ""));
            let Some(new) = body.get(first) else { continue };
            let inner = |value: &Value| {
                if rest.is_empty() {
                    value.clone()
                } else {
                    value.get(rest).cloned().unwrap_or(Value::Null)
                }
            };
            let old = existing.get(first).map_or(Value::Null, inner);
            if inner(new) != old {
                return Err(Answer::bad_model(&format!(
                    "The property '{path}' cannot be changed after creation."
                )));
            }
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Answer {
        Answer::bad_model(&format!(
            "The property '{name}' does not exist on type 'microsoft.graph.{}'. Make sure to only use property names that are defined by the type.",
            self.entity
        ))
    }
}

/// The type of a property may be said; what only answers carry may not.
fn annotation(name: &str) -> Result<(), Answer> {
    if name.ends_with("@odata.type") && !name.starts_with('#') {
        return Ok(());
    }
    Err(Answer::bad_model(&format!(
        "The annotation '{name}' was found in the payload; it is not allowed in a request."
    )))
}

fn read_only(name: &str) -> Answer {
    Answer::bad_model(&format!("The property '{name}' is read-only and cannot be set."))
}

/// `@odata.bind` is absolute, and of the version of the request (PROTOCOL §9).
pub(crate) fn address_is_good(call: &Call<'_>, address: &Value) -> Result<(), Answer> {
    let url = address.as_str().and_then(|text| url::Url::parse(text).ok());
    let version = url.as_ref().and_then(|url| url.path_segments()?.find(|one| !one.is_empty()));
    match version {
        None => Err(Answer::bad_model("The address of @odata.bind must be absolute.")),
        Some(version) if version == call.version => Ok(()),
        Some(_) => Err(Answer::bad_model(
            "The address of @odata.bind must be of the version of the request.",
        )),
    }
}
