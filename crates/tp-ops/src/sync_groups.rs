//! directory.groups.sync: refreshes what is known of the directory's groups (PRODUCT I-2).

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::watch;
use tp_catalog::contract::Contract;
use tp_domain::completeness::Completeness;
use tp_domain::groups_sync::{PURGED_AFTER, SyncGroups};
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{FailedItem, Failure, WaitingReason};
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::error::GraphError;
use tp_graph::session::GraphSession;
use tp_store::{ClaimedRun, TypeEnd};

use crate::capturing::BUSY_WAIT;
use crate::sign_in::{Waits, failed, is_connection_fault, session, showing_waits, stop};
use crate::{Tools, observe};

/// Carries out `directory.groups.sync`.
#[derive(Debug)]
pub struct SyncGroupsOperation {
    tools: Tools,
}

impl SyncGroupsOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for SyncGroupsOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::DirectoryGroupsSync
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // It only reads the directory: it can be left at any moment, and what is stored stays.
        let run = context.run;
        context.until_stopped(self.sync(run))
    }
}

impl SyncGroupsOperation {
    async fn sync(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        SyncGroups::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let (types, contracts): (Vec<PolicyType>, Vec<&Contract>) = self
            .tools
            .catalog
            .iter()
            .filter(|(_, contract)| contract.is_directory_group())
            .map(|(key, contract)| (key.clone(), contract))
            .unzip();
        if !run.hold_types(Some(&types)).await? {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        run.steps_plan(&types).await?;
        let (waits, mut waiting) = watch::channel(None);
        // Nothing that trying again could change: it may not begin (PRODUCT A-6).
        let connection = run.connection().await?.map_err(Stop::Blocked)?;
        let session =
            session(&self.tools, run, &connection, Arc::new(Waits(waits))).map_err(failed)?;
        run.progress().phase("Reading groups");
        let (mut rows_written, mut failures) = (0, Vec::new());
        for (key, contract) in types.iter().zip(contracts) {
            let listing = self.list(run, &session, key, contract);
            match showing_waits(run, &mut waiting, listing).await? {
                Ok(written) => rows_written += written,
                Err(failure) => failures.push(failure),
            }
        }
        // What no run has seen for long is forgotten only when all of them were seen now.
        let forgotten = if failures.is_empty() {
            run.groups_forget(run.now().minus(PURGED_AFTER)).await?
        } else {
            0
        };
        run.progress().total(run.counts().processed());
        let context = json!({"forgotten": forgotten, "rows_written": rows_written});
        Ok(Report { failures, context })
    }

    /// Reads and stores the groups of one contract; says how many rows hold something new.
    async fn list(
        &self,
        run: &ClaimedRun,
        session: &GraphSession,
        key: &PolicyType,
        contract: &Contract,
    ) -> Result<Result<u64, Failure>, Stop> {
        run.step_begin(key).await?;
        let objects = match session.list(&self.tools.catalog, contract).await {
            Ok(objects) => objects,
            Err(error) => return missed(run, key, contract, &error).await.map(Err),
        };
        let groups: Vec<_> = objects.iter().filter_map(observe::group).collect();
        let ids: BTreeSet<String> = groups.iter().map(|group| group.graph_id.clone()).collect();
        let lost = objects.len() - groups.len();
        let written = run.groups_observe(key, groups).await?.rows_written;
        let said = if lost == 0 {
            Completeness::Complete
        } else {
            Completeness::Partial(ReasonCode::MalformedResponse)
        };
        let end = TypeEnd {
            completeness: said,
            listed: u64::try_from(ids.len()).unwrap_or(u64::MAX),
            digest: observe::digest(ids.iter()),
        };
        let completeness = run.type_end(key, end).await?;
        Ok(match completeness.reason() {
            None => Ok(written),
            Some(reason) => Err(failure(reason, key, None, None)),
        })
    }
}

async fn missed(
    run: &ClaimedRun,
    key: &PolicyType,
    contract: &Contract,
    error: &GraphError,
) -> Result<Failure, Stop> {
    let reason = error.reason();
    if error.postponed().is_some() || is_connection_fault(reason) {
        return Err(stop(run, error));
    }
    let permission =
        (reason == ReasonCode::PermissionMissing).then(|| contract.permissions.read.join(", "));
    let completeness = match &permission {
        Some(permission) => Completeness::NotPermitted(permission.clone()),
        None => Completeness::Failed(reason),
    };
    run.type_end(key, TypeEnd { completeness, listed: 0, digest: String::new() }).await?;
    Ok(failure(reason, key, error.request_id().map(str::to_owned), permission))
}

fn failure(
    code: ReasonCode,
    key: &PolicyType,
    graph_request_id: Option<String>,
    permission: Option<String>,
) -> Failure {
    let policy_type = Some(key.clone());
    let item = FailedItem { policy_type, graph_id: None, name: None, graph_request_id, permission };
    Failure { code, message: code.message(&[]), count: 1, items: vec![item] }
}
