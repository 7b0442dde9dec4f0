//! A pretend Microsoft Graph with its login host, for the demo and the tests.
//!
//! It shares no types with tp-graph, so that it cannot share the client's mistakes. Estates come from a
//! folder of exported objects or from a seed. What it does not hold it refuses as Graph would.
//! `/__sim/…` lets tests look at it and break it (see [`faults`]).

mod actions;
mod answer;
mod approvals;
mod assertion;
mod assignments;
mod batch;
mod call;
mod checks;
mod clock;
mod control;
mod corpus;
mod exchange;
mod filter;
mod generate;
mod listener;
mod login;
mod mischief;
mod place;
mod prepare;
mod query;
mod reads;
mod routes;
mod rules;
mod schema;
mod server;
mod shape;
mod state;
mod virtuals;
mod writes;

pub mod estate;
pub mod faults;
pub mod throttle;

pub use server::{Sim, SimError, SimOptions, SpawnedSim};
pub use state::{ExpectedObject, SimTenant};
