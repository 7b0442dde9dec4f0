//! How an operation comes to a session with its tenant: from the stored connection to the client.

use std::sync::Arc;

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

pub(crate) const fn failed(reason: ReasonCode) -> Stop {
    Stop::Failed { reason, failures: Vec::new() }
}

/// What a run does after an error of Graph that concerns all of it: a long wait gives its place away.
pub(crate) const fn stop(error: &GraphError) -> Stop {
    match error.postponed() {
        Some(wait) => Stop::Wait { waiting: WaitingReason::Throttled, wait },
        None => failed(error.reason()),
    }
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
