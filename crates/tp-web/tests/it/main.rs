//! Pages, actions and the API through the whole router, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod access;
mod again;
mod api;
mod archives;
mod backups;
mod connection;
mod forged;
mod issuer;
mod members;
mod operations;
mod pages;
mod platform;
mod polling;
mod protection;
mod restores;
mod schedules;
mod second_factor;
mod sign_in;
mod world;
