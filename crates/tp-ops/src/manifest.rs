//! What a backup set consists of: written with its end, read when it is verified.
//!
//! The manifest says how the set and each type stand, and where the list of each type's policies is. Lists
//! are payloads of their own: a set that holds of a type what the one before held shares its list, so an
//! unchanged tenant costs next to nothing, whatever its size (PRODUCT S-1).

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
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
use tp_store::{BackupEnd, ClaimedRun, OpenBackup, PayloadStored, PayloadWant};

use crate::capturing::{TRIES, put};
use crate::sign_in::failed;
use crate::stored::payload_stop;

/// Parts that are written to the store at once.
const PUTS_AT_ONCE: usize = 8;

/// A policy of a set with the address of its content in hex.
pub(crate) type Held = (BackupItem, Option<String>);

/// The manifest and the lists that it refers to, each type once.
struct Parts {
    head: Value,
    lists: Vec<Canonical>,
}

fn head(number: u64, state: BackupState, types: Vec<Value>) -> Value {
    json!({"format": FORMAT, "backup": number, "state": state.as_str(), "types": types})
}

fn type_json(one: &BackupType, list: Option<PayloadAddress>) -> Value {
    json!({
        "type": one.policy_type.as_str(),
        "state": one.completeness.state().as_str(),
        "reason": one.completeness.reason().map(ReasonCode::as_str),
        "permission": one.completeness.permission(),
        "listed": one.listed,
        "list": list.map(|address| address.to_string()),
    })
}

fn list(key: &PolicyType, items: &[Held]) -> Json {
    let mut items: Vec<Value> =
        items.iter().filter(|(item, _)| item.policy_type == *key).map(item_json).collect();
    // How a database sorts texts is its own matter.
    items.sort_by(|one, other| one["id"].as_str().cmp(&other["id"].as_str()));
    Json::from(json!({"format": FORMAT, "type": key.as_str(), "items": items}))
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

/// The lists of all types that have a policy, and the manifest over them.
fn parts(
    number: u64,
    state: BackupState,
    types: &[BackupType],
    items: &[Held],
    address: impl Fn(&Canonical) -> PayloadAddress,
) -> Option<Parts> {
    let mut lists = Vec::new();
    let mut said = Vec::with_capacity(types.len());
    for one in types {
        let has_any = items.iter().any(|(item, _)| item.policy_type == one.policy_type);
        let of_type =
            if has_any { Some(Canonical::of(&list(&one.policy_type, items)).ok()?) } else { None };
        said.push(type_json(one, of_type.as_ref().map(&address)));
        lists.extend(of_type);
    }
    Some(Parts { head: head(number, state, said), lists })
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

/// A stored manifest without its lists.
#[derive(Debug)]
pub(crate) struct Head {
    set: Value,
    types: BTreeMap<String, Value>,
    lists: Vec<PayloadAddress>,
}

impl Head {
    /// Reads a manifest; none when it is none of a form that is known here.
    pub(crate) fn read(content: &Json) -> Option<Self> {
        let mut content = Value::from(content);
        let parts = content.as_object_mut()?;
        let Some(Value::Array(types)) = parts.remove("types") else { return None };
        if parts.get("format").and_then(Value::as_u64) != Some(FORMAT) {
            return None;
        }
        let mut lists = Vec::new();
        let mut by_key = BTreeMap::new();
        for mut one in types {
            let list = one.as_object_mut()?.remove("list")?;
            if let Some(address) = list.as_str() {
                lists.push(address.parse().ok()?);
            }
            by_key.insert(text(&one, "type")?.to_owned(), one);
        }
        Some(Self { set: content, types: by_key, lists })
    }
}

/// A stored manifest with its lists.
#[derive(Debug)]
pub(crate) struct Manifest {
    head: Head,
    items: BTreeMap<(String, String), Listed>,
}

impl Manifest {
    /// Without its lists, which follow.
    pub(crate) const fn new(head: Head) -> Self {
        Self { head, items: BTreeMap::new() }
    }

    /// Where its lists are.
    pub(crate) fn lists(&self) -> Vec<PayloadAddress> {
        self.head.lists.clone()
    }

    /// Takes a list; none when it is none of a form that is known here.
    pub(crate) fn take(&mut self, list: &Json) -> Option<()> {
        let mut list = Value::from(list);
        if list.get("format").and_then(Value::as_u64) != Some(FORMAT) {
            return None;
        }
        let Some(Value::Array(items)) = list.as_object_mut()?.remove("items") else { return None };
        for entry in items {
            let listed = listed(entry)?;
            self.items.insert((listed.policy_type.to_string(), listed.graph_id.clone()), listed);
        }
        Some(())
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
        let mut said = head(number, state, Vec::new());
        said.as_object_mut().map(|parts| parts.remove("types"));
        let says = |one: &BackupType| {
            let mut of_type = type_json(one, None);
            of_type.as_object_mut().map(|parts| parts.remove("list"));
            self.head.types.get(one.policy_type.as_str()) == Some(&of_type)
        };
        said == self.head.set
            && types.len() == self.head.types.len()
            && types.iter().all(says)
            && items.len() == self.items.len()
            && items.iter().all(|held| self.agrees(held))
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

fn listed(entry: Value) -> Option<Listed> {
    Some(Listed {
        policy_type: PolicyType::new(text(&entry, "type")?).ok()?,
        graph_id: text(&entry, "id")?.to_owned(),
        name: text(&entry, "name").map(str::to_owned),
        address: match text(&entry, "address") {
            Some(address) => Some(address.parse().ok()?),
            None => None,
        },
        entry,
    })
}

/// Writes the manifest with its lists and ends the set.
pub(crate) async fn finish(run: &ClaimedRun, set: OpenBackup, vault: &Vault) -> Result<(), Stop> {
    let unwritable = || failed(ReasonCode::InternalError);
    let (types, items) = run.backup_contents(set.id).await?;
    let state = state_of(&types, items.iter().map(|(item, _)| item));
    let address = |list: &Canonical| vault.sealer().address(PayloadKind::SetList, list);
    let parts = parts(set.number, state, &types, &items, address).ok_or_else(unwritable)?;
    let head = Canonical::of(&Json::from(parts.head)).map_err(|_| unwritable())?;
    drop(items);
    for _ in 0..TRIES {
        let lists = store(run, vault, PayloadKind::SetList, &parts.lists).await?;
        let heads = store(run, vault, PayloadKind::Manifest, std::slice::from_ref(&head)).await?;
        let end = BackupEnd { state, manifest: heads.first().copied(), lists };
        if run.backup_finish(set.id, end).await? {
            return Ok(());
        }
    }
    Err(failed(ReasonCode::StorageUnavailable))
}

/// Stores parts of the manifest, each once.
async fn store(
    run: &ClaimedRun,
    vault: &Vault,
    kind: PayloadKind,
    parts: &[Canonical],
) -> Result<Vec<PayloadStored>, Stop> {
    let address = |part: &Canonical| vault.sealer().address(kind, part);
    let wants: Vec<PayloadWant> =
        parts.iter().map(|part| PayloadWant { kind, address: address(part) }).collect();
    let reserved = run.payloads_reserve(wants.clone()).await?;
    let puts: Vec<_> = parts
        .iter()
        .zip(wants)
        .zip(reserved)
        .map(|((part, want), place)| async move {
            let written = put(vault, kind, part, place).await.map_err(payload_stop)?;
            Ok(PayloadStored { address: want.address, copy: place.copy, written })
        })
        .collect();
    stream::iter(puts).buffered(PUTS_AT_ONCE).try_collect().await
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
    run.backup_finish(set.id, BackupEnd { state, manifest: None, lists: Vec::new() }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};
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

    fn complete(listed: u64) -> BackupType {
        BackupType { policy_type: key(), completeness: Completeness::Complete, listed }
    }

    /// Written and read again.
    fn stored(types: &[BackupType], items: &[Held]) -> Manifest {
        let address =
            |list: &Canonical| PayloadAddress::new(Sha256::digest(list.as_bytes()).into());
        let parts = parts(7, BackupState::Partial, types, items, address).unwrap();
        let mut manifest = Manifest::new(Head::read(&Json::from(parts.head)).unwrap());
        assert_eq!(manifest.lists().len(), parts.lists.len());
        parts.lists.iter().for_each(|list| manifest.take(&list.json().unwrap()).unwrap());
        manifest
    }

    #[test]
    fn a_list_is_read_as_it_was_written_in_any_order() {
        let completeness = Completeness::Partial(ReasonCode::MalformedResponse);
        let types = [BackupType { completeness, ..complete(3) }];
        let mut failed = held("c");
        failed.0 = BackupItem { version: None, reason: Some(ReasonCode::ItemGone), ..failed.0 };
        failed.1 = None;
        let items = [held("a"), held("b"), failed];
        let list = stored(&types, &items);
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
        for bad in [json!({}), json!({"format": 2, "types": []}), json!([])] {
            assert!(Head::read(&Json::from(bad.clone())).is_none(), "{bad}");
            assert!(stored(&types, &items).take(&Json::from(bad.clone())).is_none(), "{bad}");
        }
    }

    #[test]
    fn sets_that_hold_the_same_share_their_lists() {
        let types = [complete(3)];
        let address =
            |list: &Canonical| PayloadAddress::new(Sha256::digest(list.as_bytes()).into());
        let of = |number, items: &[Held]| {
            parts(number, BackupState::Complete, &types, items, address).unwrap()
        };
        let (one, two) = (of(1, &[held("a"), held("b")]), of(2, &[held("b"), held("a")]));
        assert_eq!(one.lists, two.lists);
        assert_ne!(one.head, two.head);
        assert_ne!(of(3, &[held("a")]).lists, one.lists);
        assert!(of(4, &[]).lists.is_empty());
    }
}
