//! The list of contents: what the set is, how complete it is, and the hash of each file.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tp_domain::backup::{BackupState, BackupType};
use tp_domain::completeness::{Completeness, CompletenessState};
use tp_domain::hex::hex;
use tp_domain::json::{Json, Object};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::version::ReferenceNames;

use crate::content::numbers;
use crate::error::{ArchiveError, Fault};

/// The archive's format number. A reader that does not know the number refuses it.
pub const FORMAT: u64 = 1;

/// The path of the list of contents.
pub const MANIFEST: &str = "manifest.json";

/// What the list says that it is.
const KIND: &str = "tenantpilot.backup";

/// The longest text in a manifest, in bytes.
const LONGEST: usize = 4_096;

/// Where a backup comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The tenant's id at Microsoft.
    pub entra_tenant_id: String,
    /// The tenant's name in the installation that wrote the archive.
    pub tenant: String,
    /// The set's number there.
    pub backup: u64,
    /// How the set stands.
    pub state: BackupState,
    /// When it was begun (RFC 3339).
    pub created_at: String,
    /// When it was ended.
    pub completed_at: Option<String>,
    /// What somebody wrote beside it.
    pub note: Option<String>,
}

/// A policy in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestItem {
    /// Its type.
    pub policy_type: PolicyType,
    /// Its Graph id.
    pub graph_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Names of what it refers to, at that time.
    pub names: ReferenceNames,
    /// When it was captured (RFC 3339).
    pub captured_at: String,
    /// Its file.
    pub path: String,
    /// The file's length.
    pub bytes: u64,
    /// The file's SHA-256, in hex.
    pub sha256: String,
}

/// A policy that the set should hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingItem {
    /// Its type.
    pub policy_type: PolicyType,
    /// Its Graph id.
    pub graph_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Why it is not there.
    pub reason: ReasonCode,
}

/// The list of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Where it comes from.
    pub source: Source,
    /// How much was seen of each type.
    pub types: Vec<BackupType>,
    /// What is in it.
    pub items: Vec<ManifestItem>,
    /// What is not.
    pub missing: Vec<MissingItem>,
}

fn optional(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| json!(text))
}

impl Manifest {
    /// The list without its root hash.
    fn body(&self) -> Json {
        let Source { entra_tenant_id, tenant, backup, state, created_at, .. } = &self.source;
        let types: Vec<Value> = self.types.iter().map(type_json).collect();
        let items: Vec<Value> = self.items.iter().map(item_json).collect();
        let missing: Vec<Value> = self.missing.iter().map(missing_json).collect();
        Json::from(json!({
            "kind": KIND,
            "format": FORMAT,
            "tenant": {"entra_tenant_id": entra_tenant_id, "name": tenant},
            "backup": {
                "number": backup,
                "state": state.as_str(),
                "created_at": created_at,
                "completed_at": optional(self.source.completed_at.as_ref()),
                "note": optional(self.source.note.as_ref()),
            },
            "types": types,
            "items": items,
            "missing": missing,
        }))
    }

    /// The root hash: SHA-256 of the canonical list without it. As the list holds the hash of each file, it
    /// stands for the whole archive.
    pub fn root(&self) -> String {
        hex(&Sha256::digest(self.body().to_string().as_bytes()))
    }

    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let mut whole = self.body();
        if let Json::Object(members) = &mut whole {
            members.insert("root", Json::from(self.root()));
        }
        whole.to_string()
    }

    /// Reads and checks the list; what it holds must be consistent in itself.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let refuse = |fault| ArchiveError::at(fault, MANIFEST);
        let value = Json::parse(bytes).map_err(|error| refuse(crate::content::fault(&error)))?;
        numbers(&value).map_err(refuse)?;
        let Json::Object(mut members) = value else { return Err(refuse(Fault::ManifestDamaged)) };
        if members.get("kind").and_then(Json::as_str) != Some(KIND) {
            return Err(refuse(Fault::ManifestDamaged));
        }
        if members.get("format").and_then(Json::as_u64) != Some(FORMAT) {
            return Err(refuse(Fault::FormatUnknown));
        }
        let root = members.remove("root");
        let body = Json::Object(members);
        let own = hex(&Sha256::digest(body.to_string().as_bytes()));
        if root.as_ref().and_then(Json::as_str) != Some(own.as_str()) {
            return Err(refuse(Fault::RootWrong));
        }
        let manifest = parse(&body).ok_or_else(|| refuse(Fault::ManifestDamaged))?;
        // What was not understood would be lost silently.
        if manifest.body() != body || !manifest.is_consistent() {
            return Err(refuse(Fault::ManifestDamaged));
        }
        Ok(manifest)
    }

    /// Each policy once, each file once, and no set that says more than it holds.
    fn is_consistent(&self) -> bool {
        let (mut ids, mut paths) = (HashSet::new(), HashSet::new());
        let held = self.items.iter().map(|one| (&one.policy_type, &one.graph_id));
        let lost = self.missing.iter().map(|one| (&one.policy_type, &one.graph_id));
        let once = held.chain(lost).all(|id| ids.insert(id))
            && self.items.iter().all(|one| paths.insert(&one.path));
        let types: HashSet<&PolicyType> = self.types.iter().map(|one| &one.policy_type).collect();
        let whole = self.missing.is_empty()
            && self.types.iter().all(|one| {
                matches!(
                    one.completeness.state(),
                    CompletenessState::Complete | CompletenessState::NotCovered
                )
            });
        once && types.len() == self.types.len()
            && self.items.iter().all(|one| types.contains(&one.policy_type))
            && self.source.state != BackupState::Creating
            && (self.source.state != BackupState::Complete || whole)
    }
}

fn type_json(one: &BackupType) -> Value {
    json!({
        "type": one.policy_type.as_str(),
        "state": one.completeness.state().as_str(),
        "reason": one.completeness.reason().map(ReasonCode::as_str),
        "permission": one.completeness.permission(),
        "listed": one.listed,
    })
}

fn item_json(one: &ManifestItem) -> Value {
    json!({
        "type": one.policy_type.as_str(),
        "id": one.graph_id,
        "name": optional(one.name.as_ref()),
        "names": one.names.0,
        "captured_at": one.captured_at,
        "path": one.path,
        "bytes": one.bytes,
        "sha256": one.sha256,
    })
}

fn missing_json(one: &MissingItem) -> Value {
    json!({
        "type": one.policy_type.as_str(),
        "id": one.graph_id,
        "name": optional(one.name.as_ref()),
        "reason": one.reason.as_str(),
    })
}

fn text(value: &Json, name: &str) -> Option<String> {
    value.get(name)?.as_str().filter(|text| text.len() <= LONGEST).map(str::to_owned)
}

/// A text or null; the outer none for anything else.
#[expect(clippy::option_option, reason = "absent, null and a text are three")]
fn maybe(value: &Json, name: &str) -> Option<Option<String>> {
    match value.get(name)? {
        Json::Null => Some(None),
        _ => text(value, name).map(Some),
    }
}

fn list<T>(value: &Json, name: &str, read: impl Fn(&Json) -> Option<T>) -> Option<Vec<T>> {
    value.get(name)?.as_array()?.iter().map(read).collect()
}

fn parse(body: &Json) -> Option<Manifest> {
    let (tenant, backup) = (body.get("tenant")?, body.get("backup")?);
    let source = Source {
        entra_tenant_id: text(tenant, "entra_tenant_id")?,
        tenant: text(tenant, "name")?,
        backup: backup.get("number")?.as_u64().filter(|number| i64::try_from(*number).is_ok())?,
        state: text(backup, "state")?.parse().ok()?,
        created_at: text(backup, "created_at")?,
        completed_at: maybe(backup, "completed_at")?,
        note: maybe(backup, "note")?,
    };
    Some(Manifest {
        source,
        types: list(body, "types", read_type)?,
        items: list(body, "items", read_item)?,
        missing: list(body, "missing", read_missing)?,
    })
}

fn read_type(value: &Json) -> Option<BackupType> {
    let state: CompletenessState = text(value, "state")?.parse().ok()?;
    let reason = match maybe(value, "reason")? {
        None => None,
        Some(word) => Some(word.parse::<ReasonCode>().ok()?),
    };
    let completeness = match (state, reason, maybe(value, "permission")?) {
        (CompletenessState::Complete, None, None) => Completeness::Complete,
        (CompletenessState::Partial, Some(reason), None) => Completeness::Partial(reason),
        (CompletenessState::Failed, Some(reason), None) => Completeness::Failed(reason),
        (CompletenessState::NotCovered, Some(reason), None) => Completeness::NotCovered(reason),
        (CompletenessState::NotPermitted, _, Some(permission)) => {
            Completeness::NotPermitted(permission)
        }
        _ => return None,
    };
    let listed = value.get("listed")?.as_u64().filter(|count| i64::try_from(*count).is_ok())?;
    let policy_type = PolicyType::new(&text(value, "type")?).ok()?;
    Some(BackupType { policy_type, completeness, listed })
}

fn read_names(value: &Json) -> Option<ReferenceNames> {
    let of_kind = |members: &Object| -> Option<BTreeMap<String, String>> {
        members
            .iter()
            .map(|(id, name)| Some((id.as_str()?.to_owned(), name.as_str()?.to_owned())))
            .collect()
    };
    let kinds = value
        .as_object()?
        .iter()
        .map(|(kind, ids)| Some((kind.as_str()?.to_owned(), of_kind(ids.as_object()?)?)));
    Some(ReferenceNames(kinds.collect::<Option<_>>()?))
}

fn read_item(value: &Json) -> Option<ManifestItem> {
    let is_hash =
        |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(ManifestItem {
        policy_type: PolicyType::new(&text(value, "type")?).ok()?,
        graph_id: text(value, "id").filter(|id| (1..=1_024).contains(&id.len()))?,
        name: maybe(value, "name")?,
        names: read_names(value.get("names")?)?,
        captured_at: text(value, "captured_at")?,
        path: text(value, "path")?,
        bytes: value.get("bytes")?.as_u64()?,
        sha256: text(value, "sha256").filter(is_hash)?,
    })
}

fn read_missing(value: &Json) -> Option<MissingItem> {
    Some(MissingItem {
        policy_type: PolicyType::new(&text(value, "type")?).ok()?,
        graph_id: text(value, "id").filter(|id| (1..=1_024).contains(&id.len()))?,
        name: maybe(value, "name")?,
        reason: text(value, "reason")?.parse().ok()?,
    })
}
