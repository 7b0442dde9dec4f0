//! Restores: what will be written, who has agreed to it, what came of it (PRODUCT §8).
//!
//! A [`plan::RestorePlan`] is frozen: its bytes are canonical, and their hash is what a person confirms. A
//! [`record::RestoreState`] says how far a restore has come. What a run did with each item of the plan is
//! an [`outcome::ItemOutcome`]. Nothing is written without a [`warrant::WriteWarrant`].

pub mod draft;
pub mod execute;
pub mod intent;
pub mod mapping;
pub mod outcome;
pub mod plan;
pub mod preview;
pub mod record;
pub mod warrant;
