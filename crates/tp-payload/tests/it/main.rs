//! Payloads in a real folder and in a real S3 server: what is kept, what is found out, what survives.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

mod bucket;
mod canary;
mod crash;
mod damage;
mod folder;
mod util;
