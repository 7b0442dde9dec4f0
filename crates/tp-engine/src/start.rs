//! The one way to start work from a page, the API or the command line (rule I-5).

use tp_domain::access::MayStart;
use tp_store::{HowStarted, StartRefused, Started, TenantScope};

/// Starts runs. It has nothing else in reach: no Graph, no operation, no worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starter;

impl Starter {
    /// Starts the work that `scope` is for, or finds the equal run that is active.
    ///
    /// The answer comes after the commit; workers are woken by then.
    pub async fn start<C: MayStart>(
        &self,
        scope: &TenantScope<C>,
        request: &C::Request,
        how: HowStarted,
    ) -> Result<Started, StartRefused> {
        let started = scope.run_start(request, how).await?;
        let run = started.run();
        tracing::info!(
            run.id = %run.id,
            tenant.id = %scope.tenant().id,
            operation.kind = run.kind,
            created = matches!(started, Started::Created(_)),
            "a run was asked for",
        );
        Ok(started)
    }
}
