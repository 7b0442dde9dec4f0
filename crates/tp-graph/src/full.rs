//! Objects in full: the listed object with its parts and its assignments, read as the contract says.
//!
//! Memory is bounded by chunks of objects, not by the tenant: while one chunk's parts are read, the next
//! pages are listed. A part that cannot be read is a fault of its object and stops no other.

use std::collections::BTreeMap;

use futures_util::{Stream, StreamExt as _};
use tp_catalog::contract::Contract;
use tp_catalog::parts::{Returns, Subresource};
use tp_catalog::reading::Reading;
use tp_catalog::registry::Catalog;
use tp_domain::json::{Json, Text};
use tp_domain::reason::ReasonCode;

use crate::batch::{Ask, Got};
use crate::error::GraphError;
use crate::session::{GraphSession, Listed, is_plain_id};

/// Objects whose parts are read together: a multiple of what one batch takes.
const CHUNK: usize = 100;

/// Chunks whose parts are read at once.
const CHUNKS_AT_ONCE: usize = 2;

/// The member that assignments have in replies; the name that faults of theirs have.
pub const ASSIGNMENTS: &str = "assignments";

/// An object in full.
#[derive(Clone, Debug)]
pub struct FullObject {
    /// Its Graph id; none for a singleton.
    pub id: Option<String>,
    /// The object with its parts, without the annotations of the reply.
    pub object: Json,
    /// Its assignments; none where the type has none or where they could not be read.
    pub assignments: Option<Vec<Json>>,
    /// What could not be read: with any, the object is not whole.
    pub faults: Vec<PartFault>,
}

/// A part that could not be read.
#[derive(Clone, Debug)]
pub struct PartFault {
    /// The part's name in the contract, [`ASSIGNMENTS`], or the type's key for the object's own reply.
    pub part: String,
    /// Why.
    pub error: GraphError,
}

/// What came of one listed object.
#[derive(Clone, Debug)]
pub enum Read {
    /// It was read in full, as far as it could be.
    Full(Box<FullObject>),
    /// The caller knows it as it is: nothing but the listing was read.
    Unchanged(Json),
    /// It went between the listing and its reading (TRUST F21).
    Gone(String),
}

/// Whether the caller knows this listed object as it is. Asked before anything else of it is read.
pub type Known<'a> = dyn Fn(&Contract, &Json) -> bool + Send + Sync + 'a;

/// An object on its way.
struct Open {
    contract: usize,
    parent: Option<String>,
    object: Json,
    assignments: Option<Vec<Json>>,
    faults: Vec<PartFault>,
    /// Requests that were made for it, and how many of them found nothing there.
    asked: usize,
    lost: usize,
}

impl Open {
    /// Whether nothing that was asked for is there any more.
    const fn is_gone(&self) -> bool {
        self.asked > 0 && self.lost == self.asked
    }
}

/// Where the answer to an ask belongs.
enum Target<'a> {
    /// The object's own reply, laid over the listed object.
    Object,
    Part(&'a Subresource),
    /// A part of the child at that place.
    Nested(&'a Subresource, String),
    Assignments,
    /// More elements of a member that came in pages.
    More(String),
}

struct Wanted<'a> {
    open: usize,
    target: Target<'a>,
    ask: Ask,
}

impl GraphSession {
    /// Reads all objects of types that share one collection, in full, as they come. The number with each is
    /// the place of its type in `contracts`.
    ///
    /// An error ends the stream and means that the listing is not complete: what came before it is true,
    /// and what did not come may exist.
    pub fn read_in_full<'a>(
        &'a self,
        catalog: &'a Catalog,
        contracts: &'a [&'a Contract],
        known: &'a Known<'a>,
    ) -> impl Stream<Item = Result<Vec<(usize, Read)>, GraphError>> + Send + 'a {
        let readings: Vec<Reading<'a>> = contracts.iter().map(|one| one.reading()).collect();
        let readings = std::sync::Arc::new(readings);
        self.listed(catalog, contracts, CHUNK)
            .map(move |chunk| {
                let readings = std::sync::Arc::clone(&readings);
                async move {
                    match chunk {
                        Ok(chunk) => Ok(self.fill(contracts, &readings, chunk, known).await),
                        Err(error) => Err(error),
                    }
                }
            })
            .buffered(CHUNKS_AT_ONCE)
    }

    pub(crate) async fn fill(
        &self,
        contracts: &[&Contract],
        readings: &[Reading<'_>],
        chunk: Vec<Listed>,
        known: &Known<'_>,
    ) -> Vec<(usize, Read)> {
        let mut reads = Vec::with_capacity(chunk.len());
        let mut open = Vec::new();
        for Listed { contract, parent, object } in chunk {
            if known(contracts[contract], &object) {
                reads.push((contract, Read::Unchanged(object)));
                continue;
            }
            open.push(Open {
                contract,
                parent,
                object,
                assignments: None,
                faults: Vec::new(),
                asked: 0,
                lost: 0,
            });
        }
        self.read_round(contracts, &mut open, |open| self.first(contracts, readings, open)).await;
        self.read_round(contracts, &mut open, |open| self.second(contracts, readings, open)).await;
        reads.extend(open.into_iter().map(|open| {
            let contract = open.contract;
            (contract, finish(contracts[contract], open))
        }));
        reads
    }

    /// Asks for what is wanted of the objects and puts the answers in.
    async fn read_round<'a, W>(&self, contracts: &[&Contract], open: &mut [Open], wanted: W)
    where
        W: Fn(&mut [Open]) -> Vec<Wanted<'a>>,
    {
        let wanted = wanted(open);
        let Some(first) = wanted.first().map(|one| contracts[open[one.open].contract]) else {
            return;
        };
        let (places, asks): (Vec<(usize, Target<'a>)>, Vec<Ask>) =
            wanted.into_iter().map(|one| ((one.open, one.target), one.ask)).unzip();
        let answers = self.ask_many(first.api_version, first.throttle, asks).await;
        for ((index, target), got) in places.into_iter().zip(answers) {
            let contract = contracts[open[index].contract];
            let is_gone = matches!(&got, Err(error) if error.reason() == ReasonCode::ItemGone);
            open[index].asked += 1;
            open[index].lost += usize::from(is_gone);
            put(contract, &mut open[index], target, got);
        }
    }

    /// What can be asked for from the listed object alone.
    fn first<'a>(
        &self,
        contracts: &[&'a Contract],
        readings: &[Reading<'a>],
        open: &mut [Open],
    ) -> Vec<Wanted<'a>> {
        let mut wanted = Vec::new();
        for (index, open) in open.iter_mut().enumerate() {
            let (contract, reading) = (contracts[open.contract], &readings[open.contract]);
            if let Some(query) = &reading.item_query {
                let ask = self.ask(contract, open, &contract.item.path, query, false, None);
                push(&mut wanted, open, index, Target::Object, &contract.key, ask);
            }
            for part in reading.parts.iter().copied().filter(|part| !part.is_nested()) {
                if !has(part, &open.object) {
                    continue;
                }
                let Some(path) = &part.read.sub_path else { continue };
                let is_set = path.returns == Returns::Set;
                let ask = self.ask(contract, open, &path.path, &path.query, is_set, None);
                push(&mut wanted, open, index, Target::Part(part), &part.name, ask);
            }
            if let Some(path) = reading.assignments_path {
                let ask = self.ask(contract, open, path, &BTreeMap::new(), true, None);
                push(&mut wanted, open, index, Target::Assignments, ASSIGNMENTS, ask);
            }
        }
        wanted
    }

    /// What needs the first answers: parts of children, and further pages of expanded members.
    fn second<'a>(
        &self,
        contracts: &[&'a Contract],
        readings: &[Reading<'a>],
        open: &mut [Open],
    ) -> Vec<Wanted<'a>> {
        let mut wanted = Vec::new();
        for (index, open) in open.iter_mut().enumerate().filter(|(_, open)| !open.is_gone()) {
            let (contract, reading) = (contracts[open.contract], &readings[open.contract]);
            for (member, link) in further_pages(&open.object) {
                let ask = self.further(contract, open, &member, &link);
                push(&mut wanted, open, index, Target::More(member.clone()), &member, ask);
            }
            for part in reading.parts.iter().copied().filter(|part| part.is_nested()) {
                let Some(path) = &part.read.sub_path else { continue };
                let Some(each) = &path.each else { continue };
                for place in each.find(&open.object) {
                    let child = open.object.pointer(&place).and_then(|child| child.get("id"));
                    let child = child.and_then(Json::as_str).unwrap_or_default().to_owned();
                    let is_set = path.returns == Returns::Set;
                    let ask =
                        self.ask(contract, open, &path.path, &path.query, is_set, Some(&child));
                    push(&mut wanted, open, index, Target::Nested(part, place), &part.name, ask);
                }
            }
        }
        wanted
    }

    fn ask(
        &self,
        contract: &Contract,
        open: &Open,
        path: &str,
        query: &BTreeMap<String, String>,
        is_set: bool,
        child: Option<&str>,
    ) -> Result<Ask, GraphError> {
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        let mut filled = path.to_owned();
        let id = open.object.get("id").and_then(Json::as_str);
        let odata_type = open
            .object
            .get("@odata.type")
            .and_then(Json::as_str)
            .and_then(|name| name.strip_prefix("#microsoft.graph."));
        let values = [
            ("{id}", id),
            ("{parentId}", open.parent.as_deref()),
            ("{childId}", child),
            ("{odataType}", odata_type),
        ];
        for (name, value) in values {
            if filled.contains(name) {
                let value = value.filter(|value| is_plain_id(value)).ok_or_else(malformed)?;
                filled = filled.replace(name, value);
            }
        }
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Ok(Ask { url: self.address(contract.api_version, &filled, &query)?, is_set })
    }

    /// The address of further pages of a member that was expanded: below the object itself.
    fn further(
        &self,
        contract: &Contract,
        open: &Open,
        member: &str,
        link: &Json,
    ) -> Result<Ask, GraphError> {
        let path = format!("{}/{member}", contract.item.path);
        let own = self.ask(contract, open, &path, &BTreeMap::new(), true, None)?;
        let next = crate::paging::next_link(&own.url, link).map_err(GraphError::new)?;
        Ok(Ask { url: next, is_set: true })
    }
}

fn push<'a>(
    wanted: &mut Vec<Wanted<'a>>,
    open: &mut Open,
    index: usize,
    target: Target<'a>,
    part: &str,
    ask: Result<Ask, GraphError>,
) {
    match ask {
        Ok(ask) => wanted.push(Wanted { open: index, target, ask }),
        Err(error) => open.faults.push(PartFault { part: part.to_owned(), error }),
    }
}

/// Whether this object has that part.
fn has(part: &Subresource, object: &Json) -> bool {
    let positive = |name: &String| object.get(name).and_then(Json::as_u64).is_some_and(|n| n > 0);
    part.when.holds(object, "/")
        && (part.any_positive.is_empty() || part.any_positive.iter().any(positive))
}

fn put(contract: &Contract, open: &mut Open, target: Target<'_>, got: Got) {
    let mut fault = |part: &str, error: GraphError| {
        open.faults.push(PartFault { part: part.to_owned(), error });
    };
    match (target, got) {
        (Target::Object, Ok(Json::Object(reply))) => {
            if let Some(object) = open.object.as_object_mut() {
                object.extend(reply);
            }
        }
        (Target::Object, Err(error)) => fault(&contract.key, error),
        (Target::Object, Ok(_)) => {
            fault(&contract.key, GraphError::new(ReasonCode::MalformedResponse));
        }
        (Target::Part(part), Ok(value)) => {
            if let Some(object) = open.object.as_object_mut() {
                object.insert(part.put_at.as_str(), value);
            }
        }
        (Target::Part(part), Err(error)) => fault(&part.name, error),
        (Target::Nested(part, place), Ok(value)) => {
            if let Some(Json::Object(child)) = open.object.pointer_mut(&place) {
                child.insert(part.put_at.as_str(), value);
            }
        }
        (Target::Nested(part, _), Err(error)) => fault(&part.name, error),
        (Target::Assignments, Ok(Json::Array(list))) => open.assignments = Some(list),
        (Target::Assignments, Ok(_)) => {
            fault(ASSIGNMENTS, GraphError::new(ReasonCode::MalformedResponse));
        }
        (Target::Assignments, Err(error)) => fault(ASSIGNMENTS, error),
        (Target::More(member), Ok(Json::Array(more))) => {
            if let Some(Json::Array(list)) = open.object.get_mut(&member) {
                list.extend(more);
            }
        }
        (Target::More(member), Ok(_)) => {
            fault(&member, GraphError::new(ReasonCode::MalformedResponse));
        }
        (Target::More(member), Err(error)) => fault(&member, error),
    }
}

/// Members of the object that came in pages, with the link to the next.
fn further_pages(object: &Json) -> Vec<(String, Json)> {
    let Json::Object(members) = object else { return Vec::new() };
    members
        .iter()
        .filter_map(|(name, link)| {
            let member = name.as_str()?.strip_suffix("@odata.nextLink");
            Some((member.filter(|member| !member.is_empty())?.to_owned(), link.clone()))
        })
        .collect()
}

/// Annotations of a reply that say nothing of the object.
const NOISE: [&str; 8] =
    ["context", "nextLink", "count", "etag", "editLink", "id", "associationLink", "navigationLink"];

/// Takes the reply's own annotations out, at every level.
fn without_noise(value: &mut Json) {
    match value {
        Json::Object(members) => {
            let says_something = |name: &Text| {
                let annotation = name.as_str().and_then(|name| name.split_once("@odata."));
                annotation.is_none_or(|(_, what)| !NOISE.contains(&what))
            };
            members.retain(|name, _| says_something(name));
            members.values_mut().for_each(without_noise);
        }
        Json::Array(elements) => elements.iter_mut().for_each(without_noise),
        _ => {}
    }
}

fn finish(contract: &Contract, mut open: Open) -> Read {
    let id = open.object.get("id").and_then(Json::as_str).map(str::to_owned);
    // Nothing of it is there any more. One part that is not there is a fault of that part.
    if let (true, Some(id)) = (open.is_gone(), &id) {
        return Read::Gone(id.clone());
    }
    if let (Some(_), Json::Object(object)) = (&contract.assignments, &mut open.object)
        && let Some(Json::Array(list)) = object.remove(ASSIGNMENTS)
        && open.assignments.is_none()
    {
        open.assignments = Some(list);
    }
    let mut object = open.object;
    without_noise(&mut object);
    let assignments = open.assignments.map(|mut list| {
        list.iter_mut().for_each(without_noise);
        list
    });
    Read::Full(Box::new(FullObject { id, object, assignments, faults: open.faults }))
}
