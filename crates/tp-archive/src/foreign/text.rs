//! From the bytes of a file to a value: encodings of Windows, JSON or YAML, and what `PowerShell` makes of
//! dates.

use tp_domain::json::{Fault, Json};
use tp_domain::time::Timestamp;

use super::{Why, yaml};
use crate::content::numbers;

/// The text of a file. Windows `PowerShell` writes UTF-16 with a mark in front, others UTF-8 with or without.
pub(super) fn decoded(bytes: &[u8]) -> Result<String, Why> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().copied().map(unit).collect();
        if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => str::from_utf8(rest).ok().map(str::to_owned),
        _ => str::from_utf8(bytes).ok().map(str::to_owned),
    };
    text.ok_or(Why::NotText)
}

fn ending(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Whether a file's name says that it holds a value.
pub(super) fn is_value(path: &str) -> bool {
    is_yaml(path) || ending(path) == "json"
}

pub(super) fn is_yaml(path: &str) -> bool {
    matches!(ending(path), "yaml" | "yml")
}

/// The value of a file.
pub(super) fn value(path: &str, text: &str) -> Result<Json, Why> {
    let value = if is_yaml(path) {
        yaml::parse(text)?
    } else {
        Json::parse(text.as_bytes()).map_err(|error| match error.fault {
            Fault::TooDeep => Why::TooDeep,
            _ => Why::NotJson,
        })?
    };
    numbers(&value).map_err(|_| Why::NumberTooLarge)?;
    Ok(value)
}

/// Writes dates as Graph does: Windows `PowerShell` makes `/Date(1700000000000)/` of them, milliseconds
/// since 1970.
pub(super) fn dates(value: &mut Json) {
    match value {
        Json::Array(elements) => elements.iter_mut().for_each(dates),
        Json::Object(members) => members.values_mut().for_each(dates),
        Json::String(_) => {
            let date = value.as_str().and_then(|text| {
                let millis = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
                let micros = millis.parse::<i64>().ok()?.checked_mul(1_000)?;
                has_date(micros).then(|| Timestamp::from_micros(micros).rfc3339())
            });
            if let Some(date) = date {
                *value = Json::from(date);
            }
        }
        _ => {}
    }
}

/// Whether a time is one that can be written: years 1 to 9999.
const fn has_date(micros: i64) -> bool {
    -62_135_596_800_000_000 <= micros && micros < 253_370_764_800_000_000
}

/// Whether a text is what `PowerShell` writes of a value that lies deeper than it was told to look.
pub(super) fn is_cut_off(text: &str) -> bool {
    text.starts_with("System.Collections.") || text == "System.Object[]" || text.starts_with("@{")
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn texts_of_windows_are_read() {
        let wide = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            let units = "{\"a\": \"ü😀\"}".encode_utf16().flat_map(unit);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        let little = wide([0xff, 0xfe], u16::to_le_bytes);
        let big = wide([0xfe, 0xff], u16::to_be_bytes);
        let marked = [&[0xef, 0xbb, 0xbf], "{\"a\": \"ü😀\"}".as_bytes()].concat();
        for bytes in [&little, &big, &marked] {
            let text = decoded(bytes).unwrap();
            assert_eq!(value("x.json", &text).unwrap(), json!({"a": "ü😀"}));
        }
        for bytes in [&little[..little.len() - 1], &[0xff, 0xfe, 0x00, 0xd8], b"\xc3\x28"] {
            assert_eq!(decoded(bytes).err(), Some(Why::NotText));
        }
    }

    #[test]
    fn dates_are_written_as_graph_writes_them() {
        let mut value = json!(["/Date(1700000000123)/", "/Date(x)/", "/Date(99999999999999999)/"]);
        dates(&mut value);
        let expected =
            json!(["2023-11-14T22:13:20.123Z", "/Date(x)/", "/Date(99999999999999999)/"]);
        assert_eq!(value, expected);
    }
}
