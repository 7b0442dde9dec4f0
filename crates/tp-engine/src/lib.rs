//! How work runs: start, claim, heartbeat, retry, finish, sweep.
//!
//! The engine knows operations as a trait and knows no Graph. A start goes through [`start::Starter`];
//! a [`worker::Worker`] claims runs, hands them to their [`operation::Operation`] and writes how they
//! ended. What the database decides (one active run per identity, who holds a lease) is decided
//! there and nowhere else.

pub mod jitter;
pub mod operation;
pub mod registry;
pub mod retry;
pub mod start;
pub mod worker;

mod heartbeat;
mod sweep;
