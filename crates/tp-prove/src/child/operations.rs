//! What the processes work on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Barrier;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::{ItemEnd, ItemState, ItemSubject};
use tp_domain::operation::{OperationKind, OperationRequest as _};
use tp_domain::reason::ReasonCode;
use tp_domain::schedule::ExecuteSchedule;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_store::ChildPlan;

fn failed() -> Stop {
    Stop::Failed { reason: ReasonCode::InternalError, failures: Vec::new() }
}

/// Writes a line outside of the database. One write call: two processes never mix their lines.
fn evidence(file: &Path, line: &str) -> Result<(), Stop> {
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(file).map_err(|_| failed())?;
    file.write_all(format!("{line}\n").as_bytes()).map_err(|_| failed())
}

/// Does items whose effect cannot be taken back: each is written to a file outside the database. An
/// item that was in flight when its worker died is not repeated but reported (TRUST P4).
#[derive(Debug)]
pub(crate) struct Items {
    pub(crate) count: u32,
    pub(crate) pause: Duration,
    pub(crate) evidence: PathBuf,
    pub(crate) pause_at: Option<u32>,
    pub(crate) steps: AtomicU32,
}

impl Items {
    /// One step of the work; the one that was asked for never ends.
    async fn step(&self) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        if self.pause_at == Some(step) {
            println!("paused");
            std::future::pending::<()>().await;
        }
    }

    async fn work(&self, context: &OpContext<'_>) -> Result<Report, Stop> {
        let subject = |number: u32| ItemSubject {
            key: format!("{number:04}"),
            policy_type: None,
            graph_id: None,
            name: None,
        };
        println!("begun");
        self.step().await;
        let items = context.run.items_plan((0..self.count).map(subject).collect()).await?;
        for item in items.iter().filter(|item| !item.state.is_over()) {
            if context.stop.is_cancelled() {
                return Err(Stop::Interrupted);
            }
            if context.cancel.is_cancelled() {
                return Err(Stop::Canceled);
            }
            let key = &item.subject.key;
            if item.state == ItemState::Running {
                let reason = ReasonCode::UnknownOutcome;
                let end = ItemEnd::Failed { reason, graph_request_id: None };
                context.run.item_end(key, end).await?;
                continue;
            }
            self.step().await;
            if !context.run.item_begin(key).await? {
                continue;
            }
            self.step().await;
            evidence(&self.evidence, &format!("{} {key}", context.run.id()))?;
            self.step().await;
            tokio::time::sleep(self.pause).await;
            context.run.item_end(key, ItemEnd::Succeeded).await?;
        }
        self.step().await;
        Ok(Report { failures: context.run.items_failures().await?, ..Report::default() })
    }
}

impl Operation for Items {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move { self.work(&context).await })
    }
}

/// Ends only when as many have begun as were asked for: their ends are written together.
#[derive(Debug)]
pub(crate) struct Together(pub(crate) Barrier);

impl Operation for Together {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, _context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            self.0.wait().await;
            Ok(Report::default())
        })
    }
}

/// Carries out a slot: writes it down outside of the database, with its run.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) evidence: PathBuf,
    /// Whether it becomes an umbrella over a run in each tenant.
    pub(crate) children: bool,
}

impl Slots {
    async fn work(&self, context: &OpContext<'_>) -> Result<Report, Stop> {
        let request = ExecuteSchedule::parse(context.run.inputs()).map_err(|_| failed())?;
        evidence(&self.evidence, &format!("{} {}", request.slot.micros(), context.run.id()))?;
        if !self.children {
            return Ok(Report::default());
        }
        let tenants = context.run.active_tenants().await?;
        let child = |tenant| ChildPlan {
            tenant,
            kind: OperationKind::InventorySync,
            inputs: SyncInventory::everything().inputs(),
            wave: 0,
        };
        Err(Stop::Children(tenants.into_iter().map(child).collect()))
    }
}

impl Operation for Slots {
    fn kind(&self) -> OperationKind {
        OperationKind::ScheduleExecute
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move { self.work(&context).await })
    }
}
