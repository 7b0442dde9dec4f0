//! `/__sim/…`: for tests that look at the simulator or act behind the client's back (INTERFACE §5).
//! Unknown names in a body are refused, so that a slip of the pen does not pass as a success.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::faults::{Fault, Faults};
use crate::query::Query;
use crate::server::{Counters, Sim};
use crate::state::SimTenant;
use crate::throttle::Throttling;
use crate::{approvals, assertion, generate, place};

/// What an administrator of the pretend tenant could change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TenantChange {
    permissions: Option<Vec<String>>,
    permission_set: Option<PermissionSet>,
    secret_expired: Option<bool>,
    client_secret: Option<String>,
    consented: Option<bool>,
    /// PEM, or DER as base64.
    certificates: Option<Vec<String>>,
    /// `PS256`, `RS256`.
    algorithms: Option<Vec<String>>,
    /// All workloads, or none.
    maa: Option<bool>,
    /// These workloads.
    protected: Option<Vec<String>>,
    token_lifetime_s: Option<u64>,
    new_objects_hidden_ms: Option<u64>,
    licences: Option<Vec<String>>,
    /// Tokens keep the permissions that they were given; without it they are void.
    keep_tokens: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PermissionSet {
    /// What reads everything.
    Read,
    /// What reads and writes everything.
    Write,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectChange {
    tenant: Uuid,
    #[serde(default)]
    path: Option<String>,
    #[serde(default, rename = "type")]
    policy_type: Option<String>,
    action: Action,
    #[serde(default)]
    object: Option<Value>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    patch: Option<serde_json::Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Add,
    Change,
    Delete,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fill {
    tenant: Uuid,
    /// How many of each type; other types stay.
    types: BTreeMap<String, u32>,
    #[serde(default)]
    seed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    decision: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reset {
    keep_estate: bool,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| Answer::bad_request(&error.to_string()))
}

fn done() -> Answer {
    Answer::ok(json!({}))
}

impl Sim {
    /// Answers a control request. `path` is what stands behind `/__sim`.
    pub(crate) fn control(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        let query = Query::parse(query);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (method, segments.as_slice()) {
            ("GET", _) => self.look(&segments, &query),
            ("POST", ["objects"]) => self.given(body, Self::change_object),
            ("POST", ["estate"]) => self.given(body, |sim, fill| sim.fill(&fill)),
            ("PUT", ["faults"]) => self.given(body, |sim, faults: Vec<Fault>| {
                sim.set_faults(faults);
                done()
            }),
            ("PUT", ["throttle"]) => self.given(body, |sim, settings: Throttling| {
                sim.set_throttling(settings);
                done()
            }),
            ("PUT", ["latency"]) => self.given(body, |sim, latency: Latency| {
                sim.set_latency(Duration::from_millis(latency.ms));
                done()
            }),
            ("POST", ["reset"]) if body.is_empty() => self.reset(&Reset::default()),
            ("POST", ["reset"]) => self.given(body, |sim, reset: Reset| sim.reset(&reset)),
            ("PUT", ["tenants", id]) => {
                self.given(body, |sim, change: TenantChange| sim.change_tenant(id, change))
            }
            ("POST", ["tenants", id, "revoke"]) => match Uuid::try_parse(id) {
                Ok(id) => {
                    self.tokens().revoke(Some(id));
                    done()
                }
                Err(_) => Answer::not_found(),
            },
            ("POST", ["approvals", code]) => {
                self.given(body, |sim, decision: Decision| sim.decide(code, &decision.decision))
            }
            _ => Answer::not_found(),
        }
    }

    fn given<T: DeserializeOwned>(
        &self,
        body: &[u8],
        act: impl FnOnce(&Self, T) -> Answer,
    ) -> Answer {
        match read(body) {
            Ok(read) => act(self, read),
            Err(refusal) => refusal,
        }
    }

    fn look(&self, segments: &[&str], query: &Query) -> Answer {
        let since = query.get("since").and_then(|since| since.parse().ok()).unwrap_or(0);
        match segments {
            ["tenants"] => Answer::ok(self.tenants_json()),
            ["state"] => self.state_json(query),
            ["requests"] => self.requests_json(since),
            ["writes"] => self.writes_json(since, query),
            ["counters"] => Answer::ok(self.counters_json()),
            ["faults"] => {
                let inner = self.lock();
                let faults = inner.faults.seen().iter();
                let shown = faults.map(|(fault, seen)| json!({"fault": fault, "matched": seen}));
                Answer::ok(json!({"faults": shown.collect::<Vec<_>>()}))
            }
            ["throttle"] => Answer::ok(json!(self.lock().throttle.settings)),
            ["approvals"] => {
                let inner = self.lock();
                let shown = inner.estate.tenants.iter().flat_map(|tenant| {
                    tenant.approvals.iter().map(|approval| {
                        let mut shown = approval.shown();
                        shown["code"] = approval.code.to_string().into();
                        shown["tenant"] = tenant.id.to_string().into();
                        shown
                    })
                });
                Answer::ok(json!({"approvals": shown.collect::<Vec<_>>()}))
            }
            _ => Answer::not_found(),
        }
    }

    fn reset(&self, reset: &Reset) -> Answer {
        let mut inner = self.lock();
        if !reset.keep_estate {
            inner.estate = self.first().clone();
        }
        inner.faults = Faults::default();
        inner.throttle.clear();
        inner.log.clear();
        inner.writes.clear();
        inner.counters = Counters::default();
        self.tokens().revoke(None);
        done()
    }

    fn change_tenant(&self, id: &str, change: TenantChange) -> Answer {
        let certificates = match change.certificates {
            None => None,
            Some(given) => {
                let read: Option<Vec<String>> =
                    given.iter().map(|text| assertion::normal(text)).collect();
                let Some(read) = read else {
                    return Answer::bad_request("certificates: PEM, or DER as base64");
                };
                Some(read)
            }
        };
        let sets = change.permission_set.map(|set| self.permission_set(set));
        let mut inner = self.lock();
        let found = inner.estate.tenants.iter_mut().find(|tenant| tenant.is_named(id));
        let Some(tenant) = found else { return Answer::not_found() };
        let granted = change.permissions.or(sets);
        if granted.is_some() && !change.keep_tokens {
            self.tokens().revoke(Some(tenant.id));
        }
        set(&mut tenant.permissions, granted);
        set(&mut tenant.secret_expired, change.secret_expired);
        set(&mut tenant.client_secret, change.client_secret);
        set(&mut tenant.consented, change.consented);
        set(&mut tenant.certificates, certificates);
        set(&mut tenant.algorithms, change.algorithms);
        let all = change.maa.map(|on| if on { vec!["*".to_owned()] } else { Vec::new() });
        if let Some(protected) = change.protected.or(all) {
            tenant.protected = protected;
            approvals::show_policies(tenant);
        }
        if change.token_lifetime_s.is_some() {
            tenant.token_lifetime_s = change.token_lifetime_s;
        }
        set(&mut tenant.new_objects_hidden_ms, change.new_objects_hidden_ms);
        set(&mut tenant.licences, change.licences);
        done()
    }

    fn permission_set(&self, set: PermissionSet) -> Vec<String> {
        let routes = self.routes().iter().filter(|route| !route.delegated_only);
        let mut names: Vec<String> = match set {
            PermissionSet::None => Vec::new(),
            PermissionSet::Read => routes.flat_map(|route| route.permissions.clone()).collect(),
            PermissionSet::Write => routes
                .flat_map(|route| route.permissions.iter().chain(&route.write_permissions).cloned())
                .collect(),
        };
        names.sort();
        names.dedup();
        names
    }

    fn decide(&self, code: &str, decision: &str) -> Answer {
        let Ok(code) = Uuid::try_parse(code) else { return Answer::not_found() };
        let mut inner = self.lock();
        let mut tenants = inner.estate.tenants.iter_mut();
        match tenants.find_map(|tenant| approvals::decide(tenant, code, decision)) {
            Some(true) => done(),
            Some(false) => Answer::bad_request(
                "decision: approve, reject or expire, for a request that still waits",
            ),
            None => Answer::not_found(),
        }
    }

    fn fill(&self, fill: &Fill) -> Answer {
        let mut inner = self.lock();
        let Some(tenant) = inner.estate.tenant_mut(fill.tenant) else { return Answer::not_found() };
        match generate::refill(tenant, (self.routes(), self.schema()), &fill.types, fill.seed) {
            Ok(objects) => Answer::ok(json!({"objects": objects})),
            Err(unknown) => Answer::bad_request(&format!("types: {unknown} is not known")),
        }
    }

    fn tenants_json(&self) -> Value {
        let inner = self.lock();
        let shown = |tenant: &SimTenant| {
            json!({
                "id": tenant.id, "domain": tenant.domain, "display_name": tenant.display_name,
                "client_id": tenant.client_id, "client_secret": tenant.client_secret,
                "permissions": tenant.permissions, "consented": tenant.consented,
                "secret_expired": tenant.secret_expired, "protected": tenant.protected,
                "certificates": tenant.certificates.len(),
            })
        };
        json!({"tenants": inner.estate.tenants.iter().map(shown).collect::<Vec<_>>()})
    }

    fn state_json(&self, query: &Query) -> Answer {
        let inner = self.lock();
        let named = query.get("tenant").and_then(|name| inner.estate.named(name));
        let Some(tenant) = named else { return Answer::not_found() };
        let Some(key) = query.get("type") else {
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

    fn requests_json(&self, since: u64) -> Answer {
        let inner = self.lock();
        let requests: Vec<Value> = inner
            .log
            .iter()
            .filter(|entry| entry.number > since)
            .map(|entry| {
                json!({
                    "number": entry.number, "at_ms": entry.at_ms, "host": entry.host,
                    "tenant": entry.tenant, "method": entry.method, "path": entry.path,
                    "query": entry.query, "status": entry.status, "body_sha256": entry.body,
                    "batch": entry.batch,
                })
            })
            .collect();
        Answer::ok(json!({ "requests": requests }))
    }

    fn writes_json(&self, since: u64, query: &Query) -> Answer {
        let inner = self.lock();
        let tenant = query.get("tenant").and_then(|id| Uuid::try_parse(id).ok());
        let writes: Vec<Value> = inner
            .writes
            .iter()
            .filter(|entry| entry.number > since && tenant.is_none_or(|id| id == entry.tenant))
            .map(|entry| {
                json!({
                    "number": entry.number, "at_ms": entry.at_ms, "tenant": entry.tenant,
                    "method": entry.method, "version": entry.version, "path": entry.path,
                    "status": entry.status, "body": entry.body,
                })
            })
            .collect();
        Answer::ok(json!({ "writes": writes }))
    }

    fn counters_json(&self) -> Value {
        let counters = &self.lock().counters;
        json!({
            "graph": counters.graph, "graph_http": counters.graph_http, "login": counters.login,
            "writes": counters.writes, "by_status": counters.by_status,
            "by_item_status": counters.by_item_status,
        })
    }

    fn change_object(&self, change: ObjectChange) -> Answer {
        let path = change.path.or_else(|| {
            let key = change.policy_type?;
            self.routes().iter().find(|route| route.key == key).map(|route| route.path.clone())
        });
        let Some(path) = path else { return Answer::bad_request("path, or a known type") };
        let mut inner = self.lock();
        let Some(tenant) = inner.estate.tenant_mut(change.tenant) else {
            return Answer::not_found();
        };
        tenant.learn_definitions();
        let objects = tenant.collections.entry(path).or_default();
        let at = change.id.as_deref().and_then(|id| place::index(objects, id));
        match (change.action, change.object, at, change.patch) {
            (Action::Add, Some(object), ..) => objects.push(object),
            (Action::Delete, _, Some(index), _) => drop(objects.remove(index)),
            (Action::Change, _, Some(index), Some(patch)) => {
                for (key, value) in patch {
                    objects[index][key] = value;
                }
            }
            (Action::Add, None, ..) => return Answer::bad_request("add needs an object"),
            (Action::Change, _, Some(_), None) => {
                return Answer::bad_request("change needs a patch");
            }
            (Action::Change | Action::Delete, _, None, _) => return Answer::not_found(),
        }
        done()
    }
}

fn set<T>(own: &mut T, change: Option<T>) {
    if let Some(change) = change {
        *own = change;
    }
}
