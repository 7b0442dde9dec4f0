//! backup.retention: removes backup sets that the given rules do not keep (PRODUCT S-5).
//!
//! What goes is planned once, by the same function that the preview uses, and asked for again set by set in
//! the transaction that removes it: what was pinned or came to be needed in between stays.

use futures_util::future::BoxFuture;
use serde_json::json;
use tp_domain::backup_retention::RetainBackups;
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::retention::plan;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_store::{BackupChanged, ClaimedRun};

use crate::sign_in::failed;

/// Carries out `backup.retention`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetainBackupsOperation;

impl Operation for RetainBackupsOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::BackupRetention
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            let run = context.run;
            let request = RetainBackups::parse(run.inputs())
                .map_err(|_| failed(ReasonCode::InternalError))?;
            let items = planned(run, &request).await?;
            run.progress().phase("Removing backups that the rules do not keep");
            for number in items {
                if context.cancel.is_cancelled() {
                    return Err(Stop::Canceled);
                }
                if context.stop.is_cancelled() {
                    return Err(Stop::Interrupted);
                }
                if let Some(reason) = run.still_allowed().await? {
                    return Err(Stop::Blocked(reason));
                }
                let end = match run.backup_retire(number).await? {
                    // Gone already: by a try before this one, or by somebody.
                    BackupChanged::Done | BackupChanged::NotThere => ItemEnd::Succeeded,
                    BackupChanged::Kept(_) | BackupChanged::Stale => {
                        ItemEnd::Skipped(ReasonCode::StillNeeded)
                    }
                };
                run.item_end(&number.to_string(), end).await?;
            }
            let kept = run.backup_facts().await?.len();
            let context = json!({"kept": kept, "removed": run.counts().succeeded});
            Ok(Report { context, ..Report::default() })
        })
    }
}

/// The numbers of the sets that are to go and have not gone yet, the oldest first.
async fn planned(run: &ClaimedRun, request: &RetainBackups) -> Result<Vec<u64>, Stop> {
    let facts = run.backup_facts().await?;
    let plan = plan(&facts, request.rules()).map_err(|_| failed(ReasonCode::InternalError))?;
    let gone = plan.iter().rev().filter(|one| one.is_removed());
    let subjects = gone.map(|one| ItemSubject {
        key: one.number.to_string(),
        policy_type: None,
        graph_id: None,
        name: Some(format!("Backup {}", one.number)),
    });
    let items = run.items_plan(subjects.collect()).await?;
    let open = items.iter().filter(|item| !item.state.is_over());
    Ok(open.filter_map(|item| item.subject.key.parse().ok()).collect())
}
