//! Whether a next link may be followed. The token goes with it, so only to where it came from (T8).

use percent_encoding::percent_decode_str;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;
use url::Url;

/// A listing with more pages is not real.
pub(crate) const MAX_PAGES: u32 = 10_000;

/// Checks a next link against the address of the listing's first page: the same scheme, host and port,
/// the same path, no user, no fragment.
pub(crate) fn next_link(first: &Url, link: &Json) -> Result<Url, ReasonCode> {
    let text = link.as_str().ok_or(ReasonCode::BadNextLink)?;
    let next: Url = text.parse().map_err(|_| ReasonCode::BadNextLink)?;
    let same_place = next.scheme() == first.scheme()
        && next.host() == first.host()
        && next.port_or_known_default() == first.port_or_known_default();
    let plain =
        next.username().is_empty() && next.password().is_none() && next.fragment().is_none();
    if same_place && plain && path_of(&next) == path_of(first) {
        Ok(next)
    } else {
        Err(ReasonCode::UntrustedNextLink)
    }
}

/// The path as Graph understands it: decoded, without regard to case and to doubled slashes.
fn path_of(url: &Url) -> Vec<String> {
    url.path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().to_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn only_links_to_the_same_place_are_followed() {
        let first: Url = "https://graph.example/beta/groups?$top=5".parse().unwrap();
        let check = |link: Json| next_link(&first, &link).err();
        let good = [
            "https://graph.example/beta/groups?$skiptoken=abc",
            "https://graph.example:443/beta/groups?$skip=5",
            "https://graph.example/beta/Groups/?$skip=5",
        ];
        for link in good {
            assert_eq!(check(json!(link)), None, "{link}");
        }
        let foreign = [
            "https://evil.example/beta/groups",
            "https://graph.example.evil.example/beta/groups",
            "https://graph.example@evil.example/beta/groups",
            "https://user@graph.example/beta/groups",
            "https://graph.example:444/beta/groups",
            "http://graph.example/beta/groups",
            "https://graph.example/beta/users",
            "https://graph.example/v1.0/groups",
            "https://graph.example/beta/groups/../users",
            "https://graph.example/beta/groups#x",
            "https://GRAPH.example.:443/beta/groups",
        ];
        for link in foreign {
            assert_eq!(check(json!(link)), Some(ReasonCode::UntrustedNextLink), "{link}");
        }
        for link in [json!("/beta/groups?$skip=5"), json!(7), json!({}), json!("")] {
            assert_eq!(check(link.clone()), Some(ReasonCode::BadNextLink), "{link}");
        }
    }
}
