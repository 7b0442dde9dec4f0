//! Operations against the simulator, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod archives;
mod backup;
mod captures;
mod connection;
mod groups;
mod hostile;
mod housekeeping;
mod pacing;
mod proofs;
mod reading;
mod restores;
mod retention;
mod snapshots;
mod sync;
mod verify;
mod world;
