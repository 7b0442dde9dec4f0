//! A session with one tenant, for one run: listings by contract, each collection read once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore};
use tp_catalog::contract::{ApiVersion, Contract, ListShape, Parent};
use tp_catalog::registry::Catalog;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::operation::Lane;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use url::Url;

use crate::error::GraphError;
use crate::http::{Get, Graph};
use crate::paging::{MAX_PAGES, next_link};
pub use crate::sign_in::Access;

/// Is told when the session waits, so that the run can say so.
pub trait WaitObserver: Send + Sync + fmt::Debug {
    /// The session waits until then, for that reason.
    fn waits(&self, until: Timestamp, reason: ReasonCode);
}

/// What an operation may ask of Graph for reading. It cannot write (rule I-8).
#[derive(Debug)]
pub struct GraphSession {
    graph: Graph,
    access: Access,
    observer: Arc<dyn WaitObserver>,
    lane: Lane,
    in_flight: Semaphore,
    /// Collections that are shared by types are read once per session.
    listings: Mutex<HashMap<String, Arc<OnceCell<Objects>>>>,
}

type Objects = Result<Arc<Vec<Value>>, GraphError>;

/// How a collection is read.
struct Listing<'a> {
    version: ApiVersion,
    path: String,
    query: &'a BTreeMap<String, String>,
    shape: ListShape,
    group: ThrottleGroup,
}

impl GraphSession {
    pub(crate) fn new(
        graph: Graph,
        access: Access,
        observer: Arc<dyn WaitObserver>,
        lane: Lane,
    ) -> Self {
        let in_flight = Semaphore::new(graph.options.max_in_flight.max(1));
        Self { graph, access, observer, lane, in_flight, listings: Mutex::default() }
    }

    /// All objects of a type: every page, each id once, and only what the contract's filters let pass.
    ///
    /// An error means that the listing is not complete; nothing of it is given.
    pub async fn list(
        &self,
        catalog: &Catalog,
        contract: &Contract,
    ) -> Result<Vec<Value>, GraphError> {
        let mut objects = Vec::new();
        for path in self.paths(catalog, contract).await? {
            let listing = Listing {
                version: contract.api_version,
                path,
                query: &contract.list.query,
                shape: contract.list.shape,
                group: contract.throttle,
            };
            let all = self.collection(&listing).await?;
            let passing = all.iter().filter(|object| {
                contract.list.client_filter.iter().all(|filter| filter.passes(object))
            });
            objects.extend(passing.cloned());
        }
        Ok(objects)
    }

    /// The paths to read: one, or one per parent.
    async fn paths(
        &self,
        catalog: &Catalog,
        contract: &Contract,
    ) -> Result<Vec<String>, GraphError> {
        let path = &contract.list.path;
        let none = BTreeMap::new();
        let parents = match &contract.list.parent {
            None => return Ok(vec![path.clone()]),
            Some(Parent::PolicyType { policy_type }) => {
                let key = PolicyType::new(policy_type).ok();
                let parent = key.and_then(|key| catalog.contract(&key));
                let parent = parent.ok_or(GraphError::new(ReasonCode::UnsupportedType))?;
                let listing = Listing {
                    version: parent.api_version,
                    path: parent.list.path.clone(),
                    query: &parent.list.query,
                    shape: parent.list.shape,
                    group: parent.throttle,
                };
                self.collection(&listing).await?
            }
            Some(Parent::List { list_path, api_version }) => {
                let listing = Listing {
                    version: *api_version,
                    path: list_path.clone(),
                    query: &none,
                    shape: ListShape::Set,
                    group: contract.throttle,
                };
                self.collection(&listing).await?
            }
        };
        parents
            .iter()
            .map(|parent| {
                let id = parent.get("id").and_then(Value::as_str).filter(|id| is_plain_id(id));
                id.map(|id| path.replace("{parentId}", id))
                    .ok_or(GraphError::new(ReasonCode::MalformedResponse))
            })
            .collect()
    }

    async fn collection(&self, listing: &Listing<'_>) -> Result<Arc<Vec<Value>>, GraphError> {
        let url = self.url(listing)?;
        let cell = {
            let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(listings.entry(url.to_string()).or_default())
        };
        cell.get_or_init(|| async { self.read(listing, url).await.map(Arc::new) }).await.clone()
    }

    fn url(&self, listing: &Listing<'_>) -> Result<Url, GraphError> {
        let mut url = self.access.cloud.graph().clone();
        let segments = listing.path.split('/').filter(|segment| !segment.is_empty());
        url.path_segments_mut()
            .map_err(|()| GraphError::new(ReasonCode::InternalError))?
            .pop_if_empty()
            .push(listing.version.segment())
            .extend(segments);
        if !listing.query.is_empty() {
            url.query_pairs_mut().extend_pairs(listing.query);
        }
        Ok(url)
    }

    async fn read(&self, listing: &Listing<'_>, first: Url) -> Result<Vec<Value>, GraphError> {
        let (mut next, mut pages, mut bytes) = (Some(first.clone()), 0, 0);
        let (mut objects, mut ids, mut seen) = (Vec::new(), HashSet::new(), HashSet::new());
        while let Some(url) = next.take() {
            pages += 1;
            if pages > MAX_PAGES {
                return Err(GraphError::new(ReasonCode::PageLimit));
            }
            if !seen.insert(url.to_string()) {
                return Err(GraphError::new(ReasonCode::PagingLoop));
            }
            let left = self.graph.options.max_listing_bytes.saturating_sub(bytes);
            let page =
                self.page(listing, &url, left.min(self.graph.options.max_page_bytes)).await?;
            bytes += page.bytes;
            for object in page.objects {
                if listing.shape == ListShape::Singleton || is_new(&object, &mut ids) {
                    objects.push(object);
                }
            }
            if let Some(link) = page.next {
                let checked = next_link(&first, &link).map_err(GraphError::new)?;
                next = Some(checked);
            }
        }
        Ok(objects)
    }

    async fn page(
        &self,
        listing: &Listing<'_>,
        url: &Url,
        max_bytes: usize,
    ) -> Result<Page, GraphError> {
        let closed = |_| GraphError::new(ReasonCode::InternalError);
        let permit = self.in_flight.acquire().await.map_err(closed)?;
        let answer = self
            .graph
            .get(Get {
                access: &self.access,
                group: listing.group,
                url,
                max_bytes,
                observer: &*self.observer,
                lane: self.lane,
            })
            .await?;
        drop(permit);
        let malformed = || {
            let id = answer.request_id.clone();
            GraphError::answered(ReasonCode::MalformedResponse, answer.status, id)
        };
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let Value::Object(mut body) = body else { return Err(malformed()) };
        let bytes = answer.body.len();
        if listing.shape == ListShape::Singleton {
            body.retain(|key, _| key != "@odata.context");
            return Ok(Page { objects: vec![Value::Object(body)], next: None, bytes });
        }
        let next = body.remove("@odata.nextLink");
        match body.remove("value") {
            Some(Value::Array(objects)) if objects.iter().all(Value::is_object) => {
                Ok(Page { objects, next, bytes })
            }
            _ => Err(malformed()),
        }
    }
}

struct Page {
    objects: Vec<Value>,
    next: Option<Value>,
    bytes: usize,
}

/// Whether this id was not on an earlier page: a repeat is one object (TRUST F20).
fn is_new(object: &Value, ids: &mut HashSet<String>) -> bool {
    match object.get("id").and_then(Value::as_str) {
        Some(id) => ids.insert(id.to_owned()),
        None => true,
    }
}

/// An id that cannot change the path it is put into.
fn is_plain_id(id: &str) -> bool {
    (1..=200).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte))
        && id != "."
        && id != ".."
}

#[cfg(test)]
mod tests {
    use super::is_plain_id;

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        for good in ["54c957ed-add7-40a9-b012-b5ac2afe6ae3", "T_1a-2b", "a:b"] {
            assert!(is_plain_id(good), "{good}");
        }
        for bad in ["", "..", ".", "a/b", "a%2fb", "a?b", "a#b", "a b", &"a".repeat(201)] {
            assert!(!is_plain_id(bad), "{bad}");
        }
    }
}
