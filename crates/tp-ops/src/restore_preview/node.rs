//! One object of a preview: what it shall be, what it is, what would be done, and what stands in the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tp_catalog::capabilities::capabilities;
use tp_catalog::compare::{Comparison, Diff, Side};
use tp_catalog::content::{VersionContent, names_of};
use tp_catalog::contract::{Contract, RestoreMode};
use tp_catalog::definitions::Definitions;
use tp_catalog::readback::{assignments_differ, differences, fingerprint};
use tp_catalog::references::{self, Reference};
use tp_catalog::secrets;
use tp_catalog::steps::{self, Place, Whole};
use tp_catalog::tree::Tree;
use tp_domain::json::Json;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::plan::{Base, Bind, BodyHash, NodeAction, PayloadRef, PlanNode};
use tp_domain::version::PolicyVersion;
use tp_engine::operation::Stop;
use tp_graph::error::GraphError;
use tp_graph::full::{ASSIGNMENTS, FullObject};

use super::reach::{Reach, reach};
use super::{Preview, order};
use crate::restore_execute::payload_bytes;
use crate::sign_in::{is_connection_fault, stop};
use crate::stored;

/// The kind of references to groups.
const GROUP: &str = "group";

/// The longest key of a node, in characters.
const LONGEST_KEY: usize = 300;

/// The key of a version's node.
pub(super) fn key(version: &PolicyVersion) -> String {
    let plain = |letter: &char| !letter.is_control();
    let text = format!("{}/{}", version.policy_type, version.graph_id);
    text.chars().filter(plain).take(LONGEST_KEY).collect()
}

/// An object that was looked at.
pub(super) struct Prepared {
    pub(super) version: PolicyVersion,
    action: NodeAction,
    base: Option<Base>,
    wanted: Option<(Json, Option<Vec<Json>>)>,
    pub(super) refers_to: Vec<Reference>,
    binds: Vec<Bind>,
    /// What refers to nothing.
    lacking: Vec<Reference>,
    permissions: Vec<String>,
    diff: Option<Diff>,
    reach: Reach,
}

/// A node of the plan with what is shown of it.
pub(super) struct Seen {
    pub(super) node: PlanNode,
    pub(super) version: PolicyVersion,
    pub(super) lacking: Vec<Reference>,
    pub(super) permissions: Vec<String>,
    pub(super) diff: Option<Diff>,
    pub(super) reach: Reach,
}

impl Prepared {
    fn blocked(version: &PolicyVersion, reason: ReasonCode) -> Self {
        Self {
            version: version.clone(),
            action: NodeAction::Blocked(reason),
            base: None,
            wanted: None,
            refers_to: Vec::new(),
            binds: Vec::new(),
            lacking: Vec::new(),
            permissions: Vec::new(),
            diff: None,
            reach: Reach::default(),
        }
    }

    /// Takes what would be done away where something stands in the way. What differs stays to be seen.
    fn block(&mut self, reason: ReasonCode) {
        if self.action.writes() {
            self.action = NodeAction::Blocked(reason);
            self.binds.clear();
        }
    }
}

impl Preview<'_> {
    /// Reads what is wanted and what is there.
    pub(super) async fn look(&self, version: &PolicyVersion) -> Result<Prepared, Stop> {
        let Some(contract) = self.tools.catalog.contract(&version.policy_type) else {
            return Ok(Prepared::blocked(version, ReasonCode::UnsupportedType));
        };
        if contract.restore.mode == RestoreMode::Unsupported {
            // No restore can ever write it: it must not stand in the way of the rest of a set.
            let action = NodeAction::PreviewOnly;
            return Ok(Prepared {
                action,
                ..Prepared::blocked(version, ReasonCode::UnsupportedType)
            });
        }
        let wanted = match self.wanted(version).await? {
            Ok(wanted) => wanted,
            Err(reason) => return Ok(Prepared::blocked(version, reason)),
        };
        let nested = contract.item.path.contains("{parentId}");
        let live = if nested {
            // Its place is not in a version: it is shown without what is there.
            None
        } else {
            match self.live(contract, version).await {
                Ok(live) => live,
                Err(error)
                    if error.postponed().is_some() || is_connection_fault(error.reason()) =>
                {
                    return Err(stop(self.run, &error));
                }
                Err(error) => return Ok(Prepared::blocked(version, error.reason())),
            }
        };
        let mut one = self.compare(version, contract, wanted, live);
        let can = capabilities(contract, self.granted.as_deref());
        if contract.restore.mode == RestoreMode::PreviewOnly || nested {
            one.action = match one.action {
                NodeAction::Unchanged => NodeAction::Unchanged,
                _ => NodeAction::PreviewOnly,
            };
        } else if !can.app_only_writable {
            one.block(ReasonCode::AppOnlyNotSupported);
        } else if !can.missing_to_write.is_empty() && one.action.writes() {
            one.permissions = can.missing_to_write;
            one.block(ReasonCode::PermissionMissing);
        }
        Ok(one)
    }

    /// The object as it is now: under the id that it had, or under the one that an earlier restore made it
    /// anew with.
    async fn live(
        &self,
        contract: &Contract,
        version: &PolicyVersion,
    ) -> Result<Option<FullObject>, GraphError> {
        let live = self.session.read_one(contract, Some(&version.graph_id), None).await?;
        if live.is_some() {
            return Ok(live);
        }
        match self.anew(&version.policy_type, &version.graph_id) {
            Some(id) => self.session.read_one(contract, Some(&id), None).await,
            None => Ok(None),
        }
    }

    /// The id that an object got when it was made anew, and again, and again.
    fn anew(&self, policy_type: &PolicyType, id: &str) -> Option<String> {
        let (mut seen, mut last) = (BTreeSet::new(), None);
        let mut at = id.to_lowercase();
        while seen.insert(at.clone())
            && let Some(next) = self.made_anew.get(&(policy_type.clone(), at.clone()))
        {
            at = next.to_lowercase();
            last = Some(next.clone());
        }
        last
    }

    /// What the version holds; or what is wrong with it.
    async fn wanted(
        &self,
        version: &PolicyVersion,
    ) -> Result<Result<VersionContent, ReasonCode>, Stop> {
        let Some(place) = self.run.payload_place(version.address).await? else {
            return Ok(Err(ReasonCode::PayloadMissing));
        };
        let kind = PayloadKind::Version;
        let read = stored::read(self.tools, self.run, &self.vault, kind, place).await?;
        Ok(read.and_then(|content| {
            let json = content.json().map_err(|_| ReasonCode::PayloadDamaged)?;
            let content = VersionContent::read(json).map_err(|_| ReasonCode::PayloadDamaged)?;
            let same = content.policy_type == version.policy_type.as_str();
            if same { Ok(content) } else { Err(ReasonCode::BackupInconsistent) }
        }))
    }

    fn compare(
        &self,
        version: &PolicyVersion,
        contract: &Contract,
        wanted: VersionContent,
        live: Option<FullObject>,
    ) -> Prepared {
        let schema = self.tools.catalog.schema();
        let assignments = match wanted.assignments {
            Some(Json::Array(list)) => Some(list),
            _ => None,
        };
        let object = wanted.object;
        let refers_to = references_of(contract, &object, assignments.as_deref());
        let there = live.as_ref().and_then(|live| live.assignments.as_deref());
        let reach = reach(assignments.as_deref(), there);
        let (action, base) = match &live {
            None => {
                let whole = Whole { object: &object, assignments: assignments.as_deref() };
                let steps = self.takes(contract, whole, None);
                (steps.map_or_else(NodeAction::Blocked, |_| NodeAction::Create), None)
            }
            Some(live) => {
                let there = live.assignments.as_deref().unwrap_or_default();
                let assigned = assignments
                    .as_ref()
                    .is_some_and(|wanted| assignments_differ(contract, wanted, there));
                let differs = !differences(contract, schema, &object, &live.object).is_empty();
                let print =
                    fingerprint(contract, schema, &live.object, live.assignments.as_deref());
                let graph_id = live.id.clone().unwrap_or_else(|| version.graph_id.clone());
                let base = Some(Base { graph_id, fingerprint: print });
                let whole = Whole { object: &object, assignments: assignments.as_deref() };
                let action = match self.takes(contract, whole, Some(live)) {
                    _ if !assigned && !differs => NodeAction::Unchanged,
                    // What differs is in no body that may be sent: the restore could not keep the promise.
                    Ok(0) => NodeAction::Blocked(ReasonCode::UnsupportedType),
                    Ok(_) => NodeAction::Update,
                    Err(reason) => NodeAction::Blocked(reason),
                };
                (action, base)
            }
        };
        let diff =
            live.map(|live| self.diff(version, contract, live, &object, assignments.as_deref()));
        Prepared {
            version: version.clone(),
            action,
            base,
            wanted: action.writes().then_some((object, assignments)),
            refers_to,
            binds: Vec::new(),
            lacking: Vec::new(),
            permissions: Vec::new(),
            diff: diff.flatten(),
            reach,
        }
    }

    /// How many steps writing it takes, by what the restore itself asks; or why it cannot be written.
    fn takes(
        &self,
        contract: &Contract,
        wanted: Whole<'_>,
        live: Option<&FullObject>,
    ) -> Result<usize, ReasonCode> {
        let schema = self.tools.catalog.schema();
        let base = self.session.base(contract.api_version).map_err(|error| error.reason())?;
        let id = live.and_then(|live| live.id.as_deref());
        let place = Place { base: &base, id, parent: None };
        let steps = match live {
            None => steps::create(contract, schema, wanted, place).map(|_| 1),
            Some(live) => {
                let assignments = live.assignments.as_deref();
                let there = Whole { object: &live.object, assignments };
                steps::remaining(contract, schema, wanted, there, place).map(|steps| steps.len())
            }
        };
        steps.map_err(|bad| bad.reason)
    }

    /// What would change, from what is there to what is wanted. Secrets are out of both sides.
    fn diff(
        &self,
        version: &PolicyVersion,
        contract: &Contract,
        live: FullObject,
        object: &Json,
        assignments: Option<&[Json]>,
    ) -> Option<Diff> {
        let FullObject { object: mut now, assignments: assigned, .. } = live;
        let print = |secret: &Json| self.vault.sealer().fingerprint(secret).as_str().to_owned();
        secrets::redact(contract, &mut now, &print);
        let names = names_of(&version.names);
        let comparison =
            Comparison { contract, definitions: &Definitions::default(), across_tenants: false };
        let assigned = assigned.as_deref().map(Tree::list);
        let wanted = assignments.map(Tree::list);
        let (now, then) = (Tree::from(&now), Tree::from(object));
        let side = |object, assignments| Side {
            policy_type: version.policy_type.as_str(),
            object,
            assignments,
            names: &names,
            unread: &[],
        };
        comparison.run(&side(&now, assigned.as_ref()), &side(&then, wanted.as_ref())).ok()
    }

    /// Finds for each reference what stands for it: an object that is there, or one that an earlier node
    /// makes. What refers to nothing is not written.
    pub(super) async fn bind(&self, all: Vec<Prepared>) -> Result<Vec<Prepared>, Stop> {
        let mut all = in_order(all);
        let exists = self.there(&all).await?;
        let mut made: HashMap<(String, String), String> = HashMap::new();
        for one in &mut all {
            if one.action.writes() {
                let (mut binds, mut lacking) = (Vec::new(), Vec::new());
                for reference in &one.refers_to {
                    let name = (reference.kind.clone(), reference.id.to_lowercase());
                    if let Some(node) = made.get(&name) {
                        let pointer = in_payload(&reference.pointer);
                        binds.push(Bind { pointer, node: node.clone() });
                    } else if exists.get(&reference.kind).is_some_and(|ids| !ids.contains(&name.1))
                    {
                        let there = &exists[&reference.kind];
                        let anew = PolicyType::new(&reference.kind)
                            .ok()
                            .and_then(|key| self.anew(&key, &reference.id))
                            .filter(|id| there.contains(&id.to_lowercase()));
                        let pointer = in_payload(&reference.pointer);
                        let wanted = one.wanted.as_mut();
                        let put = anew
                            .zip(wanted)
                            .is_some_and(|(id, wanted)| put_id(wanted, &pointer, &id));
                        if !put {
                            lacking.push(reference.clone());
                        }
                    }
                }
                one.binds = binds;
                if !lacking.is_empty() {
                    one.lacking = lacking;
                    one.block(ReasonCode::ReferenceMissing);
                }
            }
            if one.action == NodeAction::Create {
                let kind = one.version.policy_type.as_str().to_owned();
                let id = one.version.graph_id.to_lowercase();
                made.insert((kind, id), key(&one.version));
            }
        }
        Ok(all)
    }

    /// What there is of what is referred to, by kind: ids in lower case. A kind that cannot be asked for is
    /// not in it.
    async fn there(&self, all: &[Prepared]) -> Result<BTreeMap<String, BTreeSet<String>>, Stop> {
        let mut asked: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for one in all.iter().filter(|one| one.action.writes()) {
            for reference in &one.refers_to {
                asked.entry(&reference.kind).or_default().insert(reference.id.clone());
            }
        }
        let mut found = BTreeMap::new();
        for (kind, ids) in asked {
            let there = if kind == GROUP {
                let names =
                    self.session.names_of(&ids).await.map_err(|error| stop(self.run, &error))?;
                names.into_keys().map(|id| id.to_lowercase()).collect()
            } else {
                let key = PolicyType::new(kind).ok();
                let contract = key.and_then(|key| self.tools.catalog.contract(&key));
                let Some(contract) = contract.filter(|one| !one.item.path.contains("{parentId}"))
                else {
                    continue;
                };
                match self.session.ids_named(contract, None, None).await {
                    Ok(ids) => ids.into_iter().map(|id| id.to_lowercase()).collect(),
                    Err(error) if error.reason() == ReasonCode::PermissionMissing => continue,
                    Err(error) => return Err(stop(self.run, &error)),
                }
            };
            found.insert(kind.to_owned(), there);
        }
        Ok(found)
    }

    /// Keeps what an object shall be, and makes its node.
    pub(super) async fn finish(&self, one: Prepared) -> Result<Seen, Stop> {
        let wanted = match &one.wanted {
            Some((object, assignments)) if one.action.writes() => {
                let bytes = payload_bytes(object, assignments.as_deref());
                let sha256 = BodyHash::of_bytes(&bytes).as_str().to_owned();
                let content = Json::parse(&bytes)
                    .map_err(|_| crate::sign_in::failed(ReasonCode::MalformedResponse))?;
                let address = self.keep(PayloadKind::Wanted, &content).await?;
                Some(PayloadRef { id: address.to_string(), sha256 })
            }
            _ => None,
        };
        let node = PlanNode {
            key: key(&one.version),
            policy_type: one.version.policy_type.clone(),
            name: one.version.name.clone(),
            action: one.action,
            base: one.base,
            parent: None,
            wanted,
            binds: one.binds,
        };
        let Prepared { version, lacking, permissions, diff, reach, .. } = one;
        Ok(Seen { node, version, lacking, permissions, diff, reach })
    }
}

/// The same objects, each behind those of them that it refers to.
fn in_order(all: Vec<Prepared>) -> Vec<Prepared> {
    let place = |one: &Prepared| {
        (one.version.policy_type.as_str().to_owned(), one.version.graph_id.to_lowercase())
    };
    let places: HashMap<(String, String), usize> =
        all.iter().enumerate().map(|(at, one)| (place(one), at)).collect();
    let needs: Vec<Vec<usize>> = all
        .iter()
        .map(|one| {
            let of = |reference: &Reference| {
                places.get(&(reference.kind.clone(), reference.id.to_lowercase())).copied()
            };
            one.refers_to.iter().filter_map(of).collect()
        })
        .collect();
    let order = order::by_need(&needs);
    let mut all: Vec<Option<Prepared>> = all.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| all[at].take()).collect()
}

/// References of an object and its assignments; places are in both together.
fn references_of(
    contract: &Contract,
    object: &Json,
    assignments: Option<&[Json]>,
) -> Vec<Reference> {
    let mut whole = object.clone();
    if let (Some(members), Some(list)) = (whole.as_object_mut(), assignments) {
        members.insert(ASSIGNMENTS, Json::Array(list.to_vec()));
    }
    references::references(contract, &whole)
}

/// Puts the id of what was made anew in the place of the one that it had.
fn put_id(wanted: &mut (Json, Option<Vec<Json>>), pointer: &str, id: &str) -> bool {
    let (object, assignments) = wanted;
    let place = match pointer.strip_prefix("/object") {
        Some(rest) => object.pointer_mut(rest),
        None => pointer.strip_prefix(&format!("/{ASSIGNMENTS}/")).and_then(|rest| {
            let (index, rest) = rest.split_once('/')?;
            let element = assignments.as_mut()?.get_mut(index.parse::<usize>().ok()?)?;
            element.pointer_mut(&format!("/{rest}"))
        }),
    };
    place.is_some_and(|place| {
        *place = Json::from(id);
        true
    })
}

/// A place of an object with its assignments, as a place of a payload.
fn in_payload(pointer: &str) -> String {
    let assignments = format!("/{ASSIGNMENTS}/");
    if pointer.starts_with(&assignments) { pointer.to_owned() } else { format!("/object{pointer}") }
}
