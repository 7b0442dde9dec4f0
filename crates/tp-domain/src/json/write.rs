//! Writing: one text for each value.

use super::text::lone;
use super::{Json, MOST_LEVELS, Text};

/// A value is nested deeper than [`MOST_LEVELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nested deeper than 128 levels")]
pub struct TooDeep;

impl Json {
    /// The canonical text: names in order, no white space, numbers as written, in texts only what must be
    /// escaped is escaped. Reading it gives the same value, and its canonical text is itself.
    pub fn canonical(&self) -> Result<String, TooDeep> {
        let mut out = String::new();
        write(self, MOST_LEVELS, &mut out)?;
        Ok(out)
    }
}

impl Json {
    /// The same for people: a member or an element a line, indented by two. Nothing of the value is lost.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        lines(self, 0, &mut out);
        out
    }
}

fn lines(value: &Json, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    };
    match value {
        Json::Array(elements) if !elements.is_empty() => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(depth + 1, out);
                lines(element, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Json::Object(members) if members.keys().next().is_some() => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(depth + 1, out);
                string(name, out);
                out.push_str(": ");
                lines(member, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        // Scalars, and what is empty; no value has so many levels.
        _ => {
            let _ = write(value, usize::MAX, out);
        }
    }
}

/// The canonical text of a value of any depth.
pub(super) fn unbounded(value: &Json) -> String {
    let mut out = String::new();
    // No value has so many levels: each costs memory.
    let _ = write(value, usize::MAX, &mut out);
    out
}

fn write(value: &Json, levels: usize, out: &mut String) -> Result<(), TooDeep> {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => out.push_str(number.as_str()),
        Json::String(text) => string(text, out),
        Json::Array(elements) => {
            let levels = levels.checked_sub(1).ok_or(TooDeep)?;
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, levels, out)?;
            }
            out.push(']');
        }
        Json::Object(members) => {
            let levels = levels.checked_sub(1).ok_or(TooDeep)?;
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(name, out);
                out.push(':');
                write(value, levels, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn string(text: &Text, out: &mut String) {
    out.push('"');
    if let Some(text) = text.as_str() {
        escaped(text, out);
    } else {
        let mut rest = text.as_bytes();
        while let Some(at) = lone(rest) {
            escaped(&String::from_utf8_lossy(&rest[..at]), out);
            let [high, low] = [rest[at + 1], rest[at + 2]].map(|byte| u32::from(byte & 0x3F));
            let unit = 0xD000 | (high << 6) | low;
            out.push_str("\\u");
            hex(unit, out);
            rest = &rest[at + 3..];
        }
        escaped(&String::from_utf8_lossy(rest), out);
    }
    out.push('"');
}

fn escaped(text: &str, out: &mut String) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[from..at]);
        from = at + 1;
        out.push('\\');
        match byte {
            b'"' | b'\\' => out.push(char::from(byte)),
            8 => out.push('b'),
            12 => out.push('f'),
            b'\n' => out.push('n'),
            b'\r' => out.push('r'),
            b'\t' => out.push('t'),
            _ => {
                out.push('u');
                hex(u32::from(byte), out);
            }
        }
    }
    out.push_str(&text[from..]);
}

fn hex(unit: u32, out: &mut String) {
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit((unit >> shift) & 15, 16));
    }
}
