//! What the app of a tenant was granted, as far as it is known.

use tp_domain::tenant::Tenant;

/// The app's permissions in the tenant; none where nobody has looked yet.
///
/// No operation stores them so far: checking a connection will. Until then pages and the API say "not
/// checked yet".
pub(crate) const fn granted(_: &Tenant) -> Option<Vec<String>> {
    None
}
