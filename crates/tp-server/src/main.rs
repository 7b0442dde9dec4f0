//! The binary `tenantpilot`.
fn main() {}
