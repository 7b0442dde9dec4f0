//! backup.create: captures policies in full into a backup set (PRODUCT S-1, S-2).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tp_domain::backup_create::{BackupSelection, CreateBackup};
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::WaitingReason;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_store::ClaimedRun;

use crate::Tools;
use crate::capturing::{BUSY_WAIT, Capturing, Chosen, Names, Tally, Target};
use crate::manifest;
use crate::sign_in::{Waits, failed, session};
use crate::stored::vault;

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
                    manifest::close(run).await?;
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
        manifest::finish(run, set, &capturing.vault).await?;
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
}
