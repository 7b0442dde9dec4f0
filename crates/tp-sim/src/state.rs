//! What the simulator holds.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::approvals::Approval;

/// A pretend tenant, with what a client needs to sign in to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimTenant {
    /// Its id in the pretend Entra.
    pub id: Uuid,
    /// Its verified domain.
    pub domain: String,
    /// Its name.
    pub display_name: String,
    /// The app registration.
    pub client_id: Uuid,
    /// The app's secret.
    pub client_secret: String,
    /// What the app was granted.
    pub permissions: Vec<String>,
    /// Whether the secret is no longer good.
    #[serde(default)]
    pub secret_expired: bool,
    /// Whether an administrator has consented.
    #[serde(default = "yes")]
    pub consented: bool,
    /// Certificates of the app registration: DER as base64.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// How assertions may be signed: a login host of an older cloud knows RS256 only.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// Workloads whose writes wait for a second administrator; `*` is all.
    #[serde(default)]
    pub protected: Vec<String>,
    /// How long its tokens hold, where it differs from the simulator's.
    #[serde(default)]
    pub token_lifetime_s: Option<u64>,
    /// For so long a new object is not found.
    #[serde(default)]
    pub new_objects_hidden_ms: u64,
    /// The names of its licences.
    #[serde(default = "licences")]
    pub licences: Vec<String>,
    /// Objects by path of their collection.
    pub(crate) collections: BTreeMap<String, Vec<Value>>,
    /// Requests for approval.
    #[serde(default)]
    pub(crate) approvals: Vec<Approval>,
    /// `auditEvents`.
    #[serde(default)]
    pub(crate) audit: Vec<Value>,
    /// How many objects were made by writes: their ids follow from it.
    #[serde(default)]
    pub(crate) made: u64,
    /// Definitions of administrative templates and their presentations, by id: they are the service's own and
    /// stay when the last policy that uses them goes.
    #[serde(default)]
    pub(crate) definitions: BTreeMap<String, Value>,
    /// Ids that are not found yet.
    #[serde(skip)]
    pub(crate) hidden: HashMap<String, Instant>,
}

pub(crate) fn algorithms() -> Vec<String> {
    ["PS256", "RS256"].map(str::to_owned).into()
}

const fn yes() -> bool {
    true
}

pub(crate) fn licences() -> Vec<String> {
    ["INTUNE_A", "AAD_PREMIUM_P2"].map(str::to_owned).into()
}

impl SimTenant {
    /// Remembers the definitions that policies use.
    pub(crate) fn learn_definitions(&mut self) {
        let policies = self.collections.get("/deviceManagement/groupPolicyConfigurations");
        let values = policies.into_iter().flatten();
        let values =
            values.filter_map(|policy| policy.get("definitionValues")?.as_array()).flatten();
        for value in values {
            let presentations = value.get("presentationValues").and_then(Value::as_array);
            let presentations = presentations.into_iter().flatten();
            let own = presentations.filter_map(|one| one.get("presentation"));
            for one in value.get("definition").into_iter().chain(own) {
                let id = one.get("id").and_then(Value::as_str);
                // One that was only named says no more than its name.
                if let Some(id) = id.filter(|_| one.as_object().is_some_and(|all| all.len() > 1)) {
                    self.definitions.insert(id.to_owned(), one.clone());
                }
            }
        }
    }

    /// Whether an object is so new that it is not found.
    pub(crate) fn hides(&self, id: &str) -> bool {
        self.hidden.get(id).is_some_and(|until| Instant::now() < *until)
    }

    /// Whether a name or id of a path means this tenant.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        Uuid::try_parse(name).is_ok_and(|id| id == self.id)
            || self.domain.eq_ignore_ascii_case(name)
    }
}

/// An object that a correct client must find.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExpectedObject {
    /// The policy type.
    pub policy_type: String,
    /// The object's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
}

/// Everything that survives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Estate {
    pub(crate) tenants: Vec<SimTenant>,
    /// What must be found in the first tenant, sorted.
    pub(crate) expected: Vec<ExpectedObject>,
    /// How many corpus files were read.
    pub(crate) files: usize,
}

impl Estate {
    pub(crate) fn tenant(&self, id: Uuid) -> Option<&SimTenant> {
        self.tenants.iter().find(|tenant| tenant.id == id)
    }

    pub(crate) fn tenant_mut(&mut self, id: Uuid) -> Option<&mut SimTenant> {
        self.tenants.iter_mut().find(|tenant| tenant.id == id)
    }

    /// A tenant by its id or domain.
    pub(crate) fn named(&self, name: &str) -> Option<&SimTenant> {
        self.tenants.iter().find(|tenant| tenant.is_named(name))
    }
}
