use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;

use super::*;
use crate::json;

fn canonical(text: &str) -> String {
    Json::parse(text.as_bytes()).unwrap().canonical().unwrap()
}

#[test]
fn values_stay_as_they_were_written() {
    for exact in [
        "1e2",
        "1.0",
        "1E+400",
        "-0",
        "-0.0",
        "12345678901234567890123",
        "0.10000000000000000000001",
        r#"{"a":1.50,"b":[1e-7,{"$serde_json::private::Number":"1"}]}"#,
        r#""\u0000 \u001f \" \\ / é 😀""#,
        r#""\ud800""#,
        r#""a\udfffb\ud83d""#,
        r#"{"\ud800":1,"\ue000":2,"😀":3}"#.replace("\\ue000", "\u{e000}").as_str(),
    ] {
        assert_eq!(canonical(exact), exact);
    }
}

#[test]
fn what_means_the_same_has_one_text() {
    for (written, one) in [
        (" { \"b\" : 1 , \"a\" : [ ] } ", r#"{"a":[],"b":1}"#),
        (r#""\u00e9\/\u0041\u000A""#, "\"é/A\\n\""),
        (r#""\uD83D\uDE00""#, "\"😀\""),
        (r#""\ud83d\ud83d\ude00\ude00""#, "\"\\ud83d😀\\ude00\""),
        ("{\"é\":1,\"z\":2,\"Z\":3,\"\":4}", "{\"\":4,\"Z\":3,\"z\":2,\"é\":1}"),
    ] {
        assert_eq!(canonical(written), one);
    }
}

#[test]
fn what_has_no_reading_or_two_is_refused() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let bad: [(&[u8], Fault); 30] = [
        (b"", Fault::CutOff),
        (b" ", Fault::CutOff),
        (b"{} {}", Fault::Trailing),
        (b"nul", Fault::CutOff),
        (b"nulL", Fault::Unexpected),
        (b"NaN", Fault::Unexpected),
        (b"\xef\xbb\xbf{}", Fault::Unexpected),
        (b"\"\xff\"", Fault::NotUtf8),
        (b"\"\xed\xa0\x80\"", Fault::NotUtf8),
        (b"{\"a\":1,\"a\":2}", Fault::NameTwice),
        (b"{\"a\":1,\"b\":2,\"\\u0061\":2}", Fault::NameTwice),
        (b"[{\"x\":{\"a\":1,\"a\":1}}]", Fault::NameTwice),
        (b"{\"\\ud800\":1,\"\\uD800\":1}", Fault::NameTwice),
        (b"[1,]", Fault::Unexpected),
        (b"[1 2]", Fault::Unexpected),
        (b"{a:1}", Fault::Unexpected),
        (b"{\"a\"}", Fault::Unexpected),
        (b"{\"a\":1,}", Fault::Unexpected),
        (b"[1", Fault::CutOff),
        (b"{\"a\":", Fault::CutOff),
        (b"\"a", Fault::CutOff),
        (b"\"\\u12\"", Fault::CutOff),
        (b"\"\\u12x4\"", Fault::BadText),
        (b"\"\\x41\"", Fault::BadText),
        (b"\"\n\"", Fault::BadText),
        (b"01", Fault::BadNumber),
        (b"1.", Fault::BadNumber),
        (b"-", Fault::BadNumber),
        (b"1e+", Fault::BadNumber),
        (deep.as_bytes(), Fault::TooDeep),
    ];
    for (text, fault) in bad {
        let shown = String::from_utf8_lossy(&text[..text.len().min(30)]).into_owned();
        assert_eq!(Json::parse(text).unwrap_err().fault, fault, "{shown}");
    }
}

#[test]
fn the_bound_on_levels_is_the_same_for_reading_and_writing() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let deepest = Json::parse(nested(MOST_LEVELS).as_bytes()).unwrap();
    assert_eq!(deepest.canonical().unwrap(), nested(MOST_LEVELS));
    assert!(Json::parse(nested(MOST_LEVELS + 1).as_bytes()).is_err());
    assert_eq!(Json::Array(vec![deepest]).canonical(), Err(TooDeep));
}

#[test]
fn half_a_surrogate_pair_is_refused_where_only_unicode_is_taken() {
    for lone in ["\"\\ud800\"", "[\"a\\udc00b\"]", "{\"\\ud83d\\ud83d\\ude00\":1}"] {
        assert_eq!(Json::parse_unicode(lone.as_bytes()).unwrap_err().fault, Fault::LoneSurrogate);
        assert!(Json::parse(lone.as_bytes()).is_ok(), "{lone}");
    }
    assert!(Json::parse_unicode(b"\"\\ud83d\\ude00\\u0000\"").is_ok());
}

#[test]
fn a_fault_says_where_and_never_what() {
    let error = Json::parse(br#"{"password":"hunter2""#).unwrap_err();
    assert_eq!(error.to_string(), "the text ends in the middle (byte 21)");
    assert_eq!(format!("{:?}", json!({"password": "hunter2"})), "an object of 1");
}

#[test]
fn many_names_are_compared_in_time() {
    let members: Vec<String> = (0..200_000).rev().map(|n| format!("\"{n}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    let value = Json::parse(text.as_bytes()).unwrap();
    assert_eq!(value.as_object().map(Object::len), Some(200_000));
    let twice = format!("{{{},\"7\":1}}", members.join(","));
    assert_eq!(Json::parse(twice.as_bytes()).unwrap_err().fault, Fault::NameTwice);
}

#[test]
fn pointers_and_members_work_as_those_of_serde_json() {
    let mut value = json!({"a": [{"b/c": 1, "~": "x"}], "00": true});
    assert_eq!(value.pointer("/a/0/b~1c").and_then(Json::as_u64), Some(1));
    assert_eq!(value.pointer("/a/0/~0"), Some(&Json::from("x")));
    assert_eq!(value.pointer("/a/00"), None);
    assert_eq!(value.pointer("a"), None);
    assert_eq!(value.pointer("/00"), Some(&Json::Bool(true)));
    *value.pointer_mut("/a/0").unwrap() = Json::Null;
    assert_eq!(value.to_string(), r#"{"00":true,"a":[null]}"#);
    let members = value.as_object_mut().unwrap();
    assert_eq!(members.insert("00", Json::Null), Some(Json::Bool(true)));
    assert_eq!(members.remove("a").map(|list| list.is_array()), Some(true));
    assert_eq!(members.len(), 1);
}

/// Any value: numbers in every writing, texts of any units of UTF-16.
fn any_json() -> impl Strategy<Value = Json> {
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,4})?";
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number.prop_map(|text| Json::Number(Number::new(&text).unwrap())),
        any_text().prop_map(Json::String),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::Array),
            vec((any_text(), inner), 0..6)
                .prop_map(|list| Json::Object(list.into_iter().collect())),
        ]
    })
}

fn any_text() -> impl Strategy<Value = Text> {
    let unit = prop_oneof![
        4 => 0_u16..0x80,
        2 => any::<u16>(),
        2 => 0xD800_u16..0xE000,
    ];
    vec(unit, 0..8).prop_map(|units| match Json::parse(spelled(&units).as_bytes()).unwrap() {
        Json::String(text) => text,
        _ => unreachable!("a quoted text is a text"),
    })
}

fn spelled(units: &[u16]) -> String {
    let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{}\"", escapes.concat())
}

/// The value in another writing: spaces, every letter of a text escaped, names backwards.
fn respelled(value: &Json, out: &mut String) {
    let text = |text: &Text| {
        let units: Vec<u16> = match text.as_str() {
            Some(text) => text.encode_utf16().collect(),
            None => return Json::String(text.clone()).to_string(),
        };
        spelled(&units)
    };
    out.push_str("\n\t ");
    match value {
        Json::String(one) => out.push_str(&text(one)),
        Json::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { " ," } else { "" });
                respelled(element, out);
            }
            out.push_str(" ]");
        }
        Json::Object(members) => {
            let members: Vec<_> = members.iter().collect();
            out.push('{');
            for (index, (name, member)) in members.iter().rev().enumerate() {
                out.push_str(if index > 0 { " ," } else { " " });
                out.push_str(&text(name));
                out.push_str("\r:");
                respelled(member, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
    out.push(' ');
}

/// Pieces of which hostile texts are made.
const PIECES: [&str; 34] = [
    "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "\\", "\\u", "\\ud800", "\\udc00",
    "\\u0000", "0", "1", "-", "+", ".", "e", "E", "1e5", "0.5", "true", "false", "null", "nul",
    " ", "\n", "\t", "é", "😀", "\u{0}", "\u{7f}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn canonical_text_is_read_as_the_same_value_and_is_its_own(value in any_json()) {
        let text = value.canonical().unwrap();
        let again = Json::parse(text.as_bytes()).unwrap();
        prop_assert!(again == value, "{text}");
        prop_assert_eq!(again.canonical().unwrap(), text);
    }

    #[test]
    fn another_writing_has_the_same_canonical_text(value in any_json()) {
        let mut other = String::new();
        respelled(&value, &mut other);
        let read = Json::parse(other.as_bytes()).unwrap();
        prop_assert_eq!(read.canonical().unwrap(), value.canonical().unwrap());
    }

    /// serde_json skips over a value without reading numbers and surrogates: so it says what is JSON.
    #[test]
    fn what_is_json_is_the_same_as_for_serde_json(pieces in vec(select(&PIECES[..]), 0..14)) {
        let text = pieces.concat();
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        let ours = Json::parse(text.as_bytes());
        let stricter = ours.as_ref().is_err_and(|error| error.fault == Fault::NameTwice);
        prop_assert_eq!(ours.is_ok() || stricter, theirs, "{} {:?}", text, ours);
    }

    #[test]
    fn damaged_texts_are_read_or_refused(
        value in any_json(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = value.canonical().unwrap().into_bytes();
        let at = cut.index(bytes.len());
        bytes[at] = byte;
        let flipped = Json::parse(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let theirs = serde_json::from_str::<IgnoredAny>(text).is_ok();
            let twice = flipped.as_ref().is_err_and(|error| error.fault == Fault::NameTwice);
            prop_assert_eq!(flipped.is_ok() || twice, theirs);
        } else {
            prop_assert!(flipped.is_err());
        }
        prop_assert!(Json::parse(&bytes[..at]).is_err() || at > 0);
    }

    #[test]
    fn any_bytes_are_no_crash(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(value) = Json::parse(&bytes) {
            prop_assert!(value.canonical().is_ok());
        }
    }
}
