//! The Graph contract registry and the capabilities resolver: data and pure functions over it.
//!
//! Each policy type has one file in `contracts/`, named by its key in kebab-case. No endpoint stands in
//! code (PRODUCT G-1): a type without a contract makes no call. The facts come from Microsoft's
//! metadata and documentation and from tools of the field; each file names its sources.
//! `docs/adding-a-policy-type.md` tells how to add one.

mod files;
mod nodes;
mod shown;

pub mod assignments;
pub mod body;
pub mod capabilities;
pub mod check;
pub mod compare;
pub mod content;
pub mod contract;
pub mod definitions;
pub mod fields;
pub mod filter;
pub mod marker;
pub mod names;
pub mod parts;
pub mod pattern;
pub mod permission_check;
pub mod permissions;
pub mod readable;
pub mod readback;
pub mod reading;
pub mod references;
pub mod registry;
pub mod schema;
pub mod secrets;
pub mod steps;
pub mod throttle;
pub mod tree;
pub mod words;
pub mod writes;
