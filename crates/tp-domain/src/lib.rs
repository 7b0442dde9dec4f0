//! What things are and what may follow what: pure types and rules of TenantPilot.
//!
//! No I/O, no clock, no SQL, no HTTP. Everything here can be tested with plain values.
//! Reading order: [`ids`] and [`time`], then who acts ([`actor`], [`access`]), then what is watched
//! ([`tenant`], [`policy`]), then the heart: [`operation`], [`run`], [`counts`], [`reason`].

mod kinds;
mod words;

pub mod access;
pub mod actor;
pub mod artefact;
pub mod audit;
pub mod backup;
pub mod backup_create;
pub mod backup_export;
pub mod backup_import;
pub mod backup_retention;
pub mod backup_verify;
pub mod budget;
pub mod completeness;
pub mod connection;
pub mod connection_verify;
pub mod contents;
pub mod counts;
pub mod entra;
pub mod gate;
pub mod groups_sync;
pub mod hex;
pub mod ids;
pub mod inventory_sync;
pub mod item;
pub mod json;
pub mod member;
pub mod message;
pub mod notification;
pub mod operation;
pub mod payload;
pub mod payloads_prune;
pub mod policy;
pub mod policy_capture;
pub mod reason;
pub mod restore;
pub mod retention;
pub mod run;
pub mod runs_prune;
pub mod schedule;
pub mod secret_names;
pub mod sign_in;
pub mod tenant;
pub mod time;
pub mod version;
