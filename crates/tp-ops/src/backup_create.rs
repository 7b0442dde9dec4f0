//! backup.create: captures policies in full into a backup set (PRODUCT S-1, S-2).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tp_domain::backup::{BackupItem, BackupState, BackupType};
use tp_domain::backup_create::{BackupSelection, CreateBackup};
use tp_domain::completeness::Completeness;
use tp_domain::operation::OperationKind;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::WaitingReason;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_payload::{Canonical, Vault};
use tp_store::{BackupEnd, ClaimedRun, OpenBackup, PayloadWant};

use crate::Tools;
use crate::capturing::{BUSY_WAIT, Capturing, Chosen, Names, TRIES, Tally, Target, put};
use crate::manifest::manifest;
use crate::sign_in::{Waits, failed, session};
use crate::stored::{payload_stop, vault};

/// Carries out `backup.create`.
#[derive(Debug)]
pub struct CreateBackupOperation {
    tools: Tools,
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
        let capturing = Capturing {
            tools: &self.tools,
            run,
            target: Target::Set(set),
            session,
            vault: vault(&self.tools, run).await?,
            names: Names::default(),
            chosen,
        };
        let mut tally = Tally::new(Some(set.number), &steps);
        capturing.read_types(&steps, &mut waiting, &mut tally).await?;
        if let Some(reason) = tally.wholly_unlucky(run.counts().succeeded) {
            return Err(Stop::Failed { reason, failures: tally.failures });
        }
        run.progress().total(run.counts().processed());
        finish(run, set, &capturing.vault).await?;
        let context = tally.context();
        Ok(Report { failures: tally.failures, context })
    }

    /// The types to read, and of which only some policies are wanted.
    async fn selected(
        &self,
        run: &ClaimedRun,
        request: &CreateBackup,
    ) -> Result<(Vec<PolicyType>, Option<Chosen>), Stop> {
        let catalog = &self.tools.catalog;
        let types = match request.selection() {
            BackupSelection::Policies(policies) => {
                let mut chosen = Chosen::new();
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

    /// Ends the set of a run that is canceled: what it has stays, and it does not say that it is whole.
    async fn close(&self, run: &ClaimedRun) -> Result<(), Stop> {
        let Some(set) = run.backup_begun().await? else { return Ok(()) };
        let state =
            if run.counts().succeeded > 0 { BackupState::Partial } else { BackupState::Failed };
        run.backup_finish(set.id, BackupEnd { state, manifest: None }).await?;
        Ok(())
    }
}

/// Writes the manifest and ends the set.
async fn finish(run: &ClaimedRun, set: OpenBackup, vault: &Vault) -> Result<(), Stop> {
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
