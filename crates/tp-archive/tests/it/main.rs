//! Archives of ours, and what somebody may make of them.

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod craft;
mod foreign;
mod hostile;
mod own;
