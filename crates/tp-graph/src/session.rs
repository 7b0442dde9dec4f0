//! A session with one tenant, for one run: listings by contract, each collection read once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{OnceCell, Semaphore};
use tp_catalog::contract::{ApiVersion, Contract, ListShape, Parent};
use tp_catalog::registry::Catalog;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::budget::BudgetUse;
use tp_domain::json::Json;
use tp_domain::operation::Lane;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use url::Url;

use crate::error::GraphError;
use crate::http::{Call, Graph};
use crate::paging::{MAX_PAGES, next_link};
pub use crate::sign_in::Access;
use crate::sign_in::Token;

/// Is told when the session waits, so that the run can say so.
pub trait WaitObserver: Send + Sync + fmt::Debug {
    /// The session waits until then, for that reason.
    fn waits(&self, until: Timestamp, reason: ReasonCode);
}

/// What an operation may ask of Graph for reading. It cannot write (rule I-8).
#[derive(Debug)]
pub struct GraphSession {
    pub(crate) graph: Graph,
    pub(crate) access: Access,
    pub(crate) observer: Arc<dyn WaitObserver>,
    pub(crate) lane: Lane,
    in_flight: Semaphore,
    /// Collections that are shared by types are read once per session.
    listings: Mutex<HashMap<String, Arc<OnceCell<Objects>>>>,
}

type Objects = Result<Arc<Vec<Json>>, GraphError>;

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
    ) -> Result<Vec<Json>, GraphError> {
        let mut objects = Vec::new();
        for Place { path, .. } in self.places(catalog, contract).await? {
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
    async fn places(
        &self,
        catalog: &Catalog,
        contract: &Contract,
    ) -> Result<Vec<Place>, GraphError> {
        let path = &contract.list.path;
        let none = BTreeMap::new();
        let parents = match &contract.list.parent {
            None => return Ok(vec![Place { path: path.clone(), parent: None }]),
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
                let id = parent.get("id").and_then(Json::as_str).filter(|id| is_plain_id(id));
                id.map(|id| Place {
                    path: path.replace("{parentId}", id),
                    parent: Some(id.to_owned()),
                })
                .ok_or(GraphError::new(ReasonCode::MalformedResponse))
            })
            .collect()
    }

    async fn collection(&self, listing: &Listing<'_>) -> Result<Arc<Vec<Json>>, GraphError> {
        let url = self.url(listing)?;
        let cell = {
            let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(listings.entry(url.to_string()).or_default())
        };
        cell.get_or_init(|| async { self.read(listing, url).await.map(Arc::new) }).await.clone()
    }

    fn url(&self, listing: &Listing<'_>) -> Result<Url, GraphError> {
        let query: Vec<(&str, &str)> =
            listing.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.address(listing.version, &listing.path, &query)
    }

    /// The address of a path below a version.
    pub(crate) fn address(
        &self,
        version: ApiVersion,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Url, GraphError> {
        let mut url = self.access.cloud.graph().clone();
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        url.path_segments_mut()
            .map_err(|()| GraphError::new(ReasonCode::InternalError))?
            .pop_if_empty()
            .push(version.segment())
            .extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn read(&self, listing: &Listing<'_>, first: Url) -> Result<Vec<Json>, GraphError> {
        self.pages(listing, first).try_concat().await
    }

    /// The pages of a listing as they come, each id once.
    fn pages<'a>(
        &'a self,
        listing: &'a Listing<'a>,
        first: Url,
    ) -> impl Stream<Item = Result<Vec<Json>, GraphError>> + Send + 'a {
        let walk = Walk {
            next: Some(first.clone()),
            first,
            pages: 0,
            bytes: 0,
            ids: HashSet::new(),
            seen: HashSet::new(),
        };
        stream::try_unfold(walk, move |walk| self.turn(listing, walk))
    }

    /// Reads the next page of a walk; none after the last.
    async fn turn(
        &self,
        listing: &Listing<'_>,
        mut walk: Walk,
    ) -> Result<Option<(Vec<Json>, Walk)>, GraphError> {
        let Some(url) = walk.next.take() else { return Ok(None) };
        walk.pages += 1;
        if walk.pages > MAX_PAGES {
            return Err(GraphError::new(ReasonCode::PageLimit));
        }
        if !walk.seen.insert(url.to_string()) {
            return Err(GraphError::new(ReasonCode::PagingLoop));
        }
        let left = self.graph.options.max_listing_bytes.saturating_sub(walk.bytes);
        let page = self.page(listing, &url, left.min(self.graph.options.max_page_bytes)).await?;
        walk.bytes += page.bytes;
        let mut objects = page.objects;
        if listing.shape != ListShape::Singleton {
            objects.retain(|object| is_new(object, &mut walk.ids));
        }
        if let Some(link) = page.next {
            walk.next = Some(next_link(&walk.first, &link).map_err(GraphError::new)?);
        }
        Ok(Some((objects, walk)))
    }

    /// The listed objects of types that share one collection, with every expansion that their contracts
    /// take, in chunks. An error ends the stream; what was listed before it comes first.
    pub(crate) fn listed<'a>(
        &'a self,
        catalog: &'a Catalog,
        contracts: &'a [&'a Contract],
        chunk: usize,
    ) -> impl Stream<Item = Result<Vec<Listed>, GraphError>> + Send + 'a {
        let places = stream::once(async move {
            match contracts.first() {
                None => Ok(Vec::new()),
                Some(contract) => self.places(catalog, contract).await,
            }
        });
        let objects = places
            .map_ok(|places| stream::iter(places.into_iter().map(Ok)))
            .try_flatten()
            .map_ok(move |place| self.listed_at(contracts, place))
            .try_flatten();
        objects.try_chunks(chunk).flat_map(|chunk| match chunk {
            Ok(chunk) => stream::iter(vec![Ok(chunk)]),
            Err(stream::TryChunksError(rest, error)) => stream::iter(vec![Ok(rest), Err(error)]),
        })
    }

    fn listed_at<'a>(
        &'a self,
        contracts: &'a [&'a Contract],
        place: Place,
    ) -> impl Stream<Item = Result<Listed, GraphError>> + Send + 'a {
        let Place { path, parent } = place;
        let contract = contracts[0];
        let query = contract.reading().list_query;
        let listing = OwnListing {
            version: contract.api_version,
            path,
            query,
            shape: contract.list.shape,
            group: contract.throttle,
        };
        let of_type = move |object: &Json| {
            contracts.iter().position(|contract| {
                contract.list.client_filter.iter().all(|filter| filter.passes(object))
            })
        };
        let walk = self.first_walk(&listing).map(|walk| (walk, listing));
        stream::once(async move { walk })
            .map_ok(move |(walk, listing)| {
                stream::try_unfold((walk, listing), move |(walk, listing)| async move {
                    let turned = self.turn(&listing.borrowed(), walk).await?;
                    Ok(turned.map(|(objects, walk)| (objects, (walk, listing))))
                })
            })
            .try_flatten()
            .map_ok(move |objects| {
                let parent = parent.clone();
                let listed = objects.into_iter().filter_map(move |object| {
                    let contract = of_type(&object)?;
                    Some(Ok(Listed { contract, parent: parent.clone(), object }))
                });
                stream::iter(listed.collect::<Vec<_>>())
            })
            .try_flatten()
    }

    fn first_walk(&self, listing: &OwnListing) -> Result<Walk, GraphError> {
        let first = self.url(&listing.borrowed())?;
        Ok(Walk {
            next: Some(first.clone()),
            first,
            pages: 0,
            bytes: 0,
            ids: HashSet::new(),
            seen: HashSet::new(),
        })
    }

    /// The objects of a type as they are listed now, below that parent where the type has parents.
    pub(crate) async fn listed_now(
        &self,
        contract: &Contract,
        parent: Option<&str>,
    ) -> Result<Vec<Json>, GraphError> {
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        let mut path = contract.list.path.clone();
        if path.contains("{parentId}") {
            let parent = parent.filter(|id| is_plain_id(id)).ok_or_else(malformed)?;
            path = path.replace("{parentId}", parent);
        }
        let listing = Listing {
            version: contract.api_version,
            path,
            query: &contract.list.query,
            shape: contract.list.shape,
            group: contract.throttle,
        };
        let url = self.url(&listing)?;
        let mut objects = self.read(&listing, url).await?;
        objects.retain(|object| {
            contract.list.client_filter.iter().all(|filter| filter.passes(object))
        });
        Ok(objects)
    }

    /// Sends one request when there is room, and reads its answer as JSON.
    async fn send(
        &self,
        group: ThrottleGroup,
        url: &Url,
        body: Option<&serde_json::Value>,
        counts: u32,
        max_bytes: usize,
    ) -> Result<(Json, usize), GraphError> {
        let closed = |_| GraphError::new(ReasonCode::InternalError);
        let permit = self.in_flight.acquire().await.map_err(closed)?;
        let call = Call {
            access: &self.access,
            group,
            url,
            body,
            counts,
            max_bytes,
            observer: &*self.observer,
            lane: self.lane,
            uses: BudgetUse::Read,
        };
        let answer = self.graph.call(call).await?;
        drop(permit);
        if answer.status == 204 {
            return Ok((Json::Null, 0));
        }
        let value = Json::parse_unicode(&answer.body).map_err(|_| {
            let id = answer.request_id.clone();
            GraphError::answered(ReasonCode::MalformedResponse, answer.status, id)
        })?;
        Ok((value, answer.body.len()))
    }

    /// Reads one address.
    pub(crate) async fn fetch(&self, group: ThrottleGroup, url: &Url) -> Result<Json, GraphError> {
        let most = self.graph.options.max_page_bytes;
        self.send(group, url, None, 1, most).await.map(|(value, _)| value)
    }

    /// Reads one address that Graph counts as several requests.
    pub(crate) async fn fetch_counted(
        &self,
        group: ThrottleGroup,
        url: &Url,
        counts: u32,
    ) -> Result<Json, GraphError> {
        let most = self.graph.options.max_page_bytes;
        self.send(group, url, None, counts, most).await.map(|(value, _)| value)
    }

    pub(crate) async fn new_token(&self) -> Result<Token, GraphError> {
        self.graph.new_token(&self.access, &*self.observer).await
    }

    /// A POST that only reads.
    pub(crate) async fn post(
        &self,
        group: ThrottleGroup,
        url: &Url,
        body: &serde_json::Value,
        counts: u32,
    ) -> Result<Json, GraphError> {
        let most = self.graph.options.max_page_bytes;
        self.send(group, url, Some(body), counts, most).await.map(|(value, _)| value)
    }

    pub(crate) const fn attempts(&self) -> u32 {
        self.graph.options.attempts
    }

    pub(crate) fn wait_after(&self, attempt: u32, told: Option<&str>) -> std::time::Duration {
        self.graph.wait_after(attempt, told)
    }

    pub(crate) async fn hold(&self, group: ThrottleGroup, wait: std::time::Duration) {
        self.graph.hold(&self.access, group, wait).await;
    }

    /// A wait that concerns one request only.
    pub(crate) async fn pause(&self, wait: std::time::Duration) {
        tokio::time::sleep(wait).await;
    }

    async fn page(
        &self,
        listing: &Listing<'_>,
        url: &Url,
        max_bytes: usize,
    ) -> Result<Page, GraphError> {
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        let (body, bytes) = self.send(listing.group, url, None, 1, max_bytes).await?;
        let Json::Object(mut body) = body else { return Err(malformed()) };
        if listing.shape == ListShape::Singleton {
            body.remove("@odata.context");
            return Ok(Page { objects: vec![Json::Object(body)], next: None, bytes });
        }
        let next = body.remove("@odata.nextLink");
        match body.remove("value") {
            Some(Json::Array(objects)) if objects.iter().all(Json::is_object) => {
                Ok(Page { objects, next, bytes })
            }
            _ => Err(malformed()),
        }
    }
}

/// A path to list, and the parent that it is below.
#[derive(Clone, Debug)]
struct Place {
    path: String,
    parent: Option<String>,
}

/// One listed object, and which of the asked types it is of.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) contract: usize,
    pub(crate) parent: Option<String>,
    pub(crate) object: Json,
}

/// A listing that goes along with its walk.
struct OwnListing {
    version: ApiVersion,
    path: String,
    query: BTreeMap<String, String>,
    shape: ListShape,
    group: ThrottleGroup,
}

impl OwnListing {
    fn borrowed(&self) -> Listing<'_> {
        Listing {
            version: self.version,
            path: self.path.clone(),
            query: &self.query,
            shape: self.shape,
            group: self.group,
        }
    }
}

/// How far a listing has been read.
struct Walk {
    first: Url,
    next: Option<Url>,
    pages: u32,
    bytes: usize,
    ids: HashSet<String>,
    seen: HashSet<String>,
}

struct Page {
    objects: Vec<Json>,
    next: Option<Json>,
    bytes: usize,
}

/// Whether this id was not on an earlier page: a repeat is one object (TRUST F20).
fn is_new(object: &Json, ids: &mut HashSet<String>) -> bool {
    match object.get("id").and_then(Json::as_str) {
        Some(id) => ids.insert(id.to_owned()),
        None => true,
    }
}

/// An id that cannot change the path it is put into.
pub(crate) fn is_plain_id(id: &str) -> bool {
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
