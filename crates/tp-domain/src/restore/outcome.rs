//! What came of one item of a plan.

use crate::item::ItemState;
use crate::policy::PolicyType;
use crate::reason::ReasonCode;
use crate::restore::plan::{Fingerprint, PayloadRef};
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// How an item ended, or that it waits for Microsoft's second administrator.
    pub enum ItemOutcome {
        /// It was written, read back and found to be as planned.
        Verified => "verified",
        /// It was written, and what was read back is not what was planned.
        WrittenButDiffers => "written_but_differs",
        /// It was not written, or not all of it.
        Failed => "failed",
        /// It was left alone on purpose: it changed since the preview, or may not be written.
        Refused => "refused",
        /// It was not begun.
        Skipped => "skipped",
        /// A second administrator must approve it in the Intune admin center.
        AwaitingExternalApproval => "awaiting_external_approval",
        /// The answer to a write was lost, and reading again does not tell what came of it.
        UnknownOutcome => "unknown_outcome",
    }
}

impl ItemOutcome {
    /// Whether nothing more happens to it in this run.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::AwaitingExternalApproval)
    }

    /// How the run's item stands then.
    pub const fn state(self) -> ItemState {
        match self {
            Self::Verified => ItemState::Succeeded,
            Self::Skipped => ItemState::Skipped,
            Self::AwaitingExternalApproval => ItemState::Running,
            Self::WrittenButDiffers | Self::Failed | Self::Refused | Self::UnknownOutcome => {
                ItemState::Failed
            }
        }
    }

    /// Whether another node may refer to what this one made.
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Verified | Self::WrittenButDiffers)
    }
}

/// What a run says of an item. Without a verified outcome there is a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemResult {
    /// How it ended.
    pub outcome: ItemOutcome,
    /// Why not as planned.
    pub reason: Option<ReasonCode>,
    /// Why the step failed, where the reason is that the object is half done.
    pub cause: Option<ReasonCode>,
    /// Its Graph id, once it has one.
    pub graph_id: Option<String>,
    /// Something of it was written before it failed: the policy, and not its assignments, for instance.
    pub half_done: bool,
    /// The step that failed, by its name in the contract.
    pub step: Option<String>,
    /// Where what was read back differs from the plan: JSON pointers, no values.
    pub differences: Vec<String>,
    /// Graph's id of the request that failed.
    pub graph_request_id: Option<String>,
    /// What the object was like when the run let go of it, where it was read.
    pub left: Option<Fingerprint>,
}

impl ItemResult {
    /// An outcome with its reason and nothing else to say.
    pub const fn of(outcome: ItemOutcome, reason: Option<ReasonCode>) -> Self {
        Self {
            outcome,
            reason,
            cause: None,
            graph_id: None,
            half_done: false,
            step: None,
            differences: Vec::new(),
            graph_request_id: None,
            left: None,
        }
    }
}

/// One item of a restore as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreItem {
    /// The plan node's key.
    pub key: String,
    /// Its place in the order of work, from 0.
    pub position: u64,
    /// Its type.
    pub policy_type: PolicyType,
    /// Its name for people.
    pub name: Option<String>,
    /// `create` or `update`.
    pub action: String,
    /// What came of it; none while it has not been begun.
    pub result: Option<ItemResult>,
    /// What the object was like when a run let go of it: a retry expects it so.
    pub left: Option<Fingerprint>,
    /// Where the object is kept as it was before the first write.
    pub safety: Option<PayloadRef>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}
