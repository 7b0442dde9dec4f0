//! From an object in full to a stored payload: secrets out, one text, sealed, kept once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tp_catalog::contract::Contract;
use tp_catalog::secrets::{self, Redactions};
use tp_domain::json::{Json, Object};
use tp_domain::payload::PayloadKind;
use tp_domain::policy::ObservedPolicy;
use tp_domain::reason::ReasonCode;
use tp_domain::version::ReferenceNames;
use tp_engine::operation::Stop;
use tp_graph::full::FullObject;
use tp_graph::session::GraphSession;
use tp_payload::{Canonical, PayloadError, Sealed, Vault};
use tp_store::{Captured, ClaimedRun, PayloadWant, PayloadWritten, Reserved};

use crate::sign_in::failed;

/// The form of a version's content. A reader that does not know the number refuses it.
pub(crate) const FORMAT: u64 = 1;

/// Objects that are written to the store at once.
const PUTS_AT_ONCE: usize = 8;

/// A policy that was read in full, ready to be stored.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) observed: ObservedPolicy,
    content: Canonical,
    modified_text: Option<String>,
    assignments: u64,
    redactions: u64,
    groups: BTreeSet<String>,
}

/// Why an object cannot be kept.
pub(super) type Refused = ReasonCode;

/// Takes the secrets out of an object and brings it into its one form.
pub(super) fn prepare(
    contract: &Contract,
    vault: &Vault,
    observed: ObservedPolicy,
    full: FullObject,
) -> Result<Prepared, Refused> {
    let FullObject { mut object, assignments, .. } = full;
    let modified_text = contract
        .changes
        .last_modified
        .as_ref()
        .and_then(|field| object.get(field)?.as_str().map(str::to_owned));
    let fingerprint = |secret: &Json| vault.sealer().fingerprint(secret).as_str().to_owned();
    let found = secrets::redact(contract, &mut object, &fingerprint);
    let groups = assignments.iter().flatten().filter_map(group_of).map(str::to_owned).collect();
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let (redactions, targets) =
        (count(found.taken.len()), count(assignments.as_ref().map_or(0, Vec::len)));
    let content = content(contract, object, assignments, &found);
    let content = Canonical::of(&content).map_err(|_| ReasonCode::MalformedResponse)?;
    if content.as_bytes().len() > tp_payload::MOST_BYTES {
        return Err(ReasonCode::PayloadTooLarge);
    }
    Ok(Prepared { observed, content, modified_text, assignments: targets, redactions, groups })
}

fn content(
    contract: &Contract,
    object: Json,
    assignments: Option<Vec<Json>>,
    found: &Redactions,
) -> Json {
    let mut content = Object::new();
    content.insert("format", Json::from(FORMAT));
    content.insert("type", Json::from(contract.key.as_str()));
    content.insert("object", object);
    content.insert("assignments", assignments.map_or(Json::Null, Json::from));
    content.insert("redactions", Json::from(json!(found.taken)));
    content.insert("restricted", Json::from(json!(found.restricted)));
    Json::from(content)
}

/// The group that an assignment names.
fn group_of(assignment: &Json) -> Option<&str> {
    let target = assignment.get("target").unwrap_or(assignment);
    target.get("groupId").and_then(Json::as_str).filter(|id| !id.is_empty())
}

/// Names of groups that this run has asked for, each once.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Option<String>>>);

impl Names {
    /// Asks for those that are not known yet. Without an answer they stay without a name: a capture is
    /// not lost for want of a name.
    pub(super) async fn learn(&self, session: &GraphSession, prepared: &[Prepared]) {
        let wanted: BTreeSet<String> = {
            let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let groups = prepared.iter().flat_map(|one| one.groups.iter());
            groups.filter(|id| !known.contains_key(*id)).cloned().collect()
        };
        if wanted.is_empty() {
            return;
        }
        match session.names_of(&wanted).await {
            Ok(mut names) => {
                let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for id in wanted {
                    let name = names.remove(&id).and_then(|one| one.name);
                    known.insert(id, name);
                }
            }
            Err(error) => tracing::warn!(
                reason = %error.reason(),
                graph.request_id = error.request_id(),
                "names of groups could not be read; the captures go without them",
            ),
        }
    }

    fn of(&self, groups: &BTreeSet<String>) -> ReferenceNames {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let named: BTreeMap<String, String> =
            groups.iter().filter_map(|id| Some((id.clone(), known.get(id)?.clone()?))).collect();
        let mut names = BTreeMap::new();
        if !named.is_empty() {
            names.insert("group".to_owned(), named);
        }
        ReferenceNames(names)
    }
}

/// Stores the contents of a batch, each once, and gives what is to be written down of each.
pub(super) async fn store(
    run: &ClaimedRun,
    vault: &Vault,
    names: &Names,
    prepared: &[Prepared],
) -> Result<Vec<Captured>, Stop> {
    let kind = PayloadKind::Version;
    let wants: Vec<PayloadWant> = prepared
        .iter()
        .map(|one| PayloadWant { kind, address: vault.sealer().address(kind, &one.content) })
        .collect();
    let reserved = run.payloads_reserve(wants.clone()).await?;
    let puts: Vec<_> = prepared
        .iter()
        .zip(wants)
        .zip(reserved)
        .map(|((one, want), place)| async move {
            let written = put(vault, kind, &one.content, place).await.map_err(payload_stop)?;
            Ok(Captured {
                graph_id: one.observed.graph_id.clone(),
                name: one.observed.name.clone(),
                platform: one.observed.platform.clone(),
                odata_type: one.observed.odata_type.clone(),
                modified_text: one.modified_text.clone(),
                assignments: one.assignments,
                redactions: one.redactions,
                names: names.of(&one.groups),
                address: want.address,
                copy: place.copy,
                written,
            })
        })
        .collect();
    stream::iter(puts).buffered(PUTS_AT_ONCE).try_collect().await
}

/// Stores a content unless it is there.
pub(super) async fn put(
    vault: &Vault,
    kind: PayloadKind,
    content: &Canonical,
    place: Reserved,
) -> Result<Option<PayloadWritten>, PayloadError> {
    if place.stored {
        return Ok(None);
    }
    let Sealed { key, bytes, length, .. } = vault.put(kind, content, place.copy).await?;
    let object_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(Some(PayloadWritten { key, text_bytes: length, object_bytes }))
}

/// What a run does when its payloads cannot be stored: the whole of it is tried again.
pub(super) fn payload_stop(error: PayloadError) -> Stop {
    tracing::error!(error = %error, "a payload could not be stored");
    failed(match error {
        PayloadError::Unavailable => ReasonCode::StorageUnavailable,
        error => error.reason(),
    })
}
