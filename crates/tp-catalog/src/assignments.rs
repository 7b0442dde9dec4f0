//! How assignments are read and written.

use serde::{Deserialize, Serialize};

use crate::fields::Beside;
use crate::parts::Ways;
use crate::pattern::Pattern;
use crate::writes::Method;

/// How a type's assignments are read and written. They are kept apart from the payload.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assignments {
    /// How they are read.
    pub read: Ways,
    /// How they are written; none where an app cannot.
    pub write: Option<AssignmentsWrite>,
    /// What each loses before it is written and compared, inside the assignment.
    pub strip: Vec<Pattern>,
    /// Members beside `target` that say something and are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carries: Vec<String>,
    /// What is written and does not read back as it was written: a comparison passes over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<Pattern>,
    /// Assignments that another object makes and that must not be written here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_replayed: Vec<Beside>,
    /// Whether a target can name an assignment filter.
    pub filters: bool,
}

/// How assignments are written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    tag = "mode",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum AssignmentsWrite {
    /// One action takes the full set; an empty list takes all away.
    ReplaceAll {
        /// How it is called.
        method: Method,
        /// Its path, with `{id}`.
        path: String,
        /// The body's member that holds the assignments.
        body_key: BodyKey,
        /// Statuses that were seen for success; any other 2xx is one too.
        success: Vec<u16>,
    },
    /// One POST for each target and one DELETE for each assignment that is to go; nothing for none.
    PerTarget {
        /// The path of the POST.
        path: String,
        /// The path of the DELETE, with `{assignmentId}`.
        delete_path: String,
        /// Statuses that were seen for success.
        success: Vec<u16>,
    },
    /// An action that changes other parts as well; the list of assignments in it is the full set.
    UpdateAction {
        /// How it is called.
        method: Method,
        /// Its path, with `{id}`.
        path: String,
        /// The body's member that holds the assignments.
        body_key: BodyKey,
        /// Statuses that were seen for success.
        success: Vec<u16>,
    },
}

/// The member of a body that holds the assignments: eight, by type (PROTOCOL 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum BodyKey {
    /// Most types.
    #[serde(rename = "assignments")]
    Assignments,
    /// Scripts.
    #[serde(rename = "deviceManagementScriptAssignments")]
    Script,
    /// Remediations and compliance scripts.
    #[serde(rename = "deviceHealthScriptAssignments")]
    HealthScript,
    /// Apps.
    #[serde(rename = "mobileAppAssignments")]
    MobileApp,
    /// Enrolment.
    #[serde(rename = "enrollmentConfigurationAssignments")]
    Enrollment,
    /// BIOS configuration.
    #[serde(rename = "hardwareConfigurationAssignments")]
    Hardware,
    /// App control supplements.
    #[serde(rename = "wdacPolicyAssignments")]
    Wdac,
    /// iOS provisioning profiles.
    #[serde(rename = "iOSLobAppProvisioningConfigAssignments")]
    IosProvisioning,
}

impl BodyKey {
    /// The member's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assignments => "assignments",
            Self::Script => "deviceManagementScriptAssignments",
            Self::HealthScript => "deviceHealthScriptAssignments",
            Self::MobileApp => "mobileAppAssignments",
            Self::Enrollment => "enrollmentConfigurationAssignments",
            Self::Hardware => "hardwareConfigurationAssignments",
            Self::Wdac => "wdacPolicyAssignments",
            Self::IosProvisioning => "iOSLobAppProvisioningConfigAssignments",
        }
    }
}

impl AssignmentsWrite {
    /// The path that is written to.
    pub fn path(&self) -> &str {
        match self {
            Self::ReplaceAll { path, .. }
            | Self::PerTarget { path, .. }
            | Self::UpdateAction { path, .. } => path,
        }
    }
}
