//! The engine on both databases, with operations that do as planned.

mod planned;
mod runs;
mod worker;
