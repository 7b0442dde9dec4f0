//! The one way to start work from a page, the API or the command line (rule I-5).

use tp_domain::access::MayStart;
use tp_domain::ids::RunId;
use tp_domain::operation::{OfTenant, OfWorkspace, OperationRequest};
use tp_store::{HowStarted, RetryOnly, StartRefused, Started, TenantScope, WorkspaceScope};

/// Starts runs. It has nothing else in reach: no Graph, no operation, no worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starter;

fn log(started: &Started) {
    let run = started.run();
    tracing::info!(
        run.id = %run.id,
        operation.kind = run.kind,
        created = matches!(started, Started::Created(_)),
        "a run was asked for",
    );
}

impl Starter {
    /// Starts the work that `scope` is for, or finds the equal run that is active.
    ///
    /// The answer comes after the commit; workers are woken by then.
    pub async fn start<C: MayStart>(
        &self,
        scope: &TenantScope<C>,
        request: &C::Request,
        how: HowStarted,
    ) -> Result<Started, StartRefused>
    where
        C::Request: OperationRequest<Level = OfTenant>,
    {
        let started = scope.run_start(request, how).await?;
        log(&started);
        Ok(started)
    }

    /// The same for work of the workspace itself.
    pub async fn start_in_workspace<C: MayStart>(
        &self,
        scope: &WorkspaceScope<C>,
        request: &C::Request,
        how: HowStarted,
    ) -> Result<Started, StartRefused>
    where
        C::Request: OperationRequest<Level = OfWorkspace>,
    {
        let started = scope.run_start(request, how).await?;
        log(&started);
        Ok(started)
    }

    /// Starts a new run for what failed of an old one, or for all of it.
    pub async fn retry<C: MayStart>(
        &self,
        scope: &TenantScope<C>,
        of: RunId,
        only: RetryOnly,
        how: HowStarted,
    ) -> Result<Started, StartRefused>
    where
        C::Request: OperationRequest<Level = OfTenant>,
    {
        let started = scope.run_retry(of, only, how).await?;
        log(&started);
        Ok(started)
    }
}
