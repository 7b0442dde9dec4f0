//! What a restore asks of the payload store, and what is kept there: canonical JSON with `object` and
//! `assignments`.

use std::fmt;

use futures_util::future::BoxFuture;
use tp_domain::ids::RestoreId;
use tp_domain::json::{Json, Object};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::plan::{BodyHash, PayloadRef, PlanNode};
use tp_graph::full::FullObject;
use tp_store::ClaimedRun;

/// The payload store did not give or take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadUnavailable {
    /// It is not there, or is not what it was: trying again changes nothing.
    #[error("the payload cannot be read")]
    Damaged,
    /// It did not answer.
    #[error("the payload store did not answer")]
    Passing,
}

impl PayloadUnavailable {
    pub(super) const fn reason(self) -> ReasonCode {
        match self {
            Self::Damaged => ReasonCode::PayloadUnreadable,
            Self::Passing => ReasonCode::StorageUnavailable,
        }
    }
}

/// The object as it was before the first write, for "Undo this restore".
///
/// It is as Graph gave it. Marking its secrets, sealing it and making a version of it is the store's.
#[derive(Clone)]
pub struct SafetyCapture {
    /// The restore that is about to write.
    pub restore: RestoreId,
    /// The object's type.
    pub policy_type: PolicyType,
    /// Its Graph id; for the one object that a tenant has, the type's key.
    pub graph_id: String,
    /// The object as it was read.
    pub object: FullObject,
}

impl fmt::Debug for SafetyCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SafetyCapture").field("graph_id", &self.graph_id).finish_non_exhaustive()
    }
}

/// The port to the payload store. The store of payloads answers it.
pub trait RestorePayloads: Send + Sync + fmt::Debug {
    /// The bytes of a payload of a plan of this run's tenant. They are compared with the reference's hash.
    fn fetch<'a>(
        &'a self,
        run: &'a ClaimedRun,
        at: &'a PayloadRef,
    ) -> BoxFuture<'a, Result<Vec<u8>, PayloadUnavailable>>;

    /// Keeps an object as it was. Durable when this returns: a write follows.
    fn keep<'a>(
        &'a self,
        run: &'a ClaimedRun,
        capture: SafetyCapture,
    ) -> BoxFuture<'a, Result<PayloadRef, PayloadUnavailable>>;
}

/// The form in which an object and its assignments are kept.
pub fn payload_bytes(object: &Json, assignments: Option<&[Json]>) -> Vec<u8> {
    let mut whole = Object::default();
    whole.insert("object", object.clone());
    whole.insert("assignments", assignments.map_or(Json::Null, |list| Json::Array(list.to_vec())));
    Json::Object(whole).to_string().into_bytes()
}

/// What an object shall be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) object: Json,
    pub(super) assignments: Option<Vec<Json>>,
}

impl Wanted {
    /// Reads a payload: the bytes must be those of the reference, and of the form.
    pub(super) fn read(
        bytes: &[u8],
        node: &PlanNode,
        made: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let wanted = node.wanted.as_ref()?;
        if BodyHash::of_bytes(bytes).as_str() != wanted.sha256 {
            return None;
        }
        let mut whole = Json::parse(bytes).ok()?;
        for bind in &node.binds {
            *whole.pointer_mut(&bind.pointer)? = made(&bind.node)?.into();
        }
        let members = whole.as_object_mut()?;
        let object = members.remove("object").filter(Json::is_object)?;
        let assignments = match members.remove("assignments") {
            None | Some(Json::Null) => None,
            Some(Json::Array(list)) => Some(list),
            Some(_) => return None,
        };
        Some(Self { object, assignments })
    }
}

#[cfg(test)]
mod tests {
    use tp_domain::json;
    use tp_domain::restore::plan::{Bind, NodeAction};

    use super::*;

    #[test]
    fn a_payload_is_read_only_if_it_is_what_was_planned() {
        let bytes = payload_bytes(&json!({"displayName": "A", "ref": "old"}), Some(&[]));
        let wanted = PayloadRef {
            id: "p".to_owned(),
            sha256: BodyHash::of_bytes(&bytes).as_str().to_owned(),
        };
        let mut node = PlanNode {
            key: "a".to_owned(),
            policy_type: PolicyType::new("deviceConfiguration").unwrap(),
            name: None,
            action: NodeAction::Create,
            base: None,
            parent: None,
            wanted: Some(wanted),
            binds: Vec::new(),
        };
        let read = Wanted::read(&bytes, &node, |_| None).unwrap();
        assert_eq!(
            (read.object["ref"].as_str(), read.assignments),
            (Some("old"), Some(Vec::new()))
        );
        let mut changed = bytes.clone();
        changed[3] ^= 1;
        assert!(Wanted::read(&changed, &node, |_| None).is_none());
        node.binds = vec![Bind { pointer: "/object/ref".to_owned(), node: "first".to_owned() }];
        assert!(Wanted::read(&bytes, &node, |_| None).is_none(), "what it refers to is not there");
        let bound = Wanted::read(&bytes, &node, |_| Some("new".to_owned())).unwrap();
        assert_eq!(bound.object["ref"], "new");
    }
}
