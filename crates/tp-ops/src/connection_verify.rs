//! connection.verify: signs in with a new token and says what works with it (PRODUCT G-7).
//!
//! Each question is an item of the run. What was found is kept as a report; what it means for each policy
//! type is derived where it is shown. A sign-in that Microsoft refuses is a finding as well: it is kept
//! before the run fails.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::watch;
use tp_catalog::permission_check::{PermissionCheck, Purpose, Standing, permission_check};
use tp_domain::connection::{ConnectionReport, Finding, Found};
use tp_domain::connection_verify::VerifyConnection;
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::{ReasonCode, RetryClass};
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::connection::LICENCE_PERMISSION;
use tp_graph::error::GraphError;
use tp_graph::session::GraphSession;
use tp_store::{ClaimedRun, Connection};

use crate::sign_in::{Waits, failed, session, showing_waits};
use crate::{Tools, sign_in};

/// The policy type that says whether writes wait for a second administrator.
const APPROVALS: &str = "operationApprovalPolicy";

/// How the service plans of Microsoft Intune begin.
const INTUNE: &str = "INTUNE";

/// A licence of Office 365 holds this one; it is not Intune.
const OFFICE: &str = "INTUNE_O365";

/// How the service plans begin that conditional access needs.
const ENTRA_PREMIUM: &str = "AAD_PREMIUM";

/// Carries out `connection.verify`.
#[derive(Debug)]
pub struct VerifyConnectionOperation {
    tools: Tools,
}

impl VerifyConnectionOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for VerifyConnectionOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::ConnectionVerify
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // It only reads: it can be left at any moment, and what is stored stays.
        let run = context.run;
        context.until_stopped(self.verify(run))
    }
}

/// The items beside the permissions: key and name.
const SIGN_IN: (&str, &str) = ("sign-in", "Sign-in");
const CONSENT: (&str, &str) = ("consent", "Consent of an administrator");
const LICENCE: (&str, &str) = ("licence", "Licence for Microsoft Intune");
const APPROVAL: (&str, &str) = ("approval", "Multi Admin Approval");

fn subject((key, name): (&str, &str)) -> ItemSubject {
    ItemSubject {
        key: key.to_owned(),
        policy_type: None,
        graph_id: None,
        name: Some(name.to_owned()),
    }
}

fn permission_key(permission: &str) -> String {
    format!("permission/{permission}")
}

impl VerifyConnectionOperation {
    async fn verify(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        VerifyConnection::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let connection = match run.connection().await? {
            Ok(connection) => connection,
            Err(reason) => return self.refused(run, None, reason).await,
        };
        let (waits, mut waiting) = watch::channel(None);
        let opened = session(&self.tools, run, &connection, Arc::new(Waits(waits)));
        let session = match opened {
            Ok(session) => session,
            Err(reason) => return self.refused(run, Some(&connection), reason).await,
        };
        showing_waits(run, &mut waiting, self.ask(run, &connection, &session)).await
    }

    /// Signs in anew and asks everything.
    async fn ask(
        &self,
        run: &ClaimedRun,
        connection: &Connection,
        session: &GraphSession,
    ) -> Result<Report, Stop> {
        run.progress().phase("Signing in".to_owned());
        let signed_in = match session.sign_in_anew().await {
            Ok(signed_in) => signed_in,
            Err(error) if error.reason().retry() == RetryClass::Transient => {
                return Err(sign_in::stop(run, &error));
            }
            Err(error) => return self.refused(run, Some(connection), error.reason()).await,
        };
        let granted = signed_in.granted;
        run.progress().phase("Reading licences".to_owned());
        let (licence, plans) =
            licence(session).await.map_err(|error| sign_in::stop(run, &error))?;
        run.progress().phase("Reading approval policies".to_owned());
        let (approval, approval_for) =
            self.approval(session).await.map_err(|error| sign_in::stop(run, &error))?;
        run.progress().waiting(None);
        let consent = match &granted {
            Some(none) if none.is_empty() => Finding::no(ReasonCode::ConsentMissing),
            _ => Finding::YES,
        };
        let check = permission_check(&self.tools.catalog, granted.as_deref());
        // Not before everything is answered: the answers of one try belong together.
        plan(run, &check).await?;
        end(run, SIGN_IN.0, &Finding::YES, true).await?;
        end(run, CONSENT.0, &consent, true).await?;
        for line in &check.lines {
            let ended = standing(&line.standing, line.purpose);
            run.item_end(&permission_key(&line.permission), ended).await?;
        }
        end(run, LICENCE.0, &licence, true).await?;
        end(run, APPROVAL.0, &approval, false).await?;
        let missing = check.missing(Purpose::Backup);
        let context = json!({
            "granted": granted.as_ref().map_or(0, Vec::len), "missing": missing,
            "more_than_needed": check.excess.len(),
        });
        let report = ConnectionReport {
            token: Finding::YES,
            consent,
            granted,
            licence,
            plans,
            approval,
            approval_for,
            ..nothing(run, Some(connection))
        };
        run.connection_report(&report).await?;
        Ok(Report { failures: run.items_failures().await?, context })
    }

    /// There is no token: keeps why, then ends the run.
    async fn refused(
        &self,
        run: &ClaimedRun,
        connection: Option<&Connection>,
        reason: ReasonCode,
    ) -> Result<Report, Stop> {
        let consent = match reason {
            ReasonCode::ConsentMissing => Finding::no(reason),
            _ => Finding { found: Found::Unknown, reason: None, needs: None },
        };
        let report =
            ConnectionReport { token: Finding::no(reason), consent, ..nothing(run, connection) };
        run.connection_report(&report).await?;
        // Without a credential it may not begin at all (PRODUCT A-6).
        Err(if connection.is_none() { Stop::Blocked(reason) } else { failed(reason) })
    }

    /// Whether writes wait for a second administrator, and for which kinds of objects.
    async fn approval(&self, session: &GraphSession) -> Result<(Finding, Vec<String>), GraphError> {
        let key = PolicyType::new(APPROVALS).ok();
        let Some(contract) = key.and_then(|key| self.tools.catalog.contract(&key)) else {
            return Ok((Finding::unknown(ReasonCode::UnsupportedType), Vec::new()));
        };
        let policies = match session.list(&self.tools.catalog, contract).await {
            Ok(policies) => policies,
            Err(error) => {
                let needs = contract.permissions.read.join(", ");
                return unknown(error, &needs).map(|finding| (finding, Vec::new()));
            }
        };
        if policies.is_empty() {
            return Ok((Finding::NO, Vec::new()));
        }
        let words = policies.iter().filter_map(|policy| policy.get("policyType"));
        Ok((Finding::YES, tp_graph::connection::names(words)))
    }
}

/// A report that knows nothing yet.
fn nothing(run: &ClaimedRun, connection: Option<&Connection>) -> ConnectionReport {
    let unknown = || Finding { found: Found::Unknown, reason: None, needs: None };
    ConnectionReport {
        run: run.id(),
        checked_at: run.now(),
        client_id: connection.map(|own| own.client_id.clone()).unwrap_or_default(),
        cloud: connection.map(|own| own.cloud.clone()).unwrap_or_default(),
        credential: connection.map(|own| own.credential.kind()),
        token: unknown(),
        consent: unknown(),
        granted: None,
        licence: unknown(),
        plans: Vec::new(),
        approval: unknown(),
        approval_for: Vec::new(),
    }
}

/// Writes down what was asked, in the order in which it is shown.
async fn plan(run: &ClaimedRun, check: &PermissionCheck) -> Result<(), Stop> {
    let mut subjects = vec![subject(SIGN_IN), subject(CONSENT)];
    for line in &check.lines {
        subjects.push(subject((&permission_key(&line.permission), &line.permission)));
    }
    subjects.extend([subject(LICENCE), subject(APPROVAL)]);
    run.items_plan(subjects).await?;
    Ok(())
}

/// Ends an item by what was found. `wanted` is whether "no" is a fault.
async fn end(run: &ClaimedRun, key: &str, finding: &Finding, wanted: bool) -> Result<(), Stop> {
    let reason = finding.reason.unwrap_or(ReasonCode::InternalError);
    let ended = match finding.found {
        Found::Yes => ItemEnd::Succeeded,
        Found::No if !wanted => ItemEnd::Succeeded,
        Found::No => ItemEnd::Failed { reason, graph_request_id: None },
        Found::Unknown => ItemEnd::Skipped(reason),
    };
    run.item_end(key, ended).await?;
    Ok(())
}

/// A permission for restores is a choice: a connection that only reads is whole without it.
const fn standing(standing: &Standing, purpose: Purpose) -> ItemEnd {
    match (standing, purpose) {
        (Standing::Granted | Standing::Covered { .. }, _) => ItemEnd::Succeeded,
        (Standing::Missing, Purpose::Backup) => {
            ItemEnd::Failed { reason: ReasonCode::PermissionMissing, graph_request_id: None }
        }
        (Standing::Missing, Purpose::Restore) => ItemEnd::Skipped(ReasonCode::PermissionMissing),
        // The token cannot be read: what it carries shows when it is used.
        (Standing::NotChecked, _) => ItemEnd::Skipped(ReasonCode::MalformedResponse),
    }
}

/// Whether the tenant has Intune, and the plans that say so.
async fn licence(session: &GraphSession) -> Result<(Finding, Vec<String>), GraphError> {
    let all = match session.service_plans().await {
        Ok(all) => all,
        Err(error) => {
            return unknown(error, LICENCE_PERMISSION).map(|finding| (finding, Vec::new()));
        }
    };
    let intune = |plan: &String| plan.starts_with(INTUNE) && plan != OFFICE;
    let finding =
        if all.iter().any(intune) { Finding::YES } else { Finding::no(ReasonCode::LicenceMissing) };
    let told = |plan: &String| plan.starts_with(INTUNE) || plan.starts_with(ENTRA_PREMIUM);
    Ok((finding, all.into_iter().filter(told).collect()))
}

/// A question that was refused for good has no answer, and the check goes on; one that may be answered
/// later stops it.
fn unknown(error: GraphError, needs: &str) -> Result<Finding, GraphError> {
    if error.reason() == ReasonCode::PermissionMissing {
        return Ok(Finding::unknown_without(needs));
    }
    if error.reason().retry() == RetryClass::Transient {
        return Err(error);
    }
    Ok(Finding::unknown(error.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_for_restores_is_a_choice() {
        let missing = |purpose| standing(&Standing::Missing, purpose).state().as_str();
        assert_eq!(missing(Purpose::Backup), "failed");
        assert_eq!(missing(Purpose::Restore), "skipped");
        let by = Standing::Covered { by: "x".to_owned() };
        assert_eq!(standing(&by, Purpose::Backup), ItemEnd::Succeeded);
    }
}
