//! Figures beside their targets.

use serde_json::Value;

/// One line of the table.
pub(super) struct Line {
    pub(super) figure: String,
    pub(super) target: String,
    pub(super) measured: String,
    pub(super) holds: bool,
}

/// The middle of what was measured.
pub(super) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A rate that has no target.
pub(super) fn plain(figure: &str, rate: f64) -> Line {
    let (target, measured) = ("–".to_owned(), format!("{rate:.0}/s"));
    Line { figure: figure.to_owned(), target, measured, holds: true }
}

/// Ours against theirs, at least so much.
pub(super) fn ratio(figure: &str, ours: f64, theirs: f64, least: f64) -> Line {
    let ratio = ours / theirs.max(1.0);
    Line { target: format!(">= {least}"), holds: ratio >= least, ..beside(figure, ours, theirs) }
}

/// Ours against theirs, for the reader.
pub(super) fn beside(figure: &str, ours: f64, theirs: f64) -> Line {
    let ratio = ours / theirs.max(1.0);
    Line {
        figure: figure.to_owned(),
        target: "–".to_owned(),
        measured: format!("{ratio:.2} ({ours:.0}/s and {theirs:.0}/s)"),
        holds: true,
    }
}

/// Prints all lines, for people and for programs; true when all hold.
pub(super) fn print(lines: &[Line]) -> bool {
    println!("| figure | target | measured | holds |");
    println!("| --- | --- | --- | --- |");
    for line in lines {
        let holds = if line.holds { "yes" } else { "NO" };
        println!("| {} | {} | {} | {holds} |", line.figure, line.target, line.measured);
    }
    let list: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::json!({"figure": line.figure, "target": line.target, "measured": line.measured, "holds": line.holds}))
        .collect();
    println!("{}", Value::Array(list));
    lines.iter().all(|line| line.holds)
}
