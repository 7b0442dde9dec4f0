//! How answers are written: data on standard output, talk on standard error.
//!
//! On a terminal a table; into a pipe lines with tabs. Nothing that came from elsewhere reaches the
//! terminal as a control character (TRUST T7).

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::cli::Output;

/// A column: its head and where its value is.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Without control characters and without marks that turn the direction of a text.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => '\u{fffd}',
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// The text at a JSON pointer.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Writes to standard output. A reader that went away ends the program quietly, as with any pipe.
pub(crate) fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Talks to the person.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes JSON, indented on request.
pub(crate) fn json(value: &Value) {
    write(&format!("{value:#}\n"));
}

/// Writes a list in the wanted form. `name` is the column that `-o name` prints.
pub(crate) fn list(entries: &[Value], columns: &[Column], name: &str, output: Output) {
    let text_of = |entry: &Value, column: &Column| clean(&(column.1)(entry));
    match output {
        Output::Json => json(&Value::Array(entries.to_vec())),
        Output::Jsonl => entries.iter().for_each(|entry| write(&format!("{entry}\n"))),
        Output::Name => {
            entries.iter().for_each(|entry| write(&format!("{}\n", clean(&text(entry, name)))));
        }
        Output::Csv => {
            let heads: Vec<String> = columns.iter().map(|(head, _)| csv(head)).collect();
            write(&format!("{}\n", heads.join(",")));
            for entry in entries {
                let cells: Vec<String> =
                    columns.iter().map(|column| csv(&text_of(entry, column))).collect();
                write(&format!("{}\n", cells.join(",")));
            }
        }
        Output::Table if std::io::stdout().is_terminal() => {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(columns.iter().map(|(head, _)| head.to_uppercase()));
            for entry in entries {
                table.add_row(columns.iter().map(|column| text_of(entry, column)));
            }
            write(&format!("{table}\n"));
        }
        Output::Table => {
            for entry in entries {
                let cells: Vec<String> =
                    columns.iter().map(|column| text_of(entry, column)).collect();
                write(&format!("{}\n", cells.join("\t")));
            }
        }
    }
}

/// A CSV cell that no spreadsheet takes for a formula.
fn csv(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_reaches_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c\n"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}");
        assert_eq!(csv("=1+1"), "'=1+1");
        assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(text(&serde_json::json!({"a": {"b": 3}}), "/a/b"), "3");
    }
}
