//! Every store method on both databases (ARCHITECTURE §6.6).
//!
//! Each test runs its story on SQLite, and on PostgreSQL when `TENANTPILOT_TEST_POSTGRES` names a
//! server (`cargo xtask ci` always starts one).

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod util;

mod account;
mod actions;
mod artefacts;
mod audit;
mod backup_care;
mod backups;
mod budgets;
mod captures;
mod children;
mod claims;
mod connections;
mod console;
mod fairness;
mod gates;
mod hall;
mod inventory;
mod items;
mod members;
mod migrations;
mod notifications;
mod payload_keys;
mod payloads;
mod policies;
mod prune;
mod restore_previews;
mod restore_sources;
mod restores;
mod runs;
mod schedules;
mod second_factor;
mod sign_in;
mod tenancy;
mod upkeep;
mod workspace;
