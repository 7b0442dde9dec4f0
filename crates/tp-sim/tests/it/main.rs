//! The simulator over HTTP: each rule that a client can notice.

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod approvals;
mod batch;
mod control;
mod faults;
mod login;
mod reads;
mod throttle;
mod world;
mod writes;
