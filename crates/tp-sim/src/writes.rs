//! Writes of one tenant: create, update, delete; what is done by actions stands in `actions`.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::actions;
use crate::answer::Answer;
use crate::call::Call;
use crate::checks::{self, Judge, Mode, body};
use crate::clock;
use crate::place::Target;
use crate::prepare;
use crate::reads::{self, Reader, World};
use crate::routes::{Route, type_of};
use crate::rules;
use crate::state::SimTenant;

/// What is refused before approval is asked: the address, the version, the permission.
pub(crate) fn refusal(world: World<'_>, tenant: &SimTenant, call: &Call<'_>) -> Option<Answer> {
    if let Some(key) = actions::key_of(call)
        && let Some(route) = world.routes.iter().find(|route| route.key == key)
    {
        return reads::refusal(world, Some(route), call);
    }
    let Some(target) = Target::find(tenant, world.routes, &call.path) else {
        return Some(Answer::no_route());
    };
    reads::refusal(world, target.route, call)
}

/// Carries a write out. `next` is the id of a new object.
pub(crate) fn answer(
    world: World<'_>,
    tenant: &mut SimTenant,
    call: &Call<'_>,
    next: Uuid,
) -> Answer {
    if let Some(answer) = actions::at_no_object(world, tenant, call, next) {
        return answer;
    }
    if call.path.to_ascii_lowercase().starts_with("/devicemanagement/grouppolicyconfigurations") {
        tenant.learn_definitions();
    }
    let Some(target) = Target::find(tenant, world.routes, &call.path) else {
        return Answer::no_route();
    };
    let Some(route) = target.route else { return Answer::not_allowed() };
    let writer = Writer { world, call, next };
    let done = match (call.method, target.index, target.rest.len()) {
        ("POST", None, 0) if !route.singleton => writer.create(tenant, &target.collection),
        ("PATCH" | "PUT", Some(index), 0) => writer.update(tenant, route, &target, index),
        ("PATCH", None, 1) if route.key == "authenticationContext" => {
            writer.upsert(tenant, route, &target)
        }
        ("DELETE", Some(index), 0) => delete(tenant, route, &target, index),
        (_, Some(index), 1..) => actions::answer(&writer, tenant, route, &target, index),
        ("PATCH" | "PUT" | "DELETE" | "POST", None, 1..) => Err(Answer::not_found()),
        _ => Err(Answer::not_allowed()),
    };
    done.unwrap_or_else(|refusal| refusal)
}

pub(crate) struct Writer<'a> {
    pub(crate) world: World<'a>,
    pub(crate) call: &'a Call<'a>,
    pub(crate) next: Uuid,
}

/// Sets what the service sets by itself.
fn stamp(world: World<'_>, entity: &str, object: &mut Map<String, Value>, is_new: bool) {
    let now = clock::stamp(clock::now());
    let has = |name: &str| world.schema.property(entity, name).is_some();
    for name in ["lastModifiedDateTime", "modifiedDateTime"] {
        if has(name) {
            object.insert(name.to_owned(), now.clone().into());
        }
    }
    if is_new && has("createdDateTime") {
        object.insert("createdDateTime".to_owned(), now.into());
    }
    let version = world.schema.property(entity, "version");
    if version.is_some_and(|version| version.kind == crate::schema::Kind::Number) {
        let before = object.get("version").and_then(Value::as_u64).unwrap_or(0);
        object.insert("version".to_owned(), (before + 1).into());
    }
}

impl Writer<'_> {
    pub(crate) fn reader<'s>(&'s self, tenant: &'s SimTenant) -> Reader<'s> {
        Reader { world: self.world, tenant, call: self.call }
    }

    fn create(&self, tenant: &mut SimTenant, collection: &str) -> Result<Answer, Answer> {
        let sent = body(self.call)?;
        let whole = Value::Object(sent.clone());
        let (route, entity) =
            checks::concrete(self.world.routes, collection, &whole, Mode::Create)?;
        let Some(status) = route.create else { return Err(Answer::not_allowed()) };
        let judge = Judge {
            schema: self.world.schema,
            route,
            entity: &entity,
            mode: Mode::Create,
            call: self.call,
            existing: None,
        };
        judge.body(sent)?;
        rules::create(tenant, route, sent)?;
        let id = rules::new_id(tenant, route, collection, &whole, self.next);
        let object = self.made(route, &entity, sent, &id);
        if tenant.new_objects_hidden_ms > 0 {
            let until = Instant::now() + Duration::from_millis(tenant.new_objects_hidden_ms);
            tenant.hidden.insert(id.clone(), until);
        }
        tenant.collections.entry(collection.to_owned()).or_default().push(object.clone());
        audit(tenant, route, &id, "Create");
        let mut answer = self.reader(tenant).one(Some(route), &object, collection);
        answer.status = status;
        // The answer of the app protection sets carries no type: it must be read again.
        if collection.starts_with("/deviceAppManagement/")
            && collection.contains("Protection")
            && let Some(Value::Object(map)) = answer.value_mut()
        {
            map.remove("@odata.type");
        }
        Ok(answer)
    }

    /// The new object as the service keeps it.
    fn made(&self, route: &Route, entity: &str, sent: &Map<String, Value>, id: &str) -> Value {
        let mut object = Map::new();
        object.insert("id".to_owned(), id.into());
        object.extend(sent.clone());
        object.retain(|name, _| !name.starts_with('#'));
        prepare::bound(&mut object);
        let has = |name: &str| self.world.schema.property(entity, name).is_some();
        let mut put = |name: &str, value: Value| {
            if has(name) && !object.contains_key(name) {
                object.insert(name.to_owned(), value);
            }
        };
        put("roleScopeTagIds", json!(["0"]));
        put("isAssigned", false.into());
        put("isBuiltIn", false.into());
        put("description", Value::Null);
        if let Some(settings) = sent.get("settings").and_then(Value::as_array) {
            put("settingCount", settings.len().into());
        }
        if route.assign.is_some() && !object.contains_key("assignments") {
            object.insert("assignments".to_owned(), json!([]));
        }
        stamp(self.world, entity, &mut object, true);
        prepare::prepare(&mut object, route);
        Value::Object(object)
    }

    fn update(
        &self,
        tenant: &mut SimTenant,
        route: &Route,
        target: &Target<'_>,
        index: usize,
    ) -> Result<Answer, Answer> {
        let Some(update) = &route.update else { return Err(Answer::not_allowed()) };
        let existing = existing(tenant, target, index)?;
        let sent = body(self.call)?;
        let whole = Value::Object(sent.clone());
        let mode = match (self.call.method, update.method.as_str()) {
            ("PUT", "PUT") => Mode::Put,
            ("PATCH", "PATCH") => Mode::Patch,
            ("PATCH", "PUT") if !update.metadata.is_empty() => Mode::Patch,
            _ => return Err(Answer::not_allowed()),
        };
        if mode == Mode::Patch && update.method == "PUT" {
            let other = sent.keys().find(|name| {
                !update.metadata.contains(name) && *name != "@odata.type" && *name != "id"
            });
            if let Some(name) = other {
                return Err(Answer::bad_model(&format!(
                    "The property '{name}' cannot be changed with PATCH."
                )));
            }
        }
        let (_, entity) = match (type_of(&whole), type_of(&existing)) {
            (None, _) if !route.needs_type => (route, self.entity(route, &existing)),
            (Some(new), Some(old)) if new != old => {
                return Err(Answer::bad_model(&format!(
                    "The type 'microsoft.graph.{new}' is not assignable to the expected type 'microsoft.graph.{old}'."
                )));
            }
            _ => checks::concrete(self.world.routes, &target.collection, &whole, mode)?,
        };
        let judge = Judge {
            schema: self.world.schema,
            route,
            entity: &entity,
            mode,
            call: self.call,
            existing: Some(&existing),
        };
        judge.body(sent)?;
        rules::update(tenant, route, &existing, sent)?;
        let object = self.changed(route, &entity, existing, sent, mode);
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        put_back(tenant, target, index, object.clone());
        audit(tenant, route, &id, "Patch");
        Ok(match update.status {
            // What goes as a whole by PUT answers PATCH in the same way.
            204 => Answer::nothing(204),
            status => {
                let mut answer = self.reader(tenant).one(Some(route), &object, &target.collection);
                answer.status = status;
                answer
            }
        })
    }

    fn changed(
        &self,
        route: &Route,
        entity: &str,
        existing: Value,
        sent: &Map<String, Value>,
        mode: Mode,
    ) -> Value {
        let Value::Object(mut object) = existing else { return Value::Null };
        if mode == Mode::Put {
            // What the body leaves out is gone, except what only the service sets.
            let kept =
                ["id", "createdDateTime", "version", "assignments", "isAssigned", "@odata.type"];
            object.retain(|name, _| {
                kept.contains(&name.as_str())
                    || route.refused.contains(name)
                    || (route.navigation.contains(name) && !route.create_navigation.contains(name))
            });
        }
        object.extend(sent.clone());
        prepare::bound(&mut object);
        if let Some(count) = object.get("settings").and_then(Value::as_array).map(Vec::len)
            && self.world.schema.property(entity, "settingCount").is_some()
        {
            object.insert("settingCount".to_owned(), count.into());
        }
        stamp(self.world, entity, &mut object, false);
        prepare::prepare(&mut object, route);
        Value::Object(object)
    }

    /// A write names the id that it makes (authentication contexts c1 to c99).
    fn upsert(
        &self,
        tenant: &mut SimTenant,
        route: &Route,
        target: &Target<'_>,
    ) -> Result<Answer, Answer> {
        let sent = body(self.call)?;
        let id = target.rest.first().cloned().unwrap_or_default();
        let number = id.strip_prefix('c').and_then(|number| number.parse::<u32>().ok());
        if number.is_none_or(|number| !(1..=99).contains(&number)) {
            return Err(Answer::bad_request("The id must be c1 to c99."));
        }
        let mut sent = sent.clone();
        sent.remove("id");
        let judge = Judge {
            schema: self.world.schema,
            route,
            entity: &route.entity,
            mode: Mode::Create,
            call: self.call,
            existing: None,
        };
        judge.body(&sent)?;
        let object = self.made(route, &route.entity, &sent, &id);
        tenant.collections.entry(target.collection.clone()).or_default().push(object);
        audit(tenant, route, &id, "Create");
        Ok(Answer::nothing(204))
    }

    pub(crate) fn entity(&self, route: &Route, object: &Value) -> String {
        type_of(object)
            .filter(|name| self.world.schema.of(name).is_some())
            .map_or_else(|| route.entity.clone(), str::to_owned)
    }

    /// Notes that an object was changed by an action.
    pub(crate) fn touch(&self, route: &Route, object: &mut Value) {
        let entity = self.entity(route, object);
        if let Value::Object(map) = object {
            stamp(self.world, &entity, map, false);
        }
    }
}

fn delete(
    tenant: &mut SimTenant,
    route: &Route,
    target: &Target<'_>,
    index: usize,
) -> Result<Answer, Answer> {
    let Some(status) = route.delete else { return Err(Answer::not_allowed()) };
    let existing = existing(tenant, target, index)?;
    rules::delete(tenant, route, &existing)?;
    let id = existing.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(objects) = tenant.collections.get_mut(&target.collection) {
        objects.remove(index);
    }
    // What hangs below it goes with it.
    let below = format!("{}/{id}/", target.collection).to_ascii_lowercase();
    tenant.collections.retain(|path, _| !path.to_ascii_lowercase().starts_with(&below));
    audit(tenant, route, &id, "Delete");
    Ok(Answer::nothing(status))
}

/// The object as it is; 404 while it is too new to be found.
pub(crate) fn existing(
    tenant: &SimTenant,
    target: &Target<'_>,
    index: usize,
) -> Result<Value, Answer> {
    let object = tenant.collections.get(&target.collection).and_then(|list| list.get(index));
    let object = object.ok_or_else(Answer::not_found)?;
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    if tenant.hides(id) { Err(Answer::not_found()) } else { Ok(object.clone()) }
}

pub(crate) fn put_back(tenant: &mut SimTenant, target: &Target<'_>, index: usize, object: Value) {
    let held = tenant.collections.get_mut(&target.collection);
    if let Some(own) = held.and_then(|objects| objects.get_mut(index)) {
        *own = object;
    }
}

/// Adds to `auditEvents`, newest last; a thousand are kept.
pub(crate) fn audit(tenant: &mut SimTenant, route: &Route, id: &str, operation: &str) {
    let entity = &route.entity;
    let number = tenant.made;
    let event = json!({
        "id": Uuid::new_v5(&tenant.id, format!("audit/{number}/{id}/{operation}").as_bytes()),
        "displayName": format!("{operation} {entity}"), "componentName": route.label,
        "activity": null, "activityDateTime": clock::stamp(clock::now()),
        "activityType": format!("{operation} {entity}"), "activityOperationType": operation,
        "activityResult": "Success", "correlationId": crate::answer::request_id(), "category": "DeviceConfiguration",
        "actor": {"auditActorType": "Application", "applicationId": tenant.client_id, "applicationDisplayName": "TenantPilot"},
        "resources": [{"displayName": entity, "auditResourceType": entity, "resourceId": id, "modifiedProperties": []}],
    });
    if tenant.audit.len() >= 1000 {
        tenant.audit.remove(0);
    }
    tenant.audit.push(event);
}
