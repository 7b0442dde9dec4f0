//! What must not depend on history, snapshots or neighbours.

use anyhow::Result;

use super::{Line, number, ours};
use crate::postgres::Server;

/// Adds a line for each, as soon as it is measured.
pub(super) fn measure(server: &Server, lines: &mut Vec<Line>) -> Result<()> {
    for on in ["sqlite", "postgres"] {
        lines.push(wake(server, on)?);
        lines.push(history(server, on)?);
    }
    lines.push(claims(server, "steady")?);
    lines.push(claims(server, "snapshot")?);
    lines.push(fair(server)?);
    Ok(())
}

fn wake(server: &Server, on: &str) -> Result<Line> {
    let wake = ours(server, "wake", on, 0)?;
    let slowest = number(&wake, "p99_ms");
    let stores = number(&wake, "stores");
    Ok(Line {
        figure: format!("wake-up, {on}, {stores:.0} store(s)"),
        target: "p99 <= 20 ms".to_owned(),
        measured: format!("p50 {:.1} ms, p99 {slowest:.1} ms", number(&wake, "p50_ms")),
        holds: number(&wake, "count") >= 500.0 && slowest <= 20.0,
    })
}

fn history(server: &Server, on: &str) -> Result<Line> {
    let history = ours(server, "history", on, 0)?;
    let kept = number(&history, "ratio");
    Ok(Line {
        figure: format!("1 M ended runs against 10 k, with what belongs to them, {on}"),
        target: "within 20 %, both ways".to_owned(),
        measured: format!(
            "{:.0}/s and {:.0}/s: {kept:.2}",
            number(&history, "per_second_10k"),
            number(&history, "per_second_1m")
        ),
        holds: (0.8..=1.2).contains(&kept),
    })
}

/// A thousand starts a second and a real worker; with `snapshot` while one is held open for 40 s.
fn claims(server: &Server, what: &str) -> Result<Line> {
    let seen = ours(server, what, "postgres", 0)?;
    let figure = |name: &str| number(&seen, name);
    let (claim, discovery) = (figure("claim_p99_ms"), figure("discovery_p99_ms"));
    let (starts, begins) =
        (figure("starts_per_second_last_8_s"), figure("begins_per_second_last_8_s"));
    let looked = figure("claims") > 0.0 && figure("discoveries") > 0.0;
    let held = if what == "snapshot" { "a 40 s snapshot held open" } else { "no snapshot" };
    Ok(Line {
        figure: format!("claim with {held}"),
        target: "p99 < 10 ms of claim and discovery, at >= 800 starts/s and begins/s".to_owned(),
        measured: format!(
            "claim p50 {:.1} ms, p99 {claim:.1} ms; discovery p50 {:.1} ms, p99 {discovery:.1} ms; start to begin \
             p50 {:.1} ms, p99 {:.1} ms; {starts:.0} starts/s, {begins:.0} begins/s",
            figure("claim_p50_ms"),
            figure("discovery_p50_ms"),
            figure("start_to_begin_p50_ms"),
            figure("start_to_begin_p99_ms"),
        ),
        holds: looked && claim < 10.0 && discovery < 10.0 && starts >= 800.0 && begins >= 800.0,
    })
}

fn fair(server: &Server) -> Result<Line> {
    let (fair, fifo) = (ours(server, "fair", "postgres", 0)?, ours(server, "fifo", "postgres", 0)?);
    let (small, rate) = (
        number(&fair, "small_done_s") / number(&fifo, "small_done_s").max(0.001),
        number(&fair, "per_second") / number(&fifo, "per_second").max(0.001),
    );
    Ok(Line {
        figure: "500 small tenants behind one with 20,000".to_owned(),
        target: "<= 20 % of their first-in-first-out time, total rate >= 40 %".to_owned(),
        measured: format!("{:.0} % of the time, {:.0} % of the rate", small * 100.0, rate * 100.0),
        holds: small > 0.0 && small <= 0.2 && rate >= 0.4,
    })
}
