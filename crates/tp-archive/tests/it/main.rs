//! Archives of ours, and what somebody may make of them.

mod craft;
mod hostile;
mod own;
