//! What the app of a tenant was granted, as far as it is known.

use tp_domain::access::ViewTenant;
use tp_store::TenantScope;

use crate::error::WebError;

/// The app's permissions in the tenant, by the latest token that a check of the connection has read; none
/// where nobody has looked yet.
pub(crate) async fn granted(
    scope: &TenantScope<ViewTenant>,
) -> Result<Option<Vec<String>>, WebError> {
    Ok(scope.connection().await?.granted)
}
