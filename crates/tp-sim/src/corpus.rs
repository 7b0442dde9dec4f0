//! From a folder of exported objects to the first tenant's estate (ruling 25).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::prepare::{prepare, small_names};
use crate::routes::Route;
use crate::server::SimError;
use crate::state::{ExpectedObject, SimTenant};

#[derive(Deserialize)]
struct Entry {
    file: String,
    #[serde(rename = "type")]
    policy_type: String,
    #[serde(default)]
    odata_type: Option<String>,
}

fn read(path: &Path) -> Result<Value, SimError> {
    let bytes = std::fs::read(path).map_err(|source| SimError::Io { path: path.into(), source })?;
    serde_json::from_slice(&bytes).map_err(|_| SimError::BadFile { path: path.into() })
}

/// Loads all files of the index. Gives how many there were.
pub(crate) fn load(
    folder: &Path,
    routes: &[Route],
    tenant: &mut SimTenant,
    expected: &mut Vec<ExpectedObject>,
) -> Result<usize, SimError> {
    let index = folder.join("index.json");
    let mut entries: Vec<Entry> = serde_json::from_value(read(&index)?)
        .map_err(|_| SimError::BadFile { path: index.clone() })?;
    entries.sort_by(|a, b| a.file.cmp(&b.file));
    let files = entries.len();
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut children = Vec::new();
    for entry in entries {
        if entry.file.split('/').any(|part| part == "..") {
            return Err(SimError::BadFile { path: index });
        }
        let route = routes.iter().find(|route| route.key == entry.policy_type);
        let route = route.ok_or_else(|| SimError::UnknownType(entry.policy_type.clone()))?;
        let Value::Object(mut object) = read(&folder.join(&entry.file))? else {
            return Err(SimError::BadFile { path: folder.join(&entry.file) });
        };
        small_names(&mut object);
        complete(&mut object, route, &entry);
        if route.path.contains("{parentId}") {
            children.push((route, entry.file, object));
        } else {
            place(tenant, expected, &mut taken, route, route.path.clone(), &entry.file, object);
        }
    }
    // Every tenant has the objects of which there is exactly one; no export has all of them.
    for route in routes.iter().filter(|route| route.singleton && !route.delegated_only) {
        if !tenant.collections.contains_key(&route.path) {
            let object = Map::from_iter([("displayName".to_owned(), route.label.clone().into())]);
            let file = format!("generated/{}", route.key);
            place(tenant, expected, &mut taken, route, route.path.clone(), &file, object);
        }
    }
    for (route, file, object) in children {
        let path = parent_path(tenant, expected, routes, route);
        place(tenant, expected, &mut taken, route, path, &file, object);
    }
    Ok(files)
}

/// Gives an object what an export may lack and Graph always sends.
fn complete(object: &mut Map<String, Value>, route: &Route, entry: &Entry) {
    let polymorphic = route.odata_types.len() > 1 || is_shared(route);
    if polymorphic && !object.contains_key("@odata.type") {
        let name = entry.odata_type.clone().unwrap_or_else(|| route.default_type());
        object.insert("@odata.type".to_owned(), name.into());
    }
    if let Some(family) = &route.family {
        let said = object
            .get("templateReference")
            .and_then(|reference| reference.get("templateFamily"))
            .and_then(Value::as_str)
            .unwrap_or("none");
        if said == "none" && family != "none" {
            object.insert("templateReference".to_owned(), json!({"templateFamily": family}));
        }
    }
}

fn is_shared(route: &Route) -> bool {
    ["/deviceManagement/deviceConfigurations", "/deviceManagement/deviceEnrollmentConfigurations"]
        .contains(&route.path.as_str())
}

/// The collection of a child: below the first parent, which is made where there is none.
fn parent_path(
    tenant: &mut SimTenant,
    expected: &mut Vec<ExpectedObject>,
    routes: &[Route],
    route: &Route,
) -> String {
    let (parent_path, _) = route.path.split_once("/{parentId}").unwrap_or((&route.path, ""));
    let parents = tenant.collections.entry(parent_path.to_owned()).or_default();
    if parents.is_empty() {
        let id = Uuid::new_v5(&tenant.id, parent_path.as_bytes());
        parents.push(
            json!({"id": id, "displayName": "Generated parent", "tokenName": "Generated parent"}),
        );
        if let Some(parent) = routes.iter().find(|parent| parent.path == parent_path) {
            expected.push(ExpectedObject {
                policy_type: parent.key.clone(),
                id: id.to_string(),
                name: Some("Generated parent".to_owned()),
            });
        }
    }
    let id = parents.first().and_then(|parent| parent.get("id")).and_then(Value::as_str);
    route.path.replace("{parentId}", id.unwrap_or_default())
}

fn place(
    tenant: &mut SimTenant,
    expected: &mut Vec<ExpectedObject>,
    taken: &mut BTreeMap<String, BTreeSet<String>>,
    route: &Route,
    path: String,
    file: &str,
    mut object: Map<String, Value>,
) {
    if route.singleton && tenant.collections.contains_key(&path) {
        return; // A tenant has one; the first file is it.
    }
    let ids = taken.entry(path.clone()).or_default();
    let own = object.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = match own {
        Some(id) if !ids.contains(id) => id.to_owned(),
        _ => Uuid::new_v5(&Uuid::NAMESPACE_URL, file.as_bytes()).to_string(),
    };
    ids.insert(id.clone());
    object.insert("id".to_owned(), id.clone().into());
    prepare(&mut object, route);
    let name = route.name.as_ref().and_then(|field| object.get(field)).and_then(Value::as_str);
    expected.push(ExpectedObject {
        policy_type: route.key.clone(),
        id,
        name: name.map(str::to_owned),
    });
    tenant.collections.entry(path).or_default().push(Value::Object(object));
}
