//! backup.create: captures policies in full into a backup set (PRODUCT S-1, S-2).
//!
//! Each type is a step of its own, as in a sync, and the inventory learns what the listing told. What is
//! committed after each hundred policies is what a run goes on from when it is taken over.

mod capture;
mod tally;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tp_catalog::content::FORMAT;
use tp_catalog::contract::Contract;
use tp_domain::backup::{BackupItem, BackupState, BackupType};
use tp_domain::backup_create::{BackupSelection, CreateBackup};
use tp_domain::completeness::Completeness;
use tp_domain::json::Json;
use tp_domain::operation::OperationKind;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::WaitingReason;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::session::GraphSession;
use tp_payload::{Canonical, Sealer, Vault};
use tp_store::{BackupEnd, ClaimedRun, OpenBackup, PayloadWant};

use crate::Tools;
use crate::sign_in::{Waits, failed, session};

use capture::{Names, payload_stop, put};
use tally::Tally;
use types::TypeRead;

/// Types that are read at once. Each is bounded by Graph's limits; more would only wait there.
const TYPES_AT_ONCE: usize = 4;

/// How long a run waits before it asks again whether another has let go of its types.
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// How often a payload that vanished between its storing and its reference is stored again.
const TRIES: usize = 3;

/// Carries out `backup.create`.
#[derive(Debug)]
pub struct CreateBackupOperation {
    tools: Tools,
}

/// What all types of one backup share.
#[derive(Debug)]
struct Backup<'a> {
    tools: &'a Tools,
    run: &'a ClaimedRun,
    set: OpenBackup,
    session: GraphSession,
    vault: Vault,
    names: Names,
    /// The chosen policies by type; none when whole types are chosen.
    chosen: Option<BTreeMap<PolicyType, BTreeSet<String>>>,
}

impl CreateBackupOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for CreateBackupOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::BackupCreate
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            // It only reads the tenant: it can be left at any moment, and what is stored stays.
            let OpContext { run, stop, cancel } = context;
            tokio::select! {
                () = stop.cancelled() => Err(Stop::Interrupted),
                () = cancel.cancelled() => {
                    self.close(run).await?;
                    Err(Stop::Canceled)
                }
                result = self.back_up(run) => result,
            }
        })
    }
}

impl CreateBackupOperation {
    async fn back_up(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request =
            CreateBackup::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let (types, chosen) = self.selected(run, &request).await?;
        if !run.hold_types(Some(&types)).await? {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let set = run.backup_begin(request.note(), false).await?;
        let steps = run.steps_plan(&types).await?;
        let (waits, mut waiting) = watch::channel(None);
        // Nothing that trying again could change: it may not begin (PRODUCT A-6).
        let connection = run.connection().await?.map_err(Stop::Blocked)?;
        let session =
            session(&self.tools, run, &connection, Arc::new(Waits(waits))).map_err(failed)?;
        let vault = self.vault(run).await?;
        let backup = Backup {
            tools: &self.tools,
            run,
            set,
            session,
            vault,
            names: Names::default(),
            chosen,
        };
        let mut tally = Tally::new(set.number, &steps);
        let open = steps.iter().filter(|step| step.completeness != Some(Completeness::Complete));
        // What policies refer to first: their captures keep its names.
        let is_foundation = |key: &PolicyType| {
            self.tools.catalog.contract(key).is_some_and(Contract::is_foundation)
        };
        let (foundations, policies): (Vec<PolicyType>, Vec<PolicyType>) =
            open.map(|step| step.policy_type.clone()).partition(is_foundation);
        run.progress().phase(tally.phase());
        for types in [foundations, policies] {
            let reads: Vec<BoxFuture<'_, Read>> =
                types.into_iter().map(|key| backup.read_type(key).boxed()).collect();
            let mut reads = stream::iter(reads).buffer_unordered(TYPES_AT_ONCE);
            loop {
                tokio::select! {
                    Ok(()) = waiting.changed() => {
                        run.progress().waiting(*waiting.borrow_and_update());
                    }
                    read = reads.next() => {
                        let Some(read) = read else { break };
                        tally.add(read?);
                        run.progress().phase(tally.phase());
                        run.progress().waiting(None);
                    }
                }
            }
        }
        if let Some(reason) = tally.wholly_unlucky(run.counts().succeeded) {
            return Err(Stop::Failed { reason, failures: tally.failures });
        }
        run.progress().total(run.counts().processed());
        backup.finish().await?;
        let context = tally.context();
        Ok(Report { failures: tally.failures, context })
    }

    /// The types to read, and of which only some policies are wanted.
    async fn selected(
        &self,
        run: &ClaimedRun,
        request: &CreateBackup,
    ) -> Result<(Vec<PolicyType>, Option<BTreeMap<PolicyType, BTreeSet<String>>>), Stop> {
        let catalog = &self.tools.catalog;
        let types = match request.selection() {
            BackupSelection::Policies(policies) => {
                let mut chosen: BTreeMap<PolicyType, BTreeSet<String>> = BTreeMap::new();
                for (_, key, graph_id) in run.backup_policies(policies).await? {
                    chosen.entry(key).or_default().insert(graph_id);
                }
                if chosen.is_empty() {
                    return Err(failed(ReasonCode::ItemGone));
                }
                return Ok((chosen.keys().cloned().collect(), Some(chosen)));
            }
            BackupSelection::Types(types) => types,
        };
        let all = || {
            catalog
                .iter()
                .filter(|(_, contract)| types.include_foundations() || !contract.is_foundation())
                .map(|(key, _)| key.clone())
                .collect()
        };
        Ok((types.types().map_or_else(all, <[PolicyType]>::to_vec), None))
    }

    async fn vault(&self, run: &ClaimedRun) -> Result<Vault, Stop> {
        let keys = run.payload_keys().await?.map_err(failed)?;
        let tenant = run.claimed().tenant().ok_or_else(|| failed(ReasonCode::InternalError))?;
        let sealer = Sealer::new(tenant, &keys).map_err(|_| failed(ReasonCode::InternalError))?;
        Ok(Vault::new(sealer, self.tools.payloads.clone()))
    }

    /// Ends the set of a run that is canceled: what it has stays, and it does not say that it is whole.
    async fn close(&self, run: &ClaimedRun) -> Result<(), Stop> {
        let Some(set) = run.backup_begun().await? else { return Ok(()) };
        let state =
            if run.counts().succeeded > 0 { BackupState::Partial } else { BackupState::Failed };
        run.backup_finish(set.id, BackupEnd { state, manifest: None }).await?;
        Ok(())
    }
}

impl Backup<'_> {
    /// Writes the manifest and ends the set.
    async fn finish(&self) -> Result<(), Stop> {
        let set = self.set.id;
        let (types, items) = self.run.backup_contents(set).await?;
        let state = state_of(&types, items.iter().map(|(item, _)| item));
        let manifest = manifest(self.set.number, state, &types, &items);
        let manifest = Canonical::of(&manifest).map_err(|_| failed(ReasonCode::InternalError))?;
        let kind = PayloadKind::Manifest;
        let address = self.vault.sealer().address(kind, &manifest);
        for _ in 0..TRIES {
            let wants = vec![PayloadWant { kind, address }];
            let place = self.run.payloads_reserve(wants).await?;
            let place = place.first().copied().ok_or_else(|| failed(ReasonCode::InternalError))?;
            let written = put(&self.vault, kind, &manifest, place).await.map_err(payload_stop)?;
            let end = BackupEnd { state, manifest: Some((address, place.copy, written)) };
            if self.run.backup_finish(set, end).await? {
                return Ok(());
            }
        }
        Err(failed(ReasonCode::StorageUnavailable))
    }
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

/// The list of contents, for verifying and exporting.
fn manifest(
    number: u64,
    state: BackupState,
    types: &[BackupType],
    items: &[(BackupItem, Option<String>)],
) -> Json {
    let types: Vec<Value> = types
        .iter()
        .map(|one| {
            json!({
                "type": one.policy_type.as_str(),
                "state": one.completeness.state().as_str(),
                "reason": one.completeness.reason().map(ReasonCode::as_str),
                "permission": one.completeness.permission(),
                "listed": one.listed,
            })
        })
        .collect();
    let items: Vec<Value> = items
        .iter()
        .map(|(item, address)| {
            json!({
                "type": item.policy_type.as_str(),
                "id": item.graph_id,
                "name": item.name,
                "version": item.version.map(|id| id.to_string()),
                "address": address,
                "reason": item.reason.map(ReasonCode::as_str),
            })
        })
        .collect();
    Json::from(json!({
        "format": FORMAT, "backup": number, "state": state.as_str(), "types": types, "items": items,
    }))
}

/// A type that was read, or not.
type Read = Result<TypeRead, Stop>;
