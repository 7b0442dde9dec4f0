//! The engine on both databases, with operations that do as planned.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

mod planned;
mod runs;
mod worker;
