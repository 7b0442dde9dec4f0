//! How values are worded for people. Texts from outside are made visible, never trusted.

use std::borrow::Cow;
use std::time::Duration;

use tp_domain::time::Timestamp;

/// A text from outside with its control and direction characters made visible (TRUST T7).
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    for letter in text.chars() {
        if hidden(letter) {
            let shown = format!("[U+{:04X}]", u32::from(letter));
            visible.push_str(&shown);
        } else {
            visible.push(letter);
        }
    }
    Cow::Owned(visible)
}

/// The same for a text of several lines: line ends and tabs stay.
pub(crate) fn shown_lines(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            line.split('\t').map(shown).collect::<Vec<_>>().join("\t")
        })
        .collect();
    lines.join("\n")
}

/// The name of an object from outside, or the words for none.
pub(crate) fn named(name: Option<&str>) -> Cow<'_, str> {
    match name.filter(|name| !name.trim().is_empty()) {
        Some(name) => shown(name),
        None => Cow::Borrowed("(no name)"),
    }
}

/// `1,204`.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `812 bytes`, `4.2 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if value < 1 << 10 {
        return format!("{} bytes", number(value));
    }
    let unit = UNITS.iter().enumerate().take_while(|(at, _)| value >= 1 << (10 * (at + 1))).last();
    let (at, name) = unit.unwrap_or((0, &UNITS[0]));
    let tenths = value.saturating_mul(10) >> (10 * (at + 1));
    format!("{}.{} {name}", number(tenths / 10), tenths % 10)
}

/// A count that is exact up to the cap.
pub(crate) fn capped(value: u64) -> String {
    if value > tp_store::COUNT_CAP {
        format!("{}+", number(tp_store::COUNT_CAP))
    } else {
        number(value)
    }
}

/// `1 min 12 s`.
pub(crate) fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    match seconds {
        0 => format!("{} ms", value.as_millis()),
        1..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `11 minutes ago`, or `in 10 seconds`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (span, future) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..=4 if !future => return "just now".to_owned(),
        0..=59 => (seconds, "second"),
        60..=3599 => (seconds / 60, "minute"),
        3600..=86_399 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if future {
        format!("in {count} {unit}{plural}")
    } else {
        format!("{count} {unit}{plural} ago")
    }
}

/// `17 Jan 2026, 14:01:02 UTC`.
pub(crate) fn absolute(at: Timestamp) -> String {
    at.to_jiff().strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_made_visible() {
        assert_eq!(shown("plain Ünïcode 漢字"), "plain Ünïcode 漢字");
        assert_eq!(shown("a\u{202e}b\u{1b}[31m\n"), "a[U+202E]b[U+001B][31m[U+000A]");
    }

    #[test]
    fn numbers_and_times_are_worded() {
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(999), "999");
        let sizes = [0, 1_023, 1_024, 1_536, 5 << 20, 3_000 << 30].map(bytes);
        let words = ["0 bytes", "1,023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3,000.0 GiB"];
        assert_eq!(sizes, words);
        assert_eq!(capped(2_001), "2,000+");
        assert_eq!(duration(Duration::from_secs(72)), "1 min 12 s");
        let now = Timestamp::parse("2026-01-17T14:00:00Z").unwrap();
        assert_eq!(relative(now, now), "just now");
        assert_eq!(relative(now.minus(Duration::from_mins(1)), now), "1 minute ago");
        assert_eq!(relative(now.plus(Duration::from_secs(12)), now), "in 12 seconds");
        assert_eq!(absolute(now), "17 Jan 2026, 14:00:00 UTC");
    }
}
