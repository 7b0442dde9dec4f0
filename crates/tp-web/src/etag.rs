//! `ETag`s: the hash of what is answered, so that whatever an answer says, a change of it is seen.

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use tp_domain::hex::hex;

/// The tag of a body.
pub(crate) fn of(body: &[u8]) -> String {
    format!("\"{}\"", hex(&Sha256::digest(body)[..16]))
}

/// Whether whoever asks has this body already. Compared weakly, as RFC 9110 wants it here.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
    })
}

/// Writes the tag, and that the answer is to be asked for again each time.
pub(crate) fn write(headers: &mut HeaderMap, etag: &str) {
    if let Ok(value) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_a_list_and_when_weak() {
        let etag = of(b"body");
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, text.parse().unwrap());
            is_known(&headers, &etag)
        };
        assert!(asked(&etag) && asked(&format!("\"x\", W/{etag}")));
        assert!(!asked(&of(b"other")) && !asked("\"\""));
        assert!(!is_known(&HeaderMap::new(), &etag));
    }
}
