//! What the initiator is told: once when queued, once at the end (PRODUCT R-13).

use crate::ids::{NotificationId, RunId, TenantId};
use crate::operation::OperationKind;
use crate::run::Outcome;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Which of the two moments a notification is about. (run, moment) is unique in the database.
    pub enum Moment {
        /// The run was queued.
        Queued => "queued",
        /// The run has ended.
        Ended => "ended",
    }
}

/// One notification as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// The run it is about.
    pub run: RunId,
    /// The tenant of the run, or none for workspace-level runs.
    pub tenant: Option<TenantId>,
    /// The tenant's slug, for the link.
    pub tenant_slug: Option<String>,
    /// The tenant's name.
    pub tenant_name: Option<String>,
    /// The kind of the run as it was stored; unknown kinds keep their code.
    pub kind: String,
    /// Queued or ended.
    pub moment: Moment,
    /// How it ended; `Pending` for the queued one.
    pub outcome: Outcome,
    /// When it was written.
    pub created_at: Timestamp,
    /// When its reader marked it as read.
    pub read_at: Option<Timestamp>,
}

impl Notification {
    /// The one sentence that is shown: the single presenter of PRODUCT R-13.
    pub fn sentence(&self) -> String {
        let label = OperationKind::label_of(&self.kind);
        match (self.moment, self.outcome) {
            (Moment::Queued, _) => format!("{label} queued"),
            (Moment::Ended, Outcome::Succeeded) => format!("{label} succeeded"),
            (Moment::Ended, Outcome::PartiallySucceeded) => format!("{label} partially succeeded"),
            (Moment::Ended, Outcome::Blocked) => format!("{label} was blocked"),
            (Moment::Ended, Outcome::Canceled) => format!("{label} was canceled"),
            (Moment::Ended, Outcome::Failed | Outcome::Pending) => format!("{label} failed"),
        }
    }
}
