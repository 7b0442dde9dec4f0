//! The system: the real store, played act by act beside the model and compared after each.

use std::collections::HashMap;
use std::time::Duration;

use tp_domain::access::{CancelOperations, ManageSettings, StartInventorySync};
use tp_domain::counts::RunCounts;
use tp_domain::ids::{RunId, ScopeId, TenantId, WorkerId, WorkspaceId};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Outcome, WaitingReason};
use tp_domain::tenant::Slug;
use tp_domain::time::Clock as _;
use tp_store::testing::TestDatabase;
use tp_store::{
    Actor, Cancel, ClaimRequest, ClaimedRun, Dialect, Ended, HowStarted, NewTenant, Snooze,
    Started, StoreError, TenantRef,
};
use uuid::Uuid;

use crate::model::{Command, ITEMS, Item, Job, LEASE_S, PER_TENANT, Run};

const TYPES: [&str; 3] = ["deviceConfiguration", "roleScopeTag", "assignmentFilter"];

/// A claim in the hands of a worker, also of one that has lost it.
struct Hand {
    run: usize,
    worker: u8,
    fence: i64,
    claim: ClaimedRun,
}

/// The store with its people, and the model of the sequence that is being played.
pub(crate) struct System {
    db: TestDatabase,
    workspace: WorkspaceId,
    owner: Actor,
    made: u128,
    tenants: Vec<(TenantId, TenantRef)>,
    runs: Vec<(RunId, Run)>,
    hands: Vec<Hand>,
    /// The highest counts that a run has shown.
    shown: HashMap<RunId, (i64, i64, i64)>,
}

fn worker(number: u8) -> WorkerId {
    WorkerId::from_uuid(Uuid::from_u128(u128::from(number)))
}

type Fault = String;

macro_rules! same {
    ($real:expr, $model:expr, $($what:tt)+) => {{
        let (real, model) = (&$real, &$model);
        if real != model {
            return Err(format!("{}: the database says {real:?}, the model {model:?}", format!($($what)+)));
        }
    }};
}

impl System {
    pub(crate) async fn new(db: TestDatabase) -> Self {
        let (workspace, _) = db.store.test_workspace().await;
        let owner = db.store.test_actor("owner@example.com").await;
        Self {
            db,
            workspace,
            owner,
            made: 0,
            tenants: Vec::new(),
            runs: Vec::new(),
            hands: Vec::new(),
            shown: HashMap::new(),
        }
    }

    /// Gives the connections back: a server has a hundred.
    pub(crate) async fn close(self) {
        self.db.store.close().await;
    }

    fn now(&self) -> i64 {
        self.db.clock.now().micros() / 1_000_000
    }

    async fn tenant(&mut self) -> (TenantId, TenantRef) {
        self.made += 1;
        let slug = format!("tenant-{}", self.made);
        let new = NewTenant {
            name: slug.clone(),
            slug: Slug::new(&slug).unwrap(),
            entra_tenant_id: Uuid::from_u128(self.made),
            domain: None,
            cloud: "global".to_owned(),
            credential: Some(("app".to_owned(), "secret".into())),
        };
        let id = self.db.store.console().tenant_create(self.workspace, new).await.unwrap();
        (id, TenantRef::parse(&slug).unwrap())
    }

    /// Plays a sequence, then brings everything to its end and looks whether it is whole.
    pub(crate) async fn run(&mut self, commands: &[Command]) -> Result<(), Fault> {
        self.tenants = vec![self.tenant().await, self.tenant().await];
        self.runs.clear();
        self.hands.clear();
        self.shown.clear();
        for (number, command) in commands.iter().enumerate() {
            let act = self.act(*command).await;
            act.map_err(|fault| format!("act {number}, {command:?}: {fault}"))?;
            let compared = self.compare().await;
            compared.map_err(|fault| format!("after act {number}, {command:?}: {fault}"))?;
        }
        self.end().await.map_err(|fault| format!("at the end: {fault}"))
    }

    async fn act(&mut self, command: Command) -> Result<(), Fault> {
        match command {
            Command::Start { tenant, inputs } => self.start(tenant, inputs).await,
            Command::Claim { worker } => self.claim(worker).await.map(drop),
            Command::Plan { claim } => self.plan(claim).await,
            Command::ItemEnd { claim, item, end } => self.item_end(claim, item, end).await,
            Command::Finish { claim, end } => self.finish(claim, end).await,
            Command::Retry { claim } => self.again(claim, true).await,
            Command::Snooze { claim } => self.again(claim, false).await,
            Command::HandBack { claim } => self.hand_back(claim).await,
            Command::Cancel { run } => self.cancel(run).await,
            Command::ReleaseByHand { run } => self.release_by_hand(run).await,
            Command::Beat { worker } => self.beat(worker).await,
            Command::Pulse { worker } => self.pulse(worker).await,
            Command::ShutDown { worker } => self.shut_down(worker).await,
            Command::Kill { worker } => {
                self.hands.retain(|hand| hand.worker != worker);
                Ok(())
            }
            Command::Sweep => self.sweep().await,
            Command::Advance { seconds } => {
                self.db.clock.advance(Duration::from_secs(u64::from(seconds)));
                Ok(())
            }
        }
    }

    async fn start(&mut self, tenant: u8, inputs: u8) -> Result<(), Fault> {
        let place = &self.tenants[usize::from(tenant)].1;
        let scope = self.db.store.enter::<StartInventorySync>(&self.owner, place).await.unwrap();
        let key = PolicyType::new(TYPES[usize::from(inputs)]).unwrap();
        let request = SyncInventory::of_types(vec![key], true);
        let started = scope.run_start(&request, HowStarted::default()).await.unwrap();
        let active = self
            .runs
            .iter()
            .find(|(_, run)| (run.tenant, run.inputs) == (tenant, inputs) && run.is_active())
            .map(|(id, _)| *id);
        match (started, active) {
            (Started::Created(run), None) => {
                self.runs.push((run.id, Run::new(tenant, inputs, self.now())));
                Ok(())
            }
            (Started::Reused(run), Some(id)) if run.id == id => Ok(()),
            (started, active) => Err(format!("{started:?}, and the model has {active:?}")),
        }
    }

    /// Takes one run. The store chooses which; the model says which it may be.
    async fn claim(&mut self, by: u8) -> Result<bool, Fault> {
        let store = &self.db.store;
        store.discover().await.unwrap();
        let request = ClaimRequest {
            worker: worker(by),
            kinds: vec![OperationKind::InventorySync],
            lease: Duration::from_secs(u64::try_from(LEASE_S).unwrap()),
            per_tenant: u32::try_from(PER_TENANT).unwrap(),
            most: 1,
        };
        let claimed = store.claim_many(request).await.unwrap().runs.pop();
        let now = self.now();
        let leased = |tenant: u8| {
            self.runs.iter().filter(|(_, run)| run.tenant == tenant && run.is_leased()).count()
        };
        let may = |run: &Run| run.may_be_claimed(now) && leased(run.tenant) < PER_TENANT;
        let Some(claim) = claimed else {
            let left_out = self.runs.iter().find(|(_, run)| may(run));
            return match left_out {
                None => Ok(false),
                Some((id, run)) => Err(format!("{id} was not claimed: {run:?}")),
            };
        };
        let found = self.runs.iter().position(|(id, _)| *id == claim.id());
        let index = found.ok_or_else(|| "a run that nobody started".to_owned())?;
        if !may(&self.runs[index].1) {
            return Err(format!("{:?} must not be claimed", self.runs[index].1));
        }
        let run = &mut self.runs[index].1;
        run.claim(by, now);
        same!(claim.claimed().lease().1, run.fence, "fence of the claim");
        same!(i64::from(claim.attempt()), run.attempt, "attempt of the claim");
        same!(claim.canceled(), run.cancel, "wish to cancel, as the claim saw it");
        let fence = run.fence;
        self.hands.push(Hand { run: index, worker: by, fence, claim });
        Ok(true)
    }

    fn hand(&self, chosen: u8) -> Option<usize> {
        (!self.hands.is_empty()).then(|| usize::from(chosen) % self.hands.len())
    }

    /// Whether the hand still holds its run, by the model.
    fn is_held(&self, hand: &Hand) -> bool {
        let run = &self.runs[hand.run].1;
        run.fence == hand.fence
            && matches!(run.job, Some(Job::Leased { worker, .. }) if worker == hand.worker)
    }

    /// A write through a claim: it works when the claim holds, and changes nothing when it does not.
    fn written<T>(held: bool, result: Result<T, StoreError>) -> Result<Option<T>, Fault> {
        match (held, result) {
            (true, Ok(value)) => Ok(Some(value)),
            (false, Err(StoreError::LeaseLost)) => Ok(None),
            (held, Ok(_)) => Err(format!("a write was let through; held: {held}")),
            (held, Err(error)) => Err(format!("{error:?}; held: {held}")),
        }
    }

    async fn plan(&mut self, chosen: u8) -> Result<(), Fault> {
        let Some(index) = self.hand(chosen) else { return Ok(()) };
        let hand = &self.hands[index];
        let subject = |number: usize| ItemSubject {
            key: number.to_string(),
            policy_type: None,
            graph_id: None,
            name: None,
        };
        let planned = hand.claim.items_plan((0..ITEMS).map(subject).collect()).await;
        let (held, run) = (self.is_held(hand), hand.run);
        if Self::written(held, planned)?.is_some() {
            self.runs[run].1.items.get_or_insert([Item::Open; ITEMS]);
        }
        Ok(())
    }

    async fn item_end(&mut self, chosen: u8, item: u8, end: u8) -> Result<(), Fault> {
        let Some(index) = self.hand(chosen) else { return Ok(()) };
        let hand = &self.hands[index];
        let (state, end) = match end {
            0 => (Item::Succeeded, ItemEnd::Succeeded),
            1 => {
                let reason = ReasonCode::GraphRefused;
                (Item::Failed, ItemEnd::Failed { reason, graph_request_id: None })
            }
            _ => (Item::Skipped, ItemEnd::Skipped(ReasonCode::UnsupportedType)),
        };
        let ended = hand.claim.item_end(&item.to_string(), end).await;
        let (held, run) = (self.is_held(hand), hand.run);
        let Some(ended) = Self::written(held, ended)? else { return Ok(()) };
        let slot = self.runs[run].1.items.as_mut().map(|items| &mut items[usize::from(item)]);
        let open = slot.filter(|slot| **slot == Item::Open);
        same!(ended, open.is_some(), "whether the item ended now");
        if let Some(slot) = open {
            *slot = state;
        }
        Ok(())
    }

    async fn finish(&mut self, chosen: u8, end: u8) -> Result<(), Fault> {
        let Some(index) = self.hand(chosen) else { return Ok(()) };
        let hand = self.hands.remove(index);
        let held = self.is_held(&hand);
        let (outcome, word) = match end {
            0 => (Outcome::Succeeded, "succeeded"),
            _ => (Outcome::Failed, "failed"),
        };
        let ended = Ended {
            outcome,
            reason: None,
            message: None,
            failures: Vec::new(),
            context: serde_json::json!({}),
            counts: RunCounts::default(),
        };
        if Self::written(held, hand.claim.finish(ended).await)?.is_some() {
            self.runs[hand.run].1.end(word);
        }
        Ok(())
    }

    async fn again(&mut self, chosen: u8, is_try: bool) -> Result<(), Fault> {
        let Some(index) = self.hand(chosen) else { return Ok(()) };
        let hand = self.hands.remove(index);
        let held = self.is_held(&hand);
        let failed = is_try.then_some(ReasonCode::GraphUnavailable);
        let wait = Duration::from_secs(8);
        let again = Snooze { waiting: WaitingReason::Retry, wait, failed };
        if Self::written(held, hand.claim.again(again).await)?.is_some() {
            let at = self.now() + 8;
            let run = &mut self.runs[hand.run].1;
            if run.cancel {
                run.end("canceled");
            } else {
                run.ready(at, true);
                run.attempt -= i64::from(!is_try);
            }
        }
        Ok(())
    }

    async fn hand_back(&mut self, chosen: u8) -> Result<(), Fault> {
        let Some(index) = self.hand(chosen) else { return Ok(()) };
        let hand = self.hands.remove(index);
        let held = self.is_held(&hand);
        if Self::written(held, hand.claim.hand_back().await)?.is_some() {
            let now = self.now();
            let run = &mut self.runs[hand.run].1;
            if run.cancel {
                run.end("canceled");
            } else {
                run.ready(now, false);
                run.attempt -= 1;
            }
        }
        Ok(())
    }

    async fn cancel(&mut self, chosen: u8) -> Result<(), Fault> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let index = usize::from(chosen) % self.runs.len();
        let place = &self.tenants[usize::from(self.runs[index].1.tenant)].1;
        let scope = self.db.store.enter::<CancelOperations>(&self.owner, place).await.unwrap();
        let (id, run) = &mut self.runs[index];
        let answer = match scope.run_cancel(*id, None).await.unwrap().unwrap() {
            Cancel::Ended => "ended",
            Cancel::Asked => "asked",
            Cancel::AskedBefore => "asked before",
            Cancel::TooLate => "too late",
        };
        same!(answer, run.cancel(), "answer to the cancel");
        Ok(())
    }

    async fn release_by_hand(&mut self, chosen: u8) -> Result<(), Fault> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let index = usize::from(chosen) % self.runs.len();
        let store = &self.db.store;
        let whole =
            store.enter_workspace::<ManageSettings>(&self.owner, self.workspace).await.unwrap();
        let now = self.now();
        let (id, run) = &mut self.runs[index];
        let place = ScopeId::Tenant(self.tenants[usize::from(run.tenant)].0);
        let released = whole.run_release(place, *id, None).await.unwrap();
        let holds = match run.job {
            Some(Job::Leased { .. }) => true,
            Some(Job::Ready { waits, .. }) => waits,
            None => false,
        };
        same!(released, holds, "whether something held it");
        if released {
            run.attempt -= i64::from(run.is_leased());
            run.ready(now, false);
            if run.cancel {
                run.end("canceled");
            }
        }
        Ok(())
    }

    async fn beat(&mut self, by: u8) -> Result<(), Fault> {
        let now = self.now();
        let of_worker: Vec<&Hand> = self.hands.iter().filter(|hand| hand.worker == by).collect();
        let claimed = of_worker.iter().map(|hand| hand.claim.claimed()).collect();
        let lease = Duration::from_secs(u64::try_from(LEASE_S).unwrap());
        let beat = self.db.store.upkeep().beat(worker(by), 1, lease, claimed).await.unwrap();
        let lives = |hand: &&&Hand| {
            let until = match self.runs[hand.run].1.job {
                Some(Job::Leased { until, .. }) => until,
                _ => 0,
            };
            self.is_held(hand) && until > now
        };
        let expected: Vec<usize> = of_worker.iter().filter(lives).map(|hand| hand.run).collect();
        let mut real: Vec<RunId> = beat.into_iter().map(|(run, _)| run).collect();
        let mut model: Vec<RunId> = expected.iter().map(|run| self.runs[*run].0).collect();
        real.sort_by_key(|id| id.uuid());
        model.sort_by_key(|id| id.uuid());
        same!(real, model, "leases that were prolonged");
        for run in expected {
            self.runs[run].1.job = Some(Job::Leased { worker: by, until: now + LEASE_S });
        }
        Ok(())
    }

    async fn pulse(&mut self, by: u8) -> Result<(), Fault> {
        let of_worker = self.hands.iter().filter(|hand| hand.worker == by);
        let held =
            of_worker.map(|hand| (hand.claim.claimed(), hand.claim.progress().clone())).collect();
        let wanted = self.db.store.upkeep().pulse(worker(by), held).await.unwrap();
        let mut real: Vec<Uuid> = wanted.into_iter().map(|(run, _)| run.uuid()).collect();
        let asked = |run: &Run| {
            run.cancel && matches!(run.job, Some(Job::Leased { worker, .. }) if worker == by)
        };
        let mut model: Vec<Uuid> =
            self.runs.iter().filter(|(_, run)| asked(run)).map(|(id, _)| id.uuid()).collect();
        real.sort();
        model.sort();
        same!(real, model, "runs that somebody wants canceled");
        Ok(())
    }

    async fn shut_down(&mut self, by: u8) -> Result<(), Fault> {
        let released = self.db.store.upkeep().release(worker(by)).await.unwrap();
        let (now, mut model) = (self.now(), 0);
        for (_, run) in &mut self.runs {
            if matches!(run.job, Some(Job::Leased { worker, .. }) if worker == by) {
                run.ready(now, false);
                run.attempt -= 1;
                model += 1;
                if run.cancel {
                    run.end("canceled");
                }
            }
        }
        same!(released, model, "leases that were given back");
        Ok(())
    }

    async fn sweep(&mut self) -> Result<(), Fault> {
        let lease = Duration::from_secs(u64::try_from(LEASE_S).unwrap());
        self.db.store.upkeep().sweep(lease).await.unwrap();
        let now = self.now();
        self.runs.iter_mut().for_each(|(_, run)| run.sweep(now));
        Ok(())
    }

    /// The rows of this sequence: the line of the model and the counts.
    async fn rows(&self) -> HashMap<String, (String, (i64, i64, i64))> {
        let (id, tenant) = match self.db.store.dialect() {
            Dialect::Sqlite => ("lower(hex(r.id))", "lower(hex(r.scope_id))"),
            Dialect::Postgres => (
                "replace(CAST(r.id AS TEXT), '-', '')",
                "replace(CAST(r.scope_id AS TEXT), '-', '')",
            ),
        };
        let tenants: Vec<String> =
            self.tenants.iter().map(|(id, _)| format!("'{}'", id.uuid().simple())).collect();
        let sql = format!(
            "SELECT {id} || '|' || r.status || ' ' || r.outcome || ' attempt ' || r.attempt || ' cancel ' \
             || CASE WHEN r.cancel_requested_at IS NULL THEN 0 ELSE 1 END || ' ' \
             || COALESCE(j.state || ' fence ' || j.fence, 'no job') || '|' || r.succeeded || '|' \
             || r.failed || '|' || r.skipped AS t \
             FROM operation_runs r LEFT JOIN jobs j ON j.scope_id = r.scope_id AND j.run_id = r.id \
             WHERE {tenant} IN ({})",
            tenants.join(", ")
        );
        let rows = self.db.store.test_texts(&sql).await;
        rows.iter()
            .map(|row| {
                let parts: Vec<&str> = row.split('|').collect();
                let count = |index: usize| parts[index].parse::<i64>().unwrap();
                (parts[0].to_owned(), (parts[1].to_owned(), (count(2), count(3), count(4))))
            })
            .collect()
    }

    /// After each act: every row is as the model says; counts never fall and never run ahead.
    async fn compare(&mut self) -> Result<(), Fault> {
        let rows = self.rows().await;
        same!(rows.len(), self.runs.len(), "number of runs");
        for (id, run) in &self.runs {
            let (line, counts) = &rows[&id.uuid().simple().to_string()];
            same!(*line, run.line(), "run {id}");
            let most = run.counts();
            let shown = self.shown.entry(*id).or_default();
            let ahead = counts.0 > most.0 || counts.1 > most.1 || counts.2 > most.2;
            let fell = counts.0 < shown.0 || counts.1 < shown.1 || counts.2 < shown.2;
            if ahead || fell || (!run.is_active() && *counts != most) {
                return Err(format!("counts {counts:?}; shown before {shown:?}, items {most:?}"));
            }
            *shown = *counts;
        }
        Ok(())
    }

    /// Everything ends: claims are made good by one worker, lost ones are swept. Then nothing is left over
    /// and everybody was told exactly once.
    async fn end(&mut self) -> Result<(), Fault> {
        for _ in 0..200 {
            self.db.clock.advance(Duration::from_secs(31));
            self.sweep().await?;
            while self.claim(9).await? {
                let last = u8::try_from(self.hands.len() - 1).unwrap();
                self.finish(last, 0).await?;
            }
            self.compare().await?;
            if self.runs.iter().all(|(_, run)| !run.is_active()) {
                break;
            }
        }
        for (id, run) in &self.runs {
            if run.is_active() {
                return Err(format!("{id} never ended: {run:?}"));
            }
        }
        let told = "SELECT count(*) AS n FROM (SELECT r.id FROM operation_runs r JOIN notifications n \
                    ON n.scope_id = r.scope_id AND n.run_id = r.id AND n.user_id = r.initiator_id \
                    GROUP BY r.id HAVING count(*) <> 2) wrong";
        same!(self.db.store.test_count(told).await, 0, "runs that were not told exactly twice");
        let left = "SELECT count(*) AS n FROM jobs";
        same!(self.db.store.test_count(left).await, 0, "jobs that are left");
        Ok(())
    }
}
