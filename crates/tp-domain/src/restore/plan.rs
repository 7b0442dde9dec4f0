//! The frozen plan of a restore: its nodes in the order of work, canonical bytes and their hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::hex::hex;
use crate::json::Json;
use crate::operation::canonical;
use crate::policy::PolicyType;
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// How long a frozen plan may be confirmed and begun (ruling 23).
pub const PLAN_LIFE: Duration = Duration::from_mins(30);

/// The most nodes of one plan: more than any tenant's policies that were ever seen, fewer than a hostile
/// file could name.
pub const MOST_NODES: usize = 20_000;

/// The version of the form that plans are written in.
const FORM: u64 = 1;

/// Not the text of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hex digits")]
pub struct BadDigest;

macro_rules! digest {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The SHA-256 of these bytes.
            pub fn of_bytes(bytes: &[u8]) -> Self {
                Self(hex(&Sha256::digest(bytes)))
            }

            /// The SHA-256 of a value's canonical form.
            pub fn of(value: &Value) -> Self {
                Self::of_bytes(canonical(value).to_string().as_bytes())
            }

            /// The same of a value without loss.
            pub fn of_json(value: &Json) -> Self {
                Self::of_bytes(value.to_string().as_bytes())
            }

            /// Lower-case hex, as it is stored and shown.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadDigest;

            fn from_str(text: &str) -> Result<Self, BadDigest> {
                let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if text.len() == 64 && digits { Ok(Self(text.to_owned())) } else { Err(BadDigest) }
            }
        }
    )+};
}

digest! {
    /// The hash of a frozen plan: what a person confirms, and what a run must find again.
    PlanHash;
    /// What an object was like, by the contract's rules of comparison. Not the hash of a payload: volatile
    /// members and secrets are not in it.
    Fingerprint;
    /// The hash of a write's body.
    BodyHash;
}

/// Where a payload is kept, and what it must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRef {
    /// Its name in the payload store.
    pub id: String,
    /// The plain SHA-256 of its bytes: what comes back is compared with it.
    pub sha256: String,
}

/// What will be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// There is none: one is made.
    Create,
    /// It is changed to what it was.
    Update,
    /// It is as it shall be.
    Unchanged,
    /// It cannot be done as long as that stands in the way.
    Blocked(ReasonCode),
    /// Its type is shown and not written (PRODUCT G-3).
    PreviewOnly,
}

impl NodeAction {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
            Self::Blocked(_) => "blocked",
            Self::PreviewOnly => "preview_only",
        }
    }

    /// Whether a run writes something for it.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }

    /// What stands in the way.
    pub const fn blocker(self) -> Option<ReasonCode> {
        match self {
            Self::Blocked(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The object that a node is about, as the preview saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its Graph id; for the one object that a tenant has, the type's key.
    pub graph_id: String,
    /// What it was like. A run that finds it otherwise leaves it alone.
    pub fingerprint: Fingerprint,
}

/// A place of the wanted object that gets the id of what another node makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// A JSON pointer into `{"object": …, "assignments": …}`.
    pub pointer: String,
    /// The node's key. It stands earlier in the plan.
    pub node: String,
}

/// One object of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanNode {
    /// Unique in the plan, at most 300 characters.
    pub key: String,
    /// Its type.
    pub policy_type: PolicyType,
    /// Its name for people.
    pub name: Option<String>,
    /// What will be done.
    pub action: NodeAction,
    /// The object that there is; none for what is made.
    pub base: Option<Base>,
    /// The Graph id of the object that it lies in, for nested types.
    pub parent: Option<String>,
    /// What it shall be: canonical JSON with `object` and `assignments`. None where nothing is written.
    pub wanted: Option<PayloadRef>,
    /// Ids that are known only when an earlier node was made.
    pub binds: Vec<Bind>,
}

/// What a plan is made of, before it is frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePlan {
    /// The tenant that is written to, by its id in Microsoft Entra.
    pub entra_tenant_id: Uuid,
    /// Nodes in the order of work: what others refer to comes first.
    pub nodes: Vec<PlanNode>,
    /// High-risk types that an operator had enabled when the plan was made (PRODUCT G-3).
    pub enabled_types: BTreeSet<PolicyType>,
    /// Whether the first failure leaves the rest undone.
    pub stop_on_failure: bool,
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan is not one: {0}")]
pub struct BadPlan(pub String);

/// A plan whose bytes do not change any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenPlan {
    plan: RestorePlan,
    bytes: Vec<u8>,
    hash: PlanHash,
    expires_at: Timestamp,
}

impl RestorePlan {
    /// Freezes it: canonical bytes, their hash, and the moment after which it cannot be confirmed.
    pub fn freeze(self, now: Timestamp) -> Result<FrozenPlan, BadPlan> {
        self.check()?;
        let bytes = canonical(&self.to_json()).to_string().into_bytes();
        let hash = PlanHash::of_bytes(&bytes);
        Ok(FrozenPlan { plan: self, bytes, hash, expires_at: now.plus(PLAN_LIFE) })
    }

    /// How many nodes there are of each action.
    pub fn actions(&self) -> BTreeMap<&'static str, usize> {
        let mut actions = BTreeMap::new();
        for node in &self.nodes {
            *actions.entry(node.action.as_str()).or_insert(0) += 1;
        }
        actions
    }

    /// The nodes for which something is written, in the order of work.
    pub fn writes(&self) -> impl Iterator<Item = &PlanNode> {
        self.nodes.iter().filter(|node| node.action.writes())
    }

    fn check(&self) -> Result<(), BadPlan> {
        let bad = |node: &PlanNode, what: &str| Err(BadPlan(format!("{}: {what}", node.key)));
        if self.nodes.len() > MOST_NODES {
            return Err(BadPlan(format!("more than {MOST_NODES} nodes")));
        }
        let mut seen: BTreeMap<&str, NodeAction> = BTreeMap::new();
        for node in &self.nodes {
            let length = node.key.chars().count();
            if !(1..=300).contains(&length) || node.key.chars().any(char::is_control) {
                return bad(
                    node,
                    "a key has 1 to 300 characters, none of them a control character",
                );
            }
            for bind in &node.binds {
                if !seen.get(bind.node.as_str()).is_some_and(|action| action.writes()) {
                    return bad(node, "it binds to a node that no earlier one writes");
                }
            }
            match (node.action, &node.base, &node.wanted) {
                (NodeAction::Create, Some(_), _) => return bad(node, "what is made has no base"),
                (NodeAction::Update | NodeAction::Unchanged, None, _) => {
                    return bad(node, "what is there has a base");
                }
                (NodeAction::Create | NodeAction::Update, _, None) => {
                    return bad(node, "it says not what it shall be");
                }
                _ => {}
            }
            if seen.insert(&node.key, node.action).is_some() {
                return bad(node, "its key stands twice");
            }
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({
            "form": FORM,
            "entra_tenant_id": self.entra_tenant_id.to_string(),
            "nodes": self.nodes.iter().map(PlanNode::to_json).collect::<Vec<_>>(),
            "enabled_types": self.enabled_types.iter().map(PolicyType::as_str).collect::<Vec<_>>(),
            "stop_on_failure": self.stop_on_failure,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        if value.get("form")?.as_u64()? != FORM {
            return None;
        }
        let nodes = value.get("nodes")?.as_array()?;
        let types = value.get("enabled_types")?.as_array()?;
        Some(Self {
            entra_tenant_id: Uuid::try_parse(value.get("entra_tenant_id")?.as_str()?).ok()?,
            nodes: nodes.iter().map(PlanNode::from_json).collect::<Option<_>>()?,
            enabled_types: types
                .iter()
                .map(|key| PolicyType::new(key.as_str()?).ok())
                .collect::<Option<_>>()?,
            stop_on_failure: value.get("stop_on_failure")?.as_bool()?,
        })
    }
}

impl FrozenPlan {
    /// Reads back what was stored. The bytes must hash to `hash` and be a plan.
    pub fn read(bytes: Vec<u8>, hash: &PlanHash, expires_at: Timestamp) -> Result<Self, BadPlan> {
        if PlanHash::of_bytes(&bytes) != *hash {
            return Err(BadPlan("its bytes do not have its hash".to_owned()));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| BadPlan(error.to_string()))?;
        let plan = RestorePlan::from_json(&value)
            .ok_or_else(|| BadPlan("its members are not those of a plan".to_owned()))?;
        plan.check()?;
        Ok(Self { plan, bytes, hash: hash.clone(), expires_at })
    }

    /// What it says.
    pub const fn plan(&self) -> &RestorePlan {
        &self.plan
    }

    /// Its canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash of its bytes.
    pub const fn hash(&self) -> &PlanHash {
        &self.hash
    }

    /// After this it cannot be confirmed and not be begun.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl PlanNode {
    fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("key".into(), self.key.as_str().into());
        map.insert("policy_type".into(), self.policy_type.as_str().into());
        map.insert("name".into(), self.name.as_deref().into());
        map.insert("action".into(), self.action.as_str().into());
        if let Some(reason) = self.action.blocker() {
            map.insert("reason".into(), reason.as_str().into());
        }
        if let Some(base) = &self.base {
            let base = json!({"graph_id": base.graph_id, "fingerprint": base.fingerprint.as_str()});
            map.insert("base".into(), base);
        }
        if let Some(parent) = &self.parent {
            map.insert("parent".into(), parent.as_str().into());
        }
        if let Some(wanted) = &self.wanted {
            map.insert("wanted".into(), json!({"id": wanted.id, "sha256": wanted.sha256}));
        }
        if !self.binds.is_empty() {
            let bind = |bind: &Bind| json!({"pointer": bind.pointer, "node": bind.node});
            map.insert("binds".into(), self.binds.iter().map(bind).collect());
        }
        Value::Object(map)
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let inner = |of: &Value, name: &str| of.get(name)?.as_str().map(str::to_owned);
        let action = match value.get("action")?.as_str()? {
            "create" => NodeAction::Create,
            "update" => NodeAction::Update,
            "unchanged" => NodeAction::Unchanged,
            "blocked" => NodeAction::Blocked(text("reason")?.parse().ok()?),
            "preview_only" => NodeAction::PreviewOnly,
            _ => return None,
        };
        let base = match value.get("base") {
            None => None,
            Some(base) => Some(Base {
                graph_id: inner(base, "graph_id")?,
                fingerprint: inner(base, "fingerprint")?.parse().ok()?,
            }),
        };
        let wanted = match value.get("wanted") {
            None => None,
            Some(one) => Some(PayloadRef { id: inner(one, "id")?, sha256: inner(one, "sha256")? }),
        };
        let none = Vec::new();
        let binds = value.get("binds").and_then(Value::as_array).unwrap_or(&none);
        Some(Self {
            key: text("key")?,
            policy_type: PolicyType::new(value.get("policy_type")?.as_str()?).ok()?,
            name: text("name"),
            action,
            base,
            parent: text("parent"),
            wanted,
            binds: binds
                .iter()
                .map(|one| {
                    Some(Bind { pointer: inner(one, "pointer")?, node: inner(one, "node")? })
                })
                .collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
