//! Comparing and reading policies: golden pairs, noise, hostile input, speed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod corpus;
mod golden;
mod hostile;
mod mutate;
mod noise;
mod quiet;
mod readable;
mod speed;
