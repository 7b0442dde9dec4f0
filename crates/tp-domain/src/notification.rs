//! What people are told: the initiator once when a run is queued and once at its end (PRODUCT R-13), and
//! whoever can replace a credential before it ends (PRODUCT G-7).

use crate::connection::{CredentialKind, ExpiryWarning};
use crate::ids::{NotificationId, RunId, TenantId};
use crate::operation::OperationKind;
use crate::run::Outcome;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Which of the two moments of a run a notification is about. (run, moment) is unique in the database.
    pub enum Moment {
        /// The run was queued.
        Queued => "queued",
        /// The run has ended.
        Ended => "ended",
    }
}

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A run that its reader started.
    Run {
        /// The run.
        run: RunId,
        /// Its kind as it was stored; unknown kinds keep their code.
        kind: String,
        /// Queued or ended.
        moment: Moment,
        /// How it ended; `Pending` for the queued one.
        outcome: Outcome,
    },
    /// A credential that ends soon. (credential, warning, reader) is unique in the database.
    Expiry {
        /// Secret or certificate.
        credential: CredentialKind,
        /// How much time was left.
        warning: ExpiryWarning,
        /// When it ends.
        expires_at: Timestamp,
    },
}

/// One notification as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// What it is about.
    pub about: About,
    /// The tenant, or none for workspace-level runs.
    pub tenant: Option<TenantId>,
    /// The tenant's slug, for the link.
    pub tenant_slug: Option<String>,
    /// The tenant's name.
    pub tenant_name: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When its reader marked it as read.
    pub read_at: Option<Timestamp>,
}

impl Notification {
    /// The run that it is about, if it is about one.
    pub const fn run(&self) -> Option<RunId> {
        match self.about {
            About::Run { run, .. } => Some(run),
            About::Expiry { .. } => None,
        }
    }

    /// The one sentence that is shown: the single presenter of PRODUCT R-13.
    pub fn sentence(&self) -> String {
        match &self.about {
            About::Run { kind, moment, outcome, .. } => of_run(kind, *moment, *outcome),
            About::Expiry { credential, warning, .. } => of_expiry(*credential, *warning),
        }
    }
}

fn of_run(kind: &str, moment: Moment, outcome: Outcome) -> String {
    let label = OperationKind::label_of(kind);
    match (moment, outcome) {
        (Moment::Queued, _) => format!("{label} queued"),
        (Moment::Ended, Outcome::Succeeded) => format!("{label} succeeded"),
        (Moment::Ended, Outcome::PartiallySucceeded) => format!("{label} partially succeeded"),
        (Moment::Ended, Outcome::Blocked) => format!("{label} was blocked"),
        (Moment::Ended, Outcome::Canceled) => format!("{label} was canceled"),
        (Moment::Ended, Outcome::Failed | Outcome::Pending) => format!("{label} failed"),
    }
}

fn of_expiry(credential: CredentialKind, warning: ExpiryWarning) -> String {
    let what = match credential {
        CredentialKind::Secret => "The client secret",
        CredentialKind::Certificate => "The certificate",
    };
    let left = match warning {
        ExpiryWarning::Day => "within a day",
        ExpiryWarning::Week => "within 7 days",
        ExpiryWarning::Month => "within 30 days",
    };
    format!("{what} ends {left}: replace it")
}
