//! inventory.sync: reads which policies a tenant has, without their settings (PRODUCT §6).
//!
//! Each type is a step of its own. A bad type never stops the others. What is stored after each step
//! is enough to go on from there when the run is taken over.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::watch;
use tp_catalog::contract::Contract;
use tp_domain::completeness::Completeness;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::json::Json;
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::{ReasonCode, RetryClass};
use tp_domain::run::{FailedItem, Failure, RunStep, WaitingReason};
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::error::GraphError;
use tp_graph::session::{GraphSession, WaitObserver};
use tp_store::{ClaimedRun, Observed, TypeEnd};

use crate::capturing::BUSY_WAIT;
use crate::sign_in::{Waits, failed, give_way, is_connection_fault, session, showing_waits};
use crate::{Tools, observe};

/// Types that are read at once. Each is bounded by Graph's limits; more would only wait there.
const TYPES_AT_ONCE: usize = 4;

/// Carries out `inventory.sync`.
#[derive(Debug)]
pub struct SyncInventoryOperation {
    tools: Tools,
}

impl SyncInventoryOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for SyncInventoryOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // It only reads the tenant: it can be left at any moment, and what is stored stays.
        let run = context.run;
        context.until_stopped(self.sync(run))
    }
}

impl SyncInventoryOperation {
    async fn sync(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request =
            SyncInventory::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        if !run.hold_types(request.types()).await? {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let steps = run.steps_plan(&self.types(&request)).await?;
        let (waits, mut waiting) = watch::channel(None);
        let session = self.session(run, Arc::new(Waits(waits))).await?;
        let mut tally = Tally::new(&steps);
        let open: Vec<PolicyType> = steps
            .iter()
            .filter(|step| step.completeness != Some(Completeness::Complete))
            .map(|step| step.policy_type.clone())
            .collect();
        let mut listings = stream::iter(open)
            .map(|key| self.list(run, &session, key))
            .buffer_unordered(TYPES_AT_ONCE);
        run.progress().phase(tally.phase());
        while let Some(listed) = showing_waits(run, &mut waiting, listings.next()).await {
            self.settle(run, listed?, &mut tally).await?;
            run.progress().phase(tally.phase());
        }
        drop(listings);
        if let Some(reason) = tally.wholly_unlucky(run.counts().succeeded) {
            return Err(Stop::Failed { reason, failures: tally.failures });
        }
        run.progress().total(run.counts().processed());
        let context =
            json!({"rows_written": tally.observed.rows_written, "types_listed": tally.done});
        Ok(Report { failures: tally.failures, context })
    }

    /// The types to read. A chosen type without a contract stays in the list: it is said, not called.
    fn types(&self, request: &SyncInventory) -> Vec<PolicyType> {
        match request.types() {
            Some(types) => types.to_vec(),
            None => self
                .tools
                .catalog
                .iter()
                .filter(|(_, contract)| request.include_foundations() || !contract.is_foundation())
                .map(|(key, _)| key.clone())
                .collect(),
        }
    }

    async fn session(
        &self,
        run: &ClaimedRun,
        waits: Arc<dyn WaitObserver>,
    ) -> Result<GraphSession, Stop> {
        // Nothing that trying again could change: it may not begin (PRODUCT A-6).
        let connection = run.connection().await?.map_err(Stop::Blocked)?;
        session(&self.tools, run, &connection, waits).map_err(failed)
    }

    async fn list(
        &self,
        run: &ClaimedRun,
        session: &GraphSession,
        key: PolicyType,
    ) -> Result<Listed, Stop> {
        run.step_begin(&key).await?;
        let contract = self.tools.catalog.contract(&key).cloned();
        let result = match &contract {
            None => Err(Missed::NotCovered(ReasonCode::UnsupportedType)),
            Some(contract) if contract.permissions.delegated_only => {
                Err(Missed::NotCovered(ReasonCode::AppOnlyNotSupported))
            }
            Some(contract) => {
                session.list(&self.tools.catalog, contract).await.map_err(Missed::Graph)
            }
        };
        Ok(Listed { key, contract, result })
    }

    /// Stores what a listing gave and ends its step.
    async fn settle(
        &self,
        run: &ClaimedRun,
        listed: Listed,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let Listed { key, contract, result } = listed;
        let (objects, contract) = match (result, contract) {
            (Ok(objects), Some(contract)) => (objects, contract),
            (Ok(_), None) => return Err(failed(ReasonCode::InternalError)),
            (Err(Missed::NotCovered(reason)), _) => {
                let completeness = Completeness::NotCovered(reason);
                run.type_end(&key, TypeEnd { completeness, listed: 0, digest: String::new() })
                    .await?;
                tally.done += 1;
                return Ok(());
            }
            (Err(Missed::Graph(error)), contract) => {
                return self.missed(run, &key, contract.as_ref(), &error, tally).await;
            }
        };
        let stored = store(run, &key, &contract, &objects).await?;
        tally.observed += stored.observed;
        let completeness = if stored.without_identity > 0 {
            Completeness::Partial(ReasonCode::MalformedResponse)
        } else {
            Completeness::Complete
        };
        let end = TypeEnd { completeness, listed: stored.listed, digest: stored.digest };
        let completeness = run.type_end(&key, end).await?;
        tally.done += 1;
        if let Some(reason) = completeness.reason() {
            tally.fail(reason, item(&key, None, None), stored.without_identity.max(1));
        }
        Ok(())
    }

    async fn missed(
        &self,
        run: &ClaimedRun,
        key: &PolicyType,
        contract: Option<&Contract>,
        error: &GraphError,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let reason = error.reason();
        if let Some(stop) = give_way(run, error) {
            return Err(stop);
        }
        if is_connection_fault(reason) {
            return Err(Stop::Failed { reason, failures: std::mem::take(&mut tally.failures) });
        }
        tracing::warn!(
            run.id = %run.id(),
            policy_type = %key,
            reason = %reason,
            status = error.status(),
            graph.request_id = error.request_id(),
            "a policy type could not be listed",
        );
        let permission = contract
            .filter(|_| reason == ReasonCode::PermissionMissing)
            .map(|contract| contract.permissions.read.join(", "));
        let completeness = match &permission {
            Some(permission) => Completeness::NotPermitted(permission.clone()),
            None => Completeness::Failed(reason),
        };
        run.type_end(key, TypeEnd { completeness, listed: 0, digest: String::new() }).await?;
        tally.done += 1;
        let request_id = error.request_id().map(str::to_owned);
        tally.fail(reason, item(key, request_id, permission), 1);
        Ok(())
    }
}

/// The reply to one listing.
struct Listed {
    key: PolicyType,
    contract: Option<Contract>,
    result: Result<Vec<Json>, Missed>,
}

/// Why there is no listing.
enum Missed {
    NotCovered(ReasonCode),
    Graph(GraphError),
}

struct Stored {
    observed: Observed,
    listed: u64,
    without_identity: u64,
    digest: String,
}

async fn store(
    run: &ClaimedRun,
    key: &PolicyType,
    contract: &Contract,
    objects: &[Json],
) -> Result<Stored, Stop> {
    let mut ids: Vec<String>;
    let observed = if contract.is_directory_group() {
        let groups: Vec<_> = objects.iter().filter_map(observe::group).collect();
        ids = groups.iter().map(|group| group.graph_id.clone()).collect();
        run.groups_observe(key, groups).await?
    } else {
        let seen: Vec<_> =
            objects.iter().filter_map(|object| observe::policy(contract, object)).collect();
        ids = seen.iter().map(|policy| policy.graph_id.clone()).collect();
        run.policies_observe(key, seen).await?
    };
    let without_identity = objects.len() - ids.len();
    ids.sort();
    ids.dedup();
    let digest = observe::digest(ids.iter());
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    Ok(Stored {
        observed,
        listed: count(ids.len()),
        without_identity: count(without_identity),
        digest,
    })
}

fn item(key: &PolicyType, request_id: Option<String>, permission: Option<String>) -> FailedItem {
    FailedItem {
        policy_type: Some(key.clone()),
        graph_id: None,
        name: None,
        graph_request_id: request_id,
        permission,
    }
}

/// What has been done so far.
struct Tally {
    observed: Observed,
    failures: Vec<Failure>,
    types: usize,
    done: usize,
    complete_before: usize,
}

impl Tally {
    fn new(steps: &[RunStep]) -> Self {
        let complete = |step: &&RunStep| step.completeness == Some(Completeness::Complete);
        let complete_before = steps.iter().filter(complete).count();
        Self {
            observed: Observed::default(),
            failures: Vec::new(),
            types: steps.len(),
            done: complete_before,
            complete_before,
        }
    }

    fn phase(&self) -> String {
        format!("Reading policy types: {} of {}", self.done, self.types)
    }

    fn fail(&mut self, code: ReasonCode, item: FailedItem, count: u64) {
        match self.failures.iter_mut().find(|failure| failure.code == code) {
            Some(failure) => {
                failure.count += count;
                failure.items.push(item);
            }
            None => self.failures.push(Failure {
                code,
                message: code.message(&[]),
                count,
                items: vec![item],
            }),
        }
    }

    /// The reason when nothing at all was read and all of it may work later: then the run is tried
    /// again as a whole.
    fn wholly_unlucky(&self, succeeded: u64) -> Option<ReasonCode> {
        let failed: usize = self.failures.iter().map(|failure| failure.items.len()).sum();
        let nothing = self.complete_before == 0 && succeeded == 0 && failed > 0;
        let passing = |failure: &Failure| failure.code.retry() == RetryClass::Transient;
        if nothing && failed == self.types && self.failures.iter().all(passing) {
            self.failures.iter().max_by_key(|failure| failure.count).map(|failure| failure.code)
        } else {
            None
        }
    }
}
