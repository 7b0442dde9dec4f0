//! `/__sim/…`: for tests that look at the simulator or act behind the client's back (INTERFACE §5).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::faults::{Fault, Faults};
use crate::login;
use crate::query::Query;
use crate::server::{Counters, Inner, Sim};

impl Sim {
    /// Answers a control request. `path` is what stands behind `/__sim`.
    pub(crate) fn control(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        let json_body = || serde_json::from_slice::<Value>(body).ok();
        match (method, path) {
            ("GET", "/tenants") => Answer::ok(self.tenants_json()),
            ("GET", "/state") => self.state_json(query),
            ("GET", "/requests") => self.requests_json(query),
            ("GET", "/counters") => Answer::ok(self.counters_json()),
            ("POST", "/objects") => json_body().map_or_else(bad, |body| self.change_objects(&body)),
            ("PUT", "/faults") => match serde_json::from_slice::<Vec<Fault>>(body) {
                Ok(faults) => {
                    self.set_faults(faults);
                    Answer::ok(json!({}))
                }
                Err(error) => Answer::bad_request(&format!("faults: {error}")),
            },
            ("POST", "/reset") => {
                let mut inner = self.lock();
                inner.faults = Faults::default();
                inner.log.clear();
                inner.counters = Counters::default();
                self.tokens().revoke();
                Answer::ok(json!({}))
            }
            ("PUT", path) if path.starts_with("/tenants/") => {
                let id = path.rsplit('/').next().and_then(|id| Uuid::try_parse(id).ok());
                match (id, json_body()) {
                    (Some(id), Some(change)) => {
                        let mut inner = self.lock();
                        let Some(tenant) = inner.estate.tenant_mut(id) else {
                            return Answer::not_found();
                        };
                        login::change(tenant, &change);
                        Answer::ok(json!({}))
                    }
                    _ => bad(),
                }
            }
            _ => Answer::not_found(),
        }
    }

    fn tenants_json(&self) -> Value {
        let inner = self.lock();
        let tenants: Vec<Value> = inner
            .estate
            .tenants
            .iter()
            .map(|tenant| {
                json!({
                    "id": tenant.id, "domain": tenant.domain, "display_name": tenant.display_name,
                    "client_id": tenant.client_id, "client_secret": tenant.client_secret,
                })
            })
            .collect();
        json!({ "tenants": tenants })
    }

    fn state_json(&self, query: &str) -> Answer {
        let pairs = Query::parse(query).pairs;
        let get = |name: &str| pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        let inner = self.lock();
        let tenant = get("tenant").and_then(|id| Uuid::try_parse(id).ok());
        let Some(tenant) = tenant.and_then(|id| inner.estate.tenant(id)) else {
            return Answer::not_found();
        };
        let Some(key) = get("type") else {
            return Answer::ok(json!(tenant.collections));
        };
        let Some(route) = self.routes().iter().find(|route| route.key == *key) else {
            return Answer::not_found();
        };
        let objects: Vec<&Value> = tenant
            .collections
            .iter()
            .filter(|(path, _)| route.is_at(path))
            .flat_map(|(_, objects)| objects)
            .collect();
        Answer::ok(json!({ "objects": objects }))
    }

    fn requests_json(&self, query: &str) -> Answer {
        let pairs = Query::parse(query).pairs;
        let since = pairs.iter().find(|(name, _)| name == "since");
        let since: u64 = since.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        let inner = self.lock();
        let requests: Vec<Value> = inner
            .log
            .iter()
            .filter(|entry| entry.number > since)
            .map(|entry| {
                json!({
                    "number": entry.number, "at_ms": entry.at_ms, "host": entry.host,
                    "tenant": entry.tenant, "method": entry.method, "path": entry.path,
                    "status": entry.status,
                })
            })
            .collect();
        Answer::ok(json!({ "requests": requests }))
    }

    fn counters_json(&self) -> Value {
        let counters = &self.lock().counters;
        json!({
            "graph": counters.graph, "graph_http": counters.graph_http, "login": counters.login,
            "by_status": counters.by_status,
        })
    }

    /// `{tenant, path, action: add|change|delete, object | id, patch}`.
    fn change_objects(&self, body: &Value) -> Answer {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let tenant = text("tenant").and_then(|id| Uuid::try_parse(id).ok());
        let path = text("path").map(str::to_owned).or_else(|| {
            let route =
                self.routes().iter().find(|route| Some(route.key.as_str()) == text("type"))?;
            Some(route.path.clone())
        });
        let (Some(tenant), Some(path), Some(action)) = (tenant, path, text("action")) else {
            return bad();
        };
        let mut inner: std::sync::MutexGuard<'_, Inner> = self.lock();
        let Some(tenant) = inner.estate.tenant_mut(tenant) else { return Answer::not_found() };
        let objects = tenant.collections.entry(path).or_default();
        let at = |objects: &[Value], id: &str| {
            objects.iter().position(|object| object.get("id").and_then(Value::as_str) == Some(id))
        };
        match (action, body.get("object"), text("id")) {
            ("add", Some(object), _) => {
                objects.push(object.clone());
                Answer::ok(json!({}))
            }
            ("delete", _, Some(id)) => match at(objects, id) {
                Some(index) => {
                    objects.remove(index);
                    Answer::ok(json!({}))
                }
                None => Answer::not_found(),
            },
            ("change", _, Some(id)) => {
                match (at(objects, id), body.get("patch").and_then(Value::as_object)) {
                    (Some(index), Some(patch)) => {
                        for (key, value) in patch {
                            objects[index][key] = value.clone();
                        }
                        Answer::ok(json!({}))
                    }
                    _ => Answer::not_found(),
                }
            }
            _ => bad(),
        }
    }
}

fn bad() -> Answer {
    Answer::bad_request(
        "the request's body or parameters are not those of this control; see INTERFACE",
    )
}
