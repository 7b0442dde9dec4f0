//! Every store method on both databases (ARCHITECTURE §6.6).
//!
//! Each test runs its story on SQLite, and on PostgreSQL when `TENANTPILOT_TEST_POSTGRES` names a
//! server (`cargo xtask ci` always starts one).

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod util;

mod audit;
mod claims;
mod console;
mod hall;
mod inventory;
mod migrations;
mod notifications;
mod policies;
mod runs;
mod tenancy;
mod upkeep;
