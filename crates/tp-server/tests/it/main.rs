//! Acceptance: the real binary, over HTTP, on real databases.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

mod archive;
mod backups;
mod bad_input;
mod connections;
mod demo;
mod keys;
mod kills;
mod process;
mod proofs;
mod starts;
