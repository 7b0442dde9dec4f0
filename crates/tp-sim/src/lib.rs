//! A pretend Microsoft Graph with its login host, for the demo and the tests.
//!
//! It shares no types with tp-graph, so that it cannot share the client's mistakes. Estates come from a
//! folder of exported objects or from a seed. What it does not hold it refuses as Graph would.
//! `/__sim/…` lets tests look at it and break it (see [`faults`]).

mod answer;
mod batch;
mod control;
mod corpus;
mod filter;
mod generate;
mod graph;
mod login;
mod query;
mod routes;
mod server;
mod state;

pub mod estate;
pub mod faults;

pub use server::{Sim, SimError, SimOptions, SpawnedSim};
pub use state::{ExpectedObject, SimTenant};
