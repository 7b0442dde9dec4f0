//! One object of a preview: what it shall be, what it is, what would be done, and what stands in the way.

use std::collections::{BTreeSet, HashMap};

use tp_catalog::capabilities::capabilities;
use tp_catalog::compare::{Comparison, Diff, Side};
use tp_catalog::content::{VersionContent, names_of};
use tp_catalog::contract::{Contract, ListShape, RestoreMode};
use tp_catalog::definitions::Definitions;
use tp_catalog::readback::{assignments_differ, differences, fingerprint};
use tp_catalog::references::{self, Reference};
use tp_catalog::secrets;
use tp_catalog::steps::{self, Place, Whole};
use tp_catalog::tree::Tree;
use tp_domain::ids::TenantId;
use tp_domain::json::Json;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::mapping::Choice;
use tp_domain::restore::plan::{Base, Bind, BodyHash, NodeAction, PayloadRef, PlanNode};
use tp_domain::version::PolicyVersion;
use tp_engine::operation::Stop;
use tp_graph::error::GraphError;
use tp_graph::full::{ASSIGNMENTS, FullObject};

use super::mapping::{Lack, Mapped, is_default_tag};
use super::reach::{Reach, reach};
use super::{Preview, order};
use crate::restore_execute::payload_bytes;
use crate::sign_in::{is_connection_fault, stop};

/// The longest key of a node, in characters.
const LONGEST_KEY: usize = 300;

/// The key of a version's node.
///
/// What is of another tenant is named with it: the same id there and here are two objects.
pub(super) fn key(version: &PolicyVersion, foreign: Option<TenantId>) -> String {
    let plain = |letter: &char| !letter.is_control();
    let text = format!("{}/{}", version.policy_type, known_as(&version.graph_id, foreign));
    text.chars().filter(plain).take(LONGEST_KEY).collect()
}

/// The id of an object of the source, told from ids of other tenants.
fn known_as(id: &str, foreign: Option<TenantId>) -> String {
    foreign.map_or_else(|| id.to_owned(), |tenant| format!("{tenant}/{id}"))
}

/// An object that was looked at.
pub(super) struct Prepared {
    pub(super) version: PolicyVersion,
    pub(super) action: NodeAction,
    pub(super) base: Option<Base>,
    pub(super) wanted: Option<Wanted>,
    live: Option<FullObject>,
    pub(super) refers_to: Vec<Reference>,
    pub(super) binds: Vec<Bind>,
    /// What refers to nothing.
    pub(super) lacking: Vec<Lack>,
    /// Objects of the target that have its name.
    namesakes: Vec<String>,
    /// What was found for references by a choice, a name or an earlier restore.
    pub(super) mapped: Vec<Mapped>,
    permissions: Vec<String>,
    diff: Option<Diff>,
    reach: Reach,
}

/// A node of the plan with what is shown of it.
pub(super) struct Seen {
    pub(super) node: PlanNode,
    pub(super) version: PolicyVersion,
    pub(super) lacking: Vec<Lack>,
    pub(super) namesakes: Vec<String>,
    pub(super) mapped: Vec<Mapped>,
    pub(super) permissions: Vec<String>,
    pub(super) diff: Option<Diff>,
    pub(super) reach: Reach,
}

/// What an object shall be: the object and its assignments.
pub(super) type Wanted = (Json, Option<Vec<Json>>);

/// Which object of the target one of the source is.
enum Target {
    /// This one.
    There(Box<FullObject>),
    /// None: it is made.
    New,
    /// None; these have its name, and nobody has said whether it is one of them.
    Taken(Vec<String>),
    /// One that somebody has chosen and that is not there.
    Lost,
}

impl Prepared {
    fn blocked(version: &PolicyVersion, reason: ReasonCode) -> Self {
        Self {
            version: version.clone(),
            action: NodeAction::Blocked(reason),
            base: None,
            wanted: None,
            live: None,
            refers_to: Vec::new(),
            binds: Vec::new(),
            lacking: Vec::new(),
            namesakes: Vec::new(),
            mapped: Vec::new(),
            permissions: Vec::new(),
            diff: None,
            reach: Reach::default(),
        }
    }

    /// Takes what would be done away where something stands in the way. What differs stays to be seen.
    pub(super) fn block(&mut self, reason: ReasonCode) {
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
        let target = if nested {
            // Its place is not in a version: it is shown without what is there.
            Ok(Target::New)
        } else {
            self.target(contract, version).await
        };
        let mut one = Prepared::blocked(version, ReasonCode::NameTaken);
        match target {
            Ok(Target::There(live)) => one.live = Some(*live),
            Ok(Target::New) => {}
            Ok(Target::Taken(namesakes)) => one.namesakes = namesakes,
            Ok(Target::Lost) => {
                return Ok(Prepared::blocked(version, ReasonCode::ReferenceMissing));
            }
            Err(error) if error.postponed().is_some() || is_connection_fault(error.reason()) => {
                return Err(stop(self.run, &error));
            }
            Err(error) => return Ok(Prepared::blocked(version, error.reason())),
        }
        let assignments = match wanted.assignments {
            Some(Json::Array(list)) => Some(list),
            _ => None,
        };
        one.refers_to = references_of(contract, &wanted.object, assignments.as_deref());
        one.wanted = Some((wanted.object, assignments));
        Ok(one)
    }

    /// What would be done, once everything that it refers to is that of the target; and what stands in the way.
    pub(super) fn decide(&self, one: &mut Prepared) {
        let contract = self.tools.catalog.contract(&one.version.policy_type);
        let (Some(contract), Some((object, assignments))) = (contract, one.wanted.take()) else {
            return;
        };
        let nested = contract.item.path.contains("{parentId}");
        let wanted = Whole { object: &object, assignments: assignments.as_deref() };
        self.compare(one, contract, wanted);
        one.wanted = Some((object, assignments));
        if !one.namesakes.is_empty() {
            one.block(ReasonCode::NameTaken);
        }
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
        if let Some(reason) = self.unsound {
            one.block(reason);
        }
    }

    /// Which object of the target it is.
    async fn target(
        &self,
        contract: &Contract,
        version: &PolicyVersion,
    ) -> Result<Target, GraphError> {
        let choice = self.mapping.get(&contract.key, &version.graph_id);
        if let Some(Choice::To(id)) = choice {
            let live = self.session.read_one(contract, Some(id), None).await?;
            return Ok(live.map_or(Target::Lost, |live| Target::There(Box::new(live))));
        }
        let foreign = self.foreign.is_some()
            && contract.list.shape != ListShape::Singleton
            && !is_default_tag(&contract.key, &version.graph_id);
        let live = if foreign {
            let known = known_as(&version.graph_id, self.foreign);
            match self.anew(&version.policy_type, &known) {
                Some(id) => self.session.read_one(contract, Some(&id), None).await?,
                None => None,
            }
        } else {
            self.live(contract, version).await?
        };
        if let Some(live) = live {
            return Ok(Target::There(Box::new(live)));
        }
        if foreign
            && choice != Some(&Choice::Create)
            && let Some(name) = version.name.as_deref()
        {
            let namesakes = self.session.ids_named(contract, None, Some(name)).await?;
            if !namesakes.is_empty() {
                return Ok(Target::Taken(namesakes));
            }
        }
        Ok(Target::New)
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
    pub(super) fn anew(&self, policy_type: &PolicyType, id: &str) -> Option<String> {
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
        let read = self.source.content(self.tools, self.run, &self.vault, version).await?;
        Ok(read.and_then(|content| {
            let json = content.json().map_err(|_| ReasonCode::PayloadDamaged)?;
            let content = VersionContent::read(json).map_err(|_| ReasonCode::PayloadDamaged)?;
            let same = content.policy_type == version.policy_type.as_str();
            if same { Ok(content) } else { Err(ReasonCode::BackupInconsistent) }
        }))
    }

    fn compare(&self, one: &mut Prepared, contract: &Contract, wanted: Whole<'_>) {
        let schema = self.tools.catalog.schema();
        let live = one.live.as_ref();
        one.reach = reach(wanted.assignments, live.and_then(|live| live.assignments.as_deref()));
        let Some(live) = live else {
            let steps = self.takes(contract, wanted, None);
            one.action = steps.map_or_else(NodeAction::Blocked, |_| NodeAction::Create);
            return;
        };
        let there = live.assignments.as_deref().unwrap_or_default();
        let assigned =
            wanted.assignments.is_some_and(|wanted| assignments_differ(contract, wanted, there));
        let differs = !differences(contract, schema, wanted.object, &live.object).is_empty();
        one.action = match self.takes(contract, wanted, Some(live)) {
            _ if !assigned && !differs => NodeAction::Unchanged,
            // What differs is in no body that may be sent: the restore could not keep the promise.
            Ok(0) => NodeAction::Blocked(ReasonCode::UnsupportedType),
            Ok(_) => NodeAction::Update,
            Err(reason) => NodeAction::Blocked(reason),
        };
        let print = fingerprint(contract, schema, &live.object, live.assignments.as_deref());
        let graph_id = live.id.clone().unwrap_or_else(|| one.version.graph_id.clone());
        one.base = Some(Base { graph_id, fingerprint: print });
        let live = live.clone();
        one.diff = self.diff(&one.version, contract, live, wanted.object, wanted.assignments);
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
            key: key(&one.version, self.foreign),
            policy_type: one.version.policy_type.clone(),
            name: one.version.name.clone(),
            action: one.action,
            base: one.base,
            parent: None,
            wanted,
            binds: one.binds,
        };
        let Prepared { version, lacking, namesakes, mapped, permissions, diff, reach, .. } = one;
        Ok(Seen { node, version, lacking, namesakes, mapped, permissions, diff, reach })
    }
}

/// The same objects, each behind those of them that it refers to.
pub(super) fn in_order(all: Vec<Prepared>) -> Vec<Prepared> {
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
