//! restore.execute: carries out one confirmed plan (PRODUCT X-5, G-6; TRUST P4).
//!
//! Object after object, in the plan's order: read again, kept as it was, each write written down before it is
//! sent, read back, compared. What was cut off goes on from what was written down and from what is there.

mod approval;
mod end;
mod item;
mod lost;
mod payloads;
mod reading;
mod vaulted;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, json};
use tp_domain::item::ItemSubject;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::outcome::{ItemOutcome, ItemResult, RestoreItem};
use tp_domain::restore::plan::PlanNode;
use tp_domain::run::{Waiting, WaitingReason};
use tp_domain::time::Timestamp;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::session::{GraphSession, WaitObserver};
use tp_store::{ClaimedRun, ConfirmedPlan, Progress};

use crate::{Tools, sign_in};
use end::End;
use item::Item;
pub use payloads::{PayloadUnavailable, RestorePayloads, SafetyCapture, payload_bytes};
pub use vaulted::Vaulted;

/// How long a run waits before it asks again what the second administrators have decided.
const APPROVAL_POLL: Duration = Duration::from_mins(1);

/// Carries out `restore.execute`.
#[derive(Debug)]
pub struct RestoreExecuteOperation {
    tools: Tools,
    payloads: Arc<dyn RestorePayloads>,
    patience: Patience,
}

/// How long it is looked again for what has come of a write.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Before the first further look; it doubles with each.
    pub first: Duration,
    /// How many looks there are.
    pub looks: u32,
}

impl Default for Patience {
    /// A minute in all: a lost write that has not come by then hardly comes (the service's own limit is 15 s).
    fn default() -> Self {
        Self { first: Duration::from_secs(2), looks: 5 }
    }
}

impl RestoreExecuteOperation {
    /// With the tools of this process and its payload store.
    pub fn new(tools: Tools, payloads: Arc<dyn RestorePayloads>) -> Self {
        Self { tools, payloads, patience: Patience::default() }
    }

    /// With another patience.
    #[must_use]
    pub const fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

impl Operation for RestoreExecuteOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::RestoreExecute
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move { self.execute(&context).await })
    }
}

/// Carries the waits of the Graph session to the run.
#[derive(Debug)]
struct Says(Progress);

impl WaitObserver for Says {
    fn waits(&self, until: Timestamp, reason: ReasonCode) {
        let reason = match reason {
            ReasonCode::GraphThrottled => WaitingReason::Throttled,
            _ => WaitingReason::Retry,
        };
        self.0.waiting(Some(Waiting { reason, until }));
    }
}

/// What all items of a run have in common.
struct Work<'a> {
    operation: &'a RestoreExecuteOperation,
    run: &'a ClaimedRun,
    plan: &'a ConfirmedPlan,
    session: &'a GraphSession,
    /// Graph ids of what this plan has written, by the node's key; none for what was not.
    made: HashMap<String, Option<String>>,
    /// Whether something has failed, where that stops the rest.
    stopped: bool,
}

impl RestoreExecuteOperation {
    async fn execute(&self, context: &OpContext<'_>) -> Result<Report, Stop> {
        let run = context.run;
        let plan = run.confirmed_plan().await?.map_err(Stop::Blocked)?;
        let session = self.session(run).await?;
        let subjects = plan.plan().writes().map(subject).collect();
        let items = run.items_plan(subjects).await?;
        let open: HashMap<&str, bool> =
            items.iter().map(|item| (item.subject.key.as_str(), !item.state.is_over())).collect();
        let records: HashMap<String, RestoreItem> =
            plan.items().await?.into_iter().map(|item| (item.key.clone(), item)).collect();
        let mut work = Work {
            operation: self,
            run,
            plan: &plan,
            session: &session,
            made: HashMap::new(),
            stopped: false,
        };
        let (mut waits, mut done) = (false, 0_usize);
        for node in plan.plan().writes() {
            run.progress().phase(format!("Restoring: {done} of {}", items.len()));
            run.progress().waiting(None);
            let record = records.get(&node.key);
            let is_open = open.get(node.key.as_str()).copied();
            match (is_open, record) {
                (Some(true), Some(record)) => {
                    if context.stop.is_cancelled() {
                        return Err(Stop::Interrupted);
                    }
                    if context.cancel.is_cancelled() {
                        return Err(Stop::Canceled);
                    }
                    waits |= !work.item(node, record).await?;
                }
                // It ended in an earlier try, or an earlier run.
                (_, record) => work.remember(node, record.and_then(|one| one.result.as_ref())),
            }
            done += 1;
        }
        if waits {
            let waiting = WaitingReason::ExternalApproval;
            return Err(Stop::Wait { waiting, wait: APPROVAL_POLL });
        }
        report(run, &plan).await
    }

    async fn session(&self, run: &ClaimedRun) -> Result<GraphSession, Stop> {
        let connection = run.connection().await?.map_err(Stop::Blocked)?;
        let says = Arc::new(Says(run.progress().clone()));
        sign_in::session(&self.tools, run, &connection, says).map_err(Stop::Blocked)
    }
}

fn subject(node: &PlanNode) -> ItemSubject {
    ItemSubject {
        key: node.key.clone(),
        policy_type: Some(node.policy_type.clone()),
        graph_id: node.base.as_ref().map(|base| base.graph_id.clone()),
        name: node.name.clone(),
    }
}

impl Work<'_> {
    /// Does one item; `false` when it waits for approval, its own or that of what it refers to.
    async fn item(&mut self, node: &PlanNode, record: &RestoreItem) -> Result<bool, Stop> {
        let begun = record.result.as_ref().map(|result| result.outcome)
            == Some(ItemOutcome::AwaitingExternalApproval);
        if self.stopped && !begun {
            return self.skip(node, ReasonCode::StoppedAfterFailure).await;
        }
        for bind in &node.binds {
            match self.made.get(&bind.node) {
                Some(Some(_)) => {}
                Some(None) => return self.skip(node, ReasonCode::DependencyFailed).await,
                None => return Ok(false),
            }
        }
        self.run.item_begin(&node.key).await?;
        let end = Item::new(self, node, record).await?.work().await?;
        match end {
            End::Result(result) => {
                self.end(node, result).await?;
                Ok(true)
            }
            End::Parked => {
                let waiting = ItemOutcome::AwaitingExternalApproval;
                let reason = Some(ReasonCode::AwaitingExternalApproval);
                self.plan.item_result(&node.key, ItemResult::of(waiting, reason)).await?;
                Ok(false)
            }
            End::Blocked(result, reason) => {
                self.end(node, result).await?;
                self.leave(reason).await?;
                Err(Stop::Blocked(reason))
            }
        }
    }

    async fn skip(&mut self, node: &PlanNode, reason: ReasonCode) -> Result<bool, Stop> {
        self.end(node, ItemResult::of(ItemOutcome::Skipped, Some(reason))).await?;
        Ok(true)
    }

    async fn end(&mut self, node: &PlanNode, result: ItemResult) -> Result<(), Stop> {
        tracing::info!(
            run.id = %self.run.id(),
            policy_type = %node.policy_type,
            outcome = %result.outcome,
            reason = result.reason.map(ReasonCode::as_str),
            "an object of a restore ends",
        );
        self.remember(node, Some(&result));
        self.plan.item_result(&node.key, result).await?;
        Ok(())
    }

    fn remember(&mut self, node: &PlanNode, result: Option<&ItemResult>) {
        let Some(result) = result else { return };
        if !result.outcome.is_over() {
            return;
        }
        let id = result.graph_id.clone().filter(|_| result.outcome.is_written());
        self.made.insert(node.key.clone(), id);
        let failed = !matches!(result.outcome, ItemOutcome::Verified | ItemOutcome::Skipped);
        self.stopped |= failed && self.plan.plan().stop_on_failure;
    }

    /// The right to write is gone: what was not begun is left, and said so.
    async fn leave(&mut self, reason: ReasonCode) -> Result<(), Stop> {
        for item in self.plan.items().await? {
            if item.result.is_none() {
                let skipped = ItemResult::of(ItemOutcome::Skipped, Some(reason));
                self.plan.item_result(&item.key, skipped).await?;
            }
        }
        Ok(())
    }
}

/// What the run says at its end. The numbers are those of the rows.
async fn report(run: &ClaimedRun, plan: &ConfirmedPlan) -> Result<Report, Stop> {
    let items = plan.items().await?;
    let results = || items.iter().filter_map(|item| item.result.as_ref());
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for result in results() {
        *outcomes.entry(result.outcome.as_str()).or_default() += 1;
    }
    let outcomes: Map<_, _> =
        outcomes.into_iter().map(|(word, count)| (word.to_owned(), count.into())).collect();
    let half_done = results().filter(|result| result.half_done).count();
    let context = json!({
        "restore": plan.restore().to_string(), "outcomes": outcomes, "half_done": half_done,
    });
    Ok(Report { failures: run.items_failures().await?, context })
}
