//! What a person wants restored, before there is a plan: from where, which of it, and how.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::ids::{TenantId, VersionId};
use crate::operation::{InputError, only_keys};
use crate::policy::PolicyType;
use crate::restore::mapping::Mapping;

/// So many versions or policies are chosen one by one at most; more is a whole set.
pub const MOST_CHOSEN: usize = 1_000;

/// Where it is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreSource {
    /// A backup set, by its number.
    Backup(u64),
    /// Single versions.
    Versions(Vec<VersionId>),
}

/// A policy of the source, by what identifies it: never by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chosen {
    /// Its type.
    pub policy_type: PolicyType,
    /// Its Graph id; the type's key for the one object that a tenant has.
    pub graph_id: String,
}

/// A restore as it is being put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreDraft {
    /// The tenant that it is taken from, of the same workspace; none for the one that is written to.
    pub source_tenant: Option<TenantId>,
    /// Where it is taken from.
    pub source: RestoreSource,
    /// Which policies of a set; none for all of it.
    pub items: Option<BTreeSet<Chosen>>,
    /// What was chosen where ids do not tell.
    pub mapping: Mapping,
    /// Whether a second person must agree.
    pub second_approver: bool,
    /// Whether the first failure leaves the rest undone.
    pub stop_on_failure: bool,
}

impl RestoreDraft {
    /// All of a backup set.
    pub const fn of_backup(number: u64) -> Self {
        Self {
            source_tenant: None,
            source: RestoreSource::Backup(number),
            items: None,
            mapping: Mapping::NONE,
            second_approver: false,
            stop_on_failure: false,
        }
    }

    /// Whether that policy of the source is wanted.
    pub fn wants(&self, policy_type: &PolicyType, graph_id: &str) -> bool {
        self.items.as_ref().is_none_or(|items| {
            items.contains(&Chosen {
                policy_type: policy_type.clone(),
                graph_id: graph_id.to_owned(),
            })
        })
    }

    /// Reads a draft as the API takes it and as the store keeps it.
    pub fn parse(value: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let detail = "unknown member; allowed: source, items, mapping, options";
        let allowed = ["source", "items", "mapping", "options"];
        let Some(map) = only_keys(value, &allowed, detail, &mut errors) else {
            return Err(errors);
        };
        let source = source(map.get("source"), &mut errors);
        let items = items(map.get("items"), &mut errors);
        let mapping = match map.get("mapping") {
            None | Some(Value::Null) => Some(Mapping::NONE),
            Some(value) => Mapping::parse(value),
        };
        if mapping.is_none() {
            let detail = "must be {kind: {id: {\"to\": id} | \"create\" | \"drop\" | \"skip\"}}";
            errors.push(InputError::new("/mapping", detail));
        }
        let option = |name: &'static str, errors: &mut Vec<InputError>| {
            let options = match map.get("options") {
                None | Some(Value::Null) => return false,
                Some(options) => options,
            };
            match options.get(name) {
                None => false,
                Some(Value::Bool(given)) => *given,
                Some(_) => {
                    let detail = "must be true or false";
                    errors.push(InputError::at(format!("/options/{name}"), detail));
                    false
                }
            }
        };
        let known = |key: &String| key == "second_approver" || key == "stop_on_failure";
        match map.get("options") {
            None | Some(Value::Null) => {}
            Some(Value::Object(options)) if options.keys().all(known) => {}
            Some(_) => {
                let detail = "must be an object with second_approver and stop_on_failure";
                errors.push(InputError::new("/options", detail));
            }
        }
        let second_approver = option("second_approver", &mut errors);
        let stop_on_failure = option("stop_on_failure", &mut errors);
        match (source, items, mapping) {
            (Some((source_tenant, source)), Some(items), Some(mapping)) if errors.is_empty() => {
                Ok(Self { source_tenant, source, items, mapping, second_approver, stop_on_failure })
            }
            _ => Err(errors),
        }
    }

    /// The draft in the form that [`Self::parse`] reads.
    pub fn json(&self) -> Value {
        let mut source = match &self.source {
            RestoreSource::Backup(number) => json!({ "backup": number }),
            RestoreSource::Versions(ids) => {
                json!({"versions": ids.iter().map(VersionId::to_string).collect::<Vec<_>>()})
            }
        };
        if let Some(tenant) = self.source_tenant {
            source["tenant"] = tenant.to_string().into();
        }
        let items = self.items.as_ref().map_or_else(
            || json!("all"),
            |items| {
                let one = |item: &Chosen| {
                    json!({"type": item.policy_type.as_str(), "graph_id": item.graph_id})
                };
                items.iter().map(one).collect()
            },
        );
        json!({
            "source": source, "items": items, "mapping": self.mapping,
            "options": {
                "second_approver": self.second_approver, "stop_on_failure": self.stop_on_failure,
            },
        })
    }
}

/// The tenant and the source. The tenant is an id here: who takes a slug puts the id in its place.
fn source(
    value: Option<&Value>,
    errors: &mut Vec<InputError>,
) -> Option<(Option<TenantId>, RestoreSource)> {
    let map = value.and_then(Value::as_object);
    let tenant = match map.and_then(|map| map.get("tenant")) {
        None | Some(Value::Null) => Some(None),
        Some(id) => id.as_str().and_then(|id| id.parse().ok()).map(Some),
    };
    let named = map.map_or(0, |map| map.keys().filter(|key| *key != "tenant").count());
    let read = map.filter(|_| named == 1).and_then(|map: &Map<String, Value>| {
        if let Some(number) = map.get("backup") {
            let number = number.as_u64().filter(|number| (1..=i64::MAX as u64).contains(number));
            return number.map(RestoreSource::Backup);
        }
        if let Some(id) = map.get("version") {
            return id.as_str()?.parse().ok().map(|id| RestoreSource::Versions(vec![id]));
        }
        let list = map.get("versions")?.as_array()?;
        let ids = list.iter().map(|id| id.as_str()?.parse().ok());
        let ids: Vec<VersionId> = ids.collect::<Option<_>>()?;
        (1..=MOST_CHOSEN).contains(&ids.len()).then_some(RestoreSource::Versions(ids))
    });
    let read = tenant.zip(read);
    if read.is_none() {
        let detail = "must be {\"backup\": number}, {\"version\": id} or {\"versions\": [id, …]}, \
                      with or without the id of its tenant";
        errors.push(InputError::new("/source", detail));
    }
    read
}

#[expect(clippy::option_option, reason = "none: wrong; none inside: all")]
fn items(value: Option<&Value>, errors: &mut Vec<InputError>) -> Option<Option<BTreeSet<Chosen>>> {
    let one = |item: &Value| {
        Some(Chosen {
            policy_type: PolicyType::new(item.get("type")?.as_str()?).ok()?,
            graph_id: item.get("graph_id")?.as_str().filter(|id| !id.is_empty())?.to_owned(),
        })
    };
    let read = match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(word)) if word == "all" => Some(None),
        Some(Value::Array(list)) if (1..=MOST_CHOSEN).contains(&list.len()) => {
            list.iter().map(one).collect::<Option<_>>().map(Some)
        }
        Some(_) => None,
    };
    if read.is_none() {
        let detail = "must be \"all\" or a list of {\"type\", \"graph_id\"}, at most 1,000";
        errors.push(InputError::new("/items", detail));
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_read_as_it_is_written() {
        let id = "018f3c2a-0000-7000-8000-000000000001";
        for text in [
            json!({"source": {"backup": 3}}),
            json!({"source": {"backup": 3, "tenant": id}, "mapping": {"group": {"a": "drop"}}}),
            json!({"source": {"version": id}, "options": {"second_approver": true}}),
            json!({"source": {"backup": 1}, "items": [{"type": "deviceCategory", "graph_id": "a"}],
                   "options": {"stop_on_failure": true}}),
        ] {
            let draft = RestoreDraft::parse(&text).unwrap();
            assert_eq!(RestoreDraft::parse(&draft.json()), Ok(draft), "{text}");
        }
        for bad in [
            json!({}),
            json!({"source": {"backup": 0}}),
            json!({"source": {"backup": 1, "version": id}}),
            json!({"source": {"versions": []}}),
            json!({"source": {"tenant": id}}),
            json!({"source": {"backup": 1, "tenant": "x"}}),
            json!({"source": {"backup": 1}, "mapping": {"group": {"a": "burn"}}}),
            json!({"source": {"backup": 1}, "items": []}),
            json!({"source": {"backup": 1}, "items": [{"type": "x"}]}),
            json!({"source": {"backup": 1}, "options": {"fast": true}}),
            json!({"source": {"backup": 1}, "options": {"stop_on_failure": 1}}),
            json!({"source": {"backup": 1}, "more": 1}),
        ] {
            assert!(RestoreDraft::parse(&bad).is_err(), "{bad}");
        }
    }
}
