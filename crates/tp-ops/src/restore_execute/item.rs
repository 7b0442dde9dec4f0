//! One object of a plan: from reading it again to comparing what was read back.

use tp_catalog::contract::{Contract, RestoreMode, Wall};
use tp_catalog::readback::{MOST_DIFFERENCES, assignments_differ, differences, fingerprint};
use tp_catalog::schema::Schema;
use tp_catalog::steps::{self, OBJECT, Place, Step, Unwritable, Whole};
use tp_domain::ids::IntentId;
use tp_domain::json::Json;
use tp_domain::reason::{ReasonCode, RetryClass};
use tp_domain::restore::intent::{IntentState, NewIntent, Settled, WriteIntent};
use tp_domain::restore::outcome::{ItemOutcome, ItemResult, RestoreItem};
use tp_domain::restore::plan::{Fingerprint, NodeAction, PlanNode};
use tp_engine::operation::Stop;
use tp_graph::error::GraphError;
use tp_graph::full::FullObject;
use tp_graph::write::{GraphWriter, Sent};

use super::Work;
use super::end::{End, Halt, Worked, refused};
use super::lost::Found;
use super::payloads::{SafetyCapture, Wanted};

/// How often what was lost and has not happened is sent again, where twice is as good as once.
const SENT_AGAIN: u32 = 2;

pub(super) struct Item<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) node: &'a PlanNode,
    record: &'a RestoreItem,
    pub(super) writer: GraphWriter<'a>,
    base: String,
    contract: Option<&'a Contract>,
    intents: Vec<WriteIntent>,
    /// Steps that Graph has taken, in this run or the one that it goes on from.
    pub(super) done: Vec<String>,
    pub(super) id: Option<String>,
}

/// An item that is ready to be written.
pub(super) struct Ready<'a> {
    pub(super) contract: &'a Contract,
    pub(super) schema: &'a Schema,
    pub(super) wanted: Wanted,
}

impl Ready<'_> {
    pub(super) fn whole(&self) -> Whole<'_> {
        Whole { object: &self.wanted.object, assignments: self.wanted.assignments.as_deref() }
    }

    pub(super) fn print(&self, live: &FullObject) -> Fingerprint {
        let assignments = live.assignments.as_deref();
        fingerprint(self.contract, self.schema, &live.object, assignments)
    }

    /// Where what is there differs from what is wanted.
    pub(super) fn differences(&self, live: &FullObject) -> Vec<String> {
        let mut places = differences(self.contract, self.schema, &self.wanted.object, &live.object);
        let there = live.assignments.as_deref().unwrap_or_default();
        if let Some(wanted) = &self.wanted.assignments
            && assignments_differ(self.contract, wanted, there)
        {
            places.push("/assignments".to_owned());
        }
        places.truncate(MOST_DIFFERENCES);
        places
    }
}

pub(super) fn whole(live: &FullObject) -> Whole<'_> {
    Whole { object: &live.object, assignments: live.assignments.as_deref() }
}

impl<'a> Item<'a> {
    pub(super) async fn new(
        work: &'a Work<'a>,
        node: &'a PlanNode,
        record: &'a RestoreItem,
    ) -> Result<Self, Stop> {
        let failed = |error: GraphError| Stop::Blocked(error.reason());
        let writer = work.session.writer(work.plan).map_err(failed)?;
        let contract = work.operation.tools.catalog.contract(&node.policy_type);
        let base = match contract {
            Some(contract) => work.session.base(contract.api_version).map_err(failed)?,
            None => String::new(),
        };
        let intents = work.plan.intents(&node.key).await?;
        let mut item = Self {
            work,
            node,
            record,
            writer,
            base,
            contract,
            intents,
            done: Vec::new(),
            id: node.base.as_ref().map(|base| base.graph_id.clone()),
        };
        let own = item.intents.clone();
        for intent in own.iter().filter(|intent| intent.state == IntentState::Done) {
            if intent.run == work.run.id() {
                item.took(&intent.asked.step_key, intent.asked.object_id.clone());
            } else if item.id.is_none() {
                // An earlier run made it; what is left to do is found out by reading.
                item.id.clone_from(&intent.asked.object_id);
            }
        }
        Ok(item)
    }

    /// Does what is left to do.
    pub(super) async fn work(mut self) -> Result<End, Stop> {
        let end = match self.run().await {
            Ok(result) => End::Result(result),
            Err(Halt::End(end)) => end,
            Err(Halt::Stop(stop)) => return Err(stop),
        };
        Ok(match end {
            End::Result(result) => End::Result(self.with_what_is_left(result).await),
            End::Blocked(result, reason) => {
                End::Blocked(self.with_what_is_left(result).await, reason)
            }
            End::Parked => End::Parked,
        })
    }

    /// Of an object that is half done it is noted what it is like now, so that a retry knows that nobody else
    /// has changed it. Where it cannot be read, a retry will refuse it.
    async fn with_what_is_left(&self, mut result: ItemResult) -> ItemResult {
        if result.half_done
            && let (Some(contract), Some(id)) = (self.contract, self.id.as_deref())
            && let Ok(Some(live)) =
                self.work.session.read_one(contract, Some(id), self.node.parent.as_deref()).await
        {
            let schema = self.work.operation.tools.catalog.schema();
            let assignments = live.assignments.as_deref();
            result.left = Some(fingerprint(contract, schema, &live.object, assignments));
        }
        result
    }

    async fn run(&mut self) -> Worked<ItemResult> {
        let ready = self.ready().await?;
        if let Some(open) = self.intents.iter().find(|intent| intent.state.is_open()).cloned() {
            self.go_on(&ready, &open).await?;
        }
        let mut live = match (self.node.action, &self.id) {
            (NodeAction::Create, None) => {
                self.make(&ready).await?;
                self.look(&ready).await?
            }
            (NodeAction::Create, Some(_)) if !self.done.is_empty() => self.look(&ready).await?,
            _ => self.target(&ready).await?,
        };
        let steps = match self.remaining(&ready, &live) {
            Ok(steps) => steps,
            Err(bad) => return Err(self.failed(None, bad.reason, None)),
        };
        let mut before = ready.print(&live);
        let wrote = !steps.is_empty() || !self.done.is_empty();
        for step in &steps {
            if self.done.contains(&step.key) {
                continue;
            }
            self.write(&ready, step, Some(&before), Vec::new()).await?;
            if steps.len() > 1 {
                live = self.look(&ready).await?;
                before = ready.print(&live);
            }
        }
        if wrote {
            live = self.settled(&ready).await?;
        }
        let places = ready.differences(&live);
        let verified = places.is_empty();
        let outcome = if verified { ItemOutcome::Verified } else { ItemOutcome::WrittenButDiffers };
        let reason = (!verified).then_some(ReasonCode::WrittenButDiffers);
        Ok(ItemResult {
            graph_id: self.id.clone(),
            differences: places,
            left: Some(ready.print(&live)),
            ..ItemResult::of(outcome, reason)
        })
    }

    /// What must be true before anything is written.
    async fn ready(&self) -> Worked<Ready<'a>> {
        let contract = self.contract.ok_or_else(|| refused(ReasonCode::UnsupportedType))?;
        let enabled = self.work.plan.plan().enabled_types.contains(&self.node.policy_type);
        match contract.restore.mode {
            RestoreMode::Enabled => {}
            RestoreMode::PreviewOnly if enabled => {}
            RestoreMode::PreviewOnly => return Err(refused(ReasonCode::PreviewOnly)),
            RestoreMode::Unsupported => return Err(refused(ReasonCode::UnsupportedType)),
        }
        if contract.permissions.delegated_only || contract.permissions.app_write == Wall::Closed {
            return Err(refused(ReasonCode::AppOnlyNotSupported));
        }
        let unreadable = || refused(ReasonCode::PayloadUnreadable);
        let at = self.node.wanted.as_ref().ok_or_else(unreadable)?;
        let bytes = match self.work.operation.payloads.fetch(self.work.run, at).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.payload(error.reason())),
        };
        let made = |key: &str| self.work.made.get(key).cloned().flatten();
        let wanted = Wanted::read(&bytes, self.node, made).ok_or_else(unreadable)?;
        let schema = self.work.operation.tools.catalog.schema();
        Ok(Ready { contract, schema, wanted })
    }

    fn payload(&self, reason: ReasonCode) -> Halt {
        if reason.retry() == RetryClass::Transient {
            Halt::Stop(Stop::Failed { reason, failures: Vec::new() })
        } else {
            self.failed(None, reason, None)
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { base: &self.base, id: self.id.as_deref(), parent: self.node.parent.as_deref() }
    }

    pub(super) fn remaining(
        &self,
        ready: &Ready<'_>,
        live: &FullObject,
    ) -> Result<Vec<Step>, Unwritable> {
        steps::remaining(ready.contract, ready.schema, ready.whole(), whole(live), self.place())
    }

    /// The object that is about to be changed: there, as the preview saw it, and kept as it is.
    async fn target(&mut self, ready: &Ready<'_>) -> Worked<FullObject> {
        let live = self.read(ready).await?.ok_or_else(|| refused(ReasonCode::ItemGone))?;
        if self.done.is_empty() {
            let left = self.record.left.as_ref();
            let base = self.node.base.as_ref().map(|base| &base.fingerprint);
            if left.or(base) != Some(&ready.print(&live)) {
                return Err(refused(ReasonCode::TargetChanged));
            }
            self.keep(&live).await?;
        }
        Ok(live)
    }

    /// The safety capture: without it nothing is written.
    async fn keep(&self, live: &FullObject) -> Worked<()> {
        if self.record.safety.is_some() {
            return Ok(());
        }
        let capture = SafetyCapture {
            restore: self.work.plan.restore(),
            policy_type: self.node.policy_type.clone(),
            graph_id: self.id.clone().unwrap_or_default(),
            object: live.clone(),
        };
        match self.work.operation.payloads.keep(self.work.run, capture).await {
            Ok(at) => Ok(self.work.plan.item_kept(&self.node.key, &at).await?),
            Err(error) => Err(self.payload(error.reason())),
        }
    }

    /// Makes the object. It is written down which ids were listed under its name before.
    async fn make(&mut self, ready: &Ready<'_>) -> Worked<()> {
        let unknown = self.intents.iter().rfind(|one| one.state == IntentState::Unknown).cloned();
        if let Some(intent) = unknown {
            // An earlier run does not know whether it made it. It is looked for again, and not sent again.
            return match self.find_made(ready, &intent.asked.listed).await? {
                Found::Happened(Some(id)) => {
                    self.took(OBJECT, Some(id));
                    Ok(())
                }
                _ => Err(self.unknown(OBJECT)),
            };
        }
        let step = steps::create(ready.contract, ready.schema, ready.whole(), self.place());
        let step = match step {
            Ok(step) => step,
            Err(bad) => return Err(self.failed(None, bad.reason, None)),
        };
        let listed = self.listed(ready).await?;
        self.write(ready, &step, None, listed).await
    }

    pub(super) async fn listed(&self, ready: &Ready<'_>) -> Worked<Vec<String>> {
        let property = ready.contract.name_property.as_deref();
        let name = property.and_then(|property| ready.wanted.object.get(property)?.as_str());
        let ids = self.work.session.ids_named(ready.contract, self.node.parent.as_deref(), name);
        ids.await.map_err(|error| self.unreadable(&error))
    }

    /// One step: allowed, written down, sent, and its outcome written down. Not sent again, but for what has
    /// been found not to have happened and may be done twice.
    async fn write(
        &mut self,
        ready: &Ready<'_>,
        step: &Step,
        before: Option<&Fingerprint>,
        listed: Vec<String>,
    ) -> Worked<()> {
        for again in 0..=SENT_AGAIN {
            if let Some(reason) = self.work.run.still_allowed().await? {
                return Err(self.blocked(reason));
            }
            let prepared = self.writer.prepare(ready.contract, step);
            let prepared =
                prepared.map_err(|error| self.failed(Some(step), error.reason(), None))?;
            let new = NewIntent {
                step: step.name.clone(),
                step_key: step.key.clone(),
                method: prepared.method().to_owned(),
                path: prepared.path().to_owned(),
                body_hash: prepared.body_hash().cloned(),
                adds: step.adds,
                before: before.cloned(),
                object_id: self.id.clone(),
                listed: listed.clone(),
            };
            let intent = self.work.plan.intent_open(&self.node.key, new.clone()).await?;
            let sent = self.writer.send(&prepared, &intent).await;
            if self.settle(ready, &new, intent.intent(), sent).await? {
                return Ok(());
            }
            tracing::warn!(run.id = %self.work.run.id(), again, "a lost write has not happened");
        }
        Err(self.failed(Some(step), ReasonCode::GraphUnavailable, None))
    }

    /// Writes down what came of a write. `false`: it did not happen and may be sent again.
    pub(super) async fn settle(
        &mut self,
        ready: &Ready<'_>,
        asked: &NewIntent,
        intent: IntentId,
        sent: Sent,
    ) -> Worked<bool> {
        let plan = self.work.plan;
        let note = |state, settled| plan.intent_settle(intent, state, settled);
        match sent {
            Sent::Done { value, request_id } => {
                let made = value.as_ref().and_then(|value| value.get("id")?.as_str());
                let known = asked
                    .object_id
                    .clone()
                    .or_else(|| made.or(caller_id(asked, ready)).map(str::to_owned));
                if asked.step_key == OBJECT && known.is_none() {
                    // It was made, and the answer does not say under which id.
                    let lost = self.find(ready, asked, intent).await?;
                    return self.settle_found(asked, intent, lost).await;
                }
                let settled = Settled {
                    object_id: known.clone(),
                    graph_request_id: request_id,
                    ..Settled::default()
                };
                note(IntentState::Done, settled).await?;
                self.took(&asked.step_key, known);
                Ok(true)
            }
            Sent::Refused(error) => {
                let id = error.request_id().map(str::to_owned);
                let settled = Settled { graph_request_id: id.clone(), ..Settled::default() };
                note(IntentState::Refused, settled).await?;
                Err(self.step_failed(asked, error.reason(), id))
            }
            Sent::Parked { code } => {
                let settled = Settled { approval_code: Some(code), ..Settled::default() };
                note(IntentState::Parked, settled).await?;
                Err(Halt::End(End::Parked))
            }
            Sent::NotSent(error) => {
                note(IntentState::Unsent, Settled::default()).await?;
                Err(self.not_sent(asked, &error))
            }
            Sent::Lost(error) => {
                tracing::warn!(
                    run.id = %self.work.run.id(),
                    status = error.status(),
                    graph.request_id = error.request_id(),
                    "the answer to a write was lost; it is looked for",
                );
                let found = self.find(ready, asked, intent).await?;
                self.settle_found(asked, intent, found).await
            }
        }
    }

    pub(super) async fn settle_found(
        &mut self,
        asked: &NewIntent,
        intent: IntentId,
        found: Found,
    ) -> Worked<bool> {
        let plan = self.work.plan;
        let lost = Settled { reply_lost: true, ..Settled::default() };
        match found {
            Found::Happened(id) => {
                let id = id.or_else(|| asked.object_id.clone());
                let settled = Settled { object_id: id.clone(), ..lost };
                plan.intent_settle(intent, IntentState::Done, settled).await?;
                self.took(&asked.step_key, id);
                Ok(true)
            }
            Found::DidNot => {
                plan.intent_settle(intent, IntentState::Lost, lost).await?;
                Ok(false)
            }
            Found::Waits(code) => {
                let settled = Settled { approval_code: Some(code), ..lost };
                plan.intent_settle(intent, IntentState::Parked, settled).await?;
                Err(Halt::End(End::Parked))
            }
            Found::Unclear => {
                plan.intent_settle(intent, IntentState::Unknown, lost).await?;
                Err(self.unknown(&asked.step))
            }
        }
    }

    fn took(&mut self, key: &str, id: Option<String>) {
        if !self.done.iter().any(|one| one == key) {
            self.done.push(key.to_owned());
        }
        if let (None, Some(id)) = (&self.id, id) {
            self.id = Some(id);
        }
    }
}

/// The id of an object whose id the caller chooses.
fn caller_id<'v>(asked: &NewIntent, ready: &'v Ready<'_>) -> Option<&'v str> {
    let create = ready.contract.create.as_ref().filter(|create| create.id_from_caller)?;
    (asked.method == create.call.method.as_str())
        .then(|| ready.wanted.object.get("id").and_then(Json::as_str))
        .flatten()
}
