//! JSON that means one thing: a name that stands twice in an object is refused (TRUST F18).
//!
//! Which of the two a reader takes is its own choice; a body with two readings is no answer. The nesting is
//! bounded by the parser (128 levels), numbers and texts by what they can hold.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a body; none when it is no JSON or has two readings.
pub(crate) fn parse(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Strict>(body).ok().map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn what_has_one_reading_is_read_as_it_stands() {
        let text = r#"{"b": [1, -2, 1.5, true, null, "ä\u0000"], "a": {"c": {}}}"#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value, json!({"b": [1, -2, 1.5, true, null, "ä\u{0}"], "a": {"c": {}}}));
        let names: Vec<_> = value.as_object().unwrap().keys().collect();
        assert_eq!(names, ["b", "a"], "in the order of the text");
    }

    #[test]
    fn what_has_two_readings_or_none_is_refused() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let bad: [&[u8]; 9] = [
            br#"{"a": 1, "a": 2}"#,
            br#"[{"x": {"a": 1, "a": 1}}]"#,
            b"",
            b"{\"a\": NaN}",
            b"\xef\xbb\xbf{}",
            b"{\"a\": \"\xff\"}",
            br#"{"a": "\ud800"}"#,
            b"{} {}",
            deep.as_bytes(),
        ];
        for body in bad {
            let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            assert!(parse(body).is_none(), "{shown}");
        }
    }
}
