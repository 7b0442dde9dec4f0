//! One object, read afresh: before it is written, after it was written, and to find out what came of a write
//! whose answer was lost.

use tp_catalog::contract::{Contract, ListShape};
use tp_catalog::parts::Order;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;

use crate::error::GraphError;
use crate::full::{FullObject, Read};
use crate::session::{GraphSession, Listed, is_plain_id};

impl GraphSession {
    /// Reads one object in full; none when it is not there. For the one object that a tenant has, there is no
    /// id to give.
    ///
    /// An object of which a part could not be read is an error: half of it is no ground for a write.
    pub async fn read_one(
        &self,
        contract: &Contract,
        id: Option<&str>,
        parent: Option<&str>,
    ) -> Result<Option<FullObject>, GraphError> {
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        let mut path = contract.item.path.clone();
        for (name, value) in [("{id}", id), ("{parentId}", parent)] {
            if path.contains(name) {
                let value = value.filter(|value| is_plain_id(value)).ok_or_else(malformed)?;
                path = path.replace(name, value);
            }
        }
        let mut reading = contract.reading_of_one();
        let query = reading.item_query.take().unwrap_or_default();
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = self.address(contract.api_version, &path, &query)?;
        let object = match self.fetch(contract.throttle, &url).await {
            Ok(object @ Json::Object(_)) => object,
            Ok(_) => return Err(malformed()),
            Err(error) if error.reason() == ReasonCode::ItemGone => return Ok(None),
            Err(error) => return Err(error),
        };
        let named = object.get("id").and_then(Json::as_str);
        if contract.list.shape == ListShape::Set && named != id {
            return Err(malformed());
        }
        let listed = Listed { contract: 0, parent: parent.map(str::to_owned), object };
        let known = |_: &Contract, _: &Json| false;
        let mut reads = self.fill(&[contract], &[reading], vec![listed], &known).await;
        match reads.pop().map(|(_, read)| read) {
            Some(Read::Full(mut full)) => {
                // A part that is one thing, and that an object need not have.
                let absent = |part: &str| {
                    let mut parts = contract.subresources.iter();
                    parts.any(|one| one.name == part && one.order == Order::One)
                };
                full.faults.retain(|fault| {
                    fault.error.reason() != ReasonCode::ItemGone || !absent(&fault.part)
                });
                match full.faults.pop() {
                    None => Ok(Some(*full)),
                    Some(fault) => Err(fault.error),
                }
            }
            Some(Read::Gone(_)) => Ok(None),
            Some(Read::Unchanged(_)) | None => Err(malformed()),
        }
    }

    /// The ids of the objects that are listed now under this name, or of all where the type has no names.
    pub async fn ids_named(
        &self,
        contract: &Contract,
        parent: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<String>, GraphError> {
        let property = contract.name_property.as_deref();
        let objects = self.listed_now(contract, parent).await?;
        let named = objects.iter().filter(|object| match (property, name) {
            (Some(property), Some(name)) => {
                object.get(property).and_then(Json::as_str) == Some(name)
            }
            _ => true,
        });
        Ok(named.filter_map(|one| one.get("id")?.as_str().map(str::to_owned)).collect())
    }
}
