//! A write that is written down before it is sent (TRUST P4, T14).

use crate::ids::{IntentId, RunId};
use crate::restore::plan::{BodyHash, Fingerprint};
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// What is known of a write.
    pub enum IntentState {
        /// It may be on its way: what came of it is found out by reading.
        Open => "open",
        /// Graph took it.
        Done => "done",
        /// Graph refused it; nothing was changed.
        Refused => "refused",
        /// It was not sent.
        Unsent => "unsent",
        /// Its answer was lost, and reading has shown that it did not happen.
        Lost => "lost",
        /// Its answer was lost, and reading does not tell what came of it.
        Unknown => "unknown",
        /// It waits for a second administrator at Microsoft.
        Parked => "parked",
    }
}

impl IntentState {
    /// Whether something is still to be found out.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Parked)
    }
}

/// What is written down before a write is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntent {
    /// Which part of the object: the step's name.
    pub step: String,
    /// The step's identity within the object.
    pub step_key: String,
    /// The method.
    pub method: String,
    /// The path below the version.
    pub path: String,
    /// The hash of the body; none where there is no body.
    pub body_hash: Option<BodyHash>,
    /// Sent twice it would add twice.
    pub adds: bool,
    /// What the object was like before; none for what is made.
    pub before: Option<Fingerprint>,
    /// The Graph id of the object; none for what is made.
    pub object_id: Option<String>,
    /// Ids that were listed under the same name before an object was made.
    pub listed: Vec<String>,
}

/// A write as it was written down, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteIntent {
    /// Its id.
    pub id: IntentId,
    /// The item's key.
    pub item: String,
    /// The run that wrote it down.
    pub run: RunId,
    /// What was written down.
    pub asked: NewIntent,
    /// What is known of it.
    pub state: IntentState,
    /// Whether an answer to it was lost.
    pub reply_lost: bool,
    /// How often it was sent: an approved one is sent a second time.
    pub sent: u32,
    /// The code of the request for approval.
    pub approval_code: Option<String>,
    /// When approval was asked for.
    pub approval_asked_at: Option<Timestamp>,
    /// When it was written down.
    pub at: Timestamp,
}

/// What was found out of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The Graph id of the object that it made.
    pub object_id: Option<String>,
    /// Whether an answer to it was lost.
    pub reply_lost: bool,
    /// The code of the request for approval.
    pub approval_code: Option<String>,
    /// Graph's id of the request.
    pub graph_request_id: Option<String>,
}
