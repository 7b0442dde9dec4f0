//! When two plain values are the same: numbers by value, ids without regard to case, times without regard
//! to how they are spelled.

use std::borrow::Cow;

/// A number in one spelling: digits without zeros at the ends, and the power of ten.
///
/// Works on the text, so that no digit is lost whatever the number's size: `1.0`, `1` and `10e-1` are one
/// number, `9007199254740993` and `9007199254740992` are two.
pub(crate) fn number(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let Ok(exponent) = exponent.trim_start_matches('+').parse::<i64>() else {
        // An exponent beyond every reason: the spelling stands for itself.
        return text.to_owned();
    };
    let written = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let mut power = exponent.saturating_sub(written);
    while digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
        power = power.saturating_add(1);
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}e{power}") }
}

/// A text in one spelling: ids in small letters, times without needless digits.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if is_guid(text) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        time(text).map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

/// Whether it is a GUID.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| {
            if matches!(index, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
}

/// Whether it is the GUID that means none.
pub(crate) fn is_zero_guid(text: &str) -> bool {
    is_guid(text) && text.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}

/// A point in time in one spelling: `2024-01-01T00:00:00.0000000Z` is `2024-01-01T00:00:00+00:00`.
fn time(text: &str) -> Option<String> {
    let form = b"0000-00-00T00:00:00";
    let fits = |(byte, wanted): (u8, &u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        mark => byte == *mark,
    };
    if text.len() > 40 || text.len() < form.len() || !text.bytes().zip(form).all(fits) {
        return None;
    }
    let (second, rest) = text.split_at(form.len());
    let digits = rest
        .strip_prefix('.')
        .map_or(0, |fraction| 1 + fraction.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, zone) = rest.split_at(digits);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let zone = if matches!(zone, "Z" | "+00:00" | "-00:00") { "Z" } else { zone };
    Some(format!("{second}{fraction}{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        for (left, right) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("100", "1E+2"),
            ("0", "-0.0"),
            ("0.50", "5e-1"),
            ("-3", "-3.000"),
        ] {
            assert_eq!(number(left), number(right), "{left} {right}");
        }
        for (left, right) in
            [("1", "-1"), ("1", "10"), ("9007199254740993", "9007199254740992"), ("1e400", "1e401")]
        {
            assert_ne!(number(left), number(right), "{left} {right}");
        }
        assert_eq!(number("1e99999999999999999999"), "1e99999999999999999999");
    }

    #[test]
    fn ids_and_times_have_many_spellings() {
        assert_eq!(
            text("6D3FF27F-D01A-4573-89B8-9868F3EC2D29"),
            text("6d3ff27f-d01a-4573-89b8-9868f3ec2d29")
        );
        assert_eq!(text("2024-01-01T00:00:00.0000000Z"), text("2024-01-01T00:00:00+00:00"));
        assert_eq!(text("2024-01-01T00:00:00.5Z"), text("2024-01-01T00:00:00.500Z"));
        assert_ne!(text("2024-01-01T00:00:00Z"), text("2024-01-01T00:00:00+01:00"));
        assert_ne!(text("Abc"), text("abc"));
        assert_eq!(text("2024-01-01T00:00:00é"), "2024-01-01T00:00:00é");
        assert_eq!(text("2024-01-01T00:00:0é"), "2024-01-01T00:00:0é");
        assert!(is_zero_guid("00000000-0000-0000-0000-000000000000"));
        assert!(!is_zero_guid(""));
    }
}
