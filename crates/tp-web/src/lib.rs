//! Everything a browser or an API client meets: pages, actions and the JSON API.
//!
//! Pages render from the database alone. This crate depends on neither tp-graph nor tp-ops, so no page
//! can reach Graph (rule I-4):
//!
//! ```compile_fail,E0433
//! fn reach() -> tp_graph::GraphOptions { Default::default() }
//! ```
//!
//! ```compile_fail,E0433
//! fn reach(tools: tp_ops::Tools) { drop(tools) }
//! ```
//!
//! The twin that compiles names what is allowed:
//!
//! ```
//! fn reach(store: tp_store::Store, starter: tp_engine::start::Starter) { drop((store, starter)) }
//! ```

mod api;
mod app;
mod archives;
mod assets;
mod comparison;
mod components;
mod contents;
mod csrf;
mod error;
mod etag;
mod extract;
mod format;
mod grants;
mod middleware;
mod pages;
mod paths;
mod query;
mod routes;
mod session;

pub mod password;
pub mod serve;

pub use api::openapi::openapi;
pub use app::{App, CloudPlace, WebSettings};
pub use routes::{router, table};
