//! How an operation comes to a session with its tenant: from the stored connection to the client.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Waiting, WaitingReason};
use tp_domain::time::Timestamp;
use tp_engine::operation::Stop;
use tp_graph::credential::Credential;
use tp_graph::error::GraphError;
use tp_graph::session::{Access, GraphSession, WaitObserver};
use tp_store::{ClaimedRun, Connection};

use crate::Tools;

/// Carries the waits of the Graph session to the run.
#[derive(Debug)]
pub(crate) struct Waits(pub(crate) watch::Sender<Option<Waiting>>);

impl WaitObserver for Waits {
    fn waits(&self, until: Timestamp, reason: ReasonCode) {
        let reason = match reason {
            ReasonCode::GraphThrottled => WaitingReason::Throttled,
            _ => WaitingReason::Retry,
        };
        self.0.send_replace(Some(Waiting { reason, until }));
    }
}

/// Carries out a piece of work, and shows on the run what it waits for meanwhile.
pub(crate) async fn showing_waits<T>(
    run: &ClaimedRun,
    waiting: &mut watch::Receiver<Option<Waiting>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            Ok(()) = waiting.changed() => run.progress().waiting(*waiting.borrow_and_update()),
            done = &mut work => break done,
        }
    };
    run.progress().waiting(None);
    done
}

pub(crate) const fn failed(reason: ReasonCode) -> Stop {
    Stop::Failed { reason, failures: Vec::new() }
}

/// A tenant that is throttled for longer is not read by a run any more.
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// Gives the run's place away where Graph asks to wait for long: what was read stays, and the rest is read
/// when Graph allows it, by whoever is free then.
pub(crate) fn give_way(run: &ClaimedRun, error: &GraphError) -> Option<Stop> {
    let wait = error.postponed()?;
    let has_time = run.now().since(run.started_at()) < LONGEST_WAIT;
    has_time.then_some(Stop::Wait { waiting: WaitingReason::Throttled, wait })
}

/// What a run does after an error of Graph that concerns all of it: a long wait gives its place away.
pub(crate) fn stop(run: &ClaimedRun, error: &GraphError) -> Stop {
    give_way(run, error).unwrap_or_else(|| failed(error.reason()))
}

/// A session with the tenant of the run; or why there can be none, before anything is sent.
pub(crate) fn session(
    tools: &Tools,
    run: &ClaimedRun,
    connection: &Connection,
    waits: Arc<dyn WaitObserver>,
) -> Result<GraphSession, ReasonCode> {
    let cloud = tools.clouds.get(&connection.cloud).cloned().ok_or(ReasonCode::AppNotFound)?;
    let credential = match &connection.credential {
        tp_store::Credential::Secret(secret) => Credential::Secret(secret.clone()),
        tp_store::Credential::Certificate(own) => {
            Credential::certificate(own.certificate(), own.private_key())
                .map_err(|_| ReasonCode::CredentialInvalid)?
        }
    };
    let access = Access {
        cloud,
        entra_tenant_id: connection.entra_tenant_id,
        client_id: connection.client_id.clone(),
        credential,
    };
    Ok(tools.graph.session(access, waits, run.kind().facts().lane))
}

/// Reasons that every type would fail for: the connection itself does not work.
pub(crate) const fn is_connection_fault(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::AuthFailed
            | ReasonCode::AppNotFound
            | ReasonCode::ConsentMissing
            | ReasonCode::CredentialExpired
            | ReasonCode::CredentialInvalid
            | ReasonCode::TenantMismatch
    )
}
