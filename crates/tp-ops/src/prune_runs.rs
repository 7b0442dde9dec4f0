//! runs.prune: deletes finished runs that are older than the workspace keeps them (PRODUCT R-16).

use futures_util::future::BoxFuture;
use serde_json::json;
use tp_domain::operation::OperationKind;
use tp_engine::operation::{OpContext, Operation, Report, Stop};

/// Carries out `runs.prune`. What is deleted is counted in the same transaction; a run that is taken
/// over goes on with what is still there.
#[derive(Clone, Copy, Debug, Default)]
pub struct PruneRunsOperation;

impl Operation for PruneRunsOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::RunsPrune
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            let (before, days) = context.run.prune_before().await?;
            let progress = context.run.progress();
            progress.phase(format!("Deleting runs older than {days} days"));
            loop {
                if context.cancel.is_cancelled() {
                    return Err(Stop::Canceled);
                }
                if context.stop.is_cancelled() {
                    return Err(Stop::Interrupted);
                }
                let deleted = context.run.prune_some(before).await?;
                if deleted == 0 {
                    progress.total(context.run.counts().processed());
                    return Ok(Report { context: json!({"kept_days": days}), ..Report::default() });
                }
            }
        })
    }
}
