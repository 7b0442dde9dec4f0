//! Round trips of every type that may be written, through the real preview and the real restore: captured,
//! changed and deleted behind the back, previewed, carried out, previewed again (PRODUCT; P4).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use tp_catalog::contract::RestoreMode;
use tp_catalog::{references, secrets};
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::outcome::ItemOutcome;
use tp_domain::restore::plan::NodeAction;
use tp_domain::run::Outcome;
use tp_graph::full::FullObject;

use super::Bench;
use super::previews::actions;
use crate::proofs::figure;
use crate::world::{corpus, worlds};

/// Generated where the corpus has none: the simulator holds at most what it is given.
const GENERATED: u32 = 3;

/// The member that is changed behind the back: the description, or the name.
fn member(bench: &Bench, key: &str, object: &Json) -> Option<String> {
    let contract = bench.contract(key);
    let may = |name: &str| {
        let fixed = contract.immutable_after_create.iter();
        let mut fixed = fixed.map(|at| at.as_str().to_owned());
        object.get(name).is_some_and(Json::is_string) && !fixed.any(|at| at == format!("/{name}"))
    };
    let name = contract.name_property.as_deref();
    ["description"].into_iter().chain(name).find(|name| may(name)).map(str::to_owned)
}

/// What is there to refer to, by kind.
type There = HashMap<String, BTreeSet<String>>;

async fn there(bench: &Bench, there: &mut There, kind: &str, ids: &BTreeSet<String>) {
    if kind == "group" {
        let known = bench.session.names_of(ids).await.unwrap();
        there.entry(kind.to_owned()).or_default().extend(known.into_keys());
    } else if !there.contains_key(kind)
        && tp_domain::policy::PolicyType::new(kind)
            .is_ok_and(|key| bench.world.tools.catalog.contract(&key).is_some())
    {
        let ids = bench.ids(kind).await.into_iter().collect();
        there.insert(kind.to_owned(), ids);
    }
}

/// Whether an object can be made anew as it was: it is no built-in one, holds no secret, and what it refers
/// to is there.
async fn is_whole(bench: &Bench, key: &str, full: &FullObject, known: &mut There) -> bool {
    let contract = bench.contract(key);
    let built_in = contract.defaults.as_ref().is_some_and(|own| own.is_default(&full.object));
    let mut object = full.object.clone();
    let print = |_: &Json| "0".to_owned();
    let secret = !secrets::redact(contract, &mut object, &print).taken.is_empty();
    if let (Some(members), Some(list)) = (object.as_object_mut(), &full.assignments) {
        members.insert("assignments", Json::Array(list.clone()));
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in references::references(contract, &object) {
        all.entry(one.kind).or_default().insert(one.id);
    }
    let mut dangling = false;
    for (kind, ids) in &all {
        there(bench, known, kind, ids).await;
        let held = known.get(kind);
        dangling |= held.is_some_and(|held| ids.iter().any(|id| !held.contains(id)));
    }
    !built_in && !secret && !dangling
}

/// Types that may be written and whose objects can be made.
fn keys(bench: &Bench) -> Vec<String> {
    let all = bench.world.tools.catalog.iter().filter(|(_, contract)| {
        contract.restore.mode == RestoreMode::Enabled && contract.create.is_some()
    });
    all.map(|(key, _)| key.as_str().to_owned()).collect()
}

/// Changes one object and deletes another of each type; gives what a preview must find.
async fn plant(bench: &Bench, keys: &[String]) -> (BTreeMap<String, NodeAction>, usize) {
    let (mut planted, mut known, mut types) = (BTreeMap::new(), There::new(), 0);
    for key in keys {
        let (mut changed, mut deleted) = (false, false);
        for id in bench.ids(key).await {
            let mut action = NodeAction::Unchanged;
            if !(changed && deleted)
                && let Some(full) = bench.read(key, &id).await
                && is_whole(bench, key, &full, &mut known).await
            {
                match member(bench, key, &full.object) {
                    Some(member) if !changed => {
                        let patch = json!({ member: "changed behind the back" });
                        bench.behind(key, &id, Some(patch)).await;
                        (changed, action) = (true, NodeAction::Update);
                    }
                    _ if !deleted => {
                        bench.behind(key, &id, None).await;
                        (deleted, action) = (true, NodeAction::Create);
                    }
                    _ => {}
                }
            }
            planted.insert(format!("{key}/{id}"), action);
        }
        types += usize::from(changed || deleted);
    }
    (planted, types)
}

/// What a preview has found and was not planted, and the other way round.
fn wrong(
    found: &BTreeMap<String, NodeAction>,
    planted: &BTreeMap<String, NodeAction>,
) -> Vec<String> {
    let keys: BTreeSet<&String> = found.keys().chain(planted.keys()).collect();
    let differs = keys.into_iter().filter(|key| found.get(*key) != planted.get(*key));
    differs
        .map(|key| format!("{key}: {:?}, planted {:?}", found.get(key), planted.get(key)))
        .collect()
}

/// What one round trip has shown.
#[derive(Default)]
struct Shown {
    types: usize,
    objects: usize,
    writes: usize,
    left_out: usize,
    /// Objects whose bodies the simulator refuses, and that are reported as exactly that.
    refused: BTreeSet<String>,
    wrong: Vec<String>,
}

/// Takes away what no preview can promise: the contract says that `privacyAccessControls` may not be sent, and
/// of profiles for macOS it is a plain member. Says how many there are.
async fn unfit(bench: &Bench) -> usize {
    const KEY: &str = "deviceConfiguration";
    let mut gone = 0;
    for object in bench.all_held(KEY).await {
        let is_mac =
            object["@odata.type"].as_str().is_some_and(|name| name.contains("macOSGeneral"));
        let holds = object["privacyAccessControls"].as_array().is_some_and(|list| !list.is_empty());
        if is_mac && holds {
            bench.behind(KEY, object["id"].as_str().unwrap(), None).await;
            gone += 1;
        }
    }
    gone
}

async fn round_trip(bench: &Bench) -> Shown {
    let keys = keys(bench);
    for key in &keys {
        if bench.all_held(key).await.is_empty() {
            bench.fill_with(&[key], GENERATED).await;
        }
    }
    let left_out = unfit(bench).await;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let set = bench.backed_up(&names).await;
    let (planted, types) = plant(bench, &keys).await;
    let draft = RestoreDraft::of_backup(set);
    let (id, plan) = bench.previewed(&draft).await;
    let mut shown = Shown { types, objects: planted.len(), left_out, ..Shown::default() };
    shown.wrong.extend(wrong(&actions(&plan), &planted));
    if !shown.wrong.is_empty() {
        return shown;
    }
    let since = bench.mark().await;
    let outcome = bench.carried_out(id, &plan).await;
    for item in bench.items(id).await {
        let Some(result) = &item.result else {
            shown.wrong.push(format!("{}: no result", item.key));
            continue;
        };
        match (result.outcome, result.reason) {
            (ItemOutcome::Verified, _) => {}
            // Samples of the corpus that are fragments: nothing of them was written, and that is said.
            (ItemOutcome::Failed, Some(ReasonCode::GraphRefused)) if !result.half_done => {
                shown.refused.insert(item.key.clone());
            }
            _ => shown.wrong.push(format!("{}: {result:?}", item.key)),
        }
    }
    let all = shown.refused.is_empty();
    let right = if all { Outcome::Succeeded } else { Outcome::PartiallySucceeded };
    if outcome != right {
        shown.wrong.push(format!("the restore ended {outcome}"));
    }
    let intents = bench.intents(id).await.into_iter();
    let intended: Vec<(String, String)> =
        intents.map(|intent| (intent.asked.method, intent.asked.path)).collect();
    let log = bench.written(since).await;
    shown.writes = log.len();
    let written: Vec<(String, String)> =
        log.into_iter().map(|(method, path, _)| (method, path)).collect();
    if intended != written {
        shown.wrong.push(format!("planned {intended:?}, written {written:?}"));
    }
    let (_, again) = bench.previewed(&draft).await;
    // What was refused is still to be done; all else is as it was.
    let left = |key: &String, action| {
        if shown.refused.contains(key) { action } else { NodeAction::Unchanged }
    };
    let unchanged: BTreeMap<String, NodeAction> =
        planted.into_iter().map(|(key, action)| (key.clone(), left(&key, action))).collect();
    let differs = wrong(&actions(&again), &unchanged);
    shown.wrong.extend(differs);
    shown
}

#[tokio::test]
async fn every_enabled_type_makes_its_round() {
    let mut corpora = vec![("generated", None)];
    match corpus() {
        Some(folder) => corpora.push(("corpus", Some(folder))),
        None => println!("skipped: the corpus is not on this machine"),
    }
    for (name, folder) in corpora {
        // Of the corpus, 15 types have an object that is whole; the bodies of three samples are refused.
        let (least, most_refused) = if folder.is_some() { (15, 3) } else { (28, 0) };
        for world in worlds(folder).await {
            let bench = Bench::new(world).await;
            let shown = round_trip(&bench).await;
            let most: Vec<&String> = shown.wrong.iter().take(40).collect();
            assert!(
                shown.wrong.is_empty(),
                "{name} {}: {} wrong {most:#?}",
                bench.name(),
                shown.wrong.len()
            );
            figure(
                &format!("X-2 round trip of every enabled type, {name}, {}", bench.name()),
                &format!(
                    "{least} types or more; previews find what was planted and nothing else; then all \
                     unchanged"
                ),
                &format!(
                    "{} types, {} objects, {} writes, {} wrong, {} refused by the simulator, {} left out \
                     (macOS privacy controls)",
                    shown.types,
                    shown.objects,
                    shown.writes,
                    shown.wrong.len(),
                    shown.refused.len(),
                    shown.left_out
                ),
                shown.types >= least && shown.writes > 0 && shown.refused.len() <= most_refused,
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_as_it_was_is_blocked_in_the_preview() {
    for world in worlds(None).await {
        let bench = Bench::new(world).await;
        let key = "deviceConfiguration";
        let set = bench.backed_up(&[key]).await;
        let mut masked = None;
        for id in bench.ids(key).await {
            let full = bench.read(key, &id).await.unwrap();
            let settings = Value::from(&full.object)["omaSettings"].clone();
            let encrypted = |one: &Value| one["isEncrypted"] == true;
            if settings.as_array().is_some_and(|list| list.iter().any(encrypted)) {
                masked = Some(id);
                break;
            }
        }
        let id = masked.unwrap();
        bench.behind(key, &id, None).await;
        let (_, plan) = bench.previewed(&RestoreDraft::of_backup(set)).await;
        let blocked = NodeAction::Blocked(ReasonCode::SecretMissing);
        assert_eq!(actions(&plan)[&format!("{key}/{id}")], blocked, "{}", bench.name());
    }
}
