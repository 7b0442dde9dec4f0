//! The door for outgoing HTTP to addresses that people name: webhooks and the back channel of sign-in
//! (ruling 1). Graph has its own door (tp-graph).
//!
//! Whoever can name an address could point it at this machine or its network (TRUST T11, A40). So each
//! request goes through [`Egress`]: https only, ports of a list, the resolved addresses checked and used
//! for that connection and no other, no redirects, no proxy of the environment, no cookies, bounded in
//! time and bytes. What the operator writes in the configuration may be on this machine: a
//! [`EgressOptions::declared`] origin, and nothing beside it.

pub mod address;
mod client;
pub mod oidc;

pub use client::{
    Egress, EgressError, EgressOptions, EgressReply, EgressRequest, Lookup, SystemLookup,
};
