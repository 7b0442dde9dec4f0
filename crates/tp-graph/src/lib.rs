//! The only crate that speaks to Microsoft Graph and its login hosts (rule I-1).
//!
//! Every request leaves through one function, `send` in `http.rs`. Endpoints come from contracts. What a
//! host answers is hostile until proved otherwise: sizes, pages, links and redirects are bounded, and
//! no text of an answer reaches an error, a log or the database.

pub mod budget;
pub mod cloud;
pub mod connection;
pub mod credential;
pub mod directory;
pub mod error;
pub mod full;
pub mod one;
pub mod session;
pub mod throttle;
pub mod write;

mod batch;
mod http;
mod paging;
mod sign_in;

pub use http::{Chance, Graph, GraphOptions, SetupError};
