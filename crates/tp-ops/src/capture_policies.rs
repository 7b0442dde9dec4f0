//! policy.capture: captures single policies as versions, without a backup set (PRODUCT S-1).
//!
//! It reads as a backup does. Each policy is an item of the run, which ends with the version's transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tp_domain::ids::PolicyId;
use tp_domain::item::{ItemEnd, ItemSubject, RunItem};
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::policy_capture::CapturePolicies;
use tp_domain::reason::ReasonCode;
use tp_domain::run::WaitingReason;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_store::{ClaimedRun, capture_key};

use crate::Tools;
use crate::capturing::{BUSY_WAIT, Capturing, Chosen, Names, Tally, Target};
use crate::sign_in::{Waits, failed, session};
use crate::stored::vault;

/// Carries out `policy.capture`.
#[derive(Debug)]
pub struct CapturePoliciesOperation {
    tools: Tools,
}

impl CapturePoliciesOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for CapturePoliciesOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::PolicyCapture
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // It only reads the tenant: it can be left at any moment, and what is stored stays.
        let run = context.run;
        context.until_stopped(self.capture(run))
    }
}

/// A policy as the inventory has it.
type Place = (PolicyId, PolicyType, String);

impl CapturePoliciesOperation {
    async fn capture(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request =
            CapturePolicies::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let places = run.backup_policies(request.policies()).await?;
        let items = run.items_plan(subjects(&places, request.policies())).await?;
        let chosen = chosen(places, &items);
        let types: Vec<PolicyType> = chosen.keys().cloned().collect();
        if !run.hold_types(Some(&types)).await? {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let steps = run.steps_plan(&types).await?;
        let mut tally = Tally::new(None, &steps);
        if !types.is_empty() {
            let (waits, mut waiting) = watch::channel(None);
            // Nothing that trying again could change: it may not begin (PRODUCT A-6).
            let connection = run.connection().await?.map_err(Stop::Blocked)?;
            let session =
                session(&self.tools, run, &connection, Arc::new(Waits(waits))).map_err(failed)?;
            let capturing = Capturing {
                tools: &self.tools,
                run,
                target: Target::Items,
                session,
                vault: vault(&self.tools, run).await?,
                names: Names::default(),
                chosen: Some(chosen),
            };
            // A step that a try before this one has completed may have left policies: all of them again.
            let again: Vec<_> = steps
                .into_iter()
                .filter(|step| types.contains(&step.policy_type))
                .map(|step| tp_domain::run::RunStep { completeness: None, ..step })
                .collect();
            capturing.read_types(&again, &mut waiting, &mut tally).await?;
        }
        if let Some(reason) = tally.wholly_unlucky(run.counts().succeeded) {
            return Err(Stop::Failed { reason, failures: tally.failures });
        }
        // Of a type that could not be read to its end, what was not reached.
        let left = run.items_plan(Vec::new()).await?;
        let ends: Vec<(String, ItemEnd)> = left
            .into_iter()
            .filter(|item| !item.state.is_over())
            .map(|item| {
                let of_type = item.subject.policy_type.and_then(|key| tally.types_failed.get(&key));
                let reason = of_type.copied().unwrap_or(ReasonCode::ItemGone);
                (item.subject.key, ItemEnd::Failed { reason, graph_request_id: None })
            })
            .collect();
        run.items_end(ends).await?;
        Ok(Report { failures: run.items_failures().await?, context: tally.context() })
    }
}

fn subjects(places: &[Place], asked: &[PolicyId]) -> Vec<ItemSubject> {
    let known: BTreeSet<PolicyId> = places.iter().map(|(id, ..)| *id).collect();
    let found = places.iter().map(|(_, key, graph_id)| ItemSubject {
        key: capture_key(key, graph_id),
        policy_type: Some(key.clone()),
        graph_id: Some(graph_id.clone()),
        name: None,
    });
    // No type and no Graph id: it has left the inventory, and ends as such.
    let lost = asked.iter().filter(|id| !known.contains(id)).map(|id| ItemSubject {
        key: id.to_string(),
        policy_type: None,
        graph_id: None,
        name: None,
    });
    found.chain(lost).collect()
}

/// The policies whose items have not ended.
fn chosen(places: Vec<Place>, items: &[RunItem]) -> Chosen {
    let open: BTreeSet<&str> = items
        .iter()
        .filter(|item| !item.state.is_over())
        .map(|item| item.subject.key.as_str())
        .collect();
    let mut chosen = Chosen::new();
    for (_, key, graph_id) in places {
        if open.contains(capture_key(&key, &graph_id).as_str()) {
            chosen.entry(key).or_default().insert(graph_id);
        }
    }
    chosen
}
