//! What an encoded text holds: bytes of base64, and text in UTF-8 or UTF-16 with or without a mark.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding is often missing in what tools export.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a text is written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Charset {
    Utf8,
    /// With a mark at the beginning.
    Utf8Marked,
    Utf16Le,
    Utf16LeMarked,
    Utf16BeMarked,
}

impl Charset {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Marked => "UTF-8 with BOM",
            Self::Utf16Le => "UTF-16 LE",
            Self::Utf16LeMarked => "UTF-16 LE with BOM",
            Self::Utf16BeMarked => "UTF-16 BE with BOM",
        }
    }
}

/// A text that was encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) text: String,
    pub(crate) charset: Charset,
}

/// The bytes of a base64 text, which may have line breaks; none where it is no base64.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let has_space = text.bytes().any(|byte| byte.is_ascii_whitespace());
    if has_space {
        let plain: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        ENGINE.decode(plain).ok()
    } else {
        ENGINE.decode(text).ok()
    }
}

/// The text of a base64 text; none where it is no base64 or no text.
pub(crate) fn text(encoded: &str) -> Option<Decoded> {
    let bytes = bytes(encoded)?;
    let (charset, body) = match bytes.as_slice() {
        [0xEF, 0xBB, 0xBF, rest @ ..] => (Charset::Utf8Marked, rest),
        [0xFF, 0xFE, rest @ ..] => (Charset::Utf16LeMarked, rest),
        [0xFE, 0xFF, rest @ ..] => (Charset::Utf16BeMarked, rest),
        rest if is_bare_utf16(rest) => (Charset::Utf16Le, rest),
        rest => (Charset::Utf8, rest),
    };
    let text = match charset {
        Charset::Utf8 | Charset::Utf8Marked => String::from_utf8(body.to_vec()).ok()?,
        Charset::Utf16Le | Charset::Utf16LeMarked => utf16(body, u16::from_le_bytes)?,
        Charset::Utf16BeMarked => utf16(body, u16::from_be_bytes)?,
    };
    Some(Decoded { text, charset })
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
}

/// UTF-16 without a mark: most letters of scripts have a zero as their second byte.
fn is_bare_utf16(bytes: &[u8]) -> bool {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let zeros = pairs.iter().filter(|pair| pair[1] == 0 && pair[0] != 0).count();
    rest.is_empty() && !pairs.is_empty() && zeros * 4 >= pairs.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        ENGINE.encode(bytes)
    }

    fn utf16le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn every_way_to_write_a_script_gives_its_text() {
        let script = "Write-Host 'Grüße'\n";
        let marked = |mark: &[u8], body: &[u8]| [mark, body].concat();
        let big: Vec<u8> = script.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, charset) in [
            (script.as_bytes().to_vec(), Charset::Utf8),
            (marked(&[0xEF, 0xBB, 0xBF], script.as_bytes()), Charset::Utf8Marked),
            (marked(&[0xFF, 0xFE], &utf16le(script)), Charset::Utf16LeMarked),
            (marked(&[0xFE, 0xFF], &big), Charset::Utf16BeMarked),
            (utf16le(script), Charset::Utf16Le),
        ] {
            let decoded = text(&encoded(&bytes)).unwrap();
            assert_eq!((decoded.text.as_str(), decoded.charset), (script, charset));
        }
    }

    #[test]
    fn line_breaks_and_missing_padding_do_no_harm() {
        assert_eq!(text("aGVs\r\nbG8").unwrap().text, "hello");
        assert_eq!(bytes("aGVsbG8=").unwrap(), b"hello");
    }

    #[test]
    fn what_is_no_text_is_none() {
        for bad in ["§", "a", &encoded(&[0xFF, 0xFE, 0x41]), &encoded(&[0xC3, 0x28]), "a=b="] {
            assert!(text(bad).is_none(), "{bad}");
        }
        assert_eq!(text("").unwrap().text, "");
    }
}
