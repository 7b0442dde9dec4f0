//! Operations against the simulator, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod backup;
mod connection;
mod hostile;
mod pacing;
mod proofs;
mod reading;
mod restores;
mod sync;
mod world;
