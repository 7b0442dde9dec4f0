//! Who acts, and by which way an action came in.

use crate::ids::{TokenId, UserId};
use crate::words::words;

words! {
    /// What set a run off (PRODUCT R-1).
    pub enum Trigger {
        /// A person pressed a button.
        Manual => "manual",
        /// A schedule's slot came up.
        Schedule => "schedule",
        /// An API token asked for it.
        Api => "api",
        /// The product itself, for housekeeping.
        System => "system",
        /// A new run for the failed part of an old one.
        Retry => "retry",
    }
}

/// Who an audit entry or a run names. The name is a snapshot: it stays when the account is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A signed-in person.
    User {
        /// The account.
        id: UserId,
        /// Its display name at that time.
        name: String,
    },
    /// A person's API token.
    Token {
        /// The token.
        id: TokenId,
        /// Its owner, who gets the notifications.
        owner: UserId,
        /// The token's name at that time.
        name: String,
    },
    /// A person at the machine's own shell.
    Console,
    /// A schedule, by its name.
    Schedule(String),
    /// The product itself.
    System,
}

impl Initiator {
    /// The person who is told about the run, if there is one (PRODUCT R-13).
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Token { owner, .. } => Some(*owner),
            Self::Console | Self::Schedule(_) | Self::System => None,
        }
    }

    /// The name as it is shown and stored.
    pub fn name(&self) -> &str {
        match self {
            Self::User { name, .. } | Self::Token { name, .. } => name,
            Self::Console => "console",
            Self::Schedule(name) => name,
            Self::System => "system",
        }
    }

    /// The stable word for what kind of actor this is.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Token { .. } => "token",
            Self::Console => "console",
            Self::Schedule(_) => "schedule",
            Self::System => "system",
        }
    }

    /// What set the run off when this actor starts it.
    pub const fn trigger(&self) -> Trigger {
        match self {
            Self::User { .. } | Self::Console => Trigger::Manual,
            Self::Token { .. } => Trigger::Api,
            Self::Schedule(_) => Trigger::Schedule,
            Self::System => Trigger::System,
        }
    }
}
