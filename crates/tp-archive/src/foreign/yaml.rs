//! YAML as IntuneCD writes it: what `PyYAML` makes of JSON.
//!
//! Which plain words are numbers is decided by `PyYAML`'s rules (YAML 1.1, `resolver.py`), not by YAML 1.2:
//! it writes the text `1e5` without quotes, since for it that is no number. Aliases are honoured, as it
//! makes them of lists that stand twice, within bounds: a few bytes of them can stand for a terabyte.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use tp_domain::json::{Json, MOST_LEVELS, Number, Object, Text};

use super::Why;

/// What all that has an anchor and all aliases of a file may add up to: bytes of texts, and one for each
/// value.
const MOST_ALIASED: usize = 16 << 20;

/// A value that aliases may stand for.
struct Anchored {
    value: Json,
    weight: usize,
    levels: usize,
}

/// A list or an object whose end has not come.
struct Open {
    anchor: usize,
    value: Value,
}

enum Value {
    List(Vec<Json>),
    Members { all: Vec<(Text, Json)>, name: Option<Text> },
}

/// Reads a text of one document.
pub(super) fn parse(text: &str) -> Result<Json, Why> {
    let mut reading = Reading { open: Vec::new(), anchors: HashMap::new(), aliased: 0, done: None };
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|_| Why::NotYaml)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref();
                let value = match (&reading.open.last().map(|open| &open.value), style) {
                    // A member's name is a text, whatever it looks like in quotes.
                    (Some(Value::Members { name: None, .. }), ScalarStyle::Plain)
                        if !matches!(plain(&text)?, Json::String(_)) =>
                    {
                        return Err(Why::NotYaml);
                    }
                    _ => scalar(&text, style, tag)?,
                };
                reading.put(value, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                reading.begin(anchor, tag.as_deref(), Value::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let members = Value::Members { all: Vec::new(), name: None };
                reading.begin(anchor, tag.as_deref(), members)?;
            }
            Event::SequenceEnd | Event::MappingEnd => reading.end()?,
            Event::Alias(anchor) => {
                let named = reading.anchors.get(&anchor).ok_or(Why::NotYaml)?;
                if reading.open.len() + named.levels > MOST_LEVELS {
                    return Err(Why::TooDeep);
                }
                count(&mut reading.aliased, named.weight)?;
                let value = named.value.clone();
                reading.put(value, 0)?;
            }
            _ => {}
        }
    }
    reading.done.ok_or(Why::NotYaml)
}

struct Reading {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    done: Option<Json>,
}

impl Reading {
    fn begin(&mut self, anchor: usize, tag: Option<&Tag>, value: Value) -> Result<(), Why> {
        let is_plain = tag.is_none_or(|tag| {
            tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq")
        });
        if !is_plain {
            return Err(Why::NotYaml);
        }
        if self.open.len() >= MOST_LEVELS {
            return Err(Why::TooDeep);
        }
        self.open.push(Open { anchor, value });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Why> {
        let Open { anchor, value } = self.open.pop().ok_or(Why::NotYaml)?;
        let value = match value {
            Value::List(elements) => Json::from(elements),
            Value::Members { name: Some(_), .. } => return Err(Why::NotYaml),
            Value::Members { all, name: None } => {
                Json::from(Object::from_members(all).ok_or(Why::NotYaml)?)
            }
        };
        self.put(value, anchor)
    }

    fn put(&mut self, value: Json, anchor: usize) -> Result<(), Why> {
        if anchor > 0 {
            let (weight, levels) = measure(&value);
            count(&mut self.aliased, weight)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), weight, levels });
        }
        match self.open.last_mut().map(|open| &mut open.value) {
            None if self.done.is_some() => return Err(Why::NotYaml),
            None => self.done = Some(value),
            Some(Value::List(elements)) => elements.push(value),
            Some(Value::Members { all, name }) => match (name.take(), value) {
                (Some(name), value) => all.push((name, value)),
                (None, Json::String(text)) => *name = Some(text),
                (None, _) => return Err(Why::NotYaml),
            },
        }
        Ok(())
    }
}

fn count(sum: &mut usize, weight: usize) -> Result<(), Why> {
    *sum += weight;
    if *sum > MOST_ALIASED { Err(Why::TooLarge) } else { Ok(()) }
}

/// What a value weighs, and its levels.
fn measure(value: &Json) -> (usize, usize) {
    let below = |parts: &mut dyn Iterator<Item = &Json>| {
        parts
            .map(measure)
            .fold((1, 0), |(weight, levels), (more, deep)| (weight + more, levels.max(deep)))
    };
    match value {
        Json::String(text) => (1 + text.as_bytes().len(), 0),
        Json::Array(elements) => {
            let (weight, levels) = below(&mut elements.iter());
            (weight, levels + 1)
        }
        Json::Object(members) => {
            let (weight, levels) = below(&mut members.values());
            let names: usize = members.keys().map(|name| name.as_bytes().len()).sum();
            (weight + names, levels + 1)
        }
        _ => (1, 0),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Json, Why> {
    let kind = match tag {
        None => "",
        Some(tag) if tag.is_yaml_core_schema() => tag.suffix.as_str(),
        Some(_) => return Err(Why::NotYaml),
    };
    match (kind, style) {
        ("", ScalarStyle::Plain) => plain(text),
        ("" | "str", _) => Ok(Json::from(text)),
        ("int" | "float" | "bool" | "null", ScalarStyle::Plain) => plain(text),
        _ => Err(Why::NotYaml),
    }
}

/// A word without quotes.
fn plain(text: &str) -> Result<Json, Why> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Json::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Ok(Json::Bool(true));
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Ok(Json::Bool(false));
        }
        // Merges members into others; JSON has nothing like it.
        "<<" => return Err(Why::NotYaml),
        _ => {}
    }
    match sort(text) {
        Sort::Text => Ok(Json::from(text)),
        // Octal, hours and minutes, infinity: none of it comes from JSON.
        Sort::NoJson => Err(Why::NotYaml),
        Sort::Decimal => {
            let number = Number::new(text.strip_prefix('+').unwrap_or(text)).ok_or(Why::NotYaml)?;
            Ok(Json::Number(number))
        }
    }
}

enum Sort {
    Text,
    Decimal,
    NoJson,
}

/// What a word is by the patterns of `PyYAML`.
fn sort(text: &str) -> Sort {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if let ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" = unsigned {
        return Sort::NoJson;
    }
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Sort::Text;
    }
    if let Some((hours, rest)) = unsigned.split_once(':') {
        let (parts, fraction) = match rest.split_once('.') {
            Some((parts, fraction)) => (parts, Some(fraction)),
            None => (rest, None),
        };
        let sixtieth = |part: &str| match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [b'0'..=b'5', one] => one.is_ascii_digit(),
            _ => false,
        };
        let first = if fraction.is_some() { '0'..='9' } else { '1'..='9' };
        let is_time = hours.starts_with(|digit| first.contains(&digit))
            && digits(hours)
            && parts.split(':').all(sixtieth)
            && fraction.is_none_or(digits);
        return if is_time { Sort::NoJson } else { Sort::Text };
    }
    if let Some((whole, rest)) = unsigned.split_once('.') {
        let (fraction, exponent) = match rest.split_once(['e', 'E']) {
            Some((fraction, exponent)) => (fraction, Some(exponent)),
            None => (rest, None),
        };
        let signed =
            |text: &str| text.starts_with(['-', '+']) && text.len() > 1 && digits(&text[1..]);
        let is_number = digits(whole)
            && digits(fraction)
            && exponent.is_none_or(signed)
            && !(whole.is_empty() && (fraction.is_empty() || unsigned != text));
        return if is_number { Sort::Decimal } else { Sort::Text };
    }
    let based = |start: &str, digit: fn(&u8) -> bool| {
        unsigned.strip_prefix(start).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte == b'_' || digit(&byte))
        })
    };
    if based("0x", u8::is_ascii_hexdigit) || based("0b", |byte| matches!(byte, b'0' | b'1')) {
        return Sort::NoJson;
    }
    match unsigned {
        "0" => Sort::Decimal,
        _ if based("0", |byte| matches!(byte, b'0'..=b'7')) => Sort::NoJson,
        _ if digits(unsigned) && !unsigned.starts_with('0') => Sort::Decimal,
        _ => Sort::Text,
    }
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn words_are_what_they_were_in_json() {
        // As `yaml.dump` of PyYAML 6 writes them.
        let text = "a: 1e5\nb: '1'\nc: 1.0e+16\nd: -7\ne: 'yes'\nf: true\ng: null\nh: 0o14\ni: 08\n\
                    j: \"\\xFC\\u2013\\U0001F600\"\nk: 12345678901234567890123\nl: '2020-01-01'\n\
                    m: >-\n  folded\n  text\nn: {}\no: []\np: '1:30'\nq: 6f2c-1\nr: .5e\n\
                    s: 01:00\nt: -.5\nu: 1:60\nv: 1.2.3\n";
        let expected = json!({
            "a": "1e5", "b": "1", "d": -7, "e": "yes", "f": true, "g": null, "h": "0o14", "i": "08",
            "j": "ü–😀", "l": "2020-01-01", "m": "folded text", "n": {}, "o": [], "p": "1:30",
            "q": "6f2c-1", "r": ".5e", "s": "01:00", "t": "-.5", "u": "1:60", "v": "1.2.3",
        });
        let mut read = parse(text).unwrap();
        let members = read.as_object_mut().unwrap();
        assert_eq!(members.remove("c").unwrap().to_string(), "1.0e+16");
        assert_eq!(members.remove("k").unwrap().to_string(), "12345678901234567890123");
        assert_eq!(read, expected);
    }

    #[test]
    fn aliases_are_what_they_stand_for() {
        let read = parse("a: &id001\n- x\nb: *id001\n").unwrap();
        assert_eq!(read, json!({"a": ["x"], "b": ["x"]}));
    }

    #[test]
    fn what_json_does_not_have_is_refused() {
        for text in [
            "a: 0x10",
            "a: 010",
            "a: 1:30",
            "a: .inf",
            "a: !!python/object/apply:os.system [x]",
            "a: !!binary aGk=",
            "<<: {a: 1}",
            "1: a",
            "a: 1\na: 2",
            "a: *x",
            "a: &x [*x]",
            "? [a]\n: b",
            "a: 1\n---\na: 2",
            "",
            "a: [",
            "a: !own x",
            "yes: 1",
        ] {
            assert_eq!(parse(text).err(), Some(Why::NotYaml), "{text:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).is_err());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(parse(&deep).err(), Some(Why::TooDeep));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
        for (name, of) in ('b'..='i').zip('a'..) {
            text.push_str(&format!(
                "{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n"
            ));
        }
        assert_eq!(parse(&text).err(), Some(Why::TooLarge));
    }
}
