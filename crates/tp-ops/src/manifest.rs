//! The list of contents of a backup set: written with its end, read when it is verified.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tp_catalog::content::FORMAT;
use tp_domain::backup::{BackupItem, BackupState, BackupType};
use tp_domain::completeness::Completeness;
use tp_domain::json::Json;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_engine::operation::Stop;
use tp_payload::{Canonical, Vault};
use tp_store::{BackupEnd, ClaimedRun, OpenBackup, PayloadWant};

use crate::capturing::{TRIES, put};
use crate::sign_in::failed;
use crate::stored::payload_stop;

/// A policy of a set with the address of its content in hex.
pub(crate) type Held = (BackupItem, Option<String>);

/// The list of contents.
fn manifest(number: u64, state: BackupState, types: &[BackupType], items: &[Held]) -> Json {
    let types: Vec<Value> = types.iter().map(type_json).collect();
    let items: Vec<Value> = items.iter().map(item_json).collect();
    Json::from(json!({
        "format": FORMAT, "backup": number, "state": state.as_str(), "types": types, "items": items,
    }))
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

fn item_json((item, address): &Held) -> Value {
    json!({
        "type": item.policy_type.as_str(),
        "id": item.graph_id,
        "name": item.name,
        "version": item.version.map(|id| id.to_string()),
        "address": address,
        "reason": item.reason.map(ReasonCode::as_str),
    })
}

/// What a stored list says of one policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    /// Its type.
    pub(crate) policy_type: PolicyType,
    /// Its Graph id.
    pub(crate) graph_id: String,
    /// Its name.
    pub(crate) name: Option<String>,
    /// Where its content is; none when it could not be captured.
    pub(crate) address: Option<PayloadAddress>,
    /// The whole entry.
    entry: Value,
}

/// A stored list of contents. Another order of the same is the same: how a database sorts texts is its own
/// matter.
#[derive(Debug)]
pub(crate) struct Manifest {
    head: Value,
    types: BTreeMap<String, Value>,
    items: BTreeMap<(String, String), Listed>,
}

fn type_of(entry: &Value) -> Option<String> {
    entry.get("type").and_then(Value::as_str).map(str::to_owned)
}

impl Manifest {
    /// Reads a list; none when it is none of a form that is known here.
    pub(crate) fn read(content: &Json) -> Option<Self> {
        let mut content = Value::from(content);
        let parts = content.as_object_mut()?;
        let (Some(Value::Array(types)), Some(Value::Array(items))) =
            (parts.remove("types"), parts.remove("items"))
        else {
            return None;
        };
        if parts.get("format").and_then(Value::as_u64) != Some(FORMAT) {
            return None;
        }
        let types = types.into_iter().map(|one| Some((type_of(&one)?, one)));
        let items = items.into_iter().map(|entry| {
            let listed = listed(entry)?;
            Some(((listed.policy_type.to_string(), listed.graph_id.clone()), listed))
        });
        Some(Self {
            types: types.collect::<Option<_>>()?,
            items: items.collect::<Option<_>>()?,
            head: content,
        })
    }

    /// What it says of a policy.
    pub(crate) fn item(&self, key: &PolicyType, graph_id: &str) -> Option<&Listed> {
        self.items.get(&(key.to_string(), graph_id.to_owned()))
    }

    /// Whether it says of a policy what the database does.
    pub(crate) fn agrees(&self, held: &Held) -> bool {
        let listed = self.item(&held.0.policy_type, &held.0.graph_id);
        listed.is_some_and(|listed| listed.entry == item_json(held))
    }

    /// Policies that it lists.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Listed> {
        self.items.values()
    }

    /// Whether it says of the set what the database does, policy by policy and type by type.
    pub(crate) fn is_of(
        &self,
        number: u64,
        state: BackupState,
        types: &[BackupType],
        items: &[Held],
    ) -> bool {
        let head = json!({"format": FORMAT, "backup": number, "state": state.as_str()});
        let says =
            |one: &BackupType| self.types.get(one.policy_type.as_str()) == Some(&type_json(one));
        head == self.head
            && types.len() == self.types.len()
            && types.iter().all(says)
            && items.len() == self.items.len()
            && items.iter().all(|held| self.agrees(held))
    }
}

fn listed(entry: Value) -> Option<Listed> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    Some(Listed {
        policy_type: PolicyType::new(text("type")?).ok()?,
        graph_id: text("id")?.to_owned(),
        name: text("name").map(str::to_owned),
        address: match text("address") {
            Some(address) => Some(address.parse().ok()?),
            None => None,
        },
        entry,
    })
}

/// Writes the manifest and ends the set.
pub(crate) async fn finish(run: &ClaimedRun, set: OpenBackup, vault: &Vault) -> Result<(), Stop> {
    let (types, items) = run.backup_contents(set.id).await?;
    let state = state_of(&types, items.iter().map(|(item, _)| item));
    let manifest = manifest(set.number, state, &types, &items);
    let manifest = Canonical::of(&manifest).map_err(|_| failed(ReasonCode::InternalError))?;
    let kind = PayloadKind::Manifest;
    let address = vault.sealer().address(kind, &manifest);
    for _ in 0..TRIES {
        let place = run.payloads_reserve(vec![PayloadWant { kind, address }]).await?;
        let place = place.first().copied().ok_or_else(|| failed(ReasonCode::InternalError))?;
        let written = put(vault, kind, &manifest, place).await.map_err(payload_stop)?;
        let end = BackupEnd { state, manifest: Some((address, place.copy, written)) };
        if run.backup_finish(set.id, end).await? {
            return Ok(());
        }
    }
    Err(failed(ReasonCode::StorageUnavailable))
}

/// How a set stands. What Microsoft lets no app read is said beside the set and makes it no less whole.
fn state_of<'a>(types: &[BackupType], items: impl Iterator<Item = &'a BackupItem>) -> BackupState {
    let (mut held, mut lost) = (0_usize, 0_usize);
    for item in items {
        match item.version {
            Some(_) => held += 1,
            None => lost += 1,
        }
    }
    let is_whole = |one: &BackupType| {
        matches!(one.completeness, Completeness::Complete | Completeness::NotCovered(_))
    };
    match types.iter().all(is_whole) {
        true if lost == 0 => BackupState::Complete,
        _ if held == 0 => BackupState::Failed,
        _ => BackupState::Partial,
    }
}

/// Ends the set of a run that is canceled: what it has stays, and it does not say that it is whole.
pub(crate) async fn close(run: &ClaimedRun) -> Result<(), Stop> {
    let Some(set) = run.backup_begun().await? else { return Ok(()) };
    let state = if run.counts().succeeded > 0 { BackupState::Partial } else { BackupState::Failed };
    run.backup_finish(set.id, BackupEnd { state, manifest: None }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tp_domain::backup::BackupItemState;
    use tp_domain::ids::VersionId;

    use super::*;

    fn key() -> PolicyType {
        PolicyType::new("deviceConfiguration").unwrap()
    }

    fn held(graph_id: &str) -> Held {
        let item = BackupItem {
            policy_type: key(),
            graph_id: graph_id.to_owned(),
            name: Some("ü \u{1F600}".to_owned()),
            state: BackupItemState::Captured,
            version: Some(VersionId::from_uuid(uuid::Uuid::default())),
            reason: None,
            graph_request_id: None,
        };
        (item, Some("ab".repeat(32)))
    }

    #[test]
    fn a_list_is_read_as_it_was_written_in_any_order() {
        let types = [BackupType {
            policy_type: key(),
            completeness: Completeness::Partial(ReasonCode::MalformedResponse),
            listed: 3,
        }];
        let mut failed = held("c");
        failed.0 = BackupItem { version: None, reason: Some(ReasonCode::ItemGone), ..failed.0 };
        failed.1 = None;
        let items = [held("a"), held("b"), failed];
        let list = Manifest::read(&manifest(7, BackupState::Partial, &types, &items)).unwrap();
        let mut other = items.clone();
        other.reverse();
        assert!(list.is_of(7, BackupState::Partial, &types, &other));
        assert!(!list.is_of(8, BackupState::Partial, &types, &items));
        assert!(!list.is_of(7, BackupState::Complete, &types, &items));
        assert!(!list.is_of(7, BackupState::Partial, &[], &items));
        assert!(!list.is_of(7, BackupState::Partial, &types, &items[..2]));
        other[2].1 = Some("cd".repeat(32));
        assert!(!list.is_of(7, BackupState::Partial, &types, &other));
        assert!(!list.agrees(&other[2]) && list.agrees(&items[1]));
        assert!(list.item(&key(), "a").unwrap().address.is_some());
        assert_eq!(list.items().filter(|one| one.address.is_none()).count(), 1);
        for bad in [json!({}), json!({"format": 2, "types": [], "items": []}), json!([])] {
            assert!(Manifest::read(&Json::from(bad.clone())).is_none(), "{bad}");
        }
    }
}
