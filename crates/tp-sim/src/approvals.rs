//! Multi-admin approval: protected writes wait for a second administrator (PROTOCOL §7).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::clock;
use crate::state::SimTenant;

/// A request expires after three days.
const LIFE: Duration = Duration::from_hours(72);
const JUSTIFICATION: &str = "x-msft-approval-justification";
const CODE: &str = "x-msft-approval-code";

/// A write that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) code: Uuid,
    status: Status,
    justification: String,
    method: String,
    path: String,
    body: Option<String>,
    at_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    NeedsApproval,
    Approved,
    Rejected,
    Expired,
    Completed,
}

impl Approval {
    /// As `operationApprovalRequests` shows it.
    pub(crate) fn shown(&self) -> Value {
        let at = Duration::from_secs(self.at_s);
        json!({
            "id": self.code, "status": self.now(), "requestDateTime": clock::stamp(at),
            "lastModifiedDateTime": clock::stamp(at), "expirationDateTime": clock::stamp(at + LIFE),
            "requestJustification": self.justification, "approvalJustification": null,
            "requiredOperationApprovalPolicyTypes": [], "operationApprovalPolicies": "",
        })
    }

    fn now(&self) -> Status {
        let open = [Status::NeedsApproval, Status::Approved].contains(&self.status);
        let is_over = clock::now() > Duration::from_secs(self.at_s) + LIFE;
        if open && is_over { Status::Expired } else { self.status }
    }

    fn is_for(&self, call: &Call<'_>) -> bool {
        self.method == call.method && self.path.eq_ignore_ascii_case(&call.path)
    }
}

/// The collection of approval policies.
const POLICIES: &str = "/deviceManagement/operationApprovalPolicies";

/// The workloads that can be protected, with Intune's words. The metadata have no word for two of them:
/// whoever does not ask for unknown members is told so.
const WORKLOADS: [(&str, &str); 6] = [
    ("apps", "app"),
    ("compliancePolicies", "unknownFutureValue"),
    ("configurationPolicies", "unknownFutureValue"),
    ("scripts", "script"),
    ("rbac", "role"),
    ("tenantConfiguration", "tenantConfiguration"),
];

/// Makes the approval policies of the tenant say what is protected.
pub(crate) fn show_policies(tenant: &mut SimTenant) {
    let is_protected =
        |workload: &str| tenant.protected.iter().any(|own| own == "*" || own == workload);
    let policies: Vec<Value> = WORKLOADS
        .iter()
        .filter(|(workload, _)| is_protected(workload))
        .map(|(workload, word)| {
            json!({
                "id": Uuid::new_v5(&tenant.id, format!("approval/{workload}").as_bytes()),
                "displayName": format!("Approve changes: {workload}"), "description": "",
                "lastModifiedDateTime": clock::stamp(clock::now()), "policyType": word,
                "policyPlatform": "notApplicable", "approverGroupIds": [],
                "policySet": {"policyType": word, "policyPlatform": "notApplicable"},
            })
        })
        .collect();
    tenant.collections.insert(POLICIES.to_owned(), policies);
}

/// What an administrator decides.
pub(crate) fn decide(tenant: &mut SimTenant, code: Uuid, decision: &str) -> Option<bool> {
    let approval = tenant.approvals.iter_mut().find(|one| one.code == code)?;
    let status = match decision {
        "approve" => Status::Approved,
        "reject" => Status::Rejected,
        "expire" => Status::Expired,
        _ => return Some(false),
    };
    if approval.now() != Status::NeedsApproval {
        return Some(false);
    }
    approval.status = status;
    Some(true)
}

/// The workload that a path belongs to; directory paths belong to none.
fn workload(path: &str) -> Option<&'static str> {
    let path = path.to_ascii_lowercase();
    let has = |part: &str| path.contains(part);
    if path.starts_with("/deviceappmanagement") {
        return Some("apps");
    }
    if !path.starts_with("/devicemanagement") || has("virtualendpoint") {
        return None;
    }
    Some(match () {
        () if has("script") => "scripts",
        () if has("compliance") => "compliancePolicies",
        () if has("role") => "rbac",
        () if has("configurationpolicies") || has("deviceconfigurations") => {
            "configurationPolicies"
        }
        () if has("intents") || has("grouppolicy") || has("reusablepolicy") => {
            "configurationPolicies"
        }
        () => "tenantConfiguration",
    })
}

/// Stops a protected write that is not approved. `next` names a new request.
pub(crate) fn stop(tenant: &mut SimTenant, call: &Call<'_>, next: Uuid) -> Option<Answer> {
    let workload = workload(&call.path)?;
    if !tenant.protected.iter().any(|own| own == "*" || own == workload) {
        return None;
    }
    if let Some(code) = call.header(CODE) {
        return resubmitted(tenant, call, code);
    }
    let Some(justification) = call.header(JUSTIFICATION) else {
        let text = format!("Header '{JUSTIFICATION}' is required.");
        return Some(Answer::intune_error(400, "BadRequest", &text));
    };
    let plain = STANDARD.decode(justification).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(plain) = plain.filter(|text| !text.is_empty() && text.chars().count() <= 1024) else {
        let text = format!("Header '{JUSTIFICATION}' must be base64 of at most 1024 characters.");
        return Some(Answer::intune_error(400, "BadRequest", &text));
    };
    let is_open = |one: &Approval| one.now() == Status::NeedsApproval && one.is_for(call);
    // A second request for one object clashes; a create has no object yet.
    if call.method != "POST" && tenant.approvals.iter().any(is_open) {
        let text = "There is already a pending approval request for this object.";
        return Some(Answer::intune_error(409, "Conflict", text));
    }
    tenant.approvals.push(Approval {
        code: next,
        status: Status::NeedsApproval,
        justification: plain,
        method: call.method.to_owned(),
        path: call.path.clone(),
        body: call.body.hash(),
        at_s: clock::now().as_secs(),
    });
    let text = "The operation requires approval by another administrator.";
    Some(Answer::intune_error(412, "PreconditionFailed", text).with_header(CODE, &next.to_string()))
}

/// The same request again, with the code of its approval.
fn resubmitted(tenant: &mut SimTenant, call: &Call<'_>, code: &str) -> Option<Answer> {
    let id = Uuid::try_parse(code).ok();
    let refuse = |status, text: &str| Some(Answer::intune_error(status, "BadRequest", text));
    let Some(approval) = tenant.approvals.iter_mut().find(|one| Some(one.code) == id) else {
        return refuse(400, "The approval code is not known.");
    };
    if !approval.is_for(call) || approval.body != call.body.hash() {
        return refuse(400, "The request differs from the one that was approved.");
    }
    match approval.now() {
        Status::Approved => {
            approval.status = Status::Completed;
            None
        }
        Status::NeedsApproval => Some(
            Answer::intune_error(412, "PreconditionFailed", "The request is not approved yet.")
                .with_header(CODE, code),
        ),
        Status::Rejected => refuse(400, "The approval request was rejected."),
        Status::Expired => refuse(400, "The approval request has expired."),
        Status::Completed => refuse(400, "The approval code was used already."),
    }
}
