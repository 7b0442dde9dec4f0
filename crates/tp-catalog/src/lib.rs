//! The Graph contract registry and the capabilities resolver: data and pure functions over it.
//!
//! Each policy type has one file in `contracts/`, named by its key in kebab-case. No endpoint stands in
//! code (PRODUCT G-1): a type without a contract makes no call. The facts come from Microsoft's
//! metadata and documentation and from tools of the field; each file names its sources.
//! `docs/adding-a-policy-type.md` tells how to add one.

mod files;

pub mod assignments;
pub mod body;
pub mod capabilities;
pub mod check;
pub mod contract;
pub mod fields;
pub mod filter;
pub mod parts;
pub mod pattern;
pub mod permission_check;
pub mod permissions;
pub mod reading;
pub mod registry;
pub mod schema;
pub mod secrets;
pub mod throttle;
pub mod writes;
