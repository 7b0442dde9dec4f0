//! Operations that do as planned, and one line of set-up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tp_domain::access::{CancelOperations, StartInventorySync, ViewOperations};
use tp_domain::ids::{RunId, WorkerId};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::operation::OperationKind;
use tp_domain::policy::{ObservedPolicy, PolicyType};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Failure, OperationRun, WaitingReason};
use tp_domain::tenant::Slug;
use tp_engine::jitter::Jitter;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_engine::registry::Registry;
use tp_engine::start::Starter;
use tp_engine::worker::{Worker, WorkerOptions};
use tp_store::testing::{TestDatabase, databases};
use tp_store::{Actor, Cancel, HowStarted, NewTenant, TenantRef};
use uuid::Uuid;

/// What one try does.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Stores that many objects and reports.
    Succeed(usize),
    /// Stores that many objects and reports a failure beside them.
    Partly(usize, ReasonCode),
    /// Fails as a whole.
    Fail(ReasonCode),
    /// Cannot go on now.
    Busy,
    /// Panics.
    Panic,
    /// Works until it is told to stop.
    UntilStopped,
    /// Stores that many objects, then works until it is canceled.
    UntilCanceled(usize),
    /// Does that many items, from where the last try stopped.
    Items(u32),
    /// Stops before a batch of writes when it may not go on.
    AskFirst,
}

/// Carries out one plan after the other.
#[derive(Debug, Default)]
pub(crate) struct Planned(Mutex<VecDeque<Plan>>);

impl Planned {
    pub(crate) fn new(plans: impl IntoIterator<Item = Plan>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(plans.into_iter().collect())))
    }
}

async fn store_objects(context: &OpContext<'_>, count: usize) -> Result<Report, Stop> {
    let observed = (0..count)
        .map(|number| ObservedPolicy {
            graph_id: number.to_string(),
            name: None,
            platform: None,
            odata_type: None,
            created_at: None,
            modified_at: None,
            scope_tags: Vec::new(),
            assigned: None,
            metadata: serde_json::json!({}),
        })
        .collect();
    let tags = PolicyType::new("roleScopeTag").unwrap();
    context.run.steps_plan(std::slice::from_ref(&tags)).await?;
    let done = context.run.policies_observe(&tags, observed).await?;
    context.run.progress().total(context.run.counts().processed());
    let context = serde_json::json!({"rows_written": done.rows_written, "secret": "left out"});
    Ok(Report { failures: Vec::new(), context })
}

async fn items(context: &OpContext<'_>, count: u32) -> Result<Report, Stop> {
    let subject = |number: u32| ItemSubject {
        key: format!("{number:04}"),
        policy_type: None,
        graph_id: None,
        name: None,
    };
    let items = context.run.items_plan((0..count).map(subject).collect()).await?;
    for item in items.iter().filter(|item| !item.state.is_over()) {
        if context.cancel.is_cancelled() {
            return Err(Stop::Canceled);
        }
        context.run.item_begin(&item.subject.key).await?;
        context.run.item_end(&item.subject.key, ItemEnd::Succeeded).await?;
    }
    Ok(Report { failures: context.run.items_failures().await?, ..Report::default() })
}

impl Operation for Planned {
    fn kind(&self) -> OperationKind {
        OperationKind::InventorySync
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        let plan = self.0.lock().unwrap().pop_front().expect("a plan for each try");
        Box::pin(async move {
            match plan {
                Plan::Succeed(count) => store_objects(&context, count).await,
                Plan::Partly(count, code) => {
                    let mut report = store_objects(&context, count).await?;
                    report.failures.push(Failure {
                        code,
                        message: code.message(&[]),
                        count: 1,
                        items: Vec::new(),
                    });
                    Ok(report)
                }
                Plan::Fail(reason) => Err(Stop::Failed { reason, failures: Vec::new() }),
                Plan::Busy => Err(Stop::Wait {
                    waiting: WaitingReason::ScopeBusy,
                    wait: Duration::from_secs(2),
                }),
                Plan::Panic => panic!("planned"),
                Plan::UntilCanceled(count) => {
                    store_objects(&context, count).await?;
                    context.cancel.cancelled().await;
                    Err(Stop::Canceled)
                }
                Plan::Items(count) => items(&context, count).await,
                Plan::AskFirst => match context.run.still_allowed().await? {
                    Some(reason) => Err(Stop::Blocked(reason)),
                    None => Ok(Report::default()),
                },
                Plan::UntilStopped => {
                    context.stop.cancelled().await;
                    Err(Stop::Interrupted)
                }
            }
        })
    }
}

/// Always the middle of the range.
#[derive(Debug)]
struct Middle;

impl Jitter for Middle {
    fn unit(&self) -> f64 {
        0.5
    }
}

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    actor: Actor,
}

pub(crate) async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for db in databases().await {
        let (workspace, _) = db.store.test_workspace().await;
        let tenant = NewTenant {
            name: "Contoso".to_owned(),
            slug: Slug::new("contoso").unwrap(),
            entra_tenant_id: Uuid::from_u128(1),
            domain: None,
            cloud: "global".to_owned(),
            credential: None,
        };
        db.store.console().tenant_create(workspace, tenant).await.unwrap();
        let actor = db.store.test_actor("owner@example.com").await;
        worlds.push(World { db, actor });
    }
    worlds
}

impl World {
    pub(crate) fn worker(&self, number: u128, plans: impl IntoIterator<Item = Plan>) -> Worker {
        let registry = Registry::default().with(Planned::new(plans));
        let id = WorkerId::from_uuid(Uuid::from_u128(number));
        let options = WorkerOptions {
            heartbeat: Duration::from_millis(50),
            poll: Duration::from_millis(20),
            ..WorkerOptions::default()
        };
        Worker::new(id, self.db.store.clone(), registry, options, Arc::new(Middle))
    }

    pub(crate) async fn start(&self) -> RunId {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope = self.db.store.enter::<StartInventorySync>(&self.actor, &contoso).await.unwrap();
        let request = SyncInventory::everything();
        Starter.start(&scope, &request, HowStarted::default()).await.unwrap().run().id
    }

    pub(crate) async fn cancel(&self, id: RunId) -> Cancel {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope = self.db.store.enter::<CancelOperations>(&self.actor, &contoso).await.unwrap();
        scope.run_cancel(id, None).await.unwrap().unwrap()
    }

    pub(crate) async fn run(&self, id: RunId) -> OperationRun {
        let contoso = TenantRef::parse("contoso").unwrap();
        let scope = self.db.store.enter::<ViewOperations>(&self.actor, &contoso).await.unwrap();
        scope.run_get(id).await.unwrap().unwrap()
    }

    /// Waits until the run is as wanted; each look follows a write of the engine or a poll of it.
    pub(crate) async fn until(
        &self,
        id: RunId,
        wanted: impl Fn(&OperationRun) -> bool,
    ) -> OperationRun {
        let look = async {
            loop {
                let run = self.run(id).await;
                if wanted(&run) {
                    return run;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), look).await.expect("within a minute")
    }
}
