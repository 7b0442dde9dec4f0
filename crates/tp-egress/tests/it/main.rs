//! The door for outgoing requests, against servers that lie and names that change (TRUST A40).

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod door;
mod spellings;
mod world;
