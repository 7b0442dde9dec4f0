//! From an object in full to a stored payload: secrets out, one text, sealed, kept once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tp_catalog::content::VersionContent;
use tp_catalog::contract::Contract;
use tp_catalog::references;
use tp_catalog::registry::Catalog;
use tp_catalog::secrets::{self, Redactions};
use tp_domain::ids::VersionId;
use tp_domain::json::Json;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::{ObservedPolicy, PolicyType};
use tp_domain::reason::ReasonCode;
use tp_domain::version::{Purpose, ReferenceNames};
use tp_engine::operation::Stop;
use tp_graph::full::{ASSIGNMENTS, FullObject};
use tp_graph::session::GraphSession;
use tp_payload::{Canonical, PayloadError, Sealed, Vault};
use tp_store::{Captured, ClaimedRun, PayloadWant, PayloadWritten, Reserved};

use super::TRIES;
use crate::sign_in::failed;
use crate::stored::{payload_stop, vault};
use crate::{Tools, observe};

/// The kind of references to groups: the directory knows all of them, the inventory those it has seen.
const GROUP: &str = "group";

/// Objects that are written to the store at once.
const PUTS_AT_ONCE: usize = 8;

/// A policy that was read in full, ready to be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) observed: ObservedPolicy,
    content: Canonical,
    modified_text: Option<String>,
    assignments: u64,
    redactions: u64,
    refers_to: BTreeSet<Reference>,
    /// Names of what it refers to that came with it; none where the tenant is asked.
    named: Option<ReferenceNames>,
}

/// What is referred to, by kind and id.
type Reference = (String, String);

/// Why an object cannot be kept.
pub(crate) type Refused = ReasonCode;

/// Takes the secrets out of an object and brings it into its one form.
pub(crate) fn prepare(
    contract: &Contract,
    vault: &Vault,
    observed: ObservedPolicy,
    full: FullObject,
) -> Result<Prepared, Refused> {
    let FullObject { mut object, assignments, .. } = full;
    let modified_text = modified_text(contract, &object);
    let fingerprint = |secret: &Json| vault.sealer().fingerprint(secret).as_str().to_owned();
    let found = secrets::redact(contract, &mut object, &fingerprint);
    let (redactions, targets) =
        (count(found.taken.len()), count(assignments.as_ref().map_or(0, Vec::len)));
    let (object, assignments, refers_to) = references(contract, object, assignments);
    let content = content(contract, object, assignments, found);
    let (content, assignments, named) = (canonical(&content)?, targets, None);
    Ok(Prepared { observed, content, modified_text, assignments, redactions, refers_to, named })
}

/// Takes the secrets out of an object that another tool has saved, with the names that it has kept.
pub(crate) fn prepare_foreign(
    contract: &Contract,
    vault: &Vault,
    observed: ObservedPolicy,
    full: FullObject,
    names: ReferenceNames,
) -> Result<Prepared, Refused> {
    Ok(Prepared { named: Some(names), ..prepare(contract, vault, observed, full)? })
}

/// Brings the content of an archive into its one form. What is a secret by the rules of today and was none
/// when the archive was made is taken out as well.
pub(crate) fn prepare_archived(
    contract: &Contract,
    vault: &Vault,
    observed: ObservedPolicy,
    mut archived: VersionContent,
    names: ReferenceNames,
) -> Result<Prepared, Refused> {
    let fingerprint = |secret: &Json| vault.sealer().fingerprint(secret).as_str().to_owned();
    let known = &archived.found;
    archived.found = secrets::redact_again(contract, &mut archived.object, known, &fingerprint);
    let list = archived.assignments.as_ref().and_then(Json::as_array);
    let assignments = count(list.map_or(0, Vec::len));
    let redactions = count(archived.found.taken.len());
    let modified_text = modified_text(contract, &archived.object);
    let content = canonical(&archived.into_json())?;
    let (refers_to, named) = (BTreeSet::new(), Some(names));
    Ok(Prepared { observed, content, modified_text, assignments, redactions, refers_to, named })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn modified_text(contract: &Contract, object: &Json) -> Option<String> {
    let field = contract.changes.last_modified.as_ref()?;
    object.get(field)?.as_str().map(str::to_owned)
}

fn canonical(content: &Json) -> Result<Canonical, Refused> {
    let content = Canonical::of(content).map_err(|_| ReasonCode::MalformedResponse)?;
    if content.as_bytes().len() > tp_payload::MOST_BYTES {
        return Err(ReasonCode::PayloadTooLarge);
    }
    Ok(content)
}

fn content(
    contract: &Contract,
    object: Json,
    assignments: Option<Vec<Json>>,
    found: Redactions,
) -> Json {
    VersionContent {
        policy_type: contract.key.clone(),
        object,
        assignments: assignments.map(Json::from),
        found,
    }
    .into_json()
}

/// What an object and its assignments refer to, as the contract says. Gives both back.
fn references(
    contract: &Contract,
    mut object: Json,
    assignments: Option<Vec<Json>>,
) -> (Json, Option<Vec<Json>>, BTreeSet<Reference>) {
    // The contract's places are in the object with its assignments.
    let had = assignments.is_some();
    if let (Some(members), Some(assignments)) = (object.as_object_mut(), assignments) {
        members.insert(ASSIGNMENTS, Json::from(assignments));
    }
    let found = references::references(contract, &object);
    let found = found.into_iter().map(|one| (one.kind, one.id)).collect();
    let taken = object.as_object_mut().filter(|_| had).and_then(|all| all.remove(ASSIGNMENTS));
    let assignments = match taken {
        Some(Json::Array(assignments)) => Some(assignments),
        _ => None,
    };
    (object, assignments, found)
}

/// Names of what policies refer to, each asked for once in this run.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<Reference, Option<String>>>);

impl Names {
    fn known(&self) -> MutexGuard<'_, HashMap<Reference, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for those that are not known yet: policies in the inventory, all else in the directory. What
    /// has no answer stays without a name: a capture is not lost for want of one.
    pub(super) async fn learn(
        &self,
        run: &ClaimedRun,
        catalog: &Catalog,
        session: &GraphSession,
        prepared: &[Prepared],
    ) -> Result<(), Stop> {
        let wanted: BTreeSet<Reference> = {
            let known = self.known();
            let all = prepared.iter().flat_map(|one| one.refers_to.iter());
            all.filter(|one| !known.contains_key(*one)).cloned().collect()
        };
        let (types, outside): (Vec<Reference>, Vec<Reference>) =
            wanted.into_iter().partition(|(kind, _)| {
                kind != GROUP
                    && PolicyType::new(kind).is_ok_and(|key| catalog.contract(&key).is_some())
            });
        let mut named: HashMap<Reference, String> = HashMap::new();
        if !types.is_empty() {
            named.extend(run.names_in_inventory(types.clone()).await?);
        }
        let ids: BTreeSet<String> = outside.iter().map(|(_, id)| id.clone()).collect();
        if !ids.is_empty() {
            match session.names_of(&ids).await {
                Ok(names) => named.extend(
                    outside
                        .iter()
                        .filter_map(|one| Some((one.clone(), names.get(&one.1)?.name.clone()?))),
                ),
                Err(error) => tracing::warn!(
                    reason = %error.reason(),
                    graph.request_id = error.request_id(),
                    "names of groups could not be read; the captures go without them",
                ),
            }
        }
        let mut known = self.known();
        for one in types.into_iter().chain(outside) {
            let name = named.remove(&one);
            known.insert(one, name);
        }
        Ok(())
    }

    fn of(&self, refers_to: &BTreeSet<Reference>) -> ReferenceNames {
        let known = self.known();
        let mut names: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for one in refers_to {
            if let Some(Some(name)) = known.get(one) {
                names.entry(one.0.clone()).or_default().insert(one.1.to_lowercase(), name.clone());
            }
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
                names: one.named.clone().unwrap_or_else(|| names.of(&one.refers_to)),
                address: want.address,
                copy: place.copy,
                written,
            })
        })
        .collect();
    stream::iter(puts).buffered(PUTS_AT_ONCE).try_collect().await
}

/// Stores a content unless it is there.
pub(crate) async fn put(
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

/// One object that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its version.
    pub(crate) version: VersionId,
    /// The bytes of the version's content.
    pub(crate) content: Vec<u8>,
}

/// Keeps one object, as it was just read, as a version. Names of what it refers to are not asked for: what
/// is about to be written must not wait for them.
pub(crate) async fn capture_one(
    tools: &Tools,
    run: &ClaimedRun,
    policy_type: &PolicyType,
    full: FullObject,
) -> Result<Result<Kept, ReasonCode>, Stop> {
    let Some(contract) = tools.catalog.contract(policy_type) else {
        return Ok(Err(ReasonCode::UnsupportedType));
    };
    let Some(observed) = observe::policy(contract, &full.object) else {
        return Ok(Err(ReasonCode::MalformedResponse));
    };
    let vault = vault(tools, run).await?;
    let prepared = match prepare(contract, &vault, observed, full) {
        Ok(prepared) => prepared,
        Err(reason) => return Ok(Err(reason)),
    };
    let (names, prepared) = (Names::default(), [prepared]);
    for _ in 0..TRIES {
        for captured in store(run, &vault, &names, &prepared).await? {
            let kept = run.version_keep(policy_type, Purpose::Safety, captured).await?;
            if let Some(version) = kept {
                let content = prepared[0].content.as_bytes().to_vec();
                return Ok(Ok(Kept { version, content }));
            }
        }
    }
    Err(failed(ReasonCode::StorageUnavailable))
}
