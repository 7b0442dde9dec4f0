//! Which types there are and where: the simulator's own data, `data/routes.json`.

use serde::Deserialize;

/// One policy type as the simulator serves it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub(crate) delegated_only: bool,
    pub(crate) page: usize,
    pub(crate) navigation: Vec<String>,
}

const ROUTES: &str = include_str!("../data/routes.json");

/// All types, by key.
pub(crate) fn routes() -> Result<Vec<Route>, serde_json::Error> {
    serde_json::from_str(ROUTES)
}

impl Route {
    /// The concrete type of an object that does not name its own.
    pub(crate) fn default_type(&self) -> String {
        let name = self.odata_types.first().unwrap_or(&self.entity);
        format!("#microsoft.graph.{name}")
    }

    /// Whether a collection belongs to this type: its path, with any parent.
    pub(crate) fn is_at(&self, collection: &str) -> bool {
        let ours = self.path.split('/').collect::<Vec<_>>();
        let theirs = collection.split('/').collect::<Vec<_>>();
        ours.len() == theirs.len()
            && ours
                .iter()
                .zip(&theirs)
                .all(|(a, b)| *a == "{parentId}" || a.eq_ignore_ascii_case(b))
    }
}
