//! Reading: RFC 8259 to the letter, and no body with two readings.

use std::fmt;

use super::number;
use super::{Json, MOST_LEVELS, Number, Object, Text};

/// A text is not JSON, or not JSON that means one thing. Says where, never what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (byte {at})")]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// Where it was noticed, in bytes from the start.
    pub at: usize,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not UTF-8.
    NotUtf8,
    /// It ends in the middle.
    CutOff,
    /// Something stands where JSON allows it not.
    Unexpected,
    /// More follows after the value.
    Trailing,
    /// A number is not written as JSON writes it.
    BadNumber,
    /// A text holds a control character, or an escape that does not exist.
    BadText,
    /// A text holds half of a surrogate pair, and the caller takes only texts of Unicode.
    LoneSurrogate,
    /// A name stands twice in an object: the text has two readings.
    NameTwice,
    /// It is nested deeper than [`MOST_LEVELS`].
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::CutOff => "the text ends in the middle",
            Self::Unexpected => "not JSON",
            Self::Trailing => "more follows after the value",
            Self::BadNumber => "not a number of JSON",
            Self::BadText => "a control character or an unknown escape in a text",
            Self::LoneSurrogate => "half of a surrogate pair in a text",
            Self::NameTwice => "a name stands twice in an object",
            Self::TooDeep => "nested deeper than 128 levels",
        })
    }
}

impl Json {
    /// Reads a text that is one JSON value.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::read(bytes, true)
    }

    /// The same, and every text is one of Unicode. A reply of Graph with half a surrogate pair is malformed
    /// (TRUST F18): ids and names in it mean nothing.
    pub fn parse_unicode(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::read(bytes, false)
    }

    fn read(bytes: &[u8], takes_lone: bool) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonError { fault: Fault::NotUtf8, at: error.valid_up_to() })?;
        let mut reader = Reader { text, bytes, at: 0, takes_lone };
        reader.space();
        let value = reader.value(0)?;
        reader.space();
        if reader.at < bytes.len() {
            return Err(reader.fault(Fault::Trailing));
        }
        Ok(value)
    }
}

impl std::str::FromStr for Json {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, JsonError> {
        Self::parse(text.as_bytes())
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Whether a text may hold half of a surrogate pair.
    takes_lone: bool,
}

impl Reader<'_> {
    const fn fault(&self, fault: Fault) -> JsonError {
        JsonError { fault, at: self.at }
    }

    /// Something else stands here than is allowed, or nothing.
    const fn unexpected(&self) -> JsonError {
        let cut_off = self.at >= self.bytes.len();
        self.fault(if cut_off { Fault::CutOff } else { Fault::Unexpected })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes this byte, if it stands here.
    fn take(&mut self, byte: u8) -> bool {
        let is_here = self.peek() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        for byte in word.bytes() {
            if !self.take(byte) {
                return Err(self.unexpected());
            }
        }
        Ok(value)
    }

    fn value(&mut self, level: usize) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if level == MOST_LEVELS => Err(self.fault(Fault::TooDeep)),
            Some(b'{') => self.object(level + 1),
            Some(b'[') => self.array(level + 1),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let rest = &self.text[self.at..];
        let length = number::length(rest.as_bytes());
        let number = length.and_then(|length| Number::new(&rest[..length]));
        let number = number.ok_or_else(|| self.fault(Fault::BadNumber))?;
        self.at += number.as_str().len();
        match self.peek() {
            Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => {
                Err(self.fault(Fault::BadNumber))
            }
            _ => Ok(Json::Number(number)),
        }
    }

    fn array(&mut self, level: usize) -> Result<Json, JsonError> {
        self.at += 1;
        self.space();
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            self.space();
            elements.push(self.value(level)?);
            self.space();
            if self.take(b']') {
                elements.shrink_to_fit();
                return Ok(Json::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.unexpected());
            }
        }
    }

    fn object(&mut self, level: usize) -> Result<Json, JsonError> {
        self.at += 1;
        self.space();
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(Object::new()));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected());
            }
            let name = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.unexpected());
            }
            self.space();
            members.push((name, self.value(level)?));
            self.space();
            if self.take(b'}') {
                let object = Object::from_members(members);
                return object.map(Json::Object).ok_or_else(|| self.fault(Fault::NameTwice));
            }
            if !self.take(b',') {
                return Err(self.unexpected());
            }
        }
    }

    fn string(&mut self) -> Result<Text, JsonError> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(self.text[start..self.at - 1].into());
        }
        let mut units = self.bytes[start..self.at].to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text::from_units(units));
                }
                Some(b'\\') => self.escape(&mut units)?,
                Some(_) => return Err(self.fault(Fault::BadText)),
                None => return Err(self.fault(Fault::CutOff)),
            }
            let from = self.at;
            self.plain();
            units.extend_from_slice(&self.bytes[from..self.at]);
        }
    }

    /// Goes to the next byte that is no plain letter of a text.
    fn plain(&mut self) {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(special).unwrap_or(rest.len());
    }

    fn escape(&mut self, units: &mut Vec<u8>) -> Result<(), JsonError> {
        let byte = match self.bytes.get(self.at + 1) {
            Some(b'u') => {
                let unit = self.unit()?;
                return self.surrogates(unit, units);
            }
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => b'/',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(_) => return Err(self.fault(Fault::BadText)),
            None => return Err(self.fault(Fault::CutOff)),
        };
        units.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The four digits of a `\uXXXX` that stands here.
    fn unit(&mut self) -> Result<u16, JsonError> {
        let Some(digits) = self.bytes.get(self.at + 2..self.at + 6) else {
            return Err(self.fault(Fault::CutOff));
        };
        let unit = digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(unit * 16 + u16::try_from(digit).ok()?)
        });
        let unit = unit.ok_or_else(|| self.fault(Fault::BadText))?;
        self.at += 6;
        Ok(unit)
    }

    /// Adds a unit of UTF-16; with its other half, if that follows.
    fn surrogates(&mut self, unit: u16, units: &mut Vec<u8>) -> Result<(), JsonError> {
        let mut code = u32::from(unit);
        if (0xD800..0xDC00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
            let before = self.at;
            let low = u32::from(self.unit()?);
            if (0xDC00..0xE000).contains(&low) {
                code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            } else {
                self.at = before;
            }
        }
        match char::from_u32(code) {
            Some(letter) => {
                units.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None if !self.takes_lone => return Err(self.fault(Fault::LoneSurrogate)),
            None => {
                let [high, low] = unit.to_be_bytes();
                units.extend([0xED, 0x80 | ((high & 0x0F) << 2) | (low >> 6), 0x80 | (low & 0x3F)]);
            }
        }
        Ok(())
    }
}
