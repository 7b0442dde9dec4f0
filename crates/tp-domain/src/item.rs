//! One thing of an itemised run, with a row of its own (PRODUCT R-8).

use crate::policy::PolicyType;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// How one item stands.
    pub enum ItemState {
        /// Not begun.
        Pending => "pending",
        /// Being worked on; after a crash it is done again or reported.
        Running => "running",
        /// Done and stored.
        Succeeded => "succeeded",
        /// Not done, with a reason code.
        Failed => "failed",
        /// Left out on purpose, with a reason code.
        Skipped => "skipped",
    }
}

impl ItemState {
    /// Whether the item has ended. An ended item never changes.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped)
    }
}

/// What an item is about. `key` is its identity within the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSubject {
    /// Unique within the run, at most 300 characters: `type/id`, a path, a number.
    pub key: String,
    /// The policy type, where there is one.
    pub policy_type: Option<PolicyType>,
    /// The Graph id, where there is one.
    pub graph_id: Option<String>,
    /// A name for people.
    pub name: Option<String>,
}

/// One item as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunItem {
    /// What it is about.
    pub subject: ItemSubject,
    /// Its place in the order of work, from 0.
    pub position: u64,
    /// How it stands.
    pub state: ItemState,
    /// Why it failed or was left out.
    pub reason: Option<ReasonCode>,
    /// Graph's id of the request that failed.
    pub graph_request_id: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// How an item ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemEnd {
    /// Done and stored.
    Succeeded,
    /// Not done.
    Failed {
        /// Why.
        reason: ReasonCode,
        /// Graph's id of the request that failed.
        graph_request_id: Option<String>,
    },
    /// Left out.
    Skipped(ReasonCode),
}

impl ItemEnd {
    /// The state that it leads to.
    pub const fn state(&self) -> ItemState {
        match self {
            Self::Succeeded => ItemState::Succeeded,
            Self::Failed { .. } => ItemState::Failed,
            Self::Skipped(_) => ItemState::Skipped,
        }
    }

    /// The reason, where there is one.
    pub const fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Succeeded => None,
            Self::Failed { reason, .. } | Self::Skipped(reason) => Some(*reason),
        }
    }
}
