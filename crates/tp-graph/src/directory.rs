//! Names of directory objects by their ids, a thousand at a time, never one by one (PRODUCT G-4).

use std::collections::{BTreeSet, HashMap};

use serde_json::json;
use tp_catalog::contract::ApiVersion;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;

use crate::error::GraphError;
use crate::session::GraphSession;

/// Microsoft's limit of one `getByIds`.
const MOST: usize = 1000;

/// Graph counts one as three requests (throttling-limits.md).
const COSTS: u32 = 3;

/// What is known of a directory object by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryName {
    /// `group`, `user`, `device` and the like.
    pub kind: String,
    /// Its display name; objects without one have none.
    pub name: Option<String>,
}

impl GraphSession {
    /// Names of groups and other directory objects. Ids that Graph does not know are not in the answer;
    /// texts that are no ids are not sent.
    pub async fn names_of(
        &self,
        ids: &BTreeSet<String>,
    ) -> Result<HashMap<String, DirectoryName>, GraphError> {
        let url = self.address(ApiVersion::V1, "/directoryObjects/getByIds", &[])?;
        let ids: Vec<&String> = ids.iter().filter(|id| uuid::Uuid::try_parse(id).is_ok()).collect();
        let mut names = HashMap::with_capacity(ids.len());
        for part in ids.chunks(MOST) {
            let body = json!({"ids": part});
            let reply = self.post(ThrottleGroup::Identity, &url, &body, COSTS).await?;
            let found = reply.get("value").and_then(Json::as_array);
            let found = found.ok_or(GraphError::new(ReasonCode::MalformedResponse))?;
            for object in found {
                let text = |member: &str| object.get(member).and_then(Json::as_str);
                let Some(id) = text("id") else { continue };
                let kind = text("@odata.type").unwrap_or_default();
                let kind = kind.strip_prefix("#microsoft.graph.").unwrap_or(kind).to_owned();
                let name = text("displayName").map(str::to_owned);
                names.insert(id.to_owned(), DirectoryName { kind, name });
            }
        }
        Ok(names)
    }
}
