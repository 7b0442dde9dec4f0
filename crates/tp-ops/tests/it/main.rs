//! inventory.sync against the simulator, on both databases.

mod sync;
mod world;
