//! schedule.execute: a schedule's operation in many tenants, as one umbrella run (PRODUCT R-11).

use futures_util::future::BoxFuture;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::schedule::{ExecuteSchedule, Targets};
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_store::ChildPlan;

/// Carries out `schedule.execute`: it only plans the children, the engine starts and counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecuteScheduleOperation;

impl Operation for ExecuteScheduleOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::ScheduleExecute
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            let request = ExecuteSchedule::parse(context.run.inputs()).map_err(|_| {
                Stop::Failed { reason: ReasonCode::InternalError, failures: Vec::new() }
            })?;
            let active = context.run.active_tenants().await?;
            let tenants: Vec<_> = match &request.targets {
                Targets::Own => Vec::new(),
                Targets::AllTenants => active,
                // A chosen tenant that is gone or disabled is planned all the same: it is said why not.
                Targets::Tenants(chosen) => chosen.clone(),
            };
            let children = (0_u32..)
                .zip(tenants)
                .map(|(number, tenant)| ChildPlan {
                    tenant,
                    kind: request.kind,
                    inputs: request.inputs.clone(),
                    wave: number / request.wave_size,
                })
                .collect();
            Err(Stop::Children(children))
        })
    }
}
