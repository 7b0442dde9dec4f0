//! A figure that a test proves, in the words of the table that `cargo xtask prove graph` prints.

use std::io::Write as _;

use serde_json::json;

/// Appends a figure to the file that the prover reads, and fails when it does not hold.
#[expect(clippy::print_stdout, reason = "a figure must be seen")]
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
pub(crate) fn figure(figure: &str, target: &str, measured: &str, holds: bool) {
    let line = json!({"figure": figure, "target": target, "measured": measured, "holds": holds});
    println!("{line}");
    if let Ok(path) = std::env::var("TENANTPILOT_PROVE_FILE") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    assert!(holds, "{figure}: {target}; measured: {measured}");
}
