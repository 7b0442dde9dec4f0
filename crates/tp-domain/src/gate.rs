//! Gates: a kind of work can be stopped for a while, everywhere or in one workspace (PRODUCT A-6).

use crate::ids::WorkspaceId;
use crate::operation::OperationKind;
use crate::time::Timestamp;

/// How wide a gate reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateReach {
    /// The whole installation. Closed from the machine's own shell only.
    Everywhere,
    /// One workspace.
    Workspace(WorkspaceId),
}

/// Which work a gate stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateKind {
    /// Every kind.
    All,
    /// One kind.
    Kind(OperationKind),
}

impl GateKind {
    /// The stored word: `*` or the kind's code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Kind(kind) => kind.as_str(),
        }
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" { Some(Self::All) } else { text.parse().ok().map(Self::Kind) }
    }

    /// The words for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::All => "All operations",
            Self::Kind(kind) => kind.facts().label_en,
        }
    }
}

/// A closed gate. An open one has no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// How wide it reaches.
    pub reach: GateReach,
    /// Which work it stops.
    pub kind: GateKind,
    /// Why, in the words of whoever closed it.
    pub note: String,
    /// Who closed it.
    pub closed_by: String,
    /// Since when.
    pub closed_at: Timestamp,
    /// When it opens by itself; none means by hand only.
    pub expires_at: Option<Timestamp>,
}

/// The longest note of a gate, in characters.
pub const LONGEST_NOTE: usize = 200;
