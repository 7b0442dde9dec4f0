//! Where the log goes: standard error, as text on a terminal and as JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging. `level` and `format` come from the configuration and are checked there.
pub(crate) fn start(level: &str, format: &str) {
    let filter = EnvFilter::new(format!("warn,tp_={level},tenantpilot={level}"));
    let filter = ["domain", "catalog", "graph", "store", "engine", "ops", "web", "sim"]
        .iter()
        .filter_map(|name| format!("tp_{name}={level}").parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let json = format == "json" || format == "auto" && !std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = if json { builder.json().try_init() } else { builder.with_target(false).try_init() };
}
