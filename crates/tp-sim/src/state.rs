//! What the simulator holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
    /// Whether the secret is still good.
    #[serde(default)]
    pub secret_expired: bool,
    /// Whether an administrator has consented.
    #[serde(default = "yes")]
    pub consented: bool,
    /// Objects by path of their collection.
    pub(crate) collections: BTreeMap<String, Vec<Value>>,
}

const fn yes() -> bool {
    true
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
}
