//! Links. Each address is put together here and nowhere else.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tp_domain::ids::{PolicyId, RunId};
use tp_domain::tenant::Tenant;

const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'&')
    .add(b'+')
    .add(b'%')
    .add(b'=')
    .add(b'?');

/// A value for a query string.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

pub(crate) fn overview(tenant: &Tenant) -> String {
    format!("/t/{}/overview", tenant.slug)
}

pub(crate) fn policies(tenant: &Tenant) -> String {
    format!("/t/{}/policies", tenant.slug)
}

pub(crate) fn policy(tenant: &Tenant, id: PolicyId) -> String {
    format!("/t/{}/policies/{id}", tenant.slug)
}

pub(crate) fn operations(tenant: &Tenant) -> String {
    format!("/t/{}/operations", tenant.slug)
}

pub(crate) fn operation(tenant: &Tenant, run: RunId) -> String {
    format!("/t/{}/operations/{run}", tenant.slug)
}

pub(crate) fn operation_of(slug: &str, run: RunId) -> String {
    format!("/t/{slug}/operations/{run}")
}

pub(crate) fn sync(tenant: &Tenant) -> String {
    format!("/t/{}/inventory/sync", tenant.slug)
}

pub(crate) fn reason_code(code: &str) -> String {
    format!("/docs/reason-codes/{code}")
}

/// A path on this server, or none: never another host, never a scheme (TRUST §6, 17).
pub(crate) fn local(text: &str) -> Option<&str> {
    let fits = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.len() <= 2000
        && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_paths_of_this_server_are_local() {
        for good in ["/", "/tenants", "/t/a/operations?tab=failed&x=%20"] {
            assert_eq!(local(good), Some(good));
        }
        for bad in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a\r\nX: y",
            "/a b",
            "javascript:x",
        ] {
            assert_eq!(local(bad), None, "{bad:?}");
        }
    }
}
